"""Users: who signs in, with which role. Source: REQUIREMENTS, section U; manual, “用户管理”."""

import re
from typing import ClassVar

from domain.facts import Fact, State, evolves, replace
from domain.names import check_username
from domain.permissions import Role
from domain.refusals import Refusal, collect, raise_together
from domain.sentences import N_

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+")


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


class UserRefusedAction(Fact):
    """The user asked for a management action that the role does not permit; nothing else was recorded of it."""

    TOPIC: ClassVar[str] = "user.refused_action"
    command: str


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


class User(State):
    """What the rules need of a user."""

    username: str
    role: Role
    password_hash: str
    email: str = ""
    is_deleted: bool = False


def create(
    *, username: str, role: Role, password: str, password_hash: str, email: str = "", remark: str = ""
) -> list[Fact]:
    """A new user. `password` is only checked, `password_hash` is what is kept.

    Raises:
        UsernameIsInvalid, PasswordIsTooWeak, EmailIsInvalid, RemarkIsTooLong (all that apply, together).
    """
    refusals: list[Refusal] = []
    collect(refusals, check_username, username)
    collect(refusals, check_password, password)
    collect(refusals, check_email, email)
    if len(remark) > 500:
        refusals.append(RemarkIsTooLong(length=len(remark)))
    raise_together(refusals)
    return [UserCreated(username=username, role=role, password_hash=password_hash, email=email, remark=remark)]


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
    if email and (len(email) > 254 or not _EMAIL.fullmatch(email)):
        raise EmailIsInvalid(email=email)


EVOLVE = evolves(
    User,
    {
        UserCreated: lambda user, fact: User(
            username=fact.username, role=fact.role, password_hash=fact.password_hash, email=fact.email
        ),
        UserPasswordChanged: lambda user, fact: replace(user, password_hash=fact.password_hash),
        UserEmailChanged: lambda user, fact: replace(user, email=fact.email),
        UserRefusedAction: lambda user, fact: user,
    },
)
