"""新建模型: four steps, kept on the server as entered. Source: REQUIREMENTS, section W; manual, “新建模型”.

Every press of a button sends the whole step. What was entered is kept first, then looked at, so that a refused step, a step back
and a closed browser lose nothing (W-1). A step opens once the steps before it are right; the command side says what is right.
"""

import secrets
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.response import Redirect

from commands.assay import Assay
from commands.training_jobs import STEP_COUNT, CheckedDraft, QueueTrainingJob, check_step
from domain.data_paths import DataPathState, FolderName, Inspection
from domain.datasets import DataPathIsInvalid, DataPathRepeated, DatasetPurpose
from domain.learning_rates import learning_rate
from domain.messages import LossPart
from domain.model_images import ModelImageKind
from domain.model_packages import NetworkTask
from domain.refusals import Refusal, Refusals, collect, raise_together
from domain.sentences import N_
from domain.training_parameters import Augmentation, ModelParameters, SgdParameters, read_training_parameters
from domain.training_requests import LEAST_IMAGES_PER_CLASS, StartingWeights, TrainingDraft, can_train_segmentation
from projections.datasets import DatasetChoice
from projections.model_images import ModelImageVersionChoice
from web.cascade import Cascade, deepest_chosen, environment_cascade
from web.charts import LineChart, Series, line_chart
from web.forms import Form
from web.listing import Listing, read_listing
from web.pages import Desk, Page
from web.services import ReadModels, Services

ADDRESS = "/training-jobs/new"
DRAFT = "training"
CURVE_POINTS = 160
IMAGES_ON_A_PAGE = 60
FILTER = "filter_"
"""Before the names of the fields that only narrow the list of business images."""


class KeptDraft(msgspec.Struct, frozen=True):
    """An unfinished model. Ids and seed are drawn once, so that the last button makes one job however often it is pressed.

    `draft` is what could be understood so far; `entered` holds the fields of each visited step exactly as they were sent.
    """

    job_id: UUID
    model_id: UUID
    seed: int
    draft: TrainingDraft = TrainingDraft()
    entered: dict[int, tuple[tuple[str, str], ...]] = {}

    def form(self, step: int) -> Form | None:
        """What was entered in a step; None where it was not visited yet."""
        return Form(self.entered[step]) if step in self.entered else None


class CodeCount(msgspec.Struct, frozen=True):
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


class PathLine(msgspec.Struct, frozen=True):
    """A chosen data path, as just inspected; `number` counts from 1."""

    number: int
    found: Inspection

    @property
    def field(self) -> str:
        """The name under which the rules refuse this path."""
        return f"data_paths.{self.number}"


class Curve(msgspec.Struct, frozen=True):
    """The learning rates of one part over its iterations."""

    part: LossPart
    chart: LineChart


class UnfinishedPage(Page, frozen=True):
    """A model was begun before: go on with it, or begin anew."""

    TEMPLATE = "training_wizard/unfinished.html"
    draft: TrainingDraft


class ModelStepPage(Page, frozen=True):
    """Step 1. `business` are the business images of the filter's place; `setup` is there while something is missing."""

    TEMPLATE = "training_wizard/step_1.html"
    general: tuple[ModelImageVersionChoice, ...]
    business: tuple[ModelImageVersionChoice, ...]
    chosen: ModelImageVersionChoice | None
    cascade: Cascade
    filter: Cascade
    filter_is_on: bool
    setup: Any = None


class DataStepPage(Page, frozen=True):
    """Step 2."""

    TEMPLATE = "training_wizard/step_2.html"
    lines: tuple[PathLine, ...]
    counts: tuple[CodeCount, ...]
    datasets: tuple[DatasetChoice, ...]


class TrainingStepPage(Page, frozen=True):
    """Step 3. `resources` are `projections.compute_resources.ComputeResourceRow`; no curves where the parameters are wrong."""

    TEMPLATE = "training_wizard/step_3.html"
    resources: tuple[Any, ...]
    curves: tuple[Curve, ...]
    network: str
    has_weights: bool


