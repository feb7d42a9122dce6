"""The overview: key figures of the token's user, what is still to be set up, and how busy the system is. Source: O-1, M-7."""

from datetime import datetime
from uuid import UUID

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from domain.system_resources import Line, LineMoment, MachineMoment, MachineNow, Span
from projections.overview import KeyFigures
from web.api.desk import ApiDesk
from web.api.routes import LOOKS
from web.api.shapes import Shape, shaped
from web.services import ReadModels, Services


class LowestAccuracy(Shape, frozen=True, kw_only=True):
    """Of the user's versions that stand, the one with the lowest accuracy in its newest report: that of the prediction job
    `report_id`, or before the first that of its training, where it is null.
    """

    accuracy: float
    model_id: UUID
    model_name: str
    version: str
    report_id: UUID | None


class SetupSteps(Shape, frozen=True, kw_only=True):
    """What must exist before the first training."""

    has_industry: bool
    has_environment: bool
    has_task_type: bool
    has_compute_resource: bool


class Overview(Shape, frozen=True, kw_only=True):
    """Figures of the user's own; `lowest_accuracy` is null without any version that knows its accuracy."""

    model_count: int
    lowest_accuracy: LowestAccuracy | None
    training_job_count: int
    prediction_job_count: int
    comparison_count: int
    failed_training_job_count: int
    failed_prediction_job_count: int
    failed_comparison_count: int
    setup: SetupSteps


class System(Shape, frozen=True, kw_only=True):
    """The system at this moment: every machine that is known with what runs on it, and the waiting and running jobs of each kind.
    Shares are 0 to 1.
    """

    machines: tuple[MachineNow, ...]
    lines: tuple[Line, ...]


class MachineHistory(Shape, frozen=True, kw_only=True):
    """How busy a machine was, step by step."""

    name: str
    moments: tuple[MachineMoment, ...]


class SystemHistory(Shape, frozen=True, kw_only=True):
    """How busy the system was until a moment, in steps of 20 seconds for an hour and of 5 minutes for a day. Steps in which nothing
    was measured are missing.
    """

    span: Span
    until: datetime
    machines: tuple[MachineHistory, ...]
    line: tuple[LineMoment, ...]


class OverviewFigures(Controller):
    """Own key figures only, whatever the role; the system is the same for all."""

    path = "/overview"
    tags = ("overview",)

    @get("/", sync_to_thread=True, responses=LOOKS)
    def figures(self, read: NamedDependency[ReadModels], desk: NamedDependency[ApiDesk]) -> Overview:
        """Key figures of the token's user, and which set-up steps are done."""
        figures: KeyFigures = read.overview.key_figures(desk.caller.user_id)
        lowest = figures.lowest
        return shaped(
            figures,
            Overview,
            lowest_accuracy=lowest and shaped(lowest, LowestAccuracy, version=lowest.label),
            setup=shaped(read.overview.setup(), SetupSteps),
        )

    @get("/system", sync_to_thread=True, responses=LOOKS)
    def system(self, services: NamedDependency[Services]) -> System:
        """How busy every machine is, and how long the line of jobs is."""
        return shaped(services.machines.now(), System)

    @get("/system/history", sync_to_thread=True, responses=LOOKS)
    def system_history(self, services: NamedDependency[Services], span: FromQuery[Span] = Span.HOUR) -> SystemHistory:
        """How busy both were during the last hour or day."""
        history = services.load_history.last(span)
        machines = tuple(MachineHistory(name=name, moments=moments) for name, moments in history.machines)
        return shaped(history, SystemHistory, machines=machines)
