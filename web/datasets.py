"""训练数据集 and 题库数据集: the lists, new datasets and their end. Source: REQUIREMENTS, section D; manual, “数据集管理”.

Both kinds have the same pages; only their addresses and their names differ. What is in a dataset is shown by `web/data_paths.py`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlencode
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect, ServerSentEvent

from commands.datasets import CreateDataset, DeleteDataset
from domain.sentences import N_
from projections.datasets import SORTS, DatasetRow
from web.cascade import Cascade, environment_cascade, standing_nodes
from web.dataset_kinds import QUESTION_BANK, TRAINING, Kind, dataset_of
from web.form_ids import id_made_by, new_form
from web.forms import Form
from web.listing import ROWS_ON_A_PAGE, Listing, read_listing, way_back
from web.live import Live
from web.pages import Desk, Page
from web.scans import EVERY_SECONDS
from web.services import ReadModels, Services
from web.typed_paths import Line, TypedPathsPage, pressed, with_lines


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


class NewDatasetPage(TypedPathsPage, frozen=True):
    """Name, environment and data paths. `setup` is there while master data is missing (M-7)."""

    TEMPLATE = "datasets/new.html"
    kind: Kind
    cascade: Cascade
    setup: Any = None


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
        lines, is_done = pressed(form, services.data_folders)
        page = self._new_page(read, with_lines(form, lines), lines)
        if not is_done:
            return desk.show(page)
        with desk.refusals_on(page):
            desk.ask(
                CreateDataset(
                    actor=actor,
                    dataset_id=id_made_by(form, form.text("name"), page.cascade.place_ids, page.typed),
                    name=form.text("name"),
                    purpose=self.kind.purpose,
                    environment=page.cascade.place_ids,
                    data_paths=page.typed,
                    path_ids=page.path_ids,
                )
            )
        desk.say(N_("Dataset “{name}” is created."), name=form.text("name"))
        return desk.go(self.kind.address)

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
            dataset = dataset_of(services.read, self.kind, dataset_id)
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
            dataset = dataset_of(read, self.kind, dataset_id)
            desk.ask(DeleteDataset(actor=actor, dataset_id=dataset_id))
        desk.say(N_("Dataset “{name}” is deleted."), name=dataset.name)
        return desk.go(back)

    def _new_page(self, read: ReadModels, form: Form, lines: tuple[Line, ...]) -> NewDatasetPage:
        cascade = environment_cascade(read, form, several_at_last=True)
        setup = read.overview.setup()
        return NewDatasetPage(
            form=form, kind=self.kind, cascade=cascade, lines=lines, setup=None if setup.has_environment else setup
        )


class TrainingDatasets(_Datasets):
    """训练数据集."""

    path = TRAINING.address
    kind = TRAINING


class QuestionBankDatasets(_Datasets):
    """题库数据集."""

    path = QUESTION_BANK.address
    kind = QUESTION_BANK


def _counting(services: Services, dataset_ids: Sequence[UUID]) -> dict[UUID, int]:
    """The datasets with paths that are still scanned, and how many images were seen there since the scans began."""
    paths = services.read.datasets.scanning(dataset_ids)
    scans = services.data_folders.scans_of([path.folder for path in paths])
    counting: Counter[UUID] = Counter()
    for path in paths:
        scan = scans.get(path.folder)
        counting[path.dataset_id] += scan.inspection.image_count - path.image_count if scan else 0
    return dict(counting)
