"""Packages: what loads, what is reported of it and what is kept (I-6)."""

import hashlib
import itertools
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from domain.artifacts import Artifact
from domain.data_paths import FolderName
from domain.messages import JobKind, LoadingOrder, PackageLoaded
from domain.model_packages import NetworkInput, NetworkTask, ResolutionRule
from domain.training_parameters import read_model_parameters, read_prediction_parameters, read_training_parameters
from gpu_worker import packages
from gpu_worker.jobs import Progress
from gpu_worker.networks import WeightsUnreadable
from gpu_worker.package_descriptions import SHIPPED
from gpu_worker.packages import FileIsMissing, build_package, load_package
from gpu_worker.ports import FolderNotFound
from tests.gpu_worker.packed import a_description, packed, read, shipped, weights
from tests.gpu_worker.workplace import ROOT, Workplace

__all__ = ["shipped", "weights"]


# I-6
def test_a_package_says_how_its_networks_want_their_images(tmp_path: Path) -> None:
    """Standardised as the package's weights know it; another mean would only make the model worse, and nobody would see why."""
    size = {"width": 96, "height": 64}
    as_said = {"mean": [0.2, 0.3, 0.5], "deviation": [0.5, 0.4, 0.3]}
    networks = [
        {"task": "classification", "name": "ResNet18", "input": {**size, **as_said}},
        {"task": "classification", "name": "ResNet34", "input": size},
    ]
    package = read(packed(tmp_path / "a.tar", {"image.yaml": a_description(networks=networks)}))
    assert [network.input for network in package.networks] == [
        NetworkInput(width=96, height=64, mean=(0.2, 0.3, 0.5), deviation=(0.5, 0.4, 0.3)),
        NetworkInput(width=96, height=64, mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225)),
    ]


@pytest.mark.parametrize(
    "name", ["resnet18@1.0", "resnet18@1.0.tar", "resnet18@1.0.tar.gz", "resnet18@1.0.tgz", "resnet18@1.0.tar.zst"]
)
def test_the_shipped_package_loads_in_every_format_and_carries_the_manuals_parameters(
    shipped: Path, tmp_path: Path, name: str
) -> None:
    archive = build_package(shipped, tmp_path / name)
    package = read(archive.rename(tmp_path / "upload"))  # I-3: the content tells the format
    networks = [network.name for network in package.networks_for(NetworkTask.CLASSIFICATION)]
    assert networks == ["ResNet18", "ResNet34", "ResNet50"]
    assert package.resolution_rule.is_empty
    model = read_model_parameters(package.model_parameters, networks)
    assert (model.classification.name, model.classification.num_of_classes) == ("ResNet18", 5)
    assert model.special_defect_codes == ("TSFAS", "TSDFS")
    training = read_training_parameters(package.training_parameters)
    sgd, of_segmentation = training.classification, training.segmentation
    assert (sgd.base_lr, sgd.batch_size, sgd.max_iter) == (0.001, 256, 40000)  # W-6
    assert of_segmentation is not None
    assert (of_segmentation.base_lr, of_segmentation.batch_size, of_segmentation.max_iter) == (0.01, 16, 100000)
    (segmentation,) = package.networks_for(NetworkTask.SEGMENTATION)
    assert (segmentation.name, segmentation.input.width, package.special_code_min_pixels) == ("UNet-ResNet18", 256, 16)
    assert read_prediction_parameters(package.prediction_parameters).batch_size == 32


@pytest.mark.parametrize("name", ["p.tar", "p.tar.gz", "p.tar.zst"])
def test_equal_content_gives_equal_bytes(shipped: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "later").mkdir()
    one = build_package(shipped, tmp_path / name).read_bytes()
    assert build_package(shipped, tmp_path / "later" / name).read_bytes() == one


def test_initial_weights_are_verified_and_kept(shipped: Path, tmp_path: Path, weights: bytes) -> None:
    (shipped / "weights").mkdir()
    (shipped / "weights" / "r.safetensors").write_bytes(weights)
    network = {**SHIPPED["networks"][0], "weights": "weights/r.safetensors"}
    rule = {"min_width": 100, "min_height": 100, "max_width": 200, "max_height": 300}
    (shipped / "image.yaml").write_bytes(a_description(networks=[network], resolution_rule=rule))
    package = read(build_package(shipped, tmp_path / "p.tar"))
    assert package.networks[0].weights == Artifact(hashlib.sha256(weights).hexdigest(), len(weights))
    assert package.resolution_rule == ResolutionRule(min_width=100, min_height=100, max_width=200, max_height=300)


