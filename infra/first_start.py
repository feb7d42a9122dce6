"""The first start: folders, tables, and somebody who can sign in. Source: U-1, M-5."""

from collections.abc import Sequence
from typing import cast
from uuid import NAMESPACE_URL, uuid5

from commands.task_types import CreateTaskType
from commands.users import CreateUser, ListSuperAdministrators
from domain.facts import SYSTEM, Recorded
from domain.names import NameTaken
from domain.permissions import Role
from domain.refusals import ChangedMeanwhile, Refusal, Refusals
from domain.task_types import TaskKind
from domain.users import SUPER_ADMINISTRATORS_ID, SuperAdministrators, User, UserCreated
from infra.bootstrap import open_core
from infra.connections import connect
from infra.core import Core
from infra.event_store import create_tables
from infra.kept_secrets import first_password, forget_first_password, untold_password
from infra.named_artifacts import UnknownFacts, refuse_unknown_facts
from infra.settings import Settings, WrongSetting
from infra.side_tables import create_side_tables

FIRST_ADMINISTRATOR_ID = uuid5(NAMESPACE_URL, "urn:assay:first-administrator")
"""The same in every installation, so that the log itself takes only one, however many machines start at once."""
FIRST_TASK_TYPES = (("分类", TaskKind.CLASSIFICATION), ("分割分类", TaskKind.SEGMENTATION_AND_CLASSIFICATION))


def prepare(settings: Settings) -> list[str]:
    """Make folders, tables and the first administrator where they are missing; what a person must be told, once.

    Raises:
        WrongSetting: nobody can be made an administrator as the settings say, or the log of this state folder is elsewhere, or
            that of a newer release.
    """
    for folder in (settings.state, *settings.data_roots.values(), *settings.archive_roots.values()):
        if settings.state in (folder, *folder.parents):
            folder.mkdir(parents=True, exist_ok=True)
    assert settings.database_url is not None
    create_tables(settings.database_url)
    create_side_tables(settings.database_url)
    _refuse_a_log_of_a_newer_release(settings.database_url)
    with open_core(settings) as core:
        if core.assay.find(SuperAdministrators, SUPER_ADMINISTRATORS_ID) is None:
            users = core.log.all_of(UserCreated)
            if not users:
                _refuse_to_begin_beside_a_history(settings)
                return _first_start(settings, core)
            _list_super_administrators(core, users)
        return _still_to_be_told(settings, core)


def _refuse_to_begin_beside_a_history(settings: Settings) -> None:
    """Whoever names another database would find an empty Assay, and its seals among those of the lost log."""
    if settings.seals.exists():
        raise WrongSetting(
            f"The database holds no log, but {settings.seals} seals one. Correct ASSAY_DATABASE_URL; or put a backup back with"
            " `assay restore`, into an empty ASSAY_STATE; or begin anew, with an empty ASSAY_STATE, too."
        )


def _refuse_a_log_of_a_newer_release(dsn: str) -> None:
    """Read models would stop before what they do not know, while people go on writing behind it."""
    with connect(dsn) as connection:
        try:
            refuse_unknown_facts(connection)
        except UnknownFacts as error:
            raise WrongSetting(str(error)) from error


def _first_start(settings: Settings, core: Core) -> list[str]:
    """The administrator comes last, in one step: until then, the next start begins anew and finds what was made."""
    password = settings.administrator_password or first_password(settings)
    first = CreateUser(
        actor=SYSTEM,
        user_id=FIRST_ADMINISTRATOR_ID,
        username=settings.administrator,
        password=password,
        role=Role.SUPER_ADMINISTRATOR,
    )
    try:
        for name, kind in FIRST_TASK_TYPES:
            task_type_id = uuid5(NAMESPACE_URL, f"urn:assay:first-task-type:{kind.value}")
            core.assay.dispatch(CreateTaskType(actor=SYSTEM, task_type_id=task_type_id, name=name, kind=kind))
        if not core.assay.dispatch(first):
            return []  # another machine was first, and the command found its work done
    except (NameTaken, ChangedMeanwhile):
        return []  # the same at the same moment
    except (Refusal, Refusals) as refused:
        raise WrongSetting(
            f"ASSAY_ADMINISTRATOR or ASSAY_ADMINISTRATOR_PASSWORD cannot be used. {refused}"
        ) from refused
    if settings.administrator_password:
        return [f"The super administrator “{settings.administrator}” signs in with the password of the settings."]
    return _sign_in(settings.administrator, password)


def _still_to_be_told(settings: Settings, core: Core) -> list[str]:
    """The made-up password again, where the first start was killed before a person saw it."""
    password = untold_password(settings)
    administrator = core.assay.find(User, FIRST_ADMINISTRATOR_ID)
    if password is None or administrator is None:
        return []
    if core.assay.ports.passwords.verify(administrator.password_hash, password):
        return _sign_in(administrator.username, password)
    forget_first_password(settings)
    return []


def _sign_in(administrator: str, password: str) -> list[str]:
    return [
        f"First start. Sign in as “{administrator}” with the password {password}",
        "It is shown only now: change it in 管理账户信息 (My account).",
    ]


def _list_super_administrators(core: Core, users: Sequence[Recorded]) -> None:
    """An installation older than the list of super administrators gets it, once; nobody's role had ever changed before."""
    user_ids = tuple(
        recorded.originator_id
        for recorded in users
        if cast("UserCreated", recorded.data).role is Role.SUPER_ADMINISTRATOR
    )
    core.assay.dispatch(ListSuperAdministrators(actor=SYSTEM, user_ids=user_ids))
