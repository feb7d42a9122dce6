"""Training jobs: everyone's can be looked at, one's own acted on. Source: REQUIREMENTS, sections W, T and V."""

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from commands.models import PublishModelVersion
from commands.training_jobs import DeleteTrainingJob, QueueTrainingJob, RestartTraining, TerminateTraining
from domain.data_paths import FolderName, refuse_too_many
from domain.json_forms import write_json
from domain.training_jobs import TrainedWeights, TrainingStatus
from domain.training_parameters import Augmentation
from domain.training_requests import StartingVersion, StartingWeights, TrainingDraft
from projections.training_jobs import TrainingJobDetail as TrainingJobRow
from web import training_files
from web.api.desk import ApiDesk, Made
from web.api.jobs import Jobs, moment_of
from web.api.lists import DEFAULT_LIMIT, NEWEST_FIRST, After, Limit, Listed, Search, listed, place_of
from web.api.routes import ACTS, LOOKS, IdempotencyKey, file_answer
from web.api.shapes import Curve, CurvePoint, Shape, Stage, TrainingJob, TrainingJobDetail, Validation, shaped
from web.downloads import Download
from web.services import ReadModels, Services
from web.training_lines import job_of
from web.training_monitor import StageLine, stage_lines

MOST_POINTS = 10_000


