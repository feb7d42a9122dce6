"""What the database holds beside the log and the read models, and why it is in neither.

`work` mirrors which jobs wait or run (made from the log by the dispatcher), `workers` says who was heard asking for work,
`machines` how busy each machine is, `machine_history` and `line_history` how they and the line of jobs were during the last day,
`listening` says since when the relay hears what they say over Kafka and how much of it is still to be taken in, `relay` what held
it up last, `unusable_reports` holds what it could not take in and why,
`feed` how far public events were sent, `heartbeats` is momentary telemetry, `drafts` are unfinished forms, `sessions` say who is
signed in, `token_uses` when API tokens were used last, `api_requests` which requests of machines came lately, `scans` are what was
seen in folders of images lately, `image_checks` how far images were compared with what trainings saw, `kept_states` where folding
long histories may begin, `topics_seen` which kinds of facts the log holds up to some event, `chain` and `seals` prove
that nobody changed the log (seals lie in a file, too). Losing all of them loses no decision.
"""

from infra.connections import connect

SCHEMA = "app"
_LOCK = 0x417373617941  # any number that no other program on the server uses
_TABLES = """
CREATE SCHEMA IF NOT EXISTS app;
CREATE TABLE IF NOT EXISTS app.dispatcher (only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row), position bigint NOT NULL);
CREATE TABLE IF NOT EXISTS app.work (
    job_id uuid PRIMARY KEY,
    kind text NOT NULL,
    queued_at bigint NOT NULL,
    attempt integer NOT NULL,
    compute_resource_id uuid,
    is_running boolean NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
DROP INDEX IF EXISTS app.work_in_line;
CREATE INDEX IF NOT EXISTS work_waiting ON app.work (queued_at) INCLUDE (kind, compute_resource_id) WHERE NOT is_running;
CREATE INDEX IF NOT EXISTS work_running ON app.work (job_id) WHERE is_running;
CREATE TABLE IF NOT EXISTS app.workers (
    name text PRIMARY KEY,
    kinds text[] NOT NULL,
    offered jsonb NOT NULL,
    seen_at timestamptz NOT NULL
);
ALTER TABLE app.workers ADD COLUMN IF NOT EXISTS machine text;
CREATE TABLE IF NOT EXISTS app.machines (
    name text PRIMARY KEY,
    figures jsonb NOT NULL,
    measured_at timestamptz NOT NULL,
    served_at timestamptz
);
CREATE TABLE IF NOT EXISTS app.machine_history (
    span text NOT NULL,
    machine text NOT NULL,
    at timestamptz NOT NULL,
    cpu real NOT NULL,
    memory real NOT NULL,
    cards real,
    cards_memory real,
    PRIMARY KEY (span, at, machine)
);
CREATE TABLE IF NOT EXISTS app.line_history (
    span text NOT NULL,
    at timestamptz NOT NULL,
    waiting_count integer NOT NULL,
    running_count integer NOT NULL,
    PRIMARY KEY (span, at)
);
CREATE TABLE IF NOT EXISTS app.listening (
    topic text NOT NULL,
    partition integer NOT NULL,
    heard_at timestamptz NOT NULL DEFAULT '-infinity',
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (topic, partition)
);
ALTER TABLE app.listening ADD COLUMN IF NOT EXISTS behind bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS looked_at timestamptz NOT NULL DEFAULT '-infinity';
CREATE TABLE IF NOT EXISTS app.relay (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    told_at timestamptz,
    problem text NOT NULL DEFAULT '',
    problem_at timestamptz
);
CREATE TABLE IF NOT EXISTS app.unusable_reports (
    source text NOT NULL,
    place bigint NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason text NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (source, place)
);
ALTER TABLE app.unusable_reports ADD COLUMN IF NOT EXISTS report_id uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN IF NOT EXISTS topic text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS request text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS worker text NOT NULL DEFAULT '';
CREATE UNIQUE INDEX IF NOT EXISTS unusable_reports_by_id ON app.unusable_reports (report_id);
CREATE INDEX IF NOT EXISTS unusable_reports_by_time ON app.unusable_reports (kept_at, report_id);
CREATE TABLE IF NOT EXISTS app.heartbeats (
    job_id uuid PRIMARY KEY,
    attempt integer NOT NULL,
    worker text NOT NULL,
    beaten_at timestamptz NOT NULL,
    content jsonb NOT NULL
);
CREATE TABLE IF NOT EXISTS app.topics_seen (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position bigint NOT NULL,
    event text NOT NULL,
    topics text[] NOT NULL
);
CREATE TABLE IF NOT EXISTS app.drafts (
    user_id uuid NOT NULL,
    kind text NOT NULL,
    content bytea NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (user_id, kind)
);
CREATE TABLE IF NOT EXISTS app.sessions (
    session_key text PRIMARY KEY,
    user_id uuid NOT NULL,
    epoch integer NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS sessions_of_user ON app.sessions (user_id);
CREATE TABLE IF NOT EXISTS app.feed (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position bigint NOT NULL DEFAULT 0,
    sent_count bigint NOT NULL DEFAULT 0,
    sent_at timestamptz,
    looked_at timestamptz,
    problem text NOT NULL DEFAULT '',
    problem_at timestamptz
);
CREATE TABLE IF NOT EXISTS app.token_uses (token_id uuid PRIMARY KEY, used_at timestamptz NOT NULL, address text NOT NULL);
CREATE TABLE IF NOT EXISTS app.api_requests (
    request_key uuid PRIMARY KEY, digest bytea NOT NULL, is_done boolean NOT NULL DEFAULT false,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS api_requests_by_time ON app.api_requests (made_at);
CREATE TABLE IF NOT EXISTS app.scans (
    root text NOT NULL,
    path text NOT NULL,
    scan_id uuid NOT NULL DEFAULT gen_random_uuid(),
    is_done boolean NOT NULL,
    inspection jsonb NOT NULL,
    marks jsonb NOT NULL DEFAULT '[]',
    seen_count bigint NOT NULL DEFAULT 0,
    entry_count bigint NOT NULL DEFAULT 0,
    problem jsonb,
    asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (root, path)
);
CREATE INDEX IF NOT EXISTS scans_in_line ON app.scans (asked_at) WHERE NOT is_done;
CREATE TABLE IF NOT EXISTS app.image_checks (
    manifest text PRIMARY KEY,
    size bigint NOT NULL,
    image_count bigint NOT NULL,
    reached bigint NOT NULL DEFAULT 0,
    changed_count bigint NOT NULL DEFAULT 0,
    gone_count bigint NOT NULL DEFAULT 0,
    is_done boolean NOT NULL DEFAULT false,
    problem jsonb,
    asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE IF NOT EXISTS app.kept_states (
    aggregate_id uuid PRIMARY KEY,
    version bigint NOT NULL,
    definition bytea NOT NULL,
    last_fact bytea NOT NULL,
    content bytea NOT NULL
);
CREATE TABLE IF NOT EXISTS app.chain (position bigint PRIMARY KEY, digest bytea NOT NULL, hash bytea NOT NULL);
CREATE TABLE IF NOT EXISTS app.seals (
    position bigint PRIMARY KEY, hash bytea NOT NULL, sealed_at text NOT NULL, signature bytea NOT NULL
);
"""


def create_side_tables(dsn: str) -> None:
    """Make the tables where they are missing. Safe to run from several processes at once."""
    with connect(dsn) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(_TABLES)
