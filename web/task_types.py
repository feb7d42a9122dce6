"""任务类型: the list, new task types, other names, deletion. Source: M-5, M-6; manual, “任务类型主数据”."""

from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from commands.task_types import CreateTaskType, DeleteTaskType, RenameTaskType
from domain.permissions import Permission
from domain.refusals import NotFound
from domain.sentences import N_
from domain.task_types import TaskKind
from projections.task_types import TaskTypeRow
from web.access import needs
from web.form_ids import id_made_by, new_form
from web.forms import Form
from web.pages import Desk, Page
from web.services import ReadModels

ADDRESS = "/task-types"


class TaskTypesPage(Page, frozen=True):
    """All task types."""

    TEMPLATE = "task_types/list.html"
    task_types: tuple[TaskTypeRow, ...]


class NewTaskTypePage(Page, frozen=True):
    """An empty form, or the one that was refused."""

    TEMPLATE = "task_types/new.html"


class TaskTypePage(Page, frozen=True):
    """One task type that is to change."""

    task_type: TaskTypeRow


class RenameTaskTypePage(TaskTypePage, frozen=True):
    """重命名."""

    TEMPLATE = "task_types/rename.html"


class DeleteTaskTypePage(TaskTypePage, frozen=True):
    """Asks before a task type is offered no more."""

    TEMPLATE = "task_types/delete.html"


class TaskTypes(Controller):
    """Super administrators only."""

    path = ADDRESS
    guards = [needs(Permission.MANAGE_MASTER_DATA)]  # noqa: RUF012 - Litestar's way to guard a controller

    @get("/", sync_to_thread=True)
    def list(self, read: NamedDependency[ReadModels], desk: NamedDependency[Desk]) -> Response[str]:
        """The manual's list."""
        return desk.show(TaskTypesPage(task_types=read.task_types.list()))

    @get("/new", sync_to_thread=True)
    def new(self, desk: NamedDependency[Desk]) -> Response[str]:
        """The form."""
        return desk.show(NewTaskTypePage(form=new_form(name="", kind=TaskKind.CLASSIFICATION)))

    @post("/new", sync_to_thread=True)
    def create(
        self, form: NamedDependency[Form], actor: NamedDependency[UUID], desk: NamedDependency[Desk]
    ) -> Redirect:
        """Back to the list."""
        with desk.unless_gone(ADDRESS), desk.refusals_on(NewTaskTypePage(form=form)):
            name, kind = form.text("name"), form.choice("kind", TaskKind)
            desk.ask(CreateTaskType(actor=actor, task_type_id=id_made_by(form, name, kind), name=name, kind=kind))
        desk.say(N_("Task type “{name}” is created."), name=name)
        return desk.go(ADDRESS)

    @get("/{task_type_id:uuid}/rename", sync_to_thread=True)
    def other_name(
        self, task_type_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """The form with the present name."""
        with desk.unless_gone(ADDRESS):
            task_type = task_type_of(read, task_type_id)
        return desk.show(RenameTaskTypePage(task_type=task_type, form=Form.of(name=task_type.name)))

    @post("/{task_type_id:uuid}/rename", sync_to_thread=True)
    def rename(
        self,
        task_type_id: FromPath[UUID],
        form: NamedDependency[Form],
        read: NamedDependency[ReadModels],
        actor: NamedDependency[UUID],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """For what is made from now on."""
        with desk.unless_gone(ADDRESS):
            page = RenameTaskTypePage(task_type=task_type_of(read, task_type_id), form=form)
            with desk.refusals_on(page):
                desk.ask(RenameTaskType(actor=actor, task_type_id=task_type_id, name=form.text("name")))
        desk.say(N_("Task type “{before}” is called “{name}” now."), before=page.task_type.name, name=form.text("name"))
        return desk.go(ADDRESS)

    @get("/{task_type_id:uuid}/delete", sync_to_thread=True)
    def ask_to_delete(
        self, task_type_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """What becomes of what was made for it."""
        with desk.unless_gone(ADDRESS):
            page = DeleteTaskTypePage(task_type=task_type_of(read, task_type_id))
        return desk.show(page)

    @post("/{task_type_id:uuid}/delete", sync_to_thread=True)
    def delete(
        self,
        task_type_id: FromPath[UUID],
        read: NamedDependency[ReadModels],
        actor: NamedDependency[UUID],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Not while a waiting or running job needs it (M-6)."""
        with desk.unless_gone(ADDRESS):
            page = DeleteTaskTypePage(task_type=task_type_of(read, task_type_id))
            with desk.refusals_on(page):
                desk.ask(DeleteTaskType(actor=actor, task_type_id=task_type_id))
        desk.say(N_("Task type “{name}” is deleted."), name=page.task_type.name)
        return desk.go(ADDRESS)


def task_type_of(read: ReadModels, task_type_id: UUID) -> TaskTypeRow:
    """One task type.

    Raises:
        NotFound
    """
    task_type: TaskTypeRow | None = read.task_types.get(task_type_id)
    if task_type is None:
        raise NotFound
    return task_type
