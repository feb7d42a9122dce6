"""Datasets, their data paths, and the images in them. Source: REQUIREMENTS, section D, K-5."""

from pathlib import Path

from PIL import Image

from tests.examples import TRAINING_DATASET_ID
from tests.web.machines import Machine
from tests.web.real_site import RealSite


def test_data_paths_are_looked_at_scanned_again_and_removed_together(site: RealSite, wang: Machine) -> None:  # D-7, D-9
    paths = f"/datasets/{TRAINING_DATASET_ID}/data-paths"
    (path,) = wang.get(paths).json()["items"]
    at = f"{paths}/{path['path_id']}"
    assert wang.get(at).json() == path
    assert wang.ask("POST", f"{at}/inspect").json()["state"] == "valid"
    assert wang.get(f"{at}/images?defect_code=TPFIP").json() == {"items": [], "next": None}  # no such folder here
    more = wang.ask("POST", paths, {"data_paths": ["/data/panel-a/question-bank"]}, key="key-0001")
    assert more.json()["path_count"] == 2
    ids = [one["path_id"] for one in wang.get(paths).json()["items"]]
    assert wang.ask("POST", f"{paths}/remove", {"path_ids": ids}).json()["path_count"] == 0
    assert wang.get(at).status_code == wang.get(f"{at}/images?defect_code=TPFIP").status_code == 404


def test_a_typed_path_is_previewed_and_nothing_is_told_of_what_it_cannot_be(
    site: RealSite, wang: Machine, tmp_path: Path
) -> None:  # D-3, D-4
    save_image(tmp_path / "panel-c" / "TPFIP" / "0001.png")
    answer = wang.get("/datasets/preview?data_path=data:panel-c")
    found = answer.json()
    assert (answer.status_code, found["state"], found["image_count"]) == (200, "valid", 1)
    assert found["folder"] == {"root": "data", "path": "panel-c"}
    assert (found["defect_codes"][0]["defect_code"], found["formats"]) == ("TPFIP", [["PNG", 1]])
    assert found["resolutions"] == [[24, 16, 1]]
    nothing = {**found, "state": "invalid", "image_count": 0, "defect_codes": [], "formats": [], "resolutions": []}
    for typed in ("/etc", "data:panel-c/nowhere", "data:../etc"):
        told = wang.get(f"/datasets/preview?data_path={typed}").json()
        assert told == {**nothing, "total_bytes": 0, "folder": {"root": "", "path": typed}}
    assert wang.get("/datasets/preview?data_path=").status_code == 400


def save_image(file: Path) -> None:
    file.parent.mkdir(parents=True)
    Image.new("RGB", (24, 16)).save(file)


def test_an_image_is_fetched_byte_for_byte_and_nothing_outside_the_data_roots(
    site: RealSite, wang: Machine, tmp_path: Path
) -> None:  # D-4
    (tmp_path / "panel-a").mkdir()
    (tmp_path / "panel-a" / "0001.bmp").write_bytes(b"BM and so on")
    image = wang.get("/images?root=data&path=panel-a/0001.bmp")
    assert image.content == b"BM and so on"
    assert (
        wang.get("/images?root=data&path=panel-a/0001.bmp", **{"If-None-Match": image.headers["ETag"]}).status_code
        == 304
    )
    for root, path in (("data", "../etc/passwd"), ("data", "panel-a/0002.bmp"), ("nowhere", "0001.bmp"), ("data", "")):
        assert wang.get(f"/images?root={root}&path={path}").status_code == 404, path
