from typing import Any
from uuid import UUID

import msgspec
import pytest

from domain.datasets import DataPath, DatasetDeleted
from domain.environments import (
    EnvironmentBinding,
    EnvironmentDeleted,
    EnvironmentNode,
    EnvironmentNodesAdded,
    EnvironmentNodesRemoved,
    environment_id,
)
from domain.industries import IndustryCreated, IndustryDeleted
from domain.model_images import ModelImageKind
from projections.all import READ_MODELS
from projections.environments import ChildRow, Concerned, Environments
from projections.industries import Industries
from projections.read_model import Page
from tests.examples import (
    AOI_STATION,
    ARRAY_FAB,
    BINDING,
    CELL_FAB,
    ENVIRONMENT_ID,
    FACTORY_1,
    FACTORY_2,
    INDUSTRY_ID,
    LOADING_QUEUED,
    MODEL_ID,
    MODEL_IMAGE_IMPORTED,
    PANEL_65,
    PANEL_75,
    QUESTION_BANK,
    QUESTION_BANK_ID,
    REPAIR_STATION,
    TRAINING_DATASET,
    TRAINING_DATASET_ID,
    VERSION_PUBLISHED,
    History,
    example_id,
    inspection,
    plant,
)
from tests.projections.read_side import Project, ReadSide

STEEL = example_id("钢铁")
MILL = EnvironmentNode(example_id("热轧厂"), "热轧厂")


def test_a_tree_comes_depth_first_with_siblings_in_the_order_of_their_adding(project: Project) -> None:  # M-3
    read = project(plant(), Environments)
    assert [(row.depth, row.name) for row in read.environments.tree(INDUSTRY_ID)] == [
        (0, "一厂区"),
        (1, "阵列厂"),
        (2, "AOI站"),
        (3, "65寸面板"),
        (3, "75寸面板"),
        (2, "修补站"),
        (1, "成盒厂"),
        (0, "二厂区"),
    ]


def test_a_node_added_later_stands_last_among_its_siblings(project: Project) -> None:
    later = EnvironmentNode(example_id("43寸面板"), "43寸面板", AOI_STATION.node_id)
    history = plant().add(ENVIRONMENT_ID, EnvironmentNodesAdded(industry_id=INDUSTRY_ID, nodes=(later,)))
    tree = project(history, Environments).environments.tree(INDUSTRY_ID)
    below = [row.name for row in tree if row.parent_id == AOI_STATION.node_id]
    assert below == ["65寸面板", "75寸面板", "43寸面板"]


def test_every_industry_has_its_own_tree(project: Project) -> None:  # M-1
    read = project(with_steel(), Environments)
    assert [row.name for row in read.environments.tree(STEEL)] == ["热轧厂"]
    assert (read.environments.count(STEEL), read.environments.count(INDUSTRY_ID)) == (1, 8)
    assert read.environments.tree(example_id("no industry")) == ()


def with_steel() -> History:
    """A second industry with one node."""
    added = EnvironmentNodesAdded(industry_id=STEEL, nodes=(MILL,))
    return plant().add(STEEL, IndustryCreated(name="钢铁")).add(environment_id(STEEL), added)


def test_a_tree_goes_with_its_industry_and_with_no_other(project: Project) -> None:  # M-1
    history = with_steel()
    read = project(history, Environments, Industries)
    assert set(read.environments.standing([STEEL, MILL.node_id])) == {STEEL, MILL.node_id}
    history.add(STEEL, IndustryDeleted()).add(environment_id(STEEL), EnvironmentDeleted(industry_id=STEEL))
    read.take_in(history)
    assert (read.environments.count(STEEL), read.environments.count(INDUSTRY_ID)) == (0, 8)
    assert read.environments.standing([STEEL, MILL.node_id, INDUSTRY_ID, PANEL_65.node_id]) == (
        PANEL_65.node_id,
        INDUSTRY_ID,
    )
    read.assert_rebuild_equals_live()


def many_panels(count: int = 250) -> History:
    """A station with many products."""
    nodes = tuple(
        EnvironmentNode(example_id(f"面板{number}"), f"面板{number}", REPAIR_STATION.node_id) for number in range(count)
    )
    return plant().add(ENVIRONMENT_ID, EnvironmentNodesAdded(industry_id=INDUSTRY_ID, nodes=nodes))


