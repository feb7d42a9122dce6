"""Predictions and exports: every image read once, judged as each version was trained; the export holds what the line needs."""

import hashlib
import io
import itertools
import re
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

from domain.artifacts import Artifact
from domain.data_paths import FolderName
from domain.evaluation import Evaluation, SampleState
from domain.evaluation_figures import figures_of
from domain.messages import (
    ExportBuilt,
    ExportOrder,
    JobKind,
    ManifestEntry,
    PredictionOrder,
    PredictionSucceeded,
    Resources,
    SegmentationToPredict,
    VersionToPredict,
)
from domain.model_packages import NetworkInput, ResolutionRule
from domain.training_parameters import PredictionParameters
from gpu_worker import native_library, native_prediction, native_versions, prediction
from gpu_worker.exports import build_export
from gpu_worker.images import FoundImage, ReadImage, decode, read_content
from gpu_worker.jobs import Job, JobStopped, Progress
from gpu_worker.native_agreement import PackageDisagrees
from gpu_worker.native_library import LibraryIsMissing, NativeModel
from gpu_worker.native_networks import Operation, operations_of
from gpu_worker.networks import WeightsOfOtherCodes, load_trained_weights, new_network, save_weights
from gpu_worker.ports import FolderNotFound
from gpu_worker.prediction import PREDICTING, NothingToPredict, predict
from tests.gpu_worker.workplace import ROOT, Workplace, paint, paint_codes, paint_defects

CODES = ("OK", "SCRATCH", "SPOT")


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    paint_codes(tmp_path / "images", count=5)
    return Workplace(tmp_path)


def a_version(
    place: Workplace, *, label: str = "v1.01", seed: int = 1, side: int = 32, **changes: Any
) -> VersionToPredict:
    file = place.folder / "weights"
    save_weights(new_network("ResNet18", 3, seed).state_dict(), file, "ResNet18", CODES)
    version = VersionToPredict(
        label=label,
        network="ResNet18",
        defect_codes=CODES,
        input=NetworkInput(width=side, height=side),
        resolution_rule=ResolutionRule(exact_sizes=((40, 40),)),
        weights=place.artifacts.keep(file),
    )
    return msgspec.structs.replace(version, **changes)


def run(
    place: Workplace, *versions: VersionToPredict, screening: bool = True, batch_size: int = 4, cpu_cores: int = 1
) -> PredictionSucceeded:
    order = PredictionOrder(
        versions=versions,
        data_paths=(FolderName(ROOT, ""),),
        parameters=PredictionParameters(batch_size=batch_size),
        resolution_screening=screening,
    )
    predict(order, Resources(), place.job(JobKind.PREDICTION, cpu_cores=cpu_cores))
    return place.the(PredictionSucceeded)


def evaluation(place: Workplace, artifact: Artifact) -> Evaluation:
    return msgspec.msgpack.decode(place.content(artifact), type=Evaluation)


def opened_image(file: Path) -> Image.Image:
    with Image.open(file) as image:
        return image.convert("RGB")


def test_scores_are_those_of_the_network_computed_one_image_at_a_time(place: Workplace) -> None:
    version = a_version(place)
    (result,) = run(place, version).results
    model, _ = load_trained_weights(place.artifacts.path(version.weights), "ResNet18", CODES)
    samples = evaluation(place, result.evaluation).samples
    assert len(samples) == 15
    for sample in samples:
        image = opened_image(place.images / sample.folder.path).resize((32, 32), Image.Resampling.BILINEAR)
        scaled = (np.asarray(image) / 255 - np.array(version.input.mean)) / np.array(version.input.deviation)
        with torch.inference_mode():
            scores = model(torch.tensor(scaled).permute(2, 0, 1)[None].float()).softmax(1)[0]
        assert sample.scores == pytest.approx(scores.tolist(), abs=1e-4)
        assert sample.predicted_index == int(scores.argmax())
        assert sample.checksum == hashlib.sha256((place.images / sample.folder.path).read_bytes()).hexdigest()


def test_the_batch_size_changes_no_verdict(place: Workplace) -> None:
    version = a_version(place)
    one, all_at_once = (run(place, version, batch_size=size).results[0].figures for size in (1, 100))
    assert one == all_at_once


