"""Why a job failed, where no rule refused it: what the machine did, in sentences a person can act on."""

import errno
import signal

from domain.sentences import N_, Sentence

OUT_OF_MEMORY = N_("The memory was not enough. Lower batch_size, or choose a compute resource with more memory.")
DISK_IS_FULL = N_("The disk is full. Free space where the platform keeps its state, then start again.")
STORAGE_FAILS = N_("A file cannot be read or written ({problem}). Check that all storage is mounted, then start again.")
UNEXPECTED = N_(
    "The job stopped because of an unexpected error ({error}). Download the log and show it to the administrator."
)
KILLED = N_(
    "The operating system ended the job (signal {signal}), most often because the memory was not enough. Lower batch_size, or "
    "choose a compute resource with more memory."
)
CRASHED = N_("The job's process ended unexpectedly ({code}). Download the log and show it to the administrator.")

_OF_STORAGE = {
    errno.ENOENT: N_("“{place}” is not there"),
    errno.EACCES: N_("the platform may not open “{place}”"),
    errno.EPERM: N_("the platform may not open “{place}”"),
    errno.EROFS: N_("“{place}” can only be read"),
    errno.EIO: N_("the device under “{place}” fails"),
    errno.ESTALE: N_("the storage under “{place}” is not there any more"),
}
_OF_PACKAGING = {
    OUT_OF_MEMORY: N_("The machine's memory was not enough. Wait until the machine has less to do, then start again."),
    UNEXPECTED: N_(
        "It stopped because of an unexpected error ({error}). Start it again; if that fails, too, tell the administrator."
    ),
    KILLED: N_(
        "The operating system ended it (signal {signal}), most often because the machine's memory was not enough. "
        "Wait until the machine has less to do, then start again."
    ),
    CRASHED: N_("Its process ended unexpectedly ({code}). Start it again; if that fails, too, tell the administrator."),
}
"""The same of what has no batches, no compute resource and no log to download: loadings and exports."""


def of_packaging(reason: Sentence) -> Sentence:
    """The reason of a loading or an export: nothing in it speaks of what only trainings and predictions have."""
    return Sentence(_OF_PACKAGING.get(reason.text, reason.text), reason.values)


def reason_of(error: Exception) -> Sentence:
    """What to tell of an error that nobody foresaw, or of the one that it hides: libraries wrap what the disk said."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    if isinstance(cause, OSError):
        return _reason_of_storage(cause)
    return Sentence(UNEXPECTED, {"error": f"{type(error).__name__}: {error}"[:300]})


def _reason_of_storage(error: OSError) -> Sentence:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Sentence(DISK_IS_FULL)
    place, text = str(error.filename or "")[-300:], _OF_STORAGE.get(error.errno or 0)
    if place and text:
        return Sentence(STORAGE_FAILS, {"problem": Sentence(text, {"place": place})})
    known_as = errno.errorcode.get(error.errno or 0, type(error).__name__)  # the system's own words are in English only
    return Sentence(STORAGE_FAILS, {"problem": f"{known_as} {place}".strip()})


def reason_of_exit(code: int) -> Sentence:
    """What to tell of a process that ended without a word; a negative code is a signal."""
    return Sentence(KILLED, {"signal": -code}) if code == -signal.SIGKILL else Sentence(CRASHED, {"code": code})
