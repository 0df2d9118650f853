"""What becomes of a state in which nothing goes on any more, when time passes and nodes do what they always do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

from infra.memory.request_book import Row
from matching.model import Outcome, RequestState
from matching.request_rules import Acceptance, Event
from tests.interleaving.deeds import woken_up
from tests.interleaving.invariants import LIVE, Seen, broken, name, person_name
from tests.interleaving.loop import TinyLoop
from tests.interleaving.world import Product, Saved, Size, World

ROUND_S = 7.0
ROUNDS = 20
"""Two lives of a request that went back to waiting."""
PEACE_S = 120.0
"""More than anybody is left in peace after offers and calls."""


class Aftermath:
    """Two of them: nobody answers any more, or everybody does."""

    def __init__(self, product: Product, size: Size) -> None:
        self._world = World(product, size)

    def of(self, saved: Saved) -> Iterator[tuple[str, list[str]]]:
        """What happens, and what is wrong with it."""
        for way, willing in (("nobody answering", False), ("everybody answering", True)):
            self._world.restore(saved)
            yield way, TinyLoop().run(_aftermath(self._world, willing=willing))


async def _aftermath(world: World, *, willing: bool) -> list[str]:
    # Who expires before nodes have had time to look says nothing about them.
    judged = {
        row.request.id
        for row in world.book.rows.values()
        if row.request.deadline >= world.clock.now + timedelta(seconds=2 * ROUND_S)
    }
    for _ in range(ROUNDS):
        if all(row.request.state is RequestState.ENDED for row in world.book.rows.values()):
            break
        before = Seen.of(world)
        await _round(world, willing=willing)
        stranded = (finding for id in judged for finding in _stranded(world, world.book.rows[id], before))
        if findings := [*broken(world, before), *stranded]:
            return findings
    world.clock.advance(PEACE_S)
    await _round(world, willing=False)
    return list(_unfinished(world))


async def _round(world: World, *, willing: bool) -> None:
    """What nodes do again and again, and people once."""
    desk = world.desk
    world.clock.advance(ROUND_S)
    for row in world.book.rows.values():
        row.seen_at = world.clock.now
        if row.request.state in LIVE:
            await _hang_up(world, row.request.id)
    if not world.index._complete:
        await world.rebuild()
    for person_id in world.changed:
        await desk.person_changed(person_id)
    for person_id in (await desk.sweep(100)).woken:
        await woken_up(desk, person_id)
    for request_id in await desk.due(100):
        await desk.look(request_id)
    for row in world.book.rows.values():
        if row.request.state is RequestState.ENDED:
            await world.tell(row.request.id)
    if willing:
        for person_id in world.book.people:
            for ring in world.phones.ringing(person_id)[:1]:
                await desk.accept(ring.request_id, Acceptance(person_id, UUID(int=1), ring.epoch))


async def _hang_up(world: World, request_id: UUID) -> None:
    freed = world.end_call(request_id, world.request(request_id).epoch, Event.COMPLETED)
    await world.tell(request_id)
    if freed is not None:
        await world.desk.freed(freed, world.clock.now)


def _stranded(world: World, row: Row, before: Seen) -> Iterator[str]:
    """10: it expired although somebody was there who was never asked for it, and had nothing else to do."""
    if row.request.outcome is not Outcome.EXPIRED or before.cases[row.request.id][0].state is RequestState.ENDED:
        return
    asked = {offer.person_id for offer in row.offers}
    for person_id, one in world.book.people.items():
        speaks = world.book._speaks(row.request, person_id)
        busy_elsewhere = any(o.person_id == person_id for other in world.book.rows.values() for o in other.offers)
        avoided = frozenset({row.request.requester_id, person_id}) in world.book.avoided
        if one.ready and speaks and not (one.paused or avoided or busy_elsewhere or person_id in asked):
            yield f"10: {name(row)} expired and {person_name(person_id)} was never asked"


def _can_come(world: World, person_id: UUID) -> bool:
    one = world.book.people[person_id]
    return one.tier(world.clock.now) is not None and not one.paused


def _unfinished(world: World) -> Iterator[str]:
    for row in world.book.rows.values():
        if row.request.state is not RequestState.ENDED:
            yield f"2: {name(row)} does not end"
        if any(offer.outcome is None for offer in row.offers):
            yield f"6: an offer of {name(row)} does not end"
        if world.phones.requesters.get(row.request.id, 0) < row.request.version:
            yield f"6: the requester of {name(row)} was not told the end"
    for ring, until in world.phones.shown.items():
        if until is not None:
            yield f"6: the phone of {person_name(ring.person_id)} was not told that it is over"
    for person_id in world.book.people:
        if not _can_come(world, person_id):
            continue
        entry = world.index._people.get(person_id)
        if entry is None:
            yield f"3: {person_name(person_id)} can be asked, and is not in the index"
        elif entry.wake_at is not None or entry.listing.tier is not world.book.people[person_id].tier(world.clock.now):
            yield f"3: {person_name(person_id)} does not come back"
        if world.book.taken_until(person_id) is not None:
            yield f"3: {person_name(person_id)} is taken for ever"
