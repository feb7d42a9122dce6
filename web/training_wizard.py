"""新建模型 and 重新训练: four steps. Source: section W; manual, “新建模型” and “重新训练”.

Every press of a button sends the whole step. What was sent is kept first, then looked at, so that a refused step, a step back and
a closed browser lose nothing (W-1). A step opens once the steps before it are right; the command side says what is right. Of a
retraining the first step only shows what stays as it is.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath
from litestar.response import Redirect

from commands.training_jobs import STEP_COUNT, QueueTrainingJob, RetrainModel, check_step
from domain.datasets import DatasetPurpose
from domain.json_forms import write_json
from domain.refusals import NotFound, Refusal, Refusals, collect, raise_together
from domain.sentences import N_
from domain.training_advice import advised_from_nothing
from domain.training_jobs import TrainingJob
from domain.training_parameters import read_training_parameters
from web.chosen_paths import as_known_now, looked_into_again, press
from web.forms import Form, button_of, id_or_none
from web.models import own_model
from web.pages import Desk, Page, Refused
from web.path_images import path_images
from web.services import Services
from web.training_drafts import (
    NEW_MODEL,
    Course,
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
    FIND_BUSINESS,
    FIND_GENERAL,
    FIND_VERSION,
    UnfinishedPage,
    curves_page,
    data_step,
    kept_model_step,
    learnt_from,
    model_step,
    preprocessing_step,
    training_step,
)

LIST = "/training-jobs"


@dataclass(frozen=True)
class Walk:
    """One person on the way through the steps of one model."""

    course: Course
    actor: UUID
    services: Services
    desk: Desk

    def kept(self) -> KeptDraft:
        """What was entered so far."""
        return kept_draft(self.services, self.actor, self.course)

    def keep(self, kept: KeptDraft) -> KeptDraft:
        """Keep what was entered, before it is looked at."""
        return keep(self.services, self.actor, self.course, kept)

    def forget(self) -> None:
        """Drop what was entered."""
        self.services.drafts.drop(self.actor, self.course.draft)

    def go(self, step: int) -> Redirect:
        """To a step."""
        return self.desk.go(f"{self.course.address}/step-{step}")

    def is_made(self, job_id: UUID | None) -> bool:
        """Whether the job is there already."""
        return job_id is not None and self.services.assay.find(TrainingJob, job_id) is not None

    def check(self, kept: KeptDraft, step: int) -> None:
        """Ask the rules about the steps up to this one.

        Raises:
            Refusal, Refusals
        """
        check_step(self.services.assay, kept.draft, step, self.actor)

    def not_yet(self, kept: KeptDraft, step: int) -> str:
        """The address of the first step before `step` that is not right, with what is wrong there; empty where all are right."""
        for earlier in range(1, step):
            try:
                self.check(kept, earlier)
            except (Refusal, Refusals):
                is_known = kept.has_reached(earlier + 1)
                return f"{self.course.address}/step-{earlier}" + ("?check=on" if is_known else "")
        return ""

    def show(self, kept: KeptDraft, step: int, page: Page, form: Form) -> Response[str]:
        """The step as it was left; with what is wrong in it, where a later step was asked for too early."""
        if form.checked("check"):
            with self.desk.refusals_on(page):
                self.check(kept, step)
        return self.desk.show(page)

    def leave(self, step: int, button: str) -> Redirect | None:
        """To an earlier step, or out, for now, or here again in the other language; the step was kept, right or not. None where the
        button leads elsewhere.
        """
        if self.desk.visit.shows_as_entered:
            return self.go(step)
        if button == "later":
            self.desk.say(N_("Everything you entered is kept; you can go on later."))
            return self.desk.go(self.course.way_out)
        earlier = {f"step-{number}": number for number in range(1, step)} | {"back": step - 1}
        return self.go(earlier[button]) if button in earlier else None

    def move(self, kept: KeptDraft, step: int, page: Page, button: str) -> Redirect:
        """Where the pressed button leads, once the step is kept: on if it is right, away in any case, or here again."""
        if left := self.leave(step, button):
            return left
        if button == "next":
            with self.desk.refusals_on(page):
                self.check(kept, step)
        return self.go(step + (button == "next"))

    def queueing(self, kept: KeptDraft) -> QueueTrainingJob | RetrainModel:
        """What 【完成】 asks for."""
        made: dict[str, Any] = {
            "actor": self.actor,
            "job_id": kept.job_id,
            "model_id": kept.model_id,
            "draft": kept.draft,
            "seed": kept.seed,
        }
        return (
            RetrainModel(version=self.course.version.label, **made) if self.course.version else QueueTrainingJob(**made)
        )


class _Steps(Controller):
    """What both have in common. Each person has one unfinished new model, and one retraining of each version."""

    @get("/", sync_to_thread=True)
    def begin(self, walk: NamedDependency[Walk]) -> Response[Any]:
        """Go on or begin anew, where something was begun; the first step otherwise."""
        kept = walk.kept()
        return walk.desk.show(UnfinishedPage(course=walk.course, draft=kept.draft)) if kept.entered else walk.go(1)

    @post("/", sync_to_thread=True)
    def begin_anew(self, walk: NamedDependency[Walk]) -> Redirect:
        """Forget what was begun."""
        walk.forget()
        return walk.go(1)

    @get("/continue", sync_to_thread=True)
    def go_on(self, walk: NamedDependency[Walk]) -> Redirect:
        """To the last step that was visited, or to the first one before it that is not right (any more)."""
        kept = walk.kept()
        step = max(kept.entered, default=1)
        return walk.desk.go(walk.not_yet(kept, step) or f"{walk.course.address}/step-{step}")

    @get("/step-2", sync_to_thread=True)
    def data_step(self, form: NamedDependency[Form], walk: NamedDependency[Walk]) -> Response[Any]:
        """选择数据路径."""
        kept = walk.kept()
        if address := walk.not_yet(kept, 2):
            return walk.desk.go(address)
        return walk.show(kept, 2, data_step(walk.services, walk.actor, kept, walk.course), form)

    @post("/step-2", sync_to_thread=True)
    def data_step_sent(self, form: NamedDependency[Form], walk: NamedDependency[Walk]) -> Redirect:
        """Find datasets, import ticked paths, add typed ones, remove one, or go on to the training parameters."""
        before = walk.kept()
        datasets, data_folders = walk.services.read.datasets, walk.services.assay.ports.data_folders
        pressed = press(form, before.found, datasets, DatasetPurpose.TRAINING, data_folders, locked=walk.course.locked)
        kept = walk.keep(with_paths(before, pressed)) if before.has_reached(2) else before
        if address := walk.not_yet(kept, 2):
            return walk.desk.go(address)
        if pressed.button == "next":
            with walk.desk.refusals_on(data_step(walk.services, walk.actor, kept, walk.course)):
                found = looked_into_again(kept.found, data_folders)
            kept = walk.keep(with_found(kept, found))
        if left := walk.leave(2, pressed.button):
            return left
        page = data_step(walk.services, walk.actor, kept, walk.course)
        with walk.desk.refusals_on(page):
            raise_together(pressed.refusals)
        return walk.move(kept, 2, page, pressed.button)

    @get("/images/{line:int}", sync_to_thread=True)
    def images(self, line: FromPath[int], form: NamedDependency[Form], walk: NamedDependency[Walk]) -> Response[str]:
        """The images of a chosen data path that belongs to no dataset (D-9)."""
        course = walk.course
        found = as_known_now(walk.kept().found, walk.services.assay.ports.data_folders)
        above = (course.model.name, course.way_out) if course.model else (N_("Training jobs"), LIST)
        trail = (above, (N_("Retrain") if course.model else N_("New model"), f"{course.address}/step-2"))
        address = f"{course.address}/images/{line}"
        return walk.desk.show(path_images(found, line, walk.services, form, address=address, trail=trail))

    @get("/step-3", sync_to_thread=True)
    def training_step(self, form: NamedDependency[Form], walk: NamedDependency[Walk]) -> Response[Any]:
        """配置训练参数."""
        kept = walk.kept()
        if address := walk.not_yet(kept, 3):
            return walk.desk.go(address)
        return walk.show(kept, 3, training_step(walk.services, walk.actor, kept, walk.course), form)

    @post("/step-3", sync_to_thread=True)
    def training_step_sent(self, form: NamedDependency[Form], walk: NamedDependency[Walk]) -> Redirect:
        """Find versions to start from, take the defaults, draw the curves, or go on to preprocessing."""
        before = walk.kept()
        kept, entered = walk.keep(with_training(before, form)) if before.has_reached(3) else before, form
        if address := walk.not_yet(kept, 3):
            return walk.desk.go(address)
        button = button_of(form, before.form(3), FIND_VERSION)
        if button in ("defaults", "advised"):
            checked = check_step(walk.services.assay, kept.draft, 1, walk.actor)
            parameters = checked.basis.package.training_parameters
            if button == "advised":
                with_segmentation = checked.basis.can_train_segmentation
                advised = advised_from_nothing(learnt_from(checked, kept), with_segmentation=with_segmentation)
                parameters = write_json(advised)
            entered = filled_in(form, training_parameters=parameters)
            kept = walk.keep(with_training(kept, entered))
        page = training_step(walk.services, walk.actor, kept, walk.course, entered)
        if button == "preview":
            with walk.desk.refusals_on(page):
                read_training_parameters(entered.value("training_parameters"))
        return walk.move(kept, 3, page, button)

    @get("/step-4", sync_to_thread=True)
    def preprocessing_step(self, form: NamedDependency[Form], walk: NamedDependency[Walk]) -> Response[Any]:
        """添加预处理参数."""
        kept = walk.kept()
        if address := walk.not_yet(kept, STEP_COUNT):
            return walk.desk.go(address)
        page = preprocessing_step(walk.services, walk.actor, kept, walk.course)
        return walk.show(kept, STEP_COUNT, page, form)

    @post("/step-4", sync_to_thread=True)
    def preprocessing_step_sent(self, form: NamedDependency[Form], walk: NamedDependency[Walk]) -> Redirect:
        """【完成】: the job waits for a worker. Pressed again, it leads to the list in which the job stands."""
        job_id = id_or_none(form.text("job_id"))
        if walk.is_made(job_id):
            return walk.desk.go(LIST)
        kept = walk.kept()
        if job_id != kept.job_id:
            return walk.desk.go(walk.course.address)
        refusals: list[Refusal] = []
        kept = walk.keep(with_preprocessing(kept, form, refusals))
        if left := walk.leave(STEP_COUNT, form.text("do")):
            return left
        if address := walk.not_yet(kept, STEP_COUNT):
            return walk.desk.go(LIST if walk.is_made(kept.job_id) else address)  # the other of two clicks took the name
        try:
            with walk.desk.refusals_on(preprocessing_step(walk.services, walk.actor, kept, walk.course, form)):
                if refusals:
                    collect(refusals, walk.check, kept, STEP_COUNT)
                raise_together(refusals)
                walk.desk.ask(walk.queueing(kept))
        except (Refusal, Refusals, Refused):
            if not walk.is_made(kept.job_id):
                raise
            return walk.desk.go(LIST)  # the other of two clicks was faster
        walk.forget()
        walk.desk.say(N_("Training job “{name}” waits for a worker."), name=kept.draft.model_name)
        return walk.desk.go(LIST)


def _to_a_new_model(
    actor: NamedDependency[UUID], services: NamedDependency[Services], desk: NamedDependency[Desk]
) -> Walk:
    return Walk(Course(), actor, services, desk)


class TrainingWizard(_Steps):
    """新建模型, for everyone who is signed in."""

    path = NEW_MODEL
    dependencies = {"walk": Provide(_to_a_new_model, sync_to_thread=False)}  # noqa: RUF012 - Litestar's way

    @get("/step-1", sync_to_thread=True)
    def model_step(self, form: NamedDependency[Form], walk: NamedDependency[Walk]) -> Response[str]:
        """选择模型镜像."""
        kept = walk.kept()
        return walk.show(kept, 1, model_step(walk.services, kept, walk.course), form)

    @post("/step-1", sync_to_thread=True)
    def model_step_sent(self, form: NamedDependency[Form], walk: NamedDependency[Walk]) -> Redirect:
        """Find images, take the package's defaults, narrow the business images, or go on to the data paths."""
        before, read = walk.kept(), walk.services.read
        button, entered = button_of(form, before.form(1), FIND_GENERAL, FIND_BUSINESS), form
        if button == "defaults" and (version := version_of(form, read)):
            entered = filled_in(form, model_parameters=version.package.model_parameters)
        page = model_step(walk.services, before, walk.course, entered)
        kept = walk.keep(with_model(before, entered, read, page.cascade.place_ids))
        return walk.move(kept, 1, page, button)

    @post("/learning-rates", sync_to_thread=True)
    def learning_rates(self, form: NamedDependency[Form], desk: NamedDependency[Desk]) -> Response[str]:
        """The curves of what stands in the editor, for the script that draws them while it is edited (W-7)."""
        return desk.show(curves_page(form))


