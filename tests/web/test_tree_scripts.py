"""The tree of the production environment in a real browser, over fakes and a real read side."""

import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Page as Tab
from playwright.sync_api import expect

from domain.environments import EnvironmentNode, EnvironmentNodesAdded
from projections.all import READ_MODELS
from tests.examples import ENVIRONMENT_ID, INDUSTRY_ID, REPAIR_STATION, example_id, plant
from tests.projections.read_side import ReadSide
from tests.web.served_pages import browser
from tests.web.try_out import server, services, tab
from web.services import Services

__all__ = ["browser", "server", "services", "tab"]


@pytest.fixture
def plant_of_many(services: Services, database: str) -> Iterator[None]:
    """A station with 150 products, asked on a real read side."""
    nodes = tuple(
        EnvironmentNode(example_id(f"面板{number}"), f"面板{number}", REPAIR_STATION.node_id) for number in range(150)
    )
    history = plant().add(ENVIRONMENT_ID, EnvironmentNodesAdded(industry_id=INDUSTRY_ID, nodes=nodes))
    with ExitStack() as stack:
        side = ReadSide(stack, database, READ_MODELS, None)
        side.take_in(history)
        services.read.industries, services.read.environments = side.industries, side.environments
        yield


def open_branch(tab: Tab, name: str, child: str) -> None:
    """With the keyboard alone."""
    tab.locator("summary", has_text=name).focus()
    tab.keyboard.press("Enter")
    expect(tab.locator(".tree-name", has_text=re.compile(f"^{child}$"))).to_be_visible()


@pytest.mark.usefixtures("plant_of_many")
def test_a_branch_is_fetched_when_it_is_opened_and_the_address_keeps_it(tab: Tab) -> None:  # M-3
    tab.goto("/environments")
    expect(tab.locator(".tree li")).to_have_count(2)
    open_branch(tab, "一厂区", "阵列厂")
    open_branch(tab, "阵列厂", "修补站")
    open_branch(tab, "修补站", "面板99")
    expect(tab.locator(".tree-name", has_text="面板")).to_have_count(100)
    tab.get_by_role("link", name="Show more (50 left)").click()
    expect(tab.locator(".tree-name", has_text="面板")).to_have_count(150)
    tab.reload()
    expect(tab.locator("details[data-branch][open]")).to_have_count(3)
    tab.locator("summary", has_text="一厂区").click()
    expect(tab.locator("details[data-branch][open] > summary:visible")).to_have_count(0)
    expect(tab).to_have_url(re.compile(r"open=none$"))  # the address follows a moment after the page
    tab.reload()
    expect(tab.locator("details[data-branch][open]")).to_have_count(0)


@pytest.mark.usefixtures("plant_of_many")
def test_a_question_that_is_settled_already_is_told_on_the_page_it_leads_to(tab: Tab) -> None:  # M-3
    tab.goto("/environments")
    link = tab.get_by_role("link", name="Delete 一厂区")
    link.evaluate("(link, id) => { link.href = `/environments/${id}/remove`; }", str(example_id("gone")))
    link.click()
    expect(tab.get_by_role("status").get_by_text("This was deleted or removed already.")).to_be_visible()
    expect(tab.get_by_role("dialog")).to_be_hidden()


@pytest.mark.usefixtures("plant_of_many")
def test_a_search_in_a_dialog_stays_in_it(tab: Tab) -> None:  # M-4
    tab.goto(f"/environments?open={REPAIR_STATION.node_id}")
    link = tab.get_by_role("link", name="Remove 产品 修补站")
    link.evaluate("link => { link.href += '?search=面板1'; }")
    link.click()
    dialog = tab.get_by_role("dialog", name="Remove 产品")
    dialog.get_by_label("are offered").fill("面板14")
    dialog.get_by_role("button", name="Search").click()
    expect(dialog.locator("input[type=checkbox][name=node_ids]")).to_have_count(11)
    expect(tab).to_have_url(re.compile("/environments"))


@pytest.mark.usefixtures("plant_of_many")
def test_ticking_all_ticks_what_the_filter_shows(tab: Tab) -> None:  # M-4
    tab.goto(f"/environments?open={REPAIR_STATION.node_id}")
    tab.get_by_role("link", name="Remove 产品 修补站").click()
    boxes = tab.locator("dialog input[name=node_ids]:checked")
    tab.get_by_label("Filter by name").fill("面板14")
    tab.get_by_label("Tick all").check()
    expect(boxes).to_have_count(11)
    tab.get_by_label("Filter by name").fill("")
    expect(tab.get_by_label("Tick all")).not_to_be_checked()
    tab.locator("dialog button.primary").click()
    expect(tab.locator("dialog .confirm")).to_contain_text("Remove 11 × 产品?")
