"""Who is told what, and in which order it may arrive."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import msgspec

from server.ice import IceServers
from server.telling import Telling
from signaling.model import Side
from signaling.ports import Version
from tests.support.fake_mailboxes import FakeCarrier, FakeMailboxes
from tests.support.fakes.calls import VOLUNTEER_SESSION, call


async def test_a_session_that_a_call_was_moved_from_is_not_told_an_older_state_of_it_later() -> None:
    mailboxes, nothing = FakeMailboxes(FakeCarrier()), cast(Any, None)
    await mailboxes.claim(VOLUNTEER_SESSION, resume=None)
    telling = Telling(nothing, nothing, mailboxes, IceServers((), (), None, timedelta(minutes=5), "all"), (), print)
    before = call()
    moved = replace(before, attempt=2, version=before.version + 1)
    await telling.moved(moved, Side.VOLUNTEER, VOLUNTEER_SESSION)
    await mailboxes.send(VOLUNTEER_SESSION, b"{}", version=Version(f"call:{before.id}", before.version))
    [(_, message)] = await mailboxes.read(VOLUNTEER_SESSION, 0)
    told = msgspec.json.decode(message)
    assert (told["attempt"], told["data"]["call"]["end_reason"]) == (1, "moved")
