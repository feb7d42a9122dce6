"""Task types: what a model is made for. Source: REQUIREMENTS M-5; manual, “任务类型主数据”."""

import enum
from typing import ClassVar

from domain.facts import Fact, State, evolves
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


class TaskType(State):
    """What the rules need of a task type."""

    name: str
    kind: TaskKind
    is_deleted: bool = False


def create(name: str, kind: TaskKind) -> list[Fact]:
    """A further task type.

    Raises:
        PlainNameIsInvalid
    """
    check_plain_name(name)
    return [TaskTypeCreated(name=name, kind=kind)]


EVOLVE = evolves(TaskType, {TaskTypeCreated: lambda task_type, fact: TaskType(name=fact.name, kind=fact.kind)})
