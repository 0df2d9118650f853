"""The rules between frames: ids, whose call it is, negotiation, numbers and resuming, tokens, one socket a session."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import jwt
import pytest
import pytest_asyncio

from tests.support.engines import Engines
from tests.support.frame_cases import FRAMES, SDP
from tests.support.nodes import TOKEN_SECRET
from tests.support.outside import MARK, Json, Outside, RawSocket, Someone

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS = {"EYELINE_CONNECTING_S": "3600", "EYELINE_GRACE_S": "3600", "EYELINE_HEARTBEAT_S": "1"}
SIGNALS = ("chat", "description", "candidate", "control", "control_state")
OF_CALL = [name for name, case in FRAMES.items() if case.of_call]
LIMITS = {
    *("frame_bytes", "frames_per_s", "frames_burst", "sdp_chars", "candidate_chars", "chat_chars", "message_id_chars"),
}
WELCOME = {
    *("session", "incarnation", "resumed", "seq", "now", "heartbeat_s", "token_expires_at", "limits"),
    *("user", "request", "offers", "call"),
}


@dataclass
class Talk:
    """A call between two raw sockets."""

    outside: Outside
    requester: RawSocket
    volunteer: RawSocket
    people: dict[str, Someone]
    call: Json

    @property
    def of_call(self) -> Json:
        return {"call": self.call["id"], "attempt": self.call["attempt"]}

    def socket(self, side: str) -> RawSocket:
        return self.requester if side == "requester" else self.volunteer

    async def said(self, side: str, type_: str, data: Json, **envelope: Any) -> Json:
        """The answer to this."""
        message_id = uuid4().hex
        await self.socket(side).say(type_, data, id=message_id, **{**self.of_call, **envelope})
        return await self.socket(side).answer(message_id)

    async def refused(self, side: str, type_: str, data: Json, **envelope: Any) -> str:
        """The code with which this is refused; it reaches nobody."""
        answer = await self.said(side, type_, data, **envelope)
        assert answer["type"] == "error", answer
        assert answer["data"]["retryable"] is False
        return str(answer["data"]["code"])

    async def passed(self, side: str, type_: str, data: Json) -> Json:
        """Done, and heard on the other side as it is."""
        answer = await self.said(side, type_, data)
        assert answer["type"] == "ack", answer
        heard = await self.socket(other(side)).hear(*SIGNALS)
        assert (heard["type"], heard["id"]) == (type_, answer["data"]["id"])
        assert {key: heard["data"][key] for key in data} == data
        assert (heard["call"], heard["attempt"]) == (self.of_call["call"], self.of_call["attempt"])
        return heard

    async def silent(self, listener: str) -> None:
        """Nothing else of the other side's is on its way."""
        await self.passed(other(listener), "chat", {"text": f"{MARK} {uuid4().hex}", "language": "en"})


def other(side: str) -> str:
    return "volunteer" if side == "requester" else "requester"


def description(kind: str, number: int, ufrag: str = "quok") -> Json:
    return {"type": kind, "sdp": SDP.format(ufrag=ufrag), "negotiation": number}


def candidate(ufrag: str | None, number: int = 1, *, in_text: bool = False) -> Json:
    text = f"candidate:{uuid4().int % 10**9} 1 udp 1 127.0.0.1 9 typ host"
    if in_text:
        return {"candidate": f"{text} ufrag {ufrag}", "sdpMid": "0", "negotiation": number}
    field = {} if ufrag is None else {"usernameFragment": ufrag}
    return {"candidate": text, "sdpMid": "0", "negotiation": number, **field}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outside(engines: Engines) -> AsyncIterator[Outside]:
    async with Outside.over(engines, **SETTINGS) as outside:
        yield outside


