"""A plant where everything has happened once: everything that can be shown is there, and trainer_wang owns what has an owner.

Its texts may be spoiled: each then ends with what a page, an address, a table or a log must not believe.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace
from PIL import Image

from domain.api_tokens import ApiTokenCreated, TokenScope
from domain.artifact_references import artifacts_in
from domain.artifacts import Artifact
from domain.evaluation import Evaluation, Segmented
from domain.exports import ExportBuilt, ExportQueued, ExportStarted, export_id
from domain.facts import Fact, Recorded
from domain.image_files import mask_name
from domain.messages import ExportOrder, LossPart, ManifestEntry, PartLog, StageName
from domain.model_images import ModelImageLoadingFailed
from domain.models import ModelVersionWithdrawn
from domain.prediction_jobs import PredictionDraft, PredictionFailed, PredictionKind
from domain.sentences import Sentence
from domain.training_jobs import TrainingFailed, TrainingStageFinished
from domain.training_parameters import USUAL_AUGMENTATIONS
from domain.training_requests import TrainingDraft
from domain.users import UserRefusedAction
from tests.examples import (
    ARRAY_FAB,
    CLASSIFICATION_ID,
    EVALUATION,
    LOADING_QUEUED,
    LOADING_STARTED,
    MODEL_ID,
    MODEL_IMAGE_ID,
    MODEL_PARAMETERS_TEXT,
    ONE_GPU_ID,
    PANEL_65,
    PREDICTION_COMPLETED,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    PREDICTION_STARTED,
    QUALITY_LEAD_ID,
    QUESTION_BANK,
    QUESTION_BANK_FOLDER,
    QUESTION_BANK_ID,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TRAINING_COMPLETED,
    TRAINING_DATASET,
    TRAINING_DATASET_ID,
    TRAINING_FOLDER,
    TRAINING_JOB_ID,
    TRAINING_PARAMETERS_TEXT,
    TRAINING_PUBLISHED,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    TWO_CORES_ID,
    VERSION_PUBLISHED,
    WORSE_AT_THE_END,
    History,
    artifact,
    example_id,
    plant,
)
from tests.web.real_site import RealSite, open_real_site
from tests.web.test_permissions import secret_of
from web.bearer import hash_of
from web.prediction_kinds import COMPARISON
from web.prediction_kinds import QUESTION_BANK as PREDICTION
from web.prediction_wizard import KeptDraft as KeptPrediction
from web.training_drafts import NEW_MODEL, Course, KeptDraft, keep

COMPARISON_ID = example_id("panel-a, v1.01 beside v1.02")
FAILED_TRAINING_ID = example_id("panel-c training job")
FAILED_PREDICTION_ID = example_id("panel-a-check that failed")
HOSTILE = "\"'><evil-tag evil-attr=1>{{ 7*7 }}{% raw %}%_=1+1"
"""Ends attributes, opens tags, fills templates, is found by everything, and is a formula; a folder can have that name, too."""
AS_THEY_ARE = frozenset(
    {"checksum", "root", "version", "label", "model_parameters", "training_parameters", "prediction_parameters", "text"}
)
"""Fields that are no texts of people, or that the platform itself reads."""
MANIFEST = artifact("manifest")
SEGMENTED = replace(
    EVALUATION,
    samples=tuple(
        replace(one, segmented=Segmented((3, 40, 0), marked_pixels=50, common_pixels=30, overlay=b"\x89PNG"))
        for one in EVALUATION.samples
    ),
)
Spoil = Callable[[Any], Any]


def spoiled(thing: Any) -> Any:
    """The same with every text of people spoiled."""
    if isinstance(thing, str):
        return thing + HOSTILE
    if isinstance(thing, tuple):
        return tuple(map(spoiled, thing))
    if isinstance(thing, dict):
        return {name: spoiled(value) for name, value in thing.items()}
    if isinstance(thing, msgspec.Struct):
        changes = {name: spoiled(getattr(thing, name)) for name in thing.__struct_fields__ if name not in AS_THEY_ARE}
        return replace(thing, **changes)
    return thing


def _unspoiled(thing: Any) -> Any:
    return thing


def _comparison() -> tuple[Fact, ...]:
    (version,) = PREDICTION_QUEUED.order.versions
    (result,) = PREDICTION_COMPLETED.results
    return (
        replace(
            PREDICTION_QUEUED,
            name="panel-a-versions",
            kind=PredictionKind.COMPARISON,
            order=replace(PREDICTION_QUEUED.order, versions=(version, replace(version, label="v1.02"))),
        ),
        PREDICTION_STARTED,
        replace(PREDICTION_COMPLETED, results=(result, replace(result, label="v1.02"))),
    )


def busy_plant(spoil: Spoil = _unspoiled) -> History:
    """All that has happened."""
    reason = Sentence("The disk is full: {problem}", {"problem": "no space on /data"})
    split = TrainingStageFinished(
        stage=StageName.DATA_SPLIT, seconds=1.0, manifest=MANIFEST, preview=artifact("preview")
    )
    (to_predict,) = PREDICTION_QUEUED.order.versions
    second, third = (replace(VERSION_PUBLISHED, version=version) for version in ("v1.02", "v1.03"))
    part_log = PartLog(part=LossPart.CLASSIFICATION, log=artifact("one part.log"))
    trained = replace(WORSE_AT_THE_END, part_logs=(part_log,))
    history = (
        plant()
        .add(TRAINING_DATASET_ID, TRAINING_DATASET, actor=TRAINER_LI_ID)
        .add(QUESTION_BANK_ID, QUESTION_BANK, actor=TRAINER_LI_ID)
        .add(MODEL_IMAGE_ID, LOADING_QUEUED, actor=TRAINER_WANG_ID)
        .add(MODEL_IMAGE_ID, LOADING_STARTED, ModelImageLoadingFailed(reason=reason))
        .add(TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, split, trained, actor=TRAINER_WANG_ID)
        .add(MODEL_ID, VERSION_PUBLISHED, second, third, actor=TRAINER_WANG_ID)
        .add(MODEL_ID, ModelVersionWithdrawn(version="v1.03", reason="the camera was moved"), actor=TRAINER_WANG_ID)
        .add(TRAINING_JOB_ID, TRAINING_PUBLISHED, actor=TRAINER_WANG_ID)
        .add(FAILED_TRAINING_ID, replace(TRAINING_QUEUED, model_name="panel-c"), actor=TRAINER_WANG_ID)
        .add(FAILED_TRAINING_ID, TRAINING_STARTED, TrainingFailed(reason=reason))
        .add(PREDICTION_JOB_ID, PREDICTION_QUEUED, PREDICTION_STARTED, PREDICTION_COMPLETED, actor=TRAINER_WANG_ID)
        .add(FAILED_PREDICTION_ID, replace(PREDICTION_QUEUED, name="evening"), actor=TRAINER_WANG_ID)
        .add(FAILED_PREDICTION_ID, PREDICTION_STARTED, PredictionFailed(reason=reason))
        .add(COMPARISON_ID, *_comparison(), actor=TRAINER_WANG_ID)
        .add(
            export_id(MODEL_ID, "v1.01"),
            ExportQueued(
                owner=TRAINER_WANG_ID, model_id=MODEL_ID, order=ExportOrder(model_name="panel-a", version=to_predict)
            ),
            ExportStarted(worker="gpu-1"),
            ExportBuilt(package=artifact("panel-a package")),
            actor=TRAINER_WANG_ID,
        )
        .add(TRAINER_LI_ID, UserRefusedAction(command="POST /users/new"), actor=TRAINER_LI_ID)
    )
    for user_id in (QUALITY_LEAD_ID, TRAINER_LI_ID, TRAINER_WANG_ID):
        token = ApiTokenCreated(
            name="MES", user_id=user_id, scope=TokenScope.MANAGE, secret_hash=hash_of(secret_of(user_id))
        )
        history.add(example_id(f"token of {user_id}"), token, actor=QUALITY_LEAD_ID)
    history.events = [_spoiled_event(event, spoil) for event in history.events]
    return history


def _spoiled_event(event: Recorded, spoil: Spoil) -> Recorded:
    fact = spoil(event.data)
    private = {name: getattr(event.data, name) for name in event.data.PRIVATE}
    return replace(event, data=replace(fact, **private))


@contextmanager
def open_busy_plant(database: str, folder: Path, spoil: Spoil = _unspoiled) -> Iterator[RealSite]:
    """The pages over it, with its pictures and files; streams end after their first word."""
    evaluation: Evaluation = spoil(SEGMENTED)
    for one in evaluation.samples:
        file = folder / one.folder.path
        _put_picture(file)
        _put_picture(file.parent / mask_name(file.name))
    for code in evaluation.defect_codes:
        for number in range(2):
            _put_picture(folder / spoil(TRAINING_FOLDER).path / code / f"{number}.png")
    judged = msgspec.msgpack.encode(evaluation)
    contents = {
        TRAINING_COMPLETED.evaluation: judged,
        WORSE_AT_THE_END.last_evaluation: judged,
        PREDICTION_COMPLETED.results[0].evaluation: judged,
        MANIFEST: _manifest(),
    }
    names = {kept: Artifact(sha256(content).hexdigest(), len(content)) for kept, content in contents.items()}
    read = {names[kept]: content for kept, content in contents.items()}
    history = busy_plant(spoil)
    history.events = [replace(event, data=_renamed(event.data, names)) for event in history.events]
    for kept in artifacts_in(history.events):
        file = folder / "artifacts" / kept.checksum[:2] / kept.checksum
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(read.get(kept, b""))
        os.truncate(file, kept.size)  # what is only sent may be anything; large ones take no room on the disk
    with open_real_site(database, folder) as site:
        site.happened(history)
        object.__setattr__(site.services, "stopping", lambda: True)
        begin_everything(site, spoil)
        yield site


def _renamed(thing: Any, names: Mapping[Any, Artifact]) -> Any:
    """The same with some artifacts named as what is in them."""
    if isinstance(thing, Artifact):
        return names.get(thing, thing)
    if isinstance(thing, tuple):
        return tuple(_renamed(one, names) for one in thing)
    if isinstance(thing, msgspec.Struct):
        return replace(thing, **{name: _renamed(getattr(thing, name), names) for name in thing.__struct_fields__})
    return thing


def _put_picture(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 32), "grey").save(file, "PNG")


def _manifest() -> bytes:
    """One image."""
    entry = ManifestEntry(
        root="data", path="panel-a/1.png", size=1, checksum="0" * 64, defect_code="TPFIP", split="training"
    )
    return msgspec.json.encode(entry) + b"\n"


def begin_everything(site: RealSite, spoil: Spoil = _unspoiled) -> None:
    """Unfinished forms of trainer_wang, right up to the last step of each wizard."""
    folders = site.services.data_folders
    training, questions = spoil(TRAINING_FOLDER), spoil(QUESTION_BANK_FOLDER)
    draft = TrainingDraft(
        model_name="panel-b",
        model_image_id=MODEL_IMAGE_ID,
        model_image_version=1,
        model_parameters=MODEL_PARAMETERS_TEXT,
        environment=(PANEL_65.node_id,),
        data_paths=(training,),
        compute_resource_id=TWO_CORES_ID,
        training_parameters=TRAINING_PARAMETERS_TEXT,
        augmentations=USUAL_AUGMENTATIONS,
    )
    new = KeptDraft(
        job_id=example_id("panel-b training job"),
        model_id=example_id("panel-b"),
        seed=7,
        draft=draft,
        found=tuple(folders.inspect_folders([training])),
    )
    keep(site.services, TRAINER_WANG_ID, Course(address=NEW_MODEL), new)
    for kind, versions in ((PREDICTION, ("v1.01",)), (COMPARISON, ("v1.01", "v1.02"))):
        prediction = KeptPrediction(
            job_id=example_id(kind.draft),
            draft=PredictionDraft(
                kind=PredictionKind.COMPARISON if kind is COMPARISON else PredictionKind.QUESTION_BANK,
                name="evening",
                model_id=MODEL_ID,
                versions=versions,
                data_paths=(questions,),
                compute_resource_id=TWO_CORES_ID,
            ),
            found=tuple(folders.inspect_folders([questions])),
            chosen=tuple(f"{MODEL_ID}/{label}" for label in versions),
        )
        site.services.drafts.save(TRAINER_WANG_ID, kind.draft, msgspec.msgpack.encode(prediction))


PLACES: dict[str, object] = {
    "dataset_id": TRAINING_DATASET_ID,
    "path_id": example_id("panel-a/train"),
    "token_id": example_id(f"token of {QUALITY_LEAD_ID}"),
    "below": ARRAY_FAB.node_id,
    "task_type_id": CLASSIFICATION_ID,
    "compute_resource_id": ONE_GPU_ID,
    "line": 1,
    "which": "best",
    "part": "classification",
}
"""What stands in addresses beside the parts that the permission table's tests know."""


def job_in(pattern: str) -> UUID:
    """Whose id stands where an address names a job."""
    if "/training-jobs/" in pattern:
        return TRAINING_JOB_ID
    return COMPARISON_ID if "/comparisons/" in pattern else PREDICTION_JOB_ID
