"""Training: our step and our loop against torchvision's usual recipe, the time to the same accuracy, and what the loop costs beside
learning: waiting for images, and telling the world.

Both sides have the same model, batch size, threads and machine and take turns. Other programs slow down whoever has fewer threads,
so beside images per second there are images per second of CPU time, which they touch less.
"""

import itertools
import os
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the worker sets it, for both sides

import msgspec
import numpy as np
import torch
import torchvision  # type: ignore[import-untyped]
from PIL import Image
from torch.nn import functional

from benchmarks import rank_steps
from benchmarks.harness import Bench, Row, bench, in_turns, median_ratio
from benchmarks.plain_recipe import PlainTraining, plain_transform
from benchmarks.real_images import REAL_IMAGES, STRIP, count_images
from domain.messages import AnyReport, Resources, StageFinished, TrainingOrder, ValidationMeasured
from domain.model_packages import NetworkInput
from domain.training_parameters import Augmentation, SgdParameters
from gpu_worker.augmentation import Draw, augment, draw
from gpu_worker.batches import Chosen, Fetched
from gpu_worker.channel import Answer, Channel, Deliver, FromJob, ToJob
from gpu_worker.devices import chosen_device, fastest_precision, pinned
from gpu_worker.job_process import Worker
from gpu_worker.jobs import Job, JobStopped, Progress
from gpu_worker.loss_curve import LossCurve
from gpu_worker.metrics import standardized
from gpu_worker.networks import new_network
from gpu_worker.parts import parts_of
from gpu_worker.preprocessing import Prepared, prepare
from gpu_worker.randomness import stream
from gpu_worker.rank_agent import RankAgent
from gpu_worker.settings import Precision, TrainingSettings
from gpu_worker.sgd import Sgd
from gpu_worker.team import FEWEST_NORMALIZED
from gpu_worker.training import new_step, train
from tests.gpu_worker.test_loss_curve import START
from tests.gpu_worker.workplace import MountedFolders, Workplace, an_order

INPUT = NetworkInput(width=128, height=128)
"""As in the shipped package."""
BATCH = 32
THREADS = 2
STEPS, STEPS_OF_A_GPU = 4, 400
"""A turn of the step benchmark."""
AUGMENTATIONS = (Augmentation.FLIPPING, Augmentation.SCALING, Augmentation.COLOR_ENHANCEMENT)
"""What the recipe does, too."""

CODES = ("CHIP", "MURA", "OK", "SCRATCH")
TRAINING_IMAGES, VALIDATION_IMAGES = 128, 32
SOURCE_SIZE = (1280, 960)
"""1.2 megapixels, among the smallest of the cameras that inspect; larger photographs take longer to decode."""
EPOCHS, EPOCHS_OF_A_GPU = 4, 3000
MOST_SECONDS_IN_RANKS = 1800.0
MOST_LONG_ROUNDS = 3
"""A whole training of both takes half a minute."""

STEEL = REAL_IMAGES / STRIP
STEEL_EPOCHS = 12
STEEL_RATE = 0.05

FAST_STEP_SECONDS = 0.005
"""A step of a small network on a fast GPU: the most reports that there can be for the work done."""
REPORTED_ITERATIONS = 40_000


def wanted_ratio() -> float:
    """Where the CPU has AVX-512 instructions for bfloat16 a step takes half as long, so more is wanted of it."""
    return 2.5 if "avx512_bf16" in Path("/proc/cpuinfo").read_text() else 1.3


class Synthetic:
    """A batch of noise that lies ready on the device, augmented or not; it is the same each time."""

    def __init__(self, device: torch.device, augmentations: Sequence[Augmentation]) -> None:
        self.augmentations, self.device = augmentations, device
        self.pixels = torch.randint(0, 256, (BATCH, 3, INPUT.height, INPUT.width), dtype=torch.uint8, device=device)
        self.labels = torch.arange(BATCH, device=device) % len(CODES)
        self.images = standardized(self.pixels.float() / 255, INPUT)

    def chosen(self, iteration: int) -> Chosen:
        """All of it."""
        return Chosen(np.arange(BATCH), draw(BATCH, self.augmentations, stream(1, "bench", iteration)))

    def fetch(self, chosen: Chosen) -> Fetched:
        """Those of a lane."""
        indices = torch.from_numpy(chosen.indices).to(self.device)
        return Fetched(self.pixels[indices], self.labels[indices], pinned(chosen.drawn.packed(), self.device))

    def make(self, fetched: Fetched) -> tuple[torch.Tensor, torch.Tensor]:
        """As a training does."""
        pixels = fetched.pixels.float() / 255
        return standardized(augment(pixels, Draw.unpacked(fetched.drawn), self.augmentations), INPUT), fetched.labels


