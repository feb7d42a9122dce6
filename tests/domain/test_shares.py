"""How shares are written for people."""

import pytest

from domain.shares import percent


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [
        (0.97549, 1, "97.5 %"),
        (0.97549, 2, "97.55 %"),
        (0.425, 0, "42 %"),
        (1.0, 1, "100.0 %"),
        (1.0, 0, "100 %"),
        (0.0, 1, "0.0 %"),
        (0.9994, 1, "99.9 %"),
        (0.001, 1, "0.1 %"),
        (None, 1, "—"),
    ],
)
def test_a_share_is_rounded(share: float | None, digits: int, text: str) -> None:
    assert percent(share, digits) == text


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [
        (9_997 / 10_000, 1, "> 99.9 %"),
        (0.999_999, 2, "> 99.99 %"),
        (0.996, 0, "> 99 %"),
        (3 / 10_000, 1, "< 0.1 %"),
        (1e-9, 2, "< 0.01 %"),
        (0.004, 0, "< 1 %"),
    ],
)
def test_what_is_not_all_and_not_nothing_is_never_rounded_to_it(share: float, digits: int, text: str) -> None:
    assert percent(share, digits) == text
