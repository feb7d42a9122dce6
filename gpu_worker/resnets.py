"""ResNet classifiers, weight for weight those of torchvision (importing it takes seconds of every job's start).

Source: He et al., “Deep Residual Learning for Image Recognition” (arXiv 1512.03385); the stride of a bottleneck is in its 3×3
convolution (“v1.5”). Shape letters: B = batch, C = channels, H and W = height and width, K = classes.
"""

from typing import TypeVar

from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)
_WIDTHS = (64, 128, 256, 512)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut (ResNet18 and 34)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _convolution(inputs, width, 3, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _convolution(width, width, 3), nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) to (B, width, H / stride, W / stride)."""
        inner = self.relu(self.bn1(self.conv1(images_BCHW)))
        inner = self.bn2(self.conv2(inner))
        inner += images_BCHW if self.downsample is None else self.downsample(images_BCHW)
        result: Tensor = self.relu(inner)
        return result


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions beside a shortcut (ResNet50)."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1, self.bn1 = _convolution(inputs, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _convolution(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = _convolution(width, outputs, 1), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) to (B, 4 · width, H / stride, W / stride)."""
        inner = self.relu(self.bn1(self.conv1(images_BCHW)))
        inner = self.relu(self.bn2(self.conv2(inner)))
        inner = self.bn3(self.conv3(inner))
        inner += images_BCHW if self.downsample is None else self.downsample(images_BCHW)
        result: Tensor = self.relu(inner)
        return result


Block = type[BasicBlock] | type[Bottleneck]


class ResNetFeatures(nn.Module):
    """A ResNet without its head. `depths` are the numbers of blocks of the four layers."""

    def __init__(self, block: Block, depths: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.conv1, self.bn1 = _convolution(3, _WIDTHS[0], 7, 2), nn.BatchNorm2d(_WIDTHS[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inputs = _WIDTHS[0]
        layers = []
        for number, (width, depth) in enumerate(zip(_WIDTHS, depths, strict=True)):
            blocks = []
            for position in range(depth):
                blocks.append(block(inputs, width, 2 if number and not position else 1))
                inputs = width * block.expansion
            layers.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.width = inputs
        """How many channels the deepest features have."""

    def features(self, images_BCHW: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) standardised images to five feature maps, the sides halved from one to the next, from H / 2 to H / 32."""
        stem_BCHW = self.relu(self.bn1(self.conv1(images_BCHW)))
        first_BCHW = self.layer1(self.maxpool(stem_BCHW))
        second_BCHW = self.layer2(first_BCHW)
        third_BCHW = self.layer3(second_BCHW)
        return stem_BCHW, first_BCHW, second_BCHW, third_BCHW, self.layer4(third_BCHW)


class ResNet(ResNetFeatures):
    """The output is (B, K) logits."""

    def __init__(self, block: Block, depths: tuple[int, int, int, int], class_count: int) -> None:
        super().__init__(block, depths)
        self.fc = nn.Linear(self.width, class_count)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """(B, 3, H, W) standardised images to (B, K) logits."""
        logits_BK: Tensor = self.fc(self.features(images_BCHW)[-1].mean((2, 3)))
        return logits_BK


def resnet18(class_count: int) -> ResNet:
    """11.2 million weights."""
    return with_fresh_filters(ResNet(BasicBlock, (2, 2, 2, 2), class_count))


def resnet34(class_count: int) -> ResNet:
    """21.3 million weights."""
    return with_fresh_filters(ResNet(BasicBlock, (3, 4, 6, 3), class_count))


def resnet50(class_count: int) -> ResNet:
    """23.5 million weights."""
    return with_fresh_filters(ResNet(Bottleneck, (3, 4, 6, 3), class_count))


def resnet18_features() -> ResNetFeatures:
    """ResNet18 without its head, the encoder of a larger network that draws its filters."""
    return ResNetFeatures(BasicBlock, (2, 2, 2, 2))


def with_fresh_filters(model: M) -> M:
    """Draw the filters of all convolutions. Source: He et al., “Delving Deep into Rectifiers” (arXiv 1502.01852)."""
    for module in model.modules():
        # Where only shapes are wanted there is nothing to draw, and torch would load its compiler for it: seconds of every job.
        if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model


def begin_as_shortcuts(model: nn.Module) -> None:
    """Let every block begin as its shortcut alone: the scale of its last normalisation is zero, and grows while it learns.

    Source: Goyal et al., “Accurate, Large Minibatch SGD” (arXiv 1706.02677), section 5.1.
    """
    for module in model.modules():
        if isinstance(module, BasicBlock | Bottleneck):
            last = module.bn2 if isinstance(module, BasicBlock) else module.bn3
            nn.init.zeros_(last.weight)


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(_convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
