"""训练数据集 and 题库数据集: lists, new datasets, data paths and images. Source: REQUIREMENTS, section D; manual, “数据集管理”.

Both kinds have the same pages; only their addresses and their names differ.
"""

import re
from collections.abc import Collection, Sequence
from typing import Any, ClassVar
from uuid import UUID, uuid4

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from commands.datasets import AddDataPaths, CreateDataset, DeleteDataset, InspectDataPath, RemoveDataPaths
from commands.ports import DataFolders
from domain.data_paths import DataPathState, FolderName, Inspection
from domain.datasets import DataPathIsInvalid, DataPathRepeated, DatasetPurpose
from domain.refusals import NotFound, Refusal
from domain.sentences import N_, Sentence
from projections.datasets import SORTS, DataPathRow, DatasetDetail, DatasetRow
from web.cascade import SHOW_LEVELS, Cascade, environment_cascade, standing_nodes
from web.forms import Form
from web.listing import Listing, read_listing
from web.pages import Desk, Page
from web.services import ReadModels, Services

IMAGES_ON_A_PAGE = 60
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
    """The list; `standing` are the bound nodes that still exist."""

    TEMPLATE = "datasets/list.html"
    kind: Kind
    rows: tuple[DatasetRow, ...]
    listing: Listing
    cascade: Cascade
    standing: frozenset[UUID]
    is_filtered: bool


class NewDatasetPage(Page, frozen=True):
    """Name, environment and data paths. `setup` is there while master data is missing (M-7)."""

    TEMPLATE = "datasets/new.html"
    kind: Kind
    cascade: Cascade
    lines: tuple[Line, ...]
    setup: Any = None


class DataPathsPage(Page, frozen=True):
    """管理数据路径."""

    TEMPLATE = "datasets/data_paths.html"
    kind: Kind
    dataset: DatasetDetail
    standing: frozenset[UUID]


class AddDataPathsPage(Page, frozen=True):
    """Further data paths."""

    TEMPLATE = "datasets/add_data_paths.html"
    kind: Kind
    dataset: DatasetDetail
    lines: tuple[Line, ...]


class ImagesPage(Page, frozen=True):
    """The images of a data path, one defect code at a time; `images` are `infra.images.ListedImage`."""

    TEMPLATE = "datasets/images.html"
    kind: Kind
    dataset: DatasetDetail
    path: DataPathRow
    defect_code: str
    images: tuple[Any, ...]
    listing: Listing


class DeleteDatasetPage(Page, frozen=True):
    """The question before a dataset goes."""

    TEMPLATE = "datasets/delete.html"
    kind: Kind
    dataset: DatasetDetail


