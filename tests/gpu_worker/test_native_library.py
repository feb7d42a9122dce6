"""The library as a factory gets it: real networks, files that are wrong, many threads, a C program without Python. Rule X-1."""

import ctypes
import hashlib
import json
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from domain.data_paths import FolderName
from domain.model_packages import ResolutionRule
from gpu_worker import native_library as library
from gpu_worker.images import FoundImage, ReadImage, pixels_of
from gpu_worker.metrics import scores_of
from gpu_worker.native_library import (
    FOLDER,
    RGB8,
    LibraryFails,
    LibraryIsMissing,
    LibraryIsOfOtherSources,
    OtherProcessor,
    Predicted,
    native_library,
    needed_glibc,
)
from gpu_worker.native_library import NativeModel as Opened
from gpu_worker.native_models import NOTE, NativeModel, container, model_file
from gpu_worker.segmentation import Segmenter
from tests.conftest import CHECKOUT
from tests.gpu_worker.native_parts import (
    CODES,
    SPECIAL,
    Pixels,
    a_picture,
    a_small_model,
    built,
    native_network,
    runnable_sets,
    written,
)

ARGUMENT, IO, FORMAT, CHECKSUM, VERSION, CONFIG, BACKEND, SIZE = 1, 2, 3, 4, 5, 6, 8, 9
TOLERANCE = 1e-4
CPU = torch.device("cpu")


