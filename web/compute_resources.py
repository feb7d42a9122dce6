"""计算资源: the list, new and changed configurations, deletion. Source: M-6; manual, “计算资源主数据”."""

from typing import Any
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from commands.compute_resources import ChangeComputeResource, CreateComputeResource, DeleteComputeResource
from domain.compute_resources import ComputeResourceKind
from domain.messages import Resources
from domain.permissions import Permission
from domain.refusals import NotFound, Refusal, collect, raise_together
from domain.sentences import N_
from projections.compute_resources import ComputeResourceRow
from web.access import needs
from web.form_ids import id_made_by, new_form
from web.forms import Form
from web.pages import Desk, Page
from web.services import ReadModels

ADDRESS = "/compute-resources"


class ComputeResourcesPage(Page, frozen=True):
    """All configurations."""

    TEMPLATE = "compute_resources/list.html"
    compute_resources: tuple[ComputeResourceRow, ...]


class NewComputeResourcePage(Page, frozen=True):
    """An empty form, or the one that was refused."""

    TEMPLATE = "compute_resources/new.html"


class ChangeComputeResourcePage(Page, frozen=True):
    """更改配置."""

    TEMPLATE = "compute_resources/change.html"
    resource: ComputeResourceRow


class DeleteComputeResourcePage(Page, frozen=True):
    """Asks before a configuration is offered no more."""

    TEMPLATE = "compute_resources/delete.html"
    resource: ComputeResourceRow


class ComputeResourceName(Page, frozen=True):
    """What notices call a configuration, in the reader's language."""

    TEMPLATE = "compute_resources/_name.html"
    kind: ComputeResourceKind
    resources: Resources


class ComputeResources(Controller):
    """Super administrators only."""

    path = ADDRESS
    guards = [needs(Permission.MANAGE_MASTER_DATA)]  # noqa: RUF012 - Litestar's way to guard a controller

    @get("/", sync_to_thread=True)
    def list(self, read: NamedDependency[ReadModels], desk: NamedDependency[Desk]) -> Response[str]:
        """The manual's list."""
        return desk.show(ComputeResourcesPage(compute_resources=read.compute_resources.list()))

    @get("/new", sync_to_thread=True)
    def new(self, desk: NamedDependency[Desk]) -> Response[str]:
        """The form."""
        kind = ComputeResourceKind.GENERAL_PURPOSE
        form = new_form(kind=kind, cpu_cores="", memory_gib="", gpu_cards="", gpu_memory_gib="")
        return desk.show(NewComputeResourcePage(form=form))

    @post("/new", sync_to_thread=True)
    def create(
        self, form: NamedDependency[Form], actor: NamedDependency[UUID], desk: NamedDependency[Desk]
    ) -> Redirect:
        """Back to the list."""
        with desk.unless_gone(ADDRESS), desk.refusals_on(NewComputeResourcePage(form=form)):
            kind = form.choice("kind", ComputeResourceKind)
            resources = _entered(form, kind)
            resource_id = id_made_by(form, kind, resources)
            desk.ask(
                CreateComputeResource(actor=actor, compute_resource_id=resource_id, kind=kind, resources=resources)
            )
        desk.say(N_("Compute resource “{name}” is created."), name=_name(desk, kind, resources))
        return desk.go(ADDRESS)

    @get("/{compute_resource_id:uuid}/change", sync_to_thread=True)
    def other_configuration(
        self, compute_resource_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """The form with the present configuration."""
        with desk.unless_gone(ADDRESS):
            resource = resource_of(read, compute_resource_id)
        given = resource.resources
        form = Form.of(
            kind=resource.kind,
            cpu_cores=given.cpu_cores,
            memory_gib=f"{given.memory_gib:g}",
            gpu_cards=given.gpu_cards or "",
            gpu_memory_gib=f"{given.gpu_memory_gib:g}" if given.gpu_memory_gib else "",
        )
        return desk.show(ChangeComputeResourcePage(resource=resource, form=form))

    @post("/{compute_resource_id:uuid}/change", sync_to_thread=True)
    def change(
        self,
        compute_resource_id: FromPath[UUID],
        form: NamedDependency[Form],
        read: NamedDependency[ReadModels],
        actor: NamedDependency[UUID],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """In force at once, for waiting jobs too."""
        with desk.unless_gone(ADDRESS):
            page = ChangeComputeResourcePage(resource=resource_of(read, compute_resource_id), form=form)
            with desk.refusals_on(page):
                kind = form.choice("kind", ComputeResourceKind)
                resources = _entered(form, kind)
                desk.ask(
                    ChangeComputeResource(
                        actor=actor, compute_resource_id=compute_resource_id, kind=kind, resources=resources
                    )
                )
        before = _name(desk, page.resource.kind, page.resource.resources)
        name = _name(desk, kind, resources)
        desk.say(N_("Compute resource “{before}” is “{name}” now, and in force."), before=before, name=name)
        return desk.go(ADDRESS)

    @get("/{compute_resource_id:uuid}/delete", sync_to_thread=True)
    def ask_to_delete(
        self, compute_resource_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """What that means for jobs."""
        with desk.unless_gone(ADDRESS):
            page = DeleteComputeResourcePage(resource=resource_of(read, compute_resource_id))
        return desk.show(page)

    @post("/{compute_resource_id:uuid}/delete", sync_to_thread=True)
    def delete(
        self,
        compute_resource_id: FromPath[UUID],
        read: NamedDependency[ReadModels],
        actor: NamedDependency[UUID],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Not while a waiting or running job needs it."""
        with desk.unless_gone(ADDRESS):
            resource = resource_of(read, compute_resource_id)
            with desk.refusals_on(DeleteComputeResourcePage(resource=resource)):
                desk.ask(DeleteComputeResource(actor=actor, compute_resource_id=compute_resource_id))
        desk.say(N_("Compute resource “{name}” is deleted."), name=_name(desk, resource.kind, resource.resources))
        return desk.go(ADDRESS)


def resource_of(read: ReadModels, compute_resource_id: UUID) -> ComputeResourceRow:
    """One compute resource that is offered.

    Raises:
        NotFound
    """
    resource: ComputeResourceRow | None = read.compute_resources.get(compute_resource_id)
    if resource is None or resource.is_deleted:
        raise NotFound
    return resource


def _name(desk: Desk, kind: ComputeResourceKind, resources: Resources) -> str:
    page = ComputeResourceName(kind=kind, resources=resources)
    return desk.part(page.TEMPLATE, page)


def _entered(form: Form, kind: ComputeResourceKind) -> Resources:
    """The quantities of the form; an empty field is 0, which the rules judge.

    What only GPU resources have is left out of others, where the form hides it.

    Raises:
        WholeNumberExpected, NumberExpected: for every field that is no number, together.
    """
    refusals: list[Refusal] = []

    def quantity(read: Any, name: str) -> Any:
        return collect(refusals, read, name) if form.text(name) else 0

    cpu_cores, memory_gib = quantity(form.whole, "cpu_cores"), quantity(form.number, "memory_gib")
    is_gpu = kind is ComputeResourceKind.GPU
    gpu_cards = quantity(form.whole, "gpu_cards") if is_gpu else 0
    gpu_memory_gib = quantity(form.number, "gpu_memory_gib") if is_gpu else 0
    raise_together(refusals)
    return Resources(cpu_cores=cpu_cores, memory_gib=memory_gib, gpu_cards=gpu_cards, gpu_memory_gib=gpu_memory_gib)
