"""The process of one job, a child of the worker: whatever happens here, a hang, a crash or a full memory, the worker survives it.

It is started before there is a job, loads its libraries and waits, so that jobs begin at once.
"""

import signal
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from domain.artifacts import Artifact
from domain.data_paths import FolderName
from domain.messages import (
    AnyReport,
    BuildExport,
    LoadModelImage,
    Message,
    PredictImages,
    TrainModel,
)
from domain.refusals import Refusal
from domain.sentences import N_, Sentence
from gpu_worker.channel import Answer, Channel, Deliver, Ended, FromJob, Keep, Locate, Ready, Resolve, Tell, ToJob, Work
from gpu_worker.child_process import be_killed_with_parent, log_into, reason_in_child
from gpu_worker.devices import available_resources
from gpu_worker.exports import build_export
from gpu_worker.jobs import LOG_FILE, Job, JobStopped, Progress, kind_of
from gpu_worker.packages import load_package
from gpu_worker.prediction import predict
from gpu_worker.settings import TrainingSettings
from gpu_worker.training import train

_TELL_EVERY_SECONDS: Final = 0.2


class ArtifactIsMissing(Refusal):
    """Shared storage lost a file, or is not mounted."""

    message = N_(
        "The file {checksum} is missing on shared storage. Mount the storage or restore the file, then start again."
    )


class AnsweredNo(Refusal):
    """A refusal that the worker made on behalf of this process."""

    def __init__(self, sentence: Sentence) -> None:
        self._sentence = sentence
        super().__init__()

    @property
    def sentence(self) -> Sentence:
        """The worker's own words."""
        return self._sentence


@dataclass
class Worker:
    """The worker on the other side of the channel, as stores and roots for the job."""

    channel: Channel[FromJob, ToJob]
    told_at: float = 0.0

    def ask(self, question: FromJob) -> Answer:
        """Wait for the answer.

        Raises:
            AnsweredNo
        """
        self.channel.send(question)
        answer = self.channel.receive()
        assert isinstance(answer, Answer)
        if answer.refusal is not None:
            raise AnsweredNo(answer.refusal)
        return answer

    def report(self, report: AnyReport) -> None:
        """Delivered when this returns."""
        self.ask(Deliver(report))

    def tell(self, progress: Progress) -> None:
        """At most some times a second: heartbeats are rarer."""
        if time.monotonic() - self.told_at >= _TELL_EVERY_SECONDS:
            self.told_at = time.monotonic()
            self.channel.send(Tell(progress))

    def keep(self, file: Path) -> Artifact:
        """As `Artifacts.keep`."""
        artifact = self.ask(Keep(str(file))).artifact
        assert artifact is not None
        return artifact

    def path(self, artifact: Artifact) -> Path:
        """As `Artifacts.path`, but a missing artifact is a refusal."""
        path = self.ask(Locate(artifact)).path
        if not path:
            raise ArtifactIsMissing(checksum=artifact.checksum)
        return Path(path)


@dataclass
class Roots:
    """The worker's data roots or archive roots."""

    worker: Worker
    is_archive: bool

    def resolve(self, folder: FolderName) -> Path:
        """As `Folders.resolve`."""
        return Path(self.worker.ask(Resolve(folder, self.is_archive)).path)


def run_job(message: Message, job: Job, settings: TrainingSettings) -> Ended:
    """Do the work and say how it ended; reports of success were delivered on the way."""
    try:
        _do(message, job, settings)
    except JobStopped:
        job.log.info("stopped, to go on later")
        return Ended(is_stopped=True)
    except Refusal as refusal:
        job.log.error("failed: %s", refusal.sentence)  # noqa: TRY400 - a refusal explains itself
        return Ended(refusal.sentence)
    except Exception as error:  # the edge of the process: everything becomes a reason
        job.log.exception("failed")
        return Ended(reason_in_child(error))
    job.log.info("done")
    return Ended()


def main(descriptor: int, parent: int) -> None:
    """Wait for work on the given socket, do it, end; a worker that is killed leaves nobody behind who writes checkpoints."""
    be_killed_with_parent(parent)
    is_stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: is_stopping.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Channel[FromJob, ToJob](Connection(descriptor), ToJob)
    channel.send(Ready(available_resources()))
    try:
        work = channel.receive()
    except EOFError:
        return
    assert isinstance(work, Work)
    workspace = Path(work.workspace)
    worker = Worker(channel)
    job = Job(
        kind=kind_of(work.message),
        job_id=work.message.job_id,
        attempt=work.message.attempt,
        worker=work.worker,
        cpu_cores=work.cpu_cores,
        artifacts=worker,
        folders=Roots(worker, is_archive=False),
        archives=Roots(worker, is_archive=True),
        workspace=workspace,
        decoded=Path(work.decoded),
        report=worker.report,
        tell=worker.tell,
        is_stopping=is_stopping.is_set,
        log=log_into(workspace / LOG_FILE),
        log_file=workspace / LOG_FILE,
    )
    job.log.info("attempt %s on %s", job.attempt, job.worker)
    channel.send(run_job(work.message, job, work.settings))


def _do(message: Message, job: Job, settings: TrainingSettings) -> None:
    match message:
        case TrainModel(order=order, needs=needs):
            train(order, needs, job, settings)
        case PredictImages(order=order, needs=needs):
            predict(order, needs, job)
        case LoadModelImage(order=order):
            load_package(order, job)
        case BuildExport(order=order):
            build_export(order, job)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
