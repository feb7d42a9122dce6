"""Images for the demo: a small defect set of brushed metal, painted from a seed, so that the platform can be tried without data.

It has what real sets have: light that varies, dust that is no defect, faint defects, a few images of another size (不合规样本) and
a broken file. A model trained on it knows nothing of a real line. Shape letters: H and W = height and width in pixels.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from domain.image_files import mask_name
from domain.learning_rates import LearningRatePolicy
from domain.training_parameters import SgdParameters, TrainingParameters

CODES: Final = ("CHIP", "MURA", "OK", "SCRATCH", "SPOT", "STAIN")
SIDE: Final = 128
OTHER_SIZES: Final = ((120, 128), (160, 160), (128, 96))
OTHER_SIZE_EVERY: Final = 40
"""One image of so many has another size than the rest, as after a change of cameras."""

MOST_ITERATIONS: Final = 1_200
"""However many images a user brings, the demo ends after about ten minutes on two cores."""

Field = npt.NDArray[np.float64]
Random = np.random.Generator


def make_demo_images(folder: Path, *, seed: int, images_per_code: int) -> None:
    """Paint code folders into `folder`, with masks of all defects; the same seed gives the same files.

    An existing folder is left as it is, so that a second demo finds the images of the first.
    """
    if folder.exists():
        return
    painting = folder.with_name(f"{folder.name}.painting")
    random = np.random.default_rng(seed)
    for number, code in enumerate(CODES * images_per_code):
        width, height = _size(number)
        _paint(painting / code, f"{seed:02}{number:05}", code, width, height, random)
    broken = painting / "SPOT" / f"{seed:02}99999.jpg"
    whole = next(file for file in sorted((painting / "SPOT").iterdir()) if file.suffix == ".jpg").read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    painting.rename(folder)


def demo_training_parameters(image_count: int, *, epochs: int) -> TrainingParameters:
    """Parameters with which some hundreds to some thousands of images are learnt from nothing within minutes on two CPU cores.

    Small batches and a low rate, because from nothing the number of steps counts more than their size. Two cores learn from about
    2,200 images of 128 x 128 pixels a minute.
    """
    batch_size = 16
    training_share = 0.8
    return TrainingParameters(
        classification=SgdParameters(
            base_lr=0.01,
            batch_size=batch_size,
            max_iter=min(MOST_ITERATIONS, max(1, round(image_count * training_share * epochs / batch_size))),
            weight_decay=0.0005,
            momentum=0.9,
            lr_policy=LearningRatePolicy.POLY,
            power=0.9,
            gamma=0.1,
        )
    )


def _size(number: int) -> tuple[int, int]:
    if number % OTHER_SIZE_EVERY != OTHER_SIZE_EVERY - 1:
        return SIDE, SIDE
    return OTHER_SIZES[number // OTHER_SIZE_EVERY % len(OTHER_SIZES)]


def _paint(folder: Path, stem: str, code: str, width: int, height: int, random: Random) -> None:
    brightness_HW = _metal(width, height, random)
    defect_HW = _DEFECTS[code](width, height, random)
    shown_HW = brightness_HW + defect_HW + random.normal(0, 2.0, (height, width))
    tint = 1 + random.normal(0, 0.012, 3)
    pixels = (shown_HW[..., None] * tint).clip(0, 255).astype(np.uint8)
    name = f"{stem}.{'jpg' if random.random() < 0.7 else 'png'}"
    (folder / mask_name(name)).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / name, quality=92)  # PNG has no quality and ignores it
    if code != "OK":
        mask_HW = (np.abs(defect_HW) >= 0.35 * np.abs(defect_HW).max()).astype(np.uint8) * 255
        Image.fromarray(mask_HW).save(folder / mask_name(name))


def _metal(width: int, height: int, random: Random) -> Field:
    """Brushed metal under a lamp that hangs somewhere, with dust."""
    down_HW, across_HW = np.mgrid[0:height, 0:width]
    angle = random.uniform(0, 2 * np.pi)
    light_HW = (np.cos(angle) * across_HW / width + np.sin(angle) * down_HW / height) * random.uniform(0, 30)
    strokes = random.normal(0, 1, (height, width + 24))
    sums = np.cumsum(strokes, axis=1)
    brushed_HW = (sums[:, 24:] - sums[:, :-24]) / np.sqrt(24) * random.uniform(2, 4)
    metal_HW: Field = random.uniform(110, 165) + light_HW + brushed_HW
    for _ in range(random.integers(0, 4)):
        metal_HW += _blob(width, height, random, radius=random.uniform(0.5, 1.0)) * random.uniform(-20, 20)
    return metal_HW


def _ok(width: int, height: int, random: Random) -> Field:  # noqa: ARG001 - one of several painters
    return np.zeros((height, width))


def _spot(width: int, height: int, random: Random) -> Field:
    """One to three small round marks, dark or bright."""
    spots_HW = np.zeros((height, width))
    for _ in range(random.integers(1, 4)):
        spots_HW += _blob(width, height, random, radius=random.uniform(3.5, 6.5), edge=2.0) * _contrast(random, 36, 75)
    return spots_HW


def _mura(width: int, height: int, random: Random) -> Field:
    """A large cloud that is little darker or brighter than its surroundings."""
    large_HW = _blob(width, height, random, radius=random.uniform(16, 28), edge=14.0)
    small_HW = _blob(width, height, random, radius=random.uniform(8, 16), edge=10.0)
    return (large_HW + 0.7 * small_HW) * _contrast(random, 22, 40)


def _scratch(width: int, height: int, random: Random) -> Field:
    """A long thin line, slightly bent."""
    down_HW, across_HW = np.mgrid[0:height, 0:width]
    angle = random.uniform(0.35, np.pi - 0.35)  # along the brushing a scratch would be invisible
    x, y = random.uniform(0.25, 0.75, 2) * (width, height)
    along_HW = (across_HW - x) * np.cos(angle) + (down_HW - y) * np.sin(angle)
    beside_HW = -(across_HW - x) * np.sin(angle) + (down_HW - y) * np.cos(angle)
    beside_HW = beside_HW + random.uniform(-0.004, 0.004) * along_HW**2
    half_length = random.uniform(22, 55)
    line_HW: Field = np.exp(-((beside_HW / random.uniform(0.9, 1.8)) ** 2)) / (
        1 + np.exp((np.abs(along_HW) - half_length) / 3)
    )
    return line_HW * _contrast(random, 28, 75)


def _stain(width: int, height: int, random: Random) -> Field:
    """A dried drop: an uneven outline, darker than its inside."""
    distance_HW, around_HW = _polar(width, height, random, margin=0.3)
    outline_HW = random.uniform(14, 26) * np.ones_like(distance_HW)
    for lobes in (2, 3, 5):
        outline_HW += random.uniform(0.5, 3.5) * np.cos(lobes * around_HW + random.uniform(0, 2 * np.pi))
    from_edge_HW = distance_HW - outline_HW
    rim_HW = np.exp(-((from_edge_HW / random.uniform(1.5, 3.0)) ** 2))
    inside_HW = 0.35 / (1 + np.exp(from_edge_HW.clip(-60, 60)))
    stain_HW: Field = -(rim_HW + inside_HW) * random.uniform(22, 50)
    return stain_HW


def _chip(width: int, height: int, random: Random) -> Field:
    """A jagged piece missing at one edge, showing what lies below."""
    down_HW, across_HW = np.mgrid[0:height, 0:width]
    inward_HW, place_HW, length = (
        (down_HW, across_HW, width),
        (height - 1 - down_HW, across_HW, width),
        (across_HW, down_HW, height),
        (width - 1 - across_HW, down_HW, height),
    )[random.integers(4)]
    middle, half = random.uniform(0.2, 0.8) * length, random.uniform(9, 22)
    jagged = np.repeat(random.uniform(0.55, 1.0, length // 4 + 1), 4)[:length] * random.uniform(10, 24)
    depth_HW = jagged[place_HW] * (1 - ((place_HW - middle) / half) ** 2).clip(0, None)
    return np.where(inward_HW < depth_HW, _contrast(random, 35, 80), 0.0)


_DEFECTS: Final[Mapping[str, Callable[[int, int, Random], Field]]] = {
    "CHIP": _chip,
    "MURA": _mura,
    "OK": _ok,
    "SCRATCH": _scratch,
    "SPOT": _spot,
    "STAIN": _stain,
}


def _contrast(random: Random, least: float, most: float) -> float:
    return float(random.uniform(least, most) * random.choice((-1, 1)))


def _blob(width: int, height: int, random: Random, *, radius: float, edge: float = 0.6) -> Field:
    """(H, W) 1 inside a slightly oval disc somewhere, falling to 0 over `edge` pixels."""
    distance_HW, around_HW = _polar(width, height, random, margin=0.12)
    oval_HW = radius * (1 + random.uniform(0, 0.25) * np.cos(2 * around_HW + random.uniform(0, 2 * np.pi)))
    blob_HW: Field = 1 / (1 + np.exp(((distance_HW - oval_HW) / edge * 2).clip(-60, 60)))
    return blob_HW


def _polar(width: int, height: int, random: Random, *, margin: float) -> tuple[Field, Field]:
    """Distance from, and direction around, a point drawn at least `margin` of the image away from its edges."""
    down_HW, across_HW = np.mgrid[0:height, 0:width]
    x, y = random.uniform(margin, 1 - margin, 2) * (width, height)
    return np.hypot(across_HW - x, down_HW - y), np.arctan2(down_HW - y, across_HW - x)
