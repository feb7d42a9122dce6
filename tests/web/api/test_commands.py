"""Machines may ask for what people may ask for: no command is forgotten in the HTTP API. Source: REQUIREMENTS, K-5."""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import ClassVar

import web.api
from commands.api_tokens import CreateApiToken, RevokeApiToken
from commands.assay import HANDLERS, Command
from commands.unusable_reports import DismissUnusableReport, RetryUnusableReport
from domain.api_tokens import Area, area_of
from domain.permissions import Permission

LEFT_OUT: Mapping[type[Command], str] = {
    CreateApiToken: "a token that could make another one would outlive its own end; a person makes each, and sees it once",
    RevokeApiToken: "whoever holds a stolen token could lock out the machines that are not theirs; a person ends each",
}
"""What no machine can ask for, and why. What no person can ask for, workers' reports and housekeeping, is left out with its row
of the permission table.
"""
ASKED_BY_A_SERVICE: Mapping[type[Command], str] = {
    RetryUnusableReport: "POST /api/v1/mes-feed/reports/{report_id}/retry",
    DismissUnusableReport: "DELETE /api/v1/mes-feed/reports/{report_id}",
}
"""What the API asks for through what it is given, which acts on more than the log: `infra.unusable_reports`."""


def modules() -> Iterator[ModuleType]:
    for one in pkgutil.iter_modules(web.api.__path__):
        yield importlib.import_module(f"web.api.{one.name}")


def commands_in(module: ModuleType) -> set[type[Command]]:
    """What a module names; a command that is named and not asked for is refused by the linter."""
    named = [value for value in vars(module).values() if isinstance(value, type)]
    return {one for one in named if issubclass(one, Command) and one is not Command}


def missing() -> set[type[Command]]:
    """What people can ask for, and machines cannot."""
    of_people = {one for one in HANDLERS if one.PERMISSION is not Permission.SYSTEM}
    return of_people.difference(ASKED_BY_A_SERVICE, *map(commands_in, modules()))


def test_the_api_offers_every_command_or_says_why_not() -> None:  # K-5
    assert missing() == set(LEFT_OUT)
    assert len(HANDLERS) - len(LEFT_OUT) > 50
    assert all(len(reason) > 20 for reason in LEFT_OUT.values())


def test_a_command_that_is_forgotten_would_be_noticed() -> None:
    class PolishModel(Command):
        PERMISSION: ClassVar = Permission.MANAGE_OWN_MODELS

    HANDLERS[PolishModel] = lambda _command, _assay: 0
    try:
        assert missing() == {PolishModel, *LEFT_OUT}
    finally:
        del HANDLERS[PolishModel]


def test_what_asks_for_management_says_so_before_anything_is_read() -> None:  # K-5, U-6
    """Dispatch decides it once more: a module that forgets it would answer nobody."""
    managing = set()
    for module in modules():
        areas = {one.AREA or area_of(one.PERMISSION) for one in commands_in(module)}
        if Area.MANAGEMENT in areas:
            managing.add(module.__name__)
            assert areas == {Area.MANAGEMENT}, module.__name__
            said = [getattr(value, "opt", None) for value in vars(module).values() if isinstance(value, type)]
            assert {"area": Area.MANAGEMENT} in said, module.__name__
    assert {"web.api.users", "web.api.account", "web.api.industries", "web.api.locked_paths"} <= managing
