"""概览: the set-up steps until they are done (M-7), the key figures of the signed-in user, and how busy the system is (O-1).

Key figures are everybody's own; the system is the same for all: the manual shows it to every user.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

import msgspec
from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.response import ServerSentEvent

from domain.machine_figures import Place, PlaceKind
from domain.messages import JobKind
from domain.sentences import N_, Sentence
from domain.system_resources import PERIODS, MachineMoment, Span, SystemHistory, SystemNow
from projections.overview import KeyFigures, SetupSteps
from web.charts import LineChart, Series, evenly, time_chart, with_gaps
from web.forms import Form
from web.live import Live, Part
from web.pages import Desk, Page
from web.services import Services

JOB_NAMES: Mapping[JobKind, str] = MappingProxyType(
    {
        JobKind.TRAINING: N_("Trainings"),
        JobKind.PREDICTION: N_("Predictions and comparisons"),
        JobKind.LOADING: N_("Loading of model images"),
        JobKind.EXPORT: N_("Exports of models"),
    }
)
WORK_NAMES: Mapping[JobKind, str] = MappingProxyType(
    {
        JobKind.TRAINING: N_("Trains"),
        JobKind.PREDICTION: N_("Predicts"),
        JobKind.LOADING: N_("Loads a model image"),
        JobKind.EXPORT: N_("Exports a model"),
    }
)
PLACE_NAMES: Mapping[PlaceKind, str] = MappingProxyType(
    {
        PlaceKind.STATE: N_("State folder"),
        PlaceKind.SHARED: N_("Shared storage"),
        PlaceKind.DATA_ROOT: N_("Data root {name}"),
    }
)
SPAN_NAMES: Mapping[Span, str] = MappingProxyType({Span.HOUR: N_("Last hour"), Span.DAY: N_("Last 24 hours")})
NEARLY_FULL = 0.9
"""From here on a memory or a disk is told to be nearly full, before jobs fail for it."""
TABLE_ROWS = 13
"""Of a chart in the table beside it: every five minutes of an hour, every two hours of a day."""


class LoadChart(msgspec.Struct, frozen=True):
    """A small chart with the table that says the same; `machine` is empty for that of the line of jobs."""

    machine: str
    chart: LineChart
    columns: tuple[str, ...]
    rows: tuple[tuple[datetime, tuple[float | None, ...]], ...]


class OverviewPage(Page, frozen=True):
    """What the signed-in user has, what is still to be set up, and how busy the system is and was."""

    TEMPLATE = "overview/overview.html"
    figures: KeyFigures
    setup: SetupSteps
    now: SystemNow
    history: SystemHistory

    @property
    def spans(self) -> tuple[tuple[str, str, bool], ...]:
        """Name and address of each span, and whether it is shown."""
        return tuple(
            (name, f"{address_of(span)}#charts", span is self.history.span) for span, name in SPAN_NAMES.items()
        )

    @property
    def stream(self) -> str:
        """Where this page comes from as it changes."""
        return address_of(self.history.span, "/live")

    @property
    def charts(self) -> tuple[LoadChart, ...]:
        """The line of jobs, then each machine that is known."""
        known = dict(self.history.machines)
        names = [machine.name for machine in self.now.machines if machine.name in known]
        return (_line_chart(self.history), *(_machine_chart(self.history, name, known[name]) for name in names))

    @staticmethod
    def job_name(kind: JobKind) -> str:
        """The jobs of a kind in the line."""
        return JOB_NAMES[kind]

    @staticmethod
    def work_name(kind: JobKind) -> str:
        """What a busy worker does."""
        return WORK_NAMES[kind]

    @staticmethod
    def place_names(places: Iterable[Place]) -> tuple[Sentence, ...]:
        """What lies on a disk; never a path, which is nobody's business but the administrator's."""
        return tuple(Sentence(PLACE_NAMES[place.kind], {"name": place.name}) for place in places)

    @staticmethod
    def is_nearly_full(share: float | None) -> bool:
        """Whether a person should look at it."""
        return share is not None and share >= NEARLY_FULL


PARTS: Mapping[str, Part[OverviewPage]] = MappingProxyType(
    {
        "figures": Part("overview/_figures.html", shows=lambda page: page.figures),
        "line": Part("overview/_line.html", shows=lambda page: page.now.lines),
        "machines": Part("overview/_machines.html", shows=lambda page: page.now.machines),
        "charts": Part(
            "overview/_charts.html", shows=lambda page: (page.history, [one.name for one in page.now.machines])
        ),
    }
)


class Overview(Controller):
    """The first page."""

    @get("/", sync_to_thread=True)
    def page(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """Own key figures only, whatever the role."""
        return desk.show(_page(services, actor, _span(form)))

    @get("/live", sync_to_thread=True)
    def stream(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        live: NamedDependency[Live],
    ) -> ServerSentEvent:
        """The figures as they change."""
        span = _span(form)
        return live.watch(
            lambda: _page(services, actor, span), PARTS, freshen=lambda page: _freshened(services, page, span)
        )


def address_of(span: Span, path: str = "/") -> str:
    """The page with charts of a span; the hour is what is shown unasked."""
    return path if span is Span.HOUR else f"{path}?span={span.value}"


def _span(form: Form) -> Span:
    return {span.value: span for span in Span}.get(form.text("span"), Span.HOUR)


def _page(services: Services, actor: UUID, span: Span) -> OverviewPage:
    overview = services.read.overview
    return OverviewPage(
        figures=overview.key_figures(actor),
        setup=overview.setup(),
        now=services.machines.now(),
        history=services.load_history.last(span),
    )


def _freshened(services: Services, page: OverviewPage, span: Span) -> OverviewPage:
    """Machines and the line move without events."""
    return msgspec.structs.replace(page, now=services.machines.now(), history=services.load_history.last(span))


def _machine_chart(history: SystemHistory, name: str, moments: Sequence[MachineMoment]) -> LoadChart:
    lines: list[tuple[str, list[float | None]]] = [
        ("CPU", [moment.cpu for moment in moments]),
        (N_("Memory"), [moment.memory for moment in moments]),
    ]
    for title, shares in (
        (N_("GPU load"), [moment.cards for moment in moments]),
        (N_("GPU memory"), [moment.cards_memory for moment in moments]),
    ):
        if any(share is not None for share in shares):
            lines.append((title, shares))
    percents = [
        (title, [None if share is None else round(share * 100, 1) for share in shares]) for title, shares in lines
    ]
    return _load_chart(history, name, [moment.at for moment in moments], percents, y_label="%", y_max=100.0)


def _line_chart(history: SystemHistory) -> LoadChart:
    waiting = [float(moment.waiting_count) for moment in history.line]
    running = [float(moment.running_count) for moment in history.line]
    lines: list[tuple[str, list[float | None]]] = [(N_("Waiting"), [*waiting]), (N_("Running"), [*running])]
    y_max = max([*waiting, *running, 2.0])
    return _load_chart(history, "", [moment.at for moment in history.line], lines, y_label=N_("jobs"), y_max=y_max)


def _load_chart(
    history: SystemHistory,
    machine: str,
    times: Sequence[datetime],
    lines: Sequence[tuple[str, Sequence[float | None]]],
    *,
    y_label: str,
    y_max: float,
) -> LoadChart:
    period = PERIODS[history.span]
    step, end = period.step.total_seconds(), history.until.timestamp()
    series = [
        Series(
            title,
            with_gaps(
                [
                    (at.timestamp(), math.nan if value is None else value)
                    for at, value in zip(times, values, strict=True)
                ],
                step,
                end,
            ),
        )
        for title, values in lines
    ]
    chart = time_chart(series, begin=history.until - period.length, end=history.until, y_label=y_label, y_max=y_max)
    shown = evenly([(float(number), 0.0) for number in range(len(times))], TABLE_ROWS)
    rows = tuple((times[int(number)], tuple(values[int(number)] for _, values in lines)) for number, _ in shown)
    return LoadChart(machine, chart, tuple(title for title, _ in lines), rows)
