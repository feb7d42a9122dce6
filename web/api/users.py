"""Users, for super administrators. Source: REQUIREMENTS, U-2 to U-4, U-7.

A password comes in a body and goes on as a hash only: nothing here sends one, keeps one or writes one down.
"""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from commands.users import ChangeUserEmail, ChangeUserRole, CreateUser, DeleteUser, ResetPassword
from domain.api_tokens import Area
from domain.permissions import Permission, Role
from domain.refusals import NotFound
from projections.users import UserRow
from web.access import needs
from web.api.desk import ApiDesk
from web.api.lists import BY_NAME, DEFAULT_LIMIT, After, Limit, Listed, Search, listed, place_of
from web.api.problems import KeyWasUsed
from web.api.routes import ACTS, LOOKS, IdempotencyKey
from web.api.shapes import Shape, shaped
from web.services import ReadModels, Services
from web.users import forget


class User(Shape, frozen=True, kw_only=True):
    """A user. One who is deleted has a `deleted_at`, and `heir_name` is who owns now what was theirs."""

    user_id: UUID
    username: str
    role: Role
    email: str
    remark: str
    created_at: datetime
    deleted_at: datetime | None
    heir_name: str


class UserDetail(User, frozen=True, kw_only=True):
    """A user who is there, with how much they own: whoever owns anything is deleted with an heir only."""

    model_count: int
    training_job_count: int
    prediction_job_count: int


class NewUser(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user to be created."""

    username: str
    password: str
    role: Role
    email: str = ""
    remark: str = ""


class UserEmail(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another e-mail address; an empty one removes it."""

    email: str


class UserRole(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another role."""

    role: Role


class UserPassword(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another password."""

    new_password: str


class Users(Controller):
    """Super administrators only."""

    path = "/users"
    tags = ("users",)
    guards = [needs(Permission.MANAGE_USERS)]  # noqa: RUF012 - Litestar's way to guard a controller
    opt = {"area": Area.MANAGEMENT}  # noqa: RUF012 - Litestar's way to say it of every handler

    @get("/", sync_to_thread=True, responses=LOOKS)
    def list(
        self,
        read: NamedDependency[ReadModels],
        role: FromQuery[Role | None] = None,
        only_deleted: Annotated[bool, QueryParameter(description="Those who were, instead of those who are.")] = False,
        search: Search = "",
        after: After = "",
        limit: Limit = DEFAULT_LIMIT,
    ) -> Listed[User]:
        """The users, by name."""
        found = read.users.stretch(
            search=search, role=role, only_deleted=only_deleted, after=place_of(after, BY_NAME), size=limit
        )
        return listed(found, lambda row: shaped(row, User))

    @post("/", sync_to_thread=True, responses=ACTS)
    def create(
        self,
        data: JSONBody[NewUser],
        idempotency_key: IdempotencyKey,
        services: NamedDependency[Services],
        desk: NamedDependency[ApiDesk],
    ) -> UserDetail:
        """Create a user, who may sign in at once."""
        without_password = msgspec.structs.replace(data, password="")  # of which no digest is kept either
        made = desk.made_by(idempotency_key, without_password)
        _refuse_another_password(services, made.id(), data.password)
        desk.ask(
            CreateUser(
                actor=desk.caller.user_id,
                user_id=made.id(),
                username=data.username,
                password=data.password,
                role=data.role,
                email=data.email,
                remark=data.remark,
            )
        )
        return _user(services.read, made.id())

    @get("/{user_id:uuid}", sync_to_thread=True, responses=LOOKS)
    def one(self, user_id: FromPath[UUID], read: NamedDependency[ReadModels]) -> UserDetail:
        """One user who is there."""
        return _user(read, user_id)

    @put("/{user_id:uuid}/email", sync_to_thread=True, responses=ACTS)
    def change_email(
        self,
        user_id: FromPath[UUID],
        data: JSONBody[UserEmail],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[ApiDesk],
    ) -> UserDetail:
        """Give a user another e-mail address, or none."""
        desk.ask(ChangeUserEmail(actor=desk.caller.user_id, user_id=user_id, email=data.email))
        return _user(read, user_id)

    @put("/{user_id:uuid}/role", sync_to_thread=True, responses=ACTS)
    def change_role(
        self,
        user_id: FromPath[UUID],
        data: JSONBody[UserRole],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[ApiDesk],
    ) -> UserDetail:
        """Give a user another role; the last super administrator keeps theirs."""
        desk.ask(ChangeUserRole(actor=desk.caller.user_id, user_id=user_id, role=data.role))
        return _user(read, user_id)

    @put("/{user_id:uuid}/password", sync_to_thread=True, status_code=204, responses=ACTS)
    def reset_password(
        self,
        user_id: FromPath[UUID],
        data: JSONBody[UserPassword],
        services: NamedDependency[Services],
        desk: NamedDependency[ApiDesk],
    ) -> None:
        """Give a user another password. Whoever is signed in as this user signs in again; API tokens stay."""
        desk.ask(ResetPassword(actor=desk.caller.user_id, user_id=user_id, new_password=data.new_password))
        services.sessions.close_all(user_id)

    @delete("/{user_id:uuid}", sync_to_thread=True, responses=ACTS)
    def remove(
        self,
        user_id: FromPath[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[ApiDesk],
        heir: Annotated[
            UUID | None, QueryParameter(description="Who takes over what the user owns; needed where that is anything.")
        ] = None,
    ) -> None:
        """Delete a user, never oneself. Their sessions and tokens end at once; what they made stays, under their name."""
        desk.ask(DeleteUser(actor=desk.caller.user_id, user_id=user_id, heir=heir))
        forget(services, user_id)


def _user(read: ReadModels, user_id: UUID) -> UserDetail:
    row: UserRow | None = read.users.get(user_id)
    if row is None:
        raise NotFound
    return shaped(row, UserDetail, **msgspec.structs.asdict(read.users.belongings(user_id)))


def _refuse_another_password(services: Services, user_id: UUID, password: str) -> None:
    """A key that comes again with another password must not answer as if that one were in force.

    Raises:
        KeyWasUsed: the user was created with another one, or has another one since.
    """
    row: UserRow | None = services.read.users.get(user_id)
    if row is None:
        return
    known = services.read.users.credentials(row.username)
    if known is None or not services.passwords.verify(known.password_hash, password):
        raise KeyWasUsed
