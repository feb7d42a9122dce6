"""W-3, W-6, W-8. Every mistake is named by line and field."""

import json

import pytest

from domain.json_forms import (
    LONGEST_TEXT,
    FieldHasWrongLength,
    FieldIsMissing,
    FieldIsOutOfRange,
    FieldIsUnknown,
    FieldMustBeList,
    FieldMustBeNumber,
    FieldMustBeObject,
    FieldMustBeText,
    FieldMustBeWholeNumber,
    FieldStandsTwice,
    FieldValueIsUnknown,
    JsonBlankIsAnother,
    JsonCommaIsMissing,
    JsonCommaIsMissingHere,
    JsonCommaIsTooMany,
    JsonIsMalformed,
    JsonIsTooLong,
    JsonNumberIsNotFinite,
    JsonQuoteIsMissing,
    JsonSignIsAnother,
    line_of,
    lines_of_entries,
    write_json,
)
from domain.learning_rates import LearningRatePolicy
from domain.refusals import Refusal
from domain.training_parameters import (
    LONGEST_PATTERN,
    ClassificationModel,
    DefectCodeIsInvalid,
    DefectCodeRepeated,
    GammaGrows,
    GroupPatternIsTooLong,
    GroupPatternIsWrong,
    ModelParameters,
    NetworkNotOffered,
    PredictionParameters,
    PreprocessingParameters,
    SgdParameters,
    SplitRatioIsWrong,
    TooManyClasses,
    TrainingParameters,
    check_preprocessing,
    read_model_parameters,
    read_prediction_parameters,
    read_training_parameters,
)
from tests.given_when_then import when

THE_MANUALS_SAMPLE = """{
    "classification": {
        "name": "ResNet18",
        "num_of_classes": 5
    }
    "code_list": [
        "TPFIP",
        "TTFBS",
        "TTMUD",
        "TGGS0",
        "TPOTS",
        "TSFAS",
        "TSDFS"
    ]
}"""
WITH_ITS_COMMA = THE_MANUALS_SAMPLE.replace("    }\n", "    },\n", 1)
THE_MANUALS_TRAINING_PARAMETERS = """{
    "classification":{
        "base_lr": 0.001,
        "batch_size": 256,
        "max_iter": 40000,
        "weight_decay":0.0001,
        "momentum": 0.9,
        "lr_policy": "poly",
        "power": 0.9,
        "gamma": 0.1
    },
    "segmentation":{
        "base_lr": 0.01,
        "batch_size": 16,
        "max_iter": 100000,
        "weight_decay": 0.0001,
        "momentum": 0.9,
        "lr_policy": "poly",
        "power": 0.9,
        "gamma": 0.1
    }
}"""
OFFERED = ["ResNet18"]


def test_the_manuals_sample_lacks_a_comma_and_is_told_so_kindly() -> None:
    when(read_model_parameters, THE_MANUALS_SAMPLE, OFFERED).then_refused(
        JsonCommaIsMissing,
        "Line 6, column 5: a comma seems to be missing at the end of the line before.",
        at="model_parameters",
    )


def test_the_manuals_sample_with_its_comma_has_five_classes_and_two_special_codes() -> None:
    parameters = read_model_parameters(WITH_ITS_COMMA, OFFERED)
    assert parameters.classification == ClassificationModel("ResNet18", 5)
    assert parameters.classifier_codes == ("TPFIP", "TTFBS", "TTMUD", "TGGS0", "TPOTS")
    assert parameters.special_defect_codes == ("TSFAS", "TSDFS")


