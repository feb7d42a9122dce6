"""What keeps a page usable by keyboard and screen reader, as far as its text alone can tell.

Source: REQUIREMENTS, S-4; WCAG 2.2, A and AA.

`tests.web.site.Site` asks this of every page that any test of tests/web is shown.
"""

from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser

VOID = frozenset({"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"})
FIELDS = frozenset({"input", "select", "textarea"})
NEED_NO_LABEL = frozenset({"hidden", "submit", "button", "image", "reset"})
NEED_A_NAME = frozenset({"nav", "progress", "dialog"})
REFERENCES = ("for", "aria-labelledby", "aria-describedby", "aria-controls")


class Element:
    """A tag with what stands inside."""

    def __init__(self, tag: str, attributes: dict[str, str], parent: "Element | None") -> None:
        self.tag, self.attributes, self.parent = tag, attributes, parent
        self.inside: list[Element | str] = []

    def all(self) -> "Iterator[Element]":
        """This and everything below, in reading order; what a template keeps for later is not on the page."""
        yield self
        for one in self.inside:
            if isinstance(one, Element) and one.tag != "template":
                yield from one.all()

    def above(self) -> "Iterator[Element]":
        """What this stands in, from the inside out."""
        element = self.parent
        while element is not None:
            yield element
            element = element.parent

    @property
    def text(self) -> str:
        """What is read aloud of the inside."""
        said = [one if isinstance(one, str) else one.attributes.get("alt", "") + one.text for one in self.inside]
        return " ".join(" ".join(said).split())

    @property
    def is_silent(self) -> bool:
        """Whether it is kept from those who listen."""
        return any(one.attributes.get("aria-hidden") == "true" for one in (self, *self.above()))

    def __str__(self) -> str:
        return f"<{self.tag} {' '.join(f'{name}={value!r}' for name, value in self.attributes.items())}>"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = self.at = Element("", {}, None)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, self.at)
        self.at.inside.append(element)
        if tag not in VOID:
            self.at = element

    def handle_endtag(self, tag: str) -> None:
        for element in (self.at, *self.at.above()):
            if element.tag == tag and element.parent is not None:
                self.at = element.parent
                return

    def handle_data(self, data: str) -> None:
        self.at.inside.append(data)


def read(page: str) -> Element:
    """The page as a tree."""
    reader = _Reader()
    reader.feed(page)
    return reader.root


def complaints(page: str) -> list[str]:
    """Everything that is wrong with a whole page, in words."""
    elements = list(read(page).all())
    ids = Counter(one.attributes["id"] for one in elements if "id" in one.attributes)
    labels = {one.attributes["for"] for one in elements if one.tag == "label" and "for" in one.attributes}
    found = [f"the id {name!r} stands {count} times" for name, count in ids.items() if count > 1]
    for element in elements:
        found += [
            f"{element}: nothing has the id {name!r} of {of}" for of, name in _references(element) if name not in ids
        ]
        found += _complaints_of(element, labels)
    html = next((one for one in elements if one.tag == "html"), None)
    if html is None or html.attributes.get("lang") not in {"zh-CN", "en"}:
        found.append("the page does not say its language")
    if sum(one.tag == "h1" for one in elements) != 1:
        found.append("the page has not exactly one heading of the first level")
    if not any(one.tag == "title" and one.text for one in elements):
        found.append("the page has no title")
    return found


def _references(element: Element) -> Iterator[tuple[str, str]]:
    for of in REFERENCES:
        for name in element.attributes.get(of, "").split():
            yield of, name


def _complaints_of(element: Element, labels: set[str]) -> Iterator[str]:
    if element.is_silent:
        return
    for is_wrong, told in (
        (element.tag in FIELDS and not _has_label(element, labels), "a field without a label"),
        (element.tag in {"a", "button", "summary"} and not _name(element), "nothing says what it does"),
        (element.tag == "img" and "alt" not in element.attributes, "a picture without a text in its place"),
        (element.tag == "table" and not _has(element, "caption"), "a table without a caption"),
        (element.tag == "fieldset" and not _has(element, "legend"), "a group of fields without a legend"),
        (
            element.tag == "th" and element.attributes.get("scope") not in {"col", "row", "colgroup"},
            "it does not say of what",
        ),
        (element.tag in NEED_A_NAME and not _name(element, from_inside=False), "nothing says what it is of"),
        (element.attributes.get("tabindex", "0") not in {"0", "-1"}, "the order of the keyboard is that of the page"),
    ):
        if is_wrong:
            yield f"{element}: {told}"


def _has(element: Element, tag: str) -> bool:
    return any(one.tag == tag and one.text for one in element.all())


def _name(element: Element, *, from_inside: bool = True) -> str:
    said = element.attributes.get("aria-label") or element.attributes.get("aria-labelledby")
    return said or (element.text if from_inside else "")


def _has_label(field: Element, labels: set[str]) -> bool:
    return (
        field.attributes.get("type") in NEED_NO_LABEL
        or bool(_name(field, from_inside=False))
        or field.attributes.get("id") in labels
        or any(one.tag == "label" and one.text for one in field.above())
    )
