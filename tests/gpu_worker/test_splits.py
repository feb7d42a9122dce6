"""The split: stratified, seeded, groups whole (W-8)."""

import hashlib
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


@pytest.mark.parametrize("own_groups_of_the_first", [1, 2])
def test_a_code_whose_groups_all_show_other_codes_too_is_on_both_sides(own_groups_of_the_first: int) -> None:
    """Those codes choose first; where they leave it on one side, its smallest group is moved that none of them misses."""
    codes, groups = [], []
    for number, (code, own) in enumerate({"A": own_groups_of_the_first, "B": 2, "C": 2}.items(), 1):
        for group, count in ((f"shared-{number}", number), *((f"{code}-{place}", 1) for place in range(own))):
            codes += [code] * count
            groups += [group] * count
        codes.append("Z")
        groups.append(f"shared-{number}")
    validating = Counter[str]()
    for seed in range(40):
        validates = split(codes, groups, seed=seed)
        for code in "ABCZ":
            assert {side for one, side in zip(codes, validates, strict=True) if one == code} == {True, False}
        validating.update({group for group, side in zip(groups, validates, strict=True) if side})
    # The first is the smallest; where it cannot be moved, because its code has it and one other, the second is.
    assert validating["shared-3"] == 0
    assert validating["shared-1"] == 40 if own_groups_of_the_first == 2 else validating["shared-2"] > 10


def test_no_group_is_moved_where_another_code_would_lose_its_only_one_on_that_side() -> None:
    """B has two groups, one on either side; A has both of them and nothing else, so it stays as B chose."""
    for seed in range(20):
        codes, groups = ["A", "B", "A", "B", "C", "C"], ["one", "one", "two", "two", "three", "four"]
        validates = split(codes, groups, seed=seed)
        assert validates[1] != validates[3]
        assert validates[4] != validates[5]


def drawn_set(seed: int) -> tuple[list[str], list[str]]:
    """Parts of one to six images; every third part shows several codes."""
    dice = random.Random(seed)
    codes, groups = [], []
    for number in range(dice.randint(3, 40)):
        code, is_mixed = dice.choice("ABCDE"), dice.random() < 0.35
        for _ in range(dice.randint(1, 6)):
            codes.append(dice.choice("ABCDE") if is_mixed else code)
            groups.append(f"part-{number}")
    return codes, groups


# E-3
def test_what_an_order_meant_once_it_means_for_ever() -> None:
    """A training is replayed from its order: the split of these sets was recorded when it was first trusted."""
    digest = hashlib.sha256()
    for seed in range(80):
        codes, groups = drawn_set(seed)
        for ratio in (0.05, 0.3, 0.5, 0.8, 0.95):
            digest.update(bytes(split(codes, groups, ratio=ratio, seed=seed)))
        digest.update(" ".join(linked_groups(groups, [f"{seed} {number}" for number in range(len(groups))])).encode())
    assert digest.hexdigest() == "d22d3d28b737168bd848846cf6be3bc25ec4d6584b48dbd8a5388ae897a8d8fc"


def test_the_order_of_the_images_decides_nothing() -> None:
    for seed in range(10):
        codes, groups = drawn_set(seed)
        forwards = dict(zip(groups, split(codes, groups, seed=seed), strict=True))
        assert forwards == dict(zip(groups[::-1], split(codes[::-1], groups[::-1], seed=seed), strict=True))


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
