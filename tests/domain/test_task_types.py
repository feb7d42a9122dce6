"""Task types."""

import pytest

from domain.names import PlainNameIsInvalid
from domain.task_types import TaskKind, TaskTypeCreated, TaskTypeDeleted, TaskTypeRenamed, create, delete, rename
from tests.examples import CLASSIFICATION
from tests.given_when_then import given, when


@pytest.mark.parametrize("kind", TaskKind)
def test_a_task_type_has_a_name_and_a_kind(kind: TaskKind) -> None:  # M-5
    when(create, "亮点分类", kind).then(TaskTypeCreated(name="亮点分类", kind=kind))


@pytest.mark.parametrize("name", ["亮点 分类", "亮点/分类", "分" * 61])
def test_a_task_type_needs_a_valid_name(name: str) -> None:  # M-5
    when(create, name, TaskKind.CLASSIFICATION).then_refused(PlainNameIsInvalid, f"“{name}”", at="name")


def test_a_task_type_can_be_renamed() -> None:  # M-5
    given(CLASSIFICATION).when(rename, "缺陷分类").then(TaskTypeRenamed(name="缺陷分类"))


def test_the_same_name_again_changes_nothing() -> None:  # M-5
    given(CLASSIFICATION).when(rename, "分类").then()
    given(CLASSIFICATION, TaskTypeRenamed(name="缺陷分类")).when(rename, "分类").then(TaskTypeRenamed(name="分类"))


def test_the_new_name_must_be_valid() -> None:  # M-5
    given(CLASSIFICATION).when(rename, "缺陷/分类").then_refused(PlainNameIsInvalid, "“缺陷/分类”", at="name")


def test_a_task_type_can_be_deleted() -> None:  # M-5
    given(CLASSIFICATION).when(delete).then(TaskTypeDeleted())
