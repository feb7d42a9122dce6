"""Users: who signs in, with which role. Source: REQUIREMENTS, section U; manual, “用户管理”."""

import re
from typing import ClassVar
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from domain.facts import Fact, State, evolves, replace
from domain.names import NameClaim, NameKind, check_username, claim
from domain.permissions import Role
from domain.refusals import Refusal, collect, raise_together
from domain.sentences import N_
from domain.texts import is_seen, one_line

SUPER_ADMINISTRATORS_ID = uuid5(NAMESPACE_URL, "urn:assay:super-administrators")
"""The one aggregate that remembers who the super administrators are."""
_IN_EMAIL = r"[^@\s.<>()\[\],;:\\\"]"  # what separates or quotes addresses in a header is in none of them
_EMAIL = re.compile(rf"(?=.{{1,64}}@){_IN_EMAIL}+(\.{_IN_EMAIL}+)*@{_IN_EMAIL}+(\.{_IN_EMAIL}+)+")


class Belongings(msgspec.Struct, frozen=True, kw_only=True):
    """How much somebody owns, what was inherited included."""

    model_count: int = 0
    training_job_count: int = 0
    prediction_job_count: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether nobody needs to inherit anything."""
        return not (self.model_count or self.training_job_count or self.prediction_job_count)


class UserCreated(Fact):
    """A new user may sign in. `password_hash` is an Argon2id hash in PHC string format."""

    TOPIC: ClassVar[str] = "user.created"
    PRIVATE: ClassVar[frozenset[str]] = frozenset({"password_hash"})
    username: str
    role: Role
    password_hash: str
    email: str = ""
    remark: str = ""


class UserPasswordChanged(Fact):
    """The user signs in with another password; every session begun before has ended."""

    TOPIC: ClassVar[str] = "user.password_changed"
    PRIVATE: ClassVar[frozenset[str]] = frozenset({"password_hash"})
    password_hash: str


class UserEmailChanged(Fact):
    """The user's e-mail address changed; empty removes it."""

    TOPIC: ClassVar[str] = "user.email_changed"
    email: str


class UserRoleChanged(Fact):
    """The user has another role from the next request on."""

    TOPIC: ClassVar[str] = "user.role_changed"
    role: Role


class UserDeleted(Fact):
    """The user is gone. What they made stays under their name and belongs to `heir` from now on."""

    TOPIC: ClassVar[str] = "user.deleted"
    heir: UUID


class UserBecameHeir(Fact):
    """The user owns what a deleted user owned. Stored together with the deletion, so that an heir cannot go at the same moment."""

    TOPIC: ClassVar[str] = "user.became_heir"
    deleted_user: UUID


class UserRefusedAction(Fact):
    """The user asked for a management action that the role does not permit; nothing else was recorded of it.

    `command` names the command, or the request where a page refused before any command was made.
    """

    TOPIC: ClassVar[str] = "user.refused_action"
    command: str


class SuperAdministratorJoined(Fact):
    """One super administrator more."""

    TOPIC: ClassVar[str] = "super_administrators.joined"
    user_id: UUID


class SuperAdministratorLeft(Fact):
    """One super administrator less; others remain."""

    TOPIC: ClassVar[str] = "super_administrators.left"
    user_id: UUID


class PasswordIsTooWeak(Refusal):
    """U-2."""

    field = "password"
    message = N_("A password has at least 6 characters with two of: upper-case letters, lower-case letters, digits.")


class OldPasswordIsWrong(Refusal):
    """U-5: changing one's own password asks for the old one."""

    field = "old_password"
    message = N_("The old password is not right. Enter the password you signed in with.")


class EmailIsInvalid(Refusal):
    """U-2: optional, but validated."""

    field = "email"
    message = N_("“{email}” is not an e-mail address. Correct it, or leave the field empty.")


class RemarkIsTooLong(Refusal):
    """A remark is a line, not a document."""

    field = "remark"
    message = N_("A remark has at most 500 characters; this one has {length}.")


class UsernameStaysWithItsUser(Refusal):
    """U-3: what a deleted user made stays under their name, so nobody else can ever bear it."""

    field = "username"
    message = N_(
        "“{name}” was the name of a deleted user, and the history keeps what they made under it. Choose another name."
    )


class NobodyDeletesThemselves(Refusal):
    """U-3."""

    message = N_("You cannot delete yourself. Ask another super administrator to do it.")


class OneSuperAdministratorStays(Refusal):
    """U-3."""

    field = "role"
    message = N_("“{name}” is the last super administrator. Make another user a super administrator first.")


class HeirNeeded(Refusal):
    """U-7."""

    field = "heir"
    message = N_("“{name}” owns models or jobs. Name the user who takes them over.")


class HeirNotFound(Refusal):
    """U-7: the heir can sign in."""

    field = "heir"
    message = N_("There is no such user to take over. Choose one of the present users.")


class HeirIsTheDeletedUser(Refusal):
    """U-7."""

    field = "heir"
    message = N_("“{name}” is the user to be deleted. Choose another user to take over.")


class User(State):
    """What the rules need of a user. `heir` owns what a deleted user owned, None while the user is there."""

    username: str
    role: Role
    password_hash: str
    email: str = ""
    heir: UUID | None = None

    @property
    def is_deleted(self) -> bool:
        """Whether the user is gone; the name is not."""
        return self.heir is not None


class SuperAdministrators(State):
    """Who the super administrators are. Everything that changes it is saved with it in one transaction, so that of two who
    demote each other at the same moment the second is decided on what the first did.
    """

    user_ids: frozenset[UUID] = frozenset()


