"""A training in this process: the loop against one written independently, stages, reports, checkpoints."""

import hashlib
import io
import json
import math
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
import torchvision  # type: ignore[import-untyped]
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from domain.evaluation import Evaluation, SampleState
from domain.evaluation_figures import figures_of
from domain.learning_rates import LearningRatePolicy
from domain.messages import (
    AnyReport,
    LossesMeasured,
    LossPart,
    ManifestEntry,
    Resources,
    StageFinished,
    StageName,
    TrainingOrder,
    TrainingSucceeded,
    ValidationMeasured,
)
from domain.model_packages import NetworkInput, ResolutionRule
from domain.training_parameters import Augmentation, SgdParameters
from domain.training_progress import share_of_whole
from gpu_worker import checkpoints, loss_curve, training
from gpu_worker.checkpoints import Best
from gpu_worker.devices import GpuIsMissing, device_for
from gpu_worker.jobs import Job, JobStopped, Progress
from gpu_worker.loss_curve import LossIsNotFinite
from gpu_worker.metrics import ValidationFigures
from gpu_worker.networks import new_network
from gpu_worker.preprocessing import ClassWithoutImages, DefectCodeNotInList, NothingToValidate
from gpu_worker.settings import Precision, TrainingSettings
from gpu_worker.training import TRAINING, TRAINING_SEGMENTATION, VALIDATING, Clock, ImagesChangedMeanwhile, train
from tests.gpu_worker.workplace import Workplace, an_order, paint, paint_codes

SETTINGS = TrainingSettings(precision=Precision.FLOAT32, on_cpu=True)
ALL = tuple(Augmentation)
CPU = torch.device("cpu")


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    paint_codes(tmp_path / "images")
    return Workplace(tmp_path)


def opened(file: Path) -> Image.Image:
    with Image.open(file) as image:
        return image.copy()


def run(
    place: Workplace, order: TrainingOrder, settings: TrainingSettings = SETTINGS, *, cpu_cores: int = 1
) -> TrainingSucceeded:
    """A whole run; the worker removes its workspace when it is over."""
    train(order, Resources(), place.job(cpu_cores=cpu_cores), settings)
    shutil.rmtree(place.job().workspace)
    return place.the(TrainingSucceeded)


def losses(place: Workplace) -> dict[int, str]:
    """Every raw point of the metrics file, the losses as exact hexadecimal numbers."""
    lines = [json.loads(line) for line in place.content(place.the(TrainingSucceeded).losses).splitlines()]
    return {line["iteration"]: float(line["loss"]).hex() for line in lines}


def weights_of(place: Workplace) -> str:
    return place.the(TrainingSucceeded).weights.checksum


def manifest_of(place: Workplace) -> list[ManifestEntry]:
    (split,) = [stage for stage in place.all(StageFinished) if stage.stage is StageName.DATA_SPLIT]
    return [msgspec.json.decode(line, type=ManifestEntry) for line in place.content(split.manifest).splitlines()]


def evaluation_of(place: Workplace) -> Evaluation:
    return msgspec.msgpack.decode(place.content(place.the(TrainingSucceeded).evaluation), type=Evaluation)


OF_ITS_OWN = NetworkInput(width=64, height=32, mean=(0.2, 0.3, 0.5), deviation=(0.5, 0.4, 0.3))
"""An input unlike any default: neither square, nor standardised as usual, nor alike in any channel."""


def as_the_network_takes_them(place: Workplace, order: TrainingOrder, paths: list[str]) -> torch.Tensor:
    """(B, C, H, W) images, reckoned without the product."""
    size, mean, deviation = (order.input.width, order.input.height), order.input.mean, order.input.deviation
    pixels = [
        (np.asarray(opened(place.images / path).resize(size, Image.Resampling.BILINEAR)) / 255 - mean) / deviation
        for path in paths
    ]
    return torch.tensor(np.stack(pixels)).permute(0, 3, 1, 2).float()


