"""模型对比: the report with both versions beside each other, and every image with both verdicts. Source: P-1, P-3 to P-6.

List, job and steps are those of the predictions; the report of each version by itself is that of a prediction.
"""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream

from domain.artifacts import FileIsGone
from domain.evaluation import Outcome
from domain.refusals import NotFound
from domain.sentences import N_, Sentence
from projections.comparisons import OUTCOMES, ComparedChoice, ComparedKind, ComparedSample, Comparison, Verdict
from projections.evaluation_reports import PAGE_SIZE, EvaluationReport, Place
from projections.prediction_jobs import PredictionJobRow
from projections.read_model import Page as Part
from projections.sample_order import Order
from web.evaluation_reports import (
    ORDERS,
    TABLE,
    PixelsOfCode,
    ReportView,
    name_in_zip,
    order_of,
    pixels_of,
    question_of,
    report_view,
    ticked_numbers,
)
from web.forms import Form
from web.listing import Listing, read_listing, with_question
from web.pages import Desk, Page
from web.prediction_jobs import JobPages, own_job
from web.prediction_kinds import COMPARISON
from web.services import ReadModels, Services
from web.spreadsheets import Spreadsheet
from web.zips import Entry, lying_image, zip_stream

KINDS: Mapping[ComparedKind, str] = MappingProxyType(
    {
        ComparedKind.FIXED: N_("Fixed"),
        ComparedKind.BROKEN: N_("Broken"),
        ComparedKind.BOTH_WRONG: N_("Both wrong"),
        ComparedKind.BOTH_RIGHT: N_("Both right"),
        ComparedKind.DISAGREED: N_("Versions disagree"),
        ComparedKind.FIRST_MISJUDGED: N_("Misjudged by {version}"),
        ComparedKind.SECOND_MISJUDGED: N_("Misjudged by {version}"),
        ComparedKind.NON_COMPLIANT: N_("Non-compliant samples"),
        ComparedKind.ONE_JUDGED: N_("Judged by one version only"),
        ComparedKind.DAMAGED: N_("Unreadable images"),
    }
)
EXPLAINED: Mapping[ComparedKind, str] = MappingProxyType(
    {
        ComparedKind.FIXED: N_("{first} was wrong, {second} is right."),
        ComparedKind.BROKEN: N_("{first} was right, {second} is wrong."),
        ComparedKind.BOTH_WRONG: N_("Neither version predicts the true code."),
        ComparedKind.BOTH_RIGHT: N_("Both versions predict the true code."),
        ComparedKind.DISAGREED: N_("The versions predict different codes, whichever of them is right."),
        ComparedKind.FIRST_MISJUDGED: N_("The prediction of {first} differs from the true code."),
        ComparedKind.SECOND_MISJUDGED: N_("The prediction of {second} differs from the true code."),
        ComparedKind.NON_COMPLIANT: N_(
            "Their resolution does not fit the rule of a version, which did not judge them; they count in none of its figures."
        ),
        ComparedKind.ONE_JUDGED: N_(
            "Only one version judged them: the other has another resolution rule, or does not know the code. They count in the"
            " figures of the one that did, and in no flip."
        ),
        ComparedKind.DAMAGED: N_(
            "They carry an image's name but cannot be read as one, so they were not judged and count in no figure."
        ),
    }
)
ALWAYS_SHOWN = frozenset(ComparedKind) - {ComparedKind.ONE_JUDGED, ComparedKind.DAMAGED}


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure in both versions; None where it is undefined."""

    first: float | None
    second: float | None

    @property
    def difference(self) -> float | None:
        """How much more the second has."""
        return None if self.first is None or self.second is None else self.second - self.first

    @property
    def tone(self) -> str:
        """For the colour, which repeats the sign: better, worse, or nothing of either as far as is shown."""
        shown = round((self.difference or 0.0) * 100, 1)
        return "better" if shown > 0 else "worse" if shown < 0 else ""


class CodeLine(msgspec.Struct, frozen=True, kw_only=True):
    """A code with its figures in both versions; `sample_count` is the larger of both, which differ where the rules do."""

    defect_code: str
    precision: Figure
    recall: Figure
    iou: Figure
    sample_count: int
    address: str
    is_chosen: bool


class FlipCell(msgspec.Struct, frozen=True, kw_only=True):
    """How many images of a code are of an outcome, and where they are shown."""

    outcome: Outcome
    count: int
    address: str
    is_chosen: bool


class Tab(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of samples to choose, and how many there are."""

    name: Sentence
    count: int
    address: str
    is_chosen: bool


