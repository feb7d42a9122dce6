"""API 令牌: what super administrators see and do. Source: REQUIREMENTS, K-5, U-6, E-6."""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from msgspec.structs import replace

from commands.api_tokens import CreateApiToken, RevokeApiToken
from domain.api_tokens import ApiTokenCreated, ApiTokenRevoked, ApiTokenWasCreated, TokenScope
from projections.api_tokens import ApiTokenRow
from projections.read_model import Page
from tests.examples import QUALITY_LEAD_ID, TRAINER_WANG_ID, example_id, plant
from tests.web.machines import Machine
from tests.web.reading import text
from tests.web.real_site import RealSite, open_real_site
from tests.web.site import MODEL_TRAINER, QUALITY_LEAD, Site
from web.bearer import LastUse, hash_of, is_expired
from web.sessions import Session, Signer

AT = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
TOKEN_ID = example_id("token")
ROW = ApiTokenRow(
    token_id=TOKEN_ID,
    name="MES, hall 2",
    scope=TokenScope.ACT,
    username="trainer_wang",
    is_user_deleted=False,
    created_by="quality_lead",
    created_at=AT,
    expires_at=None,
    revoked_by="",
    revoked_at=None,
)


class FakeApiTokens:
    def __init__(self, *rows: ApiTokenRow) -> None:
        self.rows = rows

    def page(self, *, number: int = 1) -> Page[ApiTokenRow]:
        return Page(items=self.rows, total=len(self.rows), number=number, size=20)

    def get(self, token_id: UUID) -> ApiTokenRow | None:
        return next((row for row in self.rows if row.token_id == token_id), None)


class FakeUses:
    def of(self, token_ids: Sequence[UUID]) -> dict[UUID, LastUse]:
        return {TOKEN_ID: LastUse(AT + timedelta(hours=1), "192.0.2.7")} if TOKEN_ID in token_ids else {}


@pytest.fixture
def tokens(site: Site) -> FakeApiTokens:
    found = site.read.api_tokens = FakeApiTokens(ROW)
    object.__setattr__(site.services, "token_uses", FakeUses())
    return found


def form_id(page: str) -> str:
    found = re.search(r'name="form_id" value="([^"]+)"', page)
    assert found
    return found[1]


def test_the_list_says_for_whom_how_far_and_when_last(site: Site, tokens: FakeApiTokens) -> None:
    page = text(site.get("/api-tokens"))
    for shown in ("API 令牌", "MES, hall 2", "trainer_wang", "读取和操作", "192.0.2.7", "直至吊销", "吊销"):
        assert shown in page, shown


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"revoked_at": AT, "revoked_by": "quality_lead"}, "已由 quality_lead 吊销"),
        ({"is_user_deleted": True}, "已失效：用户已删除"),
        ({"expires_at": AT}, "已过期"),
    ],
)
def test_what_opens_nothing_any_more_says_why(
    site: Site, tokens: FakeApiTokens, changes: dict[str, object], shown: str
) -> None:
    tokens.rows = (replace(ROW, **changes),)
    assert shown in text(site.get("/api-tokens"))


def test_whoever_made_or_revoked_a_token_and_is_gone_is_marked(site: Site, tokens: FakeApiTokens) -> None:  # U-3
    tokens.rows = (
        replace(ROW, username="mes_line_1", is_user_deleted=True, is_creator_deleted=True),
        replace(ROW, revoked_at=AT, revoked_by="lead_chen", is_revoker_deleted=True),
    )
    page = text(site.get("/api-tokens"))
    for shown in ("mes_line_1 （已删除）", "quality_lead （已删除）", "已由 lead_chen （已删除） 吊销"):
        assert shown in page, shown
    assert page.count("（已删除）") == 3


def test_the_secret_is_shown_once_and_only_its_hash_goes_on(site: Site, tokens: FakeApiTokens) -> None:  # E-6
    page = site.get("/api-tokens/new").text
    wish = {"form_id": form_id(page), "name": "MES, hall 2", "username": "trainer_wang", "scope": "act"}
    answer = site.post("/api-tokens/new", **wish, lifetime="90")
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    (secret,) = set(re.findall(r"assay_[A-Za-z0-9_-]{43}", answer.text))
    (command,) = site.assay.commands
    assert isinstance(command, CreateApiToken)
    assert (command.user_id, command.scope, command.secret_hash) == (
        MODEL_TRAINER.user_id,
        TokenScope.ACT,
        hash_of(secret),
    )
    assert command.expires_at is not None
    assert not is_expired(command.expires_at, datetime.now(UTC) + timedelta(days=89))
    assert is_expired(command.expires_at, datetime.now(UTC) + timedelta(days=91))
    assert is_expired(command.expires_at, command.expires_at)
    assert not is_expired(command.expires_at, command.expires_at - timedelta(microseconds=1))
    assert secret not in str(command)
    assert secret not in site.get("/api-tokens").text
    site.assay.refuse_with(ApiTokenWasCreated())
    again = site.post("/api-tokens/new", **wish, lifetime="90")  # the back button, and 【创建】 once more
    assert "请吊销该令牌并另行创建" in text(again, 422)
    assert not re.search(r"assay_[A-Za-z0-9_-]{43}", again.text)


