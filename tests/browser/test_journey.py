"""The main job as a person does it: everything is started by the command line, seen and pressed in real Chromium."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import ConsoleMessage, Page, expect, sync_playwright

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
from infra.settings import Settings
from tests.eventually import eventually
from tests.installation import PASSWORD, Installation, running_installation
from tests.parts import require

MINUTE = 60_000
MODEL_PARAMETERS = """{
    "classification": {
        "name": "ResNet18",
        "num_of_classes": 2
    },
    "code_list": [
        "SCRATCH",
        "SPOT"
    ]
}"""
TRAINING_PARAMETERS = """{
    "classification": {
        "base_lr": 0.01,
        "batch_size": 8,
        "max_iter": 12
    }
}"""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    require("Chromium", present=CHROMIUM, how_to_get_it="apt-get install chromium fonts-noto-cjk")
    with running_installation("assay-journey-") as made:
        yield made


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        opened = browser.new_page(viewport={"width": 1440, "height": 900})
        problems: list[str] = []
        opened.on("pageerror", lambda error: problems.append(str(error)))
        opened.on("console", lambda message: problems.append(message.text) if _is_problem(message) else None)
        yield opened
        browser.close()
        assert problems == []


def test_a_second_start_says_that_it_runs(installation: Installation) -> None:  # S-1
    assert f"runs already at {installation.settings.address}" in installation.assay("up", "--background")


def test_from_sign_in_to_a_published_model(installation: Installation, page: Page) -> None:  # W-1, T-5, R-1, V-1
    settings = installation.settings
    _paint_images(settings.data_roots["data"] / "panel-a")
    installation.assay("package")
    with open_core(settings) as core:
        _set_up(core, settings)
    page.set_default_timeout(MINUTE)

    page.goto(settings.address)
    page.get_by_label("用户名").fill(settings.administrator)
    page.get_by_label("密码").fill("not the password")
    page.get_by_role("button", name="登录").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("密码").fill(PASSWORD)
    page.get_by_role("button", name="登录").click()
    expect(page.get_by_role("heading", name="概览")).to_be_visible()

    page.goto(f"{settings.address}/training-jobs/new")
    page.get_by_label("模型名称").fill("panel-a")
    page.locator("input[type=radio][name=model_image_version]").first.check()
    page.locator("#model_parameters").fill(MODEL_PARAMETERS.replace("2\n    },", "2\n    }"))
    page.locator("select[name=level_1]").select_option(label="一厂区")
    page.locator("input[name=level_2]").first.check()
    page.get_by_role("button", name="下一步").last.click()
    expect(page.get_by_role("alert").first).to_contain_text("第 6 行")  # W-3: the comma that the manual's sample lacks
    page.locator("#model_parameters").fill(MODEL_PARAMETERS)
    page.get_by_role("button", name="下一步").last.click()

    page.locator("input[name=import]").first.check()
    page.get_by_role("button", name="导入路径").click()
    expect(page.get_by_role("row", name="panel-a")).to_contain_text("24")
    page.get_by_role("button", name="下一步").last.click()

    page.locator("input[name=compute_resource]").first.check()
    page.locator("#training_parameters").fill(TRAINING_PARAMETERS)
    page.get_by_role("button", name="下一步").last.click()

    page.locator("input[name=augmentations][value=flipping]").check()
    page.get_by_role("button", name="完成").last.click()
    expect(page.get_by_role("row", name="panel-a")).to_be_visible()

    # The monitor is offered once a worker has begun, and shows the end by itself: the page is never reloaded.
    page.get_by_role("row", name="panel-a").get_by_role("link", name="监控").click()
    expect(page.get_by_text("训练完成").first).to_be_visible(timeout=3 * MINUTE)
    expect(page.locator("svg[role=img]").first).to_be_visible()

    page.goto(f"{settings.address}/training-jobs")
    page.get_by_role("row", name="panel-a").get_by_role("link", name="模型评估报告").click()
    expect(page.get_by_text("SCRATCH").first).to_be_visible()
    page.goto(f"{settings.address}/training-jobs")
    page.get_by_role("row", name="panel-a").get_by_role("link", name="模型发布").click()
    page.get_by_role("dialog").get_by_role("button", name="模型发布").click()
    expect(page.get_by_text("已发布").first).to_be_visible()
    page.goto(f"{settings.address}/models")
    expect(page.get_by_role("row", name="panel-a")).to_contain_text("v1.01")

    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", name="My models")).to_be_visible()


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
    claim = core.assay.find(NameClaim, claim_id(NameKind.USER, settings.administrator))
    assert claim is not None
    assert claim.owner is not None
    actor = claim.owner
    industry_id, factory_id, product_id = uuid4(), uuid4(), uuid4()
    task_type = core.assay.find(NameClaim, claim_id(NameKind.TASK_TYPE, "分类"))
    assert task_type is not None
    assert task_type.owner is not None
    commands: list[Command] = [
        CreateIndustry(actor=actor, industry_id=industry_id, name="显示面板"),
        DefineLevels(actor=actor, industry_id=industry_id, level_names=("工厂", "产品")),
        AddNodes(actor=actor, industry_id=industry_id, parent_id=None, names=("一厂区",), node_ids=(factory_id,)),
        AddNodes(actor=actor, industry_id=industry_id, parent_id=factory_id, names=("TV55",), node_ids=(product_id,)),
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
            environment=(product_id,),
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
