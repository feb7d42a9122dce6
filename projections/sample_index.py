"""The index of a report's samples: small columns in one file, by which a million samples are chosen and paged in milliseconds.

It is made of the evaluation artifacts when somebody opens a report for the first time (a million samples: some seconds) and holds
only what choosing and ordering need, with the place of each sample in its artifact. The samples themselves, with paths and scores
of all classes, are read from the artifacts, those of a page only. The file is a cache under the checksums of the artifacts: where
it is gone or broken it is made again.

The index of a comparison holds two evaluations, image beside image. Shape letters: N = images, V = versions (evaluations),
D = defect codes, O = outcomes.
"""

import contextlib
import logging
import mmap
import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Final, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from domain.artifacts import Artifact, FileIsDamaged, FileIsGone
from domain.evaluation import Outcome, Sample, SampleState, outcome_of
from projections.sample_order import Order

FORMAT: Final = 1
"""Counts up whenever the columns or their meaning change; files of another format are made again."""
KEPT_DAYS: Final = 30
"""An index that nobody opened for so long goes; opening the report makes it again."""
MOST_OPEN: Final = 32
"""Indexes that a process keeps mapped; each takes addresses, and memory only as long as nobody else needs it."""
NOWHERE: Final = -1
"""The place of an image that an evaluation does not have, because its version does not know the code."""
_MAGIC: Final = b"assay sample index\n"
_ALIGNMENT: Final = 64
_CHUNK: Final = 1 << 14
_log = logging.getLogger(__name__)

Numbers = npt.NDArray[np.int32]
Chosen = npt.NDArray[np.bool_]


class EvaluationFiles(Protocol):
    """Where the evaluation artifacts lie."""

    def intact(self, artifact: Artifact, *, by_content: bool = False) -> Path:
        """The file, by its content all of it compared with its checksum. Raises FileIsGone, FileIsDamaged."""


class _Column(msgspec.Struct, frozen=True):
    name: str
    kind: str
    shape: tuple[int, ...]
    offset: int


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    defect_codes: tuple[str, ...]
    columns: tuple[_Column, ...]


class _Found(msgspec.Struct, frozen=True):
    """An evaluation whose samples are not decoded yet."""

    defect_codes: tuple[str, ...]
    samples: list[msgspec.Raw]


class SampleIndex:
    """An index at work. Images are numbered from 0, those of the first evaluation in its order, then those of the second alone.

    `true` holds indices into `defect_codes`; `state`, `predicted`, `confidence` are (V, N); `number` is (V, N), the place of an
    image in each evaluation, or `NOWHERE`; `outcome` is (N,) and says how two versions compare, `None` for a single one.
    """

    def __init__(self, file: Path, sources: Sequence[Path]) -> None:
        """Raises OSError, ValueError where the file is not such an index."""
        self._sources = sources
        with file.open("rb") as opened:
            if opened.readline() != _MAGIC:
                raise ValueError(f"{file} is no sample index")
            header = msgspec.json.decode(opened.readline(), type=_Header)
        whole: Any = np.memmap(file, dtype=np.uint8, mode="r")
        columns: dict[str, Any] = {}
        for column in header.columns:
            size = int(np.prod(column.shape)) * np.dtype(column.kind).itemsize
            columns[column.name] = whole[column.offset : column.offset + size].view(column.kind).reshape(column.shape)
        self.defect_codes = header.defect_codes
        self.true: npt.NDArray[np.int16] = columns["true"]
        self.state: npt.NDArray[np.uint8] = columns["state"]
        self.predicted: npt.NDArray[np.int16] = columns["predicted"]
        self.confidence: npt.NDArray[np.float64] = columns["confidence"]
        self.number: Numbers = columns["number"]
        self.outcome: npt.NDArray[np.uint8] | None = columns.get("outcome")
        self._offset: npt.NDArray[np.int64] = columns["offset"]
        self._length: Numbers = columns["length"]
        self._surest: Numbers = columns["surest"]

    def __len__(self) -> int:
        return len(self.true)

    @property
    def version_count(self) -> int:
        """How many evaluations it holds."""
        return len(self.state)

    def code(self, defect_code: str) -> int:
        """The index of a code; one that no image can have where it is unknown."""
        return self.defect_codes.index(defect_code) if defect_code in self.defect_codes else len(self.defect_codes)

    def is_in(self, version: int, state: SampleState) -> Chosen:
        """(N,) which images are in a state in one evaluation."""
        is_in_N: Chosen = self.state[version] == _STATES.index(state)
        return is_in_N

    def is_misjudged(self, version: int) -> Chosen:
        """(N,) which images one version judged wrongly."""
        is_wrong_N: Chosen = self.is_in(version, SampleState.JUDGED) & (self.predicted[version] != self.true)
        return is_wrong_N

    def ordered(self, is_chosen_N: Chosen, order: Order, by: int | None = None) -> Numbers:
        """The numbers of the chosen images; `by` is the version whose confidence counts, None for the sum of all."""
        if order is Order.FOLDER:
            return np.flatnonzero(is_chosen_N).astype(np.int32)
        surest_N = self._surest[-1 if by is None else by]
        numbers: Numbers = surest_N[is_chosen_N[surest_N]]
        return numbers[::-1] if order is Order.LEAST_SURE else numbers

    def samples(self, version: int, numbers: Sequence[int]) -> Iterator[Sample | None]:
        """The samples of some images in one evaluation, None where it has not got the image.

        Raises:
            FileIsGone: it went after the index was opened.
            FileIsDamaged
        """
        with _opened(self._sources[version]) as source:
            for number in numbers:
                offset = int(self._offset[version, number])
                if offset == NOWHERE:
                    yield None
                    continue
                source.seek(offset)
                content = source.read(int(self._length[version, number]))
                try:
                    sample = _SAMPLE.decode(content)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    _log.error("artifact_has_wrong_content", extra={"checksum": self._sources[version].name})
                    raise FileIsDamaged from error
                yield sample

    def counts(self) -> npt.NDArray[np.int64]:
        """(D, O) images of a comparison by true code and outcome."""
        assert self.outcome is not None
        shape = len(self.defect_codes), len(Outcome)
        cells = self.true.astype(np.int64) * shape[1] + self.outcome
        return np.bincount(cells[self.true >= 0], minlength=shape[0] * shape[1]).reshape(shape)


