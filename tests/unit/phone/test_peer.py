"""Peer against peer in one process, over loopback, with frames really decoded."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest
from aioice import ice

from infra.phone.loopback import include_loopback
from infra.phone.peer import CannotApply, Peer, parse_candidate, ufrags_of
from infra.phone.tracks import Media, clock_media, echo_media

Json = dict[str, Any]


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with no network: nothing but 127.0.0.1."""
    monkeypatch.setattr(ice, "get_host_addresses", lambda use_ipv4, use_ipv6: [])
    include_loopback()


@pytest.fixture(autouse=True)
async def nothing_left_running() -> AsyncIterator[None]:
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    yield
    left = asyncio.all_tasks() - tasks - {asyncio.current_task()}
    assert not left
    decoders = {t for t in set(threading.enumerate()) - threads if t.name.endswith("-decoder")}
    assert not decoders
    gc.collect()


def call_of(side: str) -> Json:
    return {"id": "c", "attempt": 1, "side": side, "ice_servers": [], "ice_policy": "all"}


@asynccontextmanager
async def pair(
    requester_media: Media | None = None, volunteer_media: Media | None = None
) -> AsyncIterator[tuple[Peer, Peer, asyncio.Queue[Json]]]:
    heard: asyncio.Queue[Json] = asyncio.Queue(100)
    requester = Peer(call_of("requester"), requester_media or clock_media())
    volunteer = Peer(call_of("volunteer"), volunteer_media or echo_media(), message=heard.put_nowait)
    try:
        yield requester, volunteer, heard
    finally:
        await asyncio.gather(requester.close(), volunteer.close())


async def negotiate(requester: Peer, volunteer: Peer) -> None:
    answer = await volunteer.describe(await requester.offer())
    assert answer is not None
    assert await requester.describe(answer) is None


async def first(peer: Peer, kind: str) -> None:
    sink = peer.video if kind == "video" else peer.audio
    await asyncio.wait_for(sink.first.wait(), 10)


def udp_sockets() -> int:
    return len(psutil.Process().net_connections(kind="udp"))


class TestSockets:
    async def test_gathering_that_nobody_waits_for_any_more_leaves_none_open(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
        monkeypatch.setattr(ice, "get_host_addresses", lambda use_ipv4, use_ipv6: addresses)
        before = udp_sockets()
        peer = Peer(call_of("requester"), clock_media())
        offering = asyncio.create_task(peer.offer())
        while udp_sockets() == before:  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0)
        offering.cancel()
        await asyncio.gather(offering, return_exceptions=True)
        await peer.close()
        assert udp_sockets() == before


class TestMedia:
    async def test_picture_one_way_sound_both_ways(self) -> None:
        async with pair() as (requester, volunteer, _):
            await negotiate(requester, volunteer)
            await asyncio.gather(first(volunteer, "video"), first(volunteer, "audio"), first(requester, "audio"))
            assert requester.state == volunteer.state == "connected"
            assert (volunteer.video.width, volunteer.video.height) == (640, 480)
            assert 40 < volunteer.video.brightness < 200
            assert requester.sending() == {"audio": True, "video": True}
            assert volunteer.receiving() == {"audio": True, "video": True}
            assert volunteer.sending() == {"audio": True, "video": False}
            assert requester.receiving() == {"audio": True, "video": False}
            assert requester.video.frames == 0

    async def test_a_dark_picture_is_dark(self) -> None:
        async with pair(clock_media(brightness=0.2)) as (requester, volunteer, _):
            await negotiate(requester, volunteer)
            await first(volunteer, "video")
            assert volunteer.video.brightness < 45

    async def test_messages_by_the_data_channel(self) -> None:
        async with pair() as (requester, volunteer, heard):
            assert not requester.say({"type": "chat"})
            await negotiate(requester, volunteer)
            said = {"type": "chat", "id": "1", "data": {"text": "hej"}}
            while not requester.say(said):
                await asyncio.wait_for(requester.channel_open.wait(), 10)
            assert await asyncio.wait_for(heard.get(), 10) == said


