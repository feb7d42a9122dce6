"""Uploads and downloads with progress, in a real browser, over fakes and real storage (I-2, I-5)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from playwright.sync_api import Browser, Route, expect
from playwright.sync_api import Page as Tab

from commands.model_images import ImportModelImage
from domain.model_images import ModelImageExists
from infra.artifacts import Artifacts
from infra.uploads import Uploads
from tests.web.model_images import FakeHeartbeats, FakeModelImages, FakeRemovals, FakeTaskTypes, image, version
from tests.web.places import FakeEnvironments, FakeIndustries
from tests.web.served_pages import Server, browser, patient_tab, served
from tests.web.site import QUALITY_LEAD, FakeAssay, new_services, renew
from web.model_images import ModelImages
from web.services import Services
from web.sessions import Session, Signer
from web.uploads import Uploads as UploadPages

__all__ = ["browser"]
PART_BYTES = 65_536
CONTENT = bytes(range(256)) * 400
"""A little more than one part."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The pages of model images."""
    with served(new_services(), ModelImages, UploadPages) as server:
        yield server


@pytest.fixture
def services(server: Server, tmp_path: Path) -> Services:
    renew(server.services)
    uploads = Uploads(tmp_path / "uploads", most_bytes=1 << 30, keep_free_bytes=0, keep_seconds=3600)
    artifacts = Artifacts(tmp_path / "artifacts")
    (tmp_path / "archive").write_bytes(CONTENT)
    parts: dict[str, Any] = {
        "uploads": uploads,
        "artifacts": artifacts,
        "heartbeats": FakeHeartbeats(),
        "stopping": lambda: server.should_exit,
    }
    for name, part in parts.items():
        object.__setattr__(server.services, name, part)
    read: Any = server.services.read
    read.model_images = FakeModelImages(image(version(archive=artifacts.keep(tmp_path / "archive"))))
    read.industries, read.environments, read.task_types = FakeIndustries(), FakeEnvironments(), FakeTaskTypes()
    read.artifact_removals = FakeRemovals()
    return server.services


@pytest.fixture
def tab(browser: Browser, server: Server, services: Services) -> Iterator[Tab]:
    """A tab in which the super administrator is signed in, in English. No script may fail."""
    with patient_tab(browser, server) as tab:
        yield tab


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    file = tmp_path / "panel-aoi@7.tar"
    file.write_bytes(CONTENT)
    return file


def choose(tab: Tab, archive: Path) -> None:
    """Choose a file of two parts."""
    tab.locator("[data-upload]").evaluate(f"block => {{ block.dataset.part = {PART_BYTES} }}")
    tab.set_input_files("#file", archive)


def own(services: Services) -> Any:
    return cast(Uploads, services.uploads).of(QUALITY_LEAD.user_id)


def test_a_chosen_file_travels_in_parts_and_is_imported_with_the_button(
    tab: Tab, services: Services, archive: Path
) -> None:  # I-2
    tab.goto("/model-images/import")
    choose(tab, archive)
    expect(tab.locator("[data-percent]")).to_have_text("100 %")
    expect(tab.locator("[data-detail]")).to_have_text("Everything has arrived. Go on with the button below.")
    tab.select_option("#task_type_id", index=1)
    tab.get_by_role("button", name="Import now").click()
    tab.wait_for_url("**/model-images")
    command = cast(FakeAssay, services.assay).commands[-1]
    assert isinstance(command, ImportModelImage)
    (upload,) = own(services)
    assert command.upload_id == upload.upload_id
    stored = services.uploads.folder / services.uploads.archive(upload.upload_id, QUALITY_LEAD.user_id).path
    assert stored.read_bytes() == CONTENT


def test_a_wrong_name_is_told_at_once(tab: Tab, services: Services, archive: Path) -> None:  # I-3
    tab.goto("/model-images/import")
    cast(FakeAssay, services.assay).refuse_with(ModelImageExists())
    choose(tab, archive)
    expect(tab.locator("[data-problem]")).to_have_text("This model image already exists; add a version to it instead")
    expect(tab.locator("[data-transfer]")).to_be_hidden()
    tab.get_by_role("button", name="Import now").last.click()
    expect(tab.locator('input[type="file"]')).to_be_focused()
    expect(tab.locator("[data-problem]")).to_be_visible()  # “choose a file” would take the place of the reason
    assert own(services) == []


def test_an_upload_goes_on_by_itself_after_the_connection_broke(tab: Tab, services: Services, archive: Path) -> None:
    broken: list[str] = []

    def break_once(route: Route) -> None:
        if route.request.method == "PUT" and len(broken) < 1:
            broken.append(route.request.url)
            route.abort("connectionreset")
        else:
            route.continue_()

    tab.route("**/model-images/uploads/*", break_once)
    tab.route("**/model-images/uploads/*?offset=*", break_once)
    tab.goto("/model-images/import")
    choose(tab, archive)
    expect(tab.locator("[data-detail]")).to_have_text(
        "The connection is interrupted. The upload goes on by itself once it is back."
    )
    expect(tab.get_by_role("button", name="Import now")).to_be_disabled()
    expect(tab.locator("[data-percent]")).to_have_text("100 %")
    expect(tab.get_by_role("button", name="Import now")).to_be_enabled()
    assert len(broken) == 1
    assert own(services)[0].is_complete


