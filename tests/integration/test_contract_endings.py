"""Who ends it, and what then: every row of the contract, for both sides, over HTTP and by frame."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from infra.phone.state import View
from tests.support.engines import Engines
from tests.support.outside import Outside, Someone, until
from tests.support.scenes import MEDIA, Pair, Scene, seconds_between

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS = {
    "EYELINE_REQUEST_DEADLINE_S": "25",
    "EYELINE_CONNECTING_S": "5",
    "EYELINE_GRACE_S": "1",
    "EYELINE_HEARTBEAT_S": "1",
    "EYELINE_WRAP_UP_S": "0",
    "EYELINE_COOLDOWN_S": "0",
}
FRESH_DEADLINE_S = 30.0
SIDES = ("requester", "volunteer")
ENDS = [
    # who, says, after media -> the request's outcome, None when it waits again
    ("requester", "done", False, "cancelled"),
    ("requester", "left", False, "cancelled"),
    ("requester", "technical", False, None),
    ("volunteer", "done", False, None),
    ("volunteer", "left", False, None),
    ("volunteer", "technical", False, None),
    ("requester", "done", True, "completed"),
    ("requester", "left", True, "completed"),
    ("requester", "technical", True, None),
    ("volunteer", "done", True, "completed"),
    ("volunteer", "left", True, "completed"),
    ("volunteer", "technical", True, None),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outside(engines: Engines) -> AsyncIterator[Outside]:
    async with Outside.over(engines, **SETTINGS) as outside:
        yield outside


@pytest_asyncio.fixture(loop_scope="module")
async def scene(outside: Outside) -> AsyncIterator[Scene]:
    async with Scene.of(outside) as scene:
        yield scene


async def request_of(pair: Pair) -> View:
    reply = await pair.requester.account.call("GET", f"/v1/requests/{pair.request_id}")
    request: View = reply["request"]
    return request


async def is_over(pair: Pair, outcome: str) -> None:
    """Ended for good: for whoever asks, and for the requester's socket."""
    request = await request_of(pair)
    assert (request["state"], request["outcome"], request["epoch"]) == ("ended", outcome, 1)
    told = await pair.requester.until(lambda state: state.request is not None and state.request["state"] == "ended")
    assert told.request is not None
    assert told.request["outcome"] == outcome


async def waits_again(scene: Scene, pair: Pair, before: View) -> None:
    """Place kept, a fresh deadline, and somebody else is asked."""
    request = await request_of(pair)
    now = await scene.outside.database.fetchval("SELECT eyeline_now()")
    assert (request["state"], request["outcome"], request["epoch"]) == ("waiting", None, 2)
    assert (request["call_id"], request["created_at"]) == (None, before["created_at"])
    assert seconds_between(now.isoformat(), request["deadline"]) > FRESH_DEADLINE_S - 5
    ended_at = await scene.outside.database.fetchval("SELECT ended_at FROM calls WHERE id = $1", pair.call["id"])
    assert seconds_between(ended_at.isoformat(), request["deadline"]) >= FRESH_DEADLINE_S - 0.001
    await pair.requester.until(lambda state: state.request is not None and state.request["epoch"] == 2)
    other = await scene.volunteer("other")
    offer = await other.next_offer()
    assert (offer["request_id"], offer["epoch"]) == (pair.request_id, 2)
    asked = "SELECT array_agg(person_id::text) FROM offers WHERE request_id = $1 AND epoch = 2"
    assert await scene.outside.database.fetchval(asked, pair.request_id) == [other.state.user["id"]]
    call = await other.accept(offer)
    assert (call["epoch"], call["attempt"], call["state"]) == (2, 1, "connecting")


async def ended_so(pair: Pair, reason: str, by: str | None, *, told: bool = True) -> None:
    """Both sides read the same, each in its own words, and were told the same if they were there."""
    for view, side in zip(await pair.ended(), SIDES, strict=True):
        words = "system" if by is None else "me" if by == side else "them"
        read = (await pair.side(side).account.call("GET", pair.path))["call"]
        for call in (view, read) if told else (read,):
            assert (call["state"], call["end_reason"], call["end_by"]) == ("ended", reason, words)
            assert (call["side"], call["ice_servers"]) == (side, [])


