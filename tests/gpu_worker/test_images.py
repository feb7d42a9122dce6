"""Images of a data path: what is found, what is decoded how, and what is damaged."""

import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path, PosixPath

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from domain.data_paths import FolderName
from domain.image_files import MAXIMUM_PIXELS
from gpu_worker import images
from gpu_worker.images import (
    GroupsFileIsTooLarge,
    GroupsFileIsWrong,
    ImageIsDamaged,
    decode,
    decode_file,
    find_images,
    pixels_of,
    read_image,
)
from gpu_worker.ports import FolderNotFound
from tests.gpu_worker.workplace import ROOT, MountedFolders, paint


def found(root: Path, path: str = "") -> dict[str, str]:
    return {image.folder.path: image.defect_code for image in find_images(FolderName(ROOT, path), MountedFolders(root))}


def encoded(image: Image.Image, format_name: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format_name, **options)
    return file.getvalue()


def png_that_declares(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


# D-5
def test_a_data_path_is_a_code_folder_or_a_folder_of_code_folders(tmp_path: Path) -> None:
    paint(tmp_path / "line-1" / "TPFIP" / "b.png", seed=1)
    paint(tmp_path / "line-1" / "TPFIP" / "a.jpg", seed=2)
    paint(tmp_path / "line-1" / "OK" / "c.bmp", seed=3)
    both = {"line-1/OK/c.bmp": "OK", "line-1/TPFIP/a.jpg": "TPFIP", "line-1/TPFIP/b.png": "TPFIP"}
    assert found(tmp_path, "line-1") == both
    assert list(found(tmp_path, "line-1")) == sorted(both)
    assert found(tmp_path, "line-1/OK") == {"line-1/OK/c.bmp": "OK"}


class Backwards(PosixPath):
    """A folder on a disk that lists names from the last to the first."""

    def iterdir(self) -> Iterator[Path]:  # type: ignore[override]
        return iter(sorted(super().iterdir(), reverse=True))


# W-8
def test_images_come_in_the_order_of_their_names_however_the_disk_lists_them(tmp_path: Path) -> None:
    for number in range(9):
        paint(tmp_path / ("OK", "SPOT")[number % 2] / f"{number}.png", seed=number, size=(4, 4))
    assert next(Backwards(tmp_path).iterdir()).name == "SPOT"
    assert list(found(Backwards(tmp_path))) == list(found(tmp_path)) == sorted(found(tmp_path))


# D-5
def test_masks_polygons_groups_and_hidden_files_are_no_images(tmp_path: Path) -> None:
    paint(tmp_path / "SPOT" / "a.png", seed=1)
    paint(tmp_path / "SPOT" / "masks" / "a.png", seed=2)
    paint(tmp_path / "SPOT" / "._a.png", seed=3)
    (tmp_path / "SPOT" / "a.json").write_text("{}")
    (tmp_path / "SPOT" / "groups.csv").write_text("file,group\na.png,T1\n\n")
    (image,) = find_images(FolderName(ROOT, ""), MountedFolders(tmp_path))
    assert (image.folder.path, image.group, image.has_mask) == ("SPOT/a.png", "T1", True)


def test_each_image_that_is_found_is_a_sign_of_life(tmp_path: Path) -> None:
    """A listing of a million on slow storage takes longer than anybody would wait for a word."""
    for name in ("OK/a.png", "SPOT/a.png", "SPOT/b.png", "c.png"):
        paint(tmp_path / name, seed=1)
    seen: list[None] = []
    assert len(find_images(FolderName(ROOT, ""), MountedFolders(tmp_path), lambda: seen.append(None))) == len(seen) == 4


def test_nobody_waits_for_a_pipe_that_took_the_name_of_an_image(tmp_path: Path) -> None:
    """Reading one would wait for ever, and the job with it."""
    file = paint(tmp_path / "SPOT" / "a.png", seed=1)
    (image,) = find_images(FolderName(ROOT, ""), MountedFolders(tmp_path))
    sound = read_image(image)
    file.unlink()
    os.mkfifo(file)
    assert read_image(image).damage == "not a regular file"
    with pytest.raises(ImageIsDamaged, match="not a regular file"):
        decode_file(sound)


# D-4
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "BMP", "TIFF", "WEBP"])
def test_images_are_told_by_content_not_by_name(tmp_path: Path, format_name: str) -> None:
    (tmp_path / "OK").mkdir()
    (tmp_path / "OK" / "picture.dat").write_bytes(encoded(Image.new("RGB", (8, 6), "red"), format_name))
    (tmp_path / "OK" / "notes.txt").write_text("BMX is no picture")
    (image,) = find_images(FolderName(ROOT, ""), MountedFolders(tmp_path))
    read = read_image(image)
    assert (read.width, read.height, read.damage) == (8, 6, "")
    assert decode_file(read).size == (8, 6)


