from domain.task_types import TaskKind, TaskTypeDeleted, TaskTypeRenamed
from projections.task_types import TaskTypes
from tests.examples import CLASSIFICATION_ID, SEGMENTATION_ID, example_id, plant
from tests.projections.read_side import Project


def test_task_types_stand_in_the_order_of_their_creation_with_their_kind(project: Project) -> None:  # M-5
    rows = project(plant(), TaskTypes).task_types.list()
    assert [(row.name, row.kind) for row in rows] == [
        ("分类", TaskKind.CLASSIFICATION),
        ("分割分类", TaskKind.SEGMENTATION_AND_CLASSIFICATION),
    ]
    assert rows[0].task_type_id == CLASSIFICATION_ID


def test_a_renamed_task_type_is_offered_under_its_new_name(project: Project) -> None:  # M-5
    read = project(plant().add(CLASSIFICATION_ID, TaskTypeRenamed(name="缺陷分类")), TaskTypes)
    assert [row.name for row in read.task_types.list()] == ["缺陷分类", "分割分类"]
    assert read.task_types.get(CLASSIFICATION_ID).name == "缺陷分类"


def test_a_deleted_task_type_is_offered_no_more(project: Project) -> None:  # M-5
    read = project(plant().add(SEGMENTATION_ID, TaskTypeDeleted()), TaskTypes)
    assert [row.name for row in read.task_types.list()] == ["分类"]
    assert read.task_types.get(SEGMENTATION_ID) is None
    assert read.task_types.get(example_id("never was")) is None
    read.assert_rebuild_equals_live()


def test_a_rebuild_gives_the_same_task_types(project: Project) -> None:  # E-2
    assert len(project(plant(), TaskTypes).assert_rebuild_equals_live()["task_types"]) == 2
