"""题库预测: the list of the user's own jobs, one job, and its report. Source: section P; manual, “在线评估”.

`JobPages` is what 模型对比 has as well; its own report is in `web/comparisons.py`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import ClassVar, TypeVar
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect, ServerSentEvent

from commands.prediction_jobs import DeletePredictionJob, RestartPrediction, TerminatePrediction
from domain.messages import Heartbeat
from domain.prediction_jobs import PredictionAction, PredictionStatus, check_offered
from domain.refusals import NotFound
from domain.sentences import N_
from domain.waiting import Wait
from projections.compute_resources import ComputeResourceRow
from projections.prediction_jobs import SORTS, PredictionJobRow
from projections.read_model import Page as Part
from web.downloads import Download, run_log
from web.evaluation_reports import ReportView, own_prediction, report_view
from web.forms import Form
from web.listing import Listing, read_listing, way_back
from web.live import Live
from web.live import Part as LivePart
from web.pages import Desk, Page
from web.prediction_kinds import QUESTION_BANK, KindOfPages
from web.services import ReadModels, Services

STATUS_NAMES: Mapping[PredictionStatus, str] = MappingProxyType(
    {
        PredictionStatus.WAITING: N_("Waiting"),
        PredictionStatus.PREDICTING: N_("Prediction running"),
        PredictionStatus.COMPLETED: N_("Predicted"),
        PredictionStatus.FAILED: N_("Run failed"),
        PredictionStatus.TERMINATED: N_("Prediction terminated"),
    }
)
M = TypeVar("M", bound="MovingPage")


class MovingPage(Page, frozen=True, kw_only=True):
    """A page with jobs; `beats` are the heartbeats of those that run, by job, as of `now`, which is
    None while none runs; `waits` say why others wait.
    """

    kind: KindOfPages
    beats: Mapping[UUID, Heartbeat] = MappingProxyType({})
    now: datetime | None = None
    waits: Mapping[UUID, Wait] = MappingProxyType({})

    def seconds(self, job: PredictionJobRow) -> float | None:
        """How long a job has been running, or ran."""
        return run_seconds(job, self.now)


class PredictionJobsPage(MovingPage, frozen=True, kw_only=True):
    """The user's own jobs, the newest first; `task_types` are those that they have."""

    TEMPLATE = "prediction_jobs/list.html"
    listing: Listing
    jobs: Part[PredictionJobRow]
    task_types: tuple[str, ...]

    @property
    def statuses(self) -> tuple[tuple[str, str], ...]:
        """The states to choose from."""
        return tuple((status.value, name) for status, name in STATUS_NAMES.items())

    @property
    def is_filtered(self) -> bool:
        """Whether the list shows some jobs only."""
        return any(self.form.text(name) for name in ("status", "task_type", "search", "model"))

    @property
    def stream(self) -> str:
        """Where the rows come from as they change."""
        return self.listing.page_address(self.listing.page).replace(self.kind.address, f"{self.kind.address}/live", 1)


class PredictionJobPage(MovingPage, frozen=True, kw_only=True):
    """One job: state, what it judges, log; `has_log` says whether one can be downloaded by now. `resource` is the compute resource
    that it asks for, also where that was deleted since.
    """

    TEMPLATE = "prediction_jobs/job.html"
    job: PredictionJobRow
    resource: ComputeResourceRow | None
    has_log: bool = False

    @property
    def wait(self) -> Wait | None:
        """Why it waits, while it does."""
        return self.waits.get(self.job.job_id)

    @property
    def beat(self) -> Heartbeat | None:
        """What its worker said last."""
        return self.beats.get(self.job.job_id)


class ConfirmPage(Page, frozen=True):
    """The question before hours of work are stopped, or a job goes with its report; `action` is terminate or delete."""

    TEMPLATE = "prediction_jobs/confirm.html"
    kind: KindOfPages
    job: PredictionJobRow
    action: str

    @property
    def back(self) -> str:
        """The part of the list where one came from."""
        return way_back(self.form, self.kind.address)


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
    {
        "job": LivePart(
            "prediction_jobs/_job.html",
            shows=lambda page: (page.job, page.resource, page.has_log, page.beats, page.waits, page.now),
        )
    }
)


