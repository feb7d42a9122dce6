"""What `audit`, `provenance`, `rebuild` and `replay` do; each says its answer in lines, and returns the exit status."""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from domain.artifacts import Artifact, FileIsGone
from domain.facts import SYSTEM
from domain.model_images import version_label
from domain.provenance import Act, ImageState, Provenance
from domain.refusals import Refusal
from infra import bootstrap
from infra.connections import open_pool
from infra.core import Core
from infra.log_verbs import told_states
from infra.manifests import Manifests
from infra.progress import Say
from infra.projector import Projector, RebuildStopped
from infra.replay import ReplayIsRunning, verify_replay
from infra.replayed_training import find_version, replay_training
from infra.settings import Settings
from projections.all import READ_MODELS
from projections.audit import Audit, AuditRow, Place, Question, Thing
from web.audit import event_lines, read_question, state_at
from web.forms import Form
from web.i18n import local_time_with_seconds, translate
from web.provenance import find_provenance

ROWS_AT_ONCE = 500


class NoAnswer(Exception):
    """What was asked cannot be answered; the text says why, and what to do."""


def run(asked: argparse.Namespace, core: Core, settings: Settings, say: Say) -> int:
    """Do what one of the verbs asks.

    Raises:
        NoAnswer
    """
    match asked.verb:
        case "audit":
            return _audit(asked, core, settings, say)
        case "provenance":
            return _provenance(asked.version, core, say, is_checking=asked.check)
        case "rebuild":
            return _rebuild(asked.names, core, say)
        case _ if asked.verify:
            return _verify(core, say)
    if asked.iterations is not None and asked.iterations < 1:
        raise NoAnswer("--iterations needs a number from 1 on.")
    try:
        return replay_training(asked.job, core, settings, say, most_iterations=asked.iterations)
    except Refusal as refusal:
        raise NoAnswer(str(refusal)) from refusal


def _audit(asked: argparse.Namespace, core: Core, settings: Settings, say: Say) -> int:
    names = ("who", "kind", "topic", "thing", "since", "until", "moment")
    fields = {name: getattr(asked, name) for name in names} | ({"everything": "yes"} if asked.everything else {})
    with open_pool(core.dsn, size=1) as pool:
        read = bootstrap.read_models(pool, core.artifacts, settings.sample_indexes)
        try:
            if asked.position:
                return _tell_event(asked.position, read, core, say)
            question, things = read_question(read, Form.of(**fields))
            if asked.moment:
                return _tell_state(read, core, things, Form.of(**fields), say)
            if asked.jsonl:
                return _write(event_lines(read, core.log, question), asked.jsonl, say)
            is_found = False
            for row in _found(read, question, asked.limit):
                is_found = True
                who = row.actor_name or ("-" if row.actor == SYSTEM else str(row.actor))
                sentence = translate(row.sentence, asked.language)
                say(f"{row.position:>9}  {local_time_with_seconds(row.happened_at)}  {who:<16}  {sentence}")
            if not is_found:
                say("No event is like that.")
        except Refusal as refusal:
            raise NoAnswer(translate(refusal.sentence, asked.language)) from refusal
    return 0


def _found(read: Any, question: Question, limit: int) -> Iterator[AuditRow]:
    place: Place | None = None
    while limit > 0:
        part = read.audit.search(question, older_than=place, size=min(limit, ROWS_AT_ONCE))
        yield from part.rows
        if not part.has_older:
            return
        limit -= len(part.rows)
        place = part.rows[-1].place


def _tell_event(position: int, read: Any, core: Core, say: Say) -> int:
    found = core.log.at([position]).get(position)
    if found is None:
        raise NoAnswer(f"No event stands at position {position:,}.")
    question = Question(things=(found.originator_id,), everything=True)
    lines = map(json.loads, event_lines(read, core.log, question))
    say(_pretty(next(line for line in lines if line["position"] == position)))
    return 0


def _tell_state(read: Any, core: Core, things: Sequence[Thing], form: Form, say: Say) -> int:
    if len(things) != 1:
        several = "".join(f"\n{thing.aggregate_id}  {thing.kind.value:<18}{thing.name}" for thing in things)
        raise NoAnswer(f"Name one thing with --thing: its id, or a name that only one has.{several}")
    say(_pretty(state_at(read, core.log, things[0].aggregate_id, form)))
    return 0


def _pretty(form: Any) -> str:
    return json.dumps(form, ensure_ascii=False, indent=2)


def _write(lines: Iterator[str], target: Path, say: Say) -> int:
    beside = target.with_name(f".{target.name}.part")
    count = 0
    try:
        with beside.open("w", encoding="utf-8") as file:
            for count, line in enumerate(lines, 1):  # noqa: B007 - the last one is the answer
                file.write(line + "\n")
        beside.rename(target)
    except OSError as error:
        raise NoAnswer(f"{target} cannot be written: {error.strerror}.") from error
    say(f"{count:,} events in {target}.")
    return 0


