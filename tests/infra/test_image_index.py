"""The index of a large data path: D-3, D-5, D-9, S-5. What is counted is compared with a look that is never cut off."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from domain.data_paths import DataPathState, FolderName
from gpu_worker.ports import FolderNotFound
from infra.data_folders import DataFolders
from infra.image_index import BATCH, ImageIndex, index_file, open_index

CHECKOUT = Path(__file__).parents[2]
LINE_1 = FolderName("aoi", "line-1")
SCAN = """
import sys
from pathlib import Path
from domain.data_paths import FolderName
from infra.data_folders import DataFolders
from infra.image_index import ImageIndex
index = ImageIndex(Path(sys.argv[1]), "first", FolderName("aoi", "line-1"), DataFolders({"aoi": Path(sys.argv[2])}))
while index.seen_count < int(sys.argv[3]):
    index.step()
index.save()
index.step()
print("half done, and a little more that is not stored", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "aoi").mkdir()
    return tmp_path / "aoi"


@pytest.fixture
def folders(root: Path) -> DataFolders:
    return DataFolders({"aoi": root})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return index_file(tmp_path / "indexes", LINE_1)


def picture(width: int = 4) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, 3)).save(file, "PNG")
    return file.getvalue()


def fill(folder: Path, count: int) -> None:
    """Images, most of them sound, some with masks or polygons, and what else lies in such folders."""
    (folder / "masks").mkdir(parents=True)
    sizes = [picture(width) for width in (4, 5, 6)]
    for number in range(count):
        (folder / f"{number:05}.png").write_bytes(b"broken" if number % 97 == 5 else sizes[number % 3])
        if number % 10 == 0:
            (folder / "masks" / f"{number:05}.png").write_bytes(sizes[0])
        if number % 10 == 3:
            (folder / f"{number:05}.json").write_bytes(b"{}")
    (folder / "notes.txt").write_bytes(b"no image")
    (folder / "groups.csv").write_bytes(b"file,group\n")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xb1.png")).write_bytes(sizes[0])


def age(folder: Path) -> None:
    """Nothing has changed here for an hour."""
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        os.utime(path, (time.time() - 3600, time.time() - 3600))


def scanned(file: Path, folders: DataFolders, scan_id: str = "first") -> ImageIndex:
    index = ImageIndex(file, scan_id, LINE_1, folders)
    while index.step():
        pass
    index.save()
    return index


def test_a_scan_ends_with_what_a_look_sees(root: Path, folders: DataFolders, file: Path) -> None:  # D-3, D-5
    fill(root / "line-1" / "TPFIP", BATCH + 30)
    fill(root / "line-1" / "TTMUD", 40)
    (root / "line-1" / "direct.png").write_bytes(picture())
    (root / "line-1" / "linked").symlink_to(root / "line-1" / "TTMUD")
    index = scanned(file, folders)
    assert index.is_done
    assert index.inspection() == folders.inspect_folder(LINE_1)
    assert index.inspection().mask_count > 0
    assert index.seen_count == index.entry_count
    index.close()


def test_until_it_is_done_a_scan_says_so(root: Path, folders: DataFolders, file: Path) -> None:  # D-3
    fill(root / "line-1" / "TPFIP", 2 * BATCH)
    index = ImageIndex(file, "first", LINE_1, folders)
    while index.step() and not index.seen_count:
        pass
    so_far = index.inspection()
    assert (so_far.state, so_far.problem) == (DataPathState.SCANNING, None)
    assert 0 < so_far.image_count < folders.inspect_folder(LINE_1).image_count
    index.close()


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8, 11])
def test_a_scan_that_is_cut_off_anywhere_goes_on_and_ends_alike(  # S-5
    steps: int, root: Path, folders: DataFolders, file: Path
) -> None:
    fill(root / "line-1" / "TPFIP", 2 * BATCH + 50)
    fill(root / "line-1" / "TTMUD", 60)
    index = ImageIndex(file, "first", LINE_1, folders)
    for number in range(steps):
        index.step()
        if number == steps // 2:
            index.save()  # what was done after it is lost
    index.close()
    again = scanned(file, folders)
    assert again.inspection() == folders.inspect_folder(LINE_1)
    assert again.seen_count == again.entry_count
    again.close()


