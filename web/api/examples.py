"""What a request may look like, for the document: one whole body for each operation that takes one."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from uuid import UUID

from domain.data_paths import FolderName
from domain.datasets import DatasetPurpose
from domain.model_images import ModelImageKind
from domain.training_parameters import Augmentation
from web.api.datasets import GoneDataPaths, NewDataPaths, NewDataset
from web.api.model_images import NewModelImage, NewVersion
from web.api.models import Withdrawal
from web.api.prediction_jobs import NewPredictionJob
from web.api.problems import Problem, ToldRefusal
from web.api.shapes import Shape
from web.api.training_jobs import NewTrainingJob, TrainingChoices
from web.api.uploads import NewUpload

_ID = UUID("0f8fad5b-d9cb-469f-a165-70867728950e")
_PLACE_ID = UUID("7c9e6679-7425-40de-944b-e07fc1f90ae7")
_CHOSEN: dict[str, Any] = {
    "data_paths": (FolderName("data", "panel-a/train"),),
    "compute_resource_id": _ID,
    "augmentations": (Augmentation.COLOR_ENHANCEMENT, Augmentation.FLIPPING),
}


def _prediction(*versions: str) -> NewPredictionJob:
    return NewPredictionJob(
        name="panel-a-2026-w48",
        model_id=_ID,
        versions=versions,
        data_paths=(FolderName("data", "panel-a/question-bank"),),
        compute_resource_id=_ID,
        prediction_parameters={"batch_size": 32},
    )


BODIES: Mapping[str, Shape] = MappingProxyType(
    {
        "datasets_create": NewDataset(
            name="panel-a-training",
            purpose=DatasetPurpose.TRAINING,
            environment=(_PLACE_ID,),
            data_paths=("/data/panel-a/train",),
        ),
        "datasets_add_data_paths": NewDataPaths(data_paths=("/data/panel-a/train-2",)),
        "datasets_remove_data_paths": GoneDataPaths(path_ids=(_ID,)),
        "model_images_import_first": NewModelImage(
            kind=ModelImageKind.GENERAL, task_type_id=_ID, archive="/archives/resnet18@1.0.tar"
        ),
        "model_images_add_version": NewVersion(upload_id=_ID),
        "uploads_begin": NewUpload(file_name="resnet18@1.1.tar", size=46_830_571, model_image_id=_ID),
        "training_jobs_queue": NewTrainingJob(
            model_name="panel-a",
            model_image_id=_ID,
            model_image_version=1,
            model_parameters={
                "classification": {"name": "ResNet18", "num_of_classes": 3},
                "code_list": ["TPFIP", "TTFBS", "TTMUD"],
            },
            environment=(_PLACE_ID,),
            **_CHOSEN,
        ),
        "prediction_jobs_queue": _prediction("v1.02"),
        "comparisons_queue": _prediction("v1.01", "v1.02"),
        "models_retrain": TrainingChoices(**_CHOSEN),
        "models_withdraw": Withdrawal(reason="TTMUD is confused with TTFBS on line 3."),
    }
)
"""By the id of the operation."""

PROBLEM = Problem(
    type="urn:assay:problem:refused",
    title="This was not done",
    status=422,
    detail="“panel-a” is waiting for a worker. Wait until it is training, then terminate it.",
    request_id="5c1f3b0e9d7a4f62",
    refusals=(
        ToldRefusal(
            rule="WaitingJobCannotBeTerminated",
            field="",
            message="“panel-a” is waiting for a worker. Wait until it is training, then terminate it.",
        ),
    ),
)
