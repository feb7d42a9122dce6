"""Evaluation reports: the figures and the judged samples of training jobs and of prediction jobs, one report a version judged.

The samples come from the evaluation artifacts that the facts name, so a rebuild needs the log and the artifacts.
"""

import base64
from typing import Any
from uuid import UUID

import msgspec

from domain.artifacts import Artifact
from domain.data_paths import FolderName
from domain.evaluation import Evaluation, EvaluationFigures, Sample, SampleState, Segmented
from domain.facts import Recorded
from domain.prediction_jobs import PredictionCompleted, PredictionDeleted, PredictionRestarted
from domain.training_jobs import TrainingCompleted, TrainingDeleted
from projections.read_model import Page, ReadModel, Rows, Table

TRAINING_LABEL = "validation"
"""The label of the report that a training job makes on its validation split; a prediction's reports carry the version."""
LAST_LABEL = "validation-last"
"""The same with the last weights instead of the best, where they are others."""
TRAINING_LABELS = frozenset((TRAINING_LABEL, LAST_LABEL))
PAGE_SIZE = 48


class EvaluationReport(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one report; `defect_codes` begins with the classes of the model in the order of its scores."""

    job_id: UUID
    label: str
    defect_codes: tuple[str, ...]
    figures: EvaluationFigures


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


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a sample stands among the chosen ones, from 1, and the numbers of those beside it."""

    place: int
    total: int
    previous: int | None
    following: int | None


class EvaluationReports(ReadModel):
    """Reports and their samples."""

    name = "evaluation_reports"
    REPORTS = Table(
        "evaluation_reports",
        key=("job_id uuid", "label text"),
        columns=("defect_codes jsonb NOT NULL", "figures jsonb NOT NULL"),
    )
    SAMPLES = Table(
        "evaluation_samples",
        key=("job_id uuid", "label text", "number int"),
        columns=(
            "root text NOT NULL",
            "path text NOT NULL",
            "checksum text NOT NULL",
            "width int NOT NULL",
            "height int NOT NULL",
            "state text NOT NULL",
            "true_defect_code text",
            "predicted_defect_code text",
            "confidence float8 NOT NULL",
            "scores float8[] NOT NULL",
            "has_mask boolean NOT NULL",
            "segmented jsonb",
            "overlay text",
        ),
        indexes=(
            (
                "CREATE INDEX evaluation_samples_by_code ON evaluation_samples"
                " (job_id, label, true_defect_code, predicted_defect_code, confidence DESC)"
            ),
        ),
    )

    def project(self, rows: Rows, recorded: Recorded) -> None:
        """A report comes with the completion of its job and goes with the job."""
        job_id = recorded.originator_id
        match recorded.data:
            case TrainingCompleted() as fact:
                self._put(rows, job_id, TRAINING_LABEL, fact.evaluation, fact.figures)
                if fact.last_evaluation and fact.last_figures:
                    self._put(rows, job_id, LAST_LABEL, fact.last_evaluation, fact.last_figures)
            case PredictionCompleted(results=results):
                for result in results:
                    self._put(rows, job_id, result.label, result.evaluation, result.figures)
            case TrainingDeleted() | PredictionDeleted() | PredictionRestarted():
                rows.delete(self.REPORTS, job_id)
                rows.delete(self.SAMPLES, job_id)

    def get(self, job_id: UUID, label: str = TRAINING_LABEL) -> EvaluationReport | None:
        """A report, None while there is none."""
        return self._one(
            "SELECT job_id, label, defect_codes, figures FROM evaluation_reports WHERE job_id = %s AND label = %s",
            (job_id, label),
            EvaluationReport,
        )

    def samples(
        self,
        job_id: UUID,
        label: str,
        *,
        true_defect_code: str | None = None,
        predicted_defect_code: str | None = None,
        state: SampleState = SampleState.JUDGED,
        only_misjudged: bool = False,
        page: int = 1,
        size: int = PAGE_SIZE,
    ) -> Page[SampleRow]:
        """Samples of a report, the surest predictions first; None leaves a code open."""
        return self._page(
            f"SELECT {_COLUMNS} FROM evaluation_samples WHERE {_CHOSEN} ORDER BY {_ORDER}",  # noqa: S608 - our own text
            _choice(job_id, label, true_defect_code, predicted_defect_code, state, only_misjudged),
            SampleRow,
            number=page,
            size=size,
        )

    def place(
        self,
        job_id: UUID,
        label: str,
        number: int,
        *,
        true_defect_code: str | None = None,
        predicted_defect_code: str | None = None,
        state: SampleState = SampleState.JUDGED,
        only_misjudged: bool = False,
    ) -> Place | None:
        """Where a sample stands in what `samples` gives for the same choice, None where it is not among them."""
        return self._one(
            "SELECT place, total, previous, following FROM (SELECT number, count(*) OVER () AS total,"  # noqa: S608
            " row_number() OVER ordered AS place, lag(number) OVER ordered AS previous,"
            f" lead(number) OVER ordered AS following FROM evaluation_samples WHERE {_CHOSEN}"
            f" WINDOW ordered AS (ORDER BY {_ORDER})) AS chosen WHERE number = %(number)s",
            {
                **_choice(job_id, label, true_defect_code, predicted_defect_code, state, only_misjudged),
                "number": number,
            },
            Place,
        )

    def sample(self, job_id: UUID, label: str, number: int) -> SampleRow | None:
        """One sample of a report."""
        return self._one(
            f"SELECT {_COLUMNS} FROM evaluation_samples WHERE job_id = %s AND label = %s AND number = %s",  # noqa: S608
            (job_id, label, number),
            SampleRow,
        )

    def overlay(self, job_id: UUID, label: str, number: int) -> bytes | None:
        """The PNG of a sample's predicted pixels, None where there is none."""
        found = self._one(
            "SELECT overlay FROM evaluation_samples"
            " WHERE job_id = %s AND label = %s AND number = %s AND overlay IS NOT NULL",
            (job_id, label, number),
            str,
        )
        return None if found is None else base64.b64decode(found)

    def _put(self, rows: Rows, job_id: UUID, label: str, artifact: Artifact, figures: EvaluationFigures) -> None:
        evaluation = msgspec.msgpack.decode(self.artifacts.read(artifact), type=Evaluation)
        codes = evaluation.defect_codes
        rows.delete(self.SAMPLES, job_id, label)
        rows.insert(self.REPORTS, job_id, label, defect_codes=codes, figures=figures)
        rows.insert_many(
            self.SAMPLES,
            (
                (
                    job_id,
                    label,
                    number,
                    sample.folder.root,
                    sample.folder.path,
                    sample.checksum,
                    sample.width,
                    sample.height,
                    sample.state.value,
                    _code(codes, sample.true_index),
                    _code(codes, sample.predicted_index),
                    sample.confidence,
                    sample.scores,
                    sample.has_mask,
                    *_segmented(sample),
                )
                for number, sample in enumerate(evaluation.samples)
            ),
        )


_COLUMNS = (
    "number, root, path, checksum, width, height, state, true_defect_code, predicted_defect_code, confidence, scores,"
    " has_mask, segmented, overlay IS NOT NULL AS has_overlay"
)
_CHOSEN = (
    "job_id = %(job_id)s AND label = %(label)s AND state = %(state)s"
    " AND (%(true_code)s::text IS NULL OR true_defect_code = %(true_code)s)"
    " AND (%(predicted_code)s::text IS NULL OR predicted_defect_code = %(predicted_code)s)"
    " AND (NOT %(only_misjudged)s OR true_defect_code IS DISTINCT FROM predicted_defect_code)"
)
_ORDER = "confidence DESC, number"


def _choice(
    job_id: UUID,
    label: str,
    true_defect_code: str | None,
    predicted_defect_code: str | None,
    state: SampleState,
    only_misjudged: bool,
) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "label": label,
        "state": state.value,
        "true_code": true_defect_code,
        "predicted_code": predicted_defect_code,
        "only_misjudged": only_misjudged,
    }


def _segmented(sample: Sample) -> tuple[Segmented | None, str | None]:
    """What a sample's row holds of the segmentation; bytes travel as Base64."""
    seen = sample.segmented
    if seen is None:
        return None, None
    overlay = base64.b64encode(seen.overlay).decode() if seen.overlay else None
    return msgspec.structs.replace(seen, overlay=b""), overlay


def _code(codes: tuple[str, ...], index: int) -> str | None:
    return codes[index] if 0 <= index < len(codes) else None
