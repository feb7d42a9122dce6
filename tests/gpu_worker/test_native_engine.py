"""The native engine, operation by operation and on every instruction set, against torch and Pillow. Source: REQUIREMENTS X-1."""

import ctypes
import hashlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from gpu_worker.native_library import RGB8
from gpu_worker.native_networks import Operation, OperationKind, Operations
from tests.gpu_worker.native_parts import (
    INSTRUCTION_SETS,
    Pixels,
    a_picture,
    native_network,
    probe,
    run_network,
    runnable_sets,
)

on_every_set = pytest.mark.parametrize("instruction_set", runnable_sets())

CONVOLUTIONS = [
    # inputs, outputs, kernel, stride, padding, height, width
    (16, 16, 1, 1, 0, 9, 9),
    (64, 256, 1, 1, 0, 7, 7),  # four blocks at once
    (48, 20, 1, 2, 0, 14, 11),  # the shortcut of a ResNet; channels that fill no block
    (64, 32, 3, 2, 1, 15, 13),
    (16, 48, 3, 1, 1, 6, 5),  # too few channels for Winograd
    (32, 40, 3, 1, 1, 14, 19),  # Winograd, with patches that reach beyond the halo
    (64, 64, 3, 1, 1, 16, 16),  # Winograd, tiles that fit
    (512, 128, 3, 1, 1, 7, 7),  # Winograd in small tiles, with patches that reach beyond the halo
    (32, 24, 3, 1, 1, 8, 8),  # small tiles that fit
    (64, 64, 3, 1, 1, 5, 5),  # too few tiles for Winograd
    (512, 128, 3, 2, 1, 13, 13),  # input channels in several chunks
    (33, 17, 5, 1, 2, 10, 30),
    (16, 16, 7, 2, 3, 12, 12),
    (32, 32, 3, 1, 0, 12, 12),  # without padding
]


def stem(outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """Brings an image to as many channels as the operation under test wants."""
    torch.manual_seed(outputs)
    return nn.Conv2d(3, outputs, kernel, stride, padding=kernel // 2)


def images(count: int, height: int, width: int) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(height * width))


def check(
    operations: Operations, expected_NCHW: Tensor, images_NCHW: Tensor, instruction_set: str, threads: int = 1
) -> None:
    found = run_network(
        operations.written, images_NCHW.numpy(), tuple(expected_NCHW.shape[1:]), instruction_set, threads
    )
    scale = max(1.0, float(expected_NCHW.abs().max()))
    np.testing.assert_allclose(found, expected_NCHW.numpy(), rtol=0, atol=3e-5 * scale)


@on_every_set
@torch.inference_mode()
@pytest.mark.parametrize(("inputs", "outputs", "kernel", "stride", "padding", "height", "width"), CONVOLUTIONS)
@pytest.mark.parametrize("relu", [False, True])
def test_convolutions(
    instruction_set: str,
    relu: bool,
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int,
    padding: int,
    height: int,
    width: int,
) -> None:
    first = stem(inputs)
    torch.manual_seed(kernel)
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding)
    operations = Operations()
    operations.convolution(operations.convolution(0, first), convolution, relu=relu)
    images_NCHW = images(3, height, width)
    expected = convolution(first(images_NCHW))
    check(operations, expected.relu() if relu else expected, images_NCHW, instruction_set)


@on_every_set
@torch.inference_mode()
@pytest.mark.parametrize("side", [5, 7, 16])  # the direct way, and Winograd's in small and large tiles
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_second_tensor_is_added(instruction_set: str, side: int, relu: bool, threads: int) -> None:
    first, convolution = stem(64), nn.Conv2d(64, 64, 3, padding=1)
    operations = Operations()
    source = operations.convolution(0, first)
    operations.convolution(source, convolution, relu=relu, added=source)
    images_NCHW = images(3, side, side)
    before = first(images_NCHW)
    expected = convolution(before) + before
    check(operations, expected.relu() if relu else expected, images_NCHW, instruction_set, threads)


