"""Evaluation artifacts in a folder, found by the names that facts give them."""

from pathlib import Path

import msgspec

from domain.artifacts import Artifact
from domain.evaluation import Evaluation


class EvaluationFolder:
    """Each evaluation lies under the checksum of the artifact that it was put under."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, artifact: Artifact, evaluation: Evaluation) -> None:
        self.intact(artifact).write_bytes(msgspec.msgpack.encode(evaluation))

    def intact(self, artifact: Artifact, *, by_content: bool = False) -> Path:  # noqa: ARG002 - contents are as they were put
        return self.folder / artifact.checksum
