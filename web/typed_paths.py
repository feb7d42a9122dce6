"""The form in which data paths are typed, one a line, checked as they are entered. Source: D-3, D-4, D-7; manual, “添加数据路径”.

A new dataset begins with it, and further paths come through it. It works without scripts: every press of a button sends the
whole form. Its partial is `datasets/_lines.html`.
"""

import re
from collections.abc import Collection, Sequence
from uuid import UUID

import msgspec

from commands.ports import DataFolders
from domain.data_paths import ChosenFolders, DataPathState, FolderDoesNotAnswer, FolderName, Inspection
from domain.datasets import wrong_path
from domain.sentences import Sentence
from web.cascade import SHOW_LEVELS
from web.form_ids import ids_of_lines
from web.forms import Form
from web.pages import Page
from web.scans import stream_of

LINE = "data_paths"
_LINE_FIELD = re.compile(rf"{LINE}\.([0-9]{{1,5}})")
_REMOVE = re.compile(r"remove\.([0-9]{1,5})")


class Line(msgspec.Struct, frozen=True):
    """A line of a form for data paths. `found` is what was seen there; `told` says why it was refused: then it is emptied, unless
    it `may_be_right`.
    """

    number: int
    typed: str = ""
    found: Inspection | None = None
    told: Sentence | None = None
    may_be_right: bool = False

    @property
    def field(self) -> str:
        """The name of its form field."""
        return f"{LINE}.{self.number}"

    @property
    def kept(self) -> str:
        """What was seen, to travel hidden with the form, so that a folder is looked into once and not at every press."""
        return msgspec.json.encode(KeptLine(self.typed, self.found)).decode() if self.found else ""


class KeptLine(msgspec.Struct, frozen=True):
    """A checked line as the form brings it back. It is shown, never believed: the command looks into the folder itself."""

    typed: str
    found: Inspection


class TypedPathsPage(Page, frozen=True):
    """A page with this form."""

    lines: tuple[Line, ...]

    @property
    def stream(self) -> str:
        """Where the figures of large folders come from."""
        return stream_of(line.found for line in self.lines if line.found)

    @property
    def typed(self) -> tuple[str, ...]:
        """The paths as they were typed."""
        return tuple(line.typed for line in self.lines if line.typed)

    @property
    def path_ids(self) -> tuple[UUID, ...]:
        """What the data paths are to be called, in the same order."""
        return ids_of_lines(self.form, self.typed)


def pressed(form: Form, data_folders: DataFolders, known: Collection[FolderName] = ()) -> tuple[tuple[Line, ...], bool]:
    """The lines after a button was pressed, and whether it was the one that ends the form."""
    button = form.text("do")
    if removed := _REMOVE.fullmatch(button):
        rest = [line for line in _entered(form) if line.number != int(removed[1])]
        return _numbered(rest or [Line(1)]), False
    if button == SHOW_LEVELS:
        return _numbered(_entered(form) or [Line(1)]), False
    lines = _checked(_entered(form), data_folders, known)
    if button == "add" and all(line.found for line in lines):
        lines = [*lines, Line(0)]
    return _numbered(lines or [Line(1)]), button != "add"


def with_lines(form: Form, lines: tuple[Line, ...]) -> Form:
    """The form with its lines counted anew, so that a refusal of line 3 stands beside line 3."""
    others = [
        (name, value)
        for name, value in form.fields
        if not name.startswith((f"{LINE}.", "inspected.")) and name not in {"several", "do"}
    ]
    return Form((*others, *((line.field, line.typed) for line in lines)))


def _entered(form: Form) -> list[Line]:
    """What was typed: the numbered fields, then what was pasted as several lines. Blank lines are left out."""
    numbers = sorted({int(found[1]) for name, _ in form.fields if (found := _LINE_FIELD.fullmatch(name))})
    typed = [(number, form.text(f"{LINE}.{number}")) for number in numbers]
    after = numbers[-1] + 1 if numbers else 1
    typed += enumerate(form.lines("several"), after)
    return [Line(number, path, _kept(form, number, path)) for number, path in typed if path]


def _kept(form: Form, number: int, typed: str) -> Inspection | None:
    try:
        kept = msgspec.json.decode(form.value(f"inspected.{number}"), type=KeptLine)
    except msgspec.DecodeError:
        return None
    return kept.found if kept.typed == typed else None


def _checked(lines: list[Line], data_folders: DataFolders, known: Collection[FolderName]) -> list[Line]:
    """Every line with what is there, or with what is wrong with it (D-3, D-4)."""
    asked = [line.typed for line in lines if not line.found or line.found.state is DataPathState.SCANNING]
    try:
        answers = dict(zip(asked, data_folders.inspect_paths(asked), strict=True))
    except FolderDoesNotAnswer as unanswered:
        told = unanswered.sentence
        return [
            msgspec.structs.replace(line, told=told, may_be_right=True) if line.typed in asked else line
            for line in lines
        ]
    beside = ChosenFolders(known)
    checked = []
    for line in lines:
        found = answers.get(line.typed) or line.found
        assert found is not None
        refusal = wrong_path(found, beside)
        beside.add(found.folder)
        checked.append(
            msgspec.structs.replace(line, found=None if refusal else found, told=refusal.sentence if refusal else None)
        )
    return checked


def _numbered(lines: Sequence[Line]) -> tuple[Line, ...]:
    return tuple(msgspec.structs.replace(line, number=number) for number, line in enumerate(lines, 1))