def test_the_loop_computes_what_a_plain_one_computes(place: Workplace) -> None:
    order = an_order(max_iter=3, batch_size=18, base_lr=0.002, split_ratio=0.75)
    run(place, order)
    training = [entry for entry in manifest_of(place) if entry.split == "training"]
    assert len(training) == 18  # so every batch is the whole split, in whichever order

    torch.manual_seed(order.seed)
    model = torchvision.models.resnet18(weights=None, num_classes=3)
    model.load_state_dict(new_network("ResNet18", 3, order.seed).state_dict())
    images = as_the_network_takes_them(place, order, [entry.path for entry in training])
    labels = torch.tensor([("OK", "SCRATCH", "SPOT").index(entry.defect_code) for entry in training])
    sgd = order.training_parameters.classification
    filters = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    optimizer = torch.optim.SGD(
        [{"params": filters, "weight_decay": sgd.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=sgd.base_lr,
        momentum=sgd.momentum,
    )
    # The order of additions differs, and normalising so few values magnifies what that does to the last bits at every step.
    for iteration, tolerance in enumerate((1e-4, 2e-3, 3e-2)):
        for group in optimizer.param_groups:
            group["lr"] = sgd.base_lr * (1 - iteration / sgd.max_iter) ** sgd.power
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), labels, label_smoothing=0.1)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        assert float.fromhex(losses(place)[iteration + 1]) == pytest.approx(loss.item(), rel=tolerance)


@pytest.mark.parametrize(("base_lr", "is_shallow"), [(0.049, False), (0.05, True)])
def test_only_at_a_high_rate_a_network_begins_as_its_shortcuts(
    place: Workplace, base_lr: float, is_shallow: bool
) -> None:
    with pytest.raises(JobStopped):
        train(an_order(base_lr=base_lr), Resources(), job_that_stops_in_the_loop(place.job(), iter([True])), SETTINGS)
    checkpoint = checkpoints.load(place.job().workspace, LossPart.CLASSIFICATION)
    assert checkpoint is not None
    assert (checkpoint.model["layer1.0.bn2.weight"].abs().max().item() < 0.5) is is_shallow


def test_the_same_order_gives_the_same_losses_and_weights_to_the_bit(tmp_path: Path) -> None:
    results = []
    for name in ("one", "other"):
        paint_codes(tmp_path / name / "images")
        place = Workplace(tmp_path / name)
        run(place, an_order(max_iter=6, augmentations=ALL))
        results.append((losses(place), weights_of(place), place.content(place.the(TrainingSucceeded).evaluation)))
    assert results[0] == results[1]
    assert len(results[0][0]) == 6


def test_another_seed_gives_other_losses(place: Workplace) -> None:
    run(place, an_order(seed=1))
    first = losses(place)
    train(an_order(seed=2), Resources(), Workplace(place.folder, place.reports).job(), SETTINGS)
    assert losses(place) != first


@pytest.mark.parametrize(
    ("stop_after", "cpu_cores", "batch_size"),
    [(1, 1, 8), (3, 1, 8), (6, 1, 8), (3, 2, 16)],  # the last one in two lanes
)
def test_a_stopped_training_goes_on_bit_for_bit(
    tmp_path: Path, stop_after: int, cpu_cores: int, batch_size: int
) -> None:
    order = an_order(max_iter=8, batch_size=batch_size, augmentations=ALL)
    paint_codes(tmp_path / "whole" / "images")
    paint_codes(tmp_path / "stopped" / "images")
    whole, stopped = Workplace(tmp_path / "whole"), Workplace(tmp_path / "stopped")
    run(whole, order, cpu_cores=cpu_cores)

    job = stopped.job(cpu_cores=cpu_cores)
    looks = iter([False] * (stop_after - 1) + [True])
    with pytest.raises(JobStopped):
        train(order, Resources(), job_that_stops_in_the_loop(job, looks), SETTINGS)
    assert not stopped.all(TrainingSucceeded)
    checkpoint = checkpoints.load(job.workspace, LossPart.CLASSIFICATION)
    assert checkpoint is not None
    assert checkpoint.iteration == stop_after
    run(stopped, order, cpu_cores=cpu_cores)
    assert losses(stopped) == losses(whole)
    assert weights_of(stopped) == weights_of(whole)
    assert stopped.the(TrainingSucceeded).figures == whole.the(TrainingSucceeded).figures


