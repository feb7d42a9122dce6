"""训练任务管理: the list of everyone's jobs, the monitor of one, its report. Source: section T, R-1; manual, “训练任务管理”."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect, ServerSentEvent

from commands.models import PublishModelVersion
from commands.training_jobs import DeleteTrainingJob, RestartTraining, TerminateTraining
from domain.evaluation import EvaluationFigures
from domain.json_forms import write_json
from domain.messages import Heartbeat, LossPart, StageName
from domain.permissions import check_owner, owns
from domain.refusals import NotFound
from domain.sentences import N_
from domain.training_jobs import TrainedWeights, TrainingAction, TrainingStatus, check_offered, offered
from domain.waiting import Wait
from projections.evaluation_reports import LAST_LABEL, TRAINING_LABEL
from projections.training_jobs import (
    SORTS,
    Creator,
    LossPoint,
    PartRow,
    StageRow,
    TrainingJobDetail,
    TrainingJobRow,
    ValidationRow,
)
from web import training_files
from web.cascade import standing_nodes
from web.charts import MOST_POINTS, LineChart, Series, evenly, line_chart, nice_ticks
from web.downloads import Download
from web.evaluation_reports import ReportView, report_view
from web.forms import Form, id_or_none
from web.listing import Listing, read_listing, way_back
from web.live import Live, Part
from web.pages import Desk, Page
from web.services import ReadModels, Services

ADDRESS = "/training-jobs"
FIRST_BEAT_SECONDS = 5.0
"""Who has begun is heard within so long."""
AXIS_AHEAD, SHORTEST_AXIS = 1.25, 4
"""So much further than the curve an axis reaches; marks of iterations are whole numbers from the first one on."""
TABLE_ROWS = 20
"""So many points of a curve stand in its table."""
STATUS_NAMES: Mapping[TrainingStatus, str] = MappingProxyType(
    {
        TrainingStatus.WAITING: N_("Waiting"),
        TrainingStatus.TRAINING: N_("In training"),
        TrainingStatus.TERMINATED: N_("Training terminated"),
        TrainingStatus.COMPLETED: N_("Training completed"),
        TrainingStatus.FAILED: N_("Training failed"),
        TrainingStatus.PUBLISHED: N_("Model published"),
    }
)


VALIDATED: Mapping[LossPart, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        LossPart.CLASSIFICATION: (("accuracy", N_("Accuracy")), ("recall", N_("Recall"))),
        LossPart.SEGMENTATION: (("iou", N_("Mean IoU")),),
    }
)
"""What is drawn of the validations of each network."""


class JobLine(msgspec.Struct, frozen=True, kw_only=True):
    """A job as a page shows it at one moment. `beat` is there while its worker is heard, `wait` while it waits; `actions` is what
    this reader may do. `is_unheard` where somebody trains it and is not heard, though there was time.
    """

    row: TrainingJobRow
    beat: Heartbeat | None
    share: float
    duration_seconds: float | None
    expected_end: datetime | None
    actions: tuple[TrainingAction, ...]
    wait: Wait | None = None
    is_unheard: bool = False

    @property
    def status_name(self) -> str:
        """The state in words."""
        return STATUS_NAMES[self.row.status]

    @property
    def address(self) -> str:
        """The monitor."""
        return f"{ADDRESS}/{self.row.job_id}"


class StageLine(msgspec.Struct, frozen=True, kw_only=True):
    """A preprocessing stage: `state` is finished, running, waiting, broken_off (the run ended during it) or skipped (it ended
    before). `seconds` of one that runs are those up to now, None where nobody knows.
    """

    stage: StageName
    state: str
    found: StageRow | None
    seconds: float | None


class PartCurve(msgspec.Struct, frozen=True, kw_only=True):
    """The loss curve of one network, with how far it is. `points` are some of it for a table, the newest first; `is_thinned` where
    not every point is drawn.
    """

    row: PartRow
    chart: LineChart
    points: tuple[LossPoint, ...]
    is_thinned: bool


class ValidationCurve(msgspec.Struct, frozen=True, kw_only=True):
    """The validation figures of one network, the newest first, and their curve."""

    part: LossPart
    rows: tuple[ValidationRow, ...]
    chart: LineChart


class WeightsLine(msgspec.Struct, frozen=True, kw_only=True):
    """Weights that a completed run kept, the best or the last: of which iteration of each network, and what they are worth.
    `address` is their report; their owner can download them.
    """

    which: TrainedWeights
    iterations: tuple[tuple[LossPart, int], ...]
    figures: EvaluationFigures
    address: str
    is_published: bool
    can_be_downloaded: bool


class TrainingJobsPage(Page, frozen=True):
    """Everyone's jobs, the newest first."""

    TEMPLATE = "training_jobs/list.html"
    listing: Listing
    lines: tuple[JobLine, ...]
    creators: tuple[Creator, ...]
    statuses: tuple[tuple[str, str], ...]

    @property
    def stream(self) -> str:
        """The stream of the same rows."""
        return f"{ADDRESS}/live?{urlencode(self.listing.fields)}"

    @property
    def is_filtered(self) -> bool:
        """Whether the address leaves something out."""
        return any(self.form.text(name) for name in ("status", "owner", "search"))