def test_loading_reports_the_archive_and_what_it_offers(shipped: Path, tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    place.images.mkdir()
    archive = build_package(shipped, place.images / "resnet18@1.0.tar.gz")
    content = archive.read_bytes()
    order = LoadingOrder(archive=FolderName(ROOT, archive.name), name="resnet18", archive_version="1.0")
    load_package(order, place.job(JobKind.LOADING))
    report = place.the(PackageLoaded)
    assert place.content(report.archive) == content
    assert archive.read_bytes() == content  # the upload stays where it is
    assert report.package.network(NetworkTask.CLASSIFICATION, "ResNet18") is not None


@pytest.mark.parametrize("name", ["panel-aoi@7.tar", "panel-aoi@7.tar.zst"])
def test_loading_tells_how_far_it_is_all_the_way(tmp_path: Path, weights: bytes, name: str) -> None:  # I-2
    place = Workplace(tmp_path)
    place.images.mkdir()
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "w").write_bytes(weights)
    networks = [{**SHIPPED["networks"][0], "weights": "w"}]
    (tmp_path / "source" / "image.yaml").write_bytes(a_description(networks=networks))
    build_package(tmp_path / "source", place.images / name)
    order = LoadingOrder(archive=FolderName(ROOT, name), name="panel-aoi", archive_version="7")
    load_package(order, place.job(JobKind.LOADING))
    shares = [progress.share for progress in place.told]
    assert shares == sorted(shares)
    assert len(set(shares)) > 40, "about every mebibyte of 43, read and copied"
    assert (shares[0] < 0.05, 0.85 < shares[-1] <= 0.9) == (True, True)
    assert [activity for activity, _ in itertools.groupby(progress.activity for progress in place.told)] == [
        "Copying the archive",
        "Verifying the package",
    ]


def test_what_is_kept_is_the_copy_that_was_verified(tmp_path: Path, shipped: Path) -> None:
    place = Workplace(tmp_path)
    place.images.mkdir()
    archive = build_package(shipped, place.images / "resnet18@1.0.tar")
    content = archive.read_bytes()
    order = LoadingOrder(archive=FolderName(ROOT, archive.name), name="resnet18", archive_version="1.0")
    job = place.job(JobKind.LOADING)

    def swap(progress: Progress) -> None:
        if progress.activity == packages.VERIFYING:
            archive.write_bytes(b"another file by now")

    load_package(order, replace(job, tell=swap))
    assert place.content(place.the(PackageLoaded).archive) == content


@pytest.mark.parametrize("swapped", ["link", "folder that is a link", "pipe"])
def test_what_took_the_place_of_a_found_archive_is_neither_followed_nor_waited_for(
    tmp_path: Path, shipped: Path, swapped: str
) -> None:  # I-2
    """Others may write where archives lie."""
    place = Workplace(tmp_path)
    (place.images / "2026").mkdir(parents=True)
    build_package(shipped, place.images / "2026" / "resnet18@1.0.tar")
    order = LoadingOrder(archive=FolderName(ROOT, "2026/resnet18@1.0.tar"), name="resnet18", archive_version="1.0")
    job = place.job(JobKind.LOADING)

    class Swapping:
        def resolve(self, folder: FolderName) -> Path:
            path = job.folders.resolve(folder)
            outside = (path.parent if swapped == "folder that is a link" else path).rename(tmp_path / "outside")
            if swapped == "pipe":
                os.mkfifo(path)
            elif swapped == "link":
                path.symlink_to(outside)
            else:
                path.parent.symlink_to(outside)
            return path

    with pytest.raises(FolderNotFound, match=re.escape("images:2026/resnet18@1.0.tar")):
        load_package(order, replace(job, archives=Swapping()))
    assert not place.reports


def test_an_archive_that_cannot_be_opened_is_not_said_to_be_gone(tmp_path: Path) -> None:  # I-2
    """Storage that fails and a file that nobody may read have reasons of their own."""
    place = Workplace(tmp_path)
    order = LoadingOrder(archive=FolderName(ROOT, "resnet18@1.0.tar"), name="resnet18", archive_version="1.0")

    class Failing:
        def resolve(self, folder: FolderName) -> Path:
            return tmp_path / (folder.path * 30)  # longer than a file system takes

    with pytest.raises(OSError, match="too long"):
        load_package(order, replace(place.job(JobKind.LOADING), archives=Failing()))


def test_building_leaves_nothing_behind_when_it_is_refused(shipped: Path, tmp_path: Path) -> None:
    (shipped / "w").write_bytes(b"no weights")
    (shipped / "image.yaml").write_bytes(a_description(networks=[{**SHIPPED["networks"][0], "weights": "w"}]))
    with pytest.raises(WeightsUnreadable):
        build_package(shipped, tmp_path / "p.tar")
    (shipped / "image.yaml").write_bytes(a_description(networks=[{**SHIPPED["networks"][0], "weights": "../secret"}]))
    (tmp_path / "secret").write_bytes(b"x")
    with pytest.raises(FileIsMissing):
        build_package(shipped, tmp_path / "p.tar")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["secret", "source"]
