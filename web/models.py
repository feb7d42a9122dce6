"""我的模型: the list, one model with its versions, and the export of a version. Source: sections V and X; manual, “模型管理”."""

from typing import Any
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect, ServerSentEvent

from commands.exports import RequestExport
from commands.models import WithdrawModelVersion
from domain.exports import ExportStatus
from domain.json_forms import write_json
from domain.messages import Heartbeat
from domain.models import LONGEST_REASON, ModelVersionIsWithdrawn
from domain.permissions import check_owner
from domain.refusals import NotFound
from domain.sentences import N_
from domain.training_jobs import ModelImageUsed
from domain.waiting import Wait
from projections.exports import ExportRow
from projections.models import SORTS, ModelDetail, ModelRow, ModelVersionRow
from projections.read_model import Page as Part
from web.cascade import standing_nodes
from web.downloads import Download, stored_file
from web.forms import Form
from web.listing import Listing, read_listing
from web.live import Live
from web.pages import Desk, Page
from web.services import ReadModels, Services

ADDRESS = "/models"
HEARTBEAT_SECONDS = 1.0


class ModelsPage(Page, frozen=True):
    """The signed-in user's own models."""

    TEMPLATE = "models/list.html"
    listing: Listing
    models: Part[ModelRow]

    @property
    def search(self) -> str:
        """What the list was searched for."""
        return self.form.text("search")


class ModelPage(Page, frozen=True):
    """One model: basic facts and production environment; `standing` are the bound nodes that still exist."""

    TEMPLATE = "models/detail.html"
    model: ModelDetail
    standing: frozenset[UUID]
    has_model_image: bool


class ModelVersionsPage(Page, frozen=True):
    """版本管理; `exports` are the packages by version, as far as somebody asked for them."""

    TEMPLATE = "models/versions.html"
    model: ModelDetail
    exports: dict[str, ExportRow]


class ModelVersionPage(Page, frozen=True):
    """One version with everything that made it; the parameters are JSON as a person would write it."""

    TEMPLATE = "models/version.html"
    model: ModelDetail
    version: ModelVersionRow
    standing: frozenset[UUID]
    has_model_image: bool

    @property
    def model_parameters(self) -> str:
        """Step 1 of its training."""
        return write_json(self.version.training_order.model_parameters)

    @property
    def training_parameters(self) -> str:
        """Step 3 of its training."""
        return write_json(self.version.training_order.training_parameters)


class WithdrawPage(Page, frozen=True):
    """The question before a version is withdrawn, and the reason for it (V-4)."""

    TEMPLATE = "models/withdraw.html"
    model: ModelDetail
    version: ModelVersionRow
    longest_reason: int = LONGEST_REASON


class ExportPage(Page, frozen=True):
    """模型导出 of one version; `export` is None while nobody has asked for it, `is_lost` where the storage lost what was built."""

    TEMPLATE = "models/export.html"
    model: ModelDetail
    version: ModelVersionRow
    export: ExportRow | None
    beat: Heartbeat | None
    wait: Wait | None = None
    is_lost: bool = False


class NoReportPage(Page, frozen=True):
    """The version was never predicted with."""

    TEMPLATE = "models/no_report.html"
    model: ModelDetail
    version: ModelVersionRow


