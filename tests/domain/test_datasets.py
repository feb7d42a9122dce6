"""Datasets and their data paths: D-1, D-3, D-4, D-7, D-8."""

from uuid import UUID

import msgspec
import pytest

from domain.data_paths import (
    MOST_AT_ONCE,
    DataPathState,
    FolderName,
    Inspection,
    TooManyPathsAtOnce,
    refuse_too_many,
)
from domain.datasets import (
    DataPath,
    DataPathInspected,
    DataPathIsInvalid,
    DataPathOverlaps,
    DataPathRepeated,
    DataPathsAdded,
    DataPathsRemoved,
    DatasetCreated,
    DatasetDeleted,
    DatasetPurpose,
    NoDataPath,
    add_data_paths,
    create,
    delete,
    record_scan,
    reinspect,
    remove_data_paths,
)
from domain.names import NameKind, ObjectNameIsInvalid
from domain.refusals import NotFound
from tests.examples import BINDING, TRAINING_DATASET, TRAINING_FOLDER, TRAINING_PATH_ID, example_id, inspection
from tests.given_when_then import given, when

NEXT_LINE = FolderName("data", "panel-a/next-line")
ADDED_PATH_ID = example_id("panel-a/next-line")
ADDED = DataPath(ADDED_PATH_ID, inspection(NEXT_LINE))


def wrong(typed: str = "/etc") -> DataPath:
    return DataPath(example_id(typed), Inspection(folder=FolderName("", typed), state=DataPathState.INVALID))


def test_a_dataset_begins_with_its_name_place_and_data_paths() -> None:
    when(
        create,
        name="panel-a-training",
        purpose=DatasetPurpose.TRAINING,
        environment=BINDING,
        data_paths=TRAINING_DATASET.data_paths,
    ).then(TRAINING_DATASET)


@pytest.mark.parametrize("name", ["a", "A1", "panel-a_2026", "a" * 60])
def test_a_name_of_letters_digits_and_dashes_is_valid(name: str) -> None:  # D-1
    when(create, name=name, purpose=DatasetPurpose.TRAINING, environment=BINDING, data_paths=[ADDED]).then(
        DatasetCreated(name=name, purpose=DatasetPurpose.TRAINING, environment=BINDING, data_paths=(ADDED,))
    )


@pytest.mark.parametrize(
    "name", ["", "1panel", "-panel", "panel-", "panel_", "panel a", "面板", "panel.a", "a" * 61, "a\n"]
)
def test_any_other_name_is_refused(name: str) -> None:  # D-1
    when(create, name=name, purpose=DatasetPurpose.TRAINING, environment=BINDING, data_paths=[ADDED]).then_refused(
        ObjectNameIsInvalid, "starts with a letter", at="name"
    )


def test_names_are_unique_within_their_kind_only() -> None:  # D-1
    assert DatasetPurpose.TRAINING.name_kind is NameKind.TRAINING_DATASET
    assert DatasetPurpose.QUESTION_BANK.name_kind is NameKind.QUESTION_BANK_DATASET


def test_a_dataset_without_a_data_path_is_refused() -> None:
    when(create, name="panel-b", purpose=DatasetPurpose.TRAINING, environment=BINDING, data_paths=[]).then_refused(
        NoDataPath, "at least one data path", at="data_paths"
    )


def test_an_invalid_path_is_named_by_its_line_and_told_nothing_about() -> None:  # D-3, D-4
    when(
        create, name="panel-b", purpose=DatasetPurpose.TRAINING, environment=BINDING, data_paths=[ADDED, wrong()]
    ).then_refused(DataPathIsInvalid, "Checking the dataset path failed: the path is wrong", at="data_paths.2")


def test_every_mistake_of_the_form_is_told_at_once() -> None:
    when(
        create,
        name="2panels",
        purpose=DatasetPurpose.QUESTION_BANK,
        environment=BINDING,
        data_paths=[wrong("/etc"), ADDED, wrong("/root")],
    ).then_refused_together(ObjectNameIsInvalid, DataPathIsInvalid, DataPathIsInvalid)


def test_a_folder_stands_only_once_in_a_dataset() -> None:  # D-4
    twice = DataPath(UUID(int=7), inspection(NEXT_LINE))
    given(TRAINING_DATASET).when(add_data_paths, [ADDED, twice]).then_refused(
        DataPathRepeated, "already in the dataset", at="data_paths.2"
    )
    known = DataPath(UUID(int=8), inspection(TRAINING_FOLDER))
    given(TRAINING_DATASET).when(add_data_paths, [known]).then_refused(DataPathRepeated, at="data_paths.1")


@pytest.mark.parametrize(
    ("known", "added"),
    [("panel-a", "panel-a/TPFIP"), ("panel-a/TPFIP", "panel-a"), ("", "panel-a"), ("panel-a", "")],
)
def test_a_folder_and_the_one_around_it_would_count_images_twice(known: str, added: str) -> None:  # D-4
    first, second = (DataPath(UUID(int=7), inspection(FolderName("aoi", path))) for path in (known, added))
    given(TRAINING_DATASET, DataPathsAdded(data_paths=(first,))).when(add_data_paths, [second]).then_refused(
        DataPathOverlaps, f"“aoi:{known}” already holds the images", at="data_paths.1"
    )
    when(
        create, name="panel-b", purpose=DatasetPurpose.TRAINING, environment=BINDING, data_paths=[first, second]
    ).then_refused(DataPathOverlaps, at="data_paths.2")


