"""The native library of exports, as Python calls it: an export is compared with the very file that is delivered.

The structures follow `gpu_worker/native/csot.h`.
"""

import ctypes
import platform
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from domain.refusals import Refusal
from domain.sentences import N_

FOLDER: Final = Path(__file__).parent / "native"
NAME: Final = "libCsotArtifact.so"
BUILT: Final = FOLDER / "build" / NAME
PREBUILT: Final = FOLDER / "prebuilt" / NAME
"""It comes with a release (`make wheel`), for machines without a compiler."""
PROCESSOR: Final = "x86_64"
OK, WRONG_SIZE = 0, 9
RGB8: Final = 1
ABI: Final = 2
"""CSOT_ABI of the header that the structures follow."""

Pixels = npt.NDArray[np.uint8]
_CODE_BYTES: Final = 256
_GLIBC_SYMBOLS: Final = re.compile(rb"\0GLIBC_(\d+)\.(\d+)")


class LibraryIsMissing(Refusal):
    """It is compiled with the platform, or comes with a release."""

    message = N_(
        "The native library is not on this worker. Ask the administrator to run “make native” there, with g++ installed or a "
        "package registry in reach, then export again."
    )


class LibraryIsOfOtherSources(Refusal):
    """It was built before the interface became what this worker knows, or after."""

    message = N_(
        "The native library on this worker has interface {found}, but the worker needs {needed}. Ask the administrator to run "
        "“make native” there, with g++ installed or a package registry in reach, then export again."
    )


class OtherProcessor(Refusal):
    """The line's library is compiled for one kind of processor, and only there an export can be compared with the platform."""

    message = N_(
        "Exports are for x86-64 Linux, but this worker has a processor of another kind ({processor}). Run a worker on an x86-64 "
        "machine, then export again."
    )


