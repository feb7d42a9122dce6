"""Users and one's own account over the HTTP API: as the pages, and no password comes to rest anywhere. Source: U-2 to U-7, K-5."""

import hashlib
import json
from uuid import UUID

import psycopg
import pytest

from domain.api_tokens import TokenScope
from domain.users import UserCreated, UserPasswordChanged
from infra.logs import JsonLines
from tests.examples import (
    QUALITY_LEAD_ID,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    History,
    example_id,
)
from tests.web.machines import Machine, machine_of
from tests.web.real_site import RealSite
from web.attempts import Attempts
from web.sessions import Session

PASSWORD, ANOTHER = "Correct-Horse-77", "Battery-Staple-88"
ZHAO = {"username": "trainer_zhao", "password": PASSWORD, "role": "model_trainer", "email": "", "remark": "line 3"}


def rules(answer: object) -> list[tuple[str, str]]:
    return [(one["rule"], one["field"]) for one in answer.json()["refusals"]]  # type: ignore[attr-defined]


def can_sign_in(site: RealSite, username: str, password: str) -> bool:
    known = site.read.users.credentials(username)
    return known is not None and site.services.passwords.verify(known.password_hash, password)


def test_a_user_is_created_once_and_can_sign_in(site: RealSite, lead: Machine) -> None:  # U-2
    answers = [lead.ask("POST", "/users", ZHAO, key="key-0001") for _ in range(2)]
    assert {answer.status_code for answer in answers} == {201}, answers[0].text
    first, again = (answer.json() for answer in answers)
    assert first == again
    assert (first["username"], first["role"], first["remark"]) == ("trainer_zhao", "model_trainer", "line 3")
    assert sum(isinstance(one.data, UserCreated) for _, one in site.log.read(0, 1000)) == 4
    assert can_sign_in(site, "trainer_zhao", PASSWORD)
    assert lead.get(f"/users/{first['user_id']}").json() == first


def test_what_is_wrong_with_a_new_user_is_named_all_of_it(lead: Machine) -> None:  # U-2
    wrong = ZHAO | {"username": "zh", "password": "weak", "email": "nowhere"}
    answer = lead.ask("POST", "/users", wrong, key="key-0001")
    assert answer.status_code == 422
    assert rules(answer) == [
        ("UsernameIsInvalid", "username"),
        ("PasswordIsTooWeak", "password"),
        ("EmailIsInvalid", "email"),
    ]
    taken = lead.ask("POST", "/users", ZHAO | {"username": "Trainer_Wang"}, key="key-0002")
    assert rules(taken) == [("NameTaken", "username")]
    for broken in (ZHAO | {"role": "emperor"}, ZHAO | {"password": None}, ZHAO | {"is_admin": True}):
        answer = lead.ask("POST", "/users", broken, key="key-0003")
        assert answer.status_code == 400
        assert PASSWORD not in answer.text


def test_a_key_that_comes_again_with_another_password_is_refused(site: RealSite, lead: Machine) -> None:  # K-5
    """It would answer as if that password were in force."""
    assert lead.ask("POST", "/users", ZHAO, key="key-0001").status_code == 201
    other = lead.ask("POST", "/users", ZHAO | {"password": ANOTHER}, key="key-0001")
    assert (other.status_code, rules(other)) == (409, [("KeyWasUsed", "Idempotency-Key")])
    assert not can_sign_in(site, "trainer_zhao", ANOTHER)
    assert lead.ask("POST", "/users", ZHAO | {"remark": "line 4"}, key="key-0001").status_code == 409


