"""Data paths on a real file system: D-3, D-4, D-5, and everything that may lie where an image is expected."""

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from domain.data_paths import DataPathProblem, DataPathState, DefectCodeCount, FolderName, Inspection
from domain.image_files import MAXIMUM_PIXELS
from gpu_worker.images import find_images, read_image
from gpu_worker.ports import FolderNotFound
from infra.data_folders import DataFolders

NOBODY = 65534
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "TIFF": ".tif", "WEBP": ".webp"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "aoi"
    folder.mkdir()
    return folder


@pytest.fixture
def folders(root: Path) -> DataFolders:
    return DataFolders({"aoi": root})


def encoded(kind: str = "PNG", size: tuple[int, int] = (24, 16), **options: object) -> bytes:
    noise = np.random.default_rng(7).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, kind, **options)
    return file.getvalue()


def put(file: Path, content: bytes | None = None) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(encoded() if content is None else content)
    return file


def png_that_declares(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")


def jpeg_that_declares(width: int, height: int) -> bytes:
    content = encoded("JPEG", (24, 16))
    return content.replace(struct.pack(">HH", 16, 24), struct.pack(">HH", height, width), 1)


def bmp_that_declares(width: int, height: int) -> bytes:
    content = bytearray(encoded("BMP"))
    content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)


def counts(inspection: Inspection) -> dict[str, int]:
    return {counted.defect_code: counted.image_count for counted in inspection.defect_codes}


# What is found: D-3, D-5.


def test_a_code_folder_is_named_after_its_defect_code(root: Path, folders: DataFolders) -> None:  # D-5
    put(root / "line-1" / "TPFIP" / "a.png")
    put(root / "line-1" / "TPFIP" / "b.png")
    found = folders.inspect(str(root / "line-1" / "TPFIP"))
    assert found.state is DataPathState.VALID
    assert found.folder == FolderName("aoi", "line-1/TPFIP")
    assert found.defect_codes == (DefectCodeCount("TPFIP", 2),)


def test_a_folder_of_code_folders_counts_each_code(root: Path, folders: DataFolders) -> None:  # D-5
    put(root / "line-1" / "TTMUD" / "a.png")
    put(root / "line-1" / "TPFIP" / "a.png")
    put(root / "line-1" / "TPFIP" / "b.png")
    (root / "line-1" / "reports").mkdir()
    found = folders.inspect(str(root / "line-1"))
    assert counts(found) == {"TPFIP": 2, "TTMUD": 1}
    assert found.image_count == 3


def test_a_data_root_itself_may_be_a_data_path(root: Path, folders: DataFolders) -> None:
    put(root / "TPFIP" / "a.png")
    found = folders.inspect(str(root))
    assert (found.folder, counts(found)) == (FolderName("aoi", ""), {"TPFIP": 1})


def test_folders_below_code_folders_are_not_looked_into(root: Path, folders: DataFolders) -> None:  # D-5
    put(root / "line-1" / "TPFIP" / "a.png")
    put(root / "line-1" / "TPFIP" / "rejected" / "b.png")
    assert folders.inspect(str(root / "line-1")).image_count == 1


def test_the_description_is_made_from_the_folder(root: Path, folders: DataFolders) -> None:  # D-3
    large, small = encoded("PNG", (40, 30)), encoded("JPEG", (24, 16))
    for number in range(3):
        put(root / "TPFIP" / f"{number}.jpg", small)
    put(root / "TPFIP" / "large.png", large)
    found = folders.inspect(str(root / "TPFIP"))
    assert found.formats == (("JPEG", 3), ("PNG", 1))
    assert found.resolutions == ((24, 16, 3), (40, 30, 1))
    assert found.total_bytes == 3 * len(small) + len(large)
    assert (found.mask_count, found.damaged_count) == (0, 0)


