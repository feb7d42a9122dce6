"""The first start: exactly one super administrator, by setting or made up and told once; and starts after it."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest

from commands.assay import Assay, Command
from commands.users import ChangeUserRole, ResetPassword
from domain.facts import SYSTEM, Recorded
from domain.names import NameClaim, NameKind, claim_id
from domain.permissions import Role
from domain.task_types import TaskKind, TaskType, TaskTypeCreated
from domain.users import (
    SUPER_ADMINISTRATORS_ID,
    OneSuperAdministratorStays,
    SuperAdministratorJoined,
    SuperAdministrators,
    User,
    UserCreated,
    UserEmailChanged,
)
from infra.bootstrap import open_core
from infra.connections import connect
from infra.core import Core
from infra.event_store import create_tables, open_event_log
from infra.first_start import FIRST_ADMINISTRATOR_ID, _first_start, prepare
from infra.kept_secrets import forget_first_password
from infra.passwords import Argon2Passwords
from infra.service_verbs import _prepare
from infra.settings import Settings, WrongSetting, read_settings
from infra.side_tables import create_side_tables
from tests.examples import (
    QUALITY_LEAD,
    QUALITY_LEAD_ID,
    TRAINER_LI,
    TRAINER_LI_ID,
    TRAINER_WANG,
    TRAINER_WANG_ID,
    History,
)


@pytest.fixture
def settings(database: str, tmp_path: Path) -> Settings:
    return read_settings({"ASSAY_STATE": str(tmp_path / "state"), "ASSAY_DATABASE_URL": database})


def users_in(settings: Settings) -> list[Recorded]:
    with open_core(settings) as core:
        return core.log.all_of(UserCreated)


def is_password_of(user: Recorded, password: str) -> bool:
    assert isinstance(user.data, UserCreated)
    return Argon2Passwords().verify(user.data.password_hash, password)


def test_the_first_start_makes_one_super_administrator_and_tells_the_password_once(settings: Settings) -> None:  # U-1
    sentence, hint = prepare(settings)
    password = sentence.rsplit(" ", 1)[1]
    (user,) = users_in(settings)
    assert isinstance(user.data, UserCreated)
    assert (user.data.username, user.data.role) == ("admin", Role.SUPER_ADMINISTRATOR)
    assert user.data.password_hash.startswith("$argon2id$")
    assert is_password_of(user, password)
    assert "only now" in hint
    forget_first_password(settings)
    assert prepare(settings) == []
    assert len(users_in(settings)) == 1


def test_a_password_that_nobody_was_told_is_told_at_the_next_start(settings: Settings) -> None:  # U-1
    told = prepare(settings)  # and the process is killed before it prints that
    assert prepare(settings) == told
    (user,) = users_in(settings)
    assert is_password_of(user, told[0].rsplit(" ", 1)[1])
    assert (settings.state / "first-password").stat().st_mode & 0o077 == 0


def test_a_password_that_was_changed_meanwhile_is_told_no_more(settings: Settings) -> None:  # U-1
    prepare(settings)
    with open_core(settings) as core:
        core.assay.dispatch(ResetPassword(actor=SYSTEM, user_id=FIRST_ADMINISTRATOR_ID, new_password="Panel2025"))
    assert prepare(settings) == []
    assert not (settings.state / "first-password").exists()


def test_a_made_up_password_is_kept_no_longer_than_until_it_was_printed(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:  # U-1
    (sentence, _) = _prepare(settings)
    assert sentence in capsys.readouterr().out
    assert not (settings.state / "first-password").exists()
    assert _prepare(settings) == []
    assert capsys.readouterr().out == ""


class KilledError(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("dispatched", [0, 1, 2])
def test_a_first_start_that_is_killed_half_way_is_finished_by_the_next(
    settings: Settings, dispatched: int
) -> None:  # U-1 M-5
    create_tables(str(settings.database_url))
    create_side_tables(str(settings.database_url))
    with open_core(settings) as core, pytest.raises(KilledError):
        _first_start(settings, cast(Core, SimpleNamespace(assay=DiesAfter(core.assay, dispatched))))
    sentence, _ = prepare(settings)
    (user,) = users_in(settings)
    assert is_password_of(user, sentence.rsplit(" ", 1)[1])
    with open_core(settings) as core:
        assert len(core.log.all_of(TaskTypeCreated)) == 2


class DiesAfter:
    """Dispatches some commands, then the process is gone."""

    def __init__(self, assay: Assay, left: int) -> None:
        self._assay, self._left = assay, left

    def dispatch(self, command: Command) -> int:
        if self._left == 0:
            raise KilledError
        self._left -= 1
        return self._assay.dispatch(command)


def test_the_settings_may_name_the_administrator_and_the_password(settings: Settings) -> None:  # U-1
    named = msgspec.structs.replace(settings, administrator="quality_lead", administrator_password="Panel2025")
    (sentence,) = prepare(named)
    assert "quality_lead" in sentence
    assert "Panel2025" not in sentence
    (user,) = users_in(settings)
    assert is_password_of(user, "Panel2025")


@pytest.mark.parametrize("administrator", ["admin", "quality_lead"])
def test_of_two_machines_that_start_at_once_one_makes_the_administrator(
    settings: Settings, administrator: str
) -> None:  # U-1
    prepare(settings)
    with open_core(settings) as core:  # the other one had seen an empty log, too
        assert _first_start(msgspec.structs.replace(settings, administrator=administrator), core) == []
    assert len(users_in(settings)) == 1


def test_the_first_super_administrator_is_listed_as_the_last_one(settings: Settings) -> None:  # U-3
    prepare(settings)
    (user,) = users_in(settings)
    with open_core(settings) as core:
        listed = core.assay.find(SuperAdministrators, SUPER_ADMINISTRATORS_ID)
        assert listed is not None
        assert listed.user_ids == {user.originator_id}
        with pytest.raises(OneSuperAdministratorStays):
            core.assay.dispatch(
                ChangeUserRole(actor=user.originator_id, user_id=user.originator_id, role=Role.MODEL_TRAINER)
            )


def test_an_installation_older_than_the_list_of_super_administrators_gets_it_once(
    settings: Settings, database: str
) -> None:  # U-3
    lead_too = msgspec.structs.replace(TRAINER_WANG, role=Role.SUPER_ADMINISTRATOR)
    before = (
        History()
        .add(QUALITY_LEAD_ID, QUALITY_LEAD)
        .add(TRAINER_WANG_ID, lead_too, UserEmailChanged(email="wang@fab.example"))
        .add(TRAINER_LI_ID, TRAINER_LI)
    )
    create_tables(database)
    log = open_event_log(database)
    log.append(before.events)
    log.close()
    assert prepare(settings) == []
    with open_core(settings) as core:
        assert [recorded.data for recorded in core.log.history(SUPER_ADMINISTRATORS_ID)] == [
            SuperAdministratorJoined(user_id=QUALITY_LEAD_ID),
            SuperAdministratorJoined(user_id=TRAINER_WANG_ID),
        ]
        core.assay.dispatch(ChangeUserRole(actor=QUALITY_LEAD_ID, user_id=TRAINER_WANG_ID, role=Role.MODEL_TRAINER))
    prepare(settings)
    with open_core(settings) as core:
        wang = core.assay.find(User, TRAINER_WANG_ID)
        assert wang is not None
        assert wang.role is Role.MODEL_TRAINER
        assert len(core.log.history(SUPER_ADMINISTRATORS_ID)) == 3
        assert core.log.all_of(TaskTypeCreated) == [], "only the first start makes them"


def test_both_kinds_of_task_types_exist_after_the_first_start_and_only_once(settings: Settings) -> None:  # M-5
    prepare(settings)
    forget_first_password(settings)
    assert prepare(settings) == []
    with open_core(settings) as core:
        kinds = {}
        for name in ("分类", "分割分类"):
            held = core.assay.load(NameClaim, claim_id(NameKind.TASK_TYPE, name))
            assert held.owner is not None
            kinds[name] = core.assay.load(TaskType, held.owner).kind
    assert kinds == {"分类": TaskKind.CLASSIFICATION, "分割分类": TaskKind.SEGMENTATION_AND_CLASSIFICATION}


def test_an_older_release_does_not_start_on_the_log_of_a_newer_one(settings: Settings) -> None:  # S-2
    prepare(settings)
    with connect(str(settings.database_url)) as connection:
        connection.execute(
            "INSERT INTO assay_events (originator_id, originator_version, topic, state)"
            " VALUES (gen_random_uuid(), 1, 'of.tomorrow', '[]')"
        )
    with pytest.raises(WrongSetting, match=r"does not know of\.tomorrow: .* restore the backup from before it"):
        prepare(settings)


def topics_looked_through(settings: Settings) -> int | None:
    """The position up to which no start looks again."""
    with connect(str(settings.database_url)) as connection:
        row = connection.execute("SELECT position FROM app.topics_seen").fetchone()
    return row[0] if row else None


def put(settings: Settings, *topics: str) -> None:
    """Events of another release."""
    with connect(str(settings.database_url)) as connection:
        for topic in topics:
            connection.execute(
                "INSERT INTO assay_events (originator_id, originator_version, topic, state)"
                " VALUES (gen_random_uuid(), 1, %s, '[]')",
                (topic,),
            )


def test_what_a_start_has_looked_through_the_next_does_not(settings: Settings) -> None:
    prepare(settings)
    prepare(settings)
    with open_core(settings) as core:
        assert topics_looked_through(settings) == core.log.position() > 0


def test_what_was_looked_through_hides_no_fact_from_a_release_that_does_not_know_it(settings: Settings) -> None:  # S-2
    prepare(settings)
    put(settings, "of.tomorrow")
    for _ in range(2):  # the second looks at nothing any more
        with pytest.raises(WrongSetting, match=r"does not know of\.tomorrow"):
            prepare(settings)
    put(settings, UserCreated.TOPIC)
    with pytest.raises(WrongSetting, match=r"does not know of\.tomorrow"):
        prepare(settings)


def test_what_was_looked_through_says_nothing_of_another_log(settings: Settings) -> None:  # S-3
    """A database that somebody put an older log into by hand, which went on differently."""
    prepare(settings)
    prepare(settings)
    with connect(str(settings.database_url)) as connection:
        connection.execute("DELETE FROM assay_events")
        connection.execute("ALTER SEQUENCE assay_events_notification_id_seq RESTART")
    put(settings, "of.tomorrow", *[UserCreated.TOPIC] * 20)
    with pytest.raises(WrongSetting, match=r"does not know of\.tomorrow"):
        prepare(settings)
