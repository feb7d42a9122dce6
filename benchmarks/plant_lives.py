"""What becomes of the things of a plant: datasets, model images, trainings, models, predictions, from their beginning to their end.

A life is a generator that asks one thing of the write side a step, so that others live between its steps.
"""

import random
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID, uuid5

import msgspec
from msgspec.structs import replace

from benchmarks.growing_log import DEFECTS, ROOT, GrowingLog
from commands.assay import Assay, Command
from commands.datasets import AddDataPaths, CreateDataset, DeleteDataset, InspectDataPath, RemoveDataPaths
from commands.exports import RecordExport, RequestExport, StartExport
from commands.model_images import (
    AddModelImageVersion,
    FailLoading,
    FinishLoading,
    ImportModelImage,
    StartLoading,
    model_image_id,
)
from commands.models import PublishModelVersion, WithdrawModelVersion
from commands.prediction_jobs import (
    QueuePredictionJob,
    RecordPrediction,
    RestartPrediction,
    StartPrediction,
    TerminatePrediction,
)
from commands.training_jobs import (
    DeleteTrainingJob,
    InterruptTraining,
    QueueTrainingJob,
    RecordTraining,
    RestartTraining,
    RetrainModel,
    StartTraining,
    TerminateTraining,
)
from domain.artifacts import Artifact
from domain.data_paths import FolderName
from domain.datasets import Dataset, DatasetPurpose
from domain.evaluation import EvaluationFigures
from domain.exports import ExportBuilt, export_id
from domain.facts import SYSTEM, Fact, State
from domain.messages import LossPart, StageName, VersionResult
from domain.model_images import ModelImage, ModelImageKind
from domain.models import Model
from domain.prediction_jobs import (
    PredictionCompleted,
    PredictionDraft,
    PredictionFailed,
    PredictionJob,
    PredictionKind,
    PredictionLogKept,
)
from domain.sentences import Sentence
from domain.training_jobs import (
    TrainingCompleted,
    TrainingFailed,
    TrainingJob,
    TrainingLogKept,
    TrainingLossesMeasured,
    TrainingStageFinished,
    TrainingValidated,
)
from domain.training_requests import TrainingDraft, retraining_draft
from gpu_worker.reasons import DISK_IS_FULL, OUT_OF_MEMORY
from tests.examples import APPLIED_RULE, PACKAGE, artifact

S = TypeVar("S", bound=State)
Life = Iterator[None]

PRODUCTS = ("panel", "array", "cell", "module", "touch", "cover", "oled", "mini-led")
WORKERS = ("gpu-1", "gpu-2", "gpu-3", "gpu-4", "cpu-1")
FREQUENT, RARE, MISSING = "panel", "golden-sample", "no-such-word"
"""Searched for: in an eighth of all names, in one of two thousand, in none."""
OWN_SHARE = 1 / 3
"""Of models and jobs, so many are the visitor's."""
CURVES = 12
POINTS_OF_A_REPORT = 5
MOST_REPORTS = 2_000
"""So many reports, 10,000 points of its curve, the longest trainings make."""
LAST_EVENTS = 4
"""What a training leaves in the log when it completes: that it did, and that it needs three things no more."""
MODEL_PARAMETERS = msgspec.json.format(
    msgspec.json.encode({"classification": {"name": "ResNet18", "num_of_classes": len(DEFECTS)}, "code_list": DEFECTS})
).decode()
TRAINING_PARAMETERS = """{
  "classification": {
    "base_lr": 0.01,
    "batch_size": 32,
    "max_iter": 10000
  }
}"""
GROWN_PACKAGE = replace(PACKAGE, model_parameters=MODEL_PARAMETERS, training_parameters=TRAINING_PARAMETERS)


class JudgedImages(msgspec.Struct, frozen=True):
    """What a version achieved on the images that all reports share."""

    evaluation: Artifact
    figures: EvaluationFigures


