"""The phone's client keeps its books: order, numbers, resends, close codes, snapshots."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from infra.phone import reconnect
from infra.phone import socket as phone_socket
from infra.phone.client import PhoneClient
from infra.phone.errors import ApiError, FrameRefused, PhoneStopped
from infra.phone.outbox import TRIES
from tests.unit.phone.scripted_server import Json, ScriptedServer, Visit, call, offer, scripted_server


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "SHORTEST_S", 0.01)
    monkeypatch.setattr(reconnect, "LONGEST_S", 0.05)
    monkeypatch.setattr(phone_socket, "ACK_AFTER_S", 0.02)


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted_server() as server:
        yield server


@asynccontextmanager
async def connected(server: ScriptedServer, **welcome: Any) -> AsyncIterator[tuple[PhoneClient, Visit]]:
    first = asyncio.create_task(server.visit(**welcome))
    async with PhoneClient.sign_in(server.url, "Ada") as phone:
        yield phone, await first


def refusal(frame: Json) -> Json:
    """This failed for the moment."""
    return {"id": frame["id"], "code": "unavailable", "message": "", "retryable": True}


class TestSignIn:
    async def test_signs_in_sets_up_what_differs_and_says_hello(self, server: ScriptedServer) -> None:
        first = asyncio.create_task(server.visit())
        async with PhoneClient.sign_in(server.url, "Ada", role="volunteer", languages=["da"], time_zone="UTC") as phone:
            visit = await first
            assert visit.hello == {"token": "access-1", "device_id": phone.account.device_id}
            assert phone.session_id == "session"
        assert [(m, p) for m, p, _ in server.calls] == [("POST", "/v1/sessions"), ("PATCH", "/v1/me")]
        assert server.calls[1][2] == {"role": "volunteer", "languages": ["da"]}

    async def test_a_refused_token_is_renewed_once(self, server: ScriptedServer) -> None:
        async with connected(server) as (phone, _):
            server.refused_tokens.add("access-1")
            assert (await phone.account.call("GET", "/v1/me"))["id"] == "u"
            server.refused_tokens.add("access-2")
            server.refused_tokens.add("access-3")
            with pytest.raises(ApiError) as refused:
                await phone.account.call("GET", "/v1/me")
            assert (refused.value.status, refused.value.code) == (401, "unauthorized")

    async def test_the_token_is_renewed_before_its_end_and_told(self, server: ScriptedServer) -> None:
        async with connected(server, token_expires_at="2026-11-01T00:00:02.000Z") as (_, visit):
            assert (await visit.hear("token"))["data"] == {"token": "access-2"}


class TestSending:
    async def test_a_message_is_answered_by_ack_or_error(self, server: ScriptedServer) -> None:
        async with connected(server) as (phone, visit):
            good = asyncio.create_task(phone.send("ready", {"ready": True}))
            await visit.say("ack", {"id": (await visit.hear())["id"]})
            await good
            bad = asyncio.create_task(phone.send("accept", {}))
            told = {"id": (await visit.hear())["id"], "code": "offer_over", "message": "m", "retryable": False}
            await visit.say("error", told)
            with pytest.raises(FrameRefused, match="offer_over"):
                await bad

    async def test_unanswered_messages_are_sent_again_in_order(self, server: ScriptedServer) -> None:
        async with connected(server) as (phone, visit):
            for number in range(3):
                await phone.post("chat", {"text": str(number)})
            frames = [await visit.hear() for _ in range(3)]
            await visit.say("ack", {"id": frames[1]["id"]})
            await visit.say("chat", seq=1)
            await phone.next("chat")
            phone.cut()
            again = await server.visit(resumed=True, seq=1)
            assert again.hello["resume"] == {"incarnation": "one", "seq": 1}
            resent = [await again.hear(), await again.hear()]
            assert [frame["id"] for frame in resent] == [frames[0]["id"], frames[2]["id"]]
            await phone.post("chat", {"text": "3"})
            assert (await again.hear())["data"] == {"text": "3"}

    async def test_ready_is_said_again_and_only_the_newest(self, server: ScriptedServer) -> None:
        async with connected(server) as (phone, visit):
            for wish in (True, False):
                with pytest.raises(TimeoutError):
                    await phone.send("ready", {"ready": wish}, replaces="ready", timeout=0.01)
            done = asyncio.create_task(phone.ready(True))
            while (frame := await visit.hear("ready"))["data"]["ready"] is not True or "ack" in frame:
                pass
            phone.cut()
            again = await server.visit()
            frame = await again.hear()
            assert (frame["type"], frame["data"]) == ("ready", {"ready": True})
            assert again.heard.empty()
            await again.say("ack", {"id": frame["id"]})
            with pytest.raises(FrameRefused, match="superseded"):
                await done

    async def test_what_is_refused_for_the_moment_goes_again_and_nothing_of_its_kind_overtakes_it(
        self, server: ScriptedServer
    ) -> None:
        async with connected(server) as (phone, visit):
            first = await phone.post("chat", {"text": "1"})
            refused = await visit.hear()
            await visit.say("error", refusal(refused))
            assert (await visit.hear())["id"] == refused["id"]
            await phone.post("chat", {"text": "2"})
            await phone.post("end", {"reason": "done"})
            assert (await visit.hear())["type"] == "end"
            await visit.say("ack", {"id": refused["id"]})
            await first
            assert (await visit.hear())["data"] == {"text": "2"}

    async def test_a_new_connection_carries_what_was_refused_in_order(self, server: ScriptedServer) -> None:
        async with connected(server) as (phone, visit):
            await phone.post("chat", {"text": "1"})
            await phone.post("chat", {"text": "2"})
            await visit.say("error", refusal(await visit.hear()))
            await visit.hear()
            phone.cut()
            again = await server.visit(resumed=True)
            assert [(await again.hear())["data"]["text"] for _ in range(2)] == ["1", "2"]

    async def test_a_message_refused_too_often_is_given_up(self, server: ScriptedServer) -> None:
        async with connected(server) as (phone, visit):
            answered = await phone.post("media", {}, replaces="media")
            for _ in range(TRIES):
                await visit.say("error", refusal(await visit.hear()))
            with pytest.raises(FrameRefused, match="unavailable"):
                await answered
            assert visit.heard.empty()

    async def test_messages_of_an_ended_call_are_given_up(self, server: ScriptedServer) -> None:
        async with connected(server) as (phone, visit):
            answered = await phone.post("candidate", {}, call=call())
            frame = await visit.hear()
            assert (frame["call"], frame["attempt"]) == ("c1", 1)
            await visit.say("call", {"call": call("ended")}, seq=1)
            with pytest.raises(FrameRefused, match="call_ended"):
                await answered


class TestReceiving:
    async def test_numbers_are_acknowledged_and_repeats_dropped(self, server: ScriptedServer) -> None:
        async with connected(server) as (phone, visit):
            await visit.say("chat", {"text": "a"}, seq=1)
            await visit.say("chat", {"text": "a"}, seq=1)
            await visit.say("chat", {"text": "b"}, seq=2)
            texts = [(await phone.next("chat"))["data"]["text"] for _ in range(2)]
            assert texts == ["a", "b"]
            assert (await visit.hear("ack"))["ack"] == 2

    async def test_a_hole_leads_to_a_resume_after_the_last_good_number(self, server: ScriptedServer) -> None:
        async with connected(server) as (phone, visit):
            await visit.say("chat", {"text": "a"}, seq=1)
            await visit.say("chat", {"text": "c"}, seq=3)
            again = await server.visit(resumed=True, seq=3)
            assert again.hello["resume"]["seq"] == 1
            await again.say("chat", {"text": "b"}, seq=2)
            await again.say("chat", {"text": "c"}, seq=3)
            assert [(await phone.next("chat"))["data"]["text"] for _ in range(3)] == ["a", "b", "c"]

    async def test_the_snapshot_tells_what_no_message_told(self, server: ScriptedServer) -> None:
        async with connected(server, offers=[offer("r1"), offer("r2")]) as (phone, visit):
            assert (await phone.next_offer())["request_id"] == "r1"
            phone.cut()
            again = await server.visit(resumed=True, seq=2, offers=[offer("r2")], call=call())
            await again.say("offer_withdrawn", {"request_id": "r1", "epoch": 1, "reason": "answered"}, seq=1)
            await again.say("offer", {"offer": offer("r9")}, seq=2)
            assert (await phone.next("offer_withdrawn"))["from_snapshot"]
            assert (await phone.next("call"))["data"]["call"]["id"] == "c1"
            await again.say("pong")
            await phone.until(lambda state: list(state.offers) == ["r2"])
            assert visit.over.is_set()

    async def test_replayed_signals_still_apply(self, server: ScriptedServer) -> None:
        async with connected(server) as (phone, _):
            phone.cut()
            again = await server.visit(resumed=True, seq=2, call=call())
            await again.say("call", {"call": call(attempt=9)}, seq=1)
            await again.say("description", {"sdp": "x"}, seq=2, call="c1", attempt=1)
            assert (await phone.next("description"))["data"] == {"sdp": "x"}
            assert phone.state.call is not None
            assert phone.state.call["attempt"] == 1

    async def test_a_view_that_was_overtaken_changes_nothing(self, server: ScriptedServer) -> None:
        async with connected(server) as (phone, visit):
            seen = []
            for number, (state, version) in enumerate((("connected", 2), ("connecting", 1), ("reconnecting", 3)), 1):
                await visit.say("call", {"call": call(state, version=version)}, seq=number)
                await phone.next("call")
                assert phone.state.call is not None
                seen.append(phone.state.call["state"])
            assert seen == ["connected", "connected", "reconnecting"]

    async def test_a_new_incarnation_in_the_middle_starts_anew(self, server: ScriptedServer) -> None:
        async with connected(server, seq=40) as (phone, visit):
            await visit.say("welcome", {**(await _welcome_of(phone)), "incarnation": "two", "seq": 0})
            await visit.say("chat", {"text": "first"}, seq=1)
            assert (await phone.next("chat"))["data"] == {"text": "first"}
            phone.cut()
            assert (await server.visit()).hello["resume"] == {"incarnation": "two", "seq": 1}

    async def test_what_nobody_takes_is_bounded(self, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("infra.phone.line.INCOMING_LIMIT", 3)
        async with connected(server) as (phone, visit):
            phone.clear()
            for number in range(1, 6):
                await visit.say("chat", {"text": str(number)}, seq=number)
            await visit.hear("ack")
            while phone.dropped < 2:
                await visit.hear("ack")
            assert (await phone.next())["data"] == {"text": "3"}

    async def test_an_offer_is_acknowledged_at_once(
        self, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(phone_socket, "ACK_AFTER_S", 60.0)
        async with connected(server) as (_, visit):
            await visit.say("offer", {"offer": offer()}, seq=1)
            assert (await visit.hear("ack"))["ack"] == 1

    async def test_silence_is_pinged_and_then_left(self, server: ScriptedServer) -> None:
        async with connected(server, heartbeat_s=0.05) as (_, visit):
            await visit.hear("ping")
            await server.visit()
            assert visit.over.is_set()


class TestCloseCodes:
    @pytest.mark.parametrize("code", [1012, 4408, 4429, 4430, 1011])
    async def test_others_resume(self, server: ScriptedServer, code: int) -> None:
        async with connected(server) as (phone, visit):
            await visit.close(code)
            await server.visit()
            await phone.online()

    async def test_4401_for_a_token_that_grew_old_without_a_network_refreshes_again(
        self, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("infra.phone.line.NEW_TOKEN_S", 0.0)
        async with connected(server) as (_, visit):
            await visit.close(4401)
            await (await server.visits.get()).close(4401)
            assert (await server.visit()).hello["token"] == "access-3"

    async def test_4401_refreshes_once_and_resumes(self, server: ScriptedServer) -> None:
        async with connected(server) as (phone, visit):
            await visit.close(4401)
            refused = await server.visits.get()
            assert refused.hello["token"] == "access-2"
            await refused.close(4401)
            with pytest.raises(PhoneStopped, match="unauthorized"):
                await phone.next("never")

    @pytest.mark.parametrize(("code", "reason"), [(4403, "suspended"), (4409, "session_taken_over")])
    async def test_4403_and_4409_stop(self, server: ScriptedServer, code: int, reason: str) -> None:
        async with connected(server) as (phone, visit):
            await visit.close(code)
            with pytest.raises(PhoneStopped, match=reason):
                await phone.next("never")
            with pytest.raises(PhoneStopped):
                await phone.send("ready", {"ready": True})
            assert server.visits.empty()

    @pytest.mark.parametrize("code", [4400, 4413])
    async def test_4400_and_4413_throw_the_frame_away_and_resume_once(self, server: ScriptedServer, code: int) -> None:
        async with connected(server) as (phone, visit):
            bad = await phone.post("chat", {"text": "bad"})
            good = await phone.post("chat", {"text": "good"})
            await visit.hear()
            await visit.close(code)
            again = await server.visit()
            assert (await again.hear())["data"] == {"text": "good"}
            assert isinstance(bad.exception(), FrameRefused)
            assert not good.done()
            await again.close(code)
            with pytest.raises(PhoneStopped):
                await phone.next("never")

    async def test_leaving_says_goodbye_and_forgets(self, server: ScriptedServer) -> None:
        async with connected(server) as (phone, visit):
            answered = await phone.post("chat", {"text": "late"})
        await asyncio.wait_for(visit.over.wait(), 5)
        assert visit.ws.close_code == 1000
        with pytest.raises(FrameRefused, match="closed"):
            await answered
        with pytest.raises(PhoneStopped):
            await phone.next("never")

    async def test_a_phone_may_stay_away_for_a_while(self, server: ScriptedServer) -> None:
        async with connected(server) as (phone, visit):
            phone.cut(come_back=False)
            await visit.over.wait()
            with pytest.raises(TimeoutError):
                await phone.next("welcome", "never", timeout=0.2) and await phone.next("never", timeout=0.2)
            assert server.visits.empty()
            phone.come_back()
            await server.visit()


class TestAsking:
    async def test_a_late_reply_does_not_undo_a_message(self, server: ScriptedServer) -> None:
        def request(state: str) -> Json:
            return {"id": "r", "state": state, "epoch": 1, "asked": 0, "call_id": None}

        async with connected(server) as (phone, visit):
            await visit.say("request", {"request": request("connecting")}, seq=1)
            await phone.next("request")
            server.replies["POST", "/v1/requests"] = lambda body: (201, {"request": request("waiting")})
            assert (await phone.request_help(topic="post"))["state"] == "waiting"
            assert phone.state.request == request("connecting")
            assert server.calls[-1][2] == {"topic": "post"}


async def _welcome_of(phone: PhoneClient) -> Json:
    data: Json = (await phone.next("welcome"))["data"]
    return data
