"""导入镜像 in the manual's words: from a path on the server or an upload, and every way to be refused."""

import pytest

from commands.model_images import ImportModelImage
from domain.environments import EnvironmentChoiceIsIncomplete
from domain.model_images import ArchiveNameIsInvalid, ArchiveNotFound, LoadStatus, ModelImageExists, ModelImageKind
from domain.refusals import Refusal
from infra.uploads import Uploads
from projections.model_images import UploadUsed
from tests.examples import AOI_STATION, ARRAY_FAB, CLASSIFICATION_ID, FACTORY_1, PANEL_65, PANEL_75
from tests.web.model_images import FakeModelImages, FakeTaskTypes, an_upload, images, uploads
from tests.web.places import FakeEnvironments, FakeIndustries
from tests.web.reading import assert_in_order, words
from tests.web.site import MODEL_TRAINER, Site

__all__ = ["images", "uploads"]


def test_a_general_image_is_imported_from_a_path_on_the_server(site: Site, images: FakeModelImages) -> None:  # I-1, I-2
    answer = site.post(
        "/model-images/import", kind="general", task_type_id=str(CLASSIFICATION_ID), archive=" /archives/image@123 "
    )
    assert (answer.status_code, answer.headers["Location"]) == (303, "/model-images")
    (command,) = site.assay.commands
    assert command == ImportModelImage(
        actor=command.actor,
        request=command.request,
        kind=ModelImageKind.GENERAL,
        task_type_id=CLASSIFICATION_ID,
        archive="/archives/image@123",
    )
    assert "模型镜像正在后台加载" in site.get("/model-images").text


def test_a_business_image_is_bound_to_the_chosen_products(site: Site, images: FakeModelImages) -> None:  # I-1
    site.post(
        "/model-images/import",
        kind="business",
        task_type_id=str(CLASSIFICATION_ID),
        archive="/archives/image@123",
        level_1=str(FACTORY_1.node_id),
        level_2=str(ARRAY_FAB.node_id),
        level_3=str(AOI_STATION.node_id),
        level_4=[str(PANEL_65.node_id), str(PANEL_75.node_id)],
    )
    assert site.assay.commands[0].environment == (PANEL_65.node_id, PANEL_75.node_id)


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        (ArchiveNotFound(), "当前路径下无法找到有效的模型镜像文件"),
        (ArchiveNameIsInvalid(), "模型镜像文件名称不满足格式要求"),
        (ModelImageExists(), "模型镜像已存在，请从新增版本入口追加新版本"),
    ],
)
def test_the_manuals_sentences_stand_beside_the_path(  # I-3: exactly these words
    site: Site, images: FakeModelImages, refusal: Refusal, sentence: str
) -> None:
    site.assay.refuse_with(refusal)
    answer = site.post(
        "/model-images/import", kind="general", task_type_id=str(CLASSIFICATION_ID), archive="/etc/passwd"
    )
    assert answer.status_code == 422
    assert f'<p class="field-error" id="archive-error" role="alert">{sentence}</p>' in answer.text
    assert 'value="/etc/passwd"' in answer.text, "what was entered stays"


def test_a_missing_product_is_told_beside_the_environment(site: Site, images: FakeModelImages) -> None:
    site.assay.refuse_with(EnvironmentChoiceIsIncomplete(level="产品"))
    answer = site.post(
        "/model-images/import",
        kind="business",
        task_type_id=str(CLASSIFICATION_ID),
        archive="/archives/image@123",
        environment="",
        level_1=str(FACTORY_1.node_id),
    )
    assert answer.status_code == 422
    assert 'id="environment-error"' in answer.text
    assert f'value="{FACTORY_1.node_id}" selected' in answer.text, "what was chosen stays"


def test_without_scripts_the_next_level_is_shown_and_nothing_is_imported(  # S-4
    site: Site, images: FakeModelImages
) -> None:
    fields = {"kind": "business", "task_type_id": "", "archive": "/archives/image@123"}
    answer = site.post("/model-images/import", **fields, level_1=str(FACTORY_1.node_id), do="levels")
    assert answer.status_code == 200
    assert f'<option value="{ARRAY_FAB.node_id}">' in answer.text
    assert 'value="/archives/image@123"' in answer.text
    assert site.assay.commands == []


