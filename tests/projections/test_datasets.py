"""Lists of datasets and their data paths: D-6, D-7, D-8, W-5."""

from uuid import UUID

import msgspec
import pytest

from domain.data_paths import DataPathProblem, DataPathState, FolderName, Inspection
from domain.datasets import (
    DataPath,
    DataPathInspected,
    DataPathsAdded,
    DataPathsRemoved,
    DatasetCreated,
    DatasetDeleted,
    DatasetPurpose,
)
from domain.environments import EnvironmentBinding, EnvironmentNode
from domain.industries import DEFAULT_INDUSTRY_ID, DefaultIndustryChosen
from domain.users import UserDeleted
from projections.datasets import MOST_CHOICES, MOST_PATHS, DatasetChoices, Datasets, PlacedFolder
from projections.users import Users
from tests.examples import (
    BINDING,
    FACTORY_1,
    FACTORY_2,
    INDUSTRY_ID,
    PANEL_65,
    PANEL_75,
    QUALITY_LEAD_ID,
    QUESTION_BANK,
    QUESTION_BANK_ID,
    QUESTION_BANK_PATH_ID,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TRAINING_DATASET,
    TRAINING_DATASET_ID,
    TRAINING_PATH_ID,
    History,
    example_id,
    inspection,
    plant,
)
from tests.projections.read_side import Project

TRAINING, BANK = DatasetPurpose.TRAINING, DatasetPurpose.QUESTION_BANK
NEXT_LINE = DataPath(example_id("panel-a/next-line"), inspection(FolderName("data", "panel-a/next-line")))
LAST_LINE = DataPath(
    example_id("panel-a/last-line"), inspection(FolderName("data", "panel-a/last-line"), images_per_code=1)
)


def both_datasets() -> History:
    return (
        plant()
        .add(TRAINING_DATASET_ID, TRAINING_DATASET, actor=TRAINER_WANG_ID)
        .add(QUESTION_BANK_ID, QUESTION_BANK, actor=TRAINER_LI_ID)
    )


def a_dataset(name: str, *, products: tuple[object, ...] = (PANEL_65,), images_per_code: int = 1) -> DatasetCreated:
    return DatasetCreated(
        name=name,
        purpose=TRAINING,
        environment=msgspec.structs.replace(BINDING, products=products),
        data_paths=(DataPath(example_id(name), inspection(images_per_code=images_per_code)),),
    )


def test_a_list_shows_the_datasets_of_its_kind_only(project: Project) -> None:  # D-6
    read = project(both_datasets(), Users, Datasets)
    page = read.datasets.page(TRAINING)
    assert (page.total, page.number) == (1, 1)
    [row] = page.items
    assert (row.dataset_id, row.name, row.path_count, row.image_count) == (
        TRAINING_DATASET_ID,
        "panel-a-training",
        1,
        120,
    )
    assert (row.environment, row.changed_by) == (BINDING, "trainer_wang")
    assert [row.name for row in read.datasets.page(BANK).items] == ["panel-a-questions"]
    read.assert_rebuild_equals_live()


def test_who_changed_a_dataset_last_and_when_is_shown(project: Project) -> None:  # D-6
    history = both_datasets()
    created_at = history.events[-2].timestamp
    history.add(TRAINING_DATASET_ID, DataPathsAdded(data_paths=(NEXT_LINE,)), actor=TRAINER_LI_ID)
    read = project(history, Users, Datasets)
    [row] = read.datasets.page(TRAINING).items
    assert (row.changed_by, row.changed_at) == ("trainer_li", history.events[-1].timestamp)
    assert row.changed_at > created_at
    assert (row.path_count, row.image_count) == (2, 240)


def test_whoever_changed_a_dataset_last_stays_named_and_is_marked_once_deleted(project: Project) -> None:  # U-3, D-6
    history = both_datasets()
    read = project(history, Users, Datasets)
    [before] = read.datasets.page(BANK).items
    assert (before.changed_by, before.is_changer_deleted) == ("trainer_li", False)
    read.take_in(history.add(TRAINER_LI_ID, UserDeleted(heir=QUALITY_LEAD_ID)))
    [after] = read.datasets.page(BANK).items
    assert (after.changed_by, after.is_changer_deleted) == ("trainer_li", True)
    assert not read.datasets.page(TRAINING).items[0].is_changer_deleted
    read.assert_rebuild_equals_live()


