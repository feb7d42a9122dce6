"""The embedded server under everything a machine may do to it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import psycopg
import pytest

from infra.embedded_postgres import ensure_postgres, postgres_runs, stop_postgres, superuser_address
from infra.postgres_programs import PostgresFailed, find_programs
from infra.settings import Settings, read_settings
from tests.eventually import eventually
from tests.parts import require

CHECKOUT = Path(__file__).parents[2]
START = """
import sys
from pathlib import Path
from infra.embedded_postgres import ensure_postgres, stop_postgres
from infra.settings import read_settings
settings = read_settings({"ASSAY_STATE": sys.argv[2]})
stop_postgres(settings) if sys.argv[1] == "stop" else print(ensure_postgres(settings), flush=True)
if sys.argv[1] == "stay":
    sys.stdin.read()
"""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to choose another user for the server")


@pytest.fixture
def place() -> Iterator[Path]:
    """A short folder that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="assay-", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    for link in folder.rglob("postgres"):
        if link.is_symlink():
            shutil.rmtree(link.resolve(), ignore_errors=True)
    shutil.rmtree(folder)


@pytest.fixture
def settings(place: Path) -> Iterator[Settings]:
    settings = settings_of(place / "state")
    yield settings
    stop_postgres(settings)


def settings_of(state: Path) -> Settings:
    return read_settings({"ASSAY_STATE": str(state)})


def postmaster_pid(settings: Settings) -> int:
    return int((settings.state / "postgres/data/postmaster.pid").read_text().split("\n")[0])


def ask(address: str, question: str) -> object:
    with psycopg.connect(address, autocommit=True) as connection:
        answer = connection.execute(question.encode()).fetchone()
        assert answer is not None
        return answer[0]


def write_row(address: str) -> None:
    with psycopg.connect(address) as connection:
        connection.execute("CREATE TABLE panels (name text)")
        connection.execute("INSERT INTO panels VALUES ('panel-a')")


