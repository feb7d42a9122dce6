"""The networks this platform can train and their weights as safetensors."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from domain.artifacts import Artifact
from domain.model_packages import NetworkTask
from domain.refusals import Refusal
from domain.sentences import N_, Sentence
from gpu_worker.ports import Artifacts
from gpu_worker.resnets import resnet18, resnet34, resnet50
from gpu_worker.unets import unet_resnet18


class _Kind(NamedTuple):
    """How networks of a task are made: `head` names the tensors with a row for each output, of which the first
    `outputs_before` stand for no code.
    """

    make: Mapping[str, Callable[[int], nn.Module]]
    head: tuple[str, str]
    outputs_before: int


_KINDS: Final[Mapping[NetworkTask, _Kind]] = {
    NetworkTask.CLASSIFICATION: _Kind(
        {"ResNet18": resnet18, "ResNet34": resnet34, "ResNet50": resnet50}, ("fc.weight", "fc.bias"), 0
    ),
    NetworkTask.SEGMENTATION: _Kind({"UNet-ResNet18": unet_resnet18}, ("head.weight", "head.bias"), 1),
}
"""No two tasks have a network of the same name. What a segmentation's first output stands for is no defect."""
KNOWN_NETWORKS: Final[Mapping[NetworkTask, tuple[str, ...]]] = {task: tuple(kind.make) for task, kind in _KINDS.items()}
SMALLEST_INPUT: Final = 32
"""Every network here halves its input five times; those that double it again as often need multiples of this."""
LARGEST_INPUT: Final = 4096

_ORIGIN: Final = "assay"


class NetworkUnknown(Refusal):
    """A package may name networks of a newer platform."""

    message = N_("This platform does not know the network “{network}” for this purpose. It knows: {known}.")


NOT_SAFETENSORS = N_("its content does not follow the format")


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


class InitialWeightsAreGone(Refusal):
    """What a version or package kept was lost with its storage (W-12)."""

    message = N_(
        "The weights to start from (SHA-256 {checksum}) are not on the shared storage. "
        "Restore them from a backup and start again, or make a new training with other initial weights."
    )


class InitialWeightsAreDamaged(Refusal):
    """Other content than was stored: nothing that is trained from it could be explained (W-12)."""

    message = N_(
        "The weights to start from (SHA-256 {checksum}) were damaged on the shared storage. "
        "Restore them from a backup and start again, or make a new training with other initial weights."
    )


class Taken(NamedTuple):
    """What a network took of earlier weights; `codes_of_head` are those of their head, none where the weights do not say."""

    tensor_count: int
    head: tuple[str, ...]
    codes_of_head: tuple[str, ...]
    keeps_head: bool

    def __str__(self) -> str:
        """For the log."""
        head, codes = " and ".join(self.head), ", ".join(self.codes_of_head) or "codes that are not known"
        kept = (
            f"{head} with them: the codes are the same" if self.keeps_head else f"{head} made anew: trained for {codes}"
        )
        return f"{self.tensor_count} tensors taken, {kept}"


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
        raise NetworkUnknown(network=network, known=known)


def new_network(network: str, code_count: int, seed: int) -> nn.Module:
    """A network of random weights, the same for the same seed. Its outputs are logits: (B, K) one for each code, of a segmentation
    (B, 1 + K, H, W) with that of no defect before them.

    Raises:
        NetworkUnknown
    """
    torch.manual_seed(seed)
    return _made(network, code_count)


def network_of(weights: Mapping[str, Tensor], network: str, code_count: int) -> nn.Module:
    """A network with the given weights, which must fit; it uses these very tensors."""
    with torch.device("meta"):
        model = _made(network, code_count)
    model.load_state_dict(weights, assign=True)
    return model


def initial_weights_file(artifact: Artifact, artifacts: Artifacts) -> Path:
    """Where weights to start from lie, once their content has proved to be what was stored.

    Raises:
        InitialWeightsAreGone, InitialWeightsAreDamaged.
    """
    try:
        file = artifacts.path(artifact)
    except FileNotFoundError:
        raise InitialWeightsAreGone(checksum=artifact.checksum) from None
    with file.open("rb") as content:
        if hashlib.file_digest(content, "sha256").hexdigest() != artifact.checksum:
            raise InitialWeightsAreDamaged(checksum=artifact.checksum)
    return file


def load_initial_weights(model: nn.Module, file: Path, network: str, defect_codes: Sequence[str]) -> Taken:
    """Start from earlier weights; the head is kept only when it was made for the same codes (W-12).

    Raises:
        WeightsUnreadable, WeightsDoNotFit, WeightsNotFinite
    """
    tensors, codes_of_head = read_weights(file)
    wanted = model.state_dict()
    head = _kind(network).head
    keeps_head = codes_of_head == tuple(defect_codes) and all(
        name in tensors and tensors[name].shape == wanted[name].shape for name in head
    )
    if not keeps_head:
        tensors.update({name: wanted[name] for name in head})
    _check_fit(tensors, wanted, network)
    model.load_state_dict(tensors)
    return Taken(len(tensors) - (0 if keeps_head else len(head)), head, codes_of_head, keeps_head)


def load_trained_weights(file: Path, network: str, defect_codes: Sequence[str]) -> tuple[nn.Module, tuple[str, ...]]:
    """A trained network, ready to predict, and the codes its outputs stand for.

    Raises:
        NetworkUnknown, WeightsUnreadable, WeightsDoNotFit, WeightsNotFinite
    """
    tensors, codes_of_head = read_weights(file)
    kind = _kind(network)
    bias = tensors.get(kind.head[1])
    code_count = 0 if bias is None else max(0, len(bias) - kind.outputs_before)
    codes = tuple(defect_codes[:code_count])
    _check_fit(tensors, _shapes(network, code_count), network)
    if len(codes) != code_count or (codes_of_head and codes_of_head != codes):
        trained = ", ".join(codes_of_head) or str(code_count)
        raise WeightsOfOtherCodes(trained=trained, named=", ".join(defect_codes))
    floats = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    return network_of(floats, network, code_count).eval(), codes


def save_weights(state: Mapping[str, Tensor], file: Path, network: str, defect_codes: Sequence[str]) -> None:
    """Safetensors that also say which network they are of and which codes its outputs stand for."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    # One entry: the order of several is left to chance, and equal weights would have unequal checksums.
    origin = msgspec.json.encode(_Origin(network=network, defect_codes=tuple(defect_codes))).decode()
    save_file(tensors, file, metadata={_ORIGIN: origin})


def check_package_weights(file: Path, network: str) -> None:
    """Whether initial weights of a package fit the network; the head may be for any number of codes.

    Raises:
        NetworkUnknown, WeightsUnreadable, WeightsDoNotFit, WeightsNotFinite
    """
    tensors, _ = read_weights(file)
    wanted = _shapes(network, 1)
    for name in _kind(network).head:
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
        raise WeightsUnreadable(file=file.name, problem=Sentence(NOT_SAFETENSORS)) from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise WeightsNotFinite(tensor=name)
    return tensors, origin.defect_codes


def _kind(network: str) -> _Kind:
    for kind in _KINDS.values():
        if network in kind.make:
            return kind
    known = ", ".join(name for kind in _KINDS.values() for name in kind.make)
    raise NetworkUnknown(network=network, known=known)


def _made(network: str, code_count: int) -> nn.Module:
    kind = _kind(network)
    return kind.make[network](kind.outputs_before + code_count)


def _shapes(network: str, code_count: int) -> dict[str, Tensor]:
    """The tensors of a network without content."""
    with torch.device("meta"):
        return dict(_made(network, code_count).state_dict())


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
