"""The production environment: one tree an industry, as deep as its levels."""

from uuid import UUID

from domain.environments import (
    EnvironmentBinding,
    EnvironmentChoiceIsIncomplete,
    EnvironmentNode,
    EnvironmentNodesAdded,
    EnvironmentNodesRemoved,
    NodeNameIsInvalid,
    NodeNameRepeated,
    NodeNameTaken,
    NoLevelBelow,
    NoNamesEntered,
    add_nodes,
    bind,
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


def test_a_further_level_makes_room_below() -> None:  # M-2, M-3
    adding("左上角", below=PANEL_65.node_id, level_count=5).then(
        EnvironmentNodesAdded(industry_id=INDUSTRY_ID, nodes=(EnvironmentNode(IDS[0], "左上角", PANEL_65.node_id),))
    )


def test_an_industry_without_levels_has_no_place_for_nodes() -> None:  # M-2
    adding("三厂区", level_count=0).then_refused(NoLevelBelow, "Add a level to the industry first")


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


def test_what_is_gone_cannot_be_removed_again() -> None:
    removed = EnvironmentNodesRemoved(industry_id=INDUSTRY_ID, node_ids=(PANEL_65.node_id,))
    given(NODES_ADDED, removed).when(remove_nodes, INDUSTRY_ID, (PANEL_75.node_id, PANEL_65.node_id)).then_refused(
        NotFound
    )


def test_a_removed_name_is_free_at_its_place() -> None:  # M-3
    removed = EnvironmentNodesRemoved(industry_id=INDUSTRY_ID, node_ids=(FACTORY_2.node_id,))
    given(NODES_ADDED, removed).when(add_nodes, INDUSTRY_ID, 4, None, ("二厂区",), IDS[:1]).then(
        EnvironmentNodesAdded(industry_id=INDUSTRY_ID, nodes=(EnvironmentNode(IDS[0], "二厂区"),))
    )


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