class MonitorPage(Page, frozen=True):
    """监控: everything that is known of a job, while it trains and afterwards. `has_log` and `logged_parts` say which logs can be
    downloaded by now.
    """

    TEMPLATE = "training_jobs/monitor.html"
    job: TrainingJobDetail
    line: JobLine
    has_log: bool
    logged_parts: tuple[LossPart, ...]
    stages: tuple[StageLine, ...]
    curves: tuple[PartCurve, ...]
    validations: tuple[ValidationCurve, ...]
    resource: Any
    standing: frozenset[UUID]
    model_parameters: str
    training_parameters: str

    @property
    def defect_codes(self) -> tuple[str, ...]:
        """All of the list, in the order of the segmentation's figures."""
        return self.job.ordered.model_parameters.code_list


class TrainingReportPage(Page, frozen=True):
    """模型评估报告 of the validation split, with the best weights or with the last; `kept` are both, where they are known."""

    TEMPLATE = "training_jobs/report.html"
    line: JobLine
    view: ReportView
    which: TrainedWeights
    kept: tuple[WeightsLine, ...]


class ConfirmPage(Page, frozen=True):
    """The question before something that cannot be undone; `action` is terminate, delete or publish, which may choose weights."""

    TEMPLATE = "training_jobs/confirm.html"
    line: JobLine
    action: str
    kept: tuple[WeightsLine, ...] = ()

    @property
    def back(self) -> str:
        """The part of the list where one came from."""
        return way_back(self.form, ADDRESS)


LIST_PARTS: Mapping[str, Part[TrainingJobsPage]] = MappingProxyType(
    {"rows": Part("training_jobs/_rows.html", shows=lambda page: (page.listing, page.lines))}
)
MONITOR_PARTS: Mapping[str, Part[MonitorPage]] = MappingProxyType(
    {
        "acts": Part("training_jobs/_acts.html", shows=lambda page: (page.job.status, page.line.actions)),
        "progress": Part(
            "training_jobs/_progress.html",
            shows=lambda page: (page.job, page.line, page.has_log, page.logged_parts, page.resource),
        ),
        "stages": Part("training_jobs/_stages.html", shows=lambda page: (page.stages, page.job.status)),
        "curves": Part("training_jobs/_curves.html", shows=lambda page: (page.curves, page.validations)),
        "facts": Part("training_jobs/_facts.html", shows=lambda page: (page.job, page.resource)),
    }
)