@torch.inference_mode()
def test_weights_may_be_shared_and_lie_in_any_order() -> None:
    """Memory of weights is given back when they are packed, but not before the last operation that reads them is."""
    first, shared, other = stem(64), nn.Conv2d(64, 64, 3, padding=1), nn.Conv2d(64, 64, 3, padding=1)
    operations = Operations()
    for convolution in (first, shared, other, shared):
        operations.convolution(len(operations.written), convolution)

    def as_one_would_write_it_by_hand(section: bytes) -> bytes:
        """The second convolution reads what lies last, the fourth reads it again."""
        places = [64 + 64 * number + 48 for number in range(4)]
        _, of_shared, of_other, of_copy = (section[place : place + 16] for place in places)
        assert of_shared != of_copy
        for place, weights in zip(places[1:], (of_copy, of_other, of_copy), strict=True):
            section = section[:place] + weights + section[place + 16 :]
        return section

    images_NCHW = images(1, 12, 12)
    expected = shared(other(shared(first(images_NCHW))))
    found = run_network(
        operations.written, images_NCHW.numpy(), (64, 12, 12), "base", change=as_one_would_write_it_by_hand
    )
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=3e-5)


@on_every_set
@torch.inference_mode()
@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (3, 1), (1, 2), (5, 2)])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (17, 45)])
def test_an_image_is_read_in_three_channels(
    instruction_set: str, kernel: int, stride: int, height: int, width: int
) -> None:
    first = stem(20, kernel, stride)
    operations = Operations()
    operations.convolution(0, first)
    images_NCHW = images(2, height, width)
    check(operations, first(images_NCHW), images_NCHW, instruction_set)


@on_every_set
@torch.inference_mode()
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (OperationKind.MAX_POOL, lambda maps: functional.max_pool2d(maps, 3, 2, 1)),
        (OperationKind.AVERAGE, lambda maps: maps.mean((2, 3), keepdim=True)),
        (OperationKind.DOUBLING, lambda maps: functional.interpolate(maps, scale_factor=2.0, mode="nearest")),
    ],
)
@pytest.mark.parametrize(("height", "width"), [(12, 12), (7, 9), (1, 1)])
def test_operations_without_weights(
    instruction_set: str, kind: OperationKind, expected: Callable[[Tensor], Tensor], height: int, width: int
) -> None:
    first = stem(24)  # without ReLU: a maximum of negative values is no zero from the padding
    operations = Operations()
    operations.write(Operation(kind, operations.convolution(0, first)))
    images_NCHW = images(2, height, width)
    check(operations, expected(first(images_NCHW)), images_NCHW, instruction_set)


@on_every_set
@torch.inference_mode()
def test_channels_are_joined(instruction_set: str) -> None:
    first, second = stem(32), nn.Conv2d(32, 24, 1)
    operations = Operations()
    one = operations.convolution(0, first)
    operations.write(Operation(OperationKind.JOINING, one, operations.convolution(one, second)))
    images_NCHW = images(2, 6, 10)
    before = first(images_NCHW)
    check(operations, torch.cat([before, second(before)], 1), images_NCHW, instruction_set)


#
@on_every_set
@torch.inference_mode()
@pytest.mark.parametrize(
    ("network", "side", "threads"),
    [("ResNet18", 96, 1), ("ResNet34", 64, 2), ("ResNet50", 64, 1), ("UNet-ResNet18", 96, 2)],
)
def test_whole_networks(instruction_set: str, network: str, side: int, threads: int) -> None:
    model, native = native_network(network, 5, side)
    images_NCHW = images(2, side, side)
    logits = model(images_NCHW)
    # The engine leaves out the last doubling of a segmentation.
    logits = logits[:, :, None, None] if logits.ndim == 2 else logits[:, :, ::2, ::2]
    found = run_network(native.operations, images_NCHW.numpy(), tuple(logits.shape[1:]), instruction_set, threads)
    apart = torch.from_numpy(found).softmax(1) - logits.softmax(1)
    assert apart.abs().max() < 1e-5


