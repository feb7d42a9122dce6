"""A training that starts from a version's weights: what it takes, what it makes anew, and when it does not begin (W-11, W-12)."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from domain.artifacts import Artifact
from domain.messages import LossPart, Resources, TrainingOrder, TrainingSucceeded
from domain.training_parameters import SgdParameters
from gpu_worker.networks import (
    InitialWeightsAreDamaged,
    InitialWeightsAreGone,
    TensorMissing,
    WeightsUnreadable,
    new_network,
    save_weights,
)
from gpu_worker.settings import Precision, TrainingSettings
from gpu_worker.training import train
from tests.gpu_worker.workplace import Workplace, an_order, paint_codes, paint_defects

CODES = ("OK", "SCRATCH", "SPOT")
STANDING_STILL = 1e-12
"""At such a rate a run of some iterations ends with the weights that it began with."""
UNET = SgdParameters(base_lr=STANDING_STILL, batch_size=4, max_iter=1)


def trained(place: Workplace, order: TrainingOrder) -> TrainingSucceeded:
    train(order, Resources(), place.job(), TrainingSettings(precision=Precision.FLOAT32))
    shutil.rmtree(place.job().workspace)
    return place.the(TrainingSucceeded)


def state(place: Workplace, weights: Artifact | None) -> dict[str, Tensor]:
    assert weights is not None
    return load_file(place.artifacts.path(weights))


def same(one: Tensor, other: Tensor) -> bool:
    """But for what a run that stands still does to the last bits."""
    return torch.allclose(one, other, rtol=0, atol=1e-6)


def first_loss(place: Workplace, result: TrainingSucceeded) -> float:
    return float(json.loads(place.content(result.losses).splitlines()[0])["loss"])


def log_of(place: Workplace, result: TrainingSucceeded) -> str:
    return place.content(result.log).decode()


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workplace, TrainingSucceeded]:
    """A model that has learnt something, and where it was trained."""
    folder = tmp_path_factory.mktemp("version")
    paint_codes(folder / "images")
    place = Workplace(folder)
    return place, trained(place, an_order(max_iter=24))


def again(version: tuple[Workplace, TrainingSucceeded], folder: Path) -> Workplace:
    """Another place with the version's weights."""
    place = Workplace(folder)
    shutil.copytree(version[0].artifacts.folder, place.artifacts.folder)
    return place


def test_a_training_really_starts_from_the_weights_of_the_version(
    version: tuple[Workplace, TrainingSucceeded], tmp_path: Path
) -> None:  # W-11
    place = again(version, tmp_path)
    paint_codes(place.images)
    weights = version[1].weights
    result = trained(place, an_order(max_iter=1, base_lr=STANDING_STILL, initial_weights=weights, seed=99))
    before, after = state(place, weights), state(place, result.weights)
    assert all(same(before[name], after[name]) for name in ("conv1.weight", "layer4.1.conv2.weight", "fc.weight"))
    assert f"starting from the weights {weights.checksum}: 122 tensors taken" in log_of(place, result)
    assert "fc.weight and fc.bias with them: the codes are the same" in log_of(place, result)

    anew = Workplace(tmp_path / "anew")
    paint_codes(anew.images)
    fresh = trained(anew, an_order(max_iter=1, base_lr=STANDING_STILL, seed=99))
    assert first_loss(place, result) < 0.9 * first_loss(anew, fresh)
    assert "starting from" not in log_of(anew, fresh)


@pytest.mark.parametrize("codes", [("OK", "SCRATCH", "MURA"), ("SCRATCH", "OK", "SPOT"), ("OK", "SCRATCH")])
def test_the_head_is_made_anew_where_the_codes_differ(
    version: tuple[Workplace, TrainingSucceeded], tmp_path: Path, codes: tuple[str, ...]
) -> None:  # W-12
    place = again(version, tmp_path)
    paint_codes(place.images, codes=codes)
    order = an_order(codes=codes, max_iter=1, base_lr=STANDING_STILL, initial_weights=version[1].weights, seed=99)
    result = trained(place, order)
    before, after = state(place, version[1].weights), state(place, result.weights)
    assert same(before["layer4.1.conv2.weight"], after["layer4.1.conv2.weight"])
    drawn = new_network("ResNet18", len(codes), seed=99).state_dict()
    assert same(after["fc.weight"], drawn["fc.weight"])
    assert "120 tensors taken, fc.weight and fc.bias made anew: trained for OK, SCRATCH, SPOT" in log_of(place, result)


