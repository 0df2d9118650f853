"""Opening a request: one at a time, and once under one key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from matching.ports import IdempotencyMismatch, Opened, RequestOpen
from signaling.model import EndReason, Side
from tests.integration.postgres.world import LIMITS, Person, World, key, new_request, open_world

OTHER_BODY = bytes([1] * 32)
DAY_S = 24 * 3600.0


async def opened(world: World, who: Person, **changes: object) -> Opened:
    return await world.book.open(new_request(who, **changes), LIMITS.deadline)


@pytest.fixture
async def second(database_url: str) -> AsyncIterator[World]:
    async with open_world(database_url) as world:
        yield world


class TestOneAtATime:
    async def test_a_second_request_is_refused_with_the_first(self, world: World) -> None:
        who = await world.requester()
        first = await opened(world, who, idempotency_key=key())
        for its_key in (None, key()):
            with pytest.raises(RequestOpen) as refused:
                await opened(world, who, idempotency_key=its_key)
            assert refused.value.request == first.request

    async def test_of_many_at_once_one_is_opened(self, world: World, second: World) -> None:
        who = await world.requester()
        answers = await asyncio.gather(
            *(opened(node, who, idempotency_key=key()) for node in [world, second] * 10), return_exceptions=True
        )
        created = [answer for answer in answers if isinstance(answer, Opened)]
        refused = [answer for answer in answers if isinstance(answer, RequestOpen)]
        assert (len(created), len(refused)) == (1, 19)
        assert {answer.request.id for answer in refused} == {created[0].request.id}

    async def test_one_in_a_call_still_has_that_request(self, world: World) -> None:
        request, call, _ = await world.in_call(media=True)
        who = Person(call.requester.person_id, call.requester.session_id)
        with pytest.raises(RequestOpen) as refused:
            await opened(world, who)
        assert refused.value.request.id == request.id

    async def test_after_the_end_another_may_be_opened(self, world: World) -> None:
        who = await world.requester()
        first = await world.open(who)
        await world.cancel(first)
        assert (await opened(world, who)).request.id != first.id

    async def test_opening_while_the_former_one_ends_opens_or_names_it(self, world: World, second: World) -> None:
        who = await world.requester()
        for _ in range(60):
            former = await world.book.current(who.id) or await world.open(who)
            _, answer = await asyncio.gather(second.cancel(former), opened(world, who), return_exceptions=True)
            assert isinstance(answer, Opened | RequestOpen), answer
            assert answer.request.id != former.id or isinstance(answer, RequestOpen)


class TestKeys:
    async def test_the_same_key_and_body_is_the_same_request_whatever_became_of_it(self, world: World) -> None:
        who, its_key = await world.requester(), key()
        first = await opened(world, who, idempotency_key=its_key)
        again = await opened(world, who, idempotency_key=its_key)
        assert (first.created, again.created, again.request) == (True, False, first.request)
        await world.cancel(first.request)
        ended = await opened(world, who, idempotency_key=its_key)
        assert (ended.created, ended.request) == (False, await world.now(first.request))

    async def test_another_body_is_a_mismatch(self, world: World) -> None:
        who, its_key = await world.requester(), key()
        first = await opened(world, who, idempotency_key=its_key)
        for _ in range(2):
            with pytest.raises(IdempotencyMismatch):
                await opened(world, who, idempotency_key=its_key, body_hash=OTHER_BODY)
            await world.cancel(first.request)

    async def test_an_old_key_is_remembered_beside_a_newer_request(self, world: World) -> None:
        who, its_key = await world.requester(), key()
        first = await opened(world, who, idempotency_key=its_key)
        await world.cancel(first.request)
        await opened(world, who, idempotency_key=key())
        assert (await opened(world, who, idempotency_key=its_key)).request.id == first.request.id

    async def test_keys_are_each_persons_own(self, world: World) -> None:
        its_key = key()
        first = await opened(world, await world.requester(), idempotency_key=its_key)
        other = await opened(world, await world.requester(), idempotency_key=its_key, body_hash=OTHER_BODY)
        assert other.created
        assert other.request.id != first.request.id

    async def test_concurrent_repetitions_give_one_request(self, world: World, second: World) -> None:
        who, its_key = await world.requester(), key()
        answers = await asyncio.gather(*(opened(n, who, idempotency_key=its_key) for n in [world, second] * 10))
        assert sum(answer.created for answer in answers) == 1
        assert len({answer.request.id for answer in answers}) == 1

    async def test_a_repetition_waits_for_one_that_is_not_committed_yet(self, world: World) -> None:
        """And does it itself when that comes to nothing."""
        who, its_key = await world.requester(), key()
        for commit in (False, True):
            async with world.other() as frozen:
                transaction = frozen.transaction()
                await transaction.start()
                await frozen.execute(
                    "INSERT INTO requests (requester_id, session_id, idempotency_key, body_hash, languages,"
                    " index_languages, mode, created_at, waiting_since, deadline, next_look_at)"
                    " SELECT $1, $2, $3, $4, '{en}', '{en}', 'video', t, t, t + interval '180 s', t"
                    " FROM (SELECT eyeline_now() AS t) AS clock",
                    who.id,
                    who.session,
                    its_key,
                    bytes(32),
                )
                repeated = asyncio.create_task(opened(world, who, idempotency_key=its_key))
                await world.waiters(1)
                await (transaction.commit() if commit else transaction.rollback())
                answer = await repeated
            assert answer.created is not commit
            await world.cancel(answer.request)
            its_key = key()

    async def test_a_key_is_kept_for_a_day(self, world: World) -> None:
        who, its_key = await world.requester(), key()
        first = await opened(world, who, idempotency_key=its_key)
        await world.cancel(first.request)
        await world.pass_time(DAY_S - 60)
        assert (await opened(world, who, idempotency_key=its_key)).request.id == first.request.id
        with pytest.raises(IdempotencyMismatch):
            await opened(world, who, idempotency_key=its_key, body_hash=OTHER_BODY)
        await world.pass_time(DAY_S + 60)
        later = await opened(world, who, idempotency_key=its_key, body_hash=OTHER_BODY)
        assert later.created
        assert (await opened(world, who, idempotency_key=its_key, body_hash=OTHER_BODY)).request.id == later.request.id

    async def test_a_key_free_again_opens_one_request_however_many_ask(self, world: World, second: World) -> None:
        who, its_key = await world.requester(), key()
        first = await opened(world, who, idempotency_key=its_key)
        await world.cancel(first.request)
        await world.pass_time(DAY_S + 60)
        await second.pool.expire_connections()
        answers = await asyncio.gather(*(opened(n, who, idempotency_key=its_key) for n in [world, second] * 5))
        assert sum(answer.created for answer in answers) == 1
        assert len({answer.request.id for answer in answers}) == 1

    async def test_a_key_of_a_request_that_led_to_a_call_stays_with_it(self, world: World) -> None:
        who, its_key = await world.requester(), key()
        request = (await opened(world, who, idempotency_key=its_key)).request
        (person,) = await world.volunteers(1)
        await world.wave(request, [person])
        await world.accept(request, person)
        await world.end(await world.call_of(request), EndReason.DONE, Side.REQUESTER)
        again = await opened(world, who, idempotency_key=its_key)
        assert (again.created, again.request.id) == (False, request.id)
