"""Two nodes do everything at once to the same few people; whatever came of it holds together and comes to rest."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

from matching.model import Request, RequestState
from matching.ports import RequestOpen
from signaling import call_rules
from signaling.call_rules import CallLimits
from signaling.model import Call, CallState, EndReason, Side
from tests.integration.postgres.test_looks import tell_all
from tests.integration.postgres.test_races import nothing_wrong
from tests.integration.postgres.world import RUNNING, Person, World, open_world

LIVES, STEPS = 12, 60
UNREST = """
SELECT r.id FROM requests r
WHERE r.next_look_at IS NOT NULL OR r.state <> 'ended' OR r.told_version < r.version
   OR EXISTS (SELECT FROM offers o WHERE o.request_id = r.id AND (o.outcome IS NULL OR o.end_told_at IS NULL))
   OR EXISTS (SELECT FROM calls c WHERE c.request_id = r.id AND (c.state <> 'ended' OR c.told_version < c.version))
"""
COUNTED = """
SELECT r.id FROM requests r
WHERE r.asked <> (SELECT count(*) FROM offers o WHERE o.request_id = r.id)
   OR r.epoch <> r.returns + 1
   OR (SELECT count(*) FROM calls c WHERE c.request_id = r.id)
      <> (SELECT count(*) FROM offers o WHERE o.request_id = r.id AND o.outcome = 'won')
"""


class Life:
    """One client of one node, with dice of its own."""

    def __init__(self, node: World, requesters: list[Person], people: list[Person], seed: int) -> None:
        self._node = node
        self._requesters = requesters
        self._people = people
        self._dice = random.Random(seed)

    async def live(self) -> None:
        steps: list[Callable[[Request], Awaitable[object]]] = [
            self._ask,
            self._ask,
            self._accept,
            self._accept,
            self._decline,
            self._cancel,
            self._look,
            self._tell,
            self._media,
            self._media,
            self._end,
            self._rejoin,
        ]
        for _ in range(STEPS):
            request = await self._request()
            await self._dice.choice(steps)(request)
            await self._node.book.due(3)

    async def _request(self) -> Request:
        requester = self._dice.choice(self._requesters)
        try:
            return await self._node.open(requester)
        except RequestOpen as open_already:
            return open_already.request

    async def _ask(self, request: Request) -> None:
        offer = timedelta(seconds=self._dice.choice([0.02, 30, 30]))
        await self._node.wave(request, self._dice.sample(self._people, 5), offer=offer)

    async def _accept(self, request: Request) -> None:
        """Whoever is asked, for whatever they are asked; else somebody who was not."""
        person = self._dice.choice(self._people)
        for asked in await self._node.book.open_offers(person.id):
            request = await self._node.now(asked.offer.request_id)
        await self._node.accept(request, person)

    async def _decline(self, request: Request) -> None:
        await self._node.decline(request, self._dice.choice(self._people))

    async def _cancel(self, request: Request) -> None:
        if self._dice.random() < 0.4:
            await self._node.cancel(request)

    async def _look(self, request: Request) -> None:
        await self._node.look(request)
        await self._node.book.look_at_all()

    async def _tell(self, request: Request) -> None:
        await tell_all(self._node, request)

    async def _call(self, request: Request) -> Call | None:
        return await self._node.calls.of_epoch(request.id, request.epoch)

    async def _media(self, request: Request) -> None:
        side = self._dice.choice(list(Side))
        if (call := await self._call(request)) is not None:
            await self._node.calls.change(call.id, lambda c, now: call_rules.media(c, side, RUNNING, now))

    async def _end(self, request: Request) -> None:
        reason = self._dice.choice([EndReason.DONE, EndReason.LEFT, EndReason.TECHNICAL])
        if (call := await self._call(request)) is not None:
            await self._node.end(call, reason, self._dice.choice(list(Side)))

    async def _rejoin(self, request: Request) -> None:
        if (call := await self._call(request)) is not None:
            await self._node.calls.change(call.id, lambda c, now: call_rules.rejoin(c, c.attempt, now, CallLimits()))


async def finish(world: World) -> None:
    """Everybody hangs up, and is told."""
    for row in await world.sql.fetch("SELECT id FROM requests"):
        request = await world.now(row["id"])
        if request.state in (RequestState.CONNECTING, RequestState.IN_CALL):
            call = await world.call_of(request)
            assert call.state is not CallState.ENDED
            await world.end(call, EndReason.DONE, Side.REQUESTER)
        await world.cancel(request)
        await tell_all(world, request)


async def test_it_holds_together_and_comes_to_rest(world: World, database_url: str) -> None:
    people = await world.volunteers(9)
    requesters = [await world.requester() for _ in range(5)]
    async with open_world(database_url) as second, asyncio.timeout(90):
        nodes = [world, second]
        await asyncio.gather(*(Life(nodes[n % 2], requesters, people, n).live() for n in range(LIVES)))
        await second.news.flush()
    await nothing_wrong(world)
    assert await world.sql.fetch(COUNTED) == []
    assert await world.sql.fetchval("SELECT count(*) FROM calls") > 10
    await finish(world)
    await nothing_wrong(world)
    assert await world.sql.fetch(UNREST) == []
    assert await world.busy() == {}
