"""Numbers to SVG geometry: a line chart with axes, in user units of its view box. The template only places what is here."""

import math
from collections.abc import Sequence

import msgspec

WIDTH, HEIGHT = 640.0, 290.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 24.0, 14.0, 42.0
LONE_WIDTH = 4
MOST_POINTS = 400
"""More points than pixels show nothing more; of each bundle the lowest and highest stay, so that no spike is lost."""

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


def line_chart(
    series: Sequence[Series], *, x_label: str, y_label: str, x_max: float | None = None, from_zero: bool = False
) -> LineChart:
    """A chart of several lines. With `x_max` the x axis begins at 0 and keeps room for what is still to come; `from_zero` starts
    the y axis at 0.
    """
    finite = [point for line in series for point in line.points if math.isfinite(point[0]) and math.isfinite(point[1])]
    xs, ys = [x for x, _ in finite], [y for _, y in finite]
    xs += [] if x_max is None or not xs else [0.0, x_max]
    x_ticks = nice_ticks(min(xs, default=0.0), max(xs, default=1.0))
    highest = max(ys, default=1.0) or (1.0 if from_zero else 0.0)
    y_ticks = nice_ticks(0.0 if from_zero or not ys else min(ys), highest)
    x_low = min(xs, default=0.0)
    x_high = max([*xs, x_low + 1e-9])
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def place(point: Point) -> Point:
        x = LEFT + (point[0] - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - (point[1] - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)
        return x, y

    drawn = [thinned(line.points) for line in series]
    return LineChart(
        x_label=x_label,
        y_label=y_label,
        x_ticks=tuple(Tick(place((x, y_low))[0], tick_label(x)) for x in x_ticks if x_low <= x <= x_high),
        y_ticks=tuple(Tick(place((x_low, y))[1], tick_label(y)) for y in y_ticks),
        lines=tuple(
            Line(
                line.name,
                svg_path([place(point) for point in points]),
                number,
                line.points[-1][1] if line.points else None,
                ",".join(f"{x:g} {y:.6g}" if x < 1e6 else f"{x:.0f} {y:.6g}" for x, y in points if math.isfinite(y)),
            )
            for number, (line, points) in enumerate(zip(series, drawn, strict=True), 1)
        ),
        is_empty=not finite,
        x_low=x_low,
        x_high=x_high,
    )


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
    """`M x y L x y …`, lifted over gaps; a point alone is a short dash, because a line from it to itself would not be seen."""
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
        return f"M{x - LONE_WIDTH / 2:.1f} {y:.1f}h{LONE_WIDTH}"
    return " ".join(f"{'L' if number else 'M'}{x:.1f} {y:.1f}" for number, (x, y) in enumerate(points))
