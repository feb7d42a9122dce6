"""The networks against torchvision's, and their weights in safetensors."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision  # type: ignore[import-untyped]
from safetensors.torch import save_file

from domain.model_packages import NetworkTask
from gpu_worker.networks import (
    NetworkUnknown,
    TensorHasOtherShape,
    TensorMissing,
    TensorUnknown,
    WeightsNotFinite,
    WeightsOfOtherCodes,
    WeightsUnreadable,
    check_network,
    check_package_weights,
    load_initial_weights,
    load_trained_weights,
    new_network,
    save_weights,
)
from gpu_worker.resnets import begin_as_shortcuts
from tests.conftest import CHECKOUT

CODES = ("OK", "SPOT", "SCRATCH")


def saved(file: Path, codes: tuple[str, ...] = CODES, network: str = "ResNet18") -> Path:
    save_weights(new_network(network, len(codes), seed=1).state_dict(), file, network, codes)
    return file


@pytest.mark.parametrize("network", ["ResNet18", "ResNet34", "ResNet50"])
def test_a_network_is_weight_for_weight_torchvisions(network: str) -> None:
    ours = new_network(network, 5, seed=1)
    theirs = getattr(torchvision.models, network.lower())(weights=None, num_classes=5)
    theirs.load_state_dict(ours.state_dict())
    images = torch.rand(2, 3, 32, 64)
    with torch.inference_mode():
        for mode in (True, False):
            expected = theirs.train(mode)(images)
            assert torch.allclose(ours.train(mode)(images), expected, atol=1e-4 * expected.abs().max())


def test_fresh_weights_have_torchvisions_distribution_and_depend_on_the_seed() -> None:
    one, same, other = (new_network("ResNet18", 5, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["conv1.weight"], other["conv1.weight"])
    theirs = torchvision.models.resnet18(weights=None, num_classes=5).state_dict()
    for name in (name for name in one if one[name].ndim > 1):
        assert one[name].float().std().item() == pytest.approx(theirs[name].float().std().item(), rel=0.1, abs=2e-3), (
            name
        )


@pytest.mark.parametrize("network", ["ResNet18", "ResNet50"])
def test_blocks_that_begin_as_shortcuts_pass_on_what_they_get(network: str) -> None:
    model = new_network(network, 3, seed=1).eval()
    begin_as_shortcuts(model)
    (block,) = [model.get_submodule("layer1.1")]
    features = torch.rand(2, 64 if network == "ResNet18" else 256, 8, 8)
    assert torch.equal(block(features), features)  # of features from 0 on, as all are behind a ReLU


def test_an_unknown_network_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(NetworkUnknown, match="ResNet18, ResNet34, ResNet50"):
        check_network(NetworkTask.CLASSIFICATION, "VGG16")
    with pytest.raises(NetworkUnknown):
        check_network(NetworkTask.SEGMENTATION, "ResNet18")


def test_trained_weights_come_back_as_they_were(tmp_path: Path) -> None:
    assert saved(tmp_path / "w").read_bytes() == saved(tmp_path / "again").read_bytes()
    model, classes = load_trained_weights(saved(tmp_path / "w"), "ResNet18", (*CODES, "SPECIAL"))
    assert classes == CODES  # W-4: codes behind the outputs are special
    expected = new_network("ResNet18", 3, seed=1).state_dict()
    assert all(torch.equal(model.state_dict()[name], expected[name]) for name in expected)
    assert not model.training


@pytest.mark.parametrize("codes", [("OK", "SCRATCH", "SPOT"), ("OK", "SPOT")])
def test_trained_weights_are_not_read_as_other_codes(tmp_path: Path, codes: tuple[str, ...]) -> None:
    with pytest.raises(WeightsOfOtherCodes, match="OK, SPOT, SCRATCH"):
        load_trained_weights(saved(tmp_path / "w"), "ResNet18", codes)


# W-12
def test_a_start_from_earlier_weights_keeps_the_head_only_for_the_same_codes(tmp_path: Path) -> None:
    earlier = new_network("ResNet18", 3, seed=1).state_dict()
    for codes, keeps in ((CODES, True), (("OK", "SPOT", "MURA"), False), (("OK", "SPOT"), False)):
        model = new_network("ResNet18", len(codes), seed=2)
        fresh = model.state_dict()["fc.weight"].clone()
        assert load_initial_weights(model, saved(tmp_path / "w"), "ResNet18", codes).keeps_head is keeps
        state = model.state_dict()
        assert torch.equal(state["layer4.1.conv2.weight"], earlier["layer4.1.conv2.weight"])
        assert torch.equal(state["fc.weight"], earlier["fc.weight"] if keeps else fresh)


def drop(state: dict[str, torch.Tensor]) -> None:
    del state["layer1.0.bn1.bias"]


def add(state: dict[str, torch.Tensor]) -> None:
    state["layer9.weight"] = torch.zeros(1)


def reshape(state: dict[str, torch.Tensor]) -> None:
    state["conv1.weight"] = torch.zeros(64, 3, 3, 3)


def spoil(state: dict[str, torch.Tensor]) -> None:
    state["conv1.weight"][0, 0, 0, 0] = float("nan")


@pytest.mark.parametrize(
    ("change", "refusal", "words"),
    [
        (drop, TensorMissing, "layer1.0.bn1.bias"),
        (add, TensorUnknown, "layer9.weight"),
        (reshape, TensorHasOtherShape, "64 × 3 × 3 × 3"),
        (spoil, WeightsNotFinite, "conv1.weight"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(
    tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], None], refusal: type[Exception], words: str
) -> None:
    state = {name: tensor.clone() for name, tensor in new_network("ResNet18", 3, seed=1).state_dict().items()}
    change(state)
    save_file(state, tmp_path / "w")
    for load in (
        lambda: check_package_weights(tmp_path / "w", "ResNet18"),
        lambda: load_trained_weights(tmp_path / "w", "ResNet18", CODES),
        lambda: load_initial_weights(new_network("ResNet18", 3, seed=2), tmp_path / "w", "ResNet18", CODES),
    ):
        with pytest.raises(refusal, match=words):
            load()


def test_package_weights_may_have_any_head_or_none(tmp_path: Path) -> None:
    check_package_weights(saved(tmp_path / "w", tuple("ABCDEFG")), "ResNet18")
    state = new_network("ResNet18", 3, seed=1).state_dict()
    save_file({name: tensor for name, tensor in state.items() if not name.startswith("fc.")}, tmp_path / "headless")
    check_package_weights(tmp_path / "headless", "ResNet18")
    with pytest.raises((TensorMissing, TensorHasOtherShape, TensorUnknown)):
        check_package_weights(tmp_path / "w", "ResNet34")


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\xff" * 64])
def test_other_files_are_no_weights(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(WeightsUnreadable, match="w"):
        load_trained_weights(tmp_path / "w", "ResNet18", CODES)


def test_loading_weights_does_not_load_torchs_compiler(tmp_path: Path) -> None:
    """Every job does it first, in a process of its own, and the compiler takes seconds."""
    file = saved(tmp_path / "weights")
    program = (
        "import sys; from pathlib import Path; from gpu_worker.networks import load_trained_weights; "
        f"load_trained_weights(Path({str(file)!r}), 'ResNet18', {CODES!r}); print('torch._dynamo' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"
