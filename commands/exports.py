"""What can be asked about export packages, and what workers report of them."""

from typing import ClassVar
from uuid import UUID

from commands.assay import Assay, Change, Command, handles
from domain import exports
from domain.api_tokens import Area
from domain.exports import Export, export_id
from domain.facts import Fact
from domain.models import Model
from domain.permissions import Permission


class RequestExport(Command):
    """Have the export package of a version built (X-1); asking again while it is there or under way changes nothing. Where the
    storage lost or damaged its file, it is built again.
    """

    PERMISSION: ClassVar = Permission.MANAGE_OWN_MODELS
    OWNED: ClassVar = (Model, "model_id")
    AREA: ClassVar = Area.PUBLISHED_MODELS
    model_id: UUID
    version: str


class StartExport(Command):
    """A worker claims an export."""

    PERMISSION: ClassVar = Permission.SYSTEM
    export_id: UUID
    attempt: int
    worker: str


class RecordExport(Command):
    """A worker reports what it achieved."""

    PERMISSION: ClassVar = Permission.SYSTEM
    export_id: UUID
    attempt: int
    fact: Fact


class InterruptExport(Command):
    """A worker fell silent."""

    PERMISSION: ClassVar = Permission.SYSTEM
    export_id: UUID
    attempt: int
    is_fault: bool = True


@handles(RequestExport)
def request_export(command: RequestExport, assay: Assay) -> int:
    model = assay.load(Model, command.model_id)
    version = model.published_version(command.version)
    package_id = export_id(model.id, version.label)
    export = assay.find(Export, package_id)
    package = export.package if export is not None else None
    is_lost = package is not None and not assay.ports.stored_files.is_intact(package)
    facts = exports.request(export, model, version, is_package_lost=is_lost)
    return assay.save(command, Change(package_id, export, facts))


@handles(StartExport)
def start_export(command: StartExport, assay: Assay) -> int:
    export = assay.load(Export, command.export_id)
    return assay.save(command, Change(export.id, export, exports.start(export, command.attempt, command.worker)))


@handles(RecordExport)
def record_export(command: RecordExport, assay: Assay) -> int:
    export = assay.load(Export, command.export_id)
    return assay.save(command, Change(export.id, export, exports.report(export, command.attempt, command.fact)))


@handles(InterruptExport)
def interrupt_export(command: InterruptExport, assay: Assay) -> int:
    export = assay.load(Export, command.export_id)
    facts = exports.interrupt(export, command.attempt, assay.ports.max_attempts, is_fault=command.is_fault)
    return assay.save(command, Change(export.id, export, facts))
