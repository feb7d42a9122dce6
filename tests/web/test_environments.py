"""生产环境 over the real read side: a tree of which only what is open is shown, bulk actions, removals that say what goes."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from uuid import UUID

import httpx
import pytest

from commands.environments import AddNodes, AddNodesToSeveralParents, RemoveNodes
from domain.environments import (
    EnvironmentNode,
    EnvironmentNodesAdded,
    EnvironmentNodesRemoved,
    NodeNameIsInvalid,
    NodeNameTaken,
    NodeNameTakenBelow,
    NothingChosen,
    environment_id,
)
from domain.industries import DEFAULT_INDUSTRY_ID, DefaultIndustryChosen, IndustryCreated, IndustryLevelsDefined
from domain.refusals import Refusals
from projections.all import READ_MODELS
from tests.examples import (
    AOI_STATION,
    ARRAY_FAB,
    CELL_FAB,
    ENVIRONMENT_ID,
    FACTORY_1,
    INDUSTRY_ID,
    LEVEL_NAMES,
    MODEL_ID,
    PANEL_65,
    PANEL_75,
    REPAIR_STATION,
    TRAINING_DATASET,
    TRAINING_DATASET_ID,
    VERSION_PUBLISHED,
    History,
    example_id,
    plant,
)
from tests.projections.read_side import ReadSide
from tests.web.reading import words
from tests.web.site import Site

TREE = "/environments"
OPENED = re.compile(r'<details data-branch="([^"]*)" open>')
MINE_ID = example_id("采矿")


class Plant:
    """A plant's log, and the read side that the pages ask."""

    def __init__(self, side: ReadSide, history: History) -> None:
        self._side, self._history = side, history

    def happen(self, aggregate_id: UUID, *facts: object) -> None:
        """Something more."""
        self._side.take_in(self._history.add(aggregate_id, *facts))  # type: ignore[arg-type]

    def add(self, *nodes: EnvironmentNode, industry_id: UUID = INDUSTRY_ID) -> None:
        """More nodes."""
        added = EnvironmentNodesAdded(industry_id=industry_id, nodes=nodes)
        self.happen(environment_id(industry_id), added)

    def make_default(self, *level_names: str) -> None:
        """Another industry, with these levels."""
        self.happen(MINE_ID, IndustryCreated(name="采矿"), IndustryLevelsDefined(level_names=level_names))
        self.happen(DEFAULT_INDUSTRY_ID, DefaultIndustryChosen(industry_id=MINE_ID))


@pytest.fixture
def here(site: Site, database: str) -> Iterator[Plant]:
    with ExitStack() as stack:
        side = ReadSide(stack, database, READ_MODELS, None)
        history = plant()
        side.take_in(history)
        for name in ("industries", "environments"):
            setattr(site.read, name, getattr(side, name))
        yield Plant(side, history)


def node(name: str, parent: EnvironmentNode | None = None) -> EnvironmentNode:
    return EnvironmentNode(example_id(name), name, parent.node_id if parent else None)


def acts_of(page: str, one: EnvironmentNode) -> str:
    """What the row of a node offers."""
    found = re.search(rf'id="node-{one.node_id}">\s*<div class="tree-acts">(.*?)</div>', page, re.DOTALL)
    assert found, f"{one.name} is not on the page"
    return words(found[1])


def test_every_label_comes_from_the_level_names(site: Site, here: Plant) -> None:  # M-3, M-4
    page = site.get(TREE).text
    assert "新建工厂" in words(page)
    assert acts_of(page, FACTORY_1) == "添加厂别 一厂区 删除 一厂区"
    assert acts_of(page, ARRAY_FAB) == "添加站点 阵列厂 批量添加产品 阵列厂 删除 阵列厂"
    assert acts_of(page, AOI_STATION) == "添加产品 AOI站 移除产品 AOI站 删除 AOI站"
    assert acts_of(page, PANEL_65) == "移除产品 65寸面板"


def test_bulk_actions_are_offered_only_where_there_is_something_to_tick(site: Site, here: Plant) -> None:  # M-4
    page = site.get(TREE).text
    assert acts_of(page, CELL_FAB) == "添加站点 成盒厂 删除 成盒厂"
    assert acts_of(page, REPAIR_STATION) == "添加产品 修补站 删除 修补站"


