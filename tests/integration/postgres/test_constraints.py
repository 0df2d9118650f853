"""What no code may do, tried by hand: Postgres itself refuses it."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from matching.model import Request
from signaling.model import EndReason, Side
from tests.integration.postgres.world import WAITING_FOR_LOCKS, World

CALL = """
INSERT INTO calls (request_id, epoch, mode, language, requester_id, requester_session, volunteer_id, volunteer_session,
                   created_at, connect_by)
SELECT r.id, $2, 'video', 'en', r.requester_id, r.session_id, $3, $4, eyeline_now(), eyeline_now()
FROM requests r WHERE r.id = $1
"""
OFFER = """
INSERT INTO offers (request_id, person_id, epoch, wave, language, offered_at, expires_at)
VALUES ($1, $2, $3, 9, 'en', eyeline_now(), eyeline_now() + interval '30 s')
"""
END = """
UPDATE requests SET state = 'ended', outcome = 'cancelled', ended_at = eyeline_now() WHERE id = $1
"""
refused = pytest.raises(asyncpg.IntegrityConstraintViolationError)


class TestWinners:
    async def test_an_epoch_has_one_call(self, world: World) -> None:
        request, call, _ = await world.in_call()
        await world.end(call, EndReason.DONE, Side.REQUESTER)
        other = await world.volunteer()
        with refused:
            await world.sql.execute(CALL, request.id, 1, other.id, other.session)

    async def test_an_epoch_has_one_winning_offer(self, world: World) -> None:
        request, people = await world.offered(2)
        await world.accept(request, people[0])
        with refused:
            await world.sql.execute(
                "INSERT INTO offers (request_id, person_id, epoch, wave, language, offered_at, expires_at, outcome,"
                " reason, session_id, ended_at) SELECT request_id, $2, epoch, wave + 1, language, offered_at,"
                " expires_at, outcome, reason, session_id, ended_at FROM offers"
                " WHERE request_id = $1 AND outcome = 'won'",
                request.id,
                people[1].id,
            )

    async def test_a_person_has_one_live_call_as_volunteer(self, world: World) -> None:
        _, _, person = await world.in_call()
        other = await world.open()
        with refused:
            await world.sql.execute(CALL, other.id, 1, person.id, person.session)

    async def test_a_person_has_one_live_call_as_requester(self, world: World) -> None:
        request, _, _ = await world.in_call()
        other = await world.volunteer()
        with refused:
            await world.sql.execute(CALL, request.id, 2, other.id, other.session)

    async def test_nobody_is_in_one_call_on_both_sides(self, world: World) -> None:
        request = await world.open()
        with refused:
            await world.sql.execute(CALL, request.id, 1, request.requester_id, request.session_id)

    async def test_nobody_volunteers_in_one_call_and_asks_in_another(self, world: World) -> None:
        _, call, person = await world.in_call()
        turned = await world.open(person)
        helper = await world.volunteer()
        with refused:
            await world.sql.execute(CALL, turned.id, 1, helper.id, helper.session)
        other = await world.open()
        with refused:
            await world.sql.execute(CALL, other.id, 1, call.requester.person_id, call.requester.session_id)

    async def test_a_person_has_one_open_request(self, world: World) -> None:
        request = await world.open()
        with refused:
            await world.sql.execute(
                "INSERT INTO requests (requester_id, session_id, body_hash, languages, index_languages, mode,"
                " created_at, waiting_since, deadline, next_look_at) SELECT requester_id, session_id, body_hash,"
                " languages, index_languages, mode, created_at, waiting_since, deadline, next_look_at FROM requests"
                " WHERE id = $1",
                request.id,
            )


class TestRequests:
    @pytest.mark.parametrize(
        "change",
        [
            "state = 'waiting', outcome = NULL, ended_at = NULL, next_look_at = eyeline_now()",
            "outcome = 'completed'",
            "epoch = epoch + 1",
            "ended_at = eyeline_now() + interval '1 minute'",
            "deadline = deadline + interval '1 minute'",
            "asked = asked + 1",
            "version = version + 1",
        ],
    )
    async def test_an_ended_request_does_not_change(self, world: World, change: str) -> None:
        request = await world.open()
        await world.cancel(request)
        with refused:
            await world.sql.execute(f"UPDATE requests SET {change} WHERE id = $1", request.id)

    @pytest.mark.parametrize(
        "change",
        [
            "epoch = epoch - 1",
            "epoch = 0",
            "version = version - 1",
            "wave = wave - 1",
            "asked = asked - 1",
            "returns = returns - 1",
            "next_look_at = NULL",
            "state = 'ended'",
            "outcome = 'failed'",
            "state = 'connecting'",
        ],
    )
    async def test_what_only_rises_does_not_fall_and_halves_are_refused(self, world: World, change: str) -> None:
        request, _, _ = await self._returned_and_asked(world)
        with refused:
            await world.sql.execute(f"UPDATE requests SET {change} WHERE id = $1", request.id)

    async def _returned_and_asked(self, world: World) -> tuple[Request, int, int]:
        request, call, _ = await world.in_call()
        await world.end(call, EndReason.LEFT, Side.VOLUNTEER)
        request = await world.now(request)
        await world.wave(request, await world.volunteers(1))
        request = await world.now(request)
        assert (request.epoch, request.wave, request.returns, request.asked) == (2, 2, 1, 2)
        return request, request.epoch, request.wave

    async def test_a_call_of_a_waiting_request_is_refused(self, world: World) -> None:
        request, _, _ = await self._returned_and_asked(world)
        with refused:
            await world.sql.execute(
                "UPDATE requests SET call_id = (SELECT id FROM calls WHERE request_id = $1) WHERE id = $1", request.id
            )


class TestCalls:
    @pytest.mark.parametrize(
        "change",
        [
            "state = 'connecting', ended_at = NULL, end_reason = NULL, ended_by = NULL",
            "end_reason = 'left'",
            "ended_by = NULL",
            "attempt = attempt + 1",
            "ended_at = ended_at + interval '1 minute'",
            "connected_at = eyeline_now()",
            "volunteer_session = requester_session",
            "version = version + 1",
        ],
    )
    async def test_an_ended_call_does_not_change(self, world: World, change: str) -> None:
        _, call, _ = await world.in_call()
        await world.end(call, EndReason.DONE, Side.REQUESTER)
        with refused:
            await world.sql.execute(f"UPDATE calls SET {change} WHERE id = $1", call.id)

    @pytest.mark.parametrize("change", ["attempt = 0", "attempt = attempt - 1", "version = version - 1"])
    async def test_attempt_and_version_only_rise(self, world: World, change: str) -> None:
        _, call, _ = await world.in_call()
        await world.sql.execute("UPDATE calls SET attempt = 2, version = 2 WHERE id = $1", call.id)
        with refused:
            await world.sql.execute(f"UPDATE calls SET {change} WHERE id = $1", call.id)


class TestOffers:
    @pytest.mark.parametrize(
        "change",
        [
            "outcome = 'expired', reason = 'expired'",
            "outcome = NULL, reason = NULL, ended_at = NULL",
            "reason = 'cancelled'",
            "ended_at = ended_at + interval '1 minute'",
        ],
    )
    async def test_an_offer_ends_once(self, world: World, change: str) -> None:
        request, (person,) = await world.offered(1)
        await world.decline(request, person)
        with refused:
            await world.sql.execute(f"UPDATE offers SET {change} WHERE request_id = $1", request.id)

    async def test_the_winner_stays_the_winner_on_the_session_that_won(self, world: World) -> None:
        request, _, person = await world.in_call()
        for change in ("session_id = uuidv7()", "outcome = 'lost', session_id = NULL", "session_id = NULL"):
            with refused:
                await world.sql.execute(f"UPDATE offers SET {change} WHERE request_id = $1", request.id)
        assert await world.offers(request) == {person.id: "won"}

    @pytest.mark.parametrize("change", ["outcome = 'won', reason = 'answered'", "outcome = 'lost'", "ended_at = now()"])
    async def test_half_an_end_is_refused(self, world: World, change: str) -> None:
        request, _ = await world.offered(1)
        with refused:
            await world.sql.execute(f"UPDATE offers SET {change} WHERE request_id = $1", request.id)

    async def test_a_person_has_one_open_offer_of_a_request(self, world: World) -> None:
        request, (person,) = await world.offered(1)
        with refused:
            await world.sql.execute(OFFER, request.id, person.id, 1)

    @pytest.mark.parametrize("epoch", [0, 2])
    async def test_only_the_present_epoch_makes_offers(self, world: World, epoch: int) -> None:
        request, person = await world.open(), await world.volunteer()
        with refused:
            await world.sql.execute(OFFER, request.id, person.id, epoch)

    async def test_a_request_that_does_not_wait_makes_no_offers(self, world: World) -> None:
        ended = await world.open()
        await world.cancel(ended)
        connecting, _, _ = await world.in_call()
        connected, _, _ = await world.in_call(media=True)
        person = await world.volunteer()
        for request in (ended, connecting, connected):
            with refused:
                await world.sql.execute(OFFER, request.id, person.id, 1)

    @pytest.mark.parametrize(
        "change",
        [
            "state = 'ended', outcome = 'cancelled', ended_at = eyeline_now()",
            "epoch = epoch + 1",
        ],
    )
    async def test_no_offer_is_left_open_on_a_request_that_moves_on(self, world: World, change: str) -> None:
        request, _ = await world.offered(2)
        with refused:
            await world.sql.execute(f"UPDATE requests SET {change} WHERE id = $1", request.id)
        with refused:
            async with world.sql.transaction():  # judged when it commits
                await world.sql.execute(f"UPDATE requests SET {change} WHERE id = $1", request.id)

    async def test_no_offer_is_born_behind_the_back_of_who_ends_the_request(self, world: World) -> None:
        """Also for a writer that forgets to lock the request first."""
        request, person = await world.open(), await world.volunteer()
        async with world.locked(request) as ender:
            await ender.execute(
                END,
                request.id,
            )
            born = asyncio.create_task(world.sql.execute(OFFER, request.id, person.id, 1))
            async with world.other() as watcher:
                await _waits_or_is_over(watcher, born)
        with refused:
            await born
        assert await world.offers(request) == {}

    async def test_a_request_is_not_ended_behind_the_back_of_who_makes_an_offer(self, world: World) -> None:
        request, person = await world.open(), await world.volunteer()
        async with world.other() as asker, asker.transaction():
            await asker.execute(OFFER, request.id, person.id, 1)
            ending = asyncio.create_task(
                world.sql.execute(
                    END,
                    request.id,
                )
            )
            async with world.other() as watcher:
                await _waits_or_is_over(watcher, ending)
        with refused:
            await ending


async def _waits_or_is_over(watcher: asyncpg.Connection, task: asyncio.Task[str]) -> None:
    async with asyncio.timeout(10):
        while not task.done() and not await watcher.fetchval(WAITING_FOR_LOCKS):  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.005)
