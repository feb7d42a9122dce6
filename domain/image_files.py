"""Which files of a code folder are images, and what lies beside them: the rules that inspection and workers share (D-4, D-5).

Everything is decided by file names and first bytes, so that it holds wherever the folder is mounted.
"""

import enum

MASKS_FOLDER = "masks"
GROUPS_FILE = "groups.csv"
FIRST_BYTES = 12
"""So many bytes of a file are enough for `image_format`."""

MAXIMUM_PIXELS = 100_000_000
"""An image that declares more pixels is damaged, decoded by nobody: line-scan images stay below, decompression bombs do not."""

MAXIMUM_BYTES = 1 << 30
"""A larger file is damaged, read by nobody: 100 megapixels of 16-bit RGB need 600 MB."""

MAXIMUM_GROUPS_BYTES = 64 << 20
MAXIMUM_GROUPS_ROWS = 1_000_000
"""Of one `groups.csv`. A larger one is refused: as many images as a code folder may hold have a row each, of 64 bytes."""

_IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp"))
_QUARTER_TURNS = frozenset((5, 6, 7, 8))


class ImageFormat(enum.Enum):
    """What counts as an image (D-4). The values are Pillow's names of the formats."""

    JPEG = "JPEG"
    PNG = "PNG"
    BMP = "BMP"
    TIFF = "TIFF"
    WEBP = "WEBP"


def image_format(first_bytes: bytes) -> ImageFormat | None:
    """The format by content; None for everything that is no image. `first_bytes` are the first `FIRST_BYTES` of the file."""
    if first_bytes.startswith(b"\xff\xd8\xff"):
        return ImageFormat.JPEG
    if first_bytes.startswith(b"\x89PNG\r\n\x1a\n"):
        return ImageFormat.PNG
    if first_bytes.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")):
        return ImageFormat.TIFF
    if first_bytes.startswith(b"RIFF") and first_bytes[8:12] == b"WEBP":
        return ImageFormat.WEBP
    # Two letters alone would make an image of many a text; four reserved bytes follow the size.
    if first_bytes.startswith(b"BM") and first_bytes[6:10] == bytes(4):
        return ImageFormat.BMP
    return None


def is_skipped(name: str) -> bool:
    """Whether a file or folder name is passed over unread: hidden ones, what systems leave behind, and what lies beside images."""
    return name.startswith((".", "@")) or name in {MASKS_FOLDER, GROUPS_FILE, "Thumbs.db", "desktop.ini", "__MACOSX"}


def has_image_name(name: str) -> bool:
    """Whether the name promises an image; such a file whose content is none is damaged, any other is ignored."""
    return _suffix(name).lower() in _IMAGE_SUFFIXES


def is_text(name: str) -> bool:
    """Whether a file name is text: names that are not UTF-8 (often GBK, from an archive made elsewhere) cannot enter the log.

    An image with such a name counts as damaged and is left out everywhere.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def stem(name: str) -> str:
    """The name without its last suffix: what an image and its mask or polygons share (D-5)."""
    return name.removesuffix(_suffix(name))


def outlined_stem(name: str, *, is_in_masks: bool) -> str | None:
    """The stem of the image that a file outlines: a PNG in the folder of masks, or LabelMe polygons beside images; else None."""
    return stem(name) if _suffix(name) == (".png" if is_in_masks else ".json") else None


def mask_name(image_name: str) -> str:
    """Where the mask of an image lies, relative to its code folder (D-5)."""
    return f"{MASKS_FOLDER}/{stem(image_name)}.png"


def polygons_name(image_name: str) -> str:
    """Where LabelMe polygons of an image lie, relative to its code folder (D-5)."""
    return f"{stem(image_name)}.json"


def shown_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """The size in pixels as people see the image: EXIF orientations 5 to 8 (tag 274) swap the stored width and height.

    Every size of the platform (inspection, resolution rule, reports) is this one. Pillow has already swapped the size of a TIFF:
    pass orientation 1 for those.
    """
    return (height, width) if orientation in _QUARTER_TURNS else (width, height)


def _suffix(name: str) -> str:
    dot = name.rfind(".")
    return name[dot:] if dot > 0 else ""
