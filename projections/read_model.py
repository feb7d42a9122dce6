"""Read models: tables made from the log, and the questions asked of them.

A read model is one file read downwards: its tables, `project`, its queries. Tables are never migrated; when a read model
changes, they are made anew from the log.
"""

import hashlib
import inspect
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar
from uuid import UUID

import msgspec
from psycopg import Connection
from psycopg.errors import UniqueViolation
from psycopg.rows import DictRow
from psycopg_pool import ConnectionPool

from domain.artifacts import Artifact
from domain.facts import Recorded

T = TypeVar("T")
Parameters: TypeAlias = Sequence[Any] | Mapping[str, Any]
Pool: TypeAlias = ConnectionPool[Connection[DictRow]]
Key: TypeAlias = tuple[Any, ...]
Row: TypeAlias = dict[str, Any]

SCHEMA = "read"
"""The schema of all read tables. SQL of read models names tables without it, so that a rebuild can work beside it."""
LIKELY_NEW = 100
"""From so many rows in one statement on, a failed attempt to insert them as new costs little beside what it saves."""
_CONSTRAINT = re.compile(r"\s+(?:NOT\s+NULL|NULL|DEFAULT|CHECK|GENERATED|COLLATE)\b", re.IGNORECASE)


class Artifacts(Protocol):
    """The files that facts name by checksum, for read models that show what is inside."""

    def read(self, artifact: Artifact) -> bytes:
        """The whole content."""


class Table:
    """A table of a read model, written as in SQL: `Table("models", key=("model_id uuid",), columns=("name text NOT NULL",))`.

    Beside the key no column should be unique: rows of a batch are written together, in no order, and what must be unique is
    so by the rules already.
    """

    def __init__(
        self, name: str, *, key: Sequence[str], columns: Sequence[str] = (), indexes: Sequence[str] = ()
    ) -> None:
        """`key` and `columns` hold a name, a type and constraints each; `indexes` are whole CREATE INDEX statements."""
        self.name = name
        self.types = dict(map(_name_and_type, (*key, *columns)))
        self.key = tuple(_name_and_type(column)[0] for column in key)
        self.columns = tuple(name for name in self.types if name not in self.key)
        primary_key = f"PRIMARY KEY ({', '.join(self.key)})"
        self.definition = (f"CREATE TABLE {name} ({', '.join((*key, *columns, primary_key))})", *indexes)
        self._checked: set[tuple[str, ...]] = set()

    def check(self, key: Key, values: Mapping[str, Any]) -> None:
        """Raises TypeError where `key` has another length than the table's, or `values` names what is no column beside it."""
        if len(key) != len(self.key):
            raise TypeError(f"{self} has the key {self.key}, not {key}")
        names = tuple(values)
        if names not in self._checked:
            if unknown := set(names).difference(self.columns):
                raise TypeError(f"{self} has no column {', '.join(sorted(unknown))} to write")
            self._checked.add(names)

    def __repr__(self) -> str:
        return f"Table({self.name!r})"


