"""What every kind of job can be asked for: the same addresses, each kind with its own commands. Source: sections T, P and R."""

from typing import Annotated, Any, ClassVar, Generic, Protocol, TypeVar, get_args
from uuid import UUID

from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from commands.assay import Command
from domain.evaluation import SampleState
from projections.evaluation_reports import EvaluationReport, SampleChoice, SampleRow
from projections.sample_order import Order
from web.api.desk import ApiDesk
from web.api.lists import DEFAULT_LIMIT, After, DefectCode, Limit, Listed, paged
from web.api.routes import ACTS, LOOKS
from web.api.shapes import JobNow, JobWait, Report, Sample, Shape, shaped
from web.services import ReadModels, Services

Sent = TypeVar("Sent", bound=Shape)
"""A job as it is sent by itself."""


class JobCommand(Protocol):
    """A command about one job."""

    def __call__(self, *, actor: UUID, job_id: UUID) -> Command:
        """The wish of an actor."""


class Jobs(Controller, Generic[Sent]):
    """Jobs of one kind. A job is found at the address of its kind only; who may act on it, the commands decide."""

    terminating: ClassVar[JobCommand]
    restarting: ClassVar[JobCommand]
    deleting: ClassVar[JobCommand]

    def __init_subclass__(cls, **options: Any) -> None:
        """What `Sent` stands for: Litestar (2.25) looks a type variable up by itself, beside the names of types."""
        super().__init_subclass__(**options)
        (sent,) = get_args(cls.__orig_bases__[0])  # type: ignore[attr-defined]
        cls.signature_namespace = {Sent: sent}  # type: ignore[misc]

    def found(self, read: ReadModels, job_id: UUID, desk: ApiDesk) -> Any:
        """The row of a job that the caller may look at.

        Raises:
            NotFound, NotTheOwner
        """
        raise NotImplementedError

    def sent(self, services: Services, job: Any, desk: ApiDesk) -> Sent:
        """The row as it is sent."""
        raise NotImplementedError

    @get("/{job_id:uuid}", sync_to_thread=True, responses=LOOKS)
    def one(self, job_id: FromPath[UUID], services: NamedDependency[Services], desk: NamedDependency[ApiDesk]) -> Sent:
        """One job, with what it does at this moment, or since when and why it waits."""
        return self.sent(services, self.found(services.read, job_id, desk), desk)

    @delete("/{job_id:uuid}", sync_to_thread=True, responses=ACTS)
    def remove(
        self, job_id: FromPath[UUID], services: NamedDependency[Services], desk: NamedDependency[ApiDesk]
    ) -> None:
        """Delete a job that neither runs nor is published."""
        self.found(services.read, job_id, desk)
        desk.ask(self.deleting(actor=desk.caller.user_id, job_id=job_id))

    @post("/{job_id:uuid}/terminate", sync_to_thread=True, status_code=200, responses=ACTS)
    def terminate(
        self, job_id: FromPath[UUID], services: NamedDependency[Services], desk: NamedDependency[ApiDesk]
    ) -> Sent:
        """Stop a job that runs; one that waits can be deleted only."""
        return self._asked(self.terminating, job_id, services, desk)

    @post("/{job_id:uuid}/restart", sync_to_thread=True, status_code=200, responses=ACTS)
    def restart(
        self, job_id: FromPath[UUID], services: NamedDependency[Services], desk: NamedDependency[ApiDesk]
    ) -> Sent:
        """Start a terminated or failed job again, from 0 %."""
        return self._asked(self.restarting, job_id, services, desk)

    @get("/{job_id:uuid}/reports", sync_to_thread=True, responses=LOOKS)
    def reports(
        self, job_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[ApiDesk]
    ) -> tuple[Report, ...]:
        """The figures of everything that a job judged, none until it is completed. A prediction judges a version, a comparison two;
        a training judges its best weights on its validation split (`validation`), and its last ones where they are others.
        """
        self.found(read, job_id, desk)
        return tuple(shaped(report, Report, version=report.label) for report in read.evaluation_reports.of_job(job_id))

    @get("/{job_id:uuid}/reports/{label:str}/samples", sync_to_thread=True, responses=LOOKS)
    def samples(
        self,
        job_id: FromPath[UUID],
        label: FromPath[str],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[ApiDesk],
        sample_state: Annotated[SampleState, QueryParameter(name="state")] = SampleState.JUDGED,
        true_defect_code: DefectCode = "",
        predicted_defect_code: DefectCode = "",
        order: FromQuery[Order] = Order.SUREST,
        only_misjudged: FromQuery[bool] = True,
        after: After = "",
        limit: Limit = DEFAULT_LIMIT,
    ) -> Listed[Sample]:
        """The images of one report with their verdicts: by default the misjudged ones, those that the model is surest of first."""
        self.found(read, job_id, desk)
        report: EvaluationReport | None = read.evaluation_reports.get(job_id, label)
        choice = SampleChoice(
            true_defect_code=true_defect_code or None,
            predicted_defect_code=predicted_defect_code or None,
            state=sample_state,
            only_misjudged=only_misjudged and sample_state is SampleState.JUDGED,
            order=order,
        )
        return paged(
            after,
            limit,
            lambda number, size: read.evaluation_reports.samples(job_id, label, choice, page=number, size=size),
            lambda row: _sample(row, report.defect_codes if report else ()),
        )

    def _asked(self, command: JobCommand, job_id: UUID, services: Services, desk: ApiDesk) -> Sent:
        self.found(services.read, job_id, desk)
        desk.ask(command(actor=desk.caller.user_id, job_id=job_id))
        return self.sent(services, self.found(services.read, job_id, desk), desk)


def moment_of(
    services: Services, job_id: UUID, desk: ApiDesk, *, is_running: bool, is_waiting: bool
) -> dict[str, JobNow | JobWait | None]:
    """The fields `now` and `wait` of a job: what moves without an event."""
    beat = services.heartbeats.of(job_id) if is_running else None
    wait = services.waiting.of(job_id) if is_waiting else None
    return {
        "now": shaped(beat, JobNow) if beat else None,
        "wait": JobWait(since=wait.since, reason=desk.say(wait.reason)) if wait else None,
    }


def _sample(row: SampleRow, codes: tuple[str, ...]) -> Sample:
    pixels = dict(zip(codes, row.segmented.predicted_pixels, strict=False)) if row.segmented else None
    return shaped(row, Sample, scores=dict(zip(codes, row.scores, strict=False)), predicted_pixels=pixels)
