"""The read side on real PostgreSQL: some read models over a log that a test fills."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from infra.connections import open_pool
from infra.event_store import create_tables, open_event_log
from infra.projector import Projector
from projections.read_model import Artifacts, ReadModel
from tests.examples import History
from tests.projections.rebuild import Tables, assert_rebuild_equals_live


class ReadSide:
    """Some read models over a log; each is an attribute of its name, as in the pages."""

    def __init__(
        self, stack: ExitStack, database: str, read_models: tuple[type[ReadModel], ...], artifacts: Artifacts | None
    ) -> None:
        self._database, self._models, self._artifacts = database, read_models, artifacts
        create_tables(database)
        self.log = open_event_log(database)
        stack.callback(self.log.close)
        self._projector = Projector(self.log, database, read_models, artifacts)
        stack.callback(self._projector.close)
        pool = stack.enter_context(open_pool(database, size=1))
        self._taken_in = 0
        for model in read_models:
            setattr(self, model.name, model(pool, artifacts))

    def take_in(self, history: History) -> None:
        """What a history holds beyond what was taken in before."""
        self.log.append(history.events[self._taken_in :])
        self._taken_in = len(history.events)
        self._projector.drain()

    def assert_rebuild_equals_live(self) -> Tables:
        """The log alone gives the same rows (E-2), whatever the batches; returns the rows by table."""
        return assert_rebuild_equals_live(self.log, self._database, self._models, self._artifacts, batch=2)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"no read model {name!r} was asked for")


Project = Callable[..., ReadSide]
