"""What the four steps of a new model show. Source: section W; manual, “新建模型”. `web/training_wizard.py` moves between them."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from commands.training_jobs import STEP_COUNT, CheckedDraft, check_step
from domain.data_paths import Inspection
from domain.datasets import DatasetPurpose
from domain.learning_rates import learning_rate
from domain.messages import LossPart
from domain.model_images import ModelImageKind
from domain.model_packages import NetworkTask
from domain.refusals import Refusal, Refusals, collect
from domain.sentences import N_
from domain.training_parameters import ModelParameters, SgdParameters, read_training_parameters
from domain.training_requests import LEAST_IMAGES_PER_CLASS, TrainingDraft, can_train_segmentation
from projections.compute_resources import ComputeResourceRow
from projections.model_images import ModelImageVersionChoice
from projections.overview import SetupSteps
from web.cascade import Cascade, environment_cascade, standing_nodes
from web.charts import LineChart, Series, line_chart
from web.chosen_paths import ChosenPaths, as_known_now, chosen_paths, form_of
from web.forms import Form
from web.pages import Page
from web.services import ReadModels, Services
from web.training_drafts import KeptDraft, first_model_form, preprocessing_form

ADDRESS = "/training-jobs/new"
TRAINING_DATASETS = "/training-datasets"
FILTER = "filter_"
"""Before the names of the fields that only narrow the list of business images."""
CURVE_POINTS = 160
FIRST_ITERATIONS = 12
"""Drawn one by one: with exp and a small gamma the rate falls within a few iterations."""


class UnfinishedPage(Page, frozen=True):
    """A model was begun before: go on with it, or begin anew."""

    TEMPLATE = "training_wizard/unfinished.html"
    draft: TrainingDraft


class ModelStepPage(Page, frozen=True):
    """Step 1. `business` are the business images of the filter's place, `standing` the nodes of their bindings that still exist.

    `setup` is there while something is missing (M-7).
    """

    TEMPLATE = "training_wizard/step_1.html"
    general: tuple[ModelImageVersionChoice, ...]
    business: tuple[ModelImageVersionChoice, ...]
    standing: frozenset[UUID]
    has_versions: bool
    cascade: Cascade
    filter: Cascade
    setup: SetupSteps | None = None


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
    chosen: ChosenPaths
    counts: tuple[CodeCount, ...]


class Curve(msgspec.Struct, frozen=True):
    """The learning rates of one part over its iterations."""

    part: LossPart
    chart: LineChart


class TrainingStepPage(Page, frozen=True):
    """Step 3; without curves where the parameters are wrong. `network` is the chosen one."""

    TEMPLATE = "training_wizard/step_3.html"
    resources: tuple[ComputeResourceRow, ...]
    curves: tuple[Curve, ...]
    can_train_segmentation: bool
    network: str
    has_weights: bool


class CurvesPage(Page, frozen=True):
    """The curves alone, for the preview while the parameters are edited."""

    TEMPLATE = "training_wizard/_curves.html"
    curves: tuple[Curve, ...]


class PreprocessingStepPage(Page, frozen=True):
    """Step 4, with everything that was chosen before; `places` are where the model is to work."""

    TEMPLATE = "training_wizard/step_4.html"
    kept: KeptDraft
    checked: CheckedDraft
    resource: ComputeResourceRow | None
    places: tuple[str, ...]
    counts: tuple[CodeCount, ...]
    can_train_segmentation: bool

    @property
    def segmentation_network(self) -> str:
        """What 「开启训练分割」 would train; "" where the package offers nothing."""
        named = self.checked.model_parameters.segmentation
        offered = self.checked.version.package.networks_for(NetworkTask.SEGMENTATION)
        return named.name if named else next((network.name for network in offered), "")


def model_step(read: ReadModels, kept: KeptDraft, form: Form | None = None) -> ModelStepPage:
    """Step 1 as it was left."""
    versions = read.model_images.loaded_versions()
    form = form or kept.form(1) or first_model_form(versions)
    cascade = environment_cascade(read, form, several_at_last=True)
    narrowing = environment_cascade(read, form, several_at_last=False, prefix=FILTER)
    business = tuple(version for version in versions if _is_business_of(version, narrowing.place_ids))
    setup = read.overview.setup()
    return ModelStepPage(
        form=form,
        general=tuple(version for version in versions if version.kind is ModelImageKind.GENERAL),
        business=business,
        standing=standing_nodes(read, (version.environment for version in business if version.environment)),
        has_versions=bool(versions),
        cascade=cascade,
        filter=narrowing,
        setup=None if setup.is_done else setup,
    )


def data_step(services: Services, kept: KeptDraft) -> DataStepPage:
    """Step 2 as it was left."""
    data_folders = services.assay.ports.data_folders
    found = as_known_now(kept.found, data_folders)
    checked: CheckedDraft | None = collect([], check_step, services.assay, kept.draft, 1)
    return DataStepPage(
        form=form_of(kept.found, kept.typed),
        chosen=chosen_paths(
            found,
            services.read.datasets,
            DatasetPurpose.TRAINING,
            search=kept.search,
            datasets_address=TRAINING_DATASETS,
            images_address=f"{ADDRESS}/images",
            data_folders=data_folders,
        ),
        counts=counts_of(checked.model_parameters, found) if checked and found else (),
    )


def training_step(services: Services, kept: KeptDraft, form: Form | None = None) -> TrainingStepPage:
    """Step 3 as it was left; the package's defaults where it was not visited yet.

    Raises:
        Refusal, Refusals: step 1 is not right.
    """
    checked = check_step(services.assay, kept.draft, 1)
    resources = tuple(services.read.compute_resources.list())
    form = form or kept.form(3)
    if form is None:
        form = Form.of(
            compute_resource=resources[0].compute_resource_id if len(resources) == 1 else "",
            training_parameters=kept.draft.training_parameters or checked.version.package.training_parameters,
            starting_weights=kept.draft.starting_weights,
        )
    elif not form.checked("compute_resource"):
        form = Form((*form.fields, ("compute_resource", "")), form.told)  # a place for what is said about it
    name = checked.model_parameters.classification.name
    network = checked.version.package.network(NetworkTask.CLASSIFICATION, name)
    with_segmentation = can_train_segmentation(checked.image, checked.version)
    return TrainingStepPage(
        form=form,
        resources=resources,
        curves=collect([], rate_curves, form.value("training_parameters"), with_segmentation=with_segmentation) or (),
        can_train_segmentation=with_segmentation,
        network=name,
        has_weights=network is not None and network.weights is not None,
    )


def preprocessing_step(services: Services, kept: KeptDraft, form: Form | None = None) -> PreprocessingStepPage:
    """Step 4 as it was left.

    Raises:
        Refusal, Refusals: a step before is not right.
    """
    checked = check_step(services.assay, kept.draft, STEP_COUNT - 1)
    bound = checked.image.environment
    places = (
        tuple(" / ".join([*(node.name for node in bound.path), last.name]) for last in bound.products)
        if bound
        else tuple(" / ".join(path.names) for path in services.read.environments.paths(kept.draft.environment))
    )
    resources = {resource.compute_resource_id: resource for resource in services.read.compute_resources.list()}
    return PreprocessingStepPage(
        form=form or kept.form(4) or preprocessing_form(kept.draft),
        kept=kept,
        checked=checked,
        resource=resources.get(kept.draft.compute_resource_id),
        places=places,
        counts=counts_of(checked.model_parameters, kept.found),
        can_train_segmentation=can_train_segmentation(checked.image, checked.version),
    )


def curves_page(form: Form) -> CurvesPage:
    """The curves of what stands in an editor, or what is wrong with it."""
    refusals: list[Refusal] = []
    curves = collect(
        refusals, rate_curves, form.value("training_parameters"), with_segmentation=form.checked("segmentation")
    )
    return CurvesPage(form=form.refused(Refusals(refusals)), curves=curves or ())


def rate_curves(text: str, *, with_segmentation: bool) -> tuple[Curve, ...]:
    """The learning rates that parameters in an editor give (W-7).

    Raises:
        JsonIsMalformed, JsonFieldIsWrong, GammaGrows: with line and field.
    """
    parameters = read_training_parameters(text)
    curves = [Curve(LossPart.CLASSIFICATION, _rate_chart(parameters.classification))]
    if with_segmentation and parameters.segmentation is not None:
        curves.append(Curve(LossPart.SEGMENTATION, _rate_chart(parameters.segmentation)))
    return tuple(curves)


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


def _is_business_of(version: ModelImageVersionChoice, place_ids: Sequence[UUID]) -> bool:
    """Whether a business image is bound to one of these places or below it; to any place, where none is named."""
    if version.kind is not ModelImageKind.BUSINESS or version.environment is None:
        return False
    return not place_ids or not set(place_ids).isdisjoint(version.environment.place_ids)


def _rate_chart(sgd: SgdParameters) -> LineChart:
    last = sgd.max_iter - 1
    even = {round(last * number / CURVE_POINTS) for number in range(CURVE_POINTS + 1)}
    iterations = sorted(even | set(range(min(FIRST_ITERATIONS, sgd.max_iter))))
    points = tuple((float(iteration), _rate(sgd, iteration)) for iteration in iterations)
    series = [Series(sgd.lr_policy.value, points)]
    return line_chart(series, x_label="iteration", y_label=N_("learning rate"), x_max=float(last), from_zero=True)


def _rate(sgd: SgdParameters, iteration: int) -> float:
    return learning_rate(
        sgd.lr_policy,
        base_lr=sgd.base_lr,
        iteration=iteration,
        max_iter=sgd.max_iter,
        gamma=sgd.gamma,
        power=sgd.power,
    )