def test_users_are_found_by_name_and_role_and_those_who_were_by_themselves(site: RealSite, lead: Machine) -> None:
    def names(question: str, limit: int = 2) -> list[str]:
        return [one["username"] for one in lead.everything(f"/users?{question}", limit)]

    assert names("") == ["quality_lead", "trainer_li", "trainer_wang"]
    assert names("search=TRAINER") == ["trainer_li", "trainer_wang"]
    assert names("role=super_administrator") == ["quality_lead"]
    assert names("only_deleted=true") == []
    assert lead.ask("DELETE", f"/users/{TRAINER_LI_ID}").status_code == 204
    assert names("") == ["quality_lead", "trainer_wang"]
    (gone,) = lead.everything("/users?only_deleted=true", 2)
    assert (gone["username"], gone["heir_name"]) == ("trainer_li", "quality_lead")
    assert gone["deleted_at"]
    assert lead.get(f"/users/{TRAINER_LI_ID}").status_code == 404
    assert "hash" not in lead.get("/users").text


def test_email_and_role_are_changed_and_the_last_super_administrator_stays(lead: Machine) -> None:  # U-3, U-4
    wang = f"/users/{TRAINER_WANG_ID}"
    assert lead.ask("PUT", f"{wang}/email", {"email": "wang@fab.example"}).json()["email"] == "wang@fab.example"
    assert rules(lead.ask("PUT", f"{wang}/email", {"email": "wang"})) == [("EmailIsInvalid", "email")]
    own = lead.ask("PUT", f"/users/{QUALITY_LEAD_ID}/role", {"role": "model_trainer"})
    assert (own.status_code, rules(own)) == (422, [("OneSuperAdministratorStays", "role")])
    assert rules(lead.ask("DELETE", f"/users/{QUALITY_LEAD_ID}")) == [("NobodyDeletesThemselves", "")]
    assert lead.ask("PUT", f"{wang}/role", {"role": "super_administrator"}).json()["role"] == "super_administrator"
    for nobody in (example_id("nobody"), TRAINING_JOB_ID):
        assert lead.ask("PUT", f"/users/{nobody}/role", {"role": "model_trainer"}).status_code == 404


def test_a_password_that_is_reset_ends_every_session_and_leaves_tokens(site: RealSite, lead: Machine) -> None:  # U-4
    of_wang = machine_of(site, TRAINER_WANG_ID)
    session = site.services.sessions.open(Session(user_id=TRAINER_WANG_ID, epoch=0))
    path = f"/users/{TRAINER_WANG_ID}/password"
    assert rules(lead.ask("PUT", path, {"new_password": "weak"})) == [("PasswordIsTooWeak", "new_password")]
    assert site.services.sessions.find(session) is not None
    answer = lead.ask("PUT", path, {"new_password": ANOTHER})
    assert (answer.status_code, answer.content) == (204, b"")
    assert site.services.sessions.find(session) is None
    assert can_sign_in(site, "trainer_wang", ANOTHER)
    assert of_wang.get("/me").status_code == 200


def test_who_owns_something_is_deleted_with_an_heir(site: RealSite, lead: Machine) -> None:  # U-7
    site.happened(History().add(TRAINING_JOB_ID, TRAINING_QUEUED, actor=TRAINER_WANG_ID))
    session = site.services.sessions.open(Session(user_id=TRAINER_WANG_ID, epoch=0))
    site.services.drafts.save(TRAINER_WANG_ID, "new", b"half a form")
    wang = f"/users/{TRAINER_WANG_ID}"
    assert lead.get(wang).json()["training_job_count"] == 1
    assert rules(lead.ask("DELETE", wang)) == [("HeirNeeded", "heir")]
    assert rules(lead.ask("DELETE", f"{wang}?heir={example_id('nobody')}")) == [("HeirNotFound", "heir")]
    assert rules(lead.ask("DELETE", f"{wang}?heir={TRAINER_WANG_ID}")) == [("HeirIsTheDeletedUser", "heir")]
    assert lead.ask("DELETE", f"{wang}?heir={TRAINER_LI_ID}").status_code == 204
    assert lead.get(f"/training-jobs/{TRAINING_JOB_ID}").json()["owner_name"] == "trainer_li"
    assert site.services.sessions.find(session) is None
    assert site.services.drafts.load(TRAINER_WANG_ID, "new") is None
    assert lead.ask("DELETE", wang).status_code == 404


