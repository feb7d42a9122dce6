"""Tables that people open in a spreadsheet."""

import csv
import io
from collections.abc import Iterable

_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_ALONE = frozenset({"-", "+"})


class Spreadsheet:
    """Rows as CSV. A text in which a spreadsheet would see a formula stands behind an apostrophe; it could read other cells, call
    other hosts or start programs. Source: OWASP, “CSV Injection”.
    """

    def __init__(self, columns: Iterable[str]) -> None:
        self._text = io.StringIO()
        self._rows = csv.writer(self._text)
        self.add(columns)

    def add(self, cells: Iterable[object]) -> None:
        """A row; numbers stay numbers."""
        self._rows.writerow([_harmless(cell) for cell in cells])

    @property
    def content(self) -> bytes:
        """All of it; the mark at the beginning tells a spreadsheet that it is UTF-8."""
        return self._text.getvalue().encode("utf-8-sig")


def _harmless(cell: object) -> object:
    is_formula = isinstance(cell, str) and cell.startswith(_BEGINS_A_FORMULA) and cell not in _ALONE
    return f"'{cell}" if is_formula else cell
