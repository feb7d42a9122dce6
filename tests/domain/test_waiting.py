"""Why a job waits, from the workers that were heard lately."""

from domain.messages import COMPUTING, PACKAGING, JobKind, Resources
from domain.waiting import HeardWorker, why_it_waits

ONE_CARD = Resources(cpu_cores=8, memory_gib=32, gpu_cards=1, gpu_memory_gib=24)
TWO_CORES = Resources(cpu_cores=2, memory_gib=8)


def heard(name: str = "line-1", *, offered: Resources = ONE_CARD, is_busy: bool = False) -> HeardWorker:
    return HeardWorker(name=name, kinds=COMPUTING, offered=offered, is_busy=is_busy)


def told(*workers: HeardWorker, kind: JobKind = JobKind.TRAINING, ahead: int = 0) -> str:
    return str(why_it_waits(kind, ONE_CARD, workers, ahead))


# T-6
def test_a_job_waits_because_no_worker_runs() -> None:
    assert told().startswith("No worker that could do this is running.")


def test_a_job_waits_because_no_worker_is_large_enough() -> None:
    assert told(heard(offered=TWO_CORES)).startswith("No running worker has this compute resource.")


def test_a_job_waits_because_all_that_fit_are_busy_whoever_else_is_free() -> None:
    workers = heard(is_busy=True), heard("line-2", offered=TWO_CORES)
    assert told(*workers, ahead=3) == "Every worker that could do this is busy. Jobs before it in line: 3."
    assert told(*workers) == "Every worker that could do this is busy. It is next in line."


def test_a_job_waits_for_a_moment_where_a_worker_is_free() -> None:
    assert told(heard(is_busy=True), heard("line-2")) == "A worker is free and takes it within seconds."


def test_workers_of_another_kind_do_not_count() -> None:
    packager = HeardWorker(name="line-1-packages", kinds=PACKAGING, offered=ONE_CARD, is_busy=False)
    assert told(packager).startswith("No worker that could do this is running.")
    assert told(packager, kind=JobKind.LOADING) == "A worker is free and takes it within seconds."


def test_every_kind_is_done_by_somebody() -> None:
    assert set(JobKind) == COMPUTING | PACKAGING
    assert not COMPUTING & PACKAGING