class _Datasets(Controller):
    """Everyone may do everything with every dataset (U)."""

    kind: ClassVar[Kind]

    @get("/", sync_to_thread=True)
    def list(
        self, form: NamedDependency[Form], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
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
        )
        return desk.show(page)

    @get("/new", sync_to_thread=True)
    def new(self, read: NamedDependency[ReadModels], desk: NamedDependency[Desk]) -> Response[str]:
        """The empty form, or what has to be entered first."""
        return desk.show(self._new_page(read, Form(), (Line(1),)))

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
                    dataset_id=uuid4(),
                    name=form.text("name"),
                    purpose=self.kind.purpose,
                    environment=page.cascade.place_ids,
                    data_paths=typed,
                    path_ids=tuple(uuid4() for _ in typed),
                )
            )
        desk.say(N_("Dataset “{name}” is created."), name=form.text("name"))
        return desk.go(self.kind.address)

    @get("/{dataset_id:uuid}", sync_to_thread=True)
    def data_paths(
        self, dataset_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """管理数据路径."""
        return desk.show(self._data_paths_page(read, dataset_id, Form()))

    @get("/{dataset_id:uuid}/add", sync_to_thread=True)
    def add(
        self, dataset_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """The empty form."""
        dataset = self._dataset(read, dataset_id)
        return desk.show(AddDataPathsPage(kind=self.kind, dataset=dataset, lines=(Line(1),)))

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
        lines, is_done = _pressed(form, services.data_folders, known=[path.folder for path in dataset.paths])
        page = AddDataPathsPage(form=_with_lines(form, lines), kind=self.kind, dataset=dataset, lines=lines)
        if not is_done:
            return desk.show(page)
        with desk.refusals_on(page):
            typed = _typed(lines)
            desk.ask(
                AddDataPaths(
                    actor=actor, dataset_id=dataset_id, data_paths=typed, path_ids=tuple(uuid4() for _ in typed)
                )
            )
        desk.say(N_("Data paths added: {count}."), count=len(typed))
        return desk.go(f"{self.kind.address}/{dataset_id}")

    @post("/{dataset_id:uuid}/remove", sync_to_thread=True)
    def remove_data_paths(
        self,
        dataset_id: FromPath[UUID],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """The one whose button was pressed, else the ticked ones."""
        with desk.refusals_on(self._data_paths_page(read, dataset_id, form)):
            path_ids = form.ids("only") or form.ids("path_ids")
            if not path_ids:
                raise NothingTicked
            desk.ask(RemoveDataPaths(actor=actor, dataset_id=dataset_id, path_ids=path_ids))
        desk.say(N_("Data paths removed: {count}. The folders themselves are untouched."), count=len(path_ids))
        return desk.go(f"{self.kind.address}/{dataset_id}")

    @post("/{dataset_id:uuid}/paths/{path_id:uuid}/inspect", sync_to_thread=True)
    def inspect(
        self,
        dataset_id: FromPath[UUID],
        path_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Scan a path again (D-7)."""
        desk.ask(InspectDataPath(actor=actor, dataset_id=dataset_id, path_id=path_id))
        path = _path(self._dataset(read, dataset_id), path_id)
        if path.state is DataPathState.INVALID:
            desk.say(N_("“{path}” was scanned again: there is no image any more."), path=str(path.folder))
        else:
            desk.say(N_("“{path}” was scanned again: {count} images."), path=str(path.folder), count=path.image_count)
        return desk.go(f"{self.kind.address}/{dataset_id}")

    @get("/{dataset_id:uuid}/paths/{path_id:uuid}", sync_to_thread=True)
    def images(
        self,
        dataset_id: FromPath[UUID],
        path_id: FromPath[UUID],
        form: NamedDependency[Form],
        read: NamedDependency[ReadModels],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The images by defect code (D-9)."""
        dataset = self._dataset(read, dataset_id)
        path = _path(dataset, path_id)
        codes = [counted.defect_code for counted in path.defect_codes]
        defect_code = form.value("code") if form.value("code") in codes else next(iter(codes), "")
        names = services.images.names(path.folder, defect_code)
        address = f"{self.kind.address}/{dataset_id}/paths/{path_id}"
        listing = read_listing(address, form, columns=("name",), default="name", rows=IMAGES_ON_A_PAGE).of(len(names))
        page = ImagesPage(
            kind=self.kind,
            dataset=dataset,
            path=path,
            defect_code=defect_code,
            images=tuple(names[listing.offset : listing.last]),
            listing=listing,
        )
        return desk.show(page)

    @get("/{dataset_id:uuid}/delete", sync_to_thread=True)
    def confirm_delete(
        self, dataset_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """The question."""
        return desk.show(DeleteDatasetPage(kind=self.kind, dataset=self._dataset(read, dataset_id)))

    @post("/{dataset_id:uuid}/delete", sync_to_thread=True)
    def delete(
        self,
        dataset_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Jobs and models keep the paths they used (D-8)."""
        dataset = self._dataset(read, dataset_id)
        desk.ask(DeleteDataset(actor=actor, dataset_id=dataset_id))
        desk.say(N_("Dataset “{name}” is deleted."), name=dataset.name)
        return desk.go(self.kind.address)

    def _dataset(self, read: ReadModels, dataset_id: UUID) -> DatasetDetail:
        """A dataset of this kind.

        Raises:
            NotFound
        """
        dataset: DatasetDetail | None = read.datasets.get(dataset_id)
        if dataset is None or dataset.purpose is not self.kind.purpose:
            raise NotFound
        return dataset

    def _new_page(self, read: ReadModels, form: Form, lines: tuple[Line, ...]) -> NewDatasetPage:
        cascade = environment_cascade(read, form, several_at_last=True)
        setup = read.overview.setup()
        is_ready = setup.has_industry and setup.has_environment
        return NewDatasetPage(
            form=form, kind=self.kind, cascade=cascade, lines=lines, setup=None if is_ready else setup
        )

    def _data_paths_page(self, read: ReadModels, dataset_id: UUID, form: Form) -> DataPathsPage:
        dataset = self._dataset(read, dataset_id)
        return DataPathsPage(
            form=form, kind=self.kind, dataset=dataset, standing=standing_nodes(read, [dataset.environment])
        )


class TrainingDatasets(_Datasets):
    """训练数据集."""

    path = TRAINING.address
    kind = TRAINING


class QuestionBankDatasets(_Datasets):
    """题库数据集."""

    path = QUESTION_BANK.address
    kind = QUESTION_BANK


def _path(dataset: DatasetDetail, path_id: UUID) -> DataPathRow:
    path = next((path for path in dataset.paths if path.path_id == path_id), None)
    if path is None:
        raise NotFound
    return path


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
    seen = set(known)
    checked = []
    for line in lines:
        found = line.found or data_folders.inspect(line.typed)
        refusal: Refusal | None = None
        if found.state is DataPathState.INVALID:
            refusal = DataPathIsInvalid()
        elif found.folder in seen:
            refusal = DataPathRepeated()
        seen.add(found.folder)
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


def _typed(lines: tuple[Line, ...]) -> tuple[str, ...]:
    return tuple(line.typed for line in lines if line.typed)
