"""The admin's figures: `GET /v1/admin/queue` and `GET /v1/admin/ws`, on real Postgres."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from infra.postgres.accounts import PostgresAccounts
from matching.model import Tier
from server.api import admin
from tests.support.http_api import HttpApi, http_api


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[HttpApi]:
    async with http_api(database_url, start=time.time()) as api:
        yield api


async def observer(api: HttpApi, role: Any = "observer") -> str:
    token = await api.person("olga")
    assert await PostgresAccounts(api.pool).grant("olga", role) is not None
    return token


REQUEST = """
    INSERT INTO requests (requester_id, session_id, body_hash, state, languages, index_languages, mode, created_at,
                          waiting_since, deadline, next_look_at)
    SELECT u.user_id, s.id, sha256(''), 'waiting', ARRAY[$2], ARRAY[$2], 'video', eyeline_now() - $3::interval,
           eyeline_now(), eyeline_now() + interval '1 minute', eyeline_now()
    FROM identities u JOIN sessions s USING (user_id) WHERE u.subject = $1 RETURNING id
"""
OFFER = """
    INSERT INTO offers (request_id, person_id, epoch, wave, language, offered_at, expires_at)
    VALUES ($1, uuidv7(), 1, 1, 'da', eyeline_now(), eyeline_now() + $2::interval)
"""
ANSWER = """
    WITH answered AS (
        INSERT INTO calls (request_id, epoch, state, mode, language, requester_id, requester_session, volunteer_id,
                           volunteer_session, created_at, connect_by, reconnecting_since)
        SELECT r.id, 1, $3, r.mode, 'da', r.requester_id, r.session_id, v.user_id, s.id, eyeline_now(), eyeline_now(),
               CASE WHEN $3 = 'reconnecting' THEN eyeline_now() END
        FROM requests r, identities v JOIN sessions s USING (user_id) WHERE r.id = $1 AND v.subject = $2
        RETURNING id)
    UPDATE requests SET state = 'connecting', call_id = answered.id FROM answered WHERE requests.id = $1
