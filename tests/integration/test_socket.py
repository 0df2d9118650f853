"""The socket over a real server and a real Valkey, section by section of the contract; only its meaning is scripted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import msgspec
import pytest

from infra.valkey.connection import open_valkey
from server import rate_limits
from server.auth import Forged, Suspended, Unauthorized
from server.socket.connection import Connection
from server.socket.conversation import FrameError
from server.socket.hub import SESSION_ENDED, SESSION_SILENT
from signaling.ports import CarrierUnavailable
from tests.support import outside
from tests.support.engines import Engines, freeze, thaw
from tests.support.socket_nodes import (
    SOON_S,
    Client,
    Json,
    Socket,
    SocketNode,
    Sockets,
    caller,
    chat,
    later,
    offer,
    sockets_over,
    until,
)


@pytest.fixture
async def sockets(valkey_url: str) -> AsyncIterator[Sockets]:
    client = open_valkey(valkey_url)
    async with sockets_over(client) as sockets:
        yield sockets
    await client.aclose()


@pytest.fixture
async def node(sockets: Sockets) -> SocketNode:
    return await sockets.node()


async def raw_end(socket: Socket) -> int | None:
    return await Client(socket, caller()).end()


class TestOpening:
    async def test_the_subprotocol_is_required(self, node: SocketNode) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await node.connect(protocols=())
        assert refusal.value.status == 400
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await node.connect(protocols=("other.v1",))
        socket = await node.connect(protocols=("other.v1", "eyeline.v1"))
        assert socket.protocol == "eyeline.v1"
        await socket.close()

    async def test_plain_http_gets_an_error_in_the_envelope(self, node: SocketNode) -> None:
        response = await node.get()
        assert response.status == 426
        assert (await response.json())["error"]["code"] == "invalid_body"

    @pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "nonsense", ""])
    async def test_pages_of_others_may_not(self, node: SocketNode, origin: str) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await node.connect(origin=origin, headers={"Origin": origin})
        assert refusal.value.status == 403

    async def test_our_own_pages_and_those_in_the_settings_may(self, sockets: Sockets) -> None:
        node = await sockets.node(origins=("https://app.example",))
        own = node.url.removesuffix("/v1/ws")
        for origin in (own, "https://app.example"):
            socket = await node.connect(origin=origin)
            await socket.close()


class TestHello:
    async def test_it_must_come_within_its_time(self, sockets: Sockets) -> None:
        node = await sockets.node(hello_s=0.1)
        assert await raw_end(await node.connect()) == 4408

    @pytest.mark.parametrize(
        "first",
        [
            "",
            "[]",
            "7",
            "{",
            '{"type":"hello"}',
            '{"type":"hello","data":{}}',
            '{"type":"hello","data":{"token":"t"}}',
            '{"type":"hello","data":{"token":7,"device_id":"d"}}',
            '{"type":"hello","data":{"token":"","device_id":"d"}}',
            '{"type":"hello","data":{"token":"t","device_id":"d","resume":{"incarnation":"i","seq":-1}}}',
            '{"type":"hello","data":{"token":"t","device_id":"d","resume":{}}}',
            '{"type":"ping"}',
            '{"type":"hello","data":{"token":"t","device_id":"' + "d" * 65 + '"}}',
            "[" * 60_000,
        ],
    )
    async def test_a_bad_one_is_a_bad_frame(self, node: SocketNode, first: str) -> None:
        socket = await node.connect()
        await socket.send_str(first)
        assert await raw_end(socket) == 4400

    async def test_binary_and_bad_utf8_are_bad_frames(self, node: SocketNode) -> None:
        socket = await node.connect()
        await socket.send_bytes(b"{}")
        assert await raw_end(socket) == 4400
        socket = await node.connect()
        await socket.send_frame(b'{"type":"\xff"}', aiohttp.WSMsgType.TEXT)
        assert await raw_end(socket) == 4400

    @pytest.mark.parametrize("size", [64 * 1024 + 1, 300 * 1024])
    async def test_one_too_large(self, node: SocketNode, size: int) -> None:
        socket = await node.connect()
        await socket.send_str(" " * size)
        assert await raw_end(socket) == 4413

    async def test_a_token_nobody_gave_out(self, node: SocketNode) -> None:
        client = Client(await node.connect(), caller())
        await client.say("hello", {"token": "made up", "device_id": client.who.device_id})
        assert await client.end() == 4401

    async def test_too_many_forged_tokens(self, node: SocketNode, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rate_limits, "_is_this_machine", lambda address: False)
        node.limiter.answer_s = 2.0
        for refusal, code in ((Forged(), 4429), (Unauthorized(), 4401)):
            client = Client(await node.connect(), caller())
            await client.say("hello", {"token": node.tokens.issue(refusal), "device_id": client.who.device_id})
            assert await client.end() == code

    async def test_another_device(self, node: SocketNode) -> None:
        client = Client(await node.connect(), caller())
        await client.say("hello", {"token": node.tokens.issue(client.who), "device_id": "another"})
        assert await client.end() == 4401

    async def test_someone_suspended(self, node: SocketNode) -> None:
        client = Client(await node.connect(), caller())
        token = node.tokens.issue(Suspended(client.who))
        await client.say("hello", {"token": token, "device_id": client.who.device_id})
        assert await client.end() == 4403

    async def test_a_failure_of_ours_says_try_again(self, node: SocketNode) -> None:
        client = Client(await node.connect(), caller())
        token = node.tokens.issue(OSError("no route"))
        await client.say("hello", {"token": token, "device_id": client.who.device_id})
        assert await client.end() == 1013
        node.conversation.snapshot_failure = RuntimeError("no snapshot")
        client = await node.hello(caller())
        assert await client.end() == 1013

    async def test_nobody_is_attached_by_a_refused_hello(self, node: SocketNode) -> None:
        client = Client(await node.connect(), caller())
        await client.say("hello", {"token": "made up", "device_id": "d"})
        await client.end()
        assert node.hub.callers() == []
        assert node.conversation.attached_sessions == []
        assert node.conversation.detached_sessions == []


class TestWelcome:
    async def test_it_has_every_field_of_the_contract(self, node: SocketNode) -> None:
        node.conversation.offers = [offer()]
        client = await node.enter(caller())
        assert set(client.welcome) == {
            *("session", "incarnation", "resumed", "seq", "now", "heartbeat_s", "token_expires_at", "limits"),
            *("user", "request", "offers", "call"),
        }
        assert client.welcome["session"] == str(client.who.session_id)
        assert (client.welcome["resumed"], client.welcome["seq"]) == (False, 0)
        assert client.welcome["heartbeat_s"] == 5
        assert client.welcome["limits"]["frame_bytes"] == 64 * 1024
        assert client.welcome["offers"][0]["expires_in_ms"] == 30_000
        assert client.welcome["request"] is None
        assert client.welcome["now"].endswith("Z")
        await until(lambda: node.conversation.attached_sessions == [client.who.session_id])

    async def test_it_is_first_even_when_messages_come_before_it(self, sockets: Sockets, node: SocketNode) -> None:
        who = caller()

        async def send_meanwhile() -> None:
            await sockets.send(who, chat(1), chat(2))

        node.conversation.before_snapshot = send_meanwhile
        client = await node.enter(who)
        assert client.welcome["seq"] == 0
        assert await client.hear_numbers(2) == [1, 2]

    async def test_messages_carry_consecutive_numbers(self, sockets: Sockets, node: SocketNode) -> None:
        client = await node.enter(caller())
        await sockets.send(client.who, *(chat(number) for number in range(50)))
        frames = [await client.hear("chat") for _ in range(50)]
        assert [frame["seq"] for frame in frames] == list(range(1, 51))
        assert [frame["data"]["text"] for frame in frames] == [str(number) for number in range(50)]
        assert node.conversation.passed == ["chat"] * 50

    async def test_unnumbered_messages_carry_none(self, node: SocketNode) -> None:
        client = await node.enter(caller())
        await node.mailboxes.send_unnumbered(client.who.session_id, b'{"type":"progress","data":{"asked":3}}')
        assert await client.hear() == {"type": "progress", "data": {"asked": 3}}


class TestFrames:
    async def test_ping_is_answered_with_the_time(self, node: SocketNode) -> None:
        client = await node.enter(caller())
        await client.say("ping")
        assert (await client.hear("pong"))["data"]["now"].endswith("Z")

    async def test_what_has_a_meaning_reaches_it(self, node: SocketNode) -> None:
        client = await node.enter(caller())
        request, call = str(uuid4()), str(uuid4())
        of_call: Json = {"call": call, "attempt": 1}
        kinds = {"audio": True, "video": False}
        await client.say("ready", {"ready": True})
        await client.say("accept", {"request_id": request, "epoch": 1})
        await client.say("decline", {"request_id": request, "epoch": 1, "reason": "busy"})
        await client.say("description", {"type": "offer", "sdp": "v=0", "negotiation": 1}, **of_call)
        await client.say("candidate", {"candidate": None, "sdpMid": "0", "negotiation": 1}, **of_call)
        await client.say("media", {"state": "connected", "sending": kinds, "receiving": kinds}, **of_call)
        await client.say("chat", {"phrase": "closer", "language": "da"}, **of_call)
        await client.say("control", {"name": "torch", "value": True}, **of_call)
        await client.say("end", {"reason": "done"}, **of_call)
        await client.round_trip()
        assert node.conversation.handled_types == [
            *("ready", "accept", "decline", "description", "candidate", "media", "chat", "control", "end"),
        ]
        assert all(str(frame.call) == call and frame.attempt == 1 for frame in node.conversation.handled[3:])
        assert node.conversation.seen_sessions.count(client.who.session_id) == 10

    @pytest.mark.parametrize(
        ("frame", "field"),
        [
            ({}, "type"),
            ({"type": 7}, "type"),
            ({"type": "nonsense"}, "type"),
            ({"type": "telepathy", "data": {}}, "type"),
            ({"type": "control_state", "data": {}}, "data.name"),
            ({"type": "hello", "data": {"token": "t", "device_id": "d"}}, "type"),
            ({"type": "ready"}, "data"),
            ({"type": "ready", "data": {"ready": "yes"}}, "data.ready"),
            ({"type": "accept", "data": {"request_id": "x", "epoch": 1}}, "data.request_id"),
            ({"type": "accept", "data": {"request_id": str(uuid4()), "epoch": 0}}, "data.epoch"),
            ({"type": "accept", "data": {"request_id": str(uuid4()), "epoch": 2**40}}, "data.epoch"),
            ({"type": "decline", "data": {"request_id": str(uuid4()), "epoch": 1, "reason": "?"}}, "data.reason"),
            ({"type": "description", "data": {"type": "rollback", "sdp": "v", "negotiation": 1}}, "data.type"),
            ({"type": "description", "data": {"type": "offer", "sdp": "", "negotiation": 1}}, "data.sdp"),
            ({"type": "description", "data": {"type": "offer", "sdp": "v" * 61441, "negotiation": 1}}, "data.sdp"),
            ({"type": "candidate", "data": {"candidate": "c" * 4097, "negotiation": 1}}, "data.candidate"),
            ({"type": "candidate", "data": {"candidate": 7, "negotiation": 1}}, "data.candidate"),
            ({"type": "candidate", "data": {"candidate": None}}, "data.negotiation"),
            ({"type": "media", "data": {"state": "fine"}}, "data.state"),
            ({"type": "chat", "data": {"text": "", "language": "da"}}, "data.text"),
            ({"type": "chat", "data": {"text": "x" * 2001, "language": "da"}}, "data.text"),
            ({"type": "chat", "data": {"text": "x", "phrase": "closer", "language": "da"}}, "data"),
            ({"type": "chat", "data": {"language": "da"}}, "data"),
            ({"type": "chat", "data": {"phrase": "hello there", "language": "da"}}, "data.phrase"),
            ({"type": "control", "data": {"name": "zoom", "value": "far"}}, "data.value"),
            ({"type": "control", "data": {"name": "torch", "value": 1}}, "data"),
            ({"type": "control", "data": {"name": "lasers", "value": True}}, "data.name"),
            ({"type": "end", "data": {"reason": "bored"}}, "data.reason"),
            ({"type": "token", "data": {}}, "data.token"),
            ({"type": "ping", "data": []}, "data"),
            ({"type": "ping", "call": "x"}, "call"),
            ({"type": "ping", "attempt": 0}, "attempt"),
            ({"type": "ping", "ack": -1}, "ack"),
        ],
    )
    async def test_bad_ones_are_refused_by_field_and_the_socket_stays(
        self, node: SocketNode, frame: Json, field: str
    ) -> None:
        client = await node.enter(caller())
        await client.socket.send_str(msgspec.json.encode({**frame, "id": "m1"}).decode())
        error = (await client.hear("error"))["data"]
        assert (error["id"], error["code"], error["retryable"]) == ("m1", "bad_message", False)
        assert error["details"] == {"field": field}
        await client.round_trip()
        assert node.conversation.handled == []

    @pytest.mark.parametrize("message_id", ["", "x" * 65, 7])
    async def test_a_bad_id_is_refused_without_one(self, node: SocketNode, message_id: object) -> None:
        client = await node.enter(caller())
        await client.say("ready", {"ready": True}, id=message_id)
        error = (await client.hear("error"))["data"]
        assert error["details"] == {"field": "id"}
        assert "id" not in error

    async def test_unknown_fields_are_ignored(self, node: SocketNode) -> None:
        client = await node.enter(caller())
        await client.say("ready", {"ready": True, "mood": "fine"}, id="m1", weather="rain")
        assert (await client.hear("ack"))["data"] == {"id": "m1"}

    @pytest.mark.parametrize("text", ["[]", "7", "null", "{", "", '{"type":"ping"} x', "[" * 60_000])
    async def test_what_is_no_object_closes(self, node: SocketNode, text: str) -> None:
        client = await node.enter(caller())
        await client.socket.send_str(text)
        assert await client.end() == 4400

    async def test_binary_closes(self, node: SocketNode) -> None:
        client = await node.enter(caller())
        await client.socket.send_bytes(b'{"type":"ping"}')
        assert await client.end() == 4400

    @pytest.mark.parametrize("size", [64 * 1024 + 1, 300 * 1024])
    async def test_a_frame_too_large_closes(self, node: SocketNode, size: int) -> None:
        client = await node.enter(caller())
        await client.socket.send_str('{"type":"ping","data":{}}'.ljust(size))
        assert await client.end() == 4413

    async def test_a_frame_of_just_64_kib_is_fine(self, node: SocketNode) -> None:
        client = await node.enter(caller())
        await client.socket.send_str('{"type":"ping","data":{}}'.ljust(64 * 1024))
        await client.hear("pong")

    async def test_refusals_keep_their_codes(self, node: SocketNode) -> None:
        client = await node.enter(caller())
        node.conversation.failure = FrameError("stale_attempt", "of another attempt", details={"attempt": 2})
        await client.say("end", {"reason": "done"}, id="m1")
        assert (await client.hear("error"))["data"] == {
            "id": "m1",
            "code": "stale_attempt",
            "message": "of another attempt",
            "retryable": False,
            "details": {"attempt": 2},
        }
        await client.say("end", {"reason": "done"})
        assert "id" not in (await client.hear("error"))["data"]

    @pytest.mark.parametrize("failure", [RuntimeError("a mistake of ours"), CarrierUnavailable("away")])
    async def test_failures_of_ours_are_unavailable(self, node: SocketNode, failure: Exception) -> None:
        client = await node.enter(caller())
        node.conversation.failure = failure
        await client.say("end", {"reason": "done"}, id="m1")
        error = (await client.hear("error"))["data"]
        assert (error["code"], error["retryable"]) == ("unavailable", True)
        node.conversation.failure = None
        await client.say("end", {"reason": "done"}, id="m1")
        assert (await client.hear("ack"))["data"] == {"id": "m1"}


OFFER = {"type": "offer", "sdp": "v=0", "negotiation": 1}


class TestIds:
    async def test_a_repeat_is_answered_again_and_not_done_again(self, node: SocketNode) -> None:
        client = await node.enter(caller())
        for _ in range(3):
            await client.say("description", OFFER, id="m1")
            assert (await client.hear("ack"))["data"] == {"id": "m1"}
        assert len(node.conversation.handled) == 1

    async def test_also_on_another_node_after_a_reconnect(self, sockets: Sockets, node: SocketNode) -> None:
        other = await sockets.node()
        client = await node.enter(caller())
        await client.say("description", OFFER, id="m1")
        await client.hear("ack")
        sockets.conversation.failure = FrameError("call_ended", "it is over")
        await client.say("description", OFFER, id="m2")
        await client.hear("error")
        await client.close()
        client = await other.enter(client.who, resume=client.place(0))
        await client.say("description", OFFER, id="m1")
        assert (await client.hear("ack"))["data"] == {"id": "m1"}
        await client.say("description", OFFER, id="m2")
        assert (await client.hear("error"))["data"]["code"] == "call_ended"
        assert len(sockets.conversation.handled) == 2

    async def test_one_cut_off_while_it_is_done_is_done_once(self, sockets: Sockets, node: SocketNode) -> None:
        sockets.conversation.handle_gate = asyncio.Event()
        client = await node.enter(caller())
        await client.say("description", OFFER, id="m1")
        await until(lambda: len(sockets.conversation.handled) == 1)
        again = await node.enter(client.who, resume=client.place(0))
        await again.say("description", OFFER, id="m1")
        sockets.conversation.handle_gate.set()
        assert (await again.hear("ack"))["data"] == {"id": "m1"}
        assert len(sockets.conversation.handled) == 1

    async def test_ids_of_other_sessions_are_their_own(self, node: SocketNode) -> None:
        for _ in range(2):
            client = await node.enter(caller())
            await client.say("ready", {"ready": True}, id="m1")
            await client.hear("ack")
        assert len(node.conversation.handled) == 2

    async def test_frames_about_the_socket_are_answered_too(self, node: SocketNode) -> None:
        client = await node.enter(caller())
        await client.say("ping", id="p1")
        await client.hear("pong")
        assert (await client.hear("ack"))["data"] == {"id": "p1"}


class TestAcknowledging:
    async def test_offers_count_as_delivered_when_their_number_is(self, sockets: Sockets, node: SocketNode) -> None:
        client = await node.enter(caller())
        first, second = offer(1), offer(2)
        for shown in (first, second):
            await sockets.send(client.who, msgspec.json.encode({"type": "offer", "data": {"offer": shown}}))
        await client.hear_numbers(2)
        await client.say("ack", ack=1)
        await client.round_trip()
        assert node.conversation.delivered_offers == [(first.request_id, 1)]
        await client.say("ready", {"ready": True}, ack=2)
        await client.round_trip()
        assert node.conversation.delivered_offers == [(first.request_id, 1), (second.request_id, 2)]

    async def test_offers_in_the_welcome_count_with_its_number(self, node: SocketNode) -> None:
        node.conversation.offers = [shown := offer()]
        client = await node.enter(caller())
        await client.round_trip()
        assert node.conversation.delivered_offers == []
        await client.say("ack", ack=client.welcome["seq"])
        await client.round_trip()
        assert node.conversation.delivered_offers == [(shown.request_id, 1)]

    async def test_numbers_never_given_out_change_nothing(self, sockets: Sockets, node: SocketNode) -> None:
        node.conversation.offers = [offer()]
        client = await node.enter(caller())
        await client.say("ack", ack=7)
        await client.round_trip()
        assert node.conversation.delivered_offers == []

    async def test_acknowledged_messages_leave_the_mailbox(self, sockets: Sockets) -> None:
        node = await sockets.node(heartbeat_s=0.1)
        client = await node.enter(caller())
        await sockets.send(client.who, *(chat(number) for number in range(5)))
        await client.hear_numbers(5)
        await client.say("ack", ack=3)

        async def trimmed() -> bool:
            return len(await node.mailboxes.read(client.who.session_id, 0)) == 2

        await outside.until(trimmed)


class TestResuming:
    async def test_on_another_node_what_was_missed_follows_the_welcome(
        self, sockets: Sockets, node: SocketNode
    ) -> None:
        other = await sockets.node()
        client = await node.enter(caller())
        await sockets.send(client.who, chat(1), chat(2))
        await client.hear_numbers(2)
        await client.close()
        await sockets.send(client.who, chat(3), chat(4))
        again = await other.enter(client.who, resume=client.place(1))
        assert (again.welcome["resumed"], again.welcome["seq"]) == (True, 4)
        assert again.welcome["incarnation"] == client.welcome["incarnation"]
        assert await again.hear_numbers(3) == [2, 3, 4]
        await sockets.send(client.who, chat(5))
        assert await again.hear_numbers(1) == [5]

    async def test_nothing_asked_is_not_resumed(self, sockets: Sockets, node: SocketNode) -> None:
        client = await node.enter(caller())
        await sockets.send(client.who, chat(1))
        await client.close()
        again = await node.enter(client.who)
        assert (again.welcome["resumed"], again.welcome["seq"]) == (False, 1)
        await sockets.send(client.who, chat(2))
        assert await again.hear_numbers(1) == [2]

    @pytest.mark.parametrize("place", [{"incarnation": "of another life", "seq": 0}, {"incarnation": "x", "seq": 99}])
    async def test_what_is_unknown_is_said_to_be(self, sockets: Sockets, node: SocketNode, place: Json) -> None:
        client = await node.enter(caller(), resume=place)
        assert client.welcome["resumed"] is False
        await sockets.send(client.who, chat(1))
        assert await client.hear_numbers(1) == [1]

    async def test_a_replay_longer_than_the_queue_arrives_whole(self, sockets: Sockets) -> None:
        node = await sockets.node(queue_frames=16)
        client = await node.enter(caller())
        await client.close()
        await sockets.send(client.who, *(chat("x" * 1000) for _ in range(300)))
        again = await node.enter(client.who, resume=client.place(0))
        assert await again.hear_numbers(300) == list(range(1, 301))

    async def test_the_mailbox_is_released_and_the_conversation_told(self, sockets: Sockets, node: SocketNode) -> None:
        client = await node.enter(caller())
        await client.close()
        await until(lambda: sockets.conversation.detached_sessions == [client.who.session_id])
        assert node.hub.callers() == []


class TestTakingOver:
    async def test_the_former_socket_on_another_node_is_closed(self, sockets: Sockets, node: SocketNode) -> None:
        other = await sockets.node()
        old = await node.enter(caller())
        new = await other.enter(old.who)
        assert await old.end() == 4409
        await sockets.send(old.who, chat(1))
        assert await new.hear_numbers(1) == [1]
        await until(lambda: node.hub.callers() == [])
        assert sockets.conversation.detached_sessions == []
        await until(lambda: old.who.session_id in sockets.conversation.left_sessions)

    async def test_and_on_the_same_node(self, sockets: Sockets, node: SocketNode) -> None:
        old = await node.enter(caller())
        new = await node.enter(old.who)
        assert await old.end() == 4409
        await sockets.send(old.who, chat(1))
        assert await new.hear_numbers(1) == [1]
        assert sockets.conversation.detached_sessions == []

    async def test_of_many_at_once_one_stays(self, sockets: Sockets, node: SocketNode) -> None:
        other = await sockets.node()
        who = caller()
        clients = await asyncio.gather(*((node, other)[number % 2].hello(who) for number in range(10)))
        ends = [asyncio.create_task(client.end()) for client in clients]
        async with asyncio.timeout(SOON_S):
            while sum(end.done() for end in ends) < 9:
                await asyncio.wait([end for end in ends if not end.done()], return_when=asyncio.FIRST_COMPLETED)
        left = [end for end in ends if not end.done()]
        assert len(left) == 1
        assert {end.result() for end in ends if end.done()} == {4409}
        assert len(node.hub.callers()) + len(other.hub.callers()) == 1
        left[0].cancel()

    async def test_an_owner_that_missed_the_word_finds_out_by_its_heartbeat(self, sockets: Sockets) -> None:
        node = await sockets.node(heartbeat_s=0.2)
        client = await node.enter(caller())
        # Claimed by nobody who listens, and the word of it removed from what is published: only the beat can tell.
        await sockets.client.hset(f"{{s:{client.who.session_id.hex}}}:mailbox", "epoch", str(2**52))
        assert await client.end() == 4409


class TestBounds:
    async def test_a_slow_reader_is_closed_and_can_resume(self, sockets: Sockets) -> None:
        node = await sockets.node(queue_frames=32)
        client = await node.enter(caller())
        await client.round_trip()
        client.stop_reading()
        connection = node.hub._connections[client.who.session_id]
        async with asyncio.timeout(SOON_S):
            while not connection.closing:
                await sockets.send(client.who, chat("x" * 60_000))
        client.read_on()
        seen = 0
        while (frame := await client.hear_or_end()) is not None:
            seen = int(frame["seq"])
        assert client.socket.close_code == 4430
        again = await node.enter(client.who, resume=client.place(seen))
        assert again.welcome["resumed"] is True
        missed = again.welcome["seq"] - seen
        assert await again.hear_numbers(missed) == list(range(seen + 1, seen + missed + 1))

    async def test_a_reader_that_never_reads_is_cut_off(self, sockets: Sockets) -> None:
        node = await sockets.node(queue_frames=32, close_s=0.2)
        client = await node.enter(caller())
        client.stop_reading()
        async with asyncio.timeout(SOON_S):
            while node.hub.callers():
                await sockets.send(client.who, chat("x" * 60_000))
        await until(lambda: sockets.conversation.detached_sessions == [client.who.session_id])

    async def test_too_many_frames_are_refused_then_closed(self, sockets: Sockets) -> None:
        node = await sockets.node(frames_per_s=1, frames_burst=10)
        client = await node.enter(caller())
        for number in range(10):
            await client.say("ready", {"ready": True}, id=f"m{number}")
            await client.hear("ack")
        await client.say("ready", {"ready": True}, id="m10")
        error = (await client.hear("error"))["data"]
        assert (error["id"], error["code"], error["retryable"]) == ("m10", "too_fast", True)
        assert len(node.conversation.handled) == 10
        for _ in range(12):
            await client.say("ready", {"ready": True})
        assert await client.end() == 4429

    async def test_refused_frames_still_acknowledge(self, sockets: Sockets) -> None:
        node = await sockets.node(frames_per_s=1, frames_burst=1)
        node.conversation.offers = [shown := offer()]
        client = await node.enter(caller())
        await client.say("ping")
        await client.say("ready", {"ready": True}, ack=0)
        await client.hear("pong")
        await client.hear("error")
        assert node.conversation.delivered_offers == [(shown.request_id, 1)]


class TestHeartbeat:
    async def test_a_silent_client_that_answers_pings_stays(self, sockets: Sockets) -> None:
        node = await sockets.node(heartbeat_s=0.1)
        client = await node.enter(caller())
        reading = asyncio.create_task(client.end())
        await until(lambda: len(sockets.conversation.seen_sessions) >= 8)
        assert not reading.done()
        assert len(node.hub.callers()) == 1
        reading.cancel()

    async def test_a_dead_one_is_detached(self, sockets: Sockets) -> None:
        node = await sockets.node(heartbeat_s=0.1, close_s=0.1)
        client = await node.enter(caller(), autoping=False)
        client.stop_reading()
        await until(lambda: sockets.conversation.detached_sessions == [client.who.session_id])

    async def test_a_gap_nobody_told_of_is_repaired(self, sockets: Sockets) -> None:
        node = await sockets.node(heartbeat_s=0.2)
        client = await node.enter(caller())
        await sockets.leave_unpublished(client.who, chat(1), chat(2))
        assert await client.hear_numbers(2) == [1, 2]

    async def test_a_gap_that_cannot_be_repaired_begins_anew(self, sockets: Sockets) -> None:
        node = await sockets.node(heartbeat_s=0.2)
        client = await node.enter(caller())
        await sockets.leave_unpublished(client.who, chat(1), chat(2), keep=1)
        welcome = (await client.hear("welcome"))["data"]
        assert (welcome["resumed"], welcome["seq"]) == (False, 0)
        assert welcome["incarnation"] != client.welcome["incarnation"]
        await sockets.send(client.who, chat(3))
        assert await client.hear_numbers(1) == [1]


# Tokens are looked at all the time, and a busy machine is not taken for silence.
OFTEN: dict[str, Any] = {"heartbeat_s": 0.1, "silent_beats": 100}


class TestTokens:
    async def test_an_expired_one_closes(self, sockets: Sockets) -> None:
        node = await sockets.node(**OFTEN)
        client = await node.enter(caller(token_life_s=0.3))
        assert await client.end() == 4401

    async def test_a_fresh_one_keeps_it_open(self, sockets: Sockets) -> None:
        node = await sockets.node(**OFTEN)
        client = await node.enter(caller(token_life_s=2))
        await client.say("token", {"token": sockets.tokens.issue(later(client.who, 900))}, id="t1")
        assert (await client.hear("ack"))["data"] == {"id": "t1"}
        without = await node.enter(caller(token_life_s=2))
        assert await without.end() == 4401  # theirs, which was as long, is over
        await client.round_trip()

    async def test_one_of_another_session_or_none_of_ours_closes(self, node: SocketNode) -> None:
        client = await node.enter(caller())
        await client.say("token", {"token": node.tokens.issue(caller())})
        assert await client.end() == 4401
        client = await node.enter(caller())
        await client.say("token", {"token": "made up"})
        assert await client.end() == 4401
        client = await node.enter(caller())
        await client.say("token", {"token": node.tokens.issue(Suspended(client.who))})
        assert await client.end() == 4403

    async def test_a_session_that_ended_elsewhere_closes(self, sockets: Sockets, node: SocketNode) -> None:
        other = await sockets.node()
        client = await other.enter(caller())
        await node.mailboxes.send_unnumbered(client.who.session_id, SESSION_ENDED)
        assert await client.end() == 4401

    async def test_one_that_was_taken_for_silent_comes_back_and_says_ready_anew(
        self, sockets: Sockets, node: SocketNode
    ) -> None:
        client = await node.enter(caller())
        await (await sockets.node()).mailboxes.send_unnumbered(client.who.session_id, SESSION_SILENT)
        assert await client.end() == 1001
        again = await node.enter(client.who, resume=client.place(0))
        assert again.welcome["resumed"]

    async def test_not_during_a_call_nor_in_the_minute_after(self, sockets: Sockets) -> None:
        node = await sockets.node(**OFTEN, after_call_s=0.5)
        client = await node.enter(caller(token_life_s=0.3))
        await sockets.send(client.who, b'{"type":"call","data":{"call":{"state":"connected"}}}')
        await client.hear("call")
        await asyncio.sleep(0.6)
        await client.round_trip()
        await sockets.send(client.who, b'{"type":"call","data":{"call":{"state":"ended"}}}')
        await client.hear("call")
        await asyncio.sleep(0.2)
        await client.round_trip()
        assert await client.end() == 4401


RING = b'{"type":"offer","data":{"offer":{"request_id":"01900000-0000-7000-8000-0000000000b1","epoch":1}}}'
RING_OVER = b'{"type":"offer_withdrawn","data":{"request_id":"01900000-0000-7000-8000-0000000000b1","epoch":1}}'


class TestDrain:
    async def test_everyone_is_told_and_closed_and_resumes_elsewhere(self, sockets: Sockets, node: SocketNode) -> None:
        other = await sockets.node()
        clients = [await node.enter(caller()) for _ in range(20)]
        reading = [asyncio.create_task(_drained(client)) for client in clients]
        async with asyncio.timeout(2):
            await node.hub.drain()
        assert all(resume_in_ms > 0 for resume_in_ms in await asyncio.gather(*reading))
        assert sorted(sockets.conversation.detached_sessions) == sorted(client.who.session_id for client in clients)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await node.connect()
        assert refusal.value.status == 503
        await sockets.send(clients[0].who, chat(1))
        again = await other.enter(clients[0].who, resume=clients[0].place(0))
        assert again.welcome["resumed"] is True
        assert await again.hear_numbers(1) == [1]

    async def test_who_has_no_time_is_sent_off_first_and_soon(
        self, sockets: Sockets, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Volunteers who only wait come back later, and the more of them there are the later."""
        node = await sockets.node(resumes_per_s=2)
        waiting = [await node.enter(caller()) for _ in range(30)]
        in_call, asking = await node.enter(caller()), await node.enter(replace(caller(), role="requester"))
        await sockets.send(in_call.who, b'{"type":"call","data":{"call":{"state":"connected"}}}')
        await in_call.hear("call")
        rung, left_alone = waiting[:2]
        for one in (rung, left_alone):
            await sockets.send(one.who, RING)
            await one.hear("offer")
        await sockets.send(left_alone.who, RING_OVER)
        await left_alone.hear("offer_withdrawn")
        reading = [asyncio.create_task(_drained(client)) for client in (*waiting, in_call, asking)]
        order, send_off = list[UUID](), node.hub._send_off

        def noted(connection: Connection, together: int) -> None:
            order.append(connection.session_id)
            send_off(connection, together)

        monkeypatch.setattr(node.hub, "_send_off", noted)
        await node.hub.drain()
        ringing, *late, second, first = await asyncio.gather(*reading)
        assert {one.who.session_id for one in (rung, in_call, asking)} == set(order[:3])
        assert max(ringing, first, second) < 1_500 < max(late) < 16_000

    async def test_one_that_does_not_read_does_not_hold_it_up(self, sockets: Sockets) -> None:
        node = await sockets.node(close_s=0.2, drain_s=1.0)
        client = await node.enter(caller())
        client.stop_reading()
        async with asyncio.timeout(2):
            await node.hub.drain()


