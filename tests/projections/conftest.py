"""The read side on real PostgreSQL: `project(history, Users, Industries)` takes a history in and can be asked."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from projections.read_model import Artifacts, ReadModel
from tests.examples import History
from tests.projections.read_side import Project, ReadSide


@pytest.fixture
def project(database: str) -> Iterator[Project]:
    """`project(history, *read_models, artifacts=…)`, then `.users`, `.take_in(history)`, `.assert_rebuild_equals_live()`."""
    with ExitStack() as stack:

        def take_in(history: History, *read_models: type[ReadModel], artifacts: Artifacts | None = None) -> ReadSide:
            side = ReadSide(stack, database, read_models, artifacts)
            side.take_in(history)
            return side

        yield take_in
