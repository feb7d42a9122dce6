"""The embedded PostgreSQL server: a private cluster below the state folder, reached through a Unix socket only.

Only the programs of the wheel are used. Its own start-up opens every parent folder to everyone and takes a dead server
for a living one; here no mode outside our own folders is touched, and every pid is asked what it is.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from infra.postgres_programs import (
    Account,
    PostgresFailed,
    Programs,
    find_account,
    find_programs,
    reachable_by,
    run_as,
    within_reach,
)
from infra.settings import Settings

SERVER_ACCOUNTS = ("postgres", "nobody")
"""As whom the server runs when we are root; `nobody` is on every machine."""

DATABASE = "assay"
_ELSEWHERE = Path("/var/lib/assay")
_SOCKET = ".s.PGSQL.5432"
_SOCKET_PATH_BYTES = 107  # sun_path holds 108 with its end
_NO_SUCH_PID = 2**22 + 1  # above the kernel's highest
_PATIENCE_SECONDS = 60.0
_LOG_BYTES = 10 * 2**20

_CONFIGURATION = """\
# Written by Assay at every start.
listen_addresses = ''               # nothing but the socket below, whose folder only the server's user and root enter
unix_socket_directories = '{run}'
unix_socket_permissions = 0700
max_connections = 200               # web, projector, dispatcher and worker hold pools
shared_buffers = 128MB              # modest: the same machine trains
jit = off                           # only short statements run here
max_parallel_workers_per_gather = 0 # the same, and a container's /dev/shm is small
timezone = 'UTC'
log_timezone = 'UTC'
log_min_messages = warning
"""


class Cluster(msgspec.Struct, frozen=True):
    """A cluster's folder and the user as whom its server runs (None: as ourselves)."""

    home: Path
    account: Account | None

    @property
    def files(self) -> Path:
        """PostgreSQL's own folder."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.home / "server.log"

    @property
    def run(self) -> Path:
        """The folder of the socket; a short one when the path of the home is too long for a socket."""
        beside = self.home / "run"
        if len(os.fsencode(beside / _SOCKET)) <= _SOCKET_PATH_BYTES:
            return beside
        return Path("/tmp") / f"assay-{_digest(self.home)}"  # noqa: S108 - made with mode 0700, its owner is checked

    def address(self, user: str, database: str) -> str:
        """The connection string for psycopg."""
        from psycopg.conninfo import make_conninfo  # noqa: PLC0415 - a machine with nothing but a worker has no psycopg

        return make_conninfo(host=str(self.run), port=5432, user=user, dbname=database)


def ensure_postgres(settings: Settings, accounts: Sequence[str] = SERVER_ACCOUNTS) -> str:
    """Start the embedded server, or attach to it when it runs; returns the connection string of our database.

    With `settings.database_url` that one is returned, and nothing is started.

    Raises:
        PostgresFailed: no programs, no user to run them, or the server does not start.
    """
    if settings.database_url:
        return settings.database_url
    import psycopg  # noqa: F401, PLC0415 - who has none could start the server, but neither use it nor see to its end

    with _alone(settings.state):
        cluster = _cluster(settings, accounts)
        if not (cluster.files / "PG_VERSION").exists():
            _initialise(cluster, settings.postgres_programs)
        if not _attach(cluster):
            _start(cluster, settings.postgres_programs)
        _create_database(cluster)
    return cluster.address(user="assay", database=DATABASE)


def stop_postgres(settings: Settings) -> None:
    """Stop the embedded server after it has finished its writes; nothing to do when it does not run.

    Raises:
        PostgresFailed: it does not end.
    """
    if settings.database_url or not (settings.state / "postgres").exists():
        return
    with _alone(settings.state):
        cluster = _cluster(settings, SERVER_ACCOUNTS)
        for manner in (signal.SIGINT, signal.SIGQUIT):  # fast; immediate, which the next start recovers from
            if (pid := _postmaster(cluster.files)) is None:
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, manner)
            if _becomes_true(lambda: _postmaster(cluster.files) is None):
                break
        else:
            raise PostgresFailed(f"PostgreSQL in {cluster.files} does not stop. {_last_words(cluster.log)}")
        if cluster.run.parent != cluster.home:
            shutil.rmtree(cluster.run, ignore_errors=True)


def postgres_runs(settings: Settings) -> bool:
    """Whether the embedded server's process is there; cheap enough to be asked every second."""
    return _postmaster((settings.state / "postgres").resolve() / "data") is not None


