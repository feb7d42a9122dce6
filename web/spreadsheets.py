"""Tables that people open in a spreadsheet."""

import csv
import io
from tempfile import TemporaryFile
from typing import IO

_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_ALONE = frozenset({"-", "+"})


class Spreadsheet:
    """Rows as CSV, on disk meanwhile, for a million rows are some hundred megabytes.

    A text in which a spreadsheet would see a formula stands behind an apostrophe; it could read other cells, call other hosts or
    start programs. Source: OWASP, “CSV Injection”.
    """

    def __init__(self, *columns: str) -> None:
        self._content = TemporaryFile()  # noqa: SIM115 - who takes it closes it
        # The mark in front tells a spreadsheet that it is UTF-8.
        self._text = io.TextIOWrapper(self._content, encoding="utf-8-sig", newline="")
        self._rows = csv.writer(self._text)
        self.add(*columns)

    def add(self, *cells: object) -> None:
        """A row; numbers stay numbers."""
        self._rows.writerow([_harmless(cell) for cell in cells])

    def finished(self) -> IO[bytes]:
        """All of it, to be read and closed. No more rows can be added."""
        self._text.detach()
        self._content.seek(0)
        return self._content


def _harmless(cell: object) -> object:
    is_formula = isinstance(cell, str) and cell.startswith(_BEGINS_A_FORMULA) and cell not in _ALONE
    return f"'{cell}" if is_formula else cell
