"""What workers and the relay say to each other over Kafka beside orders and reports.

A trigger only wakes. The worker then says what it offers, is shown the first job that fits, and claims it by a report; the log
decides. So a message that is lost, late or there twice changes nothing.
"""

from typing import TypeAlias
from uuid import UUID

import msgspec

from domain.messages import AnyReport, Heartbeat, JobKind, Message, Resources
from domain.system_resources import MachineSays


class JobWaits(msgspec.Struct, frozen=True, kw_only=True):
    """To workers: wake up, a job waits."""

    kind: JobKind
    job_id: UUID
    attempt: int


class WorkWanted(msgspec.Struct, frozen=True, kw_only=True, tag="work_wanted"):
    """From a worker that is free. `question` is unique; the answer repeats it. `machine` is what it runs on, None from a worker of
    an earlier release.
    """

    worker: str
    question: str
    kinds: tuple[JobKind, ...]
    offered: Resources
    machine: MachineSays | None = None


class Beat(msgspec.Struct, frozen=True, kw_only=True, tag="beat"):
    """From a worker that works; `machine` as there."""

    heartbeat: Heartbeat
    machine: MachineSays | None = None


class WorkOffered(msgspec.Struct, frozen=True, kw_only=True, tag="work_offered"):
    """To a worker that asked: the first job that fits, None where none does."""

    worker: str
    question: str
    message: Message | None


class ClaimDecided(msgspec.Struct, frozen=True, kw_only=True, tag="claim_decided"):
    """To a worker that claimed an attempt: whether the log gave it to it."""

    worker: str
    job_id: UUID
    attempt: int
    is_granted: bool


class AttemptEnded(msgspec.Struct, frozen=True, kw_only=True, tag="attempt_ended"):
    """To a worker that works on it: stop, it was terminated or given to another."""

    worker: str
    job_id: UUID
    attempt: int


FromWorker: TypeAlias = WorkWanted | Beat
ToWorker: TypeAlias = WorkOffered | ClaimDecided | AttemptEnded

REPORT_ID = "report-id"
"""The header of a report that names it, also when it is sent again."""
SENT_AGAIN = "sent-again"
"""The header of a report of which nobody knows whether it arrived before."""

read_report = msgspec.json.Decoder(AnyReport).decode
read_from_worker = msgspec.json.Decoder(FromWorker).decode
read_to_worker = msgspec.json.Decoder(ToWorker).decode
