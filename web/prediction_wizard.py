"""新建预测任务 in three steps: model, question-bank paths, parameters. Source: P-1; manual, “新建预测任务”.

What was entered is kept on the server at every step, refused or not, so that going back and forth loses nothing.
"""

from typing import Any
from uuid import UUID, uuid4

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from commands.prediction_jobs import CheckedPrediction, QueuePredictionJob, check_step
from domain.data_paths import Inspection
from domain.datasets import DatasetPurpose
from domain.prediction_jobs import PredictionDraft, check_data_step, known_codes
from domain.refusals import Refusal, Refusals, raise_together
from domain.sentences import N_
from projections.compute_resources import ComputeResourceRow
from projections.models import ModelVersionChoices
from projections.overview import SetupSteps
from web.cascade import Cascade, cascade_fields, environment_cascade, standing_nodes
from web.chosen_paths import (
    SEARCH,
    ChosenPaths,
    Press,
    as_known_now,
    chosen_paths,
    form_of,
    looked_into_again,
    path_images,
    press,
)
from web.forms import Form, button_of, id_or_none
from web.pages import Desk, Page
from web.services import Services

LIST = "/prediction-jobs"
ADDRESS = f"{LIST}/new"
DRAFT = "prediction"
QUESTION_BANKS = "/question-bank-datasets"
FIND_VERSION = "find_version"
"""The field for a part of a model's name."""


class KeptDraft(msgspec.Struct, frozen=True, kw_only=True):
    """The unfinished form. `job_id` is chosen at the start, so that pressing the last button twice makes one job.

    `found` is what was seen in the data paths, `typed` the lines where nothing was, `search` the part of a dataset's name;
    `places` is the environment filter of step 1, `model_search` the part of a model's name there.
    """

    job_id: UUID
    draft: PredictionDraft = PredictionDraft()
    found: tuple[Inspection, ...] = ()
    typed: tuple[str, ...] = ()
    search: str = ""
    places: tuple[tuple[str, str], ...] = ()
    model_search: str = ""

    @property
    def chosen_version(self) -> str:
        """Model and version as step 1 names them, empty where none is chosen."""
        return f"{self.draft.model_id}/{self.draft.versions[0]}" if self.draft.model_id and self.draft.versions else ""


class ModelStepPage(Page, frozen=True):
    """Step 1: task name and one version of those that fit what was searched for, if anything was (`is_narrowed`).

    `standing` are the nodes of their bindings that still exist; `setup` is there while something is missing (M-7).
    """

    TEMPLATE = "prediction_jobs/step_1.html"
    cascade: Cascade
    choices: ModelVersionChoices
    is_narrowed: bool
    standing: frozenset[UUID]
    setup: SetupSteps | None


class DataStepPage(Page, frozen=True):
    """Step 2: question-bank paths."""

    TEMPLATE = "prediction_jobs/step_2.html"
    chosen: ChosenPaths


class ParametersStepPage(Page, frozen=True):
    """Step 3: parameters, compute resource, resolution screening; beside them what was chosen before."""

    TEMPLATE = "prediction_jobs/step_3.html"
    resources: tuple[ComputeResourceRow, ...]
    kept: KeptDraft
    model_name: str

    @property
    def image_count(self) -> int:
        """Images that will be judged, as far as they comply."""
        return sum(found.image_count for found in self.kept.found)