@pytest_asyncio.fixture(loop_scope="module")
async def talk(outside: Outside) -> AsyncIterator[Talk]:
    language = outside.language()
    people = {side: await outside.sign_in(f"{side} {language}", side, language) for side in ("requester", "volunteer")}
    async with (
        RawSocket.of(outside, people["volunteer"]) as volunteer,
        RawSocket.of(outside, people["requester"]) as requester,
    ):
        await volunteer.say("ready", {"ready": True}, id="ready")
        await volunteer.answer("ready")
        asked = await outside.call("POST", "/v1/requests", {}, token=people["requester"].token)
        assert asked.status == 201
        offer = (await volunteer.hear("offer"))["data"]["offer"]
        path = f"/v1/requests/{offer['request_id']}/accept"
        accepted = await outside.call("POST", path, {"epoch": 1}, token=people["volunteer"].token)
        assert accepted.status == 200
        for socket in (requester, volunteer):
            await socket.hear("call")
        yield Talk(outside, requester, volunteer, people, accepted.body["call"])


async def stranger(outside: Outside, role: str) -> Someone:
    return await outside.sign_in(f"stranger {uuid4().hex}", role, "en")


class TestIds:
    async def test_a_repeat_is_answered_again_and_not_done_again(self, talk: Talk) -> None:
        for text in ("first", "first", "other words"):
            await talk.volunteer.say("chat", {"text": text, "language": "en"}, id="again", **talk.of_call)
            assert (await talk.volunteer.answer("again"))["type"] == "ack"
        assert (await talk.requester.hear("chat"))["data"]["text"] == "first"
        await talk.silent("requester")

    async def test_also_on_a_new_socket(self, talk: Talk) -> None:
        await talk.passed("volunteer", "chat", {"text": "before", "language": "en"})
        await talk.volunteer.say("chat", {"text": "once", "language": "en"}, id="again", **talk.of_call)
        await talk.volunteer.answer("again")
        assert (await talk.requester.hear(*SIGNALS))["data"]["text"] == "once"
        async with RawSocket.of(talk.outside, talk.people["volunteer"]) as talk.volunteer:
            await talk.volunteer.say("chat", {"text": "once", "language": "en"}, id="again", **talk.of_call)
            assert (await talk.volunteer.answer("again"))["type"] == "ack"
            await talk.silent("requester")

    async def test_refusals_are_repeated_too(self, talk: Talk) -> None:
        chat = {"text": MARK, "language": "en"}
        for _ in range(2):
            await talk.volunteer.say("chat", chat, id="again", call=talk.call["id"], attempt=7)
            assert (await talk.volunteer.refusal("again"))["code"] == "stale_attempt"
        description = FRAMES["description"].data
        for attempt in (7, 1):  # the second would be judged otherwise, were it not a repeat
            await talk.volunteer.say("description", description, id="too", call=talk.call["id"], attempt=attempt)
            assert (await talk.volunteer.refusal("too"))["code"] == "stale_attempt"
        await talk.silent("requester")

    async def test_each_session_has_ids_of_its_own(self, talk: Talk) -> None:
        for side in ("requester", "volunteer"):
            await talk.socket(side).say("chat", {"text": side, "language": "en"}, id="same", **talk.of_call)
            assert (await talk.socket(side).answer("same"))["type"] == "ack"
            assert (await talk.socket(other(side)).hear("chat"))["data"]["text"] == side

    async def test_without_an_id_only_refusals_are_answered(self, talk: Talk) -> None:
        await talk.volunteer.say("chat", {"text": MARK, "language": "en"}, **talk.of_call)
        assert "id" not in await talk.requester.hear("chat")
        await talk.volunteer.say("chat", {"text": MARK, "language": "en"}, call=talk.call["id"], attempt=2)
        error = (await talk.volunteer.hear("ack", "error"))["data"]
        assert (error["code"], "id" in error) == ("stale_attempt", False)


