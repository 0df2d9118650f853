"""Processes of the push benchmark: the stand-in of FCM, our pusher, and firebase-admin's own sending.

    python -m tests.bench.push_sides standin|ours|beside FOLDER

Each in a process of its own, so that no side's CPU is counted as another's; each under uvloop, as a node runs. The
stand-in writes its address, its service account and its certificate into FOLDER, and ends with its standard input; the
others print one `Measured` as JSON.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import firebase_admin
import uvloop
from firebase_admin import credentials, messaging

from infra.firebase.credentials import AccessTokens
from infra.firebase.push import FcmPusher
from infra.firebase.transport import Transport
from infra.push_data import data
from infra.standins.fcm import FcmStandIn
from matching.waking import PushResult, PushTarget, Wake, WakeType
from tests.bench.figures import quantile
from tests.bench.push_http2 import http2
from tests.support.fakes.push_words import FakeWords

RINGS = 3_000
WAVE = 500
TICK_S = 0.005


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one side sending `RINGS` in waves."""

    rate: float
    """Rings a second."""
    cpu_us: float
    """Of the sending process, for each ring."""
    lag_p99_ms: float
    """By how much a ticker was late meanwhile."""
    cold_wave_s: float
    """The first wave, which makes all connections."""
    warm_wave_s: float
    """The slowest of the others but one."""


async def ours(folder: Path) -> Measured:
    tokens = AccessTokens(folder / "account.json")
    trust = ssl.create_default_context(cafile=folder / "certificate.pem")
    transport = Transport(tokens.project, (folder / "url").read_text(), trust)
    pusher = FcmPusher(transport, tokens, _NoBudget(), FakeWords(), lambda: datetime.now(UTC))
    await tokens.token()
    targets = [
        PushTarget(uuid4(), "fcm", value, None, "ios" if n % 2 else "android", ("en",))
        for n, value in enumerate(_values())
    ]

    async def wave(number: int) -> int:
        outcomes = await pusher.push(_ring(), targets[number * WAVE : (number + 1) * WAVE])
        return sum(outcome.result is PushResult.DELIVERED for outcome in outcomes)

    try:
        return await _measured(wave)
    finally:
        await pusher.close()


async def beside(folder: Path) -> Measured:
    """`messaging.send_each_async` over HTTP/2 with the same messages, its address bent; what it trusts is in the
    environment."""
    messaging._MessagingService.FCM_URL = (folder / "http2_url").read_text() + "/v1/projects/{0}/messages:send"
    certificate = credentials.Certificate(str(folder / "account.json"))
    # Would ask a server of Google's about regions.
    certificate.get_credential()._maybe_start_regional_access_boundary_refresh = lambda *_: None
    app = firebase_admin.initialize_app(certificate)
    values = _values()

    async def wave(number: int) -> int:
        ring = _ring()
        batch = [
            messaging.Message(fid=value, data=data(ring), android=messaging.AndroidConfig(priority="high", ttl=29))
            for value in values[number * WAVE : (number + 1) * WAVE]
        ]
        return int((await messaging.send_each_async(batch, app=app)).success_count)

    return await _measured(wave)


async def standin(folder: Path) -> None:
    """Until standard input ends."""
    async with (
        FcmStandIn(ssl_context=_context(folder)) as fcm,
        http2(_context(folder), fcm.tokens.knows) as http2_url,
    ):
        (folder / "http2_url").write_text(http2_url)
        fcm.make_account(folder / "account.json")
        (folder / "url").write_text(fcm.url)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


def _context(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


async def _measured(wave: Callable[[int], Awaitable[int]]) -> Measured:
    took: list[float] = []
    delivered = 0
    async with _ticking() as late:
        cpu, began = time.process_time(), time.perf_counter()
        for number in range(RINGS // WAVE):
            wave_began = time.perf_counter()
            delivered += await wave(number)
            took.append(time.perf_counter() - wave_began)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    # On a busy machine a few miss their deadline; they do not count.
    if delivered < 0.9 * RINGS:
        raise RuntimeError(f"delivered {delivered} of {RINGS}")
    return Measured(
        delivered / seconds, cpu / delivered * 1e6, quantile(late, 0.99) * 1000, took[0], sorted(took[1:])[-2]
    )


@asynccontextmanager
async def _ticking() -> AsyncIterator[list[float]]:
    """Gathers by how many seconds each tick was late."""
    late: list[float] = []

    async def tick() -> None:
        while True:
            due = time.perf_counter() + TICK_S
            await asyncio.sleep(TICK_S)
            late.append(max(0.0, time.perf_counter() - due))

    ticking = asyncio.create_task(tick())
    try:
        yield late
    finally:
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)


class _NoBudget:
    """firebase-admin has none either."""

    async def take(self, count: int) -> float:
        return 0.0

    async def slow(self, for_s: float) -> None:
        raise RuntimeError("the stand-in said 429")


def _ring() -> Wake:
    now = datetime.now(UTC)
    return Wake(WakeType.RING, uuid4(), 1, "da", now, now + timedelta(seconds=30))


def _values() -> list[str]:
    """As long as real ones."""
    return [f"{number:08}:{'x' * 154}" for number in range(RINGS)]


def main(side: str, folder: Path) -> None:
    match side:
        case "standin":
            uvloop.run(standin(folder))
        case "ours":
            print(json.dumps(asdict(uvloop.run(ours(folder)))))
        case "beside":
            print(json.dumps(asdict(uvloop.run(beside(folder)))))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
