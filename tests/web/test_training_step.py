"""Step 3 of 新建模型, 配置训练参数, as people meet it: W-6 and W-7.

Forms are sent as a browser without scripts sends them; the rules are the real ones.
"""

from domain.training_advice import LearntFrom, advised_from_nothing
from domain.training_parameters import read_training_parameters
from domain.training_requests import StartingWeights
from tests.examples import TRAINING_PARAMETERS_TEXT, MemoryLog
from tests.web.new_model import (
    IMAGES_LEARNT_FROM,
    NEW,
    SEGMENTING_PACKAGE,
    SEGMENTING_VALUE,
    goes_to,
    log,
    queued,
    send,
    services,
    through,
    value_of,
)
from tests.web.reading import assert_in_order, text, words
from tests.web.site import Site

__all__ = ["log", "services"]


def test_the_third_step_offers_resources_and_the_packages_defaults(trainer: Site) -> None:  # W-6
    through(trainer, 3)
    page = trainer.get(f"{NEW}/step-3")
    assert_in_order(text(page), "通用型 · 2 核 · 4 GiB", "GPU型 · 8 核 · 32 GiB · 1 卡 × 24 GiB")
    assert value_of(page.text, "training_parameters") == TRAINING_PARAMETERS_TEXT


def test_the_curve_of_the_learning_rate_is_drawn_without_scripts(trainer: Site) -> None:  # W-7, S-4
    through(trainer, 3)
    assert 'id="learning-rate-classification-title"' in trainer.get(f"{NEW}/step-3").text
    exp = TRAINING_PARAMETERS_TEXT.replace('"max_iter": 200', '"max_iter": 200, "lr_policy": "exp", "gamma": 0.98')
    goes_to(send(trainer, 3, training_parameters=exp, do="preview"), f"{NEW}/step-3")
    page = trainer.get(f"{NEW}/step-3")
    assert value_of(page.text, "training_parameters") == exp
    assert "exp 0.0001795" in text(page)  # 0.01 · 0.98^199


def test_wrong_parameters_have_no_curve_but_a_line(trainer: Site) -> None:  # W-7
    through(trainer, 3)
    wrong = TRAINING_PARAMETERS_TEXT.replace("0.01", '"fast"')
    shown = text(send(trainer, 3, training_parameters=wrong, do="preview"), 422)
    assert_in_order(shown, "第 3 行：“classification.base_lr”必须为数字", "训练参数正确后显示学习率曲线")
    assert shown.count("“classification.base_lr”必须为数字") == 1


def test_the_script_gets_the_curves_alone(trainer: Site) -> None:  # W-7
    answer = trainer.post(f"{NEW}/learning-rates", training_parameters=SEGMENTING_PACKAGE.training_parameters)
    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert ("分类学习率" in answer.text, "分割学习率" in answer.text) == (True, False)
    both = trainer.post(
        f"{NEW}/learning-rates", training_parameters=SEGMENTING_PACKAGE.training_parameters, segmentation="on"
    )
    assert "分割学习率" in both.text
    wrong = words(trainer.post(f"{NEW}/learning-rates", training_parameters='{\n"classification": 1}').text)
    assert_in_order(wrong, "第 2 行：“classification”必须为花括号中的命名字段", "训练参数正确后显示学习率曲线")


def test_the_defaults_are_restored_on_request(trainer: Site) -> None:  # W-6
    through(trainer, 3)
    goes_to(send(trainer, 3, training_parameters="", do="defaults"), f"{NEW}/step-3")
    assert value_of(trainer.get(f"{NEW}/step-3").text, "training_parameters") == TRAINING_PARAMETERS_TEXT


def test_what_a_training_from_nothing_needs_is_filled_in_on_request(trainer: Site) -> None:  # W-6
    through(trainer, 3)
    goes_to(send(trainer, 3, training_parameters="{", do="advised"), f"{NEW}/step-3")
    page = trainer.get(f"{NEW}/step-3")
    advised = read_training_parameters(value_of(page.text, "training_parameters"))
    assert advised == advised_from_nothing(LearntFrom(IMAGES_LEARNT_FROM, 0), with_segmentation=False)
    goes_to(send(trainer, 3, training_parameters=value_of(page.text, "training_parameters")), f"{NEW}/step-4")


def test_the_advice_knows_whether_segmentation_is_offered(trainer: Site) -> None:  # W-9
    through(trainer, 3, step_1={"model_image_version": SEGMENTING_VALUE})
    send(trainer, 3, do="advised")
    assert read_training_parameters(value_of(trainer.get(f"{NEW}/step-3").text, "training_parameters")).segmentation


def test_the_page_says_how_often_each_image_is_learnt_from(trainer: Site) -> None:  # W-6
    through(trainer, 3)
    page = trainer.get(f"{NEW}/step-3").text
    assert f'data-images="{IMAGES_LEARNT_FROM}"' in page
    answer = trainer.post(f"{NEW}/learning-rates", training_parameters=TRAINING_PARAMETERS_TEXT, images="40")
    assert "200 个批次，每批 16 张" in text(answer)
    assert "80 次" in text(answer)
    for nonsense in ("", "0", "-3", "many", "1e400"):
        asked = trainer.post(f"{NEW}/learning-rates", training_parameters=TRAINING_PARAMETERS_TEXT, images=nonsense)
        assert asked.status_code == 200
        assert "个批次" not in text(asked)


def test_untouched_parameters_follow_the_version_and_changed_ones_stay(trainer: Site) -> None:  # W-6
    through(trainer, 4)
    send(trainer, 1, model_image_version=SEGMENTING_VALUE)
    untouched = trainer.get(f"{NEW}/step-3").text
    assert value_of(untouched, "training_parameters") == SEGMENTING_PACKAGE.training_parameters
    changed = TRAINING_PARAMETERS_TEXT.replace("200", "201")
    send(trainer, 3, training_parameters=changed)
    send(trainer, 1)
    assert value_of(trainer.get(f"{NEW}/step-3").text, "training_parameters") == changed


def test_training_from_nothing_is_chosen_and_recorded(trainer: Site, log: MemoryLog) -> None:  # W-12
    through(trainer, 4, step_3={"starting_weights": StartingWeights.NOTHING.value})
    send(trainer, 4)
    assert queued(log)[0].order.initial_weights is None
