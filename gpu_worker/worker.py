"""The worker: take a job, have it done by a process of its own, pass on its reports; one job at a time, for ever.

While a job runs, a thread sends a heartbeat every second; when the answer is no, the job's process is killed at once, whatever it
is doing. When the worker is told to stop, the job's process writes its checkpoint first. The worker itself loads no torch.
"""

import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from domain.artifacts import Artifact
from domain.attempts import AttemptIsOver
from domain.messages import (
    ENDINGS,
    AnyReport,
    Heartbeat,
    JobFailed,
    JobKind,
    JobReleased,
    LogKept,
    Message,
    PartLog,
    PredictImages,
    Resources,
    TrainModel,
)
from domain.refusals import Refusal
from domain.sentences import N_, Sentence
from gpu_worker.channel import Answer, Channel, Deliver, Ended, FromJob, Keep, Locate, Ready, Resolve, Tell, ToJob, Work
from gpu_worker.jobs import (
    LOG_FILE,
    AttemptIsTaken,
    Progress,
    alone_in,
    kept_copy,
    kept_part_logs,
    kind_of,
    make_workspace,
    newest_workspace,
    remove_earlier_workspaces,
    workspace_of,
)
from gpu_worker.ports import Artifacts, FolderNotFound, Folders, JobOutcome, Mailbox, Observer
from gpu_worker.reasons import of_packaging, reason_of, reason_of_exit
from gpu_worker.scratch import remove_unused
from gpu_worker.settings import TrainingSettings, WorkerSettings
from gpu_worker.signs_of_life import SignsOfLife

__all__ = ["Artifacts", "FolderNotFound", "Folders", "Mailbox", "TrainingSettings", "WorkerSettings", "run_worker"]

STARTING = N_("Starting")

THREADS_THAT_WAIT_ASLEEP = {"OMP_WAIT_POLICY": "PASSIVE"}
"""OpenMP's threads spin while they wait for each other. Where anything else needs a core (the database, the pages), the spinning
thread holds up the one it waits for: a training step on two busy cores took four times as long."""

LAST_WORDS = (*ENDINGS, JobReleased)
"""Reports after which nothing more is said of an attempt."""

_RETRY_SECONDS = 2.0
_POLL_SECONDS = 0.2
_MOMENT_SECONDS = 0.02
log = logging.getLogger(__name__)


def run_worker(
    mailbox: Mailbox,
    artifacts: Artifacts,
    folders: Folders,
    archives: Folders,
    scratch: Path,
    *,
    name: str,
    stop: Callable[[], bool],
    settings: WorkerSettings | None = None,
    observer: Observer | None = None,
) -> None:
    """Work until `stop` says so, asked several times a second. Jobs never raise here; broken libraries do, at the start.

    `scratch` is shared by all workers that may go on with each other's jobs: it holds checkpoints and decoded images.
    """
    worker = _Worker(
        *(mailbox, artifacts, folders, archives, scratch.resolve(), name, stop),
        settings or WorkerSettings(),
        observer or _Nobody(),
    )
    worker.run()


def _time_by_the_clock_of(folder: Path) -> float:
    """Seconds since the epoch, by whoever stamps the files of the storage: what others use is not judged by a clock that is off."""
    os.utime(folder)
    return folder.stat().st_mtime


class _Nobody:
    """Where nobody wants to hear."""

    def job_taken(self, kind: JobKind) -> None:
        """As `Observer.job_taken`."""

    def job_left(self, kind: JobKind, outcome: JobOutcome, seconds: float) -> None:
        """As `Observer.job_left`."""


