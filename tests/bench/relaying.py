"""Messages relayed between two people on two nodes and on one, beside a bare relay; and what an idle session costs.

The people are as lean for all of them: a socket, frames made beforehand, nothing read but what kind a frame is.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import psutil
from aiohttp import web
from redis.asyncio.client import PubSub

from infra.phone.client import PhoneClient
from infra.phone.state import View
from infra.valkey.connection import open_valkey, pipelined_on
from tests.bench.figures import Figure, figure, quantile
from tests.bench.stage import Stage, people, stage
from tests.support.engines import Engines
from tests.support.nodes import Node

LANGUAGES = ("da", "de", "es", "fr", "it", "nl", "pl", "pt")
"""Of each pair, so that requester n meets volunteer n."""
SECONDS = 4
IN_FLIGHT = 4
IDLE = 500
ACK_EVERY = 16
CHAT = b'"type":"chat"'


async def run(engines: Engines) -> dict[str, Figure]:
    """Chat to and fro between pairs; the same over a relay that only forwards."""
    async with stage(engines, wave_size=1) as on:
        apart = await _talk_of_all(on, [(on.nodes[n % 2], on.nodes[1 - n % 2]) for n in range(len(LANGUAGES))])
        idle_bytes = await _idle(on)
    async with stage(engines, wave_size=1) as on:
        together = await _talk_of_all(on, [(on.nodes[n % 2], on.nodes[n % 2]) for n in range(len(LANGUAGES))])
    bare, kept = await _bare(), await _bare(await engines.empty_valkey())
    return {
        "relayed_messages": figure(2 * len(apart) / SECONDS, "1/s", 2 * len(bare) / SECONDS),
        "relayed_messages_beside_kept": figure(2 * len(apart) / SECONDS, "1/s", 2 * len(kept) / SECONDS),
        "relayed_messages_one_node": figure(2 * len(together) / SECONDS, "1/s", 2 * len(bare) / SECONDS),
        "relay_round_trip_p50": figure(quantile(apart, 0.5) * 1000, "ms", quantile(bare, 0.5) * 1000),
        "relay_round_trip_p99": figure(quantile(apart, 0.99) * 1000, "ms", quantile(bare, 0.99) * 1000),
        "memory_per_idle_session": figure(idle_bytes / 1024, "KiB"),
    }


class Line:
    """One side of a conversation over any socket; gives back what it is told."""

    def __init__(self, socket: Any, before: bytes = b"", after: bytes = b"") -> None:
        """`socket`: aiohttp's, of a client. A frame is `before`, a number, `after`; to a bare relay the number."""
        self.socket = socket
        self._before, self._after = before, after
        self._count = 0
        self._seq = b""

    async def say(self) -> None:
        self._count += 1
        ack = b""
        if self._before and self._count % ACK_EVERY == 0 and self._seq:
            ack = b',"ack":' + self._seq
        await self.socket.send_frame(
            b"%b%d%b" % (self._before, self._count, self._after.replace(b"ACK", ack)), web.WSMsgType.TEXT
        )

    async def hear(self) -> None:
        """Until words come from the other side."""
        while True:
            message = await self.socket.receive()
            data: bytes = message.data
            if not self._before:
                return
            if CHAT in data[:40]:
                self._seq = data[7 : data.index(b",")]
                return


async def _conversation(one: Line, other: Line) -> list[float]:
    """Seconds there and back of each message, a few in flight, for a while."""
    trips: list[float] = []
    said: deque[float] = deque()
    until = time.perf_counter() + SECONDS

    async def answer() -> None:
        while True:
            await other.hear()
            await other.say()

    answering = asyncio.create_task(answer())
    try:
        for _ in range(IN_FLIGHT):
            said.append(time.perf_counter())
            await one.say()
        while said[0] < until:
            await one.hear()
            now = time.perf_counter()
            trips.append(now - said.popleft())
            said.append(now)
            await one.say()
    finally:
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
    return trips