def test_what_no_person_changed_has_no_name_beside_it(project: Project) -> None:
    history = plant().add(TRAINING_DATASET_ID, TRAINING_DATASET)
    assert project(history, Users, Datasets).datasets.page(TRAINING).items[0].changed_by == ""


def test_the_newest_change_comes_first_and_other_orders_can_be_asked_for(project: Project) -> None:  # D-6
    history = (
        plant()
        .add(example_id("1"), a_dataset("Beta", images_per_code=3), actor=TRAINER_WANG_ID)
        .add(example_id("2"), a_dataset("alpha", images_per_code=1), actor=TRAINER_LI_ID)
        .add(example_id("3"), a_dataset("gamma", images_per_code=2), actor=TRAINER_LI_ID)
        .add(example_id("1"), DataPathsAdded(data_paths=(NEXT_LINE,)), actor=TRAINER_WANG_ID)
    )
    datasets = project(history, Users, Datasets).datasets

    def names(sort: str) -> list[str]:
        return [row.name for row in datasets.page(TRAINING, sort=sort).items]

    assert [row.name for row in datasets.page(TRAINING).items] == ["Beta", "gamma", "alpha"]
    assert names("changed_at") == ["alpha", "gamma", "Beta"]
    assert names("name") == ["alpha", "Beta", "gamma"]
    assert names("-image_count") == ["Beta", "gamma", "alpha"]
    assert names("-path_count")[0] == "Beta"
    assert names("-changed_by")[0] == "Beta"
    with pytest.raises(KeyError):
        names("changed_at; DROP TABLE users")


def test_a_list_is_filtered_by_any_level_of_the_environment(project: Project) -> None:  # D-6
    history = (
        plant()
        .add(example_id("1"), a_dataset("only-65", products=(PANEL_65,)))
        .add(example_id("2"), a_dataset("both", products=(PANEL_65, PANEL_75)))
    )
    datasets = project(history, Users, Datasets).datasets

    def names(*place_ids: object) -> set[str]:
        return {row.name for row in datasets.page(TRAINING, place_ids=place_ids).items}

    assert names(PANEL_65.node_id) == {"only-65", "both"}
    assert names(PANEL_75.node_id) == {"both"}
    assert names(FACTORY_1.node_id) == {"only-65", "both"}
    assert names(FACTORY_2.node_id) == set()
    assert names(FACTORY_2.node_id, PANEL_75.node_id) == {"both"}


def test_a_list_is_filtered_by_the_industry_it_was_bound_in(project: Project) -> None:  # M-8
    steel, mill = example_id("钢铁"), EnvironmentNode(example_id("热轧厂"), "热轧厂")
    elsewhere = EnvironmentBinding(industry_id=steel, industry="钢铁", level_names=("工厂",), path=(), products=(mill,))
    history = (
        both_datasets()
        .add(example_id("1"), msgspec.structs.replace(a_dataset("strip-1"), environment=elsewhere))
        .add(DEFAULT_INDUSTRY_ID, DefaultIndustryChosen(industry_id=steel))
    )
    datasets = project(history, Users, Datasets).datasets
    for place_id in (steel, mill.node_id):
        assert [row.name for row in datasets.page(TRAINING, place_ids=[place_id]).items] == ["strip-1"]
    assert [row.name for row in datasets.page(TRAINING, place_ids=[INDUSTRY_ID]).items] == ["panel-a-training"]
    assert datasets.page(TRAINING).total == 2


def test_search_filter_and_order_go_together(project: Project) -> None:  # D-6
    history = plant()
    for number, products in enumerate([(PANEL_65,), (PANEL_75,), (PANEL_75,), (PANEL_75,)], 1):
        name = f"panel-{number}" if number < 4 else "cell-4"
        history.add(example_id(name), a_dataset(name, products=products, images_per_code=number))
    datasets = project(history, Users, Datasets).datasets
    found = datasets.page(TRAINING, place_ids=[PANEL_75.node_id], search="panel", sort="-image_count", page=2, size=1)
    assert ([row.name for row in found.items], found.total, found.number) == (["panel-2"], 2, 2)