@pytest.mark.parametrize(
    ("level_names", "offered", "missing"),
    [
        (("矿区",), ("移除矿区", "新建矿区"), ("批量添加",)),
        (("矿区", "煤样"), ("批量添加煤样", "新建矿区"), ("移除煤样 新建",)),
        (("矿区", "矿井", "煤样"), ("新建矿区",), ("批量添加煤样 新建", "移除煤样 新建")),
        (tuple(f"层级{number}" for number in range(1, 11)), ("新建层级1",), ("层级10 新建",)),
    ],
)
def test_with_one_or_two_levels_the_bulk_buttons_stand_above_the_tree(
    site: Site, here: Plant, level_names: tuple[str, ...], offered: tuple[str, ...], missing: tuple[str, ...]
) -> None:  # M-4
    here.make_default(*level_names)
    here.add(node("一矿区"), industry_id=MINE_ID)
    page = site.get(TREE).text
    above = words(page[page.index('class="page-actions"') : page.index('class="tree"')])
    assert all(label in above for label in offered), above
    assert not any(label in above for label in missing), above
    for own_word in LEVEL_NAMES:
        assert own_word not in words(page[page.index("<main") :])


def test_a_tree_of_one_level_has_nothing_to_open(site: Site, here: Plant) -> None:  # M-2, M-3
    here.make_default("矿区")
    here.add(node("一矿区"), industry_id=MINE_ID)
    page = words(site.get(TREE).text)
    assert ("一矿区" in page, "全部展开" in page, "全部收起" in page) == (True, False, False)


def test_a_tree_of_ten_levels_goes_down_to_its_last(site: Site, here: Plant) -> None:  # M-2, M-3
    here.make_default(*(f"层级{number}" for number in range(1, 11)))
    parent: EnvironmentNode | None = None
    for number in range(1, 11):
        assert site.get(f"{TREE}/{parent.node_id if parent else MINE_ID}/children").status_code == 200
        parent = node(f"第{number}级", parent)
        here.add(parent, industry_id=MINE_ID)
    assert parent is not None
    page = site.get(TREE).text
    assert acts_of(page, parent) == "移除层级10 第10级"
    assert len(OPENED.findall(page)) == 9
    assert site.get(f"{TREE}/{parent.node_id}/new").status_code == 404


def many(count: int) -> list[EnvironmentNode]:
    return [node(f"面板{number}", REPAIR_STATION) for number in range(count)]


def test_a_small_tree_is_shown_open_and_can_be_closed(site: Site, here: Plant) -> None:  # M-3
    assert len(OPENED.findall(site.get(TREE).text)) == 3
    closed = site.get(f"{TREE}?open=none").text
    assert OPENED.findall(closed) == []
    assert "阵列厂" not in closed
    assert len(OPENED.findall(site.get(f"{TREE}?open=all").text)) == 3


def test_of_a_large_tree_only_what_the_address_opens_is_shown(site: Site, here: Plant) -> None:  # M-3
    here.add(*many(80))
    page = site.get(TREE).text
    assert OPENED.findall(page) == []
    assert words(page).count("二厂区") > 0
    assert "阵列厂" not in page
    page = site.get(f"{TREE}?open={ARRAY_FAB.node_id}").text
    assert OPENED.findall(page) == [str(FACTORY_1.node_id), str(ARRAY_FAB.node_id)]
    assert "65寸面板" not in page
    assert "全部展开" not in page


def test_a_closed_branch_says_how_many_it_holds_and_opens_without_a_script(site: Site, here: Plant) -> None:  # M-3, S-4
    here.add(*many(80))
    page = site.get(f"{TREE}?open={ARRAY_FAB.node_id}").text
    assert re.search(r"修补站</span> <small>站点</small> <span class=\"tree-count\">产品：80</span>", page)
    (address,) = set(re.findall(rf'href="([^"]*open={REPAIR_STATION.node_id}[^"]*)"', page))
    opened = site.get(address.replace("&amp;", "&").partition("#")[0]).text
    assert OPENED.findall(opened) == [str(one.node_id) for one in (FACTORY_1, ARRAY_FAB, REPAIR_STATION)]
    assert "面板79" in opened


