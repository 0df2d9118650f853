"""Every refusal of the contract's actions, reached on purpose, and every action said again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from infra.phone.errors import ApiError
from tests.support.engines import Engines
from tests.support.outside import MARK, Outside, Phone, until
from tests.support.scenes import Pair, Scene, frame_refused, refused, someone_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS = {"EYELINE_CONNECTING_S": "600", "EYELINE_WRAP_UP_S": "0", "EYELINE_COOLDOWN_S": "600"}
NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outside(engines: Engines) -> AsyncIterator[Outside]:
    async with Outside.over(engines, **SETTINGS) as outside:
        yield outside


@pytest_asyncio.fixture(loop_scope="module")
async def scene(outside: Outside) -> AsyncIterator[Scene]:
    async with Scene.of(outside) as scene:
        yield scene


def is_refusal(error: ApiError, status: int, code: str) -> None:
    assert (error.status, error.code, error.retryable) == (status, code, False)


class TestAsking:
    async def test_the_same_key_and_body_are_the_same_request(self, scene: Scene) -> None:
        asker, key = await scene.requester(), f"{MARK}-{uuid4()}"
        headers = {"Idempotency-Key": key}
        first = await asker.account.call_with_status("POST", "/v1/requests", {"topic": "reading"}, headers)
        assert first[0] == 201
        for body in ({"topic": "reading"}, {"topic": "reading", "unknown": 1, "mode": "video"}):
            status, again = await asker.account.call_with_status("POST", "/v1/requests", body, headers)
            assert (status, again["request"]["id"]) == (200, first[1]["request"]["id"])
        assert (
            await scene.outside.database.fetchval(
                "SELECT count(*) FROM requests WHERE requester_id = $1", asker.state.user["id"]
            )
            == 1
        )

    async def test_the_same_key_said_many_times_at_once(self, scene: Scene) -> None:
        asker, headers = await scene.requester(), {"Idempotency-Key": str(uuid4())}
        calls = [asker.account.call_with_status("POST", "/v1/requests", {}, headers) for _ in range(8)]
        replies = await asyncio.gather(*calls)
        assert sorted(status for status, _ in replies) == [200] * 7 + [201]
        assert len({reply["request"]["id"] for _, reply in replies}) == 1

    @pytest.mark.parametrize("ended", [False, True])
    async def test_the_same_key_with_another_body(self, scene: Scene, ended: bool) -> None:
        asker, someone = await scene.requester(), None
        headers = {"Idempotency-Key": str(uuid4())}
        request = (await asker.account.call("POST", "/v1/requests", {}, headers))["request"]
        if ended:
            await asker.cancel_request(request["id"])
        someone = someone_of(asker)
        for body in ({"topic": "reading"}, {"mode": "voice"}, {"languages": ["en"]}):
            reply = await scene.outside.call("POST", "/v1/requests", body, token=someone.token, headers=headers)
            reply.refuses(422, "idempotency_mismatch")
        again = await asker.account.call_with_status("POST", "/v1/requests", {}, headers)
        assert (again[0], again[1]["request"]["id"]) == (200, request["id"])

    @pytest.mark.parametrize("key", ["", "x" * 256, "é"])
    async def test_a_key_that_is_none(self, scene: Scene, key: str) -> None:
        token, headers = someone_of(await scene.requester()).token, {"Idempotency-Key": key}
        async with scene.outside.nothing_changes():
            reply = await scene.outside.call("POST", "/v1/requests", {}, token=token, headers=headers)
        reply.refuses(400, "invalid_body", "Idempotency-Key")

    async def test_keys_are_each_persons_own(self, scene: Scene) -> None:
        headers = {"Idempotency-Key": str(uuid4())}
        for name in ("one", "two"):
            asker = await scene.requester(name)
            assert (await asker.account.call_with_status("POST", "/v1/requests", {}, headers))[0] == 201

    @pytest.mark.parametrize("key", [None, "another"])
    async def test_a_second_one_while_one_is_open(self, scene: Scene, key: str | None) -> None:
        asker = await scene.requester()
        first = await asker.request_help()
        headers = {"Idempotency-Key": key} if key else {}
        async with scene.outside.nothing_changes():
            reply = await scene.outside.call("POST", "/v1/requests", {}, token=someone_of(asker).token, headers=headers)
        details = reply.refuses(409, "request_open")["details"]
        assert (details["request"]["id"], details["request"]["state"]) == (first["id"], "waiting")

    @pytest.mark.parametrize("connected", [False, True])
    async def test_a_second_one_while_one_is_answered(self, scene: Scene, connected: bool) -> None:
        pair = await scene.pair(connected=connected)
        error = await refused(pair.requester, "POST", "/v1/requests", {})
        is_refusal(error, 409, "already_in_call" if connected else "request_open")
        assert error.details["request"]["call_id"] == pair.call["id"]

    async def test_nobody_has_a_request_that_never_asked(self, scene: Scene) -> None:
        asker = await scene.requester()
        is_refusal(await refused(asker, "GET", "/v1/requests/current"), 404, "not_found")
        request = await asker.request_help()
        current = await asker.account.call("GET", "/v1/requests/current")
        assert current["request"]["id"] == request["id"]
        await asker.cancel_request(request["id"])
        is_refusal(await refused(asker, "GET", "/v1/requests/current"), 404, "not_found")


class TestAnswering:
    """The same refusals over HTTP and by frame."""

    async def said_no(self, volunteer: Phone, request_id: str, epoch: int, code: str) -> None:
        outside = volunteer.outside
        thanks = ("standby_until", "hot_until") if code == "answered_elsewhere" else ()
        async with outside.nothing_changes(*thanks):
            error = await refused(volunteer, "POST", f"/v1/requests/{request_id}/accept", {"epoch": epoch})
            is_refusal(error, 409, code)
            frame = await frame_refused(volunteer, "accept", {"request_id": request_id, "epoch": epoch})
            assert (frame.code, frame.retryable) == (code, False)

    async def test_somebody_else_was_first(self, scene: Scene) -> None:
        first, second = await scene.volunteer("first"), await scene.volunteer("second")
        asker = await scene.requester()
        request = await asker.request_help()
        await first.accept(await first.next_offer())
        withdrawn = await second.next("offer_withdrawn")
        assert (withdrawn["data"]["reason"], withdrawn["data"]["epoch"]) == ("answered", 1)
        await scene.outside.quiet()
        await self.said_no(second, request["id"], 1, "answered_elsewhere")
        error = await refused(second, "POST", f"/v1/requests/{request['id']}/accept", {"epoch": 1})
        assert error.details["standby_until"]  # whoever was first has not connected yet
        await asker.cancel_request(request["id"])
        await scene.outside.quiet()
        await self.said_no(second, request["id"], 1, "answered_elsewhere")

    async def test_another_of_my_devices_was(self, scene: Scene) -> None:
        helper, other = await scene.volunteer(), await scene.another("helper", "volunteer")
        asker = await scene.requester()
        request = await asker.request_help()
        offer = await helper.next_offer()
        assert (await other.next_offer())["request_id"] == request["id"]
        call = await helper.accept(offer)
        withdrawn = await other.next("offer_withdrawn")
        assert withdrawn["data"]["reason"] == "answered_by_you"
        await scene.outside.quiet()
        await self.said_no(other, request["id"], 1, "answered_by_you")
        again = await helper.account.call("POST", f"/v1/requests/{request['id']}/accept", {"epoch": 1})
        assert (again["call"]["id"], again["call"]["attempt"]) == (call["id"], 1)
        await helper.send("accept", {"request_id": request["id"], "epoch": 1})

    async def test_an_offer_declined_or_expired_is_over(self, scene: Scene) -> None:
        declines, expires = await scene.volunteer("declines"), await scene.volunteer("expires")
        request = await (await scene.requester()).request_help()
        await declines.decline(await declines.next_offer(), "busy")
        await expires.next_offer()
        await scene.outside.database.execute(
            "UPDATE offers SET expires_at = eyeline_now() WHERE request_id = $1 AND person_id = $2",
            *(request["id"], expires.state.user["id"]),
        )
        withdrawn = await expires.next("offer_withdrawn")
        assert withdrawn["data"]["reason"] == "expired"
        for volunteer in (declines, expires):
            error = await refused(volunteer, "POST", f"/v1/requests/{request['id']}/accept", {"epoch": 1})
            is_refusal(error, 409, "offer_over")
        frame = await frame_refused(declines, "accept", {"request_id": request["id"], "epoch": 1})
        assert frame.code == "offer_over"

    async def test_a_request_that_ended(self, scene: Scene) -> None:
        helper, asker = await scene.volunteer(), await scene.requester()
        request = await asker.request_help()
        await helper.next_offer()
        await asker.cancel_request(request["id"])
        withdrawn = await helper.next("offer_withdrawn")
        assert withdrawn["data"]["reason"] == "cancelled"
        await scene.outside.quiet()
        await self.said_no(helper, request["id"], 1, "request_ended")

    async def test_what_was_never_offered(self, scene: Scene) -> None:
        helper, stranger = await scene.volunteer(), await scene.volunteer("stranger", ready=False)
        request = await (await scene.requester()).request_help()
        await helper.next_offer()
        await scene.outside.quiet()
        await self.said_no(stranger, request["id"], 1, "not_offered")
        await self.said_no(helper, request["id"], 2, "not_offered")
        frame = await frame_refused(stranger, "accept", {"request_id": NOBODY, "epoch": 1})
        assert frame.code == "not_offered"
        async with scene.outside.nothing_changes():
            for path in (request["id"], NOBODY):
                error = await refused(stranger, "POST", f"/v1/requests/{path}/decline", {"epoch": 1})
                is_refusal(error, 404, "not_found")
                frame = await frame_refused(stranger, "decline", {"request_id": path, "epoch": 1})
                assert frame.code == "not_offered"

    async def test_declining_again_or_too_late_is_done_already(self, scene: Scene) -> None:
        helper, other, asker = await scene.volunteer(), await scene.volunteer("other"), await scene.requester()
        request = await asker.request_help()
        path, no = f"/v1/requests/{request['id']}/decline", {"epoch": 1, "reason": "not_now"}
        await helper.next_offer()
        assert (await helper.status("POST", path, no))[0] == 204
        call = await other.accept(await other.next_offer())
        await scene.outside.quiet()
        async with scene.outside.nothing_changes():
            for volunteer in (helper, other):
                for body in (no, {"epoch": 1}):
                    assert (await volunteer.status("POST", path, body))[0] == 204
                await volunteer.send("decline", {"request_id": request["id"], **no})
        assert (await other.account.call("GET", f"/v1/calls/{call['id']}"))["call"]["state"] == "connecting"

    async def test_of_many_who_accept_at_once_one_wins(self, scene: Scene) -> None:
        volunteers = [await scene.volunteer(f"helper {number}") for number in range(4)]
        request = await (await scene.requester()).request_help()
        offers = [await volunteer.next_offer() for volunteer in volunteers]
        told = await asyncio.gather(
            *(v.accept(offer) for v, offer in zip(volunteers, offers, strict=True)), return_exceptions=True
        )
        winners = [call for call in told if isinstance(call, dict)]
        others = [error for error in told if isinstance(error, ApiError)]
        assert [call["request_id"] for call in winners] == [request["id"]]
        assert [(error.status, error.code) for error in others] == [(409, "answered_elsewhere")] * 3

    async def test_offers_open_for_me(self, scene: Scene) -> None:
        helper = await scene.volunteer()
        assert (await helper.account.call("GET", "/v1/offers"))["offers"] == []
        request = await (await scene.requester()).request_help(topic="reading")
        await helper.next_offer()
        reply = await helper.account.call("GET", "/v1/offers")
        (offer,) = reply["offers"]
        assert set(offer) >= {
            *("request_id", "epoch", "language", "topic", "mode", "waiting_since", "expires_at", "expires_in_ms")
        }
        assert (offer["request_id"], offer["language"], offer["topic"]) == (request["id"], scene.language, "reading")
        assert 0 < offer["expires_in_ms"] <= 30_000
        assert set(reply) >= {"now", "offers"}

    @pytest.mark.parametrize("mode", ["video", "voice", "text"])
    async def test_how_they_want_to_be_helped_is_told_from_the_tap_to_the_call(self, scene: Scene, mode: str) -> None:
        helper, asker = await scene.volunteer(), await scene.requester()
        request = await asker.request_help(mode=mode)
        offer = await helper.next_offer()
        call = await helper.accept(offer)
        told = (await asker.until(lambda state: state.live_call is not None)).live_call
        assert told is not None
        assert [view["mode"] for view in (request, offer, call, told)] == [mode] * 4


class TestTheCall:
    async def stranger(self, scene: Scene) -> Phone:
        return await scene.another("stranger", "volunteer")

    async def test_to_strangers_it_does_not_exist(self, scene: Scene) -> None:
        pair, stranger = await scene.pair(), await self.stranger(scene)
        bodies: dict[str, Any] = {"/rejoin": {"attempt": 1}, "/end": {"reason": "done"}}
        async with scene.outside.nothing_changes():
            is_refusal(await refused(stranger, "GET", pair.path), 404, "not_found")
            for action in ("/take", "/rejoin", "/ice", "/end", "/avoid"):
                error = await refused(stranger, "POST", pair.path + action, bodies.get(action))
                is_refusal(error, 404, "not_found")

    async def test_cancelling_again_is_the_same(self, scene: Scene) -> None:
        asker = await scene.requester()
        request = await asker.request_help()
        path = f"/v1/requests/{request['id']}/cancel"
        replies = [await asker.status("POST", path) for _ in range(3)]
        assert [status for status, _ in replies] == [200] * 3
        assert replies[0] == replies[1] == replies[2]
        assert (replies[0][1]["request"]["state"], replies[0][1]["request"]["outcome"]) == ("ended", "cancelled")

    @pytest.mark.parametrize("connected", [False, True])
    async def test_ending_again_is_the_same_for_both(self, scene: Scene, connected: bool) -> None:
        pair = await scene.pair(connected=connected)
        first = await pair.requester.status("POST", f"{pair.path}/end", {"reason": "done"})
        await scene.outside.quiet()
        async with scene.outside.nothing_changes():
            for reason in ("done", "left", "technical"):
                assert await pair.requester.status("POST", f"{pair.path}/end", {"reason": reason}) == first
                status, other = await pair.volunteer.status("POST", f"{pair.path}/end", {"reason": reason})
                assert (status, other["call"]["end_reason"], other["call"]["end_by"]) == (200, "done", "them")
                for phone in pair.both:
                    await phone.send("end", {"reason": reason}, call=pair.call)
        assert (first[1]["call"]["end_reason"], first[1]["call"]["end_by"]) == ("done", "me")
        assert (first[1]["call"]["state"], first[1]["call"]["ice_servers"]) == ("ended", [])

    async def test_rejoining_counts_once(self, scene: Scene) -> None:
        pair = await scene.pair()
        calls = [pair.side(side).rejoin(pair.call) for side in ("requester", "volunteer", "requester", "volunteer")]
        assert {call["attempt"] for call in await asyncio.gather(*calls)} == {2}
        for phone in pair.both:
            await phone.until(lambda state: state.call is not None and state.call["attempt"] == 2)
        for attempt in (3, 2**31 - 1):
            error = await refused(pair.requester, "POST", f"{pair.path}/rejoin", {"attempt": attempt})
            is_refusal(error, 409, "stale_attempt")

    async def test_rejoining_needs_a_living_call_of_this_session(self, scene: Scene) -> None:
        pair, other = await scene.pair(), await scene.another("helper", "volunteer")
        error = await refused(other, "POST", f"{pair.path}/rejoin", {"attempt": 1})
        is_refusal(error, 409, "not_in_call")
        await pair.volunteer.end_call(pair.call, "left")
        error = await refused(pair.volunteer, "POST", f"{pair.path}/rejoin", {"attempt": 1})
        is_refusal(error, 409, "call_ended")

    async def test_taking_it_to_another_of_my_devices(self, scene: Scene) -> None:
        pair, other = await scene.pair(), await scene.another("helper", "volunteer")
        taken = (await other.account.call("POST", f"{pair.path}/take"))["call"]
        assert (taken["id"], taken["attempt"], taken["side"]) == (pair.call["id"], 2, "volunteer")
        again = (await other.account.call("POST", f"{pair.path}/take"))["call"]
        assert again["attempt"] == 2
        state = await pair.volunteer.until(lambda state: state.live_call is None)
        assert state.call is not None
        assert (state.call["state"], state.call["end_reason"]) == ("ended", "moved")
        await pair.requester.until(lambda state: state.call is not None and state.call["attempt"] == 2)
        for frame in ("chat", "end"):
            data = {"text": MARK, "language": "en"} if frame == "chat" else {"reason": "done"}
            for call in (pair.call, taken):
                assert (await frame_refused(pair.volunteer, frame, data, call=call)).code == "not_in_call"
        error = await refused(pair.volunteer, "POST", f"{pair.path}/rejoin", {"attempt": 2})
        is_refusal(error, 409, "not_in_call")
        await other.send("chat", {"text": MARK, "language": "en"}, call=taken)
        assert (await pair.requester.next("chat"))["data"]["text"] == MARK

    async def test_nothing_brings_an_ended_one_back(self, scene: Scene) -> None:
        pair, other = await scene.pair(connected=True), await scene.another("helper", "volunteer")
        await pair.requester.end_call(pair.call, "done")
        await pair.ended()
        await scene.outside.quiet()
        async with scene.outside.nothing_changes():
            taken = (await other.account.call("POST", f"{pair.path}/take"))["call"]
            assert (taken["state"], taken["end_reason"], taken["ice_servers"]) == ("ended", "done", [])
            for phone in (*pair.both, other):
                error = await refused(phone, "POST", f"{pair.path}/ice")
                is_refusal(error, 409, "call_ended")

    async def test_ice_servers_as_long_as_it_lives(self, scene: Scene) -> None:
        pair = await scene.pair()
        for phone in pair.both:
            reply = await phone.account.call("POST", f"{pair.path}/ice")
            assert set(reply) >= {"ice_servers", "expires_at"}

    async def test_avoiding_again_is_done_already(self, scene: Scene) -> None:
        pair = await scene.pair(connected=True)
        for _ in range(2):
            assert (await pair.requester.status("POST", f"{pair.path}/avoid"))[0] == 204
        assert (await pair.volunteer.status("POST", f"{pair.path}/avoid"))[0] == 204
        assert pair.requester.state.live_call is not None
        await pair.requester.end_call(pair.call, "done")
        await pair.ended()
        await self.never_again(scene, pair)

    async def never_again(self, scene: Scene, pair: Pair) -> None:
        """Somebody else who speaks it is asked, and the avoided one is not."""
        other = await scene.volunteer("other")
        request = await pair.requester.request_help()
        await other.next_offer()
        asked = "SELECT array_agg(person_id::text) FROM offers WHERE request_id = $1"

        async def looked_again() -> bool:
            look = await scene.outside.database.fetchval(
                "SELECT next_look_at FROM requests WHERE id = $1", request["id"]
            )
            return bool(look > first)

        first = await scene.outside.database.fetchval("SELECT next_look_at FROM requests WHERE id = $1", request["id"])
        await until(looked_again)
        assert await scene.outside.database.fetchval(asked, request["id"]) == [other.state.user["id"]]
        assert (await pair.volunteer.account.call("GET", "/v1/offers"))["offers"] == []