def real_pictures(count: int) -> list[Pixels]:
    """Photographs where they lie beside the checkout, else made-up pictures of as many sizes."""
    folders = (CHECKOUT / "shared" / "data", CHECKOUT.parent / "shared" / "data")
    files = [file for folder in folders for file in sorted(folder.glob("*/*/*.jpg"))]
    if not files:
        return [a_picture(seed, 80 + 37 * seed, 300 - 23 * seed) for seed in range(count)]
    chosen = files[:: max(1, len(files) // count)][:count]
    return [np.asarray(Image.open(file).convert("RGB")) for file in chosen]


class Both:
    """A model of a ResNet18 and a U-Net, as the platform and as the library compute it."""

    def __init__(self, folder: Path) -> None:
        self.classifier, classifier = native_network("ResNet18", 3, 96)
        unet, segmentation = native_network("UNet-ResNet18", 4, 64, seed=2)
        self.model = NativeModel(
            defect_codes=(*CODES, SPECIAL),
            class_count=3,
            resolution_rule=ResolutionRule(),
            special_code_min_pixels=20,
            classifier=classifier,
            segmentation=segmentation,
        )
        self.segmenter = Segmenter(
            model=unet,
            defect_codes=self.model.defect_codes,
            class_count=3,
            min_pixels=self.model.special_code_min_pixels,
            input=segmentation.input,
            device=CPU,
        )
        self.file, _ = written(folder, self.model)

    def platform(self, picture: Pixels) -> tuple[list[float], int, float, tuple[int, ...]]:
        """Probabilities, the index of the code, its confidence, and the pixels of each code."""
        image = Image.fromarray(picture)
        size = self.model.classifier.input
        scores = scores_of(self.classifier, pixels_of(image, size.width, size.height)[None], size, CPU)[0].tolist()
        found = FoundImage(folder=FolderName("", ""), path=Path(), defect_code=CODES[0])
        read = ReadImage(found=found, width=picture.shape[1], height=picture.shape[0])
        (seen,) = self.segmenter.look_at(pixels_of(image, 64, 64)[None], [read], [None])
        pixels = seen.segmented.predicted_pixels
        if seen.special is None or seen.segmented.special_confidence is None:
            return scores, int(np.argmax(scores)), max(scores), pixels
        return scores, seen.special, seen.segmented.special_confidence, pixels


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    return Both(tmp_path_factory.mktemp("both"))


def check(predicted: Predicted, picture: Pixels, both: Both) -> None:
    scores, code_index, confidence, pixels = both.platform(picture)
    assert predicted.probabilities == pytest.approx(scores, abs=TOLERANCE)
    assert predicted.code_index == code_index
    assert predicted.confidence == pytest.approx(confidence, abs=TOLERANCE)
    assert predicted.defect_area == pytest.approx(sum(pixels) / 64**2, abs=1e-3)
    assert predicted.code == both.model.defect_codes[code_index]


#
@pytest.mark.parametrize("instruction_set", runnable_sets())
def test_it_predicts_as_the_platform_does(both: Both, tmp_path: Path, instruction_set: str) -> None:
    _, config = written(tmp_path, b"", f"instruction_set: {instruction_set}\nthreads: 2\n")
    pictures = real_pictures(10)
    with Opened(both.file, config) as opened:
        assert opened.described == (3, 4, (96, 96), True, (0, 0), (64, 64))
        assert opened.codes == (*CODES, SPECIAL)
        predicted = [one for picture in pictures for one in opened.predict([picture])]
        for one, picture in zip(predicted, pictures, strict=True):
            check(one, picture, both)
        assert_same(opened.predict(pictures), predicted)


def assert_same(some: list[Predicted], others: list[Predicted]) -> None:
    for one, other in zip(some, others, strict=True):
        assert one[:5] == other[:5]
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
        np.testing.assert_array_equal(one.mask, other.mask)


# W-4
def test_a_special_code_is_given_by_its_pixels_only(both: Both, tmp_path: Path) -> None:
    """The bias of one output decides here what most pixels show."""
    segmentation = both.model.segmentation
    assert segmentation is not None
    *before, head = segmentation.operations
    for leaning, code_index in ((4, 3), (2, None)):
        bias = head.bias.copy()
        bias[leaning] += 100
        operations = (*before, head._replace(bias=bias))
        model = msgspec.structs.replace(
            both.model, segmentation=msgspec.structs.replace(segmentation, operations=operations)
        )
        picture = a_picture(1, 70, 50)
        file, _ = written(tmp_path, model)
        with Opened(file) as opened:
            (one,) = opened.predict([picture])
        assert one.defect_area == 1
        assert (one.mask == leaning).all()
        assert one.code_index == (int(one.probabilities.argmax()) if code_index is None else code_index)
        too_few = msgspec.structs.replace(model, special_code_min_pixels=64**2)
        with Opened(written(tmp_path, too_few)[0]) as opened:
            assert opened.predict([picture])[0].code_index == int(one.probabilities.argmax())


def test_a_mask_has_the_size_of_its_image(tmp_path: Path) -> None:
    file, _ = written(tmp_path, a_small_model())
    with Opened(file) as opened:
        (small,), (large,) = (opened.predict([a_picture(3, *size)]) for size in ((64, 64), (64, 64)))
        np.testing.assert_array_equal(small.mask, large.mask)
        (wide,) = opened.predict([np.repeat(a_picture(3, 64, 64), 3, axis=1)])
        assert wide.mask.shape == (64, 192)
        assert set(np.unique(wide.mask)) <= set(range(5))
        assert (wide.mask > 0).mean() == pytest.approx(wide.defect_area, abs=1e-6)
    file, _ = written(tmp_path, a_small_model(segments=False))
    with Opened(file) as opened:
        assert not opened.predict([a_picture(3, 64, 64)])[0].mask.any()


# W-10
@pytest.mark.parametrize(
    ("rule", "complying", "other", "said"),
    [
        (ResolutionRule(exact_sizes=((64, 48), (32, 32))), (32, 32), (48, 64), "the model takes 64 x 48, 32 x 32"),
        (
            ResolutionRule(min_width=10, min_height=20, max_width=30, max_height=40),
            (30, 20),
            (31, 20),
            "10 x 20 to 30 x 40",
        ),
    ],
)
def test_images_that_do_not_comply_are_refused_unless_screening_is_off(
    tmp_path: Path, rule: ResolutionRule, complying: tuple[int, int], other: tuple[int, int], said: str
) -> None:
    file, config = written(tmp_path, a_small_model(rule=rule), "resolution_screening: false\n")
    with Opened(file) as opened:
        opened.predict([a_picture(1, *complying)])
        with pytest.raises(LibraryFails, match=said) as refused:
            opened.predict([a_picture(1, *complying), a_picture(2, *other)])
        assert refused.value.status == SIZE
    with Opened(file, config) as opened:
        opened.predict([a_picture(2, *other)])


def test_answers_below_the_threshold_are_not_accepted(tmp_path: Path) -> None:
    picture = a_picture(1, 64, 48)
    file, _ = written(tmp_path, a_small_model(segments=False))
    with Opened(file) as opened:
        (one,) = opened.predict([picture])
    assert one.is_accepted
    for config, is_accepted in (
        (f"min_confidence: {one.confidence + 0.01:.4f}\nunknown_code: '不确定'\n", False),
        (f"min_confidence: {one.confidence - 0.01:.4f}", True),
        (f'min_confidence: 1.0\ncode_confidence:\n  "{one.code}": 0.1 # lower\n', True),
        (f"code_confidence:\n  {one.code}: 1\nunknown_code: 不确定", False),
    ):
        with Opened(*written(tmp_path, a_small_model(segments=False), config)) as opened:
            (again,) = opened.predict([picture])
        assert (again.is_accepted, again.code) == (is_accepted, one.code if is_accepted else "不确定")
        assert again.code_index == one.code_index


def test_segmentation_can_be_switched_off(tmp_path: Path) -> None:
    with Opened(*written(tmp_path, a_small_model(), "segmentation: false")) as opened:
        assert not opened.described.has_segmentation
        (one,) = opened.predict([a_picture(1, 64, 48)])
        assert one.defect_area == 0
        assert not one.mask.any()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("threads: 0", "line 1: threads must be 1 to 64"),
        ("threads: 65", "threads must be"),
        ("threads: 99999999999999999999", "threads must be"),
        ("\nthread: 1", "line 2: the key “thread” is unknown"),
        ("min_confidence: 1,5", "must be a number of 0 to 1"),
        ("min_confidence: 1.5", "must be a number of 0 to 1"),
        ("min_confidence: nan", "must be a number of 0 to 1"),
        ("min_confidence:", "must be a number of 0 to 1"),
        ("segmentation: yes", "must be true or false"),
        ("just text", "expected “key: value”"),
        ("threads:1", "a space is missing"),
        ('unknown_code: "A', "a quotation mark is missing"),
        ('unknown_code: "A" B', "something stands behind"),
        (f"unknown_code: {'A' * 241}", "1 to 240 bytes"),
        ("  threads: 1", "belongs to no key"),
        ("\tthreads: 1", "indent with spaces"),
        ("code_confidence: 1", "map on lines of its own"),
        ("code_confidence:\n  SPOT: 0.5\n  SPOT: 0.6", "line 3: “SPOT” is there twice"),
        ("code_confidence:\n  SPOTS: 0.5", "“SPOTS”, which this model does not know"),
        ("instruction_set: mmx", "instruction_set must be"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, config: str, said: str) -> None:
    files = written(tmp_path, a_small_model(segments=False), config)
    with pytest.raises(LibraryFails, match=re.escape(said)) as refused:
        Opened(*files)
    assert refused.value.status == CONFIG


def changed(content: bytes, position: int, new: bytes) -> bytes:
    return content[:position] + new + content[position + len(new) :]


def repaired(content: bytes) -> bytes:
    """The same with right checksums, so that a reader has to notice something else."""
    (count,) = struct.unpack_from("<I", content, 16)
    for entry in range(64, 64 + 64 * count, 64):
        offset, size = struct.unpack_from("<QQ", content, entry + 8)
        content = changed(content, entry + 32, hashlib.sha256(content[offset : offset + size]).digest())
    return changed(content, 32, hashlib.sha256(content[:32] + content[64 : 64 + 64 * count]).digest())


SOUND = model_file(a_small_model())
FACT_AT, CLASSIFIER_AT = (struct.unpack_from("<Q", SOUND, 64 + 64 * number + 8)[0] for number in (0, 1))
FIRST_OPERATION_AT = CLASSIFIER_AT + 64


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"", FORMAT, "too short"),
        (SOUND[:-64], FORMAT, "cut off"),
        (SOUND.replace(b"\r\n", b"\n", 1), FORMAT, "damaged by a transfer as text"),
        (changed(SOUND, 8, b"\2"), VERSION, "needs a newer library"),
        (changed(SOUND, 16, b"\x41"), FORMAT, "table of sections is out of bounds"),
        (changed(SOUND, 70, b"\2"), CHECKSUM, "the header is not as it was written"),
        (changed(SOUND, len(SOUND) - 60, b"!"), CHECKSUM, "section NOTE is not as it was written"),
        (changed(SOUND, CLASSIFIER_AT + 5000, b"!"), CHECKSUM, "section CLSF is not as it was written"),
        (repaired(changed(SOUND, 72, b"\x41")), FORMAT, "section 0 is out of bounds"),
        (repaired(changed(SOUND, 64, b"FACX")), VERSION, "section 0 needs a newer library"),
        (repaired(changed(SOUND, 128, b"FACT")), FORMAT, "section FACT is there twice"),
        (repaired(changed(SOUND, FACT_AT, b"\xff")), FORMAT, "impossible number of codes"),
        (repaired(changed(SOUND, FACT_AT + 8, b"\xff\xff")), FORMAT, "too long"),
        (repaired(changed(SOUND, CLASSIFIER_AT, bytes(4))), FORMAT, "section CLSF has an impossible input size"),
        (repaired(changed(SOUND, CLASSIFIER_AT + 8, struct.pack("<f", np.nan))), FORMAT, "a mean that is no number"),
        (repaired(changed(SOUND, CLASSIFIER_AT + 20, bytes(4))), FORMAT, "an impossible deviation"),
        (repaired(changed(SOUND, FIRST_OPERATION_AT, b"\7")), FORMAT, "an unknown operation"),
        (repaired(changed(SOUND, FIRST_OPERATION_AT + 4, b"\1")), FORMAT, "reads a tensor before it is written"),
        (repaired(changed(SOUND, FIRST_OPERATION_AT + 24, b"\4")), FORMAT, "an impossible convolution"),
        (repaired(changed(SOUND, FIRST_OPERATION_AT + 48, b"\xff" * 8)), FORMAT, "weights out of bounds"),
        (
            repaired(changed(SOUND, CLASSIFIER_AT + 5120, struct.pack("<f", np.inf))),
            FORMAT,
            "a weight that is no number",
        ),
        (model_file(a_small_model(class_count=2)), FORMAT, "classifier's output does not fit"),
        (model_file(a_small_model(segmentation=None)), FORMAT, "special codes, but no segmentation"),
    ],
)
def test_a_wrong_model_file_is_refused_with_its_reason(tmp_path: Path, content: bytes, status: int, said: str) -> None:
    file, _ = written(tmp_path, content)
    with pytest.raises(LibraryFails, match=re.escape(said)) as refused:
        Opened(file)
    assert refused.value.status == status


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    for files in (
        (tmp_path / "none.xbin",),
        (written(tmp_path, a_small_model())[0], tmp_path / "none.yaml"),
        (tmp_path,),
    ):
        with pytest.raises(LibraryFails, match=re.escape(str(files[-1]))) as refused:
            Opened(*files)
        assert refused.value.status == IO


