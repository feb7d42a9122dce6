"""Compute resources, in the order in which they were created."""

from datetime import datetime
from uuid import UUID

import msgspec

from domain.compute_resources import (
    ComputeResourceChanged,
    ComputeResourceCreated,
    ComputeResourceDeleted,
    ComputeResourceKind,
)
from domain.facts import Recorded
from domain.messages import Resources
from projections.read_model import ReadModel, Rows, Table


class ComputeResourceRow(msgspec.Struct, frozen=True):
    """A configuration that jobs can ask for; the templates' macro `compute_resources.label` says it in words."""

    compute_resource_id: UUID
    kind: ComputeResourceKind
    resources: Resources
    created_at: datetime
    is_deleted: bool = False


class ComputeResources(ReadModel):
    """What jobs may use, and what ended jobs used: a deleted one is still shown there."""

    name = "compute_resources"
    compute_resources = Table(
        "compute_resources",
        key=("compute_resource_id uuid",),
        columns=(
            "kind text NOT NULL",
            "resources jsonb NOT NULL",
            "created_at timestamptz NOT NULL",
            "is_deleted boolean NOT NULL DEFAULT false",
        ),
    )

    def project(self, rows: Rows, recorded: Recorded) -> None:
        match recorded.data:
            case ComputeResourceCreated(kind=kind, resources=resources):
                rows.insert(
                    self.compute_resources,
                    recorded.originator_id,
                    kind=kind,
                    resources=resources,
                    created_at=recorded.timestamp,
                )
            case ComputeResourceChanged(kind=kind, resources=resources):
                rows.update(self.compute_resources, recorded.originator_id, kind=kind, resources=resources)
            case ComputeResourceDeleted():
                rows.update(self.compute_resources, recorded.originator_id, is_deleted=True)

    def list(self) -> tuple[ComputeResourceRow, ...]:
        """Those that a job can ask for."""
        statement = "SELECT * FROM compute_resources WHERE NOT is_deleted ORDER BY created_at, compute_resource_id"
        return tuple(self._all(statement, (), ComputeResourceRow))

    def get(self, compute_resource_id: UUID) -> ComputeResourceRow | None:
        """One of them, also a deleted one."""
        statement = "SELECT * FROM compute_resources WHERE compute_resource_id = %s"
        return self._one(statement, (compute_resource_id,), ComputeResourceRow)
