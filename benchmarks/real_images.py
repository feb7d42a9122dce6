"""The real images that some benches learn from. They lie beside the checkout and belong to others; where they are missing, a bench
says so and yields nothing.
"""

from collections.abc import Iterable
from pathlib import Path

REAL_IMAGES = Path(__file__).parents[2] / "shared" / "data"
STRIP, TILES = "x-sdd", "magnetic-tile"
_SUFFIXES = {".jpg", ".png"}


def count_images(code_folders: Iterable[Path]) -> int:
    """How many images lie directly in these folders; masks and `groups.csv` lie beside them."""
    return sum(file.suffix in _SUFFIXES for folder in code_folders for file in folder.iterdir())
