"""What people see on their phones, and the herald that puts it there."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from infra.memory.clock import MovedClock
from infra.memory.request_book import MemoryRequestBook
from matching.model import Offer, Request
from matching.ports import WavePlan
from matching.request_rules import Progress
from tests.interleaving.strands import LET_OTHERS_IN
from tests.support.fakes.heralds import FakeHerald


class Ring(NamedTuple):
    """One offer, as a phone knows it."""

    person_id: UUID
    request_id: UUID
    epoch: int
    wave: int


def ring_of(offer: Offer) -> Ring:
    return Ring(offer.person_id, offer.request_id, offer.epoch, offer.wave)


class Phones(FakeHerald):
    """`matching.ports.Herald`: reads what is not told yet, sends it, and remembers that it was told.

    As with mailboxes, nothing older than what a phone has seen is shown. Who is not `deaf` acknowledges at once.
    """

    def __init__(self, book: MemoryRequestBook, clock: MovedClock, *, is_slow: bool = False) -> None:
        """`is_slow`: others may go on between the reading and the sending."""
        super().__init__(book)
        self.shown: dict[Ring, datetime | None] = {}
        """Until when it rings; None: over."""
        self.ends_told: set[Ring] = set()
        self.requesters: dict[UUID, int] = {}
        """Request -> version its requester knows."""
        self._clock = clock
        self._is_slow = is_slow

    async def tell(self, request_id: UUID) -> None:
        row = self._book.rows[request_id]
        version, news = row.request.version, [one for one in row.offers if self._is_untold(one)]
        if self._is_slow:
            await LET_OTHERS_IN
        self.requesters[request_id] = max(version, self.requesters.get(request_id, 0))
        for offer in news:
            if offer.outcome is None:
                self.ring(ring_of(offer), offer.expires_at)
                self._mark(offer)
            else:
                self.shown[ring_of(offer)] = None
                self.ends_told.add(ring_of(offer))

    async def progress(self, request: Request, progress: Progress) -> None:
        pass

    def ring(self, ring: Ring, expires_at: datetime) -> None:
        """Shown if it is news; a phone drops by itself what came too late."""
        if expires_at > self._clock.now:
            self.shown.setdefault(ring, expires_at)

    async def ring_for(self, plan: WavePlan) -> None:
        """Only a bug tells people of what is not in the books."""
        for person_id in plan.people:
            self.ring(Ring(person_id, plan.request_id, plan.epoch, plan.wave + 1), self._clock.now + plan.offer)

    def ringing(self, person_id: UUID) -> list[Ring]:
        """What rings at this person now."""
        now = self._clock.now
        return [ring for ring, until in self.shown.items() if ring.person_id == person_id and until and until > now]

    def _is_untold(self, offer: Offer) -> bool:
        if offer.outcome is None:
            return offer.told_at is None and offer.expires_at > self._clock.now
        return ring_of(offer) not in self.ends_told

    def _mark(self, told: Offer) -> None:
        """Like the books of news: this very offer, however it has ended since."""
        now, row = self._clock.now, self._book.rows[told.request_id]
        heard = told.person_id not in self.deaf
        row.offers = [
            replace(one, told_at=one.told_at or now, delivered_at=one.delivered_at or (now if heard else None))
            if ring_of(one) == ring_of(told)
            else one
            for one in row.offers
        ]
