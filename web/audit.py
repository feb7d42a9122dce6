"""审计: what happened, found and told; the history of one thing, and its state at any moment. Source: REQUIREMENTS, E-3, E-6."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from uuid import UUID

import msgspec
from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream

from domain.audit.kinds import KIND_NAMES, Kind, check_history, kind_of
from domain.audit.told import TOLD
from domain.facts import SYSTEM, Recorded, fold, public_form, state_type_of
from domain.permissions import Permission, Role
from domain.refusals import NotFound, Refusal
from domain.sentences import N_
from projections.audit import AuditPart, AuditRow, Place, Question, Thing
from web.access import needs
from web.downloads import content_disposition
from web.forms import Form, id_or_none, number_or_none
from web.i18n import LANGUAGES, translate
from web.listing import with_question
from web.pages import Desk, Page
from web.services import Account, Asker, ReadModels, Services

ADDRESS = "/audit"
HISTORY = "/history"
FILTERS = ("who", "kind", "topic", "thing", "since", "until", "everything")
LINES_AT_ONCE = 500
MOST_FIELDS_SHOWN = 600
"""A state of more fields is shown in part; the download holds all of it."""
MOST_VERSIONS = 1 << 31
PLATFORM = N_("The platform")
NOBODY = UUID(int=(1 << 128) - 1)
"""Did nothing, ever."""


class TimeIsUnreadable(Refusal):
    """A moment to look at, or from which on to search."""

    message = N_("“{typed}” is no time. Enter it as 2026-03-01 08:30, in the server's time.")


class NothingHappenedYet(Refusal):
    """A moment before the first event of a thing."""

    message = N_("This did not exist yet at that moment. Choose a later one.")


class AuditPage(Page, frozen=True):
    """A part of what happened; `things` fit the name that was looked for, `usernames` are offered to be looked for."""

    TEMPLATE = "audit/list.html"
    usernames: list[str]
    part: AuditPart = AuditPart(rows=(), has_newer=False, has_older=False)
    things: tuple[Thing, ...] = ()

    @property
    def kinds(self) -> tuple[tuple[str, str], ...]:
        """What can be chosen."""
        return tuple((kind.value, name) for kind, name in KIND_NAMES.items() if kind is not Kind.OTHER)

    @property
    def topics(self) -> tuple[str, ...]:
        """The types of facts of the chosen kind, or all of them."""
        chosen = self.form.text("kind")
        return tuple(fact_type.TOPIC for fact_type in TOLD if chosen in ("", kind_of(fact_type).value))

    @property
    def kind_names(self) -> Mapping[Kind, str]:
        """What each kind is called."""
        return KIND_NAMES

    @property
    def is_filtered(self) -> bool:
        """Whether the address leaves something out."""
        return any(self.form.text(name) for name in FILTERS)

    @property
    def newest(self) -> str:
        """The beginning of the list."""
        return _address(ADDRESS, self.form)

    @property
    def newer(self) -> str:
        """What happened after this part."""
        return _address(ADDRESS, self.form, newer=_mark(self.part.rows[0].place)) if self.part.rows else self.newest

    @property
    def older(self) -> str:
        """What happened before it."""
        return _address(ADDRESS, self.form, older=_mark(self.part.rows[-1].place))

    @property
    def download(self) -> str:
        """The whole list as a file."""
        return _address(f"{ADDRESS}/events.jsonl", self.form)


class ThingPage(Page, frozen=True):
    """About one thing, to which `newest_version` events have happened."""

    thing: Thing
    newest_version: int

    @property
    def kind_name(self) -> str:
        """What it is."""
        return KIND_NAMES[self.thing.kind]

    @property
    def address(self) -> str:
        """Its history."""
        return f"{HISTORY}/{self.thing.aggregate_id}"


class HistoryPage(ThingPage, frozen=True):
    """What happened to one thing, the newest first."""

    TEMPLATE = "audit/history.html"
    rows: tuple[AuditRow, ...]
    has_older: bool


class Field(msgspec.Struct, frozen=True):
    """One value of a state: before an event, after it, and as it is today; empty where there is none."""

    name: str
    before: str
    then: str
    now: str

    @property
    def has_changed(self) -> bool:
        """Whether the event changed it."""
        return self.before != self.then

    @property
    def is_other_now(self) -> bool:
        """Whether something changed it since."""
        return self.then != self.now


class StatePage(ThingPage, frozen=True):
    """One event with all it says, and the state that it left: its first fields, and how many there are."""

    TEMPLATE = "audit/state.html"
    row: AuditRow
    said: str
    fields: tuple[Field, ...]
    field_count: int


class Audit(Controller):
    """Super administrators only (U-6)."""

    path = ADDRESS
    guards = [needs(Permission.SUPERVISE)]  # noqa: RUF012 - Litestar's way to guard a controller

    @get("/", sync_to_thread=True)
    def list(
        self, form: NamedDependency[Form], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """A part of what happened, the newest first."""
        usernames = read.audit.usernames()
        with desk.refusals_on(AuditPage(form=form, usernames=usernames)):
            question, things = read_question(read, form)
            older, newer = _place(form.text("older")), _place(form.text("newer"))
            part = read.audit.search(question, older_than=older, newer_than=None if older else newer)
        return desk.show(AuditPage(form=form, usernames=usernames, part=part, things=things))

    @get("/events.jsonl", sync_to_thread=True)
    def download(
        self, form: NamedDependency[Form], services: NamedDependency[Services], desk: NamedDependency[Desk]
    ) -> Stream:
        """Everything that the list would show, however long it is."""
        with desk.refusals_on(AuditPage(form=form, usernames=services.read.audit.usernames())):
            question, _ = read_question(services.read, form)
        return _lines(event_lines(services.read, services.log, question), "events.jsonl")


class Histories(Controller):
    """Of whatever one may look at."""

    path = HISTORY

    @get("/{aggregate_id:uuid}", sync_to_thread=True)
    def history(
        self,
        aggregate_id: FromPath[UUID],
        form: NamedDependency[Form],
        user: NamedDependency[Account],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """历史."""
        return desk.show(_history_page(read, user, aggregate_id, form))

    @get("/{aggregate_id:uuid}/state", sync_to_thread=True)
    def state(
        self,
        aggregate_id: FromPath[UUID],
        form: NamedDependency[Form],
        user: NamedDependency[Account],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """One event and the state after it: by its number, or the last one before a moment."""
        page = _history_page(services.read, user, aggregate_id, form)
        with desk.refusals_on(page):
            version = _version(services.read, page, form)
        events = services.log.history(aggregate_id)
        row = next(iter(services.read.audit.history(aggregate_id, before=version + 1, size=1)), None)
        if row is None or row.version != version:
            raise NotFound
        fields = _compared(events, version)
        return desk.show(
            StatePage(
                form=form,
                thing=page.thing,
                row=row,
                said=_written(public_form(events[version - 1].data)),
                fields=fields[:MOST_FIELDS_SHOWN],
                field_count=len(fields),
                newest_version=len(events),
            )
        )

    @get("/{aggregate_id:uuid}/events.jsonl", sync_to_thread=True)
    def download(
        self,
        aggregate_id: FromPath[UUID],
        user: NamedDependency[Account],
        services: NamedDependency[Services],
    ) -> Stream:
        """Everything that happened to it."""
        thing = visible_thing(services.read, user, aggregate_id)
        question = Question(things=(aggregate_id,), everything=True)
        return _lines(event_lines(services.read, services.log, question), f"{thing.name or thing.kind.value}.jsonl")


def event_lines(read: ReadModels, log: Any, question: Question) -> Iterator[str]:
    """What answers a question as JSON Lines, the newest first: each event with its fact, but for what is private in it (E-6)."""
    place: Place | None = None
    while True:
        part = read.audit.search(question, older_than=place, size=LINES_AT_ONCE)
        if not part.rows:
            return
        facts: Mapping[int, Recorded] = log.at([row.position for row in part.rows])
        for row in part.rows:
            yield _line(row, facts[row.position])
        place = part.rows[-1].place


def state_at(read: ReadModels, log: Any, aggregate_id: UUID, form: Form) -> dict[str, Any]:
    """The state of something at the `moment` of a form, as JSON has it, but for what is private in it.

    Raises:
        NotFound, NothingHappenedYet, TimeIsUnreadable.
    """
    moment = _moment(form, "moment")
    version = None if moment is None else version_at(read, aggregate_id, through(moment))
    return state_after(log, aggregate_id, version)


def version_at(read: ReadModels, aggregate_id: UUID, moment: datetime) -> int:
    """How many events of a thing had happened at a moment.

    Raises:
        NothingHappenedYet
    """
    version: int | None = read.audit.version_at(aggregate_id, moment)
    if version is None:
        raise NothingHappenedYet(at="moment")
    return version


def state_after(log: Any, aggregate_id: UUID, version: int | None) -> dict[str, Any]:
    """The state of something after so many of its events, or after all of them, as JSON has it, but for what is private in it.

    Raises:
        NotFound: there are not so many.
    """
    events: list[Recorded] = log.history(aggregate_id)
    if not events or (version or 1) > len(events):
        raise NotFound
    state = fold(state_type_of(type(events[0].data)), events[:version])
    assert state is not None
    return public_form(state)


def _line(row: AuditRow, recorded: Recorded) -> str:
    line: dict[str, Any] = {
        "position": row.position,
        "aggregate_id": str(row.aggregate_id),
        "version": row.version,
        "kind": row.kind.value,
        "name": row.name,
        "type": row.topic,
        "happened_at": row.happened_at.astimezone(UTC).isoformat(),
        "actor": str(row.actor),
        "actor_name": row.actor_name,
        "request": row.request,
        "told": told_of(row),
        "fact": public_form(recorded.data),
    }
    if recorded.data.PRIVATE:
        line["withheld"] = sorted(recorded.data.PRIVATE)
    return json.dumps(line, ensure_ascii=False)


def told_of(row: AuditRow) -> dict[str, str]:
    """What happened, in every language."""
    return {language: translate(row.sentence, language) for language in LANGUAGES}


def _lines(lines: Iterator[str], name: str) -> Stream:
    return Stream(
        _in_parts(lines),
        media_type="application/x-ndjson",
        headers={"Content-Disposition": content_disposition(name), "Cache-Control": "private, no-store"},
    )


def _in_parts(lines: Iterator[str]) -> Iterator[str]:
    """Many lines at once: each part that is sent costs a change of threads."""
    while part := "".join(f"{line}\n" for line in islice(lines, LINES_AT_ONCE)):
        yield part


def read_question(read: ReadModels, form: Form) -> tuple[Question, tuple[Thing, ...]]:
    """What the filters ask, and the things that the name among them may mean.

    Raises:
        TimeIsUnreadable
    """
    question = Question(
        kind=next((kind for kind in Kind if kind.value == form.text("kind")), None),
        topic=form.text("topic"),
        since=_moment(form, "since"),
        until=_moment(form, "until"),
        everything=form.checked("everything"),
    )
    return named_in(question, read, who=form.text("who"), thing=form.text("thing"))


def named_in(question: Question, read: ReadModels, *, who: str, thing: str) -> tuple[Question, tuple[Thing, ...]]:
    """The question about a person by the name, and about a thing by its id or a part of its name, where they are named; and the
    things that may be meant.
    """
    things: tuple[Thing, ...] = ()
    if thing:
        known = id_or_none(thing)
        one = read.audit.thing(known) if known else None
        things = ((one,) if one else ()) if known else tuple(read.audit.called(thing, question.kind))
        question = msgspec.structs.replace(question, things=tuple(one.aggregate_id for one in things))
    if who:
        question = msgspec.structs.replace(question, actor=_person(read, who))
    return question, things


def _person(read: ReadModels, who: str) -> UUID:
    """Whoever bears or bore a name; the platform has one, too."""
    if who in {translate(PLATFORM, language) for language in LANGUAGES}:
        return SYSTEM
    found: UUID | None = read.audit.person(who)
    return found or NOBODY


def _moment(form: Form, name: str) -> datetime | None:
    """A moment as people type it, in the zone of the server.

    Raises:
        TimeIsUnreadable
    """
    typed = form.text(name)
    if not typed:
        return None
    try:
        return datetime.fromisoformat(typed).astimezone(UTC)
    except (ValueError, OverflowError):
        raise TimeIsUnreadable(at=name, typed=typed) from None


def through(moment: datetime) -> datetime:
    """To the end of its second: times are shown in whole seconds, and whoever names one means to see what happened then."""
    return moment if moment.microsecond else moment.replace(microsecond=999_999)


def _mark(place: Place) -> str:
    return f"{place.moment.astimezone(UTC).isoformat()}~{place.position}"


def _place(mark: str) -> Place | None:
    """The place of a mark; None for nonsense, which begins the list anew."""
    moment, _, text = mark.partition("~")
    position = number_or_none(text)
    if position is None:
        return None
    try:
        return Place(datetime.fromisoformat(moment).astimezone(UTC), position)
    except (ValueError, OverflowError):
        return None


def _address(path: str, form: Form, **more: str) -> str:
    kept = [(name, value) for name, value in form.fields if name in FILTERS and value.strip()]
    return with_question(path, [*kept, *more.items()])


def visible_thing(read: ReadModels, user: Asker, aggregate_id: UUID) -> Thing:
    """Something whose history the user may read.

    Raises:
        NotFound, NotPermitted, NotTheOwner.
    """
    thing: Thing | None = read.audit.thing(aggregate_id)
    if thing is None:
        raise NotFound
    check_history(thing.kind, aggregate_id, thing.owner, user.user_id, Role(user.role))
    return thing


def _history_page(read: ReadModels, user: Account, aggregate_id: UUID, form: Form) -> HistoryPage:
    thing = visible_thing(read, user, aggregate_id)
    rows = read.audit.history(aggregate_id, before=_numbered(form.text("before")))
    (newest,) = read.audit.history(aggregate_id, size=1)
    has_older = bool(rows) and rows[-1].version > 1
    return HistoryPage(form=form, thing=thing, rows=tuple(rows), has_older=has_older, newest_version=newest.version)


def _version(read: ReadModels, page: HistoryPage, form: Form) -> int:
    """The number of the event that is asked for.

    Raises:
        NotFound, TimeIsUnreadable
    """
    if moment := _moment(form, "moment"):
        return version_at(read, page.thing.aggregate_id, through(moment))
    version = _numbered(form.text("version"))
    if version is None:
        raise NotFound
    return version


def _numbered(text: str) -> int | None:
    """The number of an event, counted from 1."""
    number = number_or_none(text) or 0
    return number if 0 < number < MOST_VERSIONS else None


def _compared(events: list[Recorded], version: int) -> tuple[Field, ...]:
    """Every field of a state: before its event, after it, and today; first what the event changed, however far down it stands."""
    before, then, now = (_flat(events[:count]) for count in (version - 1, version, len(events)))
    names = dict.fromkeys((*then, *before))
    fields = [Field(name, before.get(name, ""), then.get(name, ""), now.get(name, "")) for name in names]
    return tuple(sorted(fields, key=lambda field: not field.has_changed))


def _flat(events: list[Recorded]) -> dict[str, str]:
    """The state after some events, each value under the way to it."""
    if not events:
        return {}
    state = fold(state_type_of(type(events[0].data)), events)
    return dict(_leaves("", public_form(state))) if state else {}


def _leaves(way: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(f"{way}.{name}" if way else name, inner)
    elif isinstance(value, list) and value and not all(isinstance(one, str | int | float) for one in value):
        for number, inner in enumerate(value, 1):
            yield from _leaves(f"{way}[{number}]", inner)
    elif isinstance(value, str) or value is None:
        yield way, value or ""
    else:
        yield way, json.dumps(value, ensure_ascii=False)


def _written(form: Mapping[str, Any]) -> str:
    return json.dumps(form, ensure_ascii=False, indent=2)
