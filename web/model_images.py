"""模型镜像管理: the list, the import of an archive, the details, and the download. Source: section I; manual, “模型镜像管理”."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import ServerSentEvent

from commands.model_images import ImportModelImage
from domain.messages import Heartbeat
from domain.model_images import LoadStatus, ModelImageKind
from domain.refusals import NotFound
from domain.sentences import N_
from projections.model_images import ModelImageRow
from projections.overview import SetupSteps
from projections.read_model import Page as Part
from web.cascade import SHOW_LEVELS, Cascade, environment_cascade, standing_nodes
from web.downloads import Download, stored_file
from web.forms import Form
from web.listing import Listing, read_listing
from web.live import Live
from web.pages import Desk, Page
from web.services import ReadModels, Services

ADDRESS = "/model-images"
HEARTBEAT_SECONDS = 1.0


class ModelImagesPage(Page, frozen=True):
    """Every model image, or those of a place; `beats` tell how far the loading ones are, `standing` are bound nodes that exist."""

    TEMPLATE = "model_images/list.html"
    listing: Listing
    images: Part[ModelImageRow]
    beats: dict[UUID, Heartbeat]
    cascade: Cascade
    standing: frozenset[UUID]

    @property
    def stream(self) -> str:
        """The stream of the same rows."""
        return f"{ADDRESS}/live?{urlencode(self.listing.fields)}"

    @property
    def is_filtered(self) -> bool:
        """Whether the address leaves something out."""
        return any(value for name, value in self.listing.fields if name != "page")


class ImportModelImagePage(Page, frozen=True):
    """The form; `task_types` are (id, name). `setup` says what is missing: without a task type nothing can be imported (M-7)."""

    TEMPLATE = "model_images/import.html"
    task_types: tuple[tuple[str, str], ...]
    cascade: Cascade
    setup: SetupSteps


class ModelImagePage(Page, frozen=True):
    """One model image with everything that its packages say of themselves; `standing` are the bound nodes that still exist."""

    TEMPLATE = "model_images/detail.html"
    image: ModelImageRow
    beat: Heartbeat | None
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
    def new(self, read: NamedDependency[ReadModels], desk: NamedDependency[Desk]) -> Response[str]:
        """The form."""
        return desk.show(_import_page(read, Form.of(kind=ModelImageKind.GENERAL)))

    @post("/import", sync_to_thread=True)
    def import_image(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[Any]:
        """Back to the list; loading goes on in the background (I-2)."""
        page = _import_page(read, form)
        if form.text("do") == SHOW_LEVELS:
            return desk.show(page)
        with desk.refusals_on(page):
            desk.ask(
                ImportModelImage(
                    actor=actor,
                    kind=form.choice("kind", ModelImageKind),
                    task_type_id=form.id("task_type_id"),
                    archive=form.text("archive"),
                    environment=page.cascade.place_ids,
                )
            )
        desk.say(N_("The model image is being loaded in the background. Its state is shown in the list."))
        return desk.go(ADDRESS)

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
    images = services.read.model_images.page(
        place_ids=cascade.place_ids, search=form.text("search"), number=listing.page
    )
    loading = [image.model_image_id for image in images.items if image.status is LoadStatus.LOADING]
    beats = services.heartbeats.of_all(loading) if loading else {}
    standing = standing_nodes(services.read, (image.environment for image in images.items if image.environment))
    return ModelImagesPage(
        form=form,
        listing=listing.of(images.total),
        images=images,
        beats=beats,
        cascade=cascade,
        standing=standing,
    )


def _import_page(read: ReadModels, form: Form) -> ImportModelImagePage:
    task_types = tuple((str(task_type.task_type_id), task_type.name) for task_type in read.task_types.list())
    cascade = environment_cascade(read, form, several_at_last=True)
    return ImportModelImagePage(form=form, task_types=task_types, cascade=cascade, setup=read.overview.setup())


def _detail_page(services: Services, model_image_id: UUID) -> ModelImagePage:
    image = _image(services.read, model_image_id)
    beat = services.heartbeats.of(model_image_id) if image.status is LoadStatus.LOADING else None
    standing = standing_nodes(services.read, [image.environment] if image.environment else [])
    return ModelImagePage(image=image, beat=beat, standing=standing)


def _image(read: Any, model_image_id: UUID) -> ModelImageRow:
    image: ModelImageRow | None = read.model_images.get(model_image_id)
    if image is None:
        raise NotFound
    return image
