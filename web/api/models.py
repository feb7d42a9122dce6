"""Models, their versions and export packages: one's own. Source: REQUIREMENTS, sections V and X."""

from uuid import UUID

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from commands.exports import RequestExport
from commands.models import WithdrawModelVersion
from commands.training_jobs import RetrainModel
from domain.api_tokens import Area
from domain.exports import ExportStatus
from domain.json_forms import write_json
from domain.refusals import NotFound
from domain.training_requests import TrainingDraft
from projections.models import ModelDetail as ModelDetailRow
from projections.models import ModelVersionRow
from web.api.desk import ApiDesk
from web.api.jobs import moment_of
from web.api.lists import BY_NAME, DEFAULT_LIMIT, After, Limit, Listed, Search, listed, place_of
from web.api.routes import ACTS, LOOKS, IdempotencyKey, file_answer
from web.api.shapes import Export, Model, ModelDetail, ModelReport, ModelVersion, Shape, TrainingJobDetail, shaped
from web.api.training_jobs import TrainingChoices, chosen, seed_of, sent_job
from web.downloads import Download, stored_file
from web.models import own_model
from web.services import ReadModels, Services
from web.training_lines import job_of


class Withdrawal(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a version is taken back."""

    reason: str


class Models(Controller):
    """Others' models are nobody's business (U), but for an MES, to which a super administrator gave a token."""

    path = "/models"
    tags = ("models and exports",)

    @get("/", sync_to_thread=True, area=Area.PUBLISHED_MODELS, responses=LOOKS)
    def list(
        self,
        read: NamedDependency[ReadModels],
        desk: NamedDependency[ApiDesk],
        search: Search = "",
        after: After = "",
        limit: Limit = DEFAULT_LIMIT,
    ) -> Listed[Model]:
        """The user's own models, by name; for an MES everybody's."""
        place = place_of(after, BY_NAME)
        found = read.models.stretch(desk.caller.owner, search=search, after=place, size=limit)
        return listed(found, lambda row: shaped(row, Model))

    @get("/{model_id:uuid}", sync_to_thread=True, area=Area.PUBLISHED_MODELS, responses=LOOKS)
    def one(
        self, model_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[ApiDesk]
    ) -> ModelDetail:
        """A model with its versions."""
        model = own_model(read, model_id, desk.caller.owner)
        return shaped(model, ModelDetail, versions=tuple(map(_sent_version, model.versions)))

    @get("/{model_id:uuid}/versions/{label:str}", sync_to_thread=True, area=Area.PUBLISHED_MODELS, responses=LOOKS)
    def version(
        self,
        model_id: FromPath[UUID],
        label: FromPath[str],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[ApiDesk],
    ) -> ModelVersion:
        """One published version."""
        return _sent_version(_version(own_model(read, model_id, desk.caller.owner), label))

    @get("/{model_id:uuid}/versions/{label:str}/report", sync_to_thread=True, responses=LOOKS)
    def report(
        self,
        model_id: FromPath[UUID],
        label: FromPath[str],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[ApiDesk],
    ) -> ModelReport:
        """The figures of the newest question-bank prediction of a version; not found where it was never predicted with."""
        _version(own_model(read, model_id, desk.caller.user_id), label)
        job_id = read.prediction_jobs.newest_for(model_id, label)
        report = read.evaluation_reports.get(job_id, label) if job_id else None
        if report is None:
            raise NotFound
        return shaped(report, ModelReport, version=label)

    @post("/{model_id:uuid}/versions/{label:str}/withdraw", sync_to_thread=True, status_code=200, responses=ACTS)
    def withdraw(
        self,
        model_id: FromPath[UUID],
        label: FromPath[str],
        data: JSONBody[Withdrawal],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[ApiDesk],
    ) -> ModelVersion:
        """Take a published version back: it stays in the history, and nothing new begins with it."""
        desk.ask(WithdrawModelVersion(actor=desk.caller.user_id, model_id=model_id, version=label, reason=data.reason))
        return _sent_version(_version(own_model(read, model_id, desk.caller.user_id), label))

    @post("/{model_id:uuid}/versions/{label:str}/retrain", sync_to_thread=True, responses=ACTS)
    def retrain(
        self,
        model_id: FromPath[UUID],
        label: FromPath[str],
        data: JSONBody[TrainingChoices],
        idempotency_key: IdempotencyKey,
        services: NamedDependency[Services],
        desk: NamedDependency[ApiDesk],
    ) -> TrainingJobDetail:
        """Train a further version from the weights of this one."""
        model = own_model(services.read, model_id, desk.caller.user_id)
        made = desk.made_by(idempotency_key, data)
        used = _version(model, label).training_order.training_parameters
        command = RetrainModel(
            actor=desk.caller.user_id,
            job_id=made.id("job"),
            model_id=model_id,
            version=label,
            draft=TrainingDraft(**chosen(data, write_json(used))),
            seed=seed_of(made),
        )
        desk.ask(command)
        return sent_job(services, job_of(services.read, command.job_id), desk)

    @get(
        "/{model_id:uuid}/versions/{label:str}/export", sync_to_thread=True, area=Area.PUBLISHED_MODELS, responses=LOOKS
    )
    def export(
        self,
        model_id: FromPath[UUID],
        label: FromPath[str],
        services: NamedDependency[Services],
        desk: NamedDependency[ApiDesk],
    ) -> Export:
        """How far the export package of a version is, and its checksum; not found while nobody asked for it."""
        _version(own_model(services.read, model_id, desk.caller.owner), label)
        return _export(services, model_id, label, desk)

    @post(
        "/{model_id:uuid}/versions/{label:str}/export",
        sync_to_thread=True,
        area=Area.PUBLISHED_MODELS,
        status_code=202,
        responses=ACTS,
    )
    def request_export(
        self,
        model_id: FromPath[UUID],
        label: FromPath[str],
        services: NamedDependency[Services],
        desk: NamedDependency[ApiDesk],
    ) -> Export:
        """Have the package built in the background; asking again while it is there or under way changes nothing. One whose file
        the storage lost or damaged is built again: its download answers `FileIsGone` or `FileIsDamaged` until then.
        """
        desk.ask(RequestExport(actor=desk.caller.user_id, model_id=model_id, version=label))
        return _export(services, model_id, label, desk)

    @get(
        "/{model_id:uuid}/versions/{label:str}/export/package",
        sync_to_thread=True,
        area=Area.PUBLISHED_MODELS,
        responses=file_answer("application/zip"),
    )
    def package(
        self,
        model_id: FromPath[UUID],
        label: FromPath[str],
        services: NamedDependency[Services],
        desk: NamedDependency[ApiDesk],
    ) -> Download:
        """The zip. Its SHA-256 is the `ETag`, and `package.checksum` of the export. A withdrawn version's is not given out."""
        model = own_model(services.read, model_id, desk.caller.owner)
        version = _version(model, label)
        export = services.read.exports.get(model_id, version.version)
        if export is None or export.package is None or version.is_withdrawn:
            raise NotFound
        return stored_file(services, export.package, f"{model.name}-{label}.zip", kind="application/zip")


def _version(model: ModelDetailRow, label: str) -> ModelVersionRow:
    version = model.version(label)
    if version is None:
        raise NotFound
    return version


def _sent_version(row: ModelVersionRow) -> ModelVersion:
    return shaped(
        row,
        ModelVersion,
        model_parameters=msgspec.to_builtins(row.training_order.model_parameters),
        training_parameters=msgspec.to_builtins(row.training_order.training_parameters),
    )


def _export(services: Services, model_id: UUID, label: str, desk: ApiDesk) -> Export:
    row = services.read.exports.get(model_id, label)
    if row is None:
        raise NotFound
    moment = moment_of(
        services,
        row.export_id,
        desk,
        is_running=row.status is ExportStatus.BUILDING,
        is_waiting=row.status is ExportStatus.WAITING,
    )
    return shaped(row, Export, reason=desk.say(row.reason), **moment)
