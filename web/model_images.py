"""模型镜像管理: the list, imports and further versions, details, deletion, download. Source: section I; manual, “模型镜像管理”.

Archives come from a path on the server or from an upload (`web.uploads`). The forms work either way: with scripts an upload has
arrived before the form is sent; without, the file is part of the form, which then goes to the address that ends in `/file`.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from litestar import Controller, Request, Response, get, post
from litestar.concurrency import sync_to_thread
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect, ServerSentEvent

from commands.model_images import (
    AddModelImageVersion,
    CheckArchiveName,
    DeleteModelImageVersion,
    DismissLoading,
    ImportModelImage,
    RetryLoading,
)
from domain.messages import Heartbeat
from domain.model_images import ArchiveSource, LoadStatus, ModelImageKind
from domain.refusals import NotFound, Refusal, collect, raise_together
from domain.sentences import N_
from domain.uploads import NoFileChosen, Upload
from domain.waiting import Wait
from projections.artifact_removals import ArtifactRemoval
from projections.model_images import ModelImageRow, ModelImageVersionRow
from projections.overview import SetupSteps
from projections.read_model import Page as Part
from web.cascade import SHOW_LEVELS, Cascade, environment_cascade, standing_nodes
from web.downloads import Download, stored_file
from web.forms import Form
from web.listing import Listing, read_listing
from web.live import Live
from web.pages import Desk, Page, Refused
from web.services import ReadModels, Services
from web.uploads import read_form_with_file

ADDRESS = "/model-images"
HEARTBEAT_SECONDS = 1.0


class ModelImagesPage(Page, frozen=True):
    """Every model image, or the chosen ones; `beats` tell how far the loading ones are, `waits` why others wait,
    `standing` are bound nodes that exist, `removals` which files of deleted versions are still there. `task_types` are (id, name).
    """

    TEMPLATE = "model_images/list.html"
    listing: Listing
    images: Part[ModelImageRow]
    beats: dict[UUID, Heartbeat]
    waits: dict[UUID, Wait]
    cascade: Cascade
    standing: frozenset[UUID]
    task_types: tuple[tuple[str, str], ...]
    removals: Sequence[ArtifactRemoval] = ()

    @property
    def stream(self) -> str:
        """The stream of the same rows."""
        return f"{ADDRESS}/live?{urlencode(self.listing.fields)}"

    @property
    def is_filtered(self) -> bool:
        """Whether the address leaves something out."""
        return any(value for name, value in self.listing.fields if name != "page")


class ImportModelImagePage(Page, frozen=True):
    """The form; `task_types` are (id, name), `upload` is the file that it will import, `uploads` what else the user has begun.
    `setup` says what is missing: without a task type nothing can be imported (M-7).
    """

    TEMPLATE = "model_images/import.html"
    task_types: tuple[tuple[str, str], ...]
    cascade: Cascade
    setup: SetupSteps
    upload: Upload | None = None
    uploads: tuple[Upload, ...] = ()


class AddModelImageVersionPage(Page, frozen=True):
    """新增版本: an archive and nothing else; everything else is inherited."""

    TEMPLATE = "model_images/add_version.html"
    image: ModelImageRow
    upload: Upload | None = None
    uploads: tuple[Upload, ...] = ()


class DeleteModelImageVersionPage(Page, frozen=True):
    """The question; `is_last` where the model image goes, too."""

    TEMPLATE = "model_images/delete_version.html"
    image: ModelImageRow
    version: ModelImageVersionRow
    is_last: bool


class ModelImagePage(Page, frozen=True):
    """One model image with everything that its packages say of themselves; `standing` are the bound nodes that still exist."""

    TEMPLATE = "model_images/detail.html"
    image: ModelImageRow
    beat: Heartbeat | None
    wait: Wait | None
    standing: frozenset[UUID]


class ModelImages(Controller):
    """For everyone who is signed in."""

    path = ADDRESS

    @get("/", sync_to_thread=True)
    def list(
        self, form: NamedDependency[Form], services: NamedDependency[Services], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """The manual's list, with its cascading filters."""
        return desk.show(_list_page(services, form))

    @get("/live", sync_to_thread=True)
    def stream_list(
        self,
        form: NamedDependency[Form],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
        live: NamedDependency[Live],
    ) -> ServerSentEvent:
        """The rows as they move."""
        return live.follow(
            lambda: {"rows": desk.part("model_images/_rows.html", _list_page(services, form))},
            every_seconds=HEARTBEAT_SECONDS,
        )

    @get("/import", sync_to_thread=True)
    def new(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The form, perhaps with an upload that has arrived before."""
        upload_id = form.text("upload_id")
        filled = Form.of(kind=ModelImageKind.GENERAL, source=ArchiveSource.UPLOAD, upload_id=upload_id)
        return desk.show(_import_page(services, actor, filled))

    @post("/import", sync_to_thread=True)
    def import_image(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[Any]:
        """Back to the list; loading goes on in the background (I-2)."""
        return _import(services, actor, desk, form)

    @post("/import/file", request_max_body_size=None, reads_its_token=True)
    async def import_file(
        self,
        request: Request[Any, Any, Any],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[Any]:
        """The same with the file inside, for browsers without scripts."""

        def check_name(file_name: str) -> None:
            desk.ask(CheckArchiveName(actor=actor, file_name=file_name))

        form = await read_form_with_file(request, desk.visit, services.uploads, check_name)
        return await sync_to_thread(_import, services, actor, desk, form)

    @get("/{model_image_id:uuid}", sync_to_thread=True)
    def detail(
        self,
        model_image_id: FromPath[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """查看详情."""
        return desk.show(_detail_page(services, model_image_id))

    @get("/{model_image_id:uuid}/live", sync_to_thread=True)
    def stream_detail(
        self,
        model_image_id: FromPath[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
        live: NamedDependency[Live],
    ) -> ServerSentEvent:
        """The versions as they load."""
        _image(services.read, model_image_id)
        return live.follow(
            lambda: {"versions": desk.part("model_images/_versions.html", _detail_page(services, model_image_id))},
            every_seconds=HEARTBEAT_SECONDS,
        )

    @get("/{model_image_id:uuid}/versions/new", sync_to_thread=True)
    def new_version(
        self,
        model_image_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """新增版本."""
        filled = Form.of(source=ArchiveSource.UPLOAD, upload_id=form.text("upload_id"))
        with desk.unless_gone(ADDRESS):
            page = _version_page(services, actor, model_image_id, filled)
        return desk.show(page)

    @post("/{model_image_id:uuid}/versions/new", sync_to_thread=True)
    def add_version(
        self,
        model_image_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Back to the list; the number is given once it is loaded (I-4)."""
        return _add_version(services, actor, desk, model_image_id, form)

    @post("/{model_image_id:uuid}/versions/new/file", request_max_body_size=None, reads_its_token=True)
    async def add_version_file(
        self,
        model_image_id: FromPath[UUID],
        request: Request[Any, Any, Any],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """The same with the file inside, for browsers without scripts."""

        def check_name(file_name: str) -> None:
            desk.ask(CheckArchiveName(actor=actor, file_name=file_name, model_image_id=model_image_id))

        form = await read_form_with_file(request, desk.visit, services.uploads, check_name)
        return await sync_to_thread(_add_version, services, actor, desk, model_image_id, form)

    @get("/{model_image_id:uuid}/versions/{number:int}/delete", sync_to_thread=True)
    def confirm_delete(
        self,
        model_image_id: FromPath[UUID],
        number: FromPath[int],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The question."""
        with desk.unless_gone(ADDRESS):
            page = _delete_page(read, model_image_id, number)
        return desk.show(page)

    @post("/{model_image_id:uuid}/versions/{number:int}/delete", sync_to_thread=True)
    def delete_version(
        self,
        model_image_id: FromPath[UUID],
        number: FromPath[int],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """The file goes in the background (I-5)."""
        with desk.unless_gone(ADDRESS):
            page = _delete_page(read, model_image_id, number)
        with desk.unless_gone(ADDRESS), desk.refusals_on(page):
            desk.ask(DeleteModelImageVersion(actor=actor, model_image_id=model_image_id, number=number))
        desk.say(
            N_("Version {version} of “{name}” is deleted. Its files are removed in the background."),
            version=page.version.label,
            name=page.image.name,
        )
        return desk.go(ADDRESS)

    @post("/{model_image_id:uuid}/loadings/{loading:int}/retry", sync_to_thread=True)
    def retry(
        self,
        model_image_id: FromPath[UUID],
        loading: FromPath[int],
        actor: NamedDependency[UUID],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Load the same archive once more; pressed again, or after somebody else did, there is nothing to be loaded again."""
        try:
            desk.ask(RetryLoading(actor=actor, model_image_id=model_image_id, loading=loading))
        except NotFound:
            desk.say(N_("Somebody loads this archive again already, or has removed it."), was_done=False)
        else:
            desk.say(_LOADING)
        return desk.go(ADDRESS)

    @post("/{model_image_id:uuid}/loadings/{loading:int}/dismiss", sync_to_thread=True)
    def dismiss(
        self,
        model_image_id: FromPath[UUID],
        loading: FromPath[int],
        actor: NamedDependency[UUID],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Take a failed archive off the list."""
        with desk.unless_gone(ADDRESS):
            desk.ask(DismissLoading(actor=actor, model_image_id=model_image_id, loading=loading))
        return desk.go(ADDRESS)

    @get("/{model_image_id:uuid}/versions/{number:int}/archive", sync_to_thread=True)
    def archive(
        self,
        model_image_id: FromPath[UUID],
        number: FromPath[int],
        services: NamedDependency[Services],
    ) -> Download:
        """导出镜像, under the name with which it was imported."""
        version = _image(services.read, model_image_id).version(number)
        if version is None or version.archive is None:
            raise NotFound
        return stored_file(services, version.archive, version.file_name)


def _list_page(services: Services, form: Form) -> ModelImagesPage:
    cascade = environment_cascade(services.read, form, several_at_last=False)
    listing = read_listing(ADDRESS, form, columns=(), default="")
    kinds = {kind.value: kind for kind in ModelImageKind}
    task_types = _task_types(services.read)
    task_type_id = form.text("task_type_id")
    images = services.read.model_images.page(
        place_ids=cascade.place_ids,
        kind=kinds.get(form.text("kind")),
        task_type_id=UUID(task_type_id) if task_type_id in dict(task_types) else None,
        search=form.text("search"),
        number=listing.page,
    )
    loading = [image.model_image_id for image in images.items if image.status is LoadStatus.LOADING]
    return ModelImagesPage(
        form=form,
        listing=listing.of(images.total),
        images=images,
        beats=services.heartbeats.of_all(loading) if loading else {},
        waits=services.waiting.of_all(loading) if loading else {},
        cascade=cascade,
        standing=standing_nodes(services.read, (image.environment for image in images.items if image.environment)),
        task_types=task_types,
        removals=[one for one in services.read.artifact_removals.waiting() if one.reason or not one.is_referred],
    )


def _import(services: Services, actor: UUID, desk: Desk, form: Form) -> Response[Any]:
    page = _import_page(services, actor, form)
    if form.text("do") == SHOW_LEVELS:
        return desk.show(page)
    _show_what_was_said(desk, page)
    with desk.refusals_on(page):
        mistakes: list[Refusal] = []
        kind = collect(mistakes, form.choice, "kind", ModelImageKind)
        task_type_id = collect(mistakes, form.id, "task_type_id")
        archive, upload_id = collect(mistakes, _archive_of, form) or ("", None)
        raise_together(mistakes)
        desk.ask(
            ImportModelImage(
                actor=actor,
                kind=kind,
                task_type_id=task_type_id,
                archive=archive,
                upload_id=upload_id,
                environment=page.cascade.place_ids,
            )
        )
    desk.say(_LOADING)
    return desk.go(ADDRESS)


def _add_version(services: Services, actor: UUID, desk: Desk, model_image_id: UUID, form: Form) -> Redirect:
    with desk.unless_gone(ADDRESS):
        page = _version_page(services, actor, model_image_id, form)
    _show_what_was_said(desk, page)
    with desk.unless_gone(ADDRESS), desk.refusals_on(page):
        archive, upload_id = _archive_of(form)
        desk.ask(AddModelImageVersion(actor=actor, model_image_id=model_image_id, archive=archive, upload_id=upload_id))
    desk.say(_LOADING)
    return desk.go(ADDRESS)


_LOADING = N_("The model image is being loaded in the background. Its state is shown in the list.")


def _archive_of(form: Form) -> tuple[str, UUID | None]:
    """A typed path, or an upload.

    Raises:
        NoFileChosen
    """
    if form.text("source") != ArchiveSource.UPLOAD.value:
        return form.text("archive"), None
    if not form.text("upload_id"):
        raise NoFileChosen
    return "", form.id("upload_id")


def _show_what_was_said(desk: Desk, page: Page) -> None:
    """A file inside a form may have been refused before the form was read to its end.

    Raises:
        Refused
    """
    if page.form.told:
        raise Refused(desk.show(page, status=422))


def _import_page(services: Services, actor: UUID, form: Form) -> ImportModelImagePage:
    upload, others = _uploads(services, actor, form)
    return ImportModelImagePage(
        form=form,
        task_types=_task_types(services.read),
        cascade=environment_cascade(services.read, form, several_at_last=True),
        setup=services.read.overview.setup(),
        upload=upload,
        uploads=others,
    )


def _version_page(services: Services, actor: UUID, model_image_id: UUID, form: Form) -> AddModelImageVersionPage:
    upload, others = _uploads(services, actor, form)
    return AddModelImageVersionPage(
        form=form, image=_image(services.read, model_image_id), upload=upload, uploads=others
    )


def _uploads(services: Services, actor: UUID, form: Form) -> tuple[Upload | None, tuple[Upload, ...]]:
    """The upload that the form names, and the user's others that were not imported."""
    used = {one.path.partition("/")[0] for one in services.read.model_images.uploads_used()}
    own = [upload for upload in services.uploads.of(actor) if str(upload.upload_id) not in used]
    named = next((upload for upload in own if str(upload.upload_id) == form.text("upload_id")), None)
    return named, tuple(upload for upload in own if upload is not named)


def _task_types(read: ReadModels) -> tuple[tuple[str, str], ...]:
    return tuple((str(task_type.task_type_id), task_type.name) for task_type in read.task_types.list())


def _delete_page(read: ReadModels, model_image_id: UUID, number: int) -> DeleteModelImageVersionPage:
    image = _image(read, model_image_id)
    version = image.version(number)
    if version is None:
        raise NotFound
    others = [one for one in image.versions if one.number != number and one.status is not LoadStatus.FAILED]
    return DeleteModelImageVersionPage(image=image, version=version, is_last=not others)


def _detail_page(services: Services, model_image_id: UUID) -> ModelImagePage:
    image = _image(services.read, model_image_id)
    is_loading = image.status is LoadStatus.LOADING
    beat = services.heartbeats.of(model_image_id) if is_loading else None
    wait = services.waiting.of(model_image_id) if is_loading else None
    standing = standing_nodes(services.read, [image.environment] if image.environment else [])
    return ModelImagePage(image=image, beat=beat, wait=wait, standing=standing)


def _image(read: Any, model_image_id: UUID) -> ModelImageRow:
    image: ModelImageRow | None = read.model_images.get(model_image_id)
    if image is None:
        raise NotFound
    return image
