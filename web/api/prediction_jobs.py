"""Prediction jobs and comparisons: one's own. Source: REQUIREMENTS, section P."""

from typing import Annotated, Any, ClassVar
from uuid import UUID

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from commands.prediction_jobs import DeletePredictionJob, QueuePredictionJob, RestartPrediction, TerminatePrediction
from domain.data_paths import FolderName, refuse_too_many
from domain.evaluation import Outcome
from domain.prediction_jobs import PredictionDraft, PredictionStatus
from projections.comparisons import OUTCOMES, CodeComparison, ComparedChoice, ComparedKind
from projections.comparisons import ComparedSample as ComparedSampleRow
from projections.prediction_jobs import PredictionJobRow
from projections.sample_order import Order
from web.api.desk import ApiDesk
from web.api.jobs import Jobs, moment_of
from web.api.lists import DEFAULT_LIMIT, NEWEST_FIRST, After, DefectCode, Limit, Listed, Search, listed, paged, place_of
from web.api.routes import ACTS, LOOKS, IdempotencyKey, file_answer
from web.api.shapes import (
    ComparedCode,
    ComparedSample,
    ComparisonReport,
    PredictionJob,
    PredictionJobDetail,
    Shape,
    Verdict,
    shaped,
)
from web.api.training_jobs import written
from web.comparisons import counted
from web.downloads import Download, run_log
from web.prediction_jobs import own_job
from web.prediction_kinds import COMPARISON, QUESTION_BANK, KindOfPages
from web.services import ReadModels, Services

DEFAULT_PARAMETERS = PredictionDraft().prediction_parameters


