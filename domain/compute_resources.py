"""Compute resources: what a job may use. Source: M-6; manual, “计算资源主数据”."""

import enum
from typing import ClassVar

from domain.facts import Fact, State, evolves, replace
from domain.messages import Resources
from domain.refusals import Refusal, raise_together
from domain.sentences import N_


class ComputeResourceKind(enum.Enum):
    """通用型 or GPU型."""

    GENERAL_PURPOSE = "general_purpose"
    GPU = "gpu"


class ComputeResourceCreated(Fact):
    """Jobs can ask for a further configuration. Memory in GiB; GPU memory per card."""

    TOPIC: ClassVar[str] = "compute_resource.created"
    kind: ComputeResourceKind
    resources: Resources


class ComputeResourceChanged(Fact):
    """The configuration is another one from now on, for waiting jobs as well; running ones keep what they were given."""

    TOPIC: ClassVar[str] = "compute_resource.changed"
    kind: ComputeResourceKind
    resources: Resources


class ComputeResourceDeleted(Fact):
    """No job can ask for the configuration any more."""

    TOPIC: ClassVar[str] = "compute_resource.deleted"


class QuantityIsWrong(Refusal):
    """Every quantity has a sensible range."""

    message = N_("Enter a number between {least} and {most}.")


class GeneralPurposeHasNoGpu(Refusal):
    """通用型 has CPU cores and memory only."""

    field = "gpu_cards"
    message = N_("A general-purpose resource has no GPU. Choose the GPU type, or leave the GPU fields empty.")


class ComputeResource(State):
    """What the rules need of a compute resource."""

    kind: ComputeResourceKind
    resources: Resources
    is_deleted: bool = False


def create(kind: ComputeResourceKind, resources: Resources) -> list[Fact]:
    """A further configuration.

    Raises:
        QuantityIsWrong, GeneralPurposeHasNoGpu (all that apply, together).
    """
    _check(kind, resources)
    return [ComputeResourceCreated(kind=kind, resources=resources)]


def change(resource: ComputeResource, kind: ComputeResourceKind, resources: Resources) -> list[Fact]:
    """Another configuration.

    Raises:
        QuantityIsWrong, GeneralPurposeHasNoGpu (all that apply, together).
    """
    _check(kind, resources)
    if (kind, resources) == (resource.kind, resource.resources):
        return []
    return [ComputeResourceChanged(kind=kind, resources=resources)]


def delete(resource: ComputeResource) -> list[Fact]:
    """Offer it no more."""
    return [ComputeResourceDeleted()]


def _check(kind: ComputeResourceKind, resources: Resources) -> None:
    refusals: list[Refusal] = []
    limits: list[tuple[str, float, float, float]] = [
        ("cpu_cores", resources.cpu_cores, 1, 1024),
        ("memory_gib", resources.memory_gib, 1, 65536),
    ]
    if kind is ComputeResourceKind.GPU:
        limits += [
            ("gpu_cards", resources.gpu_cards, 1, 64),
            ("gpu_memory_gib", resources.gpu_memory_gib, 1, 4096),
        ]
    elif resources.gpu_cards or resources.gpu_memory_gib:
        refusals.append(GeneralPurposeHasNoGpu())
    refusals += [
        QuantityIsWrong(at=field, least=least, most=most)
        for field, value, least, most in limits
        if not least <= value <= most
    ]
    raise_together(refusals)


EVOLVE = evolves(
    ComputeResource,
    {
        ComputeResourceCreated: lambda resource, fact: ComputeResource(kind=fact.kind, resources=fact.resources),
        ComputeResourceChanged: lambda resource, fact: replace(resource, kind=fact.kind, resources=fact.resources),
        ComputeResourceDeleted: lambda resource, fact: replace(resource, is_deleted=True),
    },
)
