"""What running jobs say of themselves at this moment: a row that the next beat overwrites, never an event."""

from uuid import UUID

import msgspec
from psycopg import Connection
from psycopg.rows import DictRow
from psycopg_pool import ConnectionPool

from domain.impossible_numbers import refuse_impossible_numbers
from domain.messages import Heartbeat
from domain.system_resources import MachineSays
from infra.announced_machines import note_machine


class Heartbeats:
    """The newest heartbeat of every job; older than `silence_seconds` means that nobody works on it."""

    def __init__(self, pool: ConnectionPool[Connection[DictRow]], *, silence_seconds: float) -> None:
        self._pool = pool
        self._silence_seconds = silence_seconds

    def beat(self, heartbeat: Heartbeat, machine: MachineSays | None = None) -> None:
        """Overwrite the job's row; its worker was heard, and what it runs on. Of an attempt after which another has begun nothing
        is noted: that one would seem silent.

        Raises:
            ImpossibleNumber
        """
        refuse_impossible_numbers(heartbeat)
        with self._pool.connection() as connection:
            connection.execute(
                "WITH heard AS (UPDATE app.workers SET seen_at = clock_timestamp() WHERE name = %s)"
                " INSERT INTO app.heartbeats (job_id, attempt, worker, beaten_at, content)"
                " VALUES (%s, %s, %s, clock_timestamp(), %s::jsonb)"
                " ON CONFLICT (job_id) DO UPDATE SET attempt = excluded.attempt, worker = excluded.worker,"
                " beaten_at = excluded.beaten_at, content = excluded.content"
                " WHERE app.heartbeats.attempt <= excluded.attempt",
                (
                    heartbeat.worker,
                    heartbeat.job_id,
                    heartbeat.attempt,
                    heartbeat.worker,
                    msgspec.json.encode(heartbeat).decode(),
                ),
            )
            note_machine(connection, machine)

    def of(self, job_id: UUID) -> Heartbeat | None:
        """What the job's worker said last; None where nobody has worked on it lately."""
        with self._pool.connection() as connection:
            row = connection.execute(
                "SELECT content FROM app.heartbeats WHERE job_id = %s"
                " AND beaten_at > clock_timestamp() - make_interval(secs => %s)",
                (job_id, self._silence_seconds),
            ).fetchone()
        return msgspec.convert(row["content"], Heartbeat) if row else None

    def of_all(self, job_ids: list[UUID]) -> dict[UUID, Heartbeat]:
        """As `of`, for the rows of a list at once."""
        with self._pool.connection() as connection:
            rows = connection.execute(
                "SELECT content FROM app.heartbeats WHERE job_id = ANY(%s)"
                " AND beaten_at > clock_timestamp() - make_interval(secs => %s)",
                (job_ids, self._silence_seconds),
            ).fetchall()
        beats = [msgspec.convert(row["content"], Heartbeat) for row in rows]
        return {beat.job_id: beat for beat in beats}
