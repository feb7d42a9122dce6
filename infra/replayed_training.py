"""Train once more what a training job trained, from what the log recorded of it, and compare the loss of every iteration.

Recorded are the order with its parameters and seed, the manifest of the images with their checksums, the device with its number
of threads, and every loss. On a CPU the same is computed bit for bit; on a GPU, or with another release of torch, the last digits
may differ, and then the answer says at which iteration they begin to.
"""

import logging
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from commands.assay import Assay
from domain.artifacts import Artifact
from domain.compute_resources import ComputeResource
from domain.data_paths import FolderName
from domain.facts import Fact
from domain.messages import AnyReport, JobKind, LossEntry, ManifestEntry, Resources, StageFinished, TrainingSucceeded
from domain.models import Model
from domain.names import NameClaim, NameKind, claim_id
from domain.refusals import NotFound, Refusal
from domain.sentences import N_
from domain.training_jobs import TrainingCompleted, TrainingJob, TrainingRestarted, TrainingStageFinished
from infra.artifacts import Artifacts
from infra.core import Core
from infra.progress import Say
from infra.settings import Settings

_THREADS_AND_PRECISION = re.compile(r"(?P<threads>\d+) × CPU, (?P<precision>\w+)")
"""How `gpu_worker.devices.describe` writes a CPU; a GPU is written without threads."""
_SHARED_IN_A_CODE_FOLDER = ("groups.csv",)


class NothingToCompare(Refusal):
    """Only a training that ended with a model has all its losses."""

    message = N_("The training of “{name}” has not ended with a model, so there is nothing to compare with.")


class ImageIsGone(Refusal):
    """Training with fewer images would be another training."""

    message = N_("“{image}” is gone, or cannot be read. Put it back; the manifest of the training says what it was.")


class ImagesDiffer(Refusal):
    """Training with other images would be another training."""

    message = N_("“{image}” is not what the training saw: its content, its mask or its group has changed since.")


@dataclass(frozen=True)
class Recorded:
    """What the log holds of a training that ended with a model."""

    job: TrainingJob
    completed: TrainingCompleted
    manifest: Artifact

    @classmethod
    def of(cls, job: TrainingJob, facts: Sequence[Fact]) -> "Recorded":
        """Of its last run.

        Raises:
            NothingToCompare
        """
        manifest: Artifact | None = None
        for fact in facts:
            if isinstance(fact, TrainingRestarted):
                manifest = None
            elif isinstance(fact, TrainingStageFinished):
                manifest = fact.manifest or manifest
        if job.completed is None or manifest is None:
            raise NothingToCompare(name=job.name)
        return cls(job, job.completed, manifest)


def replay_training(asked: str, core: Core, settings: Settings, say: Say, *, most_iterations: int | None = None) -> int:
    """Say MATCH, or the first iteration that differs; returns the exit status.

    Raises:
        Refusal: there is nothing to compare, or the images are not what they were.
    """
    job_id = find_job(asked, core)
    recorded = Recorded.of(core.assay.load(TrainingJob, job_id), [event.data for event in core.log.history(job_id)])
    folder = settings.state / "replays"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=f"{recorded.job.name}-") as scratch:
        return Replay(recorded, core, Path(scratch), say, most_iterations).run()


def find_job(asked: str, core: Core) -> UUID:
    """A job by its id, or the one behind `model:version`.

    Raises:
        NotFound, ModelVersionNotFound
    """
    if ":" in asked:
        model, version = find_version(asked, core.assay)
        return model.published_version(version).published.job_id
    try:
        return UUID(asked)
    except ValueError:
        raise NotFound from None


def find_version(asked: str, assay: Assay) -> tuple[Model, str]:
    """The model of `model:version`, and the label of the version.

    Raises:
        NotFound: no model has the name.
    """
    name, _, version = asked.rpartition(":")
    claim = assay.load(NameClaim, claim_id(NameKind.MODEL, name))
    if claim.owner is None:
        raise NotFound
    return assay.load(Model, claim.owner), version


