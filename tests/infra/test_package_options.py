"""`assay package`: what the options make, and what verifying says (I-6)."""

import subprocess
import sys
from pathlib import Path

import pytest

from domain.model_packages import ModelPackage, NetworkTask, ResolutionRule
from gpu_worker.networks import new_network, save_weights
from gpu_worker.packages import read_package
from infra import cli
from infra.package_options import _identity
from tests.conftest import CHECKOUT

CODES = "TPFIP,TTFBS,TTMUD,TSFAS"


@pytest.fixture
def archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_STATE", str(tmp_path / "state"))
    folder = tmp_path / "state" / "archives"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    file = tmp_path / "mine.safetensors"
    save_weights(new_network("ResNet18", 3, seed=1).state_dict(), file, "ResNet18", tuple("ABC"))
    return file


def package(*options: object) -> int:
    return cli.main(["package", *map(str, options)])


def test_without_options_the_shipped_package_lands_in_the_first_archive_root(
    archives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert package() == 0
    assert capsys.readouterr().out.strip() == str(archives / "resnet18@1.0.tar")
    assert package("--verify", archives / "resnet18@1.0.tar") == 0
    said = capsys.readouterr().out
    for words in (
        "resnet18 1.0: the package is right",
        "classification: ResNet34, input 128x128, no weights",
        "sha256",
    ):
        assert words in said


def test_options_make_a_package_of_networks_codes_and_weights(archives: Path, tmp_path: Path, weights: Path) -> None:
    target = tmp_path / "panel-aoi@7.tar.zst"
    (tmp_path / "training.json").write_text('{"classification": {"base_lr": 0.02, "batch_size": 8, "max_iter": 100}}')
    options = [
        *("--target", target, "--network", f"ResNet18={weights}", "--network", "ResNet50"),
        *("--codes", CODES, "--classes", 3, "--input", "96x64", "--mean", "0.5,0.5,0.5", "--deviation", "0.2,0.3,0.4"),
        *("--images", "100x80-200x160", "--special-code-min-pixels", 9, "--summary", "65 寸面板"),
        *("--training-parameters", tmp_path / "training.json"),
    ]
    assert package(*options) == 0
    loaded = read(target)
    first, second = loaded.networks_for(NetworkTask.CLASSIFICATION)
    assert (first.name, second.name, second.weights) == ("ResNet18", "ResNet50", None)
    assert first.weights == _identity(weights)
    assert (first.input.width, first.input.height) == (96, 64)
    assert (first.input.mean, first.input.deviation) == ((0.5, 0.5, 0.5), (0.2, 0.3, 0.4))
    assert loaded.resolution_rule == ResolutionRule(min_width=100, min_height=80, max_width=200, max_height=160)
    assert (loaded.special_code_min_pixels, loaded.summary) == (9, "65 寸面板")
    assert '"num_of_classes": 3' in loaded.model_parameters
    assert '"TSFAS"' in loaded.model_parameters
    assert '"base_lr": 0.02' in loaded.training_parameters
    assert '"batch_size": 32' in loaded.prediction_parameters


def test_every_code_is_a_class_unless_the_options_say_otherwise(archives: Path, tmp_path: Path) -> None:
    target = tmp_path / "panel-aoi@7"
    assert package("--target", target, "--network", "ResNet34", "--codes", CODES, "--images", "224x224") == 0
    loaded = read(target)
    assert '"num_of_classes": 4' in loaded.model_parameters
    assert '"name": "ResNet34"' in loaded.model_parameters
    assert loaded.resolution_rule == ResolutionRule(exact_sizes=((224, 224),))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--target", "panel-aoi.tar"], "Write <name>@<version>, for example panel-aoi@7.tar.zst"),
        (["--target", "nowhere/panel-aoi@7"], "There is no folder nowhere"),
        (["--network", "VGG16"], "This platform knows: ResNet18"),
        (["--network", "ResNet18", "folder"], "without a folder"),
        (["--summary", "65 inch panels", "folder"], "without a folder"),
        (["--codes", "TPFIP,TTFBS"], "--codes describes a package of your own. Name its networks, too"),
        (["--special-code-min-pixels", "9"], "Name its networks, too"),
        (["--network", "ResNet18=missing.safetensors"], "missing.safetensors"),
        (["--network", "ResNet18", "--input", "large"], "Write for example 128x128"),
        (["--network", "ResNet18", "--input", "8x8"], ">= 32"),
        (["--network", "ResNet18", "--mean", "1,2"], "three numbers"),
        (["--network", "ResNet18", "--images", "100x100-200x200", "--images", "1x1"], "or one range"),
        (["--network", "ResNet18", "--codes", "A,B", "--classes", "5"], "num_of_classes"),
        (["--network", "ResNet18", "--training-parameters", "pyproject.toml"], "is not JSON"),
        (["--verify", "missing@1.tar"], "missing@1.tar: No such file"),
        (["--verify", "pyproject.toml"], "does not meet the required form"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_left(
    archives: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(CHECKOUT)
    assert package(*options) == 1
    assert sentence in capsys.readouterr().err
    assert list(archives.iterdir()) == []


def test_a_damaged_package_is_told_by_verifying_it(
    archives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "panel-aoi@7.tar"
    assert package("--target", target) == 0
    target.write_bytes(target.read_bytes()[:2000])
    capsys.readouterr()
    assert package("--verify", target) == 1
    assert "damaged or incomplete" in capsys.readouterr().err


def test_the_command_line_loads_torch_only_to_build() -> None:
    seen = "import sys, infra.cli as cli; cli.parser(); print('torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", seen], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"


def read(file: Path) -> ModelPackage:
    scratch = file.parent / "scratch"
    scratch.mkdir()
    return read_package(file, scratch, _identity)
