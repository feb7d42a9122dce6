"""One installation for all journeys, as a super administrator has prepared it, and a real Chromium to walk through it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import ConsoleMessage, Page, sync_playwright

from commands.assay import Command
from commands.compute_resources import CreateComputeResource
from commands.datasets import CreateDataset
from commands.environments import AddNodes
from commands.industries import CreateIndustry, DefineLevels
from commands.model_images import ImportModelImage, model_image_id
from domain.compute_resources import ComputeResourceKind
from domain.datasets import DatasetPurpose
from domain.messages import Resources
from domain.model_images import LoadStatus, ModelImage, ModelImageKind
from domain.names import NameClaim, NameKind, claim_id
from infra.bootstrap import open_core
from infra.core import Core
from infra.first_start import FIRST_ADMINISTRATOR_ID
from infra.settings import Settings
from tests.browser.plant import MINUTE, PRODUCT_ID
from tests.eventually import eventually
from tests.installation import PASSWORD, Installation, running_installation
from tests.parts import require

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def installation() -> Iterator[Installation]:
    require("Chromium", present=CHROMIUM, how_to_get_it="apt-get install chromium fonts-noto-cjk")
    with running_installation("assay-journey-") as made:
        settings = made.settings
        _paint_images(settings.data_roots["data"] / "panel-a")
        made.assay("package")
        with open_core(settings) as core:
            _set_up(core, settings)
        yield made


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        opened = browser.new_page(viewport={"width": 1440, "height": 900})
        opened.set_default_timeout(MINUTE)
        problems: list[str] = []
        opened.on("pageerror", lambda error: problems.append(str(error)))
        opened.on("console", lambda message: problems.append(message.text) if _is_problem(message) else None)
        yield opened
        browser.close()
        assert problems == []


@pytest.fixture
def signed_in(installation: Installation, page: Page) -> Page:
    """The super administrator's browser."""
    settings = installation.settings
    page.goto(f"{settings.address}/sign-in")
    page.get_by_label("用户名").fill(settings.administrator)
    page.get_by_label("密码").fill(PASSWORD)
    page.get_by_role("button", name="登录").click()
    page.get_by_role("heading", name="概览").wait_for()
    return page


def _is_problem(message: ConsoleMessage) -> bool:
    """Chromium reports a refused form (422) as an error of the console; it is none."""
    return message.type == "error" and "status of 422" not in message.text


def _paint_images(folder: Path) -> None:
    """Two codes that a glance tells apart: bright lines and dark dots."""
    random = np.random.default_rng(7)
    for code in ("SCRATCH", "SPOT"):
        (folder / code).mkdir(parents=True)
        for number in range(12):
            pixels = random.integers(90, 120, (64, 64, 3), dtype=np.uint8)
            place = int(random.integers(10, 50))
            if code == "SCRATCH":
                pixels[place : place + 3] = 240
            else:
                pixels[place : place + 9, place : place + 9] = 10
            Image.fromarray(pixels).save(folder / code / f"{number:02d}.png")


def _set_up(core: Core, settings: Settings) -> None:
    """What a super administrator prepares once: an industry with two levels, a resource, a dataset, the model image."""
    actor = FIRST_ADMINISTRATOR_ID
    industry_id, factory_id, other_id = uuid4(), uuid4(), uuid4()
    task_type = core.assay.find(NameClaim, claim_id(NameKind.TASK_TYPE, "分类"))
    assert task_type is not None
    assert task_type.owner is not None
    commands: list[Command] = [
        CreateIndustry(actor=actor, industry_id=industry_id, name="显示面板"),
        DefineLevels(actor=actor, industry_id=industry_id, level_names=("工厂", "产品")),
        AddNodes(
            actor=actor,
            industry_id=industry_id,
            parent_id=None,
            names=("一厂区", "二厂区"),
            node_ids=(factory_id, other_id),
        ),
        AddNodes(actor=actor, industry_id=industry_id, parent_id=factory_id, names=("TV55",), node_ids=(PRODUCT_ID,)),
        CreateComputeResource(
            actor=actor,
            compute_resource_id=uuid4(),
            kind=ComputeResourceKind.GENERAL_PURPOSE,
            resources=Resources(cpu_cores=1, memory_gib=1),
        ),
        CreateDataset(
            actor=actor,
            dataset_id=uuid4(),
            name="panel-a-training",
            purpose=DatasetPurpose.TRAINING,
            environment=(PRODUCT_ID,),
            data_paths=("data:panel-a",),
            path_ids=(uuid4(),),
        ),
        ImportModelImage(
            actor=actor,
            kind=ModelImageKind.GENERAL,
            task_type_id=task_type.owner,
            archive=str(settings.archive_roots["archives"] / "resnet18@1.0.tar"),
        ),
    ]
    for command in commands:
        core.assay.dispatch(command)
    image_id = model_image_id("resnet18")
    eventually(lambda: core.assay.load(ModelImage, image_id).status is LoadStatus.LOADED, within_seconds=60)
