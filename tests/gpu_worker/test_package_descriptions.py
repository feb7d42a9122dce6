"""The description of a package, `image.yaml`: what it may say, and what is wrong with it in which words (I-6)."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from domain.model_packages import NetworkTask, ResolutionRule
from domain.refusals import Refusal
from domain.training_parameters import read_training_parameters
from gpu_worker import packages
from gpu_worker.networks import KNOWN_NETWORKS, NetworkUnknown
from gpu_worker.package_descriptions import (
    SHIPPED,
    DescriptionIsMalformed,
    FormatUnknown,
    InputSideIsUneven,
    NetworkOfferedTwice,
    NoNetworkOffered,
    ResolutionRangeIsWrong,
    ResolutionRuleIsTwofold,
)
from gpu_worker.packages import DescriptionIsMissing, DescriptionIsTooLarge, FileIsMissing, build_package
from tests.conftest import CHECKOUT
from tests.gpu_worker.packed import a_description, deepcopied, packed, read, weights

__all__ = ["weights"]

UNEVEN = {"task": "segmentation", "name": "UNet-ResNet18", "input": {"width": 200, "height": 256}}


def aliases_of_aliases() -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]" for number in range(1, 12)]
    return "\n".join(lines).encode()


def with_rule(**rule: Any) -> bytes:
    return a_description(resolution_rule=rule)


def with_input(**changes: Any) -> bytes:
    network = {**SHIPPED["networks"][0], "input": {"width": 64, "height": 64, **changes}}
    return yaml.safe_dump({**deepcopied(SHIPPED), "networks": [network]}, allow_unicode=True).encode()


@pytest.mark.parametrize(
    ("description", "refusal", "words"),
    [
        (b"networks: [", DescriptionIsMalformed, "line 1, column 12 is not YAML. Correct it"),
        (a_description() + b"format: 1\n", DescriptionIsMalformed, "“format” stands twice"),
        (b"format: 1\nnetworks: [{task: classification, task: segmentation}]", DescriptionIsMalformed, "“task” stands twice"),
        (b"format: " + b"9" * 5000, DescriptionIsMalformed, "a value in it cannot be understood"),
        (b"? [a, b]\n: 1", DescriptionIsMalformed, "Correct it"),
        (a_description(networks="ResNet18"), DescriptionIsMalformed, "“networks” must be array, not str"),
        (a_description(summary=1), DescriptionIsMalformed, "str"),
        (a_description(files={"w": {"size": -1, "sha256": "0" * 64}}), DescriptionIsMalformed, ">= 0"),
        (a_description(files={"w": {"size": 1, "sha256": "../../etc"}}), DescriptionIsMalformed, "must fit the regular expression"),
        (with_input(mean=[float("nan"), 0.0, 0.0]), DescriptionIsMalformed, ">= -10"),
        (with_input(deviation=[0.2, 0.2, float("inf")]), DescriptionIsMalformed, "<= 10"),
        (with_input(deviation=[0.0, 0.2, 0.2]), DescriptionIsMalformed, "> 0"),
        (with_input(mean=[0.5]), DescriptionIsMalformed, "array of length 3"),
        (with_input(width=1 << 20), DescriptionIsMalformed, "<= 4096"),
        (b"\xff\xfe\x00x", DescriptionIsMalformed, "must be object"),
        (b"summary: \xff\xfa", DescriptionIsMalformed, "not a text in UTF-8"),
        (b"just text", DescriptionIsMalformed, "“image.yaml” must be object, not str"),
        (b"a: !!python/object/apply:os.system ['touch /tmp/owned']", DescriptionIsMalformed, "tags"),
        (aliases_of_aliases(), DescriptionIsMalformed, "aliases"),
        (b"[" * 5000, DescriptionIsMalformed, "nested deeper than 20 levels"),
        (b"x: " + b"y" * (1 << 20), DescriptionIsTooLarge, "1024 KiB"),
        (a_description(format=2), FormatUnknown, "format 2; this platform reads format 1"),
        (a_description(networks=[]), NoNetworkOffered, "ResNet18"),
        (a_description(networks=SHIPPED["networks"][-1:]), NoNetworkOffered, "ResNet18"),
        (a_description(networks=[*SHIPPED["networks"][:3], UNEVEN]), InputSideIsUneven, "Use 224 × 256"),
        (a_description(surprise=1), DescriptionIsMalformed, "“surprise” at “image.yaml” means nothing here"),
        (with_rule(exact_sizes=[[0, 128]]), DescriptionIsMalformed, ">= 1"),
        (with_rule(exact_sizes=[[128]]), DescriptionIsMalformed, "length 2"),
        (with_rule(exact_sizes=[[128, 128]], max_width=200, max_height=200), ResolutionRuleIsTwofold, "Keep one"),
        (with_rule(min_width=100, min_height=100), ResolutionRangeIsWrong, "100 to 0 wide"),
        (with_rule(max_width=100), ResolutionRangeIsWrong, "0 to 0 high"),
        (with_rule(min_width=201, max_width=200, max_height=9), ResolutionRangeIsWrong, "201 to 200"),
        (with_rule(max_width=200, min_height=9, max_height=8), ResolutionRangeIsWrong, "9 to 8 high"),
        (a_description(networks=SHIPPED["networks"] * 2), NetworkOfferedTwice, "“ResNet18” twice"),
        (a_description(networks=[{**SHIPPED["networks"][0], "name": "VGG16"}]), NetworkUnknown, "VGG16"),
        (a_description(networks=[{**SHIPPED["networks"][0], "input": {"width": 8, "height": 8}}]), DescriptionIsMalformed, ">= 32"),
        (a_description(networks=[{**SHIPPED["networks"][0], "weights": "w"}]), FileIsMissing, "“w”"),
        (a_description(files={"w": {"size": 1, "sha256": "0" * 64}}), FileIsMissing, "“w”"),
        (a_description(training_parameters={"classification": {"base_lr": -1}}), Refusal, "base_lr"),
        (a_description(model_parameters={"classification": {"name": "X", "num_of_classes": 2}, "code_list": ["A", "B"]}),
         Refusal, "“X”"),
        (a_description(prediction_parameters={"batch_size": "many"}), Refusal, "batch_size"),
    ],
)  # fmt: skip
def test_a_wrong_description_is_refused_with_what_is_wrong(
    tmp_path: Path, description: bytes, refusal: type[Refusal], words: str
) -> None:
    with pytest.raises(refusal, match=words):
        read(packed(tmp_path / "p.tar", {"image.yaml": description}))


@pytest.mark.parametrize(
    ("rule", "is_empty"),
    [
        ({}, True),
        ({"exact_sizes": [[1280, 960], [640, 480]]}, False),
        ({"max_width": 200, "max_height": 100}, False),
        ({"min_width": 200, "max_width": 200, "min_height": 9, "max_height": 9}, False),
    ],
)
def test_a_resolution_rule_is_sizes_or_a_range_or_left_to_the_images(  # W-10
    tmp_path: Path, rule: dict[str, Any], is_empty: bool
) -> None:
    package = read(packed(tmp_path / "p.tar", {"image.yaml": with_rule(**rule)}))
    assert package.resolution_rule.is_empty is is_empty
    assert package.resolution_rule.complies(200, 9) is (is_empty or "max_width" in rule)


def test_a_package_without_a_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DescriptionIsMissing):
        read(packed(tmp_path / "p.tar", {"notes.txt": b"x"}))


def test_the_largest_description_is_a_page_not_a_book() -> None:
    assert len(a_description()) < packages.MAXIMUM_DESCRIPTION_BYTES // 100


def test_the_documented_description_is_one(tmp_path: Path, weights: bytes) -> None:
    page = (CHECKOUT / "gpu_worker" / "PACKAGES.md").read_text(encoding="utf-8")
    documented = page.split("```yaml\n")[1].split("```")[0]
    (tmp_path / "source" / "weights").mkdir(parents=True)
    (tmp_path / "source" / "image.yaml").write_text(documented, encoding="utf-8")
    (tmp_path / "source" / "weights" / "resnet18.safetensors").write_bytes(weights)
    package = read(build_package(tmp_path / "source", tmp_path / "panel-aoi@7.tar"))
    assert package.resolution_rule == ResolutionRule(exact_sizes=((1280, 960),))
    assert [(network.task, network.weights is not None) for network in package.networks] == [
        (NetworkTask.CLASSIFICATION, True),
        (NetworkTask.CLASSIFICATION, False),
        (NetworkTask.SEGMENTATION, False),
    ]
    assert read_training_parameters(package.training_parameters).segmentation is not None


def test_the_documentation_names_every_network() -> None:
    page = (CHECKOUT / "gpu_worker" / "PACKAGES.md").read_text(encoding="utf-8")
    assert [name for names in KNOWN_NETWORKS.values() for name in names if name not in page] == []
