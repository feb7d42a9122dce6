"""模型评估报告: figures, confusion matrix and samples, the same for training reports and for predictions. Source: R-1, P-3 to P-5."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from domain.evaluation import SampleState
from domain.refusals import NotFound, NotTheOwner
from projections.evaluation_reports import PAGE_SIZE, TRAINING_LABEL, EvaluationReport, SampleRow
from projections.read_model import Page as Part
from web.forms import Form
from web.listing import Listing
from web.pages import Desk, Page
from web.services import ReadModels


class ChosenSamples(msgspec.Struct, frozen=True, kw_only=True):
    """Which samples the right side shows: those of one code, of one cell of the matrix, or what could not be judged."""

    true_defect_code: str = ""
    predicted_defect_code: str = ""
    state: SampleState = SampleState.JUDGED

    @property
    def is_cell(self) -> bool:
        """Whether a cell of the confusion matrix was opened."""
        return bool(self.predicted_defect_code)


class ReportView(msgspec.Struct, frozen=True, kw_only=True):
    """What `evaluation_reports/_report.html` shows. `address` is the page's own, without its question."""

    report: EvaluationReport
    address: str
    chosen: ChosenSamples
    samples: Part[SampleRow]
    listing: Listing

    @property
    def samples_address(self) -> str:
        """Where single samples of this report are shown."""
        return f"/evaluation-reports/{self.report.job_id}/{self.report.label}/samples"

    def address_of(self, **fields: str) -> str:
        """This report with other samples on its right side."""
        return f"{self.address}?{urlencode({name: value for name, value in fields.items() if value})}#samples"


class SamplePage(Page, frozen=True):
    """One sample, large, with the scores of all classes, the highest first."""

    TEMPLATE = "evaluation_reports/sample.html"
    report: EvaluationReport
    sample: SampleRow
    scores: tuple[tuple[str, float], ...]
    back: str


def report_view(read: ReadModels, job_id: UUID, label: str, form: Form, *, address: str) -> ReportView:
    """The report of a job as the address asks for it.

    Raises:
        NotFound: there is no such report.
    """
    report = read.evaluation_reports.get(job_id, label)
    if report is None:
        raise NotFound
    chosen = _chosen(report, form)
    page = form.text("page")
    samples: Part[SampleRow] = read.evaluation_reports.samples(
        job_id,
        label,
        true_defect_code=chosen.true_defect_code or None,
        predicted_defect_code=chosen.predicted_defect_code or None,
        state=chosen.state,
        only_misjudged=chosen.state is SampleState.JUDGED and not chosen.is_cell,
        page=int(page) if page.isascii() and page.isdigit() else 1,
    )
    fields = tuple((name, value) for name, value in form.fields if name != "page")
    listing = Listing(address, fields, "", samples.number, samples.total, PAGE_SIZE)
    return ReportView(report=report, address=address, chosen=chosen, samples=samples, listing=listing)


class EvaluationReports(Controller):
    """Single samples; the reports themselves stand on the pages of their jobs."""

    path = "/evaluation-reports"

    @get("/{job_id:uuid}/{label:str}/samples/{number:int}", sync_to_thread=True)
    def sample(
        self,
        job_id: FromPath[UUID],
        label: FromPath[str],
        number: FromPath[int],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """One image of a report with its verdict."""
        if label != TRAINING_LABEL:
            own_prediction(read, job_id, actor)
        report = read.evaluation_reports.get(job_id, label)
        sample = read.evaluation_reports.sample(job_id, label, number)
        if report is None or sample is None:
            raise NotFound
        scores = sorted(zip(report.defect_codes, sample.scores, strict=False), key=lambda pair: -pair[1])
        back = f"/training-jobs/{job_id}/report" if label == TRAINING_LABEL else f"/prediction-jobs/{job_id}/report"
        return desk.show(SamplePage(report=report, sample=sample, scores=tuple(scores), back=back))


def own_prediction(read: ReadModels, job_id: UUID, actor: UUID) -> Any:
    """A prediction job of the signed-in user; others' are nobody's business (P-2).

    Raises:
        NotFound, NotTheOwner.
    """
    job = read.prediction_jobs.get(job_id)
    if job is None:
        raise NotFound
    if job.owner != actor:
        raise NotTheOwner
    return job


def _chosen(report: EvaluationReport, form: Form) -> ChosenSamples:
    """What the address asks for; codes that the report does not know are ignored."""
    codes = set(report.defect_codes)
    true_code, predicted_code = form.text("true"), form.text("predicted")
    state = form.text("state")
    return ChosenSamples(
        true_defect_code=true_code if true_code in codes else "",
        predicted_defect_code=predicted_code if predicted_code in codes else "",
        state=SampleState(state) if state in {one.value for one in SampleState} else SampleState.JUDGED,
    )
