"""训练任务管理: the list of everyone's jobs, and what their owners do with them. Source: section T; manual, “训练任务管理”.

One job is shown by `web/training_monitor.py`, its report by `web/training_reports.py`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect, ServerSentEvent

from commands.models import PublishModelVersion
from commands.training_jobs import DeleteTrainingJob, RestartTraining, TerminateTraining
from domain.permissions import check_owner
from domain.sentences import N_
from domain.training_jobs import TrainedWeights, TrainingAction, TrainingStatus, check_offered
from projections.training_jobs import SORTS, Creator
from web.forms import Form, id_or_none
from web.listing import Listing, read_listing, way_back
from web.live import Live, Part
from web.pages import Desk, Page
from web.services import ReadModels, Services
from web.training_lines import ADDRESS, STATUS_NAMES, JobLine, freshened, job_of, line_of, lines_of
from web.training_reports import WeightsLine, kept_weights


class TrainingJobsPage(Page, frozen=True):
    """Everyone's jobs, the newest first."""

    TEMPLATE = "training_jobs/list.html"
    listing: Listing
    lines: tuple[JobLine, ...]
    creators: tuple[Creator, ...]
    statuses: tuple[tuple[str, str], ...]

    @property
    def stream(self) -> str:
        """The stream of the same rows."""
        return f"{ADDRESS}/live?{urlencode(self.listing.fields)}"

    @property
    def is_filtered(self) -> bool:
        """Whether the address leaves something out."""
        return any(self.form.text(name) for name in ("status", "owner", "search"))


class ConfirmPage(Page, frozen=True):
    """The question before something that cannot be undone; `action` is terminate, delete or publish, which may choose weights."""

    TEMPLATE = "training_jobs/confirm.html"
    line: JobLine
    action: str
    kept: tuple[WeightsLine, ...] = ()

    @property
    def back(self) -> str:
        """The part of the list where one came from."""
        return way_back(self.form, ADDRESS)


LIST_PARTS: Mapping[str, Part[TrainingJobsPage]] = MappingProxyType(
    {"rows": Part("training_jobs/_rows.html", shows=lambda page: (page.listing, page.lines))}
)


class TrainingJobs(Controller):
    """Everyone sees every job; its owner acts on it, as the command side decides (U-6)."""

    path = ADDRESS

    @get("/", sync_to_thread=True)
    def list(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The manual's list (T-3)."""
        creators = tuple(services.read.training_jobs.creators())
        return desk.show(msgspec.structs.replace(_list_page(services, form, actor), creators=creators))

    @get("/live", sync_to_thread=True)
    def stream_list(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        live: NamedDependency[Live],
    ) -> ServerSentEvent:
        """The rows as they move."""
        return live.watch(
            lambda: _list_page(services, form, actor),
            LIST_PARTS,
            freshen=lambda page: msgspec.structs.replace(page, lines=freshened(services, page.lines, actor)),
        )

    @get("/{job_id:uuid}/terminate", sync_to_thread=True)
    def confirm_terminate(
        self,
        job_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The question before."""
        with desk.unless_gone(ADDRESS), desk.unless_settled(f"{ADDRESS}/{job_id}"):
            page = _confirm_page(read, job_id, actor, TrainingAction.TERMINATE, Form())
        return desk.show(page)

    @get("/{job_id:uuid}/delete", sync_to_thread=True)
    def confirm_delete(
        self,
        job_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The question before."""
        with desk.unless_gone(way_back(form, ADDRESS)), desk.unless_settled(f"{ADDRESS}/{job_id}"):
            page = _confirm_page(read, job_id, actor, TrainingAction.DELETE, form)
        return desk.show(page)

    @get("/{job_id:uuid}/publish", sync_to_thread=True)
    def confirm_publish(
        self,
        job_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The question before."""
        with desk.unless_gone(ADDRESS), desk.unless_settled(f"{ADDRESS}/{job_id}"):
            page = _confirm_page(read, job_id, actor, TrainingAction.PUBLISH, Form())
        return desk.show(page)

    @post("/{job_id:uuid}/terminate", sync_to_thread=True)
    def terminate(
        self,
        job_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """【终止】."""
        with desk.unless_gone(ADDRESS):
            job = job_of(read, job_id)
            desk.ask(TerminateTraining(actor=actor, job_id=job_id))
        desk.say(N_("The training of “{name}” is terminated."), name=job.model_name)
        return desk.go(f"{ADDRESS}/{job_id}")

    @post("/{job_id:uuid}/restart", sync_to_thread=True)
    def restart(
        self,
        job_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """【启动】: from 0 %."""
        with desk.unless_gone(ADDRESS):
            job = job_of(read, job_id)
            desk.ask(RestartTraining(actor=actor, job_id=job_id))
        desk.say(N_("“{name}” waits for a worker and will begin from 0 %."), name=job.model_name)
        return desk.go(f"{ADDRESS}/{job_id}")

    @post("/{job_id:uuid}/delete", sync_to_thread=True)
    def delete(
        self,
        job_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """【删除】."""
        back = way_back(form, ADDRESS)
        with desk.unless_gone(back):
            job = job_of(read, job_id)
            desk.ask(DeleteTrainingJob(actor=actor, job_id=job_id))
        desk.say(N_("Training job “{name}” is deleted."), name=job.model_name)
        return desk.go(back)

    @post("/{job_id:uuid}/publish", sync_to_thread=True)
    def publish(
        self,
        job_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        form: NamedDependency[Form],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """【模型发布】, with the best weights unless the last are chosen."""
        is_last = form.text("weights") == TrainedWeights.LAST.value
        chosen = TrainedWeights.LAST if is_last else TrainedWeights.BEST
        with desk.unless_gone(ADDRESS):
            desk.ask(PublishModelVersion(actor=actor, job_id=job_id, chosen_weights=chosen))
            job = job_of(read, job_id)
        desk.say(N_("“{name}” is published as {version}."), name=job.model_name, version=job.label)
        return desk.go(f"{ADDRESS}/{job_id}")


def _list_page(services: Services, form: Form, actor: UUID) -> TrainingJobsPage:
    """Without the creators to filter by: the rows do not show them."""
    listing = read_listing(ADDRESS, form, columns=tuple(SORTS), default="-queued_at")
    wanted = form.text("status")
    found = services.read.training_jobs.page(
        status=TrainingStatus(wanted) if wanted in {status.value for status in TrainingStatus} else None,
        owner=id_or_none(form.text("owner")),
        search=form.text("search"),
        sort=listing.sort,
        page=listing.page,
    )
    return TrainingJobsPage(
        form=form,
        listing=listing.of(found.total),
        lines=lines_of(services, found.items, actor),
        creators=(),
        statuses=tuple((status.value, name) for status, name in STATUS_NAMES.items()),
    )


def _confirm_page(read: ReadModels, job_id: UUID, actor: UUID, action: TrainingAction, form: Form) -> ConfirmPage:
    job = job_of(read, job_id)
    check_owner(job.owner, actor)
    check_offered(action, job.status, job.model_name)
    asked = Form((*form.fields, ("weights", TrainedWeights.BEST.value)))
    return ConfirmPage(
        form=asked,
        line=line_of(job, None, actor, datetime.now(UTC)),
        action=action.value,
        kept=kept_weights(job, actor),
    )
