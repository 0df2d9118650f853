"""A complete call through real nodes: a requester's phone, the demo volunteer, real media over loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from infra.phone import calls
from infra.phone.caller import Timeline, place_call
from infra.phone.calls import PhoneCall
from infra.phone.client import PhoneClient
from infra.phone.loopback import include_loopback
from infra.phone.tracks import clock_media, echo_media
from infra.phone.volunteer import run_demo_volunteer
from tests.support.nodes import Node
from tests.support.outside import until

pytestmark = pytest.mark.slow


class Events:
    """What the demo volunteer told, to wait on."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Mapping[str, Any]]] = []
        self._changed = asyncio.Event()

    def __call__(self, event: str, details: Mapping[str, Any]) -> None:
        self.told.append((event, details))
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, event: str, times: int = 1) -> Mapping[str, Any]:
        async with asyncio.timeout(20):
            while len(found := [details for name, details in self.told if name == event]) < times:
                await self._changed.wait()
        return found[times - 1]


@asynccontextmanager
async def demo_volunteer(url: str, **options: Any) -> AsyncIterator[Events]:
    events = Events()
    running = asyncio.create_task(
        run_demo_volunteer(url, answer_after_s=0.1, include_loopback=True, on_event=events, **options)
    )
    try:
        await events.until("ready")
        yield events
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def ask(url: str, *, language: str = "en", talk_s: float = 1.5) -> Timeline:
    return await place_call(
        url, "requester", language, None, lambda step: None, wait_s=20, talk_s=talk_s, include_loopback=True
    )


@asynccontextmanager
async def nodes(database_url: str, valkey_url: str, count: int) -> AsyncIterator[list[Node]]:
    started: list[Node] = []
    try:
        for _ in range(count):
            started.append(await Node.start(database_url, valkey_url, EYELINE_WRAP_UP_S="0.5"))
        yield started
    finally:
        for node in started:
            await node.stop()


@pytest.mark.parametrize("count", [1, 2])
async def test_a_complete_call(database_url: str, valkey_url: str, count: int) -> None:
    async with (
        nodes(database_url, valkey_url, count) as running,
        demo_volunteer(running[-1].url, name="Volunteer") as events,
    ):
        timeline = await ask(running[0].url, talk_s=2)
        assert timeline.exit_code == 0, timeline.steps
        names = [step.name for step in timeline.steps]
        assert [name for name in names if name not in ("chat",)] == [
            "tap",
            "asked",
            "accepted",
            *(["connected", "first frame"] if names.index("connected") < names.index("first frame") else []),
            *(["first frame", "connected"] if names.index("connected") > names.index("first frame") else []),
            "ended",
        ]
        assert timeline.steps[-1].detail == "done"
        chats = [step.detail for step in timeline.steps if step.name == "chat"]
        assert chats[0].startswith("I see your picture, 640 by 480, ")
        assert (await events.until("ended"))["end_reason"] == "done"
        assert {"first_video", "first_audio"} <= {name for name, _ in events.told}


async def test_one_call_after_another_in_the_callers_language(database_url: str, valkey_url: str) -> None:
    async with (
        nodes(database_url, valkey_url, 1) as (node,),
        demo_volunteer(node.url, name="Frivillig") as events,
    ):
        for times in (1, 2):
            timeline = await ask(node.url, language="da", talk_s=2)
            assert timeline.exit_code == 0, timeline.steps
            await events.until("ended", times)
        assert (await events.until("said"))["text"].startswith("Jeg ser dit billede, 640 gange 480, ")


async def test_terminal_to_terminal(database_url: str, valkey_url: str) -> None:
    async with nodes(database_url, valkey_url, 1) as (node,):
        helping = asyncio.create_task(
            place_call(node.url, "volunteer", "en", None, lambda step: None, wait_s=20, include_loopback=True)
        )
        asking, helped = await asyncio.gather(ask(node.url, talk_s=1), helping)
        assert (asking.exit_code, helped.exit_code) == (0, 0), (asking.steps, helped.steps)
        assert helped.at("first frame") is not None
        assert helped.steps[-1].name == "ended"


async def test_nobody_there_ends_with_no_frame(database_url: str, valkey_url: str) -> None:
    async with nodes(database_url, valkey_url, 1) as (node,):
        timeline = await place_call(node.url, "requester", "en", None, lambda step: None, wait_s=1)
        assert timeline.exit_code == 1
        async with PhoneClient.sign_in(node.url, "Terminal requester") as phone:
            assert phone.state.request is None or phone.state.request["state"] == "ended"


async def test_a_node_dies_in_the_call(database_url: str, valkey_url: str) -> None:
    """Media goes on without it, and the other side hangs up properly."""
    async with (
        nodes(database_url, valkey_url, 2) as (one, other),
        demo_volunteer(other.url, name="Volunteer") as events,
    ):
        asking = asyncio.create_task(ask(one.url, talk_s=3))
        await events.until("first_video")
        await other.kill()
        timeline = await asking
        assert timeline.exit_code == 0, timeline.steps