def _to_a_further_version(
    model_id: FromPath[UUID],
    label: FromPath[str],
    actor: NamedDependency[UUID],
    services: NamedDependency[Services],
    desk: NamedDependency[Desk],
) -> Walk:
    """Of a version of one's own.

    Raises:
        NotFound, NotTheOwner.
    """
    model = own_model(services.read, model_id, actor)
    version = model.version(label)
    if version is None:
        raise NotFound
    locked = tuple(path.folder for path in services.read.models.locked_paths(model_id) if path.released_at is None)
    address = f"/models/{model_id}/versions/{label}/retrain"
    return Walk(Course(address=address, model=model, version=version, locked=locked), actor, services, desk)


class Retraining(_Steps):
    """重新训练: a further version of a model, from the weights of the chosen one (W-11)."""

    path = "/models/{model_id:uuid}/versions/{label:str}/retrain"
    dependencies = {"walk": Provide(_to_a_further_version, sync_to_thread=True)}  # noqa: RUF012 - Litestar's way

    @get("/step-1", sync_to_thread=True)
    def model_step(self, form: NamedDependency[Form], walk: NamedDependency[Walk]) -> Response[str]:
        """What stays as it is."""
        return walk.show(walk.kept(), 1, kept_model_step(walk.services, walk.course), form)

    @post("/step-1", sync_to_thread=True)
    def model_step_sent(self, form: NamedDependency[Form], walk: NamedDependency[Walk]) -> Redirect:
        """On to the data paths, or out."""
        kept = walk.keep(walk.kept().with_entered(1, form))
        button = "later" if form.text("do") == "later" else "next"
        return walk.move(kept, 1, kept_model_step(walk.services, walk.course), button)