class TestHangingUp:
    @pytest.mark.parametrize("way", ["http", "frame"])
    @pytest.mark.parametrize(("side", "reason", "connected", "outcome"), ENDS)
    async def test_every_row(
        self, scene: Scene, side: str, reason: str, connected: bool, outcome: str | None, way: str
    ) -> None:
        pair = await scene.pair(connected=connected)
        before = await request_of(pair)
        assert before["state"] == ("in_call" if connected else "connecting")
        if way == "http":
            await pair.side(side).end_call(pair.call, reason)
        else:
            # Its acknowledgement may come after the `call` it leads to; a phone then waits for it no longer.
            await pair.side(side).post("end", {"reason": reason}, call=pair.call)
        await ended_so(pair, reason, side)
        if outcome is None:
            await waits_again(scene, pair, before)
        else:
            await is_over(pair, outcome)

    @pytest.mark.parametrize(
        ("connected", "outcome", "reason"), [(False, "cancelled", "cancelled"), (True, "completed", "done")]
    )
    async def test_cancelling_ends_the_call_too(self, scene: Scene, connected: bool, outcome: str, reason: str) -> None:
        pair = await scene.pair(connected=connected)
        request = await pair.requester.cancel_request(pair.request_id)
        assert (request["state"], request["outcome"]) == ("ended", outcome)
        await ended_so(pair, reason, "requester")
        await is_over(pair, outcome)

    async def test_cancelling_while_waiting(self, scene: Scene) -> None:
        helper, asker = await scene.volunteer(), await scene.requester()
        request = await asker.request_help()
        await helper.next_offer()
        ended = await asker.cancel_request(request["id"])
        assert (ended["state"], ended["outcome"], ended["call_id"]) == ("ended", "cancelled", None)
        assert (await helper.next("offer_withdrawn"))["data"]["reason"] == "cancelled"

    async def test_the_fourth_return_is_a_failure(self, scene: Scene) -> None:
        helpers = [await scene.volunteer(f"helper {number}") for number in range(4)]
        asker = await scene.requester()
        request = await asker.request_help()
        for epoch, helper in enumerate(helpers, 1):
            state = await helper.until(
                lambda state, epoch=epoch: any(o["epoch"] == epoch for o in state.offers.values())  # type: ignore[misc]
            )
            call = await helper.accept(state.offers[request["id"]])
            ended = await helper.end_call(call, "left")
            assert (ended["epoch"], ended["end_reason"], ended["end_by"]) == (epoch, "left", "me")
        state = await asker.until(lambda state: state.request is not None and state.request["state"] == "ended")
        assert state.request is not None
        assert (state.request["outcome"], state.request["epoch"]) == ("failed", 4)
        current = (await asker.account.call("GET", f"/v1/requests/{request['id']}"))["request"]
        assert (current["outcome"], current["epoch"]) == ("failed", 4)


class TestTime:
    """Rows that take their time run side by side."""

    async def test_calls_that_nobody_ends(self, outside: Outside) -> None:
        ways = (
            self.never_connected,
            self.broken_for_requester,
            self.broken_for_volunteer,
            self.both_vanish,
            self.heals,
        )
        async with asyncio.TaskGroup() as tests:
            for way in ways:
                tests.create_task(self.played(outside, way))

    async def played(self, outside: Outside, way: Any) -> None:
        async with Scene.of(outside) as scene:
            await way(scene)

    async def never_connected(self, scene: Scene) -> None:
        pair = await scene.pair()
        before = await request_of(pair)
        await pair.requester.send("media", MEDIA, call=pair.call)
        await ended_so(pair, "never_connected", None)
        await waits_again(scene, pair, before)

    async def broken_for_requester(self, scene: Scene) -> None:
        await self.broken(scene, "requester", "failed")

    async def broken_for_volunteer(self, scene: Scene) -> None:
        await self.broken(scene, "volunteer", "disconnected")

    async def broken(self, scene: Scene, side: str, state: str) -> None:
        pair = await scene.pair(connected=True)
        before = await request_of(pair)
        await pair.side(side).send("media", {**MEDIA, "state": state}, call=pair.call)
        for phone in pair.both:
            await phone.until(lambda state: state.call is not None and state.call["state"] != "connected")
        await ended_so(pair, "lost", None)
        await waits_again(scene, pair, before)

    async def both_vanish(self, scene: Scene) -> None:
        pair = await scene.pair(connected=True)
        before = await request_of(pair)
        for phone in pair.both:
            phone.cut(come_back=False)
        ended = "SELECT ended_at FROM calls WHERE id = $1"
        await until(lambda: scene.outside.database.fetchval(ended, pair.call["id"]))
        pair.requester.come_back()
        pair.volunteer.come_back()
        await ended_so(pair, "lost", None, told=False)  # a snapshot says only that there is no call any more
        await waits_again(scene, pair, before)

    async def heals(self, scene: Scene) -> None:
        """The control: what comes back within its grace is no loss."""
        pair = await scene.pair(connected=True)
        await pair.requester.send("media", {**MEDIA, "state": "disconnected"}, call=pair.call)
        for phone in pair.both:
            await phone.until(lambda state: state.call is not None and state.call["state"] == "reconnecting")
        await pair.requester.send("media", MEDIA, call=pair.call)
        for phone in pair.both:
            await phone.until(lambda state: state.call is not None and state.call["state"] == "connected")
        assert (await request_of(pair))["state"] == "in_call"

    async def test_a_request_past_its_deadline(self, scene: Scene) -> None:
        helper, asker = await scene.volunteer(), await scene.requester()
        request = await asker.request_help()
        await helper.next_offer()
        await scene.outside.database.execute(
            "UPDATE requests SET deadline = eyeline_now() WHERE id = $1", request["id"]
        )
        state = await asker.until(lambda state: state.request is not None and state.request["state"] == "ended")
        assert state.request is not None
        assert state.request["outcome"] == "expired"
        assert (await helper.next("offer_withdrawn"))["data"]["reason"] in ("expired", "request_ended")