def test_the_last_weights_are_kept_beside_the_best_and_judged_too(place: Workplace) -> None:  # V-1
    order = an_order(max_iter=8)
    job = place.job()
    with pytest.raises(JobStopped):
        train(order, Resources(), job_that_stops_in_the_loop(job, iter([False, False, True])), SETTINGS)
    halfway = checkpoints.load(job.workspace, LossPart.CLASSIFICATION)
    assert halfway is not None
    head = {"fc.bias": torch.tensor([9.0, 0.0, 0.0]), "fc.weight": torch.zeros(3, 512)}  # everything is OK
    unbeaten = Best(iteration=3, score=9.0, weights={**halfway.model, **head})
    checkpoints.save(msgspec.structs.replace(halfway, best=unbeaten), job.workspace, LossPart.CLASSIFICATION)
    trained = run(place, order)
    (kept,) = trained.kept_weights
    assert (kept.part, kept.best_iteration, kept.last_iteration) == (LossPart.CLASSIFICATION, 3, 8)
    assert kept.best == trained.weights
    best, last = (load_file(place.artifacts.path(one)) for one in (kept.best, kept.last))
    assert best["fc.bias"].tolist() == [9.0, 0.0, 0.0]
    assert last["fc.bias"].tolist() != [9.0, 0.0, 0.0]
    judged = msgspec.msgpack.decode(place.content(trained.last_evaluation), type=Evaluation)
    assert trained.last_figures == figures_of(judged)
    assert {sample.predicted_index for sample in evaluation_of(place).samples} == {0}
    assert [one.scores for one in judged.samples] != [one.scores for one in evaluation_of(place).samples]


def test_a_last_iteration_that_is_the_best_is_kept_and_judged_once(place: Workplace) -> None:
    trained = run(place, an_order(max_iter=1))
    (kept,) = trained.kept_weights
    assert kept.best == kept.last == trained.weights
    assert (kept.best_iteration, kept.last_iteration) == (1, 1)
    assert (trained.last_evaluation, trained.last_figures) == (None, None)


def job_that_stops_in_the_loop(job: Job, looks: Iterator[bool]) -> Job:
    """Only the loop writes checkpoints, so only its looks count: those after the stages."""
    reported: list[AnyReport] = []

    def report(message: AnyReport) -> None:
        reported.append(message)
        job.report(message)

    def is_stopping() -> bool:
        stages = [message for message in reported if isinstance(message, StageFinished)]
        return len(stages) == 3 and next(looks)

    return replace(job, report=report, is_stopping=is_stopping)


def test_threads_and_precision_of_the_first_attempt_are_kept(place: Workplace) -> None:
    order = an_order(max_iter=4)
    with pytest.raises(JobStopped):
        train(order, Resources(), job_that_stops_in_the_loop(place.job(), iter([False, True])), SETTINGS)
    settings = TrainingSettings(precision=Precision.BFLOAT16, on_cpu=True)
    train(order, Resources(), place.job(attempt=2, cpu_cores=2), settings)
    assert "1 × CPU, float32" in place.the(TrainingSucceeded).device
    assert torch.get_num_threads() == 1


def test_bfloat16_trains_too_and_its_weights_are_float32(place: Workplace) -> None:
    run(place, an_order(max_iter=3), TrainingSettings(precision=Precision.BFLOAT16))
    assert "bfloat16" in place.the(TrainingSucceeded).device
    state = load_file(place.artifacts.path(place.the(TrainingSucceeded).weights))
    assert {tensor.dtype for tensor in state.values()} == {torch.float32, torch.int64}