def names_below(read: ReadSide, skipped: dict[UUID, int], *, size: int = 100) -> list[str]:
    return [row.name for row in read.environments.children(skipped, size=size)]


def test_only_what_is_open_is_asked_for(project: Project) -> None:  # M-3
    read = project(plant(), Environments)
    assert names_below(read, {INDUSTRY_ID: 0}) == ["一厂区", "二厂区"]
    assert names_below(read, {INDUSTRY_ID: 0, FACTORY_1.node_id: 0, ARRAY_FAB.node_id: 0}) == [
        *("一厂区", "二厂区"),
        *("阵列厂", "成盒厂"),
        *("AOI站", "修补站"),
    ]
    (station, _) = read.environments.children({ARRAY_FAB.node_id: 0}, size=100)
    assert (station.below, station.depth, station.child_count) == (ARRAY_FAB.node_id, 2, 2)
    assert names_below(read, {PANEL_65.node_id: 0, example_id("gone"): 0}) == []
    assert names_below(read, {}) == []


def test_many_children_come_in_parts(project: Project) -> None:  # M-3
    read = project(many_panels(), Environments)
    assert names_below(read, {REPAIR_STATION.node_id: 0}) == [f"面板{number}" for number in range(100)]
    last = names_below(read, {REPAIR_STATION.node_id: 200, INDUSTRY_ID: 1})
    assert last == [*(f"面板{number}" for number in range(200, 250)), "二厂区"]
    assert read.environments.child_count(REPAIR_STATION.node_id) == 250
    assert read.environments.child_count(INDUSTRY_ID) == 2


def test_children_are_found_by_a_part_of_their_name(project: Project) -> None:  # M-4
    read = project(many_panels(), Environments)
    found = read.environments.named_children(REPAIR_STATION.node_id, "板24", size=3)
    assert ([row.name for row in found.items], found.total) == (["面板24", "面板240", "面板241"], 11)
    stations = read.environments.named_children(ARRAY_FAB.node_id, "aoi", size=3)
    assert [(row.name, row.child_count) for row in stations.items] == [("AOI站", 2)]


def test_a_way_says_where_every_node_on_it_stands_among_its_siblings(project: Project) -> None:  # M-3
    read = project(many_panels(), Environments)
    ways = read.environments.ways([example_id("面板123"), CELL_FAB.node_id, example_id("gone")])
    assert len(ways) == 5, "each once, though two ways go through the factory"
    assert {(way.node_id, way.below, way.place) for way in ways} == {
        (example_id("面板123"), REPAIR_STATION.node_id, 123),
        (REPAIR_STATION.node_id, ARRAY_FAB.node_id, 1),
        (ARRAY_FAB.node_id, FACTORY_1.node_id, 0),
        (CELL_FAB.node_id, FACTORY_1.node_id, 1),
        (FACTORY_1.node_id, INDUSTRY_ID, 0),
    }


def test_a_search_finds_nodes_of_any_level_with_their_way(project: Project) -> None:  # M-3
    read = project(many_panels(), Environments)
    found = read.environments.find(INDUSTRY_ID, "aoi", number=1, size=20)
    assert [(node.names, node.depth, node.child_count) for node in found.items] == [
        (("一厂区", "阵列厂", "AOI站"), 2, 2)
    ]
    many = read.environments.find(INDUSTRY_ID, "面板", number=3, size=100)
    assert (many.total, len(many.items)) == (252, 52)
    assert read.environments.find(INDUSTRY_ID, "厂", number=1, size=20).items[0].depth == 0
    assert read.environments.find(STEEL, "面板", number=1, size=20).total == 0
    assert read.environments.find(INDUSTRY_ID, "%", number=1, size=20).total == 0


def bound_to(*products: EnvironmentNode, path: tuple[EnvironmentNode, ...]) -> EnvironmentBinding:
    return msgspec.structs.replace(BINDING, path=path, products=products)


ELSEWHERE = EnvironmentNode(example_id("修补面板"), "修补面板", REPAIR_STATION.node_id)
AT_AOI = bound_to(PANEL_65, PANEL_75, path=(FACTORY_1, ARRAY_FAB, AOI_STATION))
AT_REPAIR = bound_to(ELSEWHERE, path=(FACTORY_1, ARRAY_FAB, REPAIR_STATION))


