"""What a training learns on real images within minutes, from nothing: on a split by part, beside a plain recipe in the same time.

Both learn from the same images and are judged on the same others with the weights of their last iteration, because choosing the
best ones on those very images, as a report does, would flatter. Ours takes what the wizard advises for that many images; the
recipe gets the CPU time that this took and lowers its rate with the time that is gone, so neither knows more about the clock.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the worker sets it, for both sides

import msgspec
import numpy as np
import torch
import torchvision  # type: ignore[import-untyped]
from PIL import Image
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from benchmarks.harness import Bench, Row, bench
from benchmarks.plain_recipe import plain_evaluation, plain_transform
from benchmarks.real_images import REAL_IMAGES, STRIP, TILES, count_images
from domain.evaluation_figures import confusion_matrix, macro_recall, overall_accuracy
from domain.messages import (
    AnyReport,
    LossPart,
    ManifestEntry,
    Resources,
    StageFinished,
    TrainingOrder,
    TrainingSucceeded,
    ValidationMeasured,
)
from domain.model_packages import NetworkInput
from domain.training_advice import LearntFrom, advised_from_nothing
from domain.training_parameters import USUAL_AUGMENTATIONS, SgdParameters, TrainingParameters
from gpu_worker.settings import TrainingSettings
from gpu_worker.training import train
from tests.gpu_worker.workplace import MountedFolders, Workplace, an_order

PUBLISHED_OF_STRIP = "RepVGG+SA, Symmetry 2021, 13(4), 706; split at random", 0.951
DEFECTS_OF_TILES = ("MT_Blowhole", "MT_Break", "MT_Crack", "MT_Fray", "MT_Uneven")
THREADS = 2
SEED = 7
SPLIT_RATIO = 0.8
SIDE, SEGMENTATION_SIDE = 128, 128
"""Input sizes in pixels."""
RECIPE_BATCH, RECIPE_RATE = 32, 0.05


class _Learnt(msgspec.Struct, frozen=True, kw_only=True):
    """One training: its last validation, what its report says, the CPU seconds to the end of that part, and the sides."""

    last: ValidationMeasured
    succeeded: TrainingSucceeded
    seconds: float
    manifest: tuple[ManifestEntry, ...]


@bench
def steel_strip(bench: Bench) -> Iterator[Row]:
    """Seven codes of hot-rolled strip."""
    yield from _classification(STRIP, bench.share, least_accuracy=0.97, published=PUBLISHED_OF_STRIP)


@bench
def magnetic_tiles(bench: Bench) -> Iterator[Row]:
    """Five defects and good ones; no tile stands on both sides. Nobody published figures of such a split."""
    yield from _classification(TILES, bench.share)


@bench
def masks_of_tiles(bench: Bench) -> Iterator[Row]:
    """A segmentation of the five defects, split by tile."""
    if not (folder := _real_images(TILES)):
        return
    advised = _advised(folder, DEFECTS_OF_TILES, bench.share, with_segmentation=True)
    assert advised.segmentation is not None
    shortly = msgspec.structs.replace(advised.classification, max_iter=1)
    order = _order(DEFECTS_OF_TILES, TrainingParameters(shortly, advised.segmentation))
    learnt = _learn(order, folder, LossPart.SEGMENTATION)
    for code, iou in zip(DEFECTS_OF_TILES, learnt.last.code_ious, strict=True):
        yield Row(name=f"{TILES}, IoU of {code}", figure=iou or 0.0, unit="share")
    yield Row(
        name=f"{TILES}, mean IoU",
        figure=learnt.last.iou or 0.0,
        unit="share",
        compared_with=f"{learnt.seconds:.0f} CPU seconds, {advised.segmentation.max_iter} iterations",
    )


def _classification(
    name: str, share: float, *, least_accuracy: float | None = None, published: tuple[str, float] | None = None
) -> Iterator[Row]:
    if not (folder := _real_images(name)):
        return
    codes = tuple(sorted(place.name for place in folder.iterdir() if place.is_dir()))
    ours = _learn(_order(codes, _advised(folder, codes, share)), folder, LossPart.CLASSIFICATION)
    accuracy, recall = _plain_recipe(folder, codes, ours.manifest, ours.seconds)
    budget = f"plain recipe, {ours.seconds:.0f} CPU seconds as ours"
    for figure, own, plain, least in (
        ("accuracy", ours.last.accuracy, accuracy, least_accuracy),
        ("macro recall", ours.last.recall, recall, None),
    ):
        assert own is not None
        yield Row(
            name=f"{name}, {figure}",
            figure=own,
            unit="share",
            compared_with=budget,
            compared_figure=plain,
            ratio=own / plain,
            least_ratio=1.0,
            least=least,
        )
    if published is not None and ours.last.accuracy is not None:
        where, of_others = published
        yield Row(
            name=f"{name}, accuracy beside the published",
            figure=ours.last.accuracy,
            unit="share",
            compared_with=where,
            compared_figure=of_others,
            ratio=ours.last.accuracy / of_others,
        )
    reported = ours.succeeded.figures
    yield Row(name=f"{name}, accuracy of its report", figure=reported.accuracy or 0.0, unit="share")


def _advised(
    folder: Path, codes: Sequence[str], share: float, *, with_segmentation: bool = False
) -> TrainingParameters:
    """What the wizard fills in for the images of some code folders; a share of its iterations."""
    images, masks = (
        round(SPLIT_RATIO * count_images(folders))
        for folders in (
            [folder / code for code in codes],
            [folder / code / "masks" for code in codes if with_segmentation],
        )
    )
    advised = advised_from_nothing(LearntFrom(images, masks), with_segmentation=with_segmentation)

    def shortened(sgd: SgdParameters) -> SgdParameters:
        return msgspec.structs.replace(sgd, max_iter=max(1, round(share * sgd.max_iter)))

    segmentation = advised.segmentation and shortened(advised.segmentation)
    return TrainingParameters(shortened(advised.classification), segmentation)


def _order(codes: tuple[str, ...], parameters: TrainingParameters) -> TrainingOrder:
    """A job on the code folders named as the codes."""
    order = an_order(
        codes=codes,
        data_paths=codes,
        input_side=SIDE,
        segmentation=parameters.segmentation,
        augmentations=USUAL_AUGMENTATIONS,
        split_ratio=SPLIT_RATIO,
        resolution_screening=False,
        seed=SEED,
    )
    if order.segmentation is not None:
        side = NetworkInput(width=SEGMENTATION_SIDE, height=SEGMENTATION_SIDE)
        order = msgspec.structs.replace(order, segmentation=msgspec.structs.replace(order.segmentation, input=side))
    return msgspec.structs.replace(order, training_parameters=parameters)


def _real_images(name: str) -> Path | None:
    folder = REAL_IMAGES / name
    if folder.is_dir():
        return folder
    print(f"no real images in {folder}: nothing is learnt from them")
    return None


def _learn(order: TrainingOrder, folder: Path, part: LossPart) -> _Learnt:
    """A whole job of the product: reading, decoding, split, loop, validations, report."""
    with tempfile.TemporaryDirectory() as name:
        place = Workplace(Path(name))
        began: dict[LossPart, float] = {}
        ended: dict[LossPart, float] = {}
        started = time.process_time()

        def report(told: AnyReport) -> None:
            place.reports.append(told)
            if isinstance(told, ValidationMeasured):
                began.setdefault(told.part, max(ended.values(), default=started))
                ended[told.part] = time.process_time()

        job = replace(place.job(cpu_cores=THREADS), folders=MountedFolders(folder), report=report)
        train(order, Resources(), job, TrainingSettings())
        (manifest,) = [place.content(stage.manifest) for stage in place.all(StageFinished) if stage.manifest]
        return _Learnt(
            last=[told for told in place.all(ValidationMeasured) if told.part is part][-1],
            succeeded=place.the(TrainingSucceeded),
            seconds=ended[part] - began[part],
            manifest=tuple(msgspec.json.decode(line, type=ManifestEntry) for line in manifest.splitlines()),
        )


@dataclass
class _Files(Dataset[tuple[torch.Tensor, int]]):
    """Image files with their codes, as ImageFolder reads them: opened, decoded and transformed anew each time."""

    files: Sequence[tuple[Path, int]]
    transform: nn.Module

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        path, label = self.files[index]
        with Image.open(path) as image:
            transformed: torch.Tensor = self.transform(image.convert("RGB"))
        return transformed, label


def _plain_recipe(
    folder: Path, codes: Sequence[str], manifest: Sequence[ManifestEntry], seconds: float
) -> tuple[float, float]:
    """Accuracy and macro recall of what most would write: torchvision's ResNet18 and transforms, a DataLoader, float32, SGD.

    The loader works in this process, so that its time is counted; processes of its own would take the same cores from learning.
    """

    def of(side: str) -> list[tuple[Path, int]]:
        return [(folder / one.path, codes.index(one.defect_code)) for one in manifest if one.split == side]

    network_input = NetworkInput(width=SIDE, height=SIDE)
    torch.manual_seed(SEED)
    torch.set_num_threads(THREADS)
    started = time.process_time()
    model = torchvision.models.resnet18(weights=None, num_classes=len(codes))
    optimizer = torch.optim.SGD(model.parameters(), lr=RECIPE_RATE, momentum=0.9, weight_decay=1e-4)
    loader = DataLoader(
        _Files(of("training"), plain_transform(network_input)), batch_size=RECIPE_BATCH, shuffle=True, drop_last=True
    )
    gone = 0.0
    while gone < 1:
        for images, labels in loader:
            gone = (time.process_time() - started) / seconds
            if gone >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = RECIPE_RATE * (1 - gone) ** 0.9
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(images), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    model.eval()
    judged = DataLoader(_Files(of("validation"), plain_evaluation(network_input)), batch_size=64)
    with torch.inference_mode():
        answers = [(labels, model(images).argmax(1)) for images, labels in judged]
    true, predicted = (np.concatenate([pair[side].numpy() for pair in answers]) for side in (0, 1))
    confusion = confusion_matrix(true, predicted, len(codes))
    return overall_accuracy(confusion) or 0.0, macro_recall(confusion) or 0.0
