"""Task types."""

import pytest

from domain.names import PlainNameIsInvalid
from domain.task_types import TaskKind, TaskTypeCreated, create
from tests.given_when_then import when


@pytest.mark.parametrize("kind", TaskKind)
def test_a_task_type_has_a_name_and_a_kind(kind: TaskKind) -> None:  # M-5
    when(create, "亮点分类", kind).then(TaskTypeCreated(name="亮点分类", kind=kind))


@pytest.mark.parametrize("name", ["", "亮点 分类", "亮点/分类", "分" * 61])
def test_a_task_type_needs_a_valid_name(name: str) -> None:  # M-5
    when(create, name, TaskKind.CLASSIFICATION).then_refused(PlainNameIsInvalid, f"“{name}”", at="name")
