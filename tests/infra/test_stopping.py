"""A web server alone, over a real database: what it logs of requests, and how it ends. What other processes log of the database."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import uvicorn

from domain.users import UserCreated
from infra.bootstrap import open_core
from infra.first_start import prepare
from infra.projector import Projector
from infra.settings import Settings, read_settings
from infra.vital_signs import ask
from infra.web_server import WEB_GRACE_SECONDS, web_server
from projections.all import READ_MODELS
from tests.conftest import CHECKOUT, free_ports
from tests.eventually import eventually
from tests.infra.one_process import Process

PASSWORD = "Panel2026"


class Web(Process):
    """The web server, with its read models kept up to date beside it."""

    def __init__(self, settings: Settings, environment: dict[str, str], log_file: Path) -> None:
        super().__init__("web", environment, log_file)
        self.settings = settings
        self.client = httpx.Client(base_url=settings.address, headers={"Accept": "text/html"}, timeout=60)

    def form(self, path: str, request_id: str = "", **fields: str) -> httpx.Response:
        """Send a form as a browser would."""
        page = self.client.get("/sign-in" if path == "/sign-in" else "/account").text
        token = re.search(r'name="csrf-token" content="([^"]+)"', page)
        assert token, page
        headers = {"X-Request-ID": request_id} if request_id else {}
        return self.client.post(path, data={"csrf_token": token[1], **fields}, headers=headers)

    def refuses_newcomers(self) -> bool:
        try:
            httpx.get(f"{self.settings.address}/health")
        except httpx.ConnectError:
            return True
        return False


@pytest.fixture
def web(database: str, tmp_path: Path) -> Iterator[Web]:
    environment = {
        "ASSAY_STATE": str(tmp_path / "state"),
        "ASSAY_DATABASE_URL": database,
        "ASSAY_PORT": str(free_ports(1)[0]),
        "ASSAY_ADMINISTRATOR_PASSWORD": PASSWORD,
    }
    settings = read_settings(environment)
    prepare(settings)
    stop = threading.Event()
    with open_core(settings) as core:
        projector = Projector(core.log, core.dsn, READ_MODELS, core.artifacts)
        projector.build_tables()
        thread = threading.Thread(target=projector.run, args=(stop,))
        thread.start()
        web = Web(settings, environment, tmp_path / "web.log")
        yield web
        web.client.close()
        web.process.kill()
        web.process.wait()
        stop.set()
        thread.join()


def waits_for_lock(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    ).fetchone()
    return bool(row and row[0])


def test_a_slow_request_is_answered_after_sigterm_and_new_ones_are_refused(web: Web, database: str) -> None:  # S-2 S-3
    with psycopg.connect(database) as holding, psycopg.connect(database, autocommit=True) as looking:
        holding.execute("LOCK TABLE read.users IN ACCESS EXCLUSIVE MODE")
        with ThreadPoolExecutor(1) as browser:
            slow = browser.submit(web.form, "/sign-in", username="admin", password=PASSWORD)
            eventually(lambda: waits_for_lock(looking))
            web.process.send_signal(signal.SIGTERM)
            eventually(web.refuses_newcomers)
            assert not slow.done()
            holding.rollback()
            assert slow.result(timeout=60).status_code == 303
    assert web.process.wait(timeout=60) == 0
    assert web.lines("request_answered")[-1]["status"] == "303"


def test_an_open_live_page_holds_up_no_stop(web: Web) -> None:  # S-2 S-3
    assert web.form("/sign-in", username="admin", password=PASSWORD).status_code == 303
    with web.client.stream("GET", "/training-jobs/live", headers={"Accept": "text/event-stream"}) as live:
        parts = live.iter_raw()
        assert b"hello" in next(parts)
        web.process.send_signal(signal.SIGTERM)
        list(parts)  # it ends, and the browser asks again
        assert web.process.wait(timeout=WEB_GRACE_SECONDS / 2) == 0


def test_a_request_is_the_same_in_its_answer_in_the_log_and_in_the_event(web: Web) -> None:  # S-3 E-1
    assert web.form("/sign-in", username="admin", password=PASSWORD).status_code == 303
    answer = web.form(
        "/users/new", "line-3.night-0042", username="trainer_wang", password="Secret2x", role="model_trainer"
    )
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (303, "line-3.night-0042")
    with open_core(web.settings) as core:
        administrator, created = core.log.all_of(UserCreated)
    assert created.origin.request == "line-3.night-0042"
    assert web.stop() == 0
    (line,) = [line for line in web.lines("request_answered") if line["request_id"] == "line-3.night-0042"]
    assert (line["process"], line["route"], line["status"]) == ("web", "/users/new", "303")
    assert line["user_id"] == str(administrator.originator_id)
    strangers = [line for line in web.lines("request_answered") if line["path"] == "/sign-in"]
    assert strangers
    assert not [line for line in strangers if "user_id" in line]


def test_nothing_secret_of_a_request_is_in_the_log(web: Web) -> None:  # S-3
    token = "assay_" + "k" * 43
    assert web.form("/sign-in", username="admin", password=PASSWORD).status_code == 303
    session = web.client.cookies["assay_session"]
    csrf_token = re.search(r'name="csrf-token" content="([^"]+)"', web.client.get("/account").text)
    assert csrf_token
    web.form("/users/new", username="trainer_wang", password="Secret2x", role="model_trainer")
    web.client.get(f"/users?password={PASSWORD}&token={token}")
    web.client.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})
    web.client.get(f"/{PASSWORD}/{token}")
    with psycopg.connect(str(web.settings.database_url), autocommit=True) as connection:
        connection.execute("DROP TABLE read.users CASCADE")  # something breaks in the middle of a request
    assert web.client.get("/users", headers={"X-Request-ID": "broken-0042"}).status_code == 500
    assert web.stop() == 0
    assert [line["request_id"] for line in web.lines("request_failed")] == ["broken-0042"]
    for secret in (PASSWORD, "Secret2x", token, session, csrf_token[1]):
        assert secret not in web.logged


def test_the_server_says_what_it_stands_on_and_lives_without_it(web: Web, database: str) -> None:  # S-3
    assert web.client.get("/ready").json() == {
        "status": "ready",
        "parts": dict.fromkeys(("database", "read_models", "state_folder", "shared_storage"), "ready"),
    }
    said = ask(web.settings.run, "web", "ready")
    assert said is not None
    assert said.status == "ready"
    web.settings.state.rename(web.settings.state.with_name("elsewhere"))
    try:
        eventually(lambda: web.client.get("/ready").status_code == 503)
        assert web.client.get("/ready").json()["parts"]["state_folder"] == "missing"
        assert web.client.get("/health").json() == {"status": "alive"}
    finally:
        web.settings.state.with_name("elsewhere").rename(web.settings.state)


def test_the_password_of_a_database_that_is_away_is_in_no_log(tmp_path: Path) -> None:  # S-3
    environment = {
        "ASSAY_STATE": str(tmp_path / "state"),
        "ASSAY_DATABASE_URL": "postgresql://assay:hunter2026@127.0.0.1:1/assay?connect_timeout=2",
    }
    notary = Process("notary", environment, tmp_path / "notary.log")
    try:
        eventually(lambda: notary.lines("database_is_away"))
        assert notary.stop() == 0
    finally:
        notary.process.kill()
    assert "hunter2026" not in notary.logged


def run(verb: Sequence[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "infra.cli", *verb],
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_prepare_makes_everything_and_leaves_the_password_where_only_its_owner_reads_it(
    database: str, tmp_path: Path
) -> None:  # S-2 U-1
    environment = {"ASSAY_STATE": str(tmp_path / "state"), "ASSAY_DATABASE_URL": database}
    first, second = run(["prepare"], environment), run(["prepare"], environment)
    kept = tmp_path / "state" / "first-password"
    password = kept.read_text()
    for said in (first, second):
        assert said.returncode == 0, said.stderr
        assert str(kept) in said.stdout
        assert password not in said.stdout + said.stderr
    assert kept.stat().st_mode & 0o077 == 0
    with open_core(read_settings(environment)) as core:
        assert len(core.log.all_of(UserCreated)) == 1
    kept.unlink()
    assert run(["prepare"], environment).stdout == "Everything is prepared.\n"


@pytest.mark.parametrize("variable", ["ASSAY_PORT", "ASSAY_METRICS_PORT"])
def test_a_port_that_somebody_else_has_is_refused_before_anything_starts(
    tmp_path: Path, variable: str
) -> None:  # S-1 S-3
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = {"ASSAY_PORT": str(free_ports(1)[0]), variable: str(taken.getsockname()[1])}
        said = run(["up"], {"ASSAY_STATE": str(tmp_path / "state"), **ports})
    assert said.returncode == 1
    assert f"Set {variable} (and" in said.stderr
    assert not (tmp_path / "state" / "postgres").exists()


def test_a_web_server_that_is_told_to_stop_while_it_starts_stops() -> None:  # S-2 S-3
    async def no_pages(_scope: object, _receive: object, _send: object) -> None:
        """Nobody asks."""

    told, stop = [], threading.Event()
    stop.set()
    config = uvicorn.Config(no_pages, port=free_ports(1)[0], log_config=None, lifespan="off")
    with ThreadPoolExecutor(1) as beside:
        beside.submit(web_server(config, lambda: told.append("ready"), stop).run).result(timeout=20)
    assert told == ["ready"]


def test_the_health_of_what_does_not_run_is_a_status_of_its_own(tmp_path: Path) -> None:  # S-3
    said = run(["health", "web"], {"ASSAY_STATE": str(tmp_path)})
    assert (said.returncode, said.stdout.split()) == (3, ["web", "does", "not", "run"])
    assert run(["health"], {"ASSAY_STATE": str(tmp_path)}).returncode == 3


def test_the_status_says_where_to_look_when_processes_run_without_it(tmp_path: Path) -> None:  # S-3
    nothing = run(["status"], {"ASSAY_STATE": str(tmp_path)})
    assert (nothing.returncode, nothing.stdout) == (3, "Assay is not running.\n")
    (tmp_path / "run").mkdir(exist_ok=True)
    (tmp_path / "run" / "web.sock").touch()
    assert "`assay health`" in run(["status"], {"ASSAY_STATE": str(tmp_path)}).stdout
