"""Users as lists, sign-in and other read models' names need them, and who owns what once users are deleted (U-7)."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

import msgspec

from domain.facts import Recorded
from domain.names import name_key
from domain.permissions import Role
from domain.users import (
    Belongings,
    UserCreated,
    UserDeleted,
    UserEmailChanged,
    UserPasswordChanged,
    UserRoleChanged,
)
from projections.read_model import Page, ReadModel, Rows, Stretch, Table

ROWS_ON_A_PAGE = 20
OWNED_BY = "owner IN (SELECT users.user_id FROM users WHERE users.in_charge = %(owner)s)"
"""For other read models: rows of what a user owns, what was inherited included."""
OWNERS = "LEFT JOIN users AS creator ON creator.user_id = owner LEFT JOIN users AS holder ON holder.user_id = creator.in_charge"
"""For other read models: joins whoever made a row (`owner` as recorded) and whoever owns it now."""
OWNER_COLUMNS = (
    "coalesce(creator.in_charge, owner) AS owner, coalesce(holder.username, '') AS owner_name,"
    " CASE WHEN creator.deleted_at IS NULL THEN '' ELSE creator.username END AS inherited_from"
)
"""With `OWNERS`: who owns a row now, that user's name, and the deleted user whose it was, empty where it was not inherited."""


class UserRow(msgspec.Struct, frozen=True):
    """A line of the list of users. A deleted user has a `deleted_at`, and `heir_name` is who owns now what was theirs."""

    user_id: UUID
    username: str
    role: Role
    email: str
    remark: str
    created_at: datetime
    deleted_at: datetime | None = None
    heir_name: str = ""


class Account(msgspec.Struct, frozen=True):
    """A user who may be signed in; sessions of an earlier `session_epoch` (the number of password changes so far) have ended."""

    user_id: UUID
    username: str
    role: Role
    email: str
    session_epoch: int


class Credentials(msgspec.Struct, frozen=True):
    """What a sign-in is checked against; never shown. A session opened with it belongs to `session_epoch`, not to a later one."""

    user_id: UUID
    password_hash: str
    session_epoch: int


