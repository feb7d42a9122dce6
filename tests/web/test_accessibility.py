"""What `Site` asks of every page it is shown is seen saying no here."""

import pytest

from tests.web.accessibility import complaints
from tests.web.site import Site

GOOD = """<!doctype html><html lang="en"><head><title>Users · Assay</title></head><body>
<nav aria-label="Menu"><a href="/users">Users</a></nav><main><h1>Users</h1>
<label for="name">Name</label><input id="name" aria-describedby="name-hint"><p id="name-hint">Any.</p>
<table><caption>Users</caption><tr><th scope="row">wang</th></tr></table><button aria-label="Close"></button>
<template><p id="name">later</p></template>
</main></body></html>"""


def test_a_page_as_it_should_be() -> None:  # S-4
    assert complaints(GOOD) == []


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (' lang="en"', "", "does not say its language"),
        ("<h1>Users</h1>", "", "not exactly one heading"),
        ("<title>Users · Assay</title>", "", "no title"),
        ('<label for="name">Name</label>', "", "a field without a label"),
        ('<p id="name-hint">', '<p id="name">', "the id 'name' stands 2 times"),
        ('<p id="name-hint">', "<p>", "nothing has the id 'name-hint'"),
        ("<caption>Users</caption>", "", "a table without a caption"),
        (' scope="row"', "", "it does not say of what"),
        (' aria-label="Close"', "", "nothing says what it does"),
        (' aria-label="Menu"', "", "nothing says what it is of"),
        ("<h1>", '<img src="/a.png"><h1>', "a picture without a text"),
        ("<h1>", "<fieldset><input aria-label='a'></fieldset><h1>", "a group of fields without a legend"),
        ("<h1>", "<progress></progress><h1>", "nothing says what it is of"),
        ("<button", '<button tabindex="3"', "the order of the keyboard"),
    ],
)
def test_what_is_wrong_is_told(before: str, after: str, told: str) -> None:  # S-4
    assert before in GOOD
    assert any(told in one for one in complaints(GOOD.replace(before, after, 1)))


def test_a_field_that_nobody_hears_needs_no_label() -> None:
    assert complaints(GOOD.replace("<h1>", '<div aria-hidden="true"><input tabindex="-1"></div><h1>')) == []


def test_every_page_that_is_shown_is_looked_at(site: Site) -> None:  # S-4
    site.get("/users")
    assert "/users" in site.looked_at
