"""Evaluation reports: the figures and the judged samples of training jobs and of prediction jobs, one report a version judged.

Figures and the name of the evaluation artifact are rows; samples stay in the artifact and are found by its index, so that a report
of a million images neither holds up the other read models nor fills the database.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from domain.artifacts import Artifact
from domain.data_paths import FolderName
from domain.evaluation import EvaluationFigures, Sample, SampleState, Segmented
from domain.facts import Recorded
from domain.prediction_jobs import PredictionCompleted, PredictionDeleted, PredictionRestarted
from domain.training_jobs import TrainingCompleted, TrainingDeleted
from projections.read_model import Page, Pool, ReadModel, Rows, Table
from projections.sample_order import Order

if TYPE_CHECKING:
    from projections.sample_index import EvaluationFiles, Numbers, SampleIndex, SampleIndexes

TRAINING_LABEL = "validation"
"""The label of the report that a training job makes on its validation split; a prediction's reports carry the version."""
LAST_LABEL = "validation-last"
"""The same with the last weights instead of the best, where they are others."""
TRAINING_LABELS = frozenset((TRAINING_LABEL, LAST_LABEL))
PAGE_SIZE = 48
READ_AT_ONCE = 500
"""So many samples are in memory at once while all of a choice are gone through."""


class EvaluationReport(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one report, and the artifact with its samples."""

    job_id: UUID
    label: str
    figures: EvaluationFigures
    evaluation: Artifact

    @property
    def defect_codes(self) -> tuple[str, ...]:
        """The codes in the order of the figures, which is that of the scores."""
        return tuple(one.defect_code for one in self.figures.defects)


class SampleRow(msgspec.Struct, frozen=True, kw_only=True):
    """One image of a report. `number` counts within the report from 0; `scores` are in the order of the report's codes.

    `segmented` comes without its overlay, which is asked for by itself where `has_overlay` says that there is one.
    """

    number: int
    root: str
    path: str
    checksum: str
    width: int
    height: int
    state: SampleState
    true_defect_code: str | None
    predicted_defect_code: str | None
    confidence: float
    scores: tuple[float, ...]
    has_mask: bool
    segmented: Segmented | None
    has_overlay: bool

    @property
    def folder(self) -> FolderName:
        """The file, for links to the picture."""
        return FolderName(self.root, self.path)

    @property
    def file_name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def is_misjudged(self) -> bool:
        """Whether the prediction differs from the code (P-4)."""
        return self.state is SampleState.JUDGED and self.true_defect_code != self.predicted_defect_code


class SampleChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Which samples of a report, in which order; None leaves a code open."""

    true_defect_code: str | None = None
    predicted_defect_code: str | None = None
    state: SampleState = SampleState.JUDGED
    only_misjudged: bool = False
    order: Order = Order.SUREST


ALL_JUDGED = SampleChoice()


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a sample stands among the chosen ones, from 1, and the numbers of those beside it."""

    place: int
    total: int
    previous: int | None
    following: int | None


class EvaluationReports(ReadModel):
    """Reports; `place` counts the versions of a comparison from 0, in the order of its order."""

    name = "evaluation_reports"
    REPORTS = Table(
        "evaluation_reports",
        key=("job_id uuid", "label text"),
        columns=("place int NOT NULL", "figures jsonb NOT NULL", "evaluation jsonb NOT NULL"),
    )

    def __init__(
        self, pool: Pool | None = None, artifacts: "EvaluationFiles | None" = None, indexes: Path | None = None
    ) -> None:
        """`artifacts` and the folder of the `indexes` are for the questions that look at samples."""
        super().__init__(pool)
        self._indexes = _indexes(artifacts, indexes) if artifacts and indexes else None

    def project(self, rows: Rows, recorded: Recorded) -> None:
        """A report comes with the completion of its job and goes with the job."""
        job_id = recorded.originator_id
        put = partial(rows.insert, self.REPORTS, job_id)
        match recorded.data:
            case TrainingCompleted() as fact:
                put(TRAINING_LABEL, place=0, figures=fact.figures, evaluation=fact.evaluation)
                if fact.last_evaluation and fact.last_figures:
                    put(LAST_LABEL, place=1, figures=fact.last_figures, evaluation=fact.last_evaluation)
            case PredictionCompleted(results=results):
                for place, result in enumerate(results):
                    put(result.label, place=place, figures=result.figures, evaluation=result.evaluation)
            case TrainingDeleted() | PredictionDeleted() | PredictionRestarted():
                rows.delete(self.REPORTS, job_id)

    def get(self, job_id: UUID, label: str = TRAINING_LABEL) -> EvaluationReport | None:
        """A report, None while there is none."""
        return next((report for report in self.of_job(job_id) if report.label == label), None)

    def of_job(self, job_id: UUID) -> list[EvaluationReport]:
        """The reports of a job: one for each version that it judged, in the order in which they were asked for."""
        return self._all(
            "SELECT job_id, label, figures, evaluation FROM evaluation_reports WHERE job_id = %s ORDER BY place",
            (job_id,),
            EvaluationReport,
        )

    def index_of(self, *reports: EvaluationReport, by_content: bool = False) -> "SampleIndex":
        """The index of the samples of a report, or of two beside each other; by their content, all of them is read first.

        Raises:
            FileIsGone, FileIsDamaged: so raise all questions about samples.
        """
        if self._indexes is None:
            raise ValueError("the read model was made without artifacts and indexes and cannot be asked for samples")
        return self._indexes.open(*(report.evaluation for report in reports), by_content=by_content)

    def samples(
        self,
        job_id: UUID,
        label: str,
        choice: SampleChoice = ALL_JUDGED,
        *,
        page: int = 1,
        size: int = PAGE_SIZE,
    ) -> Page[SampleRow]:
        """A page of the samples of a choice; beyond the end, the last page."""
        report = self.get(job_id, label)
        if report is None:
            return Page(items=(), total=0, number=1, size=size)
        index = self.index_of(report)
        numbers = _chosen(index, choice)
        part, number = part_of(numbers, page, size)
        return Page(items=tuple(_rows(index, report, part)), total=len(numbers), number=number, size=size)

    def every_sample(
        self,
        job_id: UUID,
        label: str,
        choice: SampleChoice = ALL_JUDGED,
    ) -> Iterator[SampleRow]:
        """All samples of the same choice, some hundred in memory at once; what is damaged is found before the first."""
        report = self.get(job_id, label)
        if report is None:
            return iter(())
        index = self.index_of(report, by_content=True)
        return (row for part in parts_of(_chosen(index, choice)) for row in _rows(index, report, part))

    def place(
        self,
        job_id: UUID,
        label: str,
        number: int,
        choice: SampleChoice = ALL_JUDGED,
    ) -> Place | None:
        """Where a sample stands in what `samples` gives for the same choice, None where it is not among them."""
        report = self.get(job_id, label)
        if report is None:
            return None
        index = self.index_of(report)
        return place_in(_chosen(index, choice), number)

    def sample(self, job_id: UUID, label: str, number: int) -> SampleRow | None:
        """One sample of a report."""
        report = self.get(job_id, label)
        index = self.index_of(report) if report else None
        if report is None or index is None or not 0 <= number < len(index):
            return None
        return next(_rows(index, report, [number]))

    def overlay(self, job_id: UUID, label: str, number: int) -> bytes | None:
        """The PNG of a sample's predicted pixels, None where there is none."""
        report = self.get(job_id, label)
        index = self.index_of(report) if report else None
        if index is None or not 0 <= number < len(index):
            return None
        sample = next(index.samples(0, [number]))
        return sample.segmented.overlay or None if sample and sample.segmented else None


def part_of(numbers: "Numbers", page: int, size: int) -> tuple[Sequence[int], int]:
    """The numbers of one page, and which page that is: beyond the end, the last one."""
    page = max(1, min(page, -(-len(numbers) // size)))
    return numbers[(page - 1) * size : page * size].tolist(), page


def parts_of(numbers: "Numbers") -> Iterator[Sequence[int]]:
    """All of them, so many at once as are read together."""
    for start in range(0, len(numbers), READ_AT_ONCE):
        yield numbers[start : start + READ_AT_ONCE].tolist()


def place_in(numbers: "Numbers", number: int) -> Place | None:
    """Where a number stands among others, None where it does not."""
    found = (numbers == number).nonzero()[0]
    if not len(found):
        return None
    at = int(found[0])
    return Place(
        place=at + 1,
        total=len(numbers),
        previous=int(numbers[at - 1]) if at else None,
        following=int(numbers[at + 1]) if at + 1 < len(numbers) else None,
    )


def code_of(codes: Sequence[str], index: int) -> str | None:
    """The code at an index of an evaluation, None for an index that means none."""
    return codes[index] if 0 <= index < len(codes) else None


def without_overlay(sample: Sample) -> tuple[Segmented | None, bool]:
    """What a segmentation saw in a sample without the picture of it, and whether there is one."""
    seen = sample.segmented
    return (msgspec.structs.replace(seen, overlay=b""), bool(seen.overlay)) if seen else (None, False)


def _indexes(artifacts: "EvaluationFiles", folder: Path) -> "SampleIndexes":
    # Loads numpy, which takes as long as the whole log: only for who is asked about samples, which the projector never is.
    from projections.sample_index import SampleIndexes  # noqa: PLC0415

    return SampleIndexes(artifacts, folder)


def _chosen(index: "SampleIndex", choice: SampleChoice) -> "Numbers":
    is_chosen_N = index.is_in(0, choice.state)
    if choice.only_misjudged:
        is_chosen_N &= index.is_misjudged(0)
    if choice.true_defect_code is not None:
        is_chosen_N &= index.true == index.code(choice.true_defect_code)
    if choice.predicted_defect_code is not None:
        is_chosen_N &= index.predicted[0] == index.code(choice.predicted_defect_code)
    return index.ordered(is_chosen_N, choice.order)


def _rows(index: "SampleIndex", report: EvaluationReport, numbers: Sequence[int]) -> Iterator[SampleRow]:
    codes = report.defect_codes
    for number, sample in zip(numbers, index.samples(0, numbers), strict=True):
        assert sample is not None  # an index of one evaluation has every image
        segmented, has_overlay = without_overlay(sample)
        yield SampleRow(
            number=int(number),
            root=sample.folder.root,
            path=sample.folder.path,
            checksum=sample.checksum,
            width=sample.width,
            height=sample.height,
            state=sample.state,
            true_defect_code=code_of(codes, sample.true_index),
            predicted_defect_code=code_of(codes, sample.predicted_index),
            confidence=sample.confidence,
            scores=sample.scores,
            has_mask=sample.has_mask,
            segmented=segmented,
            has_overlay=has_overlay,
        )
