"""训练数据集 and 题库数据集 as people meet them: D-1 to D-9, S-4. Every form here is sent as a browser without scripts sends it."""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

import httpx
import msgspec
import pytest

from commands.datasets import (
    AddDataPaths,
    CreateDataset,
    DeleteDataset,
    InspectDataPath,
    InspectDataPaths,
    RemoveDataPaths,
)
from domain.data_paths import DataPathProblem, DataPathState, FolderName, Inspection
from domain.datasets import DataPathIsInvalid, DatasetPurpose
from domain.environments import EnvironmentChoiceIsIncomplete
from domain.names import NameTaken, ObjectNameIsInvalid
from domain.refusals import NotFound, Refusals
from domain.sentences import Sentence
from infra.images import ListedImage, ListedImages
from projections.datasets import DataPathRow, DatasetDetail, ScanningPath
from projections.overview import SetupSteps
from projections.read_model import Page
from tests.examples import (
    BINDING,
    FACTORY_2,
    PANEL_65,
    PANEL_75,
    QUESTION_BANK_ID,
    TRAINING_DATASET_ID,
    TRAINING_FOLDER,
    TRAINING_PATH_ID,
    KnownFolders,
    example_id,
    inspection,
)
from tests.web.places import PANELS, FakeEnvironments, FakeIndustries
from tests.web.reading import words
from tests.web.site import QUALITY_LEAD, Site
from web.services import Services

NEXT_LINE = FolderName("data", "panel-a/next-line")
TYPED = {"/data/panel-a/train": inspection(), "/data/panel-a/next-line": inspection(NEXT_LINE, images_per_code=2)}
WRONG_IN_CHINESE = "校验数据集路径失败：路径有误"


def row(path_id: UUID, found: Inspection) -> DataPathRow:
    return DataPathRow(path_id=path_id, **{name: getattr(found, name) for name in found.__struct_fields__})


DATASET = DatasetDetail(
    dataset_id=TRAINING_DATASET_ID,
    name="panel-a-training",
    purpose=DatasetPurpose.TRAINING,
    environment=BINDING,
    path_count=2,
    image_count=126,
    changed_by="trainer_wang",
    changed_at=datetime(2026, 3, 1, 0, 30, tzinfo=UTC),
    paths=(
        row(TRAINING_PATH_ID, inspection()),
        row(example_id("next"), msgspec.structs.replace(inspection(NEXT_LINE, images_per_code=2), damaged_count=3)),
    ),
)


class FakeDatasets:
    def __init__(self, *datasets: DatasetDetail) -> None:
        self.datasets = list(datasets)
        self.asked: dict[str, Any] = {}

    def page(self, purpose: DatasetPurpose, **asked: Any) -> Page[DatasetDetail]:
        self.asked = {"purpose": purpose, **asked}
        found = tuple(one for one in self.datasets if one.purpose is purpose and asked["search"] in one.name)
        return Page(items=found, total=45 if found else 0, number=1, size=20)

    def get(self, dataset_id: UUID) -> DatasetDetail | None:
        return next((one for one in self.datasets if one.dataset_id == dataset_id), None)

    def head(self, dataset_id: UUID) -> DatasetDetail | None:
        return self.get(dataset_id)

    def paths(self, dataset_id: UUID, *, page: int, size: int) -> Page[DataPathRow]:
        dataset = self.get(dataset_id)
        assert dataset is not None
        rows = dataset.paths[(page - 1) * size : page * size]
        return Page(items=rows, total=len(dataset.paths), number=page, size=size)

    def path(self, dataset_id: UUID, path_id: UUID) -> DataPathRow | None:
        dataset = self.get(dataset_id)
        return next((one for one in dataset.paths if one.path_id == path_id), None) if dataset else None

    def chosen_paths(self, dataset_id: UUID, path_ids: Sequence[UUID]) -> tuple[DataPathRow, ...]:
        dataset = self.get(dataset_id)
        return tuple(one for one in dataset.paths if one.path_id in path_ids) if dataset else ()

    def scanning(self, dataset_ids: list[UUID]) -> list[ScanningPath]:
        return [
            ScanningPath(
                dataset_id=one.dataset_id, path_id=path.path_id, folder=path.folder, image_count=path.image_count
            )
            for one in self.datasets
            for path in one.paths
            if one.dataset_id in dataset_ids and path.state is DataPathState.SCANNING
        ]


class CountingFolders(KnownFolders):
    def __init__(self) -> None:
        self.by_typed = dict(TYPED)
        super().__init__(self.by_typed)
        self._by_typed = self.by_typed
        self.inspected: list[str] = []
        self.scans: dict[FolderName, Any] = {}

    def inspect_paths(self, typed_paths: Sequence[str]) -> list[Inspection]:
        self.inspected += typed_paths
        return super().inspect_paths(typed_paths)

    def scans_of(self, folders: Iterable[FolderName]) -> Mapping[FolderName, Any]:
        return {folder: self.scans[folder] for folder in folders if folder in self.scans}


