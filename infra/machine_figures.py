"""Measures how busy this machine is: processors, memory, disks, GPU cards.

A `MachineMeter` measures when it is asked. A `MachineWatch` does so in a thread of its own, because a network storage or a driver
that hangs must hold up neither a heartbeat nor a page.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import psutil

from domain.machine_figures import Card, Disk, MachineFigures, Place, PlaceKind
from domain.system_resources import MachineSays
from infra.settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")

MEASURE_EVERY_SECONDS = 5.0
"""Often enough to see a job begin; at some 0.2 ms a measurement it takes four thousandths of a percent of one core."""
FRESH_SECONDS = 15.0
"""What is older than three measurements says nothing of this moment."""
ASK_DRIVER_AGAIN_SECONDS = 60.0
"""A driver that is installed, updated or repaired while we run is noticed within so long."""
_FIRST_AFTER_SECONDS = 0.2
"""The load of the processors is a mean over some time."""
_CGROUP = Path("/sys/fs/cgroup")


def watched_places(settings: Settings) -> dict[Place, Path]:
    """The folders whose file systems may fill up: those of this machine, so a worker without a state folder has none."""
    places = {Place(PlaceKind.STATE): settings.state} if settings.state.is_dir() else {}
    places[Place(PlaceKind.SHARED)] = settings.shared
    return places | {Place(PlaceKind.DATA_ROOT, name): folder for name, folder in settings.data_roots.items()}


class MachineMeter:
    """Measures when it is asked; not from several threads at once."""

    def __init__(self, places: Mapping[Place, Path], nvml: Any = None, cgroup: Path = _CGROUP) -> None:
        """`nvml` is NVIDIA's binding, `cgroup` the folder where the kernel says how much memory a container may use."""
        self._places, self._cards, self._cgroup = places, _Cards(nvml), cgroup
        self._ticks = _ticks()

    def measure(self) -> MachineFigures:
        """The figures of this moment; the first time the load of the processors is that since the meter was made."""
        before, self._ticks = self._ticks, _ticks()
        idle, total = (now - earlier for now, earlier in zip(self._ticks, before, strict=True))
        used, installed = _memory(self._cgroup)
        cards, problem = self._cards.measure()
        return MachineFigures(
            cpu_cores=os.cpu_count() or 1,
            cpu_load=min(1.0, max(0.0, 1 - idle / total)) if total > 0 else 0.0,
            memory_used_bytes=used,
            memory_total_bytes=installed,
            disks=_disks(self._places),
            cards=cards,
            cards_problem=problem,
        )


