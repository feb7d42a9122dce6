"""Every list page of a plant of 100,000 datasets, 1,000 users and 10,045 environment nodes, asked for as a browser does."""

import html
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import httpx
import msgspec
import psycopg
from psycopg.sql import SQL, Identifier

from benchmarks.grown_plant import FREQUENT, MISSING, RARE, Plant, Size
from benchmarks.harness import Bench, Row, bench, median_ratio, percentile
from domain.artifacts import Artifact
from infra.bootstrap import open_core, prepare
from infra.core import Core
from infra.projector import Projector
from infra.settings import Settings, read_settings
from projections import datasets, models, training_jobs
from projections.all import READ_MODELS
from projections.read_model import SCHEMA
from tests.examples import EVALUATION

CHECKOUT = Path(__file__).parents[1]
PASSWORD = "Plant2026"  # noqa: S105 - of a plant that lives for minutes
MOST_MILLISECONDS = 150.0
ROUNDS_OF_A_ROUND = 6
"""A page is asked for so often in each round of the command line, 42 times by default: enough for a 95th percentile."""
LEAST_OF_THE_LIMIT = 0.2
"""A list may take five times as long as an empty page and its rows by key: it has filters, a count and twenty rows to write."""


@bench
def lists(bench: Bench) -> Iterator[Row]:
    """The 95th percentile of each page; at the end the list of datasets against the least that such a page takes."""
    with bench.database() as database:
        settings = read_settings(_environment(bench.folder / "plant", database))
        plant = grown(settings, Size().times(bench.share))
        with serving(settings), httpx.Client(base_url=settings.address, timeout=60) as browser:
            sign_in(browser)
            pages = list_pages(plant) | begun_wizards(browser, plant)
            taken = visits(browser, pages, bench.rounds * ROUNDS_OF_A_ROUND)
            for name in pages:
                yield Row(
                    name=name,
                    figure=percentile(taken[name], 95),
                    unit="ms",
                    most=MOST_MILLISECONDS,
                    compared_with="p50",
                    compared_figure=statistics.median(taken[name]),
                )
            yield against_the_limit(browser, database, bench.rounds * ROUNDS_OF_A_ROUND)