async def _drained(client: Client) -> int:
    resume_in_ms = int((await client.hear("drain"))["data"]["resume_in_ms"])
    assert await client.end() == 1012
    return resume_in_ms


class TestWipe:
    async def test_a_reset_gives_everyone_a_new_incarnation_within_a_second(
        self, sockets: Sockets, node: SocketNode
    ) -> None:
        clients = [await node.enter(caller()) for _ in range(20)]
        await sockets.send(clients[0].who, chat(1))
        await clients[0].hear_numbers(1)
        await sockets.client.flushall()
        async with asyncio.timeout(1):
            await node.hub.reset()
        for client in clients:
            welcome = (await client.hear("welcome"))["data"]
            assert (welcome["resumed"], welcome["seq"]) == (False, 0)
            assert welcome["incarnation"] != client.welcome["incarnation"]
            await sockets.send(client.who, chat("after"))
            assert await client.hear_numbers(1) == [1]

    async def test_the_heartbeat_finds_one_nobody_told_of(self, sockets: Sockets) -> None:
        node = await sockets.node(heartbeat_s=0.2)
        client = await node.enter(caller())
        await sockets.send(client.who, *(chat(number) for number in range(3)))
        await client.hear_numbers(3)
        await sockets.client.flushall()
        assert (await client.hear("welcome"))["data"]["resumed"] is False
        await sockets.send(client.who, chat("after"))
        assert await client.hear_numbers(1) == [1]

    async def test_a_resume_after_one_is_refused_and_not_silent(self, sockets: Sockets, node: SocketNode) -> None:
        client = await node.enter(caller())
        await sockets.send(client.who, chat(1))
        await client.close()
        await until(lambda: node.hub.callers() == [])
        await sockets.client.flushall()
        again = await node.enter(client.who, resume=client.place(1))
        assert (again.welcome["resumed"], again.welcome["seq"]) == (False, 0)

    async def test_one_while_another_node_takes_over(self, sockets: Sockets, node: SocketNode) -> None:
        other = await sockets.node()
        old = await node.enter(caller())
        await sockets.client.flushall()
        new = await other.enter(old.who, resume=old.place(0))
        await asyncio.gather(node.hub.reset(), other.hub.reset())
        assert await old.end() == 4409
        await new.hear("welcome")
        await sockets.send(new.who, chat(1))
        assert await new.hear_numbers(1) == [1]


class TestOutage:
    async def test_sockets_stay_open_and_frames_that_need_it_are_unavailable(
        self, sockets: Sockets, engines: Engines
    ) -> None:
        node = await sockets.node(heartbeat_s=1.0)
        client = await node.enter(caller())
        freeze(engines.valkey)
        try:
            await client.say("description", OFFER, id="m1")
            error = (await client.hear("error"))["data"]
            assert (error["id"], error["code"], error["retryable"]) == ("m1", "unavailable", True)
            await client.say("accept", {"request_id": str(uuid4()), "epoch": 1}, id="m2")
            assert (await client.hear("ack"))["data"] == {"id": "m2"}
            assert node.conversation.handled_types == ["accept"]
            assert await (await node.hello(caller())).end() == 1013
        finally:
            thaw(engines.valkey)
        await client.round_trip()
        await sockets.send(client.who, chat(1))
        assert await client.hear_numbers(1) == [1]