def test_the_ten_most_frequent_resolutions_are_kept(root: Path, folders: DataFolders) -> None:
    for width in range(10, 22):
        put(root / "TPFIP" / f"{width}.png", encoded("PNG", (width, 10)))
    put(root / "TPFIP" / "again.png", encoded("PNG", (21, 10)))
    resolutions = folders.inspect(str(root / "TPFIP")).resolutions
    assert len(resolutions) == 10
    assert resolutions[0] == (21, 10, 2)


@pytest.mark.parametrize("kind", SUFFIXES)
def test_every_format_counts_whatever_its_name(kind: str, root: Path, folders: DataFolders) -> None:  # D-4
    put(root / "TPFIP" / "named", encoded(kind, (30, 20)))
    put(root / "TPFIP" / "wrongly-named.png", encoded(kind, (30, 20)))
    found = folders.inspect(str(root / "TPFIP"))
    assert (found.formats, found.resolutions) == (((kind, 2),), ((30, 20, 2),))


def test_an_upright_size_is_the_one_that_people_see(root: Path, folders: DataFolders) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    for kind, suffix in (("JPEG", ".jpg"), ("PNG", ".png"), ("WEBP", ".webp")):
        put(root / "TPFIP" / f"turned{suffix}", encoded(kind, (30, 20), exif=turned))
    assert folders.inspect(str(root / "TPFIP")).resolutions == ((20, 30, 3),)


def test_masks_are_counted_for_each_code(root: Path, folders: DataFolders) -> None:  # D-5
    for name in ("a.png", "b.png", "c.png"):
        put(root / "line-1" / "TPFIP" / name)
    put(root / "line-1" / "TPFIP" / "masks" / "a.png")
    put(root / "line-1" / "TPFIP" / "masks" / "of-nothing.png")
    put(root / "line-1" / "TPFIP" / "b.json", b'{"shapes": []}')
    put(root / "line-1" / "OK" / "d.png")
    found = folders.inspect(str(root / "line-1"))
    assert found.defect_codes == (DefectCodeCount("OK", 1), DefectCodeCount("TPFIP", 3, 2))
    assert (found.image_count, found.mask_count) == (4, 2)


def test_what_lies_beside_images_is_passed_over(root: Path, folders: DataFolders) -> None:
    put(root / "TPFIP" / "a.png")
    for name in ("groups.csv", "Thumbs.db", ".hidden.png", "notes.txt"):
        put(root / "TPFIP" / name, b"beside")
    found = folders.inspect(str(root / "TPFIP"))
    assert (found.image_count, found.damaged_count) == (1, 0)


def test_an_inspection_and_a_worker_find_the_same_images(root: Path, folders: DataFolders) -> None:
    for kind, suffix in SUFFIXES.items():
        put(root / "line-1" / "TPFIP" / f"sound{suffix}", encoded(kind))
        put(root / "line-1" / "OK" / f"broken{suffix}", b"no image")
    put(root / "line-1" / "direct.png")
    put(root / "line-1" / "OK" / "bomb.png", png_that_declares(60_000, 60_000))
    (root / "line-1" / "linked").symlink_to(root / "line-1" / "TPFIP")
    found = folders.inspect(str(root / "line-1"))
    read = [read_image(image) for image in find_images(found.folder, folders)]
    assert found.image_count == sum(not image.damage for image in read) == 11
    assert found.damaged_count == sum(bool(image.damage) for image in read) == 6
    assert {(image.width, image.height) for image in read if not image.damage} == {(24, 16)}


# Where data paths may lie: D-4.


def test_a_path_may_be_typed_as_root_and_path_below(root: Path, folders: DataFolders) -> None:
    put(root / "line-1" / "TPFIP" / "a.png")
    for typed in ("aoi:line-1/TPFIP", "aoi:/line-1/TPFIP/", "aoi/line-1/TPFIP", f"  {root}/line-1//TPFIP/. "):
        assert folders.inspect(typed).folder == FolderName("aoi", "line-1/TPFIP"), typed


