"""Two languages: English sentences in the code are the keys, Chinese stands in `locale/zh/*.po`, one file a slice.

`python -m web.i18n update` looks through all packages and templates and adds what is missing to the right file.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from gettext import NullTranslations
from pathlib import Path
from types import MappingProxyType
from typing import Any

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po
from jinja2 import pass_context
from jinja2.ext import babel_extract
from jinja2.runtime import Context

from domain.durations import clock
from domain.sentences import N_, Sentence
from domain.shares import percent

LANGUAGES = ("zh", "en")
DEFAULT_LANGUAGE = "zh"
HERE = Path(__file__).parent
ROOT = HERE.parent
LOCALE = HERE / "locale"
PACKAGES = ("domain", "commands", "projections", "web", "gpu_worker", "infra")
SLICES = (
    "api_tokens",
    "mes_feed",
    "overview", "users", "industries", "environments", "task_types", "compute_resources", "datasets", "model_images", "models",
    "locked_paths",
    "uploads", "training_jobs", "prediction_jobs", "comparisons",
    "evaluation_reports", "audit", "sign_in", "training_wizard", "gpu_worker",
)  # fmt: skip
"""Slices with a catalogue of their own; everything else is in `base.po`."""
PARTS_OF_SLICES: Mapping[str, str] = MappingProxyType(
    {
        "data_paths": "datasets",
        "dataset_kinds": "datasets",
        "environment_changes": "environments",
        "prediction_kinds": "prediction_jobs",
        "prediction_wizard": "prediction_jobs",
        "provenance": "audit",
        "training_curves": "training_jobs",
        "training_lines": "training_jobs",
        "training_monitor": "training_jobs",
        "typed_paths": "datasets",
    }
)
"""Modules that hold a part of a slice under a name of their own."""
HTML_OPTIONS = {"trimmed": "true", "silent": "false", "extensions": "jinja2.ext.do"}
KEYWORDS = {"N_": None, "gettext": None, "_": None, "ngettext": (1, 2)}
_DAY = 86400


class Translations(NullTranslations):
    """The merged catalogues of one language; what has no translation is shown in English."""

    def __init__(self, language: str, texts: dict[str, tuple[str, ...]]) -> None:
        super().__init__()
        self.language, self._texts = language, texts

    def gettext(self, message: str) -> str:
        """The text in this language."""
        found = self._texts.get(message)
        return found[0] if found else message

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        """One or many; Chinese has one form for both."""
        found = self._texts.get(msgid1)
        return found[0 if len(found) == 1 or n == 1 else -1] if found else (msgid1 if n == 1 else msgid2)

    def sentence(self, sentence: Sentence | str) -> str:
        """A sentence with its places filled in."""
        if isinstance(sentence, str):
            return self.gettext(sentence)
        values = {
            name: self.sentence(value) if isinstance(value, Sentence) else value
            for name, value in sentence.values.items()
        }
        return self.gettext(sentence.text).format(**_written(values))


@cache
def translations(language: str) -> Translations:
    """The catalogues of a language, read once."""
    texts: dict[str, tuple[str, ...]] = {}
    for catalogue in catalogues(language).values():
        for message in catalogue:
            if message.id and not message.fuzzy and all(forms := _forms(message.string)):
                texts[_key(message)] = forms
    return Translations(language, texts)


def translate(sentence: Sentence | str, language: str) -> str:
    """A sentence in the reader's language."""
    return translations(language).sentence(sentence)


def catalogues(language: str, locale: Path = LOCALE) -> dict[str, Catalog]:
    """Every catalogue of a language by its slice."""
    found = {}
    for path in sorted((locale / language).glob("*.po")):
        with path.open("rb") as file:
            found[path.stem] = read_po(file, locale=language)
    return found


# How values are shown. Stored times are UTC; people read the time of the server's zone.


def local_time(moment: datetime | None) -> str:
    """`2026-03-01 08:30`, in the zone of the server."""
    return "—" if moment is None else _aware(moment).astimezone().strftime("%Y-%m-%d %H:%M")


