"""What a request may look like, for the document: one whole body for each operation that takes one."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from uuid import UUID

from domain.compute_resources import ComputeResourceKind
from domain.data_paths import FolderName
from domain.datasets import DatasetPurpose
from domain.messages import Resources
from domain.model_images import ModelImageKind
from domain.permissions import Role
from domain.task_types import TaskKind
from domain.training_parameters import Augmentation
from web.api.account import OwnPassword
from web.api.compute_resources import Configuration
from web.api.datasets import GoneDataPaths, NewDataPaths, NewDataset
from web.api.environments import GoneNodes, NewNodes, NewNodesBelowSeveral
from web.api.industries import Levels, NewIndustry
from web.api.locked_paths import Release
from web.api.model_images import NewModelImage, NewVersion
from web.api.models import Withdrawal
from web.api.prediction_jobs import NewPredictionJob
from web.api.problems import Problem, ToldRefusal
from web.api.shapes import Shape
from web.api.task_types import NewTaskType, TaskTypeName
from web.api.training_jobs import NewTrainingJob, TrainingChoices
from web.api.uploads import NewUpload
from web.api.users import NewUser, UserEmail, UserPassword, UserRole

_ID = UUID("0f8fad5b-d9cb-469f-a165-70867728950e")
_PLACE_ID = UUID("7c9e6679-7425-40de-944b-e07fc1f90ae7")
_GPU = Configuration(
    kind=ComputeResourceKind.GPU, resources=Resources(cpu_cores=8, memory_gib=32, gpu_cards=1, gpu_memory_gib=24)
)
_OLD_PASSWORD, _NEW_PASSWORD = "<the present one>", "<at least 6 characters>"
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
        "users_create": NewUser(
            username="mes_hall_2", password=_NEW_PASSWORD, role=Role.MODEL_TRAINER, remark="The MES of hall 2"
        ),
        "users_change_email": UserEmail(email="lead@example.com"),
        "users_change_role": UserRole(role=Role.SUPER_ADMINISTRATOR),
        "users_reset_password": UserPassword(new_password=_NEW_PASSWORD),
        "account_change_email": UserEmail(email="lead@example.com"),
        "account_change_password": OwnPassword(old_password=_OLD_PASSWORD, new_password=_NEW_PASSWORD),
        "industries_create": NewIndustry(name="显示面板"),
        "industries_define_levels": Levels(level_names=("first", "second", "third")),
        "industries_add_nodes": NewNodes(parent_id=_PLACE_ID, names=("P65", "P75")),
        "industries_add_nodes_to_several": NewNodesBelowSeveral(parent_ids=(_PLACE_ID,), names=("P65", "P75")),
        "industries_remove_nodes": GoneNodes(node_ids=(_PLACE_ID,)),
        "task_types_create": NewTaskType(name="分割分类-阵列", kind=TaskKind.SEGMENTATION_AND_CLASSIFICATION),
        "task_types_rename": TaskTypeName(name="分割分类-成盒"),
        "compute_resources_create": _GPU,
        "compute_resources_change": _GPU,
        "locked_paths_release": Release(folder=FolderName("data", "panel-a/train")),
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
