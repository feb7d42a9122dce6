"""Tables that people open in a spreadsheet."""

import csv
import io
import re
from tempfile import TemporaryFile
from typing import IO

_BEGINS_A_FORMULA = re.compile(r"(?:^|(?<=;))(?=[-=+@\t\r\n＝＋－＠])")
"""Also behind a semicolon, at which spreadsheets part cells where the comma is the decimal sign, whether we quote them or not."""
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
    return _BEGINS_A_FORMULA.sub("'", cell) if isinstance(cell, str) and cell not in _ALONE else cell
