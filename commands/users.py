"""What can be asked about users."""

from typing import ClassVar
from uuid import UUID

from commands.assay import Assay, Change, Command, handles
from domain import users
from domain.names import NameClaim, NameKind, claim, claim_id
from domain.permissions import Permission, Role
from domain.users import OldPasswordIsWrong, User


class CreateUser(Command):
    """A new user may sign in (U-2). `user_id` is new."""

    PERMISSION: ClassVar = Permission.MANAGE_USERS
    user_id: UUID
    username: str
    password: str
    role: Role
    email: str = ""
    remark: str = ""


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
    name_id = claim_id(NameKind.USER, command.username)
    name = assay.find(NameClaim, name_id)
    facts = users.create(
        username=command.username,
        role=command.role,
        password=command.password,
        password_hash=assay.ports.passwords.hash(command.password),
        email=command.email,
        remark=command.remark,
    )
    claimed = claim(name, NameKind.USER, command.username, command.user_id, field="username")
    return assay.save(command, Change(command.user_id, None, facts), Change(name_id, name, claimed))


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
