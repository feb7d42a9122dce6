"""Data paths on shared storage: where they lie, which images they hold, and what a look at them says (D-3 to D-5).

Folders are read as a stream, in whatever order the file system gives, so that a million entries take no more memory than ten. A
look reads the head and the end of every file and decodes nothing.
"""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from domain.data_paths import DataPathProblem, DataPathState, DefectCodeCount, FolderName, Inspection
from domain.image_files import GROUPS_FILE, MASKS_FOLDER, is_skipped, is_text, outlined_stem, stem
from gpu_worker.ports import FolderNotFound
from infra.image_heads import Seen, Unread, look_at
from infra.roots import Roots

MOST_RESOLUTIONS = 10
TOO_YOUNG = -1
_TICK_NS = 100_000_000
"""Longer than a tick of any local file system (1 to 10 ms), with room for a file server whose clock is not ours."""
_FILES_BETWEEN_QUESTIONS = 16
"""So many files are looked at before the clock is asked again: about a millisecond."""


class CodeFolder(msgspec.Struct, frozen=True):
    """A folder whose images show one defect code; `path` is where it lies on this machine, links followed."""

    defect_code: str
    folder: FolderName
    path: Path

    @property
    def has_groups(self) -> bool:
        """Whether a file says which images show the same part."""
        return (self.path / GROUPS_FILE).is_file()


class Mark(msgspec.Struct, frozen=True):
    """When a folder changed last, as its file system says: it moves whenever an entry comes or goes. 0 where there is none, and
    `TOO_YOUNG` where the next change might still fall into the same tick of the file system's clock.
    """

    folder: str
    changed_at_ns: int


