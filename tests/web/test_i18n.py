"""How values and sentences are shown."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.sentences import Sentence
from domain.shares import percent
from web.i18n import (
    byte_size,
    duration,
    extracted,
    iso_time,
    local_time,
    local_time_with_seconds,
    number,
    places,
    significant,
    slice_of,
    translate,
    translations,
    update,
)
from web.pages import templates

TAKEN = Sentence("The name “{name}” is taken. Choose another one.", {"name": "panel-a"})


@pytest.fixture
def shanghai() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Asia/Shanghai"
    time.tzset()
    yield
    os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
    time.tzset()


def test_a_sentence_comes_in_the_readers_language() -> None:
    assert translate(TAKEN, "zh") == "名称“panel-a”已被使用，请换一个名称。"
    assert translate(TAKEN, "en") == "The name “panel-a” is taken. Choose another one."


def test_a_sentence_without_a_translation_is_shown_in_english() -> None:
    assert translate("Nobody has translated this", "zh") == "Nobody has translated this"


def test_chinese_has_one_form_for_one_and_many() -> None:
    chinese = translations("zh")
    assert chinese.ngettext("%(count)s user", "%(count)s users", 1) == chinese.ngettext(
        "%(count)s user", "%(count)s users", 5
    )


def test_english_tells_one_from_many() -> None:
    english = translations("en")
    assert english.ngettext("%(count)s user", "%(count)s users", 1) == "%(count)s user"
    assert english.ngettext("%(count)s user", "%(count)s users", 2) == "%(count)s users"


@pytest.mark.usefixtures("shanghai")
def test_times_are_stored_in_utc_and_shown_in_the_zone_of_the_server() -> None:
    moment = datetime(2026, 3, 1, 16, 30, 59, tzinfo=UTC)
    assert local_time(moment) == "2026-03-02 00:30"
    assert local_time_with_seconds(moment) == "2026-03-02 00:30:59"
    assert iso_time(moment) == "2026-03-01T16:30:59+00:00"


def test_what_is_absent_is_a_dash_and_never_a_zero() -> None:
    for shown in (local_time, local_time_with_seconds, number, significant, percent, byte_size, duration):
        assert shown(None) == "—"


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (3 << 40, "3.0 TiB")]
)
def test_sizes_have_a_unit(size: int, text: str) -> None:
    assert byte_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "00:00:00"), (90.9, "00:01:30"), (86399, "23:59:59"), (90061, "1 d 01:01:01")]
)
def test_durations_are_clocks(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_days_are_told_in_the_readers_language() -> None:
    assert duration(183600, "zh") == "2 天 03:00:00"
    assert templates("zh").from_string("{{ 183600 | duration }}").render() == "2 天 03:00:00"
    assert templates("en").from_string("{{ 183600 | duration }}").render() == "2 d 03:00:00"


def test_figures_are_grouped_and_rounded() -> None:
    assert number(1234567) == "1,234,567"
    assert percent(0.97549) == "97.5 %"
    assert significant(0.000123456) == "0.0001235"


def test_counts_in_sentences_are_grouped_like_figures() -> None:
    one_or_many = "{% trans count=users %}{{ count }} user{% pluralize %}{{ count }} users{% endtrans %}"
    for users, chinese, english in ((1, "共 1 个用户", "1 user"), (12345, "共 12,345 个用户", "12,345 users")):
        assert templates("zh").from_string(one_or_many).render(users=users) == chinese
        assert templates("en").from_string(one_or_many).render(users=users) == english
    assert (
        templates("en").from_string('{{ ngettext("%(num)s user", "%(num)s users", 1000) }}').render() == "1,000 users"
    )
    assert (
        translate(Sentence("Ticked: {count} of {share}", {"count": 12345, "share": 0.5}), "en")
        == "Ticked: 12,345 of 0.5"
    )


def test_places_are_found_in_sentences_and_templates() -> None:
    assert places("“{name}” has {count} images, {{not this}}") == {"name", "count"}
    assert places("%(first)s–%(last)s of %(total)s") == {"first", "last", "total"}


def test_a_text_belongs_to_the_slice_whose_file_says_it() -> None:
    assert slice_of(Path("web/templates/users/list.html")) == "users"
    assert slice_of(Path("domain/users.py")) == "users"
    assert slice_of(Path("domain/audit/told.py")) == "audit"
    assert slice_of(Path("web/training_lines.py")) == "training_jobs"
    assert slice_of(Path("gpu_worker/training.py")) == "gpu_worker"
    assert slice_of(Path("web/templates/_forms.html")) == "base"
    assert slice_of(Path("domain/names.py")) == "base"


def test_texts_are_found_in_code_and_templates_and_added_to_the_right_catalogue(tmp_path: Path) -> None:
    (tmp_path / "domain").mkdir()
    (tmp_path / "domain" / "users.py").write_text('message = N_("A user is " "never lost.")\n')
    (tmp_path / "web" / "templates" / "users").mkdir(parents=True)
    (tmp_path / "web" / "templates" / "users" / "list.html").write_text(
        '{% trans count=2 %}{{ count }} lost user{% pluralize %}{{ count }} lost users{% endtrans %}{{ _("Find") }}'
    )
    assert extracted(tmp_path) == {
        "A user is never lost.": {"users"},
        "%(count)s lost user\x00%(count)s lost users": {"users"},
        "Find": {"users"},
    }
    (tmp_path / "locale" / "zh").mkdir(parents=True)
    assert update(root=tmp_path, locale=tmp_path / "locale") == 3
    written = (tmp_path / "locale" / "zh" / "users.po").read_text()
    assert 'msgid "A user is never lost."\nmsgstr ""' in written
    assert 'msgid_plural "%(count)s lost users"' in written
    assert update(root=tmp_path, locale=tmp_path / "locale") == 0
