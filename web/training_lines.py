"""A training job as pages show it at one moment: in the list, and above its monitor, its report and its questions. T-2, T-3."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from uuid import UUID

import msgspec

from domain.messages import Heartbeat
from domain.refusals import NotFound
from domain.sentences import N_
from domain.training_jobs import TrainingAction, TrainingStatus, offered
from domain.waiting import Wait
from projections.training_jobs import TrainingJobDetail, TrainingJobRow
from web.services import ReadModels, Services

ADDRESS = "/training-jobs"
FIRST_BEAT_SECONDS = 5.0
"""Who has begun is heard within so long."""
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


def job_of(read: ReadModels, job_id: UUID) -> TrainingJobDetail:
    """Anybody's job.

    Raises:
        NotFound
    """
    job: TrainingJobDetail | None = read.training_jobs.get(job_id)
    if job is None:
        raise NotFound
    return job


def lines_of(services: Services, rows: Sequence[TrainingJobRow], actor: UUID) -> tuple[JobLine, ...]:
    """Some jobs with what their workers said last, and why others wait."""
    running = [row.job_id for row in rows if row.status is TrainingStatus.TRAINING]
    beats = services.heartbeats.of_all(running) if running else {}
    waiting = [row.job_id for row in rows if row.status is TrainingStatus.WAITING]
    waits = services.waiting.of_all(waiting) if waiting else {}
    now = datetime.now(UTC)
    return tuple(line_of(row, beats.get(row.job_id), actor, now, waits.get(row.job_id)) for row in rows)


def freshened(services: Services, lines: tuple[JobLine, ...], actor: UUID) -> tuple[JobLine, ...]:
    """The same jobs a moment later; where none runs or waits, nothing has moved and nothing is asked."""
    is_moving = any(line.row.status in (TrainingStatus.TRAINING, TrainingStatus.WAITING) for line in lines)
    return lines_of(services, [line.row for line in lines], actor) if is_moving else lines


def line_of(
    row: TrainingJobRow, beat: Heartbeat | None, actor: UUID, now: datetime, wait: Wait | None = None
) -> JobLine:
    """One of them; `beat` is what a worker said last, also of an attempt that is over."""
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
