"""Decoded images: made once, used again, shared by workers, removed when nobody uses them."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from domain.data_paths import FolderName
from gpu_worker.decoded_images import DecodedImages, decoded_folder, decoded_masks, mask_key
from gpu_worker.image_masks import with_mask
from gpu_worker.images import ReadImage, decode_file, find_images, pixels_of, read_image
from gpu_worker.scratch import remove_unused
from tests.gpu_worker.workplace import ROOT, MountedFolders, paint

AT = {"width": 20, "height": 16}


@pytest.fixture
def images(tmp_path: Path) -> list[ReadImage]:
    for number in range(5):
        paint(tmp_path / "images" / "OK" / f"{number}.png", seed=number, size=(40 + number, 30))
    return [read_image(image) for image in find_images(FolderName(ROOT, ""), MountedFolders(tmp_path / "images"))]


def decoded(images: list[ReadImage], tmp_path: Path, width: int = 20, height: int = 16) -> tuple[np.ndarray, int]:
    """The pixels, and how many images were decoded for them."""
    counted: list[None] = []
    pixels, damaged = decoded_folder(
        images,
        width=width,
        height=height,
        decoded=tmp_path / "decoded",
        links=tmp_path / "links",
        thread_count=2,
        on_image=lambda: counted.append(None),
    )
    assert not damaged
    return pixels, len(counted)


def test_every_row_is_the_image_at_the_input_size(images: list[ReadImage], tmp_path: Path) -> None:
    pixels, _ = decoded(images, tmp_path)
    assert pixels.shape == (5, 3, 16, 20)
    for row, image in zip(pixels, images, strict=True):
        assert np.array_equal(row, pixels_of(decode_file(image), 20, 16))


def test_the_second_job_decodes_nothing_and_another_size_or_set_decodes_anew(
    images: list[ReadImage], tmp_path: Path
) -> None:
    assert decoded(images, tmp_path)[1] == 5
    assert decoded(images, tmp_path)[1] == 0
    assert decoded(images, tmp_path, width=32)[1] == 5
    assert decoded(images[:4], tmp_path)[1] == 4
    assert decoded(images[::-1], tmp_path)[1] == 5


def test_what_is_used_again_counts_as_used_lately(images: list[ReadImage], tmp_path: Path) -> None:  # S-5
    decoded(images, tmp_path)
    (folder,) = (tmp_path / "decoded").iterdir()
    os.utime(folder, (100, 100))
    decoded(images, tmp_path)
    assert folder.stat().st_mtime > 100


def test_an_interrupted_decoding_leaves_nothing_that_looks_finished(images: list[ReadImage], tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decoded_folder(images, **AT, decoded=tmp_path / "decoded", links=tmp_path, thread_count=1, on_image=stop)
    assert not list((tmp_path / "decoded").iterdir())
    assert decoded(images, tmp_path)[1] == 5


def test_a_worker_that_was_faster_is_no_trouble(images: list[ReadImage], tmp_path: Path) -> None:
    faster: list[int] = []

    def let_the_other_win() -> None:
        if not faster:
            faster.append(1)
            hidden = tmp_path / "hidden"
            decoded_folder(images, **AT, decoded=hidden, links=tmp_path, thread_count=1, on_image=lambda: None)
            (finished,) = hidden.iterdir()
            finished.rename(tmp_path / "decoded" / finished.name)

    pixels, _ = decoded_folder(
        images, **AT, decoded=tmp_path / "decoded", links=tmp_path, thread_count=1, on_image=let_the_other_win
    )
    assert np.array_equal(pixels[3], pixels_of(decode_file(images[3]), 20, 16))
    assert len(list((tmp_path / "decoded").iterdir())) == 1


def test_a_batch_may_come_from_several_folders() -> None:
    first, second = (np.full((4, 3, 2, 2), value, np.uint8) for value in (10, 20))
    first[1] = 11
    both = DecodedImages([first, second], [(0, 0), (0, 1), (1, 3)])
    assert both.gather(np.array([2, 0, 1]))[:, 0, 0, 0].tolist() == [20, 10, 11]
    part = both.part([2, 1])
    assert part.gather(np.array([0, 1]))[:, 0, 0, 0].tolist() == [20, 11]
    assert (len(part), part.nbytes) == (2, 24)


def test_what_nobody_used_lately_or_has_no_room_is_removed_oldest_first(tmp_path: Path) -> None:
    for name, used_at in (("a", 100), ("b", 200), ("c", 300), ("d", 400)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pixels.npy").write_bytes(bytes(10))
        os.utime(tmp_path / name, (used_at, used_at))
    remove_unused(tmp_path, older_than=150, keep_bytes=25)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["c", "d"]
    remove_unused(tmp_path / "nowhere", older_than=0, keep_bytes=0)


def test_what_a_job_uses_stays_for_it_though_another_worker_tidies_it_away(
    images: list[ReadImage], tmp_path: Path
) -> None:  # S-5
    pixels, _ = decoded(images, tmp_path)
    place = DecodedImages([pixels], [(0, 3)]).place()
    remove_unused(tmp_path / "decoded", older_than=0, keep_bytes=0)
    assert not list((tmp_path / "decoded").iterdir())
    (again,) = DecodedImages.at(place).gather(np.array([0]))  # in another process of the job
    assert np.array_equal(again, pixels_of(decode_file(images[3]), **AT))
    assert decoded(images, tmp_path)[1] == 5  # the next job makes it anew


def test_what_is_being_made_is_no_room_to_free(images: list[ReadImage], tmp_path: Path) -> None:
    def tidy() -> None:
        remove_unused(tmp_path / "decoded", older_than=0, keep_bytes=0)

    pixels, _ = decoded_folder(
        images, **AT, decoded=tmp_path / "decoded", links=tmp_path, thread_count=1, on_image=tidy
    )
    assert np.array_equal(pixels[4], pixels_of(decode_file(images[4]), **AT))
    remove_unused(tmp_path / "decoded", older_than=time.time() + 1, keep_bytes=1 << 30)  # whoever made it was killed
    assert not list((tmp_path / "decoded").iterdir())


@pytest.mark.parametrize("lost", ["pixels.npy", "damaged.json"])
def test_what_was_half_lost_is_made_anew(images: list[ReadImage], tmp_path: Path, lost: str) -> None:  # a power cut
    for is_empty in (True, False):
        decoded(images, tmp_path)
        (folder,) = (tmp_path / "decoded").iterdir()
        (folder / lost).unlink()
        if is_empty:
            (folder / lost).touch()
        pixels, count = decoded(images, tmp_path)
        assert count == 5
        assert np.array_equal(pixels[3], pixels_of(decode_file(images[3]), **AT))


# W-9
def test_masks_are_decoded_once_and_anew_when_one_changes(images: list[ReadImage], tmp_path: Path) -> None:
    masks = tmp_path / "images" / "OK" / "masks"
    masks.mkdir()
    for number in (0, 1, 2):
        area = np.zeros((30, 40 + number), np.uint8)
        area[:, : 10 + number] = 255
        Image.fromarray(area).save(masks / f"{number}.png")
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(masks / "3.png")  # of no image here

    def decoded_now() -> tuple[np.ndarray, dict[str, str], int]:
        found = find_images(FolderName(ROOT, ""), MountedFolders(tmp_path / "images"))
        read = [with_mask(read_image(image)) for image in found]
        counted: list[None] = []
        pixels, damaged = decoded_masks(
            read,
            width=20,
            height=16,
            decoded=tmp_path / "decoded",
            links=tmp_path / "links",
            thread_count=2,
            on_image=lambda: counted.append(None),
        )
        by_name = {image.found.name: damaged.get(mask_key(image), "") for image in read}
        return pixels, by_name, len(counted)

    pixels, damaged, count = decoded_now()
    assert (pixels.shape, count) == ((5, 16, 20), 5)
    assert pixels[:3].mean(axis=(1, 2)) == pytest.approx([10 / 40, 11 / 41, 12 / 42], abs=0.05)
    assert not pixels[3:].any()
    assert {name for name, problem in damaged.items() if problem} == {"3.png", "4.png"}
    assert damaged["4.png"] == "no mask"
    assert decoded_now()[2] == 0
    Image.fromarray(np.zeros((30, 40), np.uint8)).save(masks / "0.png")
    assert decoded_now()[2] == 5