class LibraryFails(Exception):
    """A call of the library answered with a status other than OK."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(f"status {status}: {sentence}")
        self.status, self.sentence = status, sentence


class Predicted(NamedTuple):
    """What the library says of one image. `mask` is (height, width): 0, or 1 + the index of a code."""

    code_index: int
    code: str
    confidence: float
    is_accepted: bool
    defect_area: float
    probabilities: npt.NDArray[np.float32]
    mask: Pixels


class Described(NamedTuple):
    """What the library says of a model."""

    class_count: int
    code_count: int
    input_size: tuple[int, int]
    has_segmentation: bool
    expected_size: tuple[int, int]
    segmentation_size: tuple[int, int]


class _Image(ctypes.Structure):
    _fields_ = (
        ("pixels", ctypes.c_void_p),
        ("width", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("stride", ctypes.c_int32),
        ("format", ctypes.c_int32),
    )


class _Result(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_uint32),
        ("class_id", ctypes.c_int32),
        ("confidence", ctypes.c_float),
        ("accepted", ctypes.c_int32),
        ("code", ctypes.c_char * _CODE_BYTES),
        ("defect_area", ctypes.c_float),
        ("time_ms", ctypes.c_float),
    )


class _Description(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_uint32),
        ("num_classes", ctypes.c_int32),
        ("input_width", ctypes.c_int32),
        ("input_height", ctypes.c_int32),
        ("has_segmentation", ctypes.c_int32),
        ("max_batch", ctypes.c_int32),
        ("expect_width", ctypes.c_int32),
        ("expect_height", ctypes.c_int32),
        ("num_codes", ctypes.c_int32),
        ("segmentation_width", ctypes.c_int32),
        ("segmentation_height", ctypes.c_int32),
    )


def native_library() -> Path:
    """What exports carry: the library that was built here, else the one of the release.

    Raises:
        OtherProcessor, LibraryIsMissing
    """
    if platform.machine() != PROCESSOR:
        raise OtherProcessor(processor=platform.machine())
    for library in (BUILT, PREBUILT):
        if library.is_file():
            return library
    raise LibraryIsMissing


def needed_glibc(library: bytes) -> str:
    """The oldest glibc on which a library runs, for example 2.17: that of the newest symbol it asks for."""
    major, minor = max((int(major), int(minor)) for major, minor in _GLIBC_SYMBOLS.findall(library))
    return f"{major}.{minor}"


class NativeModel:
    """A model that the library has opened; it is closed by `with`."""

    def __init__(self, model_file: Path, config: Path | None = None, library: Path | None = None) -> None:
        """Open a model.

        Raises:
            OtherProcessor, LibraryIsMissing, LibraryIsOfOtherSources
            LibraryFails: a file is wrong.
        """
        self._library = _loaded(library or native_library())
        self._model = ctypes.c_void_p()
        names = str(model_file).encode(), str(config).encode() if config else None
        self._check(self._library.csot_create(*names, ctypes.byref(self._model)))
        description = _Description(struct_size=ctypes.sizeof(_Description))
        self._check(self._library.csot_describe(self._model, ctypes.byref(description)))
        self.described = Described(
            class_count=description.num_classes,
            code_count=description.num_codes,
            input_size=(description.input_width, description.input_height),
            has_segmentation=bool(description.has_segmentation),
            expected_size=(description.expect_width, description.expect_height),
            segmentation_size=(description.segmentation_width, description.segmentation_height),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        with suppress(AttributeError):  # it could not be opened
            self.close()

    def close(self) -> None:
        """Give its memory back; more than once does no harm."""
        model, self._model = self._model, ctypes.c_void_p()
        self._library.csot_destroy(model)

    @property
    def codes(self) -> tuple[str, ...]:
        """Classes first, special codes last."""
        name = ctypes.create_string_buffer(256)
        codes = []
        for index in range(self.described.code_count):
            self._check(self._library.csot_class_name(self._model, index, name, len(name)))
            codes.append(name.value.decode())
        return tuple(codes)

    def predict(self, images: Sequence[Pixels], pixel_format: int = RGB8) -> list[Predicted]:
        """Predict images of (height, width) or (height, width, channels) in one call.

        Raises:
            LibraryFails: for example because the size of an image does not comply.
        """
        kept, passed = _passed(images, pixel_format)
        masks = [np.zeros(image.shape[:2], np.uint8) for image in kept]
        count = len(kept)
        results = (_Result * count)(*(_Result(struct_size=ctypes.sizeof(_Result)) for _ in kept))
        probabilities = np.empty((count, self.described.class_count), np.float32)
        mask_pointers = (ctypes.c_void_p * count)(*(mask.ctypes.data for mask in masks))
        self._check(
            self._library.csot_predict_batch(
                self._model, passed, count, results, probabilities.ctypes.data_as(ctypes.c_void_p), mask_pointers
            )
        )
        return [
            Predicted(
                code_index=result.class_id,
                code=result.code.decode(),
                confidence=result.confidence,
                is_accepted=bool(result.accepted),
                defect_area=result.defect_area,
                probabilities=row,
                mask=mask,
            )
            for result, row, mask in zip(results, probabilities, masks, strict=True)
        ]

    def classify(self, images: Sequence[Pixels], pixel_format: int = RGB8) -> npt.NDArray[np.float32]:
        """(N, classes) probabilities of the classifier alone.

        Raises:
            LibraryFails
        """
        kept, passed = _passed(images, pixel_format)
        probabilities = np.empty((len(kept), self.described.class_count), np.float32)
        self._check(
            self._library.csot_classify(self._model, passed, len(kept), probabilities.ctypes.data_as(ctypes.c_void_p))
        )
        return probabilities

    def segment(self, images: Sequence[Pixels], pixel_format: int = RGB8) -> tuple[Pixels, npt.NDArray[np.float32]]:
        """What the segmentation sees in each pixel of `segmentation_size`: (N, height, width) labels, 0 or 1 + the index of a code,
        and how probable they are.

        Raises:
            LibraryFails
        """
        kept, passed = _passed(images, pixel_format)
        width, height = self.described.segmentation_size
        labels_NHW = np.empty((len(kept), height, width), np.uint8)
        shares_NHW = np.empty((len(kept), height, width), np.float32)
        self._check(
            self._library.csot_segment(
                self._model,
                passed,
                len(kept),
                labels_NHW.ctypes.data_as(ctypes.c_void_p),
                shares_NHW.ctypes.data_as(ctypes.c_void_p),
            )
        )
        return labels_NHW, shares_NHW

    def _check(self, status: int) -> None:
        if status != OK:
            raise LibraryFails(status, self._library.csot_last_error().decode())


def _passed(images: Sequence[Pixels], pixel_format: int) -> tuple[list[Pixels], Any]:
    """The images as the library takes them; it reads the memory of the first answer."""
    kept = [np.ascontiguousarray(image) for image in images]
    described = (
        _Image(image.ctypes.data, image.shape[1], image.shape[0], image.strides[0], pixel_format) for image in kept
    )
    return kept, (_Image * len(kept))(*described)


def _loaded(library: Path) -> Any:
    loaded = ctypes.CDLL(str(library))
    if (found := loaded.csot_abi_version()) != ABI:
        raise LibraryIsOfOtherSources(found=found, needed=ABI)
    model, count = ctypes.c_void_p, ctypes.c_int32
    loaded.csot_last_error.restype = ctypes.c_char_p
    loaded.csot_create.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(model)]
    loaded.csot_describe.argtypes = [model, ctypes.POINTER(_Description)]
    loaded.csot_class_name.argtypes = [model, ctypes.c_int32, ctypes.c_char_p, ctypes.c_size_t]
    loaded.csot_predict_batch.argtypes = [
        model,
        ctypes.POINTER(_Image),
        count,
        ctypes.POINTER(_Result),
        ctypes.c_void_p,
        ctypes.POINTER(ctypes.c_void_p),
    ]
    loaded.csot_classify.argtypes = [model, ctypes.POINTER(_Image), count, ctypes.c_void_p]
    loaded.csot_segment.argtypes = [model, ctypes.POINTER(_Image), count, ctypes.c_void_p, ctypes.c_void_p]
    loaded.csot_destroy.argtypes, loaded.csot_destroy.restype = [model], None
    return loaded
