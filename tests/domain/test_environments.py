"""The production environment: one tree an industry, as deep as its levels."""

from uuid import UUID

import pytest

from domain.environments import (
    Environment,
    EnvironmentBinding,
    EnvironmentChoiceIsIncomplete,
    EnvironmentDeleted,
    EnvironmentNode,
    EnvironmentNodesAdded,
    EnvironmentNodesRemoved,
    FurtherLinesAreWrong,
    NodeNameIsInvalid,
    NodeNameRepeated,
    NodeNameTaken,
    NodeNameTakenBelow,
    NoLevelBelow,
    NoLevelsYet,
    NoNamesEntered,
    NotBeforeTheLastLevel,
    NothingChosen,
    add_nodes,
    add_nodes_to_several_parents,
    bind,
    delete,
    environment_id,
    remove_nodes,
)
from domain.refusals import NotFound
from tests.examples import (
    AOI_STATION,
    ARRAY_FAB,
    BINDING,
    CELL_FAB,
    FACTORY_1,
    FACTORY_2,
    INDUSTRY_ID,
    LEVEL_NAMES,
    NODES_ADDED,
    PANEL_65,
    PANEL_75,
    REPAIR_STATION,
    example_id,
)
from tests.given_when_then import Outcome, given

IDS = tuple(example_id(f"new node {number}") for number in range(1, 6))


def adding(*names: str, below: UUID | None = None, level_count: int = 4) -> Outcome:
    ids = IDS[: len(names)]
    return given(NODES_ADDED).when(add_nodes, INDUSTRY_ID, level_count, below, names, ids)


def test_the_first_nodes_of_an_industry_are_added_at_once() -> None:  # M-3
    given().when(add_nodes, INDUSTRY_ID, 4, None, ("一厂区", "二厂区"), IDS[:2]).then(
        EnvironmentNodesAdded(
            industry_id=INDUSTRY_ID, nodes=(EnvironmentNode(IDS[0], "一厂区"), EnvironmentNode(IDS[1], "二厂区"))
        )
    )


def test_many_siblings_are_added_below_a_node() -> None:  # M-3
    adding("43寸面板", "55寸面板", below=AOI_STATION.node_id).then(
        EnvironmentNodesAdded(
            industry_id=INDUSTRY_ID,
            nodes=(
                EnvironmentNode(IDS[0], "43寸面板", AOI_STATION.node_id),
                EnvironmentNode(IDS[1], "55寸面板", AOI_STATION.node_id),
            ),
        )
    )


def test_blank_lines_are_skipped_and_blanks_around_a_name_do_not_count() -> None:  # M-3
    adding("", " 三厂区 ", "  ").then(
        EnvironmentNodesAdded(industry_id=INDUSTRY_ID, nodes=(EnvironmentNode(IDS[1], "三厂区"),))
    )


def test_at_least_one_name_is_needed() -> None:  # M-3
    adding("", "  ").then_refused(NoNamesEntered, "at least one name", at="names")


def test_every_wrong_line_is_named_by_its_number_and_nothing_is_added() -> None:  # M-3
    adding("三厂区", "", "四/厂区", "一厂区", "三厂区").then_refused_together(
        (NodeNameIsInvalid, "Line 3: “四/厂区” is not a valid name"),
        (NodeNameTaken, "Line 4: “一厂区” exists already"),
        (NodeNameRepeated, "Line 5: “三厂区” stands twice"),
    )


def test_case_and_width_make_no_other_sibling() -> None:  # M-3
    adding("aoi站", "ＡＯＩ站", below=ARRAY_FAB.node_id).then_refused_together(
        NodeNameTaken, NodeNameIsInvalid, NodeNameRepeated
    )


def test_a_name_may_stand_at_another_place() -> None:  # M-3
    adding("AOI站", below=CELL_FAB.node_id).then(
        EnvironmentNodesAdded(industry_id=INDUSTRY_ID, nodes=(EnvironmentNode(IDS[0], "AOI站", CELL_FAB.node_id),))
    )


def test_nothing_stands_below_the_last_level() -> None:  # M-3
    adding("左上角", below=PANEL_65.node_id).then_refused(
        NoLevelBelow, "“65寸面板” stands at the last level", at="names"
    )


def test_an_industry_without_levels_has_no_place_for_nodes() -> None:  # M-2
    adding("三厂区", level_count=0).then_refused(NoLevelsYet, "Add its levels first")


def test_so_many_wrong_lines_that_nobody_reads_them_are_counted() -> None:  # M-3
    lines = tuple(f"面板/{number}" for number in range(1, 26))
    ids = tuple(example_id(line) for line in lines)
    outcome = given(NODES_ADDED).when(add_nodes, INDUSTRY_ID, 4, AOI_STATION.node_id, lines, ids)
    outcome.then_refused_together(*[NodeNameIsInvalid] * 20, (FurtherLinesAreWrong, "5 further lines"))