class ChosenImages(msgspec.Struct, frozen=True, kw_only=True):
    """What the right side shows."""

    kind: ComparedKind = ComparedKind.DISAGREED
    true_defect_code: str = ""
    order: Order = Order.SUREST

    @property
    def query(self) -> ComparedChoice:
        """For the read model."""
        return ComparedChoice(kind=self.kind, true_defect_code=self.true_defect_code or None, order=self.order)

    @property
    def fields(self) -> dict[str, str]:
        """For the address."""
        fields = {
            "kind": "" if self.kind is ComparedKind.DISAGREED else self.kind.value,
            "true": self.true_defect_code,
            "order": "" if self.order is Order.SUREST else self.order.value,
        }
        return {name: value for name, value in fields.items() if value}


class ComparisonView(msgspec.Struct, frozen=True, kw_only=True):
    """What `comparisons/_report.html` shows. `counts` are those of the chosen code, or of all. Where there is a `problem` with the
    samples, none can be shown; the figures of both versions stand.
    """

    comparison: Comparison
    address: str
    chosen: ChosenImages
    counts: Mapping[ComparedKind, int]
    samples: Part[ComparedSample]
    listing: Listing
    problem: Sentence | None = None

    @property
    def overall(self) -> tuple[tuple[str, Figure], ...]:
        """The figures of both versions on everything that each judged."""
        names = [("accuracy", N_("Accuracy")), ("recall", N_("Recall"))] + (
            [("iou", N_("IoU"))] if self.has_iou else []
        )
        first, second = self.comparison.reports
        return tuple(
            (name, Figure(first=getattr(first.figures, field), second=getattr(second.figures, field)))
            for field, name in names
        )

    @property
    def has_iou(self) -> bool:
        """Whether a version segments."""
        return any(report.figures.iou is not None for report in self.comparison.reports)

    @property
    def codes(self) -> tuple[CodeLine, ...]:
        """Each code in both versions."""
        return tuple(
            CodeLine(
                defect_code=one.defect_code,
                precision=_figure(one.figures, "precision"),
                recall=_figure(one.figures, "recall"),
                iou=_figure(one.figures, "iou"),
                sample_count=max(of_version.sample_count if of_version else 0 for of_version in one.figures),
                address=self.address_of(true=one.defect_code),
                is_chosen=one.defect_code == self.chosen.true_defect_code,
            )
            for one in self.comparison.codes
        )

    @property
    def flips(self) -> tuple[tuple[str, tuple[FlipCell, ...]], ...]:
        """The matrix: all codes together (named ""), then each by itself; a cell an outcome."""
        rows = [("", self.comparison.outcomes), *((one.defect_code, one.outcomes) for one in self.comparison.codes)]
        return tuple(
            (code, tuple(self._cell(code, outcome, count) for outcome, count in zip(OUTCOMES, counts, strict=True)))
            for code, counts in rows
        )

    @property
    def outcome_names(self) -> tuple[str, ...]:
        """The columns of the matrix."""
        return tuple(KINDS[ComparedKind(outcome.value)] for outcome in OUTCOMES)

    @property
    def tabs(self) -> tuple[Tab, ...]:
        """The kinds of samples; those that hardly ever are, only where there are any."""
        versions = dict(
            zip((ComparedKind.FIRST_MISJUDGED, ComparedKind.SECOND_MISJUDGED), self.comparison.labels, strict=True)
        )
        return tuple(
            Tab(
                name=Sentence(name, {"version": versions[kind]} if kind in versions else {}),
                count=self.counts[kind],
                address=self.address_of(kind=kind.value),
                is_chosen=kind is self.chosen.kind,
            )
            for kind, name in KINDS.items()
            if kind in ALWAYS_SHOWN or self.counts[kind] or kind is self.chosen.kind
        )

    @property
    def explanation(self) -> Sentence:
        """What the chosen kind is."""
        first, second = self.comparison.labels
        return Sentence(EXPLAINED[self.chosen.kind], {"first": first, "second": second})

    @property
    def orders(self) -> tuple[tuple[str, str, bool], ...]:
        """Address and name of each order, and whether the samples stand in it."""
        return tuple(
            (self.address_of(order=order.value), name, order is self.chosen.order) for order, name in ORDERS.items()
        )

    def address_of(self, **fields: str) -> str:
        """This report with something else chosen; what is not named stays, "" takes a choice back."""
        defaults = {"kind": ComparedKind.DISAGREED.value, "order": Order.SUREST.value}
        kept = self.chosen.fields | fields
        asked = [(name, value) for name, value in kept.items() if value and defaults.get(name) != value]
        return f"{with_question(self.address, asked)}#samples"

    @property
    def zip_address(self) -> str:
        """All samples of this choice as a zip; with numbers, only those."""
        return f"{COMPARISON.address}/{self.comparison.job_id}/samples.zip"

    @property
    def whole_zip_address(self) -> str:
        """All samples of this choice as a zip."""
        return with_question(self.zip_address, self.chosen.fields.items())

    def sample_address(self, number: int) -> str:
        """One image; the way back leads here."""
        fields = self.chosen.fields | ({"page": str(self.samples.number)} if self.samples.number > 1 else {})
        return with_question(_sample_address(self.comparison.job_id, number), fields.items())

    def _cell(self, code: str, outcome: Outcome, count: int) -> FlipCell:
        kind = ComparedKind(outcome.value)
        return FlipCell(
            outcome=outcome,
            count=count,
            address=self.address_of(kind=kind.value, true=code),
            is_chosen=(code, kind) == (self.chosen.true_defect_code, self.chosen.kind),
        )


