"""What ranks add up: real processes that meet over gloo and compare with what one process computes of the whole batch."""

import pytest

from gpu_worker.rank_agent import RankAgent

ADD_UP = """
import sys
import torch
from torch import nn
from torch.nn import functional
from gpu_worker.team import ALONE, Team, join, leave
torch.set_num_threads(1)
join(torch.device("cpu"), 60)
batch_size = int(sys.argv[1])
team = Team(torch.distributed.get_rank(), torch.distributed.get_world_size(), batch_size)

def network():
    torch.manual_seed(3)
    filters = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 5, 1)
    layers = nn.Sequential(*filters, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4))
    return layers.to(memory_format=torch.channels_last)

images = torch.rand(2, batch_size, 3, 9, 7, generator=torch.Generator().manual_seed(5))
labels = torch.arange(batch_size) % 4
shared, whole = network(), network()
for step in range(2):  # the second finds the room of the first
    loss = functional.cross_entropy(whole(images[step]), labels)
    loss.backward()
    part = team.weighed(functional.cross_entropy)(shared(images[step][team.mine]), labels[team.mine])
    part.backward()
    torch.testing.assert_close(team.add_up(shared, part.detach()), loss.detach())
    for one, other in zip(shared.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
        assert one.grad.stride() == one.stride()
        one.grad = other.grad = None
leave()
"""


@pytest.mark.parametrize("batch_size", [8, 7])  # of an odd batch one rank has more
def test_gradients_and_losses_add_up_to_those_of_the_whole_batch(batch_size: int) -> None:
    with RankAgent(2, ("-c", ADD_UP, str(batch_size)), has_gpu_each=False) as agent:
        agent.wait(120)
        assert agent.is_over
        assert agent.failures() == {}
