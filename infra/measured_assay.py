"""The write side as the service runs it: what is dispatched is counted and timed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from commands.assay import Assay, Command
from domain.refusals import NotPermitted, Refusal, Refusals
from infra.metrics import COMMAND_SECONDS_TAKEN, COMMANDS


class MeasuredAssay(Assay):
    """As `Assay`."""

    def dispatch(self, command: Command, request_id: str = "") -> int:
        """As `Assay.dispatch`."""
        with _measured(type(command).__name__):
            return super().dispatch(command, request_id)


@contextmanager
def _measured(name: str) -> Iterator[None]:
    started_at = time.perf_counter()
    outcome = "failed"
    try:
        yield
        outcome = "done"
    except NotPermitted:
        outcome = "not_permitted"
        raise
    except (Refusal, Refusals):
        outcome = "refused"
        raise
    finally:
        COMMANDS.labels(name, outcome).inc()
        COMMAND_SECONDS_TAKEN.labels(name).observe(time.perf_counter() - started_at)
