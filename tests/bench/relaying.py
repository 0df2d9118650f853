"""Messages relayed between two people on two nodes, beside a bare relay; and what an idle session costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import psutil
from aiohttp import web

from infra.phone.client import PhoneClient
from infra.phone.state import View
from tests.bench.figures import Figure, figure, quantile
from tests.bench.stage import Stage, people, stage
from tests.support.engines import Engines

PAIRS = 8
SECONDS = 4
IN_FLIGHT = 4
IDLE = 500


async def run(engines: Engines) -> dict[str, Figure]:
    """Chat to and fro between pairs whose sides are on different nodes; the same over a relay that only forwards."""
    async with stage(engines, wave_size=1) as on:
        count, trips = await _chat(on)
        idle_bytes = await _idle(on)
    bare, bare_trips = await _bare()
    return {
        "relayed_messages": figure(count / SECONDS, "1/s", bare / SECONDS),
        "relay_round_trip_p50": figure(quantile(trips, 0.5) * 1000, "ms", quantile(bare_trips, 0.5) * 1000),
        "relay_round_trip_p99": figure(quantile(trips, 0.99) * 1000, "ms", quantile(bare_trips, 0.99) * 1000),
        "memory_per_idle_session": figure(idle_bytes / 1024, "KiB"),
    }


async def _chat(on: Stage) -> tuple[int, list[float]]:
    """Each pair has its own language, so that requester n meets volunteer n."""
    languages = ["da", "de", "es", "fr", "it", "nl", "pl", "pt"][:PAIRS]
    trips: list[float] = []
    async with asyncio.TaskGroup() as group:
        for number, language in enumerate(languages):
            group.create_task(_pair(on, language, number, trips))
    return 2 * len(trips), trips


async def _pair(on: Stage, language: str, number: int, trips: list[float]) -> None:
    here, there = Stage(on.engines, [on.nodes[number % 2]]), Stage(on.engines, [on.nodes[1 - number % 2]])
    async with (
        people(here, "volunteer", 1, language=language) as [helper],
        people(there, "requester", 1, language=language) as [asker],
    ):
        await helper.ready()
        await asker.request_help()
        call = await helper.accept(await helper.next_offer())
        await asker.next("call")
        echo = asyncio.create_task(_echo(asker, call))
        until = time.perf_counter() + SECONDS
        await asyncio.gather(*(_talk(helper, call, until, trips) for _ in range(IN_FLIGHT)))
        echo.cancel()
        await asyncio.gather(echo, return_exceptions=True)
        await helper.end_call(call)


async def _talk(phone: PhoneClient, call: View, until: float, trips: list[float]) -> None:
    while time.perf_counter() < until:
        began = time.perf_counter()
        await phone.post("chat", {"text": "hello", "language": "en"}, call=call)
        await phone.next("chat")
        trips.append(time.perf_counter() - began)


async def _echo(phone: PhoneClient, call: View) -> None:
    while True:
        heard = await phone.next("chat", timeout=None)
        await phone.post("chat", heard["data"], call=call)


async def _idle(on: Stage) -> float:
    """Growth of both nodes' memory per session that is connected and does nothing."""

    def resident() -> int:
        return sum(int(psutil.Process(node.pid).memory_info().rss) for node in on.nodes)

    before = resident()
    async with people(on, "volunteer", IDLE, language="sv"):
        return (resident() - before) / IDLE


async def _bare() -> tuple[int, list[float]]:
    """The same talk over an aiohttp server that passes each text to the other socket of its pair."""
    trips: list[float] = []
    async with _relay() as url, aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
        for number in range(PAIRS):
            group.create_task(_bare_pair(http, f"{url}/{number}", trips))
    return 2 * len(trips), trips


async def _bare_pair(http: aiohttp.ClientSession, url: str, trips: list[float]) -> None:
    async with http.ws_connect(url) as one, http.ws_connect(url) as other:
        echo = asyncio.create_task(_bare_echo(other))
        until = time.perf_counter() + SECONDS
        heard: asyncio.Queue[str] = asyncio.Queue()
        reading = asyncio.create_task(_bare_read(one, heard))

        async def talk() -> None:
            while time.perf_counter() < until:
                began = time.perf_counter()
                await one.send_str("hello")
                await heard.get()
                trips.append(time.perf_counter() - began)

        await asyncio.gather(*(talk() for _ in range(IN_FLIGHT)))
        for task in (echo, reading):
            task.cancel()
        await asyncio.gather(echo, reading, return_exceptions=True)


async def _bare_read(socket: aiohttp.ClientWebSocketResponse, heard: asyncio.Queue[str]) -> None:
    async for message in socket:
        heard.put_nowait(message.data)


async def _bare_echo(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for message in socket:
        await socket.send_str(message.data)


@asynccontextmanager
async def _relay() -> AsyncIterator[str]:
    pairs: dict[str, list[web.WebSocketResponse]] = {}

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        pair = pairs.setdefault(request.path, [])
        pair.append(socket)
        async for message in socket:
            for other in pair:
                if other is not socket:
                    await other.send_str(message.data)
        return socket

    app = web.Application()
    app.router.add_get("/{pair}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
