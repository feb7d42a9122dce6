"""What `backup` and `restore` do; each says its answer in lines, and returns the exit status."""

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from infra import bootstrap
from infra.artifacts import Artifacts
from infra.backup_folder import Backup, BackupFailed, BackupFolder
from infra.backups import take_backup
from infra.checked_backups import Checked, check_artifacts, check_log
from infra.connections import connect
from infra.notary import seals_in_file
from infra.progress import Say, as_bytes
from infra.projector import Projector
from infra.restores import finish, restore
from infra.settings import Settings
from infra.worker_bootstrap import open_storage
from projections.all import READ_MODELS

MOST_SHOWN: Final = 20
PUBLIC_KEY_BYTES: Final = 32


def back_up(asked: argparse.Namespace, settings: Settings, say: Say) -> int:
    """Take a backup of the installation; 1 where it is not all that it should be.

    Raises:
        BackupFailed
    """
    if asked.keep is not None and asked.keep < 1:
        raise BackupFailed("--keep needs a number from 1 on: the backup that is taken now stays.")
    _refuse_open_folder(asked.folder, settings)
    folder = BackupFolder(asked.folder.resolve())
    before = set(folder.store.untouched(-1.0))
    backup = take_backup(settings, open_storage(settings).artifacts, folder, say)
    manifest = backup.manifest
    added = [file for file in folder.store.untouched(-1.0) if file not in before]
    _tell_taken(manifest.missing, "missing on the storage", say)
    _tell_taken(manifest.damaged, "damaged on the storage, so that they were not copied", say)
    checked = check_log(backup)
    _tell(checked, [], say)
    if asked.keep is not None:
        with folder.written():
            gone = folder.keep_newest(asked.keep)
        say(f"{gone:,} older backups were removed, with what only they held.")
    say(
        f"Backup {backup.moment} in {folder.folder}: {manifest.event_count:,} events up to position {manifest.position:,},"
        f" {manifest.artifact_count:,} artifacts ({as_bytes(manifest.artifact_bytes)});"
        f" {as_bytes(sum(file.size for file in added))} are new."
    )
    say(f"SHA-256 of its manifest: {backup.checksum}; keep this, and the public key of the seals, elsewhere.")
    say("The backup holds hashes of passwords and the key of the seals. Only its owner can read it: leave it so.")
    is_whole = checked.is_whole and not (manifest.missing or manifest.damaged)
    say(
        "The backup is whole."
        if is_whole
        else "The backup was taken, but not everything is as it should be: see above."
    )
    return 0 if is_whole else 1


def check(asked: argparse.Namespace, say: Say) -> int:
    """Check a backup without restoring it; 1 where something is not as it was, or does not fit.

    Raises:
        BackupFailed
    """
    backup = BackupFolder(asked.folder.resolve()).open(asked.at)
    say(f"Backup {backup.moment}, SHA-256 of its manifest: {backup.checksum}")
    checked = _checked(backup, asked)
    problems = [] if checked.damaged else check_artifacts(backup, say, is_reading=True)
    _tell(checked, problems, say)
    manifest = backup.manifest
    say(f"{manifest.event_count:,} events, {checked.seal_count:,} seals, {manifest.artifact_count:,} artifacts.")
    is_whole = checked.is_whole and not problems
    say("Everything fits." if is_whole else "Something does not fit.")
    return 0 if is_whole else 1


def choose(asked: argparse.Namespace, say: Say) -> Backup:
    """The backup to restore. Its tables are checked here, its artifacts while they are copied.

    Raises:
        BackupFailed: it is damaged, or does not fit; nothing was touched.
    """
    backup = BackupFolder(asked.folder.resolve()).open(asked.at)
    say(f"Backup {backup.moment}, SHA-256 of its manifest: {backup.checksum}")
    checked = _checked(backup, asked)
    problems = [] if checked.damaged else check_artifacts(backup, say, is_reading=False)
    _tell(checked, problems, say)
    if checked.damaged:
        raise BackupFailed("The log of this backup is damaged. Nothing was restored; use another backup.")
    if (checked.findings or problems) and not asked.despite_damage:
        raise BackupFailed(
            "Nothing was restored. Use another backup, or add --despite-damage to restore what is there all the same."
        )
    return backup


