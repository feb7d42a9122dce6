"""Numbers to SVG geometry: a line chart with axes, in user units of its view box. The template only places what is here."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

WIDTH, HEIGHT = 640.0, 290.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 24.0, 14.0, 42.0
LOW_HEIGHT, LOW_BOTTOM = 170.0, 26.0
"""Of a small chart, whose axis of time needs no name."""
LONE_RADIUS = 3
RING = f"a{LONE_RADIUS},{LONE_RADIUS},0,1,0,{2 * LONE_RADIUS},0a{LONE_RADIUS},{LONE_RADIUS},0,1,0,{-2 * LONE_RADIUS},0"
"""From its left end; with commas, because charts.js finds the points of a path by their blanks."""
MOST_POINTS = 400
"""More points than pixels show nothing more; of each bundle the lowest and highest stay, so that no spike is lost."""

GAP_STEPS = 1.5
"""Who is late by half a step is still in time."""
CLOCK_STEPS = (60, 300, 600, 1800, 3600, 4 * 3600, 86400)
MOST_CLOCK_TICKS = 7

Point = tuple[float, float]


class Series(msgspec.Struct, frozen=True):
    """One named line; points with a y that is not finite leave a gap."""

    name: str
    points: tuple[Point, ...]


class Tick(msgspec.Struct, frozen=True):
    """A mark on an axis at `at` units, with its label."""

    at: float
    label: str


class Line(msgspec.Struct, frozen=True):
    """`path` is the `d` of an SVG path; `style` counts the lines from 1 (colour and dashes); `last` is the newest value.

    `points` are the finite values that the path places, for whoever asks for the figures of a place: "x y,x y,…".
    """

    name: str
    path: str
    style: int
    last: float | None
    points: str = ""


class LineChart(msgspec.Struct, frozen=True):
    """Everything the macro of `_charts.html` places."""

    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]
    is_empty: bool
    x_low: float = 0.0
    x_high: float = 1.0
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM


class _Frame(msgspec.Struct, frozen=True):
    """Which values the edges stand for, and where the edges are."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    height: float = HEIGHT
    bottom: float = HEIGHT - BOTTOM

    def place(self, point: Point) -> Point:
        x = LEFT + (point[0] - self.x_low) / (self.x_high - self.x_low) * (WIDTH - LEFT - RIGHT)
        y = self.bottom - (point[1] - self.y_low) / (self.y_high - self.y_low) * (self.bottom - TOP)
        return x, y


def line_chart(
    series: Sequence[Series], *, x_label: str, y_label: str, x_max: float | None = None, from_zero: bool = False
) -> LineChart:
    """A chart of several lines. With `x_max` the x axis begins at 0 and keeps room for what is still to come; `from_zero` starts
    the y axis at 0.
    """
    finite = _finite(series)
    xs, ys = [x for x, _ in finite], [y for _, y in finite]
    xs += [] if x_max is None or not xs else [0.0, x_max]
    x_ticks = nice_ticks(min(xs, default=0.0), max(xs, default=1.0))
    highest = max(ys, default=1.0) or (1.0 if from_zero else 0.0)
    y_ticks = nice_ticks(0.0 if from_zero or not ys else min(ys), highest)
    x_low = min(xs, default=0.0)
    frame = _Frame(x_low, max([*xs, x_low + 1e-9]), y_ticks[0], y_ticks[-1])
    return _chart(series, frame, x_label, y_label, [(x, tick_label(x)) for x in x_ticks], y_ticks)


def time_chart(series: Sequence[Series], *, begin: datetime, end: datetime, y_label: str, y_max: float) -> LineChart:
    """A low chart of several lines over a stretch of time; x are seconds since 1970, y begins at 0. Ticks tell the time of day in
    the zone of the server.
    """
    low, high = begin.timestamp(), end.timestamp()
    y_ticks = nice_ticks(0.0, y_max, wanted=2)
    frame = _Frame(low, high, y_ticks[0], y_ticks[-1], height=LOW_HEIGHT, bottom=LOW_HEIGHT - LOW_BOTTOM)
    return _chart(series, frame, "", y_label, _clock_ticks(begin, end), y_ticks)


def with_gaps(points: Sequence[Point], step: float, end: float) -> tuple[Point, ...]:
    """Points that should follow each other every `step` up to `end`: where some are missing the line is lifted, also at its end."""
    lifted: list[Point] = []
    for x, y in (*points, (end, math.nan)):
        if lifted and x - lifted[-1][0] > GAP_STEPS * step:
            lifted.append((lifted[-1][0] + step, math.nan))
        lifted.append((x, y))
    return tuple(lifted[:-1])


