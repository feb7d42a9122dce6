"""Who gets in: a token, whose it is, how long it lasts, and what the log says of it. Source: REQUIREMENTS, K-5."""

from datetime import timedelta

from msgspec.structs import replace

from commands.users import DeleteUser
from domain.api_tokens import ApiTokenCreated, ApiTokenRevoked, TokenScope
from domain.training_jobs import TrainingQueued
from tests.examples import QUALITY_LEAD_ID, TRAINER_LI_ID, TRAINER_WANG_ID, History
from tests.web.machines import API, NEW_TRAINING, Machine, machine_of, rule_of
from tests.web.real_site import RealSite


def test_a_token_says_whom_it_acts_for(wang: Machine) -> None:
    me = wang.get("/me").json()
    assert (me["username"], me["role"], me["scope"], me["token_name"]) == (
        "trainer_wang",
        "model_trainer",
        "act",
        "MES, hall 2",
    )


def test_without_a_right_token_nothing_is_told(site: RealSite) -> None:
    right = f"assay_{'A' * 43}"
    for authorization in (
        "",
        "Bearer",
        "Bearer nonsense",
        f"Bearer {right}",
        f"Basic {right}",
        f"Bearer {right[:-1]}\x7f",
    ):
        headers = {"Authorization": authorization} if authorization else {}
        answer = site.client.get(f"{API}/datasets?purpose=training", headers=headers)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer"), authorization
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["type"] == "urn:assay:problem:wrong-token"


def test_the_session_of_a_browser_counts_for_nothing(site: RealSite) -> None:
    site.enter(QUALITY_LEAD_ID)
    assert site.client.get("/users").status_code == 200
    assert site.client.get(f"{API}/me").status_code == 401


def test_an_expired_token_and_one_of_a_deleted_user_open_nothing(site: RealSite) -> None:
    assert machine_of(site, TRAINER_LI_ID, lifetime=timedelta(seconds=-1)).get("/me").status_code == 401
    of_li = machine_of(site, TRAINER_LI_ID, lifetime=timedelta(hours=1))
    assert of_li.get("/me").status_code == 200
    deletion = DeleteUser(actor=QUALITY_LEAD_ID, user_id=TRAINER_LI_ID, heir=TRAINER_WANG_ID)
    site.services.wait(site.services.assay.dispatch(deletion))
    assert of_li.get("/me").status_code == 401


def test_a_revoked_token_is_refused_from_the_next_request_on(site: RealSite, wang: Machine) -> None:
    (token_id,) = [one.originator_id for _, one in site.log.read(0, 1000) if isinstance(one.data, ApiTokenCreated)]
    assert wang.get("/me").status_code == 200
    revoked = replace(History().add(token_id, ApiTokenRevoked()).events[0], originator_version=2)
    site.services.wait(site.log.append([revoked]))
    assert wang.get("/me").status_code == 401


def test_who_sends_many_wrong_tokens_waits_and_nobody_else_does(site: RealSite, wang: Machine) -> None:
    guesser = Machine(site, f"assay_{'A' * 43}")
    answers = [guesser.get("/me") for _ in range(25)]
    assert {answer.status_code for answer in answers[:20]} == {401}
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert wang.get("/me").status_code == 200  # from the same address


def test_a_token_that_may_only_read_changes_nothing(site: RealSite) -> None:
    reader = machine_of(site, TRAINER_WANG_ID, TokenScope.READ)
    before = site.log.position()
    refused = reader.ask("POST", "/training-jobs", NEW_TRAINING, key="key-0001")
    assert rule_of(refused) == (403, "ScopeIsRead")
    assert site.log.position() == before
    assert reader.get("/training-jobs").status_code == 200


def test_the_log_says_who_acted_with_which_token_through_which_request(site: RealSite, wang: Machine) -> None:  # E-1
    answer = wang.ask("POST", "/training-jobs", NEW_TRAINING, key="key-0001")
    queued = next(one for _, one in reversed(site.log.read(0, 1000)) if isinstance(one.data, TrainingQueued))
    (token_id,) = [one.originator_id for _, one in site.log.read(0, 1000) if isinstance(one.data, ApiTokenCreated)]
    assert (queued.origin.actor, queued.origin.token) == (TRAINER_WANG_ID, token_id)
    assert queued.origin.request == answer.headers["X-Request-ID"]


def test_the_last_use_is_noted(site: RealSite, wang: Machine) -> None:
    (token_id,) = [one.originator_id for _, one in site.log.read(0, 1000) if isinstance(one.data, ApiTokenCreated)]
    assert site.services.token_uses.of([token_id]) == {}
    wang.get("/me")
    assert site.services.token_uses.of([token_id])[token_id].address == "testclient"