def put_back(backup: Backup, asked: argparse.Namespace, settings: Settings, say: Say) -> int:
    """Restore a backup into the place of the settings, which name a database; 1 where something is left out or does not fit.

    Raises:
        BackupFailed
    """
    artifacts = open_storage(settings).artifacts
    restored = restore(
        settings,
        artifacts,
        backup,
        say,
        reuses_storage=asked.reuse_storage,
        despite_damage=asked.despite_damage,
    )
    is_whole = _make_read_tables(settings, artifacts, say)
    _, verified = bootstrap.verify_log(settings, bytes.fromhex(backup.manifest.public_key) or None)
    _tell(Checked([], verified.findings), [], say)
    _tell_taken(restored.left_out, "damaged or missing in the backup, and were left out", say)
    finish(settings)
    _tell_settings(backup, settings, say)
    say(
        f"Restored: {restored.event_count:,} events and {restored.artifact_count:,} artifacts, as they were at"
        f" {backup.manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC. `assay up` starts it; everybody signs in anew."
    )
    is_whole = is_whole and not (restored.left_out or verified.findings)
    say("Everything fits." if is_whole else "Not everything is as it was: see above.")
    return 0 if is_whole else 1


def _make_read_tables(settings: Settings, artifacts: Artifacts, say: Say) -> bool:
    """From the log; whether every read model took all of it."""
    say("The read tables …")
    with ExitStack() as stack:
        core = stack.enter_context(bootstrap.open_core(settings))
        projector = Projector(core.log, core.dsn, READ_MODELS, artifacts)
        stack.callback(projector.close)
        projector.drain()
        connection = stack.enter_context(connect(core.dsn))
        stopped = connection.execute("SELECT name, problem FROM read.positions WHERE problem IS NOT NULL").fetchall()
    for name, problem in stopped:
        say(f"The read model {name} {problem}")
    return not stopped


def _checked(backup: Backup, asked: argparse.Namespace) -> Checked:
    try:
        key = bytes.fromhex(asked.key) if asked.key else None
        seals = seals_in_file(asked.seals) if asked.seals else []
    except ValueError as error:
        raise BackupFailed(f"The seals cannot be verified: {error}") from error
    if key is not None and len(key) != PUBLIC_KEY_BYTES:
        raise BackupFailed(
            f"--key has {len(key)} bytes; a public key has {PUBLIC_KEY_BYTES}, as `assay verify` prints it."
        )
    if asked.seals and not asked.seals.is_file():
        raise BackupFailed(f"{asked.seals} is no file.")
    return check_log(backup, key, seals)


def _refuse_open_folder(folder: Path, settings: Settings) -> None:
    """What lies below a root is shown to people, or can be imported."""
    place = folder.resolve()
    for name, root in {**settings.data_roots, **settings.archive_roots}.items():
        if place.is_relative_to(root.resolve()):
            raise BackupFailed(
                f"{folder} lies in the root “{name}”, which people may look into. Choose another folder."
            )


def _tell(checked: Checked, problems: Sequence[str], say: Say) -> None:
    findings = [f"position {finding.position}: {finding.what}" for finding in checked.findings]
    _tell_some([*checked.damaged, *findings, *problems], say)


def _tell_taken(checksums: Sequence[str], state: str, say: Say) -> None:
    if checksums:
        say(f"{len(checksums):,} artifacts that something refers to are {state}:")
        _tell_some(checksums, say)


def _tell_some(lines: Sequence[str], say: Say) -> None:
    for line in lines[:MOST_SHOWN]:
        say(line)
    if len(lines) > MOST_SHOWN:
        say(f"… and {len(lines) - MOST_SHOWN:,} more")


def _tell_settings(backup: Backup, settings: Settings, say: Say) -> None:
    """What a person has to set so that images are found again; the backup holds none of them."""
    known = {name: str(root) for name, root in settings.data_roots.items()}
    for name, folder in backup.manifest.settings.get("data_roots", {}).items():
        if name not in known:
            say(
                f"The data root “{name}” ({folder}) is not among ASSAY_DATA_ROOTS: without it its images are not found."
            )
