"""What people are told of the picture over a real node, and the row that says how their call went."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from infra.phone.state import View
from tests.support.engines import Engines
from tests.support.outside import Outside, Phone, until
from tests.support.scenes import MEDIA, Pair, Scene

pytestmark = pytest.mark.asyncio(loop_scope="module")

BLIND: View = {**MEDIA, "receiving": {"audio": True, "video": False}}
PAUSED: View = {**MEDIA, "sending": {"audio": True, "video": False}, "paused": "user"}


def spread(value: float) -> View:
    return {"now": value, "mean": value, "worst": value}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outside(engines: Engines) -> AsyncIterator[Outside]:
    async with Outside.over(engines, EYELINE_GRACE_S="2") as outside:
        yield outside


async def says(phone: Phone, type_: str, data: View, pair: Pair) -> None:
    await phone.send(type_, data, call=pair.call)


async def both_hear(pair: Pair, *states: str) -> None:
    """Of the picture, in this order and without a number."""
    for phone in pair.both:
        for state in states:
            frame = await phone.next("picture")
            assert frame["data"] == {"state": state}
            assert (frame["call"], frame["attempt"]) == (pair.call["id"], pair.call["attempt"])
            assert "seq" not in frame


async def rows(outside: Outside, table: str, pair: Pair) -> list[Any]:
    found = await outside.database.fetch(f"SELECT * FROM {table} WHERE call_id = $1", UUID(pair.call["id"]))
    return list(found)


async def test_frozen_dark_and_paused_are_told_to_both_once(outside: Outside) -> None:
    async with Scene.of(outside) as scene:
        pair = await scene.pair(connected=True)
        await outside.database.execute("UPDATE calls SET picture_since = picture_since - interval '10 s'")
        await says(pair.volunteer, "media", BLIND, pair)
        await says(pair.volunteer, "media", MEDIA, pair)
        await both_hear(pair, "frozen", "ok")
        for luma in (120, 2, 3, 80):
            await says(pair.volunteer, "stats", {"luma": luma}, pair)
        await both_hear(pair, "dark", "ok")
        await says(pair.requester, "media", PAUSED, pair)
        await says(pair.requester, "media", MEDIA, pair)
        await both_hear(pair, "paused", "ok")
        await says(pair.requester, "stats", {"luma": 0}, pair)  # of the volunteer's picture, which there is none of
        await pair.requester.end_call(pair.call)
        await pair.ended()
        with pytest.raises(TimeoutError):
            await pair.volunteer.next("picture", timeout=0.1)


async def test_a_socket_that_comes_anew_hears_of_a_frozen_picture_again(outside: Outside) -> None:
    async with Scene.of(outside) as scene:
        pair = await scene.pair(connected=True)
        await outside.database.execute("UPDATE calls SET picture_since = picture_since - interval '10 s'")
        await says(pair.volunteer, "media", BLIND, pair)
        await both_hear(pair, "frozen")
        pair.requester.cut()
        assert (await pair.requester.next("picture"))["data"] == {"state": "frozen"}


async def test_a_picture_that_stays_away_sends_the_request_back_to_its_place(outside: Outside) -> None:
    async with Scene.of(outside) as scene:
        pair = await scene.pair(connected=True)
        await outside.database.execute("UPDATE calls SET picture_since = picture_since - interval '10 s'")
        await says(pair.volunteer, "media", BLIND, pair)
        told = await pair.ended()
        assert [(call["end_reason"], call["end_by"]) for call in told] == [("lost", "system")] * 2
        state = await pair.requester.until(lambda state: (state.request or {}).get("epoch") == 2)
        assert state.request is not None
        assert state.request["state"] == "waiting"


async def test_a_call_leaves_one_row_that_says_how_it_went(outside: Outside) -> None:
    async with Scene.of(outside) as scene:
        pair = await scene.pair(connected=True)
        early = {"samples": 1, "round_trip": spread(9), "candidate_type": "host", "time_to_media_s": 0.5}
        later = {**early, "samples": 6, "round_trip": spread(0.5), "loss": spread(0.25), "candidate_type": "relay"}
        for stats in (early, later):
            await says(pair.volunteer, "stats", stats, pair)

        async def is_written() -> bool:
            return any('"samples": 6' in row["report"] for row in await rows(outside, "call_reports", pair))

        await until(is_written)
        await pair.requester.end_call(pair.call)
        [row] = await rows(outside, "call_quality", pair)
        assert row["requester"] is None
        assert '"round_trip": {"mean": 0.5, "worst": 0.5}' in row["volunteer"]
        assert '"candidate_type": "relay"' in row["volunteer"]
        await says_too_late(pair)


async def says_too_late(pair: Pair) -> None:
    with pytest.raises(Exception, match="call_ended"):
        await says(pair.volunteer, "stats", {}, pair)


async def test_a_call_that_never_came_about_leaves_a_row_too(outside: Outside) -> None:
    async with Scene.of(outside) as scene:
        pair = await scene.pair()
        await pair.requester.end_call(pair.call, "left")
        [row] = await rows(outside, "call_quality", pair)
        assert (row["requester"], row["volunteer"]) == (None, None)


async def test_who_loses_their_socket_is_said_to_be_away_and_then_back(outside: Outside) -> None:
    async with Scene.of(outside) as scene:
        pair = await scene.pair(connected=True)
        for gone, stays in (pair.both, pair.both[::-1]):
            gone.cut(come_back=False)
            away = await stays.next("peer")
            assert away["data"] == {"state": "away", "cause": "network"}
            assert (away["call"], away["attempt"]) == (pair.call["id"], pair.call["attempt"])
            gone.come_back()
            assert (await stays.next("peer"))["data"] == {"state": "back", "cause": "network"}
            await gone.online()