class SampleIndexes:
    """Opens indexes, and makes those that are not there yet. Threads and processes may ask at once."""

    def __init__(self, artifacts: EvaluationFiles, folder: Path) -> None:
        self._artifacts, self._folder = artifacts, folder
        self._open: OrderedDict[str, SampleIndex] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[str, threading.Lock] = {}

    def open(self, *evaluations: Artifact, by_content: bool = False) -> SampleIndex:
        """The index of one evaluation, or of two beside each other; by their content, all of them is read and compared first.

        Raises:
            FileIsGone, FileIsDamaged
            OSError: the disk is full, or the folder cannot be written.
        """
        key = sha256(" ".join((str(FORMAT), *(one.checksum for one in evaluations))).encode()).hexdigest()
        sources = [self._artifacts.intact(one, by_content=by_content) for one in evaluations]
        with self._lock:
            if key in self._open:
                self._open.move_to_end(key)
                return self._open[key]
            making = self._making.setdefault(key, threading.Lock())
        with making:  # two who open a report at once wait for one index
            file = self._folder / f"{key}.samples"
            index = self._found(file, sources) or self._made(file, evaluations)
        with self._lock:
            self._making.pop(key, None)
            self._open[key] = index
            while len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)
        return index

    def _found(self, file: Path, sources: Sequence[Path]) -> SampleIndex | None:
        with contextlib.suppress(OSError, ValueError, KeyError):
            index = SampleIndex(file, sources)
            os.utime(file)
            return index
        return None

    def _made(self, file: Path, evaluations: Sequence[Artifact]) -> SampleIndex:
        sources = [self._artifacts.intact(one, by_content=True) for one in evaluations]
        self._folder.mkdir(parents=True, exist_ok=True)
        self._tidy()
        make_index(file, sources)
        return SampleIndex(file, sources)

    def _tidy(self) -> None:
        before = time.time() - KEPT_DAYS * 86_400
        for file in self._folder.glob("*.samples*"):
            with contextlib.suppress(OSError):
                if file.stat().st_mtime < before:
                    file.unlink()


def make_index(file: Path, sources: Sequence[Path]) -> None:
    """Write the index of one evaluation, or of two beside each other, to `file`; it is there whole or not at all.

    Raises:
        OSError: the disk is full, or a source cannot be read.
        ValueError: a source is no evaluation.
    """
    defect_codes: list[str] = []
    evaluations = [_Columns(source, defect_codes, keeps_names=len(sources) > 1) for source in sources]
    first, *others = evaluations
    columns: dict[str, npt.NDArray[Any]] = {"true": first.true}
    rows: list[npt.NDArray[np.int64]] = [np.arange(len(first))]
    if others:
        [second] = others
        place = {name: number for number, name in enumerate(first.names)}
        alone = [number for number, name in enumerate(second.names) if name not in place]
        place |= {second.names[number]: len(first) + at for at, number in enumerate(alone)}
        count = len(place)
        rows.append(np.array([place[name] for name in second.names], dtype=np.int64))
        columns["true"] = np.concatenate([first.true, second.true[np.array(alone, dtype=np.int64)]])
    else:
        count = len(first)
    spread = [one.spread(at, count) for one, at in zip(evaluations, rows, strict=True)]
    columns |= {name: np.stack([one[name] for one in spread]) for name in spread[0]}
    surest = [*columns["confidence"]]
    if others:
        surest.append(columns["confidence"].sum(axis=0))
        columns["outcome"] = _outcomes(columns)
    columns["surest"] = np.stack([np.argsort(-one, kind="stable").astype(np.int32) for one in surest])
    _write(file, tuple(defect_codes), columns)


