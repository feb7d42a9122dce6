"""用户管理: the list, new users, and what a super administrator changes of a user. Source: U-2 to U-4, U-7; manual, “用户管理”."""

from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from commands.users import ChangeUserEmail, ChangeUserRole, CreateUser, DeleteUser, ResetPassword
from domain.permissions import Permission, Role
from domain.refusals import NotFound
from domain.sentences import N_
from domain.users import Belongings, HeirNotFound
from projections.users import SORTS, UserRow
from web.access import needs
from web.form_ids import id_made_by, new_form
from web.forms import Form
from web.listing import Listing, read_listing, way_back
from web.pages import ROLE_NAMES, Desk, Page
from web.services import ReadModels, Services

ADDRESS = "/users"


class UsersPage(Page, frozen=True):
    """The users who are there, the newest first; or those who were, with who owns now what was theirs."""

    TEMPLATE = "users/list.html"
    users: tuple[UserRow, ...]
    listing: Listing
    roles: tuple[tuple[str, str], ...]

    @property
    def only_deleted(self) -> bool:
        """Whether the list shows those who were."""
        return bool(self.form.text("deleted"))

    @property
    def is_filtered(self) -> bool:
        """Whether the address leaves something out."""
        return any(self.form.text(name) for name in ("search", "role", "deleted"))

    def address_of(self, user: UserRow, action: str) -> str:
        """The page of an action, from which the way leads back to this part of the list."""
        return self.listing.leading_back(f"{ADDRESS}/{user.user_id}/{action}")


class NewUserPage(Page, frozen=True):
    """An empty form, or the one that was refused."""

    TEMPLATE = "users/new.html"


class UserPage(Page, frozen=True):
    """About one user. `is_self` where the super administrator manages the own account."""

    user: UserRow
    is_self: bool

    @property
    def back(self) -> str:
        """The part of the list where one came from."""
        return way_back(self.form, ADDRESS)

    def address_of(self, action: str) -> str:
        """Where the form of this page goes."""
        return f"{ADDRESS}/{self.user.user_id}/{action}"


class UserEmailPage(UserPage, frozen=True):
    """Another e-mail address, or none."""

    TEMPLATE = "users/email.html"


class ResetPasswordPage(UserPage, frozen=True):
    """A new password; nobody asks for the old one."""

    TEMPLATE = "users/password.html"


class UserRolePage(UserPage, frozen=True):
    """Another role."""

    TEMPLATE = "users/role.html"


class DeleteUserPage(UserPage, frozen=True):
    """The question before, and who inherits where there is something to inherit; `heirs` are the names of everyone else."""

    TEMPLATE = "users/delete.html"
    belongings: Belongings
    heirs: tuple[str, ...]

    @property
    def asks_for_heir(self) -> bool:
        """Where something is owned, and where the rules knew of more than this page did."""
        return not self.belongings.is_empty or bool(self.form.errors("heir"))


