"""题库预测: the list of the user's own jobs, one job, and its report. Source: section P; manual, “在线评估”."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TypeVar
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect, ServerSentEvent

from commands.prediction_jobs import DeletePredictionJob, RestartPrediction, TerminatePrediction
from domain.messages import Heartbeat
from domain.prediction_jobs import PredictionKind, PredictionStatus
from domain.refusals import NotFound
from domain.sentences import N_
from domain.waiting import Wait
from projections.prediction_jobs import PredictionJobRow
from projections.read_model import Page as Part
from web.downloads import Download, stored_file
from web.evaluation_reports import ReportView, own_prediction, report_view
from web.forms import Form
from web.listing import Listing, read_listing
from web.live import Live
from web.live import Part as LivePart
from web.pages import Desk, Page
from web.services import ReadModels, Services

ADDRESS = "/prediction-jobs"
M = TypeVar("M", bound="MovingPage")


class MovingPage(Page, frozen=True, kw_only=True):
    """A page with jobs; `beats` are the heartbeats of those that run, by job, as of `now`, which is
    None while none runs; `waits` say why others wait.
    """

    beats: Mapping[UUID, Heartbeat] = MappingProxyType({})
    now: datetime | None = None
    waits: Mapping[UUID, Wait] = MappingProxyType({})

    def seconds(self, job: PredictionJobRow) -> float | None:
        """How long a job has been running, or ran."""
        return run_seconds(job, self.now)


class PredictionJobsPage(MovingPage, frozen=True, kw_only=True):
    """The user's own jobs, the newest first."""

    TEMPLATE = "prediction_jobs/list.html"
    listing: Listing
    jobs: Part[PredictionJobRow]


class PredictionJobPage(MovingPage, frozen=True, kw_only=True):
    """One job: state, what it judges, log."""

    TEMPLATE = "prediction_jobs/job.html"
    job: PredictionJobRow

    @property
    def wait(self) -> Wait | None:
        """Why it waits, while it does."""
        return self.waits.get(self.job.job_id)

    @property
    def beat(self) -> Heartbeat | None:
        """What its worker said last."""
        return self.beats.get(self.job.job_id)


class DeletePredictionJobPage(Page, frozen=True):
    """The question before a job goes with its report."""

    TEMPLATE = "prediction_jobs/delete.html"
    job: PredictionJobRow


class PredictionReportPage(Page, frozen=True):
    """The report of a finished job."""

    TEMPLATE = "prediction_jobs/report.html"
    job: PredictionJobRow
    view: ReportView


LIST_PARTS: Mapping[str, LivePart[PredictionJobsPage]] = MappingProxyType(
    {
        "rows": LivePart(
            "prediction_jobs/_rows.html", shows=lambda page: (page.listing, page.jobs, page.beats, page.waits, page.now)
        )
    }
)
JOB_PARTS: Mapping[str, LivePart[PredictionJobPage]] = MappingProxyType(
    {"job": LivePart("prediction_jobs/_job.html", shows=lambda page: (page.job, page.beats, page.waits, page.now))}
)


class PredictionJobs(Controller):
    """Everyone sees and acts on their own."""

    path = ADDRESS

    @get("/", sync_to_thread=True)
    def list(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The manual's list."""
        return desk.show(_list_page(services, actor, form))

    @get("/live", sync_to_thread=True)
    def stream_list(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        live: NamedDependency[Live],
    ) -> ServerSentEvent:
        """The rows as they change."""
        return live.watch(
            lambda: _list_page(services, actor, form),
            LIST_PARTS,
            freshen=lambda page: _freshened(services, page, page.jobs.items),
        )

    @get("/{job_id:uuid}", sync_to_thread=True)
    def job(
        self,
        job_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """One job."""
        return desk.show(_job_page(services, job_id, actor))

    @get("/{job_id:uuid}/live", sync_to_thread=True)
    def stream_job(
        self,
        job_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        live: NamedDependency[Live],
    ) -> ServerSentEvent:
        """Its state as it changes."""
        _job_page(services, job_id, actor)
        return live.watch(
            lambda: _job_page(services, job_id, actor),
            JOB_PARTS,
            freshen=lambda page: _freshened(services, page, (page.job,)),
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
        view = report_view(read, job_id, job.versions[0], form, address=f"{ADDRESS}/{job_id}/report")
        return desk.show(PredictionReportPage(job=job, view=view))

    @get("/{job_id:uuid}/log", sync_to_thread=True)
    def log(
        self, job_id: FromPath[UUID], actor: NamedDependency[UUID], services: NamedDependency[Services]
    ) -> Download:
        """下载日志."""
        job = own_prediction(services.read, job_id, actor)
        if job.log is None:
            raise NotFound
        return stored_file(services, job.log, f"{job.name}.log", kind="text/plain; charset=utf-8")

    @post("/{job_id:uuid}/terminate", sync_to_thread=True)
    def terminate(
        self,
        job_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """终止."""
        desk.ask(TerminatePrediction(actor=actor, job_id=job_id))
        return desk.go(_came_from(form, job_id))

    @post("/{job_id:uuid}/restart", sync_to_thread=True)
    def restart(
        self,
        job_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """启动."""
        desk.ask(RestartPrediction(actor=actor, job_id=job_id))
        return desk.go(_came_from(form, job_id))

    @get("/{job_id:uuid}/delete", sync_to_thread=True)
    def confirm_delete(
        self,
        job_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The question."""
        return desk.show(DeletePredictionJobPage(job=own_prediction(read, job_id, actor)))

    @post("/{job_id:uuid}/delete", sync_to_thread=True)
    def delete(
        self,
        job_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """删除."""
        job = own_prediction(read, job_id, actor)
        with desk.refusals_on(DeletePredictionJobPage(job=job)):
            desk.ask(DeletePredictionJob(actor=actor, job_id=job_id))
        desk.say(N_("Prediction job “{name}” is deleted."), name=job.name)
        return desk.go(ADDRESS)


def run_seconds(job: PredictionJobRow, now: datetime | None) -> float | None:
    """How long a job ran, or has been running until now; None where it does not."""
    if job.status is PredictionStatus.PREDICTING and job.started_at is not None and now is not None:
        return (now - job.started_at).total_seconds()
    return job.seconds


def _list_page(services: Services, actor: UUID, form: Form) -> PredictionJobsPage:
    asked = read_listing(ADDRESS, form)
    jobs: Part[PredictionJobRow] = services.read.prediction_jobs.page(
        actor, PredictionKind.QUESTION_BANK, page=asked.page
    )
    page = PredictionJobsPage(form=form, listing=asked.of(jobs.total), jobs=jobs)
    return _freshened(services, page, jobs.items)


def _job_page(services: Services, job_id: UUID, actor: UUID) -> PredictionJobPage:
    job = own_prediction(services.read, job_id, actor)
    return _freshened(services, PredictionJobPage(job=job), (job,))


def _freshened(services: Services, page: M, jobs: Sequence[PredictionJobRow]) -> M:
    """The page with what moves without events, if anything does: heartbeats of running jobs, and why others wait."""
    if running := [job.job_id for job in jobs if job.status is PredictionStatus.PREDICTING]:
        page = msgspec.structs.replace(page, beats=services.heartbeats.of_all(running), now=datetime.now(UTC))
    if waiting := [job.job_id for job in jobs if job.status is PredictionStatus.WAITING]:
        page = msgspec.structs.replace(page, waits=services.waiting.of_all(waiting))
    return page


def _came_from(form: Form, job_id: UUID) -> str:
    return f"{ADDRESS}/{job_id}" if form.text("stay") else ADDRESS