def test_other_images_under_a_checkpoint_are_refused(place: Workplace) -> None:
    order = an_order(max_iter=4)
    with pytest.raises(JobStopped):
        train(order, Resources(), job_that_stops_in_the_loop(place.job(), iter([True])), SETTINGS)
    paint(place.images / "OK" / "000.png", seed=12345)
    with pytest.raises(ImagesChangedMeanwhile, match="changed while the training was interrupted"):
        train(order, Resources(), place.job(), SETTINGS)


def test_a_checkpoint_of_another_order_is_not_gone_on_from(place: Workplace) -> None:
    order = an_order(max_iter=4)
    with pytest.raises(JobStopped):
        train(order, Resources(), job_that_stops_in_the_loop(place.job(), iter([True])), SETTINGS)
    with pytest.raises(ImagesChangedMeanwhile):
        train(an_order(max_iter=5), Resources(), place.job(), SETTINGS)


@pytest.mark.parametrize("spoil", ["empty", "torn", "rotten", "pickle"])
def test_a_checkpoint_that_cannot_be_read_means_to_begin_anew(place: Workplace, spoil: str) -> None:
    order = an_order(max_iter=4)
    with pytest.raises(JobStopped):
        train(order, Resources(), job_that_stops_in_the_loop(place.job(), iter([False, True])), SETTINGS)
    file = checkpoints.file_of(place.job().workspace, LossPart.CLASSIFICATION)
    written = file.read_bytes()
    foreign = pickle.dumps(Path("/"), protocol=2)
    content = {
        "empty": b"",
        "torn": written[:5000],
        "rotten": written[:-9000] + bytes([written[-9000] ^ 1]) + written[-8999:],  # one bit in the last weights
        "pickle": foreign + hashlib.sha256(foreign).digest(),
    }[spoil]
    file.write_bytes(content)
    trained = run(place, order)
    assert sorted(losses(place)) == [1, 2, 3, 4]
    assert "going on after iteration" not in place.content(trained.log).decode()


def test_a_diverging_training_stops_and_names_the_iteration(place: Workplace) -> None:
    with pytest.raises(LossIsNotFinite, match=r"Lower base_lr") as refused:
        run(place, an_order(max_iter=30, base_lr=100.0))
    bad = int(refused.value.values["iteration"])
    assert 2 <= bad < 30
    reported = [loss for report in place.all(LossesMeasured) for loss in report.losses]
    assert all(map(math.isfinite, reported))
    assert checkpoints.load(place.job().workspace, LossPart.CLASSIFICATION) is None
    lines = loss_curve.file_of(place.job().workspace, LossPart.CLASSIFICATION).read_text().splitlines()
    assert all(math.isfinite(json.loads(line)["loss"]) for line in lines)
    assert len(lines) <= bad


# T-4
def test_each_stage_is_reported_with_its_time_and_counts(place: Workplace) -> None:
    paint(place.images / "OK" / "wide.png", seed=1, size=(50, 40))
    paint(place.images / "OK" / "whole.jpg", seed=2)
    (place.images / "SPOT" / "torn.jpg").write_bytes((place.images / "OK" / "whole.jpg").read_bytes()[:700])
    (place.images / "SPOT" / "empty.png").write_bytes(b"")
    paint(place.images / "TSFAS" / "special.png", seed=3)
    order = an_order(codes=("OK", "SCRATCH", "SPOT", "TSFAS"), class_count=3, augmentations=ALL)
    run(place, order)
    screening, split, augmentation = place.all(StageFinished)
    assert [stage.stage for stage in (screening, split, augmentation)] == list(StageName)
    assert (screening.image_count, screening.non_compliant_count) == (29, 1)
    assert (screening.damaged_count, screening.left_out_count) == (2, 1)
    assert screening.resolution_rule == ResolutionRule(exact_sizes=((40, 40),))  # W-10
    assert (split.training_count, split.validation_count) == (19, 6)
    assert all(stage.seconds > 0 for stage in (screening, split, augmentation))
    log = place.content(place.the(TrainingSucceeded).log).decode()
    assert "images:SPOT/torn.jpg is damaged and left out" in log
    assert "images:OK/wide.png does not comply: 50 x 40" in log
    with Image.open(io.BytesIO(place.content(augmentation.preview))) as preview:
        assert (preview.format, preview.size) == ("PNG", (5 * 36 - 4, 6 * 36 - 4))


