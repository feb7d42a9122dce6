"""The optimiser and its rates against torch's own, step by step."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR, LRScheduler, PolynomialLR

from domain.learning_rates import LearningRatePolicy
from domain.training_parameters import SgdParameters
from gpu_worker.randomness import stream
from gpu_worker.sgd import Sgd

ITERATIONS = 200
GAMMAS = {LearningRatePolicy.EXP: 0.98, LearningRatePolicy.INV: 0.05}
SCHEDULES: dict[LearningRatePolicy, Callable[[Optimizer, SgdParameters], LRScheduler]] = {
    LearningRatePolicy.FIXED: lambda optimizer, _: LambdaLR(optimizer, lambda _: 1.0),
    LearningRatePolicy.EXP: lambda optimizer, sgd: ExponentialLR(optimizer, sgd.gamma),
    LearningRatePolicy.INV: lambda optimizer, sgd: LambdaLR(
        optimizer, lambda iteration: math.exp(-sgd.power * math.log1p(sgd.gamma * iteration))
    ),
    LearningRatePolicy.POLY: lambda optimizer, sgd: PolynomialLR(optimizer, sgd.max_iter, sgd.power),
}


def settings_of(policy: LearningRatePolicy) -> SgdParameters:
    return SgdParameters(
        base_lr=0.01,
        batch_size=4,
        max_iter=ITERATIONS,
        weight_decay=0.05,
        momentum=0.8,
        lr_policy=policy,
        power=0.9,
        gamma=GAMMAS.get(policy, 0.1),
    )


def a_network() -> nn.Sequential:
    """With all that a decay may be for: filters, scales, shifts and biases."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 2))


def reference(model: nn.Module, sgd: SgdParameters) -> SGD:
    """torch's class, told by hand what is a filter: of four dimensions in a convolution, of two in a linear layer."""
    named = dict(model.named_parameters())
    filters = [named.pop("0.weight"), named.pop("3.weight")]
    assert sorted(named) == ["0.bias", "1.bias", "1.weight", "3.bias"]
    groups = [{"params": filters, "weight_decay": sgd.weight_decay}, {"params": [*named.values()], "weight_decay": 0.0}]
    return SGD(groups, lr=sgd.base_lr, momentum=sgd.momentum)


# W-6
@pytest.mark.parametrize("policy", LearningRatePolicy)
def test_two_hundred_steps_are_those_of_torch_to_the_last_bit(policy: LearningRatePolicy) -> None:
    sgd = settings_of(policy)
    ours, theirs = a_network(), a_network()
    optimizer, expected = Sgd(ours, sgd, {}), reference(theirs, sgd)
    for iteration in range(ITERATIONS):
        images = torch.randn(4, 3, 8, 8, generator=stream(1, "images", iteration))
        for model in (ours, theirs):
            (model(images) - 1).square().mean().backward()
        for group in expected.param_groups:
            group["lr"] = sgd.rate_at(iteration)
        optimizer.step(sgd.rate_at(iteration))
        expected.step()
        expected.zero_grad()
        if iteration % 50 == 7:
            optimizer = Sgd(ours, sgd, optimizer.momenta)  # as after a checkpoint
    for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other), name
        assert one.grad is None, name


# W-7
@pytest.mark.parametrize("policy", LearningRatePolicy)
def test_the_rates_are_those_of_torchs_schedules(policy: LearningRatePolicy) -> None:
    sgd = settings_of(policy)
    optimizer = reference(a_network(), sgd)
    schedule = SCHEDULES[policy](optimizer, sgd)
    for iteration in range(ITERATIONS):
        assert sgd.rate_at(iteration) == pytest.approx(schedule.get_last_lr()[0], rel=1e-10)
        optimizer.step()
        schedule.step()
    assert (sgd.rate_at(ITERATIONS - 1) < 0.5 * sgd.base_lr) is (policy is not LearningRatePolicy.FIXED)
