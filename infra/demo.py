"""The main job, end to end, through the product's own commands: what `assay demo` runs against the running processes.

It acts as the first super administrator and does nothing that a person could not do on the pages. A second run makes a further
model beside the first.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID, uuid4

from commands.assay import Command
from commands.compute_resources import CreateComputeResource
from commands.datasets import CreateDataset
from commands.environments import AddNodes
from commands.exports import RequestExport
from commands.industries import CreateIndustry, DefineLevels
from commands.model_images import ImportModelImage, model_image_id
from commands.models import PublishModelVersion
from commands.prediction_jobs import QueuePredictionJob
from commands.training_jobs import QueueTrainingJob
from domain.compute_resources import ComputeResourceKind
from domain.data_paths import DataPathState, FolderName, Inspection
from domain.datasets import DatasetPurpose
from domain.environments import Environment, environment_id
from domain.evaluation import EvaluationFigures
from domain.exports import Export, ExportStatus, export_id
from domain.facts import State
from domain.json_forms import write_json
from domain.messages import Resources
from domain.model_images import LoadStatus, ModelImage, ModelImageKind
from domain.models import Model
from domain.names import NameClaim, NameKind, claim_id
from domain.prediction_jobs import PredictionDraft, PredictionJob, PredictionStatus
from domain.shares import percent
from domain.task_types import TaskKind
from domain.training_jobs import TrainingJob, TrainingStatus
from domain.training_parameters import Augmentation
from domain.training_requests import TrainingDraft, images_per_code
from gpu_worker.package_descriptions import SHIPPED_NAME
from gpu_worker.packages import build_shipped_package
from infra.core import Core
from infra.demo_images import demo_training_parameters, make_demo_images
from infra.heartbeats import Heartbeats
from infra.held_out import QUESTION_BANK, TRAINING, hold_out
from infra.settings import Settings

S = TypeVar("S", bound=State)

INDUSTRY = "显示面板"
LEVEL_NAMES = ("工厂", "厂别", "站点", "产品")
PLACES = (("一号工厂",), ("A厂", "B厂"), ("AOI1", "AOI2"), ("TV55", "TV65"))
OWN_IMAGES_PER_CODE = 100
OWN_IMAGES_EPOCHS = 8
"""About 80 seconds of training on two cores, so that a first look takes three minutes at most."""
USERS_IMAGES_EPOCHS = 12
"""Real defects need more; about five minutes for a thousand images."""
MOSTLY = 0.9
TIMES_GUESSING = 2
"""A model whose macro recall is not so many times that of guessing is of no use, and the demo says so."""
PATIENCE_SECONDS = 3600.0
LOOK_SECONDS = 0.5
LINE_SECONDS = 15.0
"""How often progress is printed where the output is no terminal."""


class DemoFailed(RuntimeError):
    """A step of the demo ended otherwise than it should; the sentence says how."""


class Demo:
    """One run of the main job."""

    def __init__(
        self, settings: Settings, core: Core, read: Any, wait: Callable[[int], None], heartbeats: Heartbeats
    ) -> None:
        self._settings, self._core, self._read, self._wait, self._heartbeats = settings, core, read, wait, heartbeats
        self._administrator = self._find_administrator()
        self._next_line_at = 0.0

    def run(self, data_root: str | None, own_root: str, sign_in: Sequence[str]) -> int:
        """Everything, in the order of a first day with the product; returns the exit status.

        `own_root` is the data root for images that the demo makes or copies. `sign_in` is what the first start said about the
        administrator, empty at later starts.
        """
        started = time.monotonic()
        try:
            products = self._master_data()
            training, question_bank, label = self._images(data_root, own_root)
            self._dataset(f"{label}-training", DatasetPurpose.TRAINING, training, products)
            self._dataset(f"{label}-question-bank", DatasetPurpose.QUESTION_BANK, question_bank, products)
            image = self._model_image()
            epochs = OWN_IMAGES_EPOCHS if data_root is None else USERS_IMAGES_EPOCHS
            job = self._training(label, training, image, products, epochs)
            version = self._publish(job)
            predicted = self._prediction(job, version, question_bank)
            self._export(job.model_id, version)
        except DemoFailed as failure:
            print(f"The demo stopped: {failure}")
            return 1
        self._summary(job, version, predicted, time.monotonic() - started, sign_in)
        return 0

    def _master_data(self) -> tuple[UUID, ...]:
        """Industry, levels, a small environment tree and a compute resource; returns the products of the first station."""
        industry_id = self._holder(NameKind.INDUSTRY, INDUSTRY)
        if industry_id is None:
            industry_id = uuid4()
            self._ask(CreateIndustry(actor=self._administrator, industry_id=industry_id, name=INDUSTRY))
            self._ask(DefineLevels(actor=self._administrator, industry_id=industry_id, level_names=LEVEL_NAMES))
            self._add_places(industry_id, None, 0)
        if not self._read.compute_resources.list():
            resources = Resources(cpu_cores=min(2, os.cpu_count() or 1), memory_gib=2)
            kind = ComputeResourceKind.GENERAL_PURPOSE
            self._ask(
                CreateComputeResource(
                    actor=self._administrator, compute_resource_id=uuid4(), kind=kind, resources=resources
                )
            )
        tree = self._state(Environment, environment_id(industry_id))
        station = tree.children(tree.children(tree.children(None)[0].node_id)[0].node_id)[0]
        products = tuple(node.node_id for node in tree.children(station.node_id))
        _say(f"1. Master data: {INDUSTRY} ({' / '.join(LEVEL_NAMES)}), {len(tree.nodes)} places")
        return products

    def _add_places(self, industry_id: UUID, parent_id: UUID | None, level: int) -> None:
        if level == len(PLACES):
            return
        names = PLACES[level]
        node_ids = tuple(uuid4() for _ in names)
        self._ask(
            AddNodes(
                actor=self._administrator, industry_id=industry_id, parent_id=parent_id, names=names, node_ids=node_ids
            )
        )
        for node_id in node_ids:
            self._add_places(industry_id, node_id, level + 1)

    def _images(self, data_root: str | None, own_root: str) -> tuple[FolderName, FolderName, str]:
        """The folders of the two datasets, and what to call them."""
        label = f"demo-{data_root}" if data_root else "demo"
        folder = self._settings.data_roots[own_root] / label
        if data_root is None:
            make_demo_images(folder / TRAINING, seed=1, images_per_code=OWN_IMAGES_PER_CODE)
            make_demo_images(folder / QUESTION_BANK, seed=2, images_per_code=OWN_IMAGES_PER_CODE // 3)
        else:
            trained, held_out = hold_out(FolderName(data_root, ""), self._core.data_folders, folder)
            _say(f"   Of {data_root}, {held_out} images are kept apart for the question bank, {trained} are trained on")
            _say(f"   (copies in {folder}; images of one part stay together where groups.csv names it).")
        return FolderName(own_root, f"{label}/{TRAINING}"), FolderName(own_root, f"{label}/{QUESTION_BANK}"), label

    def _dataset(self, name: str, purpose: DatasetPurpose, folder: FolderName, products: tuple[UUID, ...]) -> None:
        inspection = self._counted(folder)
        if self._holder(purpose.name_kind, name) is None:
            self._ask(
                CreateDataset(
                    actor=self._administrator,
                    dataset_id=uuid4(),
                    name=name,
                    purpose=purpose,
                    environment=products,
                    data_paths=(str(folder),),
                    path_ids=(uuid4(),),
                )
            )
        codes = ", ".join(f"{count.defect_code} {count.image_count}" for count in inspection.defect_codes)
        damaged = f", {inspection.damaged_count} damaged" if inspection.damaged_count else ""
        _say(f"2. Dataset {name}: {inspection.image_count} images{damaged} ({codes})")

    def _counted(self, folder: FolderName) -> Inspection:
        """What is in a folder, once all of it was seen."""
        while True:
            [inspection] = self._core.scanned_folders.inspect_folders([folder])
            if inspection.state is not DataPathState.SCANNING:
                return inspection
            time.sleep(LOOK_SECONDS)

    def _model_image(self) -> ModelImage:
        """Build the shipped package, import it, and wait until it is loaded."""
        image_id = model_image_id(SHIPPED_NAME.split("@", maxsplit=1)[0])
        known = self._core.assay.find(ModelImage, image_id)
        if known is None or not known.loaded_versions:
            archives = next(iter(self._settings.archive_roots.values()))
            build_shipped_package(archives / f"{SHIPPED_NAME}.tar")
            task_type = next(
                row for row in self._read.task_types.list() if TaskKind(row.kind) is TaskKind.CLASSIFICATION
            )
            self._ask(
                ImportModelImage(
                    actor=self._administrator,
                    kind=ModelImageKind.GENERAL,
                    task_type_id=task_type.task_type_id,
                    archive=str(archives / f"{SHIPPED_NAME}.tar"),
                )
            )
        image = self._until(ModelImage, image_id, lambda state: state.status is not LoadStatus.LOADING)
        if not image.loaded_versions:
            raise DemoFailed(f"the package {SHIPPED_NAME} could not be loaded")
        _say(f"3. Model image {image.name} {image.loaded_versions[-1].label} loaded")
        return image

    def _training(
        self, label: str, folder: FolderName, image: ModelImage, products: tuple[UUID, ...], epochs: int
    ) -> TrainingJob:
        inspection = self._counted(folder)
        counts = images_per_code([inspection])
        codes = sorted(counts)
        model_parameters = {
            "classification": {"name": "ResNet18", "num_of_classes": len(codes)},
            "code_list": codes,
        }
        draft = TrainingDraft(
            model_name=self._free_model_name(f"{label}-model"),
            model_image_id=image.id,
            model_image_version=image.loaded_versions[-1].number,
            model_parameters=write_json(model_parameters),
            environment=products,
            data_paths=(folder,),
            compute_resource_id=self._read.compute_resources.list()[0].compute_resource_id,
            training_parameters=write_json(demo_training_parameters(sum(counts.values()), epochs=epochs)),
            split_ratio=0.8,
            resolution_screening=_is_of_one_size(inspection),
            augmentations=(Augmentation.FLIPPING,),
        )
        job_id = uuid4()
        self._ask(QueueTrainingJob(actor=self._administrator, job_id=job_id, model_id=uuid4(), draft=draft, seed=7))
        _say(f"4. Training {draft.model_name}: {self._settings.address}/training-jobs/{job_id}")
        ended = (TrainingStatus.COMPLETED, TrainingStatus.FAILED, TrainingStatus.TERMINATED)
        job = self._until(TrainingJob, job_id, lambda state: state.status in ended, show=self._show_progress)
        if job.completed is None:
            raise DemoFailed(f"the training ended as {job.status.value}: {self._read.training_jobs.get(job_id).reason}")
        _say(f"   Report on the validation split: {_told(job.completed.figures)}")
        return job

    def _publish(self, job: TrainingJob) -> str:
        self._ask(PublishModelVersion(actor=self._administrator, job_id=job.id))
        version = self._state(Model, job.model_id).versions[-1].label
        _say(f"   Published as {job.name} {version}")
        return version

    def _prediction(self, job: TrainingJob, version: str, folder: FolderName) -> EvaluationFigures:
        job_id = uuid4()
        inspection = self._counted(folder)
        draft = PredictionDraft(
            name=f"{job.name}-{version.replace('.', '_')}-check",
            model_id=job.model_id,
            versions=(version,),
            data_paths=(folder,),
            compute_resource_id=job.compute_resource_id,
            resolution_screening=_is_of_one_size(inspection),
        )
        self._ask(QueuePredictionJob(actor=self._administrator, job_id=job_id, draft=draft))
        ended = (PredictionStatus.COMPLETED, PredictionStatus.FAILED, PredictionStatus.TERMINATED)
        prediction = self._until(PredictionJob, job_id, lambda state: state.status in ended, show=self._show_progress)
        if prediction.status is not PredictionStatus.COMPLETED:
            reason = self._read.prediction_jobs.get(job_id).reason
            raise DemoFailed(f"the prediction ended as {prediction.status.value}: {reason}")
        figures: EvaluationFigures = self._read.evaluation_reports.get(job_id, version).figures
        _say(f"5. Question-bank prediction: {_told(figures)}")
        _say(f"   {self._settings.address}/prediction-jobs/{job_id}/report")
        return figures

    def _export(self, model_id: UUID, version: str) -> None:
        self._ask(RequestExport(actor=self._administrator, model_id=model_id, version=version))
        ended = (ExportStatus.BUILT, ExportStatus.FAILED)
        export = self._until(Export, export_id(model_id, version), lambda state: state.status in ended)
        if export.package is None:
            raise DemoFailed("the export package could not be built")
        _say(f"   Export package: {export.package.size / 1e6:.1f} MB, SHA-256 {export.package.checksum[:16]}…")

    def _summary(
        self, job: TrainingJob, version: str, predicted: EvaluationFigures, seconds: float, sign_in: Sequence[str]
    ) -> None:
        assert job.completed is not None
        guessing = 1 / len(predicted.defects)
        commonest = max(defect.sample_count for defect in predicted.defects) / max(1, predicted.sample_count)
        _say("")
        _say(f"{job.name} {version} on {predicted.sample_count} question-bank images that it has never seen:")
        _say(f"  accuracy {percent(predicted.accuracy)}; always naming the commonest code gives {percent(commonest)}")
        _say(f"  macro recall {percent(predicted.recall)}; guessing gives {percent(guessing)}")
        _say(
            f"  {predicted.misjudged_count} misjudged, {predicted.non_compliant_count} non-compliant, "
            f"{predicted.damaged_count} damaged"
        )
        if (predicted.recall or 0) < TIMES_GUESSING * guessing:
            _say("  It has learnt next to nothing: these images need more iterations, or more parts of each defect.")
        _say(
            f"Trained on {job.completed.device} in {job.completed.seconds:.0f} s; the whole demo took {seconds:.0f} s."
        )
        _say(
            "The export is a zip with models.xbin, libCsotArtifact.so and config.yaml: all that a program on the line needs."
        )
        _say("")
        _say(f"The pages go on running at {self._settings.address} until `make down`.")
        for sentence in sign_in or (
            f"Sign in as “{self._settings.administrator}” with the password of the first start.",
        ):
            _say(sentence)

    def _find_administrator(self) -> UUID:
        administrator = self._holder(NameKind.USER, self._settings.administrator)
        if administrator is None:
            raise DemoFailed(f"there is no user “{self._settings.administrator}”")
        return administrator

    def _holder(self, kind: NameKind, name: str) -> UUID | None:
        claim: NameClaim | None = self._core.assay.find(NameClaim, claim_id(kind, name))
        return claim.owner if claim else None

    def _free_model_name(self, wanted: str) -> str:
        name, number = wanted, 1
        while self._holder(NameKind.MODEL, name) is not None:
            number += 1
            name = f"{wanted}-{number}"
        return name

    def _ask(self, command: Command) -> None:
        self._wait(self._core.assay.dispatch(command))

    def _state(self, state_type: type[S], aggregate_id: UUID) -> S:
        return self._core.assay.load(state_type, aggregate_id)

    def _until(
        self,
        state_type: type[S],
        aggregate_id: UUID,
        is_done: Callable[[S], bool],
        show: Callable[[UUID], None] = lambda _: None,
    ) -> S:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            state = self._state(state_type, aggregate_id)
            if is_done(state):
                self._wait(self._core.log.position())
                return state
            show(aggregate_id)
            time.sleep(LOOK_SECONDS)
        raise DemoFailed(f"it took longer than {PATIENCE_SECONDS:.0f} s; look at the logs in {self._settings.logs}")

    def _show_progress(self, job_id: UUID) -> None:
        beat = self._heartbeats.of(job_id)
        if beat is None:
            return
        loss = f", loss {beat.loss:.3f}" if beat.loss is not None else ""
        left = f", about {beat.seconds_left:.0f} s left" if beat.seconds_left is not None else ""
        if sys.stdout.isatty():
            print(f"\r   {beat.progress:4.0%}{loss}{left}    ", end="", flush=True)
        elif time.monotonic() > self._next_line_at:
            self._next_line_at = time.monotonic() + LINE_SECONDS
            print(f"   {beat.progress:4.0%}{loss}{left}", flush=True)


def _is_of_one_size(inspection: Inspection) -> bool:
    """Whether screening by resolution makes sense: where sizes vary by nature, it would leave out most images."""
    commonest = max((count for _, _, count in inspection.resolutions), default=0)
    return commonest >= MOSTLY * inspection.image_count


def _told(figures: EvaluationFigures) -> str:
    return (
        f"accuracy {percent(figures.accuracy)}, macro recall {percent(figures.recall)}, "
        f"{figures.misjudged_count} of {figures.sample_count} misjudged"
    )


def _say(sentence: str) -> None:
    print(f"\r{sentence:<79}" if sys.stdout.isatty() else sentence, flush=True)