def create(
    *, username: str, role: Role, password: str, password_hash: str, email: str = "", remark: str = ""
) -> list[Fact]:
    """A new user. `password` is only checked, `password_hash` is what is kept; a remark becomes one line.

    Raises:
        UsernameIsInvalid, PasswordIsTooWeak, EmailIsInvalid, RemarkIsTooLong (all that apply, together).
    """
    remark = one_line(remark)
    refusals: list[Refusal] = []
    collect(refusals, check_username, username)
    collect(refusals, check_password, password)
    collect(refusals, check_email, email)
    if len(remark) > 500:
        refusals.append(RemarkIsTooLong(length=len(remark)))
    raise_together(refusals)
    return [UserCreated(username=username, role=role, password_hash=password_hash, email=email, remark=remark)]


def claim_username(held: NameClaim | None, bearer: User | None, username: str, user_id: UUID) -> list[Fact]:
    """Take a user name; `bearer` is the user who holds it, if anyone does.

    Raises:
        NameTaken, UsernameStaysWithItsUser.
    """
    if bearer is not None and bearer.is_deleted:
        raise UsernameStaysWithItsUser(name=username)
    return claim(held, NameKind.USER, username, user_id, field="username")


def change_password(user: User, *, password: str, password_hash: str, field: str = "new_password") -> list[Fact]:
    """Another password.

    Raises:
        PasswordIsTooWeak
    """
    check_password(password, field=field)
    return [UserPasswordChanged(password_hash=password_hash)]


def change_email(user: User, email: str) -> list[Fact]:
    """Another e-mail address, or none.

    Raises:
        EmailIsInvalid
    """
    check_email(email)
    return [] if email == user.email else [UserEmailChanged(email=email)]


def change_role(user: User, role: Role) -> list[Fact]:
    """Another role; `relist` goes with it."""
    return [] if role is user.role else [UserRoleChanged(role=role)]


def delete(user: User, *, actor: UUID, heir: User | None, is_heir_named: bool, belongings: Belongings) -> list[Fact]:
    """Delete a user; `relist` and `inherit` go with it.

    `heir` is whom the actor named, or else the actor: where nothing is known to be owned, what is being made at this very
    moment must not become nobody's.

    Raises:
        NobodyDeletesThemselves, HeirNeeded, HeirNotFound, HeirIsTheDeletedUser.
    """
    if user.id == actor:
        raise NobodyDeletesThemselves
    if not is_heir_named and not belongings.is_empty:
        raise HeirNeeded(name=user.username)
    if heir is None or heir.is_deleted:
        raise HeirNotFound
    if heir.id == user.id:
        raise HeirIsTheDeletedUser(name=user.username)
    return [UserDeleted(heir=heir.id)]


def inherit(heir: User | None, user: User) -> list[Fact]:
    """What becomes of the heir of a deleted user."""
    return [UserBecameHeir(deleted_user=user.id)] if heir else []


def enlist(listed: SuperAdministrators | None, *user_ids: UUID) -> list[Fact]:
    """Note that users are super administrators."""
    known = listed.user_ids if listed else frozenset()
    return [SuperAdministratorJoined(user_id=user_id) for user_id in user_ids if user_id not in known]


def relist(listed: SuperAdministrators | None, user: User, role: Role | None) -> list[Fact]:
    """Note what another role means for the list of super administrators; None is the role of a deleted user.

    Raises:
        OneSuperAdministratorStays
    """
    if role is Role.SUPER_ADMINISTRATOR:
        return enlist(listed, user.id)
    if user.role is not Role.SUPER_ADMINISTRATOR:
        return []
    if listed is None or listed.user_ids <= {user.id}:
        raise OneSuperAdministratorStays(name=user.username)
    return [SuperAdministratorLeft(user_id=user.id)]


def check_password(password: str, *, field: str = "password") -> None:
    """U-2.

    Raises:
        PasswordIsTooWeak
    """
    kinds = sum(bool(re.search(kind, password)) for kind in ("[A-Z]", "[a-z]", "[0-9]"))
    if len(password) < 6 or kinds < 2:
        raise PasswordIsTooWeak(at=field)


def check_email(email: str) -> None:
    """Empty, or shaped like an address.

    Raises:
        EmailIsInvalid
    """
    if email and (len(email) > 254 or not is_seen(email) or not _EMAIL.fullmatch(email)):
        raise EmailIsInvalid(email=email)


EVOLVE = evolves(
    User,
    {
        UserCreated: lambda user, fact: User(
            username=fact.username, role=fact.role, password_hash=fact.password_hash, email=fact.email
        ),
        UserPasswordChanged: lambda user, fact: replace(user, password_hash=fact.password_hash),
        UserEmailChanged: lambda user, fact: replace(user, email=fact.email),
        UserRoleChanged: lambda user, fact: replace(user, role=fact.role),
        UserDeleted: lambda user, fact: replace(user, heir=fact.heir),
        UserBecameHeir: lambda user, fact: user,
        UserRefusedAction: lambda user, fact: user,
    },
)
EVOLVE_SUPER_ADMINISTRATORS = evolves(
    SuperAdministrators,
    {
        SuperAdministratorJoined: lambda listed, fact: SuperAdministrators(
            user_ids=(listed.user_ids if listed else frozenset()) | {fact.user_id}
        ),
        SuperAdministratorLeft: lambda listed, fact: replace(listed, user_ids=listed.user_ids - {fact.user_id}),
    },
)
