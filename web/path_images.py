"""The images of a data path, one defect code at a time: of a dataset's path, and of one that a wizard has chosen. Source: D-9, W-5.

The partial is `datasets/_images_of_code.html`.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from domain.data_paths import Inspection
from domain.refusals import NotFound
from projections.datasets import DataPathRow
from web.forms import Form
from web.listing import Listing, read_listing
from web.pages import Page
from web.services import Services

IMAGES_ON_A_PAGE = 60


class ImagesOfCode(msgspec.Struct, frozen=True, kw_only=True):
    """One page of the images of a defect code (D-9); `images` are `infra.images.ListedImage`.

    `is_outdated`: the folder has changed since its images were counted.
    """

    defect_code: str
    images: tuple[Any, ...]
    listing: Listing
    is_outdated: bool


class PathImagesPage(Page, frozen=True):
    """The images of a chosen data path that is in no dataset, by defect code (D-9).

    `trail` are the pages above, title and address; the last one is the step.
    """

    TEMPLATE = "chosen_paths/images.html"
    path: Inspection
    shown: ImagesOfCode
    trail: tuple[tuple[str, str], ...]


def path_images(
    found: Sequence[Inspection],
    line: int,
    services: Services,
    form: Form,
    *,
    address: str,
    trail: tuple[tuple[str, str], ...],
) -> PathImagesPage:
    """The page behind the number of a line; `address` is the page's own.

    Raises:
        NotFound: there is no such line.
    """
    if not 1 <= line <= len(found):
        raise NotFound
    path = found[line - 1]
    return PathImagesPage(path=path, shown=images_of_code(path, services, form, address), trail=trail)


def images_of_code(path: Inspection | DataPathRow, services: Services, form: Form, address: str) -> ImagesOfCode:
    """The images that a page of a data path shows: those of the code that the address asks for, else of the first."""
    codes = [counted.defect_code for counted in path.defect_codes]
    defect_code = form.value("code") if form.value("code") in codes else next(iter(codes), "")
    listing = read_listing(address, form, rows=IMAGES_ON_A_PAGE)
    found = services.images.page(path.folder, defect_code, offset=listing.offset, count=IMAGES_ON_A_PAGE)
    if found.total and not found.images:  # a page behind the end becomes the last one
        listing = listing.of(found.total)
        found = services.images.page(path.folder, defect_code, offset=listing.offset, count=IMAGES_ON_A_PAGE)
    return ImagesOfCode(
        defect_code=defect_code,
        images=found.images,
        listing=listing.of(found.total),
        is_outdated=found.is_outdated,
    )