class ComparisonReportPage(Page, frozen=True):
    """The report of a finished comparison."""

    TEMPLATE = "comparisons/report.html"
    job: PredictionJobRow
    view: ComparisonView


class VersionReportPage(Page, frozen=True):
    """The report of one version of a comparison by itself, with its confusion matrix."""

    TEMPLATE = "comparisons/version_report.html"
    job: PredictionJobRow
    view: ReportView


class PixelsOfBoth(msgspec.Struct, frozen=True):
    """How many pixels each version predicted as a code, and the colour in which they are drawn."""

    defect_code: str
    colour: str
    counts: tuple[int, int]


class ComparedSamplePage(Page, frozen=True):
    """One image, large, with both verdicts and the scores of all classes. `place` is None outside of the chosen ones.

    `scores` are a code and its score in each version, None where a version has no such class; the highest of either first. `pixels`
    are the codes with predicted pixels, where a version segments.
    """

    TEMPLATE = "comparisons/sample.html"
    job: PredictionJobRow
    sample: ComparedSample
    scores: tuple[tuple[str, float | None, float | None], ...]
    pixels: tuple[PixelsOfBoth, ...]
    place: Place | None
    question: str

    @property
    def back(self) -> str:
        """The report as it was left."""
        return f"{COMPARISON.address}/{self.job.job_id}/report{self.question}#samples"

    def beside(self, number: int) -> str:
        """Another image of the same choice."""
        return f"{_sample_address(self.job.job_id, number)}{self.question}"

    def overlay(self, version: int) -> str:
        """Where the pixels that a version predicted are drawn, "" where there is nothing to draw."""
        verdict = self.sample.verdicts[version]
        if verdict is None or not verdict.has_overlay:
            return ""
        label = self.job.versions[version]
        return f"/evaluation-reports/{self.job.job_id}/{label}/samples/{verdict.number}/predicted-mask"


