"""Which devices are rung, which rings are replaced, and what becomes of both when nodes and providers fail."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from infra.postgres.wakes import PostgresWakes
from matching.model import Request, WithdrawReason
from matching.request_rules import delivery_failed
from matching.waking import PushOutcome, PushResult, PushTarget, Wake, WakeType
from server.waking import LEASE, Waking
from tests.integration.postgres.world import LIMITS, Person, World

DELIVERED, UNKNOWN, FAILED = PushResult.DELIVERED, PushResult.UNKNOWN, PushResult.FAILED
LATER, THROTTLED, GONE = PushResult.RETRY_LATER, PushResult.THROTTLED, PushResult.UNREGISTERED
LEASE_S = LEASE.total_seconds()


@dataclass
class Provider:
    """A push provider that answers as it is told, by push value or always, and remembers what it was sent."""

    always: PushResult = DELIVERED
    answers: dict[UUID, PushResult] = field(default_factory=dict)
    sent: list[tuple[WakeType, UUID]] = field(default_factory=list)
    wakes: list[Wake] = field(default_factory=list)
    gate: asyncio.Event | None = None
    pushing: asyncio.Event = field(default_factory=asyncio.Event)

    async def push(self, wake: Wake, targets: Sequence[PushTarget]) -> list[PushOutcome]:
        self.sent += [(wake.type, target.id) for target in targets]
        self.wakes.append(wake)
        self.pushing.set()
        if self.gate is not None:
            await self.gate.wait()
        results = [self.answers.get(target.id, self.always) for target in targets]
        return [PushOutcome(r, timedelta(seconds=60) if r is THROTTLED else None) for r in results]

    def taken(self) -> list[tuple[WakeType, UUID]]:
        """What was sent since this was last asked."""
        sent, self.sent = self.sent, []
        return sent


class Node:
    """The waking of one node."""

    def __init__(self, world: World, provider: Provider) -> None:
        self.looked: list[UUID] = []
        self.unreachable: list[UUID] = []
        self.offset = 0.0
        pushers = {"fcm": provider, "webpush": provider}
        self.waking = Waking(PostgresWakes(world.pool), pushers, self._now, self.looked.append, self._lost)
        self.wake = self.waking.wake

    def _now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.offset)

    async def _lost(self, person_id: UUID) -> None:
        self.unreachable.append(person_id)


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def node(world: World, provider: Provider) -> Node:
    return Node(world, provider)


async def rung(world: World, count: int = 1, **device: Any) -> tuple[Request, list[Person], list[UUID]]:
    """A request offered to people with the app closed; with them their push values, in order."""
    people = sorted([await world.closed() for _ in range(count)], key=lambda person: person.id)
    if device:
        for person in people:
            await world.device(person, **device)
    request = await world.open()
    assert len(await world.wave(request, people) or ()) == count
    rows = await world.sql.fetch("SELECT id FROM push_values ORDER BY user_id, seen_at")
    return await world.now(request), people, [row["id"] for row in rows]


async def offer_row(world: World, person: Person) -> dict[str, Any]:
    return dict(await world.sql.fetchrow("SELECT * FROM offers WHERE person_id = $1 ORDER BY wave DESC", person.id))


async def pass_time(world: World, node: Node, seconds: float) -> None:
    await world.pass_time(seconds)
    node.offset = seconds


async def spent(world: World, request: Request, person: Person) -> bool:
    """Whether the offer counts as one they know nothing of."""
    decided = await world.look(request)
    (offer,) = [one for one in decided.case.offers if one.person_id == person.id]
    return delivery_failed(offer, decided.now, LIMITS)


class TestWhoIsOffered:
    async def test_a_closed_app_only_within_the_hours(self, world: World) -> None:
        asleep, awake = await world.volunteer(ready=False), await world.closed()
        await world.device(asleep)
        assert await world.wave(await world.open(), [asleep, awake]) == (awake.id,)

    async def test_idle_phones_only_when_it_is_not_urgent(self, world: World) -> None:
        idle, request = await world.closed(idle=True), await world.open()
        assert await world.wave(request, [idle]) == ()
        assert await world.wave(request, [idle], urgent=False) == (idle.id,)

    async def test_nobody_whom_nothing_can_reach(self, world: World) -> None:
        person = await world.volunteer(ready=False)
        await world.at_any_time(person)
        assert await world.wave(await world.open(), [person]) == ()

    async def test_without_the_index_those_whose_turn_and_hours_it_is(self, world: World) -> None:
        await world.volunteer()
        later, first = await world.closed(), await world.closed()
        await world.closed("da")
        await world.closed(idle=True)
        asleep = await world.volunteer(ready=False)
        await world.device(asleep)
        await world.sql.execute("UPDATE users SET last_asked_at = eyeline_now() WHERE id = $1", later.id)
        assert await world.book.draw_closed(language="en", count=9, excluded=()) == [first.id, later.id]
        assert await world.book.draw_closed(language="en", count=9, excluded=[first.id]) == [later.id]


class TestRings:
    async def test_every_device_of_everybody_asked_rings_once_whoever_comes_to_it(
        self, world: World, node: Node, provider: Provider
    ) -> None:
        request, people, values = await rung(world, 3, device_id="tablet", platform="ios")
        others = [Node(world, provider) for _ in range(3)]
        await asyncio.gather(*(one.wake(request.id) for one in [node, *others]))
        await node.wake(request.id)
        assert sorted(provider.sent) == sorted((WakeType.RING, value) for value in values)
        assert len(values) == 6
        assert not await spent(world, request, people[0])

    async def test_a_ring_says_what_the_contract_says(self, world: World, node: Node, provider: Provider) -> None:
        request, people, _ = await rung(world)
        await node.wake(request.id)
        (wake,), offer = provider.wakes, await offer_row(world, people[0])
        assert (wake.request_id, wake.epoch, wake.language) == (request.id, 1, "en")
        assert wake.expires_at == offer["expires_at"]
        assert wake.reason is None

    async def test_an_open_app_that_acknowledges_needs_none(self, world: World, node: Node, provider: Provider) -> None:
        request, (person,) = await world.open(), [await world.volunteer()]
        await world.device(person)
        await world.wave(request, [person])
        await world.book.note_delivered(person.id, [(request.id, 1)])
        await pass_time(world, node, 2)
        await node.wake(request.id)
        assert provider.sent == []

    async def test_an_open_app_that_says_nothing_is_rung_after_a_moment(
        self, world: World, node: Node, provider: Provider
    ) -> None:
        request, (person,) = await world.open(), [await world.volunteer()]
        value = await world.device(person, idle=True)
        await world.wave(request, [person])
        await node.wake(request.id)
        assert provider.sent == []
        await pass_time(world, node, 1.6)
        await node.wake(request.id)
        assert provider.sent == [(WakeType.RING, value)]
        assert not await spent(world, request, person)

    @pytest.mark.parametrize("urgent", [True, False])
    async def test_a_phone_unseen_for_a_month_is_left_in_peace_while_it_is_urgent(
        self, world: World, node: Node, provider: Provider, urgent: bool
    ) -> None:
        person = await world.closed()
        await world.device(person, device_id="drawer", idle=True)
        request = await world.open()
        await world.wave(request, [person], urgent=urgent)
        await node.wake(request.id)
        assert len(provider.sent) == (1 if urgent else 2)

    async def test_a_look_is_due_when_a_ring_is(self, world: World) -> None:
        request, (person,) = await world.open(), [await world.volunteer()]
        await world.device(person)
        await world.wave(request, [person])
        await world.look(request)
        (due, ring) = await world.sql.fetchrow(
            "SELECT next_look_at, ring_due_at FROM requests JOIN offers ON request_id = id"
        )
        assert due <= ring

    async def test_none_is_sent_after_the_offer_has_ended_or_run_out(
        self, world: World, node: Node, provider: Provider
    ) -> None:
        request, _, _ = await rung(world)
        await pass_time(world, node, 31)
        await node.wake(request.id)
        assert provider.sent == []
        await world.cancel(request)
        await node.wake(request.id)
        assert provider.sent == []

    async def test_what_a_dead_node_had_claimed_another_rings_after_the_lease(
        self, world: World, node: Node, provider: Provider
    ) -> None:
        request, _, (value,) = await rung(world)
        assert await PostgresWakes(world.pool).claim(request.id, LEASE)
        await node.wake(request.id)
        assert provider.sent == []
        await pass_time(world, node, LEASE_S + 0.1)
        await node.wake(request.id)
        assert provider.sent == [(WakeType.RING, value)]


class TestFailedRings:
    @pytest.mark.parametrize("result", [FAILED, GONE, THROTTLED, LATER, UNKNOWN, PushResult.QUARANTINED])
    async def test_whoever_was_not_surely_reached_is_replaced_at_once(
        self, world: World, node: Node, provider: Provider, result: PushResult
    ) -> None:
        request, (person,), _ = await rung(world)
        provider.always = result
        await node.wake(request.id)
        assert node.looked == [request.id]
        assert await spent(world, request, person)

    async def test_one_device_that_rings_is_enough(self, world: World, node: Node, provider: Provider) -> None:
        request, (person,), values = await rung(world, 1, device_id="tablet")
        provider.answers[values[0]] = FAILED
        await node.wake(request.id)
        assert (node.looked, await spent(world, request, person)) == ([], False)

    @pytest.mark.parametrize("result", [LATER, UNKNOWN])
    async def test_trouble_is_tried_again_where_it_was_and_nowhere_else(
        self, world: World, node: Node, provider: Provider, result: PushResult
    ) -> None:
        request, (person,), values = await rung(world, 1, device_id="tablet")
        provider.answers[values[1]] = result
        await node.wake(request.id)
        assert len(provider.taken()) == 2
        await pass_time(world, node, 1)
        await node.wake(request.id)
        assert provider.taken() == [(WakeType.RING, values[1])]
        provider.answers.clear()
        await pass_time(world, node, 4)
        await node.wake(request.id)
        assert provider.taken() == [(WakeType.RING, values[1])]
        await pass_time(world, node, 12)
        await node.wake(request.id)
        assert provider.taken() == []
        assert not await spent(world, request, person)

    async def test_who_is_reached_in_a_later_attempt_knows_of_it(
        self, world: World, node: Node, provider: Provider
    ) -> None:
        request, (person,), _ = await rung(world)
        provider.always = LATER
        await node.wake(request.id)
        provider.always = DELIVERED
        await pass_time(world, node, 1)
        await node.wake(request.id)
        assert not await spent(world, request, person)

    @pytest.mark.parametrize("result", [FAILED, GONE, THROTTLED, PushResult.QUARANTINED])
    async def test_what_cannot_help_is_not_tried_again(
        self, world: World, node: Node, provider: Provider, result: PushResult
    ) -> None:
        request, _, _ = await rung(world)
        provider.always = result
        await node.wake(request.id)
        await pass_time(world, node, 10)
        await node.wake(request.id)
        assert len(provider.sent) == 1

    async def test_no_attempt_is_planned_beyond_the_life_of_the_ring(
        self, world: World, node: Node, provider: Provider
    ) -> None:
        request, (person,), _ = await rung(world)
        provider.always = LATER
        for seconds in (0, 1, 4, 12, 20, 27, 29.9):
            await pass_time(world, node, seconds)
            await node.wake(request.id)
        row = await offer_row(world, person)
        assert row["ring_due_at"] is None or row["ring_due_at"] < row["expires_at"]


class TestValues:
    async def test_one_that_is_no_more_is_forgotten_and_its_person_listed_anew(
        self, world: World, node: Node, provider: Provider
    ) -> None:
        request, (person,), (value,) = await rung(world)
        provider.answers[value] = GONE
        await node.wake(request.id)
        assert await world.sql.fetchval("SELECT count(*) FROM push_values") == 0
        assert node.unreachable == [person.id]

    async def test_one_that_was_put_again_meanwhile_stays(self, world: World, node: Node, provider: Provider) -> None:
        request, _, (value,) = await rung(world)
        provider.answers[value], provider.gate = GONE, asyncio.Event()
        waking = asyncio.create_task(node.wake(request.id))
        await provider.pushing.wait()
        await world.sql.execute("UPDATE push_values SET seen_at = eyeline_now()")
        provider.gate.set()
        await waking
        assert await world.sql.fetchval("SELECT count(*) FROM push_values") == 1

    async def test_a_refused_one_is_left_alone_for_a_day(self, world: World, node: Node, provider: Provider) -> None:
        request, (person,), _ = await rung(world)
        provider.always = PushResult.QUARANTINED
        await node.wake(request.id)
        assert node.unreachable == [person.id]
        day_s = timedelta(days=1).total_seconds()
        [listing] = await world.listings.of([person.id])
        assert 0 <= (await world.book.now()).timestamp() + day_s - listing.not_before < 60
        await world.pass_time(day_s + 60)
        [listing] = await world.listings.of([person.id])
        assert listing.not_before < (await world.book.now()).timestamp()

    async def test_a_throttled_one_is_left_alone_as_long_as_the_provider_says(
        self, world: World, node: Node, provider: Provider
    ) -> None:
        request, (person,), _ = await rung(world)
        provider.always = THROTTLED
        await node.wake(request.id)
        await pass_time(world, node, 31)
        await world.look(request)
        await world.wave(await world.now(request), [person])
        await node.wake(request.id)
        assert len(provider.sent) == 1


class TestQuietLines:
    async def test_all_who_were_rung_are_told_that_somebody_else_helped(
        self, world: World, node: Node, provider: Provider
    ) -> None:
        request, people, values = await rung(world, 3)
        await node.wake(request.id)
        provider.taken()
        await world.accept(request, people[0])
        await node.wake(request.id)
        expected = [(WakeType.WITHDRAW, value) for value in values[1:]]
        # The winner's phone has the call: it is the session's device.
        assert sorted(provider.taken()) == sorted(expected)
        assert {wake.reason for wake in provider.wakes[1:]} == {WithdrawReason.ANSWERED}
        await node.wake(request.id)
        assert provider.taken() == []

    async def test_the_other_devices_of_whoever_answered_are_told_so(
        self, world: World, node: Node, provider: Provider
    ) -> None:
        request, (person,), values = await rung(world, 1, device_id="tablet")
        await node.wake(request.id)
        provider.taken()
        await world.accept(request, person)
        await node.wake(request.id)
        assert provider.taken() == [(WakeType.WITHDRAW, values[1])]
        assert provider.wakes[-1].reason is WithdrawReason.ANSWERED_BY_YOU

    async def test_a_cancelled_request_is_no_longer_needed(self, world: World, node: Node, provider: Provider) -> None:
        request, _, _ = await rung(world)
        await node.wake(request.id)
        await world.cancel(request)
        await node.wake(request.id)
        assert [(wake.type, wake.reason) for wake in provider.wakes[1:]] == [
            (WakeType.WITHDRAW, WithdrawReason.CANCELLED)
        ]

    async def test_a_ring_that_ran_out_was_missed(self, world: World, node: Node, provider: Provider) -> None:
        request, _, _ = await rung(world)
        await node.wake(request.id)
        await pass_time(world, node, 31)
        await world.look(request)
        await node.wake(request.id)
        assert [wake.type for wake in provider.wakes] == [WakeType.RING, WakeType.MISSED]

    async def test_the_phone_that_said_not_now_knows_and_their_others_are_told(
        self, world: World, node: Node, provider: Provider
    ) -> None:
        request, (one,), _ = await rung(world)
        await node.wake(request.id)
        await world.decline(request, one)
        provider.taken()
        await node.wake(request.id)
        assert provider.taken() == []
        request, (other,), values = await rung(world, 1, device_id="tablet")
        await node.wake(request.id)
        await world.decline(request, other)
        provider.taken()
        await node.wake(request.id)
        assert len(provider.taken()) == 2
        assert values

    @pytest.mark.parametrize(("result", "told"), [(UNKNOWN, 1), (FAILED, 0), (LATER, 0), (THROTTLED, 0)])
    async def test_only_what_took_a_ring_or_may_have_is_told(
        self, world: World, node: Node, provider: Provider, result: PushResult, told: int
    ) -> None:
        request, _, _ = await rung(world)
        provider.always = result
        await node.wake(request.id)
        provider.always = DELIVERED
        await world.cancel(request)
        provider.taken()
        await node.wake(request.id)
        assert len(provider.taken()) == told

    async def test_a_ring_on_its_way_when_the_offer_ends_is_replaced_after_it(
        self, world: World, node: Node, provider: Provider
    ) -> None:
        request, _, (value,) = await rung(world)
        provider.gate = asyncio.Event()
        waking = asyncio.create_task(node.wake(request.id))
        await provider.pushing.wait()
        await world.cancel(request)
        await Node(world, provider).wake(request.id)
        assert provider.sent == [(WakeType.RING, value)]
        provider.gate.set()
        await waking
        assert provider.sent == [(WakeType.RING, value), (WakeType.WITHDRAW, value)]

    async def test_what_a_dead_node_may_have_rung_is_told(self, world: World, node: Node, provider: Provider) -> None:
        request, _, (value,) = await rung(world)
        assert await PostgresWakes(world.pool).claim(request.id, LEASE)
        await world.cancel(request)
        await node.wake(request.id)
        assert provider.sent == []
        await pass_time(world, node, LEASE_S + 0.1)
        await node.wake(request.id)
        assert provider.sent == [(WakeType.WITHDRAW, value)]

    async def test_trouble_is_tried_again_for_a_while_and_then_given_up(
        self, world: World, node: Node, provider: Provider
    ) -> None:
        request, (person,), _ = await rung(world)
        await node.wake(request.id)
        await world.cancel(request)
        provider.always = LATER
        for seconds in range(0, 200, 10):
            await pass_time(world, node, seconds)
            await node.wake(request.id)
        attempts = len(provider.taken()) - 1
        assert attempts > 5
        assert (await offer_row(world, person))["quieted_at"] is not None

    async def test_of_two_rings_of_one_request_the_last_is_replaced(
        self, world: World, node: Node, provider: Provider
    ) -> None:
        request, (person,), (value,) = await rung(world)
        await node.wake(request.id)
        await pass_time(world, node, 31)
        await world.look(request)
        await world.wave(await world.now(request), [person])
        await node.wake(request.id)
        assert provider.taken() == [(WakeType.RING, value)] * 2
        await world.cancel(request)
        await node.wake(request.id)
        assert provider.taken() == [(WakeType.WITHDRAW, value)]

    async def test_nobody_elses_phone_is_told(self, world: World, node: Node, provider: Provider) -> None:
        request, _, (value,) = await rung(world)
        await node.wake(request.id)
        other = await world.closed()
        await world.sql.execute(
            "UPDATE push_values SET user_id = $2, device_id = 'phone' WHERE id = $1", value, other.id
        )
        await world.cancel(request)
        provider.taken()
        await node.wake(request.id)
        assert provider.taken() == []

    async def test_a_request_is_not_laid_to_rest_before(self, world: World, node: Node, provider: Provider) -> None:
        request, _, _ = await rung(world)
        await node.wake(request.id)
        await world.cancel(request)
        for news in await world.news.offer_news(request.id):
            world.news.told_offer(news.open.offer)
        world.news.told_request(request.id, (await world.now(request)).version)
        await world.news.flush()
        asleep = "SELECT next_look_at IS NULL FROM requests"
        assert not await world.sql.fetchval(asleep)
        await node.wake(request.id)
        world.news.told_request(request.id, (await world.now(request)).version)
        await world.news.flush()
        assert await world.sql.fetchval(asleep)
