"""Models: the published versions of one name. Source: REQUIREMENTS, section V; manual, “模型管理”."""

from typing import ClassVar
from uuid import UUID

import msgspec

from domain.artifacts import Artifact
from domain.data_paths import DataPathState, FolderName, Inspection
from domain.environments import EnvironmentBinding
from domain.evaluation import EvaluationFigures
from domain.facts import Fact, State, evolves, replace
from domain.messages import KeptWeights, SegmentationToPredict, TrainingOrder, VersionToPredict
from domain.model_images import TaskTypeUsed
from domain.model_packages import NetworkTask, ResolutionRule
from domain.refusals import Refusal
from domain.sentences import N_
from domain.texts import one_line
from domain.training_jobs import ModelImageUsed, TrainedWeights, TrainingJob, VersionUsed, trained_model

MOST_VERSIONS = 99
LONGEST_REASON = 500


class ModelVersionPublished(Fact):
    """A completed training became a version: everything it takes to predict, export and retrain it.

    Weights, evaluation and figures are those of the `chosen_weights`; `kept_weights` names those that were not chosen, too, and
    `other_figures` are theirs, None where there are no others.
    """

    TOPIC: ClassVar[str] = "model.version_published"
    owner: UUID
    model_name: str
    version: str
    job_id: UUID
    model_image: ModelImageUsed
    task_type: TaskTypeUsed
    environment: EnvironmentBinding
    order: TrainingOrder
    weights: Artifact
    evaluation: Artifact
    figures: EvaluationFigures
    resolution_rule: ResolutionRule
    segmentation_weights: Artifact | None = None
    started_from: VersionUsed | None = None
    chosen_weights: TrainedWeights = TrainedWeights.BEST
    kept_weights: tuple[KeptWeights, ...] = ()
    other_figures: EvaluationFigures | None = None


class ModelDataPathReleased(Fact):
    """A super administrator let the model be trained again without a path of its first training, where no images are left."""

    TOPIC: ClassVar[str] = "model.data_path_released"
    folder: FolderName


class ModelVersionWithdrawn(Fact):
    """The owner took a version back: it stays in the history with the reason, and nothing new begins with it (V-4)."""

    TOPIC: ClassVar[str] = "model.version_withdrawn"
    version: str
    reason: str


class TooManyVersions(Refusal):
    """V-1."""

    message = N_(
        "“{name}” has 99 versions on this model image. Import a new version of the model image and train with it."
    )


class ModelVersionNotFound(Refusal):
    """Only a published version can be used."""

    field = "version"
    message = N_("There is no such version of this model. Choose another one.")


class ModelVersionIsWithdrawn(Refusal):
    """V-4: nothing new begins with a withdrawn version."""

    field = "version"
    message = N_("{version} of “{name}” was withdrawn. Choose another version.")


class ReasonIsMissing(Refusal):
    """V-4: whoever finds the version in the history must learn why it is not to be used."""

    field = "reason"
    message = N_("Enter why the version is withdrawn, in at most {most} characters.")


class DataPathIsNotLocked(Refusal):
    """W-5: only the paths of the first training are locked, and each of them can be released once."""

    message = N_("“{folder}” is not locked: the model can be trained again without it.")


class DataPathHasImages(Refusal):
    """W-5: what is locked stays locked while it can be used."""

    message = N_(
        "There are images at “{folder}”, or they are still being counted. Only a path without images is released."
    )


class ModelVersion(msgspec.Struct, frozen=True):
    """One published version, as published; whether it was withdrawn since."""

    published: ModelVersionPublished
    is_withdrawn: bool = False

    @property
    def label(self) -> str:
        """For example v1.01."""
        return self.published.version

    @property
    def to_predict(self) -> VersionToPredict:
        """The version as a worker needs it."""
        fact = self.published
        return VersionToPredict(
            label=fact.version,
            network=fact.order.model_parameters.classification.name,
            defect_codes=fact.order.model_parameters.classifier_codes,
            input=fact.order.input,
            resolution_rule=fact.resolution_rule,
            weights=fact.weights,
            segmentation=self._segmentation,
        )

    def weights_of(self, task: NetworkTask, network: str) -> Artifact | None:
        """Its weights of a network, None where it has none of that network (W-12)."""
        fact, segmentation = self.published, self._segmentation
        if task is NetworkTask.CLASSIFICATION:
            return fact.weights if fact.order.model_parameters.classification.name == network else None
        return segmentation.weights if segmentation and segmentation.network == network else None

    @property
    def _segmentation(self) -> SegmentationToPredict | None:
        order, weights = self.published.order, self.published.segmentation_weights
        if order.segmentation is None or weights is None:
            return None
        return SegmentationToPredict(
            network=order.segmentation.network,
            defect_codes=order.model_parameters.code_list,
            input=order.segmentation.input,
            special_code_min_pixels=order.segmentation.special_code_min_pixels,
            weights=weights,
        )


