"""Images of one part, by their names (W-8)."""

import signal
from pathlib import Path

import pytest

from domain.data_paths import FolderName
from gpu_worker.groups import GroupPatternTakesTooLong, group_names
from gpu_worker.images import FoundImage


def image(name: str, code: str = "TPFIP", group: str = "", data_path: str = "panel-a") -> FoundImage:
    folder = FolderName("data", f"{data_path}/{code}/{name}")
    return FoundImage(folder=folder, path=Path("/data") / folder.path, defect_code=code, group=group)


@pytest.mark.parametrize(
    ("expression", "name", "group"),
    [
        (r"^(\d+)_", "0017_left.png", "data:panel-a/0017"),
        (r"\d+", "panel-0017.png", "data:panel-a/0017"),  # the whole match where nothing is in brackets
        (r"(\d+)|panel", "panel.png", "data:panel-a/panel"),  # and where the brackets took no part
        (r"^(\d+)_", "left.png", ""),
        ("", "0017_left.png", ""),
    ],
)
def test_an_expression_finds_the_part_in_a_file_name(expression: str, name: str, group: str) -> None:
    assert group_names([image(name)], expression) == [group]


def test_a_group_reaches_over_the_code_folders_that_lie_side_by_side_and_no_further() -> None:
    images = [image("17_a.png"), image("17_b.png", code="TTFBS"), image("17_a.png", data_path="panel-b")]
    assert group_names(images, r"^(\d+)") == ["data:panel-a/17", "data:panel-a/17", "data:panel-b/17"]


def test_what_the_table_says_goes_before_the_expression() -> None:
    assert group_names([image("0017.png", group="lot 4")], r"\d+") == ["data:panel-a/lot 4"]


@pytest.mark.parametrize("expression", [r"(a+)+$", r"(a|aa)+$", r"(a*)*b$", r"(?:a*a*a*a*a*a*a*a*a*a*)*b"])
def test_an_expression_that_never_ends_is_ended_and_named(expression: str) -> None:
    images = [image("0017.png"), image(f"{'a' * 60}!.png")]
    with pytest.raises(GroupPatternTakesTooLong, match=r"over the name “aaa.*!\.png”"):
        group_names(images, expression, most_seconds=0.1)
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)


def test_nothing_interrupts_what_comes_afterwards() -> None:
    before = signal.getsignal(signal.SIGVTALRM)
    assert group_names([image("0017.png")], r"\d+", most_seconds=0.05) == ["data:panel-a/0017"]
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)
    assert signal.getsignal(signal.SIGVTALRM) is before