# D-4
def test_links_are_followed_only_within_the_root(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    paint(outside / "SECRET" / "s.png", seed=1)
    paint(root / "store" / "k.png", seed=2)
    (root / "data" / "OK").mkdir(parents=True)
    (root / "data" / "OK" / "inside.png").symlink_to(root / "store" / "k.png")
    (root / "data" / "OK" / "outside.png").symlink_to(outside / "SECRET" / "s.png")
    (root / "data" / "SECRET").symlink_to(outside / "SECRET")
    (root / "data" / "LINKED").symlink_to(root / "store")
    assert found(root, "data") == {"data/OK/inside.png": "OK", "data/LINKED/k.png": "LINKED"}


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(FolderNotFound, match="images:gone"):
        found(tmp_path, "gone")


def test_a_pipe_among_the_images_is_never_opened(tmp_path: Path) -> None:
    paint(tmp_path / "OK" / "a.png", seed=1)
    os.mkfifo(tmp_path / "OK" / "b.png")
    assert list(found(tmp_path)) == ["OK/a.png"]


# W-8
@pytest.mark.parametrize("text", ["a.png,T1\n", "file,group\na.png\n", "file,group\na.png,T1,x\n", ""])
def test_a_misread_groups_file_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    paint(tmp_path / "OK" / "a.png", seed=1)
    (tmp_path / "OK" / "groups.csv").write_text(text)
    with pytest.raises(GroupsFileIsWrong, match=r"OK/groups\.csv”, line [12]"):
        found(tmp_path)


# W-8
@pytest.mark.parametrize(
    "content",
    [
        "file,group\na.png,T1\n".encode("utf-8-sig"),
        b"File , GROUP\r\n a.png , T1 \r\n\r\n",
        "file,group\na.png,T1\n面板.png,T2\n".encode("gb18030"),  # names that are no UTF-8 belong to no file here
    ],
)
def test_groups_are_read_as_spreadsheets_write_them(tmp_path: Path, content: bytes) -> None:
    paint(tmp_path / "OK" / "a.png", seed=1)
    (tmp_path / "OK" / "groups.csv").write_bytes(content)
    (image,) = find_images(FolderName(ROOT, ""), MountedFolders(tmp_path))
    assert image.group == "T1"


def test_a_groups_file_that_is_none_is_refused_and_not_half_read(tmp_path: Path) -> None:
    paint(tmp_path / "OK" / "a.png", seed=1)
    (tmp_path / "OK" / "groups.csv").write_text("file,group\na.png,T1\nb.png," + "x" * 200_000)
    with pytest.raises(GroupsFileIsWrong, match="line 3"):
        found(tmp_path)


# W-8
def test_a_groups_file_of_more_than_a_folder_needs_is_refused_with_what_to_do(tmp_path: Path) -> None:
    paint(tmp_path / "OK" / "a.png", seed=1)
    (tmp_path / "OK" / "groups.csv").write_text(
        "file,group\n" + "".join(f"{number},T\n" for number in range(1_000_001))
    )
    with pytest.raises(GroupsFileIsTooLarge, match=r"OK/groups\.csv” has more than .* Keep one row for each image"):
        found(tmp_path)
    with (tmp_path / "OK" / "groups.csv").open("w") as opened:
        opened.write("file,group\na.png,T1\n")
        opened.truncate(1 << 40)
    with pytest.raises(GroupsFileIsTooLarge, match="64 MiB"):
        found(tmp_path)


def test_broken_exif_beside_sound_pixels_does_no_harm() -> None:
    image = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    content = encoded(image, "PNG", exif=b"Exif\x00\x00no TIFF inside")
    assert np.array_equal(np.asarray(decode(content)), np.asarray(image))


def test_a_file_larger_than_any_image_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = paint(tmp_path / "OK" / "a.png", seed=1).stat().st_size
    for most, damage in ((size, ""), (size - 1, f"larger than {size - 1} bytes")):
        monkeypatch.setattr(images, "MAXIMUM_BYTES", most)
        (image,) = find_images(FolderName(ROOT, ""), MountedFolders(tmp_path))
        assert read_image(image).damage == damage


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no image at all", id="text"),
        pytest.param(encoded(Image.new("RGB", (64, 64)), "PNG")[:60], id="truncated PNG"),
        pytest.param(encoded(Image.effect_noise((64, 64), 90).convert("RGB"), "JPEG")[:900], id="truncated JPEG"),
        pytest.param(encoded(Image.new("RGB", (64, 64)), "TIFF")[:300], id="truncated TIFF"),
        pytest.param(encoded(Image.effect_noise((64, 64), 90), "WEBP")[:200], id="truncated WebP"),
        pytest.param(encoded(Image.new("RGB", (64, 64)), "BMP")[:100], id="truncated BMP"),
        pytest.param(b"\xff\xd8\xff" + bytes(range(256)) * 4, id="garbage behind a signature"),
        pytest.param(png_that_declares(60_000, 60_000), id="bomb of 3.6 gigapixels"),
        pytest.param(png_that_declares(10_001, 10_000), id="little more than allowed"),
        pytest.param(png_that_declares(0, 10), id="no pixels"),
        pytest.param(encoded(Image.new("F", (8, 8)), "TIFF"), id="floating point"),
    ],
)
def test_what_cannot_be_decoded_safely_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "OK").mkdir()
    (tmp_path / "OK" / "a.png").write_bytes(content)
    (image,) = find_images(FolderName(ROOT, ""), MountedFolders(tmp_path))
    read = read_image(image)
    with pytest.raises(ImageIsDamaged):
        decode(content)
    if not read.damage:  # only decoding tells
        with pytest.raises(ImageIsDamaged):
            decode_file(read)


