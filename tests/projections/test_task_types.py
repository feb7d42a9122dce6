from domain.task_types import TaskKind
from projections.task_types import TaskTypes
from tests.examples import CLASSIFICATION_ID, plant
from tests.projections.read_side import Project


def test_task_types_stand_in_the_order_of_their_creation_with_their_kind(project: Project) -> None:  # M-5
    rows = project(plant(), TaskTypes).task_types.list()
    assert [(row.name, row.kind) for row in rows] == [
        ("分类", TaskKind.CLASSIFICATION),
        ("分割分类", TaskKind.SEGMENTATION_AND_CLASSIFICATION),
    ]
    assert rows[0].task_type_id == CLASSIFICATION_ID


def test_a_rebuild_gives_the_same_task_types(project: Project) -> None:  # E-2
    assert len(project(plant(), TaskTypes).assert_rebuild_equals_live()["task_types"]) == 2