def test_nothing_is_told_of_what_lies_outside_the_data_roots(tmp_path: Path, root: Path, folders: DataFolders) -> None:
    put(tmp_path / "secret" / "TPFIP" / "a.png")
    (root / "empty").mkdir()
    there, missing, empty = (
        folders.inspect(typed)
        for typed in (str(tmp_path / "secret" / "TPFIP"), str(tmp_path / "missing"), str(root / "empty"))
    )
    for found in (there, missing, empty):
        assert (found.state, found.image_count, found.folder.root) == (DataPathState.INVALID, 0, "")


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "/",
        "..",
        "/etc",
        "/dev/zero",
        "/proc/self/fd/0",
        "aoi:../secret/TPFIP",
        "aoi/../secret/TPFIP",
        "aoi:line-1/../../secret/TPFIP",
        "other:line-1",
        "line-1",
        "aoi:line-1\x00/TPFIP",
        "aoi:" + "x" * 300,
        "/x" * 3000,
        "aoi:line-1/TPFIP/a.png",
        "file:///etc",
        "C:\\images\\TPFIP",
        "aoi:\ud800",
    ],
)
def test_whatever_is_typed_there_is_an_answer(typed: str, tmp_path: Path, root: Path, folders: DataFolders) -> None:
    put(root / "line-1" / "TPFIP" / "a.png")
    put(tmp_path / "secret" / "TPFIP" / "a.png")
    assert folders.inspect(typed).state is DataPathState.INVALID


def test_every_reason_has_the_same_answer(tmp_path: Path, root: Path, folders: DataFolders) -> None:  # D-3, D-4
    put(tmp_path / "secret" / "TPFIP" / "a.png")
    put(root / "file.png")
    put(root / "closed" / "TPFIP" / "a.png")
    (root / "empty").mkdir()
    (root / "out").symlink_to(tmp_path / "secret")
    os.mkfifo(root / "pipe")
    (root / "closed").chmod(0)
    typed = [str(tmp_path / "secret"), "/dev/null", "/dev", "aoi:missing", "aoi:../secret", "aoi:pipe", "aoi:out"]
    typed += ["aoi:file.png", "aoi:empty", "aoi:closed", "aoi:closed/TPFIP", "nowhere"]
    with as_nobody(tmp_path):
        found = {path: folders.inspect(path) for path in typed}
    assert found == {path: Inspection(folder=FolderName("", path), state=DataPathState.INVALID) for path in typed}


def test_the_state_folder_belongs_to_no_root_around_it(root: Path) -> None:  # D-4
    state = root / ".assay"
    put(state / "cache" / "thumbnails" / "a.png")
    put(state / "data" / "TPFIP" / "b.png")
    put(root / "TPFIP" / "c.png")
    folders = DataFolders({"all": root, "data": state / "data"}, closed=[state])
    for typed in (str(state / "cache" / "thumbnails"), "all:.assay/cache/thumbnails", "all:.assay"):
        assert folders.inspect(typed).state is DataPathState.INVALID, typed
    for path in (".assay/cache/thumbnails/a.png", ".assay/data/TPFIP/b.png", ".assay"):
        with pytest.raises(FolderNotFound):
            folders.resolve(FolderName("all", path))
    assert folders.inspect("all:TPFIP").image_count == 1
    assert folders.inspect("all:.assay/data/TPFIP").folder == FolderName("data", "TPFIP"), "a root inside is open"


def test_groups_are_noticed(root: Path, folders: DataFolders) -> None:  # D-5
    put(root / "line-1" / "TPFIP" / "a.png")
    assert not folders.inspect("aoi:line-1").has_groups
    put(root / "line-1" / "TPFIP" / "groups.csv", b"file,group")
    assert folders.inspect("aoi:line-1").has_groups


