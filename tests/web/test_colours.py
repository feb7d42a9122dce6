"""Every text can be read on its ground, in both themes: WCAG AA, 4.5 to 1 for text, 3 to 1 for edges of fields."""

import re

import pytest

from web.pages import STATIC

STYLES = (STATIC / "app.css").read_text()
VARIABLES = re.compile(r"--([\w-]+): (#[0-9a-f]{6})")
BADGES = [(name, f"{name}-soft") for name in ("good", "bad", "waiting", "running", "special", "neutral")]
TEXTS = [
    *[
        (text, ground)
        for text in ("text", "text-soft")
        for ground in ("ground", "panel", "panel-raised", "field", "neutral-soft")
    ],
    *[
        (text, ground)
        for text in ("accent", "accent-strong", "bad", "bad-strong")
        for ground in ("ground", "panel", "panel-raised")
    ],
    *BADGES,
    ("on-accent", "accent"),
    ("on-accent", "accent-strong"),
    ("panel", "bad"),
    ("panel", "bad-strong"),
    ("accent-strong", "accent-soft"),
    ("text", "accent-soft"),
    *[
        (text, ground)
        for text in ("menu-text", "menu-strong", "menu-soft")
        for ground in ("menu", "menu-hover", "menu-current")
        if (text, ground) != ("menu-soft", "menu-current")
    ],
]
EDGES = [("line-field", "field"), ("line-field", "panel"), *[(f"line-{number}", "panel") for number in range(1, 5)]]


def themes() -> dict[str, dict[str, str]]:
    light, dark = (
        re.search(r":root \{(.*?)\n\}", STYLES, re.DOTALL),
        re.search(r"prefers-color-scheme: dark\) \{(.*?)\n\}", STYLES, re.DOTALL),
    )
    assert light
    assert dark
    day = dict(VARIABLES.findall(light[1]))
    return {"light": day, "dark": day | dict(VARIABLES.findall(dark[1]))}


def luminance(colour: str) -> float:
    """Source: WCAG 2.2, “relative luminance”."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_computed_as_the_standard_says() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_on_its_ground(theme: str) -> None:  # S-4
    colours = themes()[theme]
    weak = {pair: round(ratio, 2) for pair in TEXTS if (ratio := contrast(*(colours[name] for name in pair))) < 4.5}
    assert not weak


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_edges_of_fields_and_lines_of_charts_can_be_seen(theme: str) -> None:  # S-4
    colours = themes()[theme]
    weak = {pair: round(ratio, 2) for pair in EDGES if (ratio := contrast(*(colours[name] for name in pair))) < 3}
    assert not weak
