"""Lists whose order, page and filters stand in the address, so that they can be kept, sent and come back to."""

from collections.abc import Iterable
from urllib.parse import urlencode

import msgspec

from web.forms import Form, number_or_none

ROWS_ON_A_PAGE = 20


class Listing(msgspec.Struct, frozen=True):
    """What the address says of a list, and how long the list is. `sort` is a column, with `-` before it for descending;
    `rows` is how many stand on a page.
    """

    path: str
    fields: tuple[tuple[str, str], ...]
    sort: str
    page: int
    total: int = 0
    rows: int = ROWS_ON_A_PAGE

    @property
    def offset(self) -> int:
        """Rows before this page."""
        return (self.page - 1) * self.rows

    @property
    def page_count(self) -> int:
        """At least one."""
        return max(1, -(-self.total // self.rows))

    @property
    def first(self) -> int:
        """The number of the first row shown, from 1."""
        return min(self.offset + 1, self.total)

    @property
    def last(self) -> int:
        """The number of the last row shown."""
        return min(self.offset + self.rows, self.total)

    @property
    def near_pages(self) -> tuple[int, ...]:
        """First, last and the neighbours; 0 stands for a gap."""
        wanted = sorted({1, self.page_count, *range(max(1, self.page - 2), min(self.page_count, self.page + 2) + 1)})
        gaps = [
            (0, number) if number - before > 1 else (number,)
            for before, number in zip([0, *wanted], wanted, strict=False)
        ]
        return tuple(number for group in gaps for number in group)

    def direction_of(self, key: str) -> str:
        """For `aria-sort`."""
        return {key: "ascending", f"-{key}": "descending"}.get(self.sort, "none")

    def sort_address(self, key: str) -> str:
        """The list in the order of a column; once more turns it round."""
        return self._address(sort=f"-{key}" if self.sort == key else key, page="")

    def page_address(self, page: int) -> str:
        """Another page of the same list."""
        return self._address(page=str(page) if page > 1 else "")

    def leading_back(self, address: str) -> str:
        """A page about one of the rows, from which the way leads back to this very part of the list."""
        here = self.page_address(self.page)
        return address if here == self.path else with_question(address, [("back", here)])

    def without(self, *names: str) -> str:
        """The list without some of its filters."""
        return self._address(**dict.fromkeys(names, ""), page="")

    def of(self, total: int) -> "Listing":
        """The same, knowing how many rows there are; a page behind the end becomes the last one."""
        known = msgspec.structs.replace(self, total=total)
        return msgspec.structs.replace(known, page=min(self.page, known.page_count))

    def _address(self, **changes: str) -> str:
        kept = [(name, value) for name, value in self.fields if name not in changes and value]
        fields = kept + [(name, value) for name, value in changes.items() if value]
        return with_question(self.path, fields)


def way_back(form: Form, path: str) -> str:
    """The part of the list at `path` where one came from; its beginning where one came from elsewhere."""
    wanted = form.text("back")
    return wanted if wanted.startswith(f"{path}?") and wanted.isprintable() else path


def with_question(path: str, fields: Iterable[tuple[str, str]]) -> str:
    """An address with its fields, plain where there are none."""
    asked = urlencode(tuple(fields))
    return f"{path}?{asked}" if asked else path


def read_listing(
    path: str, form: Form, *, columns: tuple[str, ...] = (), default: str = "", rows: int = ROWS_ON_A_PAGE
) -> Listing:
    """What a list's address asks for; unknown columns and pages fall back to the first page in the default order."""
    sort = form.text("sort")
    page = number_or_none(form.text("page")) or 1
    return Listing(
        path,
        form.fields,
        sort if sort.removeprefix("-") in columns else default,
        page if page < 1_000_000 else 1,
        rows=rows,
    )