class TestWhoseCall:
    @pytest.mark.parametrize("type_", OF_CALL)
    @pytest.mark.parametrize("role", ["requester", "volunteer"])
    async def test_frames_of_strangers_and_of_no_call(self, talk: Talk, type_: str, role: str) -> None:
        data, nobody = dict(FRAMES[type_].data or {}), "00000000-0000-7000-8000-000000000000"
        someone = await stranger(talk.outside, role)
        async with RawSocket.of(talk.outside, someone) as socket, talk.outside.nothing_changes():
            for call in (talk.call["id"], nobody):
                await socket.say(type_, data, id=call, call=call, attempt=1)
                assert (await socket.refusal(call))["code"] == "not_in_call"
            assert await talk.refused("volunteer", type_, data, call=nobody) == "not_in_call"
        await talk.silent("requester")
        await talk.silent("volunteer")

    @pytest.mark.parametrize("type_", OF_CALL)
    async def test_frames_of_another_attempt(self, talk: Talk, type_: str) -> None:
        data = dict(FRAMES[type_].data or {})
        async with talk.outside.nothing_changes():
            for side in ("requester", "volunteer"):
                for attempt in (2, 2**31 - 1):
                    assert await talk.refused(side, type_, data, attempt=attempt) == "stale_attempt"
        path = f"/v1/calls/{talk.call['id']}/rejoin"
        rejoined = await talk.outside.call("POST", path, {"attempt": 1}, token=talk.people["volunteer"].token)
        talk.call = rejoined.body["call"]
        for side in ("requester", "volunteer"):
            assert (await talk.socket(side).hear("call"))["data"]["call"]["attempt"] == 2
        async with talk.outside.nothing_changes():
            for side in ("requester", "volunteer"):
                assert await talk.refused(side, type_, data, attempt=1) == "stale_attempt"
        await talk.silent("requester")
        await talk.silent("volunteer")

    async def test_frames_after_its_end(self, talk: Talk) -> None:
        await talk.requester.say("end", {"reason": "done"}, **talk.of_call)
        for side in ("requester", "volunteer"):
            assert (await talk.socket(side).hear("call"))["data"]["call"]["state"] == "ended"
        await talk.outside.quiet()
        async with talk.outside.nothing_changes():
            for type_ in OF_CALL:
                data = dict(FRAMES[type_].data or {})
                for side in ("requester", "volunteer"):
                    answer = await talk.said(side, type_, data)
                    told = answer["type"] if type_ == "end" else answer["data"].get("code")
                    assert told == ("ack" if type_ == "end" else "call_ended"), (type_, answer)

    async def test_what_was_passed_on_before_is_answered_as_it_was(self, talk: Talk) -> None:
        chat: Json = {"text": f"{MARK} bye", "language": "en"}
        of_first, of_call = talk.of_call, uuid4().hex
        await talk.requester.say("chat", chat, id=of_call, **of_first)
        assert (await talk.requester.answer(of_call))["type"] == "ack"
        assert (await talk.volunteer.hear("chat"))["id"] == of_call
        path = f"/v1/calls/{talk.call['id']}/rejoin"
        await talk.outside.call("POST", path, {"attempt": 1}, token=talk.people["volunteer"].token)
        for side in ("requester", "volunteer"):
            assert (await talk.socket(side).hear("call"))["data"]["call"]["attempt"] == 2
        await talk.requester.say("chat", chat, id=of_call, **of_first)
        assert (await talk.requester.answer(of_call))["type"] == "ack"
        await talk.requester.say("end", {"reason": "done"}, **{**of_first, "attempt": 2})
        assert (await talk.volunteer.hear("chat", "call"))["data"]["call"]["state"] == "ended"
        async with talk.outside.nothing_changes():
            await talk.requester.say("chat", chat, id=of_call, **of_first)
            assert (await talk.requester.answer(of_call))["type"] == "ack"

    async def test_controls_come_from_the_volunteer(self, talk: Talk) -> None:
        for data in ({"name": "torch", "value": True}, {"name": "zoom", "value": 2.5}, {"name": "photo"}):
            assert await talk.refused("requester", "control", data) == "wrong_side"
            await talk.passed("volunteer", "control", data)
        await talk.silent("volunteer")

    async def test_what_became_of_them_comes_from_the_requester(self, talk: Talk) -> None:
        no_zoom: Json = {"name": "zoom", "value": None, "available": False}
        for data in ({"name": "torch", "value": True, "available": True}, no_zoom):
            assert await talk.refused("volunteer", "control_state", data) == "wrong_side"
            await talk.passed("requester", "control_state", data)
        await talk.silent("requester")

    @pytest.mark.parametrize("data", [{"text": f"{MARK} æøå"}, {"phrase": "thank_you"}])
    async def test_chat_goes_both_ways(self, talk: Talk, data: Json) -> None:
        for side in ("requester", "volunteer"):
            await talk.passed(side, "chat", {**data, "language": "pt-BR"})

    async def test_the_other_role_is_told_so(self, talk: Talk) -> None:
        request = {"request_id": talk.call["request_id"], "epoch": 1}
        async with talk.outside.nothing_changes():
            for type_, data in (("ready", {"ready": True}), ("accept", request), ("decline", request)):
                assert await talk.refused("requester", type_, data) == "wrong_role"


