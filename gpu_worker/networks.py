"""The networks this platform can train and their weights as safetensors."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from domain.model_packages import NetworkTask
from domain.refusals import Refusal
from domain.sentences import N_
from gpu_worker.resnets import ResNet, resnet18, resnet34, resnet50

# Segmentation networks will stand in a second table beside this one.
_CLASSIFIERS: Final[Mapping[str, Callable[[int], ResNet]]] = {
    "ResNet18": resnet18,
    "ResNet34": resnet34,
    "ResNet50": resnet50,
}
KNOWN_NETWORKS: Final[Mapping[NetworkTask, tuple[str, ...]]] = {
    NetworkTask.CLASSIFICATION: tuple(_CLASSIFIERS),
    NetworkTask.SEGMENTATION: (),
}
SMALLEST_INPUT: Final = 32
"""Every network here halves its input five times."""
LARGEST_INPUT: Final = 4096

_ORIGIN: Final = "assay"
_HEAD: Final = ("fc.weight", "fc.bias")


class NetworkUnknown(Refusal):
    """A package may name networks of a newer platform."""

    message = N_("This platform does not know the {task} network “{network}”. It knows: {known}.")


class WeightsUnreadable(Refusal):
    """Weights are safetensors and nothing else: other formats could run code."""

    message = N_("The weights “{file}” are not a sound safetensors file ({problem}). Write them again.")


class WeightsDoNotFit(Refusal):
    """Weights of another network."""


class TensorMissing(WeightsDoNotFit):
    """Part of the network has no weights."""

    message = N_("The weights do not fit {network}: “{tensor}” is missing. Take weights of this network.")


class TensorUnknown(WeightsDoNotFit):
    """Weights for something the network does not have."""

    message = N_("The weights do not fit {network}: it has no “{tensor}”. Take weights of this network.")


class TensorHasOtherShape(WeightsDoNotFit):
    """Same name, other size or kind of number."""

    message = N_(
        "The weights do not fit {network}: “{tensor}” is {found}, expected {wanted}. Take weights of this network."
    )


class WeightsOfOtherCodes(WeightsDoNotFit):
    """The outputs would be read as the wrong defects."""

    message = N_(
        "These weights were trained for {trained}, not for {named}. Take the weights that belong to these codes."
    )


class WeightsNotFinite(Refusal):
    """NaN or infinity would spread through every result."""

    message = N_("The weights hold values that are not numbers, in “{tensor}”. Take the weights of a sound training.")


class _Origin(msgspec.Struct, frozen=True):
    """What weights that we wrote say of themselves; those of others say nothing."""

    network: str = ""
    defect_codes: tuple[str, ...] = ()


def check_network(task: NetworkTask, network: str) -> None:
    """Whether this platform can train that network for that task.

    Raises:
        NetworkUnknown
    """
    if network not in KNOWN_NETWORKS[task]:
        known = ", ".join(KNOWN_NETWORKS[task]) or "—"
        raise NetworkUnknown(task=task.value, network=network, known=known)


def new_classifier(network: str, class_count: int, seed: int) -> nn.Module:
    """A classifier of random weights, the same for the same seed; its outputs are logits, one per class.

    Raises:
        NetworkUnknown
    """
    check_network(NetworkTask.CLASSIFICATION, network)
    torch.manual_seed(seed)
    return _CLASSIFIERS[network](class_count)


def classifier_of(weights: Mapping[str, Tensor], network: str, class_count: int) -> nn.Module:
    """A classifier with the given weights, which must fit; it uses these very tensors."""
    with torch.device("meta"):
        model = _CLASSIFIERS[network](class_count)
    model.load_state_dict(weights, assign=True)
    return model


def load_initial_weights(model: nn.Module, file: Path, network: str, defect_codes: Sequence[str]) -> bool:
    """Start from earlier weights; the head is kept only when it was made for the same codes (W-12). Returns whether it was.

    Raises:
        WeightsUnreadable, WeightsDoNotFit, WeightsNotFinite
    """
    tensors, codes_of_head = read_weights(file)
    wanted = model.state_dict()
    keeps_head = codes_of_head == tuple(defect_codes) and all(
        name in tensors and tensors[name].shape == wanted[name].shape for name in _HEAD
    )
    if not keeps_head:
        tensors.update({name: wanted[name] for name in _HEAD})
    _check_fit(tensors, wanted, network)
    model.load_state_dict(tensors)
    return keeps_head


def load_trained_weights(file: Path, network: str, defect_codes: Sequence[str]) -> tuple[nn.Module, tuple[str, ...]]:
    """A trained classifier, ready to predict, and its classes: the codes its outputs stand for.

    Raises:
        NetworkUnknown, WeightsUnreadable, WeightsDoNotFit, WeightsNotFinite
    """
    tensors, codes_of_head = read_weights(file)
    class_count = len(tensors["fc.bias"]) if "fc.bias" in tensors else 0
    classes = tuple(defect_codes[:class_count])
    check_network(NetworkTask.CLASSIFICATION, network)
    _check_fit(tensors, _shapes(network, class_count), network)
    if len(classes) != class_count or (codes_of_head and codes_of_head != classes):
        trained = ", ".join(codes_of_head) or str(class_count)
        raise WeightsOfOtherCodes(trained=trained, named=", ".join(defect_codes))
    floats = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    return classifier_of(floats, network, class_count).eval(), classes


def save_weights(state: Mapping[str, Tensor], file: Path, network: str, defect_codes: Sequence[str]) -> None:
    """Safetensors that also say which network they are of and which codes its outputs stand for."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    # One entry: the order of several is left to chance, and equal weights would have unequal checksums.
    origin = msgspec.json.encode(_Origin(network=network, defect_codes=tuple(defect_codes))).decode()
    save_file(tensors, file, metadata={_ORIGIN: origin})


