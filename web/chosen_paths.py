"""The part of a wizard where data paths are chosen: imported from datasets, or typed in. Source: W-5, P-1; manual, “选择数据路径”.

A wizard keeps what was found in each path with its draft, so that a folder is looked into when it is chosen and again when the next
step is asked for, not whenever the page is shown. The partial is `_chosen_paths.html`; it works without scripts: every press of
a button sends the whole form.
"""

from collections.abc import Collection, Sequence

import msgspec

from commands.ports import DataFolders
from domain.data_paths import DataPathState, FolderName, Inspection
from domain.datasets import DataPathIsInvalid
from domain.refusals import Refusal
from projections.datasets import DatasetChoice
from web.forms import Form

TYPED = "typed"
TICKED = "import"
BUTTON = "do"
REMOVE = "remove."
"""Before the folder, in the value of its button."""


class ChosenPath(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the list; `images_address` is empty where the path is in no dataset. Lines count from 1."""

    line: int
    found: Inspection
    images_address: str = ""
    is_locked: bool = False

    @property
    def field(self) -> str:
        """The name under which the rules speak of this line."""
        return f"data_paths.{self.line}"


class ChosenPaths(msgspec.Struct, frozen=True, kw_only=True):
    """What `_chosen_paths.html` shows; `datasets` still have the paths that can be imported."""

    lines: tuple[ChosenPath, ...]
    datasets: tuple[DatasetChoice, ...]

    @property
    def image_count(self) -> int:
        """Images in all paths together."""
        return sum(line.found.image_count for line in self.lines)


class Press(msgspec.Struct, frozen=True, kw_only=True):
    """What a pressed button made of the list. `wrong` are typed lines where nothing was found; they stay in the field."""

    button: str
    found: tuple[Inspection, ...]
    wrong: tuple[str, ...]

    @property
    def refusals(self) -> list[Refusal]:
        """What is to be said beside the field for typed paths."""
        return [DataPathIsInvalid(at=TYPED)] if self.wrong else []


def chosen_paths(
    found: Sequence[Inspection],
    datasets: Sequence[DatasetChoice],
    datasets_address: str,
    *,
    locked: Collection[FolderName] = (),
) -> ChosenPaths:
    """The list and what can still be imported. `locked` paths cannot be removed (W-5)."""
    known = {
        path.folder: f"{datasets_address}/{dataset.dataset_id}/paths/{path.path_id}"
        for dataset in reversed(datasets)
        for path in dataset.paths
    }
    lines = (
        ChosenPath(line=line, found=one, images_address=known.get(one.folder, ""), is_locked=one.folder in locked)
        for line, one in enumerate(found, 1)
    )
    chosen = {one.folder for one in found}
    offered = (
        msgspec.structs.replace(dataset, paths=tuple(path for path in dataset.paths if path.folder not in chosen))
        for dataset in datasets
    )
    return ChosenPaths(lines=tuple(lines), datasets=tuple(dataset for dataset in offered if dataset.paths))


def press(
    form: Form,
    found: Sequence[Inspection],
    datasets: Sequence[DatasetChoice],
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
    ticked = set(form.all(TICKED))
    for dataset in datasets:
        for path in dataset.paths:
            if str(path.path_id) in ticked:
                chosen.setdefault(path.folder, msgspec.convert(path, Inspection, from_attributes=True))
    wrong = []
    for typed in dict.fromkeys(form.lines(TYPED)):
        seen = data_folders.inspect(typed)
        if seen.state is DataPathState.INVALID:
            wrong.append(typed)
        else:
            chosen.setdefault(seen.folder, seen)
    return Press(button=button, found=tuple(chosen.values()), wrong=tuple(wrong))


def looked_into_again(found: Sequence[Inspection], data_folders: DataFolders) -> tuple[Inspection, ...]:
    """The same paths as they are now."""
    return tuple(data_folders.inspect_folder(one.folder) for one in found)


def form_of(found: Sequence[Inspection], typed: Sequence[str] = ()) -> Form:
    """The form of the step, with a place for what the rules say of each line."""
    lines = (f"data_paths.{line}" for line in range(1, len(found) + 1))
    return Form((("data_paths", ""), *((line, "") for line in lines), (TYPED, "\n".join(typed))))
