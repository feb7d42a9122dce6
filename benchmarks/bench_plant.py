"""A plant of 1,000,000 events from outside: how soon it is there, its pages, its memory, its tables made anew, its log verified."""

import hashlib
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlencode
from uuid import UUID

import httpx
import psycopg

from benchmarks.bench_event_log import decode
from benchmarks.harness import Bench, Row, bench, percentile
from benchmarks.plant_lives import FREQUENT
from benchmarks.served_plant import CHECKOUT, StandingPlant, browsing, sign_in, standing_plant, until_answered, visits
from domain.training_jobs import TrainingJob
from infra.event_store import open_event_log
from infra.notary import READ_AT_ONCE
from infra.processes import read_status
from projections.all import READ_MODELS

MOST_MILLISECONDS = 150.0
VISITS_OF_A_ROUND = 6
"""Each round of the command line visits each kind of page so often, every time another page of the kind."""
LONGEST = "(SELECT job_id FROM training_losses ORDER BY cardinality(iterations) DESC LIMIT 20) AS longest"
"""Trainings whose curves have some 10,000 points."""
STARTS, MOST_START_SECONDS = 3, 10.0
MOST_MIB, MOST_MIB_OF_THE_DATABASE = 256.0, 512.0
LEAST_OF_DECODING, LEAST_OF_READING = 0.1, 0.2
"""A rebuild turns events into rows of sixteen read models with their indexes; verifying follows two chains beside the reading."""


@bench
def plant(bench: Bench) -> Iterator[Row]:
    """The installation is stopped and started as people do it; everything else is asked of it while it runs."""
    standing = bench.once(standing_plant)
    with closing(open_event_log(standing.database())) as log:
        position = log.position()
    with browsing(standing) as browser:
        try:
            yield from starts(standing, browser, min(STARTS, bench.rounds))
            sign_in(browser)
            pages = pages_of(standing)
            taken = visits(browser, pages, bench.rounds * VISITS_OF_A_ROUND)
            for name, milliseconds in taken.items():
                yield Row(
                    name=f"plant, {name}",
                    figure=percentile(milliseconds, 95),
                    unit="ms",
                    most=MOST_MILLISECONDS,
                    compared_with="p50",
                    compared_figure=statistics.median(milliseconds),
                )
            yield folded(standing)
            yield from memory(standing)
            yield rebuilt(standing, position)
            yield verified(standing, position)
        finally:
            standing.assay("down")


def starts(standing: StandingPlant, browser: httpx.Client, count: int) -> Iterator[Row]:
    """From `assay up` on a stopped installation until the sign-in page answers, and until every process works; the longest."""
    answered, ready = [], []
    for _ in range(count):
        standing.assay("down")
        started = time.perf_counter()
        program = [sys.executable, "-m", "infra.cli", "up", "--background"]
        with subprocess.Popen(program, cwd=CHECKOUT, env=standing.environment, stdout=subprocess.DEVNULL) as process:
            until_answered(browser, "/sign-in", process)
            answered.append(time.perf_counter() - started)
        assert process.returncode == 0
        ready.append(time.perf_counter() - started)
    yield Row(name="plant, first page after a start", figure=max(answered), unit="s", most=MOST_START_SECONDS)
    yield Row(name="plant, everything ready after a start", figure=max(ready), unit="s", most=MOST_START_SECONDS)


