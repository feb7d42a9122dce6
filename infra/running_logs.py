"""What a job has logged up to this moment, where its worker writes it: the scratch space on shared storage (T-5, P-2).

A log becomes an artifact when its run ends. Until then, and where a worker died without keeping it, this file is all there is.
"""

from pathlib import Path
from uuid import UUID

from domain.messages import LossPart
from gpu_worker.jobs import LOG_FILE, newest_workspace, part_logs_in


class RunningLogs:
    """The logs below the scratch space of the workers."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch

    def of(self, job_id: UUID, run: int) -> Path | None:
        """The log of a run of a training, or of an attempt at anything else; None before it has begun and once its scratch space
        is tidied away. An attempt that goes on keeps what those before it logged.
        """
        workspace = newest_workspace(self._scratch, job_id, run)
        return workspace / LOG_FILE if workspace is not None and (workspace / LOG_FILE).is_file() else None

    def of_parts(self, job_id: UUID, run: int) -> dict[LossPart, Path]:
        """The logs of its networks, once there are two."""
        workspace = newest_workspace(self._scratch, job_id, run)
        return part_logs_in(workspace) if workspace is not None else {}
