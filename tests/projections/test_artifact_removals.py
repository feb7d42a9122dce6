"""Which files of deleted model image versions may go, on real PostgreSQL (I-5, S-5)."""

from typing import Any

import pytest
from msgspec.structs import replace

from domain.artifact_references import artifacts_in, names_artifacts
from domain.exports import ExportBuilt, ExportPackageLost, ExportQueued, ExportStarted, export_id
from domain.facts import FACTS
from domain.messages import ExportOrder
from domain.model_images import (
    ModelImageFileRemovalFailed,
    ModelImageFileRemoved,
    ModelImageLoaded,
    ModelImageVersionDeleted,
)
from domain.models import ModelVersion
from domain.sentences import Sentence
from domain.training_jobs import TrainingDeleted
from infra.named_artifacts import NamedArtifacts
from projections.artifact_removals import ArtifactRemovals
from projections.users import Users
from tests.examples import (
    LOADING_QUEUED,
    LOADING_STARTED,
    MODEL_ID,
    MODEL_IMAGE_ID,
    MODEL_IMAGE_LOADED,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TRAINING_COMPLETED,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    VERSION_PUBLISHED,
    History,
    artifact,
    plant,
)
from tests.projections.read_side import Project, ReadSide

ARCHIVE, WEIGHTS = MODEL_IMAGE_LOADED.archive, artifact("resnet18.safetensors")
DELETED = ModelImageVersionDeleted(number=1, name="resnet18")
SECOND = ModelImageLoaded(number=2, archive=artifact("resnet18@2.0.tar"), package=MODEL_IMAGE_LOADED.package)
EXPORT_ID, PACKAGE = export_id(MODEL_ID, "v1.01"), artifact("panel-a-v1.01.zip")
BUSY = Sentence("The storage says “{problem}”.", {"problem": "busy"})


def with_a_second_version() -> History:
    """v2.0 has the same initial weights."""
    return plant().add(MODEL_IMAGE_ID, LOADING_QUEUED, LOADING_STARTED, SECOND)


def waiting(read: ReadSide) -> list[tuple[str, bool]]:
    """The checksums to remove, and whether something else refers to them."""
    return [(one.checksum, one.is_referred) for one in read.artifact_removals.waiting()]


def test_the_archive_and_the_weights_of_a_deleted_version_may_go(project: Project) -> None:
    read = project(plant().add(MODEL_IMAGE_ID, DELETED, actor=TRAINER_LI_ID), Users, ArtifactRemovals)
    archive, weights = read.artifact_removals.waiting()
    assert (archive.artifact, weights.artifact) == (ARCHIVE, WEIGHTS)
    assert (archive.name, archive.label, archive.is_archive, weights.is_archive) == ("resnet18", "v1.0", True, False)
    assert (archive.is_referred, archive.reason, archive.deleted_by) == (False, None, "trainer_li")
    read.assert_rebuild_equals_live()


def test_what_stands_is_not_removed(project: Project) -> None:
    assert waiting(project(plant(), Users, ArtifactRemovals)) == []


def test_weights_of_another_version_stay_until_it_is_deleted_too(project: Project) -> None:
    history = with_a_second_version().add(MODEL_IMAGE_ID, DELETED)
    read = project(history, Users, ArtifactRemovals)
    assert waiting(read) == [(ARCHIVE.checksum, False), (WEIGHTS.checksum, True)]
    read.take_in(history.add(MODEL_IMAGE_ID, ModelImageVersionDeleted(number=2, name="resnet18")))
    assert waiting(read) == [
        (ARCHIVE.checksum, False),
        (WEIGHTS.checksum, False),
        (SECOND.archive.checksum, False),
        (WEIGHTS.checksum, False),
    ]
    read.assert_rebuild_equals_live()


def test_a_training_job_keeps_the_weights_it_began_with_until_it_is_deleted(project: Project) -> None:  # M-6
    history = plant().add(TRAINING_JOB_ID, TRAINING_QUEUED).add(MODEL_IMAGE_ID, DELETED)
    read = project(history, Users, ArtifactRemovals)
    assert waiting(read) == [(ARCHIVE.checksum, False), (WEIGHTS.checksum, True)]
    read.take_in(history.add(TRAINING_JOB_ID, TrainingDeleted()))
    assert waiting(read) == [(ARCHIVE.checksum, False), (WEIGHTS.checksum, False)]


def test_a_published_model_keeps_its_own_copy_of_what_it_used(project: Project) -> None:  # M-6
    history = plant().add(TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, TRAINING_COMPLETED)
    history.add(MODEL_ID, VERSION_PUBLISHED).add(MODEL_IMAGE_ID, DELETED)
    assert waiting(project(history, Users, ArtifactRemovals)) == [(ARCHIVE.checksum, False), (WEIGHTS.checksum, True)]