def test_a_section_of_a_newer_platform_is_skipped_unless_it_is_required(tmp_path: Path) -> None:
    content = model_file(a_small_model(segments=False))
    sections = []
    for number in range(struct.unpack_from("<I", content, 16)[0]):
        name, _, offset, size, flags = struct.unpack_from("<4sIQQI", content, 64 + 64 * number)
        sections.append((name, content[offset : offset + size], flags))
    assert container(sections) == content
    assert json.loads({name: body for name, body, _ in sections}[NOTE]) == {"name": "panel-a"}
    with Opened(written(tmp_path, container([*sections, (b"SIGN", b"a signature", 0)]))[0]) as opened:
        assert opened.codes == CODES
    with pytest.raises(LibraryFails, match="section 3 needs a newer library"):
        Opened(written(tmp_path, container([*sections, (b"SIGN", b"a signature", 1)]))[0])


def test_impossible_images_are_refused(tmp_path: Path) -> None:
    with Opened(written(tmp_path, a_small_model())[0]) as opened:
        for images, pixel_format, said in (
            ([], 1, "count must be 1 to 256"),
            ([a_picture(1, 8, 8)] * 257, 1, "count must be 1 to 256"),
            ([a_picture(1, 8, 8)], 5, "format 5"),
            ([a_picture(1, 8, 8)], 3, "stride 24"),
        ):
            with pytest.raises(LibraryFails, match=said) as refused:
                opened.predict(images, pixel_format)
            assert refused.value.status == ARGUMENT


