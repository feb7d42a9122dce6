"""The split: stratified, seeded, groups whole (W-8)."""

import random
from collections import Counter, defaultdict

import pytest

from gpu_worker.splits import linked_groups, validation_split


def split(codes: list[str], groups: list[str] | None = None, ratio: float = 0.8, seed: int = 7) -> tuple[bool, ...]:
    return validation_split(codes, groups or [str(n) for n in range(len(codes))], split_ratio=ratio, seed=seed)


def shares(codes: list[str], validates: tuple[bool, ...]) -> dict[str, float]:
    validating = Counter(code for code, validating in zip(codes, validates, strict=True) if validating)
    return {code: validating[code] / count for code, count in Counter(codes).items()}


@pytest.mark.parametrize("ratio", [0.05, 0.5, 0.8, 0.95])
def test_every_code_is_split_in_the_ratio(ratio: float) -> None:
    codes = ["OK"] * 400 + ["SPOT"] * 100 + ["SCRATCH"] * 20
    for code, share in shares(codes, split(codes, ratio=ratio)).items():
        assert share == pytest.approx(1 - ratio, abs=0.5 / codes.count(code) + 1e-9)


def test_the_seed_decides_and_nothing_else() -> None:
    codes = ["OK"] * 50 + ["SPOT"] * 50
    assert split(codes, seed=1) == split(codes, seed=1)
    assert split(codes, seed=1) != split(codes, seed=2)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_rare_code_is_on_both_sides(count: int) -> None:
    codes = ["OK"] * 100 + ["RARE"] * count
    for ratio in (0.05, 0.8, 0.95):
        assert 0 < shares(codes, split(codes, ratio=ratio))["RARE"] < 1


def test_a_code_with_a_single_image_trains() -> None:
    assert split(["OK"] * 9 + ["ONLY"])[-1] is False


def test_a_code_whose_images_show_one_part_trains() -> None:
    codes, groups = ["OK"] * 10 + ["CRACK"] * 6, [str(n) for n in range(10)] + ["T1"] * 6
    assert not any(split(codes, groups)[10:])


@pytest.mark.parametrize("seed", range(60))
def test_groups_stay_whole_and_codes_stay_on_both_sides_whatever_the_set(seed: int) -> None:
    draw = random.Random(seed)
    codes, groups = [], []
    for number in range(draw.randint(6, 60)):
        code = draw.choice("ABCD")
        for _ in range(draw.randint(1, 8)):
            codes.append(draw.choice("ABCD") if draw.random() < 0.03 else code)
            groups.append(f"part-{number}")
    validates = split(codes, groups, ratio=draw.choice((0.5, 0.8, 0.9)), seed=seed)
    sides: dict[str, set[bool]] = defaultdict(set)
    groups_of: dict[str, set[str]] = defaultdict(set)
    sides_of: dict[str, set[bool]] = defaultdict(set)
    for code, group, side in zip(codes, groups, validates, strict=True):
        sides[group].add(side)
        groups_of[code].add(group)
        sides_of[code].add(side)
    assert all(len(side) == 1 for side in sides.values())
    assert all(len(sides_of[code]) == 2 for code, members in groups_of.items() if len(members) > 1)


def test_equal_files_and_equal_groups_are_linked_also_through_others() -> None:
    names = linked_groups(["T1", "T1", "", "", "T2", ""], ["a", "b", "b", "c", "d", "d"])
    assert names[0] == names[1] == names[2]
    assert names[4] == names[5]
    assert len(set(names)) == 3
    assert linked_groups(["", "", "T1"], ["x", "y", "z"]) != linked_groups(["", "", ""], ["x", "x", "x"])


def test_the_name_of_a_link_does_not_depend_on_the_order() -> None:
    groups, checksums = ["T1", "", "T1", ""], ["d", "c", "b", "b"]
    forwards = dict(zip(checksums, linked_groups(groups, checksums), strict=True))
    backwards = dict(zip(checksums[::-1], linked_groups(groups[::-1], checksums[::-1]), strict=True))
    assert forwards == backwards