def test_equal_rows_stand_in_one_order_over_all_pages(project: Project) -> None:  # D-6
    history = plant()
    for number in range(7):
        history.add(example_id(str(number)), a_dataset(f"panel-{number}"), actor=TRAINER_LI_ID)
    datasets = project(history, Users, Datasets).datasets
    for sort in ("image_count", "-image_count", "path_count", "-changed_by"):
        pages = [datasets.page(TRAINING, sort=sort, page=number, size=2).items for number in range(1, 5)]
        assert len({row.dataset_id for page in pages for row in page}) == 7, sort


def test_a_list_is_searched_by_a_part_of_the_name(project: Project) -> None:  # D-6
    history = plant().add(example_id("1"), a_dataset("Panel_A-1")).add(example_id("2"), a_dataset("panelXA-2"))
    datasets = project(history, Users, Datasets).datasets
    assert [row.name for row in datasets.page(TRAINING, search="PANEL_a").items] == ["Panel_A-1"]
    assert datasets.page(TRAINING, search="%").total == 0
    assert datasets.page(TRAINING, search="panel").total == 2


def test_long_lists_have_pages_and_a_page_behind_the_end_is_the_last(project: Project) -> None:  # D-6
    history = plant()
    for number in range(5):
        history.add(example_id(str(number)), a_dataset(f"panel-{number}"))
    datasets = project(history, Users, Datasets).datasets
    page = datasets.page(TRAINING, sort="name", page=2, size=2)
    assert ([row.name for row in page.items], page.total, page.page_count) == (["panel-2", "panel-3"], 5, 3)
    assert [row.name for row in datasets.page(TRAINING, sort="name", page=99, size=2).items] == ["panel-4"]


def test_data_paths_stand_in_the_order_in_which_they_were_added(project: Project) -> None:  # D-7
    history = both_datasets().add(TRAINING_DATASET_ID, DataPathsAdded(data_paths=(NEXT_LINE, LAST_LINE)))
    read = project(history, Users, Datasets)
    dataset = read.datasets.get(TRAINING_DATASET_ID)
    assert [path.path_id for path in dataset.paths] == [TRAINING_PATH_ID, NEXT_LINE.path_id, LAST_LINE.path_id]
    assert (dataset.path_count, dataset.image_count) == (3, 120 + 120 + 3)
    path = dataset.paths[0]
    found = inspection()
    assert (path.folder, path.state, path.image_count) == (found.folder, DataPathState.VALID, 120)
    assert (path.defect_codes, path.formats, path.resolutions) == (found.defect_codes, found.formats, found.resolutions)
    assert (path.total_bytes, path.mask_count, path.damaged_count) == (found.total_bytes, 0, 0)
    read.assert_rebuild_equals_live()


def test_removed_data_paths_are_gone(project: Project) -> None:  # D-7
    history = both_datasets().add(
        TRAINING_DATASET_ID, DataPathsAdded(data_paths=(NEXT_LINE,)), DataPathsRemoved(path_ids=(TRAINING_PATH_ID,))
    )
    read = project(history, Users, Datasets)
    assert [path.path_id for path in read.datasets.get(TRAINING_DATASET_ID).paths] == [NEXT_LINE.path_id]
    read.assert_rebuild_equals_live()


def test_a_dataset_may_be_left_without_data_paths(project: Project) -> None:
    history = both_datasets().add(TRAINING_DATASET_ID, DataPathsRemoved(path_ids=(TRAINING_PATH_ID,)))
    datasets = project(history, Users, Datasets).datasets
    [row] = datasets.page(TRAINING).items
    assert (row.path_count, row.image_count) == (0, 0)
    assert datasets.choices(TRAINING) == DatasetChoices()


def test_a_new_scan_changes_the_figures_of_its_path_alone(project: Project) -> None:  # D-7
    gone = Inspection(folder=inspection().folder, state=DataPathState.INVALID)
    history = both_datasets().add(
        TRAINING_DATASET_ID,
        DataPathsAdded(data_paths=(NEXT_LINE,)),
        DataPathInspected(path_id=TRAINING_PATH_ID, inspection=gone),
    )
    read = project(history, Users, Datasets)
    first, second = read.datasets.get(TRAINING_DATASET_ID).paths
    assert (first.state, first.image_count, first.defect_codes) == (DataPathState.INVALID, 0, ())
    assert (second.state, second.image_count) == (DataPathState.VALID, 120)
    read.assert_rebuild_equals_live()


