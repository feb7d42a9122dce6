"""A network as the native library computes it: few kinds of operations, one after the other.

Every batch normalisation is folded into the convolution before it, in float64, so the library has none. Shape letters: O and I =
output and input channels, H and W = height and width of a filter.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gpu_worker.resnets import BasicBlock, Bottleneck, ResNet, ResNetFeatures
from gpu_worker.unets import UNet

Values = npt.NDArray[np.float32]
IMAGE: Final = 0
"""The tensor that holds the image; operation number n, from 0 on, makes tensor n + 1."""


class OperationKind(enum.IntEnum):
    """The numbers are part of models.xbin."""

    CONVOLUTION = 1
    MAX_POOL = 2
    AVERAGE = 3
    DOUBLING = 4
    JOINING = 5


class Operation(NamedTuple):
    """`second` is the tensor that is added or joined, None where there is none. The rest belongs to convolutions only: (O, I, H, W)
    filters, an (O,) bias.
    """

    kind: OperationKind
    source: int
    second: int | None = None
    filters: Values = np.empty((0, 0, 0, 0), np.float32)
    bias: Values = np.empty(0, np.float32)
    stride: int = 0
    padding: int = 0
    relu: bool = False


@dataclass
class Operations:
    """What was written down so far; every method returns the number of the tensor that its operation makes."""

    written: list[Operation] = field(default_factory=list)

    def convolution(
        self,
        source: int,
        convolution: nn.Conv2d,
        normalization: nn.BatchNorm2d | None = None,
        *,
        relu: bool = False,
        added: int | None = None,
    ) -> int:
        """A convolution, its normalisation, a tensor that is added, ReLU."""
        filters_OIHW, bias_O = folded(convolution, normalization)
        return self.write(
            Operation(
                OperationKind.CONVOLUTION,
                source,
                added,
                filters_OIHW,
                bias_O,
                stride=int(convolution.stride[0]),
                padding=int(convolution.padding[0]),
                relu=relu,
            )
        )

    def linear(self, source: int, linear: nn.Linear) -> int:
        """A linear layer over a single pixel is a 1 × 1 convolution."""
        filters_OIHW = linear.weight.detach().numpy()[:, :, None, None]
        return self.write(Operation(OperationKind.CONVOLUTION, source, None, filters_OIHW, _bias(linear), stride=1))

    def write(self, operation: Operation) -> int:
        """Write it down."""
        self.written.append(operation)
        return len(self.written)


def operations_of(model: nn.Module) -> tuple[Operation, ...]:
    """The operations of a network of this platform; the last one makes the output.

    The output of a U-Net is that before its last doubling: each of its pixels stands for a square of 2 × 2.
    """
    operations = Operations()
    _WRITERS[type(model)](operations, model)
    return tuple(operations.written)


def folded(convolution: nn.Conv2d, normalization: nn.BatchNorm2d | None = None) -> tuple[Values, Values]:
    """The filters and the bias that compute both."""
    filters_OIHW = convolution.weight.detach().double()
    bias_O = torch.zeros(len(filters_OIHW), dtype=torch.float64)
    if convolution.bias is not None:
        bias_O = convolution.bias.detach().double()
    if normalization is not None:
        assert normalization.running_mean is not None
        assert normalization.running_var is not None
        deviation_O = torch.sqrt(normalization.running_var.double() + normalization.eps)
        scale_O = normalization.weight.detach().double() / deviation_O
        filters_OIHW = filters_OIHW * scale_O[:, None, None, None]
        bias_O = (bias_O - normalization.running_mean.double()) * scale_O + normalization.bias.detach().double()
    return _float32(filters_OIHW), _float32(bias_O)


def _resnet(operations: Operations, model: ResNet) -> None:
    *_, deepest = _features(operations, model)
    operations.linear(operations.write(Operation(OperationKind.AVERAGE, deepest)), model.fc)


def _unet(operations: Operations, model: UNet) -> None:
    *skipped, decoded = _features(operations, model.encoder)
    for block, beside in zip(model.decoder, reversed(skipped), strict=True):
        assert isinstance(block, nn.Sequential)
        doubled = operations.write(Operation(OperationKind.DOUBLING, decoded))
        decoded = operations.write(Operation(OperationKind.JOINING, doubled, beside))
        for first in range(0, len(block), 3):  # convolution, normalisation, ReLU
            decoded = operations.convolution(decoded, _conv(block[first]), _norm(block[first + 1]), relu=True)
    operations.convolution(decoded, model.head)


def _features(operations: Operations, model: ResNetFeatures) -> tuple[int, ...]:
    """The tensors of the five feature maps, as `ResNetFeatures.features` returns them."""
    stem = operations.convolution(IMAGE, model.conv1, model.bn1, relu=True)
    maps = [stem]
    tensor = operations.write(Operation(OperationKind.MAX_POOL, stem))
    for layer in (model.layer1, model.layer2, model.layer3, model.layer4):
        for block in layer:
            assert isinstance(block, BasicBlock | Bottleneck)
            tensor = _block(operations, block, tensor)
        maps.append(tensor)
    return tuple(maps)


def _block(operations: Operations, block: BasicBlock | Bottleneck, source: int) -> int:
    shortcut = source
    if block.downsample is not None:
        shortcut = operations.convolution(source, _conv(block.downsample[0]), _norm(block.downsample[1]))
    inner = operations.convolution(source, block.conv1, block.bn1, relu=True)
    if isinstance(block, BasicBlock):
        return operations.convolution(inner, block.conv2, block.bn2, relu=True, added=shortcut)
    inner = operations.convolution(inner, block.conv2, block.bn2, relu=True)
    return operations.convolution(inner, block.conv3, block.bn3, relu=True, added=shortcut)


_WRITERS: Final[dict[type[nn.Module], Callable[[Operations, Any], None]]] = {ResNet: _resnet, UNet: _unet}


def _conv(module: nn.Module) -> nn.Conv2d:
    assert isinstance(module, nn.Conv2d)
    return module


def _norm(module: nn.Module) -> nn.BatchNorm2d:
    assert isinstance(module, nn.BatchNorm2d)
    return module


def _bias(linear: nn.Linear) -> Values:
    return _float32(linear.bias.detach())


def _float32(tensor: Tensor) -> Values:
    return np.ascontiguousarray(tensor.float().numpy())
