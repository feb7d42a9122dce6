"""Industries with their levels, and which one is the default."""

from datetime import datetime
from uuid import UUID

import msgspec

from domain.facts import Recorded
from domain.industries import DefaultIndustryChosen, IndustryCreated, IndustryDeleted, IndustryLevelsDefined
from projections.read_model import ReadModel, Rows, Table


class IndustryRow(msgspec.Struct, frozen=True):
    """An industry; `level_names` are the outermost first, empty until they are defined."""

    industry_id: UUID
    name: str
    level_names: tuple[str, ...]
    is_default: bool
    created_at: datetime


class Industries(ReadModel):
    """Every industry, in the order in which they were created."""

    name = "industries"
    industries = Table(
        "industries",
        key=("industry_id uuid",),
        columns=(
            "name text NOT NULL",
            "level_names text[] NOT NULL DEFAULT '{}'",
            "is_default boolean NOT NULL DEFAULT false",
            "created_at timestamptz NOT NULL",
        ),
    )

    def project(self, rows: Rows, recorded: Recorded) -> None:
        match recorded.data:
            case IndustryCreated(name=name):
                rows.insert(self.industries, recorded.originator_id, name=name, created_at=recorded.timestamp)
            case IndustryLevelsDefined(level_names=level_names):
                rows.update(self.industries, recorded.originator_id, level_names=level_names)
            case IndustryDeleted():
                rows.delete(self.industries, recorded.originator_id)
            case DefaultIndustryChosen(industry_id=industry_id):
                rows.execute("UPDATE industries SET is_default = (industry_id = %s)", (industry_id,))

    def list(self) -> tuple[IndustryRow, ...]:
        """All of them."""
        return tuple(self._all("SELECT * FROM industries ORDER BY created_at, name", (), IndustryRow))

    def get(self, industry_id: UUID) -> IndustryRow | None:
        """One of them."""
        return self._one("SELECT * FROM industries WHERE industry_id = %s", (industry_id,), IndustryRow)

    def default(self) -> IndustryRow | None:
        """The one to which environment data and new bindings belong."""
        return self._one("SELECT * FROM industries WHERE is_default", (), IndustryRow)