def test_a_link_out_of_the_root_is_followed_nowhere(tmp_path: Path, root: Path, folders: DataFolders) -> None:  # D-4
    put(tmp_path / "secret" / "TPFIP" / "a.png")
    (root / "line-1").symlink_to(tmp_path / "secret")
    assert folders.inspect(str(root / "line-1")).state is DataPathState.INVALID
    assert folders.inspect("aoi:line-1/TPFIP").state is DataPathState.INVALID
    put(root / "line-2" / "OK" / "b.png")
    (root / "line-2" / "TPFIP").symlink_to(tmp_path / "secret" / "TPFIP")
    (root / "line-2" / "OK" / "stolen.png").symlink_to(tmp_path / "secret" / "TPFIP" / "a.png")
    (root / "line-2" / "OK" / "masks").symlink_to(tmp_path / "secret" / "TPFIP")
    put(tmp_path / "secret" / "TPFIP" / "b.png")
    found = folders.inspect("aoi:line-2")
    assert (counts(found), found.damaged_count, found.mask_count) == ({"OK": 1}, 0, 0)


def test_a_link_inside_the_root_is_the_folder_it_leads_to(root: Path, folders: DataFolders) -> None:  # D-4
    put(root / "store" / "TPFIP" / "a.png")
    (root / "line-1").symlink_to(root / "store")
    assert folders.inspect("aoi:line-1/TPFIP").folder == FolderName("aoi", "store/TPFIP")


def test_linked_code_folders_and_images_inside_the_root_count(root: Path, folders: DataFolders) -> None:
    put(root / "store" / "0001" / "a.png")
    (root / "line-1" / "OK").mkdir(parents=True)
    (root / "line-1" / "TPFIP").symlink_to(root / "store" / "0001")
    (root / "line-1" / "OK" / "b.png").symlink_to(root / "store" / "0001" / "a.png")
    assert counts(folders.inspect("aoi:line-1")) == {"TPFIP": 1, "OK": 1}


def test_links_in_a_circle_end(root: Path, folders: DataFolders) -> None:
    put(root / "line-1" / "TPFIP" / "a.png")
    (root / "line-1" / "TPFIP" / "circle.png").symlink_to("circle.png")
    (root / "line-1" / "circle").symlink_to("circle")
    found = folders.inspect("aoi:line-1")
    assert (counts(found), found.damaged_count) == ({"TPFIP": 1}, 0)


def test_of_roots_in_each_other_the_innermost_names_a_folder(root: Path) -> None:  # D-4: no path twice
    put(root / "line-1" / "TPFIP" / "a.png")
    folders = DataFolders({"aoi": root, "line": root / "line-1"})
    assert folders.inspect(str(root / "line-1" / "TPFIP")).folder == FolderName("line", "TPFIP")
    assert folders.inspect("aoi:line-1/TPFIP").folder == FolderName("line", "TPFIP")


def test_a_root_may_be_a_link_and_may_be_mounted_later(tmp_path: Path, root: Path) -> None:
    folders = DataFolders({"aoi": tmp_path / "mount"})
    assert folders.inspect("aoi:TPFIP").state is DataPathState.INVALID
    put(root / "TPFIP" / "a.png")
    (tmp_path / "mount").symlink_to(root)
    assert folders.inspect("aoi:TPFIP").folder == FolderName("aoi", "TPFIP")


def test_a_known_folder_is_looked_into_again(root: Path, folders: DataFolders) -> None:  # D-7
    image = put(root / "TPFIP" / "a.png")
    name = FolderName("aoi", "TPFIP")
    put(root / "TPFIP" / "b.png")
    assert folders.inspect_folder(name).image_count == 2
    image.unlink()
    assert folders.inspect_folder(name).image_count == 1
    (root / "TPFIP" / "b.png").unlink()
    empty = folders.inspect_folder(name)
    assert (empty.state, empty.problem) == (DataPathState.INVALID, DataPathProblem.NO_IMAGES)
    (root / "TPFIP").rmdir()
    gone = folders.inspect_folder(name)
    assert (gone.state, gone.problem) == (DataPathState.INVALID, DataPathProblem.GONE)


