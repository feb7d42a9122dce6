"""What a new platform begins with."""

from pathlib import Path

from domain.names import NameClaim, NameKind, claim_id
from domain.task_types import TaskKind, TaskType
from infra.bootstrap import open_core, prepare
from infra.settings import read_settings


def test_both_kinds_of_task_types_exist_after_the_first_start_and_only_once(
    database: str, tmp_path: Path
) -> None:  # M-5
    settings = read_settings({"ASSAY_STATE": str(tmp_path), "ASSAY_DATABASE_URL": database})
    prepare(settings)
    assert prepare(settings) == []
    with open_core(settings) as core:
        kinds = {}
        for name in ("分类", "分割分类"):
            held = core.assay.load(NameClaim, claim_id(NameKind.TASK_TYPE, name))
            assert held.owner is not None
            kinds[name] = core.assay.load(TaskType, held.owner).kind
    assert kinds == {"分类": TaskKind.CLASSIFICATION, "分割分类": TaskKind.SEGMENTATION_AND_CLASSIFICATION}
