"""How busy a machine is at one moment. Telemetry: it travels beside jobs, the next measurement overwrites it; never an event.

Shares are 0..1. What could not be read is None; a machine without GPUs has no cards.
"""

import enum
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Bytes: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 62)]
"""Figures come from other machines: what cannot be is refused where it is read."""


class PlaceKind(enum.Enum):
    """What a folder that is watched is for."""

    STATE = "state"
    SHARED = "shared"
    DATA_ROOT = "data_root"


class Place(msgspec.Struct, frozen=True):
    """A folder that is watched; `name` is that of a data root."""

    kind: PlaceKind
    name: str = ""


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """A file system with every watched folder that lies on it. Without sizes it cannot be reached: it is not mounted, or broken."""

    places: tuple[Place, ...]
    used_bytes: Bytes | None = None
    total_bytes: Bytes | None = None

    @property
    def used(self) -> float | None:
        """Of what anybody but the system's administrator may fill."""
        return self.used_bytes / self.total_bytes if self.used_bytes is not None and self.total_bytes else None


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU card. `load` is the share of the last moment in which it computed anything at all."""

    name: str = ""
    load: Share | None = None
    used_bytes: Bytes | None = None
    total_bytes: Bytes | None = None
    celsius: int | None = None

    @property
    def used(self) -> float | None:
        """Of its memory."""
        return self.used_bytes / self.total_bytes if self.used_bytes is not None and self.total_bytes else None


class MachineFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement. `cpu_load` is the mean of all cores since the measurement before.

    `memory_used_bytes` is what programs could not get any more, without caches. `cards_problem` is the driver's own sentence where
    it is there and does not answer.
    """

    cpu_cores: int
    cpu_load: Share
    memory_used_bytes: Bytes
    memory_total_bytes: Annotated[int, Meta(gt=0, le=1 << 62)]
    disks: tuple[Disk, ...] = ()
    cards: tuple[Card, ...] = ()
    cards_problem: str = ""

    @property
    def memory_used(self) -> float:
        """Of the memory."""
        return self.memory_used_bytes / self.memory_total_bytes