class NewPredictionJob(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A published version to be judged on question-bank images; for a comparison two versions of one model, in any order."""

    name: str
    model_id: UUID
    versions: tuple[str, ...]
    data_paths: tuple[FolderName, ...]
    compute_resource_id: UUID
    prediction_parameters: dict[str, Any] | None = None
    resolution_screening: bool = True


class JobsThatPredict(Jobs[PredictionJobDetail]):
    """What predictions and comparisons share, as their pages do; others' jobs are nobody's business."""

    kind: ClassVar[KindOfPages]
    terminating: ClassVar = TerminatePrediction
    restarting: ClassVar = RestartPrediction
    deleting: ClassVar = DeletePredictionJob

    @get("/", sync_to_thread=True, responses=LOOKS)
    def list(
        self,
        read: NamedDependency[ReadModels],
        desk: NamedDependency[ApiDesk],
        status: FromQuery[PredictionStatus | None] = None,
        task_type: Annotated[str, QueryParameter(max_length=200, description="The name of a task type.")] = "",
        model: Annotated[str, QueryParameter(max_length=100, description="A part of the model's name.")] = "",
        search: Search = "",
        after: After = "",
        limit: Limit = DEFAULT_LIMIT,
    ) -> Listed[PredictionJob]:
        """The user's own jobs of this kind, the newest first."""
        found = read.prediction_jobs.stretch(
            desk.caller.user_id,
            self.kind.kind,
            status=status,
            task_type=task_type,
            search=search,
            model=model,
            after=place_of(after, NEWEST_FIRST),
            size=limit,
        )
        return listed(found, lambda row: shaped(row, PredictionJob, reason=desk.say(row.reason)))

    @post("/", sync_to_thread=True, responses=ACTS)
    def queue(
        self,
        data: JSONBody[NewPredictionJob],
        idempotency_key: IdempotencyKey,
        services: NamedDependency[Services],
        desk: NamedDependency[ApiDesk],
    ) -> PredictionJobDetail:
        """Judge a version on question-bank images, or two beside each other."""
        made = desk.made_by(idempotency_key, data)
        refuse_too_many(data.data_paths)
        draft = PredictionDraft(
            kind=self.kind.kind,
            name=data.name,
            model_id=data.model_id,
            versions=data.versions,
            data_paths=data.data_paths,
            prediction_parameters=written(data.prediction_parameters, DEFAULT_PARAMETERS),
            compute_resource_id=data.compute_resource_id,
            resolution_screening=data.resolution_screening,
        )
        desk.ask(QueuePredictionJob(actor=desk.caller.user_id, job_id=made.id(), draft=draft))
        return self.sent(services, self.found(services.read, made.id(), desk), desk)

    @get("/{job_id:uuid}/log", sync_to_thread=True, responses=file_answer("text/plain"))
    def log(
        self, job_id: FromPath[UUID], services: NamedDependency[Services], desk: NamedDependency[ApiDesk]
    ) -> Download:
        """The log of a run, as text; of one that goes on, as far as it is."""
        job = self.found(services.read, job_id, desk)
        return run_log(services, job.log, services.running_logs.of(job_id, job.attempt), f"{job.name}.log")

    def found(self, read: ReadModels, job_id: UUID, desk: ApiDesk) -> PredictionJobRow:
        """One's own job of this kind."""
        return own_job(read, job_id, desk.caller.user_id, self.kind)

    def sent(self, services: Services, job: PredictionJobRow, desk: ApiDesk) -> PredictionJobDetail:
        """With what it does at this moment."""
        moment = moment_of(
            services,
            job.job_id,
            desk,
            is_running=job.status is PredictionStatus.PREDICTING,
            is_waiting=job.status is PredictionStatus.WAITING,
        )
        return shaped(job, PredictionJobDetail, reason=desk.say(job.reason), **moment)


class PredictionJobs(JobsThatPredict):
    """题库预测."""

    path = QUESTION_BANK.address
    kind: ClassVar = QUESTION_BANK
    tags = ("predictions",)


class Comparisons(JobsThatPredict):
    """模型对比."""

    path = COMPARISON.address
    kind: ClassVar = COMPARISON
    tags = ("comparisons",)

    @get("/{job_id:uuid}/report", sync_to_thread=True, responses=LOOKS)
    def report(
        self, job_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[ApiDesk]
    ) -> ComparisonReport:
        """Both versions beside each other, and on how many images their verdicts flip; not found until the job is completed. Where
        the storage has not all samples any more, the figures stand, nothing is counted, and `problem` says why.
        """
        self.found(read, job_id, desk)
        comparison, problem = counted(read, job_id)
        return ComparisonReport(
            versions=comparison.labels,
            figures=tuple(report.figures for report in comparison.reports),
            flips=_flips(comparison.outcomes),
            codes=tuple(map(_code, comparison.codes)),
            problem=desk.say(problem),
        )

    @get("/{job_id:uuid}/samples", sync_to_thread=True, responses=LOOKS)
    def compared_samples(
        self,
        job_id: FromPath[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[ApiDesk],
        kind: FromQuery[ComparedKind] = ComparedKind.DISAGREED,
        true_defect_code: DefectCode = "",
        order: FromQuery[Order] = Order.SUREST,
        after: After = "",
        limit: Limit = DEFAULT_LIMIT,
    ) -> Listed[ComparedSample]:
        """The images with both verdicts: by default those on which the versions disagree."""
        self.found(read, job_id, desk)
        choice = ComparedChoice(kind=kind, true_defect_code=true_defect_code or None, order=order)
        return paged(
            after,
            limit,
            lambda number, size: read.comparisons.samples(job_id, choice, page=number, size=size),
            _compared_sample,
        )


def _code(code: CodeComparison) -> ComparedCode:
    return shaped(code, ComparedCode, flips=_flips(code.outcomes))


def _flips(outcomes: tuple[int, ...]) -> dict[Outcome, int]:
    return dict(zip(OUTCOMES, outcomes, strict=True)) if outcomes else {}


def _compared_sample(row: ComparedSampleRow) -> ComparedSample:
    verdicts = tuple(one and shaped(one, Verdict, scores=dict(one.scores)) for one in row.verdicts)
    return shaped(row, ComparedSample, verdicts=verdicts)
