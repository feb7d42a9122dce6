"""What can be asked about compute resources."""

from typing import ClassVar
from uuid import UUID

from commands.assay import Assay, Change, Command, handles
from commands.uses import without_uses
from domain import compute_resources
from domain.compute_resources import ComputeResource, ComputeResourceKind
from domain.messages import Resources
from domain.permissions import Permission
from domain.uses import Needed


class CreateComputeResource(Command):
    """A further configuration (M-6). `compute_resource_id` is new."""

    PERMISSION: ClassVar = Permission.MANAGE_MASTER_DATA
    compute_resource_id: UUID
    kind: ComputeResourceKind
    resources: Resources


class ChangeComputeResource(Command):
    """Another configuration, in force at once, for waiting jobs too (M-6)."""

    PERMISSION: ClassVar = Permission.MANAGE_MASTER_DATA
    compute_resource_id: UUID
    kind: ComputeResourceKind
    resources: Resources


class DeleteComputeResource(Command):
    """Offer a configuration no more; not while a waiting or running job needs it (M-6)."""

    PERMISSION: ClassVar = Permission.MANAGE_MASTER_DATA
    compute_resource_id: UUID


@handles(CreateComputeResource)
def create_compute_resource(command: CreateComputeResource, assay: Assay) -> int:
    if assay.has_made(ComputeResource, command.compute_resource_id):
        return 0
    facts = compute_resources.create(command.kind, command.resources)
    return assay.save(command, Change(command.compute_resource_id, None, facts))


@handles(ChangeComputeResource)
def change_compute_resource(command: ChangeComputeResource, assay: Assay) -> int:
    resource = assay.load(ComputeResource, command.compute_resource_id)
    facts = compute_resources.change(resource, command.kind, command.resources)
    return assay.save(command, Change(resource.id, resource, facts))


@handles(DeleteComputeResource)
def delete_compute_resource(command: DeleteComputeResource, assay: Assay) -> int:
    resource = assay.load(ComputeResource, command.compute_resource_id)
    return assay.save(
        command,
        Change(resource.id, resource, compute_resources.delete(resource)),
        without_uses(assay, Needed.compute_resource(resource.id)),
    )
