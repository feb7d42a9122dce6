"""The write side: `dispatch` = authorise, handle, save. Every way in (pages, command line, workers' reports) ends here."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple, TypeVar, cast
from uuid import UUID

import msgspec

from commands.ports import Log, Ports, VersionConflict
from domain.api_tokens import ApiToken, Area, OutOfScope, TokenScope, area_of, check_command, owner_asked_for
from domain.facts import SYSTEM, Fact, Frozen, Origin, Recorded, State
from domain.permissions import EVERYONE, ROLES, Permission, check_owner, permits
from domain.refusals import ChangedMeanwhile, NotFound, NotPermitted
from domain.users import User, UserRefusedAction

DECISIONS_BEFORE_GIVING_UP = 8
"""How often a command is decided anew when others change the same aggregates first; workers report about once a second, so a
person's command wins long before."""


class Command(msgspec.Struct, metaclass=Frozen, frozen=True, kw_only=True):
    """A wish of one actor, in the imperative.

    `PERMISSION` is the row of the permission table; `OWNED` names an aggregate that the actor must own: its type and the field
    of the command that holds its id. `token` is the API token through which a machine asks in the actor's name; `AREA` decides
    together with its scope, where it is not the one that follows from the permission.
    """

    PERMISSION: ClassVar[Permission]
    OWNED: ClassVar[tuple[type[State], str] | None] = None
    AREA: ClassVar[Area | None] = None
    actor: UUID
    request: str = ""
    token: UUID | None = None


class Change(NamedTuple):
    """What happened to one aggregate; `state` is what the decision was made on, None for a new aggregate."""

    aggregate_id: UUID
    state: State | None
    facts: list[Fact]


S = TypeVar("S", bound=State)
C = TypeVar("C", bound=Command)
Handler = Callable[[C, "Assay"], int]
HANDLERS: dict[type[Command], Handler[Any]] = {}


def handles(command_type: type[C]) -> Callable[[Handler[C]], Handler[C]]:
    """Declare the handler of a command: load, decide, save; returns the log position."""

    def register(handler: Handler[C]) -> Handler[C]:
        HANDLERS[command_type] = handler
        return handler

    return register


class Assay:
    """The write side over a log."""

    def __init__(self, log: Log, ports: Ports) -> None:
        self._log = log
        self.ports = ports

    def dispatch(self, command: Command, request_id: str = "") -> int:
        """Authorise, handle, save. Returns the log position that holds the command's effect, 0 where nothing changed.

        `request_id` names the request that asked; it is kept with every event.

        Raises:
            NotPermitted, NotTheOwner: the permission table says no (U-6).
            NotFound: what the command names does not exist.
            Refusal, Refusals: a rule says no; nothing was stored.
        """
        command = msgspec.structs.replace(command, request=request_id or command.request)
        for _ in range(DECISIONS_BEFORE_GIVING_UP):
            self._authorise(command)  # each time: what others were faster with may have been the actor's role
            try:
                return HANDLERS[type(command)](command, self)
            except VersionConflict:
                continue  # someone was faster: load again, decide again
        raise ChangedMeanwhile

    def find(self, state_type: type[S], aggregate_id: UUID) -> S | None:
        """The state of an aggregate, None where nothing ever happened to it."""
        return self._log.load(state_type, aggregate_id)

    def load(self, state_type: type[S], aggregate_id: UUID) -> S:
        """The state of an aggregate that must exist.

        Raises:
            NotFound: it does not, or it was deleted.
        """
        state = self.find(state_type, aggregate_id)
        if state is None or getattr(state, "is_deleted", False):
            raise NotFound
        return state

    def has_made(self, state_type: type[S], aggregate_id: UUID) -> bool:
        """Whether what a command is to make is there: the same wish again, by a second click or a request that was sent twice.

        Raises:
            NotFound: it was made, and deleted since.
        """
        return self.find(state_type, aggregate_id) is not None and bool(self.load(state_type, aggregate_id))

    def save(self, command: Command, *changes: Change) -> int:
        """Store what the changes say, all or nothing; returns the log position, 0 where there is nothing to store.

        Raises:
            VersionConflict: decide again.
        """
        return self._append(Origin(actor=command.actor, request=command.request, token=command.token), changes)

    def owner_in_charge(self, owner: UUID) -> UUID:
        """Who acts on what `owner` made: the owner, or once the owner is deleted the heir in charge, of however many (U-7)."""
        user = self.find(User, owner)
        while user is not None and user.heir is not None:
            owner = user.heir
            user = self.find(User, owner)
        return owner

    def check_owner(self, owner: UUID, asked_for: UUID | None) -> None:
        """Whether what `owner` made is open to who asks for the things of `asked_for`, or of everybody (None).

        Raises:
            NotTheOwner
        """
        check_owner(self.owner_in_charge(owner), asked_for)

    def note_refusal(self, actor: UUID, action: str, request_id: str = "", token: UUID | None = None) -> None:
        """Leave the audit record of a management action that was refused (U-6); `action` names the command or the request."""
        user = self.load(User, actor)
        try:
            self._append(
                Origin(actor=actor, request=request_id, token=token),
                [Change(user.id, user, [UserRefusedAction(command=action)])],
            )
        except VersionConflict:
            self.note_refusal(actor, action, request_id, token)

    def _append(self, origin: Origin, changes: Sequence[Change]) -> int:
        now = datetime.now(UTC)
        events = [
            Recorded(change.aggregate_id, (change.state.version if change.state else 0) + number, fact, now, origin)
            for change in changes
            for number, fact in enumerate(change.facts, 1)
        ]
        return self._log.append(events) if events else 0

    def _authorise(self, command: Command) -> None:
        if command.actor == SYSTEM:
            return
        user = self.load(User, command.actor)
        try:
            scope = self._scope_of_token(command)  # first: nothing that was refused may name a token that is not there
        except OutOfScope:
            self._note_if_managing(user, command)
            raise
        if not permits(user.role, command.PERMISSION):
            self._note_if_managing(user, command)
            raise NotPermitted
        if command.OWNED is not None:
            owned_type, field = command.OWNED
            owned = cast(Any, self.load(owned_type, getattr(command, field)))
            self.check_owner(owned.owner, owner_asked_for(command.actor, scope))

    def _note_if_managing(self, user: User, command: Command) -> None:
        if ROLES[command.PERMISSION] != EVERYONE:
            self.note_refusal(user.id, type(command).__name__, command.request, command.token)

    def _scope_of_token(self, command: Command) -> TokenScope | None:
        """How far the token goes through which a machine asks; None where a person asks."""
        if command.token is None:
            return None
        area = command.AREA or area_of(command.PERMISSION)
        return check_command(self.find(ApiToken, command.token), command.actor, area)
