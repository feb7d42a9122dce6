"""Weights in a package: those of the network that they are named for, and no program (I-6)."""

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save_file

from domain.artifacts import Artifact
from domain.refusals import Refusal
from gpu_worker import packages
from gpu_worker.networks import TensorHasOtherShape, TensorMissing, TensorUnknown, WeightsNotFinite, WeightsUnreadable
from gpu_worker.package_descriptions import SHIPPED
from gpu_worker.packages import FileHasOtherChecksum, FileHasOtherSize, read_package
from tests.gpu_worker.packed import a_description, packed, read, weights, with_weights

__all__ = ["weights"]


def test_what_is_no_weights_is_verified_and_stays_in_the_archive(tmp_path: Path, weights: bytes) -> None:
    networks = [{**SHIPPED["networks"][0], "weights": "w"}]
    licence = b"all rights reserved"
    named = {
        name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in (("w", weights), ("LICENCE", licence))
    }
    entries = {"image.yaml": a_description(networks=networks, files=named), "w": weights, "LICENCE": licence}
    kept = []

    def keep(file: Path) -> Artifact:
        kept.append(file.name)
        return Artifact("0" * 64, 1)

    read_package(packed(tmp_path / "p.tar", entries), tmp_path, keep)
    assert kept == ["w"]
    with pytest.raises(FileHasOtherChecksum, match="“LICENCE”"):
        read(packed(tmp_path / "q.tar", {**entries, "LICENCE": b"no rights reserved!"}))


@pytest.mark.parametrize(
    ("named", "refusal"),
    [
        ({"size": 5, "sha256": hashlib.sha256(b"right").hexdigest()}, FileHasOtherChecksum),
        ({"size": 6, "sha256": hashlib.sha256(b"wrong").hexdigest()}, FileHasOtherSize),
        ({"size": 5, "sha256": hashlib.sha256(b"wrong").hexdigest()}, WeightsUnreadable),
    ],
)
def test_a_file_must_be_the_one_that_was_packed(tmp_path: Path, named: dict[str, Any], refusal: type[Refusal]) -> None:
    networks = [{**SHIPPED["networks"][0], "weights": "w"}]
    entries = {"image.yaml": a_description(networks=networks, files={"w": named}), "w": b"wrong"}
    with pytest.raises(refusal, match="“w”"):
        read(packed(tmp_path / "p.tar", entries))


def test_weights_of_another_network_do_not_fit(tmp_path: Path, weights: bytes) -> None:
    networks = [SHIPPED["networks"][0], {**SHIPPED["networks"][2], "weights": "w"}]
    named = {"w": {"size": len(weights), "sha256": hashlib.sha256(weights).hexdigest()}}
    with pytest.raises(Refusal, match="do not fit ResNet50"):
        read(packed(tmp_path / "p.tar", {"image.yaml": a_description(networks=networks, files=named), "w": weights}))


def changed(weights: bytes, file: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> bytes:
    tensors = load(weights)
    change(tensors)
    save_file(tensors, file)
    return file.read_bytes()


@pytest.mark.parametrize(
    ("change", "refusal", "words"),
    [
        (lambda tensors: tensors.pop("layer4.1.bn2.weight"), TensorMissing, "“layer4.1.bn2.weight” is missing"),
        (lambda tensors: tensors.update(extra=torch.zeros(1)), TensorUnknown, "it has no “extra”"),
        (lambda tensors: tensors.update({"conv1.weight": torch.zeros(64, 3, 7, 8)}), TensorHasOtherShape, "64 × 3 × 7 × 8"),
        (lambda tensors: tensors.update({"bn1.weight": torch.ones(64, dtype=torch.int8)}), TensorHasOtherShape, "int8"),
        (lambda tensors: tensors["bn1.bias"].fill_(float("nan")), WeightsNotFinite, "“bn1.bias”"),
        (lambda tensors: tensors["bn1.bias"].fill_(float("inf")), WeightsNotFinite, "“bn1.bias”"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused_by_name(
    tmp_path: Path, weights: bytes, change: Any, refusal: type[Refusal], words: str
) -> None:
    content = changed(weights, tmp_path / "changed", change)
    with pytest.raises(refusal, match=words):
        read(with_weights(tmp_path / "p.tar", content))


def test_a_pickle_is_not_opened_whatever_it_is_called(tmp_path: Path) -> None:
    class Owned:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "owned",))

    torch.save({"conv1.weight": Owned()}, tmp_path / "weights.pt")
    for content in (pickle.dumps(Owned()), (tmp_path / "weights.pt").read_bytes()):
        with pytest.raises(WeightsUnreadable):
            read(with_weights(tmp_path / "p.tar", content))
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01",
        (1 << 62).to_bytes(8, "little") + b"{}",
        ((1 << 20) + 1).to_bytes(8, "little") + b" " * ((1 << 20) + 1),
        (2).to_bytes(8, "little") + b"[]",
        (1000).to_bytes(8, "little") + b"{}",
        (60).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[99999999999],"data_offsets":[0,4]}}'[:60],
    ],
    ids=["empty", "cut", "claims exabytes", "a book", "a list", "behind the end", "no json"],
)
def test_a_hostile_header_of_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(WeightsUnreadable, match="Write them again"):
        read(with_weights(tmp_path / "p.tar", content))


def test_weights_larger_than_any_network_are_not_read(
    tmp_path: Path, weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "MAXIMUM_WEIGHTS_BYTES", 1 << 20)
    with pytest.raises(WeightsUnreadable, match="more than 0 GiB"):
        read(with_weights(tmp_path / "p.tar", weights))