class Lives:
    """Things of a plant. People, `stations` and what jobs need are noted here before anything lives."""

    def __init__(self, assay: Assay, log: GrowingLog, judged: Sequence[JudgedImages], visitor: UUID) -> None:
        """`assay` writes to `log`; `judged` gets better from first to last; `visitor` owns a third of all models and jobs."""
        self._assay, self._log, self._judged, self._visitor = assay, log, judged, visitor
        self.random = random.Random(20240108)  # noqa: S311 - a plant, no secret
        self.people = [visitor]
        self.stations: list[list[UUID]] = []
        """The products of each station."""
        self.resource_ids: list[UUID] = []
        self.task_type_ids: list[UUID] = []
        self.datasets: list[tuple[UUID, str]] = []
        """Their ids and names, those of deleted ones, too."""
        self.mean_reports, self.reports_left = 0.0, 0
        """Of a training; what each makes is drawn until none are left, and is one report then."""
        self._images: list[tuple[UUID, bool]] = []
        self._paths: dict[DatasetPurpose, list[FolderName]] = {purpose: [] for purpose in DatasetPurpose}
        self._curves = [self._curve() for _ in range(CURVES)]

    def id_of(self, kind: str, number: int) -> UUID:
        """The same in every plant."""
        return uuid5(self._visitor, f"{kind} {number}")

    def ask(self, command: Command) -> None:
        """As a page asks, or a worker that reports."""
        self._assay.dispatch(command, "" if command.actor == SYSTEM else f"{self.random.getrandbits(32):08x}")

    def dataset(self, number: int, purpose: DatasetPurpose | None = None) -> Life:
        """One that is made; whoever changes it comes later. Six of ten are for training, where nothing is said."""
        if purpose is None:
            is_for_training = self.random.random() < 0.6
            purpose = DatasetPurpose.TRAINING if is_for_training else DatasetPurpose.QUESTION_BANK
        word = RARE if self.random.random() < 1 / 2_000 else self.random.choice(PRODUCTS)
        name = f"{word}-{self.random.choice(DEFECTS).lower()}-2024w{number % 52:02d}-{number:06d}"
        dataset_id = self.id_of("dataset", number)
        paths = tuple(f"{name}/{path}" for path in range(self.random.randint(1, 6)))
        self.ask(
            CreateDataset(
                actor=self.random.choice(self.people),
                dataset_id=dataset_id,
                name=name,
                purpose=purpose,
                environment=self._products(),
                data_paths=paths,
                path_ids=tuple(uuid5(dataset_id, path) for path in paths),
            )
        )
        self.datasets.append((dataset_id, name))
        self._paths[purpose].append(FolderName(ROOT, paths[0]))
        yield

    def change(self, number: int) -> Life:
        """Of some dataset: a path more, one less, another look at one; one of twenty-five is deleted."""
        dataset_id, name = self.random.choice(self.datasets)
        dataset = self._state(Dataset, dataset_id)
        if dataset.is_deleted:
            return
        actor, drawn, last = self.random.choice(self.people), self.random.random(), dataset.data_paths[-1].path_id
        if drawn < 0.04:
            self.ask(DeleteDataset(actor=actor, dataset_id=dataset_id))
        elif drawn < 0.4:
            path = f"{name}/later-{number}"
            path_ids = (uuid5(dataset_id, path),)
            self.ask(AddDataPaths(actor=actor, dataset_id=dataset_id, data_paths=(path,), path_ids=path_ids))
        elif drawn < 0.7 and len(dataset.data_paths) > 1:
            self.ask(RemoveDataPaths(actor=actor, dataset_id=dataset_id, path_ids=(last,)))
        else:
            self.ask(InspectDataPath(actor=actor, dataset_id=dataset_id, path_id=last))
        yield

    def model_image(self, number: int, *, is_general: bool = False) -> Life:
        """One to three versions; a tenth of the later ones cannot be loaded. Four of ten are general, where nothing is said."""
        actor, name = self.random.choice(self.people), f"{self.random.choice(PRODUCTS)}-resnet-{number:06d}"
        is_business = not is_general and self.random.random() < 0.6
        image_id = model_image_id(name)
        for version in range(1, self.random.randint(2, 4)):
            archive = f"{name}@{version}.0.tar"
            if version == 1:
                self.ask(
                    ImportModelImage(
                        actor=actor,
                        kind=ModelImageKind.BUSINESS if is_business else ModelImageKind.GENERAL,
                        task_type_id=self.random.choice(self.task_type_ids),
                        archive=archive,
                        environment=self._products() if is_business else (),
                    )
                )
            else:
                self.ask(AddModelImageVersion(actor=actor, model_image_id=image_id, archive=archive))
            yield
            attempt = self._state(ModelImage, image_id).attempt.number
            self.ask(StartLoading(actor=SYSTEM, model_image_id=image_id, attempt=attempt, worker="packager-1"))
            yield
            if version > 1 and self.random.random() < 0.1:
                reason = Sentence(DISK_IS_FULL)
                self.ask(FailLoading(actor=SYSTEM, model_image_id=image_id, attempt=attempt, reason=reason))
                return
            self.ask(
                FinishLoading(
                    actor=SYSTEM,
                    model_image_id=image_id,
                    attempt=attempt,
                    archive=artifact(archive, 46_000_000),
                    package=GROWN_PACKAGE,
                )
            )
            if version == 1:
                self._images.append((image_id, is_business))
            yield

    def model(self, number: int, *, training_count: int, prediction_count: int) -> Life:
        """From the first training to the last version, with what people do with the versions meanwhile."""
        owner, model_id = self._owner(), self.id_of("model", number)
        name = f"{self.random.choice(PRODUCTS)}-{number:06d}"
        level = self.random.randrange(len(self._judged) // 2)
        for round_ in range(training_count):
            job_id = uuid5(model_id, f"training {round_}")
            level = min(level + self.random.randrange(8), len(self._judged) - 1)
            self.ask(
                self._retraining(owner, job_id, model_id) if round_ else self._training(owner, job_id, model_id, name)
            )
            yield
            yield from self._completed(job_id, self._judged[level])
            self.ask(PublishModelVersion(actor=owner, job_id=job_id))
            yield
            is_last = round_ == training_count - 1
            predicted = prediction_count if is_last else min(prediction_count, self.random.randrange(4))
            prediction_count -= predicted
            for place in range(predicted):
                yield from self._prediction(uuid5(job_id, f"prediction {place}"), owner, model_id, level)
            if self.random.random() < 0.3:
                yield from self._export(owner, model_id)
        if training_count > 1 and self.random.random() < 0.2:
            first = self._state(Model, model_id).versions[0].label
            self.ask(WithdrawModelVersion(actor=owner, model_id=model_id, version=first, reason="现场误判过多"))
            yield

    def lone_training(self, number: int) -> Life:
        """One that led to no model: it was completed and never published, failed or was terminated; every seventh is deleted."""
        owner, job_id = self._owner(), self.id_of("training", number)
        name = f"{self.random.choice(PRODUCTS)}-trial-{number:06d}"
        self.ask(self._training(owner, job_id, uuid5(job_id, "model"), name))
        yield
        drawn = self.random.random()
        if drawn < 0.4:
            yield from self._completed(job_id, self.random.choice(self._judged))
        elif drawn < 0.7:
            yield from self._measured(job_id, self._report_count())
            self._report(job_id, TrainingFailed(reason=Sentence(OUT_OF_MEMORY), log=artifact(f"{job_id}.log")))
            yield
        else:
            yield from self._measured(job_id, self._report_count())
            self.ask(TerminateTraining(actor=owner, job_id=job_id))
            yield
            self._report(job_id, TrainingLogKept(log=artifact(f"{job_id}.log")))
            yield
        if 0.65 < drawn < 0.75:
            self.ask(RestartTraining(actor=owner, job_id=job_id))
            yield
            yield from self._completed(job_id, self.random.choice(self._judged))
        if number % 7 == 0:
            self.ask(DeleteTrainingJob(actor=owner, job_id=job_id))
            yield

    def long_training(self, number: int, most_events: int) -> Life:
        """One with the longest curve there is, or that ends with the log at `most_events`."""
        owner, job_id = self._owner(), self.id_of("long training", number)
        name = f"{self.random.choice(PRODUCTS)}-long-{number:06d}"
        self.ask(self._training(owner, job_id, uuid5(job_id, "model"), name))
        yield
        began = self._log.moment
        yield from self._measured(job_id, MOST_REPORTS, most_events - LAST_EVENTS)
        yield from self._ended(job_id, self._judged[-1], began)

    def _training(self, owner: UUID, job_id: UUID, model_id: UUID, name: str) -> QueueTrainingJob:
        image_id, is_business = self.random.choice(self._images)
        draft = TrainingDraft(
            model_name=name,
            model_image_id=image_id,
            model_image_version=1,
            model_parameters=MODEL_PARAMETERS,
            environment=() if is_business else self._products(),
            data_paths=self._chosen_paths(DatasetPurpose.TRAINING),
            compute_resource_id=self.random.choice(self.resource_ids),
            training_parameters=TRAINING_PARAMETERS,
        )
        seed = self.random.getrandbits(31)
        return QueueTrainingJob(actor=owner, job_id=job_id, model_id=model_id, draft=draft, seed=seed)

    def _retraining(self, owner: UUID, job_id: UUID, model_id: UUID) -> RetrainModel:
        """With the images of the version before, and those of one path more."""
        model = self._state(Model, model_id)
        draft = retraining_draft(model, model.versions[-1], self.random.choice(self.resource_ids))
        chosen = dict.fromkeys((*draft.data_paths, *self._chosen_paths(DatasetPurpose.TRAINING)[:1]))
        return RetrainModel(
            actor=owner,
            job_id=job_id,
            model_id=model_id,
            version=model.versions[-1].label,
            draft=replace(draft, data_paths=tuple(chosen)),
            seed=self.random.getrandbits(31),
        )

    def _completed(self, job_id: UUID, judged: JudgedImages) -> Life:
        began = self._log.moment
        yield from self._measured(job_id, self._report_count())
        yield from self._ended(job_id, judged, began)

    def _ended(self, job_id: UUID, judged: JudgedImages, began: datetime) -> Life:
        self._report(
            job_id,
            TrainingCompleted(
                seconds=(self._log.moment - began).total_seconds(),
                weights=artifact(f"{job_id}.safetensors", 44_000_000),
                evaluation=judged.evaluation,
                figures=judged.figures,
                log=artifact(f"{job_id}.log"),
                losses=artifact(f"{job_id}.losses"),
                resolution_rule=APPLIED_RULE,
                device="cpu",
                software="torch 2.9.1",
            ),
        )
        yield

    def _measured(self, job_id: UUID, report_count: int, most_events: int | None = None) -> Life:
        """What a worker reports from its claim until just before the end; of fifty, one falls silent and another goes on."""
        self._claim(job_id)
        yield
        for stage in StageName:
            self._report(job_id, self._stage(stage, job_id))
            yield
        curve, every = self.random.choice(self._curves), max(1, report_count // 8)
        silent_at = self.random.randrange(report_count) if self.random.random() < 0.02 else -1
        for number in range(report_count):
            first, last = number * POINTS_OF_A_REPORT + 1, (number + 1) * POINTS_OF_A_REPORT
            reports: list[Fact] = [self._losses(curve, first, last, 0.01 * (1 - number / report_count) ** 0.9)]
            if number % every == every - 1:
                reports.append(self._validation(last, curve[last - 1]))
            for fact in reports:
                if most_events is not None and self._log.count >= most_events:
                    return
                self._report(job_id, fact)
                yield
            if number == silent_at and most_events is None:
                attempt = self._state(TrainingJob, job_id).attempt.number
                self.ask(InterruptTraining(actor=SYSTEM, job_id=job_id, attempt=attempt))
                yield
                self._claim(job_id)
                yield

    def _stage(self, stage: StageName, job_id: UUID) -> TrainingStageFinished:
        images = 400 + job_id.int % 5_000
        found = TrainingStageFinished(
            stage=stage, seconds=images / 200, image_count=images, resolution_rule=APPLIED_RULE
        )
        if stage is not StageName.DATA_SPLIT:
            return found
        training, manifest = images * 4 // 5, artifact(f"{job_id} manifest")
        return replace(found, training_count=training, validation_count=images - training, manifest=manifest)

    @staticmethod
    def _losses(curve: Sequence[float], first: int, last: int, learning_rate: float) -> TrainingLossesMeasured:
        return TrainingLossesMeasured(
            part=LossPart.CLASSIFICATION,
            iterations=tuple(range(first, last + 1)),
            losses=tuple(curve[first - 1 : last]),
            learning_rate=learning_rate,
        )

    @staticmethod
    def _validation(iteration: int, loss: float) -> TrainingValidated:
        accuracy = max(0.0, 1 - loss / 4)
        return TrainingValidated(
            part=LossPart.CLASSIFICATION, iteration=iteration, accuracy=accuracy, recall=accuracy, loss=loss
        )

    def _prediction(self, job_id: UUID, owner: UUID, model_id: UUID, level: int) -> Life:
        """A question bank, or of three with another version before one comparison; of ten one fails or is started again."""
        model = self._state(Model, model_id)
        labels = tuple(version.label for version in model.versions[-2:])
        is_comparison = len(labels) > 1 and self.random.random() < 0.3
        draft = PredictionDraft(
            kind=PredictionKind.COMPARISON if is_comparison else PredictionKind.QUESTION_BANK,
            name=f"{model.name}-check-{job_id.int % 1_000_000:06d}",
            model_id=model_id,
            versions=labels if is_comparison else labels[-1:],
            data_paths=self._chosen_paths(DatasetPurpose.QUESTION_BANK),
            compute_resource_id=self.random.choice(self.resource_ids),
        )
        self.ask(QueuePredictionJob(actor=owner, job_id=job_id, draft=draft))
        yield
        began, drawn = self._log.moment, self.random.random()
        self._claim(job_id)
        yield
        if drawn < 0.05:
            self._report(job_id, PredictionFailed(reason=Sentence(OUT_OF_MEMORY), log=artifact(f"{job_id}.log")))
            yield
            return
        if drawn < 0.1:
            self.ask(TerminatePrediction(actor=owner, job_id=job_id))
            yield
            self._report(job_id, PredictionLogKept(log=artifact(f"{job_id}.log")))
            yield
            self.ask(RestartPrediction(actor=owner, job_id=job_id))
            yield
            self._claim(job_id)
            yield
        judged = self._judged[max(0, level - len(draft.versions) + 1) :]
        results = tuple(
            VersionResult(label=label, evaluation=one.evaluation, figures=one.figures)
            for label, one in zip(draft.versions, judged, strict=False)
        )
        manifest, log = artifact(f"{job_id} manifest"), artifact(f"{job_id}.log")
        seconds = (self._log.moment - began).total_seconds()
        self._report(job_id, PredictionCompleted(seconds=seconds, results=results, manifest=manifest, log=log))
        yield

    def _export(self, owner: UUID, model_id: UUID) -> Life:
        """Of the newest version."""
        version = self._state(Model, model_id).versions[-1].label
        package_id = export_id(model_id, version)
        self.ask(RequestExport(actor=owner, model_id=model_id, version=version))
        yield
        self.ask(StartExport(actor=SYSTEM, export_id=package_id, attempt=1, worker="packager-1"))
        yield
        built = ExportBuilt(package=artifact(f"{package_id}.zip", 43_000_000))
        self.ask(RecordExport(actor=SYSTEM, export_id=package_id, attempt=1, fact=built))
        yield

    def _claim(self, job_id: UUID) -> None:
        job, worker = self._job(job_id), self.random.choice(WORKERS)
        start = StartTraining if isinstance(job, TrainingJob) else StartPrediction
        self.ask(start(actor=SYSTEM, job_id=job_id, attempt=job.attempt.number, worker=worker))

    def _report(self, job_id: UUID, fact: Fact) -> None:
        job = self._job(job_id)
        record = RecordTraining if isinstance(job, TrainingJob) else RecordPrediction
        self.ask(record(actor=SYSTEM, job_id=job_id, attempt=job.attempt.number, fact=fact))

    def _job(self, job_id: UUID) -> TrainingJob | PredictionJob:
        return self._log.load(TrainingJob, job_id) or self._state(PredictionJob, job_id)

    def _state(self, state_type: type[S], aggregate_id: UUID) -> S:
        state = self._log.load(state_type, aggregate_id)
        assert state is not None
        return state

    def _owner(self) -> UUID:
        return self._visitor if self.random.random() < OWN_SHARE else self.random.choice(self.people)

    def _products(self) -> tuple[UUID, ...]:
        """Some of one station."""
        return tuple(self.random.sample(self.random.choice(self.stations), self.random.randint(1, 4)))

    def _chosen_paths(self, purpose: DatasetPurpose) -> tuple[FolderName, ...]:
        """One to three, each of another dataset."""
        return tuple(dict.fromkeys(self.random.choices(self._paths[purpose], k=self.random.randint(1, 3))))

    def _report_count(self) -> int:
        """Most trainings are short, some are long."""
        drawn = round(self.random.expovariate(1 / self.mean_reports))
        count = max(1, min(drawn, MOST_REPORTS, self.reports_left))
        self.reports_left -= count
        return count

    def _curve(self) -> tuple[float, ...]:
        """A loss that falls, with noise, at each of the most iterations there are."""
        speed = self.random.uniform(0.2, 0.5)
        count = MOST_REPORTS * POINTS_OF_A_REPORT
        return tuple(
            round(2.3 / iteration**speed * self.random.uniform(0.9, 1.1), 6) for iteration in range(1, count + 1)
        )
