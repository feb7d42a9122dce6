"""训练数据集 and 题库数据集: lists, new datasets, data paths and images. Source: REQUIREMENTS, section D; manual, “数据集管理”.

Both kinds have the same pages; only their addresses and their names differ.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect, ServerSentEvent

from commands.datasets import (
    AddDataPaths,
    CreateDataset,
    DeleteDataset,
    InspectDataPath,
    InspectDataPaths,
    RemoveDataPaths,
)
from commands.ports import DataFolders
from domain.data_paths import ChosenFolders, DataPathState, FolderName, Inspection
from domain.datasets import DatasetPurpose, wrong_path
from domain.refusals import NotFound, Refusal
from domain.sentences import N_, Sentence
from projections.datasets import SORTS, DataPathRow, DatasetRow
from web.cascade import SHOW_LEVELS, Cascade, environment_cascade, standing_nodes
from web.chosen_paths import ImagesOfCode, images_of_code
from web.form_ids import id_made_by, new_form
from web.forms import Form
from web.listing import ROWS_ON_A_PAGE, Listing, read_listing, way_back
from web.live import Live
from web.pages import Desk, Page
from web.scans import EVERY_SECONDS, stream_of
from web.services import ReadModels, Services

PATHS_ON_A_PAGE = 100
LINE = "data_paths"
_LINE_FIELD = re.compile(rf"{LINE}\.([0-9]{{1,5}})")
_REMOVE = re.compile(r"remove\.([0-9]{1,5})")


class NothingTicked(Refusal):
    """A list of ticks without a tick."""

    field = "path_ids"
    message = N_("Tick the data paths that are to be removed.")


class Kind(msgspec.Struct, frozen=True):
    """What tells the two kinds of datasets apart on pages."""

    purpose: DatasetPurpose
    address: str
    title: str


TRAINING = Kind(DatasetPurpose.TRAINING, "/training-datasets", N_("Training datasets"))
QUESTION_BANK = Kind(DatasetPurpose.QUESTION_BANK, "/question-bank-datasets", N_("Question-bank datasets"))


class Line(msgspec.Struct, frozen=True):
    """A line of a form for data paths. `found` is what was seen there; `told` says why it was refused."""

    number: int
    typed: str = ""
    found: Inspection | None = None
    told: Sentence | None = None

    @property
    def field(self) -> str:
        """The name of its form field."""
        return f"{LINE}.{self.number}"

    @property
    def kept(self) -> str:
        """What was seen, to travel hidden with the form, so that a folder is looked into once and not at every press."""
        return msgspec.json.encode(KeptLine(self.typed, self.found)).decode() if self.found else ""


class KeptLine(msgspec.Struct, frozen=True):
    """A checked line as the form brings it back. It is shown, never believed: the command looks into the folder itself."""

    typed: str
    found: Inspection


class DatasetsPage(Page, frozen=True):
    """The list; `standing` are the bound nodes that still exist, `counting` the datasets with paths that are still scanned, and how
    many images were seen there since the scans began.
    """

    TEMPLATE = "datasets/list.html"
    kind: Kind
    rows: tuple[DatasetRow, ...]
    listing: Listing
    cascade: Cascade
    standing: frozenset[UUID]
    is_filtered: bool
    counting: Mapping[UUID, int]

    @property
    def stream(self) -> str:
        """Where the image counts come from while some are still counted."""
        shown = urlencode([("dataset", str(dataset_id)) for dataset_id in self.counting])
        return f"{self.kind.address}/live?{shown}" if shown else ""

    def image_count(self, row: DatasetRow) -> int:
        """Images of a dataset, with what its scans have seen since they began."""
        return row.image_count + self.counting.get(row.dataset_id, 0)

    def is_counting(self, row: DatasetRow) -> bool:
        """Whether there may be more."""
        return row.dataset_id in self.counting


class ImageCountPage(Page, frozen=True):
    """The image count of one dataset, alone."""

    image_count: int
    is_counting: bool


class NewDatasetPage(Page, frozen=True):
    """Name, environment and data paths. `setup` is there while master data is missing (M-7)."""

    TEMPLATE = "datasets/new.html"
    kind: Kind
    cascade: Cascade
    lines: tuple[Line, ...]
    setup: Any = None

    @property
    def stream(self) -> str:
        """Where the figures of large folders come from."""
        return stream_of(line.found for line in self.lines if line.found)


class DataPathsPage(Page, frozen=True):
    """管理数据路径. `scans` are those of paths that are still scanned."""

    TEMPLATE = "datasets/data_paths.html"
    kind: Kind
    dataset: DatasetRow
    paths: tuple[DataPathRow, ...]
    scans: Mapping[FolderName, Any]
    listing: Listing
    standing: frozenset[UUID]

    @property
    def stream(self) -> str:
        """Where the figures of paths that are still scanned come from."""
        return stream_of(self.paths)


class AddDataPathsPage(Page, frozen=True):
    """Further data paths."""

    TEMPLATE = "datasets/add_data_paths.html"
    kind: Kind
    dataset: DatasetRow
    lines: tuple[Line, ...]

    @property
    def stream(self) -> str:
        """Where the figures of large folders come from."""
        return stream_of(line.found for line in self.lines if line.found)


class ImagesPage(Page, frozen=True):
    """The images of a data path, one defect code at a time."""

    TEMPLATE = "datasets/images.html"
    kind: Kind
    dataset: DatasetRow
    path: DataPathRow
    shown: ImagesOfCode


class RemoveDataPathsPage(Page, frozen=True):
    """The question before data paths leave a dataset: the one `of_row` whose 删除 was pressed, or those that were ticked."""

    TEMPLATE = "datasets/remove_data_paths.html"
    kind: Kind
    dataset: DatasetRow
    paths: tuple[DataPathRow, ...]
    image_count: int
    of_row: UUID | None = None

    @property
    def is_counting(self) -> bool:
        """Whether there may be more images."""
        return any(path.state is DataPathState.SCANNING for path in self.paths)

    @property
    def back(self) -> str:
        """The part of the list of paths where one came from."""
        return way_back(self.form, f"{self.kind.address}/{self.dataset.dataset_id}")

    @property
    def fields(self) -> tuple[tuple[str, object], ...]:
        """What travels hidden: the way back, and the ticked paths."""
        ticked = () if self.of_row else tuple(("path_ids", path.path_id) for path in self.paths)
        return (("back", self.back), *ticked)


class DeleteDatasetPage(Page, frozen=True):
    """The question before a dataset goes."""

    TEMPLATE = "datasets/delete.html"
    kind: Kind
    dataset: DatasetRow
    image_count: int
    is_counting: bool

    @property
    def back(self) -> str:
        """The part of the list where one came from."""
        return way_back(self.form, self.kind.address)


class _Datasets(Controller):
    """Everyone may do everything with every dataset (U)."""

    kind: ClassVar[Kind]

    @get("/", sync_to_thread=True)
    def list(
        self,
        form: NamedDependency[Form],
        read: NamedDependency[ReadModels],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The manual's list, the newest change first."""
        listing = read_listing(self.kind.address, form, columns=tuple(SORTS), default="-changed_at")
        cascade = environment_cascade(read, form, several_at_last=False)
        found = read.datasets.page(
            self.kind.purpose,
            place_ids=cascade.place_ids,
            search=form.text("search"),
            sort=listing.sort,
            page=listing.page,
        )
        page = DatasetsPage(
            form=form,
            kind=self.kind,
            rows=found.items,
            listing=listing.of(found.total),
            cascade=cascade,
            standing=standing_nodes(read, (row.environment for row in found.items)),
            is_filtered=bool(cascade.place_ids or form.text("search")),
            counting=_counting(services, [row.dataset_id for row in found.items]),
        )
        return desk.show(page)

    @get("/live", sync_to_thread=True)
    def stream_counts(
        self,
        form: NamedDependency[Form],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
        live: NamedDependency[Live],
    ) -> ServerSentEvent:
        """The image counts of some datasets while they are still counted."""
        dataset_ids = form.ids("dataset")[:ROWS_ON_A_PAGE]

        def counts() -> dict[str, str]:
            counting = _counting(services, dataset_ids)
            rows = [row for dataset_id in dataset_ids if (row := services.read.datasets.head(dataset_id))]
            pages = {
                row.dataset_id: ImageCountPage(
                    image_count=row.image_count + counting.get(row.dataset_id, 0),
                    is_counting=row.dataset_id in counting,
                )
                for row in rows
            }
            return {
                f"count {dataset_id}": desk.part("datasets/_image_count.html", page).strip()
                for dataset_id, page in pages.items()
            }

        return live.follow(counts, every_seconds=EVERY_SECONDS)

    @get("/new", sync_to_thread=True)
    def new(self, read: NamedDependency[ReadModels], desk: NamedDependency[Desk]) -> Response[str]:
        """The empty form, or what has to be entered first."""
        return desk.show(self._new_page(read, new_form(), (Line(1),)))

    @post("/new", sync_to_thread=True)
    def create(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[Any]:
        """Check a line and offer the next, remove a line, or create the dataset."""
        lines, is_done = _pressed(form, services.data_folders)
        page = self._new_page(read, _with_lines(form, lines), lines)
        if not is_done:
            return desk.show(page)
        with desk.refusals_on(page):
            typed = _typed(lines)
            desk.ask(
                CreateDataset(
                    actor=actor,
                    dataset_id=id_made_by(form, form.text("name"), page.cascade.place_ids, typed),
                    name=form.text("name"),
                    purpose=self.kind.purpose,
                    environment=page.cascade.place_ids,
                    data_paths=typed,
                    path_ids=_path_ids(form, typed),
                )
            )
        desk.say(N_("Dataset “{name}” is created."), name=form.text("name"))
        return desk.go(self.kind.address)

    @get("/{dataset_id:uuid}", sync_to_thread=True)
    def data_paths(
        self,
        dataset_id: FromPath[UUID],
        form: NamedDependency[Form],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """管理数据路径."""
        return desk.show(self._data_paths_page(services, dataset_id, form))

    @get("/{dataset_id:uuid}/add", sync_to_thread=True)
    def add(
        self, dataset_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """The empty form."""
        dataset = self._dataset(read, dataset_id)
        return desk.show(AddDataPathsPage(form=new_form(), kind=self.kind, dataset=dataset, lines=(Line(1),)))

    @post("/{dataset_id:uuid}/add", sync_to_thread=True)
    def add_data_paths(
        self,
        dataset_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[Any]:
        """Check a line and offer the next, remove a line, or add them all (D-7)."""
        dataset = self._dataset(read, dataset_id)
        known = [path.folder for path in read.datasets.get(dataset_id).paths]
        lines, is_done = _pressed(form, services.data_folders, known)
        page = AddDataPathsPage(form=_with_lines(form, lines), kind=self.kind, dataset=dataset, lines=lines)
        if not is_done:
            return desk.show(page)
        with desk.refusals_on(page):
            typed = _typed(lines)
            desk.ask(
                AddDataPaths(actor=actor, dataset_id=dataset_id, data_paths=typed, path_ids=_path_ids(form, typed))
            )
        desk.say(N_("Data paths added: {count}."), count=len(typed))
        return desk.go(f"{self.kind.address}/{dataset_id}")

    @get("/{dataset_id:uuid}/remove", sync_to_thread=True)
    def ask_to_remove(
        self,
        dataset_id: FromPath[UUID],
        form: NamedDependency[Form],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """移除: what is in the ticked paths."""
        return self._ask_to_remove(services, desk, dataset_id, self._ticked(services, desk, dataset_id, form), form)

    @post("/{dataset_id:uuid}/remove", sync_to_thread=True)
    def remove(
        self,
        dataset_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """The ticked paths, all at once (D-7)."""
        path_ids = self._ticked(services, desk, dataset_id, form)
        gone = self._remove(services.read, desk, actor, dataset_id, path_ids)
        desk.say(N_("Data paths removed: {count}. The folders themselves are untouched."), count=len(gone))
        return desk.go(way_back(form, f"{self.kind.address}/{dataset_id}"))

    @get("/{dataset_id:uuid}/paths/{path_id:uuid}/delete", sync_to_thread=True)
    def ask_to_delete_path(
        self,
        dataset_id: FromPath[UUID],
        path_id: FromPath[UUID],
        form: NamedDependency[Form],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """删除 of a row: what is in its path."""
        return self._ask_to_remove(services, desk, dataset_id, (path_id,), form, of_row=path_id)

    @post("/{dataset_id:uuid}/paths/{path_id:uuid}/delete", sync_to_thread=True)
    def delete_path(
        self,
        dataset_id: FromPath[UUID],
        path_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """The path of one row (D-7)."""
        (gone,) = self._remove(read, desk, actor, dataset_id, (path_id,))
        desk.say(N_("Data path “{path}” is deleted. The folder itself is untouched."), path=str(gone.folder))
        return desk.go(way_back(form, f"{self.kind.address}/{dataset_id}"))

    @post("/{dataset_id:uuid}/inspect", sync_to_thread=True)
    def inspect_all(
        self,
        dataset_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Scan every path again (D-7)."""
        self._dataset(read, dataset_id)
        desk.ask(InspectDataPaths(actor=actor, dataset_id=dataset_id))
        dataset = self._dataset(read, dataset_id)
        if waiting := len(read.datasets.scanning([dataset_id])):
            desk.say(
                N_("Data paths that are still being scanned: {count}. Their figures come by themselves."), count=waiting
            )
        else:
            desk.say(N_("All data paths were scanned again: {count} images."), count=dataset.image_count)
        return desk.go(f"{self.kind.address}/{dataset_id}")

    @post("/{dataset_id:uuid}/paths/{path_id:uuid}/inspect", sync_to_thread=True)
    def inspect(
        self,
        dataset_id: FromPath[UUID],
        path_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Scan a path again (D-7)."""
        self._dataset(read, dataset_id)
        desk.ask(InspectDataPath(actor=actor, dataset_id=dataset_id, path_id=path_id))
        path = self._path(read, dataset_id, path_id)
        desk.say(_OUTCOMES[path.state], path=str(path.folder), count=path.image_count)
        return desk.go(way_back(form, f"{self.kind.address}/{dataset_id}"))

    @get("/{dataset_id:uuid}/paths/{path_id:uuid}", sync_to_thread=True)
    def images(
        self,
        dataset_id: FromPath[UUID],
        path_id: FromPath[UUID],
        form: NamedDependency[Form],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The images by defect code (D-9)."""
        dataset = self._dataset(services.read, dataset_id)
        path = self._path(services.read, dataset_id, path_id)
        address = f"{self.kind.address}/{dataset_id}/paths/{path_id}"
        shown = images_of_code(path, services, form, address)
        return desk.show(ImagesPage(kind=self.kind, dataset=dataset, path=path, shown=shown))

    @get("/{dataset_id:uuid}/delete", sync_to_thread=True)
    def ask_to_delete(
        self,
        dataset_id: FromPath[UUID],
        form: NamedDependency[Form],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """What goes with the dataset."""
        with desk.unless_gone(way_back(form, self.kind.address)):
            dataset = self._dataset(services.read, dataset_id)
        counting = _counting(services, [dataset_id])
        return desk.show(
            DeleteDatasetPage(
                form=form,
                kind=self.kind,
                dataset=dataset,
                image_count=dataset.image_count + counting.get(dataset_id, 0),
                is_counting=bool(counting),
            )
        )

    @post("/{dataset_id:uuid}/delete", sync_to_thread=True)
    def delete(
        self,
        dataset_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Jobs and models keep the paths they used (D-8)."""
        back = way_back(form, self.kind.address)
        with desk.unless_gone(back):
            dataset = self._dataset(read, dataset_id)
            desk.ask(DeleteDataset(actor=actor, dataset_id=dataset_id))
        desk.say(N_("Dataset “{name}” is deleted."), name=dataset.name)
        return desk.go(back)

    def _dataset(self, read: ReadModels, dataset_id: UUID) -> DatasetRow:
        """A dataset of this kind.

        Raises:
            NotFound
        """
        dataset: DatasetRow | None = read.datasets.head(dataset_id)
        if dataset is None or dataset.purpose is not self.kind.purpose:
            raise NotFound
        return dataset

    def _path(self, read: ReadModels, dataset_id: UUID, path_id: UUID) -> DataPathRow:
        """A data path of a dataset.

        Raises:
            NotFound
        """
        path: DataPathRow | None = read.datasets.path(dataset_id, path_id)
        if path is None:
            raise NotFound
        return path

    def _ticked(self, services: Services, desk: Desk, dataset_id: UUID, form: Form) -> tuple[UUID, ...]:
        """The ticked data paths; where none is, the page of the paths says so."""
        with desk.unless_gone(self.kind.address):
            page = self._data_paths_page(services, dataset_id, form)
        with desk.refusals_on(page):
            path_ids = form.ids("path_ids")
            if not path_ids:
                raise NothingTicked
        return path_ids

    def _present(
        self, read: ReadModels, desk: Desk, dataset_id: UUID, path_ids: Sequence[UUID]
    ) -> tuple[DatasetRow, tuple[DataPathRow, ...]]:
        """A dataset, and of these paths those that it still has; where there is none, that is told."""
        with desk.unless_gone(self.kind.address):
            dataset = self._dataset(read, dataset_id)
        with desk.unless_gone(f"{self.kind.address}/{dataset_id}"):
            paths: tuple[DataPathRow, ...] = read.datasets.chosen_paths(dataset_id, path_ids)
            if not paths:
                raise NotFound
        return dataset, paths

    def _ask_to_remove(
        self,
        services: Services,
        desk: Desk,
        dataset_id: UUID,
        path_ids: Sequence[UUID],
        form: Form,
        of_row: UUID | None = None,
    ) -> Response[str]:
        dataset, paths = self._present(services.read, desk, dataset_id, path_ids)
        scans = _scans(services, paths)
        return desk.show(
            RemoveDataPathsPage(
                form=form,
                kind=self.kind,
                dataset=dataset,
                paths=paths,
                image_count=sum(
                    scans[path.folder].inspection.image_count if path.folder in scans else path.image_count
                    for path in paths
                ),
                of_row=of_row,
            )
        )

    def _remove(
        self, read: ReadModels, desk: Desk, actor: UUID, dataset_id: UUID, path_ids: Sequence[UUID]
    ) -> tuple[DataPathRow, ...]:
        """Take paths out, and say which."""
        _, paths = self._present(read, desk, dataset_id, path_ids)
        with desk.unless_gone(self.kind.address):
            desk.ask(
                RemoveDataPaths(actor=actor, dataset_id=dataset_id, path_ids=tuple(path.path_id for path in paths))
            )
        return paths

    def _new_page(self, read: ReadModels, form: Form, lines: tuple[Line, ...]) -> NewDatasetPage:
        cascade = environment_cascade(read, form, several_at_last=True)
        setup = read.overview.setup()
        return NewDatasetPage(
            form=form, kind=self.kind, cascade=cascade, lines=lines, setup=None if setup.has_environment else setup
        )

    def _data_paths_page(self, services: Services, dataset_id: UUID, form: Form) -> DataPathsPage:
        dataset = self._dataset(services.read, dataset_id)
        listing = read_listing(f"{self.kind.address}/{dataset_id}", form, rows=PATHS_ON_A_PAGE).of(dataset.path_count)
        paths = services.read.datasets.paths(dataset_id, page=listing.page, size=PATHS_ON_A_PAGE).items
        return DataPathsPage(
            form=form,
            kind=self.kind,
            dataset=dataset,
            paths=paths,
            scans=_scans(services, paths),
            listing=msgspec.structs.replace(listing, fields=()),
            standing=standing_nodes(services.read, [dataset.environment]),
        )


class TrainingDatasets(_Datasets):
    """训练数据集."""

    path = TRAINING.address
    kind = TRAINING


class QuestionBankDatasets(_Datasets):
    """题库数据集."""

    path = QUESTION_BANK.address
    kind = QUESTION_BANK


_OUTCOMES = {
    DataPathState.VALID: N_("“{path}” was scanned again: {count} images."),
    DataPathState.INVALID: N_("“{path}” was scanned again: there is no image any more."),
    DataPathState.SCANNING: N_(
        "“{path}” is being scanned again: {count} images so far. Its figures come by themselves."
    ),
}


def _scans(services: Services, paths: Sequence[DataPathRow]) -> Mapping[FolderName, Any]:
    """The scans of those paths that are still scanned."""
    scanning = [path.folder for path in paths if path.state is DataPathState.SCANNING]
    scans: Mapping[FolderName, Any] = services.data_folders.scans_of(scanning)
    return scans


def _counting(services: Services, dataset_ids: Sequence[UUID]) -> dict[UUID, int]:
    """The datasets with paths that are still scanned, and how many images were seen there since the scans began."""
    paths = services.read.datasets.scanning(dataset_ids)
    scans = services.data_folders.scans_of([path.folder for path in paths])
    counting: Counter[UUID] = Counter()
    for path in paths:
        scan = scans.get(path.folder)
        counting[path.dataset_id] += scan.inspection.image_count - path.image_count if scan else 0
    return dict(counting)


# The form for data paths. It works without scripts: every press of a button sends the whole form.


def _pressed(
    form: Form, data_folders: DataFolders, known: Collection[FolderName] = ()
) -> tuple[tuple[Line, ...], bool]:
    """The lines after a button was pressed, and whether it was the one that ends the form."""
    button = form.text("do")
    if removed := _REMOVE.fullmatch(button):
        rest = [line for line in _entered(form) if line.number != int(removed[1])]
        return _numbered(rest or [Line(1)]), False
    if button == SHOW_LEVELS:
        return _numbered(_entered(form) or [Line(1)]), False
    lines = _checked(_entered(form), data_folders, known)
    if button == "add" and all(line.found for line in lines):
        lines = [*lines, Line(0)]
    return _numbered(lines or [Line(1)]), button != "add"


def _entered(form: Form) -> list[Line]:
    """What was typed: the numbered fields, then what was pasted as several lines. Blank lines are left out."""
    numbers = sorted({int(found[1]) for name, _ in form.fields if (found := _LINE_FIELD.fullmatch(name))})
    typed = [(number, form.text(f"{LINE}.{number}")) for number in numbers]
    after = numbers[-1] + 1 if numbers else 1
    typed += enumerate(form.lines("several"), after)
    return [Line(number, path, _kept(form, number, path)) for number, path in typed if path]


def _kept(form: Form, number: int, typed: str) -> Inspection | None:
    try:
        kept = msgspec.json.decode(form.value(f"inspected.{number}"), type=KeptLine)
    except msgspec.DecodeError:
        return None
    return kept.found if kept.typed == typed else None


def _checked(lines: list[Line], data_folders: DataFolders, known: Collection[FolderName]) -> list[Line]:
    """Every line with what is there, or with what is wrong with it (D-3, D-4)."""
    asked = [line.typed for line in lines if not line.found or line.found.state is DataPathState.SCANNING]
    answers = dict(zip(asked, data_folders.inspect_paths(asked), strict=True))
    beside = ChosenFolders(known)
    checked = []
    for line in lines:
        found = answers.get(line.typed) or line.found
        assert found is not None
        refusal = wrong_path(found, beside)
        beside.add(found.folder)
        checked.append(
            msgspec.structs.replace(line, found=None if refusal else found, told=refusal.sentence if refusal else None)
        )
    return checked


def _numbered(lines: Sequence[Line]) -> tuple[Line, ...]:
    return tuple(msgspec.structs.replace(line, number=number) for number, line in enumerate(lines, 1))


def _with_lines(form: Form, lines: tuple[Line, ...]) -> Form:
    """The form with its lines counted anew, so that a refusal of line 3 stands beside line 3."""
    others = [
        (name, value)
        for name, value in form.fields
        if not name.startswith((f"{LINE}.", "inspected.")) and name not in {"several", "do"}
    ]
    return Form((*others, *((line.field, line.typed) for line in lines)))


def _path_ids(form: Form, typed: tuple[str, ...]) -> tuple[UUID, ...]:
    """An id for each line, the same when the same form comes again; a line that repeats another gets one of its own."""
    return tuple(id_made_by(form, path, typed[:line].count(path)) for line, path in enumerate(typed))


def _typed(lines: tuple[Line, ...]) -> tuple[str, ...]:
    return tuple(line.typed for line in lines if line.typed)
