"""Task types: chosen by everybody, managed by super administrators. Source: REQUIREMENTS, M-5, M-6, U."""

from uuid import UUID

from litestar import Controller, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from commands.task_types import CreateTaskType, DeleteTaskType, RenameTaskType
from domain.api_tokens import Area
from domain.permissions import Permission
from domain.task_types import TaskKind
from web.access import needs
from web.api.desk import ApiDesk
from web.api.routes import ACTS, LOOKS, IdempotencyKey
from web.api.shapes import Shape, shaped
from web.services import ReadModels
from web.task_types import task_type_of


class TaskType(Shape, frozen=True, kw_only=True):
    """A task type that can be chosen."""

    task_type_id: UUID
    name: str
    kind: TaskKind


class NewTaskType(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task type to be created."""

    name: str
    kind: TaskKind


class TaskTypeName(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another name, for what is made from now on."""

    name: str


class TaskTypesToChoose(Controller):
    """Everybody may choose values (U)."""

    path = "/task-types"
    tags = ("values to choose from",)

    @get("/", sync_to_thread=True, responses=LOOKS)
    def task_types(self, read: NamedDependency[ReadModels]) -> list[TaskType]:
        """Every task type."""
        return [shaped(row, TaskType) for row in read.task_types.list()]

    @get("/{task_type_id:uuid}", sync_to_thread=True, responses=LOOKS)
    def one(self, task_type_id: FromPath[UUID], read: NamedDependency[ReadModels]) -> TaskType:
        """One task type."""
        return _task_type(read, task_type_id)


class TaskTypes(Controller):
    """Super administrators only."""

    path = "/task-types"
    tags = ("master data",)
    guards = [needs(Permission.MANAGE_MASTER_DATA)]  # noqa: RUF012 - Litestar's way to guard a controller
    opt = {"area": Area.MANAGEMENT}  # noqa: RUF012 - Litestar's way to say it of every handler

    @post("/", sync_to_thread=True, responses=ACTS)
    def create(
        self,
        data: JSONBody[NewTaskType],
        idempotency_key: IdempotencyKey,
        read: NamedDependency[ReadModels],
        desk: NamedDependency[ApiDesk],
    ) -> TaskType:
        """Create a task type; its kind decides whether segmentation can be trained."""
        made = desk.made_by(idempotency_key, data)
        desk.ask(CreateTaskType(actor=desk.caller.user_id, task_type_id=made.id(), name=data.name, kind=data.kind))
        return _task_type(read, made.id())

    @put("/{task_type_id:uuid}/name", sync_to_thread=True, responses=ACTS)
    def rename(
        self,
        task_type_id: FromPath[UUID],
        data: JSONBody[TaskTypeName],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[ApiDesk],
    ) -> TaskType:
        """Give it another name; what was made before keeps the old one."""
        desk.ask(RenameTaskType(actor=desk.caller.user_id, task_type_id=task_type_id, name=data.name))
        return _task_type(read, task_type_id)

    @delete("/{task_type_id:uuid}", sync_to_thread=True, responses=ACTS)
    def remove(self, task_type_id: FromPath[UUID], desk: NamedDependency[ApiDesk]) -> None:
        """Offer it no more; refused while a waiting or running job needs it."""
        desk.ask(DeleteTaskType(actor=desk.caller.user_id, task_type_id=task_type_id))


def _task_type(read: ReadModels, task_type_id: UUID) -> TaskType:
    return shaped(task_type_of(read, task_type_id), TaskType)