class Rows:
    """What a batch of facts does to the tables of one read model, kept in memory and written at once.

    Each row is written once however many facts touched it, and each table takes a few statements however many rows. Values
    may be anything that msgspec can write; jsonb columns take structs. NaN becomes NULL.
    """

    position = 0
    """Where in the log the fact stands that is being projected."""
    aggregate_ids: Sequence[UUID] = ()
    """Whose facts are being projected: who looks for the row of one of them, will look for those of the others."""

    def __init__(self, connection: Connection[DictRow]) -> None:
        self._connection = connection
        self._pending: defaultdict[Table, _Pending] = defaultdict(_Pending)
        self._defaults: dict[Table, Row] = {}
        self._encode = msgspec.json.Encoder().encode

    def insert(self, table: Table, *key: Any, **values: Any) -> None:
        """Put a row; one with the same key is replaced. Columns without a value take the default of the table."""
        table.check(key, values)
        row = (self._defaults.get(table) or self._ask_defaults(table)).copy()
        row.update(zip(table.key, key, strict=True), **values)
        self._pending[table].rows[key] = _Row(row, is_whole=True)

    def insert_many(self, table: Table, rows: Iterable[Sequence[Any]]) -> None:
        """Put many rows; each holds the key and then every column, in the order of the table."""
        pending = self._pending[table].rows
        names, key_length = tuple(table.types), len(table.key)
        for row in rows:
            pending[tuple(row[:key_length])] = _Row(dict(zip(names, row, strict=True)), is_whole=True)

    def update(self, table: Table, *key: Any, **values: Any) -> None:
        """Change some columns of a row; nothing happens where there is no such row."""
        table.check(key, values)
        if not values:
            raise TypeError(f"an update of {table} names no column")
        row = self._pending[table].row(key)
        row.values.update(values)
        if row.growth:
            row.growth = {name: items for name, items in row.growth.items() if name not in values}

    def extend(self, table: Table, *key: Any, **items: Iterable[Any]) -> None:
        """Add items at the end of the arrays of a row, for lists that grow fact by fact; nothing happens without the row."""
        table.check(key, items)
        row = self._pending[table].row(key)
        for name, added in items.items():
            if name in row.values:
                row.values[name] = [*(row.values[name] or ()), *added]
            elif name in row.growth:
                row.growth[name] += added
            else:
                row.growth[name] = list(added)

    def delete(self, table: Table, *key: Any) -> None:
        """Remove a row, or with only the first parts of the key every row that begins with them."""
        if not 0 < len(key) <= len(table.key):
            raise TypeError(f"{table} has the key {table.key}, not {key}")
        pending = self._pending[table]
        if len(key) == len(table.key):
            pending.rows.pop(key, None)
        else:
            pending.rows = {other: row for other, row in pending.rows.items() if other[: len(key)] != key}
        pending.deleted[len(key)].add(key)

    def row(self, table: Table, *key: Any) -> Row | None:
        """A row as it is after everything before; None where there is none. Structs come as the dicts that jsonb gives back."""
        table.check(key, {})
        pending = self._pending[table]
        changed = pending.rows.get(key)
        if changed is not None and changed.is_whole:
            row = changed.values
        else:
            if any(key[:length] in keys for length, keys in pending.deleted.items()):
                return None
            if key not in pending.stored:
                self._look_up(table, pending, key)
            if (stored := pending.stored[key]) is None:
                return None
            row = stored
            if changed is not None:
                grown = {name: [*(stored[name] or ()), *items] for name, items in changed.growth.items()}
                row = {**stored, **changed.values, **grown}
        return {name: _as_read(table.types[name], value) for name, value in row.items()}

    def execute(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Run a statement that the methods above cannot say; it sees everything before. Returns its rows, if it has any."""
        self.flush()
        cursor = self._connection.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []

    def flush(self) -> None:
        """Write everything: deletions, then the one thing that is to be done to each row."""
        for table, pending in self._pending.items():
            for key_length, keys in pending.deleted.items():
                names = table.key[:key_length]
                self._send(_delete_statement(table, names), [dict(zip(names, key, strict=True)) for key in keys])
            if whole := [row.values for row in pending.rows.values() if row.is_whole]:
                self._put(table, whole)
            changed = [(key, row) for key, row in pending.rows.items() if not row.is_whole]
            self._change(table, _SET, ((key, row.values) for key, row in changed))
            self._change(table, _EXTEND, ((key, row.growth) for key, row in changed))
        self._pending.clear()

    def clear(self) -> None:
        """Forget everything that was not written."""
        self._pending.clear()

    def _look_up(self, table: Table, pending: "_Pending", key: Key) -> None:
        """Read a row; with that of one aggregate of the batch those of all, as a question each would take half of a rebuild."""
        if len(table.key) == 1 and not pending.has_looked_up and key[0] in self.aggregate_ids:
            pending.has_looked_up = True
            ids = list(dict.fromkeys(self.aggregate_ids))
            pending.stored.update(((one,), None) for one in ids)
            statement = f"SELECT * FROM {table.name} WHERE {table.key[0]} = ANY(%s)"  # noqa: S608 - names come from our tables
            for row in self._connection.execute(statement, (ids,), prepare=True):
                pending.stored[(row[table.key[0]],)] = row
        if key not in pending.stored:
            where = " AND ".join(f"{name} = %s" for name in table.key)
            statement = f"SELECT * FROM {table.name} WHERE {where}"  # noqa: S608 - names come from our tables
            pending.stored[key] = self._connection.execute(statement, key, prepare=True).fetchone()

    def _put(self, table: Table, rows: Sequence[Row]) -> None:
        """Many rows at once are nearly always new, and an INSERT that need not look for old ones takes half the time."""
        if len(rows) >= LIKELY_NEW:
            try:
                with self._connection.transaction():
                    self._send(_insert_statement(table), rows)
            except UniqueViolation:
                pass
            else:
                return
        self._send(_put_statement(table), rows)

    def _change(self, table: Table, assignment: str, changes: Iterable[tuple[Key, Row]]) -> None:
        by_columns: defaultdict[frozenset[str], list[Row]] = defaultdict(list)
        for key, values in changes:
            if values:
                by_columns[frozenset(values)].append(dict(zip(table.key, key, strict=True), **values))
        for names, rows in by_columns.items():
            self._send(_update_statement(table, names, assignment), rows)

    def _ask_defaults(self, table: Table) -> Row:
        """What the table gives to columns that are left out, NULL where it says nothing."""
        said = self._connection.execute(
            "SELECT attname AS name, pg_get_expr(adbin, adrelid) AS expression FROM pg_attrdef"
            " JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum WHERE adrelid = %s::regclass",
            (table.name,),
        ).fetchall()
        values = ", ".join(f"{default['expression']} AS {default['name']}" for default in said)
        given = self._connection.execute(f"SELECT {values}").fetchone()
        defaults = self._defaults[table] = dict.fromkeys(table.types) | (given or {})
        return defaults

    def _send(self, statement: str, rows: Sequence[Row]) -> None:
        self._connection.execute(statement, (self._encode(rows).decode(),), prepare=True)


class ReadModel:
    """Tables, how facts change them, and the questions asked of them. One file, read downwards."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised when something outside the file changes what `project` writes; a change of the file itself is noticed."""
    tables: ClassVar[tuple[Table, ...]] = ()
    """The tables among the class attributes, collected by themselves."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.tables = tuple(table for table in vars(cls).values() if isinstance(table, Table))

    def __init__(self, pool: Pool | None = None, artifacts: Artifacts | None = None) -> None:
        """`pool` is for the queries; `artifacts` is for a `project` that must look inside the files that facts name."""
        self._pool = pool
        self._artifacts = artifacts

    def project(self, rows: Rows, recorded: Recorded) -> None:
        """Write what one fact changes, through `rows` only. The same facts must always give the same rows."""
        raise NotImplementedError

    @classmethod
    def definition(cls) -> str:
        """A mark of the file and its version; when it changes, the tables are made anew from the log."""
        source = inspect.getsource(sys.modules[cls.__module__])
        return hashlib.sha256(f"{cls.__qualname__} {cls.version}\n{source}".encode()).hexdigest()

    @property
    def pool(self) -> Pool:
        """Connections for queries."""
        if self._pool is None:
            raise ValueError(f"the read model {self.name} was made without a pool and cannot be asked")
        return self._pool

    @property
    def artifacts(self) -> Artifacts:
        """The files that facts name."""
        if self._artifacts is None:
            raise ValueError(f"the read model {self.name} needs the artifacts")
        return self._artifacts

    def _all(self, sql: str, parameters: Parameters, shape: type[T]) -> list[T]:
        """Every row as `shape`: a struct takes columns by name, a plain type the only column."""
        with self.pool.connection() as connection:
            return _shaped(connection.execute(sql, parameters).fetchall(), shape)

    def _one(self, sql: str, parameters: Parameters, shape: type[T]) -> T | None:
        """The first row as `shape`, None where there is none."""
        return next(iter(self._all(sql, parameters, shape)), None)

    def _page(
        self,
        sql: str,
        parameters: Mapping[str, Any],
        shape: type[T],
        *,
        number: int,
        size: int,
        order: str = "",
        shown: str = "",
    ) -> "Page[T]":
        """A page of the list that `sql` gives; beyond the end, the last page. Parameters are named.

        `order` is what stands behind ORDER BY; apart from `sql`, because counting needs no order. Where a row takes more than
        its order and filters need, `sql` gives keys only, and `shown` selects the whole rows FROM part, the keys of this page:
        the pages before are then skipped in an index, and nothing is read for rows that nobody sees.
        """
        ordered = f"{sql} ORDER BY {order}" if order else sql
        ordered += " LIMIT %(page_size)s OFFSET %(page_offset)s"
        if shown:
            numbered = f"SELECT *, row_number() OVER () AS place FROM ({ordered}) AS part"  # noqa: S608 - our own
            ordered = f"WITH part AS MATERIALIZED ({numbered}) {shown} ORDER BY place"
        with self.pool.connection() as connection, connection.transaction():
            counted = connection.execute(f"SELECT count(*) FROM ({sql}) AS found", parameters)  # noqa: S608 - our own
            total = _shaped(counted.fetchall(), int)[0]
            number = max(1, min(number, -(-total // size)))
            window = {"page_size": size, "page_offset": (number - 1) * size}
            rows = connection.execute(ordered, {**parameters, **window}).fetchall()
        return Page(items=tuple(_shaped(rows, shape)), total=total, number=number, size=size)

    def _stretch(
        self,
        sql: str,
        parameters: Mapping[str, Any],
        shape: type[T],
        *,
        key: Sequence[str],
        after: Key | None,
        size: int,
        shown: str,
        is_descending: bool = False,
    ) -> "Stretch[T]":
        """The next rows behind the one whose `key` is `after`, for programs that read a list to its end while it changes.

        `sql` gives the columns of `key`, which order the list and of which no two rows have the same; `shown` selects the whole
        rows FROM part, as for a page.
        """
        names, beyond, order = ", ".join(key), "<" if is_descending else ">", " DESC" if is_descending else ""
        marks = {f"after_{number}": value for number, value in enumerate(after or ())}
        begin = f"({names}) {beyond} ({', '.join(f'%({mark})s' for mark in marks)})" if after else "true"
        ordered = ", ".join(f"{name}{order}" for name in key)
        ends = {f"end_{number}": f"%(end_{number})s" for number in range(len(key))}
        found = f"SELECT {names} FROM ({sql}) AS found WHERE {begin}"  # noqa: S608 - our own
        with self.pool.connection() as connection:
            keys = connection.execute(
                f"{found} ORDER BY {ordered} LIMIT %(stretch_size)s",
                {**parameters, **marks, "stretch_size": size + 1},
            ).fetchall()
            if not keys:
                return Stretch(items=())
            last = tuple(keys[:size][-1].values())
            # What came in between since the keys were read is shown, too: nothing may fall out at the end of this part.
            part = (
                f"SELECT *, row_number() OVER (ORDER BY {ordered}) AS place FROM ({sql}) AS found"  # noqa: S608
                f" WHERE {begin} AND NOT ({names}) {beyond} ({', '.join(ends.values())})"
            )
            rows = connection.execute(
                f"WITH part AS MATERIALIZED ({part}) {shown} ORDER BY place",
                {**parameters, **marks, **dict(zip(ends, last, strict=True))},
            ).fetchall()
        return Stretch(items=tuple(_shaped(rows, shape)), following=last if len(keys) > size else None)


class Stretch(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A part of a list that is read to its end; `following` is the key behind which it goes on, None at the end."""

    items: tuple[T, ...]
    following: tuple[Any, ...] | None = None


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A part of a list. `number` counts from 1; `total` is the length of the whole list, `size` of a full page."""

    items: tuple[T, ...]
    total: int
    number: int
    size: int

    @property
    def page_count(self) -> int:
        """How many pages there are, at least one."""
        return max(1, -(-self.total // self.size))


def use_schema(connection: Connection[Any], schema: str) -> None:
    """Let statements on `connection` name the tables of `schema` alone, and give times in UTC."""
    connection.execute("SELECT set_config('search_path', %s, false), set_config('timezone', 'UTC', false)", (schema,))


class _Row:
    """What is to be done to one row: `values` replace it (`is_whole`) or some columns; `growth` is added to other columns."""

    __slots__ = ("growth", "is_whole", "values")

    def __init__(self, values: Row, *, is_whole: bool) -> None:
        self.values = values
        self.growth: dict[str, list[Any]] = {}
        self.is_whole = is_whole


class _Pending:
    """What is not written yet of a table. `deleted` holds keys and beginnings of keys by their length, and comes before `rows`.

    `stored` keeps rows as they were read, None where there is none; `has_looked_up` says that those of the batch's aggregates are.
    """

    __slots__ = ("deleted", "has_looked_up", "rows", "stored")

    def __init__(self) -> None:
        self.rows: dict[Key, _Row] = {}
        self.deleted: defaultdict[int, set[Key]] = defaultdict(set)
        self.stored: dict[Key, Row | None] = {}
        self.has_looked_up = False

    def row(self, key: Key) -> _Row:
        """What is to be done to the row, to be added to."""
        row = self.rows.get(key)
        if row is None:
            row = self.rows[key] = _Row({}, is_whole=False)
        return row


def _name_and_type(column: str) -> tuple[str, str]:
    name, rest = column.split(maxsplit=1)
    return name, _CONSTRAINT.split(rest, maxsplit=1)[0].strip()


def _as_read(column_type: str, value: Any) -> Any:
    """A value that is not written yet as it will be read back: enums and structs plain, tuples as lists."""
    if column_type == "jsonb":
        return msgspec.json.decode(msgspec.json.encode(value))
    plain = msgspec.to_builtins(value, builtin_types=(UUID, datetime))
    return list(plain) if isinstance(plain, tuple) else plain


# The statements below are made of names and types of our own tables only; every value travels as the one JSON parameter.
# PostgreSQL turns it into typed columns, arrays and jsonb included, faster than from one array for each column.


def _recordset(table: Table, names: Iterable[str]) -> str:
    return f"json_to_recordset(%s::json) AS given ({', '.join(f'{name} {table.types[name]}' for name in names)})"


@cache
def _delete_statement(table: Table, names: tuple[str, ...]) -> str:
    where = " AND ".join(f"{table.name}.{name} = given.{name}" for name in names)
    return f"DELETE FROM {table.name} USING {_recordset(table, names)} WHERE {where}"  # noqa: S608


@cache
def _insert_statement(table: Table) -> str:
    names = ", ".join(table.types)
    return f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {_recordset(table, table.types)}"  # noqa: S608


@cache
def _put_statement(table: Table) -> str:
    changes = ", ".join(f"{name} = excluded.{name}" for name in table.columns)
    replacing = f"UPDATE SET {changes}" if changes else "NOTHING"
    return f"{_insert_statement(table)} ON CONFLICT ({', '.join(table.key)}) DO {replacing}"


_SET = "{name} = given.{name}"
_EXTEND = "{name} = {table}.{name} || given.{name}"


@cache
def _update_statement(table: Table, names: frozenset[str], assignment: str) -> str:
    changes = ", ".join(assignment.format(name=name, table=table.name) for name in sorted(names))
    where = " AND ".join(f"{table.name}.{name} = given.{name}" for name in table.key)
    return f"UPDATE {table.name} SET {changes} FROM {_recordset(table, (*table.key, *sorted(names)))} WHERE {where}"  # noqa: S608


def _shaped(rows: list[DictRow], shape: type[T]) -> list[T]:
    if hasattr(shape, "__struct_fields__"):
        return msgspec.convert(rows, list[shape])  # type: ignore[valid-type]
    return msgspec.convert([next(iter(row.values())) for row in rows], list[shape])  # type: ignore[valid-type]
