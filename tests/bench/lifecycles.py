"""Requests through HTTP and sockets, from tap to end, by scripted people on two nodes; beside pgbench."""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from infra.phone.client import PhoneClient
from infra.phone.errors import ApiError
from infra.phone.state import View
from tests.bench import pgbench
from tests.bench.figures import Figure, figure, quantile
from tests.bench.stage import Stage, people, stage
from tests.support.engines import Engines

REQUESTERS = 12
VOLUNTEERS = 96
OFFERS = 4
SECONDS = 10
FLOWS = {"audio": True, "video": False}


@dataclass(slots=True)
class Tally:
    """What was seen while the load ran; seconds."""

    tap_to_offer: list[float] = field(default_factory=list)
    accept_to_call: list[float] = field(default_factory=list)
    lifecycles: int = 0
    asked: int = 0
    tapped_at: dict[str, float] = field(default_factory=dict)
    answering: set[str] = field(default_factory=set)


async def run(engines: Engines) -> dict[str, Figure]:
    """Full load for throughput, then one requester at a time for latency, then pgbench, all within a minute."""
    async with stage(engines, wave_size=OFFERS) as on:
        busy = await _load(on, REQUESTERS, VOLUNTEERS, SECONDS)
    async with stage(engines, wave_size=OFFERS) as on:
        calm = await _load(on, 1, 8, SECONDS / 2)
    with tempfile.TemporaryDirectory() as folder:
        bare = await pgbench.lifecycles_per_s(
            await engines.new_database(), clients=REQUESTERS, offers=OFFERS, seconds=SECONDS, folder=Path(folder)
        )
    return {
        "lifecycles": figure(busy.lifecycles / SECONDS, f"1/s ({busy.asked / busy.lifecycles:.1f} offers)", bare),
        "tap_to_offer_p50": figure(quantile(calm.tap_to_offer, 0.5) * 1000, "ms"),
        "tap_to_offer_p99": figure(quantile(calm.tap_to_offer, 0.99) * 1000, "ms"),
        "tap_to_offer_p99_full_load": figure(quantile(busy.tap_to_offer, 0.99) * 1000, "ms"),
        "accept_to_call_p50": figure(quantile(calm.accept_to_call, 0.5) * 1000, "ms"),
        "accept_to_call_p99": figure(quantile(calm.accept_to_call, 0.99) * 1000, "ms"),
    }


async def _load(on: Stage, requesters: int, volunteers: int, seconds: float) -> Tally:
    tally = Tally()
    async with people(on, "volunteer", volunteers) as helpers, people(on, "requester", requesters) as askers:
        await asyncio.gather(*(helper.ready() for helper in helpers))
        answering = [asyncio.create_task(_answer(helper, tally)) for helper in helpers]
        until = time.perf_counter() + seconds
        await asyncio.gather(*(_ask(asker, tally, until) for asker in askers))
        for task in answering:
            task.cancel()
        for outcome in await asyncio.gather(*answering, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
    return tally


async def _ask(asker: PhoneClient, tally: Tally, until: float) -> None:
    """Tap, wait for the call, say that media runs, hang up; again and again."""
    while time.perf_counter() < until:
        asker.clear()
        tapped = time.perf_counter()
        request = await asker.request_help()
        tally.tapped_at[request["id"]] = tapped
        call = (await asker.next("call"))["data"]["call"]
        await _media(asker, call)
        await asker.until(lambda state: (state.request or {}).get("state") == "in_call")
        await asker.end_call(call)
        ended = await asker.until(lambda state: (state.request or {}).get("state") == "ended")
        assert ended.request is not None
        assert ended.request["outcome"] == "completed"
        tally.lifecycles += 1
        tally.asked += ended.request["asked"]


async def _answer(helper: PhoneClient, tally: Tally) -> None:
    """The first to hear of a request answers it; the others let it ring until it is withdrawn."""
    while True:
        offer = await helper.next_offer(timeout=None)
        request_id = offer["request_id"]
        heard = time.perf_counter()
        if request_id in tally.answering:
            continue
        tally.answering.add(request_id)
        if (tapped := tally.tapped_at.get(request_id)) is not None:
            tally.tap_to_offer.append(heard - tapped)
        try:
            call = await helper.accept(offer)
        except ApiError:
            continue
        tally.accept_to_call.append(time.perf_counter() - heard)
        await _media(helper, call)
        helper.clear()


async def _media(phone: PhoneClient, call: View) -> None:
    await phone.send("media", {"state": "connected", "sending": FLOWS, "receiving": FLOWS, "paused": None}, call=call)