@pytest.mark.parametrize(
    ("text", "refusal", "sentence"),
    [
        ("", JsonIsMalformed, "Line 1, column 1"),
        ("{", JsonIsMalformed, "Line 1, column 2"),
        ('{\n  "classification": \n}', JsonIsMalformed, "Line 3, column 1"),
        (WITH_ITS_COMMA.replace('"ResNet18"', "ResNet18"), JsonIsMalformed, "Line 3, column 17"),
        (WITH_ITS_COMMA.replace("5", "NaN"), JsonNumberIsNotFinite, "Line 4, column 27: “NaN” is not a number"),
        (
            WITH_ITS_COMMA.replace("TTMUD", r"NaN \" Infinity").replace("5", "-Infinity"),
            JsonNumberIsNotFinite,
            "Line 4, column 27: “-Infinity” is not a number",
        ),
        ("[" * 100_000, JsonIsMalformed, "Line 1, column 1"),
        ("[]", FieldMustBeObject, "Line 1: “JSON” must hold named fields in curly brackets."),
        (
            WITH_ITS_COMMA.replace("5", '"five"'),
            FieldMustBeWholeNumber,
            "Line 4: “classification.num_of_classes” must be a",
        ),
        (WITH_ITS_COMMA.replace("5", "1"), FieldIsOutOfRange, "Line 4: “classification.num_of_classes” must be ≥ 2."),
        (WITH_ITS_COMMA.replace('"ResNet18"', "18"), FieldMustBeText, "Line 3: “classification.name” must be a text"),
        (
            WITH_ITS_COMMA.replace("num_of_classes", "classes"),
            FieldIsUnknown,
            "Line 4: “classification.classes” is not a known parameter",
        ),
        (WITH_ITS_COMMA.replace("code_list", "codes"), FieldIsUnknown, "Line 6: “codes” is not a known parameter"),
        (
            WITH_ITS_COMMA.replace('"ResNet18",', '"ResNet18",\n        "pretrained": true,'),
            FieldIsUnknown,
            "Line 4: “classification.pretrained” is not a known parameter",
        ),
        (
            '{"classification": {"name": "ResNet18", "num_of_classes": 2}, "code_list": "A"}',
            FieldMustBeList,
            "“code_list” must be a list",
        ),
        (
            '{"classification": {"name": "ResNet18", "num_of_classes": 2}, "code_list": ["A"]}',
            FieldHasWrongLength,
            "the number of entries of “code_list” must be ≥ 2.",
        ),
        (WITH_ITS_COMMA.replace('"TTMUD"', "7"), FieldMustBeText, "Line 9: “code_list[2]”"),
        (
            WITH_ITS_COMMA.replace("ResNet18", "ResNet50"),
            NetworkNotOffered,
            "Line 3: this model image does not offer the network “ResNet50”. It offers: ResNet18.",
        ),
        (WITH_ITS_COMMA.replace("5", "8"), TooManyClasses, "Line 4: “classification.num_of_classes” is 8"),
        (WITH_ITS_COMMA.replace("TTMUD", "TPFIP"), DefectCodeRepeated, "Line 9: the code “TPFIP” stands twice"),
        (WITH_ITS_COMMA.replace("TTMUD", "a/b"), DefectCodeIsInvalid, "Line 9: “a/b” cannot be a defect code"),
        (WITH_ITS_COMMA.replace("TTMUD", ".."), DefectCodeIsInvalid, "Line 9: “..” cannot be a defect code"),
    ],
)
def test_a_mistake_in_the_model_parameters_is_named_by_line_and_field(
    text: str, refusal: type[Refusal], sentence: str
) -> None:
    when(read_model_parameters, text, OFFERED).then_refused(refusal, sentence, at="model_parameters")


LAST = '"TSDFS"\n    ]'


