"""The other two ways to a training, in real Chromium: a business image that brings everything with it, and a retraining."""

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest
import yaml
from playwright.sync_api import Page, expect

from commands.environments import bind
from commands.model_images import ImportModelImage, model_image_id
from domain.data_paths import FolderName
from domain.model_images import LoadStatus, ModelImage, ModelImageKind
from domain.model_packages import NetworkInput
from domain.names import NameKind
from domain.training_jobs import ModelImageUsed
from domain.training_parameters import ClassificationModel, ModelParameters
from gpu_worker.networks import new_network, save_weights
from gpu_worker.packages import DESCRIPTION, build_package, write_shipped_description
from infra.bootstrap import open_core
from infra.core import Core
from infra.first_start import FIRST_ADMINISTRATOR_ID
from tests.browser.plant import MINUTE, PRODUCT_ID, TRAINING_PARAMETERS
from tests.eventually import eventually
from tests.examples import VERSION_PUBLISHED, History
from tests.installation import Installation

CODES = ("SCRATCH", "SPOT")


@pytest.fixture
def core(installation: Installation) -> Iterator[Core]:
    with open_core(installation.settings) as opened:
        yield opened


def test_a_business_image_brings_parameters_and_environment_with_it(
    installation: Installation, core: Core, signed_in: Page, tmp_path: Path
) -> None:  # W-1, W-2, I-1
    page, settings = signed_in, installation.settings
    archive = settings.archive_roots["archives"] / "tv55@1.0.tar"
    _import_business_image(core, archive, tmp_path)

    page.goto(f"{settings.address}/training-jobs/new")
    page.get_by_label("模型名称").fill("tv55-scratches")
    page.get_by_label("业务类型镜像").check()
    expect(page.locator("#model_parameters")).to_be_hidden()
    _filter_by(page, "二厂区")
    expect(page.get_by_text("没有绑定到该生产环境的业务类型镜像")).to_be_visible()
    _filter_by(page, "一厂区")
    page.get_by_role("radio", name=re.compile("tv55")).check()
    page.get_by_role("button", name="下一步").last.click()

    page.locator("textarea[name=typed]").fill("data:panel-a")
    page.get_by_role("button", name="添加数据路径").click()
    expect(page.get_by_role("row", name="data:panel-a")).to_contain_text("有效")
    page.get_by_role("button", name="下一步").last.click()

    page.locator("input[name=compute_resource]").first.check()
    page.locator("#training_parameters").fill(TRAINING_PARAMETERS % 1)
    page.get_by_role("button", name="下一步").last.click()

    expect(page.locator("main")).to_contain_text("TV55")  # nobody chose it: the image is bound to it
    page.get_by_role("button", name="上一步").click()
    expect(page.locator("#training_parameters")).to_have_value(re.compile('"max_iter": 1\n'))
    page.get_by_role("button", name="下一步").last.click()
    page.get_by_role("button", name="完成").last.click()
    page.get_by_role("row", name="tv55-scratches").get_by_role("link", name="tv55-scratches").click()
    expect(page.locator("main")).to_contain_text("tv55 v1.0")
    expect(page.locator("main")).to_contain_text("TV55")


def test_a_version_is_trained_again_to_the_next_one(
    installation: Installation, core: Core, signed_in: Page, tmp_path: Path
) -> None:  # W-11, W-5, V-1
    page, settings = signed_in, installation.settings
    _publish(core, tmp_path)

    eventually(lambda: _lists(page, f"{settings.address}/models", "panel-b"), within_seconds=30)
    page.get_by_role("row", name="panel-b").get_by_role("link", name="重新训练").click()
    expect(page.locator("main")).to_contain_text("v1.01")
    expect(page.get_by_label("模型名称")).to_have_count(0)  # it stays as it is
    page.get_by_role("button", name="下一步").last.click()

    locked = page.get_by_role("row", name="data:panel-a")
    expect(locked).to_contain_text("新建模型")
    expect(locked.get_by_role("button", name="删除")).to_have_count(0)
    page.get_by_role("button", name="下一步").last.click()

    page.locator("input[name=compute_resource]").first.check()
    page.locator("#training_parameters").fill(TRAINING_PARAMETERS % 2)
    page.get_by_role("button", name="下一步").last.click()
    page.get_by_role("button", name="完成").last.click()

    page.get_by_role("row", name="panel-b").get_by_role("link", name="panel-b").click()
    expect(page.get_by_text("训练完成").first).to_be_visible(timeout=3 * MINUTE)
    page.get_by_role("link", name="模型发布").click()
    page.get_by_role("dialog").get_by_role("button", name="模型发布").click()
    expect(page.get_by_text("已发布").first).to_be_visible()
    page.goto(f"{settings.address}/models")
    expect(page.get_by_role("row", name="panel-b")).to_contain_text("v1.02")


def _lists(page: Page, address: str, name: str) -> bool:
    """Whether a list shows what nobody did in a browser: its pages wait for nothing then."""
    page.goto(address)
    return page.get_by_role("row", name=name).count() > 0


def _filter_by(page: Page, factory: str) -> None:
    page.locator("select[name=filter_level_1]").select_option(label=factory)
    page.get_by_role("button", name="筛选").click()


def _import_business_image(core: Core, archive: Path, folder: Path) -> None:
    """One that is made for TV55, with its own list of codes."""
    write_shipped_description(folder)
    described = yaml.safe_load((folder / DESCRIPTION).read_text())
    described["model_parameters"]["classification"]["num_of_classes"] = len(CODES)
    described["model_parameters"]["code_list"] = list(CODES)
    (folder / DESCRIPTION).write_text(yaml.safe_dump(described))
    build_package(folder, archive)
    task_type = _general_image(core).task_type
    core.assay.dispatch(
        ImportModelImage(
            actor=FIRST_ADMINISTRATOR_ID,
            kind=ModelImageKind.BUSINESS,
            task_type_id=task_type.task_type_id,
            archive=str(archive),
            environment=(PRODUCT_ID,),
        )
    )
    image_id = model_image_id("tv55")
    eventually(lambda: core.assay.load(ModelImage, image_id).status is LoadStatus.LOADED, within_seconds=60)


def _publish(core: Core, folder: Path) -> None:
    """panel-b v1.01, as if it had been trained."""
    file = folder / "panel-b.safetensors"
    save_weights(new_network("ResNet18", len(CODES), seed=1).state_dict(), file, "ResNet18", CODES)
    model_id: UUID = uuid4()
    order = msgspec.structs.replace(
        VERSION_PUBLISHED.order,
        model_name="panel-b",
        model_parameters=ModelParameters(ClassificationModel("ResNet18", len(CODES)), CODES),
        input=NetworkInput(width=32, height=32),
        data_paths=(FolderName("data", "panel-a"),),
    )
    published = msgspec.structs.replace(
        VERSION_PUBLISHED,
        owner=FIRST_ADMINISTRATOR_ID,
        model_name="panel-b",
        job_id=uuid4(),
        model_image=ModelImageUsed(model_image_id("resnet18"), "resnet18", 1),
        task_type=_general_image(core).task_type,
        environment=bind(core.assay, (PRODUCT_ID,)),
        order=order,
        weights=core.artifacts.keep(file),
    )
    history = History().claim(NameKind.MODEL, "panel-b", model_id)
    core.log.append(history.add(model_id, published, actor=FIRST_ADMINISTRATOR_ID).events)


def _general_image(core: Core) -> ModelImage:
    return core.assay.load(ModelImage, model_image_id("resnet18"))
