"""Users as lists, sign-in and other read models' names need them."""

from datetime import datetime
from uuid import UUID

import msgspec

from domain.facts import Recorded
from domain.names import name_key
from domain.permissions import Role
from domain.users import UserCreated, UserEmailChanged, UserPasswordChanged
from projections.read_model import Page, ReadModel, Rows, Table


class UserRow(msgspec.Struct, frozen=True):
    """A line of the list of users."""

    user_id: UUID
    username: str
    role: Role
    email: str
    remark: str
    created_at: datetime


class Account(msgspec.Struct, frozen=True):
    """A user who may be signed in; sessions of an earlier `session_epoch` (the number of password changes so far) have ended."""

    user_id: UUID
    username: str
    role: Role
    email: str
    session_epoch: int


class Credentials(msgspec.Struct, frozen=True):
    """What a sign-in is checked against; never shown."""

    user_id: UUID
    password_hash: str


class Users(ReadModel):
    """Every user. Other read models keep user ids and join `users` for names."""

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
        ),
        indexes=("CREATE INDEX ON users (name_key)",),
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
                )
            case UserPasswordChanged(password_hash=password_hash):
                rows.execute(
                    "UPDATE users SET password_hash = %s, session_epoch = session_epoch + 1 WHERE user_id = %s",
                    (password_hash, user_id),
                )
            case UserEmailChanged(email=email):
                rows.update(self.users, user_id, email=email)

    def account(self, user_id: UUID) -> Account | None:
        """The user of a session."""
        return self._one(
            "SELECT user_id, username, role, email, session_epoch FROM users WHERE user_id = %s", (user_id,), Account
        )

    def credentials(self, username: str) -> Credentials | None:
        """What to check a sign-in against; the name is found without regard to case and width."""
        return self._one(
            "SELECT user_id, password_hash FROM users WHERE name_key = %s", (name_key(username),), Credentials
        )

    def page(self, number: int = 1, size: int = 20) -> Page[UserRow]:
        """The list, the newest first (U-2)."""
        return self._page(
            "SELECT user_id, username, role, email, remark, created_at FROM users ORDER BY created_at DESC, username",
            {},
            UserRow,
            number=number,
            size=size,
        )
