"""The split into training and validation: stratified by code, seeded, images of one group on one side (W-8)."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import torch

from gpu_worker.randomness import stream

Group = Counter[str]
"""How many images of each code a group holds."""


def validation_split(
    defect_codes: Sequence[str], groups: Sequence[str], *, split_ratio: float, seed: int
) -> tuple[bool, ...]:
    """Which images validate: of each code about `1 - split_ratio`, never a part of a group, and of each code with at least two
    groups at least one on either side (as long as no group of several codes stands in the way).

    Rare codes choose first; which of its groups go is drawn. A code with a single group trains.
    """
    content: dict[str, Group] = defaultdict(Counter)
    for defect_code, group in zip(defect_codes, groups, strict=True):
        content[group][defect_code] += 1
    groups_of = {
        defect_code: [group for group in sorted(content) if content[group][defect_code]]
        for defect_code in sorted(set(defect_codes))
    }
    validates: dict[str, bool] = {}
    for number, defect_code in enumerate(sorted(groups_of, key=lambda name: (len(groups_of[name]), name))):
        _choose(defect_code, groups_of[defect_code], content, validates, split_ratio, stream(seed, "split", number))
    _mend(groups_of, content, validates)
    return tuple(validates[group] for group in groups)


def linked_groups(groups: Sequence[str], checksums: Sequence[str]) -> tuple[str, ...]:
    """One name for all images that are linked: by an equal non-empty group, or by equal content, directly or through others.

    The name is the smallest checksum among them, so it does not depend on the order of the images.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    images = [f"image {checksum}" for checksum in checksums]
    for image, group in zip(images, groups, strict=True):
        first, second = sorted((root(image), root(f"group {group}" if group else image)))
        parent[second] = first
    smallest: dict[str, str] = {}
    for image in images:
        smallest[root(image)] = min(image, smallest.get(root(image), image))
    return tuple(smallest[root(image)] for image in images)


def _choose(
    defect_code: str,
    groups: Sequence[str],
    content: dict[str, Group],
    validates: dict[str, bool],
    split_ratio: float,
    generator: torch.Generator,
) -> None:
    wanted = sum(content[group][defect_code] for group in groups) * (1 - split_ratio)
    free = [
        groups[index] for index in torch.randperm(len(groups), generator=generator) if groups[index] not in validates
    ]
    taken = sum(content[group][defect_code] for group in groups if validates.get(group))
    trains = any(validates.get(group) is False for group in groups)
    for position, group in enumerate(free):
        count = content[group][defect_code]
        is_last = position == len(free) - 1
        nearer = abs(taken + count - wanted) < abs(taken - wanted)
        must = is_last and not taken and len(groups) > 1
        validates[group] = (nearer or must) and (trains or not is_last)
        taken += count * validates[group]
        trains = trains or not validates[group]


def _mend(groups_of: dict[str, list[str]], content: dict[str, Group], validates: dict[str, bool]) -> None:
    """Groups of several codes may have left a code on one side only: move its smallest group that harms no other code."""
    for defect_code, groups in groups_of.items():
        sides = {validates[group] for group in groups}
        if len(groups) < 2 or len(sides) == 2:
            continue
        for group in sorted(groups, key=lambda group: (sum(content[group].values()), group)):
            if all(_stays(group, groups_of[other], validates) for other in content[group] if other != defect_code):
                validates[group] = not validates[group]
                break


def _stays(moved: str, groups: Sequence[str], validates: dict[str, bool]) -> bool:
    return len(groups) < 2 or any(validates[group] == validates[moved] for group in groups if group != moved)
