"""Export packages of published versions, and how far each of them is. Source: REQUIREMENTS, X-1."""

from datetime import datetime
from uuid import UUID

import msgspec

from domain.artifacts import Artifact
from domain.exports import (
    ExportBuilt,
    ExportFailed,
    ExportInterrupted,
    ExportPackageLost,
    ExportQueued,
    ExportStarted,
    ExportStatus,
    export_id,
)
from domain.facts import Recorded
from domain.sentences import N_, Sentence
from projections.read_model import ReadModel, Rows, Table

IS_LOST = N_("The package was built, but its file is missing or damaged on the server's storage. Export it again.")
"""Of a package that was built; what the storage has of it is not what its checksum says."""


class ExportRow(msgspec.Struct, frozen=True, kw_only=True):
    """The export of one version; `package` is there once it is built, `reason` when it could not be."""

    export_id: UUID
    model_id: UUID
    version: str
    status: ExportStatus
    worker: str
    package: Artifact | None
    reason: Sentence | None
    requested_at: datetime
    finished_at: datetime | None


class Exports(ReadModel):
    """One row a version."""

    name = "exports"
    EXPORTS = Table(
        "exports",
        key=("export_id uuid",),
        columns=(
            "model_id uuid NOT NULL",
            "version text NOT NULL",
            "status text NOT NULL",
            "worker text NOT NULL",
            "package jsonb",
            "reason jsonb",
            "requested_at timestamptz NOT NULL",
            "finished_at timestamptz",
        ),
        indexes=("CREATE INDEX ON exports (model_id)",),
    )

    def project(self, rows: Rows, recorded: Recorded) -> None:
        """A request after a failure begins the row anew."""
        package_id = recorded.originator_id
        match recorded.data:
            case ExportQueued(model_id=model_id, order=order):
                rows.insert(
                    self.EXPORTS,
                    package_id,
                    model_id=model_id,
                    version=order.version.label,
                    status=ExportStatus.WAITING,
                    worker="",
                    requested_at=recorded.timestamp,
                )
            case ExportStarted(worker=worker):
                rows.update(self.EXPORTS, package_id, status=ExportStatus.BUILDING, worker=worker)
            case ExportInterrupted():
                rows.update(self.EXPORTS, package_id, status=ExportStatus.WAITING, worker="")
            case ExportBuilt(package=package):
                rows.update(
                    self.EXPORTS,
                    package_id,
                    status=ExportStatus.BUILT,
                    package=package,
                    finished_at=recorded.timestamp,
                )
            case ExportFailed(reason=reason):
                rows.update(
                    self.EXPORTS,
                    package_id,
                    status=ExportStatus.FAILED,
                    reason=reason,
                    finished_at=recorded.timestamp,
                )
            case ExportPackageLost():
                rows.update(
                    self.EXPORTS,
                    package_id,
                    status=ExportStatus.FAILED,
                    package=None,
                    reason=Sentence(IS_LOST),
                    finished_at=recorded.timestamp,
                )

    def get(self, model_id: UUID, version: str) -> ExportRow | None:
        """The export of a version, None where nobody has asked for it."""
        return self._one("SELECT * FROM exports WHERE export_id = %s", (export_id(model_id, version),), ExportRow)

    def of_model(self, model_id: UUID) -> dict[str, ExportRow]:
        """Every export of a model by its version."""
        rows = self._all("SELECT * FROM exports WHERE model_id = %s", (model_id,), ExportRow)
        return {row.version: row for row in rows}