# P-6
def test_a_comparison_reads_every_image_once_and_judges_it_with_both(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    decoded: list[bytes] = []

    def reading(found: FoundImage) -> tuple[ReadImage, bytes]:
        read.append(found.folder.path)
        return read_content(found)

    def decoding(content: bytes) -> Image.Image:
        decoded.append(content)
        return decode(content)

    monkeypatch.setattr(prediction, "read_content", reading)
    monkeypatch.setattr(prediction, "decode", decoding)
    first, second = a_version(place), a_version(place, label="v1.02", seed=2, side=64)
    results = run(place, first, second).results
    assert [result.label for result in results] == ["v1.01", "v1.02"]
    samples = [evaluation(place, result.evaluation).samples for result in results]
    assert [sample.folder for sample in samples[0]] == [sample.folder for sample in samples[1]]
    assert samples[0][0].scores != samples[1][0].scores
    assert sorted(read) == sorted(sample.folder.path for sample in samples[0])
    assert len(decoded) == len(samples[0])


# W-10, P-4
def test_images_outside_the_rule_are_counted_apart_for_each_version(place: Workplace) -> None:
    paint(place.images / "OK" / "wide.png", seed=1, size=(50, 40))
    upright = ResolutionRule(exact_sizes=((40, 40), (40, 50)))  # which the wide one would fit if it were turned
    strict = a_version(place, resolution_rule=upright)
    open_to_all = a_version(place, label="v1.02", resolution_rule=ResolutionRule())
    results = run(place, strict, open_to_all).results
    assert [result.figures.non_compliant_count for result in results] == [1, 0]
    assert [result.figures.sample_count for result in results] == [15, 16]
    (sample,) = (
        sample
        for sample in evaluation(place, results[0].evaluation).samples
        if sample.state is SampleState.NON_COMPLIANT
    )
    assert (sample.folder.path, sample.width, sample.height, sample.scores) == ("OK/wide.png", 50, 40, ())
    assert run(place, strict, screening=False).results[0].figures.non_compliant_count == 0


# P-4
def test_an_image_that_cannot_be_decoded_is_damaged_for_every_version(place: Workplace) -> None:
    content = paint(place.images / "OK" / "whole.jpg", seed=1, size=(50, 40)).read_bytes()
    (place.images / "OK" / "torn.jpg").write_bytes(
        content[:600]
    )  # its header is sound, and says that it does not comply
    strict, open_to_all = a_version(place), a_version(place, label="v1.02", resolution_rule=ResolutionRule())
    figures = [result.figures for result in run(place, strict, open_to_all).results]
    assert [(one.sample_count, one.non_compliant_count, one.damaged_count) for one in figures] == [
        (15, 1, 1),
        (16, 0, 1),
    ]
    assert [one.left_out_count for one in figures] == [0, 0]


def test_images_that_go_with_their_folder_are_not_called_damaged(place: Workplace) -> None:
    version = a_version(place)

    def tell(progress: Progress) -> None:
        if progress.activity == PREDICTING:
            shutil.rmtree(place.images, ignore_errors=True)

    order = PredictionOrder(
        versions=(version,),
        data_paths=(FolderName(ROOT, ""),),
        parameters=PredictionParameters(batch_size=1),
        resolution_screening=False,
    )
    with pytest.raises(FolderNotFound):
        predict(order, Resources(), replace(place.job(JobKind.PREDICTION), tell=tell))
    assert not place.reports


def test_images_whose_storage_was_away_for_a_moment_are_judged_all_the_same(place: Workplace) -> None:
    version, elsewhere = a_version(place), place.folder / "elsewhere"
    whole = verdicts(place, run(place, version))
    moments = {0.0: "away", 14 / 15: "back"}

    def tell(progress: Progress) -> None:
        if progress.activity == PREDICTING:
            match moments.pop(progress.share, ""):
                case "away":
                    place.images.rename(elsewhere)
                case "back":
                    elsewhere.rename(place.images)

    order = PredictionOrder(
        versions=(version,),
        data_paths=(FolderName(ROOT, ""),),
        parameters=PredictionParameters(batch_size=1),
        resolution_screening=False,
    )
    predict(order, Resources(), replace(place.job(JobKind.PREDICTION), tell=tell))
    assert not moments
    again = place.the(PredictionSucceeded)
    assert (again.results[0].figures.sample_count, again.results[0].figures.damaged_count) == (15, 0)
    assert verdicts(place, again) == whole


def verdicts(place: Workplace, predicted: PredictionSucceeded) -> dict[FolderName, int]:
    samples = evaluation(place, predicted.results[0].evaluation).samples
    return {sample.folder: sample.predicted_index for sample in samples}


def test_damaged_images_and_foreign_codes_are_counted_apart(place: Workplace) -> None:
    content = paint(place.images / "OK" / "whole.jpg", seed=1, size=(40, 40)).read_bytes()
    (place.images / "SPOT" / "torn.jpg").write_bytes(content[:600])
    (place.images / "SPOT" / "empty.jpg").write_bytes(b"")
    paint(place.images / "TSFAS" / "special.png", seed=2)
    result = run(place, a_version(place))
    figures = result.results[0].figures
    assert (figures.sample_count, figures.damaged_count, figures.left_out_count) == (16, 2, 1)
    assert figures == figures_of(evaluation(place, result.results[0].evaluation), left_out_count=1)
    entries = [msgspec.json.decode(line, type=ManifestEntry) for line in place.content(result.manifest).splitlines()]
    assert len(entries) == 16
    assert {entry.split for entry in entries} == {""}
    assert "SPOT/torn.jpg is damaged" in place.content(result.log).decode()


def measured(monkeypatch: pytest.MonkeyPatch, *seconds: float) -> None:
    """However few images there are, the engines are measured; the library takes the first time, torch the second, and so on."""
    times = itertools.cycle(seconds)
    monkeypatch.setattr(prediction, "FEWEST_IMAGES", 1)
    monkeypatch.setattr(native_prediction, "_measured", lambda act: (act(), next(times)))


#
def test_without_a_gpu_the_native_library_predicts_where_it_is_faster(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = a_version(place), a_version(place, label="v1.02", seed=2, side=64)
    by_torch = run(place, first, second).results
    measured(monkeypatch, 1, 2, 4, 3)
    by_library = run(place, first, second).results
    log = place.content(place.the(PredictionSucceeded).log).decode()
    assert "the native library predicts v1.01: the native library takes 1000.0 ms an image, torch 2000.0" in log
    assert "torch predicts v1.02: the native library takes 4000.0 ms an image, torch 3000.0" in log
    for one, other in zip(by_library, by_torch, strict=True):
        assert one.figures == other.figures
        for sample, expected in zip(
            *(evaluation(place, result.evaluation).samples for result in (one, other)), strict=True
        ):
            assert sample.predicted_index == expected.predicted_index
            assert sample.scores == pytest.approx(expected.scores, abs=1e-4)
    assert evaluation(place, by_library[0].evaluation) != evaluation(place, by_torch[0].evaluation)
    assert evaluation(place, by_library[1].evaluation) == evaluation(place, by_torch[1].evaluation)
    assert not list(place.folder.rglob("models.xbin"))


# W-4, X-1
def test_the_native_library_sees_the_special_codes_that_torch_sees(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint_defects(place.images, count=2, codes=(*CODES, "TSFAS"))
    file = place.folder / "unet"
    network = new_network("UNet-ResNet18", 4, 1)
    network.head.bias.data[4] += 1  # type: ignore[operator,union-attr,index] # some images are given the special code
    save_weights(network.state_dict(), file, "UNet-ResNet18", (*CODES, "TSFAS"))
    segmentation = SegmentationToPredict(
        network="UNet-ResNet18",
        defect_codes=(*CODES, "TSFAS"),
        input=NetworkInput(width=64, height=96),
        special_code_min_pixels=8,
        weights=place.artifacts.keep(file),
    )
    version = a_version(place, segmentation=segmentation, resolution_rule=ResolutionRule())
    by_torch = evaluation(place, run(place, version).results[0].evaluation)
    measured(monkeypatch, 1, 2)
    by_library = evaluation(place, run(place, version).results[0].evaluation)
    assert "the native library predicts" in place.content(place.the(PredictionSucceeded).log).decode()
    assert {sample.predicted_index for sample in by_torch.samples} >= {3}
    for sample, expected in zip(by_library.samples, by_torch.samples, strict=True):
        assert sample.predicted_index == expected.predicted_index
        assert sample.segmented is not None
        assert expected.segmented is not None
        assert sample.segmented.marked_pixels == expected.segmented.marked_pixels
        pixels, expected_pixels = sample.segmented.predicted_pixels, expected.segmented.predicted_pixels
        assert pixels == pytest.approx(expected_pixels, abs=64 * 96 / 1000)
        assert sample.segmented.special_confidence == pytest.approx(expected.segmented.special_confidence, abs=1e-3)


#
def test_torch_predicts_where_the_native_library_is_missing_or_disagrees(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = a_version(place)
    expected = run(place, version).results
    measured(monkeypatch, 1, 2)
    with monkeypatch.context() as patched:
        patched.setattr(native_versions, "operations_of", spoilt)
        assert run(place, version).results == expected
    assert "torch predicts v1.01, because the native library does not agree" in place.job().log_file.read_text()
    with monkeypatch.context() as patched:
        patched.setattr(native_library, "BUILT", place.folder / "none.so")
        patched.setattr(native_library, "PREBUILT", place.folder / "none.so")
        assert run(place, version).results == expected
        assert "because the native library cannot: The native library is not on" in place.job().log_file.read_text()
        (place.folder / "none.so").write_bytes(b"no library")
        assert run(place, version).results == expected
        assert "none.so: " in place.job().log_file.read_text()


# P-6
@pytest.mark.parametrize("by_library", [False, True])
def test_threads_and_batches_change_no_bit_and_no_place(
    place: Workplace, monkeypatch: pytest.MonkeyPatch, by_library: bool
) -> None:
    content = paint(place.images / "SPOT" / "whole.jpg", seed=1, size=(40, 40)).read_bytes()
    (place.images / "SPOT" / "torn.jpg").write_bytes(content[:600])
    paint(place.images / "OK" / "wide.png", seed=1, size=(50, 40))
    measured(monkeypatch, *((1, 2) if by_library else (2, 1)))
    versions = a_version(place), a_version(place, label="v1.02", seed=2, side=64)
    alone = run(place, *versions, batch_size=3)
    together = run(place, *versions, batch_size=3, cpu_cores=4)
    assert "the native library predicts" in place.content(alone.log).decode() or not by_library
    assert together.results == alone.results  # artifacts are named by their content
    assert together.manifest == alone.manifest


def spoilt(model: nn.Module) -> tuple[Operation, ...]:
    """The operations of a network that computes something else."""
    *before, head = operations_of(model)
    bias = head.bias.copy()
    bias[0] += 0.01
    return (*before, head._replace(bias=bias))


def test_nothing_to_judge_is_refused_with_the_counts(place: Workplace) -> None:
    version = a_version(place, resolution_rule=ResolutionRule(exact_sizes=((9, 9),)))
    with pytest.raises(NothingToPredict, match="Of 15 images none could be judged: 0 are damaged, 15 do not comply"):
        run(place, version)


def test_weights_of_other_codes_predict_nothing(place: Workplace) -> None:
    with pytest.raises(WeightsOfOtherCodes):
        run(place, a_version(place, defect_codes=("OK", "SPOT", "SCRATCH")))


def test_a_shutdown_stops_a_prediction(place: Workplace) -> None:
    version = a_version(place)
    place.stop_after = 10
    with pytest.raises(JobStopped):
        run(place, version)
    assert not place.reports


# P-2
def test_a_prediction_tells_how_far_it_is(place: Workplace) -> None:
    run(place, a_version(place))
    shares = [told.share for told in place.told if told.activity == PREDICTING]
    assert shares == [number / 15 for number in range(15)]


def exported(place: Workplace, order: ExportOrder) -> bytes:
    job: Job = place.job(JobKind.EXPORT)
    build_export(order, job)
    return place.content(place.the(ExportBuilt).package)


#
def test_an_export_holds_what_a_machine_needs_and_says_how_to_use_it(place: Workplace) -> None:
    rule = ResolutionRule(min_width=10, min_height=20, max_width=50, max_height=40)
    version = a_version(place, resolution_rule=rule)
    report = run(place, version).results[0]
    order = ExportOrder(model_name="panel-a", version=version, evaluation=report.evaluation, accuracy=0.91, recall=0.88)
    package = exported(place, order)
    unpacked = place.folder / "unpacked"
    with zipfile.ZipFile(io.BytesIO(package)) as zipped:
        assert zipped.namelist() == [
            "models.xbin", "libCsotArtifact.so", "config.yaml", "csot.h", "example.c", "Example.cs", "README.md"
        ]  # fmt: skip
        zipped.extractall(unpacked)
    config = yaml.safe_load((unpacked / "config.yaml").read_text())
    assert config.pop("model") == {
        "name": "panel-a",
        "version": "v1.01",
        "network": "ResNet18",
        "input": {"width": 32, "height": 32, "mean": [0.485, 0.456, 0.406], "deviation": [0.229, 0.224, 0.225]},
        "classes": ["OK", "SCRATCH", "SPOT"],
        "special_codes": [],
        "resolution_rule": {"min_width": 10, "min_height": 20, "max_width": 50, "max_height": 40},
        "accuracy": 0.91,
        "recall": 0.88,
    }
    assert config == {
        "threads": 1,
        "min_confidence": 0.0,
        "unknown_code": "UNKNOWN",
        "resolution_screening": True,
        "segmentation": True,
        "instruction_set": "auto",
    }
    guide = (unpacked / "README.md").read_text()
    assert guide.startswith("# panel-a v1.01")
    assert "32 × 32" in guide
    assert re.search(r"glibc 2\.\d+ or newer", guide)
    assert "{" not in guide
    with NativeModel(unpacked / "models.xbin", unpacked / "config.yaml", unpacked / "libCsotArtifact.so") as opened:
        assert opened.codes == CODES
        for sample in evaluation(place, report.evaluation).samples:
            (predicted,) = opened.predict([np.asarray(opened_image(place.images / sample.folder.path))])
            assert predicted.probabilities == pytest.approx(sample.scores, abs=1e-4)
            assert predicted.code_index == sample.predicted_index
    log = place.job(JobKind.EXPORT).log_file.read_text()
    assert "compared the package with the platform: 15 images, 0 other codes" in log
    assert exported(place, order) == package  # equal versions give equal bytes


#
def test_an_export_that_predicts_otherwise_is_refused(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    version = a_version(place)
    order = ExportOrder(model_name="panel-a", version=version, evaluation=run(place, version).results[0].evaluation)

    monkeypatch.setattr(native_versions, "operations_of", spoilt)
    with pytest.raises(PackageDisagrees, match=r"of 15 images \d+ got another code, and probabilities differ by up to"):
        exported(place, order)
    assert not place.all(ExportBuilt)


#
def test_an_export_whose_images_are_gone_is_compared_on_made_up_pictures(place: Workplace) -> None:
    version = a_version(place)
    order = ExportOrder(model_name="panel-a", version=version, evaluation=run(place, version).results[0].evaluation)
    for file in place.images.glob("*/*.png"):
        paint(file, seed=1, level=9)  # another image of the same name is none of the report
    exported(place, order)
    log = place.job(JobKind.EXPORT).log_file.read_text()
    assert "the file changed while it was being used" in log
    assert "made-up pictures are compared instead" in log
    assert "compared the package with the platform: 8 images, 0 other codes" in log


#
def test_without_a_native_library_nothing_is_exported(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_library, "BUILT", place.folder / "libCsotArtifact.so")
    monkeypatch.setattr(native_library, "PREBUILT", place.folder / "libCsotArtifact.so")
    with pytest.raises(LibraryIsMissing, match="make native"):
        exported(place, ExportOrder(model_name="panel-a", version=a_version(place)))


def test_an_export_of_weights_that_do_not_belong_to_the_codes_is_refused(place: Workplace) -> None:
    with pytest.raises(WeightsOfOtherCodes):
        exported(place, ExportOrder(model_name="panel-a", version=a_version(place, defect_codes=("A", "B", "C"))))
