"""The ways in which a rule says no. A rule is a `Refusal` class named as the rule."""

from typing import Any, ClassVar

from domain.sentences import N_, Sentence, Value


class Refusal(Exception):
    """A rule was not met; the message tells a person what to do next."""

    message: ClassVar[str] = ""
    field: ClassVar[str] = ""
    """Name of the form field beside which the message is shown; empty for the whole form."""

    def __init__(self, *, at: str = "", **values: Value | Sentence) -> None:
        self.values: dict[str, Any] = values
        self.at = at or self.field
        super().__init__(self.message.format(**values))

    @property
    def sentence(self) -> Sentence:
        """The message for translation."""
        return Sentence(self.message, dict(self.values))


class Refusals(Exception):
    """Several refusals of one form, so that a person sees every mistake at once."""

    def __init__(self, refusals: list[Refusal]) -> None:
        self.refusals = refusals
        super().__init__("; ".join(str(refusal) for refusal in refusals))


class NotPermitted(Refusal):
    """The actor's role, or not being the owner, forbids the command (403)."""

    message = N_("Your role does not permit this action. Ask a super administrator.")


class NotTheOwner(NotPermitted):
    """Only its owner may do this: act on a job, or see a model or a prediction at all."""

    message = N_("This belongs to someone else, and only its owner may do this. Ask the owner.")


class NotFound(Refusal):
    """There is no such thing, or it is gone (404)."""

    message = N_("This does not exist, or it has been deleted.")


class ChangedMeanwhile(Refusal):
    """Others changed the same thing again and again while the command was being decided."""

    message = N_("Someone else changed this at the same moment. Look at it again, then repeat your action.")


def raise_together(refusals: list[Refusal]) -> None:
    """Raise what was collected: nothing, the one, or all of them.

    Raises:
        Refusal: where there is exactly one.
        Refusals: where there are several.
    """
    if len(refusals) == 1:
        raise refusals[0]
    if refusals:
        raise Refusals(refusals)


def collect(refusals: list[Refusal], check: Any, *arguments: Any, **named: Any) -> Any:
    """Run one check; keep its refusal instead of raising it. Returns the check's answer, or None when it refused."""
    try:
        return check(*arguments, **named)
    except Refusal as refusal:
        refusals.append(refusal)
    except Refusals as several:
        refusals.extend(several.refusals)
    return None
