"""Archives on their way to the server, in parts that go on after a broken connection. Source: REQUIREMENTS, I-2."""

import contextlib
from typing import Annotated, Any
from uuid import UUID

from litestar import Controller, Request, Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody, QueryParameter

from commands.model_images import CheckArchiveName
from domain.uploads import Upload, UploadIsGone
from web.api.desk import ApiDesk
from web.api.routes import ACTS, LOOKS, IdempotencyKey
from web.api.shapes import Shape
from web.services import Services
from web.uploads import take_body

LARGEST_SIZE = (1 << 63) - 1
PARTS = {**ACTS, 409: ResponseSpec(Upload, generate_examples=False, description="That is not the place to go on.")}


class NewUpload(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file to come; `model_image_id` where it is to be a further version. The name decides what it can be imported as."""

    file_name: str
    size: int
    model_image_id: UUID | None = None


class Uploads(Controller):
    """An upload belongs to the user for whom it was begun."""

    path = "/uploads"
    tags = ("model images",)

    @post("/", sync_to_thread=True, responses=ACTS)
    def begin(
        self,
        data: JSONBody[NewUpload],
        idempotency_key: IdempotencyKey,
        services: NamedDependency[Services],
        desk: NamedDependency[ApiDesk],
    ) -> Upload:
        """Make room, or say how much has arrived with the same key."""
        made = desk.made_by(idempotency_key, data)
        actor = desk.caller.user_id
        desk.ask(CheckArchiveName(actor=actor, file_name=data.file_name, model_image_id=data.model_image_id))
        upload: Upload = services.uploads.begin(actor, data.file_name, data.size, mark=str(made.root))
        return upload

    @get("/{upload_id:uuid}", sync_to_thread=True, responses=LOOKS)
    def show(
        self, upload_id: FromPath[UUID], services: NamedDependency[Services], desk: NamedDependency[ApiDesk]
    ) -> Upload:
        """How much has arrived."""
        upload: Upload = services.uploads.find(upload_id, desk.caller.user_id)
        return upload

    @put("/{upload_id:uuid}", request_max_body_size=None, takes_a_file=True, responses=PARTS)
    async def take_part(
        self,
        upload_id: FromPath[UUID],
        offset: Annotated[int, QueryParameter(ge=0, le=LARGEST_SIZE, description="How much has arrived.")],
        request: Request[Any, Any, Any],
        services: NamedDependency[Services],
        desk: NamedDependency[ApiDesk],
    ) -> Response[Upload]:
        """The bytes from `offset` on, as the body; 409 and how much has arrived where that is not the place to go on."""
        return await take_body(request, services.uploads, upload_id, desk.caller.user_id, offset)

    @delete("/{upload_id:uuid}", sync_to_thread=True, responses=ACTS)
    def drop(
        self, upload_id: FromPath[UUID], services: NamedDependency[Services], desk: NamedDependency[ApiDesk]
    ) -> None:
        """Leave nothing of it; twice is the same."""
        with contextlib.suppress(UploadIsGone):
            services.uploads.drop(upload_id, desk.caller.user_id)