def local_time_with_seconds(moment: datetime | None) -> str:
    """`2026-03-01 08:30:59`, in the zone of the server."""
    return "—" if moment is None else _aware(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def iso_time(moment: datetime) -> str:
    """For the `datetime` attribute of `<time>`."""
    return _aware(moment).isoformat(timespec="seconds")


def number(value: float | None, digits: int = 0) -> str:
    """`12,345`; None is “—”."""
    return "—" if value is None else f"{value:,.{digits}f}"


def counting(ngettext: Callable[..., str]) -> Callable[..., str]:
    """Jinja's function for one and many, with counts in sentences written as they are anywhere else."""

    @pass_context
    def counted(context: Context, one: str, many: str, count: int, /, **values: object) -> str:
        return ngettext(context, one, many, count, **_written({"num": count, **values}))

    return counted


def significant(value: float | None, digits: int = 4) -> str:
    """A loss or a rate: `0.0012`, `1.2e-07`; None is “—”."""
    return "—" if value is None else f"{value:.{digits}g}"


def points(difference: float | None, digits: int = 1) -> str:
    """A difference of shares in percentage points: `+1.5`, `−0.3`, `±0.0`; None is “—”."""
    if difference is None:
        return "—"
    rounded = round(difference * 100, digits)
    sign = "+" if rounded > 0 else "−" if rounded < 0 else "±"
    return f"{sign}{abs(rounded):.{digits}f}"


def byte_size(size: float | None) -> str:
    """`1.4 GiB`."""
    if size is None:
        return "—"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def duration(seconds: float | None, language: str = "en") -> str:
    """`00:01:30`, `2 d 03:00:00`; the day in the reader's language."""
    if seconds is None:
        return "—"
    days, rest = divmod(int(seconds), _DAY)
    written = clock(rest)
    return translate(Sentence(N_("{days} d {clock}"), {"days": days, "clock": written}), language) if days else written


FILTERS = {
    "time": local_time,
    "time_with_seconds": local_time_with_seconds,
    "iso": iso_time,
    "number": number,
    "points": points,
    "significant": significant,
    "percent": percent,
    "bytes": byte_size,
    "duration": duration,
}


# The catalogues against the code.


def extracted(root: Path = ROOT) -> dict[str, set[str]]:
    """Every text for people, with the slices it occurs in; one and many of a plural stand with a NUL between them."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in _sources(root):
        method: Any = babel_extract if path.suffix == ".html" else "python"
        options: dict[str, Any] = HTML_OPTIONS if path.suffix == ".html" else {}
        with path.open("rb") as file:
            for _line, text, _comments, _context in extract(method, file, keywords=KEYWORDS, options=options):
                found["\x00".join(text) if isinstance(text, tuple) else text].add(slice_of(path.relative_to(root)))
    return found


def slice_of(path: Path) -> str:
    """`web/templates/users/list.html` and `domain/users.py` belong to users; what belongs to no slice, to base.

    What a worker says has a catalogue of its own.
    """
    if path.parts[0] == "gpu_worker":
        return "gpu_worker"
    folder = path.parent.name  # `domain/audit/told.py` belongs to the audit, too
    name = folder if folder in SLICES else PARTS_OF_SLICES.get(path.stem, path.stem)
    return name if name in SLICES else "base"


def places(text: str) -> set[str]:
    """The named places of a text: `{name}` in sentences, `%(name)s` in templates."""
    found = re.findall(r"\{(\w+)\}|%\((\w+)\)s", text.replace("{{", "").replace("%%", ""))
    return {in_sentence or in_template for in_sentence, in_template in found}


def update(only: Collection[str] = (), root: Path = ROOT, locale: Path = LOCALE) -> int:
    """Add what the code says and the Chinese catalogues lack, without a translation; how many texts that were.

    `only` names the catalogues to be touched; all of them where it is empty.
    """
    known = {_key(message) for catalogue in catalogues("zh", locale).values() for message in catalogue if message.id}
    missing: dict[str, list[str]] = defaultdict(list)
    for text, slices in extracted(root).items():
        if text.split("\x00")[0] not in known:
            missing[next(iter(slices)) if len(slices) == 1 else "base"].append(text)
    chosen = {name: texts for name, texts in missing.items() if not only or name in only}
    for name, texts in chosen.items():
        path = locale / "zh" / f"{name}.po"
        catalogue = catalogues("zh", locale).get(name) or Catalog(locale="zh", project="Assay", charset="utf-8")
        for text in texts:
            catalogue.add(tuple(text.split("\x00")) if "\x00" in text else text)
        write(catalogue, path)
    return sum(map(len, chosen.values()))


def write(catalogue: Catalog, path: Path) -> None:
    """A catalogue as we keep it: no header full of dates, nothing that changes by itself, long lines kept whole."""
    with path.open("wb") as file:
        file.write(
            b'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\nPlural-Forms: nplurals=1; plural=0;\\n"\n\n'
        )
        write_po(file, catalogue, width=0, omit_header=True, no_location=True)


def _sources(root: Path) -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((root / package).rglob("*.py"))
    yield from sorted((root / "web" / "templates").rglob("*.html"))


def _written(values: Mapping[str, Any]) -> dict[str, Any]:
    """What fills the places of a sentence; counts are grouped like figures."""
    return {name: number(value) if isinstance(value, int) else value for name, value in values.items()}


def _key(message: Message) -> str:
    return str(message.id[0]) if isinstance(message.id, (list, tuple)) else str(message.id)


def _forms(text: str | Iterable[str] | None) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text or [""])


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


if __name__ == "__main__":
    if sys.argv[1:2] != ["update"]:
        sys.exit("usage: python -m web.i18n update [catalogue …]")
    sys.stdout.write(f"{update(sys.argv[2:])} new texts; look for empty msgstr in web/locale/zh/*.po\n")