class _Columns:
    """The columns of one evaluation, read chunk by chunk, so that no more than a chunk of samples is in memory at once."""

    def __init__(self, source: Path, defect_codes: list[str], *, keeps_names: bool) -> None:
        """`defect_codes` are those of the index so far, and grow by the codes that only this evaluation has."""
        self.names: list[str] = []
        with _mapped(source) as content:
            try:
                found = msgspec.msgpack.decode(content, type=_Found)
            except msgspec.DecodeError as error:
                raise ValueError(f"{source} is no evaluation: {error}") from error
            defect_codes += [code for code in found.defect_codes if code not in defect_codes]
            place = np.array([*(defect_codes.index(code) for code in found.defect_codes), -1], dtype=np.int16)
            count = len(found.samples)
            self.true, self.predicted = np.empty(count, np.int16), np.empty(count, np.int16)
            self.state, self.confidence = np.empty(count, np.uint8), np.empty(count)
            self.length = np.fromiter((memoryview(raw).nbytes for raw in found.samples), np.int32, count)
            self.offset = (
                np.cumsum(self.length, dtype=np.int64) - self.length + _offset_of_first(content, found.samples)
            )
            for start in range(0, count, _CHUNK):
                part = slice(start, start + _CHUNK)
                samples = [_SAMPLE.decode(raw) for raw in found.samples[part]]
                self.true[part] = place[[sample.true_index for sample in samples]]
                self.predicted[part] = place[[sample.predicted_index for sample in samples]]
                self.state[part] = [_STATES.index(sample.state) for sample in samples]
                self.confidence[part] = [sample.confidence for sample in samples]
                if keeps_names:
                    self.names += [str(sample.folder) for sample in samples]
            found.samples.clear()  # they look into the map, which cannot be closed before

    def __len__(self) -> int:
        return len(self.true)

    def spread(self, at: npt.NDArray[np.int64], count: int) -> dict[str, npt.NDArray[Any]]:
        """The columns with each sample at its image's number; images that this evaluation has not got are in no state."""
        filled: dict[str, npt.NDArray[Any]] = {
            "state": np.full(count, len(_STATES), np.uint8),
            "predicted": np.full(count, -1, np.int16),
            "confidence": np.zeros(count),
            "offset": np.full(count, NOWHERE, np.int64),
            "length": np.zeros(count, np.int32),
            "number": np.full(count, NOWHERE, np.int32),
        }
        for name, column in filled.items():
            column[at] = np.arange(len(self), dtype=np.int32) if name == "number" else getattr(self, name)
        return filled


def _outcomes(columns: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.uint8]:
    is_judged = columns["state"] == _STATES.index(SampleState.JUDGED)
    is_right = columns["predicted"] == columns["true"]
    outcomes = [*Outcome]
    said = np.empty(len(columns["true"]), np.uint8)
    for first in (None, False, True):
        for second in (None, False, True):
            said[_is(first, is_judged[0], is_right[0]) & _is(second, is_judged[1], is_right[1])] = outcomes.index(
                outcome_of(first, second)
            )
    return said


def _is(verdict: bool | None, is_judged: Chosen, is_right: Chosen) -> Chosen:
    return ~is_judged if verdict is None else is_judged & (is_right == verdict)


@contextmanager
def _opened(source: Path) -> Iterator[IO[bytes]]:
    try:
        file = source.open("rb")
    except FileNotFoundError as error:
        raise FileIsGone from error
    with file:
        yield file


@contextmanager
def _mapped(source: Path) -> Iterator[mmap.mmap]:
    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield content


def _offset_of_first(content: mmap.mmap, samples: Sequence[msgspec.Raw]) -> int:
    """Where the first sample begins: it is a view of the content, and the others follow without a gap."""
    if not samples:
        return 0
    base, first = (int(np.frombuffer(one, np.uint8).ctypes.data) for one in (content, samples[0]))
    return first - base


def _write(file: Path, defect_codes: tuple[str, ...], columns: dict[str, npt.NDArray[Any]]) -> None:
    described, offset = [], 0
    for name, values in columns.items():
        described.append(_Column(name, values.dtype.str, values.shape, offset))
        offset += -(-values.nbytes // _ALIGNMENT) * _ALIGNMENT
    size = len(_MAGIC) + len(_encoded(defect_codes, described, 10**15))
    start = -(-size // _ALIGNMENT) * _ALIGNMENT
    beside = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("wb") as target:
            target.write(_MAGIC)
            target.write(_encoded(defect_codes, described, start))
            for column, values in zip(described, columns.values(), strict=True):
                target.seek(start + column.offset)
                np.ascontiguousarray(values).tofile(target)
            target.truncate(start + offset)
        beside.rename(file)
    finally:
        beside.unlink(missing_ok=True)


def _encoded(defect_codes: tuple[str, ...], columns: Sequence[_Column], start: int) -> bytes:
    moved = tuple(msgspec.structs.replace(column, offset=start + column.offset) for column in columns)
    return msgspec.json.encode(_Header(defect_codes=defect_codes, columns=moved)) + b"\n"


_STATES: Final = (SampleState.JUDGED, SampleState.NON_COMPLIANT, SampleState.DAMAGED)
_SAMPLE: Final = msgspec.msgpack.Decoder(Sample)
