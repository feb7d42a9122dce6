"""模型评估报告: figures, confusion matrix and samples, the same for training reports and for predictions. Source: R-1, P-3 to P-5.

A page that shows a report has a field `view: ReportView` from `report_view(...)` and includes `evaluation_reports/_report.html`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import cycle
from math import ceil
from types import MappingProxyType
from typing import TypeAlias
from uuid import UUID

import msgspec
from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream

from domain.artifacts import FileIsGone
from domain.evaluation import CODE_COLOURS, DefectFigures, SampleState, Segmented
from domain.permissions import check_owner
from domain.refusals import NotFound
from domain.sentences import N_, Sentence
from projections.evaluation_reports import (
    LAST_LABEL,
    PAGE_SIZE,
    TRAINING_LABELS,
    EvaluationReport,
    Place,
    SampleChoice,
    SampleRow,
)
from projections.prediction_jobs import PredictionJobRow
from projections.read_model import Page as Part
from projections.sample_order import Order
from projections.training_jobs import TrainingJobDetail
from web.downloads import safe_name
from web.forms import Form, number_or_none
from web.listing import Listing, read_listing, with_question
from web.pages import Desk, Page
from web.prediction_kinds import PAGES
from web.services import ReadModels, Services
from web.spreadsheets import Spreadsheet
from web.zips import Entry, lying_image, zip_stream

HEAT_LEVELS = 5
TABLE = "samples.csv"
"""The table in a zip of samples."""
ORDERS: Mapping[Order, str] = MappingProxyType(
    {
        Order.SUREST: N_("Surest first"),
        Order.LEAST_SURE: N_("Least sure first"),
        Order.FOLDER: N_("As in the folders"),
    }
)
MOST_NAME_BYTES = 240
"""Of a file in a zip of samples. File systems take 255, and unpackers may want a few; a Chinese character takes three."""
END_BYTES = 40
"""Of these so many are the end of the file's own name, with what tells its format."""
Trail: TypeAlias = tuple[tuple[Sentence | str, str], ...]
"""The pages above, outermost first: title and address."""


class ChosenSamples(msgspec.Struct, frozen=True, kw_only=True):
    """Which samples the right side shows: those of one code, of one cell of the matrix, or what could not be judged."""

    true_defect_code: str = ""
    predicted_defect_code: str = ""
    state: SampleState = SampleState.JUDGED
    order: Order = Order.SUREST

    @property
    def is_cell(self) -> bool:
        """Whether a cell of the confusion matrix was opened."""
        return bool(self.predicted_defect_code)

    @property
    def query(self) -> SampleChoice:
        """For the read model: misjudged ones only, unless a cell was opened."""
        return SampleChoice(
            true_defect_code=self.true_defect_code or None,
            predicted_defect_code=self.predicted_defect_code or None,
            state=self.state,
            only_misjudged=self.state is SampleState.JUDGED and not self.is_cell,
            order=self.order,
        )

    @property
    def fields(self) -> dict[str, str]:
        """For the address."""
        fields = {
            "true": self.true_defect_code,
            "predicted": self.predicted_defect_code,
            "state": "" if self.state is SampleState.JUDGED else self.state.value,
            "order": "" if self.order is Order.SUREST else self.order.value,
        }
        return {name: value for name, value in fields.items() if value}


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A cell of the confusion matrix. `heat` is 0 for none of the row's images, up to `HEAT_LEVELS` for all of them."""

    true_defect_code: str
    predicted_defect_code: str
    count: int
    heat: int
    address: str
    is_chosen: bool

    @property
    def is_correct(self) -> bool:
        """Whether it is on the diagonal."""
        return self.true_defect_code == self.predicted_defect_code