class Ready(Synthetic):
    """The same images each time, with nothing left to do."""

    def __init__(self, device: torch.device, augmentations: Sequence[Augmentation]) -> None:
        super().__init__(device, augmentations)
        self.everything = super().chosen(0)
        self.fetched = super().fetch(self.everything).to(device)

    def chosen(self, _: int) -> Chosen:
        """Nothing is drawn."""
        return self.everything

    def fetch(self, _: Chosen) -> Fetched:
        """Nothing is moved."""
        return self.fetched

    def make(self, fetched: Fetched) -> tuple[torch.Tensor, torch.Tensor]:
        """Those that lie ready."""
        return self.images[: len(fetched.labels)], fetched.labels


class OurStep:
    """Pixels of 8 bits to moved weights, as the worker does it on this machine."""

    def __init__(self, *, is_augmented: bool = True) -> None:
        self.device = chosen_device(Resources())
        self.precision = fastest_precision(new_network("ResNet18", len(CODES), seed=1), INPUT, self.device)
        self.model = new_network("ResNet18", len(CODES), seed=1).to(self.device).to(memory_format=torch.channels_last)
        self.optimizer = Sgd(self.model, SgdParameters(base_lr=0.01, batch_size=BATCH, max_iter=1), {})
        self.iterations = itertools.count()
        self.step_count = STEPS_OF_A_GPU if self.device.type == "cuda" else STEPS
        self.step = new_step(
            self.model,
            functional.cross_entropy,
            (Synthetic if is_augmented else Ready)(self.device, AUGMENTATIONS),
            self.device,
            image_count=BATCH,
            fewest_normalized=FEWEST_NORMALIZED,
            bfloat16=self.precision is Precision.BFLOAT16,
        )

    def __call__(self) -> float:
        """Images a second over some steps."""
        with self.step:
            self._learn()  # threads begin, or the step is recorded
            _finish(self.device)
            started = time.perf_counter()
            for _ in range(self.step_count):
                self._learn()
            _finish(self.device)
            return self.step_count * BATCH / (time.perf_counter() - started)

    def _learn(self) -> None:
        self.step.learn(next(self.iterations))
        self.optimizer.step(0.01)