class TestNegotiation:
    async def test_the_requester_offers_first(self, talk: Talk) -> None:
        assert await talk.refused("volunteer", "description", description("offer", 1)) == "wrong_side"
        assert await talk.refused("volunteer", "description", description("answer", 1)) == "stale_negotiation"
        assert await talk.refused("volunteer", "description", description("answer", 0)) == "stale_negotiation"
        await talk.passed("requester", "description", description("offer", 1))
        assert await talk.refused("volunteer", "description", description("offer", 2)) == "wrong_side"
        await talk.silent("requester")

    async def test_an_answer_copies_the_number(self, talk: Talk) -> None:
        await talk.passed("requester", "description", description("offer", 1, "one"))
        assert await talk.refused("requester", "description", description("answer", 1, "one")) == "wrong_side"
        for number in (0, 2):
            stale = description("answer", number, "two")
            assert await talk.refused("volunteer", "description", stale) == "stale_negotiation"
        await talk.passed("volunteer", "description", description("answer", 1, "two"))
        again = description("answer", 1, "three")
        assert await talk.refused("volunteer", "description", again) == "stale_negotiation"
        await talk.silent("volunteer")
        await talk.silent("requester")

    async def test_a_newer_offer_has_a_higher_number(self, talk: Talk) -> None:
        await talk.passed("requester", "description", description("offer", 1, "one"))
        await talk.passed("volunteer", "description", description("answer", 1, "two"))
        for number in (0, 1):
            stale = description("offer", number, "three")
            assert await talk.refused("requester", "description", stale) == "stale_negotiation"
        await talk.passed("volunteer", "description", description("offer", 2, "four"))
        await talk.passed("requester", "description", description("offer", 2, "five"))  # a tie: the requester's stands
        assert await talk.refused("volunteer", "description", description("offer", 2, "six")) == "stale_negotiation"
        assert await talk.refused("requester", "description", description("answer", 2, "x")) == "wrong_side"
        await talk.passed("volunteer", "description", description("answer", 2, "seven"))
        await talk.silent("volunteer")

    async def test_candidates_wait_for_their_description(self, talk: Talk) -> None:
        early = [candidate("soon", in_text=bool(number % 2)) for number in range(64)]
        for data in early:
            assert (await talk.said("requester", "candidate", data))["type"] == "ack"
        assert await talk.refused("requester", "candidate", candidate("soon")) == "too_many_candidates"
        await talk.passed("requester", "candidate", candidate(None))
        await talk.passed("requester", "description", description("offer", 1, "soon"))
        heard = [(await talk.volunteer.hear(*SIGNALS))["data"]["candidate"] for _ in early]
        assert heard == [data["candidate"] for data in early]
        await talk.passed("requester", "candidate", candidate("soon"))
        await talk.silent("volunteer")

    async def test_candidates_of_a_superseded_description_are_dropped(self, talk: Talk) -> None:
        await talk.passed("requester", "description", description("offer", 1, "old"))
        await talk.passed("requester", "description", description("offer", 2, "new"))
        for data in (candidate("old"), candidate("old", 2, in_text=True)):
            assert (await talk.said("requester", "candidate", data))["type"] == "ack"
        await talk.silent("volunteer")
        await talk.passed("requester", "candidate", candidate("new", 2))
        await talk.passed("requester", "candidate", {"candidate": None, "negotiation": 2})


