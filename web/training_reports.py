"""模型评估报告 of a training: with the best weights and, where they are others, with the last. Source: R-1."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from domain.evaluation import EvaluationFigures
from domain.messages import LossPart
from domain.permissions import owns
from domain.training_jobs import TrainedWeights
from projections.evaluation_reports import LAST_LABEL, TRAINING_LABEL
from projections.training_jobs import TrainingJobDetail
from web.evaluation_reports import ReportView, report_view
from web.forms import Form
from web.pages import Desk, Page
from web.services import ReadModels, Services
from web.training_lines import ADDRESS, JobLine, job_of, line_of


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


class TrainingReportPage(Page, frozen=True):
    """模型评估报告 of the validation split, with the best weights or with the last; `kept` are both, where they are known."""

    TEMPLATE = "training_jobs/report.html"
    line: JobLine
    view: ReportView
    which: TrainedWeights
    kept: tuple[WeightsLine, ...]


class TrainingReports(Controller):
    """Everyone may read every report."""

    path = f"{ADDRESS}/{{job_id:uuid}}"

    @get("/report", sync_to_thread=True)
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

    @get("/report/last", sync_to_thread=True)
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


def kept_weights(job: TrainingJobDetail, actor: UUID) -> tuple[WeightsLine, ...]:
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


def _report_page(read: ReadModels, job_id: UUID, form: Form, actor: UUID, which: TrainedWeights) -> TrainingReportPage:
    job = job_of(read, job_id)
    line = line_of(job, None, actor, datetime.now(UTC))
    address, label = _report_of(job_id, which)
    return TrainingReportPage(
        line=line,
        view=report_view(read, job_id, label, form, address=address),
        which=which,
        kept=kept_weights(job, actor),
    )


def _report_of(job_id: UUID, which: TrainedWeights) -> tuple[str, str]:
    """Address and label."""
    address = f"{ADDRESS}/{job_id}/report"
    return (address, TRAINING_LABEL) if which is TrainedWeights.BEST else (f"{address}/last", LAST_LABEL)
