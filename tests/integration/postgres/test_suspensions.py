"""Suspending people, as Postgres keeps it: what is banned, what meets it halfway, and what looks end by themselves."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import pytest

from infra.postgres.accounts import PostgresAccounts
from infra.postgres.suspensions import PostgresSuspensions, suspend
from matching.model import Outcome, RequestState
from signaling import call_rules
from signaling.call_rules import CallLimits
from signaling.model import Call, EndReason, Side
from tests.integration.postgres.world import World

DAY = timedelta(days=1)


class Door:
    """Where people sign in, and from where they are sent away."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.accounts = PostgresAccounts(world.pool)
        self.suspensions = PostgresSuspensions(world.pool)

    async def sign_in(self, name: str, device_id: str) -> UUID:
        """Gives the session."""
        return await self.accounts.sign_in(
            provider="dev",
            subject=name,
            display_name=None,
            device_id=device_id,
            platform="web",
            refresh_hash=secrets.token_bytes(32),
        )

    async def person(self, name: str) -> UUID:
        found: UUID = await self.world.sql.fetchval("SELECT user_id FROM identities WHERE subject = $1", name)
        return found

    async def status(self, name: str) -> str:
        found: str = await self.world.sql.fetchval("SELECT status FROM users WHERE id = $1", await self.person(name))
        return found

    async def suspend(self, name: str, reason: str | None = None) -> list[UUID] | None:
        return await self.suspensions.suspend(await self.person(name), None, reason)

    async def banned(self) -> set[tuple[str, bytes]]:
        return {(row["what"], row["hash"]) for row in await self.world.sql.fetch("SELECT what, hash FROM bans")}

    @asynccontextmanager
    async def suspending(self, name: str) -> AsyncIterator[None]:
        """Somebody else is suspending them until the end of the block, and then has."""
        async with self.world.other() as connection, connection.transaction():
            await suspend(connection, await self.person(name))
            yield


@pytest.fixture
def door(world: World) -> Door:
    return Door(world)


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


class TestBans:
    async def test_are_hashes_and_the_values_are_gone(self, door: Door) -> None:
        await door.sign_in("ada", "phone")
        ada = await door.person("ada")
        await door.accounts.put_device(ada, "phone", "android", {("fcm", "a token"): None})
        await door.suspend("ada")
        assert await door.banned() == {("device", digest("phone")), ("fcm", digest("a token"))}
        assert await door.world.sql.fetchval("SELECT count(*) FROM push_values") == 0

    async def test_reach_back_ninety_days_over_ended_sessions(self, door: Door) -> None:
        for device_id, days in (("late", 89), ("long ago", 91)):
            session_id = await door.sign_in("ada", device_id)
            await door.accounts.end_session(await door.person("ada"), session_id)
            await door.world.sql.execute(
                "UPDATE sessions SET ended_at = eyeline_now() - $2::interval WHERE id = $1", session_id, days * DAY
            )
        await door.suspend("ada")
        assert await door.banned() == {("device", digest("late"))}

    async def test_of_one_kind_of_value_say_nothing_of_another(self, door: Door) -> None:
        await door.sign_in("ada", "phone")
        await door.accounts.put_device(await door.person("ada"), "phone", "android", {("fcm", "same"): None})
        await door.suspend("ada")
        await door.sign_in("eve", "other")
        eve = await door.person("eve")
        await door.accounts.put_device(eve, "other", "ios", {("apns_voip", "same"): None})
        assert await door.status("eve") == "active"
        await door.accounts.put_device(eve, "other", "ios", {("fcm", "same"): None})
        assert await door.status("eve") == "suspended"

    async def test_that_follow_name_what_they_follow(self, door: Door) -> None:
        await door.sign_in("ada", "phone")
        await door.suspend("ada", "Quokka")
        await door.sign_in("eve", "phone")
        rows = await door.world.sql.fetch("SELECT id, follows, by, reason FROM suspensions ORDER BY created_at")
        assert rows[1]["follows"] == rows[0]["id"]
        assert [row["reason"] for row in rows] == ["Quokka", None]


class TestSuspendedAlready:
    async def test_signing_in_again_ends_no_other_session(self, door: Door) -> None:
        await door.sign_in("ada", "phone")
        await door.suspend("ada")
        elsewhere = await door.sign_in("ada", "tablet")
        await door.sign_in("ada", "phone")
        assert await door.accounts.by_session(elsewhere) is not None

    async def test_and_then_by_a_moderator_is_out_on_their_own_account(self, door: Door) -> None:
        await door.sign_in("ada", "phone")
        await door.suspend("ada")
        await door.sign_in("eve", "phone")
        await door.suspend("eve", "Quokka")
        assert await door.suspensions.restore(await door.person("ada"))
        assert (await door.status("ada"), await door.status("eve")) == ("active", "suspended")


