"""torchrun's agent, inside the job's process: it starts the ranks of a training with the environment that torchrun promises,
watches them, and ends the others when one fails.

The command `torchrun` is this agent in a process of its own, which would load torch once more before the first rank may begin.
"""

import logging
import os
import signal
import socket
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Final, Self
from uuid import uuid4

from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.elastic.agent.server.api import RunResult, Worker, WorkerSpec
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.events.api import Event, EventSource
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.rendezvous import RendezvousHandler, RendezvousInfo, RendezvousStoreInfo

_HERE: Final = "127.0.0.1"
_LOOK_EVERY_SECONDS: Final = 0.1
_END_SECONDS: Final = 60.0
"""A killed process is about to end; a busy machine, or a device that it used, takes its time."""


class RankAgent:
    """So many processes of this Python, started at the beginning of the `with` block; none is left at its end."""

    def __init__(self, count: int, arguments: tuple[str, ...], *, has_gpu_each: bool) -> None:
        """`has_gpu_each`: a rank sees one GPU only, the one of its number among those that this process sees."""
        self._agent = _Agent(
            WorkerSpec(
                role="rank",
                local_world_size=count,
                rdzv_handler=_OneMachine(),
                entrypoint=sys.executable,
                args=arguments,
                max_restarts=0,  # a job goes on from its checkpoint, maybe on another machine
                monitor_interval=_LOOK_EVERY_SECONDS,
                local_addr=_HERE,
                virtual_local_rank=has_gpu_each,
            ),
            DefaultLogsSpecs(log_dir=os.devnull),  # ranks write where this process does: into the job's log
        )
        self._thread = ThreadPoolExecutor(1, "torchrun")

    def __enter__(self) -> Self:
        self._run: Future[RunResult] = self._thread.submit(self._agent.run)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._thread.shutdown(wait=False)

    @property
    def is_over(self) -> bool:
        """Whether all have ended."""
        return self._run.done()

    def send_signal(self, rank: int, number: signal.Signals) -> None:
        """To one of them, if it lives."""
        process = self._agent.get_worker_group().workers[rank].id
        with suppress(ChildProcessError, ProcessLookupError):
            if process is not None:
                # Refuses whoever is no child any more: the number may be somebody else's by now.
                os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                os.kill(process, number)

    def wait(self, seconds: float) -> None:
        """Until all have ended, at most so long."""
        with suppress(TimeoutError):
            self._run.exception(seconds)

    def end(self) -> None:
        """Kill those that live, whatever they are doing, and wait until they are gone."""
        until = time.monotonic() + _END_SECONDS
        while not self.is_over and time.monotonic() < until:
            for rank in range(len(self._agent.get_worker_group().workers)):
                self.send_signal(rank, signal.SIGKILL)
            self.wait(_LOOK_EVERY_SECONDS)

    def failures(self) -> dict[int, int]:
        """The exit codes of those that failed, a negative one being a signal, once all have ended; empty before.

        Raises:
            OSError: they could not be started.
        """
        failed = self._run.result().failures if self.is_over else {}
        return {rank: failure.exitcode for rank, failure in failed.items()}


class _Agent(LocalElasticAgent):
    """Asks nobody for the name of this machine. Torch does (2.15), for reports that nobody receives, before and after the
    ranks run: where no name server answers, each time waits for it.
    """

    def _construct_event(
        self, state: str, source: EventSource, worker: Worker | None = None, *_: object, **__: object
    ) -> Event:
        return Event(state, source, metadata={"worker_id": str(worker.id) if worker else None})


class _OneMachine(RendezvousHandler):
    """A meeting of this agent with itself. Its ranks meet at a store that only this machine can reach; the one that torchrun would
    make listens on every network.
    """

    def __init__(self) -> None:
        listening = socket.create_server((_HERE, 0))
        self.port = listening.getsockname()[1]
        self.store = TCPStore(
            _HERE, self.port, is_master=True, wait_for_workers=False, master_listen_fd=listening.detach()
        )
        self.run_id = uuid4().hex

    @property
    def use_agent_store(self) -> bool:
        """Ranks are guests of this store and make none."""
        return True

    def next_rendezvous(self) -> RendezvousInfo:
        """The only one."""
        return RendezvousInfo(self.store, 0, 1, RendezvousStoreInfo(_HERE, self.port))

    def get_backend(self) -> str:
        """Named for torch's own reports."""
        return "static"

    def get_run_id(self) -> str:
        """Of this meeting."""
        return self.run_id

    def is_closed(self) -> bool:
        """It lives as long as the agent."""
        return False

    def set_closed(self) -> None:
        """Nobody else would hear of it."""

    def num_nodes_waiting(self) -> int:
        """Other machines never come."""
        return 0

    def shutdown(self) -> bool:
        """The store ends with this."""
        return True


def _is_worth_noting(record: logging.LogRecord) -> bool:
    """Not what torch does on the way, nor that a rank failed: the head says that itself, in words."""
    return record.levelno >= logging.ERROR and not record.getMessage().startswith("failed (exitcode")


logging.getLogger("torch.distributed.elastic.multiprocessing.api").addFilter(_is_worth_noting)