class ReportView(msgspec.Struct, frozen=True, kw_only=True):
    """What `evaluation_reports/_report.html` shows. `address` is the page's own, without its question. Where there is a `problem`
    with the samples, none can be shown; the figures stand.
    """

    report: EvaluationReport
    address: str
    chosen: ChosenSamples
    samples: Part[SampleRow]
    listing: Listing
    problem: Sentence | None = None

    @property
    def has_iou(self) -> bool:
        """Whether segmentation was judged."""
        return self.report.figures.iou is not None

    @property
    def chosen_defect(self) -> DefectFigures | None:
        """The figures of the chosen code, None where all codes are shown."""
        return next(
            (one for one in self.report.figures.defects if one.defect_code == self.chosen.true_defect_code), None
        )

    @property
    def misjudged_count(self) -> int:
        """Of the chosen code, or of all."""
        return (self.chosen_defect or self.report.figures).misjudged_count

    @property
    def non_compliant_count(self) -> int:
        """Of the chosen code, or of all."""
        return (self.chosen_defect or self.report.figures).non_compliant_count

    @property
    def matrix(self) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
        """The confusion matrix by rows: the true code, and a cell for every predicted code."""
        codes = tuple(one.defect_code for one in self.report.figures.defects)
        return tuple(
            (
                true_code,
                tuple(self._cell(true_code, code, count, sum(row)) for code, count in zip(codes, row, strict=True)),
            )
            for true_code, row in zip(codes, self.report.figures.confusion, strict=True)
        )

    def address_of(self, **fields: str) -> str:
        """This report with other samples on its right side, in the same order."""
        kept = {"order": self.chosen.fields.get("order", "")} | fields
        asked = [(name, value) for name, value in kept.items() if value]
        return f"{with_question(self.address, asked)}#samples"

    def code_address(self, defect_code: str) -> str:
        """The report with the samples of one code; who looks at non-compliant ones goes on doing so."""
        is_kept = self.chosen.state is SampleState.NON_COMPLIANT
        return self.address_of(true=defect_code, state=self.chosen.state.value if is_kept else "")

    def state_address(self, state: str = "") -> str:
        """The report with the samples of another state, of the same code; damaged images have no code to go by."""
        is_of_all = state == SampleState.DAMAGED.value
        return self.address_of(true="" if is_of_all else self.chosen.true_defect_code, state=state)

    @property
    def orders(self) -> tuple[tuple[str, str, bool], ...]:
        """Address and name of each order, and whether the samples stand in it."""
        fields = {name: value for name, value in self.chosen.fields.items() if name != "order"}
        return tuple(
            (
                self.address_of(**fields, order="" if order is Order.SUREST else order.value),
                name,
                order is self.chosen.order,
            )
            for order, name in ORDERS.items()
        )

    @property
    def zip_address(self) -> str:
        """All samples of this choice as a zip; with numbers, only those."""
        return f"/evaluation-reports/{self.report.job_id}/{self.report.label}/samples.zip"

    @property
    def whole_zip_address(self) -> str:
        """All samples of this choice as a zip."""
        return with_question(self.zip_address, self.chosen.fields.items())

    def sample_address(self, number: int) -> str:
        """One sample; the way back leads here."""
        fields = self.chosen.fields | ({"page": str(self.samples.number)} if self.samples.number > 1 else {})
        return with_question(sample_address(self.report, number), fields.items())

    def predicted_mask_address(self, number: int) -> str:
        """Where the predicted pixels of a sample are drawn."""
        return f"{sample_address(self.report, number)}/predicted-mask"

    def _cell(self, true_code: str, predicted_code: str, count: int, row_count: int) -> Cell:
        return Cell(
            true_defect_code=true_code,
            predicted_defect_code=predicted_code,
            count=count,
            heat=ceil(HEAT_LEVELS * count / row_count) if count else 0,
            address=self.address_of(true=true_code, predicted=predicted_code),
            is_chosen=(true_code, predicted_code) == (self.chosen.true_defect_code, self.chosen.predicted_defect_code),
        )


class PixelsOfCode(msgspec.Struct, frozen=True):
    """How many pixels were predicted as a code, and the colour in which they are drawn."""

    defect_code: str
    count: int
    colour: str


class SamplePage(Page, frozen=True):
    """One sample, large, with the scores of all classes, the highest first. `place` is None outside of the chosen ones.

    `pixels` are the codes with predicted pixels, most first, where the model segments.
    """

    TEMPLATE = "evaluation_reports/sample.html"
    report: EvaluationReport
    sample: SampleRow
    scores: tuple[tuple[str, float], ...]
    pixels: tuple[PixelsOfCode, ...]
    place: Place | None
    trail: Trail
    back: str
    question: str

    @property
    def overlay(self) -> str:
        """Where the predicted pixels are drawn, "" where there is nothing to draw."""
        return f"{sample_address(self.report, self.sample.number)}/predicted-mask" if self.sample.has_overlay else ""

    def beside(self, number: int) -> str:
        """Another sample of the same choice."""
        return f"{sample_address(self.report, number)}{self.question}"


def pixels_of(defect_codes: Sequence[str], segmented: Segmented | None) -> tuple[PixelsOfCode, ...]:
    """Of the codes that a version predicted anywhere in an image, most first; `defect_codes` are all of its report."""
    if segmented is None:
        return ()
    drawn = cycle("#{:02x}{:02x}{:02x}".format(*colour) for colour in CODE_COLOURS)
    counted = map(PixelsOfCode, defect_codes, segmented.predicted_pixels, drawn)
    return tuple(sorted((one for one in counted if one.count), key=lambda one: -one.count))