@asynccontextmanager
async def two_phones_in_a_call(
    one: Node, other: Node, mode: str = "video"
) -> AsyncIterator[tuple[PhoneCall, Events, PhoneCall, Events]]:
    """A requester and a volunteer, each on its node, their call running in the background."""
    include_loopback()
    heard, seen = Events(), Events()
    async with (
        PhoneClient.sign_in(one.url, "Ada", role="requester", languages=["en"]) as requester,
        PhoneClient.sign_in(other.url, "Bo", role="volunteer", languages=["en"]) as volunteer,
    ):
        await volunteer.ready()
        await requester.request_help(mode=mode)
        accepted = await volunteer.accept(await volunteer.next_offer())
        asked = (await requester.until(lambda state: state.live_call is not None)).live_call
        assert asked is not None
        sides = PhoneCall(requester, asked, clock_media, heard), PhoneCall(volunteer, accepted, echo_media, seen)
        running = [asyncio.create_task(side.run()) for side in sides]
        try:
            yield sides[0], heard, sides[1], seen
            ended = await asyncio.wait_for(asyncio.gather(*running), 10)
            assert {call["end_reason"] for call in ended} == {"done"}
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


async def test_in_writing_silence_is_no_trouble(
    database_url: str, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "SILENT_S", 0.0)
    async with nodes(database_url, valkey_url, 1) as (node,), two_phones_in_a_call(node, node, "text") as four:
        asking, heard, helping, seen = four
        await asking.say("Which one is milk?", "en")
        assert (await seen.until("chat"))["text"] == "Which one is milk?"
        await helping.say("The left one", "en")
        assert (await heard.until("chat"))["text"] == "The left one"
        for events in (heard, seen):
            assert (await events.until("state"))["state"] == "connected"
        await asyncio.sleep(3 * calls.LOOK_EVERY_S)  # what must not happen has no event
        for events in (heard, seen):
            assert [details["state"] for name, details in events.told if name == "state"] == ["connected"]
            assert not {"first_audio", "first_video"} & {name for name, _ in events.told}
        await asking.end()


@pytest.mark.parametrize("loser", ["requester", "volunteer"])
async def test_a_lost_connection_is_built_anew(database_url: str, valkey_url: str, loser: str) -> None:
    async with (
        nodes(database_url, valkey_url, 2) as (one, other),
        two_phones_in_a_call(one, other) as (asking, heard, helping, seen),
    ):
        await seen.until("first_video")
        await seen.until("state")
        lost = (asking if loser == "requester" else helping).peer
        assert lost is not None
        await lost.close()
        assert (await seen.until("attempt", 2))["attempt"] == 2
        assert (await heard.until("attempt", 2))["attempt"] == 2
        fresh = helping.peer
        assert fresh is not None
        await asyncio.wait_for(fresh.video.first.wait(), 10)
        assert [details["state"] for name, details in seen.told if name == "state"][:2] == ["connected", "reconnecting"]
        assert (await seen.until("state", 3))["state"] == "connected"
        await asking.end()


async def test_the_socket_is_cut_while_they_negotiate(database_url: str, valkey_url: str) -> None:
    async with nodes(database_url, valkey_url, 1) as (node,), two_phones_in_a_call(node, node) as four:
        asking, heard, helping, seen = four
        for phone in (asking.phone, helping.phone):
            assert isinstance(phone, PhoneClient)
            phone.cut()
        await seen.until("first_video")
        await heard.until("first_audio")
        assert (await heard.until("state"))["state"] == "connected"
        assert (asking.call["attempt"], helping.call["attempt"]) == (1, 1)
        await helping.say("I see it", "en")
        assert (await heard.until("chat"))["text"] == "I see it"
        await until(lambda: rows(database_url, "SELECT FROM call_reports HAVING count(*) = 2"))
        await helping.end()
        await heard.until("state", 2)
        await went_well(database_url)
        assert [name for name, _ in heard.told].count("chat") == 1


async def rows(database_url: str, query: str) -> list[Any]:
    connection = await asyncpg.connect(database_url)
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()


async def went_well(database_url: str) -> None:
    """Both phones have reported, and it was summed up."""
    [row] = await rows(database_url, "SELECT requester, volunteer FROM call_quality")
    for quality in map(json.loads, row):
        assert quality["samples"] >= 1
        assert quality["candidate_type"] == "host"
        assert 0 < quality["time_to_media_s"] < 30
        assert quality["loss"]["mean"] <= 1


async def test_the_demo_volunteer_survives_a_restart(database_url: str, valkey_url: str) -> None:
    async with await Node.start(database_url, valkey_url) as node, demo_volunteer(node.url, name="Bo") as events:
        await node.kill()
        async with await Node.start(database_url, valkey_url, port=node.port) as again:
            timeline = await ask(again.url)
            assert timeline.exit_code == 0, timeline.steps
            await events.until("ended")
