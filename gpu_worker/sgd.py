"""Stochastic gradient descent with momentum (W-6), computed by torch's own function.

The class `torch.optim.SGD` would do the same, but making one loads torch's compiler: five seconds of every job.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

from domain.training_parameters import SgdParameters


class Sgd:
    """Weight decay keeps filters small; on biases and normalisation it would only do harm, so it is for tensors of 2 or more
    dimensions. `momenta` are by the names of the parameters, empty at the start of a training.
    """

    def __init__(self, model: nn.Module, settings: SgdParameters, momenta: Mapping[str, Tensor]) -> None:
        self.settings = settings
        self.parameters = dict(model.named_parameters())
        self.is_on_gpu = any(parameter.is_cuda for parameter in self.parameters.values())
        """There, one kernel over all tensors is done soonest; on a CPU each tensor by itself is: it stays in the cache."""
        self.momenta = {
            name: momenta[name].to(parameter.device) if momenta else torch.zeros_like(parameter)
            for name, parameter in self.parameters.items()
        }

    def step(self, rate: float) -> None:
        """Move every parameter against its gradient, and forget the gradients."""
        filters = [name for name, parameter in self.parameters.items() if parameter.ndim > 1]
        others = [name for name, parameter in self.parameters.items() if parameter.ndim <= 1]
        for names, weight_decay in ((filters, self.settings.weight_decay), (others, 0.0)):
            parameters: list[Tensor] = [self.parameters[name] for name in names]
            with torch.no_grad():
                sgd(
                    parameters,
                    [parameter.grad for parameter in parameters if parameter.grad is not None],
                    [self.momenta[name] for name in names],
                    fused=self.is_on_gpu,
                    lr=rate,
                    weight_decay=weight_decay,
                    momentum=self.settings.momentum,
                    dampening=0,
                    nesterov=False,
                    maximize=False,
                )
        for parameter in self.parameters.values():
            parameter.grad = None
