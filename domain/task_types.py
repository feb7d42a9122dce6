"""Task types: what a model is made for. Source: REQUIREMENTS M-5; manual, “任务类型主数据”.

What uses a task type keeps the name it had then, as bindings keep the names of places: a rename concerns what is made from now on.
"""

import enum
from typing import ClassVar

from domain.facts import Fact, State, evolves, replace
from domain.names import check_plain_name


class TaskKind(enum.Enum):
    """分类 or 分割分类."""

    CLASSIFICATION = "classification"
    SEGMENTATION_AND_CLASSIFICATION = "segmentation_and_classification"


class TaskTypeCreated(Fact):
    """Models of a further type can be made."""

    TOPIC: ClassVar[str] = "task_type.created"
    name: str
    kind: TaskKind


class TaskTypeRenamed(Fact):
    """The task type is offered under another name."""

    TOPIC: ClassVar[str] = "task_type.renamed"
    name: str


class TaskTypeDeleted(Fact):
    """The task type is offered no more."""

    TOPIC: ClassVar[str] = "task_type.deleted"


class TaskType(State):
    """What the rules need of a task type."""

    name: str
    kind: TaskKind
    is_deleted: bool = False


def create(name: str, kind: TaskKind) -> list[Fact]:
    """A further task type.

    Raises:
        PlainNameIsMissing, PlainNameIsInvalid
    """
    check_plain_name(name)
    return [TaskTypeCreated(name=name, kind=kind)]


def rename(task_type: TaskType, name: str) -> list[Fact]:
    """Another name.

    Raises:
        PlainNameIsMissing, PlainNameIsInvalid
    """
    check_plain_name(name)
    return [] if name == task_type.name else [TaskTypeRenamed(name=name)]


def delete(task_type: TaskType) -> list[Fact]:
    """Offer it no more."""
    return [TaskTypeDeleted()]


EVOLVE = evolves(
    TaskType,
    {
        TaskTypeCreated: lambda task_type, fact: TaskType(name=fact.name, kind=fact.kind),
        TaskTypeRenamed: lambda task_type, fact: replace(task_type, name=fact.name),
        TaskTypeDeleted: lambda task_type, fact: replace(task_type, is_deleted=True),
    },
)
