from domain.compute_resources import ComputeResourceChanged, ComputeResourceDeleted, ComputeResourceKind
from domain.messages import Resources
from projections.compute_resources import ComputeResources
from tests.examples import ONE_GPU, ONE_GPU_ID, TWO_CORES_ID, example_id, plant
from tests.projections.read_side import Project


def test_compute_resources_stand_in_the_order_of_their_creation(project: Project) -> None:  # M-6
    rows = project(plant(), ComputeResources).compute_resources.list()
    assert [(row.kind, row.resources) for row in rows] == [
        (ComputeResourceKind.GENERAL_PURPOSE, Resources(cpu_cores=2, memory_gib=4)),
        (ComputeResourceKind.GPU, ONE_GPU.resources),
    ]


def test_one_compute_resource_is_found_by_its_id(project: Project) -> None:
    read = project(plant(), ComputeResources)
    assert read.compute_resources.get(ONE_GPU_ID).resources == ONE_GPU.resources
    assert read.compute_resources.get(example_id("no resource")) is None


def test_a_changed_compute_resource_is_shown_as_it_is_now(project: Project) -> None:  # M-6
    resources = Resources(cpu_cores=16, memory_gib=64, gpu_cards=2, gpu_memory_gib=24)
    changed = ComputeResourceChanged(kind=ComputeResourceKind.GPU, resources=resources)
    read = project(plant().add(TWO_CORES_ID, changed), ComputeResources)
    row = read.compute_resources.list()[0]
    assert (row.compute_resource_id, row.kind, row.resources) == (TWO_CORES_ID, ComputeResourceKind.GPU, resources)


def test_a_deleted_compute_resource_is_offered_no_more_but_shown_where_it_was_used(project: Project) -> None:  # M-6
    read = project(plant().add(TWO_CORES_ID, ComputeResourceDeleted()), ComputeResources)
    assert [row.compute_resource_id for row in read.compute_resources.list()] == [ONE_GPU_ID]
    kept = read.compute_resources.get(TWO_CORES_ID)
    assert (kept.is_deleted, kept.resources.cpu_cores) == (True, 2)
    read.assert_rebuild_equals_live()


def test_a_rebuild_gives_the_same_compute_resources(project: Project) -> None:  # E-2
    assert len(project(plant(), ComputeResources).assert_rebuild_equals_live()["compute_resources"]) == 2
