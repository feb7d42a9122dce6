"""Images of data paths as pages show them: D-9."""

import io
import os
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from domain.data_paths import FolderName
from infra.data_folders import DataFolders
from infra.image_index import index_file
from infra.images import Images, ListedImages, ShownImage
from infra.picture_cache import trim
from tests.infra.test_image_index import age, scanned


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "aoi").mkdir()
    return tmp_path / "aoi"


@pytest.fixture
def images(tmp_path: Path, root: Path) -> Images:
    return Images(DataFolders({"aoi": root}), tmp_path / "cache", tmp_path / "indexes")


def encoded(kind: str = "PNG", size: tuple[int, int] = (400, 200), **options: object) -> bytes:
    noise = np.random.default_rng(7).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, kind, **options)
    return file.getvalue()


def put(file: Path, content: bytes | None = None) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(encoded() if content is None else content)
    return file


def named(path: str) -> FolderName:
    return FolderName("aoi", path)


def opened(shown: ShownImage | None) -> Image.Image:
    assert shown is not None
    with Image.open(shown.path) as image:
        assert Image.MIME[str(image.format)] == shown.media_type
        image.load()
        return image


def cached(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "cache").rglob("*") if path.is_file())


# Thumbnails.


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "WEBP"])
def test_a_thumbnail_is_small_and_keeps_its_shape(kind: str, root: Path, images: Images) -> None:
    put(root / "TPFIP" / "a", encoded(kind))
    assert opened(images.thumbnail(named("TPFIP/a"), 160)).size == (160, 80)
    assert opened(images.thumbnail(named("TPFIP/a"), 161)).size == (320, 160)
    assert opened(images.thumbnail(named("TPFIP/a"), 9_999)).size == (400, 200), "nothing is enlarged"


def test_a_thumbnail_stands_upright(root: Path, images: Images) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    put(root / "TPFIP" / "a.jpg", encoded("JPEG", exif=turned))
    put(root / "TPFIP" / "a.png", encoded("PNG", exif=turned))
    assert opened(images.thumbnail(named("TPFIP/a.jpg"), 160)).size == (80, 160)
    assert opened(images.thumbnail(named("TPFIP/a.png"), 160)).size == (80, 160)


def test_sixteen_bits_keep_their_contrast(root: Path, images: Images) -> None:
    file = io.BytesIO()
    Image.fromarray(np.linspace(0, 65535, 64 * 64, dtype=np.uint16).reshape(64, 64)).save(file, "PNG")
    put(root / "TPFIP" / "a.png", file.getvalue())
    darkest, brightest = opened(images.thumbnail(named("TPFIP/a.png"), 160)).convert("L").getextrema()
    assert darkest < 10  # type: ignore[operator]  # of one band Pillow gives two numbers
    assert brightest > 245  # type: ignore[operator]


def test_a_thumbnail_is_made_once_until_its_image_changes(tmp_path: Path, root: Path, images: Images) -> None:
    image = put(root / "TPFIP" / "a.png")
    first = images.thumbnail(named("TPFIP/a.png"), 160)
    assert first is not None
    os.utime(first.path, ns=(0, 0))
    assert images.thumbnail(named("TPFIP/a.png"), 160) == first
    assert first.path.stat().st_mtime_ns == 0, "it was not made again"
    put(image, encoded(size=(200, 400)))
    assert opened(images.thumbnail(named("TPFIP/a.png"), 160)).size == (80, 160)
    assert not [path for path in cached(tmp_path) if path.name.startswith(".")], "nothing half-written is left"


def test_an_emptied_cache_fills_again(tmp_path: Path, root: Path, images: Images) -> None:
    put(root / "TPFIP" / "a.png")
    images.thumbnail(named("TPFIP/a.png"), 160)
    for path in cached(tmp_path):
        path.unlink()
    assert opened(images.thumbnail(named("TPFIP/a.png"), 160)).size == (160, 80)


# Originals


def test_what_browsers_know_is_shown_as_it_is(root: Path, images: Images) -> None:
    for kind, media_type in (("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")):
        file = put(root / "TPFIP" / "wrongly-named.bmp", encoded(kind))
        assert images.original(named("TPFIP/wrongly-named.bmp")) == ShownImage(file.resolve(), media_type)


