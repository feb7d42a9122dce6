"""Logs of jobs that go on, where their workers write them: T-5, P-2."""

from pathlib import Path
from uuid import UUID

from domain.messages import LossPart
from gpu_worker.jobs import LOG_FILE, part_log_file, workspace_of
from infra.running_logs import RunningLogs

JOB_ID = UUID("5b6f3c1e-8a53-4f3e-9d1c-0a1b2c3d4e5f")


def test_a_run_has_the_log_that_its_worker_writes_and_no_other_runs(tmp_path: Path) -> None:
    logs = RunningLogs(tmp_path)
    assert logs.of(JOB_ID, 2) is None
    for attempt in (9, 10):  # the second goes on where the first was interrupted
        workspace = workspace_of(tmp_path, JOB_ID, 2, attempt)
        workspace.mkdir(parents=True)
        assert logs.of(JOB_ID, 2) is None  # nothing is written yet
        (workspace / LOG_FILE).write_text(f"attempt {attempt}")
        assert logs.of(JOB_ID, 2) == workspace / LOG_FILE
    assert logs.of(JOB_ID, 1) is None


def test_networks_have_logs_of_their_own_once_there_are_two(tmp_path: Path) -> None:
    workspace = workspace_of(tmp_path, JOB_ID, 1, 1)
    workspace.mkdir(parents=True)
    logs = RunningLogs(tmp_path)
    part_log_file(workspace, LossPart.CLASSIFICATION).write_text("of one alone the whole log says everything")
    assert logs.of_parts(JOB_ID, 1) == {}
    part_log_file(workspace, LossPart.SEGMENTATION).write_text("the second")
    assert list(logs.of_parts(JOB_ID, 1)) == [LossPart.CLASSIFICATION, LossPart.SEGMENTATION]
