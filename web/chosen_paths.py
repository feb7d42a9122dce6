"""The part of a wizard where data paths are chosen: imported from datasets, or typed in. Source: W-5, P-1; manual, “选择数据路径”.

A wizard keeps what was found in each path with its draft, so that a folder is looked into when it is chosen and again when the next
step is asked for, not whenever the page is shown. The partial is `_chosen_paths.html`; it works without scripts: every press of
a button sends the whole form.
"""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from commands.ports import DataFolders
from domain.data_paths import (
    MOST_AT_ONCE,
    DataPathState,
    FolderDoesNotAnswer,
    FolderName,
    Inspection,
    TooManyPathsAtOnce,
)
from domain.datasets import DataPathIsInvalid, DatasetPurpose
from domain.refusals import Refusal
from projections.datasets import DatasetChoices
from web.dataset_kinds import Kind
from web.forms import Form, id_or_none
from web.scans import scans_of, stream_of

TYPED = "typed"
TICKED = "import"
SEARCH = "find"
"""The field for a part of a dataset's name, and the button beside it."""
BUTTON = "do"
REMOVE = "remove."
"""Before the folder, in the value of its button."""


class ChosenPath(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the list, counted from 1; `images_address` is where its images are shown, `scan` how far its scan has come.

    `unlisted_codes` are those of its codes that the model does not know: such a path is invalid, too (W-5).
    """

    line: int
    found: Inspection
    images_address: str
    is_locked: bool = False
    scan: Any = None
    unlisted_codes: tuple[str, ...] = ()

    @property
    def field(self) -> str:
        """The name under which the rules speak of this line."""
        return f"data_paths.{self.line}"


class ChosenPaths(msgspec.Struct, frozen=True, kw_only=True):
    """What `_chosen_paths.html` shows; `offered` are the datasets whose name contains `search`, with paths to import."""

    lines: tuple[ChosenPath, ...]
    offered: DatasetChoices
    search: str

    @property
    def image_count(self) -> int:
        """Images in all paths together."""
        return sum(line.found.image_count for line in self.lines)

    @property
    def is_counting(self) -> bool:
        """Whether there may be more."""
        return any(line.found.state is DataPathState.SCANNING for line in self.lines)

    @property
    def stream(self) -> str:
        """Where the figures of paths that are still scanned come from."""
        return stream_of(line.found for line in self.lines)


class Press(msgspec.Struct, frozen=True, kw_only=True):
    """What a pressed button made of the list.

    `wrong` are typed lines where nothing was found, or all of them where they are too many to look, or where one does not answer;
    they stay in the field, and so does the `search` for datasets.
    """

    button: str
    found: tuple[Inspection, ...]
    wrong: tuple[str, ...]
    search: str
    unanswered: str = ""

    @property
    def refusals(self) -> list[Refusal]:
        """What is to be said beside the field for typed paths."""
        if self.unanswered:
            return [FolderDoesNotAnswer(at=TYPED, folder=self.unanswered)]
        if len(self.wrong) > MOST_AT_ONCE:
            return [TooManyPathsAtOnce(at=TYPED, count=len(self.wrong), most=MOST_AT_ONCE)]
        return [DataPathIsInvalid(at=TYPED)] if self.wrong else []


def chosen_paths(
    found: Sequence[Inspection],
    datasets: Any,
    kind: Kind,
    *,
    search: str,
    images_address: str,
    data_folders: Any,
    locked: Collection[FolderName] = (),
    code_list: Collection[str] | None = None,
) -> ChosenPaths:
    """The list and what can still be imported from `datasets`, the read model. `locked` paths cannot be removed (W-5).

    `code_list` are the codes that the model knows, None where that is not asked here.

    Images are shown by the dataset that has the path, else below `images_address`, by line.
    """
    folders = [one.folder for one in found]
    known = {
        placed.folder: f"{kind.address}/{placed.dataset_id}/paths/{placed.path_id}"
        for placed in datasets.placed(kind.purpose, folders)
    }
    scans = scans_of(data_folders, found)
    lines = (
        ChosenPath(
            line=line,
            found=scans[one.folder].inspection if one.folder in scans else one,
            images_address=known.get(one.folder, f"{images_address}/{line}"),
            is_locked=one.folder in locked,
            scan=scans.get(one.folder),
            unlisted_codes=tuple(
                count.defect_code
                for count in one.defect_codes
                if code_list is not None and count.defect_code not in code_list
            ),
        )
        for line, one in enumerate(found, 1)
    )
    offered: DatasetChoices = datasets.choices(kind.purpose, search=search, chosen=folders)
    return ChosenPaths(lines=tuple(lines), offered=offered, search=search)


def press(
    form: Form,
    found: Sequence[Inspection],
    datasets: Any,
    purpose: DatasetPurpose,
    data_folders: DataFolders,
    *,
    locked: Collection[FolderName] = (),
) -> Press:
    """Take out what was removed, take in what was ticked and typed, whichever button was pressed.

    A path that is chosen already is not taken in twice. Ticked paths come with the figures of their dataset.
    """
    button = form.text(BUTTON)
    kept = [one for one in found if one.folder in locked or f"{REMOVE}{one.folder}" != button]
    chosen = {one.folder: one for one in kept}
    ticked = [path_id for text in form.all(TICKED) if (path_id := id_or_none(text))]
    for path in datasets.paths_by_id(purpose, ticked) if ticked else ():
        chosen.setdefault(path.folder, msgspec.convert(path, Inspection, from_attributes=True))
    typed_paths = list(dict.fromkeys(form.lines(TYPED)))
    is_too_many = len(typed_paths) > MOST_AT_ONCE
    wrong = typed_paths if is_too_many else []
    looked_into, unanswered = [] if is_too_many else typed_paths, ""
    try:
        answers = data_folders.inspect_paths(looked_into)
    except FolderDoesNotAnswer as refusal:
        wrong, looked_into, answers, unanswered = looked_into, [], [], str(refusal.values["folder"])
    for typed, seen in zip(looked_into, answers, strict=True):
        if seen.state is DataPathState.INVALID:
            wrong.append(typed)
        else:
            chosen.setdefault(seen.folder, seen)
    return Press(
        button=button,
        found=tuple(chosen.values()),
        wrong=tuple(wrong),
        search=form.text(SEARCH),
        unanswered=unanswered,
    )


def looked_into_again(found: Sequence[Inspection], data_folders: DataFolders) -> tuple[Inspection, ...]:
    """The same paths as they are now; large ones that are still scanned say so.

    Raises:
        FolderDoesNotAnswer
    """
    return tuple(data_folders.inspect_folders([one.folder for one in found]))


def as_known_now(found: Sequence[Inspection], data_folders: Any) -> tuple[Inspection, ...]:
    """The same paths with what their scans have seen by now; nothing is looked into."""
    scans = scans_of(data_folders, found)
    return tuple(scans[one.folder].inspection if one.folder in scans else one for one in found)


def form_of(found: Sequence[Inspection], typed: Sequence[str] = ()) -> Form:
    """The form of the step, with a place for what the rules say of each line."""
    lines = (f"data_paths.{line}" for line in range(1, len(found) + 1))
    return Form((("data_paths", ""), *((line, "") for line in lines), (TYPED, "\n".join(typed))))