class FakeImages:
    """Images of one data path on a real file system, as `infra.images` gives them."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "a.jpg"
        self.file.write_bytes(b"\xff\xd8\xff thumbnail")
        self.asked: list[tuple[str, FolderName]] = []
        self.is_outdated = False

    def page(self, data_path: FolderName, defect_code: str, *, offset: int, count: int) -> ListedImages:
        if defect_code != "TPFIP":
            return ListedImages()
        images = [
            ListedImage(
                folder=FolderName("data", f"{data_path.path}/TPFIP/{number:03}.png"),
                has_mask=number == 1,
                width=1920,
                height=1080,
                size=2 << 20,
                is_damaged=number == 2,
            )
            for number in range(130)
        ]
        return ListedImages(images=tuple(images[offset : offset + count]), total=130, is_outdated=self.is_outdated)

    def thumbnail(self, image: FolderName, size: int) -> Any:
        return self._shown(f"thumbnail {size}", image)

    def original(self, image: FolderName) -> Any:
        return self._shown("original", image)

    def mask_overlay(self, image: FolderName) -> Any:
        return self._shown("mask", image)

    def _shown(self, kind: str, image: FolderName) -> Any:
        self.asked.append((kind, image))
        return SimpleNamespace(path=self.file, media_type="image/jpeg") if image.root == "data" else None


@pytest.fixture
def folders() -> CountingFolders:
    return CountingFolders()


@pytest.fixture
def services(services: Services, folders: CountingFolders, tmp_path: Path) -> Services:
    services.read.datasets = FakeDatasets(DATASET)
    services.read.industries = FakeIndustries(PANELS)
    services.read.environments = FakeEnvironments()
    object.__setattr__(services, "data_folders", folders)  # the application holds these very services
    object.__setattr__(services, "images", FakeImages(tmp_path))
    return services


def entered(answer: httpx.Response) -> dict[str, Any]:
    """What the form of a page would send: every field with its value, as a browser collects them."""
    [form] = re.findall(r'<form method="post" action="/[^"]*(?:new|add)".*?</form>', answer.text, re.DOTALL)
    fields: dict[str, Any] = {}
    for tag in re.findall(r"<input[^>]*>", form):
        name, value = re.search(r'\bname="([^"]*)"', tag), re.search(r'\bvalue="([^"]*)"', tag)
        if name and ('type="checkbox"' not in tag or " checked" in tag):
            fields.setdefault(name[1], []).append(html.unescape(value[1]) if value else "")
    for name, options in re.findall(r'<select[^>]*name="([^"]*)".*?>(.*?)</select>', form, re.DOTALL):
        fields[name] = re.findall(r'value="([^"]*)"[^>]* selected', options)
    fields.pop("csrf_token")
    return fields


def shown(answer: httpx.Response) -> str:
    return html.unescape(answer.text)


def assert_told_that_it_is_gone(site: Site, answer: httpx.Response, address: str) -> None:
    assert (answer.status_code, answer.headers["Location"]) == (303, address)
    assert "该项此前已被删除或移除。" in site.get(address).text
    assert site.assay.commands == []


ENVIRONMENT = {f"level_{number}": str(node.node_id) for number, node in enumerate((*BINDING.path, PANEL_65), 1)}
NEW = "/training-datasets/new"


# The list.


def test_both_kinds_have_their_own_list(site: Site) -> None:  # D-6
    answer = site.get("/training-datasets")
    assert answer.status_code == 200
    assert "训练数据集" in answer.text
    for column in ("数据集名称", "路径数", "图片数量", "修改人", "修改时间", "操作", "管理数据路径", "删除"):
        assert column in answer.text, column
    assert "panel-a-training" in answer.text
    assert site.read.datasets.asked["purpose"] == DatasetPurpose.TRAINING
    other = site.get("/question-bank-datasets")
    assert "题库数据集" in other.text
    assert "panel-a-training" not in other.text
    assert site.read.datasets.asked["purpose"] == DatasetPurpose.QUESTION_BANK


def test_a_model_trainer_sees_every_dataset_and_may_change_each(trainer: Site) -> None:  # U
    assert "panel-a-training" in trainer.get("/training-datasets").text
    assert trainer.post(f"/training-datasets/{TRAINING_DATASET_ID}/delete").status_code == 303


@pytest.mark.parametrize("address", ["/training-datasets", NEW, "/question-bank-datasets"])
def test_strangers_are_sent_to_sign_in(stranger: Site, address: str) -> None:
    answer = stranger.get(address)
    assert (answer.status_code, answer.headers["Location"].split("?")[0]) == (303, "/sign-in")


def test_opening_a_row_shows_the_bound_environment_and_what_was_deleted_of_it(site: Site) -> None:  # D-6, M-3
    site.read.environments.gone = frozenset({PANEL_75.node_id})
    text = shown(site.get("/training-datasets"))
    for word in ("显示面板", "一厂区", "阵列厂", "AOI站", "65寸面板"):
        assert word in text
    assert re.search(r"75寸面板\s*<small[^>]*>（已删除）", text)
    assert not re.search(r"65寸面板\s*<small", text)


def test_filter_order_search_and_page_stand_in_the_address(site: Site) -> None:  # D-6
    address = f"/training-datasets?level_1={BINDING.path[0].node_id}&search=panel&sort=-image_count&page=2"
    text = shown(site.get(address))
    asked = site.read.datasets.asked
    assert asked["place_ids"] == (BINDING.path[0].node_id,)
    assert (asked["search"], asked["sort"], asked["page"]) == ("panel", "-image_count", 2)
    assert f"level_1={BINDING.path[0].node_id}&search=panel&sort=-image_count&page=3" in text
    assert 'aria-sort="descending"' in text
    assert 'name="sort" value="-image_count"' in text, "a new search keeps the order"


def test_every_filter_in_force_is_named_and_taken_back_alone(site: Site) -> None:  # D-6
    chosen = urlencode({**ENVIRONMENT, "search": "panel", "sort": "-image_count"})
    page = site.get(f"/training-datasets?{chosen}").text
    chips = dict(re.findall(r'<a class="chip" href="([^"]*)">.*?<b>([^<]*)</b>', page))
    assert list(chips.values()) == ["一厂区", "阵列厂", "AOI站", "65寸面板", "panel"]
    left = [html.unescape(address).partition("?")[2] for address in chips]
    first = f"level_1={ENVIRONMENT['level_1']}"
    assert left[0] == "search=panel&sort=-image_count", "with a level those below it go"
    assert left[1] == f"{first}&search=panel&sort=-image_count"
    assert left[4] == urlencode({**ENVIRONMENT, "sort": "-image_count"})
    assert 'class="chips"' not in site.get("/training-datasets").text


def test_the_deepest_chosen_level_filters(site: Site) -> None:  # D-6
    site.get("/training-datasets?" + "&".join(f"{name}={value}" for name, value in ENVIRONMENT.items()))
    assert site.read.datasets.asked["place_ids"] == (PANEL_65.node_id,)


def test_an_unknown_order_falls_back_to_the_newest_change_first(site: Site) -> None:
    site.get("/training-datasets?sort=password_hash&page=minus")
    assert (site.read.datasets.asked["sort"], site.read.datasets.asked["page"]) == ("-changed_at", 1)


def test_a_list_that_is_empty_says_what_to_do(site: Site) -> None:
    assert "没有符合筛选条件的数据集" in site.get("/training-datasets?search=nothing").text
    site.read.datasets.datasets.clear()
    answer = site.get("/training-datasets")
    assert "还没有数据集" in answer.text
    assert f'href="{NEW}"' in answer.text


# A new dataset.


def test_adding_the_next_path_checks_the_one_before(site: Site) -> None:  # D-3
    answer = site.post(NEW, name="panel-b", **{"data_paths.1": "/data/panel-a/train"}, do="add")
    assert answer.status_code == 200
    assert "TPFIP" in answer.text, "the description is filled in"
    assert "120" in answer.text
    fields = entered(answer)
    assert fields["name"] == ["panel-b"], "what was entered stays"
    assert (fields["data_paths.1"], fields["data_paths.2"]) == (["/data/panel-a/train"], [""])
    assert site.assay.commands == []


def test_an_invalid_path_is_emptied_and_said_to_be_wrong(site: Site) -> None:  # D-3
    answer = site.post(NEW, **{"data_paths.1": "/data/panel-a/train", "data_paths.2": "/etc/passwd"}, do="add")
    assert WRONG_IN_CHINESE in answer.text
    fields = entered(answer)
    assert fields["data_paths.2"] == [""]
    assert "data_paths.3" not in fields, "the wrong line is to be entered again first"
    assert fields["data_paths.1"] == ["/data/panel-a/train"]


def test_a_path_entered_twice_is_said_to_be_there_already(site: Site) -> None:  # D-4
    answer = site.post(NEW, **{"data_paths.1": "/data/panel-a/train", "data_paths.2": "/data/panel-a/train"}, do="add")
    assert "该路径已在数据集中" in answer.text
    assert entered(answer)["data_paths.2"] == [""]


def test_a_checked_folder_is_not_looked_into_at_every_press(site: Site, folders: CountingFolders) -> None:
    first = entered(site.post(NEW, **{"data_paths.1": "/data/panel-a/train"}, do="add"))
    first["data_paths.2"] = ["/data/panel-a/next-line"]
    second = site.post(NEW, **first, do="add")
    assert folders.inspected == ["/data/panel-a/train", "/data/panel-a/next-line"]
    assert entered(second)["data_paths.3"] == [""]


def test_what_a_form_claims_to_have_seen_is_shown_but_never_believed(site: Site, folders: CountingFolders) -> None:
    fields = entered(site.post(NEW, **{"data_paths.1": "/data/panel-a/train"}, do="add"))
    fields["data_paths.1"] = ["/etc"]  # another path than the one that was checked
    assert WRONG_IN_CHINESE in site.post(NEW, **fields, do="add").text
    for broken in ("", "{", '{"typed": "/etc"}', "null"):
        answer = site.post(NEW, **{"data_paths.1": "/etc", "inspected.1": broken}, do="add")
        assert WRONG_IN_CHINESE in answer.text
    site.assay.refuse_with(DataPathIsInvalid(at="data_paths.1"))
    forged = msgspec.json.encode({"typed": "/etc", "found": inspection()}).decode()
    answer = site.post(NEW, **{"data_paths.1": "/etc", "inspected.1": forged}, name="panel-b", **ENVIRONMENT)
    assert (answer.status_code, WRONG_IN_CHINESE in answer.text) == (422, True)


def test_a_line_can_be_removed(site: Site) -> None:
    fields = {"data_paths.1": "/etc", "data_paths.2": "/data/panel-a/train", "data_paths.3": ""}
    answer = site.post(NEW, **fields, do="remove.1")
    assert entered(answer)["data_paths.1"] == ["/data/panel-a/train"]
    assert "data_paths.2" not in entered(answer)
    only = site.post(NEW, **{"data_paths.1": "/data/panel-a/train"}, do="remove.1")
    assert entered(only)["data_paths.1"] == [""], "an empty line stays to write in"


def test_several_paths_are_entered_at_once_and_each_is_answered(site: Site) -> None:  # D-7
    answer = site.post(
        NEW, **{"data_paths.1": ""}, several="/data/panel-a/train\r\n\r\n/etc\r\n /data/panel-a/next-line ", do="add"
    )
    fields = entered(answer)
    assert [fields[f"data_paths.{number}"] for number in (1, 2, 3)] == [
        ["/data/panel-a/train"],
        [""],
        ["/data/panel-a/next-line"],
    ]
    assert answer.text.count(WRONG_IN_CHINESE) == 1


def test_done_creates_the_dataset_and_shows_it_in_the_list(site: Site) -> None:  # D-1 to D-3
    answer = site.post(
        NEW,
        name=" panel-b ",
        **ENVIRONMENT | {"level_4": [str(PANEL_65.node_id), str(PANEL_75.node_id)]},
        **{"data_paths.1": "/data/panel-a/train", "data_paths.2": "/data/panel-a/next-line", "data_paths.3": ""},
    )
    assert (answer.status_code, answer.headers["Location"]) == (303, "/training-datasets")
    [command] = site.assay.commands
    assert isinstance(command, CreateDataset)
    assert (command.actor, command.name, command.purpose) == (QUALITY_LEAD.user_id, "panel-b", DatasetPurpose.TRAINING)
    assert command.environment == (PANEL_65.node_id, PANEL_75.node_id)
    assert command.data_paths == ("/data/panel-a/train", "/data/panel-a/next-line")
    assert len(set(command.path_ids)) == 2
    assert "数据集“panel-b”已创建。" in shown(site.get("/training-datasets"))


@pytest.mark.parametrize("address", [NEW, f"/training-datasets/{TRAINING_DATASET_ID}/add"])
def test_a_form_that_is_sent_twice_makes_the_same(site: Site, address: str) -> None:  # D-3, D-7
    def made(form: dict[str, Any], path: str) -> tuple[Any, ...]:
        site.post(address, **form, name="panel-b", **{"data_paths.1": path})
        command = site.assay.commands[-1]
        return (*([command.dataset_id] if address == NEW else []), *command.path_ids)

    form = {"form_id": entered(site.get(address))["form_id"]}
    once = made(form, "/data/panel-a/train")
    assert made(form, "/data/panel-a/train") == once
    assert not set(made(form, "/data/panel-a/next-line")) & set(once), "another path was typed"
    assert not set(made({"form_id": entered(site.get(address))["form_id"]}, "/data/panel-a/train")) & set(once)


def test_a_question_bank_dataset_is_created_by_the_same_form(site: Site) -> None:
    answer = site.post(
        "/question-bank-datasets/new", name="panel-b", **ENVIRONMENT, **{"data_paths.1": "/data/panel-a/train"}
    )
    assert answer.headers["Location"] == "/question-bank-datasets"
    assert site.assay.commands[0].purpose is DatasetPurpose.QUESTION_BANK


def test_every_refusal_stands_beside_its_field_and_nothing_entered_is_lost(site: Site) -> None:
    site.assay.refuse_with(Refusals([ObjectNameIsInvalid(), DataPathIsInvalid(at="data_paths.2")]))
    answer = site.post(
        NEW,
        name="2panels",
        **ENVIRONMENT,
        **{"data_paths.1": "/data/panel-a/train", "data_paths.2": "", "data_paths.3": "/etc"},
    )
    assert answer.status_code == 422
    text = shown(answer)
    assert re.search(r'id="name-error"[^>]*>.*字母开头', text)
    assert re.search(rf'id="line-error-2"[^>]*>{WRONG_IN_CHINESE}', text)
    assert 'class="refusals"' not in text, "nothing is said without its place"
    fields = entered(answer)
    assert fields["name"] == ["2panels"]
    assert (fields["level_1"], fields["level_4"]) == ([ENVIRONMENT["level_1"]], [ENVIRONMENT["level_4"]])
    assert (fields["data_paths.1"], fields["data_paths.2"]) == (["/data/panel-a/train"], [""])


def test_an_incomplete_environment_is_said_beside_it(site: Site) -> None:  # D-2
    site.assay.refuse_with(EnvironmentChoiceIsIncomplete(level="产品"))
    fields = {"name": "panel-b", "level_1": ENVIRONMENT["level_1"], "data_paths.1": "/data/panel-a/train"}
    assert "environment" in entered(site.get(NEW)), "the page sends the field beside which it is said"
    answer = site.post(NEW, **fields, environment="")
    assert answer.status_code == 422
    assert re.search(r'id="environment-error"[^>]*>.*产品', shown(answer))
    assert 'class="refusals"' not in answer.text


def test_without_scripts_the_next_level_is_shown_and_everything_entered_stays(site: Site) -> None:  # S-4, D-2
    chosen = dict(list(ENVIRONMENT.items())[:3])
    answer = site.post(NEW, name="panel-b", **chosen, **{"data_paths.1": "/etc", "data_paths.2": ""}, do="levels")
    assert answer.status_code == 200
    assert '<noscript><button name="do" value="levels"' in answer.text
    assert f'name="level_4" value="{PANEL_65.node_id}">' in answer.text
    fields = entered(answer)
    assert (fields["name"], fields["level_3"], fields["data_paths.1"]) == (["panel-b"], [chosen["level_3"]], ["/etc"])
    assert site.assay.commands == []
    assert WRONG_IN_CHINESE not in answer.text, "nothing is checked yet"


def test_a_place_below_another_one_is_not_bound(site: Site) -> None:  # D-2
    forged = {**ENVIRONMENT, "level_1": str(FACTORY_2.node_id)}
    site.post(NEW, name="panel-b", **forged, **{"data_paths.1": "/data/panel-a/train"})
    assert site.assay.commands[0].environment == (FACTORY_2.node_id,), "which the rules refuse: it is no last level"


def test_a_filter_that_does_not_fit_falls_back_to_what_does(site: Site) -> None:  # D-6
    site.get(f"/training-datasets?level_1={FACTORY_2.node_id}&level_2={BINDING.path[1].node_id}")
    assert site.read.datasets.asked["place_ids"] == (FACTORY_2.node_id,)
    assert site.get("/training-datasets?level_1=../etc&industry=x").status_code == 200
    assert site.read.datasets.asked["place_ids"] == ()


def test_a_taken_name_is_said_beside_the_name(site: Site) -> None:  # D-1
    site.assay.refuse_with(NameTaken(name="panel-a"))
    answer = site.post(NEW, name="panel-a", **ENVIRONMENT, **{"data_paths.1": "/data/panel-a/train"})
    assert (answer.status_code, 'id="name-error"' in answer.text) == (422, True)


def test_what_was_typed_cannot_become_markup(site: Site) -> None:
    answer = site.post(NEW, **{"data_paths.1": '"><script>alert(1)</script>'}, do="add")
    assert "<script>alert" not in answer.text


def test_without_master_data_the_steps_to_enter_it_are_shown(site: Site) -> None:  # M-7
    site.read.industries = FakeIndustries()
    site.read.overview.steps = SetupSteps(False, False, True, True)
    answer = site.get(NEW)
    assert answer.status_code == 200
    assert 'class="panel setup"' in answer.text
    assert "data_paths.1" not in answer.text


def test_what_was_entered_stays_when_another_default_industry_has_no_environment_yet(site: Site) -> None:  # M-7, M-8
    site.read.industries = FakeIndustries()
    site.read.overview.steps = SetupSteps(False, False, True, True)
    answer = site.post(NEW, name="panel-b", **{"data_paths.1": "/data/panel-a/train"}, do="add")
    assert 'class="panel setup"' in answer.text
    assert 'value="panel-b"' in answer.text
    assert 'value="/data/panel-a/train"' in answer.text


# Data paths of a dataset.


def test_the_path_page_shows_what_is_in_each_path(site: Site) -> None:  # D-7
    text = shown(site.get(f"/training-datasets/{TRAINING_DATASET_ID}"))
    for word in ("data:panel-a/train", "data:panel-a/next-line", "有效", "TPFIP", "TTMUD", "224×224", "PNG", "无掩膜"):
        assert word in text, word
    assert "3 个文件无法作为图片读取，已排除。" in text


def test_a_path_that_became_invalid_is_marked(site: Site) -> None:
    gone = row(TRAINING_PATH_ID, Inspection(folder=TRAINING_FOLDER, state=DataPathState.INVALID))
    site.read.datasets.datasets = [msgspec.structs.replace(DATASET, paths=(gone,))]
    assert "无效" in site.get(f"/training-datasets/{TRAINING_DATASET_ID}").text


def test_a_dataset_is_found_under_its_own_kind_only(site: Site) -> None:
    assert site.get(f"/question-bank-datasets/{TRAINING_DATASET_ID}").status_code == 404
    assert_told_that_it_is_gone(
        site, site.post(f"/question-bank-datasets/{TRAINING_DATASET_ID}/delete"), "/question-bank-datasets"
    )
    assert site.get(f"/training-datasets/{QUESTION_BANK_ID}").status_code == 404
    assert site.assay.commands == []


def test_many_paths_are_added_at_once(site: Site) -> None:  # D-7
    address = f"/training-datasets/{TRAINING_DATASET_ID}/add"
    site.read.datasets.datasets = [msgspec.structs.replace(DATASET, paths=())]
    answer = site.post(address, **{"data_paths.1": ""}, several="/data/panel-a/train\n/data/panel-a/next-line")
    assert answer.headers["Location"] == f"/training-datasets/{TRAINING_DATASET_ID}"
    [command] = site.assay.commands
    assert isinstance(command, AddDataPaths)
    assert command.data_paths == ("/data/panel-a/train", "/data/panel-a/next-line")
    assert len(set(command.path_ids)) == 2


def test_a_path_that_the_dataset_has_already_is_told_before_it_is_added(site: Site) -> None:  # D-4
    address = f"/training-datasets/{TRAINING_DATASET_ID}/add"
    answer = site.post(address, **{"data_paths.1": "/data/panel-a/train"}, do="add")
    assert "该路径已在数据集中" in answer.text


def test_refused_paths_are_told_line_by_line(site: Site) -> None:  # D-7
    site.assay.refuse_with(DataPathIsInvalid(at="data_paths.2"))
    answer = site.post(
        f"/training-datasets/{TRAINING_DATASET_ID}/add", several="/data/panel-a/next-line\n/etc", **{"data_paths.1": ""}
    )
    assert answer.status_code == 422
    assert re.search(rf'id="line-error-2"[^>]*>{WRONG_IN_CHINESE}', answer.text)


PATHS = f"/training-datasets/{TRAINING_DATASET_ID}"
TICKED = [str(path.path_id) for path in DATASET.paths]
ROW = f"{PATHS}/paths/{TRAINING_PATH_ID}/delete"


def ticked(*path_ids: str) -> str:
    """What the button below the ticks asks for."""
    return f"{PATHS}/remove?{urlencode([('path_ids', path_id) for path_id in path_ids])}"


def removed(site: Site) -> tuple[UUID, ...]:
    [command] = site.assay.commands
    assert isinstance(command, RemoveDataPaths)
    assert (command.actor, command.dataset_id) == (QUALITY_LEAD.user_id, TRAINING_DATASET_ID)
    return command.path_ids


def test_removing_the_ticked_paths_asks_first_and_counts_what_is_in_them(site: Site) -> None:  # D-7
    page = site.get(ticked(*TICKED))
    asked = words(page.text)
    assert "移除数据路径 确定从“panel-a-training”中移除勾选的数据路径吗？ 2 条数据路径 126 张图片" in asked
    assert "data:panel-a/train、data:panel-a/next-line" in asked
    assert "文件夹及其中的图片保持不变。" in asked
    assert re.findall(r'type="hidden" name="path_ids" value="([^"]*)"', page.text) == TICKED
    assert site.assay.commands == []
    answer = site.post(f"{PATHS}/remove", path_ids=TICKED)
    assert (answer.status_code, answer.headers["Location"]) == (303, PATHS)
    assert removed(site) == tuple(path.path_id for path in DATASET.paths)
    assert "已移除 2 条数据路径" in site.get(PATHS).text


def test_the_delete_of_a_row_asks_about_that_row_alone(site: Site) -> None:  # D-7
    assert f'href="{ROW}"' in site.get(PATHS).text
    asked = words(site.get(ROW).text)
    assert "删除数据路径 确定从“panel-a-training”中删除数据路径“data:panel-a/train”吗？ 120 张图片" in asked
    assert "next-line" not in asked
    assert site.assay.commands == []
    assert site.post(ROW).headers["Location"] == PATHS
    assert removed(site) == (TRAINING_PATH_ID,)
    assert "数据路径“data:panel-a/train”已删除" in shown(site.get(PATHS))


@pytest.mark.parametrize("nothing", [[], ["not an id"]])
def test_without_a_tick_nothing_is_asked_or_removed(site: Site, nothing: list[str]) -> None:  # D-7
    told = "请从给出的选项中选择。" if nothing else "请勾选要移除的数据路径。"
    for answer in (site.get(ticked(*nothing)), site.post(f"{PATHS}/remove", path_ids=nothing)):
        assert answer.status_code == 422
        assert words(answer.text).count(told) == 1
    assert site.assay.commands == []


def test_paths_that_are_gone_already_are_told(site: Site) -> None:  # D-7
    site.read.datasets.datasets = [msgspec.structs.replace(DATASET, paths=DATASET.paths[1:])]
    assert_told_that_it_is_gone(site, site.get(ROW), PATHS)
    assert_told_that_it_is_gone(site, site.post(ROW), PATHS)
    assert_told_that_it_is_gone(site, site.get(ticked(TICKED[0])), PATHS)
    assert_told_that_it_is_gone(site, site.post(f"{PATHS}/remove", path_ids=TICKED[:1]), PATHS)


def test_paths_of_a_dataset_that_is_gone_are_told(site: Site) -> None:  # D-7, D-8
    site.read.datasets.datasets.clear()
    assert_told_that_it_is_gone(site, site.get(ROW), "/training-datasets")
    assert_told_that_it_is_gone(site, site.post(ROW), "/training-datasets")
    assert_told_that_it_is_gone(site, site.get(ticked(*TICKED)), "/training-datasets")
    assert_told_that_it_is_gone(site, site.post(f"{PATHS}/remove", path_ids=TICKED), "/training-datasets")


def test_what_is_still_there_is_removed(site: Site) -> None:  # D-7
    site.read.datasets.datasets = [msgspec.structs.replace(DATASET, paths=DATASET.paths[1:])]
    asked = words(site.get(ticked(*TICKED)).text)
    assert "1 条数据路径 6 张图片" in asked
    site.post(f"{PATHS}/remove", path_ids=TICKED)
    assert removed(site) == (DATASET.paths[1].path_id,)
    assert "已移除 1 条数据路径" in site.get(PATHS).text


def test_every_act_of_a_row_says_which_row_it_is(site: Site) -> None:  # S-4
    def accessible(page: str) -> list[str]:
        found = re.findall(r'<div class="acts">(.*?)</div>', page, re.DOTALL)
        return [
            words(one) for acts in found for one in re.findall(r"<(?:a|button)\b.*?</(?:a|button)>", acts, re.DOTALL)
        ]

    assert accessible(site.get("/training-datasets").text) == ["管理数据路径 panel-a-training", "删除 panel-a-training"]
    for_paths = accessible(site.get(PATHS).text)
    assert for_paths == [f"{act} {path.folder}" for path in DATASET.paths for act in ("图片", "重新扫描", "删除")]


def test_a_new_scan_says_what_was_found(site: Site) -> None:  # D-7
    answer = site.post(f"/training-datasets/{TRAINING_DATASET_ID}/paths/{TRAINING_PATH_ID}/inspect")
    assert answer.status_code == 303
    [command] = site.assay.commands
    assert isinstance(command, InspectDataPath)
    assert command.path_id == TRAINING_PATH_ID
    assert "已重新扫描“data:panel-a/train”：120 张图片。" in shown(site.get(answer.headers["Location"]))


SCANNING_LINE = row(
    example_id("large"),
    msgspec.structs.replace(
        inspection(FolderName("data", "panel-a/large"), images_per_code=5), state=DataPathState.SCANNING
    ),
)
SO_FAR = msgspec.structs.replace(
    inspection(FolderName("data", "panel-a/large"), images_per_code=4000), state=DataPathState.SCANNING
)


def scan(found: Inspection, *, problem: Sentence | None = None) -> Any:
    return SimpleNamespace(inspection=found, seen_count=12_345, entry_count=100_000, problem=problem)


def with_a_large_path(site: Site, folders: CountingFolders, known: Any) -> None:
    folders.scans[SCANNING_LINE.folder] = known
    paths = (*DATASET.paths, SCANNING_LINE)
    site.read.datasets.datasets = [msgspec.structs.replace(DATASET, paths=paths, path_count=3, image_count=141)]


def test_a_path_that_is_still_scanned_shows_how_far_it_has_come(site: Site, folders: CountingFolders) -> None:  # D-3
    with_a_large_path(site, folders, scan(SO_FAR))
    answer = site.get(f"/training-datasets/{TRAINING_DATASET_ID}")
    text = shown(answer)
    assert "扫描中" in text
    assert "12,345 / 100,000 个文件" in text
    assert f'<span data-live="count data:panel-a/large">{SO_FAR.image_count:,}<' in answer.text
    assert 'data-stream="/scans/live?folder=data%3Apanel-a%2Flarge"' in answer.text
    assert "无掩膜" not in text.split("data:panel-a/large")[-1], "they may still come"


def test_what_keeps_the_scanner_from_going_on_is_told(site: Site, folders: CountingFolders) -> None:  # S-5
    full = Sentence(
        "The scan cannot be stored: {reason}. Make room in the state folder; it goes on by itself.",
        {"reason": "database or disk is full"},
    )
    with_a_large_path(site, folders, scan(SO_FAR, problem=full))
    assert "扫描结果无法保存：database or disk is full。" in site.get(f"/training-datasets/{TRAINING_DATASET_ID}").text


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (DataPathProblem.GONE, "文件夹已不存在"),
        (DataPathProblem.UNREADABLE, "服务器无权读取"),
        (DataPathProblem.NO_IMAGES, "其中已没有图片"),
    ],
)
def test_a_path_that_became_invalid_says_what_to_do(problem: DataPathProblem, told: str, site: Site) -> None:  # S-5
    gone = row(TRAINING_PATH_ID, Inspection(folder=TRAINING_FOLDER, state=DataPathState.INVALID, problem=problem))
    site.read.datasets.datasets = [msgspec.structs.replace(DATASET, paths=(gone,), path_count=1)]
    assert told in site.get(f"/training-datasets/{TRAINING_DATASET_ID}").text


def test_nothing_is_streamed_where_nothing_is_scanned(site: Site) -> None:
    assert 'data-stream=""' in site.get(f"/training-datasets/{TRAINING_DATASET_ID}").text
    assert 'data-stream=""' in site.get("/training-datasets").text


def test_the_list_marks_what_is_still_counted(site: Site, folders: CountingFolders) -> None:  # D-6
    with_a_large_path(site, folders, scan(SO_FAR))
    answer = site.get("/training-datasets")
    counted = 141 + SO_FAR.image_count - SCANNING_LINE.image_count
    assert (
        f'<span data-live="count {TRAINING_DATASET_ID}">{counted:,}<span class="still" title="仍在统计">' in answer.text
    )
    assert f'data-stream="/training-datasets/live?dataset={TRAINING_DATASET_ID}"' in answer.text


def fragments(site: Site, address: str) -> dict[str, str]:
    """What a stream sends first; the server stops behind it."""
    object.__setattr__(site.services, "stopping", iter([False, True]).__next__)
    sent = re.findall(r"event: fragment\r?\n((?:data: ?.*\r?\n)+)", site.get(address).text)
    texts = ["\n".join(line.removeprefix("data:").strip() for line in one.splitlines()) for one in sent]
    return {text.partition("\n")[0]: text.partition("\n")[2] for text in texts}


def test_figures_move_while_a_folder_is_scanned(site: Site, folders: CountingFolders) -> None:  # D-3
    folders.scans[SCANNING_LINE.folder] = scan(SO_FAR)
    moved = fragments(site, "/scans/live?folder=data:panel-a/large&folder=data:unknown")
    assert set(moved) == {f"{part} data:panel-a/large" for part in ("state", "count", "description")}
    assert "12,345 / 100,000" in moved["state data:panel-a/large"]
    assert moved["count data:panel-a/large"].startswith(f"{SO_FAR.image_count:,}<")
    folders.scans[SCANNING_LINE.folder] = scan(msgspec.structs.replace(SO_FAR, state=DataPathState.VALID))
    done = fragments(site, "/scans/live?folder=data:panel-a/large")
    assert "有效" in done["state data:panel-a/large"]
    assert done["count data:panel-a/large"] == f"{SO_FAR.image_count:,}"


def test_counts_of_the_list_move_while_folders_are_scanned(site: Site, folders: CountingFolders) -> None:  # D-6
    with_a_large_path(site, folders, scan(SO_FAR))
    moved = fragments(site, f"/training-datasets/live?dataset={TRAINING_DATASET_ID}&dataset={QUESTION_BANK_ID}")
    assert list(moved) == [f"count {TRAINING_DATASET_ID}"]
    assert "仍在统计" in moved[f"count {TRAINING_DATASET_ID}"]


def test_a_large_folder_may_be_entered_while_it_is_scanned(site: Site, folders: CountingFolders) -> None:  # D-3
    folders.by_typed["/data/panel-a/large"] = SO_FAR
    answer = site.post(NEW, **{"data_paths.1": "/data/panel-a/large"}, do="add")
    assert "扫描中" in answer.text
    assert 'data-stream="/scans/live?folder=' in answer.text
    fields = entered(answer)
    assert fields["data_paths.2"] == [""], "the next line is offered"
    done = msgspec.structs.replace(SO_FAR, state=DataPathState.VALID)
    folders.by_typed["/data/panel-a/large"] = done
    again = site.post(NEW, **fields, do="add")
    assert "扫描中" not in again.text, "a folder that was scanned is asked for again"


def test_a_folder_around_another_is_refused_beside_its_line(site: Site, folders: CountingFolders) -> None:  # D-4
    folders.by_typed["/data/panel-a"] = inspection(FolderName("data", "panel-a"))
    answer = site.post(NEW, **{"data_paths.1": "/data/panel-a/train", "data_paths.2": "/data/panel-a"}, do="add")
    assert "与“data:panel-a/train”重复" in shown(answer)
    assert entered(answer)["data_paths.2"] == [""]


def test_all_paths_are_scanned_again_at_once(site: Site, folders: CountingFolders) -> None:  # D-7
    answer = site.post(f"/training-datasets/{TRAINING_DATASET_ID}/inspect")
    [command] = site.assay.commands
    assert isinstance(command, InspectDataPaths)
    assert "已重新扫描全部数据路径：126 张图片。" in shown(site.get(answer.headers["Location"]))
    with_a_large_path(site, folders, scan(SO_FAR))
    answer = site.post(f"/training-datasets/{TRAINING_DATASET_ID}/inspect")
    assert "仍在扫描的数据路径：1 条" in shown(site.get(answer.headers["Location"]))
    assert site.post(f"/training-datasets/{QUESTION_BANK_ID}/inspect").status_code == 404


MANY_PATHS = tuple(
    row(example_id(f"line-{number}"), inspection(FolderName("data", f"line-{number}"))) for number in range(250)
)


def with_many_paths(site: Site) -> None:
    site.read.datasets.datasets = [msgspec.structs.replace(DATASET, paths=MANY_PATHS, path_count=250)]


def test_thousands_of_paths_come_page_by_page(site: Site) -> None:  # D-7
    with_many_paths(site)
    first = site.get(f"/training-datasets/{TRAINING_DATASET_ID}").text
    assert first.count('name="path_ids"') == 100
    last = site.get(f"/training-datasets/{TRAINING_DATASET_ID}?page=3").text
    assert last.count('name="path_ids"') == 50
    assert "data:line-249" in last
    assert f'href="/training-datasets/{TRAINING_DATASET_ID}?page=2"' in last


def test_whoever_works_on_a_later_page_of_paths_stays_there(site: Site) -> None:  # D-7
    with_many_paths(site)
    paths = f"/training-datasets/{TRAINING_DATASET_ID}"
    here, row = f"{paths}?page=2", f"{paths}/paths/{MANY_PATHS[100].path_id}"
    listed = shown(site.get(here))
    assert f'href="{row}/delete?back={quote(here, safe="")}"' in listed
    assert listed.count(f'name="back" value="{here}"') == 101, "to scan one of the rows again, and to remove the ticked"
    assert f'name="back" value="{here}"' in shown(site.get(f"{row}/delete?back={quote(here, safe='')}"))
    ticked = str(MANY_PATHS[100].path_id)
    assert f'name="back" value="{here}"' in shown(site.get(f"{paths}/remove?path_ids={ticked}&back={quote(here)}"))
    for act in (f"{row}/delete", f"{row}/inspect", f"{paths}/remove"):
        assert site.post(act, back=here, path_ids=ticked).headers["Location"] == here, act
    assert site.post(f"{row}/inspect", back="//evil.example").headers["Location"] == paths


def test_deleting_asks_first(site: Site) -> None:  # D-8
    address = f"/training-datasets/{TRAINING_DATASET_ID}/delete"
    question = shown(site.get(address))
    assert "确定删除数据集“panel-a-training”？" in question
    assert "2 条数据路径 126 张图片 文件夹及其中的图片保持不变。" in words(question)
    assert site.assay.commands == []
    answer = site.post(address)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/training-datasets")
    assert isinstance(site.assay.commands[0], DeleteDataset)


def test_what_was_filtered_stays_so_when_a_dataset_goes(site: Site) -> None:  # D-6, D-8
    filtered = "/training-datasets?search=panel&sort=name"
    question = f"/training-datasets/{TRAINING_DATASET_ID}/delete"
    assert f'href="{question}?back={quote(filtered, safe="")}"' in shown(site.get(filtered))
    assert f'name="back" value="{filtered}"' in shown(site.get(f"{question}?back={quote(filtered, safe='')}"))
    assert site.post(question, back=filtered).headers["Location"] == filtered
    assert site.post(question, back="/question-bank-datasets?x").headers["Location"] == "/training-datasets"


def test_a_question_counts_what_a_scan_has_seen_so_far(site: Site, folders: CountingFolders) -> None:  # D-8
    with_a_large_path(site, folders, scan(SO_FAR))
    counted = f"{141 + SO_FAR.image_count - SCANNING_LINE.image_count:,}"
    address = f"/training-datasets/{TRAINING_DATASET_ID}"
    assert f"3 条数据路径 {counted} 张图片（仍在统计）" in words(site.get(f"{address}/delete").text)
    asked = words(site.get(f"{address}/paths/{SCANNING_LINE.path_id}/delete").text)
    assert f"{SO_FAR.image_count:,} 张图片（仍在统计）" in asked


def test_a_dataset_that_is_gone_already_is_told(site: Site) -> None:  # D-8
    site.read.datasets.datasets.clear()
    address = f"/training-datasets/{TRAINING_DATASET_ID}"
    assert_told_that_it_is_gone(site, site.get(f"{address}/delete"), "/training-datasets")
    assert_told_that_it_is_gone(site, site.post(f"{address}/delete"), "/training-datasets")


def test_of_two_who_delete_at_the_same_moment_the_second_is_told(site: Site) -> None:  # D-8
    site.assay.refuse_with(NotFound())
    answer = site.post(f"/training-datasets/{TRAINING_DATASET_ID}/delete")
    assert_told_that_it_is_gone(site, answer, "/training-datasets")


# Images.


def test_images_are_shown_by_defect_code(site: Site) -> None:  # D-9
    address = f"/training-datasets/{TRAINING_DATASET_ID}/paths/{TRAINING_PATH_ID}"
    text = shown(site.get(address))
    assert "/images/thumbnail?root=data&path=panel-a%2Ftrain%2FTPFIP%2F000.png&size=320" in text
    assert text.count("/images/thumbnail?") == 60
    assert text.count("/images/mask?") == 1
    assert 'data-mask="/images/mask?root=data&path=panel-a%2Ftrain%2FTPFIP%2F001.png"' in text
    assert f'href="{address}?code=TTMUD"' in text
    assert "129.png" not in text
    assert "129.png" in site.get(f"{address}?code=TPFIP&page=3").text


def test_an_image_shows_its_name_size_and_resolution_and_a_damaged_one_that_it_is(site: Site) -> None:  # D-9
    text = shown(site.get(f"/training-datasets/{TRAINING_DATASET_ID}/paths/{TRAINING_PATH_ID}"))
    assert "1920×1080 · 2.0 MiB" in text
    assert text.count("无法作为图片读取") == 2, "once in the list, once in the viewer"
    assert 'data-first="1" data-total="130"' in text


def test_a_folder_that_changed_since_is_told(site: Site) -> None:  # D-9
    site.services.images.is_outdated = True
    assert (
        "图片统计之后文件夹有变动"
        in site.get(f"/training-datasets/{TRAINING_DATASET_ID}/paths/{TRAINING_PATH_ID}").text
    )


def test_a_code_without_images_says_what_to_do(site: Site) -> None:
    address = f"/training-datasets/{TRAINING_DATASET_ID}/paths/{TRAINING_PATH_ID}"
    assert "此处已没有图片" in site.get(f"{address}?code=TTMUD").text
    assert "/images/thumbnail?" in site.get(f"{address}?code=unknown").text, "an unknown code is the first"
    assert site.get(f"/training-datasets/{TRAINING_DATASET_ID}/paths/{QUESTION_BANK_ID}").status_code == 404


def test_a_picture_comes_with_its_own_type_and_is_asked_for_once(site: Site) -> None:  # D-9
    answer = site.get("/images/thumbnail?root=data&path=panel-a/TPFIP/a%20b.png&size=320")
    assert (answer.status_code, answer.content) == (200, b"\xff\xd8\xff thumbnail")
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"].startswith("private, max-age=")
    assert answer.headers["Content-Disposition"].startswith("inline")
    assert site.services.images.asked == [("thumbnail 320", FolderName("data", "panel-a/TPFIP/a b.png"))]
    again = site.get("/images/original?root=data&path=a.jpg", **{"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_picture_can_be_downloaded_under_its_name(site: Site) -> None:  # P-5
    answer = site.get("/images/original?root=data&path=TPFIP/缺陷.jpg&download=1")
    assert (
        answer.headers["Content-Disposition"]
        == "attachment; filename=\"__.jpg\"; filename*=UTF-8''%E7%BC%BA%E9%99%B7.jpg"
    )


@pytest.mark.parametrize("kind", ["thumbnail", "original", "mask"])
def test_what_cannot_be_shown_is_a_sign_in_its_place(kind: str, site: Site) -> None:
    answer = site.get(f"/images/{kind}?root=other&path=../../etc/passwd&size=huge")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "image/svg+xml")


@pytest.mark.parametrize("kind", ["thumbnail", "original", "mask"])
def test_strangers_see_no_picture(kind: str, stranger: Site) -> None:  # U-6
    answer = stranger.get(f"/images/{kind}?root=data&path=a.jpg")
    assert answer.status_code == 303
    assert stranger.services.images.asked == []


def test_pictures_are_never_sent_by_post(site: Site) -> None:
    assert site.post("/images/original", root="data", path="a.jpg").status_code == 405