@pytest.mark.parametrize(
    ("found_at", "secure_cookies", "address"),
    [
        ("http://10.0.0.7:8080", False, "http://10.0.0.7:8080"),
        ("https://assay.fab.example", False, "https://assay.fab.example"),  # the proxy says that it speaks TLS
        ("http://assay.fab.example", True, "https://assay.fab.example"),  # it does not say so
    ],
)
def test_the_example_names_the_server_as_its_reader_has_found_it(
    site: Site, tokens: FakeApiTokens, found_at: str, secure_cookies: bool, address: str
) -> None:  # K-5
    fields = {"csrf_token": site.token, "name": "MES", "username": "quality_lead", "scope": "read", "lifetime": ""}
    settings = dataclasses.replace(site.services.settings, secure_cookies=secure_cookies)
    object.__setattr__(site.services, "settings", settings)
    cookie = "; ".join(f"{name}={value}" for name, value in site.client.cookies.items())
    answer = site.client.post(f"{found_at}/api-tokens/new", data=fields, headers={"Cookie": cookie})
    assert answer.status_code == 201
    assert f" {address}/api/v1/me</code>" in answer.text


def test_each_scope_is_followed_by_what_it_opens(site: Site, tokens: FakeApiTokens) -> None:
    page = site.get("/api-tokens/new").text
    scopes = re.findall(r'name="scope" value="(\w+)"[^>]*><span>([^<]+)<small>([^<]+)</small>', page)
    assert [scope for scope, _name, _opens in scopes] == [scope.value for scope in TokenScope]
    assert len({opens for _scope, _name, opens in scopes}) == len(TokenScope)


def test_what_is_not_offered_is_refused_beside_its_field(site: Site, tokens: FakeApiTokens) -> None:
    wish = {"name": "MES", "username": "trainer_wang", "scope": "act", "lifetime": ""}
    for wrong in ({"scope": "everything"}, {"lifetime": "7"}, {"lifetime": "soon"}):
        assert site.post("/api-tokens/new", **wish | wrong).status_code == 422
    assert site.assay.commands == []
    assert site.post("/api-tokens/new", **wish | {"username": "nobody"}).status_code == 201
    assert site.assay.commands[0].user_id is None  # the rules say that there is no such user


def test_a_token_is_revoked_after_the_question(site: Site, tokens: FakeApiTokens) -> None:
    assert "确定吊销令牌“MES, hall 2”吗？" in text(site.get(f"/api-tokens/{TOKEN_ID}/revoke"))
    answer = site.post(f"/api-tokens/{TOKEN_ID}/revoke")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/api-tokens")
    assert site.assay.commands == [
        RevokeApiToken(actor=QUALITY_LEAD.user_id, token_id=TOKEN_ID, request=site.assay.commands[0].request)
    ]
    assert site.get(f"/api-tokens/{example_id('nothing')}/revoke").status_code == 404


@pytest.fixture
def real(database: str, tmp_path: Path) -> Iterator[RealSite]:
    with open_real_site(database, tmp_path) as made:
        made.happened(plant())
        yield made


def test_a_token_made_on_the_page_opens_the_api_until_it_is_revoked(real: RealSite) -> None:
    session = real.services.sessions.open(Session(user_id=QUALITY_LEAD_ID, epoch=0))
    signer = Signer(real.services.settings.secret)

    def browser() -> None:
        real.client.cookies.clear()
        real.client.cookies.set("assay_session", signer.sign("session", session))

    browser()
    form = {"form_id": form_id(real.get("/api-tokens/new").text), "name": "MES", "username": "trainer_wang"}
    (secret,) = set(
        re.findall(r"assay_[A-Za-z0-9_-]{43}", real.post("/api-tokens/new", **form, scope="act", lifetime="").text)
    )
    (created,) = [event for _, event in real.log.read(0, 1000) if isinstance(event.data, ApiTokenCreated)]
    assert isinstance(created.data, ApiTokenCreated)
    assert created.data.secret_hash == hash_of(secret)
    assert (created.data.user_id, created.origin.actor) == (TRAINER_WANG_ID, QUALITY_LEAD_ID)
    machine = Machine(real, secret)
    assert machine.get("/me").json()["username"] == "trainer_wang"
    browser()
    assert "testclient" in real.get("/api-tokens").text
    assert real.post(f"/api-tokens/{created.originator_id}/revoke").status_code == 303
    assert isinstance(real.log.history(created.originator_id)[-1].data, ApiTokenRevoked)
    assert machine.get("/me").status_code == 401