def test_the_counts_of_a_dataset_are_those_of_its_paths_whatever_happened_to_them(project: Project) -> None:  # D-6, D-7
    def seen(path: DataPath, images_per_code: int) -> DataPathInspected:
        again = inspection(path.inspection.folder, images_per_code=images_per_code)
        return DataPathInspected(path_id=path.path_id, inspection=again)

    first = DataPath(TRAINING_PATH_ID, inspection())
    history = both_datasets()
    read = project(history, Users, Datasets)
    for facts in (
        [DataPathsAdded(data_paths=(NEXT_LINE, LAST_LINE))],
        [seen(LAST_LINE, 7), seen(first, 1), seen(LAST_LINE, 2)],
        [seen(NEXT_LINE, 5), DataPathsRemoved(path_ids=(NEXT_LINE.path_id, TRAINING_PATH_ID)), seen(NEXT_LINE, 9)],
        [DataPathsRemoved(path_ids=(NEXT_LINE.path_id,)), DataPathsAdded(data_paths=(NEXT_LINE,))],
    ):
        read.take_in(history.add(TRAINING_DATASET_ID, *facts))
        dataset = read.datasets.get(TRAINING_DATASET_ID)
        counted = (len(dataset.paths), sum(path.image_count for path in dataset.paths))
        assert (dataset.path_count, dataset.image_count) == counted
    tables = read.assert_rebuild_equals_live()
    assert {row["image_count"] for row in tables["datasets"]} == {126, 30}


def test_a_deleted_dataset_is_gone_with_its_paths(project: Project) -> None:  # D-8
    read = project(both_datasets().add(TRAINING_DATASET_ID, DatasetDeleted()), Users, Datasets)
    assert read.datasets.get(TRAINING_DATASET_ID) is None
    assert read.datasets.page(TRAINING).total == 0
    assert read.datasets.page(BANK).total == 1
    tables = read.assert_rebuild_equals_live()
    for table in ("data_paths", "dataset_environments"):
        assert {row["dataset_id"] for row in tables[table]} == {QUESTION_BANK_ID}


def offered(choices: DatasetChoices) -> list[tuple[str, list[UUID]]]:
    return [(choice.name, [path.path_id for path in choice.paths]) for choice in choices.datasets]


def test_the_paths_of_every_dataset_of_a_kind_can_be_imported(project: Project) -> None:  # W-5
    history = (
        both_datasets()
        .add(example_id("another"), a_dataset("Another"))
        .add(TRAINING_DATASET_ID, DataPathsAdded(data_paths=(NEXT_LINE,)))
    )
    datasets = project(history, Users, Datasets).datasets
    choices = datasets.choices(TRAINING)
    assert offered(choices) == [
        ("panel-a-training", [TRAINING_PATH_ID, NEXT_LINE.path_id]),
        ("Another", [example_id("Another")]),
    ]
    assert choices.datasets[0].paths[1].folder == NEXT_LINE.inspection.folder
    assert [choice.path_count for choice in choices.datasets] == [2, 1]
    assert offered(datasets.choices(BANK)) == [("panel-a-questions", [QUESTION_BANK_PATH_ID])]


def test_datasets_to_import_from_are_found_by_a_part_of_their_name(project: Project) -> None:  # W-5
    history = both_datasets().add(example_id("another"), a_dataset("Another"))
    datasets = project(history, Users, Datasets).datasets
    assert offered(datasets.choices(TRAINING, search="nOTH")) == [("Another", [example_id("Another")])]
    assert datasets.choices(TRAINING, search="questions") == DatasetChoices()


def test_chosen_paths_are_not_offered_again(project: Project) -> None:  # W-5
    history = both_datasets().add(TRAINING_DATASET_ID, DataPathsAdded(data_paths=(NEXT_LINE,)))
    datasets = project(history, Users, Datasets).datasets
    [choice] = datasets.choices(TRAINING, chosen=[inspection().folder]).datasets
    assert ([path.path_id for path in choice.paths], choice.path_count) == ([NEXT_LINE.path_id], 2)
    every = [inspection().folder, NEXT_LINE.inspection.folder]
    assert datasets.choices(TRAINING, chosen=every) == DatasetChoices()


