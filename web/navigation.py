"""The menu, in the manual's order. An entry appears once its page exists and the role may see it."""

from collections.abc import Callable

import msgspec

from domain.permissions import Permission, Role, permits
from domain.sentences import N_


class Entry(msgspec.Struct, frozen=True):
    """One line of the menu."""

    title: str
    address: str
    permission: Permission | None = None
    is_current: bool = False


class Section(msgspec.Struct, frozen=True):
    """A heading with its entries; without a heading, a single entry at the top level."""

    title: str
    icon: str
    entries: tuple[Entry, ...]


MASTER_DATA = Permission.MANAGE_MASTER_DATA
MENU = (
    Section("", "overview", (Entry(N_("Overview"), "/"),)),
    Section("", "users", (Entry(N_("Users"), "/users", Permission.MANAGE_USERS),)),
    Section(
        N_("Master data"),
        "master_data",
        (
            Entry(N_("Industries"), "/industries", MASTER_DATA),
            Entry(N_("Environment data"), "/environments", MASTER_DATA),
            Entry(N_("Task types"), "/task-types", MASTER_DATA),
            Entry(N_("Compute resources"), "/compute-resources", MASTER_DATA),
        ),
    ),
    Section(
        N_("Datasets"),
        "datasets",
        (
            Entry(N_("Training datasets"), "/training-datasets"),
            Entry(N_("Question-bank datasets"), "/question-bank-datasets"),
        ),
    ),
    Section("", "model_images", (Entry(N_("Model images"), "/model-images"),)),
    Section(
        N_("Model library"),
        "models",
        (
            Entry(N_("My models"), "/models"),
            Entry(N_("Training jobs"), "/training-jobs"),
            Entry(N_("Locked data paths"), "/locked-paths", Permission.SUPERVISE),
        ),
    ),
    Section(
        N_("Online evaluation"),
        "prediction_jobs",
        (Entry(N_("Question-bank prediction"), "/prediction-jobs"), Entry(N_("Model comparison"), "/comparisons")),
    ),
    Section(
        N_("Operations"),
        "operations",
        (
            Entry(N_("Audit"), "/audit", Permission.SUPERVISE),
            Entry(N_("API tokens"), "/api-tokens", Permission.SUPERVISE),
            Entry(N_("MES feed"), "/mes-feed", Permission.SUPERVISE),
        ),
    ),
)


def sections_for(role: Role | None, path: str, has_page: Callable[[str], bool]) -> tuple[Section, ...]:
    """The menu as one role sees it on one page; empty for strangers."""
    if role is None:
        return ()
    shown = (
        Section(
            section.title,
            section.icon,
            tuple(_marked(entry, path) for entry in section.entries if _is_open(entry, role, has_page)),
        )
        for section in MENU
    )
    return tuple(section for section in shown if section.entries)


def _is_open(entry: Entry, role: Role, has_page: Callable[[str], bool]) -> bool:
    return has_page(entry.address) and (entry.permission is None or permits(role, entry.permission))


def _marked(entry: Entry, path: str) -> Entry:
    is_current = path == entry.address or (entry.address != "/" and path.startswith(f"{entry.address}/"))
    return Entry(entry.title, entry.address, entry.permission, is_current)
