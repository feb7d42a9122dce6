"""Task types, in the order in which they were created."""

from datetime import datetime
from uuid import UUID

import msgspec

from domain.facts import Recorded
from domain.task_types import TaskKind, TaskTypeCreated, TaskTypeDeleted, TaskTypeRenamed
from projections.read_model import ReadModel, Rows, Table


class TaskTypeRow(msgspec.Struct, frozen=True):
    """A task type."""

    task_type_id: UUID
    name: str
    kind: TaskKind
    created_at: datetime


class TaskTypes(ReadModel):
    """What models can be made for."""

    name = "task_types"
    task_types = Table(
        "task_types",
        key=("task_type_id uuid",),
        columns=("name text NOT NULL", "kind text NOT NULL", "created_at timestamptz NOT NULL"),
    )

    def project(self, rows: Rows, recorded: Recorded) -> None:
        match recorded.data:
            case TaskTypeCreated(name=name, kind=kind):
                rows.insert(
                    self.task_types, recorded.originator_id, name=name, kind=kind, created_at=recorded.timestamp
                )
            case TaskTypeRenamed(name=name):
                rows.update(self.task_types, recorded.originator_id, name=name)
            case TaskTypeDeleted():
                rows.delete(self.task_types, recorded.originator_id)

    def list(self) -> tuple[TaskTypeRow, ...]:
        """All of them."""
        return tuple(self._all("SELECT * FROM task_types ORDER BY created_at, name", (), TaskTypeRow))

    def get(self, task_type_id: UUID) -> TaskTypeRow | None:
        """One of them."""
        return self._one("SELECT * FROM task_types WHERE task_type_id = %s", (task_type_id,), TaskTypeRow)