@pytest.mark.parametrize(
    ("text", "refusal", "sentence"),
    [
        # in the line, not at the end of the one before
        (WITH_ITS_COMMA.replace('"TPFIP",\n', '"TPFIP"'), JsonCommaIsMissingHere, "Line 7, column 24: a comma seems"),
        (WITH_ITS_COMMA.replace(LAST, '"TSDFS",\n    ]'), JsonCommaIsTooMany, "Line 13, column 16: no comma may stand"),
        (WITH_ITS_COMMA.replace(": 5", ": 5,"), JsonCommaIsTooMany, "Line 4, column 28: no comma may stand"),
        (WITH_ITS_COMMA.replace('"TTMUD"', '"TTMUD'), JsonQuoteIsMissing, "Line 9, column 16: this text has no closing"),
        (WITH_ITS_COMMA[: WITH_ITS_COMMA.index("MUD")], JsonQuoteIsMissing, "Line 9, column 9: this text has no closing"),
        # as a Chinese input method writes them
        (WITH_ITS_COMMA.replace('"TPFIP",', '"TPFIP"，'), JsonSignIsAnother, "Line 7, column 16: ， means nothing here. Write ,"),
        (WITH_ITS_COMMA.replace('name":', 'name"：'), JsonSignIsAnother, "Line 3, column 15: ： means nothing here. Write :"),
        (WITH_ITS_COMMA.replace('"TPFIP"', "“TPFIP”"), JsonSignIsAnother, 'Line 7, column 9: “ means nothing here. Write "'),
        (WITH_ITS_COMMA.replace("[", "【"), JsonSignIsAnother, "Line 6, column 18: 【 means nothing here. Write ["),
        (WITH_ITS_COMMA.replace(": 5", ":\u30005"), JsonBlankIsAnother, "Line 4, column 26: this blank is not an ordinary"),
        ("\ufeff" + WITH_ITS_COMMA, JsonBlankIsAnother, "Line 1, column 1: this blank is not an ordinary"),
        # a bracket is missing, no comma: nothing is guessed
        (WITH_ITS_COMMA.replace(LAST, '"TSDFS"'), JsonIsMalformed, "Line 14, column 1: this is not valid JSON"),
        (WITH_ITS_COMMA.replace('"TPFIP",', '"TPFIP, '), JsonQuoteIsMissing, "Line 7, column 17"),
        (WITH_ITS_COMMA + "}", JsonIsMalformed, "Line 15, column 2: this is not valid JSON"),
    ],
)  # fmt: skip
def test_what_people_write_instead_of_json_is_told_for_what_it_is(
    text: str, refusal: type[Refusal], sentence: str
) -> None:
    assert text != WITH_ITS_COMMA
    when(read_model_parameters, text, OFFERED).then_refused(refusal, sentence, at="model_parameters")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("num_of_classes", "name", "Line 4: “classification.name” stands twice."),
        ('    "code_list"', '    "classification": 5,\n    "code_list"', "Line 6: “classification” stands twice."),
        ('"TPFIP"', '{"TPFIP": 1,\n"TPFIP": 2}', "Line 8: “code_list[0].TPFIP” stands twice."),
    ],
)
def test_of_two_fields_of_one_name_none_counts_silently(old: str, new: str, sentence: str) -> None:
    when(read_model_parameters, WITH_ITS_COMMA.replace(old, new, 1), OFFERED).then_refused(
        FieldStandsTwice, sentence, at="model_parameters"
    )


def test_a_name_that_stands_elsewhere_too_is_found_where_it_is_wrong() -> None:
    text = """{
        "code_list": ["classification", "name",
            "num_of_classes"],
        "classification": {"name": "ResNet18",
            "num_of_classes": true}
    }"""
    when(read_model_parameters, text, OFFERED).then_refused(
        FieldMustBeWholeNumber, "Line 5: “classification.num_of_classes”", at="model_parameters"
    )


def test_all_mistakes_of_the_model_parameters_are_told_at_once() -> None:
    text = WITH_ITS_COMMA.replace("ResNet18", "VGG16").replace("5", "9").replace("TTMUD", "TPFIP")
    when(read_model_parameters, text, OFFERED).then_refused_together(
        NetworkNotOffered, TooManyClasses, DefectCodeRepeated
    )