def test_the_same_wish_twice_adds_nothing_twice() -> None:  # M-3
    wish = (add_nodes, INDUSTRY_ID, 4, AOI_STATION.node_id, ("43寸面板", "55寸面板"), IDS[:2])
    added = EnvironmentNodesAdded(
        industry_id=INDUSTRY_ID,
        nodes=tuple(
            EnvironmentNode(node_id, name, AOI_STATION.node_id) for node_id, name in zip(IDS, wish[4], strict=False)
        ),
    )
    given(NODES_ADDED).when(*wish).then(added)
    given(NODES_ADDED, added).when(*wish).then()


def test_the_same_form_with_another_name_is_another_wish() -> None:  # M-3
    added = EnvironmentNodesAdded(
        industry_id=INDUSTRY_ID, nodes=(EnvironmentNode(IDS[0], "43寸面板", AOI_STATION.node_id),)
    )
    ids = (IDS[0], IDS[1])
    given(NODES_ADDED, added).when(
        add_nodes, INDUSTRY_ID, 4, AOI_STATION.node_id, ("43寸面板", "55寸面板"), ids
    ).then_refused(NodeNameTaken, "Line 1: “43寸面板” exists already")


def test_nothing_is_added_below_a_node_that_is_gone() -> None:
    adding("三厂区", below=example_id("gone")).then_refused(NotFound)


def test_a_node_goes_with_everything_below_it() -> None:  # M-3
    outcome = given(NODES_ADDED).when(remove_nodes, INDUSTRY_ID, (ARRAY_FAB.node_id,))
    below = (ARRAY_FAB, REPAIR_STATION, AOI_STATION, PANEL_75, PANEL_65)
    outcome.then(EnvironmentNodesRemoved(industry_id=INDUSTRY_ID, node_ids=tuple(node.node_id for node in below)))


def test_several_nodes_go_at_once_and_each_only_once() -> None:  # M-4
    node_ids = (PANEL_65.node_id, PANEL_75.node_id, PANEL_65.node_id)
    given(NODES_ADDED).when(remove_nodes, INDUSTRY_ID, node_ids).then(
        EnvironmentNodesRemoved(industry_id=INDUSTRY_ID, node_ids=(PANEL_65.node_id, PANEL_75.node_id))
    )


def test_what_is_gone_already_is_left_out() -> None:  # M-3
    removed = EnvironmentNodesRemoved(industry_id=INDUSTRY_ID, node_ids=(PANEL_65.node_id,))
    both = (PANEL_75.node_id, PANEL_65.node_id)
    given(NODES_ADDED, removed).when(remove_nodes, INDUSTRY_ID, both).then(
        EnvironmentNodesRemoved(industry_id=INDUSTRY_ID, node_ids=(PANEL_75.node_id,))
    )
    given(NODES_ADDED, removed).when(remove_nodes, INDUSTRY_ID, (PANEL_65.node_id,)).then()


def test_something_must_be_chosen_to_be_removed() -> None:  # M-4
    given(NODES_ADDED).when(remove_nodes, INDUSTRY_ID, ()).then_refused(NothingChosen, "at least one", at="node_ids")


def test_a_removed_name_is_free_at_its_place() -> None:  # M-3
    removed = EnvironmentNodesRemoved(industry_id=INDUSTRY_ID, node_ids=(FACTORY_2.node_id,))
    given(NODES_ADDED, removed).when(add_nodes, INDUSTRY_ID, 4, None, ("二厂区",), IDS[:1]).then(
        EnvironmentNodesAdded(industry_id=INDUSTRY_ID, nodes=(EnvironmentNode(IDS[0], "二厂区"),))
    )


STATIONS = (AOI_STATION.node_id, REPAIR_STATION.node_id)


def adding_below(*parent_ids: UUID, names: tuple[str, ...] = ("43寸面板",), level_count: int = 4) -> Outcome:
    node_ids = tuple(tuple(example_id(f"{parent_id} {name}") for name in names) for parent_id in parent_ids)
    return given(NODES_ADDED).when(add_nodes_to_several_parents, INDUSTRY_ID, level_count, parent_ids, names, node_ids)


def test_the_same_names_are_added_below_several_nodes_at_once() -> None:  # M-4
    nodes = tuple(
        EnvironmentNode(example_id(f"{parent_id} {name}"), name, parent_id)
        for parent_id in STATIONS
        for name in ("43寸面板", "55寸面板")
    )
    adding_below(*STATIONS, names=("43寸面板", "55寸面板")).then(
        EnvironmentNodesAdded(industry_id=INDUSTRY_ID, nodes=nodes)
    )


def test_a_problem_is_named_by_child_and_line_and_nothing_is_added_anywhere() -> None:  # M-4
    adding_below(*STATIONS, names=("43寸面板", "65寸面板", "a/b", "43寸面板")).then_refused_together(
        (NodeNameTakenBelow, "Line 2: “65寸面板” exists already below “AOI站”."),
        (NodeNameIsInvalid, "Line 3: “a/b”"),
        (NodeNameRepeated, "Line 4: “43寸面板” stands twice"),
    )


def test_several_means_at_least_one_child_and_one_name() -> None:  # M-4
    adding_below().then_refused(NothingChosen, at="node_ids")
    adding_below(*STATIONS, names=("", " ")).then_refused(NoNamesEntered)