class Users(Controller):
    """Super administrators only."""

    path = ADDRESS
    guards = [needs(Permission.MANAGE_USERS)]  # noqa: RUF012 - Litestar's way to guard a controller

    @get("/", sync_to_thread=True)
    def list(
        self, form: NamedDependency[Form], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """The manual's list."""
        only_deleted, role = bool(form.text("deleted")), form.text("role")
        newest_first = "-deleted_at" if only_deleted else "-created_at"
        listing = read_listing(ADDRESS, form, columns=tuple(SORTS), default=newest_first)
        found = read.users.page(
            listing.page,
            search=form.text("search"),
            role=Role(role) if role in {one.value for one in Role} else None,
            only_deleted=only_deleted,
            sort=listing.sort,
        )
        roles = tuple((role.value, name) for role, name in ROLE_NAMES.items())
        return desk.show(UsersPage(form=form, users=found.items, listing=listing.of(found.total), roles=roles))

    @get("/new", sync_to_thread=True)
    def new(self, desk: NamedDependency[Desk]) -> Response[str]:
        """The form."""
        return desk.show(NewUserPage(form=new_form(role=Role.MODEL_TRAINER)))

    @post("/new", sync_to_thread=True)
    def create(
        self, form: NamedDependency[Form], actor: NamedDependency[UUID], desk: NamedDependency[Desk]
    ) -> Redirect:
        """Back to the list, the new user in its first row."""
        with desk.unless_gone(ADDRESS), desk.refusals_on(NewUserPage(form=form)):
            username, password, role = form.text("username"), form.secret("password"), form.choice("role", Role)
            email, remark = form.text("email"), form.text("remark")
            desk.ask(
                CreateUser(
                    actor=actor,
                    user_id=id_made_by(form, username, password, role, email, remark),
                    username=username,
                    password=password,
                    role=role,
                    email=email,
                    remark=remark,
                )
            )
        desk.say(N_("User “{name}” is created."), name=form.text("username"))
        return desk.go(ADDRESS)

    @get("/{user_id:uuid}/email", sync_to_thread=True)
    def email(
        self,
        user_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The present address, to be changed."""
        with desk.unless_gone(way_back(form, ADDRESS)):
            user = _user(read, user_id)
        filled = Form.of(email=user.email, back=form.text("back"))
        return desk.show(UserEmailPage(form=filled, user=user, is_self=user_id == actor))

    @post("/{user_id:uuid}/email", sync_to_thread=True)
    def change_email(
        self,
        user_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """修改邮箱."""
        with desk.unless_gone(way_back(form, ADDRESS)):
            page = UserEmailPage(form=form, user=_user(read, user_id), is_self=user_id == actor)
            with desk.refusals_on(page):
                desk.ask(ChangeUserEmail(actor=actor, user_id=user_id, email=form.text("email")))
        desk.say(N_("The e-mail address of “{name}” is saved."), name=page.user.username)
        return desk.go(page.back)

    @get("/{user_id:uuid}/password", sync_to_thread=True)
    def password(
        self,
        user_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """An empty field."""
        with desk.unless_gone(way_back(form, ADDRESS)):
            page = ResetPasswordPage(form=form, user=_user(read, user_id), is_self=user_id == actor)
        return desk.show(page)

    @post("/{user_id:uuid}/password", sync_to_thread=True)
    def reset_password(
        self,
        user_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """重置密码: everyone signed in as this user signs in again, the super administrator's own browser included."""
        with desk.unless_gone(way_back(form, ADDRESS)):
            page = ResetPasswordPage(form=form, user=_user(services.read, user_id), is_self=user_id == actor)
            with desk.refusals_on(page):
                desk.ask(ResetPassword(actor=actor, user_id=user_id, new_password=form.secret("new_password")))
        services.sessions.close_all(user_id)
        if page.is_self:
            desk.say(N_("Your password is changed. Sign in with the new one."))
            return desk.go("/sign-in")
        desk.say(N_("The password of “{name}” is reset. Tell them the new one."), name=page.user.username)
        return desk.go(page.back)

    @get("/{user_id:uuid}/role", sync_to_thread=True)
    def role(
        self,
        user_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The present role, to be changed."""
        with desk.unless_gone(way_back(form, ADDRESS)):
            user = _user(read, user_id)
        filled = Form.of(role=user.role, back=form.text("back"))
        return desk.show(UserRolePage(form=filled, user=user, is_self=user_id == actor))

    @post("/{user_id:uuid}/role", sync_to_thread=True)
    def change_role(
        self,
        user_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """修改角色; whoever gives up the own role leaves these pages."""
        with desk.unless_gone(way_back(form, ADDRESS)):
            page = UserRolePage(form=form, user=_user(read, user_id), is_self=user_id == actor)
            with desk.refusals_on(page):
                role = form.choice("role", Role)
                desk.ask(ChangeUserRole(actor=actor, user_id=user_id, role=role))
        desk.say(N_("The role of “{name}” is saved."), name=page.user.username)
        return desk.go("/" if page.is_self and role is not Role.SUPER_ADMINISTRATOR else page.back)

    @get("/{user_id:uuid}/delete", sync_to_thread=True)
    def confirm_delete(
        self,
        user_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The question before."""
        with desk.unless_gone(way_back(form, ADDRESS)):
            page = _delete_page(read, user_id, actor, form)
        return desk.show(page)

    @post("/{user_id:uuid}/delete", sync_to_thread=True)
    def delete(
        self,
        user_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """删除: sessions and unfinished forms go at once, what the user made stays."""
        with desk.unless_gone(way_back(form, ADDRESS)):
            page = _delete_page(services.read, user_id, actor, form)
            with desk.refusals_on(page):
                heir = _named(services.read, form.text("heir")) if form.text("heir") else None
                desk.ask(DeleteUser(actor=actor, user_id=user_id, heir=heir))
        forget(services, user_id)
        desk.say(N_("User “{name}” is deleted."), name=page.user.username)
        return desk.go(page.back)


def forget(services: Services, user_id: UUID) -> None:
    """What the log does not hold of a deleted user goes at once: sessions, and unfinished forms."""
    services.sessions.close_all(user_id)
    services.drafts.drop_all(user_id)


def _user(read: ReadModels, user_id: UUID) -> UserRow:
    user: UserRow | None = read.users.get(user_id)
    if user is None:
        raise NotFound
    return user


def _named(read: ReadModels, username: str) -> UUID:
    """The present user of a name, as it was typed or chosen.

    Raises:
        HeirNotFound
    """
    user_id: UUID | None = read.users.named(username)
    if user_id is None:
        raise HeirNotFound
    return user_id


def _delete_page(read: ReadModels, user_id: UUID, actor: UUID, form: Form) -> DeleteUserPage:
    user = _user(read, user_id)
    return DeleteUserPage(
        form=Form.of(heir=form.text("heir"), back=form.text("back")),
        user=user,
        is_self=user_id == actor,
        belongings=read.users.belongings(user_id),
        heirs=tuple(name for name in read.users.names() if name != user.username),
    )
