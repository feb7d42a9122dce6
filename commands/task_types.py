"""What can be asked about task types."""

from typing import ClassVar
from uuid import UUID

from commands.assay import Assay, Change, Command, handles
from commands.uses import without_uses
from domain import task_types
from domain.names import NameClaim, NameKind, claim, claim_id, release
from domain.permissions import Permission
from domain.task_types import TaskKind, TaskType
from domain.uses import Needed


class CreateTaskType(Command):
    """A further task type (M-5). `task_type_id` is new."""

    PERMISSION: ClassVar = Permission.MANAGE_MASTER_DATA
    task_type_id: UUID
    name: str
    kind: TaskKind


class RenameTaskType(Command):
    """Another name, from now on (M-5)."""

    PERMISSION: ClassVar = Permission.MANAGE_MASTER_DATA
    task_type_id: UUID
    name: str


class DeleteTaskType(Command):
    """Offer a task type no more (M-5); not while a waiting or running job needs it (M-6)."""

    PERMISSION: ClassVar = Permission.MANAGE_MASTER_DATA
    task_type_id: UUID


@handles(CreateTaskType)
def create_task_type(command: CreateTaskType, assay: Assay) -> int:
    if assay.has_made(TaskType, command.task_type_id):
        return 0
    name_id = claim_id(NameKind.TASK_TYPE, command.name)
    name = assay.find(NameClaim, name_id)
    return assay.save(
        command,
        Change(command.task_type_id, None, task_types.create(command.name, command.kind)),
        Change(name_id, name, claim(name, NameKind.TASK_TYPE, command.name, command.task_type_id)),
    )


@handles(RenameTaskType)
def rename_task_type(command: RenameTaskType, assay: Assay) -> int:
    task_type = assay.load(TaskType, command.task_type_id)
    old_id, new_id = (claim_id(NameKind.TASK_TYPE, name) for name in (task_type.name, command.name))
    old, new = assay.find(NameClaim, old_id), assay.find(NameClaim, new_id)
    return assay.save(
        command,
        Change(task_type.id, task_type, task_types.rename(task_type, command.name)),
        Change(new_id, new, claim(new, NameKind.TASK_TYPE, command.name, task_type.id)),
        Change(old_id, old, release(old, task_type.id) if old_id != new_id else []),
    )


@handles(DeleteTaskType)
def delete_task_type(command: DeleteTaskType, assay: Assay) -> int:
    task_type = assay.load(TaskType, command.task_type_id)
    name_id = claim_id(NameKind.TASK_TYPE, task_type.name)
    name = assay.find(NameClaim, name_id)
    return assay.save(
        command,
        Change(task_type.id, task_type, task_types.delete(task_type)),
        Change(name_id, name, release(name, task_type.id)),
        without_uses(assay, Needed.task_type(task_type.id)),
    )
