"""What a training is compared with: torchvision's usual recipe. ImageFolder, a DataLoader with worker processes, PIL transforms,
float32 in torch's default layout, `torch.optim.SGD`, an evaluation after each epoch.

Source: torchvision's references/classification/train.py, with the augmentations that ours are called there.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torchvision  # type: ignore[import-untyped]
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision.transforms import v2  # type: ignore[import-untyped]

from domain.messages import Resources
from domain.model_packages import NetworkInput
from gpu_worker.devices import chosen_device


def plain_transform(network_input: NetworkInput) -> nn.Module:
    """For learning: our augmentations as torchvision has them."""
    recipe: nn.Module = v2.Compose(
        [
            v2.Resize((network_input.height, network_input.width), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomAffine(degrees=0, scale=(0.85, 1.2), interpolation=v2.InterpolationMode.BILINEAR),
            v2.ColorJitter(brightness=0.25, saturation=0.25, hue=0.02),
            *_as_tensor(network_input),
        ]
    )
    return recipe


def plain_evaluation(network_input: NetworkInput) -> nn.Module:
    """For judging: the same without anything random."""
    recipe: nn.Module = v2.Compose(
        [v2.Resize((network_input.height, network_input.width), antialias=True), *_as_tensor(network_input)]
    )
    return recipe


def _as_tensor(network_input: NetworkInput) -> list[nn.Module]:
    return [
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(network_input.mean, network_input.deviation),
    ]


class PlainTraining:
    """The recipe on two folders of code folders. Worker processes stay from epoch to epoch, as their makers advise."""

    def __init__(
        self,
        training: Path,
        validation: Path,
        network_input: NetworkInput,
        *,
        batch_size: int,
        workers: int,
        rate: Callable[[int], float],
    ) -> None:
        """`rate` is the learning rate of an iteration, counted from 0."""
        self.rate = rate
        learnt_from = torchvision.datasets.ImageFolder(training, transform=plain_transform(network_input))
        self.batches = DataLoader(
            learnt_from,
            batch_size=batch_size,
            shuffle=True,
            num_workers=workers,
            drop_last=True,
            persistent_workers=True,
        )
        self.validation = DataLoader(
            torchvision.datasets.ImageFolder(validation, transform=plain_evaluation(network_input)),
            batch_size=64,
            num_workers=workers,
            persistent_workers=True,
        )
        self.device = chosen_device(Resources())
        self.model = torchvision.models.resnet18(weights=None, num_classes=len(learnt_from.classes)).to(self.device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=rate(0), momentum=0.9, weight_decay=5e-4)
        self.waited_seconds = 0.0
        """How long the loop waited for batches of the training."""

    def epochs(self, count: int) -> Iterator[float]:
        """The validation accuracy after each epoch."""
        iteration = 0
        for _ in range(count):
            self.model.train()
            asked = time.perf_counter()
            for samples, labels in self.batches:
                self.waited_seconds += time.perf_counter() - asked
                self.optimizer.param_groups[0]["lr"] = self.rate(iteration)
                self.optimizer.zero_grad()
                loss = functional.cross_entropy(self.model(samples.to(self.device)), labels.to(self.device))
                loss.backward()  # type: ignore[no-untyped-call]
                self.optimizer.step()
                iteration += 1
                asked = time.perf_counter()
            yield self._accuracy()

    def _accuracy(self) -> float:
        self.model.eval()
        right = count = 0
        with torch.inference_mode():
            for samples, labels in self.validation:
                right += int((self.model(samples.to(self.device)).argmax(1).cpu() == labels).sum())
                count += len(labels)
        return right / count