def check_package_weights(file: Path, network: str) -> None:
    """Whether initial weights of a package fit the network; the head may have any number of classes.

    Raises:
        NetworkUnknown, WeightsUnreadable, WeightsDoNotFit, WeightsNotFinite
    """
    tensors, _ = read_weights(file)
    wanted = _shapes(network, 1)
    for name in _HEAD:
        if name in tensors and tensors[name].shape[1:] == wanted[name].shape[1:]:
            wanted[name] = tensors[name]
        elif name not in tensors:
            tensors[name] = wanted[name]
    _check_fit(tensors, wanted, network)


def read_weights(file: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """All tensors of a safetensors file, and the codes of the head where the file says them.

    Raises:
        WeightsUnreadable, WeightsNotFinite
    """
    try:
        with safe_open(file, framework="pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - it is no dict
            metadata = opened.metadata() or {}
        origin = msgspec.json.decode(metadata.get(_ORIGIN, "{}"), type=_Origin)
    except (SafetensorError, OSError, msgspec.MsgspecError) as error:
        raise WeightsUnreadable(file=file.name, problem=str(error)) from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise WeightsNotFinite(tensor=name)
    return tensors, origin.defect_codes


def _shapes(network: str, class_count: int) -> dict[str, Tensor]:
    """The tensors of a network without content."""
    with torch.device("meta"):
        return dict(_CLASSIFIERS[network](class_count).state_dict())


def _check_fit(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], network: str) -> None:
    for name in sorted(wanted.keys() - tensors.keys()):
        raise TensorMissing(network=network, tensor=name)
    for name in sorted(tensors.keys() - wanted.keys()):
        raise TensorUnknown(network=network, tensor=name)
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape or tensor.is_floating_point() != wanted[name].is_floating_point():
            raise TensorHasOtherShape(
                network=network, tensor=name, found=_shape_of(tensor), wanted=_shape_of(wanted[name])
            )


def _shape_of(tensor: Tensor) -> str:
    return f"{' × '.join(str(side) for side in tensor.shape) or '1'} {str(tensor.dtype).removeprefix('torch.')}"
