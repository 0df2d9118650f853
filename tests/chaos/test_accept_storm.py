"""Fifty volunteers accept the same request at the same instant, through two nodes, many times over."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from uuid import UUID

import pytest

from infra.phone.errors import ApiError, FrameRefused
from infra.phone.state import View
from tests.chaos.stage import Stage
from tests.chaos.strikes import EVERY_STRIKE
from tests.support.witness import PATIENCE_S, Witness

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

VOLUNTEERS = 50
REQUESTS = 100 if EVERY_STRIKE else 40

WON = "won"


async def test_one_wins_and_all_others_hear_so(stage: Stage, record_property: Callable[[str, object], None]) -> None:
    stage.settings |= {"EYELINE_WAVE_SIZE": str(VOLUNTEERS), "EYELINE_COOLDOWN_S": "0", "EYELINE_HEARTBEAT_S": "5"}
    nodes = await asyncio.gather(stage.node(), stage.node())
    volunteers = await asyncio.gather(
        *(stage.volunteer(f"Volunteer {number}", nodes[number % 2]) for number in range(VOLUNTEERS))
    )
    requester = await stage.requester("Rosa", nodes[0])
    began = time.monotonic()
    wins: Counter[str] = Counter()
    for _ in range(REQUESTS):
        winner = await one_storm(stage, requester, volunteers)
        wins[winner.name] += 1
    took = time.monotonic() - began
    record_property("storms", f"{REQUESTS} in {took:.1f} s, {len(wins)} different winners")
    print(f"{REQUESTS} storms in {took:.1f} s; {len(wins)} different winners")


async def one_storm(stage: Stage, requester: Witness, volunteers: list[Witness]) -> Witness:
    """Ask, let everybody accept at once, and see that exactly one has; gives the winner."""
    request = await requester.request_help()
    offers = await asyncio.gather(*(one.offered(request["id"]) for one in volunteers))
    ways = [by_socket if number % 4 == 0 else by_http for number in range(len(volunteers))]
    verdicts = await asyncio.gather(
        *(way(*pair) for way, pair in zip(ways, zip(volunteers, offers, strict=True), strict=True))
    )
    assert Counter(verdicts) == {WON: 1, "answered_elsewhere": len(volunteers) - 1}
    winner = volunteers[verdicts.index(WON)]
    call = await both_told(requester, winner, request["id"])
    live = await stage.ledger.rows("SELECT id FROM calls WHERE state <> 'ended'")
    assert [row["id"] for row in live] == [UUID(call["id"])]
    await requester.end_call(call, "done")
    others = [one for one in (requester, *volunteers) if one is not winner]
    await asyncio.gather(winner.out_of_call(call["id"]), *(at_rest(one, request["id"]) for one in others))
    return winner


async def by_http(volunteer: Witness, offer: View) -> str:
    try:
        await volunteer.accept(offer)
    except ApiError as error:
        return error.code if error.status == 409 else str(error)
    return WON


async def by_socket(volunteer: Witness, offer: View) -> str:
    try:
        await volunteer.send("accept", {key: offer[key] for key in ("request_id", "epoch")}, timeout=PATIENCE_S)
    except FrameRefused as error:
        return error.code
    return WON


async def both_told(requester: Witness, winner: Witness, request_id: str) -> View:
    """By a message of the socket, each; gives the call."""
    heard: list[View] = []
    for person in (requester, winner):
        async with asyncio.timeout(PATIENCE_S):
            while (call := (await person.next("call", timeout=None))["data"]["call"])["request_id"] != request_id:
                pass
        heard.append(call)
    assert {(call["id"], call["state"]) for call in heard} == {(heard[0]["id"], "connecting")}
    return heard[0]


async def at_rest(person: Witness, request_id: str) -> None:
    """Neither asking nor asked, nor in a call."""
    await person.until(lambda state: state.live_call is None and request_id not in state.offers, timeout=PATIENCE_S)
    person.clear()
