"""What the job's process and those that it starts have in common: a log that takes everything, an end with their parent, and a
reason for whatever happens.
"""

import ctypes
import faulthandler
import logging
import os
import signal
from pathlib import Path
from typing import Final

import torch

from domain.sentences import Sentence
from gpu_worker.jobs import LOG_FORMAT
from gpu_worker.reasons import OUT_OF_MEMORY, reason_of

_SET_PARENT_DEATH_SIGNAL: Final = 1
"""PR_SET_PDEATHSIG in linux/prctl.h."""
_OUT_OF_MEMORY: Final = (
    "allocate memory",
    "bad_alloc",
    "out of memory",
    "can't start new thread",
    "_ALLOC_FAILED",  # cuBLAS and cuDNN, which allocate for themselves
    "_ALLOCATION_FAILED",
)
"""What libraries say of it in errors of no special kind."""


def log_into(file: Path) -> logging.Logger:
    """The job's log takes everything: our lines, warnings of libraries, last words of a crash."""
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(LOG_FORMAT)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.captureWarnings(capture=True)
    with file.open("ab") as opened:
        os.dup2(opened.fileno(), 1)
        os.dup2(opened.fileno(), 2)
    faulthandler.enable()
    return logging.getLogger("job")


def be_killed_with_parent(parent: int) -> None:
    """By the kernel and at once, however stuck or stopped this process is.

    `parent` is the parent's own word: asked here, the system may name whoever took over from one that is gone already. The kernel
    means the thread that started this process, so that one has to live as long.
    """
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # gone before
        os._exit(1)


def reason_in_child(error: Exception) -> Sentence:
    """What to tell of an error that nobody foresaw, torch's own included."""
    is_out_of_memory = isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        words in str(error) for words in _OUT_OF_MEMORY
    )
    return Sentence(OUT_OF_MEMORY) if is_out_of_memory else reason_of(error)
