"""The paths of models' first trainings, released by super administrators once their images are gone. Source: REQUIREMENTS, W-5."""

from datetime import datetime
from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from commands.models import ReleaseDataPath
from domain.api_tokens import Area
from domain.data_paths import DataPathState, FolderName
from domain.permissions import Permission
from web.access import needs
from web.api.desk import ApiDesk
from web.api.lists import BY_NAME, DEFAULT_LIMIT, After, Limit, Listed, Search, listed, place_of
from web.api.routes import ACTS, LOOKS
from web.api.shapes import Shape, shaped
from web.locked_paths import lines_of, locked_model
from web.services import ReadModels, Services


class LockedModel(Shape, frozen=True, kw_only=True):
    """A model with how many paths its first training had, and how many of them are released."""

    model_id: UUID
    name: str
    owner: UUID
    owner_name: str
    path_count: int
    released_count: int


class LockedPath(Shape, frozen=True, kw_only=True):
    """A path of a model's first training, and what is there now. Without a `released_at` the model cannot be trained again without
    it; one whose images are gone can be released.
    """

    folder: FolderName
    state: DataPathState
    released_by: str
    released_at: datetime | None
    can_be_released: bool


class Release(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The path to be released."""

    folder: FolderName


class LockedPaths(Controller):
    """Super administrators only (U-6)."""

    path = "/locked-paths"
    tags = ("supervision",)
    guards = [needs(Permission.SUPERVISE)]  # noqa: RUF012 - Litestar's way to guard a controller
    opt = {"area": Area.MANAGEMENT}  # noqa: RUF012 - Litestar's way to say it of every handler

    @get("/", sync_to_thread=True, responses=LOOKS)
    def list(
        self,
        read: NamedDependency[ReadModels],
        search: Search = "",
        after: After = "",
        limit: Limit = DEFAULT_LIMIT,
    ) -> Listed[LockedModel]:
        """Everyone's models, by name."""
        found = read.models.locked_stretch(search=search, after=place_of(after, BY_NAME), size=limit)
        return listed(found, lambda row: shaped(row, LockedModel))

    @get("/{model_id:uuid}", sync_to_thread=True, responses=LOOKS)
    def of_model(self, model_id: FromPath[UUID], services: NamedDependency[Services]) -> tuple[LockedPath, ...]:
        """The paths of a model, looked into now."""
        locked_model(services.read, model_id)
        return _paths(services, model_id)

    @post("/{model_id:uuid}/release", sync_to_thread=True, status_code=200, responses=ACTS)
    def release(
        self,
        model_id: FromPath[UUID],
        data: JSONBody[Release],
        services: NamedDependency[Services],
        desk: NamedDependency[ApiDesk],
    ) -> tuple[LockedPath, ...]:
        """Let a model be trained again without a path whose images are gone."""
        desk.ask(ReleaseDataPath(actor=desk.caller.user_id, model_id=model_id, folder=data.folder))
        return _paths(services, model_id)


def _paths(services: Services, model_id: UUID) -> tuple[LockedPath, ...]:
    return tuple(
        shaped(line.path, LockedPath, state=line.found.state, can_be_released=line.can_be_released)
        for line in lines_of(services, model_id)
    )