def test_the_library_that_was_built_here_goes_before_the_one_of_a_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built_here, released = tmp_path / "built.so", tmp_path / "released.so"
    monkeypatch.setattr(library, "BUILT", built_here)
    monkeypatch.setattr(library, "PREBUILT", released)
    with pytest.raises(LibraryIsMissing, match="make native"):
        Opened(tmp_path / "models.xbin")
    released.touch()
    assert native_library() == released
    built_here.touch()
    assert native_library() == built_here


def made_without_a_compiler(folder: Path) -> str:
    """What `make` says where neither g++ nor ziglang is."""
    places = f"BUILD={folder / 'build'}", f"PREBUILT={folder / 'prebuilt'}"
    command = ["make", "--no-print-directory", "library", "CXX=", *places]
    made = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    return made.stdout


def test_without_a_compiler_a_library_older_than_its_sources_is_not_used(tmp_path: Path) -> None:
    built_here, released = tmp_path / "build" / library.NAME, tmp_path / "prebuilt" / library.NAME
    assert "was not built" in made_without_a_compiler(tmp_path)
    for file in (built_here, released):
        file.parent.mkdir()
        file.touch()
    assert made_without_a_compiler(tmp_path) == "No compiler here: exports carry the library that was built before.\n"
    os.utime(built_here, (0, 0))
    said = made_without_a_compiler(tmp_path)
    assert f"{built_here} was older than its sources and is removed" in said
    assert "exports carry the library of the release" in said
    assert not built_here.exists()
    os.utime(released, (0, 0))
    assert "was not built" in made_without_a_compiler(tmp_path)
    assert not released.exists()