def test_known_names_are_resolved_inside_their_root_only(tmp_path: Path, root: Path, folders: DataFolders) -> None:
    image = put(root / "TPFIP" / "a.png")
    put(tmp_path / "secret.png")
    (root / "TPFIP" / "out.png").symlink_to(tmp_path / "secret.png")
    assert folders.resolve(FolderName("aoi", "TPFIP/a.png")) == image.resolve()
    for root_name, path in (("aoi", "missing"), ("aoi", "../secret.png"), ("aoi", "TPFIP/out.png"), ("other", "TPFIP")):
        with pytest.raises(FolderNotFound, match="cannot be read"):
            folders.resolve(FolderName(root_name, path))


@pytest.mark.parametrize(
    "path", ["./TPFIP", "TPFIP/../TPFIP", "TPFIP/", "TPFIP//a.png", "TPFIP/a.png/.", "TPFIP\0", "x" * 5000]
)
def test_a_folder_has_one_name(root: Path, folders: DataFolders, path: str) -> None:
    """Otherwise a program could name it twice in a job, and its images would count twice."""
    put(root / "TPFIP" / "a.png")
    with pytest.raises(FolderNotFound):
        folders.resolve(FolderName("aoi", path))


# What cannot be read


@pytest.mark.parametrize("kind", SUFFIXES)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_truncated_image_is_damaged(kind: str, share: float, root: Path, folders: DataFolders) -> None:
    whole = encoded(kind, (200, 100))
    put(root / "TPFIP" / f"cut{SUFFIXES[kind]}", whole[: int(len(whole) * share)])
    put(root / "TPFIP" / "sound.png")
    found = folders.inspect(str(root / "TPFIP"))
    assert (found.state, found.image_count, found.damaged_count) == (DataPathState.VALID, 1, 1)
    assert found.total_bytes == len(encoded())


def test_what_is_appended_to_a_whole_image_does_no_harm(root: Path, folders: DataFolders) -> None:
    put(root / "TPFIP" / "camera.jpg", encoded("JPEG") + bytes(30_000))
    put(root / "TPFIP" / "editor.png", encoded("PNG") + b"trailer")
    found = folders.inspect(str(root / "TPFIP"))
    assert (found.image_count, found.damaged_count) == (2, 0)


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 500, b"<html>not found</html>", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]
)
def test_a_file_that_only_has_an_images_name_or_head_is_damaged(
    content: bytes, root: Path, folders: DataFolders
) -> None:
    put(root / "TPFIP" / "a.jpg", content)
    put(root / "TPFIP" / "sound.png")
    found = folders.inspect(str(root / "TPFIP"))
    assert (found.image_count, found.damaged_count) == (1, 1)


def test_a_folder_of_damaged_images_only_is_invalid(root: Path, folders: DataFolders) -> None:  # D-3
    put(root / "TPFIP" / "a.png", b"broken")
    found = folders.inspect_folder(FolderName("aoi", "TPFIP"))
    assert (found.state, found.image_count, found.damaged_count) == (DataPathState.INVALID, 0, 1)


