"""Lists that are read a part at a time while things come and go. Source: REQUIREMENTS, K-5."""

from msgspec.structs import replace

from commands.datasets import DeleteDataset
from domain.datasets import DatasetCreated
from domain.facts import SYSTEM
from tests.examples import (
    PANEL_65,
    PREDICTION_QUEUED,
    REPAIR_STATION,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TRAINING_DATASET,
    TRAINING_DATASET_ID,
    TRAINING_QUEUED,
    VERSION_PUBLISHED,
    History,
    example_id,
)
from tests.web.machines import Machine, machine_of, rule_of
from tests.web.real_site import RealSite


def dataset_named(name: str) -> DatasetCreated:
    return replace(TRAINING_DATASET, name=name, data_paths=())


def test_what_is_there_throughout_is_listed_once_however_much_changes_meanwhile(site: RealSite, wang: Machine) -> None:
    names = [f"panel-{letter}" for letter in "bdfhjlnp"]
    for name in names:
        site.happened(History().add(example_id(name), dataset_named(name)))
    path = "/datasets?purpose=training&limit=3"
    first = wang.get(path).json()
    site.happened(History().add(example_id("panel-a0"), dataset_named("panel-a0")))  # before what was read
    site.happened(History().add(example_id("panel-k"), dataset_named("panel-k")))  # behind it
    site.services.wait(site.services.assay.dispatch(DeleteDataset(actor=SYSTEM, dataset_id=example_id("panel-b"))))
    seen = [one["name"] for one in first["items"]]
    while first["next"]:
        first = wang.get(f"{path}&after={first['next']}").json()
        seen += [one["name"] for one in first["items"]]
    assert len(seen) == len(set(seen))
    assert {name for name in seen if name != "panel-a-training"} == {*names, "panel-k"}


def test_every_list_can_be_read_to_its_end(site: RealSite, wang: Machine) -> None:
    jobs = [example_id(f"job {number}") for number in range(5)]
    for number, job_id in enumerate(jobs):
        queued = replace(TRAINING_QUEUED, model_id=example_id(f"model {number}"))
        site.happened(History().add(job_id, queued, actor=TRAINER_WANG_ID))
        predicted = example_id(f"prediction {number}")
        site.happened(History().add(predicted, PREDICTION_QUEUED, actor=TRAINER_WANG_ID))
        published = replace(VERSION_PUBLISHED, model_name=f"panel-{number}")
        site.happened(History().add(example_id(f"model {number}"), published, actor=TRAINER_WANG_ID))
    for limit in (1, 2, 5, 200):
        assert {one["job_id"] for one in wang.everything("/training-jobs", limit)} == set(map(str, jobs))
        assert len(wang.everything("/prediction-jobs", limit)) == 5
        assert [one["name"] for one in wang.everything("/models", limit)] == [f"panel-{n}" for n in range(5)]
        assert [one["name"] for one in wang.everything("/model-images", limit)] == ["resnet18"]
        assert len(wang.everything(f"/datasets/{TRAINING_DATASET_ID}/data-paths", limit)) == 1
    assert machine_of(site, TRAINER_LI_ID).everything("/models", 5) == []


def test_a_place_that_no_list_gave_is_refused(wang: Machine) -> None:
    for after in ("nonsense", "!!!!", "WyJhIl0=", "WyJcdTAwMDAiLCAiYSJd", "bnVsbA=="):
        answer = wang.get(f"/datasets?purpose=training&after={after}")
        assert rule_of(answer) == (400, "CursorIsWrong"), after


def test_lists_are_narrowed_to_a_place_and_to_a_kind(site: RealSite, wang: Machine) -> None:  # D-6, I-5
    for place, count in ((PANEL_65.node_id, 1), (REPAIR_STATION.node_id, 0)):
        found = wang.get(f"/datasets?purpose=training&place={place}").json()["items"]
        assert len(found) == count, place
    assert len(wang.get("/model-images?kind=general").json()["items"]) == 1
    assert wang.get("/model-images?kind=business").json()["items"] == []
    assert wang.get(f"/model-images?task_type_id={example_id('nothing')}").json()["items"] == []
    assert wang.get(f"/model-images?place={PANEL_65.node_id}").json()["items"] == []  # a general image is bound to none
