"""A socket cut between any two messages of a call, on either side: it comes to the same, with nothing lost or twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import aiohttp
import pytest
import pytest_asyncio

from infra.phone.errors import FrameRefused
from infra.phone.state import View
from tests.support.cutting_proxy import CuttingProxy
from tests.support.engines import Engines
from tests.support.outside import MARK, Outside
from tests.support.scenes import MEDIA, signals
from tests.support.witness import Witness, persistently

pytestmark = pytest.mark.asyncio(loop_scope="module")

MESSAGES_AT_MOST = 36
"""On one side's socket, both ways, from `hello` to the end of the call."""
MESSAGES_AT_LEAST = 16
AT_ONCE = 6


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outside(engines: Engines) -> AsyncIterator[Outside]:
    settings = {"EYELINE_WRAP_UP_S": "0", "EYELINE_COOLDOWN_S": "0", "EYELINE_HEARTBEAT_S": "1"}
    async with Outside.over(engines, **settings) as outside:
        yield outside


@pytest.mark.parametrize("side", ["requester", "volunteer"])
async def test_the_call_comes_to_the_same(outside: Outside, side: str) -> None:
    """Each message once as the last that passed, and once as the first that was lost; a few calls at a time."""
    languages = asyncio.Queue[str]()
    for _ in range(AT_ONCE):
        languages.put_nowait(outside.language())

    async def one(number: int, lost: bool) -> bool:
        language = await languages.get()
        try:
            return await cut_call(outside, side, number, lost, language)
        except Exception as error:
            error.add_note(f"cut at message {number} of the {side}, {'lost' if lost else 'passed'}")
            raise
        finally:
            languages.put_nowait(language)

    cuts = [one(number, lost) for number in range(1, MESSAGES_AT_MOST + 1) for lost in (False, True)]
    came = await asyncio.gather(*cuts, return_exceptions=True)
    if failures := [failed for failed in came if isinstance(failed, BaseException)]:
        raise BaseExceptionGroup("these calls came to something else", failures)
    assert 2 * MESSAGES_AT_LEAST <= came.count(True) < len(came), "the last of them found nothing left to cut"


async def cut_call(outside: Outside, side: str, number: int, lost: bool, language: str) -> bool:
    """Whether there were so many messages to cut at."""
    async with AsyncExitStack() as stack:
        # As with browsers, a socket has a connection of its own.
        connector = aiohttp.TCPConnector(force_close=True)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        line = await stack.enter_async_context(CuttingProxy(outside.node.port).running())
        line.cut_at(None, number=number, lost=lost)
        people = {}
        for role in ("volunteer", "requester"):
            url = line.url if role == side else outside.node.url
            name = f"{MARK} {role} {language} {side} {number} {lost}"
            phone = Witness.sign_in(url, name, role=role, languages=[language], http=http)
            assert isinstance(phone, Witness)
            people[role] = await stack.enter_async_context(phone)
        await whole_call(people["requester"], people["volunteer"])
        assert not [*people["requester"].old_news(), *people["volunteer"].old_news()]
        return line.cut.is_set()


async def whole_call(requester: Witness, volunteer: Witness) -> None:
    """From "I am ready" to the end, every message by socket where it may."""
    with suppress(FrameRefused):  # superseded: said again by itself after the cut
        await volunteer.ready()
    request = await requester.ask_on()
    offer = await volunteer.offered(request["id"])
    await volunteer.post("accept", {"request_id": offer["request_id"], "epoch": offer["epoch"]})
    call, _ = await asyncio.gather(requester.in_call(request["id"]), volunteer.in_call(request["id"]))
    await negotiate(requester, volunteer, call)
    for one in (requester, volunteer):
        await one.post("media", MEDIA, call=call, replaces="media")
    seen = await asyncio.gather(*(one.in_call(request["id"], state="connected") for one in (requester, volunteer)))
    assert [(one["id"], one["epoch"], one["attempt"]) for one in seen] == [(call["id"], 1, 1)] * 2
    await requester.post("chat", {"text": "which one?", "language": "en"}, call=call)
    await volunteer.hears("which one?")
    await volunteer.post("chat", {"text": "the left one", "language": "en"}, call=call)
    await requester.hears("the left one")
    await requester.post("end", {"reason": "done"}, call=call)
    await asyncio.gather(requester.out_of_call(call["id"]), volunteer.out_of_call(call["id"]))
    await requester.until(lambda state: state.request is not None and state.request["state"] == "ended")
    # Who was away for the end of it asks how it ended.
    ended = await persistently(lambda: requester.account.call("GET", f"/v1/requests/{request['id']}"))
    assert (ended["request"]["outcome"], ended["request"]["epoch"]) == ("completed", 1)
    for one in (requester, volunteer):
        assert told(one, "chat") == 1


async def negotiate(requester: Witness, volunteer: Witness, call: View) -> None:
    """Descriptions and candidates both ways; each arrives once."""
    for speaker, listener, kind in ((requester, volunteer, "offer"), (volunteer, requester, "answer")):
        said = signals(kind, f"ufrag-{kind}")
        for type_, data in said.items():
            await speaker.post(type_, data, call=call)
        for type_, data in said.items():
            heard = (await listener.next(type_, timeout=20))["data"]
            assert {key: heard[key] for key in data} == data
    for one in (requester, volunteer):
        assert (told(one, "description"), told(one, "candidate")) == (1, 1)


def told(phone: Witness, type_: str) -> int:
    return sum(frame["type"] == type_ for _, frame in phone.told)