class NewPredictionJob(Controller):
    """Each step is checked before the next one opens."""

    path = ADDRESS

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
            draft = PredictionDraft(model_id=form.id("model"), versions=(form.text("version"),))
            _keep(services, actor, KeptDraft(job_id=uuid4(), draft=draft))
        return desk.go(f"{ADDRESS}/step-1")

    @post("/over", sync_to_thread=True)
    def start_over(
        self, actor: NamedDependency[UUID], services: NamedDependency[Services], desk: NamedDependency[Desk]
    ) -> Redirect:
        """Forget what was entered."""
        services.drafts.drop(actor, DRAFT)
        return desk.go(f"{ADDRESS}/step-1")

    @get("/step-1", sync_to_thread=True)
    def model_step(
        self, actor: NamedDependency[UUID], services: NamedDependency[Services], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """Task name and version."""
        return desk.show(_model_step(services, actor, _kept(services, actor)))

    @post("/step-1", sync_to_thread=True)
    def choose_model(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Narrow the versions down, or go on to the images: the pressed button decides."""
        kept = _kept(services, actor)
        button = button_of(form, Form.of(**{FIND_VERSION: kept.model_search}), FIND_VERSION)
        model_id, _, label = form.text("version").partition("/")
        kept = msgspec.structs.replace(
            kept,
            places=cascade_fields(form),
            model_search=form.text(FIND_VERSION),
            draft=msgspec.structs.replace(
                kept.draft, name=form.text("name"), model_id=id_or_none(model_id), versions=(label,) if label else ()
            ),
        )
        _keep(services, actor, kept)
        if button != "next":
            return desk.go(f"{ADDRESS}/step-1")
        with desk.refusals_on(_model_step(services, actor, kept)):
            check_step(services.assay, kept.draft, 1, actor)
        return desk.go(f"{ADDRESS}/step-2")

    @get("/step-2", sync_to_thread=True)
    def data_step(
        self, actor: NamedDependency[UUID], services: NamedDependency[Services], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """Question-bank paths."""
        kept = _kept(services, actor)
        checked = _check_model(services, actor, kept, desk)
        return desk.show(_data_step(services, kept, checked))

    @post("/step-2", sync_to_thread=True)
    def choose_data(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Find datasets, add or remove paths, or go on to the parameters: the pressed button decides."""
        kept = _kept(services, actor)
        checked = _check_model(services, actor, kept, desk)
        pressed = press(form, kept.found, services.read.datasets, DatasetPurpose.QUESTION_BANK, services.data_folders)
        is_next = pressed.button == "next"
        found = looked_into_again(pressed.found, services.data_folders) if is_next else pressed.found
        kept = _keep(services, actor, _with_paths(kept, found, pressed))
        if pressed.button == "back":
            return desk.go(f"{ADDRESS}/step-1")
        with desk.refusals_on(_data_step(services, kept, checked)):
            raise_together(pressed.refusals)
            if is_next:
                check_data_step(checked.versions, kept.found)
        if is_next:
            return desk.go(f"{ADDRESS}/step-3")
        return desk.go(f"{ADDRESS}/step-2" if pressed.button == SEARCH else f"{ADDRESS}/step-2#data-paths")

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
        found = as_known_now(_kept(services, actor).found, services.data_folders)
        trail = ((N_("Question-bank prediction"), LIST), (N_("New prediction job"), f"{ADDRESS}/step-2"))
        address = f"{ADDRESS}/images/{line}"
        return desk.show(path_images(found, line, services, form, address=address, trail=trail))

    @get("/step-3", sync_to_thread=True)
    def parameters_step(
        self, actor: NamedDependency[UUID], services: NamedDependency[Services], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """Parameters."""
        kept = _kept(services, actor)
        checked = _check_model(services, actor, kept, desk)
        with desk.refusals_on(_data_step(services, kept, checked)):
            check_data_step(checked.versions, kept.found)
        return desk.show(_parameters_step(services, kept, checked.model.name))

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
            return desk.go(LIST)  # the button was pressed twice
        kept = _kept(services, actor)
        draft = msgspec.structs.replace(
            kept.draft,
            prediction_parameters=form.value("prediction_parameters").replace("\r\n", "\n"),
            compute_resource_id=id_or_none(form.text("compute_resource")),
            resolution_screening=form.checked("resolution_screening"),
        )
        kept = _keep(services, actor, msgspec.structs.replace(kept, draft=draft))
        if form.text("do") == "back":
            return desk.go(f"{ADDRESS}/step-2")
        checked = _check_model(services, actor, kept, desk)
        with desk.refusals_on(_parameters_step(services, kept, checked.model.name)):
            desk.ask(QueuePredictionJob(actor=actor, job_id=kept.job_id, draft=draft))
        services.drafts.drop(actor, DRAFT)
        desk.say(N_("Prediction job “{name}” waits for a worker."), name=draft.name)
        return desk.go(LIST)


def _kept(services: Services, actor: UUID) -> KeptDraft:
    """What was entered so far; an empty draft where nothing was, or where an older release wrote it."""
    content: bytes | None = services.drafts.load(actor, DRAFT)
    try:
        return msgspec.msgpack.decode(content or b"", type=KeptDraft)
    except msgspec.DecodeError:
        return _keep(services, actor, KeptDraft(job_id=uuid4()))


def _keep(services: Services, actor: UUID, kept: KeptDraft) -> KeptDraft:
    services.drafts.save(actor, DRAFT, msgspec.msgpack.encode(kept))
    return kept


def _with_paths(kept: KeptDraft, found: tuple[Inspection, ...], pressed: Press) -> KeptDraft:
    draft = msgspec.structs.replace(kept.draft, data_paths=tuple(one.folder for one in found))
    return msgspec.structs.replace(kept, found=found, typed=pressed.wrong, search=pressed.search, draft=draft)


def _check_model(services: Services, actor: UUID, kept: KeptDraft, desk: Desk) -> CheckedPrediction:
    """Step 1 once more; where it does not hold any more, its page says why. Only then is it made, with every version on it."""
    try:
        return check_step(services.assay, kept.draft, 1, actor)
    except (Refusal, Refusals):
        with desk.refusals_on(_model_step(services, actor, kept)):
            raise


def _model_step(services: Services, actor: UUID, kept: KeptDraft) -> ModelStepPage:
    form = Form(
        (
            ("name", kept.draft.name),
            ("version", kept.chosen_version),
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
    )
    setup: SetupSteps = services.read.overview.setup()
    return ModelStepPage(
        form=form,
        cascade=cascade,
        choices=choices,
        is_narrowed=bool(cascade.place_ids or kept.model_search),
        standing=standing_nodes(services.read, (version.environment for version in choices.versions)),
        setup=None if setup.is_done else setup,
    )


def _data_step(services: Services, kept: KeptDraft, checked: CheckedPrediction) -> DataStepPage:
    chosen = chosen_paths(
        kept.found,
        services.read.datasets,
        DatasetPurpose.QUESTION_BANK,
        search=kept.search,
        datasets_address=QUESTION_BANKS,
        images_address=f"{ADDRESS}/images",
        data_folders=services.data_folders,
        code_list=known_codes(checked.versions),
    )
    return DataStepPage(form=form_of(kept.found, kept.typed), chosen=chosen)


def _parameters_step(services: Services, kept: KeptDraft, model_name: str) -> ParametersStepPage:
    draft = kept.draft
    resources: tuple[ComputeResourceRow, ...] = services.read.compute_resources.list()
    only_one = resources[0].compute_resource_id if len(resources) == 1 else None
    fields: dict[str, Any] = {
        "prediction_parameters": draft.prediction_parameters,
        "compute_resource": draft.compute_resource_id or only_one,
    }
    if draft.resolution_screening:
        fields["resolution_screening"] = "on"
    return ParametersStepPage(form=Form.of(**fields), resources=resources, kept=kept, model_name=model_name)