def superuser_address(settings: Settings, database: str = "postgres") -> str:
    """The connection string of the cluster's superuser, for backups and for tests that make databases."""
    return _cluster(settings, SERVER_ACCOUNTS).address(user="postgres", database=database)


def with_database(settings: Settings) -> Settings:
    """The settings with the address of their database, which runs from now on."""
    return msgspec.structs.replace(settings, database_url=ensure_postgres(settings))


@contextlib.contextmanager
def database_for_a_moment(settings: Settings) -> Iterator[Settings]:
    """As `with_database`, for as long as a command takes: the database runs no longer than before."""
    runs = settings.database_url is not None or postgres_runs(settings)
    try:
        yield with_database(settings)
    finally:
        if not runs:
            stop_postgres(settings)


@contextlib.contextmanager
def _alone(state: Path) -> Iterator[None]:
    """One process at a time starts or stops the server of a state folder."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _cluster(settings: Settings, accounts: Sequence[str]) -> Cluster:
    """The cluster of a state folder: below it, or where the link `postgres` points because the server cannot enter it."""
    place = settings.state / "postgres"
    if place.is_symlink() and not place.exists():
        raise PostgresFailed(f"{place} points to {place.readlink()}, which is gone. Bring it back, or remove the link.")
    try:
        account = find_account(place.resolve() / "data", accounts)
        if not place.exists():
            _make_home(place, account)
        if not reachable_by(account, place.resolve()):
            raise PostgresFailed(f"User {account and account.name} cannot enter {place}. Open its parents to it again.")
        return Cluster(home=place.resolve(), account=account)
    except PermissionError as error:
        raise PostgresFailed(
            f"{error.filename} belongs to another user. Start Assay as that user or as root."
        ) from error


def _make_home(place: Path, account: Account | None) -> None:
    if reachable_by(account, place.parent):
        _make_folder(place, account)
        return
    _ELSEWHERE.mkdir(mode=0o711, parents=True, exist_ok=True)
    if _ELSEWHERE.stat().st_uid == os.geteuid():
        _ELSEWHERE.chmod(0o711)  # ours, and a umask may have closed it
    home = Path(tempfile.mkdtemp(prefix=f"{_digest(place)}-", dir=_ELSEWHERE))
    _make_folder(home, account)
    place.symlink_to(home)


def _make_folder(folder: Path, account: Account | None) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    if account:
        os.chown(folder, account.user_id, account.group_id)


def _initialise(cluster: Cluster, chosen: Path | None) -> None:
    """Make the cluster beside its place and move it there, so that a half-made one is never started."""
    _make_folder(cluster.home, cluster.account)
    programs = _programs(cluster, chosen, major=None)
    unfinished = cluster.home / "data.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    # From 17 on PostgreSQL has this locale built in; the C library's changes its order with its version.
    builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    locale = builtin if int(programs.major) >= 17 else ["--locale=C.UTF-8"]
    kind = ["-U", "postgres", "-E", "UTF8", "--data-checksums"]
    access = ["--auth-local=trust", "--auth-host=reject"]  # the socket's folder is the lock on the door
    _call(cluster, [programs.folder / "initdb", "-D", unfinished, *kind, *locale, *access])
    with (unfinished / "postgresql.conf").open("a") as configuration:
        configuration.write("\ninclude_if_exists = 'assay.conf'\n")
    unfinished.rename(cluster.files)


def _attach(cluster: Cluster) -> bool:
    """Whether a running server answers; one that is starting or stopping is waited for."""

    def settled() -> bool:
        return _postmaster(cluster.files) is None or _answers(cluster)

    if not _becomes_true(settled):
        raise PostgresFailed(f"PostgreSQL in {cluster.files} runs but does not answer. {_last_words(cluster.log)}")
    return _postmaster(cluster.files) is not None


def _start(cluster: Cluster, chosen: Path | None) -> None:
    programs = _programs(cluster, chosen, major=(cluster.files / "PG_VERSION").read_text().strip())
    _make_socket_folder(cluster)
    _end_orphans(cluster)
    _disown_pid_file(cluster)
    (cluster.files / "assay.conf").write_text(_CONFIGURATION.format(run=str(cluster.run).replace("'", "''")))
    if cluster.log.exists() and cluster.log.stat().st_size > _LOG_BYTES:
        cluster.log.rename(cluster.log.with_suffix(".log.1"))
    wait = ["-w", "-t", str(int(_PATIENCE_SECONDS))]
    _call(cluster, [programs.folder / "pg_ctl", "start", *wait, "-D", cluster.files, "-l", cluster.log])


def _make_socket_folder(cluster: Cluster) -> None:
    _make_folder(cluster.run, None)
    made = cluster.run.lstat()
    expected = cluster.account.user_id if cluster.account else os.geteuid()
    if cluster.run.is_symlink() or made.st_uid not in (expected, os.geteuid()):
        raise PostgresFailed(f"{cluster.run} belongs to somebody else. Remove it, or choose a shorter ASSAY_STATE.")
    cluster.run.chmod(0o700)
    _make_folder(cluster.run, cluster.account)
    for left in cluster.run.glob(f"{_SOCKET}*"):
        left.unlink()  # nobody listens there any more, but PostgreSQL would believe the pid in the lock file


def _end_orphans(cluster: Cluster) -> None:
    """Server processes whose postmaster was killed end by themselves, except in the middle of a long statement."""

    def gone() -> bool:
        left = [pid for pid in _processes() if _works_in(pid, cluster.files) is True]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        return not left

    if not _becomes_true(gone):
        raise PostgresFailed(
            f"Processes of an older PostgreSQL still work in {cluster.files}. End them, then start again."
        )


def _disown_pid_file(cluster: Cluster) -> None:
    """Its process is gone, yet its pid may answer: as a zombie that nobody reaps, or as another program.

    PostgreSQL would then refuse to start. A pid that cannot exist is written over it; the shared memory named further
    down in the file stays, so PostgreSQL's own look for survivors stays, too.
    """
    pid_file = cluster.files / "postmaster.pid"
    if not pid_file.exists():
        return
    _, *rest = pid_file.read_text().split("\n")
    if any(rest):
        pid_file.write_text("\n".join([str(_NO_SUCH_PID), *rest]))
    else:
        pid_file.unlink()  # torn by a full disk or a power cut


def _create_database(cluster: Cluster) -> None:
    """Our database and its owner, who is no superuser."""
    import psycopg  # noqa: PLC0415 - as above

    with psycopg.connect(cluster.address(user="postgres", database="postgres"), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'assay'").fetchone():
            connection.execute("CREATE ROLE assay LOGIN")
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone():
            connection.execute("CREATE DATABASE assay OWNER assay TEMPLATE template0")


def _answers(cluster: Cluster) -> bool:
    import psycopg  # noqa: PLC0415 - as above

    try:
        with psycopg.connect(cluster.address(user="postgres", database="postgres"), connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


def _postmaster(data: Path) -> int | None:
    """The pid of the server that works in `data`; None when the pid file names a zombie or somebody else."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", maxsplit=1)[0])
    except (FileNotFoundError, ValueError):
        return None
    return pid if _works_in(pid, data) is not False else None


