"""任务类型: the list and new task types. Source: M-5; manual, “任务类型主数据”."""

from uuid import UUID, uuid4

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.response import Redirect

from commands.task_types import CreateTaskType
from domain.permissions import Permission
from domain.sentences import N_
from domain.task_types import TaskKind
from projections.task_types import TaskTypeRow
from web.access import needs
from web.forms import Form
from web.pages import Desk, Page
from web.services import ReadModels


class TaskTypesPage(Page, frozen=True):
    """All task types."""

    TEMPLATE = "task_types/list.html"
    task_types: tuple[TaskTypeRow, ...]


class NewTaskTypePage(Page, frozen=True):
    """An empty form, or the one that was refused."""

    TEMPLATE = "task_types/new.html"


class TaskTypes(Controller):
    """Super administrators only."""

    path = "/task-types"
    guards = [needs(Permission.MANAGE_MASTER_DATA)]  # noqa: RUF012 - Litestar's way to guard a controller

    @get("/", sync_to_thread=True)
    def list(self, read: NamedDependency[ReadModels], desk: NamedDependency[Desk]) -> Response[str]:
        """The manual's list."""
        return desk.show(TaskTypesPage(task_types=read.task_types.list()))

    @get("/new", sync_to_thread=True)
    def new(self, desk: NamedDependency[Desk]) -> Response[str]:
        """The form."""
        return desk.show(NewTaskTypePage(form=Form.of(name="", kind=TaskKind.CLASSIFICATION)))

    @post("/new", sync_to_thread=True)
    def create(
        self, form: NamedDependency[Form], actor: NamedDependency[UUID], desk: NamedDependency[Desk]
    ) -> Redirect:
        """Back to the list."""
        with desk.refusals_on(NewTaskTypePage(form=form)):
            desk.ask(
                CreateTaskType(
                    actor=actor, task_type_id=uuid4(), name=form.text("name"), kind=form.choice("kind", TaskKind)
                )
            )
        desk.say(N_("Task type “{name}” is created."), name=form.text("name"))
        return desk.go("/task-types")
