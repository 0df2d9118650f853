"""What is written to a socket: every frame once and in order, together while the reader keeps up, bounded when not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from server.socket.connection import TextSocket
from server.socket.outgoing import PING, Outgoing
from server.socket.rules import SocketRules

SOON_S = 5.0
LENGTHS = (1, 125, 126, 127, 65_535, 65_536, 70_000)
"""Around those at which a frame's length is written differently, and at which writing together ends."""


class Wire:
    """Both ends of one socket."""

    def __init__(self) -> None:
        self.server: asyncio.Future[Outgoing] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()
        self.rules = SocketRules(queue_frames=400, queue_bytes=4_000_000)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        socket = TextSocket(autoping=False, compress=False, decode_text=False)
        await socket.prepare(request)
        self.server.set_result(Outgoing(socket, request.transport, self.rules))
        await self.over.wait()
        return socket

    async def out(self) -> Outgoing:
        return await self.server


@pytest.fixture
async def wire() -> AsyncIterator[tuple[Wire, aiohttp.ClientWebSocketResponse]]:
    wire = Wire()
    app = web.Application()
    app.router.add_get("/", wire.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        async with http.ws_connect(url, compress=0, autoping=False, max_msg_size=0) as client:
            yield wire, client
            wire.over.set()
    await runner.cleanup()


Ends = tuple[Wire, aiohttp.ClientWebSocketResponse]


async def heard(client: aiohttp.ClientWebSocketResponse) -> bytes:
    """The next text; a ping is heard as PING."""
    async with asyncio.timeout(SOON_S):
        message = await client.receive()
    assert message.type in (WSMsgType.TEXT, WSMsgType.PING)
    return PING if message.type is WSMsgType.PING else message.data.encode()


async def test_frames_of_every_length_and_pings_arrive_as_they_are(wire: Ends) -> None:
    ends, client = wire
    out = await ends.out()
    frames = [frame for length in LENGTHS for frame in (b"x" * length, PING)]
    for frame in frames:
        assert out.put(frame)
    assert [await heard(client) for _ in frames] == frames


async def test_what_is_put_in_one_turn_is_written_when_it_ends(wire: Ends) -> None:
    ends, client = wire
    out = await ends.out()
    assert out._transport is not None
    written = list[bytes]()
    write = out._transport.write

    def noted(data: Any) -> None:
        written.append(bytes(data))
        write(data)

    out._transport = cast(
        asyncio.Transport,
        SimpleNamespace(
            write=noted,
            is_closing=out._transport.is_closing,
            get_write_buffer_size=out._transport.get_write_buffer_size,
        ),
    )
    for text in (b"one", b"two", b"three"):
        out.put(text)
    assert written == []
    assert [await heard(client) for _ in range(3)] == [b"one", b"two", b"three"]
    assert len(written) == 1


async def test_order_is_kept_from_fast_to_slow_and_back(wire: Ends) -> None:
    ends, client = wire
    out = await ends.out()
    frames = [b"%d " % number + b"x" * (40_000 if 30 <= number < 110 else 10) for number in range(160)]
    for frame in frames[:120]:  # more than the kernel takes of them, less than the queue
        assert out.put(frame)
        await asyncio.sleep(0)
    got = [await heard(client) for _ in range(120)]
    for frame in frames[120:]:
        assert out.put(frame)
    got += [await heard(client) for _ in range(40)]
    assert got == frames


async def test_of_a_reader_that_does_not_read_the_queue_is_bounded(wire: Ends) -> None:
    ends, client = wire
    out = await ends.out()
    taken = 0
    while out.put(b"x" * 60_000):
        taken += 1
        assert taken < 1_000
        await asyncio.sleep(0)
    for _ in range(taken):
        await heard(client)
    async with asyncio.timeout(SOON_S):
        await out.room()
    assert out.put(b"again")
    assert await heard(client) == b"again"


async def test_flushed_it_is_written_though_the_turn_goes_on(wire: Ends) -> None:
    ends, client = wire
    out = await ends.out()
    out.put(b"last words")
    await out.flush()
    await out.stop()
    out.put(b"too late")
    await out.stop()
    out.put(b"after")
    assert [await heard(client) for _ in range(2)] == [b"last words", b"after"]