class MachineWatch:
    """Measures every few seconds until it is stopped."""

    def __init__(
        self,
        meter: MachineMeter,
        *,
        take: Callable[[MachineFigures], None] = lambda _figures: None,
        is_wanted: Callable[[], bool] = lambda: True,
        every_seconds: float = MEASURE_EVERY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`is_wanted` is asked before each measurement, and `take` is given it; what they raise in the thread is logged."""
        self._meter, self._take, self._is_wanted = meter, take, is_wanted
        self._every_seconds, self._clock = every_seconds, clock
        self._newest: tuple[float, MachineFigures] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="machine-watch", daemon=True)

    def start(self) -> None:
        """Begin; the first figures are there a moment later."""
        self._thread.start()

    def stop(self) -> None:
        """Nobody waits for a measurement that hangs: the thread ends with the process."""
        self._stop.set()
        self._thread.join(timeout=1.0)

    def newest(self) -> MachineFigures | None:
        """What was measured last; None before the first measurement, and once none has come for a while."""
        if self._newest is None or self._clock() - self._newest[0] > FRESH_SECONDS:
            return None
        return self._newest[1]

    def look(self) -> None:
        """Measure once, and pass it on."""
        if not self._is_wanted():
            return
        figures = self._meter.measure()
        self._newest = self._clock(), figures
        self._take(figures)

    def _run(self) -> None:
        pause = _FIRST_AFTER_SECONDS
        while not self._stop.wait(pause):
            pause = self._every_seconds
            try:
                self.look()
            except Exception:  # an edge: what a machine says of itself must end nothing
                log.exception("machine_not_measured")


class ThisMachine:
    """What this machine says of itself beside the announcements of a worker, which wait for no measurement."""

    def __init__(self, name: str, watch: MachineWatch) -> None:
        self._name, self._watch = name, watch

    def says(self) -> MachineSays:
        """Its name, and what was measured last."""
        return MachineSays(name=self._name, figures=self._watch.newest())


@contextlib.contextmanager
def watched_machine(settings: Settings) -> Iterator[ThisMachine]:
    """Inside, this machine is measured every few seconds."""
    watch = MachineWatch(MachineMeter(watched_places(settings)))
    watch.start()
    try:
        yield ThisMachine(settings.machine_name, watch)
    finally:
        watch.stop()


class _Cards:
    """What the driver of the GPU cards says, if there is one."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._is_open = False
        self._ask_at = 0.0
        self._problem = ""

    def measure(self) -> tuple[tuple[Card, ...], str]:
        """The cards, and the driver's sentence where it does not answer."""
        if not self._is_open and not self._opens():
            return (), self._problem
        try:
            return tuple(self._card(number) for number in range(self._nvml.nvmlDeviceGetCount())), ""
        except self._nvml.NVMLError as error:
            self._close()
            self._problem = str(error)
            return (), self._problem

    def _opens(self) -> bool:
        if time.monotonic() < self._ask_at:
            return False
        self._ask_at = time.monotonic() + ASK_DRIVER_AGAIN_SECONDS
        if self._nvml is None:
            import pynvml  # noqa: PLC0415 - a tenth of a second, which the start of no process should wait for

            self._nvml = pynvml
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            is_ordinary = error.value == self._nvml.NVML_ERROR_LIBRARY_NOT_FOUND  # a machine without GPUs
            self._problem = "" if is_ordinary else str(error)
            return False
        self._is_open = True
        return True

    def _close(self) -> None:
        self._is_open = False
        with contextlib.suppress(self._nvml.NVMLError):
            self._nvml.nvmlShutdown()

    def _card(self, number: int) -> Card:
        """A card that has fallen off the bus has no figures; the others have theirs."""
        nvml = self._nvml
        try:
            card = nvml.nvmlDeviceGetHandleByIndex(number)
        except nvml.NVMLError:
            return Card()
        memory = self._asked(lambda: nvml.nvmlDeviceGetMemoryInfo(card))
        rates = self._asked(lambda: nvml.nvmlDeviceGetUtilizationRates(card))
        return Card(
            name=self._asked(lambda: nvml.nvmlDeviceGetName(card)) or "",
            load=rates.gpu / 100 if rates else None,
            used_bytes=int(memory.used) if memory else None,
            total_bytes=int(memory.total) if memory else None,
            celsius=self._asked(lambda: nvml.nvmlDeviceGetTemperature(card, nvml.NVML_TEMPERATURE_GPU)),
        )

    def _asked(self, question: Callable[[], T]) -> T | None:
        """Virtual and partitioned cards answer some questions only."""
        try:
            return question()
        except self._nvml.NVMLError:
            return None


def _ticks() -> tuple[float, float]:
    """Seconds that the cores were idle, and all seconds, since the machine was started."""
    times = psutil.cpu_times()
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # counted in `user` and `nice`, too
    return times.idle + getattr(times, "iowait", 0.0), sum(times) - guests


def _memory(cgroup: Path) -> tuple[int, int]:
    """Used and there, in bytes: of the container where it may use less than the machine has."""
    machine = psutil.virtual_memory()
    granted = _number_in(cgroup / "memory.max")
    taken = _number_in(cgroup / "memory.current")
    if granted is None or taken is None or granted >= machine.total:
        return machine.total - machine.available, machine.total
    return max(0, taken - _file_cache(cgroup / "memory.stat")), granted


def _number_in(file: Path) -> int | None:
    """None where there is no such file, or “max” in it."""
    try:
        content = file.read_text().strip()
    except OSError:
        return None
    return int(content) if content.isdecimal() else None


def _file_cache(statistics: Path) -> int:
    """What the kernel gives back as soon as a program asks for memory."""
    with contextlib.suppress(OSError):
        for line in statistics.read_text().splitlines():
            name, _, number = line.partition(" ")
            if name == "inactive_file":
                return int(number)
    return 0


def _disks(places: Mapping[Place, Path]) -> tuple[Disk, ...]:
    """A file system each, in the order in which its first place is named."""
    together: dict[object, tuple[list[Place], Path | None]] = {}
    for place, folder in places.items():
        try:
            device: object = folder.stat().st_dev
        except OSError:
            together[place] = [place], None
        else:
            together.setdefault(device, ([], folder))[0].append(place)
    return tuple(_disk(tuple(found), folder) for found, folder in together.values())


def _disk(places: tuple[Place, ...], folder: Path | None) -> Disk:
    if folder is None:
        return Disk(places=places)
    try:
        usage = psutil.disk_usage(str(folder))
    except OSError:
        return Disk(places=places)
    return Disk(places=places, used_bytes=usage.used, total_bytes=usage.used + usage.free)
