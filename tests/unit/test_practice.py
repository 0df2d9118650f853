"""Who may still wait for a practice call, and what the node's phones do when things go wrong around them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest

from server import practice_line
from server.api.practice import PracticeApi
from server.auth import Caller
from server.desk import Desk
from server.errors import ApiError
from server.ice import IceServers
from server.practice import MOST_WAITING, Practice
from server.practice_line import PhoneLine
from server.routing import Exchange
from server.socket.conversation import FrameError
from signaling.model import Call, CallState, EndReason
from signaling.ports import CarrierUnavailable
from tests.support.fake_mailboxes import FakeCarrier, FakeMailboxes
from tests.support.fakes.calls import call

ADA = Caller(UUID(int=1), UUID(int=2), "phone", "requester", "active", (), ("en",), "UTC", None, datetime.now(UTC))


class Queue:
    """As many wait as may; the caller perhaps among them. No phone is free."""

    def __init__(self, place: int) -> None:
        self._place = place

    async def place(self, person_id: UUID) -> int:
        return self._place

    async def waiting(self) -> int:
        return MOST_WAITING

    async def ask(self, *asker: object) -> bool:
        return True

    async def live_of_person(self, person_id: UUID) -> None:
        return None

    async def begin(self, *terms: object) -> None:
        return None


NOBODY = cast(Any, None)
NONE = {"audio": False, "video": False}


def practice(queue: Queue) -> Practice:
    return Practice(cast(Any, queue), NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, (), at_once=3)


def api(place: int) -> PracticeApi:
    return PracticeApi(practice(Queue(place)))


def exchange() -> Exchange[None]:
    return Exchange(None, {}, {}, "", ADA)


async def test_a_full_queue_says_when_to_come_again() -> None:
    with pytest.raises(ApiError) as refused:
        await api(place=0).ask(exchange())
    assert (refused.value.status, refused.value.code, refused.value.retryable) == (503, "unavailable", True)
    assert refused.value.retry_after_s == 30


async def test_who_waits_in_it_keeps_their_place() -> None:
    reply = await api(place=4).ask(exchange())
    assert (reply.status, cast(Any, reply.body).position) == (202, 4)


class SlowQueue(Queue):
    """A phone is given in its own time."""

    def __init__(self) -> None:
        super().__init__(place=1)
        self.begins, self.go_on, self.given = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def begin(self, *terms: object) -> None:
        self.begins.set()
        await self.go_on.wait()
        self.given.set()

    async def due(self) -> list[UUID]:
        return []


async def test_a_call_that_begins_gets_its_phone_though_who_asked_is_gone() -> None:
    queue = SlowQueue()
    asking = asyncio.create_task(PracticeApi(practice(queue)).ask(exchange()))
    await queue.begins.wait()
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking
    queue.go_on.set()
    await asyncio.wait_for(queue.given.wait(), 5)


async def test_a_node_that_goes_begins_no_more_calls() -> None:
    queue = SlowQueue()
    queue.go_on.set()
    ours = practice(queue)
    running = asyncio.create_task(ours.run())
    await queue.given.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    queue.begins.clear()
    assert (await PracticeApi(ours).ask(exchange())).status == 202
    assert not queue.begins.is_set()


class Over:
    """A switchboard and a conversation that know of one call, which has ended."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def get(self, call_id: UUID, person_id: UUID) -> Call:
        return self._call

    async def handle(self, caller: Caller, owner_epoch: int, frame: object) -> None:
        raise FrameError("call_ended", "the call has ended")


async def ended(carrier: FakeCarrier) -> tuple[PhoneLine, dict[str, Any]]:
    """A phone's line in a call whose end it was not told, and the call as the phone knows it."""
    began = call()
    began = replace(began, volunteer=replace(began.volunteer, person_id=began.id, session_id=began.id))
    now = datetime.now(UTC)
    over = cast(Any, Over(replace(began, state=CallState.ENDED, end_reason=EndReason.DONE, ended_at=now)))
    ice = IceServers((), (), None, timedelta(minutes=5), "all")
    desk = Desk(NOBODY, over, NOBODY, NOBODY, ice, NOBODY, lambda: now)
    line = PhoneLine(began, FakeMailboxes(carrier), over, desk, (CarrierUnavailable,))
    await line.open()
    return line, line.view(began)


async def test_a_phone_whose_mailbox_was_wiped_with_the_end_of_its_call_in_it_hears_of_that_end() -> None:
    carrier = FakeCarrier()
    line, _ = await ended(carrier)
    carrier.wipe()
    told = await line.next("call", timeout=5)
    assert told["data"]["call"]["state"] == "ended"


async def test_so_does_one_that_is_refused_because_of_it() -> None:
    line, known = await ended(FakeCarrier())
    await line.post("media", {"state": "connected", "sending": NONE, "receiving": NONE, "paused": None}, call=known)
    told = await line.next("call", timeout=5)
    assert told["data"]["call"]["state"] == "ended"


class Deaf:
    """A switchboard over which nothing gets through at first: an outage, then a person without a mailbox."""

    def __init__(self) -> None:
        self._comes = iter([CarrierUnavailable("away"), False, True])
        self.tries = 0

    async def route(self, call_id: UUID, session_id: UUID) -> object:
        return object()

    async def relay(self, route: object, frame: bytes) -> bool:
        self.tries += 1
        match next(self._comes):
            case Exception() as error:
                raise error
            case told:
                return bool(told)


async def test_what_it_found_is_said_until_the_person_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(practice_line, "SEND_AGAIN_S", 0)
    began, deaf = call(), Deaf()
    began = replace(began, volunteer=replace(began.volunteer, person_id=began.id, session_id=began.id))
    desk = Desk(NOBODY, cast(Any, deaf), NOBODY, NOBODY, NOBODY, NOBODY, lambda: datetime.now(UTC))
    line = PhoneLine(began, FakeMailboxes(FakeCarrier()), NOBODY, desk, (CarrierUnavailable,))
    found = {"camera": "ok", "microphone": "ok", "network": "ok", "relay": "off"}
    await line.verdict(found, {"attempt": 1})
    assert deaf.tries == 3
