"""Versions to choose from, as the wizards' steps ask for them; they answer as the read models do."""

from collections.abc import Sequence
from uuid import UUID

from domain.model_images import ModelImageKind
from projections.model_images import ModelImageVersionChoice, ModelImageVersionChoices
from projections.models import ModelVersionChoice, ModelVersionChoices


class OfferedImages:
    """Model image versions; `has_more` says that there are others than those that are found."""

    def __init__(self, *versions: ModelImageVersionChoice, has_more: bool = False) -> None:
        self.versions, self.has_more = versions, has_more

    def version_choices(
        self,
        kind: ModelImageKind,
        *,
        search: str = "",
        place_ids: Sequence[UUID] = (),
        chosen: tuple[UUID | None, int] = (None, 0),
    ) -> ModelImageVersionChoices:
        def fits(one: ModelImageVersionChoice) -> bool:
            is_there = not place_ids or (one.environment and not set(place_ids).isdisjoint(one.environment.place_ids))
            return search.lower() in one.name.lower() and bool(is_there)

        offered = tuple(
            one
            for one in self.versions
            if one.kind is kind and (fits(one) or (one.model_image_id, one.number) == chosen)
        )
        return ModelImageVersionChoices(versions=offered, has_more=self.has_more)

    def version_choice(self, model_image_id: UUID, number: int) -> ModelImageVersionChoice | None:
        wanted = (model_image_id, number)
        return next((one for one in self.versions if (one.model_image_id, one.number) == wanted), None)

    def has_versions(self) -> bool:
        return bool(self.versions)


class OfferedModels:
    """The published versions of one owner; `has_more` says that there are others than those that are found."""

    def __init__(self, owner: UUID, *versions: ModelVersionChoice, has_more: bool = False) -> None:
        self.owner, self.versions, self.has_more = owner, versions, has_more

    def choices(
        self,
        owner: UUID,
        *,
        search: str = "",
        place_ids: Sequence[UUID] = (),
        network: str = "",
        chosen: tuple[UUID | None, str] = (None, ""),
        compared: Sequence[str] | None = None,
    ) -> ModelVersionChoices:
        def fits(one: ModelVersionChoice) -> bool:
            is_there = not place_ids or not set(place_ids).isdisjoint(one.environment.place_ids)
            return search.lower() in one.model_name.lower() and is_there and network in ("", one.network)

        kept = [*(compared or ()), f"{chosen[0]}/{chosen[1]}"]
        offered = tuple(one for one in self.versions if owner == self.owner and (fits(one) or one.name in kept))
        return ModelVersionChoices(versions=offered, has_more=self.has_more)