class Comparisons(JobPages):
    """模型对比."""

    path = COMPARISON.address
    kind = COMPARISON

    @get("/{job_id:uuid}/report", sync_to_thread=True)
    def report(
        self,
        job_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """Both versions beside each other (P-3)."""
        job = own_job(read, job_id, actor, self.kind)
        return desk.show(ComparisonReportPage(job=job, view=_view(read, job_id, form)))

    @get("/{job_id:uuid}/report/{label:str}", sync_to_thread=True)
    def version_report(
        self,
        job_id: FromPath[UUID],
        label: FromPath[str],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """One version by itself, as a prediction reports it."""
        job = own_job(read, job_id, actor, self.kind)
        view = report_view(read, job_id, label, form, address=f"{self.kind.address}/{job_id}/report/{label}")
        return desk.show(VersionReportPage(job=job, view=view))

    @get("/{job_id:uuid}/samples/{number:int}", sync_to_thread=True)
    def sample(
        self,
        job_id: FromPath[UUID],
        number: FromPath[int],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """One image with both verdicts (P-4, P-5)."""
        job = own_job(read, job_id, actor, self.kind)
        sample: ComparedSample | None = read.comparisons.sample(job_id, number)
        if sample is None:
            raise NotFound
        chosen = _chosen(form)
        page = ComparedSamplePage(
            job=job,
            sample=sample,
            scores=_scores(sample),
            pixels=_pixels(read, job, sample),
            place=read.comparisons.place(job_id, number, chosen.query),
            question=question_of(chosen.fields, form),
        )
        return desk.show(page)

    @get("/{job_id:uuid}/samples.zip", sync_to_thread=True)
    def samples_zip(
        self,
        job_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
    ) -> Stream:
        """批量打包下载: the ticked images or all of the choice, in folders by true code, with a table of both verdicts (P-5)."""
        read = services.read
        job = own_job(read, job_id, actor, self.kind)
        chosen = _chosen(form)
        if numbers := ticked_numbers(form):
            found = [read.comparisons.sample(job_id, number) for number in numbers]
            samples: Iterator[ComparedSample] = (sample for sample in found if sample is not None)
        else:
            samples = read.comparisons.every_sample(job_id, chosen.query)
        words = [job.name, *job.versions, chosen.kind.value, chosen.true_defect_code]
        return zip_stream(_zip_entries(services, job.versions, samples), f"{'-'.join(filter(None, words))}.zip")


def _view(read: ReadModels, job_id: UUID, form: Form) -> ComparisonView:
    comparison, problem = counted(read, job_id)
    chosen = _chosen(form)
    if chosen.true_defect_code not in comparison.defect_codes:
        chosen = msgspec.structs.replace(chosen, true_defect_code="")
    address = f"{COMPARISON.address}/{job_id}/report"
    asked = read_listing(address, form)
    samples: Part[ComparedSample] = Part(items=(), total=0, number=1, size=PAGE_SIZE)
    counts: Mapping[ComparedKind, int] = {}
    try:
        samples = read.comparisons.samples(job_id, chosen.query, page=asked.page)
        counts = read.comparisons.counts(job_id, chosen.query.true_defect_code)
    except FileIsGone as gone:
        problem = gone.sentence
    return ComparisonView(
        comparison=comparison,
        address=address,
        chosen=chosen,
        counts=counts,
        samples=samples,
        listing=Listing(address, tuple(chosen.fields.items()), "", samples.number, samples.total, PAGE_SIZE),
        problem=problem,
    )


def counted(read: ReadModels, job_id: UUID) -> tuple[Comparison, Sentence | None]:
    """A comparison with its outcomes. Where the storage has not what they are counted from, the figures stand, and why is said.

    Raises:
        NotFound: there is none, yet.
    """
    comparison: Comparison | None = read.comparisons.figures(job_id)
    if comparison is None:
        raise NotFound
    try:
        return read.comparisons.get(job_id) or comparison, None
    except FileIsGone as gone:
        return comparison, gone.sentence


def _chosen(form: Form) -> ChosenImages:
    """What the address asks for; a kind that does not exist is ignored, a code that does not exist has no images."""
    kinds = {kind.value: kind for kind in ComparedKind}
    return ChosenImages(
        kind=kinds.get(form.text("kind"), ComparedKind.DISAGREED),
        true_defect_code=form.text("true"),
        order=order_of(form),
    )


def _figure(figures: tuple[Any, Any], name: str) -> Figure:
    first, second = (getattr(one, name) if one is not None else None for one in figures)
    return Figure(first=first, second=second)


def _scores(sample: ComparedSample) -> tuple[tuple[str, float | None, float | None], ...]:
    first, second = (dict(verdict.scores) if verdict else {} for verdict in sample.verdicts)
    lines = [(code, first.get(code), second.get(code)) for code in first | second]
    return tuple(sorted(lines, key=lambda line: -max(line[1] or 0.0, line[2] or 0.0)))


def _pixels(read: ReadModels, job: PredictionJobRow, sample: ComparedSample) -> tuple[PixelsOfBoth, ...]:
    """Most of either version first. Versions of one model have the same codes in the same order, and so the same colours."""

    def of_version(label: str, verdict: Verdict | None) -> dict[str, PixelsOfCode]:
        report: EvaluationReport = read.evaluation_reports.get(job.job_id, label)
        seen = verdict.segmented if verdict else None
        return {one.defect_code: one for one in pixels_of(report.defect_codes, seen)}

    first, second = map(of_version, job.versions, sample.verdicts)
    none = PixelsOfCode("", 0, "")
    lines = [
        PixelsOfBoth(code, one.colour, (first.get(code, none).count, second.get(code, none).count))
        for code, one in (first | second).items()
    ]
    return tuple(sorted(lines, key=lambda line: -max(line.counts)))


def _sample_address(job_id: UUID, number: int) -> str:
    return f"{COMPARISON.address}/{job_id}/samples/{number}"


def _zip_entries(services: Services, labels: tuple[str, ...], samples: Iterable[ComparedSample]) -> Iterator[Entry]:
    """As the zip of a report, but with what each version predicted."""
    of_versions = [f"{column} {label}" for label in labels for column in ("predicted", "confidence")]
    table = Spreadsheet("file", "true", *of_versions, "width", "height", "path", "sha256")
    for sample in samples:
        said = [verdict.predicted_defect_code if verdict else None for verdict in sample.verdicts]
        predicted = "_".join(f"{label}-{code or 'none'}" for label, code in zip(labels, said, strict=True))
        name = name_in_zip(sample.true_defect_code, predicted, sample.number, sample.file_name)
        file = lying_image(services, sample.folder)
        verdicts = [
            value
            for verdict, code in zip(sample.verdicts, said, strict=True)
            for value in (code or "", f"{verdict.confidence:.6f}" if verdict and code else "")
        ]
        size = sample.width, sample.height
        table.add(name if file else "", sample.true_defect_code, *verdicts, *size, str(sample.folder), sample.checksum)
        if file is not None:
            yield name, file
    yield TABLE, table.finished()
