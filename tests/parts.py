"""Real parts of the machine that some tests need."""

import os

import pytest


def require(part: str, *, present: object, how_to_get_it: str) -> None:
    """Skip this test with one line when the part is missing; with `ASSAY_TESTS_REQUIRE=all` fail instead."""
    if present:
        return
    missing = f"{part} is missing on this machine: {how_to_get_it}"
    if os.environ.get("ASSAY_TESTS_REQUIRE") == "all":
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing)
