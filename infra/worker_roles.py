"""Which workers a machine runs, for the command line, which starts and asks after them without loading what they are made of."""

import msgspec

from domain.messages import COMPUTING, PACKAGING, JobKind
from infra.settings import Settings


class WorkerRole(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker of a machine takes on."""

    kinds: frozenset[JobKind]
    suffix: str = ""
    is_in_background: bool = False

    def name_in(self, settings: Settings) -> str:
        """The name under which it claims jobs."""
        return f"{settings.worker_name}{self.suffix}"


ROLES = {
    "worker": WorkerRole(kinds=COMPUTING),
    "packager": WorkerRole(kinds=PACKAGING, suffix="-packages", is_in_background=True),
}
"""The packager runs beside the worker that computes, because nobody waits for days to import a package."""
