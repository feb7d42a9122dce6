"""The list of chosen data paths in the wizards: W-5, P-1, D-3."""

from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import msgspec

from domain.data_paths import DataPathState, FolderDoesNotAnswer, FolderName, Inspection, TooManyPathsAtOnce
from domain.datasets import DataPathIsInvalid, DatasetPurpose
from tests.examples import KnownFolders, inspection
from tests.web.offered_datasets import OfferedDatasets
from web.chosen_paths import as_known_now, chosen_paths, looked_into_again, press
from web.dataset_kinds import TRAINING
from web.forms import Form

LARGE = FolderName("data", "panel-a/large")
DONE = inspection(LARGE, images_per_code=4000)
SCANNING = msgspec.structs.replace(inspection(LARGE, images_per_code=5), state=DataPathState.SCANNING)
SMALL = inspection()
NO_DATASETS = OfferedDatasets(DatasetPurpose.TRAINING)


class ScannedFolders(KnownFolders):
    """What the scanner has seen of the large folder by now."""

    def __init__(self, seen: Inspection) -> None:
        super().__init__({"/data/panel-a/train": SMALL, "/data/panel-a/large": seen})
        self.seen = seen

    def scans_of(self, folders: Iterable[FolderName]) -> Mapping[FolderName, Any]:
        scan = SimpleNamespace(inspection=self.seen, seen_count=12_345, entry_count=100_000, problem=None)
        return {folder: scan for folder in folders if folder == LARGE}


def shown(kept: list[Inspection], folders: ScannedFolders) -> Any:
    return chosen_paths(
        kept,
        NO_DATASETS,
        TRAINING,
        search="",
        images_address="/i",
        data_folders=folders,
    )


def test_a_typed_path_that_is_still_scanned_is_taken_in_and_streamed() -> None:  # D-3
    form = Form((("typed", "/data/panel-a/large\n/etc"), ("do", "add")))
    pressed = press(form, [SMALL], NO_DATASETS, DatasetPurpose.TRAINING, ScannedFolders(SCANNING))
    assert pressed.found == (SMALL, SCANNING)
    assert pressed.wrong == ("/etc",)
    chosen = shown(list(pressed.found), ScannedFolders(SCANNING))
    assert (chosen.is_counting, chosen.stream) == (True, "/scans/live?folder=data%3Apanel-a%2Flarge")
    assert (chosen.lines[0].scan, chosen.lines[1].scan.seen_count) == (None, 12_345)


def test_more_typed_paths_than_can_be_looked_into_are_told_and_stay() -> None:  # W-1, W-5
    typed = [f"/data/panel-{number}" for number in range(1001)]
    form = Form((("typed", "\n".join(typed)), ("do", "add")))
    pressed = press(form, [SMALL], NO_DATASETS, DatasetPurpose.TRAINING, ScannedFolders(DONE))
    assert (pressed.found, pressed.wrong) == ((SMALL,), tuple(typed))
    (refusal,) = pressed.refusals
    assert (type(refusal), refusal.at) == (TooManyPathsAtOnce, "typed")
    fewer = press(
        Form((("typed", "\n".join(typed[1:])),)), [], NO_DATASETS, DatasetPurpose.TRAINING, ScannedFolders(DONE)
    )
    assert [type(refusal) for refusal in fewer.refusals] == [DataPathIsInvalid]


def test_typed_paths_of_which_one_does_not_answer_stay_and_it_is_told() -> None:  # W-1, D-3
    class HangingFolders(ScannedFolders):
        def inspect_paths(self, typed_paths: Sequence[str]) -> list[Inspection]:
            raise FolderDoesNotAnswer(folder=typed_paths[-1])

    form = Form((("typed", "/data/panel-a/train\n/mnt/away"), ("do", "add")))
    pressed = press(form, [SMALL], NO_DATASETS, DatasetPurpose.TRAINING, HangingFolders(DONE))
    assert (pressed.found, pressed.wrong) == ((SMALL,), ("/data/panel-a/train", "/mnt/away"))
    (refusal,) = pressed.refusals
    assert (type(refusal), refusal.at, refusal.values) == (FolderDoesNotAnswer, "typed", {"folder": "/mnt/away"})


def test_a_kept_path_shows_the_answer_once_its_scan_has_ended() -> None:  # D-3
    chosen = shown([SMALL, SCANNING], ScannedFolders(DONE))
    assert chosen.lines[1].found == DONE
    assert (chosen.is_counting, chosen.stream, chosen.image_count) == (False, "", SMALL.image_count + DONE.image_count)
    assert as_known_now([SMALL, SCANNING], ScannedFolders(DONE)) == (SMALL, DONE)


def test_the_next_step_asks_for_what_is_there_now() -> None:  # W-5
    assert looked_into_again([SCANNING], ScannedFolders(SCANNING)) == (SCANNING,)
    assert looked_into_again([SCANNING], ScannedFolders(DONE)) == (DONE,)
