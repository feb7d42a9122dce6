"""锁定的数据路径: the paths of models' first trainings, released by a super administrator once their images are gone (W-5)."""

from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from commands.models import ReleaseDataPath
from domain.data_paths import DataPathState, FolderName, Inspection
from domain.permissions import Permission
from domain.refusals import NotFound
from domain.sentences import N_
from projections.models import LockedModelRow, LockedPath, ModelDetail
from projections.read_model import Page as Part
from web.access import needs
from web.forms import Form
from web.listing import Listing, read_listing
from web.pages import Desk, Page
from web.services import ReadModels, Services

ADDRESS = "/locked-paths"


class LockedModelsPage(Page, frozen=True):
    """Everyone's models by name."""

    TEMPLATE = "locked_paths/list.html"
    listing: Listing
    models: Part[LockedModelRow]


class LockedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A path of the first training, and what is there now."""

    path: LockedPath
    found: Inspection

    @property
    def can_be_released(self) -> bool:
        """Whether it is locked, and its images are gone."""
        return self.path.released_at is None and self.found.state is DataPathState.INVALID


class LockedPathsPage(Page, frozen=True):
    """The paths of one model, as they are now."""

    TEMPLATE = "locked_paths/model.html"
    model: ModelDetail
    lines: tuple[LockedLine, ...]


class ReleasePage(Page, frozen=True):
    """The question before a path is released."""

    TEMPLATE = "locked_paths/release.html"
    model: ModelDetail
    folder: FolderName


class LockedPaths(Controller):
    """Super administrators only."""

    path = ADDRESS
    guards = [needs(Permission.SUPERVISE)]  # noqa: RUF012 - Litestar's way to guard a controller

    @get("/", sync_to_thread=True)
    def list(
        self, form: NamedDependency[Form], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """Models to look into."""
        listing = read_listing(ADDRESS, form)
        models = read.models.locked_page(search=form.text("search"), number=listing.page)
        return desk.show(LockedModelsPage(form=form, listing=listing.of(models.total), models=models))

    @get("/{model_id:uuid}", sync_to_thread=True)
    def model(
        self, model_id: FromPath[UUID], services: NamedDependency[Services], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """The paths of a model, looked into now."""
        model = locked_model(services.read, model_id)
        return desk.show(LockedPathsPage(model=model, lines=lines_of(services, model_id)))

    @get("/{model_id:uuid}/release", sync_to_thread=True)
    def ask_release(
        self,
        model_id: FromPath[UUID],
        form: NamedDependency[Form],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """Is it meant?"""
        return desk.show(_release_page(read, model_id, form))

    @post("/{model_id:uuid}/release", sync_to_thread=True)
    def release(
        self,
        model_id: FromPath[UUID],
        form: NamedDependency[Form],
        read: NamedDependency[ReadModels],
        actor: NamedDependency[UUID],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """From now on the model can be trained again without it."""
        page = _release_page(read, model_id, form)
        with desk.refusals_on(page):
            desk.ask(ReleaseDataPath(actor=actor, model_id=model_id, folder=page.folder))
        folder, name = str(page.folder), page.model.name
        desk.say(N_("“{folder}” is released: “{name}” can be trained again without it."), folder=folder, name=name)
        return desk.go(f"{ADDRESS}/{model_id}")


def lines_of(services: Services, model_id: UUID) -> tuple[LockedLine, ...]:
    """The paths of a model's first training, looked into now."""
    paths = services.read.models.locked_paths(model_id)
    found = services.data_folders.inspect_folders([path.folder for path in paths])
    return tuple(LockedLine(path=path, found=one) for path, one in zip(paths, found, strict=True))


def locked_model(read: ReadModels, model_id: UUID) -> ModelDetail:
    """A model, whoever owns it.

    Raises:
        NotFound
    """
    model: ModelDetail | None = read.models.get(model_id)
    if model is None:
        raise NotFound
    return model


def _release_page(read: ReadModels, model_id: UUID, form: Form) -> ReleasePage:
    folder = FolderName(form.value("root"), form.value("path"))
    return ReleasePage(form=form, model=locked_model(read, model_id), folder=folder)