class TestNegotiation:
    async def test_numbers(self) -> None:
        async with pair() as (requester, volunteer, _):
            offer = await requester.offer()
            assert (offer["type"], offer["negotiation"]) == ("offer", 1)
            answer = await volunteer.describe(offer)
            assert answer is not None
            assert (answer["type"], answer["negotiation"]) == ("answer", 1)
            assert await volunteer.describe(offer) is None, "the same offer again is stale"
            assert await requester.describe({**answer, "negotiation": 7}) is None
            assert requester.state == "new", "an answer to another offer is not applied"
            await requester.describe(answer)
            await first(volunteer, "video")

    async def test_the_offer_has_what_the_contract_says(self) -> None:
        async with pair() as (requester, _, _):
            sdp = (await requester.offer())["sdp"]
            assert [line.split()[0] for line in sdp.splitlines() if line.startswith("m=")] == [
                "m=audio",
                "m=video",
                "m=application",
            ]
            assert sdp.count("a=sendrecv") == 1
            assert sdp.count("a=sendonly") == 1

    async def test_an_ice_restart_cannot_be_applied(self) -> None:
        async with pair() as (requester, volunteer, _):
            offer = await requester.offer()
            await volunteer.describe(offer)
            restarted = offer["sdp"].replace(f"a=ice-ufrag:{ufrags_of(offer['sdp'])[0]}", "a=ice-ufrag:other")
            with pytest.raises(CannotApply):
                await volunteer.describe({"type": "offer", "sdp": restarted, "negotiation": 2})

    async def test_nonsense_cannot_be_applied(self) -> None:
        async with pair() as (_, volunteer, _):
            with pytest.raises(CannotApply):
                await volunteer.describe({"type": "offer", "sdp": "v=0\r\nm=audio", "negotiation": 1})

    async def test_no_server_is_ever_asked_that_was_not_given(self) -> None:
        async with pair() as (requester, _, _):
            offer = await requester.offer()
            assert "srflx" not in offer["sdp"]
            assert "127.0.0.1" in offer["sdp"]


class TestCandidates:
    async def test_candidates_before_the_description_are_kept(self) -> None:
        async with pair() as (requester, volunteer, _):
            offer = await requester.offer()
            bare, candidates = take_candidates_out(offer)
            for candidate in candidates:
                await volunteer.candidate(candidate)
            answer = await volunteer.describe(bare)
            assert answer is not None
            bare_answer, theirs = take_candidates_out(answer)
            for candidate in theirs:
                await requester.candidate(candidate)
            await requester.describe(bare_answer)
            await first(volunteer, "video")

    async def test_candidates_of_another_description_are_dropped(self) -> None:
        async with pair() as (requester, volunteer, _):
            await negotiate(requester, volunteer)
            old = {"candidate": "candidate:1 1 udp 1 10.9.9.9 9 typ host ufrag old", "sdpMid": "0", "negotiation": 1}
            await volunteer.candidate(old)
            await volunteer.candidate({**old, "candidate": "nonsense", "usernameFragment": None})
            await first(volunteer, "video")

    def test_parsing(self) -> None:
        text = "candidate:1 1 UDP 2122 192.0.2.1 4242 typ srflx raddr 10.0.0.1 rport 99 generation 0 ufrag abcd"
        candidate = parse_candidate({"candidate": text, "sdpMid": "1", "sdpMLineIndex": None})
        assert candidate is not None
        assert (candidate.ip, candidate.port, candidate.type) == ("192.0.2.1", 4242, "srflx")
        assert (candidate.relatedAddress, candidate.sdpMid) == ("10.0.0.1", "1")
        assert parse_candidate({"candidate": None}) is None
        assert parse_candidate({"candidate": ""}) is None
        with pytest.raises((ValueError, AssertionError)):
            parse_candidate({"candidate": "candidate:1 2 3"})


class TestClosing:
    @pytest.mark.parametrize("steps", [0, 1, 2, 3])
    async def test_at_any_moment(self, steps: int) -> None:
        async with pair() as (requester, volunteer, _):
            offer = await requester.offer() if steps > 0 else None
            answer = await volunteer.describe(offer) if offer and steps > 1 else None
            if answer and steps > 2:
                await requester.describe(answer)
            await requester.close()
            await requester.close()
        await asyncio.sleep(0)

    async def test_the_other_side_learns_of_it(self) -> None:
        changed = asyncio.Event()
        async with pair() as (requester, volunteer, _):
            await negotiate(requester, volunteer)
            await first(volunteer, "video")
            volunteer._pc.on("connectionstatechange", changed.set)
            await requester.close()
            await asyncio.wait_for(changed.wait(), 5)
            assert volunteer.state in ("failed", "closed")


def take_candidates_out(description: Json) -> tuple[Json, list[Json]]:
    lines = description["sdp"].splitlines()
    found = [line.removeprefix("a=") for line in lines if line.startswith("a=candidate:")]
    bare = [line for line in lines if not line.startswith(("a=candidate:", "a=end-of-candidates"))]
    candidates = [
        {"candidate": text, "sdpMid": "0", "sdpMLineIndex": 0, "negotiation": description["negotiation"]}
        for text in dict.fromkeys(found)
    ]
    return {**description, "sdp": "\r\n".join(bare) + "\r\n"}, candidates
