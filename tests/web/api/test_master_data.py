"""Master data over the HTTP API, as the pages manage it. Source: REQUIREMENTS, M-1 to M-6, K-5."""

from typing import Any

import httpx

from domain.environments import EnvironmentNodesAdded
from tests.examples import (
    AOI_STATION,
    ARRAY_FAB,
    CLASSIFICATION_ID,
    FACTORY_1,
    FACTORY_2,
    INDUSTRY_ID,
    MODEL_IMAGE_ID,
    ONE_GPU_ID,
    PANEL_65,
    PANEL_75,
    REPAIR_STATION,
    TRAINER_WANG_ID,
    TRAINING_DATASET_ID,
    TWO_CORES_ID,
    example_id,
)
from tests.web.machines import Machine, machine_of
from tests.web.real_site import RealSite

NODES = f"/industries/{INDUSTRY_ID}/environment-nodes"


def rules(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 422, answer.text
    return [one["rule"] for one in answer.json()["refusals"]]


def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code in (200, 201), answer.text
    return ["/".join(one["names"]) for one in answer.json()]


def test_an_industry_gets_levels_once_becomes_the_default_and_goes(lead: Machine) -> None:  # M-1, M-2
    answers = [lead.ask("POST", "/industries", {"name": "半导体"}, key="key-0001") for _ in range(2)]
    assert {answer.status_code for answer in answers} == {201}
    made: Any = answers[1].json()
    assert made == answers[0].json()
    assert (made["level_names"], made["is_default"]) == ([], False)
    assert [one["name"] for one in lead.get("/industries").json()] == ["显示面板", "半导体"]
    assert rules(lead.ask("POST", "/industries", {"name": "半导体"}, key="key-0002")) == ["NameTaken"]
    path = f"/industries/{made['industry_id']}"
    levels = lead.ask("PUT", f"{path}/levels", {"level_names": ["晶圆厂", "产品"]})
    assert (levels.status_code, levels.json()["level_names"]) == (200, ["晶圆厂", "产品"])
    assert lead.ask("PUT", f"{path}/levels", {"level_names": ["晶圆厂"]}).status_code == 422  # they can be renamed only
    assert lead.ask("POST", f"{path}/default").json()["is_default"]
    assert lead.get("/environment-nodes").json()["level_names"] == ["晶圆厂", "产品"]
    assert lead.ask("DELETE", path).status_code == 422  # the default one stays
    concerned = lead.get(f"/industries/{INDUSTRY_ID}/concerned").json()
    assert (concerned["node_count"], concerned["dataset_count"]) == (8, 1)
    assert lead.ask("DELETE", f"/industries/{INDUSTRY_ID}").status_code == 204
    for gone in ("", "/concerned", "/environment-nodes"):
        assert lead.get(f"/industries/{INDUSTRY_ID}{gone}").status_code == 404
    assert lead.get(f"/datasets/{TRAINING_DATASET_ID}").json()["environment"]["industry"] == "显示面板"


def test_many_siblings_are_added_all_or_none_and_once(site: RealSite, lead: Machine) -> None:  # M-3
    before = site.log.position()
    wrong = {"parent_id": str(FACTORY_2.node_id), "names": ["阵列厂", "阵列厂", "模组 厂"]}
    answer = lead.ask("POST", NODES, wrong, key="key-0001")
    assert rules(answer) == ["NodeNameRepeated", "NodeNameIsInvalid"]
    assert "Line 2" in answer.json()["refusals"][0]["message"]
    assert site.log.position() == before
    right = {"parent_id": str(FACTORY_2.node_id), "names": ["阵列厂", "模组厂"]}
    answers = [lead.ask("POST", NODES, right, key="key-0002") for _ in range(2)]
    assert {answer.status_code for answer in answers} == {201}, answers[1].text
    assert sorted(names(answers[0])) == sorted(names(answers[1])) == sorted(["二厂区/阵列厂", "二厂区/模组厂"])
    added = [one for _, one in site.log.read(before, 100) if isinstance(one.data, EnvironmentNodesAdded)]
    assert len(added) == 1
    assert names(lead.ask("POST", NODES, {"names": ["三厂区"]}, key="key-0003")) == ["三厂区"]
    assert rules(lead.ask("POST", NODES, {"names": ["三厂区"]}, key="key-0004")) == ["NodeNameTaken"]
    below_last = {"parent_id": str(PANEL_65.node_id), "names": ["A"]}
    assert rules(lead.ask("POST", NODES, below_last, key="key-0005")) == ["NoLevelBelow"]
    nowhere = {"parent_id": str(example_id("nowhere")), "names": ["A"]}
    assert lead.ask("POST", NODES, nowhere, key="key-0006").status_code == 404


def test_the_same_names_are_added_below_several(lead: Machine) -> None:  # M-4
    several = {"parent_ids": [str(AOI_STATION.node_id), str(REPAIR_STATION.node_id)], "names": ["P85", "P98"]}
    answer = lead.ask("POST", f"{NODES}/add-to-several", several, key="key-0001")
    assert sorted(names(answer)) == sorted(
        f"一厂区/阵列厂/{station}/{panel}" for station in ("AOI站", "修补站") for panel in ("P85", "P98")
    )
    again = lead.ask("POST", f"{NODES}/add-to-several", several, key="key-0002")
    assert set(rules(again)) == {"NodeNameTakenBelow"}
    too_high = several | {"parent_ids": [str(ARRAY_FAB.node_id)]}
    assert rules(lead.ask("POST", f"{NODES}/add-to-several", too_high, key="key-0003")) == ["NotBeforeTheLastLevel"]
    nobody = several | {"parent_ids": []}
    assert rules(lead.ask("POST", f"{NODES}/add-to-several", nobody, key="key-0004")) == ["NothingChosen"]


def test_the_tree_is_read_to_its_end_by_level(lead: Machine) -> None:  # M-3
    for limit in (1, 3, 200):
        whole = ["/".join(one["names"]) for one in lead.everything(NODES, limit)]
        assert whole[:2] == ["一厂区", "二厂区"] or whole[:2] == ["二厂区", "一厂区"]
        assert len(whole) == len(set(whole)) == 8
        assert set(whole[-2:]) == {"一厂区/阵列厂/AOI站/65寸面板", "一厂区/阵列厂/AOI站/75寸面板"}
    below = lead.everything(f"{NODES}?below={AOI_STATION.node_id}", 1)
    assert {one["names"][-1] for one in below} == {"65寸面板", "75寸面板"}
    assert {one["parent_id"] for one in below} == {str(AOI_STATION.node_id)}
    first = lead.everything(f"{NODES}?below={INDUSTRY_ID}", 5)
    assert {(one["names"][0], one["parent_id"]) for one in first} == {("一厂区", None), ("二厂区", None)}
    assert [one["names"] for one in lead.everything(f"{NODES}?search=aoi", 5)] == [["一厂区", "阵列厂", "AOI站"]]
    node = lead.get(f"{NODES}/{ARRAY_FAB.node_id}").json()
    assert (node["names"], node["below_count"]) == (["一厂区", "阵列厂"], 4)


def test_nodes_go_with_everything_below_them_after_their_counts_were_asked_for(lead: Machine) -> None:  # M-3, M-4
    question = f"node_ids={AOI_STATION.node_id}&node_ids={REPAIR_STATION.node_id}"
    concerned = lead.get(f"{NODES}/concerned?{question}").json()
    assert (concerned["node_count"], concerned["dataset_count"], concerned["model_image_count"]) == (4, 1, 0)
    both = {"node_ids": [str(PANEL_75.node_id), str(example_id("gone already"))]}
    assert lead.ask("POST", f"{NODES}/remove", both).status_code == 204
    assert lead.ask("POST", f"{NODES}/remove", both).status_code == 404  # none of them is there
    assert rules(lead.ask("POST", f"{NODES}/remove", {"node_ids": []})) == ["NothingChosen"]
    assert lead.ask("DELETE", f"{NODES}/{FACTORY_1.node_id}").status_code == 204
    assert [one["names"] for one in lead.everything(NODES, 10)] == [["二厂区"]]
    assert lead.ask("DELETE", f"{NODES}/{FACTORY_1.node_id}").status_code == 404


def test_a_node_is_found_in_its_own_industry_only(site: RealSite, lead: Machine) -> None:  # M-1
    other = lead.ask("POST", "/industries", {"name": "半导体"}, key="key-0001").json()["industry_id"]
    lead.ask("PUT", f"/industries/{other}/levels", {"level_names": ["晶圆厂"]})
    nodes = f"/industries/{other}/environment-nodes"
    assert names(lead.ask("POST", nodes, {"names": ["一号"]}, key="key-0002")) == ["一号"]  # not the default one
    before = site.log.position()
    assert lead.get(f"{nodes}/{FACTORY_1.node_id}").status_code == 404
    assert lead.get(f"{nodes}/concerned?node_ids={FACTORY_1.node_id}").status_code == 404
    assert lead.ask("DELETE", f"{nodes}/{FACTORY_1.node_id}").status_code == 404
    assert lead.ask("POST", f"{nodes}/remove", {"node_ids": [str(FACTORY_1.node_id)]}).status_code == 404
    assert site.log.position() == before


def test_places_are_offered_from_the_top_down(wang: Machine) -> None:
    top = wang.get("/environment-nodes").json()
    assert [node["name"] for node in top["nodes"]] == ["一厂区", "二厂区"]
    below = wang.get(f"/environment-nodes?below={top['nodes'][0]['node_id']}").json()
    assert [node["name"] for node in below["nodes"]] == ["阵列厂", "成盒厂"]


def test_a_task_type_is_created_renamed_and_deleted(lead: Machine) -> None:  # M-5
    wish = {"name": "缺陷分类", "kind": "segmentation_and_classification"}
    made = [lead.ask("POST", "/task-types", wish, key="key-0001").json() for _ in range(2)]
    assert made[0] == made[1]
    path = f"/task-types/{made[0]['task_type_id']}"
    assert lead.ask("PUT", f"{path}/name", {"name": "缺陷分割"}).json()["name"] == "缺陷分割"
    assert rules(lead.ask("PUT", f"{path}/name", {"name": "分类"})) == ["NameTaken"]
    assert machine_kinds(lead)["缺陷分割"] == "segmentation_and_classification"
    assert lead.ask("DELETE", path).status_code == 204
    assert lead.get(path).status_code == lead.ask("DELETE", path).status_code == 404
    assert "缺陷分割" not in machine_kinds(lead)


def machine_kinds(machine: Machine) -> dict[str, str]:
    return {one["name"]: one["kind"] for one in machine.get("/task-types").json()}


def test_a_compute_resource_is_created_changed_and_deleted(lead: Machine) -> None:  # M-6
    cpu = {"kind": "general_purpose", "resources": {"cpu_cores": 4, "memory_gib": 8}}
    made = [lead.ask("POST", "/compute-resources", cpu, key="key-0001").json() for _ in range(2)]
    assert made[0] == made[1]
    path = f"/compute-resources/{made[0]['compute_resource_id']}"
    more = {"kind": "gpu", "resources": {"cpu_cores": 4, "memory_gib": 8, "gpu_cards": 1, "gpu_memory_gib": 24}}
    assert lead.ask("PUT", path, more).json()["resources"]["gpu_cards"] == 1
    assert lead.ask("PUT", path, more | {"resources": {"cpu_cores": 0, "memory_gib": 8}}).status_code == 422
    assert lead.get(path).json()["kind"] == "gpu"
    assert lead.ask("DELETE", path).status_code == 204
    assert lead.get(path).status_code == 404
    assert lead.get(f"/compute-resources/{ONE_GPU_ID}").status_code == 200


def test_what_a_waiting_job_needs_stays(site: RealSite, lead: Machine) -> None:  # M-6
    job = {
        "model_name": "panel-b",
        "model_image_id": str(MODEL_IMAGE_ID),
        "model_image_version": 1,
        "environment": [str(PANEL_65.node_id)],
        "data_paths": [{"root": "data", "path": "panel-a/train"}],
        "compute_resource_id": str(TWO_CORES_ID),
    }
    wang = machine_of(site, TRAINER_WANG_ID)
    queued = wang.ask("POST", "/training-jobs", job, key="key-0001").json()
    before = site.log.position()
    for path in (f"/compute-resources/{TWO_CORES_ID}", f"/task-types/{CLASSIFICATION_ID}"):
        refused = lead.ask("DELETE", path)
        assert refused.status_code == 422, path
        assert lead.get(path).status_code == 200
    assert site.log.position() == before
    assert wang.ask("DELETE", f"/training-jobs/{queued['job_id']}").status_code == 204
    assert lead.ask("DELETE", f"/compute-resources/{TWO_CORES_ID}").status_code == 204
