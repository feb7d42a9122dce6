"""An unfinished model, kept on the server, and what the sent forms of its steps mean. Source: W-1 to W-12.

Not in the log: nobody has decided anything yet. What was sent is kept first and looked at afterwards, so nothing is lost.
"""

import secrets
from uuid import UUID, uuid4

import msgspec

from commands.training_jobs import own_version
from domain.compute_resources import ComputeResource
from domain.data_paths import FolderName, Inspection
from domain.model_images import ModelImageKind
from domain.refusals import Refusal, collect
from domain.training_jobs import TrainingJob
from domain.training_parameters import USUAL_AUGMENTATIONS, Augmentation
from domain.training_requests import StartingVersion, StartingWeights, TrainingDraft, retraining_draft
from projections.model_images import ModelImageVersionChoice, ModelImageVersionChoices
from projections.models import ModelDetail, ModelVersionRow
from web.chosen_paths import Press
from web.forms import Form, id_or_none
from web.services import ReadModels, Services
from web.sessions import AS_ENTERED

NEW_MODEL = "/training-jobs/new"
NOT_KEPT = frozenset(("csrf_token", AS_ENTERED, "do", "job_id"))


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """Which model the steps make: a new one, or a further version of `model` from the weights of `version` (W-11).

    `address` is that of the steps. `locked` are the paths of the model's first training (W-5).
    """

    address: str = NEW_MODEL
    model: ModelDetail | None = None
    version: ModelVersionRow | None = None
    locked: tuple[FolderName, ...] = ()

    @property
    def draft(self) -> str:
        """Under which name an unfinished model is kept: each version that is trained again has a draft of its own."""
        return f"retraining {self.model.model_id} {self.version.label}" if self.model and self.version else "training"

    @property
    def way_out(self) -> str:
        """Where people came from."""
        return f"/models/{self.model.model_id}/versions" if self.model else "/training-jobs"


class KeptDraft(msgspec.Struct, frozen=True, kw_only=True):
    """Ids and seed are drawn once, so that the last button makes one job however often it is pressed.

    `draft` is what could be understood so far. `entered` holds the fields of each visited step as they were sent, by its number;
    `found` is what was seen in the data paths, `typed` the lines where nothing was, `search` the part of a dataset's name.
    """

    job_id: UUID
    model_id: UUID
    seed: int
    draft: TrainingDraft = TrainingDraft(augmentations=USUAL_AUGMENTATIONS)
    entered: dict[int, tuple[tuple[str, str], ...]] = {}
    found: tuple[Inspection, ...] = ()
    typed: tuple[str, ...] = ()
    search: str = ""

    def form(self, step: int) -> Form | None:
        """What was entered in a step; None where it was not visited yet."""
        return Form(self.entered[step]) if step in self.entered else None

    def has_reached(self, step: int) -> bool:
        """Whether the step before was sent once; of a retraining every step is open from the start."""
        return step - 1 in self.entered or self.draft.is_retraining

    def with_entered(self, step: int, form: Form) -> "KeptDraft":
        """The same with what was entered in a step."""
        fields = tuple((name, value) for name, value in form.fields if name not in NOT_KEPT)
        return msgspec.structs.replace(self, entered={**self.entered, step: fields})


def kept_draft(services: Services, actor: UUID, course: Course) -> KeptDraft:
    """What is kept of somebody's unfinished model; a new one where nothing is, or where a later release cannot read it."""
    content = services.drafts.load(actor, course.draft)
    if content:
        try:
            return msgspec.json.decode(content, type=KeptDraft)
        except msgspec.MsgspecError:
            pass
    seed = secrets.randbelow(1 << 31)
    if course.model is None or course.version is None:
        return KeptDraft(job_id=uuid4(), model_id=uuid4(), seed=seed)
    # Its last step is open from the start; so it is kept from the start, and sending it finds the same job.
    draft = _retraining(services, actor, StartingVersion(course.model.model_id, course.version.label))
    found = tuple(services.assay.ports.data_folders.inspect_folders(draft.data_paths))
    fresh = KeptDraft(job_id=uuid4(), model_id=course.model.model_id, seed=seed, draft=draft, found=found)
    return keep(services, actor, course, fresh)


def keep(services: Services, actor: UUID, course: Course, kept: KeptDraft) -> KeptDraft:
    """Keep it in place of what was kept before."""
    services.drafts.save(actor, course.draft, msgspec.json.encode(kept))
    return kept


def named_image_version(form: Form) -> tuple[UUID | None, int]:
    """Which model image version a form names, whether there is one or not."""
    image, _, number = form.text("model_image_version").partition("/")
    return id_or_none(image), int(number) if number.isdecimal() and len(number) < 10 else 0


def version_of(form: Form, read: ReadModels) -> ModelImageVersionChoice | None:
    """The version that a form names; None where it is not loaded any more, or of the kind that the form does not show."""
    model_image_id, number = named_image_version(form)
    if model_image_id is None:
        return None
    found: ModelImageVersionChoice | None = read.model_images.version_choice(model_image_id, number)
    return found if found and found.kind.value == form.text("kind") else None


