"""Segmentation: the network, its loss and figures against plain loops, masks, a whole training, special codes, predictions."""

import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

from domain.data_paths import FolderName
from domain.evaluation import CODE_COLOURS, Evaluation, SampleState
from domain.evaluation_figures import figures_of
from domain.messages import (
    ExportBuilt,
    ExportOrder,
    JobKind,
    LossesMeasured,
    LossPart,
    ManifestEntry,
    PredictionOrder,
    PredictionSucceeded,
    Resources,
    SegmentationToPredict,
    StageFinished,
    StageName,
    TrainingOrder,
    TrainingSucceeded,
    ValidationMeasured,
    VersionToPredict,
)
from domain.model_packages import NetworkInput, ResolutionRule
from domain.training_parameters import Augmentation, PredictionParameters, SgdParameters
from gpu_worker import checkpoints
from gpu_worker.augmentation import augment, augment_labels, draw
from gpu_worker.exports import build_export
from gpu_worker.jobs import JobStopped
from gpu_worker.loss_curve import SegmentationLossIsNotFinite
from gpu_worker.metrics import with_bounded_overlays
from gpu_worker.native_library import NativeModel
from gpu_worker.networks import (
    TensorHasOtherShape,
    WeightsOfOtherCodes,
    check_package_weights,
    load_initial_weights,
    load_trained_weights,
    new_network,
    save_weights,
)
from gpu_worker.prediction import predict
from gpu_worker.preprocessing import CodeWithoutMasks, NoMaskOnOneSide
from gpu_worker.randomness import stream
from gpu_worker.segmentation import OVERLAY_SIDE, overlay, segmentation_loss
from gpu_worker.settings import Precision, TrainingSettings
from gpu_worker.training import SegmentationIsNotOrdered, train
from tests.gpu_worker.workplace import ROOT, Workplace, an_order, paint, paint_defects

SETTINGS = TrainingSettings(precision=Precision.FLOAT32)
EXACT = TrainingSettings(precision=Precision.FLOAT32, on_cpu=True)
"""What it computes comes out the same to the bit, also on a machine with a GPU."""
CODES = ("OK", "SCRATCH", "SPOT", "TSFAS")
NETWORK = "UNet-ResNet18"


# The network


def test_the_network_says_for_every_pixel_what_it_shows_in_squares_of_two() -> None:
    model = new_network(NETWORK, len(CODES), seed=1).eval()
    with torch.inference_mode():
        logits = model(torch.rand(2, 3, 64, 96))
    assert logits.shape == (2, 1 + len(CODES), 64, 96)
    assert torch.equal(logits[..., ::2, ::2], logits[..., 1::2, 1::2])
    assert 12.4e6 < sum(parameter.numel() for parameter in model.parameters()) < 12.6e6


def test_the_network_is_made_of_what_the_native_library_can_compute() -> None:
    leaves = {type(module) for module in new_network(NETWORK, 3, seed=1).modules() if not list(module.children())}
    assert leaves == {nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d}


