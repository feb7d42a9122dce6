"""批量打包下载: samples as a zip, each picture in the folder of its true code, with a table of what was predicted. Source: P-5."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from domain.data_paths import FolderDoesNotAnswer, FolderName
from projections.evaluation_reports import PAGE_SIZE
from web.downloads import safe_name
from web.forms import Form, number_or_none
from web.services import Services
from web.spreadsheets import Spreadsheet
from web.zips import Entry

TABLE = "samples.csv"
MOST_NAME_BYTES = 240
"""Of a file in the zip. File systems take 255, and unpackers may want a few; a Chinese character takes three."""
END_BYTES = 40
"""Of these so many are the end of the file's own name, with what tells its format."""


class Sample(Protocol):
    """An image of a report, or of a comparison."""

    @property
    def number(self) -> int:
        """Within the report."""

    @property
    def folder(self) -> FolderName:
        """The file."""

    @property
    def file_name(self) -> str:
        """The last part of its path."""

    @property
    def checksum(self) -> str:
        """SHA-256 of the file that was judged."""

    @property
    def width(self) -> int:
        """In pixels."""

    @property
    def height(self) -> int:
        """In pixels."""

    @property
    def true_defect_code(self) -> str | None:
        """The code of its folder."""


S = TypeVar("S", bound=Sample)


class Predicted(NamedTuple):
    """What was predicted of a sample: in the words of the file's name, and in the columns of the table."""

    in_name: str
    cells: tuple[str, ...]


def chosen_samples(form: Form, numbered: Callable[[int], S | None], every: Callable[[], Iterator[S]]) -> Iterator[S]:
    """The samples that are ticked, as many as stand on a page at most; without a tick, all of the choice."""
    numbers = [number for text in form.all("number") if (number := number_or_none(text)) is not None][:PAGE_SIZE]
    if not numbers:
        return every()
    return iter([sample for number in numbers if (sample := numbered(number)) is not None])


def sample_entries(
    services: Services, samples: Iterable[S], columns: Iterable[str], predicted: Callable[[S], Predicted]
) -> Iterator[Entry]:
    """Each file under a name that says its true and its predicted code and its own name; the table of everything comes last.

    `columns` are the titles of the cells that `predicted` gives. A file that is gone has a line without a name.
    """
    table = Spreadsheet("file", "true", *columns, "width", "height", "path", "sha256")
    for sample in samples:
        said = predicted(sample)
        name = name_in_zip(sample.true_defect_code, said.in_name, sample.number, sample.file_name)
        file = _lying_image(services, sample.folder)
        size = sample.width, sample.height
        table.add(
            name if file else "", sample.true_defect_code, *said.cells, *size, str(sample.folder), sample.checksum
        )
        if file is not None:
            yield name, file
    yield TABLE, table.finished()


def _lying_image(services: Services, image: FolderName) -> Path | None:
    """The file of an image that goes into a zip; None where it is gone, or its storage does not answer."""
    try:
        file: Path | None = services.images.file(image)
    except FolderDoesNotAnswer:
        return None
    return file


def name_in_zip(true_code: str | None, predicted: str, number: int, file_name: str) -> str:
    """How an image is called; `predicted` says what was predicted, and by which version where there are two. The number keeps two
    of one name apart.

    What no file system would take loses its middle, but for the number.
    """
    folder = safe_name(true_code or "-")
    name = safe_name(f"true-{folder}_{predicted}_{number}_{file_name}")
    return f"{folder}/{_fitting(name, f'…{number}…')}"


def _fitting(name: str, middle: str) -> str:
    """A name that file systems take: one that is too long as its beginning and its end around `middle`."""
    written = name.encode()
    if len(written) <= MOST_NAME_BYTES:
        return name
    end = middle.encode() + written[-END_BYTES:]
    return (written[: MOST_NAME_BYTES - len(end)] + end).decode(errors="ignore")
