"""What can be asked about users."""

from typing import ClassVar
from uuid import UUID

from commands.assay import Assay, Change, Command, handles
from domain import users
from domain.names import NameClaim, NameKind, claim_id
from domain.permissions import Permission, Role
from domain.users import SUPER_ADMINISTRATORS_ID, OldPasswordIsWrong, SuperAdministrators, User


class CreateUser(Command):
    """A new user may sign in (U-2). `user_id` is new."""

    PERMISSION: ClassVar = Permission.MANAGE_USERS
    user_id: UUID
    username: str
    password: str
    role: Role
    email: str = ""
    remark: str = ""


class ResetPassword(Command):
    """Give a user another password, without the old one (U-4)."""

    PERMISSION: ClassVar = Permission.MANAGE_USERS
    user_id: UUID
    new_password: str


class ChangeUserEmail(Command):
    """Give a user another e-mail address, or none (U-4)."""

    PERMISSION: ClassVar = Permission.MANAGE_USERS
    user_id: UUID
    email: str


class ChangeUserRole(Command):
    """Give a user another role (U-4)."""

    PERMISSION: ClassVar = Permission.MANAGE_USERS
    user_id: UUID
    role: Role


class DeleteUser(Command):
    """Delete a user (U-3). `heir` takes over what they own; it may be left out where that is nothing (U-7)."""

    PERMISSION: ClassVar = Permission.MANAGE_USERS
    user_id: UUID
    heir: UUID | None = None


class ListSuperAdministrators(Command):
    """Note who the super administrators of an installation are that is older than their list."""

    PERMISSION: ClassVar = Permission.SYSTEM
    user_ids: tuple[UUID, ...]


class ChangeOwnPassword(Command):
    """The signed-in user takes another password (U-5)."""

    PERMISSION: ClassVar = Permission.MANAGE_OWN_ACCOUNT
    old_password: str
    new_password: str


class ChangeOwnEmail(Command):
    """The signed-in user takes another e-mail address, or none."""

    PERMISSION: ClassVar = Permission.MANAGE_OWN_ACCOUNT
    email: str


@handles(CreateUser)
def create_user(command: CreateUser, assay: Assay) -> int:
    if assay.has_made(User, command.user_id):
        return 0
    name_id = claim_id(NameKind.USER, command.username)
    name = assay.find(NameClaim, name_id)
    bearer = assay.find(User, name.owner) if name and name.owner else None
    listed = assay.find(SuperAdministrators, SUPER_ADMINISTRATORS_ID)
    facts = users.create(
        username=command.username,
        role=command.role,
        password=command.password,
        password_hash=assay.ports.passwords.hash(command.password),
        email=command.email,
        remark=command.remark,
    )
    enlisted = users.enlist(listed, command.user_id) if command.role is Role.SUPER_ADMINISTRATOR else []
    return assay.save(
        command,
        Change(command.user_id, None, facts),
        Change(name_id, name, users.claim_username(name, bearer, command.username, command.user_id)),
        Change(SUPER_ADMINISTRATORS_ID, listed, enlisted),
    )


@handles(ResetPassword)
def reset_password(command: ResetPassword, assay: Assay) -> int:
    user = assay.load(User, command.user_id)
    password_hash = assay.ports.passwords.hash(command.new_password)
    facts = users.change_password(user, password=command.new_password, password_hash=password_hash)
    return assay.save(command, Change(user.id, user, facts))


@handles(ChangeUserEmail)
def change_user_email(command: ChangeUserEmail, assay: Assay) -> int:
    user = assay.load(User, command.user_id)
    return assay.save(command, Change(user.id, user, users.change_email(user, command.email)))


@handles(ChangeUserRole)
def change_user_role(command: ChangeUserRole, assay: Assay) -> int:
    user = assay.load(User, command.user_id)
    listed = assay.find(SuperAdministrators, SUPER_ADMINISTRATORS_ID)
    return assay.save(
        command,
        Change(user.id, user, users.change_role(user, command.role)),
        Change(SUPER_ADMINISTRATORS_ID, listed, users.relist(listed, user, command.role)),
    )


@handles(DeleteUser)
def delete_user(command: DeleteUser, assay: Assay) -> int:
    user = assay.load(User, command.user_id)
    heir = assay.find(User, command.heir or command.actor)
    listed = assay.find(SuperAdministrators, SUPER_ADMINISTRATORS_ID)
    facts = users.delete(
        user,
        actor=command.actor,
        heir=heir,
        is_heir_named=command.heir is not None,
        belongings=assay.ports.ownership.belongings(user.id),
    )
    return assay.save(
        command,
        Change(user.id, user, facts),
        Change(command.heir or command.actor, heir, users.inherit(heir, user)),
        Change(SUPER_ADMINISTRATORS_ID, listed, users.relist(listed, user, None)),
    )


@handles(ListSuperAdministrators)
def list_super_administrators(command: ListSuperAdministrators, assay: Assay) -> int:
    listed = assay.find(SuperAdministrators, SUPER_ADMINISTRATORS_ID)
    facts = [] if listed else users.enlist(listed, *command.user_ids)
    return assay.save(command, Change(SUPER_ADMINISTRATORS_ID, listed, facts))


@handles(ChangeOwnPassword)
def change_own_password(command: ChangeOwnPassword, assay: Assay) -> int:
    user = assay.load(User, command.actor)
    if not assay.ports.passwords.verify(user.password_hash, command.old_password):
        raise OldPasswordIsWrong
    password_hash = assay.ports.passwords.hash(command.new_password)
    facts = users.change_password(user, password=command.new_password, password_hash=password_hash)
    return assay.save(command, Change(user.id, user, facts))


@handles(ChangeOwnEmail)
def change_own_email(command: ChangeOwnEmail, assay: Assay) -> int:
    user = assay.load(User, command.actor)
    return assay.save(command, Change(user.id, user, users.change_email(user, command.email)))
