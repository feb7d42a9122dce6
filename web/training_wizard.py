"""新建模型: four steps. Source: section W; manual, “新建模型”.

Every press of a button sends the whole step. What was sent is kept first, then looked at, so that a refused step, a step back and
a closed browser lose nothing (W-1). A step opens once the steps before it are right; the command side says what is right.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from commands.training_jobs import STEP_COUNT, QueueTrainingJob, check_step
from domain.datasets import DatasetPurpose
from domain.refusals import Refusal, Refusals, raise_together
from domain.sentences import N_
from domain.training_jobs import TrainingJob
from domain.training_parameters import read_training_parameters
from web.chosen_paths import as_known_now, looked_into_again, path_images, press
from web.forms import Form, id_or_none
from web.pages import Desk, Page, Refused
from web.services import Services
from web.training_drafts import (
    DRAFT,
    KeptDraft,
    filled_in,
    keep,
    kept_draft,
    version_of,
    with_found,
    with_model,
    with_paths,
    with_preprocessing,
    with_training,
)
from web.training_steps import (
    ADDRESS,
    UnfinishedPage,
    curves_page,
    data_step,
    model_step,
    preprocessing_step,
    training_step,
)

LIST = "/training-jobs"


class TrainingWizard(Controller):
    """For everyone who is signed in; each has one unfinished model."""

    path = ADDRESS

    @get("/", sync_to_thread=True)
    def begin(
        self, actor: NamedDependency[UUID], services: NamedDependency[Services], desk: NamedDependency[Desk]
    ) -> Response[Any]:
        """Go on or begin anew, where something was begun; the first step otherwise."""
        kept = kept_draft(services, actor)
        return desk.show(UnfinishedPage(draft=kept.draft)) if kept.entered else desk.go(f"{ADDRESS}/step-1")

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
        kept = kept_draft(services, actor)
        return desk.go(_address_of(services, kept, max(kept.entered, default=1)))

    @get("/step-1", sync_to_thread=True)
    def model_step(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """选择模型镜像."""
        kept = kept_draft(services, actor)
        return _shown(desk, services, kept, 1, model_step(services.read, kept), form)

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
        button, entered = form.text("do"), form
        if button == "defaults" and (version := version_of(form, versions)):
            entered = filled_in(form, model_parameters=version.package.model_parameters)
        before = kept_draft(services, actor)
        page = model_step(services.read, before, entered)
        kept = keep(services, actor, with_model(before, entered, versions, page.cascade.place_ids))
        return _moved(desk, services, kept, 1, page, button)

    @get("/step-2", sync_to_thread=True)
    def data_step(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[Any]:
        """选择数据路径."""
        kept = kept_draft(services, actor)
        if address := _not_yet(services, kept, 2):
            return desk.go(address)
        return _shown(desk, services, kept, 2, data_step(services, kept), form)

    @post("/step-2", sync_to_thread=True)
    def data_step_sent(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Find datasets, import ticked paths, add typed ones, remove one, or go on to the training parameters."""
        before = kept_draft(services, actor)
        data_folders = services.assay.ports.data_folders
        pressed = press(form, before.found, services.read.datasets, DatasetPurpose.TRAINING, data_folders)
        kept = keep(services, actor, with_paths(before, pressed))
        if pressed.button == "next":
            again = looked_into_again(kept.found, data_folders)
            kept = keep(services, actor, with_found(kept, again))
        button = "next" if pressed.refusals and pressed.button != "back" else pressed.button
        return _moved(desk, services, kept, 2, data_step(services, kept), button, pressed.refusals)

    @get("/images/{line:int}", sync_to_thread=True)
    def images(
        self,
        line: FromPath[int],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The images of a chosen data path that belongs to no dataset (D-9)."""
        found = as_known_now(kept_draft(services, actor).found, services.assay.ports.data_folders)
        trail = ((N_("Training jobs"), LIST), (N_("New model"), f"{ADDRESS}/step-2"))
        address = f"{ADDRESS}/images/{line}"
        return desk.show(path_images(found, line, services, form, address=address, trail=trail))

    @get("/step-3", sync_to_thread=True)
    def training_step(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[Any]:
        """配置训练参数."""
        kept = kept_draft(services, actor)
        if address := _not_yet(services, kept, 3):
            return desk.go(address)
        return _shown(desk, services, kept, 3, training_step(services, kept), form)

    @post("/step-3", sync_to_thread=True)
    def training_step_sent(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Take the package's defaults, draw the curves, or go on to preprocessing."""
        before = kept_draft(services, actor)
        if address := _not_yet(services, before, 3):
            return desk.go(address)
        button, entered = form.text("do"), form
        if button == "defaults":
            package = check_step(services.assay, before.draft, 1).version.package
            entered = filled_in(form, training_parameters=package.training_parameters)
        kept = keep(services, actor, with_training(before, entered))
        page = training_step(services, kept, entered)
        if button == "preview":
            with desk.refusals_on(page):
                read_training_parameters(entered.value("training_parameters"))
        return _moved(desk, services, kept, 3, page, button)

    @post("/learning-rates", sync_to_thread=True)
    def learning_rates(self, form: NamedDependency[Form], desk: NamedDependency[Desk]) -> Response[str]:
        """The curves of what stands in the editor, for the script that draws them while it is edited (W-7)."""
        return desk.show(curves_page(form))

    @get("/step-4", sync_to_thread=True)
    def preprocessing_step(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[Any]:
        """添加预处理参数."""
        kept = kept_draft(services, actor)
        if address := _not_yet(services, kept, STEP_COUNT):
            return desk.go(address)
        return _shown(desk, services, kept, STEP_COUNT, preprocessing_step(services, kept), form)

    @post("/step-4", sync_to_thread=True)
    def preprocessing_step_sent(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """【完成】: the job waits for a worker. Pressed again, it leads to the list in which the job stands."""
        kept = kept_draft(services, actor)
        job_id = id_or_none(form.text("job_id"))
        if job_id is not None and services.assay.find(TrainingJob, job_id) is not None:
            return desk.go(LIST)
        if job_id != kept.job_id:
            return desk.go(ADDRESS)
        if address := _not_yet(services, kept, STEP_COUNT):
            return desk.go(address)
        refusals: list[Refusal] = []
        kept = keep(services, actor, with_preprocessing(kept, form, refusals))
        if form.text("do") == "back":
            return desk.go(f"{ADDRESS}/step-3")
        try:
            with desk.refusals_on(preprocessing_step(services, kept, form)):
                raise_together(refusals)
                desk.ask(_queueing(actor, kept))
        except (Refusal, Refusals, Refused):
            if services.assay.find(TrainingJob, kept.job_id) is None:
                raise
            return desk.go(LIST)  # the other of two clicks was faster
        services.drafts.drop(actor, DRAFT)
        desk.say(N_("Training job “{name}” waits for a worker."), name=kept.draft.model_name)
        return desk.go(LIST)


def _queueing(actor: UUID, kept: KeptDraft) -> QueueTrainingJob:
    return QueueTrainingJob(actor=actor, job_id=kept.job_id, model_id=kept.model_id, draft=kept.draft, seed=kept.seed)


def _shown(desk: Desk, services: Services, kept: KeptDraft, step: int, page: Page, form: Form) -> Response[str]:
    """The step as it was left; with what is wrong in it, where a later step was asked for too early."""
    if form.checked("check"):
        with desk.refusals_on(page):
            check_step(services.assay, kept.draft, step)
    return desk.show(page)


def _moved(
    desk: Desk,
    services: Services,
    kept: KeptDraft,
    step: int,
    page: Page,
    button: str,
    refusals: Sequence[Refusal] = (),
) -> Redirect:
    """Where the pressed button leads, once the step is kept: on if it is right, back in any case, or here again."""
    if button == "next":
        with desk.refusals_on(page):
            raise_together(list(refusals))
            check_step(services.assay, kept.draft, step)
    return desk.go(f"{ADDRESS}/step-{step + {'next': 1, 'back': -1}.get(button, 0)}")


def _not_yet(services: Services, kept: KeptDraft, step: int) -> str:
    """The address of the first step before `step` that is not right, with what is wrong there; empty where all are right."""
    for earlier in range(1, step):
        try:
            check_step(services.assay, kept.draft, earlier)
        except (Refusal, Refusals):
            return f"{ADDRESS}/step-{earlier}" + ("?check=on" if earlier in kept.entered else "")
    return ""


def _address_of(services: Services, kept: KeptDraft, step: int) -> str:
    return _not_yet(services, kept, step) or f"{ADDRESS}/step-{step}"