def test_the_segmentation_network_may_be_named_and_must_be_offered() -> None:  # W-3
    text = WITH_ITS_COMMA.replace('"code_list"', '"segmentation": {"name": "UNet"},\n"code_list"')
    parameters = read_model_parameters(text, OFFERED, ["UNet"])
    assert parameters.segmentation is not None
    assert parameters.segmentation.name == "UNet"
    when(read_model_parameters, text, OFFERED).then_refused(
        NetworkNotOffered, "does not offer the network “UNet”. It offers: —", at="model_parameters"
    )


def test_a_defect_code_may_be_any_name_of_a_folder() -> None:
    text = WITH_ITS_COMMA.replace("TTMUD", "划伤 2")
    assert "划伤 2" in read_model_parameters(text, OFFERED).code_list


@pytest.mark.parametrize("unseen", ["\\u202e", "\\u200b", "\\u0007", "\\u007f", "\\u0085", "\\ufeff"])
def test_a_defect_code_looks_as_it_is(unseen: str) -> None:
    text = WITH_ITS_COMMA.replace("TTMUD", f"TT{unseen}MUD")
    when(read_model_parameters, text, OFFERED).then_refused(DefectCodeIsInvalid, at="model_parameters")


def test_the_manuals_training_parameters_are_read_as_they_stand() -> None:
    parameters = read_training_parameters(THE_MANUALS_TRAINING_PARAMETERS)
    assert parameters.classification == SgdParameters(
        base_lr=0.001,
        batch_size=256,
        max_iter=40_000,
        weight_decay=0.0001,
        momentum=0.9,
        lr_policy=LearningRatePolicy.POLY,
        power=0.9,
        gamma=0.1,
    )
    assert parameters.segmentation is not None
    assert (parameters.segmentation.max_iter, parameters.segmentation.batch_size) == (100_000, 16)


def test_only_rate_batch_size_and_iterations_must_be_said() -> None:
    text = '{"classification": {"base_lr": 0.01, "batch_size": 8, "max_iter": 100}}'
    sgd = SgdParameters(
        base_lr=0.01,
        batch_size=8,
        max_iter=100,
        weight_decay=0.0001,
        momentum=0.9,
        lr_policy=LearningRatePolicy.POLY,
        power=0.9,
        gamma=0.1,
    )
    assert read_training_parameters(text) == TrainingParameters(sgd)


@pytest.mark.parametrize("part", ["classification", "segmentation"])
@pytest.mark.parametrize(
    ("name", "last", "beyond"),
    [
        ("base_lr", 1e-9, 0),
        ("base_lr", 100, 100.1),
        ("batch_size", 1, 0),
        ("batch_size", 65536, 65537),
        ("max_iter", 1, 0),
        ("max_iter", 100_000_000, 100_000_001),
        ("weight_decay", 0, -0.1),
        ("weight_decay", 1, 1.1),
        ("momentum", 0, -0.1),
        ("momentum", 0.999, 1),
        ("power", 0, -0.1),
        ("power", 100, 100.1),
        ("gamma", 0, -0.1),
        ("gamma", 100, 100.1),
    ],
)
def test_every_parameter_ends_somewhere(part: str, name: str, last: float, beyond: float) -> None:
    parameters = json.loads(THE_MANUALS_TRAINING_PARAMETERS)
    parameters[part][name] = last
    assert getattr(getattr(read_training_parameters(json.dumps(parameters)), part), name) == last
    parameters[part][name] = beyond
    when(read_training_parameters, json.dumps(parameters)).then_refused(
        FieldIsOutOfRange, f"“{part}.{name}” must be", at="training_parameters"
    )


@pytest.mark.parametrize(
    ("class_count", "code_count", "refusal"),
    [
        (1, 2, FieldIsOutOfRange),
        (2, 2, None),
        (1000, 1000, None),
        (1001, 1000, FieldIsOutOfRange),
        (2, 1, FieldHasWrongLength),
        (2, 1001, FieldHasWrongLength),
    ],
)
def test_a_model_tells_two_to_a_thousand_codes_apart(
    class_count: int, code_count: int, refusal: type[Refusal] | None
) -> None:
    codes = [f"C{number}" for number in range(code_count)]
    text = json.dumps({"classification": {"name": "ResNet18", "num_of_classes": class_count}, "code_list": codes})
    if refusal is None:
        assert len(read_model_parameters(text, OFFERED).classifier_codes) == class_count
    else:
        when(read_model_parameters, text, OFFERED).then_refused(refusal, "must be", at="model_parameters")


