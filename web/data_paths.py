"""管理数据路径: the data paths of a dataset, added, removed and scanned again, and the images of each. Source: D-7, D-9.

The two kinds of datasets have the same pages here, too.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from commands.datasets import AddDataPaths, InspectDataPath, InspectDataPaths, RemoveDataPaths
from domain.data_paths import DataPathState, FolderName
from domain.refusals import NotFound, Refusal
from domain.sentences import N_
from projections.datasets import DataPathRow, DatasetRow
from web.cascade import standing_nodes
from web.dataset_kinds import QUESTION_BANK, TRAINING, Kind, dataset_of
from web.form_ids import new_form
from web.forms import Form
from web.listing import Listing, read_listing, way_back
from web.pages import Desk, Page
from web.path_images import ImagesOfCode, images_of_code
from web.scans import scans_of, stream_of
from web.services import ReadModels, Services
from web.typed_paths import Line, TypedPathsPage, pressed, with_lines

PATHS_ON_A_PAGE = 100


class NothingTicked(Refusal):
    """A list of ticks without a tick."""

    field = "path_ids"
    message = N_("Tick the data paths that are to be removed.")


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


class AddDataPathsPage(TypedPathsPage, frozen=True):
    """Further data paths."""

    TEMPLATE = "datasets/add_data_paths.html"
    kind: Kind
    dataset: DatasetRow


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


class _DataPaths(Controller):
    """Everyone may do everything with every dataset (U)."""

    kind: ClassVar[Kind]

    @get("/", sync_to_thread=True)
    def data_paths(
        self,
        dataset_id: FromPath[UUID],
        form: NamedDependency[Form],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """管理数据路径."""
        return desk.show(self._data_paths_page(services, dataset_id, form))

    @get("/add", sync_to_thread=True)
    def add(
        self, dataset_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """The empty form."""
        dataset = dataset_of(read, self.kind, dataset_id)
        return desk.show(AddDataPathsPage(form=new_form(), kind=self.kind, dataset=dataset, lines=(Line(1),)))

    @post("/add", sync_to_thread=True)
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
        dataset = dataset_of(read, self.kind, dataset_id)
        known = [path.folder for path in read.datasets.get(dataset_id).paths]
        lines, is_done = pressed(form, services.data_folders, known)
        page = AddDataPathsPage(form=with_lines(form, lines), kind=self.kind, dataset=dataset, lines=lines)
        if not is_done:
            return desk.show(page)
        with desk.refusals_on(page):
            desk.ask(AddDataPaths(actor=actor, dataset_id=dataset_id, data_paths=page.typed, path_ids=page.path_ids))
        desk.say(N_("Data paths added: {count}."), count=len(page.typed))
        return desk.go(f"{self.kind.address}/{dataset_id}")

    @get("/remove", sync_to_thread=True)
    def ask_to_remove(
        self,
        dataset_id: FromPath[UUID],
        form: NamedDependency[Form],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """移除: what is in the ticked paths."""
        return self._ask_to_remove(services, desk, dataset_id, self._ticked(services, desk, dataset_id, form), form)

    @post("/remove", sync_to_thread=True)
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

    @get("/paths/{path_id:uuid}/delete", sync_to_thread=True)
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

    @post("/paths/{path_id:uuid}/delete", sync_to_thread=True)
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

    @post("/inspect", sync_to_thread=True)
    def inspect_all(
        self,
        dataset_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Scan every path again (D-7)."""
        dataset_of(read, self.kind, dataset_id)
        desk.ask(InspectDataPaths(actor=actor, dataset_id=dataset_id))
        dataset = dataset_of(read, self.kind, dataset_id)
        if waiting := len(read.datasets.scanning([dataset_id])):
            desk.say(
                N_("Data paths that are still being scanned: {count}. Their figures come by themselves."), count=waiting
            )
        else:
            desk.say(N_("All data paths were scanned again: {count} images."), count=dataset.image_count)
        return desk.go(f"{self.kind.address}/{dataset_id}")

    @post("/paths/{path_id:uuid}/inspect", sync_to_thread=True)
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
        dataset_of(read, self.kind, dataset_id)
        desk.ask(InspectDataPath(actor=actor, dataset_id=dataset_id, path_id=path_id))
        path = self._path(read, dataset_id, path_id)
        desk.say(_OUTCOMES[path.state], path=str(path.folder), count=path.image_count)
        return desk.go(way_back(form, f"{self.kind.address}/{dataset_id}"))

    @get("/paths/{path_id:uuid}", sync_to_thread=True)
    def images(
        self,
        dataset_id: FromPath[UUID],
        path_id: FromPath[UUID],
        form: NamedDependency[Form],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The images by defect code (D-9)."""
        dataset = dataset_of(services.read, self.kind, dataset_id)
        path = self._path(services.read, dataset_id, path_id)
        address = f"{self.kind.address}/{dataset_id}/paths/{path_id}"
        shown = images_of_code(path, services, form, address)
        return desk.show(ImagesPage(kind=self.kind, dataset=dataset, path=path, shown=shown))

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
            dataset = dataset_of(read, self.kind, dataset_id)
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
        scans = scans_of(services.data_folders, paths)
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

    def _data_paths_page(self, services: Services, dataset_id: UUID, form: Form) -> DataPathsPage:
        dataset = dataset_of(services.read, self.kind, dataset_id)
        listing = read_listing(f"{self.kind.address}/{dataset_id}", form, rows=PATHS_ON_A_PAGE).of(dataset.path_count)
        paths = services.read.datasets.paths(dataset_id, page=listing.page, size=PATHS_ON_A_PAGE).items
        return DataPathsPage(
            form=form,
            kind=self.kind,
            dataset=dataset,
            paths=paths,
            scans=scans_of(services.data_folders, paths),
            listing=msgspec.structs.replace(listing, fields=()),
            standing=standing_nodes(services.read, [dataset.environment]),
        )


class TrainingDataPaths(_DataPaths):
    """Those of 训练数据集."""

    path = f"{TRAINING.address}/{{dataset_id:uuid}}"
    kind = TRAINING


class QuestionBankDataPaths(_DataPaths):
    """Those of 题库数据集."""

    path = f"{QUESTION_BANK.address}/{{dataset_id:uuid}}"
    kind = QUESTION_BANK


_OUTCOMES = {
    DataPathState.VALID: N_("“{path}” was scanned again: {count} images."),
    DataPathState.INVALID: N_("“{path}” was scanned again: there is no image any more."),
    DataPathState.SCANNING: N_(
        "“{path}” is being scanned again: {count} images so far. Its figures come by themselves."
    ),
}
