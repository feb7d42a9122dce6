"""States of what has a long history, kept beside the log: who needs one reads the facts since then, not thousands that lie
scattered over the disk.

A kept state is a shortcut to what folding gives, and never more. It is used only by the very rules that made it, and only where
the log holds the very fact that it ends with; everywhere else the facts are folded from the first one on. Losing all of them
loses nothing.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar, get_args, get_origin
from uuid import UUID

import msgspec
from eventsourcing.persistence import MapperDeserialisationError, PersistenceError
from eventsourcing.postgres import PostgresDatastore

import domain
from domain.facts import Recorded, State, fold

log = logging.getLogger(__name__)

S = TypeVar("S", bound=State)

KEEP_EVERY = 200
"""Facts between two kept states of one thing: as many are read in some milliseconds, wherever they lie on the disk."""


class CheckedState(NamedTuple):
    """A kept state that would be used, and what is wrong with it; nothing where folding the facts gives the same."""

    kind: str
    aggregate_id: UUID
    version: int
    problem: str


class KeptStates:
    """Those of one log. Several processes may keep the same; all have folded the same facts."""

    def __init__(self, datastore: PostgresDatastore, definition: bytes) -> None:
        """`definition` marks the rules of this process, as `definition_of_states` does."""
        self._datastore, self._definition = datastore, definition

    def find(self, state_type: type[S], aggregate_id: UUID) -> S | None:
        """A state that the log has led to, perhaps not the newest; None where there is none that may be used."""
        try:
            with self._datastore.get_connection() as connection:
                row = connection.execute(_FIND, (aggregate_id, self._mark(state_type)), prepare=True).fetchone()
            return _read(row["content"], state_type) if row else None
        except (PersistenceError, msgspec.MsgspecError):
            log.warning("kept_state_cannot_be_read", extra={"aggregate_id": str(aggregate_id)}, exc_info=True)
            return None

    def keep(self, state: State, before: State | None) -> None:
        """Keep a state that was just folded, where enough has happened since the one `before` it. Whether that succeeds changes
        nothing for anybody.
        """
        if state.version // KEEP_EVERY <= (before.version if before else 0) // KEEP_EVERY:
            return
        content = _written(state)
        if content is None:
            log.error("state_cannot_be_kept", extra={"aggregate_id": str(state.id)})
            return
        kept = {"id": state.id, "version": state.version, "definition": self._mark(type(state)), "content": content}
        try:
            with self._datastore.get_connection() as connection:
                connection.execute(_KEEP, kept)
        except PersistenceError:
            log.warning("state_not_kept", extra={"aggregate_id": str(state.id)}, exc_info=True)

    def checked(self, history: Callable[[UUID, int], Iterable[Recorded]]) -> Iterator[CheckedState]:
        """Compare every state that may be used with what its facts give; `history` reads those of an aggregate up to a version."""
        kinds = {self._mark(kind): kind for kind in State.__subclasses__() if kind.HAS_LONG_HISTORY}
        with self._datastore.get_connection() as connection:
            keys = connection.execute(_ALL, (list(kinds),)).fetchall()
        for key in keys:
            aggregate_id, mark = key["aggregate_id"], bytes(key["definition"])
            with self._datastore.get_connection() as connection:
                row = connection.execute(_FIND, (aggregate_id, mark), prepare=True).fetchone()
            if row is not None:  # else nobody may use it, or it was replaced meanwhile
                problem = _problem_of(row["content"], kinds[mark], history(aggregate_id, row["version"]))
                yield CheckedState(kinds[mark].__qualname__, aggregate_id, row["version"], problem)

    def forget(self) -> None:
        """Everything is folded from its first fact on the next time."""
        with self._datastore.get_connection() as connection:
            connection.execute("DELETE FROM app.kept_states")

    def _mark(self, state_type: type[State]) -> bytes:
        """Somebody may send the id of another kind of thing, whose state could be read as one of this kind."""
        return self._definition + state_type.__qualname__.encode()


def _problem_of(content: bytes, kind: type[State], history: Iterable[Recorded]) -> str:
    try:
        kept = _read(content, kind)
    except msgspec.MsgspecError as error:
        return f"it cannot be read: {error}"
    try:
        return "" if kept == fold(kind, history) else "it is not what its facts lead to"
    except MapperDeserialisationError as error:
        return f"its facts cannot be read: {error}"


def _written(state: State) -> bytes | None:
    """None where reading it would not give the same again."""
    try:
        content = msgspec.msgpack.encode(state, enc_hook=_mapping_to_write)
        return content if _read(content, type(state)) == state else None
    except (msgspec.MsgspecError, TypeError):
        return None


def _read(content: bytes, state_type: type[S]) -> S:
    return msgspec.msgpack.decode(content, type=state_type, dec_hook=_mapping_read)


def _mapping_to_write(value: Any) -> Any:
    """States hold mappings that nobody can change, which msgspec knows nothing of."""
    if isinstance(value, MappingProxyType):
        return dict(value)
    raise NotImplementedError


def _mapping_read(kind: Any, read: Any) -> Any:
    if get_origin(kind) is MappingProxyType:
        return MappingProxyType(msgspec.convert(read, dict[get_args(kind)]))  # type: ignore[misc]  # of the types it was declared with
    raise NotImplementedError


@cache
def definition_of_states() -> bytes:
    """The mark of the rules that this process folds by, and of what reads their facts."""
    readers = (Path(__file__), Path(__file__).with_name("event_store.py"))
    return mark_of([*Path(domain.__file__ or "").parent.glob("*.py"), *readers])


def mark_of(sources: Iterable[Path]) -> bytes:
    """A mark that changes with any byte of these files, and with the library that writes states."""
    mark = hashlib.sha256(msgspec.__version__.encode())
    for source in sorted(sources):
        mark.update(hashlib.sha256(source.name.encode()).digest() + hashlib.sha256(source.read_bytes()).digest())
    return mark.digest()


_LAST_FACT = "sha256(convert_to(last.topic, 'UTF8') || last.state)"
_FIND = f"""
SELECT version, content FROM app.kept_states AS kept JOIN public.assay_events AS last
    ON last.originator_id = kept.aggregate_id AND last.originator_version = kept.version
WHERE kept.aggregate_id = %s AND kept.definition = %s AND kept.last_fact = {_LAST_FACT}
"""  # noqa: S608 - our own text
_ALL = "SELECT aggregate_id, definition FROM app.kept_states WHERE definition = ANY(%s) ORDER BY aggregate_id"
_KEEP = f"""
INSERT INTO app.kept_states AS kept (aggregate_id, version, definition, last_fact, content)
SELECT last.originator_id, last.originator_version, %(definition)s, {_LAST_FACT}, %(content)s FROM public.assay_events AS last
WHERE last.originator_id = %(id)s AND last.originator_version = %(version)s
ON CONFLICT (aggregate_id) DO UPDATE SET version = excluded.version, definition = excluded.definition,
    last_fact = excluded.last_fact, content = excluded.content
WHERE kept.definition <> excluded.definition OR kept.version < excluded.version
"""  # noqa: S608