@pytest.mark.parametrize(
    ("old", "new", "refusal", "sentence"),
    [
        ("0.001", "0", FieldIsOutOfRange, "Line 3: “classification.base_lr” must be > 0."),
        ("0.001", "-0.001", FieldIsOutOfRange, "Line 3: “classification.base_lr” must be > 0."),
        ("0.001", "1e400", FieldIsOutOfRange, "Line 3: “classification.base_lr” must be ≤ 100."),
        ("256", "0", FieldIsOutOfRange, "Line 4: “classification.batch_size” must be ≥ 1."),
        ("256", "2.5", FieldMustBeWholeNumber, "Line 4: “classification.batch_size”"),
        ("0.001", '"fast"', FieldMustBeNumber, "Line 3: “classification.base_lr”"),
        ("40000", "0", FieldIsOutOfRange, "Line 5: “classification.max_iter” must be ≥ 1."),
        ("0.9,", "1.0,", FieldIsOutOfRange, "Line 7: “classification.momentum” must be < 1."),
        ('"poly"', '"step"', FieldValueIsUnknown, "Line 8: “classification.lr_policy” cannot be step."),
        ("100000", '"all"', FieldMustBeWholeNumber, "Line 15: “segmentation.max_iter”"),
        ('"base_lr": 0.001,', "", FieldIsMissing, "“classification.base_lr” is missing"),
        ('"base_lr"', '"base_rl"', FieldIsUnknown, "Line 3: “classification.base_rl” is not a known parameter"),
        ('"gamma"', '"gama"', FieldIsUnknown, "Line 10: “classification.gama” is not a known parameter"),
        ('"gamma": 0.1\n    },', '"gamma": 0.1\n    }', JsonCommaIsMissing, "Line 12, column 5"),
    ],
)
def test_a_mistake_in_the_training_parameters_is_named_by_line_and_field(
    old: str, new: str, refusal: type[Refusal], sentence: str
) -> None:
    text = THE_MANUALS_TRAINING_PARAMETERS.replace(old, new, 1)
    assert text != THE_MANUALS_TRAINING_PARAMETERS
    when(read_training_parameters, text).then_refused(refusal, sentence, at="training_parameters")


def test_exp_with_a_gamma_above_one_would_grow_without_end() -> None:
    text = THE_MANUALS_TRAINING_PARAMETERS.replace('"poly"', '"exp"').replace('"gamma": 0.1', '"gamma": 1.5', 1)
    when(read_training_parameters, text).then_refused(
        GammaGrows, "Line 10: with the policy exp, “classification.gamma” must be ≤ 1", at="training_parameters"
    )
    assert read_training_parameters(text.replace('"exp"', '"inv"')).classification.gamma == 1.5
    assert read_training_parameters(text.replace("1.5", "1")).classification.gamma == 1
    of_segmentation = text.replace('"gamma": 0.1', '"gamma": 1.5').replace('"gamma": 1.5', '"gamma": 0.1', 1)
    when(read_training_parameters, of_segmentation).then_refused(GammaGrows, "“segmentation.gamma” must be ≤ 1")


def test_prediction_parameters_have_a_batch_size_with_a_default() -> None:
    assert read_prediction_parameters("{}") == PredictionParameters(batch_size=32)
    assert read_prediction_parameters('{"batch_size": 65536}').batch_size == 65536
    when(read_prediction_parameters, '{"batch_size": 65537}').then_refused(FieldIsOutOfRange)
    when(read_prediction_parameters, '{"batch_size": 0}').then_refused(
        FieldIsOutOfRange, "Line 1: “batch_size” must be ≥ 1.", at="prediction_parameters"
    )