def test_the_script_of_the_tree_gets_the_children_alone(site: Site, here: Plant) -> None:  # M-3
    part = site.get(f"{TREE}/{ARRAY_FAB.node_id}/children").text
    assert part.strip().startswith("<ul>")
    assert "<html" not in part
    assert acts_of(part, AOI_STATION) == "添加产品 AOI站 移除产品 AOI站 删除 AOI站"
    assert "65寸面板" not in part
    assert "一厂区" in site.get(f"{TREE}/{INDUSTRY_ID}/children").text
    assert "<li" not in site.get(f"{TREE}/{PANEL_65.node_id}/children").text
    assert site.get(f"{TREE}/{example_id('gone')}/children").status_code == 404


def test_many_siblings_come_in_parts(site: Site, here: Plant) -> None:  # M-3
    here.add(*many(250))
    page = site.get(f"{TREE}?open={REPAIR_STATION.node_id}").text
    assert (page.count('tree-name">面板99<'), page.count('tree-name">面板100<')) == (1, 0)
    assert "显示更多（还有 150 条）" in words(page)
    later = re.search(r'href="([^"]*)" data-more="([^"]*)"', page)
    assert later
    second = site.get(later[1].replace("&amp;", "&").partition("#")[0]).text
    assert (
        second.count('tree-name">面板99<'),
        second.count('tree-name">面板100<'),
        second.count('tree-name">面板199<'),
    ) == (0, 1, 1)
    assert "显示前面的数据" in words(second)
    part = site.get(later[2]).text
    assert (part.count('tree-name">面板100<'), part.count('tree-name">面板200<')) == (1, 0)
    last = site.get(f"{TREE}?from={REPAIR_STATION.node_id}.200").text
    assert ("面板249<" in last, "显示更多" in words(last)) == (True, False)


def test_a_node_far_down_its_siblings_is_shown_where_the_tree_opens_to_it(site: Site, here: Plant) -> None:  # M-3
    panels = many(250)
    here.add(*panels)
    page = site.get(f"{TREE}?open={panels[240].node_id}").text
    assert f'id="node-{panels[240].node_id}"' in page
    assert "面板199<" not in page


@pytest.mark.parametrize(
    "address", ["?open=x", "?from=x.y", "?from=.5", "?open=&from=&search=", "?from=-1", "?page=0&search=x"]
)
def test_an_address_that_asks_for_nonsense_shows_the_tree(site: Site, here: Plant, address: str) -> None:
    assert site.get(TREE + address).status_code == 200


def test_a_search_shows_every_match_with_its_way_and_its_actions(site: Site, here: Plant) -> None:  # M-3
    page = site.get(f"{TREE}?search=aoi").text
    shown = words(page[page.index("<tbody") : page.index("</tbody>")])
    assert shown == "AOI站 站点 一厂区 / 阵列厂 添加产品 AOI站 移除产品 AOI站 删除 AOI站"
    assert f"{TREE}?open={AOI_STATION.node_id}#node-{AOI_STATION.node_id}" in page
    assert "没有名称符合的数据" in words(site.get(f"{TREE}?search=nowhere").text)


def test_a_search_with_many_matches_comes_in_pages(site: Site, here: Plant) -> None:  # M-3
    here.add(*many(120))
    page = site.get(f"{TREE}?search=面板").text
    assert "找到 122 条" in words(page)
    assert "page=3" in page
    assert site.get(f"{TREE}?search=面板&page=3").text.count('<th scope="row">') == 22


# Many at once


def main_of(page: str) -> str:
    return page[page.index("<main") : page.index("</main>")]


def form_id(site: Site, address: str) -> str:
    found = re.search(r'name="form_id" value="([^"]+)"', site.get(address).text)
    assert found
    return found[1]


def test_the_tree_comes_back_open_at_the_first_node_that_was_added(site: Site, here: Plant) -> None:  # M-3
    answer = site.post(f"{TREE}/{ARRAY_FAB.node_id}/new", names="\n涂布站\n曝光站")
    (command,) = site.assay.commands
    assert isinstance(command, AddNodes)
    assert (command.parent_id, command.names) == (ARRAY_FAB.node_id, ("", "涂布站", "曝光站"))
    first = command.node_ids[1]
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{TREE}?open={first}#node-{first}")