class TestNumbers:
    async def test_the_welcome_is_complete(self, talk: Talk) -> None:
        for side in ("requester", "volunteer"):
            async with RawSocket.of(talk.outside, talk.people[side]) as socket:
                welcome = socket.welcome
                assert set(welcome) >= WELCOME
                assert set(welcome["limits"]) >= LIMITS
                assert welcome["session"] == talk.people[side].session_id
                assert set(welcome["user"]) >= {"id", "role", "admin_roles", "languages", "time_zone", "status"}
                assert (welcome["user"]["id"], welcome["user"]["role"]) == (talk.people[side].user_id, side)
                assert (welcome["call"]["id"], welcome["call"]["side"]) == (talk.call["id"], side)
                assert welcome["call"]["polite"] is (side == "volunteer")
                assert (welcome["request"] is None) == (side == "volunteer")
                assert welcome["offers"] == []
                assert welcome["now"].endswith("Z")
                assert welcome["token_expires_at"].endswith("Z")

    async def test_numbers_have_no_gaps_and_answers_have_none(self, talk: Talk) -> None:
        async with RawSocket.of(talk.outside, talk.people["requester"]) as talk.requester:
            seq = talk.requester.welcome["seq"]
            for number in range(1, 20):
                heard = await talk.passed("volunteer", "chat", {"text": str(number), "language": "en"})
                assert heard["seq"] == seq + number
                await talk.requester.say("ping", id="p", ack=heard["seq"])
                assert "seq" not in await talk.requester.hear("pong")
                assert "seq" not in await talk.requester.answer("p")

    async def test_coming_back_brings_what_was_missed(self, talk: Talk) -> None:
        async with RawSocket.of(talk.outside, talk.people["requester"]) as talk.requester:
            first = await talk.passed("volunteer", "chat", {"text": "heard", "language": "en"})
            incarnation = talk.requester.welcome["incarnation"]
        for text in ("one", "two", "three"):
            assert (await talk.said("volunteer", "chat", {"text": text, "language": "en"}))["type"] == "ack"
        for back_to in (first["seq"], first["seq"] + 1):  # said again until it is acknowledged
            resume = {"incarnation": incarnation, "seq": back_to}
            async with RawSocket.of(talk.outside, talk.people["requester"], resume) as socket:
                assert (socket.welcome["resumed"], socket.welcome["incarnation"]) == (True, incarnation)
                missed = [await socket.hear() for _ in range(first["seq"] + 3 - back_to)]
                assert [frame["seq"] for frame in missed] == list(range(back_to + 1, first["seq"] + 4))
                assert [frame["data"]["text"] for frame in missed] == ["one", "two", "three"][back_to - first["seq"] :]

    @pytest.mark.parametrize("resume", ["none", "another incarnation", "too far", "far too far"])
    async def test_what_cannot_be_resumed_says_so(self, talk: Talk, resume: str) -> None:
        async with RawSocket.of(talk.outside, talk.people["requester"]) as socket:
            known = socket.welcome
        asked: dict[str, Any] = {
            "none": None,
            "another incarnation": {"incarnation": f"{MARK}", "seq": known["seq"]},
            "too far": {"incarnation": known["incarnation"], "seq": known["seq"] + 1},
            "far too far": {"incarnation": known["incarnation"], "seq": 2**53},
        }
        async with RawSocket.of(talk.outside, talk.people["requester"], asked[resume]) as talk.requester:
            assert talk.requester.welcome["resumed"] is False
            assert talk.requester.welcome["call"]["id"] == talk.call["id"]
            seq = talk.requester.welcome["seq"]
            heard = await talk.passed("volunteer", "chat", {"text": "new", "language": "en"})
            assert heard["seq"] == seq + 1

    async def test_a_number_never_given_acknowledges_nothing(self, talk: Talk) -> None:
        async with RawSocket.of(talk.outside, talk.people["requester"]) as talk.requester:
            heard = await talk.passed("volunteer", "chat", {"text": "kept", "language": "en"})
            await talk.requester.say("ack", ack=2**53)
            await talk.requester.say("ack", ack=heard["seq"] + 1)
            await talk.requester.stays()
            resume = {"incarnation": talk.requester.welcome["incarnation"], "seq": heard["seq"] - 1}
        async with RawSocket.of(talk.outside, talk.people["requester"], resume) as socket:
            assert socket.welcome["resumed"] is True
            assert (await socket.hear())["seq"] == heard["seq"]