def test_a_bomb_is_refused_before_its_pixels_are_decoded() -> None:
    # 100 megapixels of one colour compress to 300 kB; decoding them would take 300 MB.
    assert MAXIMUM_PIXELS < 60_000 * 60_000
    with pytest.raises(ImageIsDamaged, match=r"(?i)pixels|bomb"):
        decode(png_that_declares(60_000, 60_000))


@pytest.mark.parametrize(("width", "height"), [(10_001, 10_000), (1, MAXIMUM_PIXELS + 1)])
def test_where_pillow_would_only_warn_of_so_many_pixels_they_are_refused(width: int, height: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as outside of tests
        with pytest.raises(ImageIsDamaged, match=f"declares {width} x {height} pixels"):
            decode(png_that_declares(width, height))


def test_a_file_that_changes_after_it_was_read_is_damaged(tmp_path: Path) -> None:
    paint(tmp_path / "OK" / "a.png", seed=1)
    (image,) = find_images(FolderName(ROOT, ""), MountedFolders(tmp_path))
    read = read_image(image)
    paint(tmp_path / "OK" / "a.png", seed=2)
    with pytest.raises(ImageIsDamaged, match="changed"):
        decode_file(read)


def test_every_kind_of_pixel_becomes_rgb_in_one_way() -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    rgb = np.repeat(grey[..., None], 3, axis=2)
    deep = Image.fromarray(grey.astype(np.uint16) * 256 + 255)
    alpha = Image.fromarray(np.dstack([rgb, np.full((8, 8), 7, np.uint8)]))
    for image, format_name in (
        (Image.fromarray(grey), "PNG"),
        (Image.fromarray(grey), "TIFF"),
        (deep, "PNG"),
        (deep, "TIFF"),
        (Image.fromarray(rgb), "BMP"),
        (alpha, "PNG"),
        (Image.fromarray(grey).convert("P"), "PNG"),
    ):
        decoded = np.asarray(decode(encoded(image, format_name)))
        assert np.array_equal(decoded, rgb), (image.mode, format_name)


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_upright_and_its_size_is_the_one_people_see(
    tmp_path: Path, format_name: str, orientation: int
) -> None:
    upright = Image.new("RGB", (32, 16), "black")
    upright.paste("white", (0, 0, 8, 8))
    turns = Image.Transpose
    stored_by = {
        2: turns.FLIP_LEFT_RIGHT,
        3: turns.ROTATE_180,
        4: turns.FLIP_TOP_BOTTOM,
        5: turns.TRANSPOSE,
        6: turns.ROTATE_90,
        7: turns.TRANSVERSE,
        8: turns.ROTATE_270,
    }
    stored = upright.transpose(stored_by[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "OK").mkdir()
    (tmp_path / "OK" / "a.img").write_bytes(encoded(stored, format_name, exif=exif))
    (image,) = find_images(FolderName(ROOT, ""), MountedFolders(tmp_path))
    read = read_image(image)
    assert (read.width, read.height) == (32, 16)
    pixels = np.asarray(decode_file(read)).astype(int)
    assert np.abs(pixels - np.asarray(upright)).mean() < 6  # JPEG and WebP lose a little


def test_pixels_are_planar_and_resized_with_pillows_bilinear() -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (30, 50, 3), dtype=np.uint8))
    pixels = pixels_of(image, 20, 10)
    assert pixels.shape == (3, 10, 20)
    expected = np.asarray(image.resize((20, 10), Image.Resampling.BILINEAR))
    assert np.array_equal(pixels.transpose(1, 2, 0), expected)


@pytest.mark.parametrize(("width", "height"), [(20, 10), (50, 30), (90, 64), (13, 70)])
def test_resizing_is_torchs_antialiased_bilinear_within_a_level(width: int, height: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    ours = pixels_of(Image.fromarray(pixels), width, height).astype(float)
    exact = functional.interpolate(
        torch.from_numpy(pixels).permute(2, 0, 1)[None].double(), (height, width), mode="bilinear", antialias=True
    )[0].numpy()
    assert np.abs(ours - exact).max() <= 1  # Pillow rounds between the two directions
    assert np.abs(ours - exact).mean() < 0.5
