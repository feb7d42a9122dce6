"""新建预测任务 in three steps, also of a comparison: model, question-bank paths, parameters. Source: P-1; manual, “新建预测任务”.

What was entered is kept on the server at every step, refused or not, so that going back and forth loses nothing.
"""

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID, uuid4

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from commands.prediction_jobs import CheckedPrediction, QueuePredictionJob, check_step
from domain.data_paths import Inspection
from domain.datasets import DatasetPurpose
from domain.prediction_jobs import PredictionDraft, check_data_step, known_codes, one_model
from domain.refusals import Refusal, Refusals, raise_together
from domain.sentences import N_
from projections.compute_resources import ComputeResourceRow
from projections.models import ModelVersionChoices
from projections.overview import SetupSteps
from web import dataset_kinds
from web.cascade import Cascade, cascade_fields, environment_cascade, standing_nodes
from web.chosen_paths import SEARCH, ChosenPaths, Press, as_known_now, chosen_paths, form_of, looked_into_again, press
from web.forms import Form, button_of, id_or_none
from web.pages import Desk, Page
from web.path_images import path_images
from web.prediction_kinds import COMPARISON, QUESTION_BANK, KindOfPages
from web.services import Services

FIND_VERSION = "find_version"
"""The field for a part of a model's name."""


class KeptDraft(msgspec.Struct, frozen=True, kw_only=True):
    """The unfinished form. `job_id` is chosen at the start, so that pressing the last button twice makes one job.

    `found` is what was seen in the data paths, `typed` the lines where nothing was, `search` the part of a dataset's name;
    `places` is the environment filter of step 1, `model_search` the part of a model's name there, `chosen` the versions that are
    ticked there, by their names.
    """

    job_id: UUID
    draft: PredictionDraft = PredictionDraft()
    found: tuple[Inspection, ...] = ()
    typed: tuple[str, ...] = ()
    search: str = ""
    places: tuple[tuple[str, str], ...] = ()
    model_search: str = ""
    chosen: tuple[str, ...] = ()


class ModelStepPage(Page, frozen=True):
    """Step 1: task name and one version, or two, of those that fit what was searched for, if anything was (`is_narrowed`).

    `standing` are the nodes of their bindings that still exist; `setup` is there while something is missing (M-7).
    """

    TEMPLATE = "prediction_jobs/step_1.html"
    kind: KindOfPages
    cascade: Cascade
    choices: ModelVersionChoices
    is_narrowed: bool
    standing: frozenset[UUID]
    setup: SetupSteps | None


class DataStepPage(Page, frozen=True):
    """Step 2: question-bank paths."""

    TEMPLATE = "prediction_jobs/step_2.html"
    kind: KindOfPages
    chosen: ChosenPaths


class ParametersStepPage(Page, frozen=True):
    """Step 3: parameters, compute resource, resolution screening; beside them what was chosen before."""

    TEMPLATE = "prediction_jobs/step_3.html"
    kind: KindOfPages
    resources: tuple[ComputeResourceRow, ...]
    kept: KeptDraft
    model_name: str

    @property
    def image_count(self) -> int:
        """Images that will be judged, as far as they comply."""
        return sum(found.image_count for found in self.kept.found)


