"""What every read model relies on: rows buffered in memory end up as if each change had been written at once."""

import enum
import random
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from domain.data_paths import FolderName
from domain.facts import Recorded
from infra.connections import open_pool
from projections.read_model import LIKELY_NEW, Page, ReadModel, Rows, Table, use_schema

MODELS = Table(
    "models",
    key=("model_id uuid",),
    columns=(
        "name text NOT NULL",
        "status text NOT NULL DEFAULT 'waiting'",
        "accuracy float8",
        "image_count int NOT NULL DEFAULT 0",
        "is_published boolean",
        "changed_at timestamp with time zone",
        "folder jsonb",
        "products uuid[]",
    ),
    indexes=("CREATE INDEX models_name ON models (name)",),
)
LOSSES = Table("losses", key=("model_id uuid", "part text", "iteration int"), columns=("loss float8",))
CURVES = Table(
    "curves",
    key=("model_id uuid", "part text", "first int"),
    columns=("loss float8", "iterations int[] NOT NULL DEFAULT '{}'"),
)
TICKS = Table("ticks", key=("model_id uuid", "product text"))


class Status(enum.Enum):
    TRAINING = "training"


@pytest.fixture
def connection(database: str) -> Iterator[Connection[DictRow]]:
    with psycopg.connect(database, autocommit=True, row_factory=dict_row) as opened:
        opened.execute("CREATE SCHEMA read")
        use_schema(opened, "read")
        for table in (MODELS, LOSSES, CURVES, TICKS):
            for statement in table.definition:
                opened.execute(statement.encode())
        yield opened


@pytest.fixture
def rows(connection: Connection[DictRow]) -> Rows:
    return Rows(connection)


def stored(connection: Connection[DictRow], table: Table) -> list[DictRow]:
    return connection.execute(f"SELECT * FROM {table.name} ORDER BY {', '.join(table.key)}".encode()).fetchall()


def test_a_row_takes_every_kind_of_value_and_the_defaults_of_its_table(
    rows: Rows, connection: Connection[DictRow]
) -> None:
    model, product, at = uuid4(), uuid4(), datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
    rows.insert(
        MODELS,
        model,
        name='panel "a" {面板} \\ ,',
        status=Status.TRAINING,
        accuracy=float("nan"),
        changed_at=at,
        folder=FolderName("data", "line-1"),
        products=(product,),
    )
    rows.flush()
    assert stored(connection, MODELS) == [
        {
            "model_id": model,
            "name": 'panel "a" {面板} \\ ,',
            "status": "training",
            "accuracy": None,
            "image_count": 0,
            "is_published": None,
            "changed_at": at,
            "folder": {"root": "data", "path": "line-1"},
            "products": [product],
        }
    ]


def test_inserting_again_replaces_the_whole_row(rows: Rows, connection: Connection[DictRow]) -> None:
    model = uuid4()
    rows.insert(MODELS, model, name="panel-a", accuracy=0.9, image_count=5)
    rows.flush()
    rows.insert(MODELS, model, name="panel-b")
    rows.flush()
    [row] = stored(connection, MODELS)
    assert (row["name"], row["accuracy"], row["image_count"]) == ("panel-b", None, 0)


def test_an_update_never_makes_a_row(rows: Rows, connection: Connection[DictRow]) -> None:
    gone = uuid4()
    rows.update(MODELS, uuid4(), name="nobody")
    rows.insert(MODELS, gone, name="panel-a")
    rows.delete(MODELS, gone)
    rows.update(MODELS, gone, name="panel-b")
    rows.flush()
    assert stored(connection, MODELS) == []


def test_deleting_by_the_beginning_of_a_key_takes_stored_and_pending_rows(
    rows: Rows, connection: Connection[DictRow]
) -> None:
    model, other = uuid4(), uuid4()
    rows.insert_many(LOSSES, [(model, "classification", 1, 0.5), (other, "classification", 1, 0.5)])
    rows.flush()
    rows.insert_many(LOSSES, [(model, "classification", 2, 0.4), (model, "segmentation", 1, 0.9)])
    rows.delete(LOSSES, model, "classification")
    rows.insert(LOSSES, model, "classification", 3, loss=0.1)
    rows.flush()
    kept = [(row["model_id"], row["part"], row["iteration"]) for row in stored(connection, LOSSES)]
    assert sorted(kept) == sorted(
        [(model, "classification", 3), (model, "segmentation", 1), (other, "classification", 1)]
    )


