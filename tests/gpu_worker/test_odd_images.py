"""Whatever a camera or a program writes means the same in training, validation, prediction and the exported library, or is refused
with the same sentence (D-4, X-1).
"""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from domain.data_paths import FolderName
from domain.evaluation import Evaluation, Sample, SampleState
from domain.messages import (
    ExportBuilt,
    ExportOrder,
    JobKind,
    PredictionOrder,
    PredictionSucceeded,
    Resources,
    TrainingSucceeded,
    VersionToPredict,
)
from domain.training_parameters import PredictionParameters
from gpu_worker.exports import build_export
from gpu_worker.images import decode
from gpu_worker.native_library import NativeModel
from gpu_worker.prediction import predict
from gpu_worker.settings import Precision, TrainingSettings
from gpu_worker.training import train
from tests.gpu_worker.workplace import ROOT, Workplace, an_order

CODES = ("OK", "SPOT")
RGB = np.random.default_rng(1).integers(0, 256, (24, 18, 3), np.uint8)
GREY = RGB[..., 0]


def encoded(image: Image.Image, format_name: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format_name, **options)
    return file.getvalue()


def turned(pixels: np.ndarray) -> bytes:
    """As a camera held upright stores it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(Image.fromarray(np.rot90(pixels)), "TIFF" if pixels.ndim < 3 else "PNG", exif=exif)


def in_a_palette(pixels: np.ndarray) -> bytes:
    palette = Image.fromarray(pixels[..., 0]).convert("P")
    palette.putpalette([level for number in range(256) for level in (number, 255 - number, number // 2)])
    return encoded(palette, "PNG", transparency=7)


LOSSLESS: dict[str, tuple[Callable[[np.ndarray], bytes], Callable[[np.ndarray], np.ndarray]]] = {
    "grey.png": (lambda rgb: encoded(Image.fromarray(rgb[..., 0]), "PNG"), lambda rgb: rgb[..., [0, 0, 0]]),
    "grey-and-alpha.png": (
        lambda rgb: encoded(Image.fromarray(rgb[..., :2], "LA"), "PNG"),
        lambda rgb: rgb[..., [0, 0, 0]],
    ),
    "alpha.png": (
        lambda rgb: encoded(Image.fromarray(np.dstack([rgb, rgb[..., 0] // 2]), "RGBA"), "PNG"),
        lambda rgb: rgb,
    ),
    "alpha.webp": (
        lambda rgb: encoded(
            Image.fromarray(np.dstack([rgb, rgb[..., 0] // 2]), "RGBA"), "WEBP", lossless=True, exact=True
        ),
        lambda rgb: rgb,
    ),
    "palette.png": (
        in_a_palette,
        lambda rgb: np.stack([rgb[..., 0], 255 - rgb[..., 0], rgb[..., 0] // 2], axis=2),
    ),
    "one-bit.png": (
        lambda rgb: encoded(Image.fromarray(rgb[..., 0] > 127), "PNG"),
        lambda rgb: np.where(rgb[..., [0, 0, 0]] > 127, 255, 0),
    ),
    "sixteen-bits.png": (
        lambda rgb: encoded(Image.fromarray(rgb[..., 0].astype(np.uint16) * 256 + 201), "PNG"),
        lambda rgb: rgb[..., [0, 0, 0]],
    ),
    "sixteen-bits.tif": (
        lambda rgb: encoded(Image.fromarray(rgb[..., 0].astype(np.uint16) * 256 + 201), "TIFF"),
        lambda rgb: rgb[..., [0, 0, 0]],
    ),
    "thirty-two-bits.tif": (  # a negative value is black, one beyond 16 bits is white
        lambda rgb: encoded(Image.fromarray((rgb[..., 0].astype(np.int32) - 40) * 300), "TIFF"),
        lambda rgb: ((rgb[..., [0, 0, 0]].astype(int) - 40) * 300).clip(0, 65535) // 256,
    ),
    "print.tif": (
        lambda rgb: encoded(Image.fromarray(np.dstack([255 - rgb, np.zeros_like(rgb[..., 0])]), "CMYK"), "TIFF"),
        lambda rgb: rgb,
    ),
    "turned.png": (turned, lambda rgb: rgb),
    "turned.tif": (lambda rgb: turned(rgb[..., 0]), lambda rgb: rgb[..., [0, 0, 0]]),
    "several-frames.tif": (
        lambda rgb: encoded(
            Image.fromarray(rgb), "TIFF", save_all=True, append_images=[Image.fromarray(255 - rgb)] * 2
        ),
        lambda rgb: rgb,
    ),
    "one-pixel-wide.png": (lambda rgb: encoded(Image.fromarray(rgb[:, :1]), "PNG"), lambda rgb: rgb[:, :1]),
    "one-pixel.bmp": (lambda rgb: encoded(Image.fromarray(rgb[:1, :1]), "BMP"), lambda rgb: rgb[:1, :1]),
}
LOSSY: dict[str, Callable[[np.ndarray], bytes]] = {
    "grey.jpg": lambda rgb: encoded(Image.fromarray(rgb[..., 0]), "JPEG"),
    "progressive.jpg": lambda rgb: encoded(Image.fromarray(rgb), "JPEG", progressive=True),
    "laboratory.tif": lambda rgb: encoded(Image.fromarray(rgb, "LAB"), "TIFF"),
    "print.jpg": lambda rgb: encoded(Image.fromarray(np.dstack([rgb, rgb[..., 1]]), "CMYK"), "JPEG"),
}
REFUSED: dict[str, tuple[Callable[[np.ndarray], bytes], str]] = {
    "torn.jpg": (lambda rgb: LOSSY["progressive.jpg"](rgb)[:-200], "image file is truncated"),
    "torn.png": (lambda rgb: LOSSLESS["grey.png"][0](rgb)[:-60], "OSError: "),
    "torn.tif": (lambda rgb: encoded(Image.fromarray(rgb), "TIFF")[:-400], "OSError: "),
    "header-alone.jpg": (lambda rgb: LOSSY["grey.jpg"](rgb)[:20], "does not go on as one"),
    "empty.png": (lambda _: b"", "neither JPEG, PNG, BMP, TIFF nor WebP"),
    "fractions.tif": (
        lambda rgb: encoded(Image.fromarray(rgb[..., 0] / np.float32(3)), "TIFF"),
        "floating-point pixels",
    ),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_every_kind_of_pixel_is_read_as_people_see_it(name: str) -> None:
    write, expected = LOSSLESS[name]
    assert np.array_equal(np.asarray(decode(write(RGB))), expected(RGB))


def paint(folder: Path) -> None:
    """Two codes of the same kinds of files, each of its own pixels."""
    for number, code in enumerate(CODES):
        pixels = np.random.default_rng(10 + number).integers(0, 256, RGB.shape, np.uint8)
        (folder / code).mkdir(parents=True)
        for name, write in {
            **{name: write for name, (write, _) in LOSSLESS.items()},
            **LOSSY,
            **{name: write for name, (write, _) in REFUSED.items()},
        }.items():
            (folder / code / name).write_bytes(write(pixels))


def samples_of(content: bytes, state: SampleState) -> dict[str, Sample]:
    evaluation = msgspec.msgpack.decode(content, type=Evaluation)
    return {sample.folder.path: sample for sample in evaluation.samples if sample.state is state}


def damages(log: str) -> list[str]:
    return sorted(
        line.partition("WARNING")[2] or line for line in log.splitlines() if "is damaged and left out" in line
    )


# D-4, X-1
def test_training_prediction_and_the_library_see_the_same_in_every_file(tmp_path: Path) -> None:
    paint(tmp_path / "images")
    place = Workplace(tmp_path)
    order = an_order(codes=CODES, max_iter=2, batch_size=6, split_ratio=0.5, resolution_screening=False)
    train(order, Resources(), place.job(), TrainingSettings(precision=Precision.FLOAT32, on_cpu=True))
    trained = place.the(TrainingSucceeded)
    version = VersionToPredict(
        label="v1.01",
        network="ResNet18",
        defect_codes=CODES,
        input=order.input,
        resolution_rule=trained.resolution_rule,
        weights=trained.weights,
    )
    place.job().log_file.unlink()
    predict(
        PredictionOrder(
            versions=(version,),
            data_paths=(FolderName(ROOT, ""),),
            parameters=PredictionParameters(batch_size=5),
            resolution_screening=True,
        ),
        Resources(),
        place.job(JobKind.PREDICTION),
    )
    predicted = place.the(PredictionSucceeded)
    (result,) = predicted.results

    in_training, in_prediction = (
        samples_of(place.content(evaluation), SampleState.DAMAGED)
        for evaluation in (trained.evaluation, result.evaluation)
    )
    assert set(in_training) == set(in_prediction) == {f"{code}/{name}" for code in CODES for name in REFUSED}
    of_training, of_prediction = (damages(place.content(log).decode()) for log in (trained.log, predicted.log))
    assert of_training == of_prediction
    for name, (_, told) in REFUSED.items():
        assert sum(f"/{name} is damaged and left out: " in line and told in line for line in of_training) == 2, name

    validated = samples_of(place.content(trained.evaluation), SampleState.JUDGED)
    judged = samples_of(place.content(result.evaluation), SampleState.JUDGED)
    assert set(judged) == {f"{code}/{name}" for code in CODES for name in (*LOSSLESS, *LOSSY)}
    assert 0.4 < len(validated) / len(judged) < 0.6
    for path, sample in validated.items():
        assert (sample.width, sample.height) == (judged[path].width, judged[path].height)
        assert sample.scores == pytest.approx(judged[path].scores, abs=1e-6), path

    export = ExportOrder(model_name="panel-a", version=version, evaluation=result.evaluation)
    build_export(export, place.job(JobKind.EXPORT))
    with zipfile.ZipFile(io.BytesIO(place.content(place.the(ExportBuilt).package))) as package:
        package.extractall(tmp_path / "export")
    files = (tmp_path / "export" / name for name in ("models.xbin", "config.yaml", "libCsotArtifact.so"))
    with NativeModel(*files) as library:
        for path, sample in judged.items():
            (said,) = library.predict([np.asarray(decode((place.images / path).read_bytes()))])
            assert said.probabilities == pytest.approx(sample.scores, abs=1e-4), path
