"""Reports of large question banks: every page of a report and of a comparison at 100,000 and at 1,000,000 images, and a zip of it.

Judged are the questions that a page asks of the read models, on real PostgreSQL and real evaluation artifacts; what the web server
adds is measured by `bench_lists`. Samples are made up from a seed: ten codes, one image of twenty misjudged.
"""

import resource
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import msgspec
import numpy as np

from benchmarks.harness import Bench, Row, bench, percentile
from domain.artifacts import Artifact
from domain.data_paths import FolderName
from domain.evaluation import Evaluation, EvaluationFigures, Sample, SampleState
from domain.evaluation_figures import figures_of
from domain.messages import VersionResult
from domain.prediction_jobs import PredictionCompleted
from infra.artifacts import Artifacts
from infra.connections import open_pool
from infra.event_store import create_tables, open_event_log
from infra.projector import Projector
from projections.comparisons import ComparedChoice, ComparedKind, Comparisons
from projections.evaluation_reports import EvaluationReports, SampleChoice
from projections.sample_index import make_index
from projections.sample_order import Order
from tests.examples import PREDICTION_COMPLETED, PREDICTION_QUEUED, PREDICTION_STARTED, History
from web.sample_zips import name_in_zip
from web.spreadsheets import Spreadsheet
from web.zips import Entry, zipped

CODES = tuple(f"CODE{number}" for number in range(10))
SIZES = (100_000, 1_000_000)
MOST_MILLISECONDS = 150.0
MOST_OPENING_SECONDS = {100_000: 5.0, 1_000_000: 60.0}
"""Once a report; whoever opens it first waits so long."""
MOST_INDEX_MIB = 1024.0
"""Of the process that makes the index of a comparison, whose images are matched by their names."""
MOST_ZIP_MIB = 32.0
"""What a zip takes beyond what was taken before, however many images there are."""
LABELS = ("v1.01", "v1.02")


@bench
def reports(bench: Bench) -> Iterator[Row]:
    """The slowest question's 95th percentile at each size, the first opening, and memory."""
    for size in (int(size * bench.share) for size in SIZES):
        folder = bench.folder / f"reports-{size}"
        artifacts = Artifacts(folder / "artifacts")
        evaluations = [_kept(folder, artifacts, size, seed) for seed in range(len(LABELS))]
        with bench.database() as database:
            job_id = _completed(database, size, evaluations)
            with open_pool(database) as pool:
                read = EvaluationReports(pool, artifacts, folder / "indexes")
                yield from _rows(bench, size, job_id, read, Comparisons(read), folder / "image.png")
        sources = [artifacts.path(artifact) for artifact, _ in evaluations]
        yield Row(
            name=f"index of a comparison of {size:,} images, memory",
            figure=_peak_mib(folder / "measured.samples", sources),
            unit="MiB",
            most=MOST_INDEX_MIB,
        )


def _rows(
    bench: Bench, size: int, job_id: UUID, read: EvaluationReports, compared: Comparisons, file: Path
) -> Iterator[Row]:
    for name, ask in (
        ("report", lambda: read.samples(job_id, LABELS[0])),
        ("comparison", lambda: compared.get(job_id)),
    ):
        yield Row(
            name=f"{name} of {size:,} images, first opening, CPU time",
            figure=_seconds(ask, time.process_time),  # what the machine does beside it says nothing about the index
            unit="s",
            most=MOST_OPENING_SECONDS.get(size),
        )
    for name, ask in _questions(job_id, read, compared, size).items():
        taken = [_seconds(ask) * 1000 for _ in range(4 * bench.rounds)]
        yield Row(
            name=f"{name} of {size:,} images, p95", figure=percentile(taken, 95), unit="ms", most=MOST_MILLISECONDS
        )
    yield Row(
        name=f"zip of {size // len(CODES):,} images, memory",
        figure=_zip_mib(read, job_id, file),
        unit="MiB",
        most=MOST_ZIP_MIB,
    )