def test_many_new_rows_and_many_known_ones_are_stored_alike(rows: Rows, connection: Connection[DictRow]) -> None:
    model = uuid4()
    for loss, first in ((0.5, 0), (0.4, LIKELY_NEW // 2)):
        rows.insert_many(LOSSES, [(model, "classification", first + number, loss) for number in range(LIKELY_NEW)])
        rows.flush()
    losses = [row["loss"] for row in stored(connection, LOSSES)]
    assert losses == [0.5] * (LIKELY_NEW // 2) + [0.4] * LIKELY_NEW


def test_a_table_may_have_nothing_but_its_key(rows: Rows, connection: Connection[DictRow]) -> None:
    model = uuid4()
    for _ in range(2):
        rows.insert(TICKS, model, "TPFIP")
        rows.flush()
    assert stored(connection, TICKS) == [{"model_id": model, "product": "TPFIP"}]


def test_a_row_can_be_read_with_everything_that_is_not_written_yet(rows: Rows) -> None:
    model = uuid4()
    assert rows.row(MODELS, model) is None
    rows.insert(MODELS, model, name="panel-a", folder=FolderName("data", "line-1"))
    row = rows.row(MODELS, model)
    assert row is not None
    assert (row["image_count"], row["folder"]) == (0, {"root": "data", "path": "line-1"})
    for _ in range(3):
        row = rows.row(MODELS, model)
        assert row is not None
        rows.update(MODELS, model, image_count=row["image_count"] + 1, status=Status.TRAINING)
    row = rows.row(MODELS, model)
    assert row is not None
    assert (row["image_count"], row["status"], row["name"]) == (3, "training", "panel-a")
    rows.delete(MODELS, model)
    assert rows.row(MODELS, model) is None


class CountingConnection:
    """A connection that remembers what was asked of it."""

    def __init__(self, connection: Connection[DictRow]) -> None:
        self._connection = connection
        self.asked: list[str] = []

    def execute(self, statement: str, *arguments: Any, **named: Any) -> Any:
        self.asked.append(statement)
        return self._connection.execute(statement, *arguments, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def test_the_rows_of_a_batch_are_read_with_one_question(rows: Rows, connection: Connection[DictRow]) -> None:
    known, new, deleted, elsewhere = (uuid4() for _ in range(4))
    for model in (known, deleted, elsewhere):
        rows.insert(MODELS, model, name=f"panel {model}")
    rows.flush()
    counting = CountingConnection(connection)
    batch = Rows(counting)  # type: ignore[arg-type]
    batch.aggregate_ids = [known, new, deleted, known]
    batch.delete(MODELS, deleted)
    names = {model: row and row["name"] for model in (known, new, deleted) for row in [batch.row(MODELS, model)]}
    assert names == {known: f"panel {known}", new: None, deleted: None}
    assert len(counting.asked) == 1
    assert batch.row(MODELS, elsewhere)  # belongs to no aggregate of the batch, and is asked for by itself
    assert len(counting.asked) == 2
    batch.flush()
    batch.update(MODELS, known, name="panel-b")
    batch.flush()
    row = batch.row(MODELS, known)
    assert row
    assert row["name"] == "panel-b"  # what was read before does not outlive what was written


def test_a_statement_of_its_own_sees_everything_before_and_comes_before_everything_after(
    rows: Rows, connection: Connection[DictRow]
) -> None:
    model = uuid4()
    rows.insert(MODELS, model, name="panel-a")
    renamed = rows.execute("UPDATE models SET name = %s WHERE name = %s RETURNING model_id", ("panel-b", "panel-a"))
    rows.update(MODELS, model, accuracy=0.5)
    rows.flush()
    assert renamed == [{"model_id": model}]
    assert [(row["name"], row["accuracy"]) for row in stored(connection, MODELS)] == [("panel-b", 0.5)]
    assert rows.execute("UPDATE models SET name = 'panel-c'") == []


def test_what_was_cleared_is_never_written(rows: Rows, connection: Connection[DictRow]) -> None:
    rows.insert(MODELS, uuid4(), name="panel-a")
    rows.clear()
    rows.flush()
    assert stored(connection, MODELS) == []


@pytest.mark.parametrize(
    "slip",
    [
        lambda rows: rows.insert(MODELS, uuid4(), title="panel-a"),
        lambda rows: rows.update(MODELS, uuid4(), model_id=uuid4()),
        lambda rows: rows.update(MODELS, uuid4()),
        lambda rows: rows.insert(LOSSES, uuid4(), loss=0.5),
        lambda rows: rows.delete(LOSSES),
        lambda rows: rows.delete(MODELS, uuid4(), "classification"),
    ],
)
def test_a_slip_in_a_projection_is_refused_where_it_stands(rows: Rows, slip: Any) -> None:
    with pytest.raises(TypeError, match=r"Table\('(models|losses)'\)"):
        slip(rows)


class WrittenAtOnce:
    """What `Rows` promises, in the plainest way: a table of curves as a dict, changed at once."""

    def __init__(self) -> None:
        self.curves: dict[tuple[Any, ...], dict[str, Any]] = {}

    def insert(self, _: Table, *key: Any, loss: float, iterations: tuple[int, ...] = ()) -> None:
        self.curves[key] = {"loss": loss, "iterations": list(iterations)}

    def insert_many(self, table: Table, rows: list[tuple[Any, ...]]) -> None:
        for *key, loss, iterations in rows:
            self.insert(table, *key, loss=loss, iterations=iterations)

    def update(self, _: Table, *key: Any, **values: Any) -> None:
        if key in self.curves:
            self.curves[key] |= {name: list(value) if name == "iterations" else value for name, value in values.items()}

    def extend(self, _: Table, *key: Any, iterations: tuple[int, ...]) -> None:
        if key in self.curves:
            self.curves[key]["iterations"] += iterations

    def delete(self, _: Table, *key: Any) -> None:
        self.curves = {other: row for other, row in self.curves.items() if other[: len(key)] != key}


# E-2
@pytest.mark.parametrize("seed", range(8))
def test_any_sequence_of_changes_ends_as_if_each_had_been_written_at_once(
    rows: Rows, connection: Connection[DictRow], seed: int
) -> None:
    dice, plainly = random.Random(seed), WrittenAtOnce()
    keys = [(UUID(int=number), part, first) for number in range(3) for part in ("a", "b") for first in range(2)]
    for step in range(500):
        key, loss = dice.choice(keys), dice.random()
        changes: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
            ("insert", key, {"loss": loss}),
            ("insert_many", ([(*key, loss, (step,)), (*keys[0], loss, ())],), {}),
            ("update", key, {"loss": loss}),
            ("update", key, {"loss": None, "iterations": (step, step)}),
            ("extend", key, {"iterations": (step,)}),
            ("extend", key, {"iterations": (step, step + 1)}),
            ("delete", key, {}),
            ("delete", key[: dice.choice((1, 2))], {}),
        ]
        method, arguments, named = dice.choices(changes, weights=(6, 2, 4, 2, 4, 4, 2, 1))[0]
        for each in (rows, plainly):
            getattr(each, method)(CURVES, *arguments, **named)
        if dice.random() < 0.1:
            rows.flush()
        looked_at = dice.choice(keys)
        row = rows.row(CURVES, *looked_at)
        assert (row and {"loss": row["loss"], "iterations": row["iterations"]}) == plainly.curves.get(looked_at)
    rows.flush()
    found = {
        (row["model_id"], row["part"], row["first"]): {"loss": row["loss"], "iterations": row["iterations"]}
        for row in stored(connection, CURVES)
    }
    assert found == plainly.curves
    assert len(found) > 2


class Listed(msgspec.Struct, frozen=True):
    name: str
    status: Status
    folder: FolderName


class Models(ReadModel):
    name = "models"
    LISTED = MODELS

    def project(self, rows: Rows, recorded: Recorded) -> None:
        raise NotImplementedError

    def page_of_names(self, number: int) -> Page[str]:
        return self._page(
            "SELECT name FROM models WHERE name LIKE 'panel%%' AND status = %(status)s ORDER BY name",
            {"status": "training"},
            str,
            number=number,
            size=2,
        )


@pytest.fixture
def models(database: str, rows: Rows) -> Iterator[Models]:
    for name in ("panel-a", "panel-b", "panel-c"):
        rows.insert(MODELS, uuid4(), name=name, status=Status.TRAINING, folder=FolderName("data", name))
    rows.insert(MODELS, uuid4(), name="other", status=Status.TRAINING)
    rows.flush()
    with closing(open_pool(database)) as pool:
        yield Models(pool)


def test_answers_are_structs_with_enums_and_jsonb_as_structs(models: Models) -> None:
    found = models._all("SELECT * FROM models WHERE name = %s", ("panel-b",), Listed)
    assert found == [Listed("panel-b", Status.TRAINING, FolderName("data", "panel-b"))]
    assert models._one("SELECT count(*) FROM models", (), int) == 4
    assert models._one("SELECT * FROM models WHERE name = 'panel-z'", (), Listed) is None


def test_an_answer_that_does_not_fit_its_struct_is_an_error(models: Models) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"\$\[0\]\.folder"):
        models._all("SELECT * FROM models WHERE name = 'other'", (), Listed)


@pytest.mark.parametrize(
    ("asked", "number", "names"),
    [(1, 1, ("panel-a", "panel-b")), (2, 2, ("panel-c",)), (99, 2, ("panel-c",)), (-1, 1, ("panel-a", "panel-b"))],
)
def test_a_page_beyond_the_end_is_the_last_one(models: Models, asked: int, number: int, names: tuple[str, ...]) -> None:
    page = models.page_of_names(asked)
    assert (page.items, page.number, page.total, page.page_count) == (names, number, 3, 2)


def test_whole_rows_are_read_for_one_page_and_stand_in_its_order(models: Models) -> None:
    def page(order: str, number: int) -> Page[Listed]:
        return models._page(
            "SELECT model_id FROM models WHERE name LIKE 'panel%%' AND status = %(status)s",
            {"status": "training"},
            Listed,
            number=number,
            size=2,
            order=order,
            shown="SELECT name, status, folder FROM part JOIN models USING (model_id)",
        )

    # The row named “other” has no folder and would not fit its struct; it is on no page.
    assert [row.name for row in page("name DESC", 1).items] == ["panel-c", "panel-b"]
    assert ([row.name for row in page("name DESC", 9).items], page("name DESC", 9).number) == (["panel-a"], 2)
    assert [row.name for row in page("name", 1).items] == ["panel-a", "panel-b"]


def test_an_empty_list_has_one_empty_page(models: Models) -> None:
    page = models._page("SELECT name FROM models WHERE false", {}, str, number=3, size=10)
    assert (page.items, page.number, page.total, page.page_count) == ((), 1, 0, 1)


def test_times_are_utc_whatever_the_server_prefers(models: Models) -> None:
    at = models._one("SELECT '2026-03-02 16:30+08'::timestamptz", (), datetime)
    assert str(at) == "2026-03-02 08:30:00+00:00"


def test_queries_go_on_after_the_database_ended_every_connection(
    models: Models, connection: Connection[DictRow]
) -> None:
    assert models._one("SELECT count(*) FROM models", (), int) == 4
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert models._one("SELECT count(*) FROM models", (), int) == 4


def test_a_read_model_without_pool_or_artifacts_says_what_it_lacks() -> None:
    with pytest.raises(ValueError, match="pool"):
        Models()._one("SELECT 1", (), int)
    with pytest.raises(ValueError, match="artifacts"):
        _ = Models().artifacts


def test_the_tables_of_a_read_model_are_its_attributes() -> None:
    assert Models.tables == (MODELS,)
