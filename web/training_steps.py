"""What the four steps of a training show. Source: section W; manual, “新建模型”. `web/training_wizard.py` moves between them."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from commands.training_jobs import STEP_COUNT, CheckedDraft, check_step
from domain.data_paths import Inspection
from domain.json_forms import write_json
from domain.messages import LossPart
from domain.model_images import ModelImageKind
from domain.model_packages import NetworkTask
from domain.refusals import Refusal, collect
from domain.sentences import N_, Sentence
from domain.task_types import TaskKind
from domain.training_advice import LearntFrom
from domain.training_parameters import ModelParameters, SgdParameters, read_training_parameters
from domain.training_requests import LEAST_IMAGES_PER_CLASS, StartingWeights, TrainingDraft, segmentation_network
from projections.compute_resources import ComputeResourceRow
from projections.model_images import ModelImageVersionChoices
from projections.models import ModelVersionChoices
from projections.overview import SetupSteps
from web.cascade import Cascade, environment_cascade, standing_nodes
from web.charts import LineChart, Series, line_chart
from web.chosen_paths import ChosenPaths, as_known_now, chosen_paths, form_of
from web.dataset_kinds import TRAINING
from web.forms import Form, id_or_none
from web.pages import Page
from web.services import Services
from web.training_drafts import Course, KeptDraft, filled_in, first_model_form, named_image_version, preprocessing_form

FILTER = "filter_"
"""Before the names of the fields that only narrow the list of business images."""
FIND_GENERAL, FIND_BUSINESS, FIND_VERSION = "find_general", "find_business", "find_version"
"""The fields for a part of a name, each beside its list."""
CURVE_POINTS = 160
FIRST_ITERATIONS = 12
"""Drawn one by one: with exp and a small gamma the rate falls within a few iterations."""


class UnfinishedPage(Page, frozen=True):
    """A model was begun before: go on with it, or begin anew."""

    TEMPLATE = "training_wizard/unfinished.html"
    course: Course
    draft: TrainingDraft


class ModelStepPage(Page, frozen=True):
    """Step 1 of a new model. `business` are images of the filter's place, `standing` the nodes of their bindings that still exist.

    `setup` is there while something is missing (M-7).
    """

    TEMPLATE = "training_wizard/step_1.html"
    course: Course
    general: ModelImageVersionChoices
    business: ModelImageVersionChoices
    standing: frozenset[UUID]
    has_versions: bool
    cascade: Cascade
    filter: Cascade
    setup: SetupSteps | None = None


class KeptModelStepPage(Page, frozen=True):
    """Step 1 of a retraining: what stays as it is (W-11). `standing` are the bound nodes that still exist."""

    TEMPLATE = "training_wizard/step_1_kept.html"
    course: Course
    standing: frozenset[UUID]

    @property
    def model_parameters(self) -> str:
        """As in the editor of a new model."""
        assert self.course.version is not None
        return write_json(self.course.version.training_order.model_parameters)


class CodeCount(msgspec.Struct, frozen=True, kw_only=True):
    """The images of one code over all chosen paths. A class needs some of them, a special code none."""

    defect_code: str
    image_count: int
    mask_count: int
    is_special: bool
    is_listed: bool

    @property
    def is_too_few(self) -> bool:
        """Whether the class cannot be split (W-5)."""
        return self.is_listed and not self.is_special and self.image_count < LEAST_IMAGES_PER_CLASS


class DataStepPage(Page, frozen=True):
    """Step 2; `counts` are over all chosen paths."""

    TEMPLATE = "training_wizard/step_2.html"
    course: Course
    chosen: ChosenPaths
    counts: tuple[CodeCount, ...]


class Curve(msgspec.Struct, frozen=True):
    """The learning rates of one part over its iterations, and what that many iterations mean for the images."""

    part: LossPart
    chart: LineChart
    sgd: SgdParameters
    image_count: int
    """How many images it learns from; 0 where that is not known."""

    @property
    def rounds(self) -> float:
        """How often each image is learnt from."""
        return self.sgd.max_iter * self.sgd.batch_size / self.image_count


class TrainingStepPage(Page, frozen=True):
    """Step 3; without curves where the parameters are wrong. `network` is the chosen one, `defect_codes` are its classes.

    `has_weights` says whether the package brings weights of it, `versions` are those from which a new model can start (W-12).
    """

    TEMPLATE = "training_wizard/step_3.html"
    course: Course
    resources: tuple[ComputeResourceRow, ...]
    curves: tuple[Curve, ...]
    can_train_segmentation: bool
    network: str
    defect_codes: tuple[str, ...]
    has_weights: bool
    versions: ModelVersionChoices
    learnt_from: LearntFrom
    mistakes: tuple[Sentence, ...] = ()
    """None here: the editor itself says them."""


class CurvesPage(Page, frozen=True):
    """The curves alone, for the preview while the parameters are edited; `mistakes` where there are none."""

    TEMPLATE = "training_wizard/_curves.html"
    curves: tuple[Curve, ...]
    mistakes: tuple[Sentence, ...] = ()


class PreprocessingStepPage(Page, frozen=True):
    """Step 4, with everything that was chosen before; `standing` are the nodes of the environment that still exist."""

    TEMPLATE = "training_wizard/step_4.html"
    course: Course
    kept: KeptDraft
    checked: CheckedDraft
    resource: ComputeResourceRow | None
    standing: frozenset[UUID]
    counts: tuple[CodeCount, ...]

    @property
    def lacks_segmentation(self) -> bool:
        """Whether the task type would offer 「开启训练分割」 and the package does not (W-9)."""
        has_kind = self.checked.basis.task_type.kind is TaskKind.SEGMENTATION_AND_CLASSIFICATION
        return has_kind and not self.checked.basis.can_train_segmentation

    @property
    def segmentation_network(self) -> str:
        """What 「开启训练分割」 would train; only where it is offered."""
        return segmentation_network(self.checked.basis.package, self.checked.model_parameters).name

    @property
    def starts_from(self) -> str:
        """The initial weights of the classifier as the form of step 3 names them; what was chosen may have none."""
        name = self.checked.model_parameters.classification.name
        return self._start_of(NetworkTask.CLASSIFICATION, name)

    @property
    def segmentation_starts_from(self) -> str:
        """The same of the network for the segmentation."""
        return self._start_of(NetworkTask.SEGMENTATION, self.segmentation_network)

    def _start_of(self, task: NetworkTask, name: str) -> str:
        weights = StartingWeights.NOTHING
        network, start = self.checked.basis.package.network(task, name), self.checked.start
        if start is not None and start.weights_of(task, name) is not None:
            weights = StartingWeights.VERSION
        elif self.kept.draft.starting_weights is not StartingWeights.NOTHING and network and network.weights:
            weights = StartingWeights.PACKAGE
        return weights.value

    @property
    def keeps_head(self) -> bool:
        """Whether the version that it starts from tells the same codes apart (W-12)."""
        start = self.checked.start
        codes = start.published.order.model_parameters.classifier_codes if start else ()
        return codes == self.checked.model_parameters.classifier_codes


def model_step(services: Services, kept: KeptDraft, course: Course, form: Form | None = None) -> ModelStepPage:
    """Step 1 as it was left."""
    read = services.read
    form = form or kept.form(1)
    searched = (form or Form()).text(FIND_GENERAL)
    general = read.model_images.version_choices(
        ModelImageKind.GENERAL, search=searched, chosen=named_image_version(form or Form())
    )
    form = form or first_model_form(general)
    cascade = environment_cascade(read, form, several_at_last=True)
    narrowing = environment_cascade(read, form, several_at_last=False, prefix=FILTER)
    business = read.model_images.version_choices(
        ModelImageKind.BUSINESS,
        search=form.text(FIND_BUSINESS),
        place_ids=narrowing.place_ids,
        chosen=named_image_version(form),
    )
    setup = read.overview.setup()
    return ModelStepPage(
        form=form,
        course=course,
        general=general,
        business=business,
        standing=standing_nodes(read, (version.environment for version in business.versions if version.environment)),
        has_versions=bool(general.versions or business.versions) or read.model_images.has_versions(),
        cascade=cascade,
        filter=narrowing,
        setup=None if setup.is_done else setup,
    )


def kept_model_step(services: Services, course: Course) -> KeptModelStepPage:
    """Step 1 of a retraining: nothing can be chosen."""
    assert course.version is not None
    standing = standing_nodes(services.read, [course.version.environment])
    return KeptModelStepPage(form=Form.of(version=course.version.label), course=course, standing=standing)


def data_step(services: Services, actor: UUID, kept: KeptDraft, course: Course) -> DataStepPage:
    """Step 2 as it was left."""
    data_folders = services.assay.ports.data_folders
    found = as_known_now(kept.found, data_folders)
    checked: CheckedDraft | None = collect([], check_step, services.assay, kept.draft, 1, actor)
    return DataStepPage(
        form=form_of(kept.found, kept.typed),
        course=course,
        chosen=chosen_paths(
            found,
            services.read.datasets,
            TRAINING,
            search=kept.search,
            images_address=f"{course.address}/images",
            data_folders=data_folders,
            locked=course.locked,
            code_list=checked.model_parameters.code_list if checked else None,
        ),
        counts=counts_of(checked.model_parameters, found) if checked and found else (),
    )


def training_step(
    services: Services, actor: UUID, kept: KeptDraft, course: Course, form: Form | None = None
) -> TrainingStepPage:
    """Step 3 as it was left; the package's defaults where it was not visited yet, those of the version in a retraining.

    Raises:
        Refusal, Refusals: step 1 is not right.
    """
    checked = check_step(services.assay, kept.draft, 1, actor)
    package, name = checked.basis.package, checked.model_parameters.classification.name
    network = package.network(NetworkTask.CLASSIFICATION, name)
    has_weights = network is not None and network.weights is not None
    resources = tuple(services.read.compute_resources.list())
    form = form or kept.form(3)
    if form is None:
        only_one = resources[0].compute_resource_id if len(resources) == 1 else ""
        form = Form.of(
            compute_resource=kept.draft.compute_resource_id or only_one,
            training_parameters=kept.draft.training_parameters or package.training_parameters,
            starting_weights=kept.draft.starting_weights,
        )
    elif not form.checked("compute_resource"):
        form = Form((*form.fields, ("compute_resource", "")), form.told)  # a place for what is said about it
    if not has_weights and form.text("starting_weights") == StartingWeights.PACKAGE.value:
        form = Form(filled_in(form, starting_weights=StartingWeights.NOTHING.value).fields, form.told)
    with_segmentation = checked.basis.can_train_segmentation
    images = learnt_from(checked, kept)
    return TrainingStepPage(
        form=form,
        course=course,
        resources=resources,
        curves=collect([], rate_curves, form.value("training_parameters"), images, with_segmentation=with_segmentation)
        or (),
        can_train_segmentation=with_segmentation,
        network=name,
        defect_codes=checked.model_parameters.classifier_codes,
        has_weights=has_weights,
        versions=ModelVersionChoices() if course.version else _versions(services, actor, form, name),
        learnt_from=images,
    )


def preprocessing_step(
    services: Services, actor: UUID, kept: KeptDraft, course: Course, form: Form | None = None
) -> PreprocessingStepPage:
    """Step 4 as it was left.

    Raises:
        Refusal, Refusals: a step before is not right.
    """
    checked = check_step(services.assay, kept.draft, STEP_COUNT - 1, actor)
    resources = {resource.compute_resource_id: resource for resource in services.read.compute_resources.list()}
    return PreprocessingStepPage(
        form=form or kept.form(4) or preprocessing_form(kept.draft),
        course=course,
        kept=kept,
        checked=checked,
        resource=resources.get(kept.draft.compute_resource_id),
        standing=standing_nodes(services.read, [checked.environment]),
        counts=counts_of(checked.model_parameters, kept.found),
    )


def curves_page(form: Form) -> CurvesPage:
    """The curves of what stands in an editor, or what is wrong with it."""
    refusals: list[Refusal] = []
    counts = (collect([], form.whole, name) or 0 for name in ("images", "masked_images"))
    curves = collect(
        refusals,
        rate_curves,
        form.value("training_parameters"),
        LearntFrom(*counts),
        with_segmentation=form.checked("segmentation"),
    )
    return CurvesPage(curves=curves or (), mistakes=tuple(refusal.sentence for refusal in refusals))


def learnt_from(checked: CheckedDraft, kept: KeptDraft) -> LearntFrom:
    """About how many images the training split holds, by what was seen in the data paths; screening may leave some out."""
    counts, share = counts_of(checked.model_parameters, kept.found), kept.draft.split_ratio
    return LearntFrom(
        of_classes=round(
            share * sum(count.image_count for count in counts if count.is_listed and not count.is_special)
        ),
        masked=round(share * sum(count.mask_count for count in counts if count.is_listed)),
    )


def rate_curves(text: str, images: LearntFrom, *, with_segmentation: bool) -> tuple[Curve, ...]:
    """The learning rates that parameters in an editor give (W-7).

    Raises:
        JsonIsMalformed, JsonFieldIsWrong, GammaGrows: with line and field.
    """
    parameters = read_training_parameters(text)
    parts = [(LossPart.CLASSIFICATION, parameters.classification, images.of_classes)]
    if with_segmentation and parameters.segmentation is not None:
        parts.append((LossPart.SEGMENTATION, parameters.segmentation, images.masked))
    return tuple(Curve(part, _rate_chart(sgd), sgd, image_count) for part, sgd, image_count in parts)


def counts_of(parameters: ModelParameters, inspections: Sequence[Inspection]) -> tuple[CodeCount, ...]:
    """Every code of code_list in its order, then those that were found beside it."""
    found: dict[str, tuple[int, int]] = dict.fromkeys(parameters.code_list, (0, 0))
    for inspection in inspections:
        for count in inspection.defect_codes:
            images, masks = found.get(count.defect_code, (0, 0))
            found[count.defect_code] = (images + count.image_count, masks + count.mask_count)
    return tuple(
        CodeCount(
            defect_code=code,
            image_count=images,
            mask_count=masks,
            is_special=code in parameters.special_defect_codes,
            is_listed=code in parameters.code_list,
        )
        for code, (images, masks) in found.items()
    )


def _versions(services: Services, actor: UUID, form: Form, network: str) -> ModelVersionChoices:
    """What a new model can start from (W-12)."""
    model, _, label = form.text("starting_version").partition("/")
    found: ModelVersionChoices = services.read.models.choices(
        actor, search=form.text(FIND_VERSION), network=network, chosen=(id_or_none(model), label)
    )
    return found


def _rate_chart(sgd: SgdParameters) -> LineChart:
    last = sgd.max_iter - 1
    even = {round(last * number / CURVE_POINTS) for number in range(CURVE_POINTS + 1)}
    iterations = sorted(even | set(range(min(FIRST_ITERATIONS, sgd.max_iter))))
    points = tuple((float(iteration), sgd.rate_at(iteration)) for iteration in iterations)
    series = [Series(sgd.lr_policy.value, points)]
    return line_chart(series, x_label="iteration", y_label=N_("learning rate"), x_max=float(last), from_zero=True)
