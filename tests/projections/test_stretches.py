"""Lists that programs read to their end, part by part (K-5): each row once, in one order, whatever the parts."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from domain.data_paths import FolderName
from domain.datasets import DataPath, DataPathsAdded, DatasetPurpose
from domain.environments import EnvironmentNode, EnvironmentNodesAdded, environment_id
from domain.prediction_jobs import PredictionKind
from domain.users import UserDeleted
from projections.all import READ_MODELS
from projections.read_model import Stretch
from tests.examples import (
    INDUSTRY_ID,
    LOADING_QUEUED,
    MODEL_IMAGE_IMPORTED,
    PREDICTION_QUEUED,
    QUALITY_LEAD_ID,
    QUESTION_BANK,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TRAINING_DATASET,
    TRAINING_DATASET_ID,
    TRAINING_QUEUED,
    VERSION_PUBLISHED,
    History,
    example_id,
    inspection,
    plant,
)
from tests.projections.read_side import Project, ReadSide

STEEL = example_id("钢铁")


def busy_plant() -> History:
    """Several of everything, and something of another kind or owner beside each, that no list may mix in."""
    history = plant().add(TRAINING_DATASET_ID, TRAINING_DATASET)
    lines = [DataPath(example_id(name), inspection(FolderName("data", name))) for name in ("z", "m", "a")]
    history.add(TRAINING_DATASET_ID, *(DataPathsAdded(data_paths=(line,)) for line in lines))
    history.add(example_id("bank"), QUESTION_BANK)
    for name in ("c-3", "a-1", "b-2"):
        history.add(example_id(f"set {name}"), replace(TRAINING_DATASET, name=name))
        history.add(example_id(f"image {name}"), replace(MODEL_IMAGE_IMPORTED, name=name), LOADING_QUEUED)
        history.add(example_id(f"model {name}"), replace(VERSION_PUBLISHED, model_name=name), actor=TRAINER_WANG_ID)
        history.add(example_id(f"job {name}"), replace(TRAINING_QUEUED, model_name=name))
        history.add(example_id(f"check {name}"), replace(PREDICTION_QUEUED, name=name))
    history.add(example_id("of li"), replace(VERSION_PUBLISHED, model_name="of-li", owner=TRAINER_LI_ID))
    history.add(example_id("check of li"), replace(PREDICTION_QUEUED, name="of-li", owner=TRAINER_LI_ID))
    history.add(example_id("comparison"), replace(PREDICTION_QUEUED, name="compare", kind=PredictionKind.COMPARISON))
    history.add(
        environment_id(STEEL),
        EnvironmentNodesAdded(industry_id=STEEL, nodes=(EnvironmentNode(example_id("热轧厂"), "热轧厂"),)),
    )
    return history


Part = Callable[..., Stretch[Any]]
LISTS: dict[str, tuple[Callable[[ReadSide], Part], str, list[str]]] = {
    "datasets": (
        lambda read: lambda **asked: read.datasets.stretch(DatasetPurpose.TRAINING, **asked),
        "name",
        ["a-1", "b-2", "c-3", "panel-a-training"],
    ),
    "data paths": (
        lambda read: lambda **asked: read.datasets.path_stretch(TRAINING_DATASET_ID, **asked),
        "folder.path",
        ["panel-a/train", "z", "m", "a"],
    ),
    "model images": (
        lambda read: read.model_images.stretch,
        "name",
        ["a-1", "b-2", "c-3", "resnet18"],
    ),
    "models of one": (
        lambda read: lambda **asked: read.models.stretch(TRAINER_WANG_ID, **asked),
        "name",
        ["a-1", "b-2", "c-3"],
    ),
    "models of all": (
        lambda read: lambda **asked: read.models.stretch(None, **asked),
        "name",
        ["a-1", "b-2", "c-3", "of-li"],
    ),
    "locked models": (
        lambda read: read.models.locked_stretch,
        "name",
        ["a-1", "b-2", "c-3", "of-li"],
    ),
    "training jobs": (
        lambda read: read.training_jobs.stretch,
        "model_name",
        ["b-2", "a-1", "c-3"],  # the newest first
    ),
    "predictions": (
        lambda read: (
            lambda **asked: read.prediction_jobs.stretch(TRAINER_WANG_ID, PredictionKind.QUESTION_BANK, **asked)
        ),
        "name",
        ["b-2", "a-1", "c-3"],
    ),
    "users": (
        lambda read: read.users.stretch,
        "username",
        ["quality_lead", "trainer_li", "trainer_wang"],
    ),
    "nodes": (
        lambda read: lambda **asked: read.environments.stretch(INDUSTRY_ID, **asked),
        "names",
        ["一厂区", "二厂区", "成盒厂", "阵列厂", "AOI站", "修补站", "65寸面板", "75寸面板"],
    ),
}


def shown(row: Any, what: str) -> str:
    for name in what.split("."):
        row = getattr(row, name)
    return row[-1] if isinstance(row, tuple) else str(row)


# K-5
def test_a_list_is_read_to_its_end_in_parts_of_any_size(project: Project) -> None:
    read = project(busy_plant(), *READ_MODELS)
    for name, (part_of, what, expected) in LISTS.items():
        part = part_of(read)
        for size in (1, 2, len(expected), len(expected) + 1):
            rows, after, parts = [], None, 0
            while True:
                stretch = part(after=after, size=size)
                rows += [shown(row, what) for row in stretch.items]
                parts += 1
                if stretch.following is None:
                    break
                after = stretch.following
            assert rows == expected, (name, size)
            assert parts == -(-len(expected) // size), (name, size)


@pytest.mark.parametrize(
    ("name", "asked", "expected"),
    [
        ("datasets", {"search": "B-"}, ["b-2"]),
        ("model images", {"search": "B-"}, ["b-2"]),
        ("models of all", {"search": "B-"}, ["b-2"]),
        ("locked models", {"search": "B-"}, ["b-2"]),
        ("training jobs", {"search": "B-"}, ["b-2"]),
        ("predictions", {"search": "B-"}, ["b-2"]),
        ("users", {"search": "LI"}, ["quality_lead", "trainer_li"]),
        ("nodes", {"search": "aoi"}, ["AOI站"]),
        ("nodes", {"below": example_id("AOI站")}, ["65寸面板", "75寸面板"]),
        ("datasets", {"search": "%"}, []),
    ],
)
def test_a_list_in_parts_is_filtered_as_a_page_is(
    project: Project, name: str, asked: dict[str, Any], expected: list[str]
) -> None:  # K-5
    part_of, what, _ = LISTS[name]
    stretch = part_of(project(busy_plant(), *READ_MODELS))(size=9, **asked)
    assert ([shown(row, what) for row in stretch.items], stretch.following) == (expected, None)


def test_deleted_users_are_read_in_parts_by_themselves(project: Project) -> None:  # U-7
    history = plant().add(TRAINER_LI_ID, UserDeleted(heir=QUALITY_LEAD_ID), actor=QUALITY_LEAD_ID)
    users = project(history, *READ_MODELS).users
    assert [row.username for row in users.stretch(size=9).items] == ["quality_lead", "trainer_wang"]
    (gone,) = users.stretch(only_deleted=True, size=9).items
    assert (gone.username, gone.heir_name) == ("trainer_li", "quality_lead")
