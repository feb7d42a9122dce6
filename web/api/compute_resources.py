"""Compute resources: chosen by everybody, managed by super administrators. Source: REQUIREMENTS, M-6, U."""

from uuid import UUID

from litestar import Controller, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from commands.compute_resources import ChangeComputeResource, CreateComputeResource, DeleteComputeResource
from domain.api_tokens import Area
from domain.compute_resources import ComputeResourceKind
from domain.messages import Resources
from domain.permissions import Permission
from web.access import needs
from web.api.desk import ApiDesk
from web.api.routes import ACTS, LOOKS, IdempotencyKey
from web.api.shapes import Shape, shaped
from web.compute_resources import resource_of
from web.services import ReadModels


class ComputeResource(Shape, frozen=True, kw_only=True):
    """A compute resource that can be chosen."""

    compute_resource_id: UUID
    kind: ComputeResourceKind
    resources: Resources


class Configuration(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a compute resource offers to a job; a general one has no GPU cards."""

    kind: ComputeResourceKind
    resources: Resources


class ComputeResourcesToChoose(Controller):
    """Everybody may choose values (U)."""

    path = "/compute-resources"
    tags = ("values to choose from",)

    @get("/", sync_to_thread=True, responses=LOOKS)
    def compute_resources(self, read: NamedDependency[ReadModels]) -> list[ComputeResource]:
        """Every compute resource."""
        return [shaped(row, ComputeResource) for row in read.compute_resources.list()]

    @get("/{compute_resource_id:uuid}", sync_to_thread=True, responses=LOOKS)
    def one(self, compute_resource_id: FromPath[UUID], read: NamedDependency[ReadModels]) -> ComputeResource:
        """One compute resource."""
        return _resource(read, compute_resource_id)


class ComputeResources(Controller):
    """Super administrators only."""

    path = "/compute-resources"
    tags = ("master data",)
    guards = [needs(Permission.MANAGE_MASTER_DATA)]  # noqa: RUF012 - Litestar's way to guard a controller
    opt = {"area": Area.MANAGEMENT}  # noqa: RUF012 - Litestar's way to say it of every handler

    @post("/", sync_to_thread=True, responses=ACTS)
    def create(
        self,
        data: JSONBody[Configuration],
        idempotency_key: IdempotencyKey,
        read: NamedDependency[ReadModels],
        desk: NamedDependency[ApiDesk],
    ) -> ComputeResource:
        """Create a compute resource."""
        made = desk.made_by(idempotency_key, data)
        desk.ask(
            CreateComputeResource(
                actor=desk.caller.user_id, compute_resource_id=made.id(), kind=data.kind, resources=data.resources
            )
        )
        return _resource(read, made.id())

    @put("/{compute_resource_id:uuid}", sync_to_thread=True, responses=ACTS)
    def change(
        self,
        compute_resource_id: FromPath[UUID],
        data: JSONBody[Configuration],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[ApiDesk],
    ) -> ComputeResource:
        """Give it another configuration, in force at once, for waiting jobs too."""
        desk.ask(
            ChangeComputeResource(
                actor=desk.caller.user_id,
                compute_resource_id=compute_resource_id,
                kind=data.kind,
                resources=data.resources,
            )
        )
        return _resource(read, compute_resource_id)

    @delete("/{compute_resource_id:uuid}", sync_to_thread=True, responses=ACTS)
    def remove(self, compute_resource_id: FromPath[UUID], desk: NamedDependency[ApiDesk]) -> None:
        """Offer it no more; refused while a waiting or running job needs it."""
        desk.ask(DeleteComputeResource(actor=desk.caller.user_id, compute_resource_id=compute_resource_id))


def _resource(read: ReadModels, compute_resource_id: UUID) -> ComputeResource:
    return shaped(resource_of(read, compute_resource_id), ComputeResource)
