"""Every text can be read on its ground, in both themes: WCAG AA, 4.5 to 1 for text, 3 to 1 for edges of fields."""

import re

import pytest

from web.pages import STATIC

STYLES = (STATIC / "app.css").read_text()
VARIABLES = re.compile(r"--([\w-]+): (#[0-9a-f]{6})")
MIXTURES = re.compile(r"--([\w-]+): color-mix\(in srgb, var\(--([\w-]+)\) (\d+)%, var\(--([\w-]+)\)\)")
HEAT = re.compile(
    r"\.((?:right|wrong)-\d) \{ background: color-mix\(in srgb, var\(--([\w-]+)\) (\d+)%, var\(--([\w-]+)\)\)"
)
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
    *[(text, ground) for text in ("text", "text-soft", "accent", "bad") for ground in ("hover", "head", "accent-soft")],
    *[("text", f"{verdict}-{step}") for verdict in ("right", "wrong") for step in range(1, 6)],
    ("bad-strong", "bad-soft"),
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
EDGES = [
    ("line-field", "field"),
    ("line-field", "panel"),
    *[("accent", ground) for ground in ("ground", "panel", "field", "hover", "accent-soft")],  # the ring of the focus
    *[(f"line-{number}", "panel") for number in range(1, 5)],
]


def themes() -> dict[str, dict[str, str]]:
    light, dark = (
        re.search(r":root \{(.*?)\n\}", STYLES, re.DOTALL),
        re.search(r"prefers-color-scheme: dark\) \{(.*?)\n\}", STYLES, re.DOTALL),
    )
    assert light
    assert dark
    day = dict(VARIABLES.findall(light[1]))
    return {"light": mixed(day), "dark": mixed(day | dict(VARIABLES.findall(dark[1])))}


def mixed(colours: dict[str, str]) -> dict[str, str]:
    """The colours with those that the sheet mixes of two of them: grounds of rows, and the heat of the confusion matrix."""
    made = {}
    for name, one, percent, other in MIXTURES.findall(STYLES) + HEAT.findall(STYLES):
        pairs = zip(channels(colours[one]), channels(colours[other]), strict=True)
        made[name] = "#" + "".join(
            f"{round(a * int(percent) / 100 + b * (1 - int(percent) / 100)):02x}" for a, b in pairs
        )
    assert {"hover", "head", "right-5", "wrong-5"} <= set(made)
    return colours | made


def channels(colour: str) -> list[int]:
    """`#ff8000` as red, green and blue of 0 to 255."""
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def luminance(colour: str) -> float:
    """Source: WCAG 2.2, “relative luminance”."""
    shares = [channel / 255 for channel in channels(colour)]
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in shares)
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
