"""The node of some ready volunteers dies: their phones ring nowhere, so others are asked without delay."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from tests.chaos.stage import BUSY_S, Stage, both_learn, none_left, since
from tests.support.witness import first_offered

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

UNDELIVERED_S = 1.5
"""An offer that is not acknowledged for so long is lost on its way."""
WAVE = 3


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_others_are_asked(stage: Stage, how: str, record_property: Callable[[str, object], None]) -> None:
    stage.settings["EYELINE_WAVE_SIZE"] = str(WAVE)
    healthy, struck = await asyncio.gather(stage.node(), stage.node())
    requester = await stage.requester("Rosa", healthy)
    reachable = [await stage.volunteer(f"There {number}", healthy) for number in range(WAVE)]
    # They have had their turn, so that all who are lost come first.
    former = await requester.request_help()
    await asyncio.gather(*(one.offered(former["id"]) for one in reachable))
    await requester.cancel_request(former["id"])
    await none_left(reachable, former["id"])
    lost = [await stage.volunteer(f"Lost {number}", struck) for number in range(WAVE)]

    if how == "kill":
        await struck.kill()
    else:
        struck.freeze()
    request = await requester.request_help()
    began = time.monotonic()
    winner, offer = await first_offered(reachable, request["id"])
    took = since(began)
    record_property("offered", round(took, 2))
    print(f"{how}: {took:.2f} s")
    assert took + 0.1 >= UNDELIVERED_S, "the lost ones were to be asked first"
    assert took < UNDELIVERED_S + 1 + BUSY_S
    call = await winner.accept_on(offer)
    await both_learn(requester, winner, request["id"])
    for one in lost:
        one.move_to(healthy.url)
    await none_left(lost, request["id"])
    await requester.end_on(call, "done")
    await stage.ledger.at_rest(request["id"])