@pytest.mark.parametrize("ratio", [0.05, 0.5, 0.8, 0.95])
def test_both_splits_need_images(ratio: float) -> None:
    check_preprocessing(PreprocessingParameters(split_ratio=ratio))


@pytest.mark.parametrize("ratio", [0.0, 0.04, 0.96, 1.0, 80.0, -0.5, float("nan")])
def test_a_split_ratio_that_leaves_one_side_empty_is_refused(ratio: float) -> None:
    when(check_preprocessing, PreprocessingParameters(split_ratio=ratio)).then_refused(
        SplitRatioIsWrong, "for example 0.8", at="split_ratio"
    )


def test_a_broken_group_pattern_is_refused_before_it_puts_every_image_into_its_own_group() -> None:
    when(check_preprocessing, PreprocessingParameters(group_pattern="(panel")).then_refused(
        GroupPatternIsWrong, "not a valid regular expression", at="group_pattern"
    )
    check_preprocessing(PreprocessingParameters(group_pattern=r"^(\d+)_"))


@pytest.mark.parametrize("pattern", ["a{99999999999}", "[z-a]", "(" * LONGEST_PATTERN, "(?P<a>a)" * 20])
def test_a_group_pattern_of_any_kind_is_told_what_is_wrong_with_it(pattern: str) -> None:
    when(check_preprocessing, PreprocessingParameters(group_pattern=pattern)).then_refused(GroupPatternIsWrong)


def test_a_group_pattern_is_short() -> None:
    when(check_preprocessing, PreprocessingParameters(group_pattern="(" * 100_000)).then_refused(
        GroupPatternIsTooLong, "at most 200 characters; this one has 100000", at="group_pattern"
    )
    check_preprocessing(PreprocessingParameters(group_pattern="x" * LONGEST_PATTERN))
    when(check_preprocessing, PreprocessingParameters(group_pattern="x" * (LONGEST_PATTERN + 1))).then_refused(
        GroupPatternIsTooLong, "this one has 201", at="group_pattern"
    )


def test_parameters_are_short() -> None:
    longest = WITH_ITS_COMMA.ljust(LONGEST_TEXT)
    assert read_model_parameters(longest, OFFERED) == read_model_parameters(WITH_ITS_COMMA, OFFERED)
    when(read_model_parameters, longest + " ", OFFERED).then_refused(
        JsonIsTooLong, "at most 200000", at="model_parameters"
    )


@pytest.mark.parametrize(
    "text",
    [
        "[" * 50_000,
        '{"a":' * 400 + '{"b":1,"b":2}' + "}" * 400,
        '{"a":' * 30_000,
        '{"\\ud800": 1}',
        '{"code_list": ["\\udc00"]}',
        "9" * 5000,
    ],
)
def test_what_no_page_and_no_log_could_hold_is_no_json(text: str) -> None:
    when(read_model_parameters, text, OFFERED).then_refused(JsonIsMalformed, "not valid JSON")


def test_whole_characters_may_be_written_in_two_halves() -> None:
    text = WITH_ITS_COMMA.replace("TTMUD", "\\ud83d\\udd0d")
    assert "🔍" in read_model_parameters(text, OFFERED).code_list


def test_every_entry_of_a_list_knows_its_line() -> None:
    text = '{"a": [1, 2,\n\n3,\n[4,\n5], "\\n6"\n, 7]}'
    assert lines_of_entries(text, "$.a") == [line_of(text, f"$.a[{index}]") for index in range(6)] == [1, 1, 3, 4, 5, 6]


def test_parameters_are_written_as_a_person_would() -> None:
    written = write_json(ModelParameters(ClassificationModel("ResNet18", 2), ("划伤", "TTFBS"), None))
    assert '\n    "code_list": [\n        "划伤",' in written