@pytest.mark.parametrize("parent", [ARRAY_FAB, PANEL_65])
def test_what_is_added_to_several_stands_at_the_last_level(parent: EnvironmentNode) -> None:  # M-4
    refusal = NoLevelBelow if parent is PANEL_65 else NotBeforeTheLastLevel
    adding_below(AOI_STATION.node_id, parent.node_id).then_refused(refusal, f"“{parent.name}”")


def test_nothing_is_added_to_several_where_one_of_them_is_gone() -> None:  # M-4
    adding_below(AOI_STATION.node_id, example_id("gone")).then_refused(NotFound)


def test_the_same_wish_for_several_twice_adds_nothing_twice() -> None:  # M-4
    ids = ((IDS[0],), (IDS[1],))
    wish = (add_nodes_to_several_parents, INDUSTRY_ID, 4, STATIONS, ("43寸面板",), ids)
    nodes = (EnvironmentNode(IDS[0], "43寸面板", STATIONS[0]), EnvironmentNode(IDS[1], "43寸面板", STATIONS[1]))
    given(NODES_ADDED, EnvironmentNodesAdded(industry_id=INDUSTRY_ID, nodes=nodes)).when(*wish).then()


def test_everything_goes_with_the_industry() -> None:  # M-1
    deleted = EnvironmentDeleted(industry_id=INDUSTRY_ID)
    assert delete(INDUSTRY_ID) == [deleted]
    for tree in (given(NODES_ADDED, deleted).state, given(deleted).state):
        assert isinstance(tree, Environment)
        assert not tree.nodes


def test_nobody_changes_the_nodes_of_a_state_from_outside() -> None:
    before = given(NODES_ADDED).state
    assert isinstance(before, Environment)
    with pytest.raises(TypeError):
        before.nodes[IDS[0]] = PANEL_65  # type: ignore[index]
    after = given(NODES_ADDED, EnvironmentNodesRemoved(industry_id=INDUSTRY_ID, node_ids=(PANEL_65.node_id,))).state
    assert isinstance(after, Environment)
    assert PANEL_65.node_id in before.nodes
    assert PANEL_65.node_id not in after.nodes


def binding(*node_ids: UUID, level_names: tuple[str, ...] = LEVEL_NAMES) -> Outcome:
    return given(NODES_ADDED).when(bind, INDUSTRY_ID, "显示面板", level_names, node_ids)


def test_a_binding_has_one_choice_a_level_and_several_at_the_last() -> None:  # D-2
    tree = given(NODES_ADDED).state
    chosen = (PANEL_65.node_id, PANEL_75.node_id)
    assert bind(tree, INDUSTRY_ID, "显示面板", LEVEL_NAMES, chosen) == BINDING  # type: ignore[arg-type]


def test_the_same_choice_twice_is_one_choice() -> None:  # D-2
    tree = given(NODES_ADDED).state
    bound = bind(tree, INDUSTRY_ID, "显示面板", LEVEL_NAMES, (PANEL_65.node_id, PANEL_65.node_id))  # type: ignore[arg-type]
    assert bound.products == (PANEL_65,)


def test_with_one_level_there_are_only_last_level_choices() -> None:  # D-2
    tree = given(NODES_ADDED).state
    bound = bind(tree, INDUSTRY_ID, "显示面板", ("工厂",), (FACTORY_1.node_id, FACTORY_2.node_id))  # type: ignore[arg-type]
    assert bound == EnvironmentBinding(
        industry_id=INDUSTRY_ID, industry="显示面板", level_names=("工厂",), path=(), products=(FACTORY_1, FACTORY_2)
    )


def test_a_choice_must_reach_the_last_level() -> None:  # D-2
    binding(AOI_STATION.node_id).then_refused(EnvironmentChoiceIsIncomplete, "down to “产品”", at="environment")
    binding().then_refused(EnvironmentChoiceIsIncomplete, "down to “产品”")


def test_nothing_can_be_chosen_in_an_empty_environment() -> None:  # M-7
    given().when(bind, INDUSTRY_ID, "显示面板", LEVEL_NAMES, ()).then_refused(EnvironmentChoiceIsIncomplete)
    given().when(bind, INDUSTRY_ID, "显示面板", (), ()).then_refused(EnvironmentChoiceIsIncomplete)


def test_the_choices_stand_below_one_place() -> None:  # D-2
    elsewhere = EnvironmentNode(IDS[0], "65寸面板", REPAIR_STATION.node_id)
    added = EnvironmentNodesAdded(industry_id=INDUSTRY_ID, nodes=(elsewhere,))
    given(NODES_ADDED, added).when(bind, INDUSTRY_ID, "显示面板", LEVEL_NAMES, (PANEL_65.node_id, IDS[0])).then_refused(
        EnvironmentChoiceIsIncomplete
    )


def test_a_choice_that_is_gone_is_not_found() -> None:
    binding(example_id("gone")).then_refused(NotFound)


def test_every_industry_has_a_tree_of_its_own() -> None:  # M-1
    assert environment_id(INDUSTRY_ID) != environment_id(example_id("钢铁"))