class _JobProcess:
    """A process that loads its libraries and waits for work."""

    def __init__(self) -> None:
        self.is_ready = False
        """It has loaded them, and said so."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gpu_worker.job_process", str(theirs.fileno()), str(os.getpid())],
                pass_fds=(theirs.fileno(),),
                env={**THREADS_THAT_WAIT_ASLEEP, **os.environ},
                # A Ctrl-C in the terminal is the worker's to hear; it stops the job in its own way.
                process_group=0,
            )
            self.channel = Channel[ToJob, FromJob](Connection(ours.detach()), FromJob)

    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def kill(self) -> None:
        """End it at once with whatever it started; allowed from any thread."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> int:
        """End it if it still runs, wait, give everything back; returns its exit code, negative for a signal."""
        self.channel.connection.close()
        until = time.monotonic() + _RETRY_SECONDS
        while self.process.returncode is None and not self._has_ended() and time.monotonic() < until:
            time.sleep(_MOMENT_SECONDS)
        self.kill()  # what it started, too, while its own id cannot be another's yet
        return self.process.wait()

    def _has_ended(self) -> bool:
        """Without taking its exit code, so that its id stays its own."""
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


class _Worker:
    def __init__(
        self,
        mailbox: Mailbox,
        artifacts: Artifacts,
        folders: Folders,
        archives: Folders,
        scratch: Path,
        name: str,
        stop: Callable[[], bool],
        settings: WorkerSettings,
        observer: Observer,
    ) -> None:
        self.mailbox, self.artifacts, self.folders, self.archives = mailbox, artifacts, folders, archives
        self.scratch, self.name, self.stop, self.settings = scratch, name, stop, settings
        self.observer = observer

    def run(self) -> None:
        if self.settings.is_ready_ahead:
            self._work_with_processes_that_wait()
        else:
            self._work_with_processes_on_demand()

    def _work_with_processes_that_wait(self) -> None:
        while not self.stop():
            self._tidy_if_possible()
            with contextlib.closing(_JobProcess()) as process:
                offered = self._wait_until_ready(process)
                message = self._next_message(offered, process.is_alive) if offered else None
                if message is not None and offered is not None:
                    self._do(process, message, offered)

    def _work_with_processes_on_demand(self) -> None:
        # The first says what the machine offers, and that its libraries work.
        with contextlib.closing(_JobProcess()) as process:
            offered = self._wait_until_ready(process)
        while offered is not None and not self.stop():
            self._tidy_if_possible()
            message = self._next_message(offered)
            if message is not None:
                with contextlib.closing(_JobProcess()) as process:
                    self._do(process, message, offered)

    def _do(self, process: _JobProcess, message: Message, offered: Resources) -> None:
        kind, started_at = kind_of(message), time.monotonic()
        told = {"job_id": str(message.job_id), "kind": kind.value, "attempt": message.attempt}
        log.info("job_taken", extra=told)
        self.observer.job_taken(kind)
        outcome: JobOutcome = "lost"
        try:
            outcome = self._outcome(process, message, offered)
        finally:
            seconds = time.monotonic() - started_at
            self.observer.job_left(kind, outcome, seconds)
            log.info("job_left", extra={**told, "outcome": outcome, "seconds": round(seconds, 1)})

    def _outcome(self, process: _JobProcess, message: Message, offered: Resources) -> JobOutcome:
        try:
            return _Attempt(self, process, message, offered).run()
        except _NeverBegun:
            with contextlib.closing(_JobProcess()) as another:
                return _Attempt(self, another, message, offered).run()

    def _wait_until_ready(self, process: _JobProcess) -> Resources | None:
        """What this machine offers; None when told to stop.

        Raises:
            RuntimeError: its libraries cannot be loaded. Whoever started the worker sees that, and may try again.
        """
        until = time.monotonic() + self.settings.ready_patience_seconds
        while not process.channel.connection.poll(_POLL_SECONDS):
            if self.stop():
                process.kill()
                return None
            if time.monotonic() > until:
                raise RuntimeError("a job process hangs while it loads its libraries; see whether the driver answers")
        try:
            ready = process.channel.receive()
        except EOFError:
            raise RuntimeError(
                f"a job process cannot start (exit code {process.close()}); see the output above"
            ) from None
        assert isinstance(ready, Ready)
        process.is_ready = True
        most = self.settings.most_cpu_cores or ready.resources.cpu_cores
        return replace(ready.resources, cpu_cores=min(most, ready.resources.cpu_cores))

    def _next_message(self, offered: Resources, is_prepared: Callable[[], bool] = lambda: True) -> Message | None:
        while not self.stop() and is_prepared():
            try:
                message = self.mailbox.take(offered)
            except Exception:  # an edge: the log may be away for a while, the worker waits for it
                log.exception("take_failed")
                self.wait(_RETRY_SECONDS)
            else:
                if message is not None:
                    return message
        return None

    def wait(self, seconds: float) -> None:
        """Wait so long, less when told to stop."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.stop():
            time.sleep(min(_POLL_SECONDS, seconds))

    def _tidy_if_possible(self) -> None:
        try:
            self._tidy()
        except OSError:  # another worker tidies the same folder, or the disk fails: a job will say so
            log.warning("tidying_failed", exc_info=True)

    def _tidy(self) -> None:
        self.scratch.mkdir(parents=True, exist_ok=True)
        now = _time_by_the_clock_of(self.scratch)
        jobs = self.scratch / "jobs"
        for run in jobs.glob("*/*"):
            if run.stat().st_mtime < now - self.settings.keep_workspaces_seconds:
                shutil.rmtree(run, ignore_errors=True)
                if not any(run.parent.iterdir()):
                    run.parent.rmdir()
        remove_unused(
            self.scratch / "decoded",
            older_than=now - self.settings.keep_decoded_seconds,
            keep_bytes=self.settings.keep_decoded_bytes,
        )


class _Attempt:
    """One job, from the message to its last report."""

    def __init__(self, worker: _Worker, process: _JobProcess, message: Message, offered: Resources) -> None:
        self.worker, self.process, self.message = worker, process, message
        self.run_number = message.run if isinstance(message, TrainModel) else message.attempt
        self.workspace = workspace_of(worker.scratch, message.job_id, self.run_number, message.attempt)
        self.cpu_cores = max(1, min(message.needs.cpu_cores, offered.cpu_cores))
        self.progress = Progress(share=0.0, activity=STARTING)
        self.signs = SignsOfLife(process.process.pid, worker.name, worker.settings, is_ready=process.is_ready)
        self.has_begun = False
        """The process said something of it."""
        self.hangs: Sentence | None = None
        """Why it was ended though nobody had asked for that."""
        self.is_over = False
        """The mailbox said no: the job was terminated or given to someone else."""
        self.has_told_its_end = False
        """The report that ends the attempt was delivered. It is over for the mailbox, too, from then on, which says nothing new."""
        self.has_ended = threading.Event()

    def run(self) -> JobOutcome:
        """Do it; returns how it ended.

        Raises:
            _NeverBegun
        """
        pulse = threading.Thread(target=self._beat, daemon=True)
        pulse.start()
        try:
            ended = self._make_workspace() or self._attend_alone()
            if self.has_told_its_end:
                ended = Ended(self.hangs)
            elif self.is_over:
                return "over"
            elif ended is not None and ended.is_stopped:
                self._report(JobReleased(**self._sender))
                return "released"
            elif ended is None:
                ended = Ended(self._why_it_died())
            if ended.reason is not None and not self.has_told_its_end:
                self._report_failure(ended.reason)
        except AttemptIsOver:
            self.is_over = True
            return "over"
        except AttemptIsTaken:
            log.error("another_worker_has_this_name", extra={"worker": self.worker.name})  # noqa: TRY400 - that says it all
            return "over"
        except _PatienceIsOver:
            log.exception("job_given_up", extra={"job_id": str(self.message.job_id)})
            return "lost"
        finally:
            self.has_ended.set()
            self.process.kill()
            pulse.join()
            if self.is_over and not self.has_told_its_end:
                self._keep_log()
        shutil.rmtree(self.workspace, ignore_errors=True)
        return "done" if ended.reason is None else "failed"

    def _why_it_died(self) -> Sentence:
        """Of a process that ended without a word.

        Raises:
            _NeverBegun
        """
        if self.hangs is None and self.process.is_ready and not self.has_begun:
            raise _NeverBegun
        return self.hangs or reason_of_exit(self.process.close())

    def _make_workspace(self) -> Ended | None:
        """None, or why there can be none."""
        try:
            with self.signs.at_storage():
                make_workspace(self.workspace, self._earlier_workspace())
                remove_earlier_workspaces(self.workspace)
        except OSError as error:
            log.exception("no_workspace", extra={"job_id": str(self.message.job_id)})
            return Ended(reason_of(error))
        return None

    def _earlier_workspace(self) -> Path | None:
        """Of the attempt to go on from."""
        scratch, job_id = self.worker.scratch, self.message.job_id
        return newest_workspace(scratch, job_id, self.run_number, before=self.message.attempt)

    def _attend_alone(self) -> Ended | None:
        try:
            with alone_in(self.workspace):
                return self._attend()
        except OSError as error:  # a later attempt has removed it, or the storage is away
            log.exception("no_workspace", extra={"job_id": str(self.message.job_id)})
            return Ended(reason_of(error))

    def _attend(self) -> Ended | None:
        """Serve the job's process until it is done; None when it died."""
        channel = self.process.channel
        stopping_since: float | None = None
        try:
            channel.send(
                Work(
                    message=self.message,
                    worker=self.worker.name,
                    cpu_cores=self.cpu_cores,
                    workspace=str(self.workspace),
                    decoded=str(self.worker.scratch / "decoded"),
                    settings=self.worker.settings.training,
                )
            )
            while True:
                if self.worker.stop() and stopping_since is None:
                    stopping_since = time.monotonic()
                    self.process.process.send_signal(signal.SIGTERM)
                if stopping_since and time.monotonic() - stopping_since > self.worker.settings.stop_grace_seconds:
                    return Ended(is_stopped=True)
                if channel.connection.poll(_POLL_SECONDS):
                    frame = channel.receive()
                    self.has_begun = True
                    self.signs.heard()
                    if isinstance(frame, Ended):
                        return frame
                    self._serve(frame)
                    self.signs.heard()
        except (EOFError, OSError):
            return Ended(is_stopped=True) if stopping_since else None

    def _serve(self, frame: FromJob) -> None:
        if isinstance(frame, Tell):
            self.progress = frame.progress
            return
        if isinstance(frame, Ready):  # a process that was started for this job
            return
        try:
            answer = self._answer(frame)
        except (AttemptIsOver, _PatienceIsOver):
            raise
        except Refusal as refusal:
            answer = Answer(refusal=refusal.sentence)
        except Exception as error:  # an edge: a store that fails ends this job, not the worker
            log.exception("store_failed", extra={"job_id": str(self.message.job_id)})
            answer = Answer(refusal=reason_of(error))
        self.process.channel.send(answer)

    def _answer(self, frame: FromJob) -> Answer:
        match frame:
            case Deliver(report=report):
                self._report(report)
                return Answer()
            case _:
                with self.signs.at_storage():
                    return self._answer_from_storage(frame)

    def _answer_from_storage(self, frame: FromJob) -> Answer:
        match frame:
            case Keep(file=file):
                return Answer(artifact=self.worker.artifacts.keep(Path(file)))
            case Locate(artifact=artifact):
                try:
                    return Answer(path=str(self.worker.artifacts.path(artifact)))
                except FileNotFoundError:
                    return Answer()
            case Resolve(folder=folder, is_archive=is_archive):
                roots = self.worker.archives if is_archive else self.worker.folders
                return Answer(path=str(roots.resolve(folder)))
            case _:
                raise ValueError(f"unexpected {type(frame).__name__}")

    def _report(self, report: AnyReport) -> None:
        """Deliver, with patience for a server that restarts."""
        until = time.monotonic() + self.worker.settings.report_patience_seconds
        while True:
            try:
                self.worker.mailbox.report(report)
                self.has_told_its_end = isinstance(report, LAST_WORDS)
                return
            except AttemptIsOver:
                raise
            except Exception as error:  # an edge: whatever keeps the report from arriving, it is tried again
                log.exception("report_failed", extra={"job_id": str(report.job_id)})
                if time.monotonic() > until or self.worker.stop() or self.is_over:
                    raise _PatienceIsOver from error
                self.worker.wait(_RETRY_SECONDS)

    def _report_failure(self, reason: Sentence) -> None:
        log_file = self.workspace / LOG_FILE
        kept: Artifact | None = None
        part_logs: tuple[PartLog, ...] = ()
        try:
            with self.signs.at_storage():
                if self._has_log_for_people() and log_file.is_file():
                    kept = self.worker.artifacts.keep(log_file)
                part_logs = kept_part_logs(self.workspace, self.worker.artifacts)
        except OSError:  # the reason matters more than the log, and is often the same: a full disk
            log.exception("log_not_kept", extra={"job_id": str(self.message.job_id)})
        if not self.has_told_its_end:  # the storage may have taken so long that it was told meanwhile
            self._report(self._failure(reason, kept, part_logs))

    def _failure(
        self, reason: Sentence, kept: Artifact | None = None, part_logs: tuple[PartLog, ...] = ()
    ) -> JobFailed:
        told = reason if self._has_log_for_people() else of_packaging(reason)
        return JobFailed(**self._sender, reason=told, log=kept, part_logs=part_logs)

    def _has_log_for_people(self) -> bool:
        """Whether the fact of how the job ended names its log; no other log is kept, as nothing would ever lead to it."""
        return isinstance(self.message, TrainModel | PredictImages)

    def _keep_log(self) -> None:
        """Of a training (T-5) or prediction that was terminated. Of one that was given to another worker nobody takes it; what that
        one goes on from stays where it is.
        """
        log_file = self.workspace / LOG_FILE
        if not self._has_log_for_people() or not log_file.is_file():
            return
        try:
            kept = kept_copy(log_file, self.worker.artifacts)
            part_logs = kept_part_logs(self.workspace, self.worker.artifacts)
            self._report(LogKept(**self._sender, log=kept, part_logs=part_logs))
        except AttemptIsOver:
            pass
        except Exception:  # an edge: a log that cannot be kept must not end the worker
            log.exception("log_not_kept", extra={"job_id": str(self.message.job_id)})

    def _beat(self) -> None:
        while not self.has_ended.wait(self.worker.settings.beat_every_seconds):
            self._end_what_hangs()
            try:
                goes_on = self.worker.mailbox.beat(self._heartbeat())
            except Exception:  # an edge: one lost beat is no reason to end a job
                log.exception("beat_failed", extra={"job_id": str(self.message.job_id)})
                continue
            if not goes_on:
                self.is_over = True
                self.process.kill()
                return

    def _end_what_hangs(self) -> None:
        """Whoever attends the job hears that its process is gone, and tells why; where that thread hangs itself, at the storage, it
        is told here.
        """
        reason = self.hangs or self.signs.verdict(self.progress.activity)
        if reason is None:
            return
        if self.hangs is None:
            log.error("job_hangs", extra={"job_id": str(self.message.job_id), "activity": self.progress.activity})
            self.hangs = reason
            self.process.kill()
        if self.signs.is_at_storage and self.signs.verdict("") is not None and not self.has_told_its_end:
            with contextlib.suppress(AttemptIsOver, _PatienceIsOver):  # the next beat says so, or another worker has it
                self._report(self._failure(reason))

    def _heartbeat(self) -> Heartbeat:
        progress, held_up_by = self.progress, self.signs.held_up_by()
        return Heartbeat(
            worker=self.worker.name,
            kind=kind_of(self.message),
            job_id=self.message.job_id,
            attempt=self.message.attempt,
            progress=progress.share,
            iteration=progress.iteration,
            loss=progress.loss,
            seconds_left=None if held_up_by else progress.seconds_left,
            activity=held_up_by or progress.activity,
        )

    @property
    def _sender(self) -> dict[str, Any]:
        return {
            "kind": kind_of(self.message),
            "job_id": self.message.job_id,
            "attempt": self.message.attempt,
            "worker": self.worker.name,
        }


class _NeverBegun(Exception):
    """The process that waited for a job ended before it had one: whatever ended it, that is not what becomes of the job."""


class _PatienceIsOver(Exception):
    """A report could not be delivered for so long that someone else should have the job."""