def test_a_library_of_another_interface_is_not_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, _ = written(tmp_path, a_small_model())
    monkeypatch.setattr(library, "ABI", 3)
    with pytest.raises(LibraryIsOfOtherSources, match="has interface 2, but the worker needs 3"):
        Opened(file)


def test_on_another_processor_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(OtherProcessor, match=r"for x86-64 Linux, .* another kind \(aarch64\)"):
        native_library()


def test_many_models_at_once_answer_as_one_does(both: Both) -> None:
    pictures = real_pictures(4)
    with Opened(both.file) as shared:
        expected = shared.predict(pictures)

        def again(number: int) -> None:
            assert_same(shared.predict(pictures), expected)
            with Opened(both.file) as own:
                assert_same(own.predict(pictures), expected)

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(again, range(6)))


#
def test_a_c_program_predicts_with_three_files_and_nothing_else(both: Both, tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    shutil.copy(both.file, package)
    shutil.copy(native_library(), package)
    (package / "config.yaml").write_text("resolution_screening: true\n")
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here")
    compiled = [
        compiler,
        "-std=c99",
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-I{FOLDER}",
        str(FOLDER / "package" / "example.c"),
    ]
    linked = ["-o", str(package / "example"), f"-L{package}", "-lCsotArtifact", "-Wl,-rpath,$ORIGIN"]
    subprocess.run([*compiled, *linked], check=True)
    for picture in real_pictures(4):
        (package / "image.rgb").write_bytes(picture.tobytes())
        height, width, _ = picture.shape
        arguments: list[Any] = ["./example", str(width), str(height), "image.rgb", "mask.gray"]
        said = subprocess.run(arguments, cwd=package, env={}, capture_output=True, text=True, check=True).stdout
        scores, code_index, confidence, _ = both.platform(picture)
        found = re.search(r"code (\S+), class (\d+), confidence ([\d.]+), accepted", said)
        assert found is not None
        assert (found[1], int(found[2])) == (both.model.defect_codes[code_index], code_index)
        assert float(found[3]) == pytest.approx(confidence, abs=TOLERANCE)
        listed = [float(value) for value in re.findall(r"^probability ([\d.]+) ", said, re.MULTILINE)]
        assert listed == pytest.approx(scores, abs=TOLERANCE)
        with Opened(both.file) as opened:
            mask = opened.predict([picture])[0].mask
        assert (package / "mask.gray").read_bytes() == mask.tobytes()
    needed = subprocess.run(["ldd", str(native_library())], capture_output=True, text=True, check=True).stdout
    names = {line.split()[0].rpartition("/")[2] for line in needed.splitlines()}
    of_glibc = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "ld-linux-x86-64.so.2"}
    assert names <= {"linux-vdso.so.1", *of_glibc}


