"""What a segmentation learns and says: its loss, its figures, and what it saw in each image.

Shape letters: B = batch, N = images, D = defect codes, K = 1 + D outputs (the first one: no defect), C, H, W = image.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from domain.evaluation import CODE_COLOURS, Segmented, special_code
from domain.evaluation_figures import iou_of, mean_iou, or_none
from domain.model_packages import NetworkInput
from gpu_worker.batch_threads import JUDGED_BATCH, Indices, answered_by_batch
from gpu_worker.batches import label_maps
from gpu_worker.decoded_images import DecodedImages
from gpu_worker.images import Pixels, ReadImage
from gpu_worker.metrics import ValidationFigures, standardized

DEFECT_WEIGHT: Final = 5.0
"""A defect's pixel counts so many times in the cross entropy: defects cover a hundredth of an image."""
FEWEST_SEGMENTED: Final = 4
"""So many images have places enough, in all maps of a U-Net, for batch normalisation."""
OVERLAY_SIDE: Final = 256
"""The longer side of an overlay in pixels at most: enough to see where, small enough to keep one for every image."""

_OPACITY: Final = 130

Labels = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float32]


class Seen(NamedTuple):
    """What is kept of one image, and the index of the special code that it is given, if any (W-4)."""

    segmented: Segmented
    special: int | None


@dataclass(frozen=True, kw_only=True)
class Segmenter:
    """A trained network at work. The first `class_count` of its codes are the classes of the classifier beside it; a special code
    needs more than `min_pixels`.
    """

    model: nn.Module
    defect_codes: Sequence[str]
    class_count: int
    min_pixels: int
    input: NetworkInput
    device: torch.device

    def look_at(
        self, pixels_NCHW: Pixels, images: Sequence[ReadImage], masks: Sequence[Pixels | None]
    ) -> Iterator[Seen]:
        """Images with pixels and masks at this input size; in float32 on every device, so that platform and factory agree."""
        for start in range(0, len(images), JUDGED_BATCH):
            batch = slice(start, start + JUDGED_BATCH)
            predicted_NHW, shares_NHW = self.labels_of(pixels_NCHW[batch])
            for one in zip(predicted_NHW, shares_NHW, images[batch], masks[batch], strict=True):
                yield self._seen(*one)

    def labels_of(self, pixels_NCHW: Pixels) -> tuple[Labels, Shares]:
        """(N, H, W) what each pixel shows, 0 or 1 + the index of a code, and how probable that is."""
        shares_NHW, predicted_NHW = _logits(self.model, pixels_NCHW, self.input, self.device).softmax(1).max(1)
        return predicted_NHW.cpu().numpy(), shares_NHW.cpu().numpy()

    def _seen(self, predicted_HW: Labels, shares_HW: Shares, image: ReadImage, mask_HW: Pixels | None) -> Seen:
        pixels_D = pixels_per_code(predicted_HW, len(self.defect_codes))
        special = special_code(pixels_D.tolist(), self.class_count, self.min_pixels)
        is_right_HW = predicted_HW == 1 + self.defect_codes.index(image.found.defect_code)
        segmented = Segmented(
            predicted_pixels=tuple(pixels_D.tolist()),
            marked_pixels=None if mask_HW is None else int(np.count_nonzero(mask_HW)),
            common_pixels=0 if mask_HW is None else int(np.count_nonzero(is_right_HW & (mask_HW > 0))),
            special_confidence=None if special is None else float(shares_HW[predicted_HW == 1 + special].mean()),
            overlay=overlay(predicted_HW, image.width, image.height) if pixels_D.any() else b"",
        )
        return Seen(segmented, special)