def test_a_plant_of_many_datasets_offers_those_that_were_changed_last(project: Project) -> None:  # W-5
    history = both_datasets()
    for number in range(MOST_CHOICES):
        history.add(example_id(f"set-{number}"), a_dataset(f"set-{number}"))
    datasets = project(history, Users, Datasets).datasets
    choices = datasets.choices(TRAINING)
    names = [choice.name for choice in choices.datasets]
    assert names == [f"set-{number}" for number in reversed(range(MOST_CHOICES))]
    assert choices.has_more
    assert not datasets.choices(TRAINING, search="set-").has_more
    assert [name for name, _ in offered(datasets.choices(TRAINING, search="panel-a"))] == ["panel-a-training"]


def test_the_next_paths_of_a_large_dataset_are_offered_once_the_first_ones_are_chosen(project: Project) -> None:  # W-5
    lines = tuple(
        DataPath(example_id(f"line-{number}"), inspection(FolderName("data", f"line-{number}")))
        for number in range(MOST_PATHS)
    )
    datasets = project(
        both_datasets().add(TRAINING_DATASET_ID, DataPathsAdded(data_paths=lines)), Users, Datasets
    ).datasets
    [first] = datasets.choices(TRAINING).datasets
    assert (len(first.paths), first.path_count, first.has_more) == (MOST_PATHS, MOST_PATHS + 1, True)
    [but_one] = datasets.choices(TRAINING, chosen=[first.paths[0].folder]).datasets
    assert (len(but_one.paths), but_one.has_more) == (MOST_PATHS, False)
    [rest] = datasets.choices(TRAINING, chosen=[path.folder for path in first.paths]).datasets
    assert ([path.path_id for path in rest.paths], rest.has_more) == ([lines[-1].path_id], False)


def test_ticked_paths_are_found_by_their_ids_in_the_order_of_the_ticks(project: Project) -> None:  # W-5, P-1
    history = both_datasets().add(TRAINING_DATASET_ID, DataPathsAdded(data_paths=(NEXT_LINE,)))
    datasets = project(history, Users, Datasets).datasets
    ticked = [NEXT_LINE.path_id, example_id("nowhere"), QUESTION_BANK_PATH_ID, TRAINING_PATH_ID]
    found = datasets.paths_by_id(TRAINING, ticked)
    assert [path.path_id for path in found] == [NEXT_LINE.path_id, TRAINING_PATH_ID]
    assert found[0] == datasets.path(TRAINING_DATASET_ID, NEXT_LINE.path_id)
    assert [path.path_id for path in datasets.paths_by_id(BANK, ticked)] == [QUESTION_BANK_PATH_ID]


def test_a_folder_is_known_by_the_first_dataset_of_the_kind_that_has_it(project: Project) -> None:  # W-5, D-9
    history = both_datasets().add(example_id("another"), a_dataset("Another"))
    datasets = project(history, Users, Datasets).datasets
    folder = inspection().folder
    in_another = PlacedFolder(dataset_id=example_id("another"), path_id=example_id("Another"), folder=folder)
    assert datasets.placed(TRAINING, [folder, NEXT_LINE.inspection.folder]) == [in_another]
    assert datasets.placed(TRAINING, []) == []
    assert datasets.placed(BANK, [folder]) == []


SCANNING_LINE = DataPath(
    example_id("panel-a/large"),
    msgspec.structs.replace(
        inspection(FolderName("data", "panel-a/large"), images_per_code=1), state=DataPathState.SCANNING
    ),
)


def test_the_end_of_a_scan_is_no_change_by_anybody(project: Project) -> None:  # D-6
    history = both_datasets().add(TRAINING_DATASET_ID, DataPathsAdded(data_paths=(SCANNING_LINE,)), actor=TRAINER_LI_ID)
    changed_at = history.events[-1].timestamp
    found = inspection(FolderName("data", "panel-a/large"))
    history.add(TRAINING_DATASET_ID, DataPathInspected(path_id=SCANNING_LINE.path_id, inspection=found))
    read = project(history, Users, Datasets)
    [row] = read.datasets.page(TRAINING).items
    assert (row.changed_by, row.changed_at, row.image_count) == ("trainer_li", changed_at, 240)
    read.assert_rebuild_equals_live()


def test_a_person_who_scans_again_has_changed_the_dataset(project: Project) -> None:  # D-7
    again = DataPathInspected(path_id=TRAINING_PATH_ID, inspection=inspection(images_per_code=41))
    read = project(both_datasets().add(TRAINING_DATASET_ID, again, actor=TRAINER_LI_ID), Users, Datasets)
    assert read.datasets.page(TRAINING).items[0].changed_by == "trainer_li"


