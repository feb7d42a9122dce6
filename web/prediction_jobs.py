"""题库预测: the list of the user's own jobs, a new one in three steps, and its report. Source: section P; manual, “在线评估”."""

from typing import Any
from uuid import UUID, uuid4

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect, ServerSentEvent

from commands.prediction_jobs import (
    DeletePredictionJob,
    QueuePredictionJob,
    RestartPrediction,
    TerminatePrediction,
    check_step,
)
from domain.data_paths import FolderName
from domain.datasets import DatasetPurpose
from domain.prediction_jobs import PredictionDraft, PredictionKind
from domain.sentences import N_
from projections.prediction_jobs import PredictionJobRow
from projections.read_model import Page as Part
from web.evaluation_reports import ReportView, own_prediction, report_view
from web.forms import Form
from web.listing import Listing
from web.live import Live
from web.pages import Desk, Page
from web.services import ReadModels, Services

DRAFT = "prediction"
HEARTBEAT_SECONDS = 1.0


class KeptDraft(msgspec.Struct, frozen=True):
    """The unfinished form. `job_id` is chosen at the start, so that pressing the last button twice makes one job."""

    job_id: UUID
    draft: PredictionDraft


class PredictionJobsPage(Page, frozen=True):
    """The user's own jobs, the newest first; `beats` are the heartbeats of those that run, by job."""

    TEMPLATE = "prediction_jobs/list.html"
    listing: Listing
    jobs: Part[PredictionJobRow]
    beats: dict[UUID, Any]


class PredictionJobPage(Page, frozen=True):
    """One job: state, what it judges, log."""

    TEMPLATE = "prediction_jobs/job.html"
    job: PredictionJobRow
    beat: Any


class PredictionReportPage(Page, frozen=True):
    """The report of a finished job."""

    TEMPLATE = "prediction_jobs/report.html"
    job: PredictionJobRow
    view: ReportView


class ModelStepPage(Page, frozen=True):
    """Step 1: task name and one version; `choices` are `projections.models.ModelVersionChoice`."""

    TEMPLATE = "prediction_jobs/step_1.html"
    choices: tuple[Any, ...]


class DataStepPage(Page, frozen=True):
    """Step 2: question-bank paths; `datasets` are `projections.datasets.DatasetChoice`, `paths` the chosen ones, inspected."""

    TEMPLATE = "prediction_jobs/step_2.html"
    datasets: tuple[Any, ...]
    paths: tuple[Any, ...]


class ParametersStepPage(Page, frozen=True):
    """Step 3: parameters, compute resource, resolution screening."""

    TEMPLATE = "prediction_jobs/step_3.html"
    resources: tuple[Any, ...]


