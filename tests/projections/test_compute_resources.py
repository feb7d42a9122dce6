from domain.compute_resources import ComputeResourceKind
from domain.messages import Resources
from projections.compute_resources import ComputeResources
from tests.examples import ONE_GPU, ONE_GPU_ID, example_id, plant
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


def test_a_rebuild_gives_the_same_compute_resources(project: Project) -> None:  # E-2
    assert len(project(plant(), ComputeResources).assert_rebuild_equals_live()["compute_resources"]) == 2
