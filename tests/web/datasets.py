"""A dataset with its data paths, folders that are looked into, and images, as the pages of datasets ask for them."""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
import msgspec

from domain.data_paths import DataPathState, FolderDoesNotAnswer, FolderName, Inspection
from domain.datasets import DatasetPurpose
from domain.sentences import Sentence
from infra.images import ListedImage, ListedImages
from projections.datasets import DataPathRow, DatasetDetail, ScanningPath
from projections.read_model import Page
from tests.examples import BINDING, TRAINING_DATASET_ID, TRAINING_PATH_ID, KnownFolders, example_id, inspection
from tests.web.offered_datasets import path_row
from tests.web.places import PANELS, FakeEnvironments, FakeIndustries
from tests.web.site import Site
from web.services import Services

NEXT_LINE = FolderName("data", "panel-a/next-line")
TYPED = {"/data/panel-a/train": inspection(), "/data/panel-a/next-line": inspection(NEXT_LINE, images_per_code=2)}
WRONG_IN_CHINESE = "校验数据集路径失败：路径有误"
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
        path_row(TRAINING_PATH_ID, inspection()),
        path_row(
            example_id("next"), msgspec.structs.replace(inspection(NEXT_LINE, images_per_code=2), damaged_count=3)
        ),
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
        self.do_not_answer = False

    def inspect_paths(self, typed_paths: Sequence[str]) -> list[Inspection]:
        self.inspected += typed_paths
        if self.do_not_answer:
            raise FolderDoesNotAnswer(folder=typed_paths[0])
        return super().inspect_paths(typed_paths)

    def scans_of(self, folders: Iterable[FolderName]) -> Mapping[FolderName, Any]:
        return {folder: self.scans[folder] for folder in folders if folder in self.scans}


class FakeImages:
    """Images of one data path on a real file system, as `infra.images` gives them."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "a.jpg"
        self.file.write_bytes(b"\xff\xd8\xff thumbnail")
        self.asked: list[tuple[str, FolderName]] = []
        self.is_outdated = self.does_not_answer = False

    def page(self, data_path: FolderName, defect_code: str, *, offset: int, count: int) -> ListedImages:
        if self.does_not_answer:
            raise FolderDoesNotAnswer(folder=str(data_path))
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
        if self.does_not_answer:
            raise FolderDoesNotAnswer(folder=str(image))
        return SimpleNamespace(path=self.file, media_type="image/jpeg") if image.root == "data" else None


def furnish(services: Services, folders: CountingFolders, tmp_path: Path) -> Services:
    """Everything that the pages of datasets ask for."""
    services.read.datasets = FakeDatasets(DATASET)
    services.read.industries = FakeIndustries(PANELS)
    services.read.environments = FakeEnvironments()
    object.__setattr__(services, "data_folders", folders)  # the application holds these very services
    object.__setattr__(services, "images", FakeImages(tmp_path))
    return services


def shown(answer: httpx.Response) -> str:
    return html.unescape(answer.text)


def assert_told_that_it_is_gone(site: Site, answer: httpx.Response, address: str) -> None:
    assert (answer.status_code, answer.headers["Location"]) == (303, address)
    assert "该项此前已被删除或移除。" in site.get(address).text
    assert site.assay.commands == []


SCANNING_LINE = path_row(
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


def fragments(site: Site, address: str) -> dict[str, str]:
    """What a stream sends first; the server stops behind it."""
    object.__setattr__(site.services, "stopping", iter([False, True]).__next__)
    sent = re.findall(r"event: fragment\r?\n((?:data: ?.*\r?\n)+)", site.get(address).text)
    texts = ["\n".join(line.removeprefix("data:").strip() for line in one.splitlines()) for one in sent]
    return {text.partition("\n")[0]: text.partition("\n")[2] for text in texts}
