"""Lists whose order, page, filters and search stand in the address: D-6, T-3, I-5, V-2, P-2, U-2."""

import re

import pytest

from tests.web.site import Site
from web.forms import Form
from web.listing import ROWS_ON_A_PAGE, read_listing
from web.pages import TEMPLATES

FILTER_FORM = re.compile(r"{% call tables\.filters\(.*?{% endcall %}", re.DOTALL)
LISTS = sorted(path for path in TEMPLATES.glob("*/*.html") if FILTER_FORM.search(path.read_text()))


def test_a_lists_order_and_page_are_read_from_its_address() -> None:  # D-6
    form = Form.of(sort="-image_count", page="3", name="panel a")
    listing = read_listing("/datasets/training", form, columns=("name", "image_count"), default="-changed_at").of(100)
    assert (listing.sort, listing.page, listing.offset) == ("-image_count", 3, 2 * ROWS_ON_A_PAGE)
    assert (listing.first, listing.last, listing.page_count) == (41, 60, 5)
    assert listing.page_address(4) == "/datasets/training?sort=-image_count&name=panel+a&page=4"
    assert listing.page_address(1) == "/datasets/training?sort=-image_count&name=panel+a"
    assert listing.sort_address("image_count") == "/datasets/training?name=panel+a&sort=image_count"
    assert listing.sort_address("name") == "/datasets/training?name=panel+a&sort=name"
    assert listing.direction_of("image_count") == "descending"
    assert listing.direction_of("name") == "none"


def test_another_order_or_page_keeps_the_filters_and_the_search() -> None:  # D-6
    listing = read_listing("/x", Form.of(level_1="f", level_2="", search="面板 a&b", page="7"), columns=("name",)).of(
        900
    )
    assert listing.sort_address("name") == "/x?level_1=f&search=%E9%9D%A2%E6%9D%BF+a%26b&sort=name", "from page 1 on"
    assert listing.page_address(8) == "/x?level_1=f&search=%E9%9D%A2%E6%9D%BF+a%26b&page=8"


@pytest.mark.parametrize("page", ["0", "-1", "x", "", "99999999999", "²"])
def test_a_page_that_is_none_is_the_first(page: str) -> None:
    assert read_listing("/users", Form.of(page=page)).page == 1


def test_an_order_that_is_not_offered_is_the_default_one() -> None:
    form = Form.of(sort="password_hash; DROP TABLE users")
    assert read_listing("/users", form, columns=("name",), default="-created_at").sort == "-created_at"


def test_a_page_behind_the_end_is_the_last() -> None:
    assert read_listing("/users", Form.of(page="9")).of(41).page == 3
    assert read_listing("/users", Form.of(page="9")).of(0).page == 1


def test_paging_shows_first_last_and_neighbours() -> None:
    assert read_listing("/users", Form.of(page="10")).of(400).near_pages == (1, 0, 8, 9, 10, 11, 12, 0, 20)
    assert read_listing("/users", Form.of(page="1")).of(41).near_pages == (1, 2, 3)


def test_there_are_lists_to_look_at() -> None:
    assert {path.parent.name for path in LISTS} >= {"datasets", "model_images", "models", "training_jobs", "users"}


@pytest.mark.parametrize("template", LISTS, ids=lambda path: path.parent.name)
def test_a_new_filter_keeps_the_order_and_begins_on_the_first_page(template: object) -> None:  # D-6
    path = TEMPLATES / str(template)
    [form] = FILTER_FORM.findall(path.read_text())
    is_sorted = any("tables.sort(" in part.read_text() for part in path.parent.glob("*.html"))
    assert ('name="sort"' in form) is is_sorted
    assert 'name="page"' not in form
    assert re.search(r'tables\.search\("(\w+)", .*page\.(form\.value\("\1"\)|search)\)', form), (
        "it shows what was searched for"
    )


def test_a_search_for_what_no_text_can_hold_finds_it_left_out(site: Site) -> None:
    assert site.get("/users?search=%00&page=%00").status_code == 200
    site.post("/users/new", username="trainer\0_zhao", password="Secret1", role="model_trainer")
    assert site.assay.commands[0].username == "trainer_zhao"
