"""Archives as people pack them, whole and otherwise: what is in them, and reading one."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from domain.artifacts import Artifact
from gpu_worker.networks import new_network, save_weights
from gpu_worker.package_descriptions import SHIPPED
from gpu_worker.packages import read_package, write_shipped_description


def read(archive: Path) -> Any:
    scratch = archive.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    kept: list[Artifact] = []

    def keep(file: Path) -> Artifact:
        kept.append(Artifact(hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_size))
        return kept[-1]

    try:
        return read_package(archive, scratch, keep)
    finally:
        assert not list(scratch.iterdir()), "nothing is left behind"


def deepcopied(content: Any) -> Any:
    """Without shared parts, which YAML would write as aliases."""
    return json.loads(json.dumps(content))


def a_description(**changes: Any) -> bytes:
    return yaml.safe_dump(deepcopied({**SHIPPED, **changes}), allow_unicode=True).encode()


def packed(
    file: Path, entries: Mapping[str, bytes] | None = None, *, add: Callable[[tarfile.TarFile], None] | None = None
) -> Path:
    with tarfile.open(file, "w") as tar:
        for name, content in (entries if entries is not None else {"image.yaml": a_description()}).items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        if add is not None:
            add(tar)
    return file


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    write_shipped_description(tmp_path / "source")
    return tmp_path / "source"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("weights") / "w"
    save_weights(new_network("ResNet18", 5, seed=1).state_dict(), file, "ResNet18", tuple("ABCDE"))
    return file.read_bytes()


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> Callable[[tarfile.TarFile], None]:
    def add(tar: tarfile.TarFile) -> None:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        tar.addfile(member)

    return add


def with_weights(file: Path, content: bytes) -> Path:
    networks = [{**SHIPPED["networks"][0], "weights": "w"}]
    named = {"w": {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}}
    return packed(file, {"image.yaml": a_description(networks=networks, files=named), "w": content})
