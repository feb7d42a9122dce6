"""W-7. The golden figures were worked out by hand from the manual's formulas, not by this code."""

import pytest

from domain.learning_rates import LearningRatePolicy, learning_rate

FIXED, EXP, INV, POLY = LearningRatePolicy


@pytest.mark.parametrize(
    ("policy", "base_lr", "iteration", "max_iter", "gamma", "power", "expected"),
    [
        (FIXED, 0.001, 0, 40_000, 0.1, 0.9, 0.001),
        (FIXED, 0.001, 39_999, 40_000, 0.1, 0.9, 0.001),
        (EXP, 0.01, 0, 100, 0.5, 0.9, 0.01),
        (EXP, 0.01, 1, 100, 0.5, 0.9, 0.005),
        (EXP, 0.01, 10, 100, 0.5, 0.9, 9.765625e-06),
        (EXP, 1.0, 1000, 10_000, 0.999, 0.9, 0.36769542477096373),
        (INV, 0.01, 0, 100, 0.1, 2.0, 0.01),
        (INV, 0.01, 10, 100, 0.1, 2.0, 0.0025),
        (INV, 0.01, 90, 100, 0.1, 1.0, 0.001),
        (INV, 0.01, 30, 100, 0.1, 0.5, 0.005),
        (POLY, 0.001, 0, 40_000, 0.1, 0.9, 0.001),
        (POLY, 0.001, 20_000, 40_000, 0.1, 1.0, 0.0005),
        (POLY, 0.01, 75_000, 100_000, 0.1, 0.5, 0.005),
        (POLY, 0.001, 20_000, 40_000, 0.1, 0.9, 0.0005358867312681466),
        (POLY, 0.001, 40_000, 40_000, 0.1, 0.9, 0.0),
        (POLY, 0.001, 39_999, 40_000, 0.1, 0.0, 0.001),
    ],
)
def test_the_rate_follows_the_formula_of_the_manual(
    policy: LearningRatePolicy,
    base_lr: float,
    iteration: int,
    max_iter: int,
    gamma: float,
    power: float,
    expected: float,
) -> None:
    rate = learning_rate(policy, base_lr=base_lr, iteration=iteration, max_iter=max_iter, gamma=gamma, power=power)
    assert rate == pytest.approx(expected, rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("policy", [EXP, INV, POLY])
def test_the_rate_never_rises(policy: LearningRatePolicy) -> None:
    rates = [
        learning_rate(policy, base_lr=0.01, iteration=iteration, max_iter=500, gamma=0.99, power=0.9)
        for iteration in range(501)
    ]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 0.01
    assert rates[-1] < 0.001


def test_a_rate_too_small_for_a_number_is_zero_and_no_error() -> None:
    assert learning_rate(EXP, base_lr=0.001, iteration=40_000, max_iter=40_000, gamma=0.1, power=0.9) == 0.0
