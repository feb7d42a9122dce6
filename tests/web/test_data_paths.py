"""管理数据路径 as people meet it: what is in each path, its images, its removal (D-3, D-4, D-7, D-9)."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, urlencode
from uuid import UUID

import msgspec
import pytest

from commands.datasets import AddDataPaths, InspectDataPath, InspectDataPaths, RemoveDataPaths
from domain.data_paths import DataPathProblem, DataPathState, FolderName, Inspection
from domain.datasets import DataPathIsInvalid
from domain.sentences import Sentence
from infra.bounded_looks import BoundedLooks
from infra.images import Images
from tests.examples import (
    QUESTION_BANK_ID,
    TRAINING_DATASET_ID,
    TRAINING_FOLDER,
    TRAINING_PATH_ID,
    example_id,
    inspection,
)
from tests.infra.hanging_folders import AWAY, HangingFolders
from tests.web.datasets import (
    DATASET,
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
from tests.web.offered_datasets import path_row
from tests.web.reading import words
from tests.web.site import QUALITY_LEAD, Site
from web.services import Services


@pytest.fixture
def folders() -> CountingFolders:
    return CountingFolders()


@pytest.fixture
def services(services: Services, folders: CountingFolders, tmp_path: Path) -> Services:
    return furnish(services, folders, tmp_path)


# Data paths of a dataset.


def test_the_path_page_shows_what_is_in_each_path(site: Site) -> None:  # D-7
    text = shown(site.get(f"/training-datasets/{TRAINING_DATASET_ID}"))
    for word in ("data:panel-a/train", "data:panel-a/next-line", "有效", "TPFIP", "TTMUD", "224×224", "PNG", "无掩膜"):
        assert word in text, word
    assert "3 个文件无法作为图片读取，已排除。" in text


def test_a_path_that_became_invalid_is_marked(site: Site) -> None:
    gone = path_row(TRAINING_PATH_ID, Inspection(folder=TRAINING_FOLDER, state=DataPathState.INVALID))
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
    gone = path_row(TRAINING_PATH_ID, Inspection(folder=TRAINING_FOLDER, state=DataPathState.INVALID, problem=problem))
    site.read.datasets.datasets = [msgspec.structs.replace(DATASET, paths=(gone,), path_count=1)]
    assert told in site.get(f"/training-datasets/{TRAINING_DATASET_ID}").text


def test_nothing_is_streamed_where_nothing_is_scanned(site: Site) -> None:
    assert 'data-stream=""' in site.get(f"/training-datasets/{TRAINING_DATASET_ID}").text
    assert 'data-stream=""' in site.get("/training-datasets").text


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
    path_row(example_id(f"line-{number}"), inspection(FolderName("data", f"line-{number}"))) for number in range(250)
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


# Storage that hangs.


def test_a_typed_path_that_does_not_answer_is_told_beside_its_line_and_stays(
    site: Site, folders: CountingFolders
) -> None:  # D-3
    folders.do_not_answer = True
    answer = site.post(
        f"/training-datasets/{TRAINING_DATASET_ID}/add", **{"data_paths.1": "/data/panel-b", "do": "add"}
    )
    assert "文件夹“/data/panel-b”没有响应，其所在存储可能已断开。" in answer.text
    assert 'value="/data/panel-b"' in answer.text
    assert WRONG_IN_CHINESE not in answer.text
    assert site.assay.commands == []


def test_a_data_path_that_does_not_answer_is_told_on_its_page_which_tries_again(site: Site) -> None:  # D-9
    site.services.images.does_not_answer = True
    answer = site.get(f"/training-datasets/{TRAINING_DATASET_ID}/paths/{TRAINING_PATH_ID}")
    assert (answer.status_code, answer.headers["Refresh"]) == (503, "10")
    assert "文件夹“data:panel-a/train”没有响应" in answer.text
    picture = site.get("/images/thumbnail?root=data&path=panel-a/train/TPFIP/000.png")
    assert (picture.status_code, picture.headers["Content-Type"]) == (503, "image/svg+xml")


def test_folders_that_do_not_answer_hold_up_no_other_page(site: Site, tmp_path: Path) -> None:  # S-2
    """More people look into them than there are threads for pages."""
    folders = HangingFolders(tmp_path / "roots")
    looks = BoundedLooks(patience_seconds=0.2)
    object.__setattr__(site.services, "images", Images(folders, tmp_path, tmp_path, looks))
    row = msgspec.structs.replace(site.read.datasets.path(TRAINING_DATASET_ID, TRAINING_PATH_ID), folder=AWAY)
    site.read.datasets.path = lambda _dataset_id, _path_id: row
    address = f"/training-datasets/{TRAINING_DATASET_ID}/paths/{TRAINING_PATH_ID}"
    try:
        with ThreadPoolExecutor(40) as people:
            answers = [people.submit(site.client.get, address) for _ in range(40)]
            assert site.get("/account").status_code == 200
            assert {answer.result().status_code for answer in answers} == {503}
    finally:
        folders.is_back.set()
