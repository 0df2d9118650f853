"""A town of volunteers and requesters around one help desk, all in memory, on a clock that tests move."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from infra.memory.clock import MovedClock
from infra.memory.index import MemoryIndex
from infra.memory.request_book import MemoryListings, MemoryRequestBook, Volunteer
from matching.asking import AskingLimits
from matching.audience import AudienceLimits
from matching.chances import Chances
from matching.help_desk import HelpDesk
from matching.languages import index_languages
from matching.model import Offer, OfferOutcome, Request, Tier
from matching.pace import Pace
from matching.ports import NewRequest
from matching.request_rules import Event, RequestLimits, step
from matching.waves import FixedWaves
from tests.support.fakes.cases import person
from tests.support.fakes.heralds import FakeHerald


class Town:
    """Unless told otherwise: waves of `size` every `interval_s`, in all languages at once, a complete index, and
    everybody acknowledges offers.
    """

    def __init__(self, *, size: int = 2, interval_s: float = 10, next_language_s: float = 0) -> None:
        limits = RequestLimits()
        audience = AudienceLimits(next_language=timedelta(seconds=next_language_s))
        self.limits = AskingLimits(limits, audience=audience)
        self.clock = MovedClock()
        self.book = MemoryRequestBook(self.clock, limits)
        self.index = MemoryIndex()
        self.index.complete()
        self.listings = MemoryListings(self.book)
        self.herald = FakeHerald(self.book)
        self.pace = Pace(FixedWaves(size, timedelta(seconds=interval_s)), Chances, limits)
        self.desk = self.node()

    def node(self) -> HelpDesk:
        """One more node over the same books."""
        return HelpDesk(self.book, self.index, self.listings, self.herald, self.pace, self.limits)

    async def volunteers(self, count: int, *languages: str) -> list[UUID]:
        """So many more people, ready, in the index; the first is drawn first."""
        made = [Volunteer(person(len(self.book.people) + n), languages or ("en",)) for n in range(count)]
        for one in made:
            self.book.people[one.id] = one
            await self.desk.person_changed(one.id)
        return [one.id for one in made]

    async def ask(self, *languages: str, **changes: Any) -> Request:
        """Somebody new asks for help; `changes` are fields of the wish."""
        number = len(self.book.rows)
        tags = languages or ("en",)
        new = NewRequest(
            requester_id=UUID(int=10_000 + number),
            session_id=UUID(int=20_000 + number),
            languages=tags,
            index_languages=index_languages(tags),
            topic=None,
            mode="video",
            idempotency_key=None,
            body_hash=b"",
        )
        return (await self.desk.open(replace(new, **changes))).request

    async def look(self, request_id: UUID, *, there: bool = True) -> None:
        """A look at the request, its requester just seen if `there`."""
        if there:
            self.book.rows[request_id].seen_at = self.clock.now
        await self.desk.look(request_id)

    async def hang_up(self, request_id: UUID, event: Event, *, tell_desk: bool = True) -> None:
        """The call of an answered request ends, with this for the request; unless the node dies, the desk hears it."""
        row = self.book.rows[request_id]
        row.request = step(row.request, event, self.clock.now, self.limits.request)
        row.hungry, row.next_look_at = True, self.clock.now
        for person_id in [p for p, held in self.book.busy.items() if held.request_id == request_id]:
            del self.book.busy[person_id]
            if tell_desk and person_id in self.book.people:
                await self.desk.freed(person_id, self.clock.now)

    async def later(self, by_s: float) -> None:
        """Time passes, and the index's clocks with it."""
        self.clock.advance(by_s)
        await self.index.sweep(self.clock.unix, 10_000)

    async def can_be_drawn(self, person_id: UUID, *languages: str) -> bool:
        """Whether the index would give this person out now (after a sweep)."""
        await self.index.sweep(self.clock.unix, 10_000)
        others = set(self.book.people) - {person_id}
        now = self.clock.unix
        for language in languages or ("en",):
            drawn = await self.index.draw(
                language=language, tier=Tier.HOT, count=1, excluded=others, now=now, lease_until=now
            )
            if drawn:
                await self.index.release(drawn, at=now, now=now)
                return True
        return False

    def request(self, request_id: UUID) -> Request:
        return self.book.rows[request_id].request

    def ringing(self, request_id: UUID) -> list[UUID]:
        """Whom it rings at now."""
        return [one.person_id for one in self.book.offers(request_id) if one.outcome is None]

    def outcome(self, request_id: UUID, person_id: UUID) -> OfferOutcome | None:
        """How the latest offer made to this person ended."""
        return self.last_offer(request_id, person_id).outcome

    def last_offer(self, request_id: UUID, person_id: UUID) -> Offer:
        return [one for one in self.book.offers(request_id) if one.person_id == person_id][-1]
