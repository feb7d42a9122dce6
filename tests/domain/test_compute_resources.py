"""Compute resources: general-purpose or GPU, every quantity in a sensible range; and which worker can give one."""

import pytest

from domain.compute_resources import (
    ComputeResourceChanged,
    ComputeResourceCreated,
    ComputeResourceDeleted,
    ComputeResourceKind,
    GeneralPurposeHasNoGpu,
    QuantityIsWrong,
    change,
    create,
    delete,
)
from domain.messages import Resources
from tests.examples import ONE_GPU, TWO_CORES
from tests.given_when_then import given, when

GENERAL, GPU = ComputeResourceKind.GENERAL_PURPOSE, ComputeResourceKind.GPU


@pytest.mark.parametrize("created", [TWO_CORES, ONE_GPU])
def test_both_kinds_can_be_created(created: ComputeResourceCreated) -> None:  # M-6
    when(create, created.kind, created.resources).then(created)


@pytest.mark.parametrize(
    ("resources", "field"),
    [
        (Resources(cpu_cores=0, memory_gib=4), "cpu_cores"),
        (Resources(cpu_cores=1025, memory_gib=4), "cpu_cores"),
        (Resources(cpu_cores=2, memory_gib=0.5), "memory_gib"),
        (Resources(cpu_cores=2, memory_gib=65537), "memory_gib"),
    ],
)
def test_cores_and_memory_have_sensible_ranges(resources: Resources, field: str) -> None:  # M-6
    when(create, GENERAL, resources).then_refused(QuantityIsWrong, "between 1 and", at=field)


@pytest.mark.parametrize(
    ("resources", "field"),
    [
        (Resources(cpu_cores=8, memory_gib=32, gpu_cards=0, gpu_memory_gib=24), "gpu_cards"),
        (Resources(cpu_cores=8, memory_gib=32, gpu_cards=65, gpu_memory_gib=24), "gpu_cards"),
        (Resources(cpu_cores=8, memory_gib=32, gpu_cards=1, gpu_memory_gib=0), "gpu_memory_gib"),
        (Resources(cpu_cores=8, memory_gib=32, gpu_cards=1, gpu_memory_gib=4097), "gpu_memory_gib"),
    ],
)
def test_a_gpu_resource_needs_cards_and_their_memory(resources: Resources, field: str) -> None:  # M-6
    when(create, GPU, resources).then_refused(QuantityIsWrong, "between 1 and", at=field)


@pytest.mark.parametrize(
    "resources",
    [
        Resources(cpu_cores=1, memory_gib=1, gpu_cards=1, gpu_memory_gib=1),
        Resources(cpu_cores=1024, memory_gib=65536, gpu_cards=64, gpu_memory_gib=4096),
    ],
)
def test_the_ends_of_a_range_belong_to_it(resources: Resources) -> None:  # M-6
    when(create, GPU, resources).then(ComputeResourceCreated(kind=GPU, resources=resources))


@pytest.mark.parametrize(
    "resources",
    [Resources(cpu_cores=2, memory_gib=4, gpu_cards=1), Resources(cpu_cores=2, memory_gib=4, gpu_memory_gib=8)],
)
def test_a_general_purpose_resource_has_no_gpu(resources: Resources) -> None:  # M-6
    when(create, GENERAL, resources).then_refused(GeneralPurposeHasNoGpu, "Choose the GPU type", at="gpu_cards")


def test_every_wrong_quantity_is_told_at_once() -> None:  # M-6
    empty = Resources(cpu_cores=0, memory_gib=0, gpu_cards=0, gpu_memory_gib=0)
    when(create, GPU, empty).then_refused_together(QuantityIsWrong, QuantityIsWrong, QuantityIsWrong, QuantityIsWrong)


def test_a_configuration_can_be_changed_to_either_kind() -> None:  # M-6
    eight_cores = Resources(cpu_cores=8, memory_gib=16)
    given(TWO_CORES).when(change, GENERAL, eight_cores).then(
        ComputeResourceChanged(kind=GENERAL, resources=eight_cores)
    )
    given(TWO_CORES).when(change, GPU, ONE_GPU.resources).then(
        ComputeResourceChanged(kind=GPU, resources=ONE_GPU.resources)
    )


def test_the_same_configuration_again_changes_nothing() -> None:  # M-6
    given(ONE_GPU).when(change, GPU, ONE_GPU.resources).then()


def test_a_changed_configuration_keeps_to_the_same_ranges() -> None:  # M-6
    given(TWO_CORES).when(change, GENERAL, Resources(cpu_cores=0, memory_gib=4)).then_refused(
        QuantityIsWrong, at="cpu_cores"
    )
    given(ONE_GPU).when(change, GENERAL, ONE_GPU.resources).then_refused(GeneralPurposeHasNoGpu)


def test_a_configuration_can_be_deleted() -> None:  # M-6
    given(TWO_CORES).when(delete).then(ComputeResourceDeleted())


WORKER = Resources(cpu_cores=8, memory_gib=32, gpu_cards=2, gpu_memory_gib=24)


@pytest.mark.parametrize(
    "needed",
    [
        WORKER,
        Resources(cpu_cores=1, memory_gib=1),
        Resources(cpu_cores=8, memory_gib=32, gpu_cards=1, gpu_memory_gib=16),
    ],
)
def test_a_job_runs_where_everything_it_needs_is_offered(needed: Resources) -> None:  # T-6
    assert needed.fits_in(WORKER)


@pytest.mark.parametrize(
    "needed",
    [
        Resources(cpu_cores=9, memory_gib=32),
        Resources(cpu_cores=8, memory_gib=33),
        Resources(cpu_cores=8, memory_gib=32, gpu_cards=3, gpu_memory_gib=24),
        Resources(cpu_cores=8, memory_gib=32, gpu_cards=1, gpu_memory_gib=25),
    ],
)
def test_a_job_waits_where_anything_is_too_little(needed: Resources) -> None:  # T-6
    assert not needed.fits_in(WORKER)