def test_a_package_of_a_trained_models_weights_does_not_take_them_along(project: Project) -> None:
    network = replace(MODEL_IMAGE_LOADED.package.networks[0], weights=TRAINING_COMPLETED.weights)
    package = replace(MODEL_IMAGE_LOADED.package, networks=(network,))
    history = plant().add(TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, TRAINING_COMPLETED)
    history.add(MODEL_IMAGE_ID, LOADING_QUEUED, LOADING_STARTED, replace(SECOND, package=package))
    read = project(history.add(MODEL_IMAGE_ID, replace(DELETED, number=2)), Users, ArtifactRemovals)
    assert waiting(read) == [(SECOND.archive.checksum, False), (TRAINING_COMPLETED.weights.checksum, True)]


def test_a_removed_file_waits_no_more_and_a_failure_shows_its_reason(project: Project) -> None:
    history = plant().add(MODEL_IMAGE_ID, DELETED)
    history.add(MODEL_IMAGE_ID, ModelImageFileRemovalFailed(number=1, checksum=WEIGHTS.checksum, reason=BUSY))
    history.add(MODEL_IMAGE_ID, ModelImageFileRemoved(number=1, checksum=ARCHIVE.checksum))
    read = project(history, Users, ArtifactRemovals)
    (left,) = read.artifact_removals.waiting()
    assert (left.checksum, left.reason) == (WEIGHTS.checksum, BUSY)
    read.assert_rebuild_equals_live()


def test_a_package_that_was_lost_need_not_be_on_the_storage_and_what_it_is_made_of_must(
    project: Project,
) -> None:  # S-5
    order = ExportOrder(model_name="panel-a", version=ModelVersion(VERSION_PUBLISHED).to_predict)
    queued = ExportQueued(owner=TRAINER_WANG_ID, model_id=MODEL_ID, order=order)
    history = History().add(EXPORT_ID, queued, ExportStarted(worker="gpu-1"), ExportBuilt(package=PACKAGE))
    named = NamedArtifacts()
    for event in history.add(EXPORT_ID, ExportPackageLost(), queued).events:
        named.take_in(event)
    assert PACKAGE.checksum in named.named
    assert named.referred() == {artifact.checksum for artifact in artifacts_in(queued)}
    read = project(history, Users, ArtifactRemovals)
    with read.artifact_removals.pool.connection() as connection:
        rows = connection.execute("SELECT DISTINCT checksum FROM artifact_references").fetchall()
    assert {row["checksum"] for row in rows} == named.referred()


def test_it_says_how_far_it_has_read(project: Project) -> None:
    history = plant()
    read = project(history, Users, ArtifactRemovals)
    before = read.artifact_removals.reached()
    assert before == read.log.position()
    read.take_in(history.add(MODEL_IMAGE_ID, DELETED))
    assert read.artifact_removals.reached() == before + 1


def test_every_fact_that_names_a_file_is_looked_into() -> None:
    def holds(value: Any) -> bool:
        return any(type(item).__name__ == "Artifact" for item in walk(value))

    def walk(value: Any) -> Any:
        yield value
        for name in getattr(value, "__struct_fields__", ()):
            yield from walk(getattr(value, name))
        for item in value if isinstance(value, tuple) else ():
            yield from walk(item)

    for fact in (TRAINING_QUEUED, TRAINING_COMPLETED, MODEL_IMAGE_LOADED, VERSION_PUBLISHED):
        assert holds(fact)
        assert names_artifacts(type(fact)), type(fact).__name__
    assert not names_artifacts(type(DELETED))


@pytest.mark.parametrize("topic", ["training.losses_measured", "user.created", "dataset.created"])
def test_facts_that_cannot_name_a_file_are_not(topic: str) -> None:
    assert not names_artifacts(FACTS[topic])


def test_what_a_fact_has_ever_named_is_known_and_nothing_else(project: Project) -> None:  # S-5
    history = plant().add(MODEL_IMAGE_ID, DELETED)
    history.add(MODEL_IMAGE_ID, ModelImageFileRemoved(number=1, checksum=ARCHIVE.checksum))
    removals = project(history, Users, ArtifactRemovals).artifact_removals
    asked = [ARCHIVE.checksum, WEIGHTS.checksum, artifact("never named").checksum]
    assert removals.named(asked) == {ARCHIVE.checksum, WEIGHTS.checksum}
    assert removals.named([ARCHIVE.checksum]) == {ARCHIVE.checksum}