def test_the_manifest_names_every_image_with_size_and_checksum(place: Workplace) -> None:
    run(place, an_order())
    entries = manifest_of(place)
    assert len(entries) == 24
    for entry in entries:
        content = (place.images / entry.path).read_bytes()
        assert (entry.size, entry.checksum) == (len(content), hashlib.sha256(content).hexdigest())
        assert entry.defect_code == Path(entry.path).parent.name
    assert {entry.split for entry in entries} == {"training", "validation"}


# W-10
def test_the_packages_rule_goes_before_the_most_frequent_size(place: Workplace) -> None:
    for code in ("OK", "SCRATCH", "SPOT"):
        for number in range(3):
            paint(place.images / code / f"large-{number}.png", seed=number, size=(64, 64))
    rule = ResolutionRule(min_width=60, max_width=70, min_height=60, max_height=70)
    result = run(place, an_order(resolution_rule=rule))
    assert result.resolution_rule == rule
    assert result.figures.non_compliant_count == 24


def test_without_screening_every_size_trains(place: Workplace) -> None:
    paint(place.images / "OK" / "wide.png", seed=1, size=(50, 40))
    result = run(place, an_order(resolution_screening=False))
    assert result.resolution_rule.is_empty
    assert place.all(StageFinished)[0].non_compliant_count == 0


# W-8
def test_images_of_one_group_and_equal_images_stay_on_one_side(place: Workplace) -> None:
    for code in ("OK", "SCRATCH", "SPOT"):
        rows = [f"{number:03}.png,{code} {number // 3}" for number in range(6)]
        (place.images / code / "groups.csv").write_text("\n".join(["file,group", *rows]))
        (place.images / code / "007.png").write_bytes((place.images / code / "006.png").read_bytes())
    run(place, an_order(split_ratio=0.5))
    sides: dict[str, set[str]] = {}
    for entry in manifest_of(place):
        number = int(Path(entry.path).stem)
        group = entry.checksum if number > 5 else f"{entry.defect_code} {number // 3}"
        sides.setdefault(group, set()).add(entry.split)
    assert len(sides) == 9
    assert all(len(side) == 1 for side in sides.values())


# W-8
def test_a_regular_expression_over_the_file_name_groups_across_codes(place: Workplace) -> None:
    run(place, an_order(split_ratio=0.5, group_pattern=r"^00(\d)"))
    sides: dict[str, set[str]] = {}
    for entry in manifest_of(place):
        sides.setdefault(Path(entry.path).stem, set()).add(entry.split)
    assert len(sides) == 8
    assert all(len(side) == 1 for side in sides.values())


def test_a_class_without_a_usable_image_is_refused_with_the_reason(place: Workplace) -> None:
    for file in (place.images / "SPOT").iterdir():
        file.write_bytes(b"")
    with pytest.raises(ClassWithoutImages, match="“SPOT” is left for training: 8 are damaged, 0 do not comply"):
        run(place, an_order())


def test_a_folder_of_an_unlisted_code_is_refused(place: Workplace) -> None:
    paint(place.images / "NEW" / "a.png", seed=1)
    with pytest.raises(DefectCodeNotInList, match=r"images:NEW.*“NEW”"):
        run(place, an_order())


def test_one_part_for_each_code_leaves_nothing_to_validate(place: Workplace) -> None:
    with pytest.raises(NothingToValidate):
        run(place, an_order(group_pattern=r"\."))