def pages_of(standing: StandingPlant) -> Mapping[str, Sequence[str]]:
    """The pages that people open most: of each kind hundreds, of what the visitor may see."""
    own, some = f"owner = '{standing.plant.visitor}'", standing.some
    finished = "status IN ('completed', 'published')"
    completed = f"prediction_jobs WHERE {own} AND status = 'completed' AND kind ="
    versions = f"models JOIN model_versions USING (model_id) WHERE {own}"
    return {
        "overview": ["/"],
        "training jobs, filtered": [f"/training-jobs?{fields}" for fields in _filters_of_jobs(standing)],
        "a training job": [f"/training-jobs/{job_id}" for job_id in some("job_id", "training_jobs")],
        "a training job with a long curve": [f"/training-jobs/{job_id}" for job_id in some("job_id", LONGEST)],
        "a training report": [
            f"/training-jobs/{job_id}/report" for job_id in some("job_id", f"training_jobs WHERE {finished}")
        ],
        "models": [f"/models?page={page}" for page in range(1, standing.plant.size.models // 60 + 2)],
        "a version": [
            f"/models/{version}" for version in some("model_id || '/versions/' || model_versions.version", versions)
        ],
        "training datasets, of a place": [f"/training-datasets?{fields}" for fields in _filters_of_datasets(standing)],
        "a dataset": [
            f"/training-datasets/{dataset_id}"
            for dataset_id in some("dataset_id", "datasets WHERE purpose = 'training'")
        ],
        "predictions": [f"/prediction-jobs?{fields}" for fields in ("", f"search={FREQUENT}", "status=completed")],
        "a prediction report": [
            f"/prediction-jobs/{job_id}/report" for job_id in some("job_id", f"{completed} 'question_bank'")
        ],
        "a comparison report": [
            f"/comparisons/{job_id}/report" for job_id in some("job_id", f"{completed} 'comparison'")
        ],
        "audit, searched": [f"/audit?{fields}" for fields in _questions_of_the_audit(standing)],
    }


def _filters_of_jobs(standing: StandingPlant) -> list[str]:
    sorts = ("-queued_at", "duration", "creator", "name")
    statuses = ("completed", "failed", "terminated", "published")
    fields = [f"page={page}&sort={sort}" for page in range(1, 30) for sort in sorts]
    fields += [f"status={status}&search={FREQUENT}&page={page}" for page in range(1, 10) for status in statuses]
    fields += [f"owner={owner}" for owner in standing.some("user_id", "users", 100)]
    return _shuffled(fields)


def _filters_of_datasets(standing: StandingPlant) -> list[str]:
    ways = [(turn % 5, turn % 8, turn % 10, turn % 24) for turn in range(40)]
    chosen = [standing.plant.way(*way[:depth]) for way in ways for depth in range(1, 5)]
    return _shuffled([urlencode({f"level_{level}": node for level, node in enumerate(nodes, 1)}) for nodes in chosen])


def _questions_of_the_audit(standing: StandingPlant) -> list[str]:
    days = [standing.plant.moment().date() for _ in range(100)]
    fields = [f"kind=dataset&since={day}&until={day}T23:59" for day in days]
    fields += [urlencode({"who": name}) for name in standing.some("username", "users", 100)]
    fields += [f"thing={name}" for name in standing.some("name", "datasets", 100)]
    return _shuffled(fields)


def _shuffled(fields: list[str]) -> list[str]:
    random.Random(2).shuffle(fields)  # noqa: S311 - the same order in every run
    return fields


def folded(standing: StandingPlant) -> Row:
    """The longest trainings, each read and folded from its first fact on, as a command does in a process that just started."""
    taken = []
    with closing(open_event_log(standing.database(), keeps_states=True)) as log:
        for job_id in standing.some("job_id", LONGEST):
            started = time.perf_counter()
            assert log.load(TrainingJob, UUID(job_id)) is not None
            taken.append((time.perf_counter() - started) * 1_000)
    return Row(
        name="plant, the longest trainings from their facts",
        figure=percentile(taken, 95),
        unit="ms",
        most=MOST_MILLISECONDS,
        compared_with="p50",
        compared_figure=statistics.median(taken),
    )


def memory(standing: StandingPlant) -> Iterator[Row]:
    """What each process holds after its start and the visits; of the database, shared pages are divided among its processes."""
    status = read_status(standing.settings.state / "run")
    assert status is not None
    for process in status.processes:
        assert process.pid is not None
        held = _mib_of(process.pid, "status", "VmRSS")
        yield Row(name=f"plant, memory of the {process.name}", figure=held, unit="MiB", most=MOST_MIB)
    server = int((standing.settings.state / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    held = 0.0
    for pid in (server, *map(int, children)):
        with suppress(FileNotFoundError, ProcessLookupError):  # one that worked for a moment has ended
            held += _mib_of(pid, "smaps_rollup", "Pss")
    yield Row(name="plant, memory of the database", figure=held, unit="MiB", most=MOST_MIB_OF_THE_DATABASE)


def _mib_of(pid: int, file: str, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def rebuilt(standing: StandingPlant, position: int) -> Row:
    """`assay rebuild` of everything while the service runs; every row is the same afterwards."""
    before = contents(standing)
    with closing(open_event_log(standing.database())) as log:
        decoded = decode(log)
        started = time.perf_counter()
        standing.assay("rebuild")
        rate = position / (time.perf_counter() - started)
        decoded = (decoded + decode(log)) / 2
    assert contents(standing) == before
    return Row(
        name="plant, every read model made anew",
        figure=rate,
        unit="events/s",
        compared_with="reading and decoding alone",
        compared_figure=decoded,
        ratio=rate / decoded,
        least_ratio=LEAST_OF_DECODING,
    )


def contents(standing: StandingPlant) -> dict[str, str]:
    """How many rows each read table holds, and a sum of all of them."""
    return {
        table.name: standing.some(
            "count(*) || ' ' || sum(hashtextextended(one::text, 0)::numeric)", f"{table.name} AS one"
        )[0]
        for model in READ_MODELS
        for table in model.tables
    }


def verified(standing: StandingPlant, position: int) -> Row:
    """`assay verify` of the whole log while the service runs; a log that does not fit would be no measurement."""
    read = hashing_rate(standing.database())
    started = time.perf_counter()
    assert "Everything fits." in standing.assay("verify")
    rate = position / (time.perf_counter() - started)
    read = (read + hashing_rate(standing.database())) / 2
    return Row(
        name="plant, log verified against chain and seals",
        figure=rate,
        unit="events/s",
        compared_with="reading and SHA-256 alone",
        compared_figure=read,
        ratio=rate / read,
        least_ratio=LEAST_OF_READING,
    )


def hashing_rate(database: str) -> float:
    """Events a second, each read and hashed, and nothing else."""
    start, count = time.perf_counter(), 0
    with psycopg.connect(database) as connection, connection.cursor(name="plain") as cursor:
        cursor.itersize = READ_AT_ONCE
        cursor.execute(
            "SELECT notification_id, originator_id, originator_version, topic, state, recorded_at"
            " FROM assay_events ORDER BY notification_id"
        )
        for row in cursor:
            hashlib.sha256(row[4]).digest()
            count += 1
    return count / (time.perf_counter() - start)
