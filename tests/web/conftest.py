"""The web application over fakes: `site` is a super administrator's browser, `trainer` a model trainer's, `stranger` nobody's."""

from collections.abc import Iterator

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tests.web.site import MODEL_TRAINER, QUALITY_LEAD, Site, new_services, renew
from web.app import create_app
from web.services import Services


@pytest.fixture(scope="session")
def app_and_services() -> tuple[Litestar, Services]:
    """Every page, made once, because making an application takes longer than a test."""
    services = new_services()
    return create_app(services), services


@pytest.fixture
def services(app_and_services: tuple[Litestar, Services]) -> Services:
    """The application's services, every part new."""
    _, services = app_and_services
    renew(services)
    return services


@pytest.fixture
def stranger(app_and_services: tuple[Litestar, Services], services: Services) -> Iterator[Site]:
    """Nobody is signed in."""
    app, _ = app_and_services
    with TestClient(app, raise_server_exceptions=False) as client:
        client.follow_redirects = False
        yield Site(services, client)


@pytest.fixture
def site(stranger: Site) -> Site:
    """A super administrator is signed in."""
    assert stranger.sign_in().status_code == 303
    stranger.account = QUALITY_LEAD
    return stranger


@pytest.fixture
def trainer(stranger: Site) -> Site:
    """A model trainer is signed in."""
    assert stranger.sign_in("trainer_wang").status_code == 303
    stranger.account = MODEL_TRAINER
    return stranger
