"""What can be asked about task types."""

from typing import ClassVar
from uuid import UUID

from commands.assay import Assay, Change, Command, handles
from domain import task_types
from domain.names import NameClaim, NameKind, claim, claim_id
from domain.permissions import Permission
from domain.task_types import TaskKind


class CreateTaskType(Command):
    """A further task type (M-5). `task_type_id` is new."""

    PERMISSION: ClassVar = Permission.MANAGE_MASTER_DATA
    task_type_id: UUID
    name: str
    kind: TaskKind


@handles(CreateTaskType)
def create_task_type(command: CreateTaskType, assay: Assay) -> int:
    name_id = claim_id(NameKind.TASK_TYPE, command.name)
    name = assay.find(NameClaim, name_id)
    return assay.save(
        command,
        Change(command.task_type_id, None, task_types.create(command.name, command.kind)),
        Change(name_id, name, claim(name, NameKind.TASK_TYPE, command.name, command.task_type_id)),
    )
