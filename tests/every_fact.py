"""One example of every fact there is, made from the types of its fields, so that a test over all of them forgets none."""

import enum
import importlib
import pkgutil
import types
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Union, get_args, get_origin
from uuid import UUID, uuid5

import msgspec

import domain
from domain.facts import FACTS, Fact

for module in pkgutil.iter_modules(domain.__path__):
    importlib.import_module(f"domain.{module.name}")

SECRET = "the-secret-that-nobody-may-see"
"""What stands in private fields of the examples."""


def example_of(fact_type: type[Fact]) -> Fact:
    """A fact with every field filled, also those that have a default."""
    values = _fields(fact_type, fact_type.__name__)
    return fact_type(**values | dict.fromkeys(fact_type.PRIVATE, SECRET))


FACT_TYPES: Mapping[str, type[Fact]] = {
    topic: fact_type for topic, fact_type in FACTS.items() if fact_type.__module__.startswith("domain.")
}
"""Every fact of the platform by its topic; tests of the log make some of their own."""


def every_fact() -> Mapping[str, Fact]:
    """An example of each, by its topic."""
    return {topic: example_of(fact_type) for topic, fact_type in FACT_TYPES.items()}


def _fields(struct: type[msgspec.Struct], seed: str) -> dict[str, Any]:
    return {field.name: _value(field.type, f"{seed}.{field.name}") for field in msgspec.structs.fields(struct)}


def _value(annotation: Any, seed: str) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _value(next(one for one in arguments if one is not type(None)), seed)
    if origin is tuple and arguments[-1:] == (...,):
        return (_value(arguments[0], f"{seed}1"), _value(arguments[0], f"{seed}2"))
    if origin is tuple:
        return tuple(_value(one, f"{seed}{number}") for number, one in enumerate(arguments))
    if origin is dict:
        return {}
    if origin is Annotated:
        return _value(arguments[0], seed)
    if issubclass(annotation, enum.Enum):
        return next(iter(annotation))
    if issubclass(annotation, msgspec.Struct):
        return annotation(**_fields(annotation, seed))
    plain: Mapping[type, Any] = {
        str: seed,
        int: 7,
        float: 0.5,
        bool: True,
        UUID: uuid5(UUID(int=3), seed),
        datetime: datetime(2026, 1, 2, tzinfo=UTC),
    }
    return plain[annotation]