@on_every_set
@torch.inference_mode()
def test_batch_and_threads_change_no_bit(instruction_set: str) -> None:
    _, native = native_network("ResNet18", 3, 64)
    images_NCHW = images(11, 64, 64).numpy()  # more than fit at once

    def run(chosen: slice, threads: int) -> bytes:
        return run_network(native.operations, images_NCHW[chosen], (3, 1, 1), instruction_set, threads).tobytes()

    together = run(slice(None), 1)
    assert together == b"".join(run(slice(i, i + 1), 1) for i in range(11))
    assert together == run(slice(None), 3)


def resized(pixels: Pixels, width: int, height: int, pixel_format: int = RGB8) -> Pixels:
    result = np.empty((height, width, 3), np.uint8)
    probe().probe_resize(
        pixels.ctypes.data_as(ctypes.c_void_p),
        pixels.shape[1],
        pixels.shape[0],
        pixels.strides[0],
        pixel_format,
        width,
        height,
        result.ctypes.data_as(ctypes.c_void_p),
    )
    return result


@pytest.mark.parametrize("seed", range(60))
def test_resizing_is_that_of_pillow_to_the_bit(seed: int) -> None:
    random = np.random.default_rng(seed)
    width, height, to_width, to_height = (int(side) for side in random.integers(1, 160, 4))
    if seed % 3 == 0:  # about where Pillow begins with the other direction
        height = max(1, 2 * (width - to_width) + to_height + seed % 4 - 1)
    pixels = random.integers(0, 256, (height, width, 3), np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize((to_width, to_height), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(resized(pixels, to_width, to_height), expected)


@pytest.mark.parametrize(
    ("pixel_format", "order"), [(0, [0, 0, 0]), (1, [0, 1, 2]), (2, [2, 1, 0]), (3, [0, 1, 2]), (4, [2, 1, 0])]
)
@pytest.mark.parametrize("size", [(32, 24), (40, 50), (20, 90)])
def test_every_format_is_read(pixel_format: int, order: list[int], size: tuple[int, int]) -> None:
    channels = {0: 1, 1: 3, 2: 3, 3: 4, 4: 4}[pixel_format]
    padded = np.random.default_rng(1).integers(0, 256, (50, 48, channels), np.uint8)
    pixels = padded[:, :40]  # rows with a rest behind them
    rgb = np.ascontiguousarray(pixels[:, :, order])
    expected = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(resized(pixels, *size, pixel_format), expected)


@pytest.mark.parametrize(("source", "count"), [(64, 40), (64, 63), (256, 1000), (7, 3), (3, 7), (96, 640)])
def test_nearest_pixels_are_those_of_pillow(source: int, count: int) -> None:
    found = np.empty(count, np.int32)
    probe().probe_nearest(source, count, found.ctypes.data_as(ctypes.c_void_p))
    row = Image.fromarray(np.arange(source, dtype=np.uint8)[None])
    np.testing.assert_array_equal(found, np.asarray(row.resize((count, 1), Image.Resampling.NEAREST))[0])


@pytest.mark.parametrize("count", [0, 1, 55, 56, 63, 64, 65, 1000])
@pytest.mark.parametrize("part", [1, 7, 64, 1000])
def test_checksums_are_sha256(count: int, part: int) -> None:
    content = a_picture(1, 40, 40).tobytes()[:count]
    digest = ctypes.create_string_buffer(32)
    probe().probe_sha256(content, ctypes.c_size_t(count), ctypes.c_size_t(part), digest)
    assert digest.raw == hashlib.sha256(content).digest()


def test_only_instruction_sets_of_the_processor_are_used() -> None:
    assert [name for name in (*INSTRUCTION_SETS, "neon") if probe().probe_runs(name.encode())] == list(runnable_sets())
