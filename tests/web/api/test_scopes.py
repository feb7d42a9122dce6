"""What a token opens, asked of every route of the HTTP API: its scope, its end, and that of its user. Source: K-5, U-6."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from commands.api_tokens import RevokeApiToken
from commands.users import DeleteUser
from domain.api_tokens import MANAGING, Area, TokenScope, area_of
from domain.users import UserRefusedAction
from tests.examples import QUALITY_LEAD_ID, TRAINER_LI_ID, TRAINER_WANG_ID
from tests.permission_table import REQUESTS, Who
from tests.web.busy_plant import open_busy_plant
from tests.web.machines import Machine, machine_of, rule_of
from tests.web.real_site import RealSite
from tests.web.requests import FOR_MACHINES, QUESTIONS, address_of
from tests.web.test_permissions import BODIES
from web.sessions import SAFE_METHODS

TOKENS_OPEN = {line: who for line, who in FOR_MACHINES.items() if who is not Who.ANYBODY}


@pytest.fixture
def site(database: str, tmp_path: Path) -> Iterator[RealSite]:
    with open_busy_plant(database, tmp_path) as site:
        yield site


def areas(app: Litestar) -> dict[str, Area]:
    """What each route is about."""
    return {
        f"{method} {re.sub(r':[a-z]+}', '}', route.path)}": handler.opt.get("area", Area.EVERYTHING_ELSE)
        for route in app.routes
        if isinstance(route, HTTPRoute) and route.path.startswith("/api/")
        for handler in route.route_handlers
        for method in handler.http_methods - {"HEAD", "OPTIONS"}
    }


def ask(machine: Machine, line: str) -> httpx.Response:
    method, pattern = line.split(" ")
    question = "&".join(f"{name}={value}" for name, value in QUESTIONS.get(line, ()))
    path = address_of(pattern).removeprefix("/api/v1")
    return machine.ask(
        method, f"{path}?{question}" if question else path, BODIES.get(line), key=line.replace(" ", "_")[:128]
    )


def test_what_only_super_administrators_may_is_management(site: RealSite) -> None:  # K-5
    """So that no token gains it that was made before there was any."""
    area_of_line = areas(site.client.app)
    only_theirs = {line for line, who in REQUESTS.items() if "/api/" in line and who is Who.SUPER_ADMINISTRATOR}
    assert {line for line in only_theirs if area_of_line[line] is not Area.MANAGEMENT} == {"GET /api/v1/events"}
    of_everybody = {line for line, area in area_of_line.items() if area is Area.MANAGEMENT} - only_theirs
    provenance = "/api/v1/models/{model_id}/versions/{label}/provenance"
    assert of_everybody == {
        "GET /api/v1/account",
        "PUT /api/v1/account/email",
        "PUT /api/v1/account/password",
        "GET /api/v1/history/{aggregate_id}",
        "GET /api/v1/history/{aggregate_id}/state",
        f"GET {provenance}",
        f"GET {provenance}/images",
        f"POST {provenance}/check",
    }
    assert {area_of(permission) for permission in MANAGING} == {Area.MANAGEMENT}


@pytest.mark.parametrize("scope", [TokenScope.READ, TokenScope.ACT, TokenScope.MES])
def test_management_is_out_of_reach_of_a_token_that_does_not_say_so(site: RealSite, scope: TokenScope) -> None:  # K-5
    """Whatever its user may, and what it tried to do stands in the audit with its name."""
    machine = machine_of(site, QUALITY_LEAD_ID, scope)
    token_id = machine.token_id
    rule = "ScopeIsMes" if scope is TokenScope.MES else "ScopeIsWithoutManagement"
    managing = [line for line, area in areas(site.client.app).items() if area is Area.MANAGEMENT]
    assert len(managing) > 40
    for line in managing:
        before = site.log.position()
        answer = ask(machine, line)
        assert rule_of(answer) == (403, rule), line
        stored = [recorded for _, recorded in site.log.read(before, 10)]
        if line.split(" ")[0] in SAFE_METHODS:
            assert stored == [], line
            continue
        (record,) = stored
        method, pattern = line.split(" ")
        assert record.data == UserRefusedAction(command=f"{method} {address_of(pattern)}")
        assert (record.origin.actor, record.origin.token) == (QUALITY_LEAD_ID, token_id)
        assert record.origin.request == answer.headers["X-Request-ID"]


def test_a_token_for_the_audit_reads_everything_and_changes_nothing(site: RealSite) -> None:  # K-5, U-6
    machine = machine_of(site, QUALITY_LEAD_ID, TokenScope.AUDIT)
    shown = 0
    for line, area in areas(site.client.app).items():
        if line not in TOKENS_OPEN:
            continue
        before = site.log.position()
        answer = ask(machine, line)
        if line.startswith("GET "):
            rules = [one["rule"] for one in answer.json().get("refusals", ())] if answer.status_code == 403 else []
            assert rules in ([], ["NotTheOwner"]), line  # what is its user's only, it does not see either
            shown += answer.status_code == 200
            continue
        assert rule_of(answer) == (403, "ScopeIsRead"), line
        left = [recorded.data for _, recorded in site.log.read(before, 10)]
        assert [type(one) for one in left] == ([UserRefusedAction] if area is Area.MANAGEMENT else []), line
    assert shown > 35


def test_a_trainer_gains_nothing_by_a_token_that_manages(site: RealSite) -> None:  # U-6
    machine = machine_of(site, TRAINER_LI_ID, TokenScope.MANAGE)
    for line, who in TOKENS_OPEN.items():
        if who is Who.SUPER_ADMINISTRATOR:
            answer = ask(machine, line)
            assert rule_of(answer) == (403, "NotPermitted"), line
    assert machine.get("/account").json()["username"] == "trainer_li"
    assert machine.get(f"/history/{TRAINER_LI_ID}").status_code == 200
    assert machine.get(f"/history/{TRAINER_WANG_ID}").status_code == 403


def test_a_revoked_token_and_one_of_a_deleted_user_open_no_route(site: RealSite) -> None:  # K-5, U-3
    of_lead = machine_of(site, QUALITY_LEAD_ID, TokenScope.MANAGE)
    of_li = machine_of(site, TRAINER_LI_ID, TokenScope.MANAGE)
    assert of_lead.get("/users").status_code == of_li.get("/account").status_code == 200
    for command in (
        RevokeApiToken(actor=QUALITY_LEAD_ID, token_id=of_lead.token_id),
        DeleteUser(actor=QUALITY_LEAD_ID, user_id=TRAINER_LI_ID, heir=TRAINER_WANG_ID),
    ):
        site.services.wait(site.services.assay.dispatch(command))
    before = site.log.position()
    for machine in (of_lead, of_li):
        for line in TOKENS_OPEN:
            assert ask(machine, line).status_code in (401, 429), line
    assert site.log.position() == before


def test_a_role_that_is_taken_away_closes_management_at_the_next_request(site: RealSite) -> None:  # U-4, U-6
    of_lead = machine_of(site, QUALITY_LEAD_ID, TokenScope.MANAGE)
    other = {"username": "second_lead", "password": "Passw0rd", "role": "super_administrator"}
    assert of_lead.ask("POST", "/users", other, key="key-0001").status_code == 201
    demoted = of_lead.ask("PUT", f"/users/{QUALITY_LEAD_ID}/role", {"role": "model_trainer"})
    assert (demoted.status_code, demoted.json()["role"]) == (200, "model_trainer")
    assert of_lead.get("/users").status_code == 403
    refused = of_lead.ask("DELETE", f"/users/{TRAINER_LI_ID}")
    assert rule_of(refused) == (403, "NotPermitted")