@pytest.mark.filterwarnings(
    "ignore::PIL.Image.DecompressionBombWarning"
)  # in service Pillow only warns up to twice the limit
@pytest.mark.parametrize("bomb", [png_that_declares, jpeg_that_declares, bmp_that_declares])
def test_an_image_that_declares_too_many_pixels_is_damaged_and_not_decoded(
    bomb: Callable[[int, int], bytes], root: Path, folders: DataFolders
) -> None:
    put(root / "TPFIP" / "bomb.png", bomb(60_000, 60_000))
    put(root / "TPFIP" / "little-bomb.png", bomb(MAXIMUM_PIXELS // 5_000 + 1, 5_000))
    put(root / "TPFIP" / "sound.png")
    found = folders.inspect(str(root / "TPFIP"))
    assert (found.image_count, found.damaged_count) == (1, 2)


def test_an_image_of_just_the_allowed_size_counts(root: Path, folders: DataFolders) -> None:
    put(root / "TPFIP" / "line-scan.png", png_that_declares(MAXIMUM_PIXELS // 5_000, 5_000))
    assert folders.inspect(str(root / "TPFIP")).resolutions == ((MAXIMUM_PIXELS // 5_000, 5_000, 1),)


def test_floating_point_pixels_are_left_out_as_workers_do(root: Path, folders: DataFolders) -> None:
    file = io.BytesIO()
    Image.new("F", (20, 20)).save(file, "TIFF")
    put(root / "TPFIP" / "height-map.tif", file.getvalue())
    assert folders.inspect_folder(FolderName("aoi", "TPFIP")).damaged_count == 1


def test_pipes_and_sockets_are_passed_over_without_waiting(
    root: Path, folders: DataFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root / "TPFIP" / "a.png")
    os.mkfifo(root / "TPFIP" / "pipe.png")
    (root / "TPFIP" / "linked-pipe.png").symlink_to(root / "TPFIP" / "pipe.png")
    os.mkfifo(root / "TPFIP" / "masks")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(root)  # a socket's address holds 107 bytes
        listener.bind("TPFIP/socket.png")
        found = folders.inspect(str(root / "TPFIP"))
    assert (found.image_count, found.damaged_count) == (1, 0)


def test_a_pipe_in_the_place_of_a_data_path_is_invalid(root: Path, folders: DataFolders) -> None:
    os.mkfifo(root / "line-1")
    assert folders.inspect("aoi:line-1").state is DataPathState.INVALID


def test_names_that_are_no_text_are_left_out_and_counted(root: Path, folders: DataFolders) -> None:
    put(root / "line-1" / "TPFIP" / "a.png")
    gbk = "缺陷".encode("gbk")
    Path(os.fsdecode(os.fsencode(root / "line-1" / "TPFIP") + b"/" + gbk + b".png")).write_bytes(encoded())
    put(Path(os.fsdecode(os.fsencode(root / "line-1") + b"/" + gbk)) / "b.png")
    found = folders.inspect("aoi:line-1")
    assert (counts(found), found.damaged_count) == ({"TPFIP": 1}, 1)
    assert folders.inspect(os.fsdecode(os.fsencode(root / "line-1") + b"/" + gbk)).state is DataPathState.INVALID
    assert [image.name for image in find_images(FolderName("aoi", "line-1"), folders)] == ["a.png"], "workers, too"


def test_a_folder_that_may_not_be_read_is_invalid(tmp_path: Path, root: Path, folders: DataFolders) -> None:
    put(root / "line-1" / "TPFIP" / "a.png")
    put(root / "line-1" / "OK" / "b.png")
    (root / "line-1" / "TPFIP").chmod(0)
    with as_nobody(tmp_path):
        assert folders.inspect("aoi:line-1/TPFIP").state is DataPathState.INVALID
        assert folders.inspect("aoi:line-1").state is DataPathState.INVALID, "images would be missing silently"
    (root / "line-1" / "TPFIP").chmod(0o755)
    with as_nobody(tmp_path):
        assert folders.inspect("aoi:line-1").image_count == 2


def test_an_image_that_may_not_be_read_is_counted_as_damaged(tmp_path: Path, root: Path, folders: DataFolders) -> None:
    put(root / "TPFIP" / "a.png")
    put(root / "TPFIP" / "closed.png").chmod(0)
    with as_nobody(tmp_path):
        found = folders.inspect("aoi:TPFIP")
    assert (found.image_count, found.damaged_count) == (1, 1)


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Without root's right to read everything."""
    if os.geteuid() != 0:
        yield
        return
    for above in (folder, *folder.parents[:-1]):
        if not above.stat().st_mode & 0o001:
            above.chmod(above.stat().st_mode | 0o011)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
