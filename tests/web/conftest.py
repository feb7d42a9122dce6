"""The web application over fakes: `site` is a super administrator's browser, `trainer` a model trainer's, `stranger` nobody's."""

from collections.abc import Iterator
from dataclasses import fields
from types import SimpleNamespace
from typing import Any, cast

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tests.web.site import (
    MODEL_TRAINER,
    QUALITY_LEAD,
    FakeAssay,
    FakeChanges,
    FakeOverview,
    FakePasswords,
    FakeUsers,
    Site,
)
from web.app import create_app
from web.services import Services, WebSettings
from web.sessions import SessionsInMemory


def new_services() -> Services:
    return Services(
        assay=cast(Any, FakeAssay()),
        read=SimpleNamespace(users=FakeUsers(QUALITY_LEAD, MODEL_TRAINER), overview=FakeOverview()),
        wait=lambda _position: None,
        changes=FakeChanges(),
        sessions=SessionsInMemory(),
        passwords=FakePasswords(),
        settings=WebSettings(secret="0123456789abcdef0123456789abcdef"),
    )


@pytest.fixture(scope="session")
def app_and_services() -> tuple[Litestar, Services]:
    """Every page, made once, because making an application takes longer than a test."""
    services = new_services()
    return create_app(services), services


@pytest.fixture
def services(app_and_services: tuple[Litestar, Services]) -> Services:
    """The application's services, every part new."""
    _, services = app_and_services
    fresh = new_services()
    for part in fields(Services):
        object.__setattr__(services, part.name, getattr(fresh, part.name))
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
