"""A model version as the native library takes it."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import nn

from domain.messages import VersionToPredict
from domain.model_packages import NetworkInput
from domain.refusals import Refusal
from domain.sentences import N_
from gpu_worker.native_models import MOST_MARKED_CODES, NativeModel, NativeNetwork
from gpu_worker.native_networks import operations_of


class TooManyCodesToMark(Refusal):
    """A pixel of a mask is a byte."""

    message = N_(
        "The model has {count} defect codes, but a mask of the native library can tell {most} apart. Train with fewer codes, or "
        "without segmentation."
    )


class Platform(NamedTuple):
    """The version's networks as the platform computes them; `defect_codes` are the `class_count` classes and the special codes."""

    classifier: nn.Module
    segmentation: nn.Module | None
    defect_codes: tuple[str, ...]
    class_count: int


def native_model(version: VersionToPredict, platform: Platform, note: Mapping[str, object]) -> NativeModel:
    """The content of models.xbin; `note` is for people.

    Raises:
        TooManyCodesToMark
    """
    codes, segmentation = platform.defect_codes, version.segmentation
    if segmentation is not None and len(codes) > MOST_MARKED_CODES:
        raise TooManyCodesToMark(count=len(codes), most=MOST_MARKED_CODES)
    return NativeModel(
        defect_codes=codes,
        class_count=platform.class_count,
        resolution_rule=version.resolution_rule,
        special_code_min_pixels=0 if segmentation is None else segmentation.special_code_min_pixels,
        classifier=_native(version.input, platform.classifier),
        segmentation=None
        if segmentation is None or platform.segmentation is None
        else _native(segmentation.input, platform.segmentation),
        note=note,
    )


def _native(network_input: NetworkInput, model: nn.Module) -> NativeNetwork:
    return NativeNetwork(network_input, operations_of(model))
