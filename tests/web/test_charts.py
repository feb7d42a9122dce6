"""Numbers to SVG geometry."""

import math
import re
from datetime import UTC, datetime, timedelta

import pytest

from web.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    MOST_POINTS,
    RIGHT,
    RING,
    TOP,
    WIDTH,
    Series,
    evenly,
    line_chart,
    nice_ticks,
    svg_path,
    thinned,
    tick_label,
    time_chart,
    with_gaps,
)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 2.3, (0, 0.5, 1.0, 1.5, 2.0, 2.5)),
        (0, 40000, (0, 10000, 20000, 30000, 40000)),
        (0.12, 0.18, (0.12, 0.14, 0.16, 0.18)),
    ],
)
def test_ticks_are_round_and_embrace_the_values(low: float, high: float, ticks: tuple[float, ...]) -> None:
    assert nice_ticks(low, high) == pytest.approx(ticks)


@pytest.mark.parametrize("value", [0.0, 5.0, -2.0, 1e-12])
def test_a_single_value_still_has_an_axis(value: float) -> None:
    ticks = nice_ticks(value, value)
    assert ticks[0] < value < ticks[-1] or ticks[0] <= value <= ticks[-1]
    assert len(ticks) > 1


def test_tick_labels_are_short() -> None:
    assert [tick_label(value) for value in (0, 0.25, 40000, 1500, 1_500_000, 0.00001)] == [
        "0",
        "0.25",
        "40k",
        "1.5k",
        "1.5M",
        "1e-05",
    ]
    assert tick_label(0.1 + 0.2) == "0.3"
    assert tick_label(3e19) == "3e+19"


def test_every_point_lies_inside_the_frame() -> None:
    points = tuple((float(x), math.sin(x / 9)) for x in range(200))
    chart = line_chart([Series("训练集", points)], x_label="迭代次数", y_label="损失")
    placed = [(float(x), float(y)) for x, y in re.findall(r"[ML](\S+) (\S+)", chart.lines[0].path)]
    assert len(placed) == 200
    assert all(LEFT <= x <= WIDTH - RIGHT and TOP <= y <= HEIGHT - BOTTOM for x, y in placed)
    assert placed[0][0] == LEFT
    assert placed[-1][0] == WIDTH - RIGHT


def test_higher_values_lie_higher() -> None:
    chart = line_chart([Series("训练集", ((0.0, 0.0), (1.0, 1.0)))], x_label="", y_label="")
    assert chart.lines[0].path == f"M{LEFT:.1f} {HEIGHT - BOTTOM:.1f} L{WIDTH - RIGHT:.1f} {TOP:.1f}"


def test_room_is_kept_for_what_is_still_to_come() -> None:
    chart = line_chart([Series("训练集", ((0.0, 2.0), (500.0, 1.0)))], x_label="", y_label="", x_max=1000)
    assert float(re.findall(r"L(\S+)", chart.lines[0].path)[0]) == pytest.approx((LEFT + WIDTH - RIGHT) / 2)


def test_with_room_for_more_the_axis_begins_at_nothing() -> None:
    chart = line_chart([Series("loss", ((20.0, 2.0), (40.0, 1.0)))], x_label="", y_label="", x_max=100)
    assert [tick.label for tick in chart.x_ticks] == ["0", "20", "40", "60", "80", "100"]
    assert (chart.x_low, chart.x_high) == (0, 100)


@pytest.mark.parametrize("count", [10, 100_000])
def test_the_figures_of_what_is_drawn_come_with_it(count: int) -> None:  # T-5
    points = tuple((float(x), 2.0 - x / count) for x in range(1, count + 1))
    [line] = line_chart([Series("loss", points)], x_label="", y_label="", x_max=count).lines
    told = [(float(x), float(y)) for x, y in (pair.split() for pair in line.points.split(","))]
    assert len(told) == len(re.findall(r"[ML]", line.path)) <= MOST_POINTS + 2
    assert told[-1][0] == count
    assert all(y == pytest.approx(2.0 - x / count, rel=1e-5) for x, y in told)


def test_a_curve_as_a_short_table_keeps_its_ends() -> None:
    points = [(float(x), 1.0) for x in range(1, 7001)]
    rows = evenly(points, 20)
    assert (len(rows), rows[0], rows[-1]) == (20, points[0], points[-1])
    assert rows == sorted(set(rows))
    assert evenly(points[:7], 20) == points[:7]


def test_a_point_alone_is_seen() -> None:
    """A training of weeks begins with one point; a line needs two."""
    assert svg_path([(10, 1)]) == "M7.0 1.0a3,3,0,1,0,6,0a3,3,0,1,0,-6,0"
    assert svg_path([]) == ""


