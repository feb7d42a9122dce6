"""锁定的数据路径: a super administrator releases a path of a first training whose images are gone (W-5, U-6)."""

import html
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest

from commands.models import ReleaseDataPath
from domain.data_paths import DataPathState, FolderName, Inspection
from domain.models import DataPathHasImages
from projections.models import LockedModelRow, LockedPath, ModelDetail
from projections.read_model import Page
from tests.examples import MODEL_ID, TRAINING_FOLDER, example_id, inspection
from tests.web.reading import assert_in_order, text
from tests.web.site import QUALITY_LEAD, Site
from tests.web.test_models import PANEL_A

LOCKED = f"/locked-paths/{MODEL_ID}"
RELEASE = f"{LOCKED}/release"
GONE_FOLDER = FolderName("data", "panel-a/gone & lost")
NAMED = {"root": "data", "path": "panel-a/gone & lost"}
LONG_AGO = datetime(2025, 3, 3, 8, 0, tzinfo=UTC)


class FakeModels:
    """panel-a with two paths, of which one is gone; `released` is the moment at which it was released."""

    def __init__(self) -> None:
        self.released: datetime | None = None
        self.row = LockedModelRow(
            model_id=MODEL_ID,
            name="panel-a",
            owner=QUALITY_LEAD.user_id,
            owner_name="trainer_li",
            path_count=2,
            released_count=0,
        )

    def locked_page(self, *, search: str = "", number: int = 1) -> Page[LockedModelRow]:
        rows = (self.row,) if search in self.row.name else ()
        return Page(items=rows, total=len(rows), number=number, size=20)

    def get(self, model_id: UUID) -> ModelDetail | None:
        return PANEL_A if model_id == MODEL_ID else None

    def locked_paths(self, model_id: UUID) -> list[LockedPath]:
        assert model_id == MODEL_ID
        return [
            LockedPath(root="data", path=TRAINING_FOLDER.path, released_by="", released_at=None),
            LockedPath(
                root="data",
                path=GONE_FOLDER.path,
                released_by="quality_lead" if self.released else "",
                released_at=self.released,
            ),
        ]


class FakeFolders:
    def inspect_folders(self, folders: Sequence[FolderName]) -> list[Inspection]:
        return [
            inspection(folder) if folder == TRAINING_FOLDER else Inspection(folder=folder, state=DataPathState.INVALID)
            for folder in folders
        ]


@pytest.fixture
def models(site: Site) -> FakeModels:
    found = site.read.models = FakeModels()
    object.__setattr__(site.services, "data_folders", FakeFolders())
    return found


def test_the_menu_of_a_super_administrator_leads_to_everyones_models(site: Site, models: FakeModels) -> None:  # W-5
    shown = site.get("/locked-paths")
    assert 'href="/locked-paths" aria-current="page"' in shown.text
    assert_in_order(text(shown), "锁定的数据路径", "模型名称", "所有者", "panel-a", "trainer_li", "2", "0")
    assert "没有该名称的模型" in text(site.get("/locked-paths?search=nothing"))


def test_only_a_path_whose_images_are_gone_can_be_released(site: Site, models: FakeModels) -> None:  # W-5
    page = site.get(LOCKED)
    assert_in_order(
        text(page), "data:panel-a/train", "有效", "锁定中：路径下有图片", "data:panel-a/gone & lost", "无效", "解除锁定"
    )
    assert page.text.count(f'href="{RELEASE}?') == 1


def test_a_path_is_released_after_a_question(site: Site, models: FakeModels) -> None:  # W-5
    address = html.unescape(site.get(LOCKED).text.split(f'href="{RELEASE}')[1].split('"')[0])
    assert_in_order(
        text(site.get(f"{RELEASE}{address}")),
        "确定解除“panel-a”的数据路径“data:panel-a/gone & lost”的锁定吗？",
        "无法撤销",
    )
    answer = site.post(RELEASE, **NAMED)
    assert (answer.status_code, answer.headers["Location"]) == (303, LOCKED)
    (command,) = site.assay.commands
    assert isinstance(command, ReleaseDataPath)
    assert (command.actor, command.model_id, command.folder) == (QUALITY_LEAD.user_id, MODEL_ID, GONE_FOLDER)


def test_a_refused_release_is_told_on_its_page(site: Site, models: FakeModels) -> None:  # W-5
    site.assay.refuse_with(DataPathHasImages(folder=str(GONE_FOLDER)))
    assert "只有没有图片的路径才能解除锁定" in text(site.post(RELEASE, **NAMED), 422)


def test_a_released_path_says_who_released_it(site: Site, models: FakeModels) -> None:  # W-5
    models.released = LONG_AGO
    page = site.get(LOCKED)
    assert_in_order(text(page), "data:panel-a/gone & lost", "已解除", "quality_lead", "2025-03-03")
    assert f'href="{RELEASE}?' not in page.text


def test_a_model_trainer_sees_and_does_nothing_of_it(trainer: Site) -> None:  # U-6
    trainer.read.models = FakeModels()
    for address in ("/locked-paths", LOCKED, f"{RELEASE}?root=data&path=panel-a/train"):
        assert trainer.get(address).status_code == 403
    assert trainer.post(RELEASE, **NAMED).status_code == 403
    assert trainer.assay.commands == []
    assert "/locked-paths" not in trainer.get("/account").text


def test_a_model_that_does_not_exist_is_not_found(site: Site, models: FakeModels) -> None:
    for address in (f"/locked-paths/{example_id('nothing')}", f"/locked-paths/{example_id('nothing')}/release"):
        assert site.get(address).status_code == 404