class CurvesPage(Page, frozen=True):
    """The curves alone, for the preview while the parameters are edited."""

    TEMPLATE = "training_wizard/_curves.html"
    curves: tuple[Curve, ...]


class PreprocessingStepPage(Page, frozen=True):
    """Step 4, with everything that was chosen before."""

    TEMPLATE = "training_wizard/step_4.html"
    job_id: UUID
    draft: TrainingDraft
    checked: CheckedDraft
    resource: Any
    environment: tuple[str, ...]
    inspections: tuple[Inspection, ...]
    counts: tuple[CodeCount, ...]
    can_train_segmentation: bool


class PathImagesPage(Page, frozen=True):
    """The images of a chosen data path, one defect code at a time; `images` are `infra.images.ListedImage`."""

    TEMPLATE = "training_wizard/images.html"
    found: Inspection
    defect_code: str
    images: tuple[Any, ...]
    listing: Listing


class TrainingWizard(Controller):
    """For everyone who is signed in; each has one unfinished model."""

    path = ADDRESS

    @get("/", sync_to_thread=True)
    def begin(
        self, actor: NamedDependency[UUID], services: NamedDependency[Services], desk: NamedDependency[Desk]
    ) -> Response[Any]:
        """Go on or begin anew, where something was begun; the first step otherwise."""
        kept = _kept(services, actor)
        if kept is None or not kept.entered:
            return desk.go(f"{ADDRESS}/step-1")
        return desk.show(UnfinishedPage(draft=kept.draft))

    @post("/", sync_to_thread=True)
    def begin_anew(
        self, actor: NamedDependency[UUID], services: NamedDependency[Services], desk: NamedDependency[Desk]
    ) -> Redirect:
        """Forget what was begun."""
        services.drafts.drop(actor, DRAFT)
        return desk.go(f"{ADDRESS}/step-1")

    @get("/continue", sync_to_thread=True)
    def go_on(
        self, actor: NamedDependency[UUID], services: NamedDependency[Services], desk: NamedDependency[Desk]
    ) -> Redirect:
        """To the last step that was visited, or to the first one before it that is not right (any more)."""
        kept = _kept(services, actor)
        reached = max(kept.entered, default=1) if kept else 1
        return desk.go(_address_of(services, kept or _fresh(), reached))

    @get("/step-1", sync_to_thread=True)
    def model_step(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """选择模型镜像."""
        kept = _kept(services, actor) or _fresh()
        page = _model_page(services.read, kept.form(1) or _first_form(services.read))
        return self._show(desk, services, page, kept, 1, is_checked=form.checked("check"))

    @post("/step-1", sync_to_thread=True)
    def model_step_sent(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Take the package's defaults, narrow the business images, or go on to the data paths."""
        versions = services.read.model_images.loaded_versions()
        entered = _chosen_kind_only(form, versions)
        if form.text("do") == "defaults" and (version := _version_of(entered, versions)):
            entered = _with(entered, model_parameters=version.package.model_parameters)
        kept = _kept(services, actor) or _fresh()
        page = _model_page(services.read, entered)
        draft = _model_entered(entered, kept.draft, versions, len(page.cascade.levels))
        kept = _keep(services, actor, kept, 1, entered, draft)
        return self._move(desk, services, page, kept, 1, form.text("do"))

    @get("/step-2", sync_to_thread=True)
    def data_step(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[Any]:
        """选择数据路径."""
        kept = _kept(services, actor) or _fresh()
        if (address := _address_of(services, kept, 2)) != f"{ADDRESS}/step-2":
            return desk.go(address)
        page = _data_page(services, kept.draft, kept.form(2) or Form.of(typed=""))
        return self._show(desk, services, page, kept, 2, is_checked=form.checked("check"))

    @post("/step-2", sync_to_thread=True)
    def data_step_sent(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Import ticked paths, add typed ones, remove one, or go on to the training parameters."""
        kept = _kept(services, actor) or _fresh()
        do = form.text("do")
        paths = [folder for folder in kept.draft.data_paths if str(folder) != do.removeprefix("remove.")]
        if do == "import":
            paths += [folder for folder in _ticked(services.read, form) if folder not in paths]
        typed: tuple[str, ...] = form.lines("typed")
        refusals: list[Refusal] = []
        if do in ("add", "next"):
            added, typed, refusals = _typed_paths(_assay(services), typed, paths)
            paths += added
        entered = Form.of(typed="\n".join(typed))
        draft = msgspec.structs.replace(kept.draft, data_paths=tuple(paths))
        kept = _keep(services, actor, kept, 2, entered, draft)
        page = _data_page(services, draft, entered)
        return self._move(desk, services, page, kept, 2, "next" if refusals else do, refusals)

    @get("/images", sync_to_thread=True)
    def images(
        self,
        form: NamedDependency[Form],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The images of a data path (D-9)."""
        found = _assay(services).ports.data_folders.inspect_folder(FolderName(form.value("root"), form.value("path")))
        codes = [counted.defect_code for counted in found.defect_codes]
        defect_code = form.value("code") if form.value("code") in codes else next(iter(codes), "")
        names = services.images.names(found.folder, defect_code) if codes else ()
        listing = read_listing(f"{ADDRESS}/images", form, rows=IMAGES_ON_A_PAGE).of(len(names))
        page = PathImagesPage(
            found=found,
            defect_code=defect_code,
            images=tuple(names[max(0, listing.first - 1) : listing.last]),
            listing=listing,
        )
        return desk.show(page)

    @get("/step-3", sync_to_thread=True)
    def training_step(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[Any]:
        """配置训练参数."""
        kept = _kept(services, actor) or _fresh()
        if (address := _address_of(services, kept, 3)) != f"{ADDRESS}/step-3":
            return desk.go(address)
        page = _training_page(services, kept, kept.form(3))
        is_checked = form.checked("check") or form.checked("preview")
        return self._show(desk, services, page, kept, 3, is_checked=is_checked)

    @post("/step-3", sync_to_thread=True)
    def training_step_sent(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Take the package's defaults, draw the curves, or go on to preprocessing."""
        kept = _kept(services, actor) or _fresh()
        if (address := _address_of(services, kept, 3)) != f"{ADDRESS}/step-3":
            return desk.go(address)
        entered = form
        if form.text("do") == "defaults":
            package = check_step(_assay(services), kept.draft, 1).version.package
            entered = _with(form, training_parameters=package.training_parameters)
        draft = msgspec.structs.replace(
            kept.draft,
            compute_resource_id=_id_or_none(entered.text("compute_resource")),
            training_parameters=entered.value("training_parameters"),
            starting_weights=StartingWeights.NOTHING
            if entered.text("starting_weights") == StartingWeights.NOTHING.value
            else StartingWeights.PACKAGE,
        )
        kept = _keep(services, actor, kept, 3, entered, draft)
        page = _training_page(services, kept, entered)
        if form.text("do") == "preview":
            with desk.refusals_on(page):
                read_training_parameters(draft.training_parameters)
        return self._move(desk, services, page, kept, 3, form.text("do"))

    @post("/learning-rates", sync_to_thread=True)
    def learning_rates(
        self,
        form: NamedDependency[Form],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The curves of what stands in the editor, for the script that draws them while it is edited (W-7)."""
        refusals: list[Refusal] = []
        curves = collect(refusals, learning_rate_curves, form.value("training_parameters"), with_segmentation=True)
        names = set(form.all("part"))
        shown = tuple(curve for curve in curves or () if curve.part.value in names)
        page = CurvesPage(form=form, curves=shown)
        return desk.show(msgspec.structs.replace(page, form=form.refused(Refusals(refusals))))

    @get("/step-4", sync_to_thread=True)
    def preprocessing_step(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[Any]:
        """添加预处理参数."""
        kept = _kept(services, actor) or _fresh()
        if (address := _address_of(services, kept, STEP_COUNT)) != f"{ADDRESS}/step-4":
            return desk.go(address)
        page = _preprocessing_page(services, kept, kept.form(4) or _preprocessing_form(kept.draft))
        return self._show(desk, services, page, kept, 4, is_checked=form.checked("check"))

    @post("/step-4", sync_to_thread=True)
    def preprocessing_step_sent(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """【完成】: the job waits for a worker. Pressed again, it leads to the same job."""
        kept = _kept(services, actor)
        if kept is None or form.text("job_id") not in ("", str(kept.job_id)):
            job_id = _id_or_none(form.text("job_id"))
            is_queued = job_id is not None and services.read.training_jobs.get(job_id) is not None
            return desk.go("/training-jobs" if is_queued else f"{ADDRESS}/step-1")
        if (address := _address_of(services, kept, STEP_COUNT)) != f"{ADDRESS}/step-4":
            return desk.go(address)
        refusals: list[Refusal] = []
        draft = _preprocessing_entered(form, kept.draft, refusals)
        kept = _keep(services, actor, kept, 4, form, draft)
        if form.text("do") == "back":
            return desk.go(f"{ADDRESS}/step-3")
        with desk.refusals_on(_preprocessing_page(services, kept, form)):
            raise_together(refusals)
            desk.ask(
                QueueTrainingJob(actor=actor, job_id=kept.job_id, model_id=kept.model_id, draft=draft, seed=kept.seed)
            )
        services.drafts.drop(actor, DRAFT)
        desk.say(N_("Training job “{name}” waits for a worker."), name=draft.model_name)
        return desk.go("/training-jobs")

    @staticmethod
    def _show(
        desk: Desk, services: Services, page: Page, kept: KeptDraft, step: int, *, is_checked: bool
    ) -> Response[str]:
        """The step as it was left; with what is wrong in it, where a later step was asked for too early."""
        if is_checked:
            with desk.refusals_on(page):
                check_step(_assay(services), kept.draft, step)
        return desk.show(page)

    @staticmethod
    def _move(
        desk: Desk,
        services: Services,
        page: Page,
        kept: KeptDraft,
        step: int,
        do: str,
        refusals: Sequence[Refusal] = (),
    ) -> Redirect:
        """Where the pressed button leads, once the step is kept: on if it is right, back in any case, or here again."""
        if do == "next":
            with desk.refusals_on(page):
                raise_together(list(refusals))
                check_step(_assay(services), kept.draft, step)
            return desk.go(f"{ADDRESS}/step-{step + 1}")
        return desk.go(f"{ADDRESS}/step-{step - 1 if do == 'back' else step}")


def learning_rate_curves(text: str, *, with_segmentation: bool) -> tuple[Curve, ...]:
    """The curves of the parameters in an editor (W-7).

    Raises:
        JsonIsMalformed, JsonFieldIsWrong, GammaGrows: with line and field.
    """
    parameters = read_training_parameters(text)
    parts = [(LossPart.CLASSIFICATION, parameters.classification)]
    if with_segmentation and parameters.segmentation is not None:
        parts.append((LossPart.SEGMENTATION, parameters.segmentation))
    return tuple(Curve(part, _rate_chart(sgd)) for part, sgd in parts)


def _rate_chart(sgd: SgdParameters) -> LineChart:
    """Rates at the beginning one by one, where exp falls within a few iterations, then evenly to the last iteration."""
    last = sgd.max_iter - 1
    even = {round(last * number / CURVE_POINTS) for number in range(CURVE_POINTS + 1)}
    iterations = sorted(even | {number for number in range(12) if number <= last})
    points = tuple(
        (
            float(iteration),
            learning_rate(
                sgd.lr_policy,
                base_lr=sgd.base_lr,
                iteration=iteration,
                max_iter=sgd.max_iter,
                gamma=sgd.gamma,
                power=sgd.power,
            ),
        )
        for iteration in iterations
    )
    return line_chart(
        [Series(sgd.lr_policy.value, points)],
        x_label="iteration",
        y_label="learning rate",
        x_max=float(last),
        from_zero=True,
    )


# What is kept between the steps.


def _fresh() -> KeptDraft:
    return KeptDraft(job_id=uuid4(), model_id=uuid4(), seed=secrets.randbelow(1 << 31))


def _kept(services: Services, actor: UUID) -> KeptDraft | None:
    """The unfinished model; one of an earlier release that cannot be read any more counts as none."""
    content = services.drafts.load(actor, DRAFT)
    try:
        return msgspec.json.decode(content, type=KeptDraft) if content else None
    except msgspec.MsgspecError:
        return None


def _keep(
    services: Services, actor: UUID, kept: KeptDraft, step: int, entered: Form, draft: TrainingDraft
) -> KeptDraft:
    fields = tuple((name, value) for name, value in entered.fields if name not in ("csrf_token", "do", "job_id"))
    changed = msgspec.structs.replace(kept, draft=draft, entered={**kept.entered, step: fields})
    services.drafts.save(actor, DRAFT, msgspec.json.encode(changed))
    return changed


def _address_of(services: Services, kept: KeptDraft, step: int) -> str:
    """The address of a step, or of the first one before it that is not right, with what is wrong there."""
    for earlier in range(1, step):
        try:
            check_step(_assay(services), kept.draft, earlier)
        except (Refusal, Refusals):
            return f"{ADDRESS}/step-{earlier}" + ("?check=on" if earlier in kept.entered else "")
    return f"{ADDRESS}/step-{step}"


def _assay(services: Services) -> Assay:
    assay: Any = services.assay
    checked: Assay = assay
    return checked


def _with(form: Form, **values: str) -> Form:
    """The form with some fields filled in anew."""
    return Form((*((name, value) for name, value in form.fields if name not in values), *values.items()))


def _id_or_none(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


# Step 1.


def _first_form(read: ReadModels) -> Form:
    """The newest general image with its defaults, where there is one."""
    versions = read.model_images.loaded_versions()
    first = next((one for one in versions if one.kind is ModelImageKind.GENERAL), next(iter(versions), None))
    if first is None:
        return Form.of(kind=ModelImageKind.GENERAL)
    return Form.of(
        kind=first.kind, model_image_version=value_of(first), model_parameters=first.package.model_parameters
    )


def value_of(version: ModelImageVersionChoice) -> str:
    """How a form names a version."""
    return f"{version.model_image_id}/{version.number}"


def _version_of(form: Form, versions: Sequence[ModelImageVersionChoice]) -> ModelImageVersionChoice | None:
    return next((one for one in versions if value_of(one) == form.text("model_image_version")), None)


def _chosen_kind_only(form: Form, versions: Sequence[ModelImageVersionChoice]) -> Form:
    """Without a version of the other kind, which the page does not show any more."""
    chosen = _version_of(form, versions)
    if chosen is None or chosen.kind.value == form.text("kind"):
        return form
    return Form(tuple((name, value) for name, value in form.fields if name != "model_image_version"))


def _model_entered(
    form: Form, draft: TrainingDraft, versions: Sequence[ModelImageVersionChoice], level_count: int
) -> TrainingDraft:
    chosen, before = _version_of(form, versions), _version_of_draft(draft, versions)
    untouched = before is not None and draft.training_parameters == before.package.training_parameters
    try:
        environment = deepest_chosen(form, level_count)
    except Refusal:
        environment = ()
    return msgspec.structs.replace(
        draft,
        model_name=form.text("model_name"),
        model_image_id=chosen.model_image_id if chosen else None,
        model_image_version=chosen.number if chosen else 0,
        model_parameters=form.value("model_parameters"),
        environment=environment,
        training_parameters=chosen.package.training_parameters if untouched and chosen else draft.training_parameters,
    )


def _version_of_draft(
    draft: TrainingDraft, versions: Sequence[ModelImageVersionChoice]
) -> ModelImageVersionChoice | None:
    wanted = (draft.model_image_id, draft.model_image_version)
    return next((one for one in versions if (one.model_image_id, one.number) == wanted), None)


def _model_page(read: ReadModels, form: Form) -> ModelStepPage:
    versions = read.model_images.loaded_versions()
    cascade = environment_cascade(read, form, several_at_last=True)
    narrowed = Form(
        tuple((name.removeprefix(FILTER), value) for name, value in form.fields if name.startswith(f"{FILTER}level_"))
    )
    choices = environment_cascade(read, narrowed, several_at_last=False)
    filter_cascade = Cascade(
        tuple(msgspec.structs.replace(level, field=f"{FILTER}{level.field}") for level in choices.levels)
    )
    try:
        node_ids = deepest_chosen(narrowed, len(choices.levels))
    except Refusal:
        node_ids = ()
    is_ready = bool(versions) and bool(cascade.levels) and bool(cascade.levels[-1].choices)
    return ModelStepPage(
        form=form,
        general=tuple(one for one in versions if one.kind is ModelImageKind.GENERAL),
        business=tuple(one for one in versions if _is_business_of(one, node_ids)),
        chosen=_version_of(form, versions),
        cascade=cascade,
        filter=filter_cascade,
        filter_is_on=bool(node_ids),
        setup=None if is_ready else read.overview.setup(),
    )


def _is_business_of(version: ModelImageVersionChoice, node_ids: Sequence[UUID]) -> bool:
    """Whether a business image is bound to one of these places or below it; to any place, where none is named."""
    if version.kind is not ModelImageKind.BUSINESS or version.environment is None:
        return False
    bound = {node.node_id for node in (*version.environment.path, *version.environment.products)}
    return not node_ids or not bound.isdisjoint(node_ids)


# Step 2.


def _ticked(read: ReadModels, form: Form) -> list[FolderName]:
    ticked = set(form.all("import"))
    return [
        path.folder
        for dataset in read.datasets.choices(DatasetPurpose.TRAINING)
        for path in dataset.paths
        if str(path.path_id) in ticked
    ]


def _typed_paths(
    assay: Assay, typed: Sequence[str], known: Sequence[FolderName]
) -> tuple[list[FolderName], tuple[str, ...], list[Refusal]]:
    """The folders that were typed, the lines that are wrong, and why; each reason once."""
    added: list[FolderName] = []
    wrong: list[str] = []
    refusals: dict[type[Refusal], Refusal] = {}
    for line in typed:
        found = assay.ports.data_folders.inspect(line)
        kind: type[Refusal] | None = DataPathIsInvalid if found.state is DataPathState.INVALID else None
        if kind is None and found.folder in (*known, *added):
            kind = DataPathRepeated
        if kind is None:
            added.append(found.folder)
        else:
            wrong.append(line)
            refusals[kind] = kind(at="typed")
    return added, tuple(wrong), list(refusals.values())


def _data_page(services: Services, draft: TrainingDraft, form: Form) -> DataStepPage:
    folders = _assay(services).ports.data_folders
    lines = tuple(PathLine(number, folders.inspect_folder(folder)) for number, folder in enumerate(draft.data_paths, 1))
    placed = (*form.fields, ("data_paths", ""), *((line.field, str(line.found.folder)) for line in lines))
    refusals: list[Refusal] = []
    checked = collect(refusals, check_step, _assay(services), draft, 1)
    parameters = checked.model_parameters if checked else None
    return DataStepPage(
        form=Form(placed, form.told),
        lines=lines,
        counts=_counts(parameters, [line.found for line in lines]) if parameters else (),
        datasets=tuple(services.read.datasets.choices(DatasetPurpose.TRAINING)),
    )


def _counts(parameters: ModelParameters, inspections: Sequence[Inspection]) -> tuple[CodeCount, ...]:
    """Every code of code_list in its order, then what was found beside."""
    found: dict[str, tuple[int, int]] = dict.fromkeys(parameters.code_list, (0, 0))
    for inspection in inspections:
        for count in inspection.defect_codes:
            images, masks = found.get(count.defect_code, (0, 0))
            found[count.defect_code] = (images + count.image_count, masks + count.mask_count)
    return tuple(
        CodeCount(code, images, masks, code in parameters.special_defect_codes, is_listed=code in parameters.code_list)
        for code, (images, masks) in found.items()
    )


# Step 3.


def _training_page(services: Services, kept: KeptDraft, form: Form | None) -> TrainingStepPage:
    checked = check_step(_assay(services), kept.draft, 1)
    resources = tuple(services.read.compute_resources.list())
    if form is None:
        form = Form.of(
            compute_resource=resources[0].compute_resource_id if resources else "",
            training_parameters=kept.draft.training_parameters or checked.version.package.training_parameters,
            starting_weights=kept.draft.starting_weights,
        )
    elif not form.checked("compute_resource"):
        form = Form((*form.fields, ("compute_resource", "")), form.told)
    network_name = checked.model_parameters.classification.name
    network = checked.version.package.network(NetworkTask.CLASSIFICATION, network_name)
    curves = collect(
        [],
        learning_rate_curves,
        form.value("training_parameters"),
        with_segmentation=can_train_segmentation(checked.image, checked.version),
    )
    return TrainingStepPage(
        form=form,
        resources=resources,
        curves=curves or (),
        network=network_name,
        has_weights=network is not None and network.weights is not None,
    )


# Step 4.


def _preprocessing_form(draft: TrainingDraft) -> Form:
    ticked = [
        ("resolution_screening", draft.resolution_screening),
        ("train_segmentation", draft.train_segmentation),
    ]
    return Form(
        (
            ("split_ratio", f"{draft.split_ratio:g}"),
            ("group_pattern", draft.group_pattern),
            *((name, "on") for name, is_ticked in ticked if is_ticked),
            *(("augmentations", one.value) for one in draft.augmentations),
        )
    )


def _preprocessing_entered(form: Form, draft: TrainingDraft, refusals: list[Refusal]) -> TrainingDraft:
    split_ratio = collect(refusals, form.number, "split_ratio")
    augmentations = collect(refusals, form.choices, "augmentations", Augmentation)
    return msgspec.structs.replace(
        draft,
        split_ratio=draft.split_ratio if split_ratio is None else split_ratio,
        resolution_screening=form.checked("resolution_screening"),
        augmentations=tuple(dict.fromkeys(augmentations or ())),
        train_segmentation=form.checked("train_segmentation"),
        group_pattern=form.text("group_pattern"),
    )


def _preprocessing_page(services: Services, kept: KeptDraft, form: Form) -> PreprocessingStepPage:
    assay, draft = _assay(services), kept.draft
    checked = check_step(assay, draft, STEP_COUNT - 1)
    inspections = tuple(assay.ports.data_folders.inspect_folder(folder) for folder in draft.data_paths)
    bound = checked.image.environment
    names = (
        tuple(node.name for node in (*bound.path, *bound.products))
        if bound
        else tuple(" / ".join(path.names) for path in services.read.environments.paths(draft.environment))
    )
    resources = {one.compute_resource_id: one for one in services.read.compute_resources.list()}
    return PreprocessingStepPage(
        form=form,
        job_id=kept.job_id,
        draft=draft,
        checked=checked,
        resource=resources.get(draft.compute_resource_id),
        environment=names,
        inspections=inspections,
        counts=_counts(checked.model_parameters, inspections),
        can_train_segmentation=can_train_segmentation(checked.image, checked.version),
    )