class _NewJob(Controller):
    """Each step is checked before the next one opens."""

    kind: ClassVar[KindOfPages]

    @get("/", sync_to_thread=True)
    def begin(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Go on with what was begun; or begin anew with a version, where the address names one."""
        if form.text("model"):
            chosen = (f"{form.id('model')}/{form.text('version')}",)
            _keep(services, actor, self.kind, _with_versions(_new(self.kind), chosen))
        return desk.go(f"{self.kind.new_address}/step-1")

    @post("/over", sync_to_thread=True)
    def start_over(
        self, actor: NamedDependency[UUID], services: NamedDependency[Services], desk: NamedDependency[Desk]
    ) -> Redirect:
        """Forget what was entered."""
        services.drafts.drop(actor, self.kind.draft)
        return desk.go(f"{self.kind.new_address}/step-1")

    @get("/step-1", sync_to_thread=True)
    def model_step(
        self, actor: NamedDependency[UUID], services: NamedDependency[Services], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """Task name and version."""
        return desk.show(_model_step(services, actor, self.kind, _kept(services, actor, self.kind)))

    @post("/step-1", sync_to_thread=True)
    def choose_model(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Narrow the versions down, or go on to the images: the pressed button decides."""
        kept = _kept(services, actor, self.kind)
        button = button_of(form, Form.of(**{FIND_VERSION: kept.model_search}), FIND_VERSION)
        kept = msgspec.structs.replace(
            kept,
            places=cascade_fields(form),
            model_search=form.text(FIND_VERSION),
            draft=msgspec.structs.replace(kept.draft, name=form.text("name")),
        )
        kept = _with_versions(kept, form.all("version"))
        _keep(services, actor, self.kind, kept)
        if button == "later":
            return self._leave(desk)
        if button != "next":
            return desk.go(f"{self.kind.new_address}/step-1")
        with desk.refusals_on(_model_step(services, actor, self.kind, kept)):
            check_step(services.assay, kept.draft, 1, actor)
        return desk.go(f"{self.kind.new_address}/step-2")

    @get("/step-2", sync_to_thread=True)
    def data_step(
        self, actor: NamedDependency[UUID], services: NamedDependency[Services], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """Question-bank paths."""
        kept = _kept(services, actor, self.kind)
        checked = _check_model(services, actor, self.kind, kept, desk)
        return desk.show(_data_step(services, self.kind, kept, checked))

    @post("/step-2", sync_to_thread=True)
    def choose_data(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Find datasets, add or remove paths, or go on to the parameters: the pressed button decides."""
        kept = _kept(services, actor, self.kind)
        checked = _check_model(services, actor, self.kind, kept, desk)
        pressed = press(form, kept.found, services.read.datasets, DatasetPurpose.QUESTION_BANK, services.data_folders)
        is_next = pressed.button == "next"
        kept = _keep(services, actor, self.kind, _with_paths(kept, pressed.found, pressed))
        if is_next:
            with desk.refusals_on(_data_step(services, self.kind, kept, checked)):
                found = looked_into_again(pressed.found, services.data_folders)
            kept = _keep(services, actor, self.kind, _with_paths(kept, found, pressed))
        if pressed.button == "back":
            return desk.go(f"{self.kind.new_address}/step-1")
        if pressed.button == "later":
            return self._leave(desk)
        with desk.refusals_on(_data_step(services, self.kind, kept, checked)):
            raise_together(pressed.refusals)
            if is_next:
                check_data_step(checked.versions, kept.found)
        if is_next:
            return desk.go(f"{self.kind.new_address}/step-3")
        return desk.go(
            f"{self.kind.new_address}/step-2"
            if pressed.button == SEARCH
            else f"{self.kind.new_address}/step-2#data-paths"
        )

    @get("/images/{line:int}", sync_to_thread=True)
    def images(
        self,
        line: FromPath[int],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The images of a chosen path that is in no dataset (D-9)."""
        found = as_known_now(_kept(services, actor, self.kind).found, services.data_folders)
        trail = ((self.kind.title, self.kind.address), (self.kind.new, f"{self.kind.new_address}/step-2"))
        address = f"{self.kind.new_address}/images/{line}"
        return desk.show(path_images(found, line, services, form, address=address, trail=trail))

    @get("/step-3", sync_to_thread=True)
    def parameters_step(
        self, actor: NamedDependency[UUID], services: NamedDependency[Services], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """Parameters."""
        kept = _kept(services, actor, self.kind)
        checked = _check_model(services, actor, self.kind, kept, desk)
        with desk.refusals_on(_data_step(services, self.kind, kept, checked)):
            check_data_step(checked.versions, kept.found)
        return desk.show(_parameters_step(services, self.kind, kept, checked.model.name))

    @post("/step-3", sync_to_thread=True)
    def queue(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Let the job wait for a worker, or go back and keep what was entered here."""
        queued = id_or_none(form.text("job_id"))
        if queued is not None and services.read.prediction_jobs.get(queued) is not None:
            return desk.go(self.kind.address)  # the button was pressed twice
        kept = _kept(services, actor, self.kind)
        draft = msgspec.structs.replace(
            kept.draft,
            prediction_parameters=form.value("prediction_parameters"),
            compute_resource_id=id_or_none(form.text("compute_resource")),
            resolution_screening=form.checked("resolution_screening"),
        )
        kept = _keep(services, actor, self.kind, msgspec.structs.replace(kept, draft=draft))
        if form.text("do") == "back":
            return desk.go(f"{self.kind.new_address}/step-2")
        if form.text("do") == "later":
            return self._leave(desk)
        checked = _check_model(services, actor, self.kind, kept, desk)
        with desk.refusals_on(_parameters_step(services, self.kind, kept, checked.model.name)):
            desk.ask(QueuePredictionJob(actor=actor, job_id=kept.job_id, draft=draft))
        services.drafts.drop(actor, self.kind.draft)
        desk.say(self.kind.queued, name=draft.name)
        return desk.go(self.kind.address)

    def _leave(self, desk: Desk) -> Redirect:
        """For now; the step was kept, right or not."""
        desk.say(N_("Everything you entered is kept; you can go on later."))
        return desk.go(self.kind.address)


class NewPredictionJob(_NewJob):
    """题库预测 of one version."""

    path = QUESTION_BANK.new_address
    kind = QUESTION_BANK


class NewComparison(_NewJob):
    """模型对比 of two versions of one model."""

    path = COMPARISON.new_address
    kind = COMPARISON


def _new(kind: KindOfPages) -> KeptDraft:
    return KeptDraft(job_id=uuid4(), draft=PredictionDraft(kind=kind.kind))


def _kept(services: Services, actor: UUID, kind: KindOfPages) -> KeptDraft:
    """What was entered so far; an empty draft where nothing was, or where an older release wrote it."""
    content: bytes | None = services.drafts.load(actor, kind.draft)
    try:
        return msgspec.msgpack.decode(content or b"", type=KeptDraft)
    except msgspec.DecodeError:
        return _keep(services, actor, kind, _new(kind))


def _keep(services: Services, actor: UUID, kind: KindOfPages, kept: KeptDraft) -> KeptDraft:
    services.drafts.save(actor, kind.draft, msgspec.msgpack.encode(kept))
    return kept


def _with_versions(kept: KeptDraft, chosen: Sequence[str]) -> KeptDraft:
    """What is ticked; versions of several models are no choice, and the step says so."""
    pairs = [(id_or_none(model_id), label) for model_id, _, label in (name.partition("/") for name in chosen)]
    known = [(model_id, label) for model_id, label in pairs if model_id is not None]
    model_id, labels = one_model(known)
    draft = msgspec.structs.replace(kept.draft, model_id=model_id, versions=labels)
    return msgspec.structs.replace(kept, draft=draft, chosen=tuple(chosen))


def _with_paths(kept: KeptDraft, found: tuple[Inspection, ...], pressed: Press) -> KeptDraft:
    draft = msgspec.structs.replace(kept.draft, data_paths=tuple(one.folder for one in found))
    return msgspec.structs.replace(kept, found=found, typed=pressed.wrong, search=pressed.search, draft=draft)


def _check_model(services: Services, actor: UUID, kind: KindOfPages, kept: KeptDraft, desk: Desk) -> CheckedPrediction:
    """Step 1 once more; where it does not hold any more, its page says why. Only then is it made, with every version on it."""
    try:
        return check_step(services.assay, kept.draft, 1, actor)
    except (Refusal, Refusals):
        with desk.refusals_on(_model_step(services, actor, kind, kept)):
            raise


def _model_step(services: Services, actor: UUID, kind: KindOfPages, kept: KeptDraft) -> ModelStepPage:
    form = Form(
        (
            ("name", kept.draft.name),
            *(("version", name) for name in kept.chosen or ("",)),  # a field also while nothing is chosen
            (FIND_VERSION, kept.model_search),
            *kept.places,
        )
    )
    cascade = environment_cascade(services.read, form, several_at_last=False)
    choices: ModelVersionChoices = services.read.models.choices(
        actor,
        search=kept.model_search,
        place_ids=cascade.place_ids,
        chosen=(kept.draft.model_id, next(iter(kept.draft.versions), "")),
        compared=kept.chosen if kind.is_comparison else None,
    )
    setup: SetupSteps = services.read.overview.setup()
    return ModelStepPage(
        form=form,
        kind=kind,
        cascade=cascade,
        choices=choices,
        is_narrowed=bool(cascade.place_ids or kept.model_search),
        standing=standing_nodes(services.read, (version.environment for version in choices.versions)),
        setup=None if setup.is_done else setup,
    )


def _data_step(services: Services, kind: KindOfPages, kept: KeptDraft, checked: CheckedPrediction) -> DataStepPage:
    chosen = chosen_paths(
        kept.found,
        services.read.datasets,
        dataset_kinds.QUESTION_BANK,
        search=kept.search,
        images_address=f"{kind.new_address}/images",
        data_folders=services.data_folders,
        code_list=known_codes(checked.versions),
    )
    return DataStepPage(kind=kind, form=form_of(kept.found, kept.typed), chosen=chosen)


def _parameters_step(services: Services, kind: KindOfPages, kept: KeptDraft, model_name: str) -> ParametersStepPage:
    draft = kept.draft
    resources: tuple[ComputeResourceRow, ...] = services.read.compute_resources.list()
    only_one = resources[0].compute_resource_id if len(resources) == 1 else None
    fields: dict[str, Any] = {
        "prediction_parameters": draft.prediction_parameters,
        "compute_resource": draft.compute_resource_id or only_one,
    }
    if draft.resolution_screening:
        fields["resolution_screening"] = "on"
    return ParametersStepPage(kind=kind, form=Form.of(**fields), resources=resources, kept=kept, model_name=model_name)