class TrainingChoices(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be chosen for each training, steps 2 to 4 of the wizard. Parameters are the manual's JSON; without them the
    package's, or those of the version that is trained again, hold.
    """

    data_paths: tuple[FolderName, ...]
    compute_resource_id: UUID
    training_parameters: dict[str, Any] | None = None
    split_ratio: float = 0.8
    resolution_screening: bool = True
    augmentations: tuple[Augmentation, ...] = ()
    train_segmentation: bool = False
    group_pattern: str = ""


class NewTrainingJob(TrainingChoices, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new model to be trained. `environment` are ids of places of the last level; a business image brings its own."""

    model_name: str
    model_image_id: UUID
    model_image_version: int
    model_parameters: dict[str, Any] | None = None
    environment: tuple[UUID, ...] = ()
    starting_weights: StartingWeights = StartingWeights.PACKAGE
    starting_version: StartingVersion | None = None


class TrainingJobs(Jobs[TrainingJobDetail]):
    """Whose job it is, the commands decide."""

    path = "/training-jobs"
    tags = ("training jobs",)
    terminating: ClassVar = TerminateTraining
    restarting: ClassVar = RestartTraining
    deleting: ClassVar = DeleteTrainingJob

    @get("/", sync_to_thread=True, responses=LOOKS)
    def list(
        self,
        read: NamedDependency[ReadModels],
        status: FromQuery[TrainingStatus | None] = None,
        owner: Annotated[UUID | None, QueryParameter(description="Of one user, with what they inherited.")] = None,
        search: Search = "",
        after: After = "",
        limit: Limit = DEFAULT_LIMIT,
    ) -> Listed[TrainingJob]:
        """Everyone's jobs, the newest first."""
        found = read.training_jobs.stretch(
            status=status, owner=owner, search=search, after=place_of(after, NEWEST_FIRST), size=limit
        )
        return listed(found, lambda row: shaped(row, TrainingJob))

    @post("/", sync_to_thread=True, responses=ACTS)
    def queue(
        self,
        data: JSONBody[NewTrainingJob],
        idempotency_key: IdempotencyKey,
        services: NamedDependency[Services],
        desk: NamedDependency[ApiDesk],
    ) -> TrainingJobDetail:
        """Train a new model."""
        made = desk.made_by(idempotency_key, data)
        image = services.read.model_images.version_choice(data.model_image_id, data.model_image_version)
        defaults = image.package if image else None
        draft = TrainingDraft(
            model_name=data.model_name,
            model_image_id=data.model_image_id,
            model_image_version=data.model_image_version,
            model_parameters=written(data.model_parameters, defaults.model_parameters if defaults else ""),
            environment=data.environment,
            starting_weights=data.starting_weights,
            starting_version=data.starting_version,
            **chosen(data, defaults.training_parameters if defaults else ""),
        )
        job_id, model_id = made.id("job"), made.id("model")
        desk.ask(
            QueueTrainingJob(
                actor=desk.caller.user_id, job_id=job_id, model_id=model_id, draft=draft, seed=seed_of(made)
            )
        )
        return sent_job(services, job_of(services.read, job_id), desk)

    @post("/{job_id:uuid}/publish", sync_to_thread=True, status_code=200, responses=ACTS)
    def publish(
        self,
        job_id: FromPath[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[ApiDesk],
        weights: FromQuery[TrainedWeights] = TrainedWeights.BEST,
    ) -> TrainingJobDetail:
        """Make a completed training the next version of its model, with its best weights or with its last; the answer names it."""
        desk.ask(PublishModelVersion(actor=desk.caller.user_id, job_id=job_id, chosen_weights=weights))
        return sent_job(services, job_of(services.read, job_id), desk)

    @get("/{job_id:uuid}/stages", sync_to_thread=True, responses=LOOKS)
    def stages(self, job_id: FromPath[UUID], read: NamedDependency[ReadModels]) -> tuple[Stage, ...]:
        """The preprocessing: each stage with its state, how long it took and what it found."""
        lines = stage_lines(job_of(read, job_id), read.training_jobs.stages(job_id), datetime.now(UTC))
        return tuple(map(_stage, lines))

    @get("/{job_id:uuid}/curves", sync_to_thread=True, responses=LOOKS)
    def curves(
        self,
        job_id: FromPath[UUID],
        read: NamedDependency[ReadModels],
        most: Annotated[
            int, QueryParameter(ge=2, le=MOST_POINTS, description="About how many points of a loss curve at most.")
        ] = 600,
    ) -> tuple[Curve, ...]:
        """The loss curve of each network and its figures on the validation split, up to the newest report. Of a long curve the
        lowest and the highest points stay, so that no spike is lost; every point stands in `losses` once the run has ended.
        """
        job_of(read, job_id)
        validations = read.training_jobs.validations(job_id)
        return tuple(
            shaped(
                part,
                Curve,
                losses=tuple(shaped(one, CurvePoint) for one in read.training_jobs.losses(job_id, part.part, most)),
                validations=tuple(shaped(one, Validation) for one in validations if one.part is part.part),
            )
            for part in read.training_jobs.parts(job_id)
        )

    @get("/{job_id:uuid}/log", sync_to_thread=True, responses=file_answer("text/plain"))
    def log(self, job_id: FromPath[UUID], services: NamedDependency[Services]) -> Download:
        """The log of a run, as text; of a run that goes on, as far as it is."""
        return training_files.whole_log(services, job_of(services.read, job_id))

    @get("/{job_id:uuid}/log/{part:str}", sync_to_thread=True, responses=file_answer("text/plain"))
    def part_log(self, job_id: FromPath[UUID], part: FromPath[str], services: NamedDependency[Services]) -> Download:
        """The log of one of two networks, `classification` or `segmentation`."""
        return training_files.part_log(services, job_of(services.read, job_id), part)

    @get("/{job_id:uuid}/losses", sync_to_thread=True, responses=file_answer())
    def losses(self, job_id: FromPath[UUID], services: NamedDependency[Services]) -> Download:
        """Every point of the loss curves, as JSON Lines, once the run has ended."""
        return training_files.losses(services, job_of(services.read, job_id))

    @get("/{job_id:uuid}/manifest", sync_to_thread=True, responses=file_answer())
    def manifest(self, job_id: FromPath[UUID], services: NamedDependency[Services]) -> Download:
        """Which images trained and validated, with their checksums, as JSON Lines."""
        return training_files.manifest(services, job_of(services.read, job_id))

    @get("/{job_id:uuid}/weights/{which:str}/{part:str}", sync_to_thread=True, responses=file_answer())
    def weights(
        self,
        job_id: FromPath[UUID],
        which: FromPath[str],
        part: FromPath[str],
        services: NamedDependency[Services],
        desk: NamedDependency[ApiDesk],
    ) -> Download:
        """The `best` or the `last` weights of a network, as safetensors; for the owner."""
        return training_files.weights(services, job_of(services.read, job_id), which, part, desk.caller.user_id)

    def found(self, read: ReadModels, job_id: UUID, _desk: ApiDesk) -> TrainingJobRow:
        """Anybody's."""
        return job_of(read, job_id)

    def sent(self, services: Services, job: TrainingJobRow, desk: ApiDesk) -> TrainingJobDetail:
        """With what it does at this moment."""
        return sent_job(services, job, desk)


def sent_job(services: Services, job: TrainingJobRow, desk: ApiDesk) -> TrainingJobDetail:
    """A job as it is sent by itself."""
    moment = moment_of(
        services,
        job.job_id,
        desk,
        is_running=job.status is TrainingStatus.TRAINING,
        is_waiting=job.status is TrainingStatus.WAITING,
    )
    return shaped(job, TrainingJobDetail, data_paths=job.ordered.data_paths, reason=desk.say(job.reason), **moment)


def _stage(line: StageLine) -> Stage:
    """What was found is in the row; a stage that has not ended has none."""
    told: dict[str, Any] = {"stage": line.stage, "state": line.state, "seconds": line.seconds}
    found = {name: getattr(line.found, name, None) for name in Stage.__struct_fields__ if name not in told}
    return Stage(**told | found)


def chosen(choices: TrainingChoices, default_parameters: str) -> dict[str, Any]:
    """Steps 2 to 4 as fields of a draft.

    Raises:
        TooManyPathsAtOnce
    """
    refuse_too_many(choices.data_paths)
    return {
        "data_paths": choices.data_paths,
        "compute_resource_id": choices.compute_resource_id,
        "training_parameters": written(choices.training_parameters, default_parameters),
        "split_ratio": choices.split_ratio,
        "resolution_screening": choices.resolution_screening,
        "augmentations": choices.augmentations,
        "train_segmentation": choices.train_segmentation,
        "group_pattern": choices.group_pattern,
    }


def written(parameters: dict[str, Any] | None, default: str) -> str:
    """Parameters as the editor of the wizard would hold them."""
    return default if parameters is None else write_json(parameters)


def seed_of(made: Made) -> int:
    """As random as the wizard's, and the same for the same request."""
    return made.root.int & 0x7FFFFFFF