def _chart(
    series: Sequence[Series],
    frame: _Frame,
    x_label: str,
    y_label: str,
    x_ticks: Sequence[tuple[float, str]],
    y_ticks: Sequence[float],
) -> LineChart:
    drawn = [thinned(line.points) for line in series]
    return LineChart(
        x_label=x_label,
        y_label=y_label,
        x_ticks=tuple(
            Tick(frame.place((x, frame.y_low))[0], label) for x, label in x_ticks if frame.x_low <= x <= frame.x_high
        ),
        y_ticks=tuple(Tick(frame.place((frame.x_low, y))[1], tick_label(y)) for y in y_ticks),
        lines=tuple(
            Line(
                line.name,
                svg_path([frame.place(point) for point in points]),
                number,
                _last(line.points),
                ",".join(f"{x:g} {y:.6g}" if x < 1e6 else f"{x:.0f} {y:.6g}" for x, y in points if math.isfinite(y)),
            )
            for number, (line, points) in enumerate(zip(series, drawn, strict=True), 1)
        ),
        is_empty=not _finite(series),
        x_low=frame.x_low,
        x_high=frame.x_high,
        height=frame.height,
        bottom=frame.bottom,
    )


def _finite(series: Sequence[Series]) -> list[Point]:
    return [point for line in series for point in line.points if math.isfinite(point[0]) and math.isfinite(point[1])]


def _last(points: Sequence[Point]) -> float | None:
    """None where the line has ended before."""
    return points[-1][1] if points and math.isfinite(points[-1][1]) else None


def _clock_ticks(begin: datetime, end: datetime) -> list[tuple[float, str]]:
    """About six, at full minutes or hours of the local time."""
    seconds = next(step for step in CLOCK_STEPS if (end - begin).total_seconds() / step <= MOST_CLOCK_TICKS)
    zone = begin.astimezone().utcoffset()
    offset = zone.total_seconds() if zone else 0.0
    first = math.ceil((begin.timestamp() + offset) / seconds) * seconds - offset
    count = int((end.timestamp() - first) // seconds) + 1
    moments = [first + number * seconds for number in range(count)]
    return [(moment, f"{datetime.fromtimestamp(moment, UTC).astimezone():%H:%M}") for moment in moments]


def nice_ticks(low: float, high: float, wanted: int = 5) -> tuple[float, ...]:
    """Round values from at most `low` to at least `high`, one, two or five times a power of ten apart."""
    if high <= low:
        low, high = low - abs(low or 1.0) / 2, low + abs(low or 1.0) / 2
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(step * number for number in range(first, last + 1))


def tick_label(value: float) -> str:
    """Short: `0.25`, `40k`, `1.5M`, `1e-05`, `3e+19`."""
    if abs(value) >= 1e10:
        return f"{value:.0e}"
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 10 or (abs(value) >= size and value % (size / 10) == 0):
            return f"{value / size:g}{unit}"
    return f"{value:.6g}"


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most about `MOST_POINTS` points: of every bundle of neighbours the lowest and the highest, in their order."""
    if len(points) <= MOST_POINTS:
        return list(points)
    bundle = math.ceil(len(points) / (MOST_POINTS / 2))
    kept: list[Point] = []
    for start in range(0, len(points), bundle):
        part = points[start : start + bundle]
        broken = [point for point in part if not math.isfinite(point[1])]
        whole = [point for point in part if math.isfinite(point[1])]
        extremes = {min(whole, key=lambda point: point[1]), max(whole, key=lambda point: point[1])} if whole else set()
        kept.extend(sorted([*extremes, *broken[:1]]))
    if points[-1] not in kept[-2:]:
        kept.append(points[-1])
    return kept


def evenly(points: Sequence[Point], most: int) -> list[Point]:
    """At most `most` points, as evenly spread as they lie, the first and the last among them: a curve as a short table."""
    if len(points) <= most:
        return list(points)
    return [points[round(number * (len(points) - 1) / (most - 1))] for number in range(most)]


def svg_path(points: Sequence[Point]) -> str:
    """`M x y L x y …`, lifted over gaps; a point alone is a ring, because a line from it to itself would not be seen."""
    stretches: list[list[Point]] = [[]]
    for x, y in points:
        if math.isfinite(y):
            stretches[-1].append((x, y))
        else:
            stretches.append([])
    return " ".join(_stretch(points) for points in stretches if points)


def _stretch(points: Sequence[Point]) -> str:
    if len(points) == 1:
        [(x, y)] = points
        return f"M{x - LONE_RADIUS:.1f} {y:.1f}{RING}"
    return " ".join(f"{'L' if number else 'M'}{x:.1f} {y:.1f}" for number, (x, y) in enumerate(points))
