"""Who did what, when, to what; the history of one thing, and its state at any moment. Source: REQUIREMENTS, E-3, E-6, U-6."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeAlias
from uuid import UUID

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter
from msgspec import Meta

from domain.api_tokens import Area
from domain.audit.kinds import Kind
from domain.facts import public_form
from domain.permissions import Permission
from projections.audit import AuditRow, Question
from projections.audit import Place as PlaceInAudit
from projections.read_model import Stretch
from web.access import needs
from web.api.desk import ApiDesk
from web.api.lists import DEFAULT_LIMIT, After, Limit, Listed, listed, place_of
from web.api.routes import LOOKS
from web.api.shapes import Shape, shaped
from web.audit import MOST_VERSIONS, named_in, state_after, through, told_of, version_at, visible_thing
from web.services import Services

Version: TypeAlias = Annotated[int, Meta(ge=1, lt=MOST_VERSIONS)]
LONGEST_NAME = 200


class AuditEvent(Shape, frozen=True, kw_only=True):
    """One event of the log. `told` is what happened in each language, `name` what its thing is called now, `request` the id of the
    request that asked for it, `type` the kind of fact; `withheld` names the fields of the fact that leave for nobody.
    """

    position: int
    aggregate_id: UUID
    version: int
    kind: Kind
    name: str
    type: str
    happened_at: datetime
    actor: UUID
    actor_name: str
    request: str
    told: dict[str, str]
    fact: dict[str, Any]
    withheld: tuple[str, ...]


class PastState(Shape, frozen=True, kw_only=True):
    """What a thing was after so many of its events, without what leaves for nobody."""

    aggregate_id: UUID
    kind: Kind
    name: str
    version: int
    newest_version: int
    state: dict[str, Any]


class Audit(Controller):
    """Super administrators only (U-6)."""

    path = "/audit"
    tags = ("audit",)
    guards = [needs(Permission.SUPERVISE)]  # noqa: RUF012 - Litestar's way to guard a controller
    opt = {"area": Area.MANAGEMENT}  # noqa: RUF012 - Litestar's way to say it of every handler

    @get("/", sync_to_thread=True, responses=LOOKS)
    def search(
        self,
        services: NamedDependency[Services],
        who: Annotated[
            str, QueryParameter(max_length=LONGEST_NAME, description="The name of a user, deleted ones included.")
        ] = "",
        kind: FromQuery[Kind | None] = None,
        fact_type: Annotated[str, QueryParameter(name="type", max_length=LONGEST_NAME)] = "",
        thing: Annotated[
            str, QueryParameter(max_length=LONGEST_NAME, description="The id of a thing, or a part of its name.")
        ] = "",
        since: Annotated[datetime | None, QueryParameter(description="From this moment on.")] = None,
        until: Annotated[datetime | None, QueryParameter(description="Before this moment.")] = None,
        everything: Annotated[
            bool, QueryParameter(description="Bookkeeping of names and uses, too, which is left out otherwise.")
        ] = False,
        after: After = "",
        limit: Limit = DEFAULT_LIMIT,
    ) -> Listed[AuditEvent]:
        """What happened, the newest first."""
        question = Question(kind=kind, topic=fact_type, since=since, until=until, everything=everything)
        question, _ = named_in(question, services.read, who=who.strip(), thing=thing.strip())
        place = place_of(after, tuple[datetime, int])
        part = services.read.audit.search(question, older_than=PlaceInAudit(*place) if place else None, size=limit)
        return _sent(services, part.rows, lambda row: (row.happened_at, row.position), has_older=part.has_older)


class Histories(Controller):
    """Of whatever one may look at: everything for super administrators, for others what is theirs or everybody's."""

    path = "/history"
    tags = ("audit",)
    opt = {"area": Area.MANAGEMENT}  # noqa: RUF012 - Litestar's way to say it of every handler

    @get("/{aggregate_id:uuid}", sync_to_thread=True, responses=LOOKS)
    def of_one(
        self,
        aggregate_id: FromPath[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[ApiDesk],
        after: After = "",
        limit: Limit = DEFAULT_LIMIT,
    ) -> Listed[AuditEvent]:
        """Everything that happened to one thing, the newest first."""
        visible_thing(services.read, desk.caller, aggregate_id)
        place = place_of(after, tuple[Version])
        rows = services.read.audit.history(aggregate_id, before=place[0] if place else None, size=limit + 1)
        return _sent(services, rows[:limit], lambda row: (row.version,), has_older=len(rows) > limit)

    @get("/{aggregate_id:uuid}/state", sync_to_thread=True, responses=LOOKS)
    def state(
        self,
        aggregate_id: FromPath[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[ApiDesk],
        version: Annotated[
            int | None, QueryParameter(ge=1, lt=MOST_VERSIONS, description="After so many of its events.")
        ] = None,
        moment: Annotated[
            datetime | None, QueryParameter(description="At this moment; a whole second counts to its end.")
        ] = None,
    ) -> PastState:
        """What a thing was after a number of events, else at a moment, else what it is now."""
        read = services.read
        thing = visible_thing(read, desk.caller, aggregate_id)
        (newest,) = read.audit.history(aggregate_id, size=1)
        if version is None and moment is not None:
            version = version_at(read, aggregate_id, through(moment))
        version = version or newest.version
        state = state_after(services.log, aggregate_id, version)
        return shaped(thing, PastState, version=version, newest_version=newest.version, state=state)


def _sent(
    services: Services, rows: Sequence[AuditRow], place: Callable[[AuditRow], tuple[Any, ...]], *, has_older: bool
) -> Listed[AuditEvent]:
    facts = services.log.at([row.position for row in rows])

    def event(row: AuditRow) -> AuditEvent:
        fact = facts[row.position].data
        return shaped(
            row,
            AuditEvent,
            type=row.topic,
            told=told_of(row),
            fact=public_form(fact),
            withheld=tuple(sorted(fact.PRIVATE)),
        )

    return listed(Stretch(items=tuple(rows), following=place(rows[-1]) if has_older else None), event)