def run_python(verb: str, state: Path, *, before: Sequence[str] = ()) -> str:
    command = [*before, sys.executable, "-c", START, verb, str(state)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_starting_again_finds_the_data_of_before(settings: Settings) -> None:
    write_row(ensure_postgres(settings))
    stop_postgres(settings)
    assert not postgres_runs(settings)
    assert ask(ensure_postgres(settings), "SELECT name FROM panels") == "panel-a"


def test_a_running_server_is_attached_to(settings: Settings) -> None:
    ensure_postgres(settings)
    first = postmaster_pid(settings)
    ensure_postgres(settings)
    assert postmaster_pid(settings) == first


def test_stopping_twice_is_no_error(settings: Settings) -> None:
    stop_postgres(settings)
    ensure_postgres(settings)
    stop_postgres(settings)
    stop_postgres(settings)
    assert not postgres_runs(settings)


def test_the_server_listens_on_no_network_and_its_folder_is_closed(settings: Settings) -> None:
    address = ensure_postgres(settings)
    assert ask(address, "SHOW listen_addresses") == ""
    assert (settings.state / "postgres").stat().st_mode & 0o777 == 0o700


def test_our_role_is_no_superuser(settings: Settings) -> None:
    address = ensure_postgres(settings)
    assert ask(address, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False


def test_four_processes_starting_at_once_share_one_server(settings: Settings) -> None:
    command = [sys.executable, "-c", START, "start", str(settings.state)]
    starts = [subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    addresses = {start.communicate()[0].strip() for start in starts}
    assert [start.returncode for start in starts] == [0, 0, 0, 0]
    assert addresses == {ensure_postgres(settings)}


def test_what_was_acknowledged_survives_a_killed_server(settings: Settings) -> None:
    write_row(ensure_postgres(settings))
    os.kill(postmaster_pid(settings), signal.SIGKILL)
    assert ask(ensure_postgres(settings), "SELECT name FROM panels") == "panel-a"


def test_a_long_statement_left_by_a_killed_server_is_ended(settings: Settings) -> None:
    with contextlib.closing(psycopg.connect(ensure_postgres(settings), autocommit=True)) as connection:
        connection.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 100000000000)")
        killed = postmaster_pid(settings)
        os.kill(killed, signal.SIGKILL)
        ensure_postgres(settings)
    assert postmaster_pid(settings) != killed


def test_the_server_survives_the_process_that_started_it(settings: Settings) -> None:
    command = [sys.executable, "-c", START, "stay", str(settings.state)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        starter.stdout.readline()
        first = postmaster_pid(settings)
        starter.kill()
    ensure_postgres(settings)
    assert postmaster_pid(settings) == first


def test_a_zombie_is_not_taken_for_the_server(settings: Settings) -> None:
    ensure_postgres(settings)
    with subprocess.Popen(["true"]) as zombie:
        eventually(lambda: Path(f"/proc/{zombie.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
        leave_pid_file_of(zombie.pid, settings)
        assert not postgres_runs(settings)
        ensure_postgres(settings)
        assert postmaster_pid(settings) != zombie.pid


def test_another_servers_process_with_a_reused_pid_is_not_taken_for_ours(place: Path, settings: Settings) -> None:
    ensure_postgres(settings)
    other = shutil.copy("/bin/sleep", place / "postgres-of-others")
    renamed = Path(other).rename(place / "postgres")
    with subprocess.Popen([renamed, "1000"], cwd="/") as stranger:
        leave_pid_file_of(stranger.pid, settings)
        ensure_postgres(settings)
        assert stranger.poll() is None, "the stranger must not be touched"
        stranger.kill()
    assert postgres_runs(settings)


@pytest.mark.parametrize("torn", ["", "\n"])
def test_a_torn_pid_file_does_not_keep_the_server_from_starting(settings: Settings, torn: str) -> None:
    ensure_postgres(settings)
    stop_postgres(settings)
    (settings.state / "postgres/data/postmaster.pid").write_text(torn)
    ensure_postgres(settings)
    assert postgres_runs(settings)


def test_a_half_made_cluster_is_made_anew(settings: Settings) -> None:
    unfinished = settings.state / "postgres/data.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18")
    assert ask(ensure_postgres(settings), "SELECT 1") == 1


def test_a_path_too_long_for_a_socket_gets_a_short_one(place: Path) -> None:
    settings = settings_of(place / ("long" * 30) / "state")
    address = ensure_postgres(settings)
    short = Path(str(psycopg.conninfo.conninfo_to_dict(address)["host"]))
    assert ask(address, "SELECT 1") == 1
    stop_postgres(settings)
    assert not short.exists(), "nothing stays outside the state folder"


def test_data_is_opened_by_the_major_version_that_made_it(settings: Settings) -> None:
    older = find_programs(None, major="16")
    ensure_postgres(msgspec.structs.replace(settings, postgres_programs=older.folder))
    stop_postgres(settings)
    assert str(ask(ensure_postgres(settings), "SHOW server_version")).startswith("16.")


def test_missing_programs_are_told_with_what_to_do(settings: Settings, place: Path) -> None:
    nowhere = msgspec.structs.replace(settings, postgres_programs=place)
    with pytest.raises(PostgresFailed, match=r"is not in .* Correct ASSAY_POSTGRES_BIN"):
        ensure_postgres(nowhere)


def test_another_server_is_used_instead_and_nothing_is_started(place: Path) -> None:
    url = "postgresql://assay@db.factory/assay"
    settings = read_settings({"ASSAY_STATE": str(place / "state"), "ASSAY_DATABASE_URL": url})
    assert ensure_postgres(settings) == url
    assert not (place / "state").exists()


def test_an_ordinary_user_runs_the_server_as_itself(place: Path) -> None:
    settings = settings_of(place / "state")
    if os.geteuid() == 0:
        settings.state.mkdir()
        os.chown(settings.state, 65534, 65534)
        packages = sysconfig.get_path("purelib")
        imports = f"PYTHONPATH={CHECKOUT}:{packages}"
        ordinary = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", imports]
        python = [*ordinary, interpreter_for_everyone(ordinary), "-c", START]
        subprocess.run([*python, "start", settings.state], cwd="/", check=True)
        owner = 65534
    else:
        ensure_postgres(settings)
        owner = os.geteuid()
    assert (settings.state / "postgres/data").stat().st_uid == owner
    assert Path(f"/proc/{postmaster_pid(settings)}").stat().st_uid == owner
    stop_postgres(settings)  # root may stop it, too


@as_root
def test_root_runs_the_server_as_postgres_without_roots_groups(settings: Settings) -> None:
    ensure_postgres(settings)
    status = Path(f"/proc/{postmaster_pid(settings)}/status").read_text()
    assert "\nUid:\t0" not in status
    assert "\nGid:\t0" not in status
    groups = next(line for line in status.splitlines() if line.startswith("Groups:"))
    assert "0" not in groups.split()[1:]


@as_root
def test_without_a_postgres_user_the_server_runs_as_nobody(place: Path) -> None:
    passwd = place / "passwd"
    users = Path("/etc/passwd").read_text().splitlines(keepends=True)
    passwd.write_text("".join(user for user in users if not user.startswith("postgres:")))
    passwd.chmod(0o644)
    settings = settings_of(place / "state")
    hidden = ["unshare", "--mount", "sh", "-c", f'mount --bind {passwd} /etc/passwd && exec "$@"', "sh"]
    run_python("start", settings.state, before=hidden)
    nobody = next(int(user.split(":")[2]) for user in users if user.startswith("nobody:"))
    assert (settings.state / "postgres/data").stat().st_uid == nobody
    run_python("stop", settings.state, before=hidden)


@as_root
def test_without_any_user_for_the_server_root_is_told_what_to_do(settings: Settings) -> None:
    with pytest.raises(PostgresFailed, match="Add one, or start Assay as an ordinary user"):
        ensure_postgres(settings, accounts=("no-such-user",))


@as_root
def test_below_a_closed_folder_the_cluster_lies_elsewhere_and_no_mode_changes(place: Path) -> None:
    closed = place / "root"
    closed.mkdir(mode=0o700)
    wheel = find_programs(None, major=None).folder.parents[1]
    for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        shutil.copytree(part, closed / part.name, ignore=shutil.ignore_patterns("pginstall", "include"))
    settings = msgspec.structs.replace(
        settings_of(closed / "state"), postgres_programs=closed / wheel.name / "pginstall18/bin"
    )
    try:
        write_row(ensure_postgres(settings))
        assert (settings.state / "postgres").resolve().is_relative_to("/var/lib/assay")
        assert Path(f"/proc/{postmaster_pid(settings)}/exe").readlink().is_relative_to("/var/lib/assay")
        assert closed.stat().st_mode & 0o777 == 0o700
        stop_postgres(settings)
        assert ask(ensure_postgres(settings), "SELECT name FROM panels") == "panel-a"
    finally:
        stop_postgres(settings)


@as_root
def test_root_of_a_container_that_may_not_trace_attaches_and_stops(settings: Settings) -> None:
    require("setpriv", present=shutil.which("setpriv"), how_to_get_it="install util-linux")
    limited = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]
    run_python("start", settings.state, before=limited)
    first = postmaster_pid(settings)
    run_python("start", settings.state, before=limited)
    assert postmaster_pid(settings) == first
    run_python("stop", settings.state, before=limited)
    assert not postgres_runs(settings)


@as_root
def test_a_link_to_a_cluster_that_is_gone_is_not_replaced_by_an_empty_one(settings: Settings, place: Path) -> None:
    settings.state.mkdir()
    (settings.state / "postgres").symlink_to(place / "gone")
    with pytest.raises(PostgresFailed, match="Bring it back, or remove the link"):
        ensure_postgres(settings)


def test_the_superuser_reaches_every_database(settings: Settings) -> None:
    ensure_postgres(settings)
    assert ask(superuser_address(settings, "assay"), "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")


def leave_pid_file_of(pid: int, settings: Settings) -> None:
    """What a killed server leaves, once its pid went to another process."""
    pid_file = settings.state / "postgres/data/postmaster.pid"
    _, *rest = pid_file.read_text().split("\n")
    stop_postgres(settings)
    pid_file.write_text("\n".join([str(pid), *rest]))


def interpreter_for_everyone(ordinary: Sequence[str]) -> str:
    """Our Python may lie below a closed home; the distribution's will do."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/python{version}"):
        if subprocess.run([*ordinary, python, "-c", ""], cwd="/", capture_output=True, check=False).returncode == 0:
            return python
    return pytest.skip("no Python that an ordinary user may run")
