"""Very many people at once: what a silent session costs, how soon one resumes, a thousand calls set up together."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import psutil

from infra.phone.client import PhoneClient
from infra.phone.errors import PhoneError
from tests.bench.figures import Figure, figure, quantile
from tests.bench.stage import Stage, people, stage
from tests.support.engines import Engines
from tests.support.scenes import MEDIA

T = TypeVar("T")

SESSIONS = 9_000
WARM = 500
"""Sessions before memory is looked at: what is loaded on first use is no session's."""
AT_ONCE = 16
RESUMED = 500
RESUMED_AT_ONCE = 8
CALLS = 1_000
SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\na=ice-ufrag:{0}\r\na=ice-pwd:0123456789abcdef01234567\r\n"


async def run(engines: Engines) -> dict[str, Figure]:
    async with stage(engines) as on:
        figures = await _sessions(on)
    async with stage(engines, wave_size=1) as on:
        figures |= await _set_ups(on)
    return figures


@dataclass(slots=True)
class Idler:
    """A signed-in session with an open socket and nothing else."""

    token: str
    device_id: str
    socket: aiohttp.ClientWebSocketResponse
    place: dict[str, Any]
    """Where to resume."""


async def _sessions(on: Stage) -> dict[str, Figure]:
    """Thousands of silent sessions on one node; then some of them lose their socket and come back."""
    node = on.nodes[0]
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as http:

        async def join(number: int) -> Idler:
            device = {"id": f"device {number}", "platform": "android"}
            body = {"provider": "dev", "token": f"idle {number}", "device": device}
            async with http.post(f"{node.url}/v1/sessions", json=body) as reply:
                token = (await reply.json())["access_token"]
            socket, welcome = await _connected(http, node.url, token, device["id"])
            return Idler(token, device["id"], socket, {"incarnation": welcome["incarnation"], "seq": welcome["seq"]})

        idlers = await _some_at_once(join, range(WARM), AT_ONCE)
        before = psutil.Process(node.pid).memory_info().rss
        idlers += await _some_at_once(join, range(WARM, SESSIONS), AT_ONCE)
        grown = psutil.Process(node.pid).memory_info().rss - before
        print(f"  {SESSIONS:,} sessions are open", flush=True)

        async def come_back(idler: Idler) -> float:
            idler.socket._response.close()  # cut, without a goodbye
            begun = time.perf_counter()
            idler.socket, welcome = await _connected(http, node.url, idler.token, idler.device_id, idler.place)
            assert welcome["resumed"]
            return time.perf_counter() - begun

        took = await _some_at_once(come_back, random.Random(1).sample(idlers, RESUMED), RESUMED_AT_ONCE)
    return {
        "memory_per_idle_session_of_9000": figure(grown / (SESSIONS - WARM) / 1024, "KiB"),
        "resume_p50": figure(quantile(took, 0.5) * 1000, "ms"),
        "resume_p99": figure(quantile(took, 0.99) * 1000, "ms"),
    }


async def _connected(
    http: aiohttp.ClientSession, url: str, token: str, device_id: str, resume: dict[str, Any] | None = None
) -> tuple[aiohttp.ClientWebSocketResponse, dict[str, Any]]:
    socket = await http.ws_connect(f"{url}/v1/ws", protocols=("eyeline.v1",), compress=0)
    data = {"token": token, "device_id": device_id, **({"resume": resume} if resume else {})}
    await socket.send_json({"type": "hello", "data": data})
    welcome = await socket.receive_json()
    assert welcome["type"] == "welcome"
    return socket, welcome["data"]


async def _some_at_once(work: Callable[[Any], Awaitable[T]], of: Sequence[Any], at_once: int) -> list[T]:
    gate = asyncio.Semaphore(at_once)

    async def one(item: Any) -> T:
        async with gate:
            return await work(item)

    return list(await asyncio.gather(*(one(item) for item in of)))


async def _set_ups(on: Stage) -> dict[str, Figure]:
    """As many taps in the same moment; each is followed by descriptions and candidates both ways, and media."""
    took: list[float] = []
    failures = 0
    async with AsyncExitStack() as stack:
        volunteers = await stack.enter_async_context(people(on, "volunteer", CALLS))
        requesters = await stack.enter_async_context(people(on, "requester", CALLS))
        for start in range(0, CALLS, AT_ONCE):
            await asyncio.gather(*(one.ready() for one in volunteers[start : start + AT_ONCE]))
        print(f"  {CALLS:,} people tap", flush=True)
        answering = [asyncio.create_task(_answer(one)) for one in volunteers]
        for outcome in await asyncio.gather(*map(_ask, requesters), return_exceptions=True):
            if isinstance(outcome, BaseException):
                failures += 1
            else:
                took.append(outcome)
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)
    return {
        "set_ups_failed": figure(failures, f"of {CALLS}"),
        "set_up_p50": figure(quantile(took, 0.5), "s"),
        "set_up_p99": figure(quantile(took, 0.99), "s"),
    }


async def _ask(asker: PhoneClient) -> float:
    begun = time.perf_counter()
    request = await asker.request_help()
    state = await asker.until(lambda state: state.live_call is not None, timeout=150)
    call = state.live_call
    assert call is not None
    await asker.post("description", {"type": "offer", "sdp": SDP.format("r"), "negotiation": 1}, call=call)
    await asker.post("candidate", {"candidate": "", "sdpMid": "0", "negotiation": 1}, call=call)
    await asker.next("description", timeout=150)
    await asker.post("media", MEDIA, call=call, replaces="media")
    state = await asker.until(lambda state: (state.call or {}).get("state") == "connected", timeout=150)
    assert state.call is not None
    assert (state.call["request_id"], state.call["epoch"]) == (request["id"], 1)
    return time.perf_counter() - begun


async def _answer(helper: PhoneClient) -> None:
    """Accept whatever comes, until a call is won."""
    while True:
        offer = await helper.next_offer(timeout=None)
        try:
            call = await helper.accept(offer)
        except PhoneError:
            continue
        await helper.next("description", timeout=None)
        await helper.post("description", {"type": "answer", "sdp": SDP.format("v"), "negotiation": 1}, call=call)
        await helper.post("candidate", {"candidate": "", "sdpMid": "0", "negotiation": 1}, call=call)
        await helper.post("media", MEDIA, call=call, replaces="media")
