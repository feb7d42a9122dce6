"""The curves of a training: the losses of each network while it learns, and what its validations found. Source: T-5."""

from collections.abc import Mapping
from types import MappingProxyType
from uuid import UUID

import msgspec

from domain.messages import LossPart
from domain.sentences import N_
from projections.training_jobs import LossPoint, PartRow, ValidationRow
from web.charts import MOST_POINTS, LineChart, Series, evenly, line_chart, nice_ticks
from web.services import ReadModels

AXIS_AHEAD, SHORTEST_AXIS = 1.25, 4
"""So much further than the curve an axis reaches; marks of iterations are whole numbers from the first one on."""
TABLE_ROWS = 20
"""So many points of a curve stand in its table."""
VALIDATED: Mapping[LossPart, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        LossPart.CLASSIFICATION: (("accuracy", N_("Accuracy")), ("recall", N_("Recall"))),
        LossPart.SEGMENTATION: (("iou", N_("Mean IoU")),),
    }
)
"""What is drawn of the validations of each network."""


class PartCurve(msgspec.Struct, frozen=True, kw_only=True):
    """The loss curve of one network, with how far it is. `points` are some of it for a table, the newest first; `is_thinned` where
    not every point is drawn.
    """

    row: PartRow
    chart: LineChart
    points: tuple[LossPoint, ...]
    is_thinned: bool


class ValidationCurve(msgspec.Struct, frozen=True, kw_only=True):
    """The validation figures of one network, the newest first, and their curve."""

    part: LossPart
    rows: tuple[ValidationRow, ...]
    chart: LineChart


def loss_curve(read: ReadModels, job_id: UUID, part: PartRow) -> PartCurve:
    """What one network has learnt so far."""
    measured: list[LossPoint] = read.training_jobs.losses(job_id, part.part)
    points = [(float(point.iteration), point.loss) for point in measured]
    series = Series("loss", tuple(points))
    return PartCurve(
        row=part,
        chart=line_chart([series], x_label="iteration", y_label="loss", x_max=_axis_end(part), from_zero=True),
        points=tuple(LossPoint(round(x), y) for x, y in reversed(evenly(points, TABLE_ROWS))),
        is_thinned=len(points) > MOST_POINTS,
    )


def validation_curves(parts: list[PartRow], rows: list[ValidationRow]) -> tuple[ValidationCurve, ...]:
    """What its validations found, of each network."""
    curves = []
    for part in parts:
        own = [row for row in rows if row.part is part.part]
        series = [
            Series(
                name,
                tuple((float(row.iteration), 100 * share) for row in own if (share := getattr(row, field)) is not None),
            )
            for field, name in VALIDATED[part.part]
        ]
        from_zero = part.part is LossPart.SEGMENTATION  # an IoU is near 0 for long, and its noise there means nothing
        chart = line_chart(series, x_label="iteration", y_label="%", x_max=_axis_end(part), from_zero=from_zero)
        curves.append(ValidationCurve(part=part.part, rows=tuple(reversed(own)), chart=chart))
    return tuple(curves)


def _axis_end(part: PartRow) -> float:
    """The last iteration of the axis: a round number ahead of the curve, at most that of the training. Of a long training the
    beginning would be a stroke at the edge for hours.
    """
    return min(float(part.max_iter), nice_ticks(0.0, AXIS_AHEAD * max(SHORTEST_AXIS, part.iteration))[-1])
