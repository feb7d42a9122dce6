"""The four learning-rate policies. Source: manual, “学习率下降说明”."""

import enum


class LearningRatePolicy(enum.Enum):
    """How the rate falls as training goes on."""

    FIXED = "fixed"
    EXP = "exp"
    INV = "inv"
    POLY = "poly"


def learning_rate(
    policy: LearningRatePolicy, *, base_lr: float, iteration: int, max_iter: int, gamma: float, power: float
) -> float:
    """The rate of one iteration, counted from 0. Source: manual, “学习率下降说明”.

    fixed: base_lr; exp: base_lr·gamma^iter; inv: base_lr·(1 + gamma·iter)^(−power); poly: base_lr·(1 − iter/max_iter)^power.
    """
    match policy:
        case LearningRatePolicy.FIXED:
            return base_lr
        case LearningRatePolicy.EXP:
            return float(base_lr * gamma**iteration)
        case LearningRatePolicy.INV:
            return float(base_lr * (1.0 + gamma * iteration) ** -power)
        case LearningRatePolicy.POLY:
            return float(base_lr * (1.0 - iteration / max_iter) ** power)