def test_the_segmentation_starts_from_the_segmentation_of_the_version(tmp_path: Path) -> None:  # W-12
    place = Workplace(tmp_path)
    paint_defects(place.images, count=4)
    file = tmp_path / "unet.safetensors"
    save_weights(new_network("UNet-ResNet18", len(CODES), seed=5).state_dict(), file, "UNet-ResNet18", CODES)
    unet = place.artifacts.keep(file)
    result = trained(place, an_order(max_iter=1, segmentation=UNET, segmentation_weights=unet, seed=99))
    before, after = state(place, unet), state(place, result.segmentation_weights)
    assert same(before["encoder.conv1.weight"], after["encoder.conv1.weight"])
    assert same(before["head.weight"], after["head.weight"])
    (log,) = [one.log for one in result.part_logs if one.part is LossPart.SEGMENTATION]
    assert f"starting from the weights {unet.checksum}" in place.content(log).decode()
    assert "head.weight and head.bias with them" in place.content(log).decode()


def test_the_head_of_the_segmentation_goes_by_the_whole_list_of_codes(tmp_path: Path) -> None:  # W-4, W-12
    place = Workplace(tmp_path)
    codes = ("OK", "SCRATCH", "TSFAS")
    paint_defects(place.images, count=4, codes=codes)
    file = tmp_path / "unet.safetensors"
    save_weights(new_network("UNet-ResNet18", len(CODES), seed=5).state_dict(), file, "UNet-ResNet18", CODES)
    unet = place.artifacts.keep(file)
    order = an_order(codes=codes, class_count=2, max_iter=1, segmentation=UNET, segmentation_weights=unet, seed=99)
    result = trained(place, order)
    before, after = state(place, unet), state(place, result.segmentation_weights)
    assert same(before["encoder.conv1.weight"], after["encoder.conv1.weight"])
    drawn = new_network("UNet-ResNet18", len(codes), seed=99).state_dict()
    assert same(after["head.weight"], drawn["head.weight"])


# What keeps a training from beginning


def started(place: Workplace, weights: Artifact) -> None:
    paint_codes(place.images)
    train(an_order(max_iter=1, initial_weights=weights), Resources(), place.job(), TrainingSettings())


def test_weights_that_are_gone_end_the_training_with_what_to_do(tmp_path: Path) -> None:  # W-12, T-7
    with pytest.raises(
        InitialWeightsAreGone, match=r"Restore them from a backup and start again, or make a new training"
    ):
        started(Workplace(tmp_path), Artifact("0" * 64, 1024))


def test_a_single_changed_byte_is_noticed(
    version: tuple[Workplace, TrainingSucceeded], tmp_path: Path
) -> None:  # W-12, T-7
    place = again(version, tmp_path)
    file = place.artifacts.path(version[1].weights)
    content = bytearray(file.read_bytes())
    content[-1000] ^= 1  # inside a tensor: a sound file of slightly other weights
    file.write_bytes(content)
    load_file(file)
    with pytest.raises(InitialWeightsAreDamaged, match=version[1].weights.checksum):
        started(place, version[1].weights)


def test_nothing_but_safetensors_is_opened(tmp_path: Path) -> None:  # I-6, W-12
    place = Workplace(tmp_path)
    (tmp_path / "pickled").write_bytes(pickle.dumps({"fc.weight": [0.0]}))
    with pytest.raises(WeightsUnreadable):
        started(place, place.artifacts.keep(tmp_path / "pickled"))


def test_weights_of_another_network_are_refused_by_name(tmp_path: Path) -> None:  # W-12
    place = Workplace(tmp_path)
    file = tmp_path / "unet.safetensors"
    save_weights(new_network("UNet-ResNet18", 3, seed=5).state_dict(), file, "UNet-ResNet18", CODES)
    with pytest.raises(TensorMissing, match="do not fit ResNet18"):
        started(place, place.artifacts.keep(file))