class PlainStep:
    """The same in float32 and torch's default layout, augmented sample by sample."""

    def __init__(self) -> None:
        self.device = chosen_device(Resources())
        self.model = torchvision.models.resnet18(weights=None, num_classes=len(CODES)).to(self.device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
        self.pixels = torch.randint(0, 256, (BATCH, 3, INPUT.height, INPUT.width), dtype=torch.uint8)
        self.labels = torch.arange(BATCH, device=self.device) % len(CODES)
        self.transform = plain_transform(INPUT)

    def __call__(self) -> float:
        """Images a second over some steps."""
        started = time.perf_counter()
        for _ in range(STEPS):
            images = torch.stack([self.transform(sample) for sample in self.pixels]).to(self.device)
            self.optimizer.zero_grad()
            loss = functional.cross_entropy(self.model(images), self.labels)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        _finish(self.device)
        return STEPS * BATCH / (time.perf_counter() - started)


class Moment(NamedTuple):
    """A time on the clock, and the CPU time spent until then by this process and those it started."""

    clock: float
    cpu: float


class Speeds(NamedTuple):
    """Images a second of one training: all of it, and from the second epoch on, by the clock and by CPU time; and the share of the
    time from the second epoch on that was spent waiting for images.
    """

    whole: float
    later: float
    later_by_cpu: float
    waiting: float


@dataclass
class WatchedJob:
    """A job that notes when each iteration ended: after each one the loop asks whether to stop."""

    job: Job
    wanted_accuracy: float = 2.0
    moments: list[Moment] = field(default_factory=list)
    seconds_to_accuracy: float | None = None
    """Since the job began; None as long as it is not there."""

    def __post_init__(self) -> None:
        self.began = _now()
        self.stage_count = 0

    def watched(self) -> Job:
        """The job to give to a training."""
        return replace(self.job, report=self._report, tell=lambda _: None, is_stopping=self._is_stopping)

    def _report(self, report: AnyReport) -> None:
        self.stage_count += isinstance(report, StageFinished)
        if isinstance(report, ValidationMeasured) and (report.accuracy or 0.0) >= self.wanted_accuracy:
            self.seconds_to_accuracy = _now().clock - self.began.clock

    def _is_stopping(self) -> bool:
        now = _now()
        if self.stage_count == 3:
            self.moments.append(now)
        return self.seconds_to_accuracy is not None


@bench
def training_step(bench: Bench) -> Iterator[Row]:
    """One step, from pixels in memory."""
    with _threads():
        ours, plain = in_turns(bench.rounds, OurStep(), PlainStep())
    yield _row("training step, ResNet18 at 128 × 128", ours, plain, "plain float32 step", 1.0)


@bench
def training_from_files(bench: Bench) -> Iterator[Row]:
    """A whole training of a few epochs from JPEG files: reading, decoding, learning, validating."""
    ours: list[Speeds] = []
    plain: list[Speeds] = []
    with tempfile.TemporaryDirectory() as name, _threads():
        folder = Path(name)
        count = max(1, round(bench.share * TRAINING_IMAGES / BATCH)) * BATCH
        _write_images(folder / "training", count)
        _write_images(folder / "validation", VALIDATION_IMAGES)
        for number in range(min(bench.rounds, MOST_LONG_ROUNDS) + 1):
            ours.append(_our_speeds(folder, number, count))
            plain.append(_plain_speeds(folder, count))
    for kind, unit, least in (
        ("whole", "images/s", 1.0),
        ("later", "images/s", wanted_ratio()),
        ("later_by_cpu", "img/CPU-s", wanted_ratio()),
    ):
        title = {
            "whole": "end to end",
            "later": "from the 2nd epoch on",
            "later_by_cpu": "the same by CPU time",
        }[kind]
        figures, compared = ([getattr(speeds, kind) for speeds in side[1:]] for side in (ours, plain))
        yield _row(f"training from JPEG, {title}", figures, compared, "torchvision's recipe", least, unit)
    yield Row(
        name="waiting for images, share of the time",
        figure=100 * statistics.median(speeds.waiting for speeds in ours[1:]),
        unit="%",
        compared_with="torchvision's recipe",
        compared_figure=100 * statistics.median(speeds.waiting for speeds in plain[1:]),
        most=1.0,
    )


@bench
def training_to_accuracy(_: Bench) -> Iterator[Row]:
    """How soon ours is as right as the recipe ever gets, on the same split of real images at the same rates, everything counted."""
    if not STEEL.is_dir():
        print(f"no real images in {STEEL}: the time to an accuracy is not measured")
        return
    with tempfile.TemporaryDirectory() as name, _threads():
        folder = Path(name)
        order = _steel_order()
        _split_into(folder, prepare(order, _job(folder / "split", STEEL)))
        accuracy, plain = _plain_best(folder, order.training_parameters.classification)
        watched = WatchedJob(_job(folder / "ours", STEEL), accuracy)
        with suppress(JobStopped):
            train(order, Resources(), watched.watched(), TrainingSettings())
        ours = watched.seconds_to_accuracy
    yield Row(
        name=f"time until {accuracy:.1%} of real images are right",
        figure=ours or _now().clock - watched.began.clock,
        unit="s",
        compared_with="torchvision's recipe, at its best, times as long"
        if ours
        else "torchvision's recipe; ours never was",
        compared_figure=plain,
        ratio=plain / ours if ours else 0.0,
        least_ratio=1.3,
    )


@bench
def training_reports(bench: Bench) -> Iterator[Row]:
    """What telling the world takes from the loop: losses, progress, the metrics file; reports cross a socket to another thread.

    By CPU time, because a few microseconds are nothing a busy machine's clock could tell.
    """
    with tempfile.TemporaryDirectory() as name, _threads():
        reporting, steps = in_turns(bench.rounds, lambda: _reporting_seconds(Path(name)), _step_seconds())
    seconds, step = statistics.median(reporting), statistics.median(steps)
    yield Row(name="events, share of a step of 5 ms", figure=100 * seconds / FAST_STEP_SECONDS, unit="%", most=0.5)
    yield Row(name="events, share of a step of this machine", figure=100 * seconds / step, unit="%", most=0.5)


@bench
def training_in_ranks(bench: Bench) -> Iterator[Row]:
    """Two processes that share each batch over gloo, a thread each."""
    with tempfile.TemporaryDirectory() as name:
        answer = Path(name) / "speeds.json"
        arguments = ("-m", "benchmarks.rank_steps", str(bench.rounds), str(answer), str(os.getpid()))
        with RankAgent(THREADS, arguments, has_gpu_each=False) as agent:
            agent.wait(MOST_SECONDS_IN_RANKS)
        speeds = msgspec.json.decode(answer.read_bytes(), type=rank_steps.Speeds)
    # A busy machine is shared out by processes before it is by threads, so one process is compared by CPU time alone.
    for name, compared, attribute, unit, least in (
        ("DistributedDataParallel", speeds.torchs, "by_clock", "images/s", 0.95),
        ("DistributedDataParallel", speeds.torchs, "by_cpu", "img/CPU-s", 0.95),
        ("two lanes of one process, which exchange nothing", speeds.one_process, "by_cpu", "img/CPU-s", None),
    ):
        ours, others = ([getattr(speed, attribute) for speed in side] for side in (speeds.ours, compared))
        row = "step of two processes" if attribute == "by_clock" else "step of two processes, by CPU time"
        yield _row(row, ours, others, name, least, unit)


@bench
def training_against_synthetic(bench: Bench) -> Iterator[Row]:
    """On a GPU: our loop from real images against steps on one batch that lies ready on the device."""
    if not torch.cuda.is_available():
        print("no GPU: the loop is not compared with synthetic tensors on one")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_images(folder / "training", TRAINING_IMAGES)
        _write_images(folder / "validation", VALIDATION_IMAGES)
        numbers = itertools.count()
        ours, synthetic = in_turns(
            bench.rounds,
            lambda: _our_speeds(folder, next(numbers), TRAINING_IMAGES, epochs=EPOCHS_OF_A_GPU).later,
            OurStep(is_augmented=False),
        )
    yield _row("training on a GPU, from the 2nd epoch on", ours, synthetic, "synthetic tensors on it", 0.9)


def _our_speeds(folder: Path, number: int, image_count: int, epochs: int = EPOCHS) -> Speeds:
    per_epoch = image_count // BATCH
    order = msgspec.structs.replace(
        an_order(
            codes=CODES,
            batch_size=BATCH,
            max_iter=epochs * per_epoch,
            base_lr=0.01,
            data_paths=("training", "validation"),
            split_ratio=image_count / (image_count + VALIDATION_IMAGES),
            augmentations=AUGMENTATIONS,
        ),
        input=INPUT,
    )
    watched = WatchedJob(_job(folder / f"ours-{number}", folder))
    train(order, Resources(), watched.watched(), TrainingSettings())
    after = [watched.began, *(watched.moments[epoch * per_epoch - 1] for epoch in range(1, epochs + 1))]
    gathering = _gathering_seconds(order, replace(watched.job, report=lambda _: None), (epochs - 1) * per_epoch)
    return _speeds(after, image_count, gathering)


def _plain_speeds(folder: Path, image_count: int) -> Speeds:
    began = _now()
    training = PlainTraining(
        folder / "training", folder / "validation", INPUT, batch_size=BATCH, workers=THREADS, rate=lambda _: 0.01
    )
    after, waited = [began], []
    for _ in training.epochs(EPOCHS):
        after.append(_now())
        waited.append(training.waited_seconds)
    return _speeds(after, image_count, waited[-1] - waited[0])


def _speeds(after: Sequence[Moment], image_count: int, waiting_seconds: float) -> Speeds:
    """`after` are the moments after each epoch of `image_count` images, the start being the first."""
    epochs = len(after) - 1

    def since(epoch: int) -> tuple[int, Moment]:
        spent = Moment(after[-1].clock - after[epoch].clock, after[-1].cpu - after[epoch].cpu)
        return (epochs - epoch) * image_count, spent

    (everything, whole), (most, later) = since(0), since(1)
    return Speeds(
        whole=everything / whole.clock,
        later=most / later.clock,
        later_by_cpu=most / later.cpu,
        waiting=waiting_seconds / later.clock,
    )


def _gathering_seconds(order: TrainingOrder, job: Job, iterations: int) -> float:
    """How long the loop waits for the pixels of so many batches: they are read from the decoded files in the loop itself."""
    (part,) = parts_of(order, prepare(order, job))
    batches = part.batches(torch.device("cpu"))
    started = time.perf_counter()
    for iteration in range(iterations):
        batches.images.gather(batches.batch_order.indices(iteration))
    return time.perf_counter() - started


def _steel_order() -> TrainingOrder:
    codes = tuple(sorted(folder.name for folder in STEEL.iterdir() if folder.is_dir()))
    learnt_from = int(0.8 * count_images(STEEL / code for code in codes))
    order = an_order(
        codes=codes,
        batch_size=BATCH,
        max_iter=STEEL_EPOCHS * learnt_from // BATCH,
        base_lr=STEEL_RATE,
        split_ratio=0.8,
        resolution_screening=False,
        augmentations=AUGMENTATIONS,
    )
    return msgspec.structs.replace(order, input=INPUT)


def _split_into(folder: Path, prepared: Prepared) -> None:
    """Links to the images of each side, as ImageFolder wants them."""
    for image, validates in zip(prepared.screening.compliant, prepared.validates, strict=True):
        link = folder / ("validation" if validates else "training") / image.found.folder.path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(STEEL / image.found.folder.path)


def _plain_best(folder: Path, sgd: SgdParameters) -> tuple[float, float]:
    """The best validation accuracy of the recipe after any of its epochs, and the seconds until it was there."""
    started = time.perf_counter()
    training = PlainTraining(
        folder / "training",
        folder / "validation",
        INPUT,
        batch_size=BATCH,
        workers=THREADS,
        rate=lambda iteration: sgd.base_lr * max(0.0, 1 - iteration / sgd.max_iter) ** sgd.power,
    )
    after_epochs = [(accuracy, time.perf_counter() - started) for accuracy in training.epochs(STEEL_EPOCHS)]
    return max(after_epochs, key=lambda epoch: epoch[0])


def _step_seconds() -> Callable[[], float]:
    ours = OurStep()

    def seconds() -> float:
        started = time.process_time()
        ours()
        return (time.process_time() - started) / (ours.step_count + 1)

    return seconds


def _reporting_seconds(folder: Path) -> float:
    """A turn: the CPU seconds of an iteration that are not learning, as if it took 5 ms and every 200th ended a second."""
    ours, theirs = socket.socketpair()
    answering = threading.Thread(target=_answer, args=(Channel[ToJob, FromJob](Connection(theirs.detach()), FromJob),))
    answering.start()
    channel = Channel[FromJob, ToJob](Connection(ours.detach()), ToJob)
    worker = Worker(channel)
    job = replace(_job(folder, folder), report=worker.report, tell=worker.tell)
    loss = torch.tensor(0.5)
    publishes_every = round(1 / FAST_STEP_SECONDS)
    started = time.thread_time()
    with LossCurve(job, START, REPORTED_ITERATIONS, torch.device("cpu")) as curve:
        for iteration in range(1, REPORTED_ITERATIONS + 1):
            curve.add(loss, 0.01)
            if curve.is_due() or iteration % publishes_every == 0:
                curve.publish(everything=True)
                job.tell(Progress(share=0.5, activity="", iteration=iteration, loss=curve.latest))
    seconds = time.thread_time() - started
    channel.connection.close()
    answering.join()
    return seconds / REPORTED_ITERATIONS


def _answer(channel: Channel[ToJob, FromJob]) -> None:
    """The worker's side: every report arrives at once."""
    try:
        while True:
            if isinstance(channel.receive(), Deliver):
                channel.send(Answer())
    except EOFError:
        channel.connection.close()


def _finish(device: torch.device) -> None:
    """A GPU works ahead of the program."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _row(
    name: str,
    ours: Sequence[float],
    plain: Sequence[float],
    compared_with: str,
    least: float | None,
    unit: str = "images/s",
) -> Row:
    return Row(
        name=name,
        figure=statistics.median(ours),
        unit=unit,
        compared_with=compared_with,
        compared_figure=statistics.median(plain),
        ratio=median_ratio(ours, plain),
        least_ratio=least,
    )


def _job(folder: Path, images: Path) -> Job:
    """A job with nothing decoded yet."""
    folder.mkdir(exist_ok=True)
    return replace(Workplace(folder).job(cpu_cores=THREADS), folders=MountedFolders(images))


def _write_images(folder: Path, count: int) -> None:
    """Photographs of something soft with the noise of a camera, a folder for each code."""
    random = np.random.default_rng(1)
    width, height = SOURCE_SIZE
    for number in range(count):
        code = CODES[number % len(CODES)]
        (folder / code).mkdir(parents=True, exist_ok=True)
        coarse = random.integers(60, 200, (height // 40, width // 40, 3), dtype=np.uint8)
        soft = np.asarray(Image.fromarray(coarse).resize(SOURCE_SIZE, Image.Resampling.BICUBIC), dtype=np.float32)
        noisy = soft + random.normal(0, 6, soft.shape)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / code / f"{number}.jpg", quality=90)


def _now() -> Moment:
    return Moment(time.perf_counter(), time.process_time() + sum(map(_cpu_seconds, _children())))


def _children() -> list[str]:
    children: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that ended just now
            children += (task / "children").read_text().split()
    return children


def _cpu_seconds(process: str) -> float:
    times = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(before)
