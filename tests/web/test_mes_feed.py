"""MES 事件推送: what super administrators see of Kafka, and what they do about reports. Source: REQUIREMENTS, K-1, U-6."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg.rows import dict_row

from domain.training_jobs import TrainingLossesMeasured, TrainingStarted
from domain.unusable_reports import ReportPlace, UnusableReportDismissed, UnusableReportRetried
from infra.feed_watch import FeedState
from infra.relay_watch import RelayState, TopicLag
from infra.unusable_reports import KeptReport, keep_unusable
from projections.read_model import Page
from tests.examples import QUALITY_LEAD_ID, TRAINING_JOB_ID, TRAINING_QUEUED, example_id, plant
from tests.infra.kafka_plant import losses
from tests.web.reading import text
from tests.web.real_site import RealSite, open_real_site
from tests.web.site import Site

GONE = "该项此前已被删除或移除。"
AT = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
KEPT = KeptReport(
    report_id=example_id("report"),
    place=ReportPlace(topic="assay.reports", partition=3, offset=17),
    kept_at=AT,
    reason="ValidationError: Invalid value 'job_praised'",
    worker="line-1",
    size=41,
    preview='{"type": "<b>job_praised</b>"}',
)


class FakeWatch:
    topic = "assay.events"

    def __init__(self, state: Any) -> None:
        self._state = state

    def state(self) -> Any:
        return self._state


class FakeReports:
    def __init__(self, *kept: KeptReport) -> None:
        self.kept = kept

    def page(self, *, number: int) -> Page[KeptReport]:
        return Page(items=self.kept, total=len(self.kept), number=number, size=20)


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (FeedState(), "未开始"),
        (FeedState(position=10, log_position=10, sent_count=8, sent_at=AT, looked_at=AT), "已是最新"),
        (FeedState(position=4, log_position=10, behind=6, looked_at=AT), "正在追赶"),
        (
            FeedState(
                behind=6, looked_at=AT, problem="KafkaTimeoutError: no broker", problem_at=AT + timedelta(hours=1)
            ),
            "推送受阻",
        ),
        (FeedState(looked_at=AT + timedelta(hours=1), problem="KafkaTimeoutError", problem_at=AT), "已是最新"),
    ],
)
def test_the_feed_says_how_far_it_is_and_what_holds_it_up(site: Site, state: FeedState, shown: str) -> None:  # K-1
    object.__setattr__(site.services, "feed", FakeWatch(state))
    object.__setattr__(site.services, "relay", FakeWatch(RelayState()))
    page = text(site.get("/mes-feed"))
    assert shown in page
    assert "assay.events" in page
    if state.problem:
        assert state.problem in page


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (RelayState(), "没有正在运行的中继进程"),
        (RelayState(is_away=False), "已是最新"),
        (
            RelayState(
                is_away=False,
                topics=(TopicLag(topic="assay.reports", partition_count=8, behind=5, looked_at=AT),),
            ),
            "正在追赶",
        ),
        (RelayState(is_held_up=True, problem="NoBrokersAvailable", problem_at=AT), "中继受阻"),
    ],
)
def test_the_relay_says_how_far_it_is_and_what_holds_it_up(site: Site, state: RelayState, shown: str) -> None:  # K-1
    for name, service in (("feed", FakeWatch(FeedState())), ("relay", FakeWatch(state))):
        object.__setattr__(site.services, name, service)
    object.__setattr__(site.services, "unusable_reports", FakeReports())
    page = text(site.get("/mes-feed/reports"))
    assert shown in page
    assert "所有上报均可使用" in page
    if state.problem:
        assert state.problem in page
    if state.topics:
        assert "5 条消息待处理" in page


def test_an_unusable_report_is_shown_with_all_that_is_known_of_it_and_no_markup_of_its_own(site: Site) -> None:  # K-1
    state = RelayState(is_away=False, unusable_count=1)
    for name, service in (("feed", FakeWatch(FeedState())), ("relay", FakeWatch(state))):
        object.__setattr__(site.services, name, service)
    object.__setattr__(site.services, "unusable_reports", FakeReports(KEPT))
    answer = site.get("/mes-feed/reports")
    page = text(answer)
    for shown in ("assay.reports", "分区 3，偏移量 17", "line-1", KEPT.reason, "41 B", "重试", "丢弃"):
        assert shown in page, shown
    assert "<b>job_praised" not in answer.text


@pytest.fixture
def real(database: str, tmp_path: Path) -> Iterator[RealSite]:
    with open_real_site(database, tmp_path) as made:
        made.happened(plant().add(TRAINING_JOB_ID, TRAINING_QUEUED, TrainingStarted(worker="line-1", attempt=1)))
        made.enter(QUALITY_LEAD_ID)
        yield made


def keep(database: str, content: bytes, offset: int) -> None:
    """As the relay does."""
    with psycopg.connect(database, autocommit=True, row_factory=dict_row) as connection:
        keep_unusable(connection, "kafka 1/3", "assay.reports", offset, f"report {offset}", "DecodeError: no", content)


def test_a_report_is_taken_in_or_dismissed_and_the_audit_tells(real: RealSite, database: str) -> None:  # K-1, E-1
    keep(database, b"noise", 1)
    keep(database, msgspec.json.encode(losses(1)), 2)
    usable, noise = real.services.unusable_reports.page().items
    assert real.post(f"/mes-feed/reports/{usable.report_id}/retry").status_code == 303
    assert "上报已收入事件日志" in text(real.get("/mes-feed/reports"))
    assert isinstance(real.log.history(TRAINING_JOB_ID)[-1].data, TrainingLossesMeasured)
    (retried,) = real.log.history(usable.report_id)
    assert (type(retried.data), retried.origin.actor) == (UnusableReportRetried, QUALITY_LEAD_ID)
    assert real.post(f"/mes-feed/reports/{noise.report_id}/retry").status_code == 303
    assert "仍无法使用" in text(real.get("/mes-feed/reports"))
    assert "assay.reports/3/1" in text(real.get(f"/mes-feed/reports/{noise.report_id}/dismiss"))
    assert real.post(f"/mes-feed/reports/{noise.report_id}/dismiss").status_code == 303
    assert isinstance(real.log.history(noise.report_id)[-1].data, UnusableReportDismissed)
    assert "所有上报均可使用" in text(real.get("/mes-feed/reports"))
    assert "assay.reports/3/1" in text(real.get("/audit"))


def test_a_report_that_somebody_else_removed_meanwhile_is_no_error(real: RealSite, database: str) -> None:  # K-1
    keep(database, b"noise", 1)
    (noise,) = real.services.unusable_reports.page().items
    address = f"/mes-feed/reports/{noise.report_id}"
    assert real.post(f"{address}/dismiss").status_code == 303
    told = len(real.log.history(noise.report_id))
    for ask, path in ((real.post, "dismiss"), (real.post, "retry"), (real.get, "dismiss")):
        answer = ask(f"{address}/{path}")
        assert (answer.status_code, answer.headers["Location"]) == (303, "/mes-feed/reports")
        assert GONE in text(real.get("/mes-feed/reports"))
    assert len(real.log.history(noise.report_id)) == told
