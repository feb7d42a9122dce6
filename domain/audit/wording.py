"""How values stand in the sentences of the audit: roles, scopes, what was found, several things at once."""

import itertools
from collections.abc import Iterable

from domain.api_tokens import TokenScope
from domain.data_paths import DataPathState, FolderName, Inspection
from domain.messages import LossPart, Resources
from domain.names import NameKind
from domain.permissions import Role
from domain.sentences import N_, Sentence, Value

MOST_NAMED = 5
"""So many of several things a sentence names; the fact itself holds all of them."""


def say(text: str, **values: Value | Sentence) -> Sentence:
    """A sentence, with what fills its places."""
    return Sentence(text, values)


def several_named(several: Iterable[str]) -> str:
    """The first of several things."""
    first = list(itertools.islice(several, MOST_NAMED + 1))
    return " / ".join([*first[:MOST_NAMED], "…"] if len(first) > MOST_NAMED else first)


def folders_named(folders: Iterable[FolderName]) -> str:
    """The first of several folders."""
    return several_named(map(str, folders))


def resources_name(needed: Resources) -> str:
    """A compute resource has no name; this is what it is, the same in every language."""
    general = f"CPU {needed.cpu_cores} · {needed.memory_gib:g} GiB"
    return general + (f" · GPU {needed.gpu_cards} × {needed.gpu_memory_gib:g} GiB" if needed.gpu_cards else "")


def role_words(role: Role) -> Sentence:
    return say({Role.SUPER_ADMINISTRATOR: N_("Super administrator"), Role.MODEL_TRAINER: N_("Model trainer")}[role])


def scope_words(scope: TokenScope) -> Sentence:
    names = {
        TokenScope.READ: N_("only read"),
        TokenScope.ACT: N_("read and act"),
        TokenScope.MES: N_("follow events and fetch published models of everybody"),
        TokenScope.AUDIT: N_("only read, management and audit included"),
        TokenScope.MANAGE: N_("read, act and manage"),
    }
    return say(names[scope])


def name_kind_words(kind: NameKind) -> Sentence:
    return say(
        {
            NameKind.USER: N_("User"),
            NameKind.INDUSTRY: N_("Industry"),
            NameKind.TASK_TYPE: N_("Task type"),
            NameKind.TRAINING_DATASET: N_("Training dataset"),
            NameKind.QUESTION_BANK_DATASET: N_("Question-bank dataset"),
            NameKind.MODEL_IMAGE: N_("Model image"),
            NameKind.MODEL: N_("Model"),
        }[kind]
    )


def part_words(part: LossPart) -> Sentence:
    return say(
        {LossPart.CLASSIFICATION: N_("Classification"), LossPart.SEGMENTATION: N_("Segmentation")}[part],
    )


def inspection_words(inspection: Inspection) -> Sentence:
    match inspection.state:
        case DataPathState.VALID:
            return say(N_("valid, {count} images"), count=inspection.image_count)
        case DataPathState.SCANNING:
            return say(N_("still being counted, {count} images so far"), count=inspection.image_count)
    return say(N_("invalid"))
