"""Practice calls over real nodes: a phone of a person, the server's own, real media over loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from infra.phone.calls import PhoneCall
from infra.phone.client import PhoneClient
from infra.phone.errors import ApiError
from infra.phone.loopback import include_loopback
from infra.phone.tracks import ClockPicture, Media, Tone, clock_media
from tests.support.nodes import Node

pytestmark = pytest.mark.slow


@pytest.fixture
async def node(database_url: str, valkey_url: str) -> AsyncIterator[Node]:
    async with await Node.start(database_url, valkey_url, EYELINE_PRACTICE_CALLS="1") as node:
        yield node


def person(node: Node, name: str, role: str = "requester") -> PhoneClient:
    return PhoneClient.sign_in(node.url, name, role=role, languages=["en"])


async def practise(phone: PhoneClient) -> dict[str, Any]:
    call = await phone.practise()
    assert not isinstance(call, int)
    return call


@asynccontextmanager
async def in_call(phone: PhoneClient, call: dict[str, Any], media: Media) -> AsyncIterator[PhoneCall]:
    include_loopback()
    conversation = PhoneCall(phone, call, lambda: media)
    running = asyncio.create_task(conversation.run())
    try:
        yield conversation
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_one_after_another_hears_what_works_and_is_rung_by_nobody(node: Node) -> None:
    """One phone; a requester, then a volunteer, and one more who goes away."""
    async with person(node, "Ada") as ada, person(node, "Bo", "volunteer") as bo, person(node, "Cleo") as cleo:
        call = await practise(ada)
        seen = (call["kind"], call["side"], call["polite"], call["state"])
        assert seen == ("practice", "requester", False, "connecting")
        assert [await bo.practise(), await cleo.practise(), await bo.practise()] == [1, 2, 1]
        await cleo.account.call("DELETE", "/v1/calls/practice")
        with pytest.raises(ApiError, match="already_in_call"):
            await ada.request_help()
        async with in_call(ada, call, clock_media()) as conversation:
            verdict = await ada.next("verdict", timeout=15)
            assert verdict["data"] == {"camera": "ok", "microphone": "ok", "network": "ok", "relay": "off"}
            assert conversation.peer is not None
            await asyncio.wait_for(conversation.peer.audio.first.wait(), 5)
            ended = await ada.end_call(call)
            assert (ended["end_reason"], ended["end_by"]) == ("done", "me")
        await bo.ready()
        mine = (await bo.until(lambda state: state.live_call is not None)).live_call
        assert mine is not None
        assert (mine["kind"], mine["side"], mine["polite"]) == ("practice", "volunteer", True)
        request = await ada.request_help()
        async with in_call(bo, mine, Media(Tone())) as conversation:
            found = (await bo.next("verdict", timeout=15))["data"]
            assert (found["camera"], found["microphone"]) == ("unused", "ok")
            assert conversation.peer is not None
            assert conversation.peer.video.brightness > 35
            assert bo.state.offers == {}
            await bo.end_call(mine)
        assert (await bo.next_offer())["request_id"] == request["id"]


async def test_three_at_once_and_the_fourth_when_one_is_done(database_url: str, valkey_url: str) -> None:
    """As many phones as a node has without a setting."""
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(await Node.start(database_url, valkey_url))
        roles = {"Ada": "requester", "Bo": "volunteer", "Cleo": "volunteer", "Dan": "requester"}
        phones = [await stack.enter_async_context(person(node, name, role)) for name, role in roles.items()]
        *three, dan = phones
        calls = [await practise(phone) for phone in three]
        assert await dan.practise() == 1
        for phone, call in zip(three, calls, strict=True):
            await stack.enter_async_context(in_call(phone, call, Media(Tone())))
        for phone in three:
            assert (await phone.next("verdict", timeout=45))["data"]["microphone"] == "ok"
        assert dan.state.live_call is None
        await three[1].end_call(calls[1])
        his = (await dan.until(lambda state: state.live_call is not None)).live_call
        assert his is not None
        assert (his["kind"], his["state"]) == ("practice", "connecting")


async def test_who_practised_with_a_node_that_died_is_free_again(
    database_url: str, valkey_url: str, node: Node
) -> None:
    async with (
        await Node.start(database_url, valkey_url) as other,
        person(node, "Ada") as phone,
    ):
        call = await practise(phone)
        phone.move_to(other.url)
        async with in_call(phone, call, Media(Tone(), ClockPicture())):
            await phone.until(lambda state: state.call is not None and state.call["state"] == "connected")
            await node.kill()
            ended = (await phone.until(lambda state: state.live_call is None, timeout=25)).call
        assert ended is not None
        assert (ended["end_reason"], ended["end_by"]) == ("lost", "system")
        assert (await phone.request_help())["state"] == "waiting"