async def _talk_of_all(on: Stage, places: Sequence[tuple[Node, Node]]) -> list[float]:
    """Each pair is brought into a call, its volunteer on the first node, its requester on the second."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        pairs = []
        for language, (here, there) in zip(LANGUAGES, places, strict=True):
            [helper] = await stack.enter_async_context(
                people(Stage(on.engines, [here]), "volunteer", 1, language=language)
            )
            [asker] = await stack.enter_async_context(
                people(Stage(on.engines, [there]), "requester", 1, language=language)
            )
            await helper.ready()
            await asker.request_help()
            call = await helper.accept(await helper.next_offer())
            await asker.next("call")
            pairs.append((await _line(http, here, helper, call), await _line(http, there, asker, call)))
        trips = await asyncio.gather(*(_conversation(*pair) for pair in pairs))
    return [trip for of_pair in trips for trip in of_pair]


async def _line(http: aiohttp.ClientSession, node: Node, phone: PhoneClient, call: View) -> Line:
    """The session's socket, taken over from its phone."""
    socket = await http.ws_connect(f"{node.url}/v1/ws", protocols=("eyeline.v1",), compress=0, decode_text=False)
    hello = {"token": phone.account.access_token, "device_id": phone.account.device_id}
    await socket.send_json({"type": "hello", "data": hello})
    welcome = msgspec.json.decode((await socket.receive()).data)
    assert welcome["type"] == "welcome"
    data = b'"data":{"text":"hello","language":"en"}'
    after = b'","call":"%b","attempt":%dACK,%b}' % (call["id"].encode(), call["attempt"], data)
    return Line(socket, b'{"type":"chat","id":"', after)


async def _idle(on: Stage) -> float:
    """Growth of both nodes' memory per session that is connected and does nothing."""

    def resident() -> int:
        return sum(int(psutil.Process(node.pid).memory_info().rss) for node in on.nodes)

    before = resident()
    async with people(on, "volunteer", IDLE, language="sv"):
        return (resident() - before) / IDLE


async def _bare(valkey_url: str | None = None) -> list[float]:
    """The same talk over an aiohttp server that passes each text to the other socket of its pair.

    With a Valkey: after it was appended to a stream, and by way of a channel, which is what two nodes need at least.
    """
    async with _relay(valkey_url) as url, AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())

        async def line(number: int) -> Line:
            return Line(await stack.enter_async_context(http.ws_connect(f"{url}/{number}", compress=0)))

        pairs = [(await line(number), await line(number)) for number in range(len(LANGUAGES))]
        trips = await asyncio.gather(*(_conversation(*pair) for pair in pairs))
    return [trip for of_pair in trips for trip in of_pair]


@asynccontextmanager
async def _relay(valkey_url: str | None) -> AsyncIterator[str]:
    pairs: dict[str, list[web.WebSocketResponse]] = {}
    carrier = None if valkey_url is None else open_valkey(valkey_url)

    async def carry(name: str, text: str) -> None:
        assert carrier is not None
        kept = ("XADD", name, "MAXLEN", "~", 512, "*", "m", text)
        for reply in await pipelined_on(carrier, [kept, ("PUBLISH", "relay", f"{name} {text}")]):
            if isinstance(reply, Exception):
                raise reply

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        pair = pairs.setdefault(request.path, [])
        pair.append(socket)
        mine = len(pair) - 1
        async for message in socket:
            if carrier is not None:
                await carry(f"{request.path}:{1 - mine}", message.data)
            else:
                await pair[1 - mine].send_str(message.data)
        return socket

    async def deliver(listener: PubSub) -> None:
        async for message in listener.listen():
            if message["type"] == "message":
                name, _, text = message["data"].decode().partition(" ")
                path, _, place = name.rpartition(":")
                await pairs[path][int(place)].send_str(text)

    app = web.Application()
    app.router.add_get("/{pair}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    async with AsyncExitStack() as stack:
        if carrier is not None:
            stack.push_async_callback(carrier.aclose)
            listener = carrier.pubsub()
            await listener.subscribe("relay")
            stack.push_async_callback(listener.aclose)
            delivering = asyncio.create_task(deliver(listener))
            stack.push_async_callback(_ended, delivering)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
