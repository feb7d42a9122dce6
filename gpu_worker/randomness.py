"""Random draws that depend on nothing but (seed, purpose, index): nothing to save, nothing to drift after a resume."""

import hashlib

import torch


def stream(seed: int, purpose: str, index: int = 0) -> torch.Generator:
    """The generator of one draw; the same on every machine, wherever the model itself is computed."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{index}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
