"""Training jobs: everyone's can be looked at, one's own acted on. Source: REQUIREMENTS, sections W, T and V."""

from typing import Any
from uuid import UUID

from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from commands.models import PublishModelVersion
from commands.training_jobs import DeleteTrainingJob, QueueTrainingJob, RestartTraining, TerminateTraining
from domain.data_paths import FolderName
from domain.json_forms import write_json
from domain.refusals import NotFound
from domain.training_jobs import TrainingStatus
from domain.training_parameters import Augmentation
from domain.training_requests import StartingVersion, StartingWeights, TrainingDraft
from web.api.desk import ApiDesk, Made
from web.api.lists import DEFAULT_LIMIT, NEWEST_FIRST, After, Limit, Listed, Search, listed, place_of
from web.api.routes import ACTS, LOOKS, IdempotencyKey
from web.api.shapes import Shape, TrainingJob, TrainingJobDetail, shaped
from web.services import ReadModels


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


class TrainingJobs(Controller):
    """Whose job it is, the commands decide."""

    path = "/training-jobs"
    tags = ("training jobs",)

    @get("/", sync_to_thread=True, responses=LOOKS)
    def list(
        self,
        read: NamedDependency[ReadModels],
        status: FromQuery[TrainingStatus | None] = None,
        search: Search = "",
        after: After = "",
        limit: Limit = DEFAULT_LIMIT,
    ) -> Listed[TrainingJob]:
        """Everyone's jobs, the newest first."""
        found = read.training_jobs.stretch(
            status=status, search=search, after=place_of(after, NEWEST_FIRST), size=limit
        )
        return listed(found, lambda row: shaped(row, TrainingJob))

    @post("/", sync_to_thread=True, responses=ACTS)
    def queue(
        self,
        data: JSONBody[NewTrainingJob],
        idempotency_key: IdempotencyKey,
        desk: NamedDependency[ApiDesk],
        read: NamedDependency[ReadModels],
    ) -> TrainingJobDetail:
        """Train a new model."""
        made = desk.made_by(idempotency_key, data)
        image = read.model_images.version_choice(data.model_image_id, data.model_image_version)
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
        return detail(read, job_id, desk)

    @get("/{job_id:uuid}", sync_to_thread=True, responses=LOOKS)
    def one(
        self, job_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[ApiDesk]
    ) -> TrainingJobDetail:
        """One job."""
        return detail(read, job_id, desk)

    @delete("/{job_id:uuid}", sync_to_thread=True, responses=ACTS)
    def remove(self, job_id: FromPath[UUID], desk: NamedDependency[ApiDesk]) -> None:
        """Delete a job that neither trains nor is published."""
        desk.ask(DeleteTrainingJob(actor=desk.caller.user_id, job_id=job_id))

    @post("/{job_id:uuid}/terminate", sync_to_thread=True, status_code=200, responses=ACTS)
    def terminate(
        self, job_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[ApiDesk]
    ) -> TrainingJobDetail:
        """Stop a job that is training."""
        desk.ask(TerminateTraining(actor=desk.caller.user_id, job_id=job_id))
        return detail(read, job_id, desk)

    @post("/{job_id:uuid}/restart", sync_to_thread=True, status_code=200, responses=ACTS)
    def restart(
        self, job_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[ApiDesk]
    ) -> TrainingJobDetail:
        """Start a terminated or failed job again, from 0 %."""
        desk.ask(RestartTraining(actor=desk.caller.user_id, job_id=job_id))
        return detail(read, job_id, desk)

    @post("/{job_id:uuid}/publish", sync_to_thread=True, status_code=200, responses=ACTS)
    def publish(
        self, job_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[ApiDesk]
    ) -> TrainingJobDetail:
        """Make a completed training the next version of its model; the answer names it."""
        desk.ask(PublishModelVersion(actor=desk.caller.user_id, job_id=job_id))
        return detail(read, job_id, desk)


def detail(read: ReadModels, job_id: UUID, desk: ApiDesk) -> TrainingJobDetail:
    """A job as it is sent.

    Raises:
        NotFound
    """
    row = read.training_jobs.get(job_id)
    if row is None:
        raise NotFound
    return shaped(row, TrainingJobDetail, data_paths=row.ordered.data_paths, reason=desk.say(row.reason))


def chosen(choices: TrainingChoices, default_parameters: str) -> dict[str, Any]:
    """Steps 2 to 4 as fields of a draft."""
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
