"""How a worker works, as opposed to at what. The defaults are for production; each says why."""

import enum

import msgspec


class Precision(enum.Enum):
    """The type in which a training computes. Part of a run's identity: a resume keeps it. Evaluation is always float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class TrainingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker trains, as opposed to what. None lets the first attempt choose the fastest precision.

    `on_cpu`: leave a GPU alone, because a CPU computes the same to the bit each time.
    `cpu_ranks`: processes that share a training where there is no GPU; one: threads share memory (`gpu_worker.lanes`).
    `rank_patience_seconds`: how long ranks wait for one that validates, or is gone; a large validation on a slow disk fits in.
    """

    checkpoint_every_seconds: float = 60.0
    checkpoint_every_iterations: int = 0
    precision: Precision | None = None
    on_cpu: bool = False
    cpu_ranks: int = 1
    rank_patience_seconds: float = 1800.0


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`most_cpu_cores`: what jobs are offered of this machine's; None for all. `beat_every_seconds`: terminate reaches a job within
    about so long. `stop_grace_seconds`: a checkpoint of the largest network on a slow disk fits in. `report_patience_seconds`: a
    restart of the server or its database fits in, then the job is given up. `keep_*`: what is left behind by jobs that nobody goes
    on with, and decoded images that nobody used lately.

    `is_ready_ahead`: a process with its libraries loaded, 300 MB of them torch, waits for the next job, so that it begins at once;
    else each job's is started when it comes, some seconds later. `ready_patience_seconds`: the slowest disk loads libraries sooner;
    a driver that hangs takes for ever.

    `quiet_patience_seconds`: how long a job may say nothing before it is ended; twice what ranks wait for each other, so that they
    can tell more. `storage_patience_seconds`: the same of the shared storage, which answers sooner even for an export of many
    gigabytes; a little less than what makes the worker itself count as stuck (`infra.vital_signs`), so that it can still tell.
    """

    most_cpu_cores: int | None = None
    is_ready_ahead: bool = True
    ready_patience_seconds: float = 300.0
    quiet_patience_seconds: float = 3600.0
    storage_patience_seconds: float = 540.0
    beat_every_seconds: float = 1.0
    stop_grace_seconds: float = 30.0
    report_patience_seconds: float = 600.0
    keep_workspaces_seconds: float = 14 * 86400.0
    keep_decoded_seconds: float = 30 * 86400.0
    keep_decoded_bytes: int = 50 << 30
    training: TrainingSettings = TrainingSettings()
