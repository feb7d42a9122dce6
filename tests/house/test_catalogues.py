"""Every sentence for people exists in both languages. Source: REQUIREMENTS, the strings rule and S-4."""

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from web.i18n import LANGUAGES, LOCALE, catalogues, extracted, places, slice_of, translations

SAID = extracted()
SENTENCES = sorted(SAID)
CHINESE = re.compile(r"[\u3400-\u9fff]")
PLACES = re.compile(r"\{\w+\}|%\(\w+\)s")
WITHOUT_WORDS = re.compile(r"[^A-Za-z]*")
"""Punctuation between words may be the same in both languages."""


def messages(language: str) -> Iterator[tuple[str, str, tuple[str, ...], bool]]:
    """(catalogue, key, forms, is_fuzzy) of every entry but the header."""
    for name, catalogue in catalogues(language).items():
        for message in catalogue:
            if message.id:
                key = message.id if isinstance(message.id, str) else "\x00".join(message.id)
                forms = (message.string,) if isinstance(message.string, str) else tuple(message.string or ())
                yield name, key, forms, message.fuzzy


def test_the_code_says_something() -> None:
    assert len(SENTENCES) > 100
    assert "Sign in" in SENTENCES
    assert "“{email}” is not an e-mail address. Correct it, or leave the field empty." in SENTENCES


def test_every_sentence_has_a_chinese_translation() -> None:
    translated = {key for _, key, forms, is_fuzzy in messages("zh") if not is_fuzzy and all(forms)}
    missing = [text for text in SENTENCES if text not in translated]
    assert not missing, "run `make messages`, then translate in web/locale/zh/"


def test_no_catalogue_keeps_what_nobody_says() -> None:
    said = set(SENTENCES)
    unused = [f"{name}: {key}" for language in LANGUAGES for name, key, _, _ in messages(language) if key not in said]
    assert not unused


def test_no_sentence_stands_in_two_catalogues() -> None:
    counted = Counter(key for _, key, _, _ in messages("zh"))
    assert not [key for key, count in counted.items() if count > 1]


def test_each_sentence_lies_with_a_slice_that_says_it() -> None:
    """What several say may lie with one of them, or in `base.po`."""
    strays = [
        f"{name}: {key}"
        for name, key, _, _ in messages("zh")
        if name not in SAID[key] and not (name == "base" and len(SAID[key]) > 1)
    ]
    assert not strays


def test_translations_fill_the_same_places() -> None:
    wrong = [
        key
        for language in LANGUAGES
        for _, key, forms, _ in messages(language)
        for form in forms
        if form and places(form) != places(key)
    ]
    assert not wrong


def test_places_can_be_filled_in() -> None:
    for _, key, forms, _ in messages("zh"):
        for text in (key, *forms):
            if "%(" not in text:
                text.format(**dict.fromkeys(places(text), "x"))


def test_chinese_translations_are_chinese() -> None:
    letters = re.compile(r"[A-Za-z]{2}")
    wrong = [
        (key, form)
        for _, key, forms, _ in messages("zh")
        for form in forms
        if not CHINESE.search(form) and letters.search(PLACES.sub("", form)) and form != key
    ]
    assert not wrong


def test_english_sentences_are_english() -> None:
    wrong = [text for text in SENTENCES if CHINESE.search(text) or not text.replace("\x00", "").isprintable()]
    assert not wrong


def test_english_needs_no_catalogue_but_where_its_wording_differs() -> None:
    for _, key, forms, _ in messages("en"):
        assert all(forms), key
        assert not any(CHINESE.search(form) for form in forms)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_said_comes_out_in_the_language(language: str) -> None:
    catalogue = translations(language)
    foreign = []
    for text in SENTENCES:
        shown = PLACES.sub("", catalogue.gettext(text.split("\x00", maxsplit=1)[0]))
        if bool(CHINESE.search(shown)) is not (language == "zh") and not WITHOUT_WORDS.fullmatch(shown):
            foreign.append(text)
    assert not foreign


def test_each_slice_has_its_catalogue() -> None:
    for _, key, _, _ in messages("zh"):
        assert not key.startswith(" ")
        assert not key.endswith(" ") or WITHOUT_WORDS.fullmatch(key)
    for path in LOCALE.rglob("*.po"):
        assert slice_of(path) == path.stem, f"{path.stem} is no slice: web.i18n.SLICES"
