"""The volunteer index in memory, as anyone would first write it: one dict, sorted when asked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from matching.model import Listing, Tier
from matching.ports import IndexUnavailable, Swept
from matching.turns import turn

TOLD_AGAIN_S = 10.0


@dataclass
class Entry:
    """One person: what was put, what was decided since, and where they are."""

    listing: Listing
    not_before: float
    last_asked_at: float
    wake_at: float | None = None
    """None: in ready."""

    @property
    def turn(self) -> float:
        return turn(self.last_asked_at, self.listing.newcomer)

    @property
    def ready_at(self) -> float:
        return self.listing.ready_at(self.not_before)

    def window_over(self, now: float) -> bool:
        return self.listing.window_over(now)

    def place(self, now: float) -> bool:
        """Where they belong at `now`; True when that is ready."""
        may = self.ready_at <= now and not self.window_over(now)
        self.wake_at = None if may else self.ready_at
        return may


class MemoryIndex:
    """Implements `matching.ports.VolunteerIndex` in memory. `wipe` and `complete` are what happens to a server."""

    def __init__(self) -> None:
        self._people: dict[UUID, Entry] = {}
        self._complete = False

    def wipe(self) -> None:
        self._people.clear()
        self._complete = False

    def complete(self) -> None:
        self._complete = True

    async def put(self, listings: Sequence[Listing], now: float) -> None:
        for listing in listings:
            entry = Entry(listing, listing.not_before, listing.last_asked_at)
            entry.place(now)
            self._people[listing.person_id] = entry

    async def restore(self, listings: Sequence[Listing], now: float) -> None:
        """As `put`, of those who are not known."""
        await self.put([listing for listing in listings if listing.person_id not in self._people], now)

    async def remove(self, people: Collection[UUID]) -> None:
        for person_id in people:
            self._people.pop(person_id, None)

    async def draw(
        self, *, language: str, tier: Tier, count: int, excluded: Collection[UUID], now: float, lease_until: float
    ) -> list[UUID]:
        self._check_complete()
        drawn: list[UUID] = []
        for person_id, entry in self._ready(language, tier):
            if len(drawn) == count:
                break
            if person_id in excluded:
                continue
            if entry.window_over(now):
                entry.wake_at = now
                continue
            entry.wake_at = lease_until
            drawn.append(person_id)
        return drawn

    async def confirm(self, people: Collection[UUID], *, asked_at: float, until: float) -> None:
        for entry in self._known(people):
            entry.last_asked_at = max(entry.last_asked_at, asked_at)
            entry.not_before = max(entry.not_before, until)
            entry.wake_at = entry.ready_at

    async def release(self, people: Collection[UUID], *, at: float, now: float) -> None:
        for entry in self._known(people):
            entry.not_before = at
            entry.place(now)

    async def hold(self, people: Collection[UUID], until: float) -> None:
        for entry in self._known(people):
            entry.not_before = until
            entry.wake_at = entry.ready_at

    async def sweep(self, now: float, limit: int) -> Swept:
        self._check_complete()
        woken: list[UUID] = []
        stale: list[UUID] = []
        for person_id in self._earliest({p: e.wake_at for p, e in self._people.items()}, now, limit):
            entry = self._people[person_id]
            if entry.ready_at <= now and entry.window_over(now):
                stale.append(person_id)
                entry.wake_at = now + TOLD_AGAIN_S
            elif entry.place(now):
                woken.append(person_id)
        closing = {p: e.listing.closes_at for p, e in self._people.items() if e.wake_at is None and e.window_over(now)}
        for person_id in self._earliest(closing, now, limit):
            entry = self._people[person_id]
            stale.append(person_id)
            entry.wake_at = now + TOLD_AGAIN_S
        return Swept(tuple(woken), tuple(stale))

    async def counts(self) -> dict[tuple[str, Tier], int]:
        self._check_complete()
        counts: dict[tuple[str, Tier], int] = {}
        for entry in self._people.values():
            if entry.wake_at is None:
                for language in entry.listing.languages:
                    key = (language, entry.listing.tier)
                    counts[key] = counts.get(key, 0) + 1
        return counts

    def _check_complete(self) -> None:
        if not self._complete:
            raise IndexUnavailable("not rebuilt yet")

    def _known(self, people: Collection[UUID]) -> list[Entry]:
        return [self._people[person_id] for person_id in people if person_id in self._people]

    def _ready(self, language: str, tier: Tier) -> list[tuple[UUID, Entry]]:
        ready = [
            (person_id, entry)
            for person_id, entry in self._people.items()
            if entry.wake_at is None and entry.listing.tier is tier and language in entry.listing.languages
        ]
        return sorted(ready, key=lambda item: (item[1].turn, item[0].bytes))

    @staticmethod
    def _earliest(moments: dict[UUID, float | None], now: float, limit: int) -> list[UUID]:
        due = sorted((at, person_id.bytes) for person_id, at in moments.items() if at is not None and at <= now)
        return [UUID(bytes=raw) for _, raw in due[:limit]]
