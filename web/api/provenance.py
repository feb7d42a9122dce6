"""What made a published version, and whether its images are still what they were. Source: REQUIREMENTS, E-3."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from domain.api_tokens import Area
from domain.artifacts import Artifact
from domain.data_paths import FolderName
from domain.facts import SYSTEM
from domain.messages import ManifestEntry
from domain.provenance import Act as ActOfLog
from domain.provenance import ImageState
from domain.provenance import Provenance as ProvenanceOfLog
from domain.refusals import NotFound
from domain.training_jobs import ModelImageUsed, VersionUsed
from projections.read_model import Page
from web.api.desk import ApiDesk
from web.api.lists import DEFAULT_LIMIT, After, Limit, Listed, paged
from web.api.routes import ACTS, LOOKS
from web.api.shapes import Shape, shaped
from web.provenance import find_provenance, model_shown_to
from web.services import Services


class Act(Shape, frozen=True, kw_only=True):
    """Who did something, and when; without a name it was the platform."""

    user_id: UUID
    username: str
    at: datetime


class Attempt(Shape, frozen=True, kw_only=True):
    """A worker that trained, and when it began."""

    worker: str
    number: int
    at: datetime


class ImageCheck(Shape, frozen=True, kw_only=True):
    """How far all images are compared with what the training saw; `problem` is why that ended early."""

    image_count: int
    reached: int
    changed_count: int
    gone_count: int
    is_done: bool
    problem: str
    asked_at: datetime


class Provenance(Shape, frozen=True, kw_only=True):
    """Everything that made one version: people, workers, files with their checksums, parameters. What a release of the platform did
    not record is null or empty. `package` is the archive of the model image, `manifest` the list of images.
    """

    model_id: UUID
    model_name: str
    version: str
    job_id: UUID
    published: Act
    withdrawn: Act | None
    withdrawal_reason: str
    queued: Act | None
    restarted: tuple[Act, ...]
    attempts: tuple[Attempt, ...]
    completed_at: datetime | None
    seconds: float | None
    device: str
    software: str
    model_image: ModelImageUsed
    package: Artifact | None
    started_from: VersionUsed | None
    initial_weights: Artifact | None
    weights: Artifact
    segmentation_weights: Artifact | None
    evaluation: Artifact
    losses: Artifact | None
    log: Artifact | None
    manifest: Artifact | None
    training_count: int
    validation_count: int
    seed: int
    data_paths: tuple[FolderName, ...]
    model_parameters: Any
    training_parameters: Any
    preprocessing: Any
    check: ImageCheck | None


class UsedImage(Shape, frozen=True, kw_only=True):
    """An image as the training saw it, and what it is now as far as anybody had that compared; `size` in bytes. `mask_checksum` is
    empty where no mask was used.
    """

    folder: FolderName
    size: int
    checksum: str
    mask_checksum: str
    defect_code: str
    split: str
    state: ImageState


class Provenances(Controller):
    """For the owner of the model, and for super administrators, who audit."""

    path = "/models/{model_id:uuid}/versions/{label:str}/provenance"
    tags = ("audit",)
    opt = {"area": Area.MANAGEMENT}  # noqa: RUF012 - Litestar's way to say it of every handler

    @get("/", sync_to_thread=True, responses=LOOKS)
    def provenance(
        self,
        model_id: FromPath[UUID],
        label: FromPath[str],
        services: NamedDependency[Services],
        desk: NamedDependency[ApiDesk],
    ) -> Provenance:
        """What made a version."""
        made = _made(services, model_id, label, desk)
        published, completed = made.published, made.completed
        order = published.order
        names = services.read.audit.people(made.people)
        return shaped(
            published,
            Provenance,
            model_id=model_id,
            published=_act(made.published_by, names),
            withdrawn=made.withdrawn_by and _act(made.withdrawn_by, names),
            queued=made.queued_by and _act(made.queued_by, names),
            restarted=tuple(_act(act, names) for act in made.restarted_by),
            attempts=tuple(shaped(one, Attempt, at=one.moment) for one in made.attempts),
            seconds=completed.seconds if completed else None,
            device=completed.device if completed else "",
            software=completed.software if completed else "",
            losses=completed.losses if completed else None,
            log=completed.log if completed else None,
            model_parameters=msgspec.to_builtins(order.model_parameters),
            training_parameters=msgspec.to_builtins(order.training_parameters),
            preprocessing=msgspec.to_builtins(order.preprocessing),
            check=_check(services, made, desk),
            **{name: getattr(order, name) for name in ("initial_weights", "seed", "data_paths")},
            **{name: getattr(made, name) for name in _MADE},
        )

    @get("/images", sync_to_thread=True, responses=LOOKS)
    def provenance_images(
        self,
        model_id: FromPath[UUID],
        label: FromPath[str],
        services: NamedDependency[Services],
        desk: NamedDependency[ApiDesk],
        after: After = "",
        limit: Limit = DEFAULT_LIMIT,
    ) -> Listed[UsedImage]:
        """Which images a version was trained and validated with, in the order of the list that the training kept."""
        manifest = _manifest(_made(services, model_id, label, desk))
        check = services.image_checks.of(manifest)

        def page_of(number: int, size: int) -> Page[tuple[ManifestEntry, ImageState]]:
            first = (number - 1) * size
            entries = list(services.manifests.entries(manifest, first, size))
            states = services.image_checks.states(check, first, len(entries)) if check else ()
            known = [*states, *[ImageState.UNCHECKED] * (len(entries) - len(states))]
            return Page(
                items=tuple(zip(entries, known, strict=True)),
                total=services.manifests.count(manifest),
                number=number,
                size=size,
            )

        return paged(after, limit, page_of, lambda pair: _image(*pair))

    @post("/check", sync_to_thread=True, status_code=202, responses=ACTS)
    def check_provenance(
        self,
        model_id: FromPath[UUID],
        label: FromPath[str],
        services: NamedDependency[Services],
        desk: NamedDependency[ApiDesk],
    ) -> ImageCheck:
        """Have all images compared in the background with what the training saw; `check` of the provenance says how far that is.
        One that is under way goes on.
        """
        made = _made(services, model_id, label, desk)
        manifest = _manifest(made)
        services.image_checks.ask(manifest, services.manifests.count(manifest))
        check = _check(services, made, desk)
        if check is None:
            raise NotFound
        return check


_MADE = ("withdrawal_reason", "completed_at", "package", "manifest", "training_count", "validation_count")


def _made(services: Services, model_id: UUID, label: str, desk: ApiDesk) -> ProvenanceOfLog:
    model_shown_to(desk.caller, services, model_id)
    return find_provenance(services.log, model_id, label)


def _manifest(made: ProvenanceOfLog) -> Artifact:
    if made.manifest is None:
        raise NotFound
    return made.manifest


def _act(act: ActOfLog, names: Mapping[UUID, str]) -> Act:
    return Act(user_id=act.actor, username="" if act.actor == SYSTEM else names.get(act.actor, ""), at=act.moment)


def _check(services: Services, made: ProvenanceOfLog, desk: ApiDesk) -> ImageCheck | None:
    check = services.image_checks.of(made.manifest) if made.manifest else None
    return check and shaped(check, ImageCheck, problem=desk.say(check.problem))


def _image(entry: ManifestEntry, state: ImageState) -> UsedImage:
    return shaped(entry, UsedImage, folder=FolderName(entry.root, entry.path), state=state)
