"""From the answer to the first decoded frame of video, with two aiortc phones on two nodes."""

from __future__ import annotations

import asyncio

from infra.phone.caller import place_call
from tests.bench.figures import Figure, figure, quantile
from tests.bench.stage import Stage, stage
from tests.support.engines import Engines

CALLS = 12


async def run(engines: Engines) -> dict[str, Figure]:
    """One call after another; the volunteer's phone says when it accepted and when it first saw something."""
    async with stage(engines) as on:
        waits = [await _one(on, number) for number in range(CALLS)]
    return {
        "accept_to_first_frame_p50": figure(quantile(waits, 0.5), "ms"),
        "accept_to_first_frame_p99": figure(quantile(waits, 0.99), "ms"),
    }


async def _one(on: Stage, number: int) -> float:
    helping = asyncio.create_task(
        place_call(on.url(0), "volunteer", "en", None, print_nothing, name=f"helper {number}", include_loopback=True)
    )
    asking = place_call(
        on.url(1), "requester", "en", None, print_nothing, name=f"asker {number}", talk_s=0.2, include_loopback=True
    )
    _, timeline = await asyncio.gather(asking, helping)
    accepted, seen = timeline.at("accepted"), timeline.at("first frame")
    if accepted is None or seen is None:
        raise RuntimeError(f"no frame came: {[str(step) for step in timeline.steps]}")
    return seen - accepted


def print_nothing(_step: object) -> None:
    """The figures are printed at the end."""
