"""Data paths: folders of images by defect code, named by data root and relative path so that machines may mount them elsewhere."""

import enum
from collections.abc import Iterable, Sized

import msgspec

from domain.refusals import Refusal
from domain.sentences import N_

MOST_AT_ONCE = 1000
"""Paths that are looked into for one request: with the least time that each of them gets, that is twenty seconds."""


class TooManyPathsAtOnce(Refusal):
    """Each is looked into while whoever asks waits."""

    field = "data_paths"
    message = N_("{count} data paths at once are too many. Add at most {most} at a time.")


class FolderDoesNotAnswer(Refusal):
    """Whether a folder is there, and what is in it, cannot be said: its storage hangs."""

    field = "data_paths"
    message = N_(
        "The folder “{folder}” does not answer; its storage may be away. Try again in a few minutes, or tell your administrator."
    )


def refuse_too_many(data_paths: Sized) -> None:
    """However they are named: typed on a page, or sent by a machine.

    Raises:
        TooManyPathsAtOnce
    """
    if len(data_paths) > MOST_AT_ONCE:
        raise TooManyPathsAtOnce(count=len(data_paths), most=MOST_AT_ONCE)


class FolderName(msgspec.Struct, frozen=True):
    """A folder (or file) inside a configured root: the root's name and the path below it, "" being the root itself."""

    root: str
    path: str

    def __str__(self) -> str:
        return f"{self.root}:{self.path}"


class DefectCodeCount(msgspec.Struct, frozen=True):
    """How many images of one defect code a folder holds, and how many of them have a mask."""

    defect_code: str
    image_count: int
    mask_count: int = 0


class DataPathState(enum.Enum):
    """Whether a data path can be used."""

    VALID = "valid"
    INVALID = "invalid"
    SCANNING = "scanning"


class DataPathProblem(enum.Enum):
    """Why a known data path cannot be used. Told of paths of a dataset only, never of what a person types (D-4)."""

    NO_IMAGES = "no_images"
    GONE = "gone"
    UNREADABLE = "unreadable"


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in a data path: the image count and the description of the manual.

    `resolutions` are (width, height, count), most frequent first, at most ten; `formats` are (name, count); `total_bytes` is the
    size of all images; `damaged_count` images carry an image's name but cannot be read as one. While the state is SCANNING the
    figures are those of what was seen so far. `problem` belongs to INVALID; `has_groups` says that a `groups.csv` lies there.
    """

    folder: FolderName
    state: DataPathState
    image_count: int = 0
    defect_codes: tuple[DefectCodeCount, ...] = ()
    formats: tuple[tuple[str, int], ...] = ()
    resolutions: tuple[tuple[int, int, int], ...] = ()
    total_bytes: int = 0
    mask_count: int = 0
    damaged_count: int = 0
    has_groups: bool = False
    problem: DataPathProblem | None = None


class ChosenFolders:
    """Folders that stand beside each other, in a dataset or a job, and which others would bring the same images once more.

    A data path is looked into one level deep (D-5), so it shares images with itself, its parent and the folders directly inside
    it, with none further away. Decided by names: where code folders that are links lead to is not followed.
    """

    def __init__(self, folders: Iterable[FolderName] = ()) -> None:
        self._folders: set[FolderName] = set()
        self._inside: dict[FolderName, FolderName] = {}
        for folder in folders:
            self.add(folder)

    def __contains__(self, folder: FolderName) -> bool:
        return folder in self._folders

    def add(self, folder: FolderName) -> None:
        """Let one more stand there."""
        self._folders.add(folder)
        if (parent := _parent(folder)) is not None:
            self._inside.setdefault(parent, folder)

    def overlapping(self, folder: FolderName) -> FolderName | None:
        """The one that is the parent of `folder` or lies directly inside it; None where no image would count twice."""
        parent = _parent(folder)
        return parent if parent in self._folders else self._inside.get(folder)


def _parent(folder: FolderName) -> FolderName | None:
    return FolderName(folder.root, folder.path.rpartition("/")[0]) if folder.path else None
