"""What is too fast, and what fails on our side: the documented answer, and one line in the log for each failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import aiohttp
import pytest

from server import routing
from server.rate_limits import Limit
from tests.support.engines import Engines, kill
from tests.support.outside import MARK, SOON_S, Outside, RawSocket
from tests.support.running import running_node


@pytest.fixture
async def outside(database_url: str, valkey_url: str) -> AsyncIterator[Outside]:
    async with Outside.of(database_url, valkey_url) as outside:
        yield outside


def said_once(outside: Outside, *events: str) -> None:
    """However long an outage lasts, whoever notices it says so once for each way in which it shows."""
    said = [
        (entry["event"], entry.get("what"), entry.get("error"))
        for entry in outside.node.log
        if entry["event"] in events
    ]
    assert said
    assert len(said) == len(set(said)), said


class TestTooFast:
    async def test_calls_of_one_session_wait(
        self, database_url: str, valkey_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(routing, "SESSION", Limit("session", every_s=60, burst=2))
        async with running_node(database_url, valkey_url) as url, aiohttp.ClientSession(url) as client:
            tokens = []
            for name in ("one", "two"):
                body = {"provider": "dev", "token": name, "device": {"id": name, "platform": "web"}}
                async with client.post("/v1/sessions", json=body) as response:
                    tokens.append((await response.json())["access_token"])
            for token, expected in ((tokens[0], [200, 200, 429, 429]), (tokens[1], [200])):
                headers = {"Authorization": f"Bearer {token}"}
                for status in expected:
                    async with client.get("/v1/me", headers=headers) as response:
                        assert response.status == status
                        told = await response.json()
                    if status == 429:
                        assert 1 <= int(response.headers["Retry-After"]) <= 60
                        assert (told["error"]["code"], told["error"]["retryable"]) == ("too_fast", True)


class TestNoHttp:
    """Refused before there is a call: aiohttp's own 400, one line each, without what was sent."""

    SENT = (
        f"{MARK} / HTTP/1.1\r\n\r\n".encode(),
        f"GET /{MARK} HTTP/1.1\r\n{MARK} {MARK}\r\n\r\n".encode(),
        f"GET /v1/me HTTP/1.1\r\nAuthorization: Bearer {MARK * 2000}\r\n\r\n".encode(),
        f"GET /{MARK * 2000} HTTP/1.1\r\n\r\n".encode(),
        f"POST /v1/sessions HTTP/1.1\r\nContent-Length: {MARK}\r\n\r\n".encode(),
        f"\x16\x03\x01{MARK}".encode(),
    )

    async def test_it_is_refused(self, outside: Outside) -> None:
        outside.failing = True
        for number, sent in enumerate(self.SENT, 1):
            reader, writer = await asyncio.open_connection("127.0.0.1", outside.node.port)
            writer.write(sent)
            async with asyncio.timeout(SOON_S):
                assert b" 400 " in await reader.readline()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            assert (await outside.call("GET", "/livez")).status == 200
            failures = [entry for entry in outside.node.log if entry["level"] != "info"]
            assert len(failures) <= number


class TestPostgresAway:
    CALLS = (
        *("GET /v1/me", "PATCH /v1/me", "GET /v1/sessions", "POST /v1/requests", "GET /v1/requests/current"),
        *("GET /v1/calls/00000000-0000-7000-8000-000000000000", "DELETE /v1/sessions/current"),
    )

    async def test_calls_are_unavailable_and_logged_once_each(self, outside: Outside, engines: Engines) -> None:
        asker = await outside.sign_in("asker", "requester", outside.language())
        outside.failing = True
        kill(engines.postgres)
        told = set()
        for call in self.CALLS:
            method, _, path = call.partition(" ")
            body = {"display_name": f"{MARK} the second"} if method == "PATCH" else None
            reply = await outside.call(method, path, body, token=asker.token)
            error = reply.refuses(503, "unavailable")
            assert error["retryable"] is True
            assert int(reply.headers["Retry-After"]) >= 1
            told.add(error["details"]["request_id"])
        sign_in = {"provider": "dev", "token": f"{MARK} new", "device": {"id": MARK, "platform": "web"}}
        told.add(
            (await outside.call("POST", "/v1/sessions", sign_in)).refuses(503, "unavailable")["details"]["request_id"]
        )
        for request_id in told:
            await outside.node.event("call failed", http_request=request_id)
        logged = [entry["http_request"] for entry in outside.node.log if entry["event"] == "call failed"]
        assert sorted(logged) == sorted(told)
        assert len(told) == len(self.CALLS) + 1
        (await outside.call("GET", "/v1/me")).refuses(401, "unauthorized")
        (await outside.call("GET", "/readyz")).refuses(503, "unavailable")
        assert (await outside.call("GET", "/livez")).status == 200

    async def test_frames_are_unavailable_and_logged_once_each(self, outside: Outside, engines: Engines) -> None:
        helper = await outside.sign_in("helper", "volunteer", outside.language())
        async with RawSocket.of(outside, helper) as socket:
            await socket.stays()  # attached, and that written down
            outside.failing = True
            kill(engines.postgres)
            for message_id in ("one", "two"):
                await socket.say("ready", {"ready": True}, id=message_id)
                refusal = await socket.refusal(message_id)
                assert (refusal["code"], refusal["retryable"]) == ("unavailable", True)
            await socket.stays()
            failed = [entry for entry in outside.node.log if "frame" in entry["event"]]
            assert len(failed) == 2, failed
            hello = await RawSocket.open(outside)
            await hello.say("hello", {"token": helper.token, "device_id": helper.device_id})
            assert await hello.end() == 1013
            await hello.close()
            await outside.node.event("failing", what="clock", timeout_s=SOON_S)
            said_once(outside, "failing")
            assert not [line for line in outside.node.lines if "Traceback" in line or "exc_value" in line]


class TestValkeyAway:
    async def test_asking_goes_on(self, outside: Outside, engines: Engines) -> None:
        asker = await outside.sign_in("asker", "requester", outside.language())
        async with RawSocket.of(outside, asker):
            outside.failing = True
            kill(engines.valkey)
            await outside.node.event("mailboxes are out of reach", timeout_s=SOON_S)
            said_once(outside, "mailboxes are out of reach", "deliveries interrupted")
        reply = await outside.call("POST", "/v1/requests", {}, token=asker.token)
        assert reply.status == 201
        path = f"/v1/requests/{reply.body['request']['id']}/cancel"
        assert (await outside.call("POST", path, token=asker.token)).body["request"]["outcome"] == "cancelled"