#
def test_a_csharp_program_says_the_same(both: Both, tmp_path: Path) -> None:
    compiler, runtime = shutil.which("mcs"), shutil.which("mono")
    if compiler is None or runtime is None:
        pytest.skip("no C# compiler here (Debian: mono-mcs, mono-runtime)")
    shutil.copy(both.file, tmp_path)
    shutil.copy(native_library(), tmp_path)
    (tmp_path / "config.yaml").write_text("resolution_screening: true\n")
    source, program = FOLDER / "package" / "Example.cs", tmp_path / "Example.exe"
    subprocess.run([compiler, "-warnaserror", f"-out:{program}", str(source)], check=True)

    def said_of(picture: Pixels) -> subprocess.CompletedProcess[str]:
        (tmp_path / "image.rgb").write_bytes(picture.tobytes())
        height, width, _ = picture.shape
        arguments = [runtime, str(program), str(tmp_path), str(width), str(height), str(tmp_path / "image.rgb")]
        environment = {"LD_LIBRARY_PATH": str(tmp_path), "LANG": "C.UTF-8"}
        return subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)

    for picture in real_pictures(2):
        _, code_index, confidence, _ = both.platform(picture)
        found = re.match(r"code (\S+), confidence ([\d.]+), [\d.]+ ms", said_of(picture).stdout)
        assert found is not None
        assert found[1] == both.model.defect_codes[code_index]
        assert float(found[2]) == pytest.approx(confidence, abs=TOLERANCE)
    (tmp_path / "models.xbin").write_bytes(b"damaged")
    refused = said_of(a_picture(1, 64, 48))
    assert refused.returncode != 0
    assert "too short" in refused.stderr


def newest_symbol(file: Path) -> tuple[int, ...]:
    """Of glibc, as binutils says."""
    readelf = shutil.which("readelf")
    if readelf is None:
        pytest.skip("no readelf here")
    said = subprocess.run([readelf, "--version-info", str(file)], capture_output=True, text=True, check=True).stdout
    return max(tuple(int(part) for part in one.split(".")) for one in re.findall(r"Name: GLIBC_([\d.]+)", said))


def test_the_glibc_that_a_library_needs_is_that_of_its_newest_symbol() -> None:
    needed = needed_glibc(native_library().read_bytes())
    assert tuple(int(part) for part in needed.split(".")) == newest_symbol(native_library())[:2]


@pytest.mark.skipif(find_spec("ziglang") is None, reason="only ziglang builds for older systems (make wheel)")
def test_the_library_of_a_release_runs_on_old_systems_and_answers_the_same(both: Both) -> None:
    command = ["make", "--no-print-directory", "library", "RELEASE=yes", f"PYTHON={sys.executable}"]
    made = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    released = FOLDER / "build" / "release" / native_library().name
    assert newest_symbol(released) <= (2, 17)
    pictures = real_pictures(4)
    with Opened(both.file, library=released) as opened:
        for one, picture in zip(opened.predict(pictures), pictures, strict=True):
            check(one, picture, both)


def test_only_the_interface_is_exported() -> None:
    declared = set(re.findall(r"\b(csot_\w+)\(", (FOLDER / "csot.h").read_text()))
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("no nm here")
    listed = subprocess.run(
        [nm, "-D", "--defined-only", str(native_library())], capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[-1] for line in listed.splitlines()} == declared