def segmentation_loss(logits_BKHW: Tensor, labels_BHW: Tensor) -> Tensor:
    """Weighted cross entropy of the pixels, plus one minus the soft Dice coefficient of each code that the batch shows.

    The first teaches soon, the second keeps thin defects from drowning. Written with plain sums, which every device computes in a
    fixed order. Source: Milletari et al., “V-Net” (arXiv 1606.04797), with squares left out.
    """
    log_shares_BKHW = logits_BKHW.float().log_softmax(1)
    truth_BKHW = functional.one_hot(labels_BHW, logits_BKHW.shape[1]).permute(0, 3, 1, 2).to(log_shares_BKHW.dtype)
    weights_BHW = 1 + (DEFECT_WEIGHT - 1) * (labels_BHW > 0)
    cross_entropy = -((truth_BKHW * log_shares_BKHW).sum(1) * weights_BHW).sum() / weights_BHW.sum()
    shares_BDHW, truth_BDHW = log_shares_BKHW[:, 1:].exp(), truth_BKHW[:, 1:]
    common_D = (shares_BDHW * truth_BDHW).sum((0, 2, 3))
    marked_D = truth_BDHW.sum((0, 2, 3))
    dice_D = (2 * common_D + 1) / (shares_BDHW.sum((0, 2, 3)) + marked_D + 1)
    is_shown_D = (marked_D > 0).to(dice_D.dtype)
    return cross_entropy + ((1 - dice_D) * is_shown_D).sum() / is_shown_D.sum().clamp_min(1)


def pixels_per_code(labels_HW: Labels, code_count: int) -> Labels:
    """(D,) how many pixels show each code."""
    return np.bincount(labels_HW.ravel(), minlength=1 + code_count)[1:].astype(np.int64)


def overlay(predicted_HW: Labels, width: int, height: int) -> bytes:
    """A PNG of the predicted pixels, each code in a colour, the rest transparent, shaped as the image of `width` × `height`."""
    colours_HW = np.where(predicted_HW > 0, 1 + (predicted_HW - 1) % len(CODE_COLOURS), 0).astype(np.uint8)
    shrink = min(1.0, OVERLAY_SIDE / max(width, height))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    picture: Any = Image.fromarray(colours_HW).resize(size, Image.Resampling.NEAREST)
    picture.putpalette([0, 0, 0, *(part for colour in CODE_COLOURS for part in colour)])
    png = io.BytesIO()
    picture.save(png, "PNG", optimize=True, transparency=bytes((0, *[_OPACITY] * len(CODE_COLOURS))))
    return png.getvalue()


def segmentation_figures(
    model: nn.Module,
    images: DecodedImages,
    masks: DecodedImages,
    labels: Sequence[int],
    network_input: NetworkInput,
    device: torch.device,
    code_count: int,
    on_batch: Callable[[], None],
) -> ValidationFigures:
    """IoU of each code, their mean and the loss; the model is left in the mode in which it was found."""
    was_training = model.training
    model.eval()
    marked_D, predicted_D, common_D = (np.zeros(code_count, np.int64) for _ in range(3))
    loss = 0.0

    def judge(batch: Indices) -> tuple[float, Labels, Labels]:
        truth_NHW = label_maps(torch.from_numpy(masks.gather(batch)), torch.tensor(labels)[batch])
        logits_NKHW = _logits(model, images.gather(batch), network_input, device)
        with torch.inference_mode():
            share_of_loss = segmentation_loss(logits_NKHW, truth_NHW.to(device)).item() * len(batch) / len(images)
        return share_of_loss, logits_NKHW.argmax(1).cpu().numpy(), truth_NHW.numpy()

    with answered_by_batch(judge, len(images), device) as answers:
        for share_of_loss, found_NHW, true_NHW in answers:
            loss += share_of_loss
            marked_D += pixels_per_code(true_NHW, code_count)
            predicted_D += pixels_per_code(found_NHW, code_count)
            common_D += pixels_per_code(true_NHW[true_NHW == found_NHW], code_count)
            on_batch()
    model.train(was_training)
    iou_D = iou_of(marked_D, predicted_D, common_D)
    iou = mean_iou(iou_D)
    return ValidationFigures(score=iou or 0.0, loss=loss, iou=iou, code_ious=tuple(or_none(one) for one in iou_D))


def _logits(model: nn.Module, pixels_NCHW: Pixels, network_input: NetworkInput, device: torch.device) -> Tensor:
    with torch.inference_mode():
        images_NCHW = torch.from_numpy(pixels_NCHW).to(device).float().div_(255)
        logits_NKHW: Tensor = model(standardized(images_NCHW, network_input)).float()
    return logits_NKHW