class PredictionJobs(Controller):
    """Everyone sees and acts on their own."""

    path = "/prediction-jobs"

    @get("/", sync_to_thread=True)
    def list(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The manual's list."""
        return desk.show(_listed(services, actor, form))

    @get("/live", sync_to_thread=True)
    def live_list(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
        live: NamedDependency[Live],
    ) -> ServerSentEvent:
        """The rows as they change."""
        return live.follow(
            lambda: {"rows": desk.part("prediction_jobs/_rows.html", _listed(services, actor, form))},
            every_seconds=HEARTBEAT_SECONDS,
        )

    @get("/{job_id:uuid}", sync_to_thread=True)
    def show(
        self,
        job_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """One job."""
        return desk.show(_job_page(services, job_id, actor))

    @get("/{job_id:uuid}/live", sync_to_thread=True)
    def live_job(
        self,
        job_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
        live: NamedDependency[Live],
    ) -> ServerSentEvent:
        """Its state as it changes."""
        return live.follow(
            lambda: {"job": desk.part("prediction_jobs/_job.html", _job_page(services, job_id, actor))},
            every_seconds=HEARTBEAT_SECONDS,
        )

    @get("/{job_id:uuid}/report", sync_to_thread=True)
    def report(
        self,
        job_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The report of its version."""
        job = own_prediction(read, job_id, actor)
        view = report_view(read, job_id, job.versions[0], form, address=f"/prediction-jobs/{job_id}/report")
        return desk.show(PredictionReportPage(job=job, view=view))

    @post("/{job_id:uuid}/terminate", sync_to_thread=True)
    def terminate(self, job_id: FromPath[UUID], actor: NamedDependency[UUID], desk: NamedDependency[Desk]) -> Redirect:
        """Stop it."""
        desk.ask(TerminatePrediction(actor=actor, job_id=job_id))
        return desk.go("/prediction-jobs")

    @post("/{job_id:uuid}/restart", sync_to_thread=True)
    def restart(self, job_id: FromPath[UUID], actor: NamedDependency[UUID], desk: NamedDependency[Desk]) -> Redirect:
        """Start it again."""
        desk.ask(RestartPrediction(actor=actor, job_id=job_id))
        return desk.go("/prediction-jobs")

    @post("/{job_id:uuid}/delete", sync_to_thread=True)
    def delete(self, job_id: FromPath[UUID], actor: NamedDependency[UUID], desk: NamedDependency[Desk]) -> Redirect:
        """Delete it."""
        desk.ask(DeletePredictionJob(actor=actor, job_id=job_id))
        desk.say(N_("The prediction job is deleted."))
        return desk.go("/prediction-jobs")


class NewPredictionJob(Controller):
    """The three steps. What was entered is kept on the server at every step, refused or not."""

    path = "/prediction-jobs/new"

    @get("/", sync_to_thread=True)
    def begin(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Begin anew, with a version chosen already where the address names one."""
        draft = PredictionDraft()
        if form.text("model"):
            draft = PredictionDraft(model_id=form.id("model"), versions=(form.text("version"),))
        _keep(services, actor, KeptDraft(uuid4(), draft))
        return desk.go("/prediction-jobs/new/step-1")

    @get("/step-1", sync_to_thread=True)
    def model_step(
        self, actor: NamedDependency[UUID], services: NamedDependency[Services], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """Task name and version."""
        draft = _kept(services, actor).draft
        chosen = f"{draft.model_id}/{draft.versions[0]}" if draft.model_id and draft.versions else ""
        return desk.show(_model_step(services, actor, Form.of(name=draft.name, version=chosen)))

    @post("/step-1", sync_to_thread=True)
    def check_model(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """On to the images."""
        kept = _kept(services, actor)
        model_id, _, label = form.text("version").partition("/")
        draft = msgspec.structs.replace(
            kept.draft,
            name=form.text("name"),
            model_id=_uuid_or_none(model_id),
            versions=(label,) if label else (),
        )
        _keep(services, actor, KeptDraft(kept.job_id, draft))
        with desk.refusals_on(_model_step(services, actor, form)):
            check_step(services.assay, draft, 1, actor)
        return desk.go("/prediction-jobs/new/step-2")

    @get("/step-2", sync_to_thread=True)
    def data_step(
        self, actor: NamedDependency[UUID], services: NamedDependency[Services], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """Question-bank paths."""
        draft = _kept(services, actor).draft
        with desk.refusals_on(_model_step(services, actor, _model_form(draft))):
            check_step(services.assay, draft, 1, actor)
        return desk.show(_data_step(services, draft, Form.of(typed="")))

    @post("/step-2", sync_to_thread=True)
    def check_data(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Add or remove paths, or go on to the parameters: the pressed button decides."""
        kept = _kept(services, actor)
        draft = _with_changed_paths(services, kept.draft, form)
        _keep(services, actor, KeptDraft(kept.job_id, draft))
        with desk.refusals_on(_data_step(services, draft, form)):
            for typed in form.lines("typed"):
                draft = _with_typed_path(services, draft, typed)
            _keep(services, actor, KeptDraft(kept.job_id, draft))
            if form.text("press") == "next":
                check_step(services.assay, draft, 2, actor)
        return desk.go("/prediction-jobs/new/" + ("step-3" if form.text("press") == "next" else "step-2"))

    @get("/step-3", sync_to_thread=True)
    def parameters_step(
        self, actor: NamedDependency[UUID], services: NamedDependency[Services], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """Parameters."""
        draft = _kept(services, actor).draft
        with desk.refusals_on(_data_step(services, draft, Form.of(typed=""))):
            check_step(services.assay, draft, 2, actor)
        return desk.show(_parameters_step(services, _parameters_form(draft)))

    @post("/step-3", sync_to_thread=True)
    def queue(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Let the job wait for a worker."""
        kept = _kept(services, actor)
        draft = msgspec.structs.replace(
            kept.draft,
            prediction_parameters=form.value("prediction_parameters"),
            compute_resource_id=_uuid_or_none(form.text("compute_resource")),
            resolution_screening=form.checked("resolution_screening"),
        )
        if services.read.prediction_jobs.get(kept.job_id) is not None:
            return desk.go(f"/prediction-jobs/{kept.job_id}")  # the button was pressed twice
        _keep(services, actor, KeptDraft(kept.job_id, draft))
        with desk.refusals_on(_parameters_step(services, form)):
            desk.ask(QueuePredictionJob(actor=actor, job_id=kept.job_id, draft=draft))
        services.drafts.drop(actor, DRAFT)
        desk.say(N_("Prediction job “{name}” waits for a worker."), name=draft.name)
        return desk.go("/prediction-jobs")


def _listed(services: Services, actor: UUID, form: Form) -> PredictionJobsPage:
    page = form.text("page")
    jobs = services.read.prediction_jobs.page(
        actor, PredictionKind.QUESTION_BANK, page=int(page) if page.isascii() and page.isdigit() else 1
    )
    listing = Listing("/prediction-jobs", form.fields, "", jobs.number, jobs.total)
    beats = services.heartbeats.of_all([job.job_id for job in jobs.items])
    return PredictionJobsPage(listing=listing, jobs=jobs, beats=beats)


def _job_page(services: Services, job_id: UUID, actor: UUID) -> PredictionJobPage:
    job = own_prediction(services.read, job_id, actor)
    return PredictionJobPage(job=job, beat=services.heartbeats.of(job_id))


def _model_step(services: Services, actor: UUID, form: Form) -> ModelStepPage:
    return ModelStepPage(form=form, choices=tuple(services.read.models.choices(actor)))


def _model_form(draft: PredictionDraft) -> Form:
    chosen = f"{draft.model_id}/{draft.versions[0]}" if draft.model_id and draft.versions else ""
    return Form.of(name=draft.name, version=chosen)


def _data_step(services: Services, draft: PredictionDraft, form: Form) -> DataStepPage:
    inspections = tuple(services.assay.inspect(folder) for folder in draft.data_paths)
    datasets = tuple(services.read.datasets.choices(DatasetPurpose.QUESTION_BANK))
    return DataStepPage(form=form, datasets=datasets, paths=inspections)


def _parameters_step(services: Services, form: Form) -> ParametersStepPage:
    return ParametersStepPage(form=form, resources=tuple(services.read.compute_resources.list()))


def _parameters_form(draft: PredictionDraft) -> Form:
    fields = Form.of(
        prediction_parameters=draft.prediction_parameters, compute_resource=draft.compute_resource_id
    ).fields
    return Form((*fields, *((("resolution_screening", "on"),) if draft.resolution_screening else ())))


def _with_changed_paths(services: Services, draft: PredictionDraft, form: Form) -> PredictionDraft:
    """The draft with ticked paths of datasets added and the removed ones taken out."""
    removed = set(form.all("remove"))
    paths = [folder for folder in draft.data_paths if str(folder) not in removed]
    ticked = set(form.all("import"))
    for dataset in services.read.datasets.choices(DatasetPurpose.QUESTION_BANK):
        paths += [path.folder for path in dataset.paths if str(path.path_id) in ticked and path.folder not in paths]
    return msgspec.structs.replace(draft, data_paths=tuple(paths))
