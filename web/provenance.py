"""来源: what made a published version, and whether its images are still what they were. Source: REQUIREMENTS, E-3."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from domain.artifacts import Artifact, FileIsGone
from domain.json_forms import write_json
from domain.models import ModelVersionPublished
from domain.permissions import Role, check_owner_or_auditor, owns
from domain.provenance import ImageState, ManifestImage, Provenance, provenance_of
from domain.refusals import NotFound
from domain.sentences import Sentence
from projections.models import ModelDetail
from web.forms import Form
from web.listing import Listing, read_listing
from web.pages import Desk, Page
from web.services import Account, Asker, Services

ADDRESS = "/provenance"
IMAGES_ON_A_PAGE = 50
CHECK_SECONDS = 5.0
"""So long a page may read images before it is shown; the rest of them say that they were not looked at."""


class ProvenancePage(Page, frozen=True):
    """Everything about one version; `names` are those of the people, `problem` says why its images cannot be shown."""

    TEMPLATE = "audit/provenance.html"
    model: ModelDetail
    made: Provenance
    names: Mapping[UUID, str]
    listing: Listing
    images: tuple[ManifestImage, ...]
    problem: Sentence | None
    is_own: bool
    """Whether the way back is to one's own models; whoever audits comes from the audit."""
    comparison: Any
    """How far all images were compared in the background; None where nobody has asked for it."""

    @property
    def address(self) -> str:
        """This page."""
        return f"{ADDRESS}/{self.model.model_id}/{self.made.published.version}"

    @property
    def is_checked(self) -> bool:
        """Whether anybody looked at the images."""
        return self.form.checked("check")

    @property
    def shows_differing(self) -> bool:
        """Whether only images are shown that are not what they were."""
        return self.form.checked("differing")

    @property
    def check_address(self) -> str:
        """The same images, compared with what they were."""
        part = self.listing.page_address(self.listing.page)
        return f"{part}{'&' if '?' in part else '?'}check=yes"

    def count(self, state: str) -> int:
        """How many of the images shown are in a state."""
        return sum(image.state is ImageState(state) for image in self.images)

    @property
    def model_parameters(self) -> str:
        """Step 1 of the training."""
        return write_json(self.made.published.order.model_parameters)

    @property
    def training_parameters(self) -> str:
        """Step 3 of the training."""
        return write_json(self.made.published.order.training_parameters)

    @property
    def preprocessing(self) -> str:
        """Step 4 of the training."""
        return write_json(self.made.published.order.preprocessing)


class ProvenancePages(Controller):
    """For the owner of the model, and for super administrators, who audit."""

    path = ADDRESS

    @get("/{model_id:uuid}/{label:str}", sync_to_thread=True)
    def provenance(
        self,
        model_id: FromPath[UUID],
        label: FromPath[str],
        form: NamedDependency[Form],
        user: NamedDependency[Account],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """One version. Its images are compared when asked for, those of one page at a time."""
        model = model_shown_to(user, services, model_id)
        made = find_provenance(services.log, model_id, label)
        listing = read_listing(f"{ADDRESS}/{model_id}/{label}", form, rows=IMAGES_ON_A_PAGE)
        problem, comparison = None, services.image_checks.of(made.manifest) if made.manifest else None
        images: tuple[ManifestImage, ...] = ()
        if made.manifest:
            try:
                listing, images = _images(services, made.manifest, comparison, listing, form)
            except FileIsGone as gone:
                problem = gone.sentence
        return desk.show(
            ProvenancePage(
                form=form,
                model=model,
                made=made,
                names=services.read.audit.people(made.people),
                listing=listing,
                images=images,
                problem=problem,
                is_own=owns(model.owner, user.user_id),
                comparison=comparison,
            )
        )

    @post("/{model_id:uuid}/{label:str}/check", sync_to_thread=True)
    def check(
        self,
        model_id: FromPath[UUID],
        label: FromPath[str],
        user: NamedDependency[Account],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Have all images of a version compared in the background. Nothing is decided, so the log does not tell of it."""
        model_shown_to(user, services, model_id)
        made = find_provenance(services.log, model_id, label)
        if made.manifest is None:
            raise NotFound
        services.image_checks.ask(made.manifest, services.manifests.count(made.manifest))
        return desk.go(f"{ADDRESS}/{model_id}/{label}#images")


def model_shown_to(user: Asker, services: Services, model_id: UUID) -> ModelDetail:
    """The model, for its owner and for who audits.

    Raises:
        NotFound, NotTheOwner
    """
    model: ModelDetail | None = services.read.models.get(model_id)
    if model is None:
        raise NotFound
    check_owner_or_auditor(model.owner, user.user_id, Role(user.role))
    return model


def _images(
    services: Services, manifest: Artifact, comparison: Any, listing: Listing, form: Form
) -> tuple[Listing, tuple[ManifestImage, ...]]:
    """One page of images with what the comparison found; read anew where that is asked for.

    Raises:
        ImageListIsGone, ImageListIsDamaged
    """
    if form.checked("differing") and comparison is not None:
        numbers = services.image_checks.differing(comparison)
        listing = listing.of(len(numbers))
        numbers = numbers[listing.offset : listing.offset + listing.rows]
        entries = [entry for number in numbers for entry in services.manifests.entries(manifest, number, 1)]
        states = [state for number in numbers for state in services.image_checks.states(comparison, number, 1)]
    else:
        listing = listing.of(services.manifests.count(manifest))
        entries = list(services.manifests.entries(manifest, listing.offset, listing.rows))
        states = services.image_checks.states(comparison, listing.offset, len(entries)) if comparison else []
    if form.checked("check") or comparison is None:
        seconds = CHECK_SECONDS if form.checked("check") else 0.0
        return listing, tuple(services.manifests.checked(entries, seconds=seconds))
    return listing, tuple(map(ManifestImage, entries, states))


def find_provenance(log: Any, model_id: UUID, label: str) -> Provenance:
    """What made a version, from the log.

    Raises:
        NotFound: there is no such version.
    """
    history = log.history
    model = history(model_id)
    for event in model:
        if isinstance(event.data, ModelVersionPublished) and event.data.version == label:
            job_id, model_image_id = event.data.job_id, event.data.model_image.model_image_id
            return provenance_of(event, model, history(job_id), history(model_image_id))
    raise NotFound