@pytest.mark.parametrize(("known", "added"), [("", "panel-a/TPFIP"), ("panel-a", "panel-ab"), ("a/TPFIP", "b/TPFIP")])
def test_folders_that_share_no_image_may_stand_beside_each_other(known: str, added: str) -> None:  # D-5
    first, second = (DataPath(UUID(int=7), inspection(FolderName("aoi", path))) for path in (known, added))
    given(TRAINING_DATASET, DataPathsAdded(data_paths=(first,))).when(add_data_paths, [second]).then(
        DataPathsAdded(data_paths=(second,))
    )


def test_folders_of_other_roots_are_other_folders() -> None:
    first = DataPath(UUID(int=7), inspection(FolderName("aoi", "panel-a")))
    other = DataPath(UUID(int=8), inspection(FolderName("archive", "panel-a/TPFIP")))
    given(TRAINING_DATASET, DataPathsAdded(data_paths=(first,))).when(add_data_paths, [other]).then(
        DataPathsAdded(data_paths=(other,))
    )


def test_many_paths_are_added_at_once_or_none() -> None:  # D-7
    given(TRAINING_DATASET).when(add_data_paths, [ADDED]).then(DataPathsAdded(data_paths=(ADDED,)))
    given(TRAINING_DATASET).when(add_data_paths, [ADDED, wrong()]).then_refused(DataPathIsInvalid, at="data_paths.2")
    given(TRAINING_DATASET).when(add_data_paths, []).then_refused(NoDataPath)


def test_as_many_paths_as_are_said_are_added_at_once_and_not_one_more() -> None:  # D-7
    refuse_too_many(range(MOST_AT_ONCE))
    with pytest.raises(TooManyPathsAtOnce, match="1001 data paths at once are too many"):
        refuse_too_many(range(MOST_AT_ONCE + 1))


def test_a_path_that_is_still_being_scanned_may_be_added() -> None:  # D-3
    scanning = DataPath(ADDED_PATH_ID, Inspection(folder=NEXT_LINE, state=DataPathState.SCANNING, image_count=1))
    given(TRAINING_DATASET).when(add_data_paths, [scanning]).then(DataPathsAdded(data_paths=(scanning,)))


def test_a_removed_path_may_be_added_again() -> None:
    again = DataPath(UUID(int=9), inspection(TRAINING_FOLDER))
    given(TRAINING_DATASET, DataPathsRemoved(path_ids=(TRAINING_PATH_ID,))).when(add_data_paths, [again]).then(
        DataPathsAdded(data_paths=(again,))
    )


def test_paths_are_removed_together() -> None:  # D-7
    given(TRAINING_DATASET, DataPathsAdded(data_paths=(ADDED,))).when(
        remove_data_paths, [TRAINING_PATH_ID, ADDED_PATH_ID]
    ).then(DataPathsRemoved(path_ids=(TRAINING_PATH_ID, ADDED_PATH_ID)))


def test_a_path_that_is_gone_already_is_gone() -> None:  # D-7
    given(TRAINING_DATASET).when(remove_data_paths, [ADDED_PATH_ID]).then()
    given(TRAINING_DATASET).when(remove_data_paths, [ADDED_PATH_ID, TRAINING_PATH_ID]).then(
        DataPathsRemoved(path_ids=(TRAINING_PATH_ID,))
    )


def test_a_new_scan_is_noted_only_when_it_found_something_else() -> None:  # D-7
    more = inspection(images_per_code=41)
    given(TRAINING_DATASET).when(reinspect, {TRAINING_PATH_ID: more}).then(
        DataPathInspected(path_id=TRAINING_PATH_ID, inspection=more)
    )
    given(TRAINING_DATASET).when(reinspect, {TRAINING_PATH_ID: inspection()}).then()
    given(TRAINING_DATASET, DataPathInspected(path_id=TRAINING_PATH_ID, inspection=more)).when(
        reinspect, {TRAINING_PATH_ID: more}
    ).then()
    given(TRAINING_DATASET).when(reinspect, {ADDED_PATH_ID: more}).then_refused(NotFound)


def test_a_folder_that_is_gone_is_noted_as_invalid_and_stays_in_the_dataset() -> None:
    gone = Inspection(folder=TRAINING_FOLDER, state=DataPathState.INVALID)
    given(TRAINING_DATASET).when(reinspect, {TRAINING_PATH_ID: gone}).then(
        DataPathInspected(path_id=TRAINING_PATH_ID, inspection=gone)
    )


def test_the_end_of_a_scan_is_noted_where_it_is_waited_for() -> None:  # D-3
    scanning = msgspec.structs.replace(inspection(NEXT_LINE), state=DataPathState.SCANNING, image_count=1)
    waiting = given(TRAINING_DATASET, DataPathsAdded(data_paths=(DataPath(ADDED_PATH_ID, scanning),)))
    found = inspection(NEXT_LINE)
    waiting.when(record_scan, ADDED_PATH_ID, found).then(DataPathInspected(path_id=ADDED_PATH_ID, inspection=found))


def test_the_end_of_a_scan_that_nobody_waits_for_changes_nothing() -> None:  # D-3
    given(TRAINING_DATASET).when(record_scan, TRAINING_PATH_ID, inspection(images_per_code=7)).then()
    given(TRAINING_DATASET).when(record_scan, ADDED_PATH_ID, inspection(NEXT_LINE)).then()


def test_a_deleted_dataset_changes_no_more() -> None:  # D-8
    given(TRAINING_DATASET).when(delete).then(DatasetDeleted())
    deleted = given(TRAINING_DATASET, DatasetDeleted())
    deleted.when(delete).then_refused(NotFound)
    deleted.when(add_data_paths, [ADDED]).then_refused(NotFound)
    deleted.when(remove_data_paths, [TRAINING_PATH_ID]).then_refused(NotFound)
    deleted.when(reinspect, {TRAINING_PATH_ID: inspection()}).then_refused(NotFound)