def test_the_other_language_shows_the_form_again_without_its_file(site: Site, images: FakeModelImages) -> None:  # S-4
    entered = {"kind": "business", "source": "remote_path", "archive": "/archives/image@123.tar"}
    again = site.post("/model-images/import/file", as_entered="en", **entered)
    assert again.status_code == 200
    assert "Import model image" in again.text
    assert 'value="business" checked' in again.text
    assert 'name="archive" value="/archives/image@123.tar"' in again.text
    assert site.assay.commands == []


def test_without_a_task_type_nothing_is_asked(site: Site, images: FakeModelImages) -> None:
    answer = site.post("/model-images/import", kind="general", archive="/archives/image@123")
    assert answer.status_code == 422
    assert 'id="task_type_id-error"' in answer.text
    assert site.assay.commands == []


def test_an_upload_that_has_arrived_is_imported(site: Site, images: FakeModelImages, uploads: Uploads) -> None:  # I-2
    upload_id = an_upload(uploads).upload_id
    answer = site.post(
        "/model-images/import",
        kind="general",
        task_type_id=str(CLASSIFICATION_ID),
        source="upload",
        upload_id=str(upload_id),
        archive="/archives/typed-before@1",
    )
    assert (answer.status_code, answer.headers["Location"]) == (303, "/model-images")
    (command,) = site.assay.commands
    assert (command.upload_id, command.archive) == (upload_id, "")


def test_without_a_file_the_form_asks_for_one(site: Site, images: FakeModelImages) -> None:
    answer = site.post(
        "/model-images/import", kind="general", task_type_id=str(CLASSIFICATION_ID), source="upload", upload_id=""
    )
    assert answer.status_code == 422
    assert '<p class="field-error" id="file-error" role="alert">请选择文件。</p>' in answer.text
    assert site.assay.commands == []


def test_a_refused_form_keeps_the_upload(site: Site, images: FakeModelImages, uploads: Uploads) -> None:
    upload = an_upload(uploads)
    site.assay.refuse_with(ModelImageExists())
    answer = site.post(
        "/model-images/import",
        kind="general",
        task_type_id=str(CLASSIFICATION_ID),
        source="upload",
        upload_id=str(upload.upload_id),
    )
    assert answer.status_code == 422
    assert f'name="upload_id" value="{upload.upload_id}"' in answer.text
    assert_in_order(words(answer.text), "image@123.tar", "100 %", "模型镜像已存在，请从新增版本入口追加新版本")


def test_the_form_offers_both_ways_and_the_users_own_uploads(
    site: Site, images: FakeModelImages, uploads: Uploads
) -> None:  # I-2
    complete, broken = an_upload(uploads), an_upload(uploads, content=b"half ")
    queued, others = an_upload(uploads), an_upload(uploads, of=MODEL_TRAINER.user_id)
    images.used = [UploadUsed(f"{queued.upload_id}/image@123.tar", LoadStatus.LOADING)]
    page = site.get("/model-images/import").text
    assert_in_order(
        words(page), "上传方式", "本地文件上传", "远程服务器路径", "立即导入", "100 %", "使用", "50 %", "移除"
    )
    assert f"upload_id={complete.upload_id}" in page
    assert f"upload_id={broken.upload_id}" not in page, "what is not complete cannot be used"
    assert f"/uploads/{broken.upload_id}/cancel" in page
    assert str(queued.upload_id) not in page
    assert str(others.upload_id) not in page
    again = site.get(f"/model-images/import?upload_id={complete.upload_id}").text
    assert f'name="upload_id" value="{complete.upload_id}"' in again


def test_a_model_trainer_imports_too(trainer: Site, uploads: Uploads) -> None:  # section U
    trainer.read.industries, trainer.read.environments = FakeIndustries(), FakeEnvironments()
    trainer.read.task_types, trainer.read.model_images = FakeTaskTypes(), FakeModelImages()
    answer = trainer.post(
        "/model-images/import", kind="general", task_type_id=str(CLASSIFICATION_ID), archive="/archives/image@123"
    )
    assert answer.status_code == 303
    assert trainer.assay.commands[0].actor == MODEL_TRAINER.user_id
