"""A worker that computes nothing and reports as one that trains (`-m tests.infra.light_worker NAME`); its mailbox is real."""

import sys
import threading

from kafka.errors import KafkaError

from domain.attempts import AttemptIsOver
from domain.messages import COMPUTING, AnyReport, Heartbeat, JobKind, Message, TrainingSucceeded
from infra.kafka import Kafka
from infra.kafka_mailbox import KafkaMailbox
from infra.settings import read_settings
from tests.examples import TRAINING_COMPLETED
from tests.infra.kafka_plant import TWO_CORE_MACHINE, losses

STEPS = 3
"""Reports of losses before the one of success."""
BEAT_EVERY_SECONDS = 0.3
_moment = threading.Event()


def work(mailbox: KafkaMailbox, message: Message, name: str) -> None:
    """Report every step and the success, until told that the attempt is over."""
    is_done = threading.Event()

    def beats() -> None:
        while not is_done.wait(BEAT_EVERY_SECONDS):
            mailbox.beat(Heartbeat(worker=name, kind=JobKind.TRAINING, job_id=message.job_id, attempt=message.attempt))

    pulse = threading.Thread(target=beats)
    pulse.start()
    try:
        for step in range(1, STEPS + 1):
            deliver(mailbox, losses(step, job_id=message.job_id, attempt=message.attempt, worker=name))
            _moment.wait(0.05)
        deliver(mailbox, success(message, name))
    except AttemptIsOver:
        pass
    finally:
        is_done.set()
        pulse.join()


def success(message: Message, name: str) -> TrainingSucceeded:
    fields = {field: getattr(TRAINING_COMPLETED, field) for field in TRAINING_COMPLETED.__struct_fields__}
    return TrainingSucceeded(
        kind=JobKind.TRAINING, job_id=message.job_id, attempt=message.attempt, worker=name, **fields
    )


def deliver(mailbox: KafkaMailbox, report: AnyReport) -> None:
    """As a worker does it: until it is delivered."""
    while True:
        try:
            return mailbox.report(report)
        except KafkaError:
            _moment.wait(0.5)


def main(name: str) -> None:
    settings = read_settings()
    assert settings.kafka is not None
    mailbox = KafkaMailbox(Kafka(settings.kafka), worker=name, kinds=COMPUTING, ask_every_seconds=1.0)
    while True:
        message = mailbox.take(TWO_CORE_MACHINE)
        if message is not None:
            work(mailbox, message, name)


if __name__ == "__main__":
    main(sys.argv[1])
