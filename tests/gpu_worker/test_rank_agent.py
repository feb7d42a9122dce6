"""torchrun's agent inside another process, with ranks of a few lines instead of a training."""

import os
import signal
import socket
from pathlib import Path

import pytest

from gpu_worker.rank_agent import RankAgent
from tests.gpu_worker.running_worker import eventually

SAY_WHERE = """
import os, pathlib, sys
told = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "CUDA_VISIBLE_DEVICES")
pathlib.Path(sys.argv[1], os.environ["RANK"]).write_text("\\n".join(os.environ.get(name, "") for name in told))
"""
MEET = """
import datetime, pathlib, os, sys
from torch import distributed
os.environ["GLOO_SOCKET_IFNAME"] = "lo"
distributed.init_process_group("gloo", timeout=datetime.timedelta(seconds=60))
pathlib.Path(sys.argv[1], os.environ["RANK"]).write_text(f"{distributed.get_rank()} of {distributed.get_world_size()}")
distributed.destroy_process_group()
"""
HANG = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1], os.environ['RANK']).write_text(str(os.getpid())); time.sleep(600)"


def told_to(folder: Path, rank: int) -> list[str]:
    return (folder / str(rank)).read_text().split("\n")


def run_to_the_end(agent: RankAgent) -> dict[int, int]:
    with agent:
        agent.wait(60)
        assert agent.is_over
        return agent.failures()


def both_wrote(folder: Path) -> bool:
    return all((folder / str(rank)).is_file() and (folder / str(rank)).read_text() for rank in range(2))


def is_alive(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


def test_ranks_find_torchruns_environment(tmp_path: Path) -> None:
    assert run_to_the_end(RankAgent(2, ("-c", SAY_WHERE, str(tmp_path)), has_gpu_each=False)) == {}
    (rank, local_rank, count, address, port, _), (other, other_local, *same) = (
        told_to(tmp_path, 0),
        told_to(tmp_path, 1),
    )
    assert (rank, local_rank, other, other_local, count, address) == ("0", "0", "1", "1", "2", "127.0.0.1")
    assert same[:3] == [count, address, port]


def test_ranks_meet_through_the_environment_alone(tmp_path: Path) -> None:
    assert run_to_the_end(RankAgent(2, ("-c", MEET, str(tmp_path)), has_gpu_each=False)) == {}
    assert [told_to(tmp_path, rank) for rank in range(2)] == [["0 of 2"], ["1 of 2"]]


def test_each_rank_sees_a_gpu_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-5c1e, GPU-77ab")
    run_to_the_end(RankAgent(2, ("-c", SAY_WHERE, str(tmp_path)), has_gpu_each=True))
    assert [told_to(tmp_path, rank)[1::4] for rank in range(2)] == [["0", "GPU-5c1e"], ["0", "GPU-77ab"]]


def test_ranks_of_a_machine_whose_gpus_are_hidden_start_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert run_to_the_end(RankAgent(2, ("-c", SAY_WHERE, str(tmp_path)), has_gpu_each=False)) == {}


def test_no_other_machine_can_reach_where_ranks_meet(tmp_path: Path) -> None:
    with RankAgent(2, ("-c", HANG, str(tmp_path)), has_gpu_each=False):
        eventually(lambda: both_wrote(tmp_path))
        environment = Path(f"/proc/{told_to(tmp_path, 0)[0]}/environ").read_text().split("\0")
        port = int(dict(line.split("=", 1) for line in environment if line)["MASTER_PORT"])
        socket.create_connection(("127.0.0.1", port)).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port))  # another address of this machine, as one on a network is


def test_no_name_server_is_asked_for_the_name_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it does not answer, a training would wait for it before it begins and after it ends."""
    asked: list[str] = []

    def answer(name: str = "") -> str:
        asked.append(name)
        return "panel-line-3"

    monkeypatch.setattr(socket, "getfqdn", answer)
    fail = "import os, sys; sys.exit(int(os.environ['RANK']))"
    assert run_to_the_end(RankAgent(2, ("-c", fail), has_gpu_each=False)) == {1: 1}
    assert run_to_the_end(RankAgent(2, ("-c", SAY_WHERE, str(tmp_path)), has_gpu_each=False)) == {}
    assert asked == []


def test_when_one_fails_the_others_are_ended_and_its_code_is_told(tmp_path: Path) -> None:
    fail = "import os, sys, time; time.sleep(600) if os.environ['RANK'] == '0' else sys.exit(3)"
    assert run_to_the_end(RankAgent(2, ("-c", fail), has_gpu_each=False)) == {1: 3, 0: -signal.SIGTERM}


def test_a_rank_that_the_system_killed_is_told_from_one_that_failed(tmp_path: Path) -> None:
    with RankAgent(2, ("-c", HANG, str(tmp_path)), has_gpu_each=False) as agent:
        eventually(lambda: both_wrote(tmp_path))
        assert agent.failures() == {}
        os.kill(int(told_to(tmp_path, 1)[0]), signal.SIGKILL)
        agent.wait(60)
        assert agent.failures()[1] == -signal.SIGKILL


def test_nothing_is_left_not_even_a_rank_that_cannot_hear(tmp_path: Path) -> None:
    with RankAgent(2, ("-c", HANG, str(tmp_path)), has_gpu_each=False) as agent:
        eventually(lambda: both_wrote(tmp_path))
        processes = [int(told_to(tmp_path, rank)[0]) for rank in range(2)]
        agent.send_signal(1, signal.SIGSTOP)
        assert all(is_alive(process) for process in processes)
    assert not any(is_alive(process) for process in processes)
    agent.send_signal(1, signal.SIGKILL)  # whoever has its number by now is left alone