def list_pages(plant: Plant) -> dict[str, str]:
    """The address of every list page, by what is asked of it."""
    size = plant.size
    pages = {
        "overview": "/",
        "users": "/users",
        "users, page 25": "/users?page=25",
        "users, search": f"/users?search=trainer_0{size.users // 200}",
        "users, search in Chinese": "/users?" + urlencode({"search": "王工"}),
        "industries": "/industries",
        "environments": "/environments",
        "environments, open down to a station": f"/environments?open={plant.way(2, 3, 4)[-1]}",
        "task types": "/task-types",
        "compute resources": "/compute-resources",
    }
    for name, address, share in (
        ("training datasets", "/training-datasets", 0.6),
        ("question-bank datasets", "/question-bank-datasets", 0.4),
    ):
        pages |= _dataset_pages(plant, name, address, round(size.datasets * share) // datasets.PAGE_SIZE)
        pages[f"{name}, new"] = f"{address}/new"
    pages |= _sorted("model images", "/model-images", (), size.model_images // 20)
    pages |= {f"model images, {name}": f"/model-images?{fields}" for name, fields in _places(plant).items()}
    pages["model images, search"] = f"/model-images?search={FREQUENT}"
    pages["model images, import"] = "/model-images/import"
    own = size.jobs // 3
    pages |= _sorted("models", "/models", tuple(models.SORTS), own * 2 // 3 // 20)
    pages["models, search"] = f"/models?search={FREQUENT}"
    pages |= _sorted("training jobs", "/training-jobs", tuple(training_jobs.SORTS), size.jobs // 20)
    pages["training jobs, of one person"] = f"/training-jobs?owner={plant.visitor}&sort=duration"
    pages["training jobs, completed, search"] = f"/training-jobs?status=completed&search={FREQUENT}"
    pages |= _sorted("prediction jobs", "/prediction-jobs", (), own // 20)
    return pages


def _dataset_pages(plant: Plant, name: str, address: str, last_page: int) -> dict[str, str]:
    pages = _sorted(name, address, tuple(datasets.SORTS), last_page)
    for word, kind in ((FREQUENT, "frequent"), (RARE, "rare"), (MISSING, "missing"), ("面板", "Chinese")):
        pages[f"{name}, search for a {kind} word"] = f"{address}?" + urlencode({"search": word})
    pages[f"{name}, search, page {last_page // 20:,}"] = f"{address}?search={FREQUENT}&page={last_page // 20}"
    for where, fields in _places(plant).items():
        pages[f"{name}, {where}"] = f"{address}?{fields}"
        pages[f"{name}, {where}, search, by images"] = f"{address}?{fields}&search={FREQUENT}&sort=-image_count"
    one_factory = next(iter(_places(plant).values()))
    pages[f"{name}, a factory, page {last_page // 7:,}"] = f"{address}?{one_factory}&page={last_page // 7}"
    return pages


def _sorted(name: str, address: str, columns: Sequence[str], last_page: int) -> dict[str, str]:
    """The first page, the middle and the last one, then each order from its beginning and in its middle."""
    middle = max(1, last_page // 2)
    pages = {
        name: address,
        f"{name}, page {middle:,}": f"{address}?page={middle}",
        f"{name}, last page": f"{address}?page=999999",
    }
    for column in columns:
        for sort in (column, f"-{column}"):
            pages[f"{name}, by {sort}"] = f"{address}?sort={sort}"
            pages[f"{name}, by {sort}, page {middle:,}"] = f"{address}?sort={sort}&page={middle}"
    return pages


def _places(plant: Plant) -> dict[str, str]:
    """The filter at each depth."""
    way = plant.way(2, 3, 4, 5)
    return {
        f"a {name}": urlencode({f"level_{level}": node for level, node in enumerate(way[:depth], 1)})
        for depth, name in enumerate(("factory", "fab", "station", "product"), 1)
    }


def grown(settings: Settings, size: Size) -> Plant:
    """A plant in the log and in the read tables, vacuumed as autovacuum does within minutes."""
    assert settings.database_url is not None
    prepare(settings)
    with open_core(settings) as core, closing(Projector(core.log, core.dsn, READ_MODELS, core.artifacts)) as projector:
        projector.drain()
        plant = Plant(size, _administrator(core.dsn), _evaluation(core, settings.state))
        started = time.perf_counter()
        count = plant.grow(core.log)
        projector.build_tables()
        projector.drain()
        print(f"grown: {count:,} events in {time.perf_counter() - started:.0f} seconds", flush=True)
    with psycopg.connect(core.dsn, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    return plant


@contextmanager
def serving(settings: Settings) -> Iterator[None]:
    """The web process as the supervisor starts it."""
    program = [sys.executable, "-m", "infra.cli", "web"]
    environment = _environment(settings.state, settings.database_url or "") | {"ASSAY_PORT": str(settings.port)}
    with subprocess.Popen(program, cwd=CHECKOUT, env=os.environ | environment, stderr=subprocess.DEVNULL) as process:
        try:
            with httpx.Client(base_url=settings.address) as client:
                _wait_for(client, process)
            yield
        finally:
            process.terminate()


def sign_in(browser: httpx.Client) -> None:
    """As a person: the form with its token, then the cookies."""
    _send(browser, "/sign-in", username="admin", password=PASSWORD)


def begun_wizards(browser: httpx.Client, plant: Plant) -> dict[str, str]:
    """The steps that offer datasets, with some of their paths chosen already; the training wizard keeps a search, too."""
    page = browser.get("/training-jobs/new/step-1").text
    levels = {f"level_{level}": str(node) for level, node in enumerate(plant.way(2, 3, 4, 5), 1)}
    parameters = re.search(r'name="model_parameters"[^>]*>([^<]+)<', page)
    version = re.search(r'name="model_image_version" value="([^"]+)"', page)
    assert parameters
    assert version
    fields = {"kind": "general", "model_image_version": version[1], "model_parameters": html.unescape(parameters[1])}
    _send(browser, "/training-jobs/new/step-1", do="next", model_name="bench", **fields, **levels)
    version = re.search(r'name="version" value="([^"]+)"', browser.get("/prediction-jobs/new/step-1").text)
    assert version
    _send(browser, "/prediction-jobs/new/step-1", do="next", name="bench", version=version[1])
    pages = {
        "new model, data paths, search for a rare word": "/training-jobs/new/step-2",
        "new prediction job, data paths": "/prediction-jobs/new/step-2",
    }
    for address, search in zip(pages.values(), (RARE, ""), strict=True):
        offered = re.findall(r'name="import" value="([^"]+)"', browser.get(address).text)
        assert offered, address
        _send(browser, address, **{"do": "find", "find": search, "import": offered[:10]})
    return pages


def visits(browser: httpx.Client, pages: Mapping[str, str], rounds: int) -> Mapping[str, Sequence[float]]:
    """Milliseconds of every visit by page. All pages take turns; one more round before warms up."""
    taken: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        for name, address in pages.items():
            milliseconds = _milliseconds(browser, address)
            if number:
                taken[name].append(milliseconds)
    return taken


def against_the_limit(browser: httpx.Client, database: str, rounds: int) -> Row:
    """A list takes at least what a signed-in page without a question takes, and what twenty rows take that are found by key."""
    ours, limit = [], []
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(SQL("SET search_path TO {}").format(Identifier(SCHEMA)))
        keys = connection.execute("SELECT array_agg(dataset_id) FROM (SELECT * FROM datasets LIMIT 20) AS d").fetchone()
        for number in range(rounds + 1):
            list_milliseconds = _milliseconds(browser, "/training-datasets")
            empty_milliseconds = _milliseconds(browser, "/account")
            started = time.perf_counter()
            connection.execute("SELECT * FROM datasets WHERE dataset_id = ANY(%s)", keys).fetchall()
            if number:
                ours.append(1_000 / list_milliseconds)
                limit.append(1_000 / (empty_milliseconds + (time.perf_counter() - started) * 1_000))
    return Row(
        name="training datasets, first page",
        figure=statistics.median(ours),
        unit="pages/s",
        compared_with="an empty page and its rows by key",
        compared_figure=statistics.median(limit),
        ratio=median_ratio(ours, limit),
        least_ratio=LEAST_OF_THE_LIMIT,
    )


def _send(browser: httpx.Client, address: str, **fields: str | Sequence[str]) -> None:
    token = re.search(r'name="csrf_token" value="([^"]+)"', browser.get(address).text)
    assert token is not None, address
    answer = browser.post(address, data={"csrf_token": token[1], **fields})
    assert answer.status_code == 303, f"{address}: {answer.status_code}"


def _milliseconds(browser: httpx.Client, address: str) -> float:
    started = time.perf_counter()
    answer = browser.get(address)
    milliseconds = (time.perf_counter() - started) * 1_000
    assert answer.status_code == 200, f"{address}: {answer.status_code}"
    return milliseconds


def _environment(state: Path, database: str) -> dict[str, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {
        "ASSAY_STATE": str(state),
        "ASSAY_DATABASE_URL": database,
        "ASSAY_PORT": str(port),
        "ASSAY_ADMINISTRATOR_PASSWORD": PASSWORD,
    }


def _administrator(database: str) -> UUID:
    with psycopg.connect(database) as connection:
        row: tuple[Any, ...] | None = connection.execute(f"SELECT user_id FROM {SCHEMA}.users").fetchone()  # noqa: S608
    assert row is not None
    administrator: UUID = row[0]
    return administrator


def _evaluation(core: Core, folder: Path) -> Artifact:
    file = folder / "evaluation"
    file.write_bytes(msgspec.msgpack.encode(EVALUATION))
    return core.artifacts.keep(file)


def _wait_for(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            if client.get("/health").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError(f"the web process ended with {process.returncode}")
