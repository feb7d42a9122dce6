"""训练数据集 and 题库数据集 as people meet them: lists, new ones and their end (D-1 to D-8, S-4).

Every form here is sent as a browser without scripts sends it.
"""

import html
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import msgspec
import pytest

from commands.datasets import CreateDataset, DeleteDataset
from domain.data_paths import DataPathState, FolderName
from domain.datasets import DataPathIsInvalid, DatasetPurpose
from domain.environments import EnvironmentChoiceIsIncomplete
from domain.names import NameTaken, ObjectNameIsInvalid
from domain.refusals import NotFound, Refusals
from projections.overview import SetupSteps
from tests.examples import BINDING, FACTORY_2, PANEL_65, PANEL_75, QUESTION_BANK_ID, TRAINING_DATASET_ID, inspection
from tests.web.datasets import (
    SCANNING_LINE,
    SO_FAR,
    WRONG_IN_CHINESE,
    CountingFolders,
    assert_told_that_it_is_gone,
    fragments,
    furnish,
    scan,
    shown,
    with_a_large_path,
)
from tests.web.places import FakeIndustries
from tests.web.reading import words
from tests.web.site import QUALITY_LEAD, Site
from web.services import Services


@pytest.fixture
def folders() -> CountingFolders:
    return CountingFolders()


@pytest.fixture
def services(services: Services, folders: CountingFolders, tmp_path: Path) -> Services:
    return furnish(services, folders, tmp_path)


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


def test_the_list_marks_what_is_still_counted(site: Site, folders: CountingFolders) -> None:  # D-6
    with_a_large_path(site, folders, scan(SO_FAR))
    answer = site.get("/training-datasets")
    counted = 141 + SO_FAR.image_count - SCANNING_LINE.image_count
    assert (
        f'<span data-live="count {TRAINING_DATASET_ID}">{counted:,}<span class="still" title="仍在统计">' in answer.text
    )
    assert f'data-stream="/training-datasets/live?dataset={TRAINING_DATASET_ID}"' in answer.text


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


def test_deleting_asks_first(site: Site) -> None:  # D-8
    address = f"/training-datasets/{TRAINING_DATASET_ID}/delete"
    question = shown(site.get(address))
    assert "确定删除数据集“panel-a-training”吗？" in question
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
