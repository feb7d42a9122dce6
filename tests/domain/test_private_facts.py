"""What is named like a secret never leaves the service. Source: REQUIREMENTS, E-6."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

import domain
from domain.facts import FACTS, Fact

for module in pkgutil.iter_modules(domain.__path__):
    importlib.import_module(f"domain.{module.name}")

SECRET = re.compile(r"password|passwd|secret|token|hash|cookie|session|api_?key|credential", re.IGNORECASE)


def field_names(struct: type[msgspec.Struct], seen: set[type]) -> Iterator[str]:
    """Of a struct and of every struct inside it."""
    if struct in seen:
        return
    seen.add(struct)
    for field in msgspec.structs.fields(struct):
        yield field.name
        for inner in structs_in(field.type):
            yield from field_names(inner, seen)


def structs_in(annotation: Any) -> Iterator[type[msgspec.Struct]]:
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from structs_in(part)


@pytest.mark.parametrize("fact_type", FACTS.values(), ids=FACTS)
def test_fields_named_like_a_secret_are_private(fact_type: type[Fact]) -> None:  # E-6
    named_like_a_secret = {name for name in field_names(fact_type, set()) if SECRET.search(name)}
    assert named_like_a_secret <= fact_type.PRIVATE


def test_the_hashes_of_passwords_are_among_them() -> None:  # E-6
    assert {topic for topic, fact_type in FACTS.items() if "password_hash" in fact_type.PRIVATE} == {
        "user.created",
        "user.password_changed",
    }


@pytest.mark.parametrize("fact_type", FACTS.values(), ids=FACTS)
def test_what_is_private_is_a_field(fact_type: type[Fact]) -> None:
    assert set(fact_type.PRIVATE) <= set(fact_type.__struct_fields__)
