"""A town in memory around one help desk: its books, its listings, and its phones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from infra.memory.clock import MovedClock
from infra.memory.request_book import MemoryListings, MemoryRequestBook, Row
from infra.simulation.world import Person, local_hour
from matching.availability import WeeklyWindow, next_window
from matching.model import Listing, Offer, OfferOutcome, Request
from matching.ports import NewRequest
from matching.request_rules import Case, Progress, RequestLimits


class TownBook(MemoryRequestBook):
    """The books in memory, which forget what is over and know the clock on a requester's wall."""

    def __init__(self, clock: MovedClock, limits: RequestLimits) -> None:
        super().__init__(clock, limits)
        self.zones: dict[UUID, str] = {}
        """Of requesters."""
        self._made = 0

    async def exclusions(self, request_id: UUID) -> frozenset[UUID]:
        """In this town nobody avoids anybody."""
        never_again = {None, OfferOutcome.DECLINED, OfferOutcome.WON}
        return frozenset(one.person_id for one in self.rows[request_id].offers if one.outcome in never_again)

    def _born(self, _request_id: UUID, new: NewRequest, now: datetime, deadline: timedelta) -> Request:
        self._made += 1
        return super()._born(UUID(int=(1 << 120) + self._made), new, now, deadline)

    def _case(self, row: Row) -> Case:
        zone = self.zones[row.request.requester_id]
        return replace(super()._case(row), local_hour=int(local_hour(zone, self.clock.now)))


class TownListings:
    """Everybody with their hours, and those never asked in no particular order."""

    def __init__(self, book: TownBook, people: Mapping[UUID, Person]) -> None:
        self._book = book
        self._people = people
        self._listings = MemoryListings(book)
        self._windows: dict[tuple[tuple[WeeklyWindow, ...], str], tuple[float | None, float | None]] = {}

    async def of(self, people: Collection[UUID]) -> list[Listing]:
        return [self._within_hours(listing) for listing in await self._listings.of(people)]

    def _within_hours(self, listing: Listing) -> Listing:
        person = self._people[listing.person_id]
        opens_at, closes_at = self._hours(person)
        return replace(
            listing, opens_at=opens_at, closes_at=closes_at, last_asked_at=listing.last_asked_at or person.turn
        )

    def _hours(self, person: Person) -> tuple[float | None, float | None]:
        """Many keep the same hours, so they are worked out once for all, until they are over."""
        key = (person.windows, person.zone)
        found = self._windows.get(key)
        if found is None or (found[1] is not None and found[1] <= self._book.clock.unix):
            opens_at, closes_at = next_window(*key, self._book.clock.now) or (None, None)
            found = (opens_at.timestamp() if opens_at else None, closes_at.timestamp() if closes_at else None)
            self._windows[key] = found
        return found


class Phones:
    """`matching.ports.Herald`, whose offers are on their way when they are told."""

    def __init__(self, book: TownBook, on_offers: Callable[[UUID, Sequence[Offer]], None]) -> None:
        self._book = book
        self._on_offers = on_offers

    async def tell(self, request_id: UUID) -> None:
        row = self._book.rows[request_id]
        untold = tuple(one for one in row.offers if one.outcome is None and one.told_at is None)
        if untold:
            self.change(row, untold, told_at=self._book.clock.now, ring_at=None)
            self._on_offers(request_id, untold)

    async def progress(self, request: Request, progress: Progress) -> None:
        """Nobody reads it."""

    @staticmethod
    def change(row: Row, offers: Sequence[Offer], **changes: object) -> None:
        keys = {(one.person_id, one.epoch, one.wave) for one in offers}
        row.offers = [
            replace(one, **changes) if (one.person_id, one.epoch, one.wave) in keys else one  # type: ignore[arg-type]
            for one in row.offers
        ]