class Look(msgspec.Struct, frozen=True):
    """What a look saw. One that was cut short says SCANNING; `marks` then tell nothing."""

    inspection: Inspection
    marks: tuple[Mark, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether everything was seen."""
        return self.inspection.state is not DataPathState.SCANNING


class DataFolders:
    """The data roots as this machine mounts them."""

    def __init__(self, roots: Mapping[str, Path], closed: Iterable[Path] = ()) -> None:
        """Nothing below `closed` belongs to a root around it: the state folder holds what is nobody's image."""
        self._roots = Roots(roots, closed)

    def name(self, typed: str) -> FolderName | None:
        """The one name of a folder as a person typed it: absolute, `root:below` or `root/below`; None where it is nobody's."""
        return self._roots.name(typed)

    def inspect(self, typed: str) -> Inspection:
        """Look into a path as a person typed it, however long it takes.

        INVALID when outside the data roots, missing, unreadable or without images; which of them is not told.
        """
        name = self.name(typed)
        found = self.inspect_folder(name) if name else None
        return found if found and found.state is not DataPathState.INVALID else nothing_at(typed)

    def inspect_folder(self, folder: FolderName) -> Inspection:
        """Look into a known folder, however long it takes. INVALID as above, but it keeps its name and says why."""
        return self.look(folder).inspection

    def look(self, folder: FolderName, is_over: Callable[[], bool] = lambda: False) -> Look:
        """Look into a known folder until everything is seen, or until time `is_over`."""
        figures, marks = Figures(), list[Mark]()
        try:
            for code_folder in self.code_folders(folder):
                marks += self.marks(code_folder)
                if not self._look_into(code_folder, figures, is_over):
                    return Look(figures.inspection(folder, is_complete=False))
            return Look(figures.inspection(folder), tuple(marks))
        except (OSError, FolderNotFound) as error:  # a folder that cannot be listed would be missing silently
            return Look(unreadable(folder, error))

    def resolve(self, folder: FolderName) -> Path:
        """The real path of a known folder or file.

        Raises:
            FolderNotFound: it is gone, or leads out of its root.
        """
        path = self._roots.resolve(folder)
        if path is None:
            raise FolderNotFound(folder=str(folder))
        return path

    def code_folders(self, data_path: FolderName) -> Iterator[CodeFolder]:
        """The data path itself under its own name, then the folders directly inside it (D-5); no links that leave the root.

        Raises:
            FolderNotFound
            OSError: it is no folder, or cannot be listed.
        """
        path = self.resolve(data_path)
        yield CodeFolder(data_path.path.rpartition("/")[2] or path.name, data_path, path)
        for entry in _entries(path):
            inside = below(data_path, entry.name)
            if (
                is_text(entry.name)
                and (entry.is_symlink() or entry.is_dir(follow_symlinks=False))
                and (real := self._real(inside, entry)) is not None
                and real.is_dir()
            ):
                yield CodeFolder(entry.name, inside, real)

    def files_inside(self, code_folder: CodeFolder) -> Iterator[tuple[str, str]]:
        """Name and real path of every regular file of a code folder; links that leave the root are left out.

        Raises:
            OSError: it cannot be listed.
        """
        for entry in _entries(code_folder.path):
            if entry.is_symlink():
                real = self._real(below(code_folder.folder, entry.name), entry)
                if real is not None and real.is_file():
                    yield entry.name, str(real)
            elif entry.is_file(follow_symlinks=False):
                yield entry.name, entry.path

    def masks_inside(self, code_folder: CodeFolder) -> Iterator[str]:
        """The stems of the images that have a mask in the folder of masks; none where there is no such folder."""
        folder = below(code_folder.folder, MASKS_FOLDER)
        path = self._roots.resolve(folder)
        if path is not None and path.is_dir():
            for name, _ in self.files_inside(CodeFolder(code_folder.defect_code, folder, path)):
                if (outlined := outlined_stem(name, is_in_masks=True)) is not None:
                    yield outlined

    def marks(self, code_folder: CodeFolder) -> tuple[Mark, Mark]:
        """The marks of a code folder and of its masks; to be taken before the folder is read."""
        folder = code_folder.folder
        return self._mark(folder), self._mark(below(folder, MASKS_FOLDER))

    def are_unchanged(self, root: str, marks: Iterable[Mark]) -> bool:
        """Whether no entry came or went since the marks were taken. Files that were overwritten in place are not noticed."""
        return all(
            mark.changed_at_ns != TOO_YOUNG and self._mark(FolderName(root, mark.folder)) == mark for mark in marks
        )

    def _mark(self, folder: FolderName) -> Mark:
        changed_at_ns = 0
        if (path := self._roots.resolve(folder)) is not None:
            with contextlib.suppress(OSError):
                changed_at_ns = path.stat().st_mtime_ns
                if changed_at_ns > time.time_ns() - _TICK_NS:
                    changed_at_ns = TOO_YOUNG
        return Mark(folder.path, changed_at_ns)

    def _look_into(self, code_folder: CodeFolder, figures: "Figures", is_over: Callable[[], bool]) -> bool:
        """Count the images of one code folder; False where time was over before the end."""
        images: list[str] = []
        outlined: set[str] = set()

        def note_masks() -> None:
            figures.masks[code_folder.defect_code] += sum(image in outlined for image in images)

        for number, (name, path) in enumerate(self.files_inside(code_folder)):
            if number % _FILES_BETWEEN_QUESTIONS == 0 and is_over():
                note_masks()
                return False
            if figures.add(code_folder.defect_code, look_at(name, path)):
                images.append(stem(name))
            if (of_image := outlined_stem(name, is_in_masks=False)) is not None:
                outlined.add(of_image)
        for number, of_image in enumerate(self.masks_inside(code_folder)):
            if number % _FILES_BETWEEN_QUESTIONS == 0 and is_over():
                note_masks()
                return False
            outlined.add(of_image)
        figures.has_groups = figures.has_groups or code_folder.has_groups
        note_masks()
        return not is_over()

    def _real(self, name: FolderName, entry: "os.DirEntry[str]") -> Path | None:
        return self._roots.resolve(name) if entry.is_symlink() else Path(entry.path)


class Figures:
    """What a look counts."""

    def __init__(self) -> None:
        self.images: Counter[str] = Counter()
        self.masks: Counter[str] = Counter()
        self.formats: Counter[str] = Counter()
        self.resolutions: Counter[tuple[int, int]] = Counter()
        self.total_bytes = 0
        self.damaged_count = 0
        self.has_groups = False

    def add(self, defect_code: str, seen: Seen | Unread) -> bool:
        """Count a file; whether it is an image."""
        if isinstance(seen, Seen):
            self.images[defect_code] += 1
            self.formats[seen.format.value] += 1
            self.resolutions[seen.width, seen.height] += 1
            self.total_bytes += seen.size
            return True
        self.damaged_count += seen is Unread.DAMAGED
        return False

    def inspection(self, folder: FolderName, *, is_complete: bool = True) -> Inspection:
        """The answer; a folder without images is invalid, once everything was seen."""
        image_count = self.images.total()
        finished = DataPathState.VALID if image_count else DataPathState.INVALID
        return Inspection(
            folder=folder,
            state=finished if is_complete else DataPathState.SCANNING,
            image_count=image_count,
            defect_codes=tuple(
                DefectCodeCount(code, count, self.masks[code]) for code, count in sorted(self.images.items()) if count
            ),
            formats=tuple(sorted(self.formats.items(), key=lambda found: (-found[1], found[0]))),
            resolutions=tuple(
                (width, height, count)
                for (width, height), count in sorted(self.resolutions.items(), key=lambda found: (-found[1], found[0]))
            )[:MOST_RESOLUTIONS],
            total_bytes=self.total_bytes,
            mask_count=self.masks.total(),
            damaged_count=self.damaged_count,
            has_groups=self.has_groups,
            problem=DataPathProblem.NO_IMAGES if is_complete and not image_count else None,
        )


def nothing_at(typed: str) -> Inspection:
    """The answer for every typed path that cannot be used, alike for all reasons (D-4)."""
    return Inspection(folder=FolderName("", typed), state=DataPathState.INVALID)


def unreadable(folder: FolderName, error: Exception) -> Inspection:
    """The answer for a known folder that could not be listed."""
    is_gone = isinstance(error, FolderNotFound | FileNotFoundError | NotADirectoryError)
    problem = DataPathProblem.GONE if is_gone else DataPathProblem.UNREADABLE
    return Inspection(folder=folder, state=DataPathState.INVALID, problem=problem)


def below(folder: FolderName, name: str) -> FolderName:
    """What lies directly in a folder."""
    return FolderName(folder.root, f"{folder.path}/{name}".lstrip("/"))


def _entries(folder: Path) -> Iterator["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not is_skipped(entry.name):
                yield entry
