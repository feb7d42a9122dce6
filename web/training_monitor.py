"""监控: everything that is known of a training job, while it trains and afterwards. Source: T-4, T-5; manual, “监控”."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

import msgspec
from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import ServerSentEvent

from domain.json_forms import write_json
from domain.messages import LossPart, StageName
from domain.training_jobs import TrainingStatus
from projections.training_jobs import PartRow, StageRow, TrainingJobDetail
from web.cascade import standing_nodes
from web.live import Live, Part
from web.pages import Desk, Page
from web.services import Services
from web.training_curves import PartCurve, ValidationCurve, loss_curve, validation_curves
from web.training_lines import ADDRESS, JobLine, freshened, job_of, lines_of


class StageLine(msgspec.Struct, frozen=True, kw_only=True):
    """A preprocessing stage: `state` is finished, running, waiting, broken_off (the run ended during it) or skipped (it ended
    before). `seconds` of one that runs are those up to now, None where nobody knows.
    """

    stage: StageName
    state: str
    found: StageRow | None
    seconds: float | None


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


class TrainingMonitor(Controller):
    """Everyone may watch every job."""

    path = f"{ADDRESS}/{{job_id:uuid}}"

    @get("/", sync_to_thread=True)
    def monitor(
        self,
        job_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """监控 (T-4, T-5)."""
        return desk.show(_monitor_page(services, job_id, actor))

    @get("/live", sync_to_thread=True)
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
            [line] = freshened(services, (page.line,), actor)
            found = [stage.found for stage in page.stages if stage.found]
            return msgspec.structs.replace(page, line=line, stages=stage_lines(page.job, found, datetime.now(UTC)))

        return live.watch(look, MONITOR_PARTS, freshen=freshen)


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


def _monitor_page(
    services: Services,
    job_id: UUID,
    actor: UUID,
    drawn: Mapping[tuple[int, PartRow], PartCurve] = MappingProxyType({}),
) -> MonitorPage:
    """`drawn` are curves from before: as long as its network is where it was in the same run, a curve is the same."""
    job = job_of(services.read, job_id)
    [line] = lines_of(services, [job], actor)
    read = services.read.training_jobs
    parts = read.parts(job_id)
    logs = services.running_logs
    return MonitorPage(
        job=job,
        line=line,
        has_log=job.log is not None or logs.of(job_id, job.run) is not None,
        logged_parts=tuple(kept.part for kept in job.part_logs) or tuple(logs.of_parts(job_id, job.run)),
        stages=stage_lines(job, read.stages(job_id), datetime.now(UTC)),
        curves=tuple(drawn.get((job.run, part)) or loss_curve(services.read, job_id, part) for part in parts),
        validations=validation_curves(parts, read.validations(job_id)),
        resource=services.read.compute_resources.get(job.compute_resource_id),
        standing=standing_nodes(services.read, [job.environment]),
        model_parameters=write_json(job.ordered.model_parameters),
        training_parameters=write_json(job.ordered.training_parameters),
    )
