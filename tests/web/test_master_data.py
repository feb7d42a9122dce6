"""Master data pages: industries, production environment, task types, compute resources. Super administrators only."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from commands.compute_resources import ChangeComputeResource, CreateComputeResource, DeleteComputeResource
from commands.environments import AddNodes
from commands.industries import ChooseDefaultIndustry, CreateIndustry, DefineLevels, DeleteIndustry
from commands.task_types import CreateTaskType, DeleteTaskType, RenameTaskType
from domain.compute_resources import ComputeResourceKind, QuantityIsWrong
from domain.industries import DefaultIndustryCannotBeDeleted, LevelCountIsFixed, LevelNameRepeated
from domain.messages import Resources
from domain.names import NameTaken
from domain.refusals import NotFound, Refusals
from domain.task_types import TaskKind
from domain.uses import IsInUse
from projections.compute_resources import ComputeResourceRow
from projections.environments import Branch, ChildRow, Concerned, NodeRow, Place
from projections.industries import IndustryRow
from projections.task_types import TaskTypeRow
from tests.examples import (
    FACTORY_1,
    INDUSTRY_ID,
    LEVEL_NAMES,
    ONE_GPU,
    TWO_CORES,
    example_id,
)
from tests.web.site import Site

LONG_AGO = datetime(2025, 3, 3, 8, 0, tzinfo=UTC)
PANELS = IndustryRow(INDUSTRY_ID, "显示面板", LEVEL_NAMES, True, LONG_AGO)
STEEL = IndustryRow(example_id("钢铁"), "钢铁", (), False, LONG_AGO)
TASK_TYPE_ID, RESOURCE_ID = example_id("分类"), example_id("one GPU")


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
    """An empty tree, and 一厂区; `test_environments.py` has a real one."""

    def count(self, _industry_id: UUID) -> int:
        return 0

    child_count = count

    def children(self, _skipped: dict[UUID, int], *, size: int) -> tuple[ChildRow, ...]:  # noqa: ARG002 - the contract's
        return ()

    def tree(self, _industry_id: UUID) -> tuple[NodeRow, ...]:
        return ()

    def ways(self, _node_ids: list[UUID]) -> tuple[Place, ...]:
        return ()

    def branch(self, node_id: UUID) -> Branch | None:
        return Branch(node_id, None, INDUSTRY_ID, ("一厂区",), 0) if node_id == FACTORY_1.node_id else None

    def concerned(self, node_ids: Sequence[UUID]) -> Concerned:
        return Concerned(node_count=len(node_ids), dataset_count=2, image_count=210, model_image_count=1, model_count=0)

    def concerned_by_industry(self, industry_id: UUID) -> Concerned:
        return self.concerned((industry_id,) * (12 if industry_id == STEEL.industry_id else 0))


class FakeList:
    def __init__(self, *rows: Any) -> None:
        self.rows = {getattr(row, row.__struct_fields__[0]): row for row in rows}

    def list(self) -> tuple[Any, ...]:
        return tuple(self.rows.values())

    def get(self, one_id: UUID) -> Any:
        return self.rows.get(one_id)


@pytest.fixture(autouse=True)
def master_data(stranger: Site) -> None:
    stranger.read.industries = FakeIndustries(PANELS, STEEL)
    stranger.read.environments = FakeEnvironments()
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
    f"/industries/{STEEL.industry_id}/delete",
    "/task-types",
    "/task-types/new",
    f"/task-types/{TASK_TYPE_ID}/rename",
    f"/task-types/{TASK_TYPE_ID}/delete",
    "/compute-resources",
    "/compute-resources/new",
    f"/compute-resources/{RESOURCE_ID}/change",
    f"/compute-resources/{RESOURCE_ID}/delete",
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
        f"/environments/{FACTORY_1.node_id}/add-to-several",
        f"/environments/{FACTORY_1.node_id}/remove-several",
        f"/industries/{STEEL.industry_id}/delete",
        "/task-types/new",
        f"/task-types/{TASK_TYPE_ID}/rename",
        f"/task-types/{TASK_TYPE_ID}/delete",
        "/compute-resources/new",
        f"/compute-resources/{RESOURCE_ID}/change",
        f"/compute-resources/{RESOURCE_ID}/delete",
    ],
)
def test_a_model_trainer_can_send_no_management_form(trainer: Site, address: str) -> None:  # U-6
    assert trainer.post(address, name="显示面板", names="一厂区").status_code == 403
    assert trainer.assay.commands == []


@pytest.mark.parametrize(
    "address",
    [
        f"/industries/{example_id('x')}/levels",
        f"/industries/{example_id('x')}/delete",
        f"/task-types/{example_id('x')}/rename",
        f"/task-types/{example_id('x')}/delete",
        f"/compute-resources/{example_id('x')}/change",
        f"/compute-resources/{example_id('x')}/delete",
    ],
)
def test_whoever_opens_the_page_of_what_is_gone_is_told_so_in_the_list(site: Site, address: str) -> None:
    answer = site.get(address)
    slice_address = "/" + address.split("/")[1]
    assert (answer.status_code, answer.headers["Location"]) == (303, slice_address)
    assert "该项此前已被删除或移除。" in site.get(slice_address).text


SECOND_PRESSES = [
    f"/industries/{example_id('x')}/levels",
    f"/industries/{example_id('x')}/default",
    f"/industries/{example_id('x')}/delete",
    f"/task-types/{example_id('x')}/rename",
    f"/task-types/{example_id('x')}/delete",
    f"/compute-resources/{example_id('x')}/change",
    f"/compute-resources/{example_id('x')}/delete",
]


def assert_told_that_it_is_gone(site: Site, address: str, **fields: str) -> None:
    answer = site.post(address, **fields)
    the_list = f"/{address.split('/')[1]}"
    assert (answer.status_code, answer.headers["Location"]) == (303, the_list)
    assert "该项此前已被删除或移除。" in site.get(the_list).text
    assert site.assay.commands == []


@pytest.mark.parametrize("address", SECOND_PRESSES)
def test_what_another_tab_deleted_first_is_told_without_an_error(site: Site, address: str) -> None:  # M-1, M-5, M-6
    assert_told_that_it_is_gone(site, address, name="亮点", level_names="工厂", kind="general_purpose")


@pytest.mark.parametrize(
    ("address", "fields"),
    [
        (f"/industries/{STEEL.industry_id}/levels", {"level_names": "工厂"}),
        (f"/industries/{STEEL.industry_id}/default", {}),
        (f"/industries/{STEEL.industry_id}/delete", {}),
        (f"/task-types/{TASK_TYPE_ID}/rename", {"name": "亮点"}),
        (f"/task-types/{TASK_TYPE_ID}/delete", {}),
        (
            f"/compute-resources/{RESOURCE_ID}/change",
            {"kind": "general_purpose", "cpu_cores": "2", "memory_gib": "4"},
        ),
        (f"/compute-resources/{RESOURCE_ID}/delete", {}),
        ("/industries/new", {"name": "半导体"}),
        ("/task-types/new", {"name": "亮点", "kind": "classification"}),
        ("/compute-resources/new", {"kind": "general_purpose", "cpu_cores": "2", "memory_gib": "4"}),
    ],
)
def test_what_is_deleted_at_the_same_moment_is_told_without_an_error(
    site: Site, address: str, fields: dict[str, str]
) -> None:  # M-1, M-5, M-6
    site.assay.refuse_with(NotFound())
    assert_told_that_it_is_gone(site, address, **fields)


def test_whoever_only_hears_a_row_hears_what_each_act_is_about(site: Site) -> None:  # S-4
    gpu = "GPU型 · 8 核 · 32 GiB · 1 卡 × 24 GiB"
    for address, name, acts in (
        ("/industries", "钢铁", ("添加生产环境层级", "设为默认", "删除")),
        ("/task-types", "缺陷分割", ("重命名", "删除")),
        ("/compute-resources", gpu, ("更改配置", "删除")),
    ):
        page = site.get(address).text
        for act in acts:
            assert f'>{act}<span class="visually-hidden"> {name}</span></' in page, (address, act)


@pytest.mark.parametrize("address", ["/industries", "/task-types", "/compute-resources"])
def test_an_empty_list_opens_the_same_dialog_as_the_button_above(site: Site, address: str) -> None:
    site.read.industries, site.read.task_types, site.read.compute_resources = FakeIndustries(), FakeList(), FakeList()
    page = site.get(address).text
    assert len(re.findall(rf'<a class="button primary" href="{address}/new" data-dialog>', page)) == 2


# Industries


def test_the_list_marks_the_default_and_offers_to_make_the_others_default(site: Site) -> None:  # M-1
    page = site.get("/industries").text
    assert words(page).count("默认行业") == 2  # the caption, and one badge
    assert f"/industries/{STEEL.industry_id}/default" in page
    assert f"/industries/{INDUSTRY_ID}/default" not in page


def test_a_row_expands_to_its_levels(site: Site) -> None:  # M-1
    assert re.search(
        r"<summary>4 级<span[^>]*> 显示面板</span></summary>\s*<ol[^>]*><li>工厂</li><li>厂别</li><li>站点</li><li>产品</li>",
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


def test_saved_levels_can_neither_be_added_to_nor_removed(site: Site) -> None:  # M-2
    page = site.get(f"/industries/{INDUSTRY_ID}/levels").text
    assert level_fields(page) == list(LEVEL_NAMES)
    assert "已保存的层级只允许修改名称，不可增减。" in words(page)
    assert not re.search(r'name="act"', page)
    site.post(f"/industries/{INDUSTRY_ID}/levels", level_names=LEVEL_NAMES, act="add")
    (command,) = site.assay.commands  # the rules decide; the page adds no field
    assert command.level_names == LEVEL_NAMES


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


def test_deleting_an_industry_asks_first_and_says_what_goes_with_it(site: Site) -> None:  # M-1
    page = site.get("/industries").text
    assert f"/industries/{STEEL.industry_id}/delete" in page
    assert f"/industries/{INDUSTRY_ID}/delete" not in page
    read = words(site.get(f"/industries/{STEEL.industry_id}/delete").text)
    assert "确定删除行业“钢铁”吗？" in read
    assert "12 条生产环境数据 2 个已绑定的数据集 210 张图片 1 个已绑定的模型镜像" in read
    assert site.assay.commands == []
    assert site.post(f"/industries/{STEEL.industry_id}/delete").headers["Location"] == "/industries"
    (command,) = site.assay.commands
    assert isinstance(command, DeleteIndustry)
    assert command.industry_id == STEEL.industry_id


def test_the_default_industry_stays_and_the_page_says_what_to_do(site: Site) -> None:  # M-1
    site.assay.refuse_with(DefaultIndustryCannotBeDeleted(name="显示面板"))
    answer = site.post(f"/industries/{INDUSTRY_ID}/delete")
    assert answer.status_code == 422
    assert "“显示面板”是默认行业，不可删除。请先将其他行业设为默认" in words(answer.text)


@pytest.mark.parametrize(
    ("address", "fields", "other"),
    [
        ("/industries/new", {"name": "半导体"}, {"name": "采矿"}),
        ("/task-types/new", {"name": "亮点", "kind": "classification"}, {"name": "暗点", "kind": "classification"}),
        (
            "/compute-resources/new",
            {"kind": "general_purpose", "cpu_cores": "2", "memory_gib": "4"},
            {"kind": "general_purpose", "cpu_cores": "3", "memory_gib": "4"},
        ),
    ],
)
def test_a_form_that_is_sent_twice_asks_for_the_same_thing(
    site: Site, address: str, fields: dict[str, str], other: dict[str, str]
) -> None:  # M-1, M-5, M-6
    found = re.search(r'name="form_id" value="([^"]+)"', site.get(address).text)
    assert found
    for sent in (fields, fields, other):
        assert site.post(address, form_id=found[1], **sent).status_code == 303
    once, twice, anew = (msgspec.structs.asdict(command) for command in site.assay.commands)
    assert {**once, "request": ""} == {**twice, "request": ""}
    made = next(name for name in once if name.endswith("_id"))
    assert anew[made] != once[made]


# Production environment


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


def test_names_go_to_the_industry_that_the_form_showed(site: Site) -> None:  # M-1
    other_default = IndustryRow(STEEL.industry_id, "钢铁", ("炼钢厂",), True, LONG_AGO)
    site.read.industries = FakeIndustries(
        IndustryRow(INDUSTRY_ID, "显示面板", LEVEL_NAMES, False, LONG_AGO), other_default
    )
    site.post("/environments/new", industry_id=str(INDUSTRY_ID), names="三厂区")
    assert site.assay.commands[0].industry_id == INDUSTRY_ID


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


def test_a_task_type_is_renamed(site: Site) -> None:  # M-5
    address = f"/task-types/{TASK_TYPE_ID}/rename"
    assert address in site.get("/task-types").text
    page = site.get(address).text
    assert 'value="分类"' in page
    assert "保留创建时的任务类型名称" in words(page)
    assert site.post(address, name="缺陷分类").headers["Location"] == "/task-types"
    (command,) = site.assay.commands
    assert isinstance(command, RenameTaskType)
    assert (command.task_type_id, command.name) == (TASK_TYPE_ID, "缺陷分类")
    assert "任务类型“分类”已重命名为“缺陷分类”。" in site.get("/task-types").text


def test_a_taken_name_of_a_task_type_is_told_beside_its_field(site: Site) -> None:  # M-5
    site.assay.refuse_with(NameTaken(name="缺陷分割"))
    answer = site.post(f"/task-types/{TASK_TYPE_ID}/rename", name="缺陷分割")
    assert answer.status_code == 422
    assert re.search(r'id="name-error"[^>]*>名称“缺陷分割”已被使用', answer.text)


@pytest.mark.parametrize(
    ("address", "command_type", "question"),
    [
        (f"/task-types/{TASK_TYPE_ID}/delete", DeleteTaskType, "确定删除任务类型“分类”吗？"),
        (
            f"/compute-resources/{RESOURCE_ID}/delete",
            DeleteComputeResource,
            "确定删除计算资源配置“GPU型 · 8 核 · 32 GiB · 1 卡 × 24 GiB”吗？",
        ),
    ],
)
def test_deletion_asks_first_and_names_the_jobs_that_need_it(
    site: Site, address: str, command_type: type, question: str
) -> None:  # M-5, M-6
    assert question in words(site.get(address).text)
    site.assay.refuse_with(IsInUse(count=2, names="“panel-a”, “panel-b”"))
    answer = site.post(address)
    assert answer.status_code == 422
    assert "有 2 个等待中或运行中的任务正在使用：“panel-a”, “panel-b”。" in words(answer.text)
    assert site.assay.commands == []
    assert site.post(address).status_code == 303
    assert isinstance(site.assay.commands[0], command_type)


# Compute resources


def test_the_list_of_compute_resources_shows_every_quantity(site: Site) -> None:  # M-6
    read = words(site.get("/compute-resources").text)
    assert "通用型 2 4 GiB — —" in read
    assert "GPU型 8 32 GiB 1 24 GiB" in read


def test_a_gpu_resource_has_cards_and_memory(site: Site) -> None:  # M-6
    fields = {"cpu_cores": "8", "memory_gib": "31.5", "gpu_cards": "2", "gpu_memory_gib": "24"}
    answer = site.post("/compute-resources/new", kind="gpu", **fields)
    assert answer.headers["Location"] == "/compute-resources"
    assert "计算资源配置“GPU型 · 8 核 · 31.5 GiB · 2 卡 × 24 GiB”已创建。" in site.get("/compute-resources").text
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
    assert re.search(r'id="cpu_cores-error"[^>]*>请输入 1 到 1,024 之间的数值。', answer.text)


def test_a_compute_resource_is_changed_from_what_it_is(site: Site) -> None:  # M-6
    address = f"/compute-resources/{RESOURCE_ID}/change"
    assert address in site.get("/compute-resources").text
    page = site.get(address).text
    entered = dict(re.findall(r'name="(\w+)" value="([^"]*)" autocomplete', page))
    assert entered == {"cpu_cores": "8", "memory_gib": "32", "gpu_cards": "1", "gpu_memory_gib": "24"}
    assert "修改后立即生效，对等待中的任务同样有效" in words(page)
    assert site.post(address, kind="gpu", **(entered | {"gpu_cards": "2"})).headers["Location"] == "/compute-resources"
    changed = (
        "计算资源配置“GPU型 · 8 核 · 32 GiB · 1 卡 × 24 GiB”已更改为“GPU型 · 8 核 · 32 GiB · 2 卡 × 24 GiB”，立即生效。"
    )
    assert changed in site.get("/compute-resources").text
    site.post(address, kind="general_purpose", **entered)
    gpu, general = site.assay.commands
    assert isinstance(gpu, ChangeComputeResource)
    assert gpu.resources == Resources(cpu_cores=8, memory_gib=32, gpu_cards=2, gpu_memory_gib=24)
    assert general.resources == Resources(cpu_cores=8, memory_gib=32)


def test_a_deleted_compute_resource_has_no_pages(site: Site) -> None:  # M-6
    gone = ComputeResourceRow(RESOURCE_ID, ONE_GPU.kind, ONE_GPU.resources, LONG_AGO, is_deleted=True)
    site.read.compute_resources = FakeList(gone)
    for act in ("change", "delete"):
        assert site.get(f"/compute-resources/{RESOURCE_ID}/{act}").headers["Location"] == "/compute-resources"