def with_bindings() -> History:
    """At the AOI station a dataset of 120 images and a model, at the repair station a dataset of 30 and a business image."""
    further = DataPath(example_id("further"), inspection(images_per_code=20))
    business = msgspec.structs.replace(MODEL_IMAGE_IMPORTED, kind=ModelImageKind.BUSINESS, environment=AT_REPAIR)
    at_aoi = msgspec.structs.replace(
        TRAINING_DATASET, environment=AT_AOI, data_paths=(*TRAINING_DATASET.data_paths, further)
    )
    return (
        plant()
        .add(ENVIRONMENT_ID, EnvironmentNodesAdded(industry_id=INDUSTRY_ID, nodes=(ELSEWHERE,)))
        .add(TRAINING_DATASET_ID, at_aoi)
        .add(QUESTION_BANK_ID, msgspec.structs.replace(QUESTION_BANK, environment=AT_REPAIR))
        .add(example_id("aoi65"), business, LOADING_QUEUED)
        .add(MODEL_ID, msgspec.structs.replace(VERSION_PUBLISHED, environment=AT_AOI))
    )


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ((PANEL_65,), (1, 1, 180, 0, 1)),
        ((PANEL_65, PANEL_75), (2, 1, 180, 0, 1)),
        ((AOI_STATION,), (3, 1, 180, 0, 1)),
        ((ELSEWHERE,), (1, 1, 30, 1, 0)),
        ((ARRAY_FAB,), (6, 2, 210, 1, 1)),
        ((ARRAY_FAB, AOI_STATION, PANEL_65), (6, 2, 210, 1, 1)),
        ((CELL_FAB,), (1, 0, 0, 0, 0)),
        ((), (0, 0, 0, 0, 0)),
    ],
)
def test_a_removal_counts_what_goes_and_what_is_bound_to_it(
    project: Project, nodes: tuple[EnvironmentNode, ...], expected: tuple[int, ...]
) -> None:  # M-3
    read = project(with_bindings(), *READ_MODELS)
    counted = read.environments.concerned([node.node_id for node in nodes])
    assert counted == Concerned(**dict(zip(Concerned.__struct_fields__, expected, strict=True)))


def test_a_deleted_dataset_is_concerned_no_more_and_an_industry_concerns_all_of_its_own(
    project: Project,
) -> None:  # M-1
    history = with_bindings()
    read = project(history, *READ_MODELS)
    assert read.environments.concerned_by_industry(INDUSTRY_ID) == Concerned(
        node_count=9, dataset_count=2, image_count=210, model_image_count=1, model_count=1
    )
    assert read.environments.concerned_by_industry(STEEL).node_count == 0
    read.take_in(history.add(TRAINING_DATASET_ID, DatasetDeleted()))
    assert read.environments.concerned([ARRAY_FAB.node_id]).image_count == 30


def test_removed_nodes_are_gone_with_everything_below(project: Project) -> None:  # M-3
    gone = (ARRAY_FAB, AOI_STATION, REPAIR_STATION, PANEL_65, PANEL_75)
    removed = EnvironmentNodesRemoved(industry_id=INDUSTRY_ID, node_ids=tuple(node.node_id for node in gone))
    read = project(plant().add(ENVIRONMENT_ID, removed), Environments)
    assert [row.name for row in read.environments.tree(INDUSTRY_ID)] == ["一厂区", "成盒厂", "二厂区"]
    assert read.environments.branch(AOI_STATION.node_id) is None


def test_paths_say_where_nodes_stand(project: Project) -> None:  # D-6
    read = project(plant(), Environments)
    paths = read.environments.paths((PANEL_75.node_id, FACTORY_2.node_id, example_id("gone")))
    assert {path.node_id: path.names for path in paths} == {
        PANEL_75.node_id: ("一厂区", "阵列厂", "AOI站", "75寸面板"),
        FACTORY_2.node_id: ("二厂区",),
    }