def test_a_job_that_asks_for_a_gpu_does_not_run_without_one(place: Workplace) -> None:
    with pytest.raises(GpuIsMissing, match="asks for 1 GPU"):
        train(an_order(), Resources(gpu_cards=1), place.job(), SETTINGS)


def test_a_gpu_is_taken_where_there_is_one_and_nobody_wants_the_cpu() -> None:
    assert device_for(Resources(), has_gpu=True, on_cpu=False).type == "cuda"
    assert device_for(Resources(), has_gpu=True, on_cpu=True).type == "cpu"
    assert device_for(Resources(), has_gpu=False, on_cpu=False).type == "cpu"
    with pytest.raises(GpuIsMissing):
        device_for(Resources(gpu_cards=1), has_gpu=False, on_cpu=False)


def test_the_decoded_images_of_an_earlier_job_are_used_again(place: Workplace) -> None:
    run(place, an_order())
    decoded = {folder: folder.stat().st_ino for folder in (place.folder / "decoded").iterdir()}
    assert len(decoded) == 3  # one for each code folder
    paint(place.images / "OK" / "new.png", seed=5)
    run(place, an_order())
    after = {folder: folder.stat().st_ino for folder in (place.folder / "decoded").iterdir()}
    assert decoded.items() <= after.items()
    assert len(after) == 4


# R-1, I-6
def test_images_are_fitted_and_standardised_as_ordered_to_learn_to_validate_and_to_report(place: Workplace) -> None:
    order = msgspec.structs.replace(an_order(max_iter=3, batch_size=12, split_ratio=0.5), input=OF_ITS_OWN)
    result = run(place, order)
    training = [entry for entry in manifest_of(place) if entry.split == "training"]
    assert len(training) == 12  # so every batch is the whole split, in whichever order
    fresh = torchvision.models.resnet18(weights=None, num_classes=3)
    fresh.load_state_dict(new_network("ResNet18", 3, order.seed).state_dict())
    labels = torch.tensor([("OK", "SCRATCH", "SPOT").index(entry.defect_code) for entry in training])
    logits = fresh(as_the_network_takes_them(place, order, [entry.path for entry in training]))
    first = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.1).item()
    assert float.fromhex(losses(place)[1]) == pytest.approx(first, rel=1e-4)

    samples = evaluation_of(place).samples
    trained = torchvision.models.resnet18(weights=None, num_classes=3).eval()
    trained.load_state_dict(load_file(place.artifacts.path(result.weights)))
    with torch.inference_mode():
        scores = trained(as_the_network_takes_them(place, order, [one.folder.path for one in samples])).softmax(1)
    np.testing.assert_allclose([sample.scores for sample in samples], scores, atol=1e-4)
    truth = torch.tensor([sample.true_index for sample in samples])
    best = {one.iteration: one for one in place.all(ValidationMeasured)}[result.kept_weights[0].best_iteration]
    assert best.loss == pytest.approx(torch.nn.functional.nll_loss(scores.log(), truth).item(), rel=1e-3)


#
def test_the_report_is_of_the_validation_split_and_agrees_with_its_samples(place: Workplace) -> None:
    paint(place.images / "OK" / "wide.png", seed=1, size=(50, 40))
    result = run(place, an_order(max_iter=20))
    evaluation = evaluation_of(place)
    judged = [sample for sample in evaluation.samples if sample.state is SampleState.JUDGED]
    assert {sample.folder.path for sample in judged} == {
        entry.path for entry in manifest_of(place) if entry.split == "validation"
    }
    assert evaluation.defect_codes == ("OK", "SCRATCH", "SPOT")
    for sample in judged:
        assert sum(sample.scores) == pytest.approx(1, abs=1e-5)
        assert sample.predicted_index == max(range(3), key=lambda index: sample.scores[index])
        assert evaluation.defect_codes[sample.true_index] == Path(sample.folder.path).parent.name
    correct = sum(sample.true_index == sample.predicted_index for sample in judged)
    assert result.figures.accuracy == correct / len(judged)
    assert result.figures == figures_of(evaluation)
    assert result.figures.non_compliant_count == 1
    assert (result.figures.accuracy or 0) > 0.6


