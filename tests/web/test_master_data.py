"""Master data pages: industries, production environment, task types, compute resources. Super administrators only."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest

from commands.compute_resources import CreateComputeResource
from commands.environments import AddNodes, RemoveNodes
from commands.industries import ChooseDefaultIndustry, CreateIndustry, DefineLevels
from commands.task_types import CreateTaskType
from domain.compute_resources import ComputeResourceKind, QuantityIsWrong
from domain.environments import NodeNameIsInvalid, NodeNameTaken
from domain.industries import LevelNameRepeated, LevelCountIsFixed
from domain.messages import Resources
from domain.names import NameTaken
from domain.refusals import Refusals
from domain.task_types import TaskKind
from projections.compute_resources import ComputeResourceRow
from projections.environments import Branch, NodeRow
from projections.industries import IndustryRow
from projections.task_types import TaskTypeRow
from tests.examples import (
    AOI_STATION,
    ARRAY_FAB,
    FACTORY_1,
    INDUSTRY_ID,
    LEVEL_NAMES,
    ONE_GPU,
    PANEL_65,
    TWO_CORES,
    example_id,
)
from tests.web.site import Site

LONG_AGO = datetime(2025, 3, 3, 8, 0, tzinfo=UTC)
PANELS = IndustryRow(INDUSTRY_ID, "显示面板", LEVEL_NAMES, True, LONG_AGO)
STEEL = IndustryRow(example_id("钢铁"), "钢铁", (), False, LONG_AGO)
NODES = (
    NodeRow(FACTORY_1.node_id, None, "一厂区", 0),
    NodeRow(ARRAY_FAB.node_id, FACTORY_1.node_id, "阵列厂", 1),
    NodeRow(AOI_STATION.node_id, ARRAY_FAB.node_id, "AOI站", 2),
    NodeRow(PANEL_65.node_id, AOI_STATION.node_id, "65寸面板", 3),
)


class FakeIndustries:
    def __init__(self, *rows: IndustryRow) -> None:
        self.rows = rows

    def list(self) -> tuple[IndustryRow, ...]:
        return self.rows

    def get(self, industry_id: UUID) -> IndustryRow | None:
        return next((row for row in self.rows if row.industry_id == industry_id), None)

    def default(self) -> IndustryRow | None:
        return next((row for row in self.rows if row.is_default), None)


class FakeEnvironments:
    def __init__(self, nodes: Sequence[NodeRow] = ()) -> None:
        self.nodes = tuple(nodes)

    def tree(self, industry_id: UUID) -> tuple[NodeRow, ...]:
        return self.nodes if industry_id == INDUSTRY_ID else ()

    def branch(self, node_id: UUID) -> Branch | None:
        """The example tree is one line, so everything behind a node lies below it."""
        places = [place for place, node in enumerate(self.nodes) if node.node_id == node_id]
        if not places:
            return None
        names = tuple(node.name for node in self.nodes[: places[0] + 1])
        below_count = len(self.nodes) - len(names)
        return Branch(node_id, self.nodes[places[0]].parent_id, INDUSTRY_ID, names, below_count)


class FakeList:
    def __init__(self, *rows: object) -> None:
        self.rows = rows

    def list(self) -> tuple[object, ...]:
        return self.rows


@pytest.fixture(autouse=True)
def master_data(stranger: Site) -> None:
    stranger.read.industries = FakeIndustries(PANELS, STEEL)
    stranger.read.environments = FakeEnvironments(NODES)
    stranger.read.task_types = FakeList(
        TaskTypeRow(example_id("分类"), "分类", TaskKind.CLASSIFICATION, LONG_AGO),
        TaskTypeRow(example_id("分割"), "缺陷分割", TaskKind.SEGMENTATION_AND_CLASSIFICATION, LONG_AGO),
    )
    stranger.read.compute_resources = FakeList(
        ComputeResourceRow(example_id("two cores"), TWO_CORES.kind, TWO_CORES.resources, LONG_AGO),
        ComputeResourceRow(example_id("one GPU"), ONE_GPU.kind, ONE_GPU.resources, LONG_AGO),
    )


def words(html: str) -> str:
    """What a reader sees of a page."""
    main = html[html.index("<main") : html.index("</main>")]
    return " ".join(re.sub(r"<[^>]+>", " ", main).split())


PAGES = (
    "/industries",
    "/industries/new",
    f"/industries/{INDUSTRY_ID}/levels",
    "/environments",
    "/environments/new",
    f"/environments/{FACTORY_1.node_id}/new",
    f"/environments/{FACTORY_1.node_id}/remove",
    "/task-types",
    "/task-types/new",
    "/compute-resources",
    "/compute-resources/new",
)


@pytest.mark.parametrize("address", PAGES)
def test_a_model_trainer_sees_no_management_page(trainer: Site, address: str) -> None:  # U, master data
    assert trainer.get(address).status_code == 403


@pytest.mark.parametrize("address", PAGES)
def test_a_super_administrator_sees_every_management_page(site: Site, address: str) -> None:
    assert site.get(address).status_code == 200


@pytest.mark.parametrize(
    "address",
    [
        "/industries/new",
        f"/industries/{INDUSTRY_ID}/levels",
        f"/industries/{STEEL.industry_id}/default",
        "/environments/new",
        f"/environments/{FACTORY_1.node_id}/new",
        f"/environments/{FACTORY_1.node_id}/remove",
        "/task-types/new",
        "/compute-resources/new",
    ],
)
def test_a_model_trainer_can_send_no_management_form(trainer: Site, address: str) -> None:  # U-6
    assert trainer.post(address, name="显示面板", names="一厂区").status_code == 403
    assert trainer.assay.commands == []


@pytest.mark.parametrize("address", [f"/industries/{example_id('x')}/levels", f"/environments/{example_id('x')}/new"])
def test_what_does_not_exist_is_not_found(site: Site, address: str) -> None:
    assert site.get(address).status_code == 404
    assert site.post(address, names="一厂区", level_names="工厂").status_code == 404


# Industries


def test_the_list_marks_the_default_and_offers_to_make_the_others_default(site: Site) -> None:  # M-1
    page = site.get("/industries").text
    assert words(page).count("默认行业") == 2  # the caption, and one badge
    assert f"/industries/{STEEL.industry_id}/default" in page
    assert f"/industries/{INDUSTRY_ID}/default" not in page


def test_a_row_expands_to_its_levels(site: Site) -> None:  # M-1
    assert re.search(
        r"<summary>4 级</summary>\s*<ol[^>]*><li>工厂</li><li>厂别</li><li>站点</li><li>产品</li>",
        site.get("/industries").text,
    )


def test_a_new_industry_leads_back_to_the_list(site: Site) -> None:  # M-1
    answer = site.post("/industries/new", name=" 半导体 ")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/industries")
    (command,) = site.assay.commands
    assert isinstance(command, CreateIndustry)
    assert (command.name, command.actor) == ("半导体", site.account.user_id if site.account else None)


def test_a_taken_name_is_told_beside_its_field_and_kept(site: Site) -> None:  # M-1
    site.assay.refuse_with(NameTaken(name="显示面板"))
    answer = site.post("/industries/new", name="显示面板")
    assert answer.status_code == 422
    assert 'value="显示面板"' in answer.text
    assert "名称“显示面板”已被使用，请换一个名称。" in answer.text


def test_an_industry_becomes_the_default(site: Site) -> None:  # M-1
    assert site.post(f"/industries/{STEEL.industry_id}/default").status_code == 303
    (command,) = site.assay.commands
    assert isinstance(command, ChooseDefaultIndustry)
    assert command.industry_id == STEEL.industry_id


def level_fields(html: str) -> list[str]:
    return re.findall(r'<input name="level_names" value="([^"]*)"', html)


def test_adding_a_level_shows_one_field_more_and_saves_nothing(site: Site) -> None:  # M-2, S-4
    answer = site.post(f"/industries/{STEEL.industry_id}/levels", level_names=["炼钢厂"], act="add")
    assert answer.status_code == 200
    assert level_fields(answer.text) == ["炼钢厂", ""]
    assert site.assay.commands == []


def test_while_adding_only_the_last_level_can_be_removed(site: Site) -> None:  # M-2
    answer = site.post(
        f"/industries/{STEEL.industry_id}/levels", level_names=["炼钢厂", "热轧线", "卷号"], act="remove"
    )
    assert level_fields(answer.text) == ["炼钢厂", "热轧线"]
    assert site.assay.commands == []


def test_saved_levels_offer_no_removal(site: Site) -> None:  # M-2
    page = site.get(f"/industries/{INDUSTRY_ID}/levels").text
    assert level_fields(page) == list(LEVEL_NAMES)
    assert 'value="add"' in page
    assert 'value="remove"' not in page
    assert 'value="remove"' in site.post(f"/industries/{INDUSTRY_ID}/levels", level_names=LEVEL_NAMES, act="add").text


def test_ten_levels_offer_no_further_one(site: Site) -> None:  # M-2
    nine = [f"层级{number}" for number in range(1, 10)]
    answer = site.post(f"/industries/{STEEL.industry_id}/levels", level_names=nine, act="add")
    assert len(level_fields(answer.text)) == 10
    assert 'value="add"' not in answer.text


def test_saving_leaves_out_fields_that_were_added_and_not_used(site: Site) -> None:  # M-2
    site.post(f"/industries/{STEEL.industry_id}/levels", level_names=["炼钢厂", " 热轧线 ", "", " "])
    (command,) = site.assay.commands
    assert isinstance(command, DefineLevels)
    assert command.level_names == ("炼钢厂", "热轧线")


def test_refused_levels_are_shown_as_they_were_entered(site: Site) -> None:  # M-2
    site.assay.refuse_with(Refusals([LevelCountIsFixed(count=4), LevelNameRepeated(name="工厂")]))
    answer = site.post(f"/industries/{INDUSTRY_ID}/levels", level_names=["工厂", "工厂"])
    assert answer.status_code == 422
    assert level_fields(answer.text) == ["工厂", "工厂"]
    assert "已保存的 4 级层级只能修改名称，请为每一级填写名称，不可增减层级。" in answer.text
    assert "层级名称“工厂”重复，请为每一级填写不同的名称。" in answer.text


# Production environment


def test_every_label_of_the_tree_comes_from_the_level_names(site: Site) -> None:  # M-3
    read = words(site.get("/environments").text)
    for label in ("新建工厂", "添加厂别", "添加站点", "添加产品", "移除产品"):
        assert label in read
    mine = IndustryRow(INDUSTRY_ID, "采矿", ("矿区", "矿井", "工作面", "煤样"), True, LONG_AGO)
    site.read.industries = FakeIndustries(mine)
    read = words(site.get("/environments").text)
    for label in ("新建矿区", "添加矿井", "添加工作面", "添加煤样", "移除煤样"):
        assert label in read
    assert "厂别" not in read


def test_only_the_last_level_has_nothing_to_add_below(site: Site) -> None:  # M-3
    page = site.get("/environments").text
    assert f"/environments/{AOI_STATION.node_id}/new" in page
    assert f"/environments/{PANEL_65.node_id}/new" not in page
    assert site.get(f"/environments/{PANEL_65.node_id}/new").status_code == 404


def test_a_small_tree_is_shown_open_and_can_be_closed(site: Site) -> None:  # M-3
    assert len(re.findall(r"<details data-key=[^>]* open>", site.get("/environments").text)) == 3
    assert len(re.findall(r"<details data-key=[^>]* open>", site.get("/environments?open=none").text)) == 0


def test_a_large_tree_opens_only_down_to_the_node_that_was_changed(site: Site) -> None:  # M-3
    many = [NodeRow(example_id(f"厂区{number}"), None, f"厂区{number}", 0) for number in range(100)]
    site.read.environments = FakeEnvironments([*NODES, *many])
    assert "data-key" in site.get("/environments").text
    assert not re.search(r"<details data-key=[^>]* open>", site.get("/environments").text)
    page = site.get(f"/environments?open={ARRAY_FAB.node_id}").text
    assert re.findall(r'<details data-key="([^"]*)" open>', page) == [str(FACTORY_1.node_id), str(ARRAY_FAB.node_id)]


def test_without_an_industry_the_page_says_what_to_do_first(site: Site) -> None:  # M-7
    site.read.industries = FakeIndustries()
    page = site.get("/environments").text
    assert "/industries/new" in page
    assert "/environments/new" not in page


def test_without_levels_the_page_leads_to_them(site: Site) -> None:  # M-7
    site.read.industries = FakeIndustries(IndustryRow(STEEL.industry_id, "钢铁", (), True, LONG_AGO))
    page = site.get("/environments").text
    assert f"/industries/{STEEL.industry_id}/levels" in page
    assert "/environments/new" not in page


def test_many_names_are_added_at_once_to_the_first_level(site: Site) -> None:  # M-3
    answer = site.post("/environments/new", industry_id=str(INDUSTRY_ID), names="三厂区\r\n四厂区")
    assert answer.status_code == 303
    (command,) = site.assay.commands
    assert isinstance(command, AddNodes)
    assert (command.industry_id, command.parent_id, command.names) == (INDUSTRY_ID, None, ("三厂区", "四厂区"))
    assert len(set(command.node_ids)) == 2


def test_the_tree_comes_back_open_where_nodes_were_added(site: Site) -> None:  # M-3
    answer = site.post(f"/environments/{ARRAY_FAB.node_id}/new", names="涂布站")
    where = f"/environments?open={ARRAY_FAB.node_id}#node-{ARRAY_FAB.node_id}"
    assert (answer.status_code, answer.headers["Location"]) == (303, where)
    assert site.assay.commands[0].parent_id == ARRAY_FAB.node_id


def test_blank_lines_keep_their_number_so_that_a_wrong_line_is_named_as_the_person_counts(site: Site) -> None:  # M-3
    site.post(f"/environments/{ARRAY_FAB.node_id}/new", names="涂布站\n\n曝光站")
    (command,) = site.assay.commands
    assert command.names == ("涂布站", "", "曝光站")
    assert len(command.node_ids) == 3


def test_every_wrong_line_is_told_and_everything_entered_is_kept(site: Site) -> None:  # M-3
    site.assay.refuse_with(Refusals([NodeNameTaken(line=1, name="AOI站"), NodeNameIsInvalid(line=2, name="a/b")]))
    answer = site.post(f"/environments/{ARRAY_FAB.node_id}/new", names="AOI站\na/b")
    assert answer.status_code == 422
    assert "第 1 行：“AOI站”在此处已存在，请删除或修改该行。" in answer.text
    assert "第 2 行：“a/b”不是有效的名称。" in answer.text
    assert "AOI站\na/b</textarea>" in answer.text


def test_names_go_to_the_industry_that_the_form_showed(site: Site) -> None:  # M-1
    other_default = IndustryRow(STEEL.industry_id, "钢铁", ("炼钢厂",), True, LONG_AGO)
    site.read.industries = FakeIndustries(
        IndustryRow(INDUSTRY_ID, "显示面板", LEVEL_NAMES, False, LONG_AGO), other_default
    )
    site.post("/environments/new", industry_id=str(INDUSTRY_ID), names="三厂区")
    assert site.assay.commands[0].industry_id == INDUSTRY_ID


def test_removing_asks_first_and_counts_what_goes(site: Site) -> None:  # M-3
    read = words(site.get(f"/environments/{ARRAY_FAB.node_id}/remove").text)
    assert "确定删除“阵列厂”及其下属的 2 条生产环境数据吗？" in read
    assert "一厂区 / 阵列厂" in read
    assert "确定删除“65寸面板”吗？" in words(site.get(f"/environments/{PANEL_65.node_id}/remove").text)
    assert site.assay.commands == []


def test_a_confirmed_removal_removes_the_node(site: Site) -> None:  # M-3
    answer = site.post(f"/environments/{ARRAY_FAB.node_id}/remove")
    assert answer.headers["Location"] == f"/environments?open={FACTORY_1.node_id}#node-{FACTORY_1.node_id}"
    (command,) = site.assay.commands
    assert isinstance(command, RemoveNodes)
    assert (command.industry_id, command.node_ids) == (INDUSTRY_ID, (ARRAY_FAB.node_id,))


# Task types


def test_the_list_of_task_types_says_the_kind(site: Site) -> None:  # M-5
    read = words(site.get("/task-types").text)
    assert "缺陷分割 分割分类" in read
    assert "分类 分类" in read


def test_a_new_task_type_has_a_name_and_a_kind(site: Site) -> None:  # M-5
    answer = site.post("/task-types/new", name="亮点分类", kind="segmentation_and_classification")
    assert answer.headers["Location"] == "/task-types"
    (command,) = site.assay.commands
    assert isinstance(command, CreateTaskType)
    assert (command.name, command.kind) == ("亮点分类", TaskKind.SEGMENTATION_AND_CLASSIFICATION)


def test_a_kind_that_is_not_offered_is_refused(site: Site) -> None:  # M-5
    answer = site.post("/task-types/new", name="亮点分类", kind="regression")
    assert answer.status_code == 422
    assert site.assay.commands == []


# Compute resources


def test_the_list_of_compute_resources_shows_every_quantity(site: Site) -> None:  # M-6
    read = words(site.get("/compute-resources").text)
    assert "通用型 2 4 GiB — —" in read
    assert "GPU型 8 32 GiB 1 24 GiB" in read


def test_a_gpu_resource_has_cards_and_memory(site: Site) -> None:  # M-6
    fields = {"cpu_cores": "8", "memory_gib": "31.5", "gpu_cards": "2", "gpu_memory_gib": "24"}
    answer = site.post("/compute-resources/new", kind="gpu", **fields)
    assert answer.headers["Location"] == "/compute-resources"
    (command,) = site.assay.commands
    assert isinstance(command, CreateComputeResource)
    assert command.kind is ComputeResourceKind.GPU
    assert command.resources == Resources(cpu_cores=8, memory_gib=31.5, gpu_cards=2, gpu_memory_gib=24)


def test_a_general_purpose_resource_leaves_the_gpu_fields_empty(site: Site) -> None:  # M-6
    fields = {"cpu_cores": "2", "memory_gib": "4", "gpu_cards": "", "gpu_memory_gib": ""}
    site.post("/compute-resources/new", kind="general_purpose", **fields)
    assert site.assay.commands[0].resources == Resources(cpu_cores=2, memory_gib=4)


def test_every_field_that_is_no_number_is_told_at_once(site: Site) -> None:  # M-6
    fields = {"cpu_cores": "two", "memory_gib": "nan", "gpu_cards": "1.5", "gpu_memory_gib": "24"}
    answer = site.post("/compute-resources/new", kind="gpu", **fields)
    assert answer.status_code == 422
    assert site.assay.commands == []
    for field in ("cpu_cores", "memory_gib", "gpu_cards"):
        assert f'id="{field}-error"' in answer.text
    assert 'id="gpu_memory_gib-error"' not in answer.text
    assert 'value="two"' in answer.text


def test_a_quantity_out_of_range_is_told_beside_its_field(site: Site) -> None:  # M-6
    site.assay.refuse_with(QuantityIsWrong(at="cpu_cores", least=1, most=1024))
    answer = site.post("/compute-resources/new", kind="general_purpose", cpu_cores="0", memory_gib="4")
    assert re.search(r'id="cpu_cores-error"[^>]*>请输入 1 到 1024 之间的数值。', answer.text)


def test_english_readers_read_english_around_the_names_of_their_plant(site: Site) -> None:  # S-4
    site.post("/language", language="en")
    read = words(site.get("/environments").text)
    for label in ("New 工厂", "Add 厂别", "Remove 产品", "4 entries"):
        assert label in read
    assert "Delete “阵列厂” and the 2 entries below it?" in words(
        site.get(f"/environments/{ARRAY_FAB.node_id}/remove").text
    )
