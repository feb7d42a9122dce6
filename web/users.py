"""用户管理: the list and new users. Source: REQUIREMENTS, U-2; manual, “用户管理”."""

from uuid import UUID, uuid4

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.response import Redirect

from commands.users import CreateUser
from domain.permissions import Permission, Role
from domain.sentences import N_
from projections.users import UserRow
from web.access import needs
from web.forms import Form
from web.listing import Listing, read_listing
from web.pages import Desk, Page
from web.services import ReadModels


class UsersPage(Page, frozen=True):
    """All users, the newest first."""

    TEMPLATE = "users/list.html"
    users: tuple[UserRow, ...]
    listing: Listing


class NewUserPage(Page, frozen=True):
    """An empty form, or the one that was refused."""

    TEMPLATE = "users/new.html"


class Users(Controller):
    """Super administrators only."""

    path = "/users"
    guards = [needs(Permission.MANAGE_USERS)]  # noqa: RUF012 - Litestar's way to guard a controller

    @get("/", sync_to_thread=True)
    def list(
        self, form: NamedDependency[Form], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """The manual's list."""
        listing = read_listing("/users", form)
        found = read.users.page(listing.page)
        return desk.show(UsersPage(users=found.items, listing=listing.of(found.total)))

    @get("/new", sync_to_thread=True)
    def new(self, desk: NamedDependency[Desk]) -> Response[str]:
        """The form."""
        return desk.show(NewUserPage(form=Form.of(role=Role.MODEL_TRAINER)))

    @post("/new", sync_to_thread=True)
    def create(
        self, form: NamedDependency[Form], actor: NamedDependency[UUID], desk: NamedDependency[Desk]
    ) -> Redirect:
        """Back to the list, the new user in its first row."""
        with desk.refusals_on(NewUserPage(form=form)):
            desk.ask(
                CreateUser(
                    actor=actor,
                    user_id=uuid4(),
                    username=form.text("username"),
                    password=form.secret("password"),
                    role=form.choice("role", Role),
                    email=form.text("email"),
                    remark=form.text("remark"),
                )
            )
        desk.say(N_("User “{name}” is created."), name=form.text("username"))
        return desk.go("/users")