@dataclass
class Replay:
    """One training, again. Everything it makes lies in `scratch`."""

    recorded: Recorded
    core: Core
    scratch: Path
    say: Say
    most_iterations: int | None = None
    succeeded: TrainingSucceeded | None = None
    reached: int = 0

    def run(self) -> int:
        """Train, then compare.

        Raises:
            Refusal
        """
        cpu = _THREADS_AND_PRECISION.search(self.recorded.completed.device)
        from gpu_worker.devices import software  # noqa: PLC0415 - torch takes seconds to load
        from gpu_worker.jobs import Job, JobStopped  # noqa: PLC0415
        from gpu_worker.settings import Precision, TrainingSettings  # noqa: PLC0415
        from gpu_worker.training import train  # noqa: PLC0415

        self.say(
            f"{self.recorded.job.name}: trained on {self.recorded.completed.device} by {self.recorded.completed.software}"
        )
        if self.recorded.completed.software != software():
            self.say(f"This is {software()}; its last digits may differ.")
        needs = self._needs(int(cpu["threads"]) if cpu else None)
        workspace = self.scratch / "workspace"
        workspace.mkdir()
        log_file = workspace / "log.txt"
        log_file.touch()
        job = Job(
            kind=JobKind.TRAINING,
            job_id=self.recorded.job.id,
            attempt=1,
            worker="replay",
            cpu_cores=needs.cpu_cores,
            artifacts=_ArtifactsBeside(self.core.artifacts, Artifacts(self.scratch / "artifacts")),
            folders=RecordedFolders(self._manifest(), self.core.data_folders.resolve, self.scratch / "images"),
            archives=self.core.archives,
            workspace=workspace,
            decoded=self.scratch / "decoded",
            report=self._take_in,
            tell=self._notice,
            is_stopping=self._is_far_enough,
            log=logging.getLogger("replayed job"),
            log_file=log_file,
        )
        precision = Precision(cpu["precision"]) if cpu else None
        with suppress(JobStopped):
            # A GPU would compute something else than the CPU that it was trained on.
            settings = TrainingSettings(precision=precision, on_cpu=cpu is not None)
            train(self.recorded.job.order, needs, job, settings)
        return self._compare(workspace)

    def _needs(self, threads: int | None) -> Resources:
        """What the job was given; the threads are recorded, the cards are those of its compute resource."""
        resource = self.core.assay.find(ComputeResource, self.recorded.job.compute_resource_id)
        given = resource.resources if resource else Resources()
        if threads is None:
            return given
        return msgspec.structs.replace(given, cpu_cores=threads, gpu_cards=0, gpu_memory_gib=0)

    def _manifest(self) -> list[ManifestEntry]:
        decoder = msgspec.json.Decoder(ManifestEntry)
        return decoder.decode_lines(self.core.artifacts.read(self.recorded.manifest))

    def _take_in(self, report: AnyReport) -> None:
        """Reports go nowhere; that of the split says whether the images are the same.

        Raises:
            ImagesDiffer
        """
        if isinstance(report, TrainingSucceeded):
            self.succeeded = report
        if isinstance(report, StageFinished) and report.manifest and report.manifest != self.recorded.manifest:
            now = Artifacts(self.scratch / "artifacts").read(report.manifest).splitlines()
            recorded = self.core.artifacts.read(self.recorded.manifest).splitlines()
            line = _first_missing(recorded, now) or _first_missing(now, recorded)
            entry = msgspec.json.decode(line, type=ManifestEntry) if line else None
            raise ImagesDiffer(image=f"{entry.root}:{entry.path}" if entry else self.recorded.job.name)

    def _notice(self, progress: Any) -> None:
        self.reached = max(self.reached, progress.iteration)

    def _is_far_enough(self) -> bool:
        return self.most_iterations is not None and self.reached >= self.most_iterations

    def _compare(self, workspace: Path) -> int:
        recorded = _points(self.core.artifacts.path(self.recorded.completed.losses))
        replayed = _points(*sorted(workspace.glob("losses-*.jsonl")))
        count, has_all = 0, True
        for then, now in zip(recorded, replayed, strict=False):
            if count == self.most_iterations:
                has_all = False  # a short training may have ended before it could be stopped
                break
            if then != now:
                self.say(
                    f"DIFFERENT from iteration {then.iteration:,} of the {then.part} on: "
                    f"the loss was {then.loss!r}, now it is {now.loss!r}."
                )
                return 1
            count += 1
        if self.succeeded is None or not has_all:
            self.say(f"MATCH in the first {count:,} iterations.")
            return 0
        if self.succeeded.weights.checksum != self.recorded.completed.weights.checksum:
            self.say(f"DIFFERENT: all {count:,} losses are the same, but the weights are not.")
            return 1
        self.say(
            f"MATCH: all {count:,} losses and the weights are the same (SHA-256 {self.succeeded.weights.checksum})."
        )
        return 0


class RecordedFolders:
    """The images of a manifest, with what lies beside them, as a tree of links: images that came since are not in it."""

    def __init__(self, entries: Sequence[ManifestEntry], real: Callable[[FolderName], Path], folder: Path) -> None:
        """`real` finds a file where it lies.

        Raises:
            ImageIsGone
        """
        self._folder = folder
        for entry in entries:
            image = FolderName(entry.root, entry.path)
            try:
                self._link(image, real(image))
            except (Refusal, OSError):
                raise ImageIsGone(image=str(image)) from None
            code_folder, _, name = entry.path.rpartition("/")
            stem = name.rpartition(".")[0]
            masks = (f"masks/{stem}.png", f"{stem}.json") if entry.mask_checksum else ()
            for beside in (*masks, *_SHARED_IN_A_CODE_FOLDER):
                self._link_if_there(FolderName(entry.root, f"{code_folder}/{beside}".lstrip("/")), real)

    def resolve(self, folder: FolderName) -> Path:
        """As `gpu_worker.ports.Folders`.

        Raises:
            ImageIsGone
        """
        path = self._folder / folder.root / folder.path
        if not path.exists():
            raise ImageIsGone(image=str(folder))
        return path.resolve()

    def _link_if_there(self, file: FolderName, real: Callable[[FolderName], Path]) -> None:
        try:
            found = real(file)
        except (Refusal, OSError):
            return
        self._link(file, found)

    def _link(self, file: FolderName, found: Path) -> None:
        if not found.is_file():
            raise FileNotFoundError(found)
        place = self._folder / file.root / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.is_symlink():
            place.symlink_to(found)


@dataclass(frozen=True)
class _ArtifactsBeside:
    """Reads what is stored, and keeps what it makes to itself."""

    stored: Artifacts
    own: Artifacts

    def keep(self, file: Path) -> Artifact:
        return self.own.keep(file)

    def path(self, artifact: Artifact) -> Path:
        try:
            return self.own.path(artifact)
        except FileNotFoundError:
            return self.stored.path(artifact)


def _first_missing(lines: Sequence[bytes], others: Sequence[bytes]) -> bytes | None:
    """The first line that is not among the others."""
    known = set(others)
    return next((line for line in lines if line not in known), None)


def _points(*files: Path) -> Iterator[LossEntry]:
    decoder = msgspec.json.Decoder(LossEntry)
    for file in files:
        with file.open("rb") as lines:
            yield from map(decoder.decode, lines)