class Model(State):
    """What the rules need of a model. `released` are paths of its first training that it can be trained again without."""

    owner: UUID
    name: str
    versions: tuple[ModelVersion, ...] = ()
    released: tuple[FolderName, ...] = ()

    @property
    def locked_paths(self) -> tuple[FolderName, ...]:
        """The paths of its first training, without which the model cannot be trained again (W-5).

        Nothing but the first training can be published first: until then no other training has the model's name.
        """
        first = self.versions[0].published.order.data_paths if self.versions else ()
        return tuple(folder for folder in first if folder not in self.released)

    def published_version(self, label: str) -> ModelVersion:
        """A published version with which something new may begin.

        Raises:
            ModelVersionNotFound, ModelVersionIsWithdrawn.
        """
        found = next((version for version in self.versions if version.label == label), None)
        if found is None:
            raise ModelVersionNotFound
        if found.is_withdrawn:
            raise ModelVersionIsWithdrawn(name=self.name, version=label)
        return found


def next_version(model: Model | None, job: TrainingJob) -> str:
    """vX.YY: X is the image version's whole number, YY counts up from 01 within the model (V-1).

    Another image version begins again at 01: that is the way on after .99.

    Raises:
        TooManyVersions
    """
    earlier = model.versions if model else ()
    count = 1 + sum(version.published.model_image.number == job.model_image.number for version in earlier)
    if count > MOST_VERSIONS:
        raise TooManyVersions(name=job.name)
    return f"v{job.model_image.number}.{count:02d}"


def publish(model: Model | None, job: TrainingJob, chosen: TrainedWeights = TrainedWeights.BEST) -> list[Fact]:
    """Make the job's result, with the chosen weights, the next version of the model.

    Raises:
        OnlyCompletedCanBePublished, NoOtherLastWeights, TooManyVersions.
    """
    trained = trained_model(job, chosen)
    assert job.completed is not None
    return [
        ModelVersionPublished(
            owner=job.owner,
            model_name=job.name,
            version=next_version(model, job),
            job_id=job.id,
            model_image=job.model_image,
            task_type=job.task_type,
            environment=job.environment,
            order=job.order,
            weights=trained.weights,
            evaluation=trained.evaluation,
            figures=trained.figures,
            resolution_rule=job.completed.resolution_rule,
            segmentation_weights=trained.segmentation_weights,
            started_from=job.started_from,
            chosen_weights=chosen,
            kept_weights=job.completed.kept_weights,
            other_figures=job.completed.last_figures if chosen is TrainedWeights.BEST else job.completed.figures,
        )
    ]


def withdraw(model: Model, label: str, reason: str) -> list[Fact]:
    """Take a version back. Jobs that wait for a worker or run go on; its number is not given again.

    Raises:
        ModelVersionNotFound, ModelVersionIsWithdrawn, ReasonIsMissing.
    """
    version = model.published_version(label)
    told = one_line(reason)
    if not 0 < len(told) <= LONGEST_REASON:
        raise ReasonIsMissing(most=LONGEST_REASON)
    return [ModelVersionWithdrawn(version=version.label, reason=told)]


def release_path(model: Model, found: Inspection) -> list[Fact]:
    """Let the model be trained again without a path of its first training, as just inspected (W-5).

    Raises:
        DataPathIsNotLocked, DataPathHasImages.
    """
    if found.folder not in model.locked_paths:
        raise DataPathIsNotLocked(folder=str(found.folder))
    if found.state is not DataPathState.INVALID:
        raise DataPathHasImages(folder=str(found.folder))
    return [ModelDataPathReleased(folder=found.folder)]


def _published(model: Model | None, fact: ModelVersionPublished) -> Model:
    held = model or Model(owner=fact.owner, name=fact.model_name)
    return replace(held, versions=(*held.versions, ModelVersion(fact)))


def _withdrawn(model: Model, fact: ModelVersionWithdrawn) -> Model:
    return replace(
        model,
        versions=tuple(
            ModelVersion(version.published, is_withdrawn=version.is_withdrawn or version.label == fact.version)
            for version in model.versions
        ),
    )


EVOLVE = evolves(
    Model,
    {
        ModelVersionPublished: _published,
        ModelVersionWithdrawn: _withdrawn,
        ModelDataPathReleased: lambda model, fact: replace(model, released=(*model.released, fact.folder)),
    },
)
