"""What a plant grows on: the write side as it is, over a log that answers from memory, and over storage that needs no files.

Every event of a grown plant was decided by the product's own commands, so none breaks a rule; only who asks is made up.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Protocol, TypeVar
from uuid import UUID
from zlib import crc32

from commands.ports import Passwords, VersionConflict
from domain.data_paths import DataPathState, DefectCodeCount, FolderName, Inspection
from domain.facts import Fact, Recorded, State, fold, state_type_of
from domain.users import Belongings

S = TypeVar("S", bound=State)

EVENTS_OF_AN_APPEND = 5_000
FIRST_EVENTS = 1_000
"""More than the first start of an installation leaves in the log."""
ROOT = "data"
DEFECTS = ("TPFIP", "TTFBS", "TTMUD", "TGGS0", "TPOTS", "TSFAS", "TSDFS", "TCPIN")
BYTES_OF_AN_IMAGE = 400_000


class Appendable(Protocol):
    """What of an `EventLog` is needed."""

    def append(self, events: Sequence[Recorded]) -> int:
        """Store events."""

    def read(self, after: int, limit: int) -> list[tuple[int, Recorded]]:
        """The next events with their positions."""


class GrowingLog:
    """The log of an installation that nobody else uses: states stay in memory, events are appended in batches behind them."""

    def __init__(self, log: Appendable, moment: datetime, pause: timedelta) -> None:
        """`log` holds no more than a first start left there. The next event happens at `moment`, each further one `pause` later.

        Raises:
            ValueError: somebody has worked with the installation already.
        """
        self._log = log
        self.states: dict[UUID, State] = {}
        """Of everything there is, by its id."""
        self._moment, self._pause = moment, pause
        self._waiting: list[Recorded] = []
        self._appender = ThreadPoolExecutor(1, thread_name_prefix="appender")
        self._appended: Future[int] | None = None
        known = log.read(0, FIRST_EVENTS)
        if len(known) == FIRST_EVENTS:
            raise ValueError("a plant grows in a new installation only; this one is in use")
        for _, event in known:
            self._fold(event)
        self.count = len(known)
        """How many events there are, those of the first start included."""

    @property
    def moment(self) -> datetime:
        """When the next event will have happened."""
        return self._moment

    def load(self, state_type: type[S], aggregate_id: UUID) -> S | None:
        """The present state."""
        state = self.states.get(aggregate_id)
        return state if isinstance(state, state_type) else None

    def append(self, events: Sequence[Recorded]) -> int:
        """Take in what a command decided, as if it had been decided at this log's moment.

        Raises:
            VersionConflict: the decision was made on another state than the present one.
        """
        for event in events:
            state = self.states.get(event.originator_id)
            if event.originator_version != (state.version if state else 0) + 1:
                raise VersionConflict(
                    f"{event.data.TOPIC} of {event.originator_id} has version {event.originator_version}"
                )
            happened = Recorded(event.originator_id, event.originator_version, event.data, self._moment, event.origin)
            self._moment += self._pause
            self._fold(happened)
            self._waiting.append(happened)
        self.count += len(events)
        if len(self._waiting) >= EVENTS_OF_AN_APPEND:
            self._hand_over()
        return self.count

    def finish(self) -> None:
        """Wait until everything is stored."""
        self._hand_over()
        if self._appended is not None:
            self._appended.result()
        self._appender.shutdown()

    def _hand_over(self) -> None:
        """PostgreSQL stores one batch while the next one is decided."""
        if self._appended is not None:
            self._appended.result()
        if self._waiting:
            self._appended = self._appender.submit(self._log.append, self._waiting)
            self._waiting = []

    def _fold(self, event: Recorded) -> None:
        state = fold(_state_type_of(type(event.data)), (event,), self.states.get(event.originator_id))
        assert state is not None
        self.states[event.originator_id] = state


@cache
def _state_type_of(fact_type: type[Fact]) -> type[State]:
    return state_type_of(fact_type)


class HashedOnce:
    """Passwords of people who share one: hashing it anew for each would take a twentieth of a second a person."""

    def __init__(self, passwords: Passwords) -> None:
        """`passwords` hashes as it must be done."""
        self.hash = cache(passwords.hash)
        self.verify = passwords.verify


class GrownFolders:
    """Folders of images that follow from their names: the first of a dataset holds every code, others hold some."""

    def __init__(self) -> None:
        self._scanned_again: dict[FolderName, int] = {}

    def inspect_paths(self, typed_paths: Sequence[str]) -> list[Inspection]:
        """What lies there."""
        return self.inspect_folders([FolderName(ROOT, typed) for typed in typed_paths])

    def inspect_folders(self, folders: Sequence[FolderName]) -> list[Inspection]:
        """What lies there."""
        return [self._inspection(folder) for folder in folders]

    def scan_again(self, folders: Sequence[FolderName]) -> list[Inspection]:
        """Each time an image came since."""
        for folder in folders:
            self._scanned_again[folder] = self._scanned_again.get(folder, 0) + 1
        return self.inspect_folders(folders)

    def scans_of(self, folders: Iterable[FolderName]) -> Mapping[FolderName, Any]:  # noqa: ARG002 - the contract's name
        """Nothing is being scanned."""
        return {}

    def _inspection(self, folder: FolderName) -> Inspection:
        drawn = crc32(folder.path.encode())
        first, count = (0, len(DEFECTS)) if folder.path.endswith("/0") else (drawn % 4, 1 + drawn // 4 % 4)
        codes = [
            DefectCodeCount(code, 2 + (drawn >> 2 * number) % 250)
            for number, code in enumerate(DEFECTS[first : first + count])
        ]
        codes[0] = DefectCodeCount(codes[0].defect_code, codes[0].image_count + self._scanned_again.get(folder, 0))
        image_count = sum(code.image_count for code in codes)
        return Inspection(
            folder=folder,
            state=DataPathState.VALID,
            image_count=image_count,
            defect_codes=tuple(codes),
            formats=(("PNG", image_count),),
            resolutions=((1024, 1024, image_count),),
            total_bytes=image_count * BYTES_OF_AN_IMAGE,
        )


class GrownArchives:
    """Every archive that anybody names is there."""

    def find(self, typed: str) -> FolderName:
        """The archive of that name."""
        return FolderName("archives", typed)

    def uploaded(self, upload_id: UUID, owner: UUID) -> FolderName:
        """Nobody uploads."""
        raise NotImplementedError

    def check(self, archive: FolderName) -> None:
        """It is there."""


class NobodyLeaves:
    """Asked when a user is deleted, which does not happen while a plant grows."""

    def belongings(self, user_id: UUID) -> Belongings:  # noqa: ARG002 - the contract's name
        """Nothing."""
        return Belongings()
