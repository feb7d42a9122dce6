"""The grown plant that benches share, and how it is visited: by processes of the product, and as a browser asks for pages."""

import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psycopg

from benchmarks.grown_plant import PASSWORD, Plant, Size, grow
from benchmarks.harness import Bench
from infra.embedded_postgres import ensure_postgres, stop_postgres
from infra.settings import Settings, read_settings
from projections.read_model import SCHEMA
from tests.conftest import free_ports

CHECKOUT = Path(__file__).parents[1]
PATIENCE_SECONDS = 120.0


class StandingPlant(NamedTuple):
    """A grown plant in a state folder of its own, with the environment in which `assay` finds it."""

    plant: Plant
    settings: Settings
    environment: Mapping[str, str]

    def database(self) -> str:
        """The address of its database, which runs from now on."""
        return ensure_postgres(self.settings)

    def assay(self, *arguments: str) -> str:
        """Run the command line on it; what it said.

        Raises:
            subprocess.CalledProcessError: it had no success.
        """
        program = [sys.executable, "-m", "infra.cli", *arguments]
        done = subprocess.run(
            program, cwd=CHECKOUT, env=self.environment, check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout

    def some(self, what: str, source: str, most: int = 500) -> list[str]:
        """Values of the read tables in no order, the same at every time: `what` is an expression, `source` what follows FROM."""
        question = f"SELECT {what} FROM {source} ORDER BY md5(({what})::text) LIMIT {most}"  # noqa: S608 - our own text
        with psycopg.connect(self.database(), options=f"-c search_path={SCHEMA}") as connection:
            return [str(value) for (value,) in connection.execute(question.encode()).fetchall()]


def standing_plant(bench: Bench) -> StandingPlant:
    """The plant of this run: `bench.once(standing_plant)` grows it for the first bench that asks."""
    variables = {
        "ASSAY_STATE": str(bench.folder / "plant"),
        "ASSAY_PORT": str(free_ports(1)[0]),
        "ASSAY_ADMINISTRATOR_PASSWORD": PASSWORD,
    }
    settings = read_settings(variables)
    bench.stack.callback(stop_postgres, settings)
    with_database = read_settings(variables | {"ASSAY_DATABASE_URL": ensure_postgres(settings)})
    plant = grow(with_database, Size().times(bench.share))
    plant.log.states.clear()  # a gibibyte that only deciding needed
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ASSAY_")}
    return StandingPlant(plant, settings, inherited | variables)


@contextmanager
def serving(standing: StandingPlant) -> Iterator[httpx.Client]:
    """The web process as the supervisor starts it, and a browser in which the visitor is signed in."""
    standing.database()
    program = [sys.executable, "-m", "infra.cli", "web"]
    with subprocess.Popen(program, cwd=CHECKOUT, env=standing.environment, stderr=subprocess.DEVNULL) as process:
        try:
            with browsing(standing) as browser:
                until_answered(browser, "/health", process)
                sign_in(browser)
                yield browser
        finally:
            process.terminate()


@contextmanager
def browsing(standing: StandingPlant) -> Iterator[httpx.Client]:
    """A browser at the address of the plant."""
    with httpx.Client(base_url=standing.settings.address, timeout=60) as browser:
        yield browser


def until_answered(browser: httpx.Client, address: str, process: "subprocess.Popen[Any]") -> None:
    """Ask until a page is there.

    Raises:
        RuntimeError: the process has ended without success, or it takes too long.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not process.poll() and time.monotonic() < deadline:
        try:
            if browser.get(address).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.02)
    raise RuntimeError(f"{address} does not answer; the process ended with {process.poll()}")


def sign_in(browser: httpx.Client) -> None:
    """As a person: the form with its token, then the cookies."""
    send(browser, "/sign-in", username="admin", password=PASSWORD)


def send(browser: httpx.Client, address: str, **fields: str | Sequence[str]) -> None:
    """Send a form."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', browser.get(address).text)
    assert token is not None, address
    answer = browser.post(address, data={"csrf_token": token[1], **fields})
    assert answer.status_code == 303, f"{address}: {answer.status_code}"


def milliseconds_of(browser: httpx.Client, address: str) -> float:
    """How long a page takes that must be there."""
    started = time.perf_counter()
    answer = browser.get(address)
    milliseconds = (time.perf_counter() - started) * 1_000
    assert answer.status_code == 200, f"{address}: {answer.status_code}"
    return milliseconds


def visits(browser: httpx.Client, pages: Mapping[str, Sequence[str]], rounds: int) -> Mapping[str, Sequence[float]]:
    """Milliseconds of every visit by page; a page has one address or many. All take turns; one more round before warms up."""
    taken: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        for name, addresses in pages.items():
            milliseconds = milliseconds_of(browser, addresses[number % len(addresses)])
            if number:
                taken[name].append(milliseconds)
    return taken
