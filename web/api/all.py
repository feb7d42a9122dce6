"""Every address of the API; a new one is listed here."""

from litestar.types import ControllerRouterHandler

from web.api.account import MyAccount
from web.api.audit import Audit, Histories
from web.api.callers import Callers
from web.api.compute_resources import ComputeResources, ComputeResourcesToChoose
from web.api.datasets import Datasets
from web.api.environments import EnvironmentNodes, PlacesToChoose
from web.api.events import PublicEvents, event_description
from web.api.images import Images
from web.api.industries import Industries
from web.api.locked_paths import LockedPaths
from web.api.mes_feed import MesFeedState
from web.api.model_images import ModelImages
from web.api.models import Models
from web.api.overview import OverviewFigures
from web.api.prediction_jobs import Comparisons, PredictionJobs
from web.api.provenance import Provenances
from web.api.task_types import TaskTypes, TaskTypesToChoose
from web.api.training_jobs import TrainingJobs
from web.api.uploads import Uploads
from web.api.users import Users

FOR_MACHINES: tuple[ControllerRouterHandler, ...] = (
    Callers,
    MyAccount,
    OverviewFigures,
    TaskTypesToChoose,
    ComputeResourcesToChoose,
    PlacesToChoose,
    Datasets,
    Images,
    ModelImages,
    Uploads,
    TrainingJobs,
    PredictionJobs,
    Comparisons,
    Models,
    PublicEvents,
    Users,
    Industries,
    EnvironmentNodes,
    TaskTypes,
    ComputeResources,
    LockedPaths,
    MesFeedState,
    Audit,
    Histories,
    Provenances,
    event_description,
)