def test_the_weights_are_those_of_the_best_validation(place: Workplace) -> None:
    result = run(place, an_order(max_iter=20))
    validations = place.all(ValidationMeasured)
    assert validations[-1].iteration == 20
    assert len(validations) <= 20
    best = max(validations, key=lambda v: ((v.recall or 0) + (v.accuracy or 0), v.iteration))
    assert result.figures.accuracy == pytest.approx(best.accuracy)
    assert result.figures.recall == pytest.approx(best.recall)
    assert f"the weights of iteration {best.iteration} are the best" in place.content(result.log).decode()


# W-11
def test_a_retraining_starts_from_the_given_weights(place: Workplace) -> None:
    result = run(place, an_order(max_iter=20))
    fresh = float.fromhex(losses(place)[1])
    run(place, an_order(max_iter=2, initial_weights=result.weights))
    assert float.fromhex(losses(place)[1]) < 0.6 * fresh


def test_every_point_is_in_the_metrics_file_with_its_rate(place: Workplace) -> None:
    order = an_order(max_iter=7)
    run(place, order)
    lines = [json.loads(line) for line in place.content(place.the(TrainingSucceeded).losses).splitlines()]
    assert [line["iteration"] for line in lines] == list(range(1, 8))
    sgd = order.training_parameters.classification
    for line in lines:
        assert line["learning_rate"] == sgd.rate_at(line["iteration"] - 1)
    reported = [iteration for report in place.all(LossesMeasured) for iteration in report.iterations]
    assert reported == list(range(1, 8))


def test_progress_rises_from_nothing_to_almost_all(place: Workplace) -> None:
    run(place, an_order(max_iter=4))
    shares = [progress.share for progress in place.told]
    assert VALIDATING in {progress.activity for progress in place.told}  # which may take long, and is a sign of life
    assert shares == sorted(shares)
    assert shares[0] < 0.01
    assert 0.9 < shares[-1] < 1


AT_A_TENTH = SgdParameters(base_lr=0.1, batch_size=4, max_iter=10, lr_policy=LearningRatePolicy.FIXED)


@dataclass
class OfFigures:
    """A network to validate whose figures are known."""

    figures: ValidationFigures
    part: LossPart = LossPart.CLASSIFICATION
    sgd: SgdParameters = AT_A_TENTH
    cost: float = 1.0

    def validated(self, *_: object) -> ValidationFigures:
        return self.figures


def scored(score: float, loss: float = 0.5) -> Any:
    return OfFigures(ValidationFigures(score=score, loss=loss, accuracy=0.25, recall=0.75))


HALFWAY = Progress(share=0.5, activity=TRAINING)


# V-1
def test_the_best_weights_are_a_copy_and_of_equally_good_ones_the_later_count(place: Workplace) -> None:
    model = nn.Linear(1, 1, bias=False)
    best = None
    for iteration, score in enumerate((1.0, 1.5, 1.5, 1.25), 1):
        nn.init.constant_(model.weight, iteration)
        best = training._validate(scored(score), model, CPU, iteration, best, place.job(), HALFWAY)
    assert best is not None
    assert (best.iteration, best.score, best.weights["weight"].item()) == (3, 1.5, 3.0)
    told = place.all(ValidationMeasured)
    assert [(one.iteration, one.accuracy, one.recall, one.loss) for one in told] == [
        (iteration, 0.25, 0.75, 0.5) for iteration in range(1, 5)
    ]


def test_a_validation_that_is_not_finite_ends_the_training(place: Workplace) -> None:
    with pytest.raises(LossIsNotFinite, match=r"iteration 7 is not a finite number \(learning rate 0\.1\)"):
        training._validate(
            scored(1.0, loss=math.nan),
            nn.Linear(1, 1),
            CPU,
            7,
            None,
            place.job(),
            Progress(share=0.5, activity=TRAINING),
        )
    assert not place.all(ValidationMeasured)


