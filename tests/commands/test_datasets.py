"""Datasets, from the command to the facts in the log."""

from typing import Any

import pytest

from commands.datasets import AddDataPaths, CreateDataset, DeleteDataset, RemoveDataPaths
from domain.datasets import (
    DataPathIsInvalid,
    DataPathsAdded,
    DataPathsRemoved,
    DatasetCreated,
    DatasetDeleted,
    DatasetPurpose,
)
from domain.environments import EnvironmentChoiceIsIncomplete
from domain.names import NameClaimed, NameKind, NameReleased, ObjectNameIsInvalid
from domain.refusals import NotFound, Refusals
from tests.commands.meeting import at_once
from tests.examples import (
    PANEL_65,
    PORTS,
    QUALITY_LEAD_ID,
    TRAINER_WANG_ID,
    TRAINING_DATASET,
    TRAINING_DATASET_ID,
    TRAINING_PATH_ID,
    History,
    MemoryLog,
    assay_after,
    example_id,
    plant,
)

NAME = NameKind.TRAINING_DATASET
DELETE = DeleteDataset(actor=QUALITY_LEAD_ID, dataset_id=TRAINING_DATASET_ID)


def with_dataset() -> History:
    """A plant with one training dataset, its name taken."""
    history = plant().add(TRAINING_DATASET_ID, TRAINING_DATASET)
    return history.claim(NAME, TRAINING_DATASET.name, TRAINING_DATASET_ID)


def stored_after(history: History, log: MemoryLog) -> list[object]:
    return [event.data for event in log.events[len(history.events) :]]


def test_every_mistake_of_a_new_dataset_is_told_at_once() -> None:  # D-1, D-2, D-3
    assay, _ = assay_after(plant())
    wrong = CreateDataset(
        actor=TRAINER_WANG_ID,
        dataset_id=example_id("panel-b"),
        name="2panels",
        purpose=DatasetPurpose.TRAINING,
        environment=(),
        data_paths=("/etc",),
        path_ids=(example_id("etc"),),
    )
    with pytest.raises(Refusals) as refused:
        assay.dispatch(wrong)
    told = {(type(one), one.at) for one in refused.value.refusals}
    assert told == {
        (EnvironmentChoiceIsIncomplete, "environment"),
        (ObjectNameIsInvalid, "name"),
        (DataPathIsInvalid, "data_paths.1"),
    }


def test_the_same_wish_twice_makes_one_dataset_and_adds_a_path_once() -> None:  # D-3, D-7
    history = plant()
    assay, log = assay_after(history)
    wish = CreateDataset(
        actor=TRAINER_WANG_ID,
        dataset_id=TRAINING_DATASET_ID,
        name="panel-b",
        purpose=DatasetPurpose.TRAINING,
        environment=(PANEL_65.node_id,),
        data_paths=("/data/panel-a/train",),
        path_ids=(TRAINING_PATH_ID,),
    )
    further = AddDataPaths(
        actor=TRAINER_WANG_ID,
        dataset_id=TRAINING_DATASET_ID,
        data_paths=("/data/panel-a/question-bank",),
        path_ids=(example_id("bank"),),
    )
    for command in (wish, wish, further, further):
        assay.dispatch(command)
    assert [type(fact) for fact in stored_after(history, log)] == [DatasetCreated, NameClaimed, DataPathsAdded]


def test_removing_a_path_twice_removes_it_once() -> None:  # D-7
    history = with_dataset()
    assay, log = assay_after(history)
    wish = RemoveDataPaths(actor=TRAINER_WANG_ID, dataset_id=TRAINING_DATASET_ID, path_ids=(TRAINING_PATH_ID,))
    assay.dispatch(wish)
    assay.dispatch(wish)
    assert stored_after(history, log) == [DataPathsRemoved(path_ids=(TRAINING_PATH_ID,))]


def test_of_two_who_delete_a_dataset_at_once_one_is_told_that_it_is_gone() -> None:  # D-8
    history = with_dataset()
    _, log = assay_after(history)
    answers = at_once(log, PORTS, DELETE, DELETE)
    assert sorted(type(answer).__name__ for answer in answers) == ["NotFound", "int"]
    assert stored_after(history, log) == [DatasetDeleted(), NameReleased()]


def test_nothing_is_added_to_or_taken_from_a_dataset_that_is_gone() -> None:  # D-8
    assay, _ = assay_after(with_dataset())
    assay.dispatch(DELETE)
    gone: dict[str, Any] = {
        "actor": TRAINER_WANG_ID,
        "dataset_id": TRAINING_DATASET_ID,
        "path_ids": (TRAINING_PATH_ID,),
    }
    for command in (RemoveDataPaths(**gone), AddDataPaths(**gone, data_paths=("/data/panel-a/train",))):
        with pytest.raises(NotFound):
            assay.dispatch(command)
