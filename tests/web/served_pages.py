"""Pages over fakes, served to a real browser in which somebody is signed in."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from litestar import Controller
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright
from playwright.sync_api import Page as Tab

from tests.parts import require
from tests.web.site import QUALITY_LEAD
from web.app import create_app
from web.overview import Overview
from web.services import Services
from web.sessions import Session, Signer
from web.sign_in import MyAccount, SignIn

SECONDS = 1000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The distribution's own Chromium."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    require("Chromium", present=found, how_to_get_it="apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


class Server(uvicorn.Server):
    """Serves in a thread on a port that is free."""

    def __init__(self, services: Services, *pages: type[Controller]) -> None:
        self.services = services
        app = create_app(services, (Overview, SignIn, MyAccount, *pages))
        super().__init__(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))
        self.address = ""
        self.is_up = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.address = f"http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}"
        self.is_up.set()


@contextmanager
def served(services: Services, *pages: type[Controller]) -> Iterator[Server]:
    """The server at work; it stops with the block."""
    server = Server(services, *pages)
    thread = threading.Thread(target=server.run)
    thread.start()
    server.is_up.wait(10)
    yield server
    server.should_exit = True
    thread.join()


def signed_in(browser: Browser, server: Server) -> BrowserContext:
    """A browser of the super administrator, in English."""
    services = server.services
    session_id = services.sessions.open(Session(user_id=QUALITY_LEAD.user_id, epoch=QUALITY_LEAD.session_epoch))
    cookies = {"assay_session": Signer(services.settings.secret).sign("session", session_id), "assay_language": "en"}
    context = browser.new_context(base_url=server.address)
    context.add_cookies([{"name": name, "value": value, "url": server.address} for name, value in cookies.items()])
    return context


@contextmanager
def patient_tab(browser: Browser, server: Server) -> Iterator[Tab]:
    """A tab that is given time, for what takes some. No script may fail."""
    context = signed_in(browser, server)
    context.set_default_timeout(20 * SECONDS)
    expect.set_options(timeout=20 * SECONDS)
    tab = context.new_page()
    failed: list[str] = []
    tab.on("pageerror", lambda error: failed.append(str(error)))
    yield tab
    context.close()
    expect.set_options(timeout=5 * SECONDS)
    assert not failed