# T-5
@pytest.mark.parametrize(
    ("max_iter", "batch_size", "image_count", "expected"),
    [
        (1, 4, 1000, {1}),
        (100, 10, 100, {33, 67, 100}),  # judged three times, 300 images cost as much as learning from a tenth of 1000
        (100, 10, 1000, {100}),
        (40_000, 256, 100, {2000 * number for number in range(1, 21)}),
        (7, 64, 1, {1, 2, 3, 4, 5, 6, 7}),
    ],
)
def test_validations_take_a_tenth_of_the_time_at_most_and_come_evenly_to_the_last_iteration(
    max_iter: int, batch_size: int, image_count: int, expected: set[int]
) -> None:
    sgd = SgdParameters(base_lr=0.1, batch_size=batch_size, max_iter=max_iter)
    assert training._validation_iterations(sgd, image_count) == expected


def test_the_progress_counts_over_both_networks_and_tells_what_is_left() -> None:
    first, second = scored(0), scored(0)
    second.cost, second.part = 3.0, LossPart.SEGMENTATION
    clock = Clock(TrainingSettings(), [first, second])
    clock.begin(first, 2)
    clock.started -= 30.0
    early = clock.progress(5, 0.25)
    assert (early.activity, early.iteration, early.loss) == (TRAINING, 5, 0.25)
    assert early.share == pytest.approx(share_of_whole(5 / 40))
    assert early.seconds_left == pytest.approx(10 * 35, rel=0.01)  # three iterations took half a minute
    clock.begin(second, 0)
    clock.started -= 30.0
    late = clock.progress(5, 0.5)
    assert (late.activity, late.iteration) == (TRAINING_SEGMENTATION, 15)
    assert late.share == pytest.approx(share_of_whole(25 / 40))
    assert late.seconds_left == pytest.approx(30, rel=0.01)


def test_a_checkpoint_is_due_by_time_and_by_iterations_where_so_set() -> None:
    part = scored(0)
    clock = Clock(TrainingSettings(checkpoint_every_seconds=60.0), [part])
    clock.begin(part, 0)
    assert not clock.is_checkpoint_due(1)
    clock.saved -= 61.0
    assert clock.is_checkpoint_due(2)
    assert not clock.is_checkpoint_due(3), "the minute begins anew"
    every = Clock(TrainingSettings(checkpoint_every_iterations=3), [part])
    every.begin(part, 0)
    assert [done for done in range(1, 10) if every.is_checkpoint_due(done)] == [3, 6, 9]


# T-6
def test_random_numbers_go_on_where_they_stopped(place: Workplace) -> None:
    """No network here draws any while it learns; one that did would go on as if nothing had happened."""
    order, drawn = an_order(max_iter=4), list[float]()

    def drawing(job: Job, looks: Iterator[bool]) -> Job:
        stopping = job_that_stops_in_the_loop(job, looks)

        def is_stopping() -> bool:
            is_it = stopping.is_stopping()
            drawn.append(torch.rand(1).item())
            return is_it

        return replace(stopping, is_stopping=is_stopping)

    with pytest.raises(JobStopped):
        train(order, Resources(), drawing(place.job(), iter([False, True])), SETTINGS)
    checkpoint = checkpoints.load(place.job().workspace, LossPart.CLASSIFICATION)
    assert checkpoint is not None
    before = torch.Generator()
    before.set_state(checkpoint.random_state)
    expected = torch.rand(2, generator=before).tolist()
    assert torch.equal(checkpoint.random_state, torch.get_rng_state())

    torch.manual_seed(99)  # as in another process
    drawn.clear()
    train(order, Resources(), drawing(place.job(), iter([False] * 99)), SETTINGS)
    assert [one for one in drawn if one in expected] == expected