class Users(ReadModel):
    """Every user, deleted ones included. Other read models keep user ids and join `users` for names and for who is in charge.

    `in_charge` is the user, or once the user is deleted whoever owns now what was theirs, through any number of heirs.
    """

    name = "users"
    users = Table(
        "users",
        key=("user_id uuid",),
        columns=(
            "username text NOT NULL",
            "name_key text NOT NULL",
            "role text NOT NULL",
            "email text NOT NULL",
            "remark text NOT NULL",
            "password_hash text NOT NULL",
            "session_epoch int NOT NULL DEFAULT 0",
            "created_at timestamptz NOT NULL",
            "deleted_at timestamptz",
            "in_charge uuid NOT NULL",
        ),
        indexes=("CREATE INDEX ON users (name_key)", "CREATE INDEX ON users (in_charge)"),
    )

    def project(self, rows: Rows, recorded: Recorded) -> None:
        user_id = recorded.originator_id
        match recorded.data:
            case UserCreated() as fact:
                rows.insert(
                    self.users,
                    user_id,
                    username=fact.username,
                    name_key=name_key(fact.username),
                    role=fact.role,
                    email=fact.email,
                    remark=fact.remark,
                    password_hash=fact.password_hash,
                    created_at=recorded.timestamp,
                    in_charge=user_id,
                )
            case UserPasswordChanged(password_hash=password_hash):
                rows.execute(
                    "UPDATE users SET password_hash = %s, session_epoch = session_epoch + 1 WHERE user_id = %s",
                    (password_hash, user_id),
                )
            case UserEmailChanged(email=email):
                rows.update(self.users, user_id, email=email)
            case UserRoleChanged(role=role):
                rows.update(self.users, user_id, role=role)
            case UserDeleted(heir=heir):
                rows.update(self.users, user_id, deleted_at=recorded.timestamp)
                rows.execute("UPDATE users SET in_charge = %s WHERE in_charge = %s", (heir, user_id))

    def account(self, user_id: UUID) -> Account | None:
        """The user of a session; None once the user is deleted."""
        return self._one(
            "SELECT user_id, username, role, email, session_epoch FROM users WHERE user_id = %s AND deleted_at IS NULL",
            (user_id,),
            Account,
        )

    def credentials(self, username: str) -> Credentials | None:
        """What to check a sign-in against; the name is found without regard to case and width. None for deleted users."""
        return self._one(
            "SELECT user_id, password_hash, session_epoch FROM users WHERE name_key = %s AND deleted_at IS NULL",
            (name_key(username),),
            Credentials,
        )

    def get(self, user_id: UUID) -> UserRow | None:
        """One user who is not deleted."""
        return self._one(f"{_LIST} WHERE users.user_id = %s AND users.deleted_at IS NULL", (user_id,), UserRow)

    def page(
        self,
        number: int = 1,
        size: int = ROWS_ON_A_PAGE,
        *,
        search: str = "",
        role: Role | None = None,
        only_deleted: bool = False,
        sort: str = "-created_at",
    ) -> Page[UserRow]:
        """A page of the users who are there, or of those who were; `sort` is one of `SORTS`, with `-` before it for descending."""
        direction = "DESC" if sort.startswith("-") else "ASC"
        return self._page(
            f"{_LIST} WHERE {_FITS} ORDER BY {SORTS[sort.removeprefix('-')]} {direction}, users.username",
            _asked(search, role, only_deleted),
            UserRow,
            number=number,
            size=size,
        )

    def stretch(
        self,
        *,
        search: str = "",
        role: Role | None = None,
        only_deleted: bool = False,
        after: tuple[str, UUID] | None = None,
        size: int,
    ) -> Stretch[UserRow]:
        """The same users by name, for programs."""
        return self._stretch(
            f"SELECT name_key AS by_name, user_id FROM users WHERE {_FITS}",  # noqa: S608 - our own text
            _asked(search, role, only_deleted),
            UserRow,
            key=("by_name", "user_id"),
            after=after,
            size=size,
            shown=f"{_COLUMNS} FROM part JOIN users USING (user_id) {_HEIR}",
        )

    def named(self, username: str) -> UUID | None:
        """The user of a name, found without regard to case and width; None for deleted users."""
        return self._one(
            "SELECT user_id FROM users WHERE name_key = %s AND deleted_at IS NULL", (name_key(username),), UUID
        )

    def names(self) -> list[str]:
        """The name of everyone who is there."""
        return self._all("SELECT username FROM users WHERE deleted_at IS NULL ORDER BY name_key", (), str)

    def belongings(self, user_id: UUID) -> Belongings:
        """How much a user owns now."""
        counts = ", ".join(
            f"(SELECT count(*) FROM {table} WHERE {OWNED_BY}) AS {name}"  # noqa: S608 - our own names
            for table, name in _COUNTED.items()
        )
        found = self._one(f"SELECT {counts}", {"owner": user_id}, Belongings)
        assert found is not None
        return found


SORTS: Mapping[str, str] = MappingProxyType(
    {
        "username": "users.name_key",
        "role": "users.role",
        "email": "lower(users.email)",
        "created_at": "users.created_at",
        "deleted_at": "users.deleted_at",
    }
)
"""What the list can be sorted by, and how SQL says it."""
_COUNTED: Mapping[str, str] = MappingProxyType(
    {
        "models": "model_count",
        "training_jobs": "training_job_count",
        "prediction_jobs": "prediction_job_count",
    }
)
_COLUMNS = """
    SELECT users.user_id, users.username, users.role, users.email, users.remark, users.created_at, users.deleted_at,
        CASE WHEN users.deleted_at IS NULL THEN '' ELSE coalesce(heir.username, '') END AS heir_name
"""
_HEIR = "LEFT JOIN users AS heir ON heir.user_id = users.in_charge"
_LIST = f"{_COLUMNS} FROM users {_HEIR}"
_FITS = (
    "(users.deleted_at IS NOT NULL) = %(only_deleted)s AND strpos(users.name_key, %(search)s) > 0"
    " AND (%(role)s::text IS NULL OR users.role = %(role)s)"
)


def _asked(search: str, role: Role | None, only_deleted: bool) -> dict[str, object]:
    return {"search": name_key(search), "role": role.value if role else None, "only_deleted": only_deleted}
