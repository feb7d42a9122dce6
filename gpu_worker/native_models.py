"""The model file of an export, models.xbin: `gpu_worker/native/MODELS_XBIN.md` says what each byte means.

Equal contents give equal bytes.
"""

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from domain.model_packages import NetworkInput, ResolutionRule
from gpu_worker.native_networks import Operation

MAGIC: Final = b"CSOTX\r\n\x1a"
MAJOR, MINOR, SECTION_VERSION = 1, 0, 1
MOST_MARKED_CODES: Final = 255
"""A byte of a mask holds 0, or 1 + the index of the code."""
FACTS, CLASSIFIER, SEGMENTATION, NOTE = b"FACT", b"CLSF", b"SEGM", b"NOTE"

_ALIGNMENT = 64
_REQUIRED = 1
_NO_TENSOR = 0xFFFFFFFF
_EVERY_SIZE, _EXACT_SIZES, _RANGE = 0, 1, 2


class NativeNetwork(msgspec.Struct, frozen=True):
    """A network and how an image becomes its input."""

    input: NetworkInput
    operations: tuple[Operation, ...]


class NativeModel(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a model file. `defect_codes` are the `class_count` classes and, behind them, the special codes.

    `note` is for people.
    """

    defect_codes: tuple[str, ...]
    class_count: int
    resolution_rule: ResolutionRule
    special_code_min_pixels: int = 0
    classifier: NativeNetwork
    segmentation: NativeNetwork | None = None
    note: Mapping[str, object] = {}


def model_file(model: NativeModel) -> bytes:
    """The content of models.xbin."""
    sections = [(FACTS, _facts(model), _REQUIRED), (CLASSIFIER, network_section(model.classifier), _REQUIRED)]
    if model.segmentation is not None:
        sections.append((SEGMENTATION, network_section(model.segmentation), _REQUIRED))
    note = json.dumps(model.note, ensure_ascii=False, sort_keys=True).encode()
    return container([*sections, (NOTE, note, 0)])


def container(sections: Sequence[tuple[bytes, bytes, int]]) -> bytes:
    """A file of sections: name, content and flags of each."""
    position = _aligned(64 + 64 * len(sections))
    table, body = b"", []
    for name, content, flags in sections:
        checksum = hashlib.sha256(content).digest()
        table += struct.pack("<4sIQQII32s", name, SECTION_VERSION, position, len(content), flags, 0, checksum)
        body += [content, bytes(-len(content) % _ALIGNMENT)]
        position += _aligned(len(content))
    head = MAGIC + struct.pack("<IIIIQ", MAJOR, MINOR, len(sections), 0, position)
    return b"".join([head, hashlib.sha256(head + table).digest(), table, *body])


def network_section(network: NativeNetwork) -> bytes:
    """The section of one network."""
    size = network.input
    table, values, position = [], [], 0
    for operation in network.operations:
        filters_OIHW, bias_O = operation.filters, operation.bias
        outputs, inputs, kernel, _ = filters_OIHW.shape
        table.append(
            struct.pack(
                "<9I12xQQ",
                operation.kind,
                operation.source,
                _NO_TENSOR if operation.second is None else operation.second,
                kernel,
                operation.stride,
                operation.padding,
                inputs,
                outputs,
                operation.relu,
                position,
                position + filters_OIHW.size,
            )
        )
        values += [filters_OIHW.ravel(), bias_O]
        position += filters_OIHW.size + bias_O.size
    count = len(network.operations)
    head = struct.pack("<2I6f3I", size.width, size.height, *size.mean, *size.deviation, count + 1, count, count)
    head += bytes(-len(head) % _ALIGNMENT) + b"".join(table)
    head += bytes(-len(head) % _ALIGNMENT)
    return head + np.concatenate(values).astype("<f4", copy=False).tobytes()


def _facts(model: NativeModel) -> bytes:
    content = struct.pack("<2I", model.class_count, len(model.defect_codes))
    for defect_code in model.defect_codes:
        name = defect_code.encode()
        content += struct.pack("<I", len(name)) + name
    return content + _rule(model.resolution_rule) + struct.pack("<I", model.special_code_min_pixels)


def _rule(rule: ResolutionRule) -> bytes:
    if rule.exact_sizes:
        sizes = b"".join(struct.pack("<2I", *size) for size in rule.exact_sizes)
        return struct.pack("<2I", _EXACT_SIZES, len(rule.exact_sizes)) + sizes
    if rule.is_empty:
        return struct.pack("<I", _EVERY_SIZE)
    return struct.pack("<5I", _RANGE, rule.min_width, rule.min_height, rule.max_width, rule.max_height)


def _aligned(size: int) -> int:
    return size + -size % _ALIGNMENT