class TrainingJobs(Controller):
    """Everyone sees every job; its owner acts on it, as the command side decides (U-6)."""

    path = ADDRESS

    @get("/", sync_to_thread=True)
    def list(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The manual's list (T-3)."""
        creators = tuple(services.read.training_jobs.creators())
        return desk.show(msgspec.structs.replace(_list_page(services, form, actor), creators=creators))

    @get("/live", sync_to_thread=True)
    def stream_list(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        live: NamedDependency[Live],
    ) -> ServerSentEvent:
        """The rows as they move."""
        return live.watch(
            lambda: _list_page(services, form, actor),
            LIST_PARTS,
            freshen=lambda page: msgspec.structs.replace(page, lines=_freshened(services, page.lines, actor)),
        )

    @get("/{job_id:uuid}", sync_to_thread=True)
    def monitor(
        self,
        job_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """监控 (T-4, T-5)."""
        return desk.show(_monitor_page(services, job_id, actor))

    @get("/{job_id:uuid}/live", sync_to_thread=True)
    def stream_monitor(
        self,
        job_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        live: NamedDependency[Live],
    ) -> ServerSentEvent:
        """Its parts as they move; a long curve is read again only when it has grown."""
        job_of(services.read, job_id)
        drawn: dict[tuple[int, PartRow], PartCurve] = {}

        def look() -> MonitorPage:
            page = _monitor_page(services, job_id, actor, drawn)
            drawn.clear()
            drawn.update(((page.job.run, curve.row), curve) for curve in page.curves)
            return page

        def freshen(page: MonitorPage) -> MonitorPage:
            [line] = _freshened(services, (page.line,), actor)
            found = [stage.found for stage in page.stages if stage.found]
            return msgspec.structs.replace(page, line=line, stages=stage_lines(page.job, found, datetime.now(UTC)))

        return live.watch(look, MONITOR_PARTS, freshen=freshen)

    @get("/{job_id:uuid}/log", sync_to_thread=True)
    def log(self, job_id: FromPath[UUID], services: NamedDependency[Services]) -> Download:
        """下载日志: of a run that goes on, as far as it is."""
        return training_files.whole_log(services, job_of(services.read, job_id))

    @get("/{job_id:uuid}/log/{part:str}", sync_to_thread=True)
    def part_log(self, job_id: FromPath[UUID], part: FromPath[str], services: NamedDependency[Services]) -> Download:
        """下载日志 of one of two networks (T-5)."""
        return training_files.part_log(services, job_of(services.read, job_id), part)

    @get("/{job_id:uuid}/losses", sync_to_thread=True)
    def losses(self, job_id: FromPath[UUID], services: NamedDependency[Services]) -> Download:
        """Every raw point of the loss curves, as JSON Lines."""
        return training_files.losses(services, job_of(services.read, job_id))

    @get("/{job_id:uuid}/manifest", sync_to_thread=True)
    def manifest(self, job_id: FromPath[UUID], services: NamedDependency[Services]) -> Download:
        """Which images trained and validated, with their checksums, as JSON Lines."""
        return training_files.manifest(services, job_of(services.read, job_id))

    @get("/{job_id:uuid}/preview", sync_to_thread=True)
    def preview(self, job_id: FromPath[UUID], services: NamedDependency[Services]) -> Download:
        """Augmented samples, as a picture."""
        return training_files.preview(services, job_of(services.read, job_id))

    @get("/{job_id:uuid}/report", sync_to_thread=True)
    def report(
        self,
        job_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """模型评估报告 (R-1)."""
        return desk.show(_report_page(services.read, job_id, form, actor, TrainedWeights.BEST))

    @get("/{job_id:uuid}/report/last", sync_to_thread=True)
    def last_report(
        self,
        job_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The same with the weights of the last iteration, where they are not the best."""
        return desk.show(_report_page(services.read, job_id, form, actor, TrainedWeights.LAST))

    @get("/{job_id:uuid}/weights/{which:str}/{part:str}", sync_to_thread=True)
    def weights(
        self,
        job_id: FromPath[UUID],
        which: FromPath[str],
        part: FromPath[str],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
    ) -> Download:
        """The best or the last weights of a network, as safetensors; for the owner, as the model is."""
        return training_files.weights(services, job_of(services.read, job_id), which, part, actor)

    @get("/{job_id:uuid}/terminate", sync_to_thread=True)
    def confirm_terminate(
        self,
        job_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The question before."""
        with desk.unless_gone(ADDRESS), desk.unless_settled(f"{ADDRESS}/{job_id}"):
            page = _confirm_page(read, job_id, actor, TrainingAction.TERMINATE, Form())
        return desk.show(page)

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
        with desk.unless_gone(way_back(form, ADDRESS)), desk.unless_settled(f"{ADDRESS}/{job_id}"):
            page = _confirm_page(read, job_id, actor, TrainingAction.DELETE, form)
        return desk.show(page)

    @get("/{job_id:uuid}/publish", sync_to_thread=True)
    def confirm_publish(
        self,
        job_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The question before."""
        with desk.unless_gone(ADDRESS), desk.unless_settled(f"{ADDRESS}/{job_id}"):
            page = _confirm_page(read, job_id, actor, TrainingAction.PUBLISH, Form())
        return desk.show(page)

    @post("/{job_id:uuid}/terminate", sync_to_thread=True)
    def terminate(
        self,
        job_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """【终止】."""
        with desk.unless_gone(ADDRESS):
            job = job_of(read, job_id)
            desk.ask(TerminateTraining(actor=actor, job_id=job_id))
        desk.say(N_("The training of “{name}” is terminated."), name=job.model_name)
        return desk.go(f"{ADDRESS}/{job_id}")

    @post("/{job_id:uuid}/restart", sync_to_thread=True)
    def restart(
        self,
        job_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """【启动】: from 0 %."""
        with desk.unless_gone(ADDRESS):
            job = job_of(read, job_id)
            desk.ask(RestartTraining(actor=actor, job_id=job_id))
        desk.say(N_("“{name}” waits for a worker and will begin from 0 %."), name=job.model_name)
        return desk.go(f"{ADDRESS}/{job_id}")

    @post("/{job_id:uuid}/delete", sync_to_thread=True)
    def delete(
        self,
        job_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """【删除】."""
        back = way_back(form, ADDRESS)
        with desk.unless_gone(back):
            job = job_of(read, job_id)
            desk.ask(DeleteTrainingJob(actor=actor, job_id=job_id))
        desk.say(N_("Training job “{name}” is deleted."), name=job.model_name)
        return desk.go(back)

    @post("/{job_id:uuid}/publish", sync_to_thread=True)
    def publish(
        self,
        job_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        form: NamedDependency[Form],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """【模型发布】, with the best weights unless the last are chosen."""
        is_last = form.text("weights") == TrainedWeights.LAST.value
        chosen = TrainedWeights.LAST if is_last else TrainedWeights.BEST
        with desk.unless_gone(ADDRESS):
            desk.ask(PublishModelVersion(actor=actor, job_id=job_id, chosen_weights=chosen))
            job = job_of(read, job_id)
        desk.say(N_("“{name}” is published as {version}."), name=job.model_name, version=job.label)
        return desk.go(f"{ADDRESS}/{job_id}")


def _list_page(services: Services, form: Form, actor: UUID) -> TrainingJobsPage:
    """Without the creators to filter by: the rows do not show them."""
    listing = read_listing(ADDRESS, form, columns=tuple(SORTS), default="-queued_at")
    wanted = form.text("status")
    found = services.read.training_jobs.page(
        status=TrainingStatus(wanted) if wanted in {status.value for status in TrainingStatus} else None,
        owner=id_or_none(form.text("owner")),
        search=form.text("search"),
        sort=listing.sort,
        page=listing.page,
    )
    return TrainingJobsPage(
        form=form,
        listing=listing.of(found.total),
        lines=_lines(services, found.items, actor),
        creators=(),
        statuses=tuple((status.value, name) for status, name in STATUS_NAMES.items()),
    )


def _lines(services: Services, rows: Sequence[TrainingJobRow], actor: UUID) -> tuple[JobLine, ...]:
    running = [row.job_id for row in rows if row.status is TrainingStatus.TRAINING]
    beats = services.heartbeats.of_all(running) if running else {}
    waiting = [row.job_id for row in rows if row.status is TrainingStatus.WAITING]
    waits = services.waiting.of_all(waiting) if waiting else {}
    now = datetime.now(UTC)
    return tuple(_line(row, beats.get(row.job_id), actor, now, waits.get(row.job_id)) for row in rows)


def _freshened(services: Services, lines: tuple[JobLine, ...], actor: UUID) -> tuple[JobLine, ...]:
    """The same jobs a moment later; where none runs or waits, nothing has moved and nothing is asked."""
    is_moving = any(line.row.status in (TrainingStatus.TRAINING, TrainingStatus.WAITING) for line in lines)
    return _lines(services, [line.row for line in lines], actor) if is_moving else lines


def _line(row: TrainingJobRow, beat: Heartbeat | None, actor: UUID, now: datetime, wait: Wait | None = None) -> JobLine:
    if beat is not None and (row.status is not TrainingStatus.TRAINING or beat.attempt != row.attempt):
        beat = None  # of an attempt that is over
    share = beat.progress if beat else row.share_done
    if beat is not None and not beat.iteration:
        share = max(share, row.share_done)  # a worker that goes on reads the images first; the run is further than that
    return JobLine(
        row=row,
        beat=beat,
        share=share,
        duration_seconds=row.duration_seconds(now),
        expected_end=now + timedelta(seconds=beat.seconds_left) if beat and beat.seconds_left is not None else None,
        actions=offered(row.status, row.owner, actor),
        wait=wait,
        is_unheard=beat is None
        and row.running_since is not None
        and (now - row.running_since).total_seconds() > FIRST_BEAT_SECONDS,
    )


def _confirm_page(read: ReadModels, job_id: UUID, actor: UUID, action: TrainingAction, form: Form) -> ConfirmPage:
    job = job_of(read, job_id)
    check_owner(job.owner, actor)
    check_offered(action, job.status, job.model_name)
    asked = Form((*form.fields, ("weights", TrainedWeights.BEST.value)))
    return ConfirmPage(
        form=asked, line=_line(job, None, actor, datetime.now(UTC)), action=action.value, kept=_kept(job, actor)
    )


def _report_page(read: ReadModels, job_id: UUID, form: Form, actor: UUID, which: TrainedWeights) -> TrainingReportPage:
    job = job_of(read, job_id)
    line = _line(job, None, actor, datetime.now(UTC))
    address, label = _report_of(job_id, which)
    return TrainingReportPage(
        line=line, view=report_view(read, job_id, label, form, address=address), which=which, kept=_kept(job, actor)
    )


def _report_of(job_id: UUID, which: TrainedWeights) -> tuple[str, str]:
    """Address and label."""
    address = f"{ADDRESS}/{job_id}/report"
    return (address, TRAINING_LABEL) if which is TrainedWeights.BEST else (f"{address}/last", LAST_LABEL)


def _kept(job: TrainingJobDetail, actor: UUID) -> tuple[WeightsLine, ...]:
    """The best and the last weights; one line where they are the same, none where the run kept none or has not ended."""
    if not job.kept_weights or job.figures is None:
        return ()
    found = [(TrainedWeights.BEST, job.figures), (TrainedWeights.LAST, job.last_figures)]
    return tuple(
        WeightsLine(
            which=which,
            iterations=tuple(
                (kept.part, kept.best_iteration if which is TrainedWeights.BEST else kept.last_iteration)
                for kept in job.kept_weights
            ),
            figures=figures,
            address=_report_of(job.job_id, which)[0],
            is_published=job.chosen_weights is which,
            can_be_downloaded=owns(job.owner, actor),
        )
        for which, figures in found
        if figures is not None
    )


def _monitor_page(
    services: Services,
    job_id: UUID,
    actor: UUID,
    drawn: Mapping[tuple[int, PartRow], PartCurve] = MappingProxyType({}),
) -> MonitorPage:
    """`drawn` are curves from before: as long as its network is where it was in the same run, a curve is the same."""
    job = job_of(services.read, job_id)
    [line] = _lines(services, [job], actor)
    read = services.read.training_jobs
    parts = read.parts(job_id)
    logs = services.running_logs
    return MonitorPage(
        job=job,
        line=line,
        has_log=job.log is not None or logs.of(job_id, job.run) is not None,
        logged_parts=tuple(kept.part for kept in job.part_logs) or tuple(logs.of_parts(job_id, job.run)),
        stages=stage_lines(job, read.stages(job_id), datetime.now(UTC)),
        curves=tuple(drawn.get((job.run, part)) or _curve(services, job_id, part) for part in parts),
        validations=_validations(parts, read.validations(job_id)),
        resource=services.read.compute_resources.get(job.compute_resource_id),
        standing=standing_nodes(services.read, [job.environment]),
        model_parameters=write_json(job.ordered.model_parameters),
        training_parameters=write_json(job.ordered.training_parameters),
    )


def stage_lines(job: TrainingJobDetail, found: list[StageRow], now: datetime) -> tuple[StageLine, ...]:
    """All three, in their order; of those that have not ended the first one runs while the job trains, or ran when it ended."""
    by_name = {row.stage: row for row in found}
    unfinished = next((stage for stage in StageName if stage not in by_name), None)
    at_present = {TrainingStatus.WAITING: "waiting", TrainingStatus.TRAINING: "running"}.get(job.status, "broken_off")
    to_come = "skipped" if at_present == "broken_off" else "waiting"

    def line(stage: StageName) -> StageLine:
        row = by_name.get(stage)
        if row is not None:
            return StageLine(stage=stage, state="finished", found=row, seconds=row.seconds)
        state = at_present if stage is unfinished else to_come
        seconds = _running_seconds(job, found, now) if state == "running" else None
        return StageLine(stage=stage, state=state, found=None, seconds=seconds)

    return tuple(map(line, StageName))


def _running_seconds(job: TrainingJobDetail, found: list[StageRow], now: datetime) -> float | None:
    """How long a stage has run: whole seconds since the worker began, but for the stages before. Where a worker goes on, nobody
    knows which of those it has done again.
    """
    if job.running_since is None or job.interruptions:
        return None
    so_far = (now - job.running_since).total_seconds() - sum(row.seconds for row in found)
    return float(max(0, int(so_far)))


def _curve(services: Services, job_id: UUID, part: PartRow) -> PartCurve:
    measured: list[LossPoint] = services.read.training_jobs.losses(job_id, part.part)
    points = [(float(point.iteration), point.loss) for point in measured]
    series = Series("loss", tuple(points))
    return PartCurve(
        row=part,
        chart=line_chart([series], x_label="iteration", y_label="loss", x_max=_axis_end(part), from_zero=True),
        points=tuple(LossPoint(round(x), y) for x, y in reversed(evenly(points, TABLE_ROWS))),
        is_thinned=len(points) > MOST_POINTS,
    )


def _validations(parts: list[PartRow], rows: list[ValidationRow]) -> tuple[ValidationCurve, ...]:
    curves = []
    for part in parts:
        own = [row for row in rows if row.part is part.part]
        series = [
            Series(
                name,
                tuple((float(row.iteration), 100 * share) for row in own if (share := getattr(row, field)) is not None),
            )
            for field, name in VALIDATED[part.part]
        ]
        from_zero = part.part is LossPart.SEGMENTATION  # an IoU is near 0 for long, and its noise there means nothing
        chart = line_chart(series, x_label="iteration", y_label="%", x_max=_axis_end(part), from_zero=from_zero)
        curves.append(ValidationCurve(part=part.part, rows=tuple(reversed(own)), chart=chart))
    return tuple(curves)


def _axis_end(part: PartRow) -> float:
    """The last iteration of the axis: a round number ahead of the curve, at most that of the training. Of a long training the
    beginning would be a stroke at the edge for hours.
    """
    return min(float(part.max_iter), nice_ticks(0.0, AXIS_AHEAD * max(SHORTEST_AXIS, part.iteration))[-1])


def job_of(read: ReadModels, job_id: UUID) -> TrainingJobDetail:
    """Anybody's job.

    Raises:
        NotFound
    """
    job: TrainingJobDetail | None = read.training_jobs.get(job_id)
    if job is None:
        raise NotFound
    return job
