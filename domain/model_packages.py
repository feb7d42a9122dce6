"""What an algorithm package (模型镜像) says of itself: the content of its `image.yaml`, checked.

The values are shared by the model image aggregate, the messages to workers and the workers themselves.
"""

import enum

import msgspec

from domain.artifacts import Artifact


class NetworkTask(enum.Enum):
    """What a network is for."""

    CLASSIFICATION = "classification"
    SEGMENTATION = "segmentation"


class ResolutionRule(msgspec.Struct, frozen=True, kw_only=True):
    """Which image sizes comply: one of `exact_sizes` (width, height), or within the range (inclusive, pixels).

    An empty rule (no sizes, no range) means that the most frequent size of the training images becomes the rule (W-10).
    """

    exact_sizes: tuple[tuple[int, int], ...] = ()
    min_width: int = 0
    min_height: int = 0
    max_width: int = 0
    max_height: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether the package leaves the rule to the training images."""
        return not self.exact_sizes and not self.max_width and not self.max_height

    def complies(self, width: int, height: int) -> bool:
        """Whether an image of this size is a compliant sample; every size complies with an empty rule."""
        if self.exact_sizes:
            return (width, height) in self.exact_sizes
        if self.is_empty:
            return True
        return self.min_width <= width <= self.max_width and self.min_height <= height <= self.max_height


class NetworkInput(msgspec.Struct, frozen=True, kw_only=True):
    """How an image becomes the network's input: resized to (width, height) pixels, scaled to 0..1, then standardised.

    `mean` and `deviation` are per RGB channel in the scaled range.
    """

    width: int
    height: int
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    deviation: tuple[float, float, float] = (0.229, 0.224, 0.225)


class OfferedNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """A network the package offers for one task; `weights` are its initial weights (safetensors) once loaded."""

    task: NetworkTask
    name: str
    input: NetworkInput
    weights: Artifact | None = None


class ModelPackage(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of a package but its files. Parameters are JSON text exactly as a person will see them in the editor."""

    networks: tuple[OfferedNetwork, ...]
    resolution_rule: ResolutionRule = ResolutionRule()
    model_parameters: str = "{}"
    training_parameters: str = "{}"
    prediction_parameters: str = "{}"
    special_code_min_pixels: int = 1
    summary: str = ""

    def network(self, task: NetworkTask, name: str) -> OfferedNetwork | None:
        """The offered network of that task and name, None where the package has none."""
        return next((n for n in self.networks if n.task is task and n.name == name), None)

    def networks_for(self, task: NetworkTask) -> tuple[OfferedNetwork, ...]:
        """All networks offered for a task, in the package's order."""
        return tuple(network for network in self.networks if network.task is task)
