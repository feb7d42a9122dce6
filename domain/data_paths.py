"""Data paths: folders of images by defect code, named by data root and relative path so that machines may mount them elsewhere."""

import enum

import msgspec


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


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in a data path: the image count and the description of the manual.

    `resolutions` are (width, height, count), most frequent first, at most ten; `formats` are (name, count); `total_bytes` is the
    size of all images; `damaged_count` images carry an image's name but cannot be read as one.
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