@pytest.mark.parametrize("kind", ["BMP", "TIFF"])
def test_what_browsers_do_not_know_is_shown_as_png_with_the_same_pixels(kind: str, root: Path, images: Images) -> None:
    put(root / "TPFIP" / "a.png", encoded(kind))
    shown = opened(images.original(named("TPFIP/a.png")))
    assert shown.format == "PNG"
    assert np.array_equal(np.asarray(shown), np.asarray(Image.open(io.BytesIO(encoded(kind)))))


# What cannot be shown


def png_bomb() -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")


def jpeg_bomb() -> bytes:
    return encoded("JPEG").replace(struct.pack(">HH", 200, 400), struct.pack(">HH", 60_000, 60_000), 1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no image",
        encoded("PNG")[:20_000],
        encoded("JPEG")[:2_000],
        encoded("TIFF")[:9_000],
        png_bomb(),
        jpeg_bomb(),
    ],
    ids=["empty", "text", "cut PNG", "cut JPEG", "cut TIFF", "PNG bomb", "JPEG bomb"],
)
def test_a_damaged_image_has_no_thumbnail(content: bytes, tmp_path: Path, root: Path, images: Images) -> None:
    put(root / "TPFIP" / "a.png", content)
    assert images.thumbnail(named("TPFIP/a.png"), 160) is None
    assert cached(tmp_path) == []


def test_a_file_that_is_no_image_has_no_original(root: Path, images: Images) -> None:
    put(root / "TPFIP" / "groups.csv", b"file,group\n")
    put(root / "TPFIP" / "cut.tif", encoded("TIFF")[:9_000])
    assert images.original(named("TPFIP/groups.csv")) is None
    assert images.original(named("TPFIP/cut.tif")) is None


@pytest.mark.parametrize("swapped", ["aoi", "aoi/TPFIP", "aoi/TPFIP/a.png"])
def test_a_link_that_came_since_a_file_was_found_leads_nowhere(
    tmp_path: Path, root: Path, images: Images, swapped: str
) -> None:  # D-4
    put(root / "TPFIP" / "a.png")
    lies = {"aoi": "secret/TPFIP/a.png", "aoi/TPFIP": "secret/a.png", "aoi/TPFIP/a.png": "secret"}[swapped]
    put(tmp_path / lies, b"the seal key")
    shown, file = images.original(named("TPFIP/a.png")), images.file(named("TPFIP/a.png"))
    assert shown is not None
    assert file is not None
    with shown.path.open("rb") as one, file.open("rb") as other:
        assert one.read() == other.read() == encoded()
    (tmp_path / swapped).rename(tmp_path / "aside")
    (tmp_path / swapped).symlink_to(tmp_path / "secret")
    assert (root / "TPFIP" / "a.png").read_bytes() == b"the seal key"
    for path in (shown.path, file):
        with pytest.raises(OSError):  # noqa: PT011 - which one, the file system decides
            path.open("rb")


def test_a_pipe_that_came_since_a_file_was_found_holds_nobody_up(root: Path, images: Images) -> None:  # D-4
    put(root / "TPFIP" / "a.png")
    file = images.file(named("TPFIP/a.png"))
    assert file is not None
    (root / "TPFIP" / "a.png").unlink()
    os.mkfifo(root / "TPFIP" / "a.png")
    with pytest.raises(OSError, match="no regular file"):
        file.open("rb")


def test_nothing_outside_the_data_roots_is_shown(tmp_path: Path, root: Path, images: Images) -> None:  # D-4
    put(tmp_path / "secret" / "a.png")
    put(tmp_path / "secret" / "masks" / "b.png")
    put(root / "TPFIP" / "b.png")
    (root / "linked.png").symlink_to(tmp_path / "secret" / "a.png")
    (root / "TPFIP" / "masks").symlink_to(tmp_path / "secret" / "masks")
    os.mkfifo(root / "pipe.png")
    outside = [named("../secret/a.png"), named("linked.png"), named("pipe.png"), named("TPFIP"), named("missing.png"),
               named("a\x00.png"), FolderName("other", "a.png"), FolderName("aoi", str(tmp_path / "secret" / "a.png"))]  # fmt: skip
    for name in outside:
        assert images.thumbnail(name, 160) is None, name
        assert images.original(name) is None, name
        assert images.mask_overlay(name) is None, name
    assert images.mask_overlay(named("TPFIP/b.png")) is None, "its mask lies outside"