@pytest.mark.parametrize("instruction_set", runnable_sets())
@pytest.mark.parametrize("segments", [False, True])
def test_damaged_files_never_crash(tmp_path: Path, instruction_set: str, segments: bool) -> None:
    """Hundreds of damaged files under the address and undefined-behaviour sanitizers, the same ones each time."""
    file, config = written(tmp_path, a_small_model(segments=segments), (FOLDER / "package" / "config.yaml").read_text())
    rounds = 300
    ran = subprocess.run(
        [built("fuzz"), file, str(config), str(rounds), "1", instruction_set, tmp_path / "damaged.xbin"],
        env={"ASAN_OPTIONS": "allocator_may_return_null=1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    counts = [int(line.split()[1]) for line in ran.stdout.splitlines()]
    assert sum(counts) == rounds
    assert counts[0] > rounds // 20  # some damage does no harm, so the engine ran, too
    assert counts[FORMAT] > rounds // 20
    assert counts[CHECKSUM] > rounds // 20
    assert counts[ARGUMENT] == counts[IO] == counts[CONFIG] == counts[BACKEND] == 0


def test_threads_never_race(tmp_path: Path) -> None:
    file, config = written(tmp_path, a_small_model(), "threads: 3\ninstruction_set: base\n")
    ran = subprocess.run([built("threads"), file, str(config)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


#
def test_each_network_can_be_asked_alone(both: Both, tmp_path: Path) -> None:
    pictures = real_pictures(3)
    with Opened(both.file) as opened:
        together = opened.predict(pictures)
        np.testing.assert_array_equal(opened.classify(pictures), [one.probabilities for one in together])
        labels_NHW, shares_NHW = opened.segment(pictures)
        for picture, labels_HW, shares_HW, one in zip(pictures, labels_NHW, shares_NHW, together, strict=True):
            assert labels_HW.shape == (64, 64)
            assert (labels_HW > 0).mean() == pytest.approx(one.defect_area, abs=1e-6)
            expected_labels, expected_shares = both.segmenter.labels_of(
                pixels_of(Image.fromarray(picture), 64, 64)[None]
            )
            assert (labels_HW == expected_labels[0]).mean() > 1 - 1e-3
            np.testing.assert_allclose(shares_HW, expected_shares[0], rtol=0, atol=TOLERANCE)
    _, config = written(tmp_path, b"", "segmentation: false")
    with Opened(both.file, config) as opened:
        assert opened.described.segmentation_size == (0, 0)
        with pytest.raises(LibraryFails, match="has no segmentation, or config") as refused:
            opened.segment(pictures)
        assert refused.value.status == ARGUMENT
        assert opened.classify(pictures).shape == (3, 3)


#
def test_the_longest_code_is_given_whole(tmp_path: Path) -> None:
    longest = "\U0001f50d" * 60  # 60 characters of four bytes
    codes = (longest, "A" + longest[1:], longest[:-1] + "A")
    file, _ = written(tmp_path, a_small_model(segments=False, defect_codes=codes))
    with Opened(file) as opened:
        assert opened.codes == codes
        for one in opened.predict([a_picture(seed, 64, 48) for seed in range(8)]):
            assert one.code == codes[one.code_index]
    config = f"min_confidence: 1.0\nunknown_code: {'不' * 80}"
    with Opened(*written(tmp_path, a_small_model(segments=False, defect_codes=codes), config)) as opened:
        assert opened.predict([a_picture(1, 64, 48)])[0].code == "不" * 80
    too_long = a_small_model(segments=False, defect_codes=(longest + "A", "SCRATCH", "SPOT"))
    with pytest.raises(LibraryFails, match="section FACT holds a text that is empty or too long"):
        Opened(written(tmp_path, too_long)[0])


def test_a_program_of_an_older_interface_is_refused(tmp_path: Path) -> None:
    file, _ = written(tmp_path, a_small_model())
    with Opened(file) as opened:
        result = ctypes.create_string_buffer(struct.pack("<I", 88), 512)  # the size of a result with codes of 64 bytes
        pixels = ctypes.create_string_buffer(64 * 48 * 3)
        image = struct.pack("<Q4i", ctypes.addressof(pixels), 64, 48, 64 * 3, RGB8)
        status = opened._library.csot_predict(opened._model, image, result, None, None)
        assert status == ARGUMENT
        assert "csot.h is older than the library" in opened._library.csot_last_error().decode()
