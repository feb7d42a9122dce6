"""Unfinished forms, kept in memory; `saved` is called whenever one is."""

from collections.abc import Callable
from uuid import UUID


class MemoryDrafts:
    def __init__(self) -> None:
        self.contents: dict[tuple[UUID, str], bytes] = {}
        self.saved: Callable[[], object] = lambda: None

    def load(self, user_id: UUID, kind: str) -> bytes | None:
        return self.contents.get((user_id, kind))

    def save(self, user_id: UUID, kind: str, content: bytes) -> None:
        self.contents[user_id, kind] = content
        self.saved()

    def drop(self, user_id: UUID, kind: str) -> None:
        self.contents.pop((user_id, kind), None)
