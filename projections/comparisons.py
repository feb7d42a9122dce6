"""Reports of model comparisons: two reports of one job beside each other, and every image with both verdicts. Source: P-3, P-4.

Nothing is stored here: the figures are rows of the evaluation reports, everything else is counted from the samples' index.
"""

import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from domain.data_paths import FolderName
from domain.evaluation import DefectFigures, Outcome, SampleState, Segmented
from projections.evaluation_reports import (
    PAGE_SIZE,
    EvaluationReport,
    EvaluationReports,
    Place,
    code_of,
    part_of,
    parts_of,
    place_in,
    without_overlay,
)
from projections.read_model import Page
from projections.sample_order import Order

if TYPE_CHECKING:
    from projections.sample_index import Chosen, Numbers, SampleIndex

OUTCOMES = (Outcome.FIXED, Outcome.BROKEN, Outcome.BOTH_WRONG, Outcome.BOTH_RIGHT)
"""What an image that both versions judged can be."""


class ComparedKind(enum.Enum):
    """Which images of a comparison a list shows. The first four are outcomes."""

    FIXED = "fixed"
    BROKEN = "broken"
    BOTH_WRONG = "both_wrong"
    BOTH_RIGHT = "both_right"
    DISAGREED = "disagreed"
    FIRST_MISJUDGED = "first_misjudged"
    SECOND_MISJUDGED = "second_misjudged"
    ONE_JUDGED = "one_judged"
    NON_COMPLIANT = "non_compliant"
    DAMAGED = "damaged"


class CodeComparison(msgspec.Struct, frozen=True, kw_only=True):
    """One code in both versions; None for a version that does not know it. `outcomes` are counts in the order of `OUTCOMES`."""

    defect_code: str
    figures: tuple[DefectFigures | None, DefectFigures | None]
    outcomes: tuple[int, ...]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Both reports of a comparison, in the order of the versions' publication, and how their verdicts compare.

    `outcomes` are counts in the order of `OUTCOMES`, among the images that both judged; none at all where nobody could count.
    """

    job_id: UUID
    reports: tuple[EvaluationReport, EvaluationReport]
    codes: tuple[CodeComparison, ...]
    outcomes: tuple[int, ...]

    @property
    def labels(self) -> tuple[str, str]:
        """The versions."""
        first, second = self.reports
        return first.label, second.label

    @property
    def defect_codes(self) -> tuple[str, ...]:
        """All codes that either version knows."""
        return tuple(one.defect_code for one in self.codes)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one version made of an image. `number` is the sample's in the version's own report; `scores` are in its codes' order."""

    number: int
    state: SampleState
    predicted_defect_code: str | None
    confidence: float
    scores: tuple[tuple[str, float], ...]
    segmented: Segmented | None
    has_overlay: bool


class ComparedSample(msgspec.Struct, frozen=True, kw_only=True):
    """An image with both verdicts, None for a version that does not know its code. `number` counts within the comparison from 0."""

    number: int
    folder: FolderName
    checksum: str
    width: int
    height: int
    has_mask: bool
    true_defect_code: str | None
    verdicts: tuple[Verdict | None, Verdict | None]

    @property
    def file_name(self) -> str:
        """The last part of the path."""
        return self.folder.path.rsplit("/", 1)[-1]

    def is_right(self, version: int) -> bool | None:
        """Whether a version predicted the code, None where it did not judge the image."""
        verdict = self.verdicts[version]
        if verdict is None or verdict.state is not SampleState.JUDGED:
            return None
        return verdict.predicted_defect_code == self.true_defect_code


class ComparedChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Which images of a comparison, in which order; None leaves the code open."""

    kind: ComparedKind = ComparedKind.DISAGREED
    true_defect_code: str | None = None
    order: Order = Order.SUREST


class Comparisons:
    """Asks the evaluation reports of a job with two versions."""

    def __init__(self, reports: EvaluationReports) -> None:
        self._reports = reports

    def get(self, job_id: UUID) -> Comparison | None:
        """A comparison's report, None while there is none."""
        if (found := self._both(job_id)) is None:
            return None
        index = self._reports.index_of(*found)
        counts_DO = index.counts()
        columns = [[*Outcome].index(outcome) for outcome in OUTCOMES]
        return _beside(
            *found,
            {
                code: tuple(int(counts_DO[row, column]) for column in columns)
                for row, code in enumerate(index.defect_codes)
            },
        )

    def figures(self, job_id: UUID) -> Comparison | None:
        """The same without outcomes, for which samples are counted: it stands when they are gone."""
        if (found := self._both(job_id)) is None:
            return None
        return _beside(*found, {code: () for report in found for code in report.defect_codes})

    def counts(self, job_id: UUID, true_defect_code: str | None = None) -> Mapping[ComparedKind, int]:
        """How many images are of each kind, and an image is of several. Non-compliant and damaged is what any version set aside."""
        if (found := self._both(job_id)) is None:
            return {}
        index = self._reports.index_of(*found)
        choices = (ComparedChoice(kind=kind, true_defect_code=true_defect_code) for kind in ComparedKind)
        return {choice.kind: int(_is_chosen(index, choice).sum()) for choice in choices}

    def samples(
        self, job_id: UUID, choice: ComparedChoice, *, page: int = 1, size: int = PAGE_SIZE
    ) -> Page[ComparedSample]:
        """A page of the images of a choice; beyond the end, the last page."""
        if (found := self._both(job_id)) is None:
            return Page(items=(), total=0, number=1, size=size)
        index = self._reports.index_of(*found)
        numbers = _chosen(index, choice)
        part, number = part_of(numbers, page, size)
        return Page(items=tuple(_compared(index, found, part)), total=len(numbers), number=number, size=size)

    def every_sample(self, job_id: UUID, choice: ComparedChoice) -> Iterator[ComparedSample]:
        """All images of the same choice, some hundred in memory at once; what is damaged is found before the first."""
        if (found := self._both(job_id)) is None:
            return iter(())
        index = self._reports.index_of(*found, by_content=True)
        return (sample for part in parts_of(_chosen(index, choice)) for sample in _compared(index, found, part))

    def sample(self, job_id: UUID, number: int) -> ComparedSample | None:
        """One image."""
        found = self._both(job_id)
        index = self._reports.index_of(*found) if found else None
        if found is None or index is None or not 0 <= number < len(index):
            return None
        return next(_compared(index, found, [number]))

    def place(self, job_id: UUID, number: int, choice: ComparedChoice) -> Place | None:
        """Where an image stands in what `samples` gives for the same choice, None where it is not among them."""
        found = self._both(job_id)
        return place_in(_chosen(self._reports.index_of(*found), choice), number) if found else None

    def _both(self, job_id: UUID) -> tuple[EvaluationReport, EvaluationReport] | None:
        match self._reports.of_job(job_id):
            case [first, second]:
                return first, second
        return None


def _beside(
    first: EvaluationReport, second: EvaluationReport, outcomes_by_code: Mapping[str, tuple[int, ...]]
) -> Comparison:
    figures = [{one.defect_code: one for one in report.figures.defects} for report in (first, second)]
    return Comparison(
        job_id=first.job_id,
        reports=(first, second),
        codes=tuple(
            CodeComparison(defect_code=code, figures=(figures[0].get(code), figures[1].get(code)), outcomes=outcomes)
            for code, outcomes in outcomes_by_code.items()
        ),
        outcomes=tuple(map(sum, zip(*outcomes_by_code.values(), strict=True))),
    )


def _of_kind(index: "SampleIndex", kind: ComparedKind) -> "Chosen":
    assert index.outcome is not None
    match kind:
        case ComparedKind.DISAGREED:
            both_N = index.is_in(0, SampleState.JUDGED) & index.is_in(1, SampleState.JUDGED)
            is_disagreed_N: Chosen = both_N & (index.predicted[0] != index.predicted[1])
            return is_disagreed_N
        case ComparedKind.FIRST_MISJUDGED:
            return index.is_misjudged(0)
        case ComparedKind.SECOND_MISJUDGED:
            return index.is_misjudged(1)
        case ComparedKind.NON_COMPLIANT | ComparedKind.DAMAGED:
            state = SampleState(kind.value)
            return index.is_in(0, state) | index.is_in(1, state)
    is_kind_N: Chosen = index.outcome == [*Outcome].index(Outcome(kind.value))
    return is_kind_N


_SUREST_BY = {ComparedKind.FIRST_MISJUDGED: 0, ComparedKind.SECOND_MISJUDGED: 1}


def _is_chosen(index: "SampleIndex", choice: ComparedChoice) -> "Chosen":
    is_chosen_N = _of_kind(index, choice.kind)
    if choice.true_defect_code is not None:
        is_chosen_N &= index.true == index.code(choice.true_defect_code)
    return is_chosen_N


def _chosen(index: "SampleIndex", choice: ComparedChoice) -> "Numbers":
    return index.ordered(_is_chosen(index, choice), choice.order, by=_SUREST_BY.get(choice.kind))


def _compared(
    index: "SampleIndex", reports: tuple[EvaluationReport, EvaluationReport], numbers: Sequence[int]
) -> Iterator[ComparedSample]:
    of_versions = [index.samples(version, numbers) for version in range(len(reports))]
    for number, *samples in zip(numbers, *of_versions, strict=True):
        there = next(sample for sample in samples if sample is not None)
        verdicts: list[Verdict | None] = []
        for version, (report, sample) in enumerate(zip(reports, samples, strict=True)):
            if sample is None:
                verdicts.append(None)
                continue
            codes = report.defect_codes
            segmented, has_overlay = without_overlay(sample)
            verdicts.append(
                Verdict(
                    number=int(index.number[version, number]),
                    state=sample.state,
                    predicted_defect_code=code_of(codes, sample.predicted_index),
                    confidence=sample.confidence,
                    scores=tuple(zip(codes, sample.scores, strict=False)),
                    segmented=segmented,
                    has_overlay=has_overlay,
                )
            )
        yield ComparedSample(
            number=int(number),
            folder=there.folder,
            checksum=there.checksum,
            width=there.width,
            height=there.height,
            has_mask=there.has_mask,
            true_defect_code=code_of(index.defect_codes, int(index.true[number])),
            verdicts=(verdicts[0], verdicts[1]),
        )
