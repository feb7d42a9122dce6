"""The process of one rank of a training, a child of the job's process. The first rank validates, saves and reports; the others only
learn, and obey nobody: they end with their work or with their parent.
"""

import logging
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
import torch

from domain.messages import AnyReport, Resources
from domain.refusals import Refusal
from gpu_worker import checkpoints
from gpu_worker.channel import Channel, Deliver, Ended, Tell
from gpu_worker.child_process import be_killed_with_parent, log_into, reason_in_child
from gpu_worker.devices import chosen_device, keep_evaluation_exact
from gpu_worker.jobs import LOG_FILE, LOG_FORMAT, Job, JobStopped, Progress, part_log_file
from gpu_worker.parts import Part, parts_of
from gpu_worker.ranks import FromRank, RankWork, ToRank, load_prepared
from gpu_worker.team import Team, join, leave
from gpu_worker.training import Clock, go_on_as, train_loop

RankChannel = Channel[FromRank, ToRank]


def run_rank(work: RankWork, channel: RankChannel, is_stopping: Callable[[], bool]) -> Ended:
    """Learn to the end, and say how it ended."""
    log, rank = logging.getLogger("job"), _rank()
    try:
        _train(work, channel, is_stopping, log)
    except JobStopped:
        return Ended(is_stopped=True)
    except Refusal as refusal:
        log.error("rank %s: %s", rank, refusal.sentence)  # noqa: TRY400 - a refusal explains itself
        return Ended(refusal.sentence)
    except Exception as error:  # the edge of the process: everything becomes a reason
        log.exception("rank %s failed", rank)
        return Ended(reason_in_child(error))
    return Ended()


def _train(work: RankWork, channel: RankChannel, is_stopping: Callable[[], bool], log: logging.Logger) -> None:
    device = _own_device(work)
    keep_evaluation_exact()
    parts = parts_of(work.order, load_prepared(Path(work.prepared)))
    part = next(part for part in parts if part.part is work.part)
    start = checkpoints.load(Path(work.workspace), part.part)
    assert start is not None, "the job's process wrote it"
    count = int(os.environ["WORLD_SIZE"])
    go_on_as(start, device, max(1, start.thread_count // count))
    join(device, work.settings.rank_patience_seconds)
    team = Team(_rank(), count, part.sgd.batch_size, part.fewest_normalized)
    if team.is_first:
        _train_first(
            part, start, device, _job(work, Path(work.workspace), channel, is_stopping, log), parts, work, team
        )
        return
    with tempfile.TemporaryDirectory() as workspace:
        silent = _job(work, Path(workspace), None, lambda: False, log)
        from_there = msgspec.structs.replace(start, curve_bytes=0, best=None)
        train_loop(part, from_there, device, silent, Clock(work.settings, parts), team)


def _train_first(
    part: Part,
    start: checkpoints.Checkpoint,
    device: torch.device,
    job: Job,
    parts: list[Part],
    work: RankWork,
    team: Team,
) -> None:
    handler = logging.FileHandler(part_log_file(job.workspace, part.part), encoding="utf-8")
    handler.setFormatter(LOG_FORMAT)
    job.log.addHandler(handler)
    train_loop(part, start, device, job, Clock(work.settings, parts), team)


def _rank() -> int:
    return int(os.environ["RANK"])


def _own_device(work: RankWork) -> torch.device:
    device = chosen_device(Resources(), on_cpu=work.settings.on_cpu)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))  # 0 where a rank sees its own GPU only
        torch.cuda.set_device(device)
    return device


def _job(
    work: RankWork, workspace: Path, channel: RankChannel | None, is_stopping: Callable[[], bool], log: logging.Logger
) -> Job:
    def report(report: AnyReport) -> None:
        if channel is not None:
            channel.send(Deliver(report))
            channel.receive()

    def tell(progress: Progress) -> None:
        if channel is not None:
            channel.send(Tell(progress))

    nowhere: Any = None  # stores and roots are for before and after the loop
    return Job(
        kind=work.kind,
        job_id=work.job_id,
        attempt=work.attempt,
        worker=work.worker,
        cpu_cores=work.cpu_cores,
        artifacts=nowhere,
        folders=nowhere,
        archives=nowhere,
        workspace=workspace,
        decoded=Path(work.decoded),
        report=report,
        tell=tell,
        is_stopping=is_stopping,
        log=log,
        log_file=workspace / LOG_FILE,
    )


def main(folder: str, parent: int) -> None:
    """Call the head in this folder, do the work that it gives, end. The environment is torchrun's."""
    is_stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: is_stopping.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    be_killed_with_parent(parent)
    with socket.socket(socket.AF_UNIX) as call:
        call.connect(f"{folder}/{_rank()}")
        channel = RankChannel(Connection(call.detach()), ToRank)
    work = channel.receive()
    assert isinstance(work, RankWork)
    log = log_into(Path(work.workspace) / LOG_FILE)
    log.setLevel(logging.INFO if _rank() == 0 else logging.WARNING)
    ended = run_rank(work, channel, is_stopping.is_set)
    channel.send(ended)
    if ended.reason is not None:
        sys.exit(1)
    if not ended.is_stopped:
        leave()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