def test_its_encoder_is_a_resnet18_and_the_same_seed_gives_the_same_weights() -> None:
    one, same, other = (new_network(NETWORK, 3, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["encoder.conv1.weight"], other["encoder.conv1.weight"])
    resnet = {name for name in new_network("ResNet18", 3, seed=1).state_dict() if not name.startswith("fc.")}
    assert {name.removeprefix("encoder.") for name in one if name.startswith("encoder.")} == resnet


def saved(file: Path, codes: tuple[str, ...] = CODES) -> Path:
    save_weights(new_network(NETWORK, len(codes), seed=1).state_dict(), file, NETWORK, codes)
    return file


# W-12
def test_its_weights_belong_to_the_codes_with_one_output_more_for_no_defect(tmp_path: Path) -> None:
    model, codes = load_trained_weights(saved(tmp_path / "w"), NETWORK, CODES)
    assert codes == CODES
    assert len(model.state_dict()["head.bias"]) == 1 + len(CODES)
    with pytest.raises(WeightsOfOtherCodes):
        load_trained_weights(tmp_path / "w", NETWORK, ("OK", "SPOT", "SCRATCH", "TSFAS"))
    for other, keeps in ((CODES, True), (CODES[:3], False)):
        taken = load_initial_weights(new_network(NETWORK, len(other), 2), tmp_path / "w", NETWORK, other)
        assert taken.keeps_head is keeps


# I-6
def test_a_package_may_bring_weights_of_it(tmp_path: Path) -> None:
    check_package_weights(saved(tmp_path / "w", tuple("ABCDEFG")), NETWORK)
    state = new_network(NETWORK, 3, seed=1).state_dict()
    state["encoder.conv1.weight"] = torch.zeros(64, 3, 3, 3)
    save_weights(state, tmp_path / "other", NETWORK, CODES[:3])
    with pytest.raises(TensorHasOtherShape, match=r"encoder\.conv1\.weight"):
        check_package_weights(tmp_path / "other", NETWORK)


# The loss


def plain_loss(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Pixel by pixel, code by code."""
    batch, outputs, height, width = logits.shape
    places = [(b, y, x) for b in range(batch) for y in range(height) for x in range(width)]
    shares = {place: torch.softmax(logits[place[0], :, place[1], place[2]].double(), 0).tolist() for place in places}
    weight = {place: 5.0 if labels[place] else 1.0 for place in places}
    loss = -sum(weight[place] * np.log(shares[place][int(labels[place])]) for place in places) / sum(weight.values())
    dice = []
    for code in range(1, outputs):
        marked = [place for place in places if labels[place] == code]
        if marked:
            both = sum(shares[place][code] for place in marked)
            predicted = sum(shares[place][code] for place in places)
            dice.append((2 * both + 1) / (predicted + len(marked) + 1))
    return float(loss + (sum(1 - one for one in dice) / len(dice) if dice else 0.0))


@pytest.mark.parametrize("shown", [(0, 1, 3), (0,), (2,)])
def test_the_loss_is_weighted_cross_entropy_and_what_dice_misses(shown: tuple[int, ...]) -> None:
    logits = torch.randn(2, 4, 5, 6, generator=stream(1, "logits")) * 3
    labels = torch.tensor(shown)[torch.randint(len(shown), (2, 5, 6), generator=stream(1, "labels"))]
    assert segmentation_loss(logits, labels).item() == pytest.approx(plain_loss(logits, labels), rel=1e-5)


def test_a_perfect_answer_costs_nothing_and_its_opposite_much() -> None:
    labels = torch.tensor([[[0, 1], [2, 0]]])
    right = 50 * nn.functional.one_hot(labels, 3).permute(0, 3, 1, 2).float()
    assert segmentation_loss(right, labels).item() == pytest.approx(0, abs=1e-3)
    assert segmentation_loss(-right, labels).item() > 25


# W-8
def test_labels_move_with_their_images() -> None:
    chosen = (Augmentation.SCALING, Augmentation.FLIPPING, Augmentation.RANDOM_TRANSFORM)
    drawn = draw(40, chosen, stream(3, "draw"))
    labels = torch.zeros(40, 32, 32, dtype=torch.long)
    labels[:, 6:20, 4:14] = 7
    images = (labels[:, None] > 0).float().expand(-1, 3, -1, -1)
    moved, moved_labels = augment(images, drawn, chosen), augment_labels(labels, drawn, chosen)
    assert set(moved_labels.flatten().tolist()) == {0, 7}
    sure = (moved[:, 0] < 0.01) | (moved[:, 0] > 0.99)  # the edge of an image is a mixture, that of a label is not
    assert torch.equal((moved_labels > 0)[sure], (moved[:, 0] > 0.5)[sure])
    assert sure.float().mean() > 0.9
    assert torch.equal(augment_labels(labels, drawn, ()), labels)


# A whole training


def segmenting(max_iter: int = 4, *, base_lr: float = 0.05, batch_size: int = 6) -> SgdParameters:
    return SgdParameters(base_lr=base_lr, batch_size=batch_size, max_iter=max_iter)


def an_order_of_both(**changes: Any) -> TrainingOrder:
    values: dict[str, Any] = {
        "codes": CODES,
        "class_count": 3,
        "max_iter": 2,
        "batch_size": 4,
        "segmentation": segmenting(),
    }
    return an_order(**(values | changes))


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    paint_defects(tmp_path / "images", count=4, codes=CODES)
    return Workplace(tmp_path)


def run(place: Workplace, order: TrainingOrder, settings: TrainingSettings = SETTINGS) -> TrainingSucceeded:
    train(order, Resources(), place.job(), settings)
    shutil.rmtree(place.job().workspace)
    return place.the(TrainingSucceeded)


def losses(place: Workplace) -> list[tuple[str, int, str]]:
    lines = [json.loads(line) for line in place.content(place.the(TrainingSucceeded).losses).splitlines()]
    return [(line["part"], line["iteration"], float(line["loss"]).hex()) for line in lines]


def manifest_of(place: Workplace) -> list[ManifestEntry]:
    (split,) = [stage for stage in place.all(StageFinished) if stage.stage is StageName.DATA_SPLIT]
    return [msgspec.json.decode(line, type=ManifestEntry) for line in place.content(split.manifest).splitlines()]


def evaluation(content: bytes) -> Evaluation:
    return msgspec.msgpack.decode(content, type=Evaluation)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """One training of both networks, long enough to learn something, for several tests to look at."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("trained")
    paint_defects(folder / "images", count=6, codes=CODES)
    (folder / "images" / "SPOT" / "masks" / "000.png").unlink()
    (folder / "images" / "TSFAS" / "masks" / "001.png").write_bytes(b"no image")
    paint(folder / "images" / "SCRATCH" / "masks" / "002.png", seed=1, size=(9, 9))
    place = Workplace(folder)
    run(place, an_order_of_both(segmentation=segmenting(24), augmentations=(Augmentation.FLIPPING,)))
    return place


# W-6, T-5
def test_both_networks_have_their_own_parameters_curve_validations_and_log(trained: Workplace) -> None:
    parts = [(part, iteration) for part, iteration, _ in losses(trained)]
    assert parts == [("classification", 1), ("classification", 2)] + [("segmentation", n) for n in range(1, 25)]
    reported = {report.part: report.iterations[-1] for report in trained.all(LossesMeasured)}
    assert reported == {LossPart.CLASSIFICATION: 2, LossPart.SEGMENTATION: 24}
    result = trained.the(TrainingSucceeded)
    logs = {kept.part: trained.content(kept.log).decode() for kept in result.part_logs}
    assert "training ResNet18 on" in logs[LossPart.CLASSIFICATION]
    assert "training UNet-ResNet18 on" in logs[LossPart.SEGMENTATION]
    assert "UNet" not in logs[LossPart.CLASSIFICATION]
    assert "ResNet18 on" in trained.content(result.log).decode()
    of_segmentation = [one for one in trained.all(ValidationMeasured) if one.part is LossPart.SEGMENTATION]
    assert of_segmentation[-1].iteration == 24
    assert {len(one.code_ious) for one in of_segmentation} == {len(CODES)}
    assert all(one.accuracy is None and one.loss is not None for one in of_segmentation)


def test_the_loss_of_the_segmentation_falls_and_it_finds_defects(trained: Workplace) -> None:
    values = [float.fromhex(loss) for part, _, loss in losses(trained) if part == "segmentation"]
    assert np.mean(values[-4:]) < 0.5 * np.mean(values[:4])
    figures = trained.the(TrainingSucceeded).figures
    best = max(one.iou or 0 for one in trained.all(ValidationMeasured))
    assert figures.iou == pytest.approx(best)  # the weights of the best validation are those of the report
    assert best > 0.2


# W-9
def test_images_without_a_usable_mask_are_counted_named_and_not_used_for_segmentation(trained: Workplace) -> None:
    screening = trained.all(StageFinished)[0]
    assert (screening.unmasked_count, screening.left_out_count, screening.image_count) == (3, 0, 24)
    log = trained.content(trained.the(TrainingSucceeded).log).decode()
    assert "the mask of images:TSFAS/001.png cannot be used: neither JPEG, PNG" in log
    assert "the mask of images:SCRATCH/002.png cannot be used: the mask is 9 x 9, the image 64 x 64" in log
    assert "SPOT/000.png cannot" not in log  # it has none
    masked = {entry.path for entry in manifest_of(trained) if entry.mask_checksum}
    assert len(masked) == 21
    assert not masked & {"SPOT/000.png", "TSFAS/001.png", "SCRATCH/002.png"}
    splits = {entry.path: entry.split for entry in manifest_of(trained)}
    assert splits["TSFAS/001.png"] in ("", "validation")  # a special code is learnt from its mask or not at all
    assert splits["SPOT/000.png"] in ("training", "validation")


# R-1, W-4
def test_the_report_tells_special_codes_and_agrees_with_its_samples(trained: Workplace) -> None:
    result = trained.the(TrainingSucceeded)
    found = evaluation(trained.content(result.evaluation))
    assert found.defect_codes == CODES
    assert result.figures == figures_of(found)
    assert len(result.figures.confusion) == len(CODES)
    judged = [sample for sample in found.samples if sample.state is SampleState.JUDGED]
    assert {sample.folder.path for sample in judged} == {
        entry.path for entry in manifest_of(trained) if entry.split == "validation"
    }
    assert "TSFAS" in {CODES[sample.true_index] for sample in judged}
    for sample in judged:
        assert len(sample.scores) == 3  # special codes are never classes of the classifier
        assert sample.segmented is not None
        pixels = sample.segmented.predicted_pixels
        is_special = max(pixels) > 16 and pixels.index(max(pixels)) == 3
        assert sample.predicted_index == (3 if is_special else max(range(3), key=lambda index: sample.scores[index]))
        assert (sample.segmented.special_confidence is not None) == is_special
        assert bool(sample.segmented.overlay) == any(pixels)


def version_of(place: Workplace, order: TrainingOrder | None = None) -> VersionToPredict:
    """What was trained there; `order` is the one that asked for it, where it is not `an_order_of_both`."""
    result, order = place.the(TrainingSucceeded), order or an_order_of_both()
    assert result.segmentation_weights is not None
    assert order.segmentation is not None
    return VersionToPredict(
        label="v1.01",
        network="ResNet18",
        defect_codes=CODES[:3],
        input=order.input,
        resolution_rule=ResolutionRule(),
        weights=result.weights,
        segmentation=SegmentationToPredict(
            network=NETWORK,
            defect_codes=CODES,
            input=order.segmentation.input,
            special_code_min_pixels=order.segmentation.special_code_min_pixels,
            weights=result.segmentation_weights,
        ),
    )


# W-4
def test_a_prediction_gives_no_special_code_below_the_packages_minimum(trained: Workplace) -> None:
    """An image has 4096 pixels at the segmentation's input size, so more than as many are never seen."""
    version = version_of(trained)
    assert version.segmentation is not None
    never = msgspec.structs.replace(version.segmentation, special_code_min_pixels=64 * 64)
    order = PredictionOrder(
        versions=(version, msgspec.structs.replace(version, label="v1.02", segmentation=never)),
        data_paths=(FolderName(ROOT, "TSFAS"),),
        parameters=PredictionParameters(),
        resolution_screening=False,
    )
    predict(order, Resources(), trained.job(JobKind.PREDICTION))
    usual, strict = (evaluation(trained.content(one.evaluation)) for one in trained.the(PredictionSucceeded).results)
    assert 3 in {sample.predicted_index for sample in usual.samples}
    assert 3 not in {sample.predicted_index for sample in strict.samples}


# W-4, R-1, P-5
def test_a_prediction_counts_pixels_as_plain_loops_do_and_gives_special_codes(
    trained: Workplace, tmp_path: Path
) -> None:
    version = version_of(trained)
    paint_defects(tmp_path / "images", count=3, codes=CODES)
    shutil.rmtree(tmp_path / "images" / "SPOT" / "masks")
    place = Workplace(tmp_path)
    assert version.segmentation is not None
    for weights in (version.weights, version.segmentation.weights):
        copy = tmp_path / "weights"
        shutil.copyfile(trained.artifacts.path(weights), copy)
        place.artifacts.keep(copy)
    order = PredictionOrder(
        versions=(version, msgspec.structs.replace(version, label="v1.02", segmentation=None)),
        data_paths=(FolderName(ROOT, ""),),
        parameters=PredictionParameters(batch_size=5),
        resolution_screening=True,
    )
    predict(order, Resources(), place.job(JobKind.PREDICTION))
    segmenting_version, classifying = place.the(PredictionSucceeded).results
    found = evaluation(place.content(segmenting_version.evaluation))
    assert (len(found.samples), segmenting_version.figures.left_out_count) == (12, 0)
    assert (classifying.figures.sample_count, classifying.figures.left_out_count) == (9, 3)
    assert classifying.figures.iou is None

    model, _ = load_trained_weights(place.artifacts.path(version.segmentation.weights), NETWORK, CODES)
    both, either = [0] * 4, [0] * 4
    for sample in found.samples:
        with Image.open(place.images / sample.folder.path) as image:
            scaled = (np.asarray(image) / 255 - np.array(version.input.mean)) / np.array(version.input.deviation)
        with torch.inference_mode():
            shares = model(torch.tensor(scaled).permute(2, 0, 1)[None].float()).softmax(1)[0].numpy()
        predicted = shares.argmax(0)
        assert sample.segmented is not None
        counted = tuple(int((predicted == 1 + code).sum()) for code in range(4))
        assert sample.segmented.predicted_pixels == pytest.approx(counted, abs=4)
        if sample.predicted_index == 3:
            sure = shares[4][predicted == 4].mean()
            assert sample.confidence == pytest.approx(sure, abs=1e-3)
        mask_file = place.images / sample.folder.path.replace("/", "/masks/")
        assert (sample.segmented.marked_pixels is not None) == mask_file.is_file()
        if mask_file.is_file():
            with Image.open(mask_file) as image:
                marked = np.asarray(image) >= 128
            for code in range(4):
                true = marked & (sample.true_index == code)
                both[code] += int((true & (predicted == 1 + code)).sum())
                either[code] += int((true | (predicted == 1 + code)).sum())
    for defect, intersection, union in zip(segmenting_version.figures.defects, both, either, strict=True):
        assert (defect.iou is None) == (not union)
        if union:
            assert defect.iou == pytest.approx(intersection / union, abs=0.01)
    assert figures_of(found).iou == segmenting_version.figures.iou


#
def test_the_report_of_a_training_says_of_each_image_what_a_prediction_says(tmp_path: Path) -> None:
    """Of more images than fit into a batch, so that none may be taken for another."""
    paint_defects(tmp_path / "images", count=14, codes=CODES)
    (tmp_path / "images" / "SPOT" / "masks" / "003.png").unlink()
    place = Workplace(tmp_path)
    order = an_order_of_both(max_iter=1, segmentation=segmenting(3), split_ratio=0.3)
    assert order.segmentation is not None
    of_its_own = NetworkInput(width=64, height=32, mean=(0.6, 0.1, 0.4), deviation=(0.2, 0.6, 0.7))
    order = msgspec.structs.replace(
        order,
        input=NetworkInput(width=32, height=64, mean=(0.2, 0.3, 0.5), deviation=(0.5, 0.4, 0.3)),
        segmentation=msgspec.structs.replace(order.segmentation, input=of_its_own, special_code_min_pixels=64 * 32),
    )
    trained = run(place, order, EXACT)
    prediction = PredictionOrder(
        versions=(version_of(place, order),),
        data_paths=(FolderName(ROOT, ""),),
        parameters=PredictionParameters(batch_size=7),
        resolution_screening=True,
    )
    predict(prediction, Resources(), place.job(JobKind.PREDICTION))
    (result,) = place.the(PredictionSucceeded).results
    predicted = {sample.folder: sample for sample in evaluation(place.content(result.evaluation)).samples}
    reported = evaluation(place.content(trained.evaluation)).samples
    assert len(reported) > 2 * 16
    assert {sample.predicted_index for sample in reported} <= {0, 1, 2}, "no image has more pixels than the minimum"
    assert any(
        one.segmented and max(one.segmented.predicted_pixels) == one.segmented.predicted_pixels[3] for one in reported
    )
    for sample in reported:
        other = predicted[sample.folder]
        assert sample.scores == pytest.approx(other.scores, abs=1e-5)
        assert sample.segmented is not None
        assert other.segmented is not None
        assert sample.segmented.marked_pixels == other.segmented.marked_pixels
        assert sample.segmented.predicted_pixels == pytest.approx(other.segmented.predicted_pixels, abs=4)
        assert sample.segmented.common_pixels == pytest.approx(other.segmented.common_pixels, abs=4)
    unmasked = [one for one in reported if one.segmented and one.segmented.marked_pixels is None]
    assert {one.folder.path for one in unmasked} <= {"SPOT/003.png"}


# T-6
def test_the_second_network_keeps_the_threads_of_the_first(place: Workplace) -> None:
    order = an_order_of_both(max_iter=2)
    job = place.job(cpu_cores=1)
    file = checkpoints.file_of(job.workspace, LossPart.CLASSIFICATION)
    object.__setattr__(job, "is_stopping", file.is_file)
    with pytest.raises(JobStopped):
        train(order, Resources(), job, msgspec.structs.replace(EXACT, checkpoint_every_iterations=1))
    train(order, Resources(), place.job(attempt=2, cpu_cores=2), EXACT)
    assert "1 × CPU" in place.the(TrainingSucceeded).device
    assert "2 × CPU" not in place.the(TrainingSucceeded).device


#
def test_an_export_holds_both_networks_and_agrees_with_the_platform(trained: Workplace, tmp_path: Path) -> None:
    version = version_of(trained)
    evaluation = trained.the(TrainingSucceeded).evaluation
    order = ExportOrder(model_name="panel-a", version=version, evaluation=evaluation, accuracy=0.9, recall=0.8, iou=0.7)
    job = trained.job(JobKind.EXPORT)
    build_export(order, job)
    with zipfile.ZipFile(io.BytesIO(trained.content(trained.the(ExportBuilt).package))) as package:
        package.extractall(tmp_path)
    described = yaml.safe_load((tmp_path / "config.yaml").read_text())["model"]
    assert described["special_codes"] == list(CODES[len(version.defect_codes) :])
    assert described["segmentation"]["special_code_min_pixels"] == 16
    assert described["segmentation"]["input"]["width"] == 64
    assert described["segmentation"]["iou"] == 0.7
    with NativeModel(tmp_path / "models.xbin", tmp_path / "config.yaml", tmp_path / "libCsotArtifact.so") as opened:
        assert opened.codes == CODES
        assert opened.described.has_segmentation
    assert "compared the package with the platform" in job.log_file.read_text()
    assert "made-up" not in job.log_file.read_text()


# T-6
@pytest.mark.parametrize(("part", "after"), [(LossPart.CLASSIFICATION, 1), (LossPart.SEGMENTATION, 1)])
def test_a_stopped_training_of_two_networks_goes_on_bit_for_bit(tmp_path: Path, part: LossPart, after: int) -> None:
    order = an_order_of_both(max_iter=4, augmentations=tuple(Augmentation))
    places = []
    for name in ("whole", "stopped"):
        paint_defects(tmp_path / name / "images", count=4, codes=CODES)
        places.append(Workplace(tmp_path / name))
    whole, stopped = places
    run(whole, order, EXACT)

    job = stopped.job()
    file = checkpoints.file_of(job.workspace, part)
    settings = msgspec.structs.replace(EXACT, checkpoint_every_iterations=after)
    object.__setattr__(job, "is_stopping", file.is_file)
    with pytest.raises(JobStopped):
        train(order, Resources(), job, settings)
    checkpoint = checkpoints.load(job.workspace, part)
    assert checkpoint is not None
    assert 0 < checkpoint.iteration < 4
    run(stopped, order, EXACT)
    assert losses(stopped) == losses(whole)
    one, other = stopped.the(TrainingSucceeded), whole.the(TrainingSucceeded)
    assert (one.weights, one.segmentation_weights, one.evaluation) == (
        other.weights,
        other.segmentation_weights,
        other.evaluation,
    )
    assert [kept.part for kept in one.kept_weights] == list(LossPart)
    assert [kept.best for kept in one.kept_weights] == [one.weights, one.segmentation_weights]
    assert (one.kept_weights, one.last_evaluation) == (other.kept_weights, other.last_evaluation)


def test_a_diverging_segmentation_stops_and_names_its_own_parameters(place: Workplace) -> None:
    with pytest.raises(SegmentationLossIsNotFinite, match="Lower base_lr under “segmentation”"):
        run(place, an_order_of_both(max_iter=1, segmentation=segmenting(30, base_lr=100.0)))
    assert checkpoints.load(place.job().workspace, LossPart.SEGMENTATION) is None
    assert checkpoints.load(place.job().workspace, LossPart.CLASSIFICATION) is not None
    assert "ended early: The training of the segmentation diverged" in (
        place.job().workspace / "log-segmentation.txt"
    ).read_text(encoding="utf-8")


# W-9
def test_a_code_without_any_usable_mask_is_refused(place: Workplace) -> None:
    shutil.rmtree(place.images / "SPOT" / "masks")
    with pytest.raises(CodeWithoutMasks, match="No image of “SPOT” has a mask"):
        run(place, an_order_of_both())


def test_masks_of_one_part_alone_leave_nothing_to_validate(place: Workplace) -> None:
    for code in CODES:
        for number in range(1, 4):
            (place.images / code / "masks" / f"{number:03}.png").unlink()
    with pytest.raises(NoMaskOnOneSide):
        run(place, an_order_of_both())


def test_an_order_of_an_earlier_platform_is_refused_and_not_silently_left_out(place: Workplace) -> None:
    with pytest.raises(SegmentationIsNotOrdered, match="Delete it and make a new one"):
        run(place, msgspec.structs.replace(an_order_of_both(), segmentation=None))


# W-4
def test_without_segmentation_special_codes_are_left_out(place: Workplace) -> None:
    result = run(place, an_order(codes=CODES, class_count=3, max_iter=1))
    assert (result.figures.left_out_count, len(result.figures.defects)) == (4, 3)
    assert (result.segmentation_weights, result.part_logs, result.figures.iou) == (None, (), None)
    assert {entry.mask_checksum for entry in manifest_of(place)} == {""}


# Overlays


def test_an_overlay_has_the_shape_of_the_image_and_a_colour_for_each_code() -> None:
    predicted = np.zeros((32, 32), np.int64)
    predicted[:16, :16], predicted[16:, 16:] = 1, 2
    with Image.open(io.BytesIO(overlay(predicted, 1000, 500))) as image:
        assert image.size == (OVERLAY_SIDE, OVERLAY_SIDE // 2)
        pixels = image.convert("RGBA")
    corners = [np.asarray(pixels)[row, column].tolist() for column, row in ((5, 5), (250, 120), (5, 120))]
    assert [tuple(corner[:3]) for corner in corners[:2]] == list(CODE_COLOURS[:2]), "those that pages name"
    assert [corner[3] > 0 for corner in corners] == [True, True, False]


def test_an_overlay_is_no_larger_than_its_image_never_empty_and_shows_more_codes_than_there_are_colours() -> None:
    predicted = np.zeros((32, 32), np.int64)
    predicted[:, :16], predicted[:, 16:] = 2, 8
    for (width, height), size in {(100, 60): (100, 60), (4000, 2): (OVERLAY_SIDE, 1), (1, 512): (1, 256)}.items():
        with Image.open(io.BytesIO(overlay(predicted, width, height))) as image:
            assert image.size == size
            pixels = np.asarray(image.convert("RGBA"))
    with Image.open(io.BytesIO(overlay(predicted, 32, 32))) as image:
        pixels = np.asarray(image.convert("RGBA"))
    assert pixels[0, 0].tolist() == pixels[0, 31].tolist()
    assert pixels[0, 0, 3] > 0


def test_overlays_are_bounded_and_those_of_misjudged_images_go_first(trained: Workplace) -> None:
    samples = evaluation(trained.content(trained.the(TrainingSucceeded).evaluation)).samples
    sample = next(one for one in samples if one.segmented and one.segmented.overlay)
    size = len(sample.segmented.overlay) if sample.segmented else 0
    right = msgspec.structs.replace(sample, predicted_index=sample.true_index)
    wrong = msgspec.structs.replace(sample, predicted_index=sample.true_index + 1)
    kept = with_bounded_overlays([right, wrong, right, wrong], 3 * size)
    assert [bool(one.segmented and one.segmented.overlay) for one in kept] == [True, True, False, True]
    assert all(one.segmented and one.segmented.predicted_pixels for one in kept)
