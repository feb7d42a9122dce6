"""The viewer of pictures in a real browser, over fakes. Without scripts a link shows the same picture."""

import re

from playwright.sync_api import Page as Tab
from playwright.sync_api import expect

from tests.web.served_pages import browser
from tests.web.try_out import server, services, tab

__all__ = ["browser", "server", "services", "tab"]


def test_the_viewer_zooms_moves_and_goes_through_the_pictures(tab: Tab) -> None:  # P-5
    tab.goto("/try-out")
    tab.get_by_role("link", name="first").click()
    viewer = tab.get_by_role("dialog", name="panel-a TPFIP")
    picture = viewer.locator("img").first
    expect(viewer.get_by_text("1/2 · panel-a TPFIP")).to_be_visible()

    def shape() -> str:
        return str(picture.evaluate("image => image.style.transform"))

    expect(picture).to_have_attribute("style", re.compile("scale"))
    fitted = shape()
    tab.keyboard.press("+")
    zoomed = shape()
    assert zoomed != fitted
    tab.mouse.move(400, 300)
    tab.mouse.wheel(0, -300)
    expect(picture).not_to_have_attribute("style", re.compile(re.escape(zoomed)))
    tab.keyboard.press("0")
    assert shape() == fitted
    tab.keyboard.press("PageDown")
    expect(tab.get_by_text("2/2 · panel-b TTMUD")).to_be_visible()
    tab.keyboard.press("Escape")
    expect(tab.get_by_role("link", name="second")).to_be_focused()


def test_the_viewer_goes_on_with_the_next_page_and_back(tab: Tab) -> None:  # D-9
    tab.goto("/try-out/pages")
    tab.get_by_role("link", name="picture 2").click()
    viewer = tab.locator("dialog.viewer")
    expect(viewer.get_by_text("2/4 · picture 2")).to_be_visible()
    expect(viewer.locator("img").first).to_have_attribute("style", re.compile("scale"))
    tab.keyboard.press("ArrowRight")
    expect(viewer.get_by_text("3/4 · picture 3")).to_be_visible()
    expect(tab).to_have_url(re.compile("page=2$"))
    expect(viewer.locator("img").first).to_have_attribute("style", re.compile("scale"))
    tab.keyboard.press("ArrowLeft")
    expect(viewer.get_by_text("2/4 · picture 2")).to_be_visible()
    expect(tab).to_have_url(re.compile("page=1$"))


def test_arrows_move_a_zoomed_picture_and_m_lays_the_mask_over(tab: Tab) -> None:  # D-9
    tab.goto("/try-out/pages")
    tab.get_by_role("link", name="picture 1").click()
    viewer = tab.locator("dialog.viewer")
    picture, mask = viewer.locator("img").first, viewer.locator("img[data-layer=mask]")
    expect(picture).to_have_attribute("style", re.compile("scale"))
    tab.keyboard.press("+")
    zoomed = picture.get_attribute("style")
    tab.keyboard.press("ArrowRight")
    expect(viewer.get_by_text("1/4 · picture 1")).to_be_visible()
    assert picture.get_attribute("style") != zoomed
    expect(mask).to_be_hidden()
    tab.keyboard.press("m")
    expect(mask).to_be_visible()
    tab.keyboard.press("m")
    expect(mask).to_be_hidden()
    expect(viewer.locator("a[download]")).to_have_attribute("href", re.compile(r"mark.*\?download=1$"))


def test_mask_and_prediction_are_laid_over_one_by_one_or_both_and_stay_so(tab: Tab) -> None:  # P-5
    tab.goto("/try-out/pages")
    tab.get_by_role("link", name="picture 1").click()
    viewer = tab.locator("dialog.viewer")
    mask, prediction = viewer.locator("img[data-layer=mask]"), viewer.locator("img[data-layer=prediction]")
    tab.keyboard.press("p")
    expect(prediction).to_be_visible()
    expect(mask).to_be_hidden()
    viewer.locator("button[data-layer=mask]").click()
    expect(mask).to_be_visible()
    expect(prediction).to_be_visible()
    tab.keyboard.press("PageDown")
    expect(viewer.get_by_text("2/4 · picture 2")).to_be_visible()
    expect(mask).to_be_visible()
    expect(viewer.locator("button[data-layer=mask]")).to_have_attribute("aria-pressed", "true")
    expect(prediction).to_be_hidden()
    expect(viewer.locator("button[data-layer=prediction]")).to_be_hidden()
