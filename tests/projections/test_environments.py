from typing import Any

from domain.environments import EnvironmentNode, EnvironmentNodesAdded, EnvironmentNodesRemoved, environment_id
from projections.environments import Environments, Siblings
from tests.examples import (
    AOI_STATION,
    ARRAY_FAB,
    CELL_FAB,
    ENVIRONMENT_ID,
    FACTORY_1,
    FACTORY_2,
    INDUSTRY_ID,
    PANEL_65,
    PANEL_75,
    REPAIR_STATION,
    example_id,
    plant,
)
from tests.projections.read_side import Project


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
    steel = example_id("钢铁")
    mill = EnvironmentNode(example_id("热轧厂"), "热轧厂")
    history = plant().add(environment_id(steel), EnvironmentNodesAdded(industry_id=steel, nodes=(mill,)))
    read = project(history, Environments)
    assert [row.name for row in read.environments.tree(steel)] == ["热轧厂"]
    assert len(read.environments.tree(INDUSTRY_ID)) == 8
    assert read.environments.tree(example_id("no industry")) == ()


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


def names(found: Siblings) -> list[str]:
    return [node.name for node in found.nodes]


def test_the_children_of_a_node_come_in_their_order_and_no_others(project: Project) -> None:  # D-2, M-3
    steel = example_id("钢铁")
    history = plant().add(
        environment_id(steel),
        EnvironmentNodesAdded(industry_id=steel, nodes=(EnvironmentNode(example_id("热轧厂"), "热轧厂"),)),
    )
    environments = project(history, Environments).environments
    assert names(environments.siblings(INDUSTRY_ID, None, most=9)) == ["一厂区", "二厂区"]
    assert names(environments.siblings(INDUSTRY_ID, FACTORY_1.node_id, most=9)) == ["阵列厂", "成盒厂"]
    assert names(environments.siblings(INDUSTRY_ID, FACTORY_2.node_id, most=9)) == []
    assert names(environments.siblings(steel, None, most=9)) == ["热轧厂"]
    assert names(environments.siblings(steel, FACTORY_1.node_id, most=9)) == [], "another industry's node is no parent"


def test_many_children_are_cut_off_counted_and_found_by_a_part_of_the_name(project: Project) -> None:  # D-2
    nodes = [
        EnvironmentNode(example_id(f"OLED{number}"), f"OLED{number}寸", AOI_STATION.node_id) for number in range(9)
    ]
    history = plant().add(ENVIRONMENT_ID, EnvironmentNodesAdded(industry_id=INDUSTRY_ID, nodes=tuple(nodes)))
    environments = project(history, Environments).environments

    def below(**asked: Any) -> Siblings:
        found: Siblings = environments.siblings(INDUSTRY_ID, AOI_STATION.node_id, **asked)
        return found

    assert (names(below(most=3)), below(most=3).count) == (["65寸面板", "75寸面板", "OLED0寸"], 11)
    assert names(below(most=3, search="oled7")) == ["OLED7寸"]
    assert (names(below(most=3, search="%")), below(most=3, search="%").count) == ([], 0)
    kept = [nodes[8].node_id, FACTORY_1.node_id]
    assert names(below(most=1, kept=kept)) == ["65寸面板", "75寸面板", "OLED8寸"], (
        "kept stays; what is no child does not come"
    )
    assert names(below(most=1, kept=[nodes[8].node_id], search="oled7")) == ["OLED7寸", "OLED8寸"]
