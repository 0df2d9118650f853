"""What every call of the HTTP API has in common: errors in one shape, and failures of our own."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import msgspec
import pytest
from structlog.testing import capture_logs

from infra.valkey.connection import open_valkey
from infra.valkey.library import Library
from infra.valkey.limits import ValkeyLimits
from server import routing
from server.errors import ApiError
from server.rate_limits import Limit
from server.routing import Exchange, Reply, Route
from tests.support.engines import Engines, kill
from tests.support.http_api import HttpApi, http_api
from tests.support.running import running_node


class Nested(msgspec.Struct):
    numbers: list[int]


class Echoed(msgspec.Struct):
    text: str = ""
    nested: Nested | None = None


class Trials:
    """Routes that behave in the ways handlers may."""

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/echo", self.echo, body=Echoed, reply=Echoed, auth="none", limit="none"),
            Route("GET", "/bug/{name}", self.bug, auth="none", limit="none"),
            Route("GET", "/outage", self.outage, auth="none", limit="none"),
            Route("GET", "/refusal", self.refusal, auth="none", limit="none"),
            Route("GET", "/raw", self.raw, auth="none", limit="none", no_store=True),
            Route("GET", "/things/{id}", self.thing, auth="none", limit="none"),
            Route("GET", "/volunteers-only", self.thing, role="volunteer"),
        ]

    async def echo(self, exchange: Exchange[Echoed]) -> Echoed:
        return exchange.body

    async def bug(self, exchange: Exchange[None]) -> None:
        raise ValueError(f"the secret of {exchange.path['name']}")

    async def outage(self, exchange: Exchange[None]) -> None:
        raise asyncpg.CannotConnectNowError("the database system is starting up")

    async def refusal(self, exchange: Exchange[None]) -> None:
        raise ApiError(409, "request_open", "one is open", details={"request": {"id": 1}})

    async def raw(self, exchange: Exchange[None]) -> Reply:
        return Reply(b"hello", status=202, headers={"X-Trial": "yes"}, content_type="text/plain")

    async def thing(self, exchange: Exchange[None]) -> Echoed:
        return Echoed(str(exchange.uuid("id")))


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[HttpApi]:
    async with http_api(database_url, start=time.time(), extra=Trials().routes()) as api:
        yield api


class TestPaths:
    @pytest.mark.parametrize("path", ["/nothing", "/v1/me/", "/v1//me", "/v2/me", "/static/nothing.js"])
    async def test_an_unknown_path_is_404(self, api: HttpApi, path: str) -> None:
        answer = await api.call("GET", path)
        assert (answer.status, answer.code) == (404, "not_found")

    async def test_a_method_a_path_lacks_is_405(self, api: HttpApi) -> None:
        answer = await api.call("DELETE", "/v1/me")
        assert (answer.status, answer.code, answer.headers["Allow"]) == (405, "not_found", "GET, PATCH")

    @pytest.mark.parametrize("name", ["x", "%00", "123", "urn:uuid:0190f5e8-0000-7000-8000-000000000000"])
    async def test_an_id_that_is_none_names_nothing(self, api: HttpApi, name: str) -> None:
        assert (await api.call("GET", f"/things/{name}")).status == 404

    async def test_an_id_may_be_written_in_capitals(self, api: HttpApi) -> None:
        answer = await api.call("GET", "/things/0190F5E8-0000-7000-8000-00000000000A")
        assert answer.body["text"] == "0190f5e8-0000-7000-8000-00000000000a"


class TestBodies:
    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"text": 1}, "text"),
            ({"nested": {}}, "nested.numbers"),
            ({"nested": {"numbers": [1, "2"]}}, "nested.numbers[1]"),
            ({"nested": {"numbers": [1e400]}}, "nested.numbers[0]"),
            ({"text": "a\x00"}, "text"),
            ([], ""),
        ],
    )
    async def test_the_field_is_named_by_its_path(self, api: HttpApi, body: Any, field: str) -> None:
        assert (
            await api.call("POST", "/echo", data=msgspec.json.encode(body).replace(b"null]", b"1e400]"))
        ).field == field

    @pytest.mark.parametrize("data", [b"", b"{}", b' {"more": [null]} '])
    async def test_what_may_be_absent_may_be_absent(self, api: HttpApi, data: bytes) -> None:
        assert (await api.call("POST", "/echo", data=data)).body == {"text": "", "nested": None}

    async def test_an_escaped_backslash_is_no_nul(self, api: HttpApi) -> None:
        assert (await api.call("POST", "/echo", data=rb'{"text": "\\u0000"}')).body["text"] == r"\u0000"

    async def test_64_kib_are_not_too_large(self, api: HttpApi) -> None:
        fits = b'{"text": "' + b"x" * (64 * 1024 - 12) + b'"}'
        assert (await api.call("POST", "/echo", data=fits)).status == 200
        answer = await api.call("POST", "/echo", data=fits + b"    ")
        assert (answer.status, answer.code) == (413, "too_large")

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    async def test_what_cannot_be_unpacked_is_refused(self, api: HttpApi, encoding: str) -> None:
        answer = await api.call("POST", "/echo", data=b"not packed", headers={"Content-Encoding": encoding})
        assert (answer.status, answer.code) == (400, "invalid_body")

    async def test_what_unpacks_to_much_is_refused(self, api: HttpApi) -> None:
        async with api.client.post(api.base + "/echo", data=io.BytesIO(b" " * 5_000_000), compress=True) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (413, "too_large")


class TestAnswers:
    async def test_a_reply_may_bring_its_own_status_headers_and_bytes(self, api: HttpApi) -> None:
        answer = await api.call("GET", "/raw")
        assert (answer.status, answer.body, answer.headers["X-Trial"]) == (202, b"hello", "yes")
        assert answer.headers["Cache-Control"] == "no-store"

    async def test_refusals_carry_details(self, api: HttpApi) -> None:
        answer = await api.call("GET", "/refusal")
        assert answer.status == 409
        assert answer.body == {
            "error": {
                "code": "request_open",
                "message": "one is open",
                "retryable": False,
                "details": {"request": {"id": 1}},
            }
        }


class TestFailures:
    async def test_a_mistake_of_ours_is_logged_once_without_anything_personal(self, api: HttpApi) -> None:
        with capture_logs() as lines:
            answer = await api.call("GET", "/bug/of-anna")
        assert (answer.status, answer.code, answer.headers["Retry-After"]) == (500, "unavailable", "1")
        assert answer.body["error"]["retryable"] is True
        (line,) = lines
        assert line["http_request"] == answer.body["error"]["details"]["request_id"]
        assert (line["route"], line["error"], line["outage"]) == ("/bug/{name}", "ValueError", False)
        assert line["where"][-1].endswith(" bug")
        assert "anna" not in str(line)

    async def test_an_outage_is_503(self, api: HttpApi) -> None:
        with capture_logs() as lines:
            answer = await api.call("GET", "/outage")
        assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "unavailable", "1")
        assert [line["outage"] for line in lines] == [True]

    async def test_refusals_are_not_logged(self, api: HttpApi) -> None:
        with capture_logs() as lines:
            await api.call("GET", "/refusal")
            await api.call("GET", "/v1/me")
            await api.call("GET", "/nothing")
        assert lines == []


class TestRoles:
    @pytest.mark.parametrize("role", [None, "requester"])
    async def test_the_other_roles_call_is_403(self, api: HttpApi, role: str | None) -> None:
        answer = await api.call("GET", "/volunteers-only", token=await api.person("anna", role))
        assert (answer.status, answer.code) == (403, "wrong_role")


class TestSlowBodies:
    HEAD = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n"

    async def test_a_body_that_does_not_come_is_refused(self, api: HttpApi, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(routing, "BODY_WAIT_S", 0.1)
        reader, writer = await self.connect(api)
        writer.write(self.HEAD + b'{"text": ')
        async with asyncio.timeout(5):
            assert b" 400 " in await reader.readline()
        writer.close()
        await writer.wait_closed()

    async def test_a_client_that_goes_away_harms_nobody(self, api: HttpApi) -> None:
        with capture_logs() as lines:
            _, writer = await self.connect(api)
            writer.write(self.HEAD + b'{"text": ')
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            assert (await api.call("POST", "/echo", {"text": "x"})).status == 200
        assert lines == []

    @staticmethod
    async def connect(api: HttpApi) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = urlsplit(api.base)
        return await asyncio.open_connection(address.hostname, address.port)


class TestOnANode:
    async def test_the_loss_of_valkey_stops_no_account(
        self, database_url: str, engines: Engines, valkey_url: str
    ) -> None:
        async with running_node(database_url, valkey_url) as url, aiohttp.ClientSession(url) as client:
            body = {"provider": "dev", "token": "anna", "device": {"id": "phone", "platform": "web"}}
            kill(engines.valkey)
            async with client.post("/v1/sessions", json=body) as response:
                assert response.status == 201
                headers = {"Authorization": f"Bearer {(await response.json())['access_token']}"}
            for change in ({"role": "volunteer"}, {"languages": ["da"]}):
                async with client.patch("/v1/me", json=change, headers=headers) as response:
                    assert response.status == 200
            async with client.get("/readyz") as response:
                assert response.status == 503
                assert list((await response.json())["error"]["details"]["not_ready"]) == ["valkey"]
            async with client.delete("/v1/sessions/current", headers=headers) as response:
                assert response.status == 204

    async def test_limits_are_counted_for_all_nodes_together(self, database_url: str, valkey_url: str) -> None:
        valkey = open_valkey(valkey_url)
        try:
            limiters = [ValkeyLimits(Library(valkey)) for _ in range(2)]
            limit = Limit("trial", every_s=30.0, burst=3)
            waits = [await limiters[n % 2].wait_s(limit, "somebody") for n in range(5)]
            assert waits[:3] == [0, 0, 0]
            assert all(29 < wait <= 30 for wait in waits[3:])
            assert await limiters[0].wait_s(limit, "somebody else") == 0
            keys = await valkey.keys("*")
            assert len(keys) == 2
            assert not any(b"somebody" in key for key in keys)
            lives_ms = [await valkey.pttl(key) for key in keys]
            assert all(0 < life_ms <= 90_000 for life_ms in lives_ms)
        finally:
            await valkey.aclose()

    async def test_they_recover_at_an_even_pace(self, valkey_url: str) -> None:
        valkey = open_valkey(valkey_url)
        try:
            limiter, limit = ValkeyLimits(Library(valkey)), Limit("trial", every_s=1.0, burst=1)
            assert await limiter.wait_s(limit, "x") == 0
            wait_s = await limiter.wait_s(limit, "x")
            assert 0 < wait_s <= 1
            await asyncio.sleep(wait_s)  # the server's clock decides; there is no event to await
            assert await limiter.wait_s(limit, "x") == 0
            assert await limiter.wait_s(limit, "x") > 0
        finally:
            await valkey.aclose()
