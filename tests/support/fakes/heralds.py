"""Heralds that remember what they were asked to tell."""

from __future__ import annotations

from uuid import UUID

from infra.memory.request_book import MemoryRequestBook
from matching.model import Request
from matching.request_rules import Progress
from signaling.model import Call, Picture


class FakeCallHerald:
    """`signaling.ports.Herald`."""

    def __init__(self) -> None:
        self.told: list[UUID] = []
        self.pictures: list[Picture | None] = []

    async def tell(self, call: Call) -> None:
        self.told.append(call.request_id)

    async def picture(self, call: Call) -> None:
        self.pictures.append(call.picture)


class FakeHerald:
    """`matching.ports.Herald`: offers are told at once, and acknowledged by everybody who is not `deaf`."""

    def __init__(self, book: MemoryRequestBook) -> None:
        self.told: list[UUID] = []
        self.progressed: list[Progress] = []
        self.deaf: set[UUID] = set()
        self._book = book

    async def tell(self, request_id: UUID) -> None:
        self.told.append(request_id)
        ringing = {(o.person_id, o.epoch) for o in self._book.offers(request_id) if o.outcome is None}
        self._book.mark(request_id, ringing, delivered=False)
        self._book.mark(request_id, {pair for pair in ringing if pair[0] not in self.deaf}, delivered=True)

    async def progress(self, request: Request, progress: Progress) -> None:
        self.progressed.append(progress)