def test_ones_own_account_is_shown_and_changed(site: RealSite) -> None:  # U-5
    wang = machine_of(site, TRAINER_WANG_ID, TokenScope.MANAGE)
    assert wang.get("/account").json()["username"] == "trainer_wang"
    assert wang.ask("PUT", "/account/email", {"email": "wang@fab.example"}).json()["email"] == "wang@fab.example"
    assert rules(wang.ask("PUT", "/account/email", {"email": "@"})) == [("EmailIsInvalid", "email")]


def test_ones_own_password_asks_for_the_old_one_and_guesses_are_slowed_down(
    site: RealSite, lead: Machine
) -> None:  # U-5
    user_id = lead.ask("POST", "/users", ZHAO, key="key-0001").json()["user_id"]
    zhao = machine_of(site, UUID(user_id), TokenScope.MANAGE)
    session = site.services.sessions.open(Session(user_id=UUID(user_id), epoch=0))
    site.services.attempts.by_session = Attempts(free=5, longest=60, clock=lambda: 0.0)  # time stands still
    guess = {"old_password": "A-guess-1", "new_password": ANOTHER}
    answers = [rules(zhao.ask("PUT", "/account/password", guess))[0][0] for _ in range(7)]
    assert answers[:5] == ["OldPasswordIsWrong"] * 5
    assert answers[5:] == ["TooManyAttempts"] * 2
    assert rules(zhao.ask("PUT", "/account/password", guess | {"old_password": PASSWORD}))[0][0] == "TooManyAttempts"
    other = machine_of(site, UUID(user_id), TokenScope.MANAGE)  # nobody else waits for that
    right = {"old_password": PASSWORD, "new_password": ANOTHER}
    assert other.ask("PUT", "/account/password", right).status_code == 204
    assert site.services.sessions.find(session) is None
    assert can_sign_in(site, "trainer_zhao", ANOTHER)


def test_no_password_and_no_digest_of_one_comes_to_rest(
    site: RealSite, lead: Machine, database: str, caplog: pytest.LogCaptureFixture
) -> None:  # E-6, U-1
    caplog.set_level(0)
    answers = [
        lead.ask("POST", "/users", ZHAO, key="key-0001"),
        lead.ask("POST", "/users", ZHAO | {"username": "no"}, key="key-0002"),
        lead.ask("PUT", f"/users/{TRAINER_WANG_ID}/password", {"new_password": PASSWORD}),
        lead.ask("PUT", f"/users/{TRAINER_WANG_ID}/password", {"new_password": PASSWORD, "again": PASSWORD}),
        lead.ask("PUT", "/account/password", {"old_password": PASSWORD, "new_password": PASSWORD}),
        lead.get("/audit?everything=true&limit=200"),
        lead.get(f"/history/{TRAINER_WANG_ID}"),
        lead.get(f"/history/{TRAINER_WANG_ID}/state"),
    ]
    assert [answer.status_code for answer in answers] == [201, 422, 204, 400, 422, 200, 200, 200]
    known = site.read.users.credentials("trainer_wang")
    for answer in answers:
        assert PASSWORD not in answer.text
        assert known.password_hash not in answer.text
    assert "withheld" in answers[5].text
    formatter = JsonLines("web")
    assert not [record for record in caplog.records if PASSWORD in formatter.format(record)]
    assert any(isinstance(one.data, UserPasswordChanged) for _, one in site.log.read(0, 1000))
    digests = {
        hashlib.sha256(text.encode()).digest()
        for body in (ZHAO, ZHAO | {"username": "no"})
        for text in (PASSWORD, json.dumps(body), json.dumps(body, separators=(",", ":"), ensure_ascii=False))
    }
    with psycopg.connect(database) as connection:
        kept = [bytes(row[0]) for row in connection.execute("SELECT digest FROM app.api_requests").fetchall()]
        assert len(kept) == 2
        assert not digests & set(kept)
        tables = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, table in tables:
            for row in connection.execute(f'SELECT * FROM "{schema}"."{table}"'.encode()):
                parts = (one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in row)
                assert PASSWORD not in " ".join(parts), table