class TestMeetingASuspension:
    async def test_a_sign_in_waits_for_it_and_is_of_somebody_suspended(self, door: Door) -> None:
        await door.sign_in("ada", "phone")
        async with door.suspending("ada"):
            signing_in = asyncio.create_task(door.sign_in("ada", "tablet"))
            await door.world.waiters(1)
        found = await door.accounts.by_session(await signing_in)
        assert found is not None
        assert found[1].status == "suspended"

    async def test_a_sign_in_that_is_first_ends_with_the_others(self, door: Door) -> None:
        await door.sign_in("ada", "phone")
        ada = await door.person("ada")
        async with door.world.other() as connection, connection.transaction():
            await connection.execute("LOCK TABLE refresh_tokens IN SHARE MODE")  # the last that a sign-in writes
            signing_in = asyncio.create_task(door.sign_in("ada", "tablet"))
            await door.world.waiters(1)
            suspending = asyncio.create_task(door.suspensions.suspend(ada, None, None))
            await door.world.waiters(2)
        session_id, ended = await signing_in, await suspending
        assert ended is not None
        assert session_id in ended
        assert ("device", digest("tablet")) in await door.banned()

    async def test_push_values_put_meanwhile_are_not_kept(self, door: Door) -> None:
        await door.sign_in("ada", "phone")
        ada = await door.person("ada")
        async with door.suspending("ada"):
            put = door.accounts.put_device(ada, "phone", "android", {("fcm", "a token"): None})
            putting = asyncio.create_task(put)
            await door.world.waiters(1)
        assert not await putting
        assert await door.world.sql.fetchval("SELECT count(*) FROM push_values") == 0

    async def test_an_accept_does_not_begin_a_call(self, world: World) -> None:
        request, (volunteer,) = await world.offered(1)
        await PostgresSuspensions(world.pool).suspend(volunteer.id, None, None)
        decided = await world.accept(request, volunteer)
        assert decided.refused_busy or decided.change.winner is None
        assert await world.sql.fetchval("SELECT count(*) FROM calls") == 0

    async def test_an_accept_for_somebody_suspended_does_not_either(self, world: World) -> None:
        request, (volunteer,) = await world.offered(1)
        await PostgresSuspensions(world.pool).suspend(request.requester_id, None, None)
        decided = await world.accept(request, volunteer)
        assert decided.refused_busy or decided.change.winner is None
        assert await world.sql.fetchval("SELECT count(*) FROM calls") == 0

    async def test_a_wave_does_not_ask_them(self, world: World) -> None:
        request, volunteer = await world.open(), await world.volunteer()
        await PostgresSuspensions(world.pool).suspend(volunteer.id, None, None)
        assert not await world.wave(request, [volunteer])


class TestLooks:
    @pytest.mark.parametrize("media", [False, True])
    async def test_end_the_call_of_a_requester_and_the_request(self, world: World, media: bool) -> None:
        request, call, _ = await world.in_call(media=media)
        await PostgresSuspensions(world.pool).suspend(request.requester_id, None, None)
        over = await _look_at(world, call)
        assert (over.end_reason, over.ended_by) == (EndReason.SUSPENDED, Side.REQUESTER)
        assert (await world.now(request)).outcome == (Outcome.COMPLETED if media else Outcome.FAILED)

    @pytest.mark.parametrize("media", [False, True])
    async def test_end_the_call_of_a_volunteer_who_is_not_asked_again(self, world: World, media: bool) -> None:
        request, call, volunteer = await world.in_call(media=media)
        await PostgresSuspensions(world.pool).suspend(volunteer.id, None, None)
        over = await _look_at(world, call)
        assert (over.end_reason, over.ended_by) == (EndReason.SUSPENDED, Side.VOLUNTEER)
        again = await world.now(request)
        assert (again.state, again.epoch) == (RequestState.WAITING, 2)
        assert volunteer.id in await world.book.exclusions(request.id)
        await PostgresSuspensions(world.pool).restore(volunteer.id)
        assert volunteer.id in await world.book.exclusions(request.id)

    async def test_end_a_waiting_request_with_its_offers(self, world: World) -> None:
        request, (volunteer,) = await world.offered(1)
        await PostgresSuspensions(world.pool).suspend(request.requester_id, None, None)
        await world.look(request)
        assert (await world.now(request)).outcome is Outcome.FAILED
        row = await world.sql.fetchrow("SELECT outcome, reason FROM offers WHERE person_id = $1", volunteer.id)
        assert tuple(row) == ("withdrawn", "request_ended")
        assert await world.busy() == {}

    async def test_leave_alone_what_ended_before(self, world: World) -> None:
        request, call, volunteer = await world.in_call(media=True)
        await world.end(call, EndReason.DONE, Side.REQUESTER)
        await PostgresSuspensions(world.pool).suspend(volunteer.id, None, None)
        assert (await _look_at(world, call)).end_reason is EndReason.DONE
        assert (await world.now(request)).outcome is Outcome.COMPLETED


async def _look_at(world: World, call: Call) -> Call:
    return (await world.calls.change(call.id, lambda c, now: call_rules.look(c, now, CallLimits()))).after
