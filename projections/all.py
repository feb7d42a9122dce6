"""Every read model; web pages find each under its name."""

from projections.api_tokens import ApiTokens
from projections.artifact_removals import ArtifactRemovals
from projections.audit import Audit
from projections.compute_resources import ComputeResources
from projections.datasets import Datasets
from projections.environments import Environments
from projections.evaluation_reports import EvaluationReports
from projections.exports import Exports
from projections.industries import Industries
from projections.model_images import ModelImages
from projections.models import Models
from projections.overview import Overview
from projections.prediction_jobs import PredictionJobs
from projections.read_model import ReadModel
from projections.task_types import TaskTypes
from projections.training_jobs import TrainingJobs
from projections.users import Users

READ_MODELS: tuple[type[ReadModel], ...] = (
    Users,
    Industries,
    Environments,
    TaskTypes,
    ComputeResources,
    Datasets,
    TrainingJobs,
    ModelImages,
    ArtifactRemovals,
    Models,
    Exports,
    PredictionJobs,
    EvaluationReports,
    Overview,
    ApiTokens,
    Audit,
)
