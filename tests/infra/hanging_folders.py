"""Folders on storage that hangs."""

import threading
from pathlib import Path

from domain.data_paths import FolderName
from infra.data_folders import DataFolders

AWAY = FolderName("away", "panel-a")
HERE = FolderName("data", "panel-a")


class HangingFolders(DataFolders):
    """The root “away” answers nothing until it `is_back`, as a hard mount does whose server is gone."""

    def __init__(self, folder: Path) -> None:
        for root in ("away", "data"):
            (folder / root / "panel-a").mkdir(parents=True)
        super().__init__({root: folder / root for root in ("away", "data")})
        self.is_back = threading.Event()

    def resolve(self, folder: FolderName) -> Path:
        if folder.root == "away":
            assert self.is_back.wait(60)
        return super().resolve(folder)

    def name(self, typed: str) -> FolderName | None:
        return AWAY if typed == "away:panel-a" else super().name(typed)
