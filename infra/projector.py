"""The projector: one process follows the log and feeds every read model.

A batch of events is decoded once. One transaction then holds the rows of all read models, their positions and the message that
wakes who waits for them, so a crash neither loses nor repeats anything. Commits do not wait for the disk: what a crash of
the database takes with it, rows and position alike, is made again from the log.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import psycopg
from eventsourcing.persistence import InterfaceError, MapperDeserialisationError, OperationalError
from eventsourcing.postgres import PostgresApplicationRecorder
from psycopg import Connection
from psycopg.rows import DictRow, dict_row
from psycopg.sql import SQL, Identifier

from domain.facts import Recorded
from infra.connections import connect
from infra.event_store import EventLog
from infra.positions import progress_channel
from projections.read_model import SCHEMA, Artifacts, ReadModel, Rows, use_schema

log = logging.getLogger(__name__)

Events = Sequence[tuple[int, Recorded]]
Asked = tuple[int, int, int | None]

BATCH = 1_000
"""Events in a transaction: enough to fold many into one row, few enough that no page waits long behind it."""
POLL_SECONDS = 1.0
"""A notification may be lost (a failover, a proxy); looking this often bounds what that costs."""
STOP_SECONDS = 0.25
"""How soon an idle projector notices that it is to stop."""
RETRY_SECONDS = 30.0
"""A read model that stopped tries again so often: what stopped it may have been a file that was not there yet."""
PAUSE_SECONDS = 1.0
"""Between attempts to reach the database, or to lead."""
_TROUBLE_OF_THE_SERVER = ("08", "25", "40", "53", "55", "57", "58")
"""Classes of SQLSTATE that say nothing about an event: connection, transaction, resources, operators, disks."""


class NotLeading(RuntimeError):
    """Another projector feeds these read models."""


class RebuildStopped(RuntimeError):
    """A read model that is made anew cannot take an event."""


class _Feed:
    """One read model, its tables in one schema, and how far they are."""

    def __init__(self, model: ReadModel, connection: Connection[DictRow], position: int) -> None:
        self.model = model
        self.connection = connection
        self.rows = Rows(connection)
        self.position = position
        self.problem: str | None = None
        self.retry_at = 0.0
        self.is_outdated = False
        """The tables are those of an older definition; only a rebuild moves them on."""

    @property
    def may_run(self) -> bool:
        return not self.is_outdated and (self.problem is None or time.monotonic() >= self.retry_at)


class Projector:
    """Feeds read models. Of several projectors of a database one leads, the others wait for its end."""

    def __init__(
        self,
        event_log: EventLog,
        dsn: str,
        read_models: Iterable[type[ReadModel]],
        artifacts: Artifacts | None = None,
        *,
        schema: str = SCHEMA,
        batch: int = BATCH,
    ) -> None:
        """Nothing is connected or made yet; `artifacts` is handed to the read models."""
        self._log = event_log
        self._dsn = dsn
        self._models = [model(artifacts=artifacts) for model in read_models]
        self._schema = schema
        self._batch = batch
        self._connection: Connection[DictRow] | None = None
        self._feeds: list[_Feed] = []
        self._rebuilds: dict[str, _Feed] = {}
        self._rebuilding: Connection[DictRow] | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="projector reads ahead")
        self._ahead: tuple[Asked, Future[list[tuple[int, Recorded]]]] | None = None

    def build_tables(self) -> None:
        """Make the tables that are missing, empty. Safe to call from several processes at once, and while one projects."""
        with self._connect(self._schema) as connection:
            self._build_missing_tables(connection)

    def run(self, stop: threading.Event) -> None:
        """Project until `stop` is set; outlives restarts of the database."""
        while not stop.is_set():
            try:
                if not self._lead():
                    stop.wait(PAUSE_SECONDS)
                    continue
                while self._advance() and not stop.is_set():
                    pass
                self._begin_rebuilds()
                self._wait_for_events(stop)
            except (psycopg.OperationalError, psycopg.InterfaceError, OperationalError, InterfaceError) as error:
                log.warning("projector_lost_database", extra={"problem": str(error)})
                self.close()
                stop.wait(PAUSE_SECONDS)
            except (
                Exception
            ):  # the edge of the process: whatever it is, the next attempt begins from what was committed
                log.exception("projector_failed")
                self.close()
                stop.wait(PAUSE_SECONDS)
        self.close()

    def drain(self) -> None:
        """Project everything that is in the log by now, then return.

        Raises:
            NotLeading: another projector does it.
        """
        if not self._lead():
            raise NotLeading("another projector feeds the read models")
        while self._advance():
            pass
        self._begin_rebuilds()
        while self._advance():
            pass

    def replay(self, upto: Mapping[str, int]) -> Mapping[str, str]:
        """Project each read model up to a position of its own, that of an event, and not beyond.

        Returns what stopped those that stopped before. Others of the log's readers are not disturbed: this is for tables in a
        schema of their own.

        Raises:
            NotLeading: another projector feeds the same tables.
        """
        if not self._lead():
            raise NotLeading("another projector feeds these tables")
        while behind := [feed for feed in self._feeds if feed.may_run and feed.position < upto[feed.model.name]]:
            position = min(feed.position for feed in behind)
            group = [feed for feed in behind if feed.position == position]
            if not self._advance_group(group, self._batch, min(upto[feed.model.name] for feed in group)):
                break
        return {feed.model.name: feed.problem for feed in self._feeds if feed.problem is not None}

    def rebuild(self, *names: str, timeout: float = 3600.0) -> None:
        """Make the tables of read models anew, beside those that answer meanwhile, and return when they took their place.

        The log is read once for all of them. While another projector leads, it does the work. Not to be called while `run` of
        this object is at work.

        Raises:
            LookupError: there is no such read model.
            RebuildStopped: one cannot take an event. The tables of before stay, and it is tried again every half a minute.
            TimeoutError: it took longer than `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        self.build_tables()
        with self._connect(self._schema) as connection:
            if unknown := sorted({*names} - {model.name for model in self._models}):
                raise LookupError(f"there is no read model {', '.join(unknown)}")
            asked = "UPDATE positions SET rebuild = true, rebuild_problem = NULL WHERE name = ANY(%s)"
            connection.execute(asked, (list(names),))
            waits = "SELECT name, rebuild_problem FROM positions WHERE name = ANY(%s) AND rebuild"
            while left := connection.execute(waits, (list(names),)).fetchall():
                for row in left:
                    if row["rebuild_problem"]:
                        raise RebuildStopped(f"the read model {row['name']!r} {row['rebuild_problem']}")
                if time.monotonic() > deadline:
                    waiting = ", ".join(row["name"] for row in left)
                    raise TimeoutError(f"the read model {waiting} is not rebuilt after {timeout} seconds")
                if self._lead():
                    self.drain()
                else:
                    time.sleep(PAUSE_SECONDS / 5)

    def close(self) -> None:
        """Let another projector lead."""
        for connection in (self._connection, self._rebuilding):
            if connection is not None:
                with contextlib.suppress(psycopg.Error):
                    connection.close()
        self._connection = self._rebuilding = None
        self._feeds = []
        self._rebuilds = {}
        if self._ahead is not None:
            self._ahead[1].cancel()
            self._ahead = None

    def _connect(self, schema: str) -> Connection[DictRow]:
        connection = connect(self._dsn, autocommit=True, row_factory=dict_row)
        use_schema(connection, schema)
        connection.execute("SET synchronous_commit = off")
        return connection

    def _lead(self) -> bool:
        """Whether this projector leads, now or already. The lock lives as long as the connection that also writes."""
        if self._connection is not None:
            return True
        connection = self._connect(self._schema)
        try:
            lock = f"projector of {self._schema}"
            row = connection.execute(
                "SELECT pg_try_advisory_lock(hashtextextended(%s, 0)) AS leads", (lock,)
            ).fetchone()
            if row and row["leads"]:
                self._feeds = self._begin(connection)
                self._connection = connection
        finally:
            if self._connection is None:
                connection.close()
        if self._connection is None:
            return False
        self._begin_rebuilds()
        return True

    def _begin(self, connection: Connection[DictRow]) -> list[_Feed]:
        """Listen to the log, put the tables in order and find out how far each read model is."""
        recorder = self._log.recorder
        assert isinstance(recorder, PostgresApplicationRecorder)
        connection.execute(SQL("LISTEN {}").format(Identifier(recorder.channel_name)))
        self._build_missing_tables(connection)
        self._drop_tables_of_removed_models(connection)
        stored = {row["name"]: row for row in connection.execute("SELECT * FROM positions").fetchall()}
        feeds = []
        for model in self._models:
            feed = _Feed(model, connection, stored[model.name]["position"])
            feed.is_outdated = stored[model.name]["definition"] != model.definition()
            feeds.append(feed)
        return feeds

    def _wait_for_events(self, stop: threading.Event) -> None:
        assert self._connection is not None
        until = time.monotonic() + POLL_SECONDS
        while not stop.is_set() and time.monotonic() < until:
            if list(self._connection.notifies(timeout=STOP_SECONDS, stop_after=1)):
                return

    def _advance(self) -> bool:
        """One batch for each group of read models at the same position, the newest first; whether there was anything."""
        has_moved = False
        upto: int | None = None
        for position in sorted({feed.position for feed in self._feeds if feed.may_run}, reverse=True):
            feeds = [feed for feed in self._feeds if feed.may_run and feed.position == position]
            has_moved |= self._advance_group(feeds, self._batch, upto)
            upto = position
        return self._advance_rebuilds() or has_moved

    def _advance_group(self, feeds: list[_Feed], limit: int, upto: int | None) -> bool:
        try:
            events = self._read(feeds[0].position, limit, upto)
        except MapperDeserialisationError as error:
            for feed in feeds:
                self._stop(feed, error)
            return False
        if events:
            self._feed(feeds, events)
        return bool(events)

    def _read(self, position: int, limit: int, upto: int | None) -> Events:
        """The next events, at most `limit`; fewer where one cannot be read, because everything before it still counts.

        Behind a full batch there is likely another: it is read and decoded while the database takes in the first. It waits while
        others, who follow the end of the log, are asked for in between.
        """
        asked = position, limit, upto
        ahead = self._ahead
        try:
            if ahead and ahead[0] == asked:
                self._ahead = None
                events = ahead[1].result()
            else:
                events = self._log.read(*asked)
        except MapperDeserialisationError:
            if limit == 1:
                raise
            return self._read(position, limit // 2, upto)
        if len(events) == limit:
            following = events[-1][0], limit, upto
            self._ahead = following, self._reader.submit(self._log.read, *following)
        return events

    def _feed(self, feeds: list[_Feed], events: Events) -> None:
        """Project a batch. Where that fails, halve it until the one read model and the one event are found."""
        try:
            self._commit(feeds, events)
        except NotLeading:
            raise
        except Exception as error:
            if _is_trouble_of_the_server(error):
                raise
            if len(feeds) > 1:
                for feed in feeds:
                    self._feed([feed], events)
            elif len(events) > 1:
                half = len(events) // 2
                self._feed(feeds, events[:half])
                if feeds[0].problem is None:
                    self._feed(feeds, events[half:])
            else:
                self._stop(feeds[0], error, events[0])

    def _commit(self, feeds: list[_Feed], events: Events) -> None:
        before, reached = feeds[0].position, events[-1][0]
        try:
            aggregate_ids = [recorded.originator_id for _, recorded in events]
            with feeds[0].connection.transaction():
                for feed in feeds:
                    project, rows = feed.model.project, feed.rows
                    rows.aggregate_ids = aggregate_ids
                    for position, recorded in events:
                        rows.position = position
                        project(rows, recorded)
                    rows.flush()
                if feeds[0] in self._feeds:
                    self._move(feeds, before, reached)
        except BaseException:
            for feed in feeds:
                feed.rows.clear()
            raise
        for feed in feeds:
            feed.position = reached
            feed.problem = None

    def _move(self, feeds: list[_Feed], before: int, reached: int) -> None:
        """Store the positions and, with the commit, wake who waits for them."""
        behind = [feed.position for feed in self._feeds if feed not in feeds and feed.problem is None]
        moved = (
            feeds[0]
            .connection.execute(
                "WITH moved AS ("
                "  UPDATE positions SET position = %s, problem = NULL WHERE name = ANY(%s) AND position = %s RETURNING name"
                ") SELECT count(*), pg_notify(%s, %s) FROM moved",
                (
                    reached,
                    [feed.model.name for feed in feeds],
                    before,
                    progress_channel(self._schema),
                    str(min([reached, *behind])),
                ),
                prepare=True,
            )
            .fetchone()
        )
        if moved is None or moved["count"] != len(feeds):
            raise NotLeading("somebody else moved the positions of the read models")

    def _stop(self, feed: _Feed, error: Exception, event: tuple[int, Recorded] | None = None) -> None:
        """Leave a read model before an event it cannot take; the others go on, and nobody waits for it."""
        place = f"event {event[0]} ({event[1].data.TOPIC})" if event else f"the event after {feed.position}"
        problem = f"stopped before {place}: {type(error).__name__}: {error}"
        if problem != feed.problem:
            fields = {"read_model": feed.model.name, "position": feed.position, "problem": problem}
            log.error("read_model_stopped", extra=fields, exc_info=error)
        feed.problem = problem
        feed.retry_at = time.monotonic() + RETRY_SECONDS
        assert self._connection is not None
        is_rebuild = feed not in self._feeds
        if is_rebuild:
            self._connection.execute(
                "UPDATE positions SET rebuild_problem = %s WHERE name = %s", (problem, feed.model.name)
            )
        if is_rebuild and not self._is_outdated(feed.model.name):
            return  # the tables of before go on meanwhile
        running = [feed.position for feed in self._feeds if feed.problem is None]
        self._connection.execute(
            "WITH stopped AS (UPDATE positions SET problem = %s WHERE name = %s) SELECT pg_notify(%s, %s)",
            (problem, feed.model.name, progress_channel(self._schema), str(min(running, default=0))),
        )

    def _is_outdated(self, name: str) -> bool:
        return any(feed.is_outdated for feed in self._feeds if feed.model.name == name)

    def _begin_rebuilds(self) -> None:
        """Begin to rebuild what is outdated and what somebody asked for."""
        assert self._connection is not None
        asked = {row["name"] for row in self._connection.execute("SELECT name FROM positions WHERE rebuild").fetchall()}
        for feed in self._feeds:
            name = feed.model.name
            if (feed.is_outdated or name in asked) and name not in self._rebuilds:
                log.info("rebuild_started", extra={"read_model": name})
                if self._rebuilding is None:
                    self._rebuilding = self._connect(self._rebuilding_schema)
                with self._rebuilding.transaction():
                    _create(self._rebuilding, self._rebuilding_schema, feed.model)
                self._rebuilds[name] = _Feed(feed.model, self._rebuilding, 0)

    def _advance_rebuilds(self) -> bool:
        """One batch for those that stand at the same position, so that the log is read once however many are rebuilt."""
        has_moved = False
        target = max((feed.position for feed in self._feeds if feed.may_run), default=self._log.position())
        behind = [feed for feed in self._rebuilds.values() if feed.may_run and feed.position < target]
        for position in sorted({feed.position for feed in behind}):
            group = [feed for feed in behind if feed.position == position]
            has_moved |= self._advance_group(group, self._batch, target)
        for name in [name for name, feed in self._rebuilds.items() if feed.position >= target]:
            has_moved |= self._take_place(name)
        return has_moved

    def _take_place(self, name: str) -> bool:
        """Put the rebuilt tables in the place of the old ones; false where a long query is in the way, for another try."""
        assert self._connection is not None
        rebuilt = self._rebuilds[name]
        feed = next(feed for feed in self._feeds if feed.model.name == name)
        tables = [table.name for table in feed.model.tables]
        try:
            with self._connection.transaction():
                self._connection.execute("SET LOCAL lock_timeout = '2s'")
                _drop_tables(self._connection, self._schema, name)
                for table in tables:
                    self._connection.execute(
                        SQL("ALTER TABLE {} SET SCHEMA {}").format(
                            Identifier(self._rebuilding_schema, table), Identifier(self._schema)
                        )
                    )
                self._connection.execute(
                    "UPDATE positions SET position = %s, definition = %s, tables = %s, problem = NULL, rebuild = false,"
                    " rebuild_problem = NULL"
                    " WHERE name = %s",
                    (rebuilt.position, feed.model.definition(), tables, name),
                )
        except psycopg.errors.LockNotAvailable:
            return False
        feed.position, feed.problem, feed.is_outdated = rebuilt.position, None, False
        del self._rebuilds[name]
        if not self._rebuilds:
            rebuilt.connection.close()
            self._rebuilding = None
        log.info("rebuild_finished", extra={"read_model": name, "position": feed.position})
        return True

    @property
    def _rebuilding_schema(self) -> str:
        return f"{self._schema}_rebuilding"

    def _build_missing_tables(self, connection: Connection[DictRow]) -> None:
        with connection.transaction():
            lock = f"read tables of {self._schema}"
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (lock,))
            connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(self._schema)))
            connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(self._rebuilding_schema)))
            connection.execute(
                "CREATE TABLE IF NOT EXISTS positions ("
                "name text PRIMARY KEY, position bigint NOT NULL, definition text NOT NULL, tables text[] NOT NULL, "
                "problem text, rebuild boolean NOT NULL DEFAULT false, rebuild_problem text)"
            )
            stored = connection.execute("SELECT * FROM positions")
            if "rebuild_problem" not in [
                column.name for column in stored.description or ()
            ]:  # an older release made it
                connection.execute("ALTER TABLE positions ADD COLUMN rebuild_problem text")
            built = {row["name"] for row in stored.fetchall()}
            for model in self._models:
                if model.name not in built:
                    _create(connection, self._schema, model)
                    connection.execute(
                        "INSERT INTO positions VALUES (%s, 0, %s, %s)",
                        (model.name, model.definition(), [table.name for table in model.tables]),
                    )

    def _drop_tables_of_removed_models(self, connection: Connection[DictRow]) -> None:
        """A read model that is no longer there must not hold back those who wait for all."""
        names = [model.name for model in self._models]
        gone = connection.execute("SELECT name FROM positions WHERE name <> ALL(%s)", (names,)).fetchall()
        for row in gone:
            with connection.transaction():
                _drop_tables(connection, self._schema, row["name"])
                connection.execute("DELETE FROM positions WHERE name = %s", (row["name"],))


def _create(connection: Connection[DictRow], schema: str, model: ReadModel) -> None:
    for table in model.tables:
        connection.execute(SQL("DROP TABLE IF EXISTS {}").format(Identifier(schema, table.name)))
        for statement in table.definition:
            connection.execute(statement.encode())


def _drop_tables(connection: Connection[DictRow], schema: str, name: str) -> None:
    row = connection.execute("SELECT tables FROM positions WHERE name = %s", (name,)).fetchone()
    for table in row["tables"] if row else ():
        connection.execute(SQL("DROP TABLE IF EXISTS {}").format(Identifier(schema, table)))


def _is_trouble_of_the_server(error: Exception) -> bool:
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:  # the client noticed it: a lost connection, or a value that cannot be sent
        return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
    return error.sqlstate[:2] in _TROUBLE_OF_THE_SERVER