def test_a_form_that_is_sent_twice_asks_for_the_same_nodes(site: Site, here: Plant) -> None:  # M-3
    address = f"{TREE}/{ARRAY_FAB.node_id}/new"
    this, other = form_id(site, address), form_id(site, address)
    for sent in (this, this, other):
        assert site.post(address, form_id=sent, names="涂布站\n涂布站").status_code == 303
    once, twice, anew = (command.node_ids for command in site.assay.commands)
    assert once == twice
    assert not set(once) & set(anew)
    assert len(set(once)) == 2
    site.post(address, form_id=this, names="曝光站")
    assert site.assay.commands[-1].node_ids[0] not in once


def test_the_same_names_are_added_below_everything_that_is_ticked(site: Site, here: Plant) -> None:  # M-4
    address = f"{TREE}/{ARRAY_FAB.node_id}/add-to-several"
    page = site.get(address).text
    assert "批量添加产品" in words(page)
    assert re.findall(r'name="node_ids" value="([^"]*)"', page) == [
        str(AOI_STATION.node_id),
        str(REPAIR_STATION.node_id),
    ]
    ticked = [str(AOI_STATION.node_id), str(REPAIR_STATION.node_id)]
    answer = site.post(address, form_id=form_id(site, address), node_ids=["", *ticked], names="43寸面板\n55寸面板")
    assert answer.headers["Location"] == f"{TREE}?open={AOI_STATION.node_id}#node-{AOI_STATION.node_id}"
    (command,) = site.assay.commands
    assert isinstance(command, AddNodesToSeveralParents)
    assert command.parent_ids == (AOI_STATION.node_id, REPAIR_STATION.node_id)
    assert command.names == ("43寸面板", "55寸面板")
    assert len({node_id for node_ids in command.node_ids for node_id in node_ids}) == 4
    assert "已添加 4 个产品" in words(site.get(TREE).text)


def test_problems_are_named_by_child_and_line_and_nothing_entered_is_lost(site: Site, here: Plant) -> None:  # M-4
    taken = NodeNameTakenBelow(line=1, name="65寸面板", parent="AOI站")
    site.assay.refuse_with(Refusals([taken, NodeNameIsInvalid(line=2, name="a/b")]))
    address = f"{TREE}/{ARRAY_FAB.node_id}/add-to-several"
    answer = site.post(address, node_ids=["", str(AOI_STATION.node_id)], names="65寸面板\na/b")
    assert answer.status_code == 422
    assert "第 1 行：“AOI站”下已存在“65寸面板”" in words(answer.text)
    assert "65寸面板\na/b</textarea>" in answer.text
    assert f'value="{AOI_STATION.node_id}" checked' in answer.text
    assert f'value="{REPAIR_STATION.node_id}" checked' not in answer.text


@pytest.mark.parametrize("action", ["add-to-several", "remove-several"])
def test_something_must_be_ticked(site: Site, here: Plant, action: str) -> None:  # M-4
    below = ARRAY_FAB if action == "add-to-several" else AOI_STATION
    if action == "add-to-several":
        site.assay.refuse_with(NothingChosen())
    answer = site.post(f"{TREE}/{below.node_id}/{action}", node_ids=[""], names="43寸面板")
    assert answer.status_code == 422
    assert words(answer.text).count("请至少选择一项。") == 1
    assert site.assay.commands == []


@pytest.mark.parametrize(
    ("action", "below"),
    [
        ("add-to-several", FACTORY_1),
        ("add-to-several", AOI_STATION),
        ("add-to-several", PANEL_65),
        ("remove-several", ARRAY_FAB),
        ("remove-several", PANEL_65),
    ],
)
def test_bulk_actions_exist_only_at_their_level(
    site: Site, here: Plant, action: str, below: EnvironmentNode
) -> None:  # M-4
    assert site.get(f"{TREE}/{below.node_id}/{action}").status_code == 404
    assert site.get(f"{TREE}/{INDUSTRY_ID}/{action}").status_code == 404


def test_with_two_levels_the_bulk_form_above_the_tree_offers_the_first_level(site: Site, here: Plant) -> None:  # M-4
    here.make_default("矿区", "煤样")
    here.add(node("一矿区"), node("二矿区"), industry_id=MINE_ID)
    page = site.get(f"{TREE}/{MINE_ID}/add-to-several").text
    assert re.findall(r"<span>(.矿区)</span>", page) == ["一矿区", "二矿区"]
    site.post(f"{TREE}/{MINE_ID}/add-to-several", node_ids=[str(example_id("一矿区"))], names="煤样1")
    assert site.assay.commands[0].industry_id == MINE_ID


