"""What can be asked about compute resources."""

from typing import ClassVar
from uuid import UUID

from commands.assay import Assay, Change, Command, handles
from domain import compute_resources
from domain.compute_resources import ComputeResourceKind
from domain.messages import Resources
from domain.permissions import Permission


class CreateComputeResource(Command):
    """A further configuration (M-6). `compute_resource_id` is new."""

    PERMISSION: ClassVar = Permission.MANAGE_MASTER_DATA
    compute_resource_id: UUID
    kind: ComputeResourceKind
    resources: Resources


@handles(CreateComputeResource)
def create_compute_resource(command: CreateComputeResource, assay: Assay) -> int:
    facts = compute_resources.create(command.kind, command.resources)
    return assay.save(command, Change(command.compute_resource_id, None, facts))