def test_paths_that_are_still_scanned_are_known(project: Project) -> None:  # D-3
    history = both_datasets().add(TRAINING_DATASET_ID, DataPathsAdded(data_paths=(SCANNING_LINE,)))
    datasets = project(history, Users, Datasets).datasets
    [waiting] = datasets.scanning()
    assert (waiting.dataset_id, waiting.path_id) == (TRAINING_DATASET_ID, SCANNING_LINE.path_id)
    assert (waiting.folder, waiting.image_count) == (FolderName("data", "panel-a/large"), 3)
    assert datasets.scanning([TRAINING_DATASET_ID]) == [waiting]
    assert datasets.scanning([QUESTION_BANK_ID]) == []
    assert FolderName("data", "panel-a/large") in datasets.folders()


def test_the_paths_of_a_dataset_come_page_by_page(project: Project) -> None:  # D-7
    lines = tuple(
        DataPath(example_id(f"line-{number}"), inspection(FolderName("data", f"line-{number}"))) for number in range(5)
    )
    datasets = project(
        both_datasets().add(TRAINING_DATASET_ID, DataPathsAdded(data_paths=lines)), Users, Datasets
    ).datasets
    page = datasets.paths(TRAINING_DATASET_ID, page=2, size=4)
    assert (page.total, [row.folder.path for row in page.items]) == (6, ["line-3", "line-4"])
    assert datasets.path(TRAINING_DATASET_ID, lines[2].path_id) == datasets.get(TRAINING_DATASET_ID).paths[3]
    assert datasets.path(QUESTION_BANK_ID, lines[2].path_id) is None
    wanted = [lines[2].path_id, lines[0].path_id, example_id("gone")]
    assert [path.path_id for path in datasets.chosen_paths(TRAINING_DATASET_ID, wanted)] == [
        lines[0].path_id,
        lines[2].path_id,
    ]
    assert datasets.chosen_paths(QUESTION_BANK_ID, wanted) == ()
    assert datasets.head(TRAINING_DATASET_ID).path_count == 6
    assert datasets.head(example_id("unknown")) is None


def test_what_is_wrong_with_a_path_is_kept(project: Project) -> None:
    gone = msgspec.structs.replace(
        inspection(), state=DataPathState.INVALID, problem=DataPathProblem.GONE, has_groups=True
    )
    history = both_datasets().add(TRAINING_DATASET_ID, DataPathInspected(path_id=TRAINING_PATH_ID, inspection=gone))
    row = project(history, Users, Datasets).datasets.path(TRAINING_DATASET_ID, TRAINING_PATH_ID)
    assert (row.state, row.problem, row.has_groups) == (DataPathState.INVALID, DataPathProblem.GONE, True)


def test_paths_keep_their_order_whatever_is_added_and_scanned_again_later(project: Project) -> None:  # D-7
    third = DataPath(example_id("third"), inspection(FolderName("data", "third")))
    history = both_datasets()
    read = project(history, Users, Datasets)
    for fact in (
        DataPathsAdded(data_paths=(NEXT_LINE, LAST_LINE)),
        DataPathInspected(path_id=NEXT_LINE.path_id, inspection=NEXT_LINE.inspection),
        DataPathsAdded(data_paths=(third,)),
        DataPathInspected(path_id=TRAINING_PATH_ID, inspection=inspection()),
    ):
        read.take_in(history.add(TRAINING_DATASET_ID, fact))
    datasets = read.datasets
    in_order = [TRAINING_PATH_ID, NEXT_LINE.path_id, LAST_LINE.path_id, third.path_id]
    assert [path.path_id for path in datasets.get(TRAINING_DATASET_ID).paths] == in_order
    assert [path.path_id for path in datasets.paths(TRAINING_DATASET_ID, page=1, size=9).items] == in_order
    assert [path.path_id for path in datasets.choices(TRAINING).datasets[0].paths] == in_order


def test_a_folder_of_several_datasets_is_one_folder(project: Project) -> None:
    datasets = project(both_datasets().add(example_id("again"), a_dataset("again")), Users, Datasets).datasets
    assert len(datasets.folders()) == len(set(datasets.folders())) == 2
