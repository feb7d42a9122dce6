"""Who a token acts for, and what a machine needs to name in its requests: places, task types, compute resources."""

from typing import Annotated
from uuid import UUID

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter

from domain.api_tokens import Area, TokenScope
from domain.compute_resources import ComputeResourceKind
from domain.messages import Resources
from domain.permissions import Role
from domain.task_types import TaskKind
from web.api.desk import ApiDesk
from web.api.lists import MOST_ITEMS
from web.api.routes import LOOKS
from web.api.shapes import Shape, shaped
from web.services import ReadModels


class Me(Shape, frozen=True, kw_only=True):
    """Whom the token acts for, and how far."""

    token_name: str
    scope: TokenScope
    user_id: UUID
    username: str
    role: Role


class TaskType(Shape, frozen=True, kw_only=True):
    """A task type that can be chosen."""

    task_type_id: UUID
    name: str
    kind: TaskKind


class ComputeResource(Shape, frozen=True, kw_only=True):
    """A compute resource that can be chosen."""

    compute_resource_id: UUID
    kind: ComputeResourceKind
    resources: Resources


class Places(Shape, frozen=True, kw_only=True):
    """Nodes of the default industry's environment; `level_names` are those of all its levels, from the top."""

    industry: str
    level_names: tuple[str, ...]
    nodes: tuple["Node", ...]
    has_more: bool


class Node(Shape, frozen=True, kw_only=True):
    """A place; datasets and jobs are bound to places of the last level."""

    node_id: UUID
    name: str


class Callers(Controller):
    """Everybody may choose values (U)."""

    path = "/"
    tags = ("values to choose from",)

    @get("/me", sync_to_thread=True, area=Area.CALLER, responses=LOOKS)
    def me(self, desk: NamedDependency[ApiDesk]) -> Me:
        """Whom the token acts for."""
        return shaped(desk.caller, Me)

    @get("/task-types", sync_to_thread=True, responses=LOOKS)
    def task_types(self, read: NamedDependency[ReadModels]) -> list[TaskType]:
        """Every task type."""
        return [shaped(row, TaskType) for row in read.task_types.list()]

    @get("/compute-resources", sync_to_thread=True, responses=LOOKS)
    def compute_resources(self, read: NamedDependency[ReadModels]) -> list[ComputeResource]:
        """Every compute resource."""
        return [shaped(row, ComputeResource) for row in read.compute_resources.list()]

    @get("/environment-nodes", sync_to_thread=True, responses=LOOKS)
    def nodes(
        self,
        read: NamedDependency[ReadModels],
        below: FromQuery[UUID | None] = None,
        search: Annotated[str, QueryParameter(max_length=100, description="A part of the name.")] = "",
    ) -> Places:
        """The places directly below a place, or the topmost ones: at most 200, the others by a part of their name."""
        industry = read.industries.default()
        if industry is None:
            return Places(industry="", level_names=(), nodes=(), has_more=False)
        found = read.environments.named_children(below or industry.industry_id, search, size=MOST_ITEMS)
        return Places(
            industry=industry.name,
            level_names=industry.level_names,
            nodes=tuple(shaped(node, Node) for node in found.items),
            has_more=found.total > len(found.items),
        )