class Models(Controller):
    """Everyone sees and exports their own models only."""

    path = ADDRESS

    @get("/", sync_to_thread=True)
    def list(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The manual's list, the newest change first."""
        listing = read_listing(ADDRESS, form, columns=tuple(SORTS), default="-modified_at")
        models = read.models.page(actor, search=form.text("search"), sort=listing.sort, number=listing.page)
        return desk.show(ModelsPage(form=form, listing=listing.of(models.total), models=models))

    @get("/{model_id:uuid}", sync_to_thread=True)
    def detail(
        self,
        model_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """模型详情."""
        model = own_model(read, model_id, actor)
        return desk.show(
            ModelPage(
                model=model,
                standing=standing_nodes(read, [model.environment]),
                has_model_image=_stands(read, model.newest.model_image),
            )
        )

    @get("/{model_id:uuid}/versions", sync_to_thread=True)
    def versions(
        self,
        model_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """版本管理."""
        return desk.show(_versions_page(read, model_id, actor))

    @get("/{model_id:uuid}/versions/live", sync_to_thread=True)
    def stream_versions(
        self,
        model_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
        live: NamedDependency[Live],
    ) -> ServerSentEvent:
        """Further versions, and exports as they are built."""
        own_model(read, model_id, actor)
        return live.follow(
            lambda: {"versions": desk.part("models/_versions.html", _versions_page(read, model_id, actor))}
        )

    @get("/{model_id:uuid}/versions/{label:str}", sync_to_thread=True)
    def version(
        self,
        model_id: FromPath[UUID],
        label: FromPath[str],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """What made a version."""
        model = own_model(read, model_id, actor)
        version = _version(model, label)
        standing = standing_nodes(read, [version.environment])
        return desk.show(
            ModelVersionPage(
                model=model,
                version=version,
                standing=standing,
                has_model_image=_stands(read, version.model_image),
            )
        )

    @get("/{model_id:uuid}/versions/{label:str}/report", sync_to_thread=True)
    def report(
        self,
        model_id: FromPath[UUID],
        label: FromPath[str],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[Any]:
        """模型评估报告: the newest question-bank prediction of the version (V-3)."""
        model = own_model(read, model_id, actor)
        version = _version(model, label)
        job_id = read.prediction_jobs.newest_for(model_id, label)
        if job_id is None:
            return desk.show(NoReportPage(model=model, version=version))
        return desk.go(f"/prediction-jobs/{job_id}/report")

    @get("/{model_id:uuid}/versions/{label:str}/withdraw", sync_to_thread=True)
    def ask_to_withdraw(
        self,
        model_id: FromPath[UUID],
        label: FromPath[str],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The question, with the reason to be entered (V-4)."""
        model = own_model(read, model_id, actor)
        version = _version(model, label)
        with desk.unless_settled(f"{ADDRESS}/{model_id}/versions"):
            if version.is_withdrawn:
                raise ModelVersionIsWithdrawn(name=model.name, version=label)
        return desk.show(WithdrawPage(model=model, version=version))

    @post("/{model_id:uuid}/versions/{label:str}/withdraw", sync_to_thread=True)
    def withdraw(
        self,
        model_id: FromPath[UUID],
        label: FromPath[str],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """撤回."""
        model = own_model(read, model_id, actor)
        with desk.refusals_on(WithdrawPage(form=form, model=model, version=_version(model, label))):
            desk.ask(WithdrawModelVersion(actor=actor, model_id=model_id, version=label, reason=form.text("reason")))
        desk.say(N_("{version} of “{name}” is withdrawn."), version=label, name=model.name)
        return desk.go(f"{ADDRESS}/{model_id}/versions")

    @get("/{model_id:uuid}/versions/{label:str}/export", sync_to_thread=True)
    def export(
        self,
        model_id: FromPath[UUID],
        label: FromPath[str],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """How far the package is, and the package."""
        return desk.show(_export_page(services, model_id, label, actor))

    @post("/{model_id:uuid}/versions/{label:str}/export", sync_to_thread=True)
    def request_export(
        self,
        model_id: FromPath[UUID],
        label: FromPath[str],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """导出: a package that is there already, or under way, is shown and not built again; one that was lost is."""
        desk.ask(RequestExport(actor=actor, model_id=model_id, version=label))
        if _is_built(services, model_id, label):
            desk.say(N_("The package is on the storage as it was built."))
        return desk.go(f"{ADDRESS}/{model_id}/versions/{label}/export")

    @get("/{model_id:uuid}/versions/{label:str}/export/live", sync_to_thread=True)
    def stream_export(
        self,
        model_id: FromPath[UUID],
        label: FromPath[str],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
        live: NamedDependency[Live],
    ) -> ServerSentEvent:
        """The package as it is built."""
        _export_page(services, model_id, label, actor)
        return live.follow(
            lambda: {"export": desk.part("models/_export.html", _export_page(services, model_id, label, actor))},
            every_seconds=HEARTBEAT_SECONDS,
        )

    @get("/{model_id:uuid}/versions/{label:str}/export/package", sync_to_thread=True)
    def package(
        self,
        model_id: FromPath[UUID],
        label: FromPath[str],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
    ) -> Download:
        """The zip."""
        page = _export_page(services, model_id, label, actor)
        if page.export is None or page.export.package is None or page.version.is_withdrawn:
            raise NotFound
        return stored_file(services, page.export.package, f"{page.model.name}-{label}.zip", kind="application/zip")


def own_model(read: ReadModels, model_id: UUID, owner: UUID | None) -> ModelDetail:
    """A model of `owner`, the signed-in user; models of others are nobody's business. Anybody's without one.

    Raises:
        NotFound, NotTheOwner.
    """
    model: ModelDetail | None = read.models.get(model_id)
    if model is None:
        raise NotFound
    check_owner(model.owner, owner)
    return model


def _version(model: ModelDetail, label: str) -> ModelVersionRow:
    version = model.version(label)
    if version is None:
        raise NotFound
    return version


def _versions_page(read: ReadModels, model_id: UUID, actor: UUID) -> ModelVersionsPage:
    return ModelVersionsPage(model=own_model(read, model_id, actor), exports=read.exports.of_model(model_id))


def _export_page(services: Services, model_id: UUID, label: str, actor: UUID) -> ExportPage:
    model = own_model(services.read, model_id, actor)
    export: ExportRow | None = services.read.exports.get(model_id, label)
    is_building = export is not None and export.status is ExportStatus.BUILDING
    beat = services.heartbeats.of(export.export_id) if export and is_building else None
    wait = services.waiting.of(export.export_id) if export and export.status is ExportStatus.WAITING else None
    is_lost = export is not None and export.package is not None and not services.artifacts.has(export.package)
    version = _version(model, label)
    return ExportPage(model=model, version=version, export=export, is_lost=is_lost, beat=beat, wait=wait)


def _is_built(services: Services, model_id: UUID, label: str) -> bool:
    export: ExportRow | None = services.read.exports.get(model_id, label)
    return export is not None and export.status is ExportStatus.BUILT


def _stands(read: ReadModels, used: ModelImageUsed) -> bool:
    """Whether the model image version that a model was made with can still be looked at."""
    return read.model_images.version_choice(used.model_image_id, used.number) is not None
