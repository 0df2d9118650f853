"""What a node does again and again: one failure holds up nobody else, and silence is judged only by who can hear."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from matching.ports import Swept
from server.rebirth import Census, Rebirth
from server.rounds import LOOKS_PER_ROUND, RELIST_PEOPLE, WOKEN_SERVED, Rounds
from server.socket.hub import Hub
from tests.support.fakes.town import Town


class Desk:
    """Looks fail for `broken` requests, and wait for ever for `stuck` ones."""

    def __init__(self, due: list[UUID]) -> None:
        self.help_desk = self
        self.waiting = due
        self.looked: list[UUID] = []
        self.changed: list[UUID] = []
        self.asleep: list[UUID] = []
        self.awake: list[UUID] = []
        self.unheard: set[UUID] = set()
        """The index is away when these are to be listed."""
        self.broken: set[UUID] = set()
        self.stuck: set[UUID] = set()
        self._done = asyncio.Semaphore(0)

    async def due(self, limit: int) -> list[UUID]:
        some, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return some

    async def look(self, request_id: UUID) -> None:
        if request_id in self.broken:
            raise RuntimeError("a mistake of ours")
        if request_id in self.stuck:
            await asyncio.Event().wait()
        self.looked.append(request_id)
        self._done.release()

    async def looked_at(self, count: int) -> None:
        for _ in range(count):
            await self._done.acquire()

    async def person_changed(self, person_id: UUID) -> bool:
        self.changed.append(person_id)
        return person_id not in self.unheard

    async def sweep(self, limit: int) -> Swept:
        some, self.asleep = self.asleep[:limit], self.asleep[limit:]
        return Swept(woken=tuple(some), stale=())

    async def woken(self, person_id: UUID) -> None:
        self.awake.append(person_id)


class Sightings:
    """Presence of which one session fell silent."""

    def __init__(self) -> None:
        self.silent = (uuid4(), uuid4())
        self.over: list[tuple[UUID, bool]] = []

    async def flush(self) -> list[tuple[UUID, bool]]:
        return self.over

    async def forget_silent(self) -> list[tuple[UUID, UUID]]:
        return [self.silent]

    async def keep_partitions(self) -> None: ...


class Changes:
    """People to be listed again."""

    def __init__(self, *people: UUID) -> None:
        self.left = dict.fromkeys(people, datetime(2026, 11, 26, tzinfo=UTC))

    async def to_relist(self, limit: int) -> list[tuple[UUID, datetime]]:
        return list(self.left.items())[:limit]

    async def relisted(self, person_id: UUID, since: datetime) -> None:
        assert self.left.pop(person_id) == since


class TestRelisting:
    async def test_all_are_listed_and_forgotten(self) -> None:
        people = [uuid4() for _ in range(2 * RELIST_PEOPLE + 1)]
        desk, changes = Desk([]), Changes(*people)
        await Rounds(cast(Any, desk), Sightings(), changes, print, print).relist()
        assert desk.changed == people
        assert changes.left == {}

    async def test_while_the_index_is_away_they_are_kept(self) -> None:
        people = [uuid4() for _ in range(3)]
        desk, changes = Desk([]), Changes(*people)
        desk.unheard = {people[1]}
        await Rounds(cast(Any, desk), Sightings(), changes, print, print).relist()
        assert [*changes.left] == people[1:]
        desk.unheard.clear()
        await Rounds(cast(Any, desk), Sightings(), changes, print, print).relist()
        assert changes.left == {}


class TestLooks:
    async def test_one_that_fails_is_told_of_after_all_others_were_looked_at(self) -> None:
        requests = [uuid4() for _ in range(LOOKS_PER_ROUND // 2)]
        desk = Desk(list(requests))
        desk.broken = {requests[0]}
        with pytest.raises(RuntimeError):
            await Rounds(cast(Any, desk), Sightings(), Changes(), print, print).look_at_due()
        assert desk.looked == requests[1:]

    async def test_some_that_wait_hold_up_no_others(self) -> None:
        requests = [uuid4() for _ in range(LOOKS_PER_ROUND)]
        desk = Desk(list(requests))
        desk.stuck = set(requests[:7])
        looking = asyncio.create_task(Rounds(cast(Any, desk), Sightings(), Changes(), print, print).look_at_due())
        async with asyncio.timeout(5):
            await desk.looked_at(len(requests) - len(desk.stuck))
        looking.cancel()
        await asyncio.wait([looking])


class TestSweeps:
    async def test_who_wakes_is_at_once_there_for_what_waits_but_not_a_whole_morning_of_them(self) -> None:
        desk = Desk([])
        people = [uuid4() for _ in range(2 * WOKEN_SERVED)]
        node = Rounds(cast(Any, desk), Sightings(), Changes(), lambda _: None, print)
        for some in (people[:1], people[1:]):
            desk.asleep = list(some)
            await node.sweep()
        assert desk.awake == people[: 1 + WOKEN_SERVED]


class TestEndedSessions:
    async def test_a_socket_that_outlived_its_session_is_closed_and_told_why(self) -> None:
        sightings, closed = Sightings(), list[tuple[UUID, bool]]()
        sightings.over = [(uuid4(), True), (uuid4(), False)]
        node = Rounds(cast(Any, Desk([])), sightings, Changes(), print, lambda *which: closed.append(which))
        await node.write_sightings()
        assert closed == sightings.over


class TestSilence:
    async def test_who_is_silent_is_not_hot_and_their_socket_is_closed_wherever_it_is(self) -> None:
        desk, sightings, closed = Desk([]), Sightings(), list[UUID]()
        await Rounds(cast(Any, desk), sightings, Changes(), closed.append, print).forget_silent()
        assert desk.changed == [sightings.silent[1]]
        assert closed == [sightings.silent[0]]


async def test_somebody_listed_wrongly_by_a_race_is_listed_anew() -> None:
    town = Town()
    [helper] = await town.volunteers(1, "en")
    await town.index.remove([helper])
    assert not await town.can_be_drawn(helper)

    class OneSocket:
        def callers(self) -> list[Any]:
            return [type("Caller", (), {"user_id": helper, "role": "volunteer"})]

    own = Rebirth(cast(Any, None), cast(Hub, OneSocket()), town.book, town.index, cast(Census, town.listings))
    await own.list_own()
    assert await town.can_be_drawn(helper)
