"""Industries and their levels, for super administrators. Source: REQUIREMENTS, M-1, M-2."""

from datetime import datetime
from uuid import UUID

from litestar import Controller, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from commands.industries import ChooseDefaultIndustry, CreateIndustry, DefineLevels, DeleteIndustry
from domain.api_tokens import Area
from domain.permissions import Permission
from web.access import needs
from web.api.desk import ApiDesk
from web.api.routes import ACTS, LOOKS, IdempotencyKey
from web.api.shapes import Shape, shaped
from web.industries import industry_of
from web.services import ReadModels


class Industry(Shape, frozen=True, kw_only=True):
    """An industry; `level_names` are the outermost first, empty until they are defined."""

    industry_id: UUID
    name: str
    level_names: tuple[str, ...]
    is_default: bool
    created_at: datetime


class NewIndustry(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An industry to be created; the first one becomes the default."""

    name: str


class Levels(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The names of all levels, the outermost first. Once saved, levels can be renamed only."""

    level_names: tuple[str, ...]


class Concerned(Shape, frozen=True, kw_only=True):
    """What a removal would concern: the nodes that would go, and what is bound to any of them, which keeps the names. Images are
    those of the datasets, as they were counted last.
    """

    node_count: int
    dataset_count: int
    image_count: int
    model_image_count: int
    model_count: int


class Industries(Controller):
    """Super administrators only."""

    path = "/industries"
    tags = ("master data",)
    guards = [needs(Permission.MANAGE_MASTER_DATA)]  # noqa: RUF012 - Litestar's way to guard a controller
    opt = {"area": Area.MANAGEMENT}  # noqa: RUF012 - Litestar's way to say it of every handler

    @get("/", sync_to_thread=True, responses=LOOKS)
    def list(self, read: NamedDependency[ReadModels]) -> list[Industry]:
        """Every industry, in the order in which they were created."""
        return [shaped(row, Industry) for row in read.industries.list()]

    @post("/", sync_to_thread=True, responses=ACTS)
    def create(
        self,
        data: JSONBody[NewIndustry],
        idempotency_key: IdempotencyKey,
        read: NamedDependency[ReadModels],
        desk: NamedDependency[ApiDesk],
    ) -> Industry:
        """Create an industry; its levels come next."""
        made = desk.made_by(idempotency_key, data)
        desk.ask(CreateIndustry(actor=desk.caller.user_id, industry_id=made.id(), name=data.name))
        return _industry(read, made.id())

    @get("/{industry_id:uuid}", sync_to_thread=True, responses=LOOKS)
    def one(self, industry_id: FromPath[UUID], read: NamedDependency[ReadModels]) -> Industry:
        """One industry."""
        return _industry(read, industry_id)

    @put("/{industry_id:uuid}/levels", sync_to_thread=True, responses=ACTS)
    def define_levels(
        self,
        industry_id: FromPath[UUID],
        data: JSONBody[Levels],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[ApiDesk],
    ) -> Industry:
        """Name the levels."""
        desk.ask(DefineLevels(actor=desk.caller.user_id, industry_id=industry_id, level_names=data.level_names))
        return _industry(read, industry_id)

    @post("/{industry_id:uuid}/default", sync_to_thread=True, status_code=200, responses=ACTS)
    def choose_default(
        self, industry_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[ApiDesk]
    ) -> Industry:
        """Make it the default industry: environment data and new bindings belong to it from now on."""
        desk.ask(ChooseDefaultIndustry(actor=desk.caller.user_id, industry_id=industry_id))
        return _industry(read, industry_id)

    @get("/{industry_id:uuid}/concerned", sync_to_thread=True, responses=LOOKS)
    def concerned(self, industry_id: FromPath[UUID], read: NamedDependency[ReadModels]) -> Concerned:
        """What deleting the industry would concern."""
        industry_of(read, industry_id)
        return shaped(read.environments.concerned_by_industry(industry_id), Concerned)

    @delete("/{industry_id:uuid}", sync_to_thread=True, responses=ACTS)
    def remove(self, industry_id: FromPath[UUID], desk: NamedDependency[ApiDesk]) -> None:
        """Delete an industry with its whole environment; the default one cannot be deleted."""
        desk.ask(DeleteIndustry(actor=desk.caller.user_id, industry_id=industry_id))


def _industry(read: ReadModels, industry_id: UUID) -> Industry:
    return shaped(industry_of(read, industry_id), Industry)
