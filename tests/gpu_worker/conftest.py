"""One thread for everything: results to the bit, and other tests on the same machine get their share."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
