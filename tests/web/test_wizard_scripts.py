"""The wizard of a new model in a real browser, over fakes and the real rules; without scripts buttons do the same."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect
from playwright.sync_api import Page as Tab

from tests.examples import MODEL_IMAGE_ID, MODEL_PARAMETERS_TEXT, TRAINING_PARAMETERS_TEXT, MemoryLog
from tests.web.new_model import NEW, SEGMENTING_VALUE, STEP_1, STEP_3, furnish, history
from tests.web.served_pages import Server, browser, patient_tab, served
from tests.web.site import new_services, renew
from web.environment_choices import EnvironmentChoices
from web.services import Services
from web.training_wizard import TrainingWizard

__all__ = ["browser"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with served(new_services(), TrainingWizard, EnvironmentChoices) as server:
        yield server


@pytest.fixture
def services(server: Server) -> Services:
    renew(server.services)
    object.__setattr__(server.services, "stopping", lambda: server.should_exit)
    return furnish(server.services, MemoryLog(history().events))


@pytest.fixture
def tab(browser: Browser, server: Server, services: Services) -> Iterator[Tab]:
    """A tab of somebody who is signed in, in English. No script may fail."""
    with patient_tab(browser, server) as tab:
        yield tab


def to_step_3(tab: Tab) -> None:
    """As somebody goes who changes nothing but what must be said."""
    tab.goto(f"{NEW}/step-1")
    tab.get_by_label("Model name").fill(str(STEP_1["model_name"]))
    tab.locator(f'[name="model_image_version"][value="{MODEL_IMAGE_ID}/1"]').check()
    for level in ("level_1", "level_2", "level_3"):
        tab.locator(f'select[name="{level}"]').select_option(str(STEP_1[level]))
    for product in STEP_1["level_4"]:
        tab.locator(f'[name="level_4"][value="{product}"]').check()
    tab.get_by_role("button", name="Next step").click()
    tab.locator('[name="import"]').check()
    tab.get_by_role("button", name="Next step").click()
    tab.locator(f'[value="{STEP_3["compute_resource"]}"]').check()


def test_the_curve_is_drawn_while_the_parameters_are_edited(tab: Tab, services: Services) -> None:  # W-7
    to_step_3(tab)
    curves, editor, preview = (
        tab.locator("[data-curves]"),
        tab.locator("#training_parameters"),
        tab.locator("[data-preview]"),
    )
    expect(curves).to_contain_text("poly")
    expect(preview).to_be_hidden()
    before = curves.locator("path.line[d]").last.get_attribute("d")
    parameters = json.loads(TRAINING_PARAMETERS_TEXT)
    parameters["classification"] |= {"lr_policy": "exp", "gamma": 0.5}
    editor.fill(json.dumps(parameters, indent=4))
    expect(curves).to_contain_text("exp")
    assert curves.locator("path.line[d]").last.get_attribute("d") != before

    editor.fill('{\n"classification": {"base_lr": 1,}\n}')
    expect(curves).to_contain_text("Line 2, column 32: no comma may stand behind the last entry.")
    expect(curves).to_contain_text("The curve appears once the training parameters are right.")
    editor.fill(TRAINING_PARAMETERS_TEXT)
    expect(curves).to_contain_text("poly")


def test_a_session_that_ended_leaves_the_curve_alone_and_offers_the_button(tab: Tab, services: Services) -> None:  # W-7
    to_step_3(tab)
    tab.context.clear_cookies(name="assay_session")
    tab.locator("#training_parameters").fill("{")
    expect(tab.locator("[data-preview]")).to_be_visible()
    expect(tab.locator("[data-curves]")).to_contain_text("poly")
    assert tab.locator("[data-curves] input").count() == 0, "no sign-in page in the place of a curve"


def test_defaults_follow_the_chosen_version_until_somebody_changes_them(tab: Tab) -> None:  # W-3
    tab.goto(f"{NEW}/step-1")
    editor = tab.locator("#model_parameters")
    expect(editor).to_have_value(MODEL_PARAMETERS_TEXT)
    editor.fill("")
    tab.locator(f'[value="{SEGMENTING_VALUE}"]').check()
    expect(editor).to_have_value(MODEL_PARAMETERS_TEXT)
    mine = MODEL_PARAMETERS_TEXT.replace("TPFIP", "TXXXX")
    editor.fill(mine)
    tab.locator(f'[name="model_image_version"][value="{MODEL_IMAGE_ID}/1"]').check()
    expect(editor).to_have_value(mine)


def test_titles_lead_back_and_the_enter_key_leads_on_and_nothing_is_lost(tab: Tab) -> None:  # W-1
    to_step_3(tab)
    editor = tab.locator("#training_parameters")
    editor.fill("{")
    tab.get_by_role("button", name="Choose model image").click()
    name = tab.get_by_label("Model name")
    expect(name).to_have_value(str(STEP_1["model_name"]))
    name.fill("panel-b")
    name.press("Enter")
    tab.wait_for_url("**/step-2")
    tab.get_by_role("button", name="Next step").click()
    expect(editor).to_have_value("{")
    tab.get_by_role("button", name="Choose model image").click()
    expect(name).to_have_value("panel-b")
    name.fill("panel-c")
    tab.get_by_role("button", name="Go on later").click()
    tab.wait_for_url("**/training-jobs")
    tab.goto(f"{NEW}/step-1")
    expect(name).to_have_value("panel-c")
