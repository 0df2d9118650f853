"""The admin page's socket with everything wrong about it: it says figures, and nothing said to it changes anything."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.support.engines import Engines
from tests.support.frame_cases import ENVELOPE, FRAMES, HELLO
from tests.support.http_cases import Wrong, spoiled
from tests.support.outside import MARK, Outside, RawSocket, Someone

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/v1/admin/ws"
CALL = {"call": "00000000-0000-7000-8000-000000000000", "attempt": 1}
WHAT_IT_TAKES = ("ping", "ack", "token")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outside(engines: Engines) -> AsyncIterator[Outside]:
    async with Outside.over(engines) as outside:
        yield outside


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def observer(outside: Outside) -> Someone:
    observer = await outside.sign_in("observer")
    await outside.database.execute("UPDATE users SET admin_roles = '{observer}' WHERE id = $1", observer.user_id)
    return observer


@asynccontextmanager
async def watching(outside: Outside, observer: Someone) -> AsyncIterator[RawSocket]:
    socket = await RawSocket.open(outside, PATH)
    try:
        await socket.say("hello", {"token": observer.token, "device_id": observer.device_id})
        await socket.hear("queue")
        yield socket
    finally:
        await socket.close()


async def closes(outside: Outside, text: str) -> int | None:
    """The code with which this first frame is answered."""
    socket = await RawSocket.open(outside, PATH)
    with suppress(aiohttp.ClientError):
        await socket.text(text)
    code = await socket.end()
    await socket.close()
    return code


class TestHello:
    @pytest.mark.parametrize("wrong", HELLO, ids=lambda wrong: wrong.label)
    async def test_a_bad_one_closes(self, outside: Outside, observer: Someone, wrong: Wrong) -> None:
        data = {"token": observer.token, "device_id": observer.device_id, "resume": {"incarnation": "x", "seq": 0}}
        assert await closes(outside, json.dumps(spoiled({"type": "hello", "data": data}, wrong))) == 4400

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"type":"ping"}', "[" * 60_000])
    async def test_what_is_none_closes(self, outside: Outside, text: str) -> None:
        assert await closes(outside, text) == 4400

    async def test_who_may_not_watch(self, outside: Outside, observer: Someone) -> None:
        someone = await outside.sign_in("curious", "volunteer")
        for token, device_id, code in (
            (MARK, observer.device_id, 4401),
            (observer.token, f"{MARK}-another", 4401),
            (someone.token, someone.device_id, 4403),
        ):
            hello = {"type": "hello", "data": {"token": token, "device_id": device_id}}
            async with outside.nothing_changes():
                assert await closes(outside, json.dumps(hello)) == code

    @pytest.mark.parametrize("size", [64 * 1024 + 1, 200_000, 400_000])
    async def test_over_64_kib(self, outside: Outside, size: int) -> None:
        assert await closes(outside, " " * size) == 4413


class TestFrames:
    async def refused(self, socket: RawSocket, frame: dict[str, Any]) -> dict[str, Any]:
        await socket.text(json.dumps({**frame, "id": "m1"}))
        error = await socket.refusal("m1")
        assert (error["code"], error["retryable"]) == ("bad_message", False)
        return error

    async def test_what_apps_say_has_no_place_here(self, outside: Outside, observer: Someone) -> None:
        async with watching(outside, observer) as socket, outside.nothing_changes():
            for type_, case in FRAMES.items():
                if type_ not in WHAT_IT_TAKES:
                    await self.refused(socket, {"type": type_, "data": case.data, **CALL})
            unknown: list[Any] = ["hello", "nonsense", "queue", 7, None]
            for other in unknown:
                await self.refused(socket, {"type": other, "data": {}})
            await socket.stays()

    async def test_wrong_values(self, outside: Outside, observer: Someone) -> None:
        async with watching(outside, observer) as socket, outside.nothing_changes():
            for type_ in WHAT_IT_TAKES:
                data = {} if FRAMES[type_].data is None else {"data": FRAMES[type_].data}
                for wrong in (*FRAMES[type_].wrong, *ENVELOPE):
                    error = await self.refused(socket, spoiled({"type": type_, **data}, wrong))
                    assert error["details"]["field"] == wrong.names
            await socket.stays()

    @pytest.mark.parametrize("text", ["[]", "7", "{", "", '{"type":"ping","x":NaN}', "[" * 60_000])
    async def test_what_is_no_object_closes(self, outside: Outside, observer: Someone, text: str) -> None:
        async with watching(outside, observer) as socket:
            await socket.text(text)
            assert await socket.end() == 4400

    async def test_binary_and_too_large_ones_close(self, outside: Outside, observer: Someone) -> None:
        async with watching(outside, observer) as socket:
            await socket.octets(b"{}", text=False)
            assert await socket.end() == 4400
        async with watching(outside, observer) as socket:
            await socket.text('{"type":"ping"}'.ljust(64 * 1024))
            await socket.hear("pong")
            await socket.text('{"type":"ping"}'.ljust(64 * 1024 + 1))
            assert await socket.end() == 4413

    async def test_tokens_of_others_close(self, outside: Outside, observer: Someone) -> None:
        for token in (MARK, observer.refresh_token, (await outside.sign_in("other")).token):
            async with watching(outside, observer) as socket:
                await socket.say("token", {"token": token})
                assert await socket.end() == 4401
