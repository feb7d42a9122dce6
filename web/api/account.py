"""The account of the user for whom a token acts. Source: REQUIREMENTS, U-5."""

from uuid import UUID

from litestar import Controller, get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody

from commands.users import ChangeOwnEmail, ChangeOwnPassword
from domain.api_tokens import Area
from domain.permissions import Role
from domain.refusals import NotFound
from web.api.desk import ApiDesk
from web.api.routes import ACTS, LOOKS
from web.api.shapes import Shape, shaped
from web.api.users import UserEmail
from web.services import ReadModels, Services
from web.sign_in import ask_for_own_password


class Account(Shape, frozen=True, kw_only=True):
    """The user. User names never change."""

    user_id: UUID
    username: str
    role: Role
    email: str


class OwnPassword(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The present password, and the one to come."""

    old_password: str
    new_password: str


class MyAccount(Controller):
    """Everybody's own."""

    path = "/account"
    tags = ("account",)
    opt = {"area": Area.MANAGEMENT}  # noqa: RUF012 - Litestar's way to say it of every handler

    @get("/", sync_to_thread=True, responses=LOOKS)
    def show(self, read: NamedDependency[ReadModels], desk: NamedDependency[ApiDesk]) -> Account:
        """The account of the token's user."""
        return _account(read, desk)

    @put("/email", sync_to_thread=True, responses=ACTS)
    def change_email(
        self, data: JSONBody[UserEmail], read: NamedDependency[ReadModels], desk: NamedDependency[ApiDesk]
    ) -> Account:
        """Take another e-mail address, or none."""
        desk.ask(ChangeOwnEmail(actor=desk.caller.user_id, email=data.email))
        return _account(read, desk)

    @put("/password", sync_to_thread=True, status_code=204, responses=ACTS)
    def change_password(
        self, data: JSONBody[OwnPassword], services: NamedDependency[Services], desk: NamedDependency[ApiDesk]
    ) -> None:
        """Take another password; it asks for the old one. Whoever is signed in as this user signs in again; API tokens stay."""
        command = ChangeOwnPassword(
            actor=desk.caller.user_id, old_password=data.old_password, new_password=data.new_password
        )
        ask_for_own_password(command, services, desk.ask, guesser=str(desk.caller.token_id))


def _account(read: ReadModels, desk: ApiDesk) -> Account:
    found = read.users.account(desk.caller.user_id)
    if found is None:
        raise NotFound
    return shaped(found, Account)
