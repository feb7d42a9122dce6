"""Model images: uploaded, imported, loaded. Source: REQUIREMENTS, section I, K-5."""

from typing import Any

from domain.model_images import ModelImageLoadingFailed
from domain.sentences import Sentence
from tests.examples import LOADING_QUEUED, MODEL_IMAGE_ID, TRAINER_LI_ID
from tests.web.machines import Machine, machine_of, rule_of
from tests.web.real_site import RealSite


def test_an_archive_is_uploaded_in_parts_and_imported(site: RealSite, wang: Machine) -> None:  # I-2
    content = b"an archive" * 1000
    wish = {"file_name": "resnet18@1.1", "size": len(content), "model_image_id": str(MODEL_IMAGE_ID)}
    begun = wang.ask("POST", "/uploads", wish, key="key-0001").json()
    assert wang.ask("POST", "/uploads", wish, key="key-0001").json() == begun
    address = f"/uploads/{begun['upload_id']}"
    half = len(content) // 2
    assert wang.send(f"{address}?offset=0", content[:half]).json()["received"] == half
    wrong = wang.send(f"{address}?offset=5", content)
    assert (wrong.status_code, wrong.json()["received"]) == (409, half)
    assert machine_of(site, TRAINER_LI_ID).get(address).status_code in (404, 422)
    assert wang.send(f"{address}?offset={half}", content[half:]).json()["received"] == len(content)
    named = wang.ask("POST", "/uploads", wish | {"file_name": "no version"}, key="key-0002")
    assert rule_of(named) == (422, "ArchiveNameIsInvalid")
    assert wang.ask("DELETE", address).status_code == 204
    assert wang.ask("DELETE", address).status_code == 204


def test_a_loaded_version_tells_its_networks_and_parameters(wang: Machine) -> None:  # I-5
    (version,) = wang.get(f"/model-images/{MODEL_IMAGE_ID}").json()["versions"]
    assert "ResNet18" in {one["name"] for one in version["package"]["networks"]}
    assert version["package"]["training_parameters"]["classification"]["max_iter"] > 0


def test_an_archive_that_failed_is_loaded_again_or_dismissed(site: RealSite, wang: Machine) -> None:  # I-4
    site.happened_to(MODEL_IMAGE_ID, LOADING_QUEUED, ModelImageLoadingFailed(reason=Sentence("It is no archive.")))

    def failed() -> dict[str, Any]:
        versions: list[dict[str, Any]] = wang.get(f"/model-images/{MODEL_IMAGE_ID}").json()["versions"]
        return versions[0]

    assert (failed()["status"], failed()["reason"]) == ("failed", "It is no archive.")
    loading = f"/model-images/{MODEL_IMAGE_ID}/loadings/{failed()['loading']}"
    assert wang.ask("POST", f"{loading}/retry").status_code == 202
    assert failed()["status"] == "loading"
    refused = wang.ask("DELETE", f"/model-images/{MODEL_IMAGE_ID}/loadings/{failed()['loading']}")
    assert refused.status_code == 404  # it is loading, so nothing failed
    site.happened_to(MODEL_IMAGE_ID, ModelImageLoadingFailed(reason=Sentence("It is no archive.")))
    loading = f"/model-images/{MODEL_IMAGE_ID}/loadings/{failed()['loading']}"
    assert wang.ask("DELETE", loading).status_code == 204
    assert failed()["status"] == "loaded"
