"""What a machine says of itself: with GPUs, without, and where something is broken."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import psutil
import pynvml
import pytest

from domain.machine_figures import Card, Disk, MachineFigures, Place, PlaceKind
from infra.machine_figures import ASK_DRIVER_AGAIN_SECONDS, FRESH_SECONDS, MachineMeter, MachineWatch, watched_places
from infra.settings import read_settings

GIB = 1 << 30
STATE, SHARED = Place(PlaceKind.STATE), Place(PlaceKind.SHARED)
LINE_3 = Place(PlaceKind.DATA_ROOT, "line-3")
IDLE = MachineFigures(cpu_cores=2, cpu_load=0.0, memory_used_bytes=GIB, memory_total_bytes=4 * GIB)


class Driver:
    """Two cards, of which the second is lost, partitioned or well."""

    NVMLError = pynvml.NVMLError
    NVML_ERROR_LIBRARY_NOT_FOUND = pynvml.NVML_ERROR_LIBRARY_NOT_FOUND
    NVML_TEMPERATURE_GPU = pynvml.NVML_TEMPERATURE_GPU

    def __init__(self, **failing: int) -> None:
        self.failing = failing
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        answers: dict[str, Any] = {
            "nvmlInit": None,
            "nvmlShutdown": None,
            "nvmlDeviceGetCount": 2,
            "nvmlDeviceGetHandleByIndex": 0,
            "nvmlDeviceGetName": "NVIDIA H100",
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=20 * GIB, total=80 * GIB),
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=75),
            "nvmlDeviceGetTemperature": 61,
        }

        def answer(number: int = 0, *_: int) -> Any:
            self.asked.append(name)
            if name in self.failing and (name != "nvmlDeviceGetHandleByIndex" or number == 1):
                raise pynvml.NVMLError(self.failing[name])
            return answers[name]

        return answer


def figures(driver: Driver) -> MachineFigures:
    return MachineMeter({}, driver).measure()


def test_processors_and_memory_are_those_of_the_machine() -> None:  # O-1
    found = MachineMeter({}).measure()
    assert found.cpu_cores == os.cpu_count()
    assert 0 <= found.cpu_load <= 1
    assert found.memory_total_bytes <= psutil.virtual_memory().total
    assert 0 < found.memory_used < 1


def test_the_load_is_that_since_the_measurement_before() -> None:  # O-1
    meter = MachineMeter({})
    before = psutil.cpu_times()
    used = 0.0
    while used < 0.3:  # work of our own, in ticks of the kernel's
        used = sum(psutil.cpu_times()[:3]) - sum(before[:3])
    busy = meter.measure()
    assert busy.cpu_load > 0


def test_a_container_has_the_memory_that_it_may_use(tmp_path: Path) -> None:  # O-1
    for name, content in (
        ("memory.max", f"{GIB}\n"),
        ("memory.current", f"{GIB // 2}\n"),
        ("memory.stat", f"anon 12345\ninactive_file {GIB // 4}\nactive_file 99\n"),
    ):
        (tmp_path / name).write_text(content)
    found = MachineMeter({}, cgroup=tmp_path).measure()
    assert (found.memory_used_bytes, found.memory_total_bytes) == (GIB // 4, GIB)


def test_a_container_without_a_limit_has_the_memory_of_the_machine(tmp_path: Path) -> None:  # O-1
    (tmp_path / "memory.max").write_text("max\n")
    assert MachineMeter({}, cgroup=tmp_path).measure().memory_total_bytes == psutil.virtual_memory().total


def test_folders_of_one_file_system_share_a_disk(tmp_path: Path) -> None:  # O-1
    (tmp_path / "state").mkdir()
    found = MachineMeter({STATE: tmp_path / "state", SHARED: tmp_path, LINE_3: Path("/proc")}).measure().disks
    assert [disk.places for disk in found] == [(STATE, SHARED), (LINE_3,)]
    whole = os.statvfs(tmp_path)
    assert found[0].total_bytes is not None
    assert 0 < found[0].total_bytes <= whole.f_blocks * whole.f_frsize
    assert found[0].used is not None
    assert 0 < found[0].used < 1


def test_no_figure_tells_the_path_of_a_folder(tmp_path: Path) -> None:  # D-4
    (tmp_path / "line-3-images").mkdir()
    places = {LINE_3: tmp_path / "line-3-images", SHARED: tmp_path / "unmounted"}
    told = msgspec.json.encode(MachineMeter(places).measure()).decode()
    assert "line-3" in told
    assert not [part for part in (*tmp_path.parts[1:], "line-3-images", "unmounted") if part in told]


def test_a_data_root_that_is_not_mounted_is_told_and_the_others_are_measured(tmp_path: Path) -> None:  # O-1
    found = MachineMeter({LINE_3: tmp_path / "unmounted", SHARED: tmp_path}).measure().disks
    assert found[0] == Disk(places=(LINE_3,))
    assert found[0].used is None
    assert found[1].total_bytes is not None


def test_a_worker_without_a_state_folder_watches_none(tmp_path: Path) -> None:  # K-4
    settings = read_settings({"ASSAY_STATE": str(tmp_path / "state"), "ASSAY_DATA_ROOTS": "line-3=/images"})
    assert watched_places(settings) == {SHARED: settings.shared, LINE_3: Path("/images")}
    settings.state.mkdir()
    assert watched_places(settings)[STATE] == settings.state


def test_each_card_says_how_busy_how_full_and_how_warm_it_is() -> None:  # O-1
    found = figures(Driver())
    card = Card(name="NVIDIA H100", load=0.75, used_bytes=20 * GIB, total_bytes=80 * GIB, celsius=61)
    assert found.cards == (card, card)
    assert (card.used, found.cards_problem) == (0.25, "")


def test_a_machine_without_gpus_is_an_ordinary_case() -> None:  # O-1
    found = figures(Driver(nvmlInit=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND))
    assert (found.cards, found.cards_problem) == ((), "")


@pytest.mark.parametrize("question", ["nvmlInit", "nvmlDeviceGetCount"])
def test_a_driver_that_does_not_answer_is_told(question: str) -> None:  # O-1
    found = figures(Driver(**{question: pynvml.NVML_ERROR_DRIVER_NOT_LOADED}))
    assert (found.cards, found.cards_problem) == ((), "Driver Not Loaded")


def test_a_card_that_is_lost_leaves_the_others_their_figures() -> None:  # O-1
    whole, lost = figures(Driver(nvmlDeviceGetHandleByIndex=pynvml.NVML_ERROR_GPU_IS_LOST)).cards
    assert whole.load == 0.75
    assert lost == Card()


def test_what_a_card_cannot_say_is_left_out() -> None:  # O-1
    found = figures(
        Driver(
            nvmlDeviceGetUtilizationRates=pynvml.NVML_ERROR_NOT_SUPPORTED,
            nvmlDeviceGetTemperature=pynvml.NVML_ERROR_NOT_SUPPORTED,
        )
    )
    assert found.cards[0] == Card(name="NVIDIA H100", used_bytes=20 * GIB, total_bytes=80 * GIB)


def test_a_broken_driver_is_not_asked_at_every_measurement() -> None:  # O-1
    driver = Driver(nvmlInit=pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
    meter = MachineMeter({}, driver)
    assert [meter.measure().cards_problem for _ in range(3)] == ["Driver Not Loaded"] * 3
    assert driver.asked == ["nvmlInit"]
    assert ASK_DRIVER_AGAIN_SECONDS < 120


def has_driver() -> bool:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    pynvml.nvmlShutdown()
    return True


@pytest.mark.skipif(not has_driver(), reason="this machine has no NVIDIA driver")
def test_real_cards_say_how_busy_and_how_full_they_are() -> None:  # O-1
    found = MachineMeter({}).measure()
    assert found.cards_problem == ""
    assert found.cards
    for card in found.cards:
        assert card.name
        assert card.load is not None
        assert card.used is not None


class Hanging:
    """A meter on a machine whose network storage does not answer."""

    def __init__(self) -> None:
        self.is_asked, self.answers = threading.Event(), threading.Event()

    def measure(self) -> MachineFigures:
        self.is_asked.set()
        assert self.answers.wait(30)
        return IDLE


def test_a_storage_that_hangs_holds_nobody_up() -> None:  # O-1
    meter = Hanging()
    watch = MachineWatch(meter)  # type: ignore[arg-type]
    watch.start()
    assert meter.is_asked.wait(30)
    assert watch.newest() is None
    meter.answers.set()
    watch.stop()


def test_old_figures_say_nothing_of_this_moment() -> None:  # O-1
    times = [100.0]
    taken: list[MachineFigures] = []
    watch = MachineWatch(MachineMeter({}), take=taken.append, clock=lambda: times[0])
    watch.look()
    assert [watch.newest()] == taken
    times[0] += FRESH_SECONDS + 1
    assert watch.newest() is None


def test_a_watch_goes_on_after_a_failure(caplog: pytest.LogCaptureFixture) -> None:  # O-1
    answers, is_over = iter([RuntimeError("no such file"), None]), threading.Event()

    def take(_figures: MachineFigures) -> None:
        if isinstance(error := next(answers), Exception):
            raise error
        is_over.set()

    watch = MachineWatch(MachineMeter({}), take=take, every_seconds=0.01)
    watch.start()
    assert is_over.wait(30)
    watch.stop()
    assert [record.message for record in caplog.records] == ["machine_not_measured"]
