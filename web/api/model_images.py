"""Model images: algorithm packages and their versions. Source: REQUIREMENTS, section I."""

from uuid import UUID

import msgspec
from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from commands.model_images import (
    AddModelImageVersion,
    DeleteModelImageVersion,
    DismissLoading,
    ImportModelImage,
    RetryLoading,
)
from domain.model_images import ModelImageKind
from domain.refusals import NotFound
from projections.model_images import ModelImageRow, ModelImageVersionRow
from web.api.desk import ApiDesk
from web.api.lists import BY_NAME, DEFAULT_LIMIT, After, Limit, Listed, Place, Search, listed, place_of
from web.api.routes import ACTS, LOOKS, IdempotencyKey, file_answer
from web.api.shapes import ModelImage, ModelImageVersion, Network, Package, Shape, shaped
from web.downloads import Download, stored_file
from web.services import ReadModels, Services


class NewModelImage(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first archive of a name: a path on the server inside the archive roots, or an upload."""

    kind: ModelImageKind
    task_type_id: UUID
    archive: str = ""
    upload_id: UUID | None = None
    environment: tuple[UUID, ...] = ()


class NewVersion(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A further archive of the same name, from either place."""

    archive: str = ""
    upload_id: UUID | None = None


class ModelImages(Controller):
    """Everyone manages all of them (U)."""

    path = "/model-images"
    tags = ("model images",)

    @get("/", sync_to_thread=True, responses=LOOKS)
    def list(
        self,
        read: NamedDependency[ReadModels],
        desk: NamedDependency[ApiDesk],
        place: Place = None,
        kind: FromQuery[ModelImageKind | None] = None,
        task_type_id: FromQuery[UUID | None] = None,
        search: Search = "",
        after: After = "",
        limit: Limit = DEFAULT_LIMIT,
    ) -> Listed[ModelImage]:
        """Every model image, by name."""
        found = read.model_images.stretch(
            place_ids=(place,) if place else (),
            kind=kind,
            task_type_id=task_type_id,
            search=search,
            after=place_of(after, BY_NAME),
            size=limit,
        )
        return listed(found, lambda row: _shaped(row, desk))

    @post("/", sync_to_thread=True, status_code=202, responses=ACTS)
    def import_first(
        self, data: JSONBody[NewModelImage], idempotency_key: IdempotencyKey, desk: NamedDependency[ApiDesk]
    ) -> None:
        """Import the first archive of a name; it is loaded in the background."""
        made = desk.made_by(idempotency_key, data)
        if made.is_done:
            return
        desk.ask(
            ImportModelImage(
                actor=desk.caller.user_id,
                kind=data.kind,
                task_type_id=data.task_type_id,
                archive=data.archive,
                upload_id=data.upload_id,
                environment=data.environment,
            )
        )
        desk.done(made)

    @get("/{model_image_id:uuid}", sync_to_thread=True, responses=LOOKS)
    def one(
        self, model_image_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[ApiDesk]
    ) -> ModelImage:
        """One model image with its versions."""
        return _shaped(_row(read, model_image_id), desk)

    @post("/{model_image_id:uuid}/versions", sync_to_thread=True, status_code=202, responses=ACTS)
    def add_version(
        self,
        model_image_id: FromPath[UUID],
        data: JSONBody[NewVersion],
        idempotency_key: IdempotencyKey,
        desk: NamedDependency[ApiDesk],
    ) -> None:
        """Import a further version; while one is loading, another is refused."""
        made = desk.made_by(idempotency_key, data)
        if made.is_done:
            return
        desk.ask(
            AddModelImageVersion(
                actor=desk.caller.user_id,
                model_image_id=model_image_id,
                archive=data.archive,
                upload_id=data.upload_id,
            )
        )
        desk.done(made)

    @post("/{model_image_id:uuid}/loadings/{loading:int}/retry", sync_to_thread=True, status_code=202, responses=ACTS)
    def retry_loading(
        self, model_image_id: FromPath[UUID], loading: FromPath[int], desk: NamedDependency[ApiDesk]
    ) -> None:
        """Load an archive that failed once more, in the background."""
        desk.ask(RetryLoading(actor=desk.caller.user_id, model_image_id=model_image_id, loading=loading))

    @delete("/{model_image_id:uuid}/loadings/{loading:int}", sync_to_thread=True, responses=ACTS)
    def dismiss_loading(
        self, model_image_id: FromPath[UUID], loading: FromPath[int], desk: NamedDependency[ApiDesk]
    ) -> None:
        """Take an archive that could not be loaded off the list."""
        desk.ask(DismissLoading(actor=desk.caller.user_id, model_image_id=model_image_id, loading=loading))

    @delete("/{model_image_id:uuid}/versions/{number:int}", sync_to_thread=True, responses=ACTS)
    def delete_version(
        self, model_image_id: FromPath[UUID], number: FromPath[int], desk: NamedDependency[ApiDesk]
    ) -> None:
        """Delete a version; its files go in the background."""
        desk.ask(DeleteModelImageVersion(actor=desk.caller.user_id, model_image_id=model_image_id, number=number))

    @get("/{model_image_id:uuid}/versions/{number:int}/archive", sync_to_thread=True, responses=file_answer())
    def archive(
        self, model_image_id: FromPath[UUID], number: FromPath[int], services: NamedDependency[Services]
    ) -> Download:
        """The archive of a version, as it was imported."""
        version = _row(services.read, model_image_id).version(number)
        if version is None or version.archive is None:
            raise NotFound
        return stored_file(services, version.archive, version.file_name)


def _row(read: ReadModels, model_image_id: UUID) -> ModelImageRow:
    row: ModelImageRow | None = read.model_images.get(model_image_id)
    if row is None:
        raise NotFound
    return row


def _shaped(row: ModelImageRow, desk: ApiDesk) -> ModelImage:
    versions = tuple(
        shaped(version, ModelImageVersion, reason=desk.say(version.reason), package=_package(version))
        for version in row.versions
    )
    return shaped(row, ModelImage, versions=versions)


def _package(version: ModelImageVersionRow) -> Package | None:
    if version.package is None:
        return None
    parameters = ("model_parameters", "training_parameters", "prediction_parameters")
    return shaped(
        version.package,
        Package,
        networks=tuple(
            Network(task=one.task, name=one.name, width=one.input.width, height=one.input.height)
            for one in version.package.networks
        ),
        **{name: msgspec.json.decode(getattr(version.package, name)) for name in parameters},
    )
