"""Pictures of data paths as browsers ask for them: D-9, U-6."""

from pathlib import Path

import pytest

from domain.data_paths import FolderName
from tests.web.datasets import FakeImages
from tests.web.site import Site
from web.services import Services


@pytest.fixture
def services(services: Services, tmp_path: Path) -> Services:
    object.__setattr__(services, "images", FakeImages(tmp_path))  # the application holds these very services
    return services


def test_a_picture_comes_with_its_own_type_and_is_asked_for_once(site: Site) -> None:  # D-9
    answer = site.get("/images/thumbnail?root=data&path=panel-a/TPFIP/a%20b.png&size=320")
    assert (answer.status_code, answer.content) == (200, b"\xff\xd8\xff thumbnail")
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"].startswith("private, max-age=")
    assert answer.headers["Content-Disposition"].startswith("inline")
    assert site.services.images.asked == [("thumbnail 320", FolderName("data", "panel-a/TPFIP/a b.png"))]
    again = site.get("/images/original?root=data&path=a.jpg", **{"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_picture_can_be_downloaded_under_its_name(site: Site) -> None:  # P-5
    answer = site.get("/images/original?root=data&path=TPFIP/缺陷.jpg&download=1")
    assert (
        answer.headers["Content-Disposition"]
        == "attachment; filename=\"__.jpg\"; filename*=UTF-8''%E7%BC%BA%E9%99%B7.jpg"
    )


@pytest.mark.parametrize("kind", ["thumbnail", "original", "mask"])
def test_what_cannot_be_shown_is_a_sign_in_its_place(kind: str, site: Site) -> None:
    answer = site.get(f"/images/{kind}?root=other&path=../../etc/passwd&size=huge")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "image/svg+xml")


@pytest.mark.parametrize("kind", ["thumbnail", "original", "mask"])
def test_strangers_see_no_picture(kind: str, stranger: Site) -> None:  # U-6
    answer = stranger.get(f"/images/{kind}?root=data&path=a.jpg")
    assert answer.status_code == 303
    assert stranger.services.images.asked == []


def test_pictures_are_never_sent_by_post(site: Site) -> None:
    assert site.post("/images/original", root="data", path="a.jpg").status_code == 405