class JobPages(Controller):
    """Everyone sees and acts on their own. A job is found at the address of its kind only."""

    kind: ClassVar[KindOfPages]

    @get("/", sync_to_thread=True)
    def list(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The manual's list."""
        return desk.show(_list_page(services, actor, self.kind, form))

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
            lambda: _list_page(services, actor, self.kind, form),
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
        return desk.show(_job_page(services, job_id, actor, self.kind))

    @get("/{job_id:uuid}/live", sync_to_thread=True)
    def stream_job(
        self,
        job_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        live: NamedDependency[Live],
    ) -> ServerSentEvent:
        """Its state as it changes."""
        _job_page(services, job_id, actor, self.kind)
        return live.watch(
            lambda: _job_page(services, job_id, actor, self.kind),
            JOB_PARTS,
            freshen=lambda page: _freshened_job(services, page),
        )

    @get("/{job_id:uuid}/log", sync_to_thread=True)
    def log(
        self, job_id: FromPath[UUID], actor: NamedDependency[UUID], services: NamedDependency[Services]
    ) -> Download:
        """下载日志: of a job that runs, as far as it is."""
        job = own_job(services.read, job_id, actor, self.kind)
        return run_log(services, job.log, services.running_logs.of(job_id, job.attempt), f"{job.name}.log")

    @get("/{job_id:uuid}/terminate", sync_to_thread=True)
    def confirm_terminate(
        self,
        job_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The question before."""
        with desk.unless_gone(self.kind.address), desk.unless_settled(f"{self.kind.address}/{job_id}"):
            page = self._confirm_page(read, job_id, actor, PredictionAction.TERMINATE, Form())
            check_offered(PredictionAction.TERMINATE, page.job.status, page.job.name)
        return desk.show(page)

    @post("/{job_id:uuid}/terminate", sync_to_thread=True)
    def terminate(
        self,
        job_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """终止."""
        with desk.unless_gone(self.kind.address):
            page = self._confirm_page(read, job_id, actor, PredictionAction.TERMINATE, Form())
            with desk.refusals_on(page):
                desk.ask(TerminatePrediction(actor=actor, job_id=job_id))
        desk.say(N_("“{name}” is terminated."), name=page.job.name)
        return desk.go(f"{self.kind.address}/{job_id}")

    @post("/{job_id:uuid}/restart", sync_to_thread=True)
    def restart(
        self,
        job_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """启动: from 0 %."""
        with desk.unless_gone(way_back(form, self.kind.address)):
            job = own_job(read, job_id, actor, self.kind)
            desk.ask(RestartPrediction(actor=actor, job_id=job_id))
        desk.say(N_("“{name}” waits for a worker. The prediction will begin from 0 %."), name=job.name)
        return desk.go(f"{self.kind.address}/{job_id}" if form.text("stay") else way_back(form, self.kind.address))

    @get("/{job_id:uuid}/delete", sync_to_thread=True)
    def confirm_delete(
        self,
        job_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The question before."""
        back = way_back(form, self.kind.address)
        with desk.unless_gone(back), desk.unless_settled(f"{self.kind.address}/{job_id}"):
            page = self._confirm_page(read, job_id, actor, PredictionAction.DELETE, form)
            check_offered(PredictionAction.DELETE, page.job.status, page.job.name)
        return desk.show(page)

    @post("/{job_id:uuid}/delete", sync_to_thread=True)
    def delete(
        self,
        job_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """删除."""
        with desk.unless_gone(way_back(form, self.kind.address)):
            page = self._confirm_page(read, job_id, actor, PredictionAction.DELETE, form)
            with desk.refusals_on(page):
                desk.ask(DeletePredictionJob(actor=actor, job_id=job_id))
        desk.say(self.kind.deleted, name=page.job.name)
        return desk.go(page.back)

    def _confirm_page(
        self, read: ReadModels, job_id: UUID, actor: UUID, action: PredictionAction, form: Form
    ) -> ConfirmPage:
        job = own_job(read, job_id, actor, self.kind)
        return ConfirmPage(form=form, kind=self.kind, job=job, action=action.value)


class PredictionJobs(JobPages):
    """题库预测."""

    path = QUESTION_BANK.address
    kind = QUESTION_BANK

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
        job = own_job(read, job_id, actor, self.kind)
        view = report_view(read, job_id, job.versions[0], form, address=f"{self.kind.address}/{job_id}/report")
        return desk.show(PredictionReportPage(job=job, view=view))


def own_job(read: ReadModels, job_id: UUID, actor: UUID, kind: KindOfPages) -> PredictionJobRow:
    """A job of the signed-in user, of the kind whose address was asked.

    Raises:
        NotFound, NotTheOwner.
    """
    job = own_prediction(read, job_id, actor)
    if job.kind is not kind.kind:
        raise NotFound
    return job


def run_seconds(job: PredictionJobRow, now: datetime | None) -> float | None:
    """How long a job ran, or has been running until now; None where it does not."""
    if job.status is PredictionStatus.PREDICTING and job.started_at is not None and now is not None:
        return (now - job.started_at).total_seconds()
    return job.seconds


def _list_page(services: Services, actor: UUID, kind: KindOfPages, form: Form) -> PredictionJobsPage:
    asked = read_listing(kind.address, form, columns=tuple(SORTS), default="-queued_at")
    jobs: Part[PredictionJobRow] = services.read.prediction_jobs.page(
        actor,
        kind.kind,
        status={status.value: status for status in PredictionStatus}.get(form.text("status")),
        task_type=form.text("task_type"),
        search=form.text("search"),
        model=form.text("model"),
        sort=asked.sort,
        page=asked.page,
    )
    page = PredictionJobsPage(
        form=form,
        kind=kind,
        listing=asked.of(jobs.total),
        jobs=jobs,
        task_types=tuple(services.read.prediction_jobs.task_types(actor, kind.kind)),
    )
    return _freshened(services, page, jobs.items)


def _job_page(services: Services, job_id: UUID, actor: UUID, kind: KindOfPages) -> PredictionJobPage:
    job = own_job(services.read, job_id, actor, kind)
    resource = services.read.compute_resources.get(job.compute_resource_id)
    return _freshened_job(services, PredictionJobPage(kind=kind, job=job, resource=resource))


def _freshened_job(services: Services, page: PredictionJobPage) -> PredictionJobPage:
    job = page.job
    has_log = job.log is not None or services.running_logs.of(job.job_id, job.attempt) is not None
    return _freshened(services, msgspec.structs.replace(page, has_log=has_log), (job,))


def _freshened(services: Services, page: M, jobs: Sequence[PredictionJobRow]) -> M:
    """The page with what moves without events, if anything does: heartbeats of running jobs, and why others wait."""
    if running := [job.job_id for job in jobs if job.status is PredictionStatus.PREDICTING]:
        page = msgspec.structs.replace(page, beats=services.heartbeats.of_all(running), now=datetime.now(UTC))
    if waiting := [job.job_id for job in jobs if job.status is PredictionStatus.WAITING]:
        page = msgspec.structs.replace(page, waits=services.waiting.of_all(waiting))
    return page
