"""A suspended person is out at once, everywhere, and stays out under other names on the same devices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from infra.phone.account import Account
from infra.phone.client import PhoneClient
from infra.phone.errors import ApiError, PhoneStopped
from infra.postgres.pool import open_pool
from infra.postgres.suspensions import PostgresSuspensions
from tests.support.nodes import Node

TOKEN = "ExponentPushToken-Quokka"
WITHIN_S = 15.0


@dataclass
class Town:
    """Two nodes, people on both, and a moderator at the first."""

    one: Node
    other: Node
    pool: asyncpg.Pool
    stack: AsyncExitStack
    moderator: Account

    async def phone(self, name: str, role: str | None = None, *, at: Node | None = None, **more: Any) -> PhoneClient:
        languages = ["en"] if role else None
        phone = PhoneClient.sign_in((at or self.other).url, name, role=role, languages=languages, **more)
        return await self.stack.enter_async_context(phone)

    async def volunteer(self, name: str = "Viktor", **more: Any) -> PhoneClient:
        phone = await self.phone(name, "volunteer", **more)
        await phone.ready()
        return phone

    async def suspend(self, phone: PhoneClient, reason: str | None = "Quokka") -> None:
        await self.moderator.call("POST", f"/v1/admin/users/{await self.id_of(phone)}/suspend", {"reason": reason})

    async def id_of(self, phone: PhoneClient) -> Any:
        return await self.pool.fetchval("SELECT user_id FROM sessions WHERE id = $1", phone.session_id)

    async def only_in_postgres(self, phone: PhoneClient) -> None:
        """As if the node had died right after the commit."""
        await PostgresSuspensions(self.pool).suspend(await self.id_of(phone), None, None)


@asynccontextmanager
async def stopped(phone: PhoneClient) -> AsyncIterator[None]:
    """Inside it the phone loses its socket for good; outside, it has."""
    yield
    with pytest.raises(PhoneStopped) as caught:
        await phone.until(lambda _: False, timeout=WITHIN_S)
    assert "suspended" in str(caught.value)


@pytest.fixture
async def town(database_url: str, valkey_url: str) -> AsyncIterator[Town]:
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(await Node.start(database_url, valkey_url)) for _ in range(2)]
        pool = await open_pool(database_url, 2)
        stack.push_async_callback(pool.close)
        phone = await stack.enter_async_context(PhoneClient.sign_in(one.url, "Mona"))
        await pool.execute("UPDATE users SET admin_roles = '{moderator}'")
        yield Town(one, other, pool, stack, phone.account)


async def in_call(town: Town, *, media: bool) -> tuple[PhoneClient, PhoneClient, dict[str, Any]]:
    """Requester, volunteer, and their call."""
    volunteer, requester = await town.volunteer(), await town.phone("Rosa", "requester")
    await requester.request_help()
    call = await volunteer.accept(await volunteer.next_offer())
    await requester.until(lambda state: state.call is not None)
    if media:
        flows = {"audio": True, "video": True}
        report = {"state": "connected", "sending": flows, "receiving": flows}
        for phone in (requester, volunteer):
            await phone.send("media", report, call=call)
        await requester.until(lambda state: state.call is not None and state.call["state"] == "connected")
    return requester, volunteer, call


class TestSockets:
    async def test_close_as_suspended_on_every_node(self, town: Town) -> None:
        phone, tablet = await town.volunteer(), await town.phone("Viktor", at=town.one, device_id="tablet")
        async with stopped(phone), stopped(tablet):
            await town.suspend(phone)

    async def test_close_although_the_word_of_it_was_lost(self, town: Town) -> None:
        phone = await town.volunteer()
        async with stopped(phone):
            await town.only_in_postgres(phone)


class TestWhatIsGoingOn:
    @pytest.mark.parametrize("word_lost", [False, True])
    async def test_a_waiting_request_fails(self, town: Town, word_lost: bool) -> None:
        requester = await town.phone("Rosa", "requester")
        request = await requester.request_help()
        await (town.only_in_postgres if word_lost else town.suspend)(requester)
        await _ended(town, request["id"], "failed")

    @pytest.mark.parametrize("word_lost", [False, True])
    async def test_an_offer_to_them_ends_and_others_are_asked(self, town: Town, word_lost: bool) -> None:
        suspect, requester = await town.volunteer(), await town.phone("Rosa", "requester")
        request = await requester.request_help()
        await suspect.next_offer()
        await (town.only_in_postgres if word_lost else town.suspend)(suspect)
        other = await town.volunteer("Vera")
        assert (await other.next_offer())["request_id"] == request["id"]
        outcomes = await town.pool.fetch("SELECT outcome, reason FROM offers WHERE outcome IS NOT NULL")
        assert [tuple(row) for row in outcomes] == [("withdrawn", "unavailable")]

    @pytest.mark.parametrize("word_lost", [False, True])
    @pytest.mark.parametrize("media", [False, True])
    async def test_a_call_of_a_volunteer_ends_and_the_request_waits_again(
        self, town: Town, media: bool, word_lost: bool
    ) -> None:
        requester, volunteer, call = await in_call(town, media=media)
        await (town.only_in_postgres if word_lost else town.suspend)(volunteer)
        over = await requester.until(lambda state: state.call is not None and state.call["state"] == "ended")
        assert over.call is not None
        assert (over.call["id"], over.call["end_reason"], over.call["end_by"]) == (call["id"], "suspended", "them")
        again = await requester.until(lambda state: state.request is not None and state.request["state"] == "waiting")
        assert again.request is not None
        assert again.request["epoch"] == 2

    @pytest.mark.parametrize(("media", "outcome"), [(False, "failed"), (True, "completed")])
    async def test_a_call_of_a_requester_ends_with_the_request(self, town: Town, media: bool, outcome: str) -> None:
        requester, volunteer, call = await in_call(town, media=media)
        await town.suspend(requester)
        await volunteer.until(lambda state: state.call is not None and state.call["state"] == "ended")
        await _ended(town, call["request_id"], outcome)


async def _ended(town: Town, request_id: str, outcome: str) -> None:
    async with asyncio.timeout(WITHIN_S):
        while await town.pool.fetchval("SELECT outcome FROM requests WHERE id = $1", request_id) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert await town.pool.fetchval("SELECT outcome FROM requests WHERE id = $1", request_id) == outcome


class TestComingBack:
    async def status(self, account: Account, name: str) -> str:
        user = await account.sign_in(name)
        assert (await account.call("GET", "/v1/me"))["status"] == user["status"]
        return str(user["status"])

    async def test_by_the_same_account_is_only_to_read_that_one_is_out(self, town: Town) -> None:
        phone = await town.volunteer()
        await town.suspend(phone)
        account = Account(town.moderator.http, town.one.url, device_id="another")
        assert await self.status(account, "Viktor") == "suspended"
        with pytest.raises(ApiError, match="suspended"):
            await account.call("GET", "/v1/offers")

    @pytest.mark.parametrize("existing", [False, True])
    async def test_by_another_account_on_the_same_device_is_no_way(self, town: Town, existing: bool) -> None:
        phone = await town.volunteer(device_id="the phone")
        if existing:
            elsewhere = Account(town.moderator.http, town.one.url, device_id="clean")
            assert await self.status(elsewhere, "Viktoria") == "active"
        await town.suspend(phone)
        account = Account(town.moderator.http, town.one.url, device_id="the phone")
        assert await self.status(account, "Viktoria") == "suspended"

    async def test_nor_by_another_device_with_the_same_push_value(self, town: Town) -> None:
        phone = await town.volunteer(device_id="the phone")
        push = {"platform": "android", "push": [{"kind": "fcm", "value": TOKEN}]}
        await phone.account.call("PUT", "/v1/me/devices/the%20phone", push)
        await town.suspend(phone)
        account = Account(town.moderator.http, town.one.url, device_id="wiped")
        assert await self.status(account, "Viktoria") == "active"
        with pytest.raises(ApiError, match="suspended"):
            await account.call("PUT", "/v1/me/devices/wiped", push)
        assert await town.pool.fetchval("SELECT count(*) FROM users WHERE status = 'suspended'") == 2

    async def test_once_it_is_lifted_is_welcome(self, town: Town) -> None:
        phone = await town.volunteer(device_id="the phone")
        user_id = await town.id_of(phone)
        await town.suspend(phone)
        assert await PostgresSuspensions(town.pool).restore(user_id)
        for name in ("Viktor", "somebody new"):
            account = Account(town.moderator.http, town.one.url, device_id="the phone")
            assert await self.status(account, name) == "active"
        assert await town.pool.fetchval("SELECT count(*) FROM bans") == 0

    async def test_lifting_lifts_what_followed(self, town: Town) -> None:
        phone = await town.volunteer(device_id="the phone")
        user_id = await town.id_of(phone)
        await town.suspend(phone)
        account = Account(town.moderator.http, town.one.url, device_id="the phone")
        assert await self.status(account, "Viktoria") == "suspended"
        assert await PostgresSuspensions(town.pool).restore(user_id)
        for name in ("Viktor", "Viktoria"):
            assert await self.status(account, name) == "active"
        assert await town.pool.fetchval("SELECT count(*) FROM bans") == 0

    async def test_of_somebody_who_was_let_in_again_older_bans_are_void(self, town: Town) -> None:
        phone = await town.volunteer(device_id="the phone")
        await town.suspend(phone)
        account = Account(town.moderator.http, town.one.url, device_id="the phone")
        assert await self.status(account, "Viktoria") == "suspended"
        follower = await town.pool.fetchval("SELECT user_id FROM suspensions WHERE follows IS NOT NULL")
        assert await PostgresSuspensions(town.pool).restore(follower)
        assert await self.status(account, "Viktoria") == "active"
        assert await self.status(account, "Viktor") == "suspended"

    async def test_of_an_owner_is_nobodys_to_stop(self, town: Town) -> None:
        phone = await town.volunteer(device_id="shared")
        account = Account(town.moderator.http, town.one.url, device_id="clean")
        owner_id = (await account.sign_in("Olga"))["id"]
        await town.pool.execute("UPDATE users SET admin_roles = '{owner}' WHERE id = $1", owner_id)
        await town.suspend(phone)
        shared = Account(town.moderator.http, town.one.url, device_id="shared")
        assert await self.status(shared, "Olga") == "active"

    async def test_lifting_gives_back_the_standing_there_was(self, town: Town) -> None:
        phone = await town.volunteer()
        user_id = await town.id_of(phone)
        await town.pool.execute("UPDATE users SET status = 'held' WHERE id = $1", user_id)
        await town.only_in_postgres(phone)
        assert await PostgresSuspensions(town.pool).restore(user_id)
        assert await town.pool.fetchval("SELECT status FROM users WHERE id = $1", user_id) == "held"

    async def test_saying_it_twice_changes_nothing(self, town: Town) -> None:
        phone = await town.volunteer()
        await town.only_in_postgres(phone)
        await town.only_in_postgres(phone)
        assert await town.pool.fetchval("SELECT count(*) FROM suspensions") == 1


class TestWhoMay:
    async def test_nobody_suspends_themselves_nor_a_moderator_an_owner(self, town: Town) -> None:
        owner = await town.phone("Olga")
        await town.pool.execute("UPDATE users SET admin_roles = '{owner}' WHERE id = $1", await town.id_of(owner))
        me = (await town.moderator.call("GET", "/v1/me"))["id"]
        for who in (me, await town.id_of(owner)):
            with pytest.raises(ApiError) as caught:
                await town.moderator.call("POST", f"/v1/admin/users/{who}/suspend", {})
            assert (caught.value.status, caught.value.code) == (403, "not_allowed")

    async def test_no_log_says_who_or_why(self, town: Town) -> None:
        phone = await town.volunteer("Quokka")
        who = str(await town.id_of(phone))
        async with stopped(phone):
            await town.suspend(phone)
        for node in (town.one, town.other):
            assert not [line for line in node.lines if "Quokka" in line or who in line]
