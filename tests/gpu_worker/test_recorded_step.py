"""What only a GPU can show: a recorded step, memory that does not suffice. Skipped where there is none."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import torch
from torch import Tensor, nn

from domain.messages import Resources, TrainingOrder, TrainingSucceeded
from domain.training_parameters import Augmentation, SgdParameters
from gpu_worker.child_process import reason_in_child
from gpu_worker.lanes import Lanes
from gpu_worker.networks import new_network
from gpu_worker.parts import Part, parts_of
from gpu_worker.preprocessing import prepare
from gpu_worker.recorded_step import RecordedStep
from gpu_worker.settings import Precision, TrainingSettings
from gpu_worker.sgd import Sgd
from gpu_worker.training import train
from tests.gpu_worker.workplace import Workplace, an_order, paint_codes, paint_defects

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: what only one can show is not tested")
GPU = torch.device("cuda", 0)
EXACT = TrainingSettings(precision=Precision.FLOAT32)


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    paint_defects(tmp_path / "images")
    return Workplace(tmp_path)


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    torch.backends.fp32_precision = "ieee"  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = True
    yield
    torch.backends.cudnn.deterministic = False


def an_order_of_two_parts() -> TrainingOrder:
    sgd = SgdParameters(base_lr=0.02, batch_size=8, max_iter=6)
    return an_order(segmentation=sgd, augmentations=tuple(Augmentation))


def learnt(part: Part, iterations: range, *, is_recorded: bool) -> tuple[list[float], dict[str, Tensor]]:
    """Losses, and the network afterwards."""
    model = new_network(part.network, len(part.defect_codes), 3).to(GPU).to(memory_format=torch.channels_last)
    optimizer = Sgd(model, part.sgd, {})
    losses = []
    with step_of(part, model, is_recorded=is_recorded) as step:
        for iteration in iterations:
            losses.append(step.learn(iteration).item())
            optimizer.step(0.01)
    return losses, model.state_dict()


def step_of(part: Part, model: nn.Module, *, is_recorded: bool) -> Lanes | RecordedStep:
    if is_recorded:
        return RecordedStep(model, part.loss, part.batches(GPU), bfloat16=False)
    return Lanes(model, part.loss, part.batches(GPU), device=GPU, count=1, bfloat16=False)


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("iterations", [range(4), range(5, 8)])
def test_a_recorded_step_learns_what_a_plain_one_learns(place: Workplace, number: int, iterations: range) -> None:
    order = an_order_of_two_parts()
    part = parts_of(order, prepare(order, place.job()))[number]
    plain, weights = learnt(part, iterations, is_recorded=False)
    recorded, same = learnt(part, iterations, is_recorded=True)
    assert recorded == pytest.approx(plain, rel=1e-3)
    for name, tensor in weights.items():
        torch.testing.assert_close(same[name].float(), tensor.float(), rtol=1e-2, atol=1e-3)


def test_iterations_may_come_in_any_order(place: Workplace) -> None:
    order = an_order_of_two_parts()
    part = parts_of(order, prepare(order, place.job()))[0]
    model = new_network(part.network, len(part.defect_codes), 3).to(GPU)
    with step_of(part, model, is_recorded=True) as step:
        first = [step.learn(iteration).item() for iteration in (0, 1, 2)]
        again = [step.learn(iteration).item() for iteration in (2, 0, 1)]
    assert again == pytest.approx([first[2], first[0], first[1]], rel=1e-4)


# W-8
def test_a_training_on_a_gpu_learns(tmp_path: Path) -> None:
    paint_codes(tmp_path / "images", 16)
    place = Workplace(tmp_path)
    order = an_order(max_iter=80, base_lr=0.01, augmentations=(Augmentation.FLIPPING, Augmentation.COLOR_ENHANCEMENT))
    train(order, Resources(), place.job(), TrainingSettings())
    succeeded = place.the(TrainingSucceeded)
    assert "bfloat16" in succeeded.device
    assert (succeeded.figures.accuracy or 0) >= 0.9


def test_memory_that_does_not_suffice_is_a_sentence(place: Workplace) -> None:
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.004)
    try:
        order = msgspec.structs.replace(
            an_order(batch_size=256), input=msgspec.structs.replace(an_order().input, width=512, height=512)
        )
        with pytest.raises(torch.OutOfMemoryError) as failed:
            train(order, Resources(), place.job(), EXACT)
        assert "batch_size" in str(reason_in_child(failed.value))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
