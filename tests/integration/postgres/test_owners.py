"""Of two nodes that speak of one session's socket, the later owner of its mailbox is right, whoever writes last."""

from __future__ import annotations

from datetime import datetime

from matching.model import Tier
from signaling import call_rules
from signaling.model import Call, Side
from tests.integration.postgres.world import World

OLD, NEW = 1_700_000_000_000_000, 1_700_000_000_000_001
"""Owner epochs are microseconds."""


async def test_losing_an_older_socket_takes_nothing_from_a_later_one(world: World) -> None:
    person = await world.volunteer()
    await world.presence.attach(person.session, OLD)
    await world.presence.attach(person.session, NEW)
    await world.presence.attach(person.session, OLD)
    assert not await world.presence.detach(person.session, OLD)
    assert [one.tier for one in await world.listings.of([person.id])] == [Tier.HOT]
    assert await world.presence.detach(person.session, NEW)
    assert [one.tier for one in await world.listings.of([person.id])] == [Tier.COLD]


async def test_a_call_knows_who_last_had_the_socket_of_a_side(world: World) -> None:
    _request, call, _volunteer = await world.in_call()
    await world.presence.attach(call.volunteer.session_id, NEW)

    def unchanged(call: Call, now: datetime) -> Call:
        assert call.end(Side.VOLUNTEER).owner_epoch == NEW
        assert call.end(Side.REQUESTER).owner_epoch == 0
        return call_rules.away(call, Side.REQUESTER, now)

    changed = await world.calls.change(call.id, unchanged)
    assert changed.after.volunteer.owner_epoch == NEW


async def test_the_socket_of_a_session_that_was_ended_is_gone_all_the_same(world: World) -> None:
    person = await world.volunteer()
    await world.presence.attach(person.session, OLD)
    await world.sql.execute("UPDATE sessions SET ended_at = eyeline_now(), ready = false")
    assert await world.presence.detach(person.session, OLD)
