"""Archives on the server are found inside the archive roots only, uploads by their owner only: I-2, I-3."""

import os
from pathlib import Path
from uuid import UUID

import pytest

from domain.data_paths import FolderName
from domain.model_images import ArchiveNotFound
from domain.uploads import UploadIsGone
from gpu_worker.ports import FolderNotFound
from infra.archives import Archives
from infra.uploads import Uploads

WANG, LI = UUID(int=1), UUID(int=2)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "archives"
    (folder / "2026").mkdir(parents=True)
    (folder / "2026" / "resnet18@1.0.tar").write_bytes(b"archive")
    return folder


@pytest.fixture
def archives(root: Path) -> Archives:
    return archives_of({"archives": root}, root.parent / "state" / "uploads")


def archives_of(roots: dict[str, Path], folder: Path) -> Archives:
    return Archives(roots, Uploads(folder, most_bytes=1 << 20, keep_free_bytes=0, keep_seconds=60))


def an_upload(folder: Path) -> UUID:
    uploads = Uploads(folder, most_bytes=1 << 20, keep_free_bytes=0, keep_seconds=60)
    upload = uploads.begin(WANG, "panel-aoi@7.tar", 7)
    part = uploads.open(upload.upload_id, WANG, 0)
    assert part is not None
    part.write(b"archive")
    part.finish()
    part.close()
    return upload.upload_id


def test_an_archive_is_found_by_its_path_and_named_by_its_root(root: Path, archives: Archives) -> None:
    name = FolderName("archives", "2026/resnet18@1.0.tar")
    for typed in (f"{root}/2026/resnet18@1.0.tar", "archives:2026/resnet18@1.0.tar", "archives/2026/resnet18@1.0.tar"):
        assert archives.find(typed) == name
    assert archives.resolve(name).read_bytes() == b"archive"


def test_what_is_missing_outside_or_no_file_is_refused_with_the_manuals_words(
    tmp_path: Path, root: Path, archives: Archives
) -> None:
    (tmp_path / "secret@1.0.tar").write_bytes(b"secret")
    (root / "linked@1.0.tar").symlink_to(tmp_path / "secret@1.0.tar")
    (root / "folder@1.0.tar").mkdir()
    os.mkfifo(root / "pipe@1.0.tar")
    refused = [
        "",
        str(root),
        str(root / "missing@1.0.tar"),
        str(tmp_path / "secret@1.0.tar"),
        "archives:../secret@1.0.tar",
        "archives:linked@1.0.tar",
        "archives:folder@1.0.tar",
        "archives:pipe@1.0.tar",
        "archives:2026/resnet18@1.0.tar\x00",
        "resnet18@1.0.tar",
        "/dev/zero",
    ]
    for typed in refused:
        with pytest.raises(ArchiveNotFound, match="No valid model image file was found at this path") as refusal:
            archives.find(typed)
        assert refusal.value.at == "archive", typed


def test_a_link_inside_the_root_is_the_archive_it_leads_to(root: Path, archives: Archives) -> None:
    (root / "newest@1.0.tar").symlink_to(root / "2026" / "resnet18@1.0.tar")
    assert archives.find("archives:newest@1.0.tar") == FolderName("archives", "2026/resnet18@1.0.tar")


def test_a_known_archive_that_is_gone_is_said_to_be_gone(root: Path, archives: Archives) -> None:
    name = archives.find("archives:2026/resnet18@1.0.tar")
    (root / "2026" / "resnet18@1.0.tar").unlink()
    for gone in (name, FolderName("archives", "../secret@1.0.tar"), FolderName("other", "resnet18@1.0.tar")):
        with pytest.raises(FolderNotFound, match="cannot be read"):
            archives.resolve(gone)
        with pytest.raises(ArchiveNotFound):
            archives.check(gone)


def test_an_archive_that_is_still_there_can_be_loaded_again(archives: Archives) -> None:
    archives.check(archives.find("archives:2026/resnet18@1.0.tar"))


def test_an_upload_is_read_by_workers_and_found_by_its_owner_alone(root: Path, archives: Archives) -> None:
    upload_id = an_upload(root.parent / "state" / "uploads")
    archive = archives.uploaded(upload_id, WANG)
    assert archives.resolve(archive).read_bytes() == b"archive"
    with pytest.raises(UploadIsGone):
        archives.uploaded(upload_id, LI)


def test_nobody_reaches_an_upload_by_typing_its_path(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "uploads"
    archives = archives_of({"everything": tmp_path}, folder)
    path = archives.resolve(archives.uploaded(an_upload(folder), WANG))
    below = path.relative_to(tmp_path)
    for typed in (str(path), f"everything:{below}", f".uploads:{path.relative_to(folder)}", f".uploads/{path.name}"):
        with pytest.raises(ArchiveNotFound):
            archives.find(typed)
