"""What of a text people see, and what becomes of the rest."""

import pytest

from domain.texts import is_seen, one_line, with_unseen, written_out

UNSEEN = {
    "\0": "\\x00",
    "\n": "\\n",
    "\x1b": "\\x1b",
    "\x7f": "\\x7f",
    "\x85": "\\x85",
    "\xad": "\\xad",
    "\u200b": "\\u200b",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
    "\u202e": "\\u202e",
    "\u2066": "\\u2066",
    "\ufeff": "\\ufeff",
    "\ud800": "\\ud800",
    "\U000e0041": "\\U000e0041",
}
"""With how each is spelt."""
SEEN = "面板 panel-a，“一”\u3000🔍"


@pytest.mark.parametrize("unseen", UNSEEN)
def test_what_nobody_sees_is_noticed(unseen: str) -> None:
    assert not is_seen(f"panel{unseen}a")
    assert not is_seen(unseen)


@pytest.mark.parametrize(("unseen", "spelt"), UNSEEN.items())
def test_what_nobody_sees_is_spelt_out(unseen: str, spelt: str) -> None:
    assert written_out(f"面板{unseen}a{unseen}") == f"面板{spelt}a{spelt}"
    assert written_out(f"{unseen}\t{unseen}", but="\t") == f"{spelt}\t{spelt}"


def test_what_is_seen_stays_as_it_is() -> None:
    assert is_seen(SEEN)
    assert written_out(SEEN) == with_unseen(SEEN, lambda _: "_") == SEEN
    assert with_unseen("a\u202e\u200bb", lambda _: "_") == "a__b"


def test_free_text_becomes_one_line_of_what_is_seen() -> None:
    assert one_line(" 夜班\r\n  三线\u2028\u200b，“ok”\t🔍 \u202e") == "夜班 三线 ，“ok” 🔍"
    assert one_line("\x1b[31mred\x00\ud800") == "[31mred"
    assert one_line(" \n\u200b") == ""
    assert one_line("夜班\u3000三线") == "夜班 三线"