@asynccontextmanager
async def unseen(outside: Outside, someone: Someone, seconds: int) -> AsyncIterator[None]:
    """Whatever a node writes down, this session was last seen so long ago."""
    name = f"unseen_{someone.session_id.replace('-', '')}"
    await outside.database.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" NEW.seen_at := eyeline_now() - interval '{seconds} s'; RETURN NEW; END $$"
    )
    await outside.database.execute(
        f"CREATE TRIGGER {name} BEFORE UPDATE ON sessions FOR EACH ROW"
        f" WHEN (NEW.id = '{someone.session_id}') EXECUTE FUNCTION {name}()"
    )
    await outside.database.execute("UPDATE sessions SET ready = ready WHERE id = $1", someone.session_id)
    yield
    await outside.database.execute(f"DROP FUNCTION {name} CASCADE")


@pytest.mark.parametrize("epoch", [1, 2])
class TestARequesterWhoIsGone:
    async def asks(self, scene: Scene, epoch: int) -> tuple[Someone, str]:
        """A requester without a socket, whose request is waiting in this epoch."""
        asker = await scene.outside.sign_in(f"asker {scene.language}", "requester", scene.language)
        request = (await scene.outside.call("POST", "/v1/requests", {}, token=asker.token)).body["request"]
        for _ in range(1, epoch):
            helper = await scene.volunteer("first")
            call = await helper.accept(await helper.next_offer())
            await helper.end_call(call, "left")
        return asker, request["id"]

    async def test_nobody_new_is_asked_until_they_are_back(self, scene: Scene, epoch: int) -> None:
        asker, request_id = await self.asks(scene, epoch)
        database = scene.outside.database
        async with unseen(scene.outside, asker, 11):
            helper = await scene.volunteer("second")
            looks = set()

            async def looked_at_thrice() -> bool:
                looks.add(await database.fetchval("SELECT next_look_at FROM requests WHERE id = $1", request_id))
                return len(looks) > 3

            await until(looked_at_thrice)
            offers = "SELECT count(*) FROM offers WHERE request_id = $1 AND epoch = $2"
            assert await database.fetchval(offers, request_id, epoch) == 0
            request = (await scene.outside.call("GET", f"/v1/requests/{request_id}", token=asker.token)).body["request"]
            assert (request["state"], request["epoch"]) == ("waiting", epoch)
        await scene.outside.call("GET", "/v1/me", token=asker.token)
        offer = await helper.next_offer()
        assert (offer["request_id"], offer["epoch"]) == (request_id, epoch)

    async def test_after_90_s_it_failed(self, scene: Scene, epoch: int) -> None:
        asker, request_id = await self.asks(scene, epoch)
        helper = await scene.volunteer("second")
        await helper.next_offer()
        async with unseen(scene.outside, asker, 91):
            withdrawn = await helper.next("offer_withdrawn")
        assert (withdrawn["data"]["epoch"], withdrawn["data"]["reason"]) == (epoch, "request_ended")
        reply = await scene.outside.call("GET", f"/v1/requests/{request_id}", token=asker.token)
        assert (reply.body["request"]["state"], reply.body["request"]["outcome"]) == ("ended", "failed")