def test_a_branch_counts_every_node_below_it(project: Project) -> None:  # M-3
    read = project(plant(), Environments)
    fab = read.environments.branch(ARRAY_FAB.node_id)
    assert (fab.industry_id, fab.parent_id, fab.names, fab.depth) == (
        INDUSTRY_ID,
        FACTORY_1.node_id,
        ("一厂区", "阵列厂"),
        1,
    )
    assert {
        node.name: read.environments.branch(node.node_id).below_count
        for node in (FACTORY_1, ARRAY_FAB, AOI_STATION, CELL_FAB, PANEL_65)
    } == {"一厂区": 6, "阵列厂": 4, "AOI站": 2, "成盒厂": 0, "65寸面板": 0}


def test_a_rebuild_gives_the_same_trees(project: Project) -> None:  # E-2
    removed = EnvironmentNodesRemoved(industry_id=INDUSTRY_ID, node_ids=(PANEL_65.node_id,))
    read = project(plant().add(ENVIRONMENT_ID, removed), Environments)
    assert len(read.assert_rebuild_equals_live()["environment_nodes"]) == 7


def names(found: Page[ChildRow]) -> list[str]:
    return [node.name for node in found.items]


def test_the_children_of_a_node_come_in_their_order_and_no_others(project: Project) -> None:  # D-2, M-3
    steel = example_id("钢铁")
    history = plant().add(
        environment_id(steel),
        EnvironmentNodesAdded(industry_id=steel, nodes=(EnvironmentNode(example_id("热轧厂"), "热轧厂"),)),
    )
    environments = project(history, Environments).environments
    assert names(environments.named_children(INDUSTRY_ID, size=9)) == ["一厂区", "二厂区"]
    assert names(environments.named_children(FACTORY_1.node_id, size=9)) == ["阵列厂", "成盒厂"]
    assert names(environments.named_children(FACTORY_2.node_id, size=9)) == []
    assert names(environments.named_children(steel, size=9)) == ["热轧厂"]


def test_many_children_are_cut_off_counted_and_found_by_a_part_of_the_name(project: Project) -> None:  # D-2
    nodes = [
        EnvironmentNode(example_id(f"OLED{number}"), f"OLED{number}寸", AOI_STATION.node_id) for number in range(9)
    ]
    history = plant().add(ENVIRONMENT_ID, EnvironmentNodesAdded(industry_id=INDUSTRY_ID, nodes=tuple(nodes)))
    environments = project(history, Environments).environments

    def below(search: str = "", **asked: Any) -> Page[ChildRow]:
        found: Page[ChildRow] = environments.named_children(AOI_STATION.node_id, search, **asked)
        return found

    assert (names(below(size=3)), below(size=3).total) == (["65寸面板", "75寸面板", "OLED0寸"], 11)
    assert names(below("oled7", size=3)) == ["OLED7寸"]
    assert (names(below("%", size=3)), below("%", size=3).total) == ([], 0)
    kept = [nodes[8].node_id, FACTORY_1.node_id]
    assert names(below(size=1, kept=kept)) == ["65寸面板", "75寸面板", "OLED8寸"], (
        "kept stays; what is no child does not come"
    )
    assert names(below("oled7", size=1, kept=[nodes[8].node_id])) == ["OLED7寸", "OLED8寸"]


def test_what_is_found_stands_by_level_then_by_name(project: Project) -> None:  # M-3
    deep = EnvironmentNode(example_id("0厂"), "0厂", AOI_STATION.node_id)
    history = plant().add(ENVIRONMENT_ID, EnvironmentNodesAdded(industry_id=INDUSTRY_ID, nodes=(deep,)))
    read = project(history, Environments)
    found = read.environments.find(INDUSTRY_ID, "厂", number=1, size=20)
    assert [node.depth for node in found.items] == [0, 0, 1, 1, 3]
    paths = read.environments.paths((FACTORY_2.node_id, PANEL_75.node_id, FACTORY_1.node_id, PANEL_65.node_id))
    assert [path.names for path in paths] == sorted(path.names for path in paths)
    assert len(paths) == 4


def test_nodes_are_known_in_the_tree_of_their_industry_alone(project: Project) -> None:  # M-1
    environments = project(with_steel(), Environments).environments
    assert environments.standing_in(STEEL, [MILL.node_id, PANEL_65.node_id, example_id("gone")]) == (MILL.node_id,)
