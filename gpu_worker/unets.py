"""U-Net with the features of a ResNet18: what each pixel shows. Only convolutions, normalisation, ReLU, pooling, nearest
doubling and concatenation, so that the native library of an export can compute it.

Source: Ronneberger et al., “U-Net” (arXiv 1505.04597). Of the networks measured for a worker without pretrained weights this one
learnt thin defects soonest; wider decoders took longer and found no more. Shape letters: B = batch, C = channels, H and W = height
and width (multiples of 32), K = outputs.
"""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from gpu_worker.resnets import resnet18_features, with_fresh_filters

_SKIPPED: Final = (256, 128, 64, 64)
"""Channels of the encoder's maps that are taken beside, from the deepest but one to the stem."""
_DECODED: Final = (128, 64, 32, 32)


class UNet(nn.Module):
    """The decoder ends at half the input's height and width (stride 2); each of its pixels stands for four of the output."""

    def __init__(self, output_count: int) -> None:
        super().__init__()
        self.encoder = resnet18_features()
        inputs = self.encoder.width
        blocks = []
        for skipped, outputs in zip(_SKIPPED, _DECODED, strict=True):
            blocks.append(nn.Sequential(*_block(inputs + skipped, outputs), *_block(outputs, outputs)))
            inputs = outputs
        self.decoder = nn.ModuleList(blocks)
        self.head = nn.Conv2d(inputs, output_count, 1)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """(B, 3, H, W) standardised images to (B, K, H, W) logits, each equal over a square of 2 × 2."""
        *skipped, decoded_BCHW = self.encoder.features(images_BCHW)
        for block, beside_BCHW in zip(self.decoder, reversed(skipped), strict=True):
            decoded_BCHW = block(torch.cat([_doubled(decoded_BCHW), beside_BCHW], 1))
        return _doubled(self.head(decoded_BCHW))


def unet_resnet18(output_count: int) -> UNet:
    """12.5 million weights."""
    return with_fresh_filters(UNet(output_count))


def _block(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)


def _doubled(features_BCHW: Tensor) -> Tensor:
    return functional.interpolate(features_BCHW, scale_factor=2.0, mode="nearest")
