"""What a training leaves behind and people download: logs, curves, images, weights (T-5, V-1)."""

from pathlib import Path

import msgspec
import pytest

from domain.messages import LossPart, PartLog, StageName
from domain.training_jobs import TrainingStatus
from projections.evaluation_reports import TRAINING_LABEL
from tests.examples import TRAINER_LI_ID, TRAINING_JOB_ID, WORSE_AT_THE_END, artifact
from tests.web.predictions import FakeEvaluationReports
from tests.web.reading import assert_in_order, text
from tests.web.site import Site
from tests.web.trainings import (
    COMPLETED,
    ENDED,
    MONITOR,
    WORSE,
    FakeArtifacts,
    FakeRunningLogs,
    furnish,
    job,
    stage,
    use,
)
from web.services import Services


@pytest.fixture
def services(services: Services) -> Services:
    return furnish(services)


def test_log_losses_images_and_preview_are_downloaded(trainer: Site, tmp_path: Path) -> None:  # T-5
    read = use(trainer.services, job(**COMPLETED))
    read.stage_rows = [
        stage(StageName.DATA_SPLIT, manifest=artifact("manifest", 4)),
        stage(StageName.DATA_AUGMENTATION, preview=artifact("preview", 4)),
    ]
    object.__setattr__(trainer.services, "artifacts", FakeArtifacts(tmp_path))
    for name, file_name in (
        ("log", "panel-a-v1.0.log"),
        ("losses", "panel-a-v1.0-losses.jsonl"),
        ("manifest", "panel-a-v1.0-images.jsonl"),
    ):
        answer = trainer.get(f"{MONITOR}/{name}")
        assert (answer.status_code, answer.content) == (200, b"1234")
        assert file_name in answer.headers["Content-Disposition"]
    preview = trainer.get(f"{MONITOR}/preview")
    assert (preview.headers["Content-Type"], preview.headers["Content-Disposition"][:6]) == ("image/png", "inline")


def test_each_of_two_networks_has_a_log_of_its_own(trainer: Site, tmp_path: Path) -> None:  # T-5
    logs = tuple(PartLog(part=part, log=artifact(f"{part.value} log", 4)) for part in LossPart)
    use(trainer.services, job(**{**COMPLETED, "part_logs": logs}))
    object.__setattr__(trainer.services, "artifacts", FakeArtifacts(tmp_path))
    assert_in_order(text(trainer.get(MONITOR)), "下载日志", "分类训练日志", "分割训练日志")
    for part in LossPart:
        answer = trainer.get(f"{MONITOR}/log/{part.value}")
        assert (answer.status_code, answer.content) == (200, b"1234")
        assert f"panel-a-v1.0-{part.value}.log" in answer.headers["Content-Disposition"]
    assert trainer.get(f"{MONITOR}/log/nonsense").status_code == 404
    use(trainer.services, job(**COMPLETED))
    assert "分割训练日志" not in text(trainer.get(MONITOR))
    assert trainer.get(f"{MONITOR}/log/segmentation").status_code == 404


def test_files_that_a_job_does_not_have_are_not_found(trainer: Site) -> None:
    for name in ("log", "losses", "manifest", "preview"):
        assert trainer.get(f"{MONITOR}/{name}").status_code == 404
    told = "训练开始后可下载日志", "训练节点还没有写入日志", "本次运行没有留下日志"
    states = TrainingStatus.WAITING, TrainingStatus.TRAINING, TrainingStatus.FAILED
    for status, said in zip(states, told, strict=True):
        use(trainer.services, job(status=status))
        assert said in text(trainer.get(MONITOR))


def test_the_log_of_a_running_training_is_downloaded_as_far_as_it_is(trainer: Site, tmp_path: Path) -> None:  # T-5
    whole, part = tmp_path / "log.txt", tmp_path / "log-segmentation.txt"
    whole.write_text("up to now")
    part.write_text("of the segmentation")
    logs = FakeRunningLogs((2, None, whole), (2, LossPart.SEGMENTATION, part))
    object.__setattr__(trainer.services, "running_logs", logs)
    use(trainer.services, job(run=2))
    assert_in_order(text(trainer.get(MONITOR)), "下载日志", "分割训练日志")
    first = trainer.get(f"{MONITOR}/log")
    assert (first.text, first.headers["Content-Type"]) == ("up to now", "text/plain; charset=utf-8")
    assert trainer.get(f"{MONITOR}/log/segmentation").text == "of the segmentation"
    assert trainer.get(f"{MONITOR}/log", **{"If-None-Match": first.headers["ETag"]}).status_code == 304
    whole.write_text("up to now, and more")
    assert trainer.get(f"{MONITOR}/log", **{"If-None-Match": first.headers["ETag"]}).text == "up to now, and more"
    use(trainer.services, job(run=3))  # which has not begun
    assert trainer.get(f"{MONITOR}/log").status_code == 404


def test_a_log_that_was_kept_goes_before_the_one_that_was_written(trainer: Site, tmp_path: Path) -> None:  # T-5
    (tmp_path / "log.txt").write_text("written")
    object.__setattr__(trainer.services, "artifacts", FakeArtifacts(tmp_path))
    object.__setattr__(trainer.services, "running_logs", FakeRunningLogs((1, None, tmp_path / "log.txt")))
    use(trainer.services, job(**COMPLETED))
    assert trainer.get(f"{MONITOR}/log").text == "1234"
    use(trainer.services, job(**{**ENDED, "status": TrainingStatus.TERMINATED}))  # its worker died before it kept any
    assert trainer.get(f"{MONITOR}/log").text == "written"


def test_the_owner_downloads_the_weights_and_nobody_else(trainer: Site, tmp_path: Path) -> None:  # U, V-1
    object.__setattr__(trainer.services, "artifacts", FakeArtifacts(tmp_path))
    kept = msgspec.structs.replace(WORSE_AT_THE_END.kept_weights[0], last=artifact("last", 4))
    use(trainer.services, job(**{**WORSE, "kept_weights": (kept,)}))
    answer = trainer.get(f"{MONITOR}/weights/last/classification")
    assert answer.content == b"1234"
    assert "panel-a-v1.0-classification-last.safetensors" in answer.headers["Content-Disposition"]
    for unknown in ("worst/classification", "last/segmentation"):
        assert trainer.get(f"{MONITOR}/weights/{unknown}").status_code == 404
    use(trainer.services, job(**{**WORSE, "owner": TRAINER_LI_ID}))
    assert trainer.get(f"{MONITOR}/weights/last/classification").status_code == 403
    trainer.read.evaluation_reports = FakeEvaluationReports((TRAINING_JOB_ID, TRAINING_LABEL))
    assert "/weights/" not in trainer.get(f"{MONITOR}/report").text