def first_model_form(general: ModelImageVersionChoices) -> Form:
    """The general image that was imported last with its defaults, where there is one."""
    first = next(iter(general.versions), None)
    if first is None:
        return Form.of(kind=ModelImageKind.GENERAL)
    return Form.of(
        kind=first.kind,
        model_image_version=f"{first.model_image_id}/{first.number}",
        model_parameters=first.package.model_parameters,
    )


def with_model(kept: KeptDraft, form: Form, read: ReadModels, environment: tuple[UUID, ...]) -> KeptDraft:
    """Step 1 as sent, with the places chosen in it.

    Training parameters that nobody has changed become the defaults of the version now chosen.
    """
    chosen = version_of(form, read)
    before = version_of(kept.form(1) or Form(), read)
    kept = kept.with_entered(1, form)
    if chosen and before and kept.draft.training_parameters == before.package.training_parameters:
        kept = with_training(
            kept, filled_in(kept.form(3) or Form(), training_parameters=chosen.package.training_parameters)
        )
    draft = msgspec.structs.replace(
        kept.draft,
        model_name=form.text("model_name"),
        model_image_id=chosen.model_image_id if chosen else None,
        model_image_version=chosen.number if chosen else 0,
        model_parameters=form.value("model_parameters"),
        environment=environment,
    )
    return msgspec.structs.replace(kept, draft=draft)


def with_paths(kept: KeptDraft, pressed: Press) -> KeptDraft:
    """Step 2 after a button was pressed."""
    draft = msgspec.structs.replace(kept.draft, data_paths=tuple(found.folder for found in pressed.found))
    kept = kept.with_entered(2, Form())
    return msgspec.structs.replace(kept, found=pressed.found, typed=pressed.wrong, search=pressed.search, draft=draft)


def with_found(kept: KeptDraft, found: tuple[Inspection, ...]) -> KeptDraft:
    """The same paths, looked into again."""
    return msgspec.structs.replace(kept, found=found)


def with_training(kept: KeptDraft, form: Form) -> KeptDraft:
    """Step 3 as sent. A retraining starts from its version, whatever is sent."""
    draft = msgspec.structs.replace(
        kept.draft,
        compute_resource_id=id_or_none(form.text("compute_resource")),
        training_parameters=form.value("training_parameters"),
    )
    if not draft.is_retraining:
        model, _, label = form.text("starting_version").partition("/")
        model_id = id_or_none(model)
        draft = msgspec.structs.replace(
            draft,
            starting_weights=_starting_weights(form),
            starting_version=StartingVersion(model_id, label) if model_id and label else None,
        )
    return msgspec.structs.replace(kept.with_entered(3, form), draft=draft)


def preprocessing_form(draft: TrainingDraft) -> Form:
    """Step 4 as it is met for the first time."""
    ticked = {
        "resolution_screening": draft.resolution_screening,
        "train_segmentation": draft.train_segmentation,
    }
    return Form(
        (
            ("split_ratio", f"{draft.split_ratio:g}"),
            ("group_pattern", draft.group_pattern),
            *((name, "on") for name, is_ticked in ticked.items() if is_ticked),
            *(("augmentations", augmentation.value) for augmentation in draft.augmentations),
        )
    )


def with_preprocessing(kept: KeptDraft, form: Form, refusals: list[Refusal]) -> KeptDraft:
    """Step 4 as sent; what cannot be understood is collected and changes nothing but what is shown."""
    split_ratio = collect(refusals, form.number, "split_ratio")
    augmentations = collect(refusals, form.choices, "augmentations", Augmentation)
    draft = msgspec.structs.replace(
        kept.draft,
        split_ratio=kept.draft.split_ratio if split_ratio is None else split_ratio,
        resolution_screening=form.checked("resolution_screening"),
        augmentations=tuple(dict.fromkeys(augmentations or ())),
        train_segmentation=form.checked("train_segmentation"),
        group_pattern=form.text("group_pattern"),
    )
    return msgspec.structs.replace(kept.with_entered(4, form), draft=draft)


def filled_in(form: Form, **values: str) -> Form:
    """The form with some fields filled in anew."""
    return Form((*((name, value) for name, value in form.fields if name not in values), *values.items()))


def _starting_weights(form: Form) -> StartingWeights:
    """What the form names; nonsense counts as what is named first."""
    return collect([], form.choice, "starting_weights", StartingWeights) or StartingWeights.PACKAGE


def _retraining(services: Services, actor: UUID, chosen: StartingVersion) -> TrainingDraft:
    """Filled with what the version's job was given, as far as its compute resource still stands."""
    model, version = own_version(services.assay, chosen, actor)
    job = services.assay.find(TrainingJob, version.published.job_id)
    resource = services.assay.find(ComputeResource, job.compute_resource_id) if job else None
    return retraining_draft(model, version, resource.id if resource and not resource.is_deleted else None)
