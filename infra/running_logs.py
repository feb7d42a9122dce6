"""What a job has logged up to this moment, where its worker writes it: the scratch space on shared storage (T-5, P-2).

A log becomes an artifact when its run ends. Until then, and where a worker died without keeping it, this file is all there is.
"""

from pathlib import Path
from uuid import UUID

from domain.messages import LossPart
from gpu_worker.jobs import LOG_FILE, part_logs_in, workspace_of


class RunningLogs:
    """The logs below the scratch space of the workers."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch

    def of(self, job_id: UUID, run: int) -> Path | None:
        """The log of a run of a training, or of an attempt at anything else; None before it has begun and once its scratch space
        is tidied away.
        """
        file = workspace_of(self._scratch, job_id, run) / LOG_FILE
        return file if file.is_file() else None

    def of_parts(self, job_id: UUID, run: int) -> dict[LossPart, Path]:
        """The logs of its networks, once there are two."""
        return part_logs_in(workspace_of(self._scratch, job_id, run))