def sample_address(report: EvaluationReport, number: int) -> str:
    """One sample of a report."""
    return f"/evaluation-reports/{report.job_id}/{report.label}/samples/{number}"


def report_view(read: ReadModels, job_id: UUID, label: str, form: Form, *, address: str) -> ReportView:
    """The report of a job as the page's address asks for it.

    Raises:
        NotFound: there is no such report.
    """
    report: EvaluationReport | None = read.evaluation_reports.get(job_id, label)
    if report is None:
        raise NotFound
    chosen = _chosen(report, form)
    asked = read_listing(address, form)
    samples: Part[SampleRow] = Part(items=(), total=0, number=1, size=PAGE_SIZE)
    problem: Sentence | None = None
    try:
        samples = read.evaluation_reports.samples(job_id, label, chosen.query, page=asked.page)
    except FileIsGone as gone:
        problem = gone.sentence
    listing = Listing(address, tuple(chosen.fields.items()), "", samples.number, samples.total, PAGE_SIZE)
    return ReportView(report=report, address=address, chosen=chosen, samples=samples, listing=listing, problem=problem)


class EvaluationReports(Controller):
    """Single samples; the reports themselves stand on the pages of their jobs."""

    path = "/evaluation-reports"

    @get("/{job_id:uuid}/{label:str}/samples/{number:int}", sync_to_thread=True)
    def sample(
        self,
        job_id: FromPath[UUID],
        label: FromPath[str],
        number: FromPath[int],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """One image of a report with its verdict. Training reports may be read by everyone, predictions by their owner."""
        is_training = label in TRAINING_LABELS
        trail = _training_trail(job_id, label) if is_training else _prediction_trail(read, job_id, label, actor)
        report: EvaluationReport | None = read.evaluation_reports.get(job_id, label)
        sample: SampleRow | None = read.evaluation_reports.sample(job_id, label, number)
        if report is None or sample is None:
            raise NotFound
        chosen = _chosen(report, form)
        question = question_of(chosen.fields, form)
        scores = sorted(zip(report.defect_codes, sample.scores, strict=False), key=lambda pair: -pair[1])
        page = SamplePage(
            report=report,
            sample=sample,
            scores=tuple(scores),
            pixels=pixels_of(report.defect_codes, sample.segmented),
            place=read.evaluation_reports.place(job_id, label, number, chosen.query),
            trail=trail,
            back=f"{trail[-1][1]}{question}#samples",
            question=question,
        )
        return desk.show(page)

    @get("/{job_id:uuid}/{label:str}/samples.zip", sync_to_thread=True)
    def samples_zip(
        self,
        job_id: FromPath[UUID],
        label: FromPath[str],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
    ) -> Stream:
        """批量打包下载: the ticked samples or all of the choice, in folders by true code, with a table of verdicts (P-5)."""
        read = services.read
        name = _name_of(read, job_id, label, actor)
        report: EvaluationReport | None = read.evaluation_reports.get(job_id, label)
        if report is None:
            raise NotFound
        chosen = _chosen(report, form)
        if numbers := ticked_numbers(form):
            found = [read.evaluation_reports.sample(job_id, label, number) for number in numbers]
            samples: Iterator[SampleRow] = (sample for sample in found if sample is not None)
        else:
            samples = read.evaluation_reports.every_sample(job_id, label, chosen.query)
        words = [name, label, *chosen.fields.values()]
        return zip_stream(_zip_entries(services, samples), f"{'-'.join(words)}.zip")

    @get("/{job_id:uuid}/{label:str}/samples/{number:int}/predicted-mask", sync_to_thread=True)
    def predicted_mask(
        self,
        job_id: FromPath[UUID],
        label: FromPath[str],
        number: FromPath[int],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
    ) -> Response[bytes]:
        """The predicted pixels of a sample, to be laid over its image."""
        if label not in TRAINING_LABELS:
            own_prediction(read, job_id, actor)
        overlay: bytes | None = read.evaluation_reports.overlay(job_id, label, number)
        if overlay is None:
            raise NotFound
        return Response(overlay, media_type="image/png", headers={"Cache-Control": "private, no-cache"})


def own_prediction(read: ReadModels, job_id: UUID, actor: UUID) -> PredictionJobRow:
    """A prediction job of the signed-in user; others' are nobody's business (P-2).

    Raises:
        NotFound, NotTheOwner.
    """
    job: PredictionJobRow | None = read.prediction_jobs.get(job_id)
    if job is None:
        raise NotFound
    check_owner(job.owner, actor)
    return job


def _name_of(read: ReadModels, job_id: UUID, label: str, actor: UUID) -> str:
    """What a download of a report is called: its model's or its job's name. Training reports may be read by everyone.

    Raises:
        NotFound, NotTheOwner.
    """
    if label not in TRAINING_LABELS:
        return own_prediction(read, job_id, actor).name
    job: TrainingJobDetail | None = read.training_jobs.get(job_id)
    if job is None:
        raise NotFound
    return job.model_name


def _zip_entries(services: Services, samples: Iterable[SampleRow]) -> Iterator[Entry]:
    """Each file in the folder of its true code, its name saying the true and the predicted code and its own name; the number of the
    image keeps two of one name apart. The table of everything comes last.
    """
    table = Spreadsheet("file", "true", "predicted", "confidence", "width", "height", "path", "sha256")
    for sample in samples:
        predicted = f"predicted-{sample.predicted_defect_code or 'none'}"
        name = name_in_zip(sample.true_defect_code, predicted, sample.number, sample.file_name)
        file = lying_image(services, sample.folder)
        confidence = f"{sample.confidence:.6f}" if sample.predicted_defect_code else ""
        verdict = (sample.true_defect_code, sample.predicted_defect_code, confidence, sample.width, sample.height)
        table.add(name if file else "", *verdict, str(sample.folder), sample.checksum)
        if file is not None:
            yield name, file
    yield TABLE, table.finished()


def _training_trail(job_id: UUID, label: str) -> Trail:
    report = f"/training-jobs/{job_id}/report{'/last' if label == LAST_LABEL else ''}"
    return ((N_("Training jobs"), "/training-jobs"), (N_("Training report"), report))


def _prediction_trail(read: ReadModels, job_id: UUID, label: str, actor: UUID) -> Trail:
    job = own_prediction(read, job_id, actor)
    kind = PAGES[job.kind]
    report = f"{kind.address}/{job_id}/report"
    return (
        (kind.title, kind.address),
        (Sentence("{name}", {"name": job.name}), f"{kind.address}/{job_id}"),
        (N_("Model evaluation report"), f"{report}/{label}" if kind.is_comparison else report),
    )


def _chosen(report: EvaluationReport, form: Form) -> ChosenSamples:
    """What the address asks for; codes and states that the report does not know are ignored."""
    codes = set(report.defect_codes)
    true_code, predicted_code = form.text("true"), form.text("predicted")
    state = {state.value: state for state in SampleState}.get(form.text("state"), SampleState.JUDGED)
    return ChosenSamples(
        true_defect_code=true_code if true_code in codes else "",
        predicted_defect_code=predicted_code if predicted_code in codes and state is SampleState.JUDGED else "",
        state=state,
        order=order_of(form),
    )


def order_of(form: Form) -> Order:
    """The order that the address asks for, the surest first where it does not."""
    return {order.value: order for order in Order}.get(form.text("order"), Order.SUREST)


def question_of(chosen: Mapping[str, str], form: Form) -> str:
    """The question of a list of samples with its page, for the ways on from one of them; empty where nothing is chosen."""
    number = number_or_none(form.text("page"))
    page = {} if number is None else {"page": str(number)}
    return with_question("", {**chosen, **page}.items())


def ticked_numbers(form: Form) -> list[int]:
    """The samples that are ticked, as many as stand on a page at most."""
    numbers = (number_or_none(text) for text in form.all("number"))
    return [number for number in numbers if number is not None][:PAGE_SIZE]


def name_in_zip(true_code: str | None, predicted: str, number: int, file_name: str) -> str:
    """How an image is called in a zip of samples; `predicted` says what was predicted, and by which version where there are two.

    What no file system would take loses its middle, but for the number.
    """
    folder = safe_name(true_code or "-")
    name = safe_name(f"true-{folder}_{predicted}_{number}_{file_name}")
    return f"{folder}/{_fitting(name, f'…{number}…')}"


def _fitting(name: str, middle: str) -> str:
    """A name that file systems take: one that is too long as its beginning and its end around `middle`."""
    written = name.encode()
    if len(written) <= MOST_NAME_BYTES:
        return name
    end = middle.encode() + written[-END_BYTES:]
    return (written[: MOST_NAME_BYTES - len(end)] + end).decode(errors="ignore")
