"""Lanes: several threads learn from one batch and give the gradients of the whole."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from domain.training_parameters import Augmentation, SgdParameters
from gpu_worker.batches import Batches
from gpu_worker.lanes import Lanes, Loss, lane_count
from gpu_worker.parts import parts_of
from gpu_worker.preprocessing import prepare
from gpu_worker.sgd import Sgd
from tests.gpu_worker.workplace import Workplace, an_order, paint_codes

CPU = torch.device("cpu")


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    paint_codes(tmp_path / "images")
    return Workplace(tmp_path)


def batches_of(place: Workplace, batch_size: int) -> Batches:
    order = an_order(batch_size=batch_size, augmentations=tuple(Augmentation), split_ratio=0.75)
    (part,) = parts_of(order, prepare(order, place.job()))
    return part.batches(CPU)


def a_network() -> nn.Sequential:
    """With batch normalisation, so that it matters which images stand together."""
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 30 * 30, 3))


def two_lanes(model: nn.Module, batches: Batches, loss: Loss = functional.cross_entropy) -> Lanes:
    return Lanes(model, loss, batches, device=CPU, count=2, bfloat16=False)


def gradients_of(model: nn.Module) -> list[Tensor]:
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


def test_images_that_lie_on_the_device_make_the_batch_that_those_in_files_make(place: Workplace) -> None:
    in_files, on_device = batches_of(place, 16), batches_of(place, 16)
    on_device.resident = torch.from_numpy(on_device.images.gather(np.arange(len(on_device.images))))
    for iteration in range(3):
        fetched = on_device.fetch(on_device.chosen(iteration))
        assert fetched.pixels.shape == (16,)
        for same, wanted in zip(
            on_device.make(fetched), in_files.make(in_files.fetch(in_files.chosen(iteration))), strict=True
        ):
            assert torch.equal(same, wanted)


@pytest.mark.parametrize("batch_size", [18, 17])  # of an odd batch one lane has more
def test_lanes_give_the_gradients_of_the_mean_loss_over_all_images(place: Workplace, batch_size: int) -> None:
    batches, model, plain = batches_of(place, batch_size), a_network(), a_network()
    with two_lanes(model, batches) as lanes:
        loss = lanes.learn(0)
    images, labels = batches.make(batches.fetch(batches.chosen(0)))
    whole = torch.zeros(())
    for lane in range(2):
        mine = slice(lane, None, 2)
        whole = whole + functional.cross_entropy(plain(images[mine]), labels[mine]) * len(labels[mine]) / batch_size
    whole.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(whole.item(), rel=1e-5)
    for ours, theirs in zip(gradients_of(model), gradients_of(plain), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_step_moves_the_parameters_of_all_lanes_and_their_statistics_are_the_mean(place: Workplace) -> None:
    batches, model = batches_of(place, 16), a_network()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    means: list[Tensor] = []
    for lane in range(2):
        alone = a_network()
        alone(batches.make(batches.fetch(batches.chosen(0).part(slice(lane, None, 2))))[0])
        means.append(dict(alone.named_buffers())["1.running_mean"])
    with two_lanes(model, batches) as lanes:
        lanes.learn(0)
        Sgd(model, SgdParameters(base_lr=0.1, batch_size=16, max_iter=1), {}).step(0.1)
        for own, other, old in zip(model.parameters(), lanes.models[1].parameters(), before, strict=True):
            assert own.data_ptr() == other.data_ptr()
            assert other.grad is None
            assert not torch.equal(own, old)
        for kept, others in zip(model.buffers(), lanes.models[1].buffers(), strict=True):
            assert torch.equal(kept, others)
    torch.testing.assert_close(dict(model.named_buffers())["1.running_mean"], torch.stack(means).mean(0))


def test_lanes_share_the_threads_between_them_and_give_them_back(place: Workplace) -> None:
    torch.set_num_threads(5)
    seen: list[int] = []

    def looking(logits: Tensor, labels: Tensor) -> Tensor:
        seen.append(torch.get_num_threads())
        return functional.cross_entropy(logits, labels)

    with two_lanes(a_network(), batches_of(place, 16), looking) as lanes:
        lanes.learn(0)
    assert seen == [2, 2]
    assert torch.get_num_threads() == 5


def test_what_goes_wrong_in_a_lane_reaches_the_loop(place: Workplace) -> None:
    def broken(logits: Tensor, labels: Tensor) -> Tensor:
        raise MemoryError

    batches = batches_of(place, 16)
    with two_lanes(a_network(), batches, broken) as lanes, pytest.raises(MemoryError):
        lanes.learn(0)


@pytest.mark.parametrize(
    ("device", "threads", "images", "fewest", "lanes"),
    [
        ("cpu", 2, 32, 8, 2),
        ("cpu", 2, 15, 8, 1),  # seven images say too little of the others
        ("cpu", 2, 8, 4, 2),  # of a segmentation each has places enough
        ("cpu", 2, 7, 4, 1),
        ("cpu", 1, 64, 8, 1),
        ("cpu", 64, 512, 8, 8),
        ("cpu", 4, 24, 8, 3),
        ("cuda", 16, 512, 8, 1),
    ],
)
def test_there_are_as_many_lanes_as_threads_that_have_enough_images(
    device: str, threads: int, images: int, fewest: int, lanes: int
) -> None:
    assert lane_count(torch.device(device), threads, images, fewest) == lanes
