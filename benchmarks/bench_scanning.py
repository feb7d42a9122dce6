"""How fast a folder of a hundred thousand images, and of a million files, is answered and scanned, and in how much memory.

The scan is compared with the loop that anyone would write: list the folder, open every file with Pillow, note format and size.
"""

import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

from PIL import Image

from benchmarks.harness import Bench, Row, bench, in_turns, median_ratio
from domain.data_paths import FolderName
from infra.data_folders import DataFolders
from infra.image_index import ImageIndex, remove_index
from infra.scans import LOOK_SECONDS

IMAGES = int(os.environ.get("ASSAY_BENCH_IMAGES", "100000"))
COMPARED_IMAGES = IMAGES // 5
ENTRIES = 10 * IMAGES
CHECKOUT = Path(__file__).parents[1]
LARGE = FolderName("bench", "large")


@bench
def scanning(bench: Bench) -> Iterator[Row]:
    """The first answer, the whole scan against a plain loop, and the memory of a million entries."""
    root = bench.folder / "images"
    folders = DataFolders({"bench": root})
    _fill(root / "large" / "TPFIP", IMAGES)
    _fill(root / "compared" / "TPFIP", COMPARED_IMAGES)
    index = bench.folder / "index.sqlite"

    answers = [_seconds(lambda: _first_answer(folders)) for _ in range(bench.rounds)]
    yield Row(name=f"first answer, {IMAGES:,} images", figure=max(answers), unit="s", most=2.0)

    ours, plain = in_turns(
        bench.rounds,
        lambda: COMPARED_IMAGES / _seconds(lambda: _scan(index, FolderName("bench", "compared"), folders)),
        lambda: COMPARED_IMAGES / _seconds(lambda: _plain_loop(root / "compared" / "TPFIP")),
    )
    yield Row(
        name="scan",
        figure=statistics.median(ours),
        unit="images/s",
        compared_with="scandir, Image.open",
        compared_figure=statistics.median(plain),
        ratio=median_ratio(ours, plain),
        least_ratio=0.4,
    )
    seconds, mebibytes = _in_own_process(index, root)
    yield Row(name=f"scan, {IMAGES:,} images", figure=seconds, unit="s")
    yield Row(name=f"memory of it, {IMAGES:,} images", figure=mebibytes, unit="MiB", most=100)
    shutil.rmtree(root)
    _fill(root / "large" / "TPFIP", ENTRIES)
    seconds, more_mebibytes = _in_own_process(index, root)
    yield Row(name=f"scan, {ENTRIES:,} images", figure=seconds, unit="s")
    yield Row(
        name=f"memory of it, {ENTRIES:,} images",
        figure=more_mebibytes,
        unit="MiB",
        compared_with=f"{IMAGES:,} images",
        compared_figure=mebibytes,
        ratio=mebibytes / more_mebibytes,
        least_ratio=0.8,
    )
    answers = [_seconds(lambda: _first_answer(folders)) for _ in range(bench.rounds)]
    yield Row(name=f"first answer, {ENTRIES:,} images", figure=max(answers), unit="s", most=2.0)
    shutil.rmtree(root)


def scan_and_tell(index: str, root: str) -> None:
    """In a process of its own: scan, then print the seconds and the peak memory in MiB."""
    folders = DataFolders({"bench": Path(root)})
    seconds = _seconds(lambda: _scan(Path(index), LARGE, folders))
    # The kernel's high-water mark of this program; getrusage would tell that of the process it was forked from.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak
    print(seconds, int(peak[1]) / 1024)


def _in_own_process(index: Path, root: Path) -> tuple[float, float]:
    code = f"from benchmarks.bench_scanning import scan_and_tell; scan_and_tell({str(index)!r}, {str(root)!r})"
    told = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
    seconds, mebibytes = map(float, told.split())
    return seconds, mebibytes


def _fill(folder: Path, count: int) -> None:
    """Small images; what a scan reads of a file does not depend on its size."""
    folder.mkdir(parents=True)
    file = BytesIO()
    Image.new("L", (64, 48)).save(file, "PNG")
    content = file.getvalue()
    for number in range(count):
        (folder / f"{number:07}.png").write_bytes(content)


def _first_answer(folders: DataFolders) -> None:
    over_at = time.monotonic() + LOOK_SECONDS
    look = folders.look(LARGE, is_over=lambda: time.monotonic() >= over_at)
    assert look.inspection.image_count


def _scan(file: Path, data_path: FolderName, folders: DataFolders) -> None:
    """As the scanner does it: everything is stored every half a second."""
    index = ImageIndex(file, "bench", data_path, folders)
    save_at = time.monotonic() + 0.5
    while index.step():
        if time.monotonic() >= save_at:
            index.save()
            save_at = time.monotonic() + 0.5
    index.save()
    assert index.inspection().image_count
    index.close()
    remove_index(file)


def _plain_loop(folder: Path) -> None:
    seen: Counter[tuple[str | None, tuple[int, int]]] = Counter()
    with os.scandir(folder) as entries:
        for entry in entries:
            with Image.open(entry.path) as image:
                seen[image.format, image.size] += 1
    assert seen.total()


def _seconds(measured: Callable[[], None]) -> float:
    start = time.perf_counter()
    measured()
    return time.perf_counter() - start
