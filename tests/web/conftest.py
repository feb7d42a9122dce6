"""The web application over fakes: `site` is a super administrator's browser, `trainer` a model trainer's, `stranger` nobody's."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
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


@pytest.fixture
def services() -> Services:
    return Services(
        assay=cast(Any, FakeAssay()),
        read=SimpleNamespace(users=FakeUsers(QUALITY_LEAD, MODEL_TRAINER), overview=FakeOverview()),
        wait=lambda _position: None,
        changes=FakeChanges(),
        sessions=SessionsInMemory(),
        passwords=FakePasswords(),
        settings=WebSettings(secret=uuid4().hex),
    )


@pytest.fixture
def stranger(services: Services) -> Iterator[Site]:
    """Nobody is signed in."""
    with TestClient(create_app(services), raise_server_exceptions=False) as client:
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