def _provenance(asked: str, core: Core, say: Say, *, is_checking: bool) -> int:
    if ":" not in asked:
        raise NoAnswer(f"“{asked}” names no version. Write model:version, for example panel-a:v1.01.")
    try:
        model, label = find_version(asked, core.assay)
        made = find_provenance(core.log, model.id, label)
    except Refusal as refusal:
        raise NoAnswer(str(refusal)) from refusal
    with open_pool(core.dsn, size=1) as pool:
        names = Audit(pool).people(made.people)
    say(_pretty(_told(made, names)))
    if made.manifest is None:
        raise NoAnswer("The training recorded no list of images.")
    manifests = Manifests(core.artifacts, core.data_folders)
    try:
        say(f"{manifests.count(made.manifest):,} images.")
        if not is_checking:
            return 0
        found: Counter[ImageState] = Counter()
        for entry in manifests.entries(made.manifest):
            state = manifests.state(entry)
            found[state] += 1
            if state is not ImageState.SAME:
                say(f"{state.value}: {entry.root}:{entry.path} (SHA-256 {entry.checksum})")
    except FileIsGone as problem:
        raise NoAnswer(str(problem)) from problem
    say(
        f"{found[ImageState.SAME]:,} as they were, {found[ImageState.CHANGED]:,} changed, {found[ImageState.GONE]:,} gone."
    )
    return 0 if found[ImageState.SAME] == found.total() else 1


def _told(made: Provenance, names: Mapping[UUID, str]) -> dict[str, Any]:
    """What made a version, for people who read JSON."""

    def act(one: Act | None) -> dict[str, str] | None:
        return None if one is None else {"by": names.get(one.actor, str(one.actor)), "at": one.moment.isoformat()}

    def checksum(one: Artifact | None) -> str | None:
        return one.checksum if one else None

    version, completed = made.published, made.completed
    return {
        "model": version.model_name,
        "version": version.version,
        "queued": act(made.queued_by),
        "started_again": [act(one) for one in made.restarted_by],
        "attempts": [{"worker": one.worker, "at": one.moment.isoformat()} for one in made.attempts],
        "completed_at": made.completed_at and made.completed_at.isoformat(),
        "published": act(made.published_by),
        "withdrawn": act(made.withdrawn_by),
        "withdrawal_reason": made.withdrawal_reason,
        "device": completed and completed.device,
        "software": completed and completed.software,
        "model_image": f"{version.model_image.name} {version_label(version.model_image.number)}",
        "package": checksum(made.package),
        "started_from": version.started_from and f"{version.started_from.model_name} {version.started_from.label}",
        "initial_weights": checksum(version.order.initial_weights),
        "chosen_weights": version.chosen_weights.value,
        "weights": checksum(version.weights),
        "segmentation_weights": checksum(version.segmentation_weights),
        "evaluation": checksum(version.evaluation),
        "losses": checksum(completed.losses if completed else None),
        "log": checksum(completed.log if completed else None),
        "images": checksum(made.manifest),
        "order": msgspec.to_builtins(version.order),
    }


def _rebuild(names: list[str], core: Core, say: Say) -> int:
    known = [model.name for model in READ_MODELS]
    if unknown := sorted(set(names) - set(known)):
        raise NoAnswer(f"There is no read model {', '.join(unknown)}. These are: {', '.join(known)}.")
    projector = Projector(core.log, core.dsn, READ_MODELS, core.artifacts)
    try:
        started = time.monotonic()
        projector.rebuild(*(names or known))
        say(f"{', '.join(names) or 'All read models'}: rebuilt in {time.monotonic() - started:.1f} s")
        if not names:
            core.log.forget_states()
            say("Kept states are forgotten; they are folded from the log again.")
    except RebuildStopped as error:
        raise NoAnswer(
            f"{error}\nThe tables of before answer meanwhile. It is tried again by itself once another release can take the event."
        ) from error
    except TimeoutError as error:
        raise NoAnswer(str(error)) from error
    finally:
        projector.close()
    return 0


def _verify(core: Core, say: Say) -> int:
    started = time.monotonic()
    try:
        compared = verify_replay(core.log, core.dsn, READ_MODELS, core.artifacts)
    except ReplayIsRunning as error:
        raise NoAnswer(f"{error}; wait until it has ended.") from error
    for model in compared:
        rows = sum(table.row_count for table in model.tables)
        state = model.problem or ("same" if model.is_same else "DIFFERENT")
        say(f"{model.name:<22}position {model.position:<12,}{rows:>12,} rows  {state}")
        for table in model.tables:
            if not table.is_same:
                say(f"  {table.name}: {table.lost:,} rows only live, {table.new:,} only replayed")
                for line in table.examples:
                    say(f"    {line}")
    wrong_states = told_states(core.log.checked_states(), say)
    is_proved = all(model.is_same for model in compared) and not wrong_states
    say(f"{'Everything is the same' if is_proved else 'Something is different'} ({time.monotonic() - started:.1f} s).")
    return 0 if is_proved else 1