def test_of_very_many_children_those_are_offered_that_have_a_part_of_their_name(site: Site, here: Plant) -> None:  # M-4
    here.add(*many(520))
    address = f"{TREE}/{REPAIR_STATION.node_id}/remove-several"
    page = site.get(address).text
    assert page.count('type="checkbox" name="node_ids"') == 500
    assert "当前列出 500 项，共 520 项" in words(page)
    found = site.get(f"{address}?search=面板51").text
    assert found.count('type="checkbox" name="node_ids"') == 11


# Removals


def bound(here: Plant) -> None:
    """A dataset of 120 images and a model at 65寸面板 and 75寸面板."""
    here.happen(TRAINING_DATASET_ID, TRAINING_DATASET)
    here.happen(MODEL_ID, VERSION_PUBLISHED)


def test_removing_asks_first_and_counts_what_goes_and_what_is_bound_to_it(site: Site, here: Plant) -> None:  # M-3
    bound(here)
    read = words(site.get(f"{TREE}/{ARRAY_FAB.node_id}/remove").text)
    assert "确定删除“阵列厂”及其下属的 4 条生产环境数据吗？" in read
    assert "显示面板 / 一厂区 / 阵列厂" in read
    assert "1 个已绑定的数据集 120 张图片 1 个已绑定的模型" in read
    assert "标记为“已删除”" in read
    read = words(site.get(f"{TREE}/{CELL_FAB.node_id}/remove").text)
    assert "确定删除“成盒厂”吗？" in read
    assert "没有数据与其绑定。" in read
    assert site.assay.commands == []


def test_what_stands_at_the_last_level_is_removed_and_what_stands_above_is_deleted(
    site: Site, here: Plant
) -> None:  # M-4
    asked = words(main_of(site.get(f"{TREE}/{PANEL_65.node_id}/remove").text))
    assert asked.startswith("移除产品 确定移除“65寸面板”吗？")
    assert asked.endswith("移除 取消")
    site.post(f"{TREE}/{PANEL_65.node_id}/remove")
    assert "“65寸面板”已移除。" in words(site.get(TREE).text)
    asked = words(main_of(site.get(f"{TREE}/{CELL_FAB.node_id}/remove").text))
    assert asked.startswith("删除厂别 确定删除“成盒厂”吗？")
    assert asked.endswith("删除 取消")
    site.post(f"{TREE}/{CELL_FAB.node_id}/remove")
    assert "“成盒厂”已删除。" in words(site.get(TREE).text)


def test_a_confirmed_removal_removes_the_node(site: Site, here: Plant) -> None:  # M-3
    answer = site.post(f"{TREE}/{ARRAY_FAB.node_id}/remove")
    assert answer.headers["Location"] == f"{TREE}?open={FACTORY_1.node_id}#node-{FACTORY_1.node_id}"
    (command,) = site.assay.commands
    assert isinstance(command, RemoveNodes)
    assert (command.industry_id, command.node_ids) == (INDUSTRY_ID, (ARRAY_FAB.node_id,))


def gone(here: Plant, *nodes: EnvironmentNode) -> None:
    """Somebody else was faster."""
    node_ids = tuple(one.node_id for one in nodes)
    here.happen(ENVIRONMENT_ID, EnvironmentNodesRemoved(industry_id=INDUSTRY_ID, node_ids=node_ids))


def assert_told_that_it_is_gone(site: Site, answer: httpx.Response, address: str) -> None:
    assert (answer.status_code, answer.headers["Location"]) == (303, address)
    assert "该项此前已被删除或移除。" in words(site.get(TREE).text)
    assert site.assay.commands == []


def test_what_somebody_else_removed_first_is_told_without_an_error(site: Site, here: Plant) -> None:  # M-3
    gone(here, PANEL_65)
    assert_told_that_it_is_gone(site, site.post(f"{TREE}/{PANEL_65.node_id}/remove"), TREE)
    assert_told_that_it_is_gone(site, site.get(f"{TREE}/{PANEL_65.node_id}/remove"), TREE)