def _zip_mib(read: EvaluationReports, job_id: UUID, file: Path) -> float:
    """The peak of sending all images of a code, each of which is the same small file, with their table."""
    file.write_bytes(b"an image")

    def entries() -> Iterator[Entry]:
        table = Spreadsheet("file", "path", "sha256")
        for sample in read.every_sample(job_id, LABELS[0], SampleChoice(true_defect_code=CODES[0])):
            name = name_in_zip(sample.true_defect_code, "predicted", sample.number, sample.file_name)
            table.add(name, str(sample.folder), sample.checksum)
            yield name, file
        yield "samples.csv", table.finished()

    tracemalloc.start()
    for _ in zipped(entries()):
        pass
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return peak


def _questions(
    job_id: UUID, read: EvaluationReports, compared: Comparisons, size: int
) -> Mapping[str, Callable[[], Any]]:
    """What the pages ask, the whole of each page together."""
    of_code, all_of = SampleChoice(true_defect_code=CODES[3], only_misjudged=True), SampleChoice()
    turned, fixed = SampleChoice(order=Order.LEAST_SURE), ComparedChoice(kind=ComparedKind.FIXED)

    def sample_page() -> None:
        read.sample(job_id, LABELS[0], size // 2)
        read.place(job_id, LABELS[0], size // 2, all_of)

    def comparison_page() -> None:
        compared.get(job_id)
        compared.counts(job_id)
        compared.samples(job_id, fixed)

    return {
        "report, misjudged of a code": lambda: read.samples(job_id, LABELS[0], of_code),
        "report, all judged, last page": lambda: read.samples(job_id, LABELS[0], all_of, page=10**9),
        "report, least sure first, middle": lambda: read.samples(job_id, LABELS[0], turned, page=size // 96),
        "sample with those beside it": sample_page,
        "comparison with its counts": comparison_page,
        "comparison, both right, last page": lambda: compared.samples(
            job_id, ComparedChoice(kind=ComparedKind.BOTH_RIGHT), page=10**9
        ),
    }


def _kept(folder: Path, artifacts: Artifacts, size: int, seed: int) -> tuple[Artifact, EvaluationFigures]:
    random = np.random.default_rng(seed)
    predicted_N = np.where(
        random.random(size) < 0.05, random.integers(0, len(CODES), size), np.arange(size) % len(CODES)
    )
    sure_N = random.uniform(0.4, 1.0, size)
    samples = []
    for number, (predicted, sure) in enumerate(zip(predicted_N.tolist(), sure_N.tolist(), strict=True)):
        true, rest = number % len(CODES), (1 - sure) / (len(CODES) - 1)
        scores = tuple(sure if code == predicted else rest for code in range(len(CODES)))
        path = FolderName("data", f"line-3/question-bank/{CODES[true]}/{number:08d}.png")
        samples.append(Sample(path, f"{number:064x}", 1280, 1024, SampleState.JUDGED, true, predicted, scores))
    evaluation = Evaluation(defect_codes=CODES, samples=tuple(samples))
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "evaluation.msgpack"
    file.write_bytes(msgspec.msgpack.encode(evaluation))
    return artifacts.keep(file), figures_of(evaluation)


def _completed(database: str, size: int, evaluations: list[tuple[Artifact, EvaluationFigures]]) -> UUID:
    results = tuple(
        VersionResult(label=label, evaluation=artifact, figures=figures)
        for label, (artifact, figures) in zip(LABELS, evaluations, strict=True)
    )
    completed: PredictionCompleted = msgspec.structs.replace(PREDICTION_COMPLETED, results=results)
    job_id = uuid5(UUID(int=0), f"{size} images")
    create_tables(database)
    log = open_event_log(database)
    log.append(History().add(job_id, PREDICTION_QUEUED, PREDICTION_STARTED, completed).events)
    projector = Projector(log, database, [EvaluationReports])
    projector.drain()
    projector.close()
    log.close()
    return job_id


def _seconds(ask: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    began = clock()
    ask()
    return clock() - began


def _peak_mib(file: Path, sources: list[Path]) -> float:
    """What making an index adds to the peak of a process of its own; the files' pages that it maps are counted, too."""
    context = get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_made_index_mib, (file, sources))


def _made_index_mib(file: Path, sources: list[Path]) -> float:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # what the benchmarks' own libraries take
    make_index(file, sources)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / (
        2**20 if sys.platform == "darwin" else 2**10
    )