def test_a_value_that_is_not_finite_leaves_a_gap() -> None:
    assert svg_path([(2, 1), (3, math.nan), (4, 1), (5, 2)]) == f"M-1.0 1.0{RING} M4.0 1.0 L5.0 2.0"
    chart = line_chart([Series("训练集", ((0.0, 1.0), (1.0, math.inf), (2.0, 3.0)))], x_label="", y_label="")
    assert "inf" not in chart.lines[0].path
    assert "nan" not in chart.lines[0].path


def test_a_long_curve_is_thinned_without_losing_a_spike() -> None:
    points = [(float(x), 1.0) for x in range(140_000)]
    points[77_777] = (77_777.0, 9.0)
    kept = thinned(points)
    assert len(kept) <= MOST_POINTS + 2
    assert (77_777.0, 9.0) in kept
    assert kept == sorted(kept)
    assert kept[-1] == points[-1]


def test_a_chart_without_points_is_empty() -> None:
    assert line_chart([], x_label="", y_label="").is_empty
    assert line_chart([Series("训练集", ())], x_label="", y_label="").is_empty
    assert not line_chart([Series("训练集", ((0.0, 1.0),))], x_label="", y_label="").is_empty


def test_the_legend_tells_the_newest_value() -> None:
    chart = line_chart([Series("训练集", ((0.0, 2.0), (1.0, 0.5))), Series("验证集", ())], x_label="", y_label="")
    assert [(line.name, line.style, line.last) for line in chart.lines] == [("训练集", 1, 0.5), ("验证集", 2, None)]


def test_a_line_that_lies_at_zero_leaves_no_room_for_less_than_nothing() -> None:
    chart = line_chart([Series("IoU", ((1.0, 0.0), (2.0, 0.0)))], x_label="", y_label="", from_zero=True)
    assert [tick.label for tick in chart.y_ticks] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]


HOUR = timedelta(hours=1)
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def test_a_chart_over_time_has_the_whole_stretch_and_tells_the_time_of_day() -> None:  # O-1
    at = NOON.timestamp()
    chart = time_chart([Series("CPU", ((at - 1800, 50.0),))], begin=NOON - HOUR, end=NOON, y_label="%", y_max=100)
    assert [tick.label for tick in chart.y_ticks] == ["0", "50", "100"]
    assert [tick.label[-2:] for tick in chart.x_ticks] == ["00", "10", "20", "30", "40", "50", "00"]
    assert chart.x_ticks[-1].label == f"{NOON.astimezone():%H:%M}"
    [line] = chart.lines
    middle = (LEFT + WIDTH - RIGHT) / 2
    assert line.path == f"M{middle - 3:.1f} {(TOP + chart.bottom) / 2:.1f}{RING}"


@pytest.mark.parametrize(("hours", "apart"), [(1, 600), (24, 4 * 3600)])
def test_times_of_day_stand_at_full_minutes_or_hours(hours: int, apart: int) -> None:  # O-1
    end = NOON + timedelta(minutes=7, seconds=20)
    chart = time_chart([], begin=end - hours * HOUR, end=end, y_label="%", y_max=100)
    assert len(chart.x_ticks) in (6, 7)
    assert {tick.label[-2:] for tick in chart.x_ticks} <= {"00", "10", "20", "30", "40", "50"}
    places = [tick.at for tick in chart.x_ticks]
    assert places[1] - places[0] == pytest.approx((WIDTH - LEFT - RIGHT) * apart / (hours * 3600))


def test_a_line_is_lifted_where_steps_are_missing_and_where_it_ended() -> None:  # O-1
    points = [(0.0, 1.0), (20.0, 2.0), (100.0, 3.0), (120.0, 4.0)]
    lifted = with_gaps(points, 20.0, 200.0)
    assert [x for x, y in lifted if math.isnan(y)] == [40.0, 140.0]
    assert [point for point in lifted if not math.isnan(point[1])] == points


def test_a_line_that_goes_on_is_not_lifted_while_its_newest_step_is_still_to_come() -> None:  # O-1
    points = [(0.0, 1.0), (20.0, 2.0)]
    assert with_gaps(points, 20.0, 40.0) == tuple(points)
    assert with_gaps([], 20.0, 40.0) == ()


def test_a_line_that_has_ended_has_no_newest_value() -> None:  # O-1
    gone = with_gaps([(0.0, 1.0)], 20.0, 3600.0)
    chart = time_chart([Series("CPU", gone)], begin=NOON - HOUR, end=NOON, y_label="%", y_max=100)
    assert chart.lines[0].last is None
