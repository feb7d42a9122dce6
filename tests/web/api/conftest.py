"""Machines that ask over the real parts: `lead` manages, `wang` and `li` act, each in the name of their user."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.api_tokens import TokenScope
from tests.examples import QUALITY_LEAD_ID, TRAINER_LI_ID, TRAINER_WANG_ID
from tests.web.machines import Machine, machine_of, open_plant
from tests.web.real_site import RealSite


@pytest.fixture
def site(database: str, tmp_path: Path) -> Iterator[RealSite]:
    """The plant that all tests share. Where everything must have happened once, a file opens another one under this name."""
    with open_plant(database, tmp_path) as real:
        yield real


@pytest.fixture
def lead(site: RealSite) -> Machine:
    """Manages in the name of the super administrator."""
    return machine_of(site, QUALITY_LEAD_ID, TokenScope.MANAGE)


@pytest.fixture
def wang(site: RealSite) -> Machine:
    """Acts for trainer_wang, to whom everything belongs that has an owner."""
    return machine_of(site, TRAINER_WANG_ID)


@pytest.fixture
def li(site: RealSite) -> Machine:
    """Acts for trainer_li, who is somebody else."""
    return machine_of(site, TRAINER_LI_ID)