def test_a_killed_scan_goes_on_from_what_it_had_stored(root: Path, folders: DataFolders, file: Path) -> None:  # S-5
    fill(root / "line-1" / "TPFIP", 3 * BATCH)
    with subprocess.Popen(
        [sys.executable, "-c", SCAN, str(file), str(root), str(BATCH)],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"half done")
        process.send_signal(signal.SIGKILL)
    index = ImageIndex(file, "first", LINE_1, folders)
    assert index.seen_count == BATCH, "it does not begin anew"
    index.close()
    again = scanned(file, folders)
    assert again.inspection() == folders.inspect_folder(LINE_1)
    again.close()


def test_another_scan_begins_anew(root: Path, folders: DataFolders, file: Path) -> None:  # D-7
    fill(root / "line-1" / "TPFIP", 30)
    scanned(file, folders).close()
    (root / "line-1" / "TPFIP" / "00000.png").unlink()
    again = scanned(file, folders, "second")
    assert again.inspection() == folders.inspect_folder(LINE_1)
    again.close()


def test_a_broken_index_is_made_anew(root: Path, folders: DataFolders, file: Path) -> None:
    fill(root / "line-1" / "TPFIP", 30)
    file.parent.mkdir()
    file.write_bytes(b"SQLite format 3\x00" + bytes(4000))
    index = scanned(file, folders)
    assert index.inspection() == folders.inspect_folder(LINE_1)
    index.close()


def test_a_data_path_that_goes_while_it_is_scanned_ends_the_scan(root: Path, folders: DataFolders, file: Path) -> None:
    fill(root / "line-1" / "TPFIP", 2 * BATCH)
    index = ImageIndex(file, "first", LINE_1, folders)
    while index.step() and not index.seen_count:
        pass
    (root / "line-1").rename(root / "elsewhere")
    with pytest.raises(FolderNotFound):
        index.step()
    index.close()


# The pages ask it.


def test_images_come_page_by_page_in_the_order_of_names(root: Path, folders: DataFolders, file: Path) -> None:  # D-9
    fill(root / "line-1" / "TPFIP", 130)
    scanned(file, folders).close()
    with open_index(file, LINE_1) as index:
        assert index is not None
        assert index.count("TPFIP") == 130, "with the damaged ones, without what has no name"
        page = index.images("TPFIP", 60, 60)
        assert [image.folder.path for image in page] == [f"line-1/TPFIP/{number:05}.png" for number in range(60, 120)]
        assert [image.has_mask for image in page[:4]] == [True, False, False, True]
        assert len(index.images("TPFIP", 120, 60)) == 10
        assert index.images("TTMUD", 0, 60) == []


def test_a_folder_that_changed_is_noticed(root: Path, folders: DataFolders, file: Path) -> None:
    fill(root / "line-1" / "TPFIP", 5)
    age(root)
    scanned(file, folders).close()
    with open_index(file, LINE_1) as index:
        assert index is not None
        assert not index.is_outdated("TPFIP", folders)
        (root / "line-1" / "TPFIP" / "masks" / "00001.png").write_bytes(picture())
        assert index.is_outdated("TPFIP", folders)


def test_a_folder_that_changed_just_before_is_not_trusted(root: Path, folders: DataFolders, file: Path) -> None:
    fill(root / "line-1" / "TPFIP", 5)
    scanned(file, folders).close()
    with open_index(file, LINE_1) as index:
        assert index is not None
        assert index.is_outdated("TPFIP", folders), "a further change might not move the clock of the file system"


def test_what_is_no_index_is_none(file: Path) -> None:
    with open_index(file, LINE_1) as index:
        assert index is None
    file.parent.mkdir()
    file.write_bytes(b"no database at all" * 50)
    with open_index(file, LINE_1) as index:
        assert index is None


def test_pages_may_ask_while_the_scan_runs(root: Path, folders: DataFolders, file: Path) -> None:  # S-5
    fill(root / "line-1" / "TPFIP", 2 * BATCH)
    index = ImageIndex(file, "first", LINE_1, folders)
    while index.step() and not index.seen_count:
        pass
    index.save()
    with open_index(file, LINE_1) as reading:
        assert reading is not None
        assert 0 < reading.count("TPFIP") <= 2 * BATCH
        names = [image.folder.path for image in reading.images("TPFIP", 0, 60)]
        assert names == sorted(names)
        assert len(names) == 60
    index.close()