@pytest.mark.parametrize("action", ["new", "add-to-several", "remove-several"])
def test_a_form_for_a_place_that_is_gone_leads_to_the_tree(site: Site, here: Plant, action: str) -> None:  # M-4
    gone(here, AOI_STATION, PANEL_65, PANEL_75)
    assert_told_that_it_is_gone(site, site.get(f"{TREE}/{AOI_STATION.node_id}/{action}"), TREE)


def test_a_bulk_removal_that_is_sent_again_is_told_and_removes_nothing(site: Site, here: Plant) -> None:  # M-4
    address, at = f"{TREE}/{AOI_STATION.node_id}/remove-several", f"{TREE}?open={AOI_STATION.node_id}"
    ticked = [str(PANEL_65.node_id), str(PANEL_75.node_id)]
    gone(here, PANEL_65, PANEL_75)
    for act in ("", "remove"):
        assert_told_that_it_is_gone(
            site, site.post(address, act=act, node_ids=ticked), f"{at}#node-{AOI_STATION.node_id}"
        )
    gone(here, AOI_STATION)
    assert_told_that_it_is_gone(site, site.post(address, act="remove", node_ids=ticked), TREE)


def test_a_bulk_removal_asks_about_and_counts_what_is_still_there(site: Site, here: Plant) -> None:  # M-4
    address = f"{TREE}/{AOI_STATION.node_id}/remove-several"
    ticked = [str(PANEL_65.node_id), str(PANEL_75.node_id)]
    gone(here, PANEL_65)
    assert "确定移除 1 个产品吗？" in words(site.post(address, node_ids=ticked).text)
    site.post(address, act="remove", node_ids=ticked)
    assert site.assay.commands[0].node_ids == (PANEL_75.node_id,)
    assert "已移除 1 个产品" in words(site.get(TREE).text)


def test_several_are_removed_after_a_confirmation_that_counts(site: Site, here: Plant) -> None:  # M-4
    bound(here)
    address = f"{TREE}/{AOI_STATION.node_id}/remove-several"
    assert "移除产品" in words(site.get(address).text)
    ticked = [str(PANEL_65.node_id), str(PANEL_75.node_id)]
    asked = site.post(address, node_ids=["", *ticked])
    assert asked.status_code == 200
    assert site.assay.commands == []
    read = words(asked.text)
    assert "确定移除 2 个产品吗？" in read
    assert "65寸面板、75寸面板" in read
    assert "1 个已绑定的数据集 120 张图片 1 个已绑定的模型" in read
    fields = re.findall(r'type="hidden" name="(act|node_ids)" value="([^"]*)"', asked.text)
    assert sorted(fields) == sorted([("act", "remove"), *(("node_ids", one) for one in ticked)])
    answer = site.post(address, act="remove", node_ids=ticked)
    assert answer.headers["Location"] == f"{TREE}?open={AOI_STATION.node_id}#node-{AOI_STATION.node_id}"
    (command,) = site.assay.commands
    assert isinstance(command, RemoveNodes)
    assert command.node_ids == (PANEL_65.node_id, PANEL_75.node_id)
    assert "已移除 2 个产品" in words(site.get(TREE).text)


def test_every_wrong_line_is_told_and_everything_entered_is_kept(site: Site, here: Plant) -> None:  # M-3
    site.assay.refuse_with(Refusals([NodeNameTaken(line=1, name="AOI站"), NodeNameIsInvalid(line=2, name="a/b")]))
    answer = site.post(f"{TREE}/{ARRAY_FAB.node_id}/new", names="AOI站\na/b")
    assert answer.status_code == 422
    assert "第 1 行：“AOI站”在此处已存在，请删除或修改该行。" in answer.text
    assert "第 2 行：“a/b”不是有效的名称。" in answer.text
    assert "AOI站\na/b</textarea>" in answer.text


def test_english_readers_read_english_around_the_names_of_their_plant(site: Site, here: Plant) -> None:  # S-4
    site.post("/language", language="en")
    page = site.get(TREE).text
    assert acts_of(page, ARRAY_FAB) == "Add 站点 阵列厂 Add 产品 to several 阵列厂 Delete 阵列厂"
    assert "8 entries" in words(page)
    read = words(site.get(f"{TREE}/{ARRAY_FAB.node_id}/remove").text)
    assert "Delete “阵列厂” and the 4 entries below it?" in read
    assert "Nothing is bound to it." in read