def test_choosing_the_same_file_after_a_reload_sends_only_what_is_missing(
    tab: Tab, services: Services, archive: Path
) -> None:
    sent: list[str] = []
    tab.on("request", lambda request: sent.append(request.url) if request.method == "PUT" else None)
    tab.route("**offset=*", lambda route: route.continue_() if "offset=0" in route.request.url else route.abort())
    tab.goto("/model-images/import")
    choose(tab, archive)
    expect(tab.locator("[data-detail]")).to_contain_text("The connection is interrupted")
    assert own(services)[0].received == PART_BYTES
    tab.unroute("**offset=*")
    sent.clear()
    tab.reload()
    expect(tab.get_by_role("cell", name="64 %")).to_be_visible()
    choose(tab, archive)
    expect(tab.locator("[data-percent]").first).to_have_text("100 %")
    assert [address.partition("?")[2] for address in sent] == [f"offset={PART_BYTES}"]


def test_a_cancelled_upload_leaves_nothing(tab: Tab, services: Services, archive: Path) -> None:
    tab.route("**offset=*", lambda route: route.continue_() if "offset=0" in route.request.url else route.abort())
    tab.goto("/model-images/import")
    choose(tab, archive)
    expect(tab.locator("[data-detail]")).to_contain_text("The connection is interrupted")
    with tab.expect_response("**/cancel"):
        tab.get_by_role("button", name="Cancel upload").click()
    expect(tab.locator("[data-transfer]")).to_be_hidden()
    expect(tab.get_by_role("button", name="Import now")).to_be_enabled()
    assert own(services) == []


def test_a_path_can_be_imported_while_nothing_is_uploaded(tab: Tab, services: Services) -> None:
    tab.goto("/model-images/import")
    tab.get_by_label("Path on the server").first.check()
    tab.select_option("#task_type_id", index=1)
    tab.fill("#archive", "/archives/panel-aoi@7.tar")
    tab.get_by_role("button", name="Import now").click()
    tab.wait_for_url("**/model-images")
    command = cast(FakeAssay, services.assay).commands[-1]
    assert (command.archive, command.upload_id) == ("/archives/panel-aoi@7.tar", None)


def test_a_download_shows_how_far_it_is_and_goes_on_after_the_connection_broke(
    tab: Tab, services: Services, tmp_path: Path
) -> None:  # I-5
    asked: list[str] = []

    def cut_short(route: Route) -> None:
        asked.append(route.request.headers.get("range", ""))
        if len(asked) == 1:  # the first answer brings a third
            first = len(CONTENT) // 3
            answer = route.fetch(headers={**route.request.headers, "Range": f"bytes=0-{first - 1}"})
            headers = {key: value for key, value in answer.headers.items() if key != "content-range"}
            route.fulfill(status=200, headers=headers, body=answer.body())
        else:
            route.continue_()

    tab.route("**/archive", cut_short)
    tab.goto("/model-images")
    tab.locator("summary", has_text="resnet18").click()
    with tab.expect_download() as downloading:
        tab.get_by_role("link", name="Download archive").click()
    downloading.value.save_as(tmp_path / "downloaded")
    expect(tab.locator(".transfers [data-percent]")).to_have_text("100 %")
    expect(tab.locator(".transfers [data-detail]")).to_have_text("The download is complete.")
    assert downloading.value.suggested_filename == "resnet18@1.0.tar"
    assert (tmp_path / "downloaded").read_bytes() == CONTENT
    assert asked == ["", f"bytes={len(CONTENT) // 3}-"]


def test_without_scripts_the_form_brings_its_file(
    browser: Browser, server: Server, services: Services, archive: Path
) -> None:
    session_id = services.sessions.open(Session(user_id=QUALITY_LEAD.user_id, epoch=QUALITY_LEAD.session_epoch))
    signed = Signer(services.settings.secret).sign("session", session_id)
    context = browser.new_context(base_url=server.address, java_script_enabled=False)
    context.add_cookies([{"name": "assay_session", "value": signed, "url": server.address}])
    tab = context.new_page()
    tab.goto("/model-images/import")
    tab.set_input_files("#file", archive)
    tab.select_option("#task_type_id", index=1)
    tab.get_by_role("button", name="立即导入").click()
    tab.wait_for_url("**/model-images")
    context.close()
    command = cast(FakeAssay, services.assay).commands[-1]
    assert isinstance(command.upload_id, UUID)
    assert own(services)[0].is_complete
