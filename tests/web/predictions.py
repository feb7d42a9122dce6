"""A prediction job of the model trainer with its report, and the read models that know them."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

import msgspec

from domain.evaluation import DefectFigures, EvaluationFigures, Sample, SampleState
from domain.evaluation_figures import figures_of
from domain.messages import Heartbeat
from domain.prediction_jobs import PredictionKind, PredictionStatus
from projections.evaluation_reports import ALL_JUDGED, EvaluationReport, Place, SampleChoice, SampleRow
from projections.prediction_jobs import PredictionJobRow
from projections.read_model import Page
from projections.sample_order import Order
from tests.examples import (
    DEFECT_CODES,
    EVALUATION,
    MODEL_ID,
    PREDICTION_COMPLETED,
    PREDICTION_JOB_ID,
    QUESTION_BANK_FOLDER,
    TWO_CORES_ID,
    sample,
)
from tests.web.site import MODEL_TRAINER

QUEUED_AT = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
JUDGED = msgspec.structs.replace(
    EVALUATION,
    samples=(
        *EVALUATION.samples[:-1],
        msgspec.structs.replace(sample(10, 2, -1, state=SampleState.NON_COMPLIANT), has_mask=True),
        msgspec.structs.replace(sample(11, 0, -1, state=SampleState.DAMAGED), width=0, height=0),
    ),
)
"""The example with an image that cannot be read: ten are judged, one of them wrongly, one does not comply."""
FIGURES = figures_of(JUDGED)


def job(**changes: Any) -> PredictionJobRow:
    fields: dict[str, Any] = {
        "job_id": PREDICTION_JOB_ID,
        "owner": MODEL_TRAINER.user_id,
        "name": "panel-a-check",
        "kind": PredictionKind.QUESTION_BANK,
        "model_id": MODEL_ID,
        "model_name": "panel-a",
        "task_type": "分类",
        "versions": ("v1.01",),
        "compute_resource_id": TWO_CORES_ID,
        "data_paths": (QUESTION_BANK_FOLDER,),
        "batch_size": 32,
        "resolution_screening": True,
        "status": PredictionStatus.COMPLETED,
        "worker": "gpu-1",
        "queued_at": QUEUED_AT,
        "started_at": QUEUED_AT.replace(minute=1),
        "ended_at": QUEUED_AT.replace(minute=3),
        "accuracy": FIGURES.accuracy,
        "recall": FIGURES.recall,
        "iou": None,
        "reason": None,
        "log": PREDICTION_COMPLETED.log,
    }
    return PredictionJobRow(**(fields | changes))


def with_iou(figures: EvaluationFigures) -> EvaluationFigures:
    defects: Sequence[DefectFigures] = [msgspec.structs.replace(one, iou=0.625) for one in figures.defects]
    return msgspec.structs.replace(figures, iou=0.712, defects=tuple(defects))


class FakePredictionJobs:
    def __init__(self, *jobs: PredictionJobRow) -> None:
        self.jobs = list(jobs)

    def page(
        self,
        owner: UUID,
        kind: PredictionKind,
        *,
        status: PredictionStatus | None = None,
        task_type: str = "",
        search: str = "",
        model: str = "",
        sort: str = "-queued_at",
        page: int = 1,
        size: int = 20,
    ) -> Page[PredictionJobRow]:
        rows = tuple(
            one
            for one in self.jobs
            if one.owner == owner
            and one.kind is kind
            and status in (None, one.status)
            and task_type in ("", one.task_type)
            and search.lower() in one.name.lower()
            and model.lower() in one.model_name.lower()
        )
        rows = rows[::-1] if sort == "-name" else rows
        return Page(items=rows[(page - 1) * size : page * size], total=len(rows), number=page, size=size)

    def get(self, job_id: UUID) -> PredictionJobRow | None:
        return next((one for one in self.jobs if one.job_id == job_id), None)

    def task_types(self, owner: UUID, kind: PredictionKind) -> list[str]:
        return sorted({one.task_type for one in self.jobs if one.owner == owner and one.kind is kind})


class FakeEvaluationReports:
    """Reports by job and label, all of them of the same samples."""

    def __init__(
        self, *keys: tuple[UUID, str], figures: EvaluationFigures = FIGURES, samples: Sequence[Sample] = JUDGED.samples
    ) -> None:
        self.keys, self.figures, self.all = keys, figures, samples

    def overlay(self, job_id: UUID, label: str, number: int) -> bytes | None:
        seen = self.all[number].segmented if (job_id, label) in self.keys else None
        return seen.overlay if seen and seen.overlay else None

    def get(self, job_id: UUID, label: str) -> EvaluationReport | None:
        if (job_id, label) not in self.keys:
            return None
        evaluation = PREDICTION_COMPLETED.results[0].evaluation
        return EvaluationReport(job_id=job_id, label=label, figures=self.figures, evaluation=evaluation)

    def sample(self, job_id: UUID, label: str, number: int) -> SampleRow | None:
        known = (job_id, label) in self.keys and 0 <= number < len(self.all)
        return _row(number, self.all[number]) if known else None

    def samples(
        self, job_id: UUID, label: str, choice: SampleChoice = ALL_JUDGED, *, page: int = 1, size: int = 48
    ) -> Page[SampleRow]:
        rows = self._chosen(job_id, label, choice)
        return Page(items=rows[(page - 1) * size : page * size], total=len(rows), number=page, size=size)

    def every_sample(self, job_id: UUID, label: str, choice: SampleChoice) -> Iterator[SampleRow]:
        yield from self._chosen(job_id, label, choice)

    def place(self, job_id: UUID, label: str, number: int, choice: SampleChoice) -> Place | None:
        numbers = [row.number for row in self._chosen(job_id, label, choice)]
        if number not in numbers:
            return None
        at = numbers.index(number)
        return Place(
            place=at + 1,
            total=len(numbers),
            previous=numbers[at - 1] if at else None,
            following=numbers[at + 1] if at + 1 < len(numbers) else None,
        )

    def _chosen(self, job_id: UUID, label: str, choice: SampleChoice) -> tuple[SampleRow, ...]:
        rows = [_row(number, one) for number, one in enumerate(self.all) if (job_id, label) in self.keys]
        chosen = tuple(
            row
            for row in rows
            if row.state is choice.state
            and choice.true_defect_code in (None, row.true_defect_code)
            and choice.predicted_defect_code in (None, row.predicted_defect_code)
            and (row.is_misjudged or not choice.only_misjudged)
        )
        return chosen[::-1] if choice.order is Order.LEAST_SURE else chosen


class FakeHeartbeats:
    def __init__(self, *beats: Heartbeat) -> None:
        self.beats = {beat.job_id: beat for beat in beats}

    def of(self, job_id: UUID) -> Heartbeat | None:
        return self.beats.get(job_id)

    def of_all(self, job_ids: list[UUID]) -> dict[UUID, Heartbeat]:
        return {job_id: self.beats[job_id] for job_id in job_ids if job_id in self.beats}


def _row(number: int, one: Sample) -> SampleRow:
    return SampleRow(
        number=number,
        root=one.folder.root,
        path=one.folder.path,
        checksum=one.checksum,
        width=one.width,
        height=one.height,
        state=one.state,
        true_defect_code=DEFECT_CODES[one.true_index],
        predicted_defect_code=DEFECT_CODES[one.predicted_index] if one.predicted_index >= 0 else None,
        confidence=one.confidence,
        scores=one.scores,
        has_mask=one.has_mask,
        segmented=one.segmented,
        has_overlay=bool(one.segmented and one.segmented.overlay),
    )


def image_address(kind: str, number: int) -> str:
    """Where the page finds the picture of a sample, as it stands in its text."""
    folder = JUDGED.samples[number].folder
    return f"/images/{kind}?root={folder.root}&amp;path={quote(folder.path, safe='')}"