def test_the_cache_keeps_what_was_used_last(tmp_path: Path, root: Path, images: Images) -> None:  # D-9
    names = [f"TPFIP/{number}.png" for number in range(6)]
    for name in names:
        put(root / name)
        images.thumbnail(named(name), 160)
    kept = cached(tmp_path)
    total = sum(file.stat().st_size for file in kept)
    for file in kept:
        os.utime(file, (time.time() - 30 * 86_400, file.stat().st_mtime))
    used = images.thumbnail(named(names[3]), 160)
    assert used is not None
    assert trim(tmp_path / "cache", total) == 0, "nothing goes while there is room"
    assert trim(tmp_path / "cache", total // 2) >= total // 2
    assert used.path in cached(tmp_path)
    assert sum(file.stat().st_size for file in cached(tmp_path)) <= total // 2
    assert trim(tmp_path / "no-cache", 0) == 0


@pytest.mark.parametrize(
    "path",
    [
        "session-secret",
        "../session-secret",
        "TPFIP/../../session-secret",
        "/etc/passwd",
        "TPFIP",
        "TPFIP/notes.txt",
        "TPFIP/a.png/../notes.txt",
        "TPFIP/stolen.png",
        "TPFIP/renamed.png",
        "TPFIP/pipe.png",
        "TPFIP/a.png\x00.txt",
        "TPFIP/masks/polygons.json",
        "",
    ],
)
def test_no_request_reads_what_is_no_image_of_a_root(  # D-4, U-6
    path: str, tmp_path: Path, root: Path, images: Images
) -> None:
    put(tmp_path / "session-secret", b"not for anybody")
    put(root / "TPFIP" / "a.png")
    put(root / "TPFIP" / "notes.txt", b"not for anybody")
    put(root / "TPFIP" / "renamed.png", b"not for anybody")
    put(root / "TPFIP" / "masks" / "polygons.json", b"{}")
    (root / "TPFIP" / "stolen.png").symlink_to(tmp_path / "session-secret")
    os.mkfifo(root / "TPFIP" / "pipe.png")
    for name in (FolderName("aoi", path), FolderName("", path), FolderName("state", path)):
        assert images.original(name) is None
        assert images.thumbnail(name, 160) is None
        assert images.mask_overlay(name) is None


# Masks (D-5).


def mask(levels: list[int]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.array([levels], dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def opaque(shown: ShownImage | None) -> list[bool]:
    return [alpha > 0 for alpha in np.asarray(opened(shown).convert("RGBA"))[0, :, 3]]


def test_the_area_from_128_on_is_laid_over(root: Path, images: Images) -> None:  # D-5
    put(root / "TPFIP" / "a.jpg")
    put(root / "TPFIP" / "masks" / "a.png", mask([0, 1, 127, 128, 255]))
    assert opaque(images.mask_overlay(named("TPFIP/a.jpg"))) == [False, False, False, True, True]


def test_in_a_mask_of_zeros_and_ones_the_ones_are_laid_over(root: Path, images: Images) -> None:  # D-5
    put(root / "TPFIP" / "a.jpg")
    put(root / "TPFIP" / "masks" / "a.png", mask([0, 1, 0, 1]))
    assert opaque(images.mask_overlay(named("TPFIP/a.jpg"))) == [False, True, False, True]


def test_labelme_polygons_are_drawn_in_the_size_of_their_image(root: Path, images: Images) -> None:  # D-5
    put(root / "TPFIP" / "a.jpg")
    labels = (
        b'{"version": "5.4.1", "imageWidth": 8, "imageHeight": 4, "imageData": null, "shapes": ['
        b'{"label": "TPFIP", "shape_type": "rectangle", "points": [[3, 3], [1, 0]]},'
        b'{"label": "TPFIP", "shape_type": "polygon", "points": [[5, 0], [6, 0], [6, 3], [5, 3]]},'
        b'{"label": "TPFIP", "shape_type": "point", "points": [[4, 0]]},'
        b'{"label": "TPFIP", "shape_type": "polygon", "points": [[7, -1e300], [1e300, -1e300], [1e300, 1e300], [7, 1e300]]}]}'
    )
    put(root / "TPFIP" / "a.json", labels)
    shown = images.mask_overlay(named("TPFIP/a.jpg"))
    assert opened(shown).size == (8, 4)
    assert opaque(shown) == [False, True, True, True, False, True, True, True]


@pytest.mark.parametrize(
    "labels",
    [
        b"",
        b"{",
        b"[]",
        b'{"shapes": [], "imageWidth": 60000, "imageHeight": 60000}',
        b'{"shapes": [], "imageWidth": -4, "imageHeight": -4}',
    ],
)
def test_polygons_that_cannot_be_drawn_are_no_mask(labels: bytes, root: Path, images: Images) -> None:
    put(root / "TPFIP" / "a.jpg")
    put(root / "TPFIP" / "a.json", labels)
    assert images.mask_overlay(named("TPFIP/a.jpg")) is None


def test_an_image_without_a_mask_has_no_overlay(root: Path, images: Images) -> None:
    put(root / "TPFIP" / "a.jpg")
    put(root / "TPFIP" / "masks" / "b.png", mask([255]))
    put(root / "TPFIP" / "c.jpg")
    put(root / "TPFIP" / "masks" / "c.png", b"broken")
    assert images.mask_overlay(named("TPFIP/a.jpg")) is None
    assert images.mask_overlay(named("TPFIP/c.jpg")) is None


# Lists (D-9).


def test_images_are_listed_by_defect_code_in_the_order_of_names(root: Path, images: Images) -> None:  # D-9
    for name in ("b.png", "a.png", "without-suffix", "c.jpg"):
        put(root / "line-1" / "TPFIP" / name)
    put(root / "line-1" / "TPFIP" / "masks" / "a.png")
    put(root / "line-1" / "TPFIP" / "b.json", b"{}")
    put(root / "line-1" / "TPFIP" / "notes.txt", b"no image")
    put(root / "line-1" / "OK" / "d.png")
    listed = images.page(named("line-1"), "TPFIP", offset=0, count=60).images
    assert [(image.name, image.has_mask) for image in listed] == [
        ("a.png", True),
        ("b.png", True),
        ("c.jpg", False),
        ("without-suffix", False),
    ]
    assert listed[0].folder == named("line-1/TPFIP/a.png")
    assert images.page(named("line-1/TPFIP"), "TPFIP", offset=0, count=60).images == listed
    assert [image.name for image in images.page(named("line-1"), "OK", offset=0, count=60).images] == ["d.png"]


def test_a_listed_image_says_how_large_it_is_and_a_damaged_one_that_it_is_damaged(root: Path, images: Images) -> None:
    sound = put(root / "TPFIP" / "a.png")
    put(root / "TPFIP" / "b.png", b"broken")
    put(root / "TPFIP" / "masks" / "b.png")
    first, second = images.page(named("TPFIP"), "TPFIP", offset=0, count=60).images
    assert (first.width, first.height, first.size, first.is_damaged) == (400, 200, sound.stat().st_size, False)
    assert (second.name, second.is_damaged, second.has_mask) == ("b.png", True, False)


def test_a_list_is_given_page_by_page(root: Path, images: Images) -> None:  # D-9
    for number in range(7):
        put(root / "TPFIP" / f"{number}.png")
    page = images.page(named("TPFIP"), "TPFIP", offset=3, count=3)
    assert ([image.name for image in page.images], page.total) == (["3.png", "4.png", "5.png"], 7)
    assert [image.name for image in images.page(named("TPFIP"), "TPFIP", offset=6, count=3).images] == ["6.png"]


def test_nothing_is_listed_where_nothing_is(root: Path, images: Images) -> None:
    put(root / "line-1" / "TPFIP" / "a.png")
    for data_path, defect_code in (("line-1", "TTMUD"), ("missing", "TPFIP"), ("../", "TPFIP")):
        assert images.page(named(data_path), defect_code, offset=0, count=60) == ListedImages()


def test_a_large_data_path_is_listed_from_its_index(  # D-9
    tmp_path: Path, root: Path, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        put(root / "line-1" / "TPFIP" / f"{number}.png")
    age(root)
    scanned(index_file(tmp_path / "indexes", named("line-1")), DataFolders({"aoi": root})).close()
    before = images.page(named("line-1"), "TPFIP", offset=0, count=3)
    assert ([image.name for image in before.images], before.total, before.is_outdated) == (
        ["0.png", "1.png", "2.png"],
        5,
        False,
    )
    put(root / "line-1" / "TPFIP" / "9.png")
    listed = images.page(named("line-1"), "TPFIP", offset=0, count=60)
    assert (listed.total, listed.is_outdated) == (6, False), "a small folder is simply listed"
    monkeypatch.setattr("infra.images.LISTED_AT_MOST", 3)
    outdated = images.page(named("line-1"), "TPFIP", offset=0, count=60)
    assert (outdated.total, outdated.is_outdated) == (5, True), "a large one says that it is not up to date"
