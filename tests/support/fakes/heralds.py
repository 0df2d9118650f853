"""A herald that remembers what it was asked to tell."""

from __future__ import annotations

from uuid import UUID


class FakeCallHerald:
    """`signaling.ports.Herald`."""

    def __init__(self) -> None:
        self.told: list[UUID] = []

    async def tell(self, request_id: UUID) -> None:
        self.told.append(request_id)
