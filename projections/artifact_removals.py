"""The files of deleted model image versions that are still on storage, and what else refers to them. Source: I-5, S-5.

A file goes only when nothing refers to it any more: another version may hold the same weights, and a training job or a published
model keeps what it used. So every artifact that any fact names is counted here, together with the deletions, in one read model:
the two can never be at different places of the log.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from domain.artifact_references import EVERYTHING, artifacts_in, names_artifacts, number_named_by, release_by
from domain.artifacts import Artifact
from domain.facts import Recorded
from domain.model_images import (
    ModelImageFileRemovalFailed,
    ModelImageFileRemoved,
    ModelImageLoaded,
    ModelImageVersionDeleted,
    version_label,
)
from domain.sentences import Sentence
from projections.read_model import ReadModel, Rows, Table


class ArtifactRemoval(msgspec.Struct, frozen=True, kw_only=True):
    """A file to remove. `is_referred` while something else needs it; `reason` is why it could not be removed the last time."""

    model_image_id: UUID
    number: int
    checksum: str
    size: int
    name: str
    is_archive: bool
    is_referred: bool
    reason: Sentence | None
    deleted_by: str
    deleted_at: datetime

    @property
    def artifact(self) -> Artifact:
        """The file."""
        return Artifact(self.checksum, self.size)

    @property
    def label(self) -> str:
        """The version, for example v1.0."""
        return version_label(self.number)


class ArtifactRemovals(ReadModel):
    """`number` of a reference is that of a model image version, None where another fact refers to the file.

    Named is what any fact has ever named, whatever became of it since: a rebuild of the read models may open it again.
    """

    name = "artifact_removals"
    version = 2
    REFERENCES = Table(
        "artifact_references",
        key=("originator_id uuid", "originator_version integer", "checksum text"),
        columns=("size bigint NOT NULL", "number integer", "is_archive boolean NOT NULL"),
        indexes=("CREATE INDEX ON artifact_references (checksum)",),
    )
    NAMED = Table("artifacts_named", key=("checksum text",))
    REMOVALS = Table(
        "artifact_removals",
        key=("model_image_id uuid", "number integer", "checksum text"),
        columns=(
            "size bigint NOT NULL",
            "name text NOT NULL",
            "is_archive boolean NOT NULL",
            "reason jsonb",
            "deleted_by uuid NOT NULL",
            "deleted_at timestamptz NOT NULL",
        ),
    )

    def project(self, rows: Rows, recorded: Recorded) -> None:
        """A deletion turns the references of its version into removals."""
        originator_id, fact = recorded.originator_id, recorded.data
        if names_artifacts(type(fact)):
            self._refer(rows, recorded)
        match fact:
            case ModelImageVersionDeleted():
                released = rows.execute(
                    "DELETE FROM artifact_references WHERE originator_id = %s AND number = %s"
                    " RETURNING checksum, size, is_archive",
                    (originator_id, fact.number),
                )
                for file in released:
                    rows.insert(
                        self.REMOVALS,
                        originator_id,
                        fact.number,
                        file["checksum"],
                        size=file["size"],
                        name=fact.name,
                        is_archive=file["is_archive"],
                        deleted_by=recorded.origin.actor,
                        deleted_at=recorded.timestamp,
                    )
            case _ if release_by(fact) == EVERYTHING:
                rows.delete(self.REFERENCES, originator_id)
            case ModelImageFileRemoved(number=number, checksum=checksum):
                rows.delete(self.REMOVALS, originator_id, number, checksum)
            case ModelImageFileRemovalFailed(number=number, checksum=checksum, reason=reason):
                rows.update(self.REMOVALS, originator_id, number, checksum, reason=reason)

    def waiting(self) -> Sequence[ArtifactRemoval]:
        """What is still to be removed, the oldest deletion first."""
        return self._all(
            "SELECT model_image_id, number, checksum, size, name, is_archive, reason, artifact_removals.deleted_at,"
            " coalesce(username, '') AS deleted_by,"
            " EXISTS (SELECT FROM artifact_references AS other WHERE other.checksum = artifact_removals.checksum)"
            " AS is_referred"
            " FROM artifact_removals LEFT JOIN users ON user_id = deleted_by"
            " ORDER BY artifact_removals.deleted_at, model_image_id, number, NOT is_archive, checksum",
            (),
            ArtifactRemoval,
        )

    def named(self, checksums: Sequence[str]) -> set[str]:
        """Those of the files that a fact has named at any time."""
        asked = "SELECT checksum FROM artifacts_named WHERE checksum = ANY(%s)"
        return set(self._all(asked, (list(checksums),), str))

    def reached(self) -> int:
        """Up to which position of the log the references are known."""
        return self._one("SELECT position FROM positions WHERE name = %s", (self.name,), int) or 0

    def _refer(self, rows: Rows, recorded: Recorded) -> None:
        fact = recorded.data
        for artifact in artifacts_in(fact):
            rows.insert(self.NAMED, artifact.checksum)
            rows.insert(
                self.REFERENCES,
                recorded.originator_id,
                recorded.originator_version,
                artifact.checksum,
                size=artifact.size,
                number=number_named_by(fact),
                is_archive=isinstance(fact, ModelImageLoaded) and artifact == fact.archive,
            )
