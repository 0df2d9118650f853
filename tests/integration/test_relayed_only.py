"""Two strangers on a node whose policy is `relay`, one of whom does not obey it: no address passes, either way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.engines import Engines
from tests.support.outside import Outside
from tests.support.scenes import Pair, Scene, frame_refused

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS = {
    "EYELINE_TURN_URLS": "turn:127.0.0.1:3478",
    "EYELINE_TURN_SECRET": "shared",
    "EYELINE_TURN_RELAY_NETS": "203.0.113.0/24",
}
SDP = Path(__file__).parents[1] / "support" / "sdp"
OFFER, ANSWER = (SDP / f"chromium_audio_{kind}.sdp" for kind in ("offer", "answer"))
HOST = "candidate:1 1 udp 2122063615 192.0.2.2 54332 typ host generation 0"
FORGED = "candidate:1 1 udp 41885695 192.0.2.2 54332 typ relay raddr 192.0.2.2 rport 9"
RELAYED = "candidate:1 1 udp 41885695 203.0.113.9 50000 typ relay raddr 192.0.2.2 rport 61000"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outside(engines: Engines) -> AsyncIterator[Outside]:
    async with Outside.over(engines, **SETTINGS) as outside:
        yield outside


@pytest_asyncio.fixture(loop_scope="module")
async def pair(outside: Outside) -> AsyncIterator[Pair]:
    async with Scene.of(outside) as scene:
        pair = await scene.pair()
        await describe(pair)
        yield pair


async def describe(pair: Pair) -> None:
    """Both describe themselves, with every address they have; what the other side gets has none."""
    ways = ((pair.requester, "offer", OFFER, pair.volunteer), (pair.volunteer, "answer", ANSWER, pair.requester))
    for speaker, kind, sdp, listener in ways:
        text = sdp.read_bytes().decode()
        assert "192.0.2.2" in text
        await speaker.send("description", {"type": kind, "sdp": text, "negotiation": 1}, call=pair.call)
        told = (await listener.next("description"))["data"]["sdp"]
        assert "192.0.2.2" not in told
        assert "candidate" not in told
        assert "a=fingerprint" in told


def candidate(text: str | None) -> dict[str, object]:
    return {"candidate": text, "sdpMid": "0", "sdpMLineIndex": 0, "negotiation": 1}


@pytest.mark.parametrize("side", ["requester", "volunteer"])
class TestOfEitherSide:
    async def test_only_candidates_of_our_relays_pass(self, pair: Pair, side: str) -> None:
        speaker = pair.side(side)
        listener = pair.side("volunteer" if side == "requester" else "requester")
        for text in (HOST, FORGED, RELAYED):
            await speaker.send("candidate", candidate(text), call=pair.call)
        await speaker.send("candidate", candidate(None), call=pair.call)
        first, last = await listener.next("candidate"), await listener.next("candidate")
        assert "203.0.113.9 50000 typ relay raddr 0.0.0.0 rport 9" in first["data"]["candidate"]
        assert last["data"]["candidate"] is None

    async def test_one_whom_no_relay_can_be_reached_by_is_told(self, pair: Pair, side: str) -> None:
        speaker = pair.side(side)
        await speaker.send("candidate", candidate(HOST), call=pair.call)
        for end in (None, ""):
            error = await frame_refused(speaker, "candidate", candidate(end), call=pair.call)
            assert error.code == "no_relay"


async def test_a_description_that_is_complete_without_a_relay_is_refused(outside: Outside) -> None:
    async with Scene.of(outside) as scene:
        pair = await scene.pair()
        sdp = OFFER.read_bytes().decode() + "a=end-of-candidates\r\n"
        data = {"type": "offer", "sdp": sdp, "negotiation": 1}
        assert (await frame_refused(pair.requester, "description", data, call=pair.call)).code == "no_relay"


async def test_only_whoever_is_asked_as_a_member_of_a_direct_group_learns_addresses(
    outside: Outside,
) -> None:
    async with Scene.of(outside) as scene:
        volunteer, requester = await scene.volunteer(), await scene.requester()
        call = requester.account.call
        group = (await call("POST", "/v1/groups", {"name": "Family", "direct": True}))["group"]
        code = (await call("POST", f"/v1/groups/{group['id']}/invites"))["code"]
        await volunteer.account.call("POST", f"/v1/invites/{code}/accept", {})
        for wishes, policy in (({"group_id": group["id"], "then_public_after_s": None}, "all"), ({}, "relay")):
            await requester.request_help(**wishes)
            answered = await volunteer.accept(await volunteer.next_offer())
            await requester.until(lambda state: state.live_call is not None)
            assert requester.state.call is not None
            assert answered["ice_policy"] == requester.state.call["ice_policy"] == policy
            data = {"type": "offer", "sdp": OFFER.read_bytes().decode(), "negotiation": 1}
            await requester.send("description", data, call=answered)
            told = (await volunteer.next("description"))["data"]["sdp"]
            assert ("192.0.2.2" in told) is (policy == "all")
            await requester.end_call(answered, "done")
            await volunteer.until(lambda state: state.live_call is None)