class TestTokens:
    def short(self, someone: Someone, life_s: int) -> str:
        now = int(time.time())
        claims = {"iss": "eyeline", "aud": "eyeline", "sub": someone.user_id, "sid": someone.session_id}
        return jwt.encode({**claims, "iat": now, "exp": now + life_s}, TOKEN_SECRET, algorithm="HS256")

    async def test_a_fresh_one_is_taken(self, outside: Outside) -> None:
        someone = await outside.sign_in("renews")
        reply = await outside.call("POST", "/v1/sessions/refresh", {"refresh_token": someone.refresh_token})
        outside.secrets |= {reply.body["access_token"], reply.body["refresh_token"]}
        async with RawSocket.of(outside, someone) as socket:
            await socket.say("token", {"token": reply.body["access_token"]}, id="t")
            assert (await socket.answer("t"))["type"] == "ack"
            await socket.stays()

    async def test_any_other_closes(self, outside: Outside) -> None:
        someone, friend = await outside.sign_in("renews"), await outside.sign_in("friend")
        for token in (MARK, someone.token[:-2], someone.refresh_token, friend.token):
            async with RawSocket.of(outside, someone) as socket:
                await socket.say("token", {"token": token}, id="t")
                assert await socket.end() == 4401

    async def test_an_expired_one_closes_unless_renewed_or_in_a_call(self, talk: Talk) -> None:
        outside = talk.outside
        forgets, renews = await outside.sign_in("forgets"), await outside.sign_in("renews")
        async with AsyncExitStack() as stack:
            sockets = []
            for someone in (forgets, renews, talk.people["volunteer"]):
                socket = await RawSocket.open(outside)
                stack.push_async_callback(socket.close)
                token = self.short(someone, 2)
                await socket.say("hello", {"token": token, "device_id": someone.device_id})
                await socket.hear("welcome")
                sockets.append(socket)
            forgetful, renewed, talking = sockets
            await renewed.say("token", {"token": renews.token})
            assert await forgetful.end() == 4401
            await renewed.stays()
            await talking.stays()


class TestOneSocket:
    async def test_a_second_one_takes_over(self, outside: Outside) -> None:
        someone = await outside.sign_in("twice")
        async with RawSocket.of(outside, someone) as first, RawSocket.of(outside, someone) as second:
            assert await first.end() == 4409
            await second.stays()

    async def test_the_end_of_the_session_closes_it(self, outside: Outside) -> None:
        someone = await outside.sign_in("leaves")
        async with RawSocket.of(outside, someone) as socket:
            await outside.call("DELETE", "/v1/sessions/current", token=someone.token)
            assert await socket.end() == 4401

    async def test_ping_is_answered_with_the_time(self, outside: Outside) -> None:
        async with RawSocket.of(outside, await outside.sign_in("pings")) as socket:
            await socket.text(json.dumps({"type": "ping"}))
            pong = await socket.hear()
            assert (pong["type"], set(pong["data"])) == ("pong", {"now"})