def _works_in(pid: int, data: Path) -> bool | None:
    """Whether a process is a living PostgreSQL whose working folder is `data`; None where we may not look at the latter."""
    process = Path(f"/proc/{pid}")
    try:
        state = (process / "stat").read_text().rpartition(")")
        if not state[0].endswith("(postgres") or state[2].split()[0] == "Z":
            return False
        return (process / "cwd").readlink() == data
    except (FileNotFoundError, ProcessLookupError):
        return False
    except PermissionError:  # root in a container may not have the right to trace
        return None if process.stat().st_uid == data.stat().st_uid else False


def _processes() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _programs(cluster: Cluster, chosen: Path | None, major: str | None) -> Programs:
    return within_reach(find_programs(chosen, major), cluster.account, cluster.home / "programs")


def _call(cluster: Cluster, arguments: Sequence[str | Path]) -> None:
    spoken = cluster.home / "tools.log"
    if run_as(cluster.account, arguments, cwd=cluster.home, output=spoken):
        words = f"{_last_words(spoken)} {_last_words(cluster.log)}"
        raise PostgresFailed(f"{Path(arguments[0]).name} failed in {cluster.home}. {words}")


def _last_words(log: Path) -> str:
    return f"{log}: …{log.read_text(errors='replace')[-800:]}" if log.exists() else ""


def _becomes_true(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
