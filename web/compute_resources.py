"""计算资源: the list and new configurations. Source: M-6; manual, “计算资源主数据”."""

from typing import Any
from uuid import UUID, uuid4

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.response import Redirect

from commands.compute_resources import CreateComputeResource
from domain.compute_resources import ComputeResourceKind
from domain.messages import Resources
from domain.permissions import Permission
from domain.refusals import Refusal, collect, raise_together
from domain.sentences import N_
from projections.compute_resources import ComputeResourceRow
from web.access import needs
from web.forms import Form
from web.pages import Desk, Page
from web.services import ReadModels


class ComputeResourcesPage(Page, frozen=True):
    """All configurations."""

    TEMPLATE = "compute_resources/list.html"
    compute_resources: tuple[ComputeResourceRow, ...]


class NewComputeResourcePage(Page, frozen=True):
    """An empty form, or the one that was refused."""

    TEMPLATE = "compute_resources/new.html"


class ComputeResources(Controller):
    """Super administrators only."""

    path = "/compute-resources"
    guards = [needs(Permission.MANAGE_MASTER_DATA)]  # noqa: RUF012 - Litestar's way to guard a controller

    @get("/", sync_to_thread=True)
    def list(self, read: NamedDependency[ReadModels], desk: NamedDependency[Desk]) -> Response[str]:
        """The manual's list."""
        return desk.show(ComputeResourcesPage(compute_resources=read.compute_resources.list()))

    @get("/new", sync_to_thread=True)
    def new(self, desk: NamedDependency[Desk]) -> Response[str]:
        """The form."""
        kind = ComputeResourceKind.GENERAL_PURPOSE
        form = Form.of(kind=kind, cpu_cores="", memory_gib="", gpu_cards="", gpu_memory_gib="")
        return desk.show(NewComputeResourcePage(form=form))

    @post("/new", sync_to_thread=True)
    def create(
        self, form: NamedDependency[Form], actor: NamedDependency[UUID], desk: NamedDependency[Desk]
    ) -> Redirect:
        """Back to the list."""
        with desk.refusals_on(NewComputeResourcePage(form=form)):
            desk.ask(
                CreateComputeResource(
                    actor=actor,
                    compute_resource_id=uuid4(),
                    kind=form.choice("kind", ComputeResourceKind),
                    resources=_entered(form),
                )
            )
        desk.say(N_("The compute resource is created."))
        return desk.go("/compute-resources")


def _entered(form: Form) -> Resources:
    """The quantities of the form; an empty field is 0, which the rules judge.

    Raises:
        WholeNumberExpected, NumberExpected: for every field that is no number, together.
    """
    refusals: list[Refusal] = []

    def quantity(read: Any, name: str) -> Any:
        return collect(refusals, read, name) if form.text(name) else 0

    cpu_cores, gpu_cards = quantity(form.whole, "cpu_cores"), quantity(form.whole, "gpu_cards")
    memory_gib, gpu_memory_gib = quantity(form.number, "memory_gib"), quantity(form.number, "gpu_memory_gib")
    raise_together(refusals)
    return Resources(cpu_cores=cpu_cores, memory_gib=memory_gib, gpu_cards=gpu_cards, gpu_memory_gib=gpu_memory_gib)