"""


async def waiting(api: HttpApi, name: str, language: str, since: str) -> UUID:
    await api.sign_in(name)
    request_id: UUID = await api.pool.fetchval(REQUEST, name, language, timedelta(seconds=float(since)))
    return request_id


class TestQueue:
    async def test_an_empty_house(self, api: HttpApi) -> None:
        answer = await api.call("GET", "/v1/admin/queue", token=await observer(api))
        assert answer.status == 200
        now = answer.body.pop("now")
        assert now.endswith("Z")
        assert answer.body == {
            "waiting": [],
            "offers_open": 0,
            "calls_connecting": 0,
            "calls_live": 0,
            "volunteers": [],
            "volunteers_known": True,
            "answer_time": {"p50_s": None, "p95_s": None, "count": 0},
        }

    async def test_counts_people_requests_offers_and_calls(self, api: HttpApi) -> None:
        token = await observer(api)
        for name, language, since in (("a", "da", "5"), ("b", "da", "60"), ("c", "en", "1")):
            await waiting(api, name, language, since)
        asked = await waiting(api, "d", "pl", "2")
        await api.pool.execute(OFFER, asked, timedelta(seconds=30))
        await api.pool.execute(OFFER, asked, timedelta(seconds=-1))
        for name, since, state in (("e", "10", "connecting"), ("f", "20", "connected"), ("g", "30", "reconnecting")):
            request_id = await waiting(api, name, "da", since)
            await api.sign_in(f"v{name}")
            await api.pool.execute(ANSWER, request_id, f"v{name}", state)
        api.index.people = {("da", Tier.HOT): 2, ("da", Tier.COLD): 5, ("en", Tier.COLD): 9, ("fr", Tier.HOT): 0}
        queue = (await api.call("GET", "/v1/admin/queue", token=token)).body
        assert [(row["language"], row["count"]) for row in queue["waiting"]] == [("da", 2), ("pl", 1), ("en", 1)]
        assert 60 <= queue["waiting"][0]["oldest_wait_s"] < 70
        assert (queue["offers_open"], queue["calls_connecting"], queue["calls_live"]) == (1, 1, 2)
        assert queue["volunteers"] == [
            {"language": "en", "hot": 0, "reachable": 9},
            {"language": "da", "hot": 2, "reachable": 7},
        ]
        times = queue["answer_time"]
        assert times["count"] == 3
        assert 20 <= times["p50_s"] < 22
        assert 29 <= times["p95_s"] < 31

    async def test_without_the_index_the_rest_is_shown(self, api: HttpApi) -> None:
        api.index.people = None
        queue = (await api.call("GET", "/v1/admin/queue", token=await observer(api))).body
        assert (queue["volunteers"], queue["volunteers_known"]) == ([], False)

    @pytest.mark.parametrize("role", ["moderator", "owner"])
    async def test_higher_roles_may_too(self, api: HttpApi, role: str) -> None:
        assert (await api.call("GET", "/v1/admin/queue", token=await observer(api, role))).status == 200

    async def test_nobody_else_may(self, api: HttpApi) -> None:
        answer = await api.call("GET", "/v1/admin/queue", token=await api.person("anna"))
        assert (answer.status, answer.code) == (403, "not_allowed")
        assert (await api.call("GET", "/v1/admin/queue")).status == 401


class TestGrant:
    async def test_by_name_or_id_and_once(self, api: HttpApi) -> None:
        accounts = PostgresAccounts(api.pool)
        user_id = UUID((await api.sign_in("olga"))["user"]["id"])
        assert await accounts.grant("olga", "observer") == user_id
        assert await accounts.grant(str(user_id), "observer") == user_id
        assert await accounts.grant(str(user_id), "owner") == user_id
        assert await api.pool.fetchval("SELECT admin_roles FROM users") == ["observer", "owner"]

    @pytest.mark.parametrize("who", ["nobody", "0190f5e8-0000-7000-8000-000000000000", ""])
    async def test_nobody_by_that_name(self, api: HttpApi, who: str) -> None:
        assert await PostgresAccounts(api.pool).grant(who, "observer") is None


class TestFeed:
    @asynccontextmanager
    async def open(self, api: HttpApi, **kwargs: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with api.client.ws_connect(api.base + "/v1/admin/ws", protocols=["eyeline.v1"], **kwargs) as socket:
            yield socket

    @staticmethod
    async def hello(socket: aiohttp.ClientWebSocketResponse, token: str, device: str = "phone") -> None:
        await socket.send_json({"type": "hello", "data": {"token": token, "device_id": device}})

    @staticmethod
    async def closed(socket: aiohttp.ClientWebSocketResponse) -> int | None:
        async with asyncio.timeout(5):
            while not socket.closed:
                await socket.receive()
        return socket.close_code

    async def test_hello_then_queue_every_second(self, api: HttpApi, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(admin, "EVERY_S", 0.02)
        token = await observer(api)
        async with self.open(api) as socket:
            await self.hello(socket, token)
            for _ in range(3):
                frame = await socket.receive_json(timeout=5)
                assert frame["type"] == "queue"
                assert "answer_time" in frame["data"]

    async def test_one_reading_however_many_watch(self, api: HttpApi) -> None:
        token = await observer(api)
        async with self.open(api) as one, self.open(api) as two:
            for socket in (one, two):
                await self.hello(socket, token)
                assert (await socket.receive_json(timeout=5))["type"] == "queue"
        assert api.index.asked == 1

    async def test_answers_what_is_said(self, api: HttpApi, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(admin, "EVERY_S", 60)
        token = await observer(api)
        async with self.open(api) as socket:
            await self.hello(socket, token)
            await socket.receive_json(timeout=5)
            await socket.send_json({"type": "ping"})
            assert (await socket.receive_json(timeout=5))["type"] == "pong"
            await socket.send_json({"type": "dance", "id": "1"})
            assert (await socket.receive_json(timeout=5))["data"]["code"] == "bad_message"
            await socket.send_json({"type": "end", "id": "2", "data": {"reason": "done"}})
            refused = await socket.receive_json(timeout=5)
            assert (refused["data"]["id"], refused["data"]["code"]) == ("2", "bad_message")
            await socket.send_json({"type": "ack", "ack": 3})
            await socket.send_json({"type": "token", "data": {"token": token}})
            await socket.send_json({"type": "token", "data": {"token": "nonsense"}})
            assert await self.closed(socket) == 4401

    async def test_the_first_frame_must_be_a_good_hello(self, api: HttpApi) -> None:
        for text in ("[]", '{"type": "ping"}', '{"type": "hello", "data": {}}'):
            async with self.open(api) as socket:
                await socket.send_str(text)
                assert await self.closed(socket) == 4400

    async def test_and_come_in_time(self, api: HttpApi, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(admin, "HELLO_WITHIN_S", 0.05)
        async with self.open(api) as socket:
            assert await self.closed(socket) == 4408

    async def test_whoever_may_not_is_told_and_closed(self, api: HttpApi) -> None:
        async with self.open(api) as socket:
            await self.hello(socket, await api.person("anna"))
            assert (await socket.receive_json(timeout=5))["data"]["code"] == "not_allowed"
            assert await self.closed(socket) == 4403
        for token, device in (("nonsense", "phone"), (await observer(api), "other")):
            async with self.open(api) as socket:
                await self.hello(socket, token, device)
                assert await self.closed(socket) == 4401

    async def test_a_role_taken_away_ends_it(self, api: HttpApi, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(admin, "EVERY_S", 0.01)
        monkeypatch.setattr(admin, "ROUNDS_PER_JUDGEMENT", 1)
        token = await observer(api)
        async with self.open(api) as socket:
            await self.hello(socket, token)
            assert (await socket.receive_json(timeout=5))["type"] == "queue"
            await api.pool.execute("UPDATE users SET admin_roles = '{}'")
            assert await self.closed(socket) == 4403

    async def test_a_node_that_goes_says_so(self, api: HttpApi) -> None:
        async with self.open(api) as socket:
            await self.hello(socket, await observer(api))
            await socket.receive_json(timeout=5)
            assert api.admin is not None
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(api.admin.close())
                assert await self.closed(socket) == 1012

    @pytest.mark.parametrize(
        ("origin", "opens"), [(None, True), ("https://pages.example", True), ("https://evil.example", False)]
    )
    async def test_pages_of_strangers_may_not(self, api: HttpApi, origin: str | None, opens: bool) -> None:
        if opens:
            async with self.open(api, origin=origin) as socket:
                assert not socket.closed
        else:
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                async with self.open(api, origin=origin):
                    pass

    async def test_plain_http_is_refused(self, api: HttpApi) -> None:
        assert (await api.call("GET", "/v1/admin/ws")).status == 426
