"""Every frame of the socket with everything wrong about it: `bad_message` or a close, and nothing else changes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio

from tests.support.engines import Engines
from tests.support.frame_cases import BAD_IDS, ENVELOPE, FRAMES, HELLO, OF_CALL
from tests.support.http_cases import LONG, Wrong, fields_of, spoiled
from tests.support.outside import MARK, Outside, RawSocket, Someone
from tests.support.scenes import MEDIA, Scene, someone_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS = {"EYELINE_CONNECTING_S": "3600", "EYELINE_GRACE_S": "3600"}
TESTS_A_SOCKET = 50
"""Each says a few frames; a burst of 200 is allowed."""
RELAYED = ("chat", "description", "candidate", "control", "control_state")


ODD = {
    "half a pair in a text": r'{"type":"chat","id":"m1","data":{"text":"Quokka\ud83d","language":"en"}}',
    "half a pair in an unknown field": r'{"type":"ping","id":"m1","x":"\ud83d"}',
    "half a pair in a name": r'{"type":"ping","id":"m1","\udc00":1}',
    "a huge whole number": '{"type":"ping","id":"m1","ack":' + "9" * 400 + "}",
    "a huge number": '{"type":"control","id":"m1","data":{"name":"zoom","value":1e400}}',
    "a fraction": '{"type":"ping","id":"m1","attempt":1.0}',
    "another type twice": '{"type":"ping","type":"ready","id":"m1","data":{"ready":true}}',
    "a bad value twice": '{"type":"ready","id":"m1","data":{"ready":true,"ready":"yes"}}',
    "null for all": '{"type":"ping","id":"m1","data":null}',
}
NONE = {
    "nothing": "",
    "blank": " ",
    "an array": "[]",
    "an array of a frame": '[{"type":"ping"}]',
    "a number": "7",
    "null": "null",
    "a text": '"ping"',
    "half": '{"type":"ping"',
    "two": '{"type":"ping"}{"type":"ping"}',
    "single quotes": "{'type':'ping'}",
    "NaN": '{"type":"ping","id":"m1","x":NaN}',
    "NaN in a known field": '{"type":"control","id":"m1","data":{"name":"zoom","value":NaN}}',
    "infinity": '{"type":"ping","id":"m1","x":-Infinity}',
    "half a pair and NaN": r'{"type":"ping","id":"m1","x":"\ud83d","y":NaN}',
    "a raw NUL": '{"type":"ping","id":"m1\x00"}',
    "a byte order mark": '\ufeff{"type":"ping"}',
    "too deep": '{"type":"ping","id":"m1","x":' + "[" * 30_000 + "]" * 30_000 + "}",
    "too deep and cut": "[" * 60_000,
}


@dataclass
class Line:
    """A volunteer in a call, on a socket of the test's own; the requester hears what is passed on."""

    outside: Outside
    socket: RawSocket
    peer: RawSocket
    of_call: dict[str, Any]
    id: str
    """Of what is said in this test."""

    def frame(self, type_: str) -> dict[str, Any]:
        """A good one."""
        case = FRAMES[type_]
        data = {} if case.data is None else {"data": dict(case.data)}
        return {"type": type_, "id": self.id, **data, **(self.of_call if case.of_call else {})}

    async def passes_nothing_on(self) -> None:
        """Whatever was said before this did not reach the other side; and the socket is still served."""
        text = f"{MARK} was here"
        await self.socket.say("chat", {"text": text, "language": "en"}, **self.of_call)
        heard = await self.peer.hear(*RELAYED)
        assert heard["data"] == {"text": text, "language": "en"}, heard


@dataclass
class Stage:
    """A living call. Its volunteer's socket is opened anew when it was closed, or has said much in a short time."""

    outside: Outside
    peer: RawSocket
    helper: Someone
    of_call: dict[str, Any]
    socket: RawSocket | None = None
    tests: int = 0

    async def open(self) -> RawSocket:
        """Taken over from the one before, so that nobody goes away in between."""
        before, self.tests = self.socket, self.tests + 1
        if before is not None and not before.closed and self.tests < TESTS_A_SOCKET:
            return before
        self.tests, self.socket = 0, await RawSocket.open(self.outside)
        await self.socket.say("hello", {"token": self.helper.token, "device_id": self.helper.device_id})
        await self.socket.hear("welcome")
        if before is not None:
            await before.close()
        return self.socket


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(engines: Engines) -> AsyncIterator[Stage]:
    engines.restore()
    database_url, valkey_url = await engines.new_database(), await engines.empty_valkey()
    async with Outside.of(database_url, valkey_url, **SETTINGS) as outside, Scene.of(outside) as scene:
        pair = await scene.pair()
        for phone in pair.both:
            await phone.send("media", {**MEDIA, "state": "disconnected"}, call=pair.call)
            phone.cut(come_back=False)
        async with RawSocket.of(outside, someone_of(pair.requester)) as peer:
            stage = Stage(outside, peer, someone_of(pair.volunteer), {"call": pair.call["id"], "attempt": 1})
            yield stage
            if stage.socket is not None:
                await stage.socket.close()
    await engines.drop_database(database_url)


@pytest_asyncio.fixture(loop_scope="module")
async def line(stage: Stage) -> Line:
    return Line(stage.outside, await stage.open(), stage.peer, stage.of_call, uuid4().hex)


def every_wrong() -> list[Any]:
    found = []
    for type_, case in FRAMES.items():
        for wrong in (*case.wrong, *(OF_CALL if case.of_call else ENVELOPE)):
            found.append(pytest.param(type_, wrong, id=f"{type_} {wrong.label}"))
    return found


class TestFrames:
    async def test_every_published_frame_has_a_case_and_every_field_a_wrong_value(self, stage: Stage) -> None:
        published = (await stage.outside.call("GET", "/asyncapi.json")).body
        schemas = published["components"]["schemas"]
        types = {}
        for reference in published["operations"]["app.receive"]["messages"]:
            message = published["components"]["messages"][reference["$ref"].rpartition("/")[2]]
            types[message["name"]] = schemas[message["payload"]["$ref"].rpartition("/")[2]]
        assert set(types) == {*FRAMES, "hello"}
        for type_, schema in types.items():
            wrong = HELLO if type_ == "hello" else [*FRAMES[type_].wrong, *ENVELOPE]
            places = {one.place for one in wrong} | {"type", "id"}
            if type_ == "hello":
                places |= {one.place for one in ENVELOPE}
            missing = {one.place for one in wrong if repr(one.value) == "missing"} | {"type"}
            for place, is_required in fields_of(schema, schemas):
                assert place in places, f"{type_}: no wrong value of {place}"
                assert not is_required or place in missing, f"{type_}: {place} is never missing"

    @pytest.mark.parametrize(("type_", "wrong"), every_wrong())
    async def test_a_wrong_value_is_named_and_the_socket_stays(self, line: Line, type_: str, wrong: Wrong) -> None:
        async with line.outside.nothing_changes():
            await line.socket.text(json.dumps(spoiled(line.frame(type_), wrong)))
            error = await line.socket.refusal(line.id)
            await line.passes_nothing_on()
        assert (error["code"], error["retryable"]) == ("bad_message", False), error
        field = error["details"]["field"]
        assert field == wrong.names or (wrong.names == "data" and field == "data.value"), error
        assert error["message"]
        assert LONG[:100] not in json.dumps(error)

    @pytest.mark.parametrize("type_", [name for name, case in FRAMES.items() if case.data and name != "stats"])
    async def test_nothing_at_all(self, line: Line, type_: str) -> None:
        async with line.outside.nothing_changes():
            bare: list[dict[str, Any]] = [{}, {"data": {}}]
            for more in bare:
                await line.socket.text(json.dumps({"type": type_, "id": line.id, **line.of_call, **more}))
                assert (await line.socket.refusal(line.id))["code"] == "bad_message"
            await line.passes_nothing_on()

    @pytest.mark.parametrize("type_", [None, 7, True, [], {}, "", "nonsense", "Ready", "ready ", "ready\x00", LONG])
    async def test_unknown_types(self, line: Line, type_: Any) -> None:
        await self.is_unknown(line, {"type": type_, "data": {"ready": True}})

    @pytest.mark.parametrize("type_", ["welcome", "offer", "call", "request", "error", "pong", "drain", "peer"])
    async def test_what_only_the_server_says(self, line: Line, type_: str) -> None:
        await self.is_unknown(line, {"type": type_, "data": {}, **line.of_call})

    @pytest.mark.parametrize("type_", ["telepathy", "hello"])
    async def test_what_has_no_place_here(self, line: Line, type_: str) -> None:
        await self.is_unknown(line, {"type": type_, "data": {"token": "Quokka", "device_id": "Quokka"}})

    async def test_no_type(self, line: Line) -> None:
        await self.is_unknown(line, {"data": {"ready": True}})
        await self.is_unknown(line, {})

    async def is_unknown(self, line: Line, frame: dict[str, Any]) -> None:
        async with line.outside.nothing_changes():
            await line.socket.text(json.dumps({"id": line.id, **frame}))
            error = await line.socket.refusal(line.id)
            await line.passes_nothing_on()
        assert error["code"] == "bad_message", error
        assert error["details"]["field"] == "type"

    @pytest.mark.parametrize("message_id", BAD_IDS, ids=lambda value: repr(value)[:20])
    async def test_an_id_that_is_none_is_not_echoed(self, line: Line, message_id: Any) -> None:
        async with line.outside.nothing_changes():
            await line.socket.text(json.dumps({**line.frame("chat"), "id": message_id}))
            error = (await line.socket.hear("error"))["data"]
            await line.passes_nothing_on()
        assert (error["code"], error["details"]["field"]) == ("bad_message", "id")
        assert "id" not in error

    @pytest.mark.parametrize("type_", ["ping", "ack", "chat"])
    async def test_fields_nobody_knows_are_ignored(self, line: Line, type_: str) -> None:
        more: dict[str, Any] = {"unknown": LONG, "": None, "huge": 10**300, "é\x00": "\x00", "deep": [[[[]]]], "seq": 7}
        frame = {**more, **line.frame(type_), **more}
        if "data" in frame:
            frame["data"] = {**more, **frame["data"], **more}
        await line.socket.text(json.dumps(frame))
        assert (await line.socket.answer(line.id))["type"] == "ack"
        if type_ == "chat":
            assert (await line.peer.hear(*RELAYED))["data"] == FRAMES["chat"].data
        await line.passes_nothing_on()


class TestTexts:
    """What JSON allows and nobody means, and what it does not allow."""

    @pytest.mark.parametrize("odd", list(ODD))
    async def test_odd_objects_are_bad_messages(self, line: Line, odd: str) -> None:
        async with line.outside.nothing_changes():
            await line.socket.text(ODD[odd].replace("m1", line.id))
            error = await line.socket.refusal(line.id)
            await line.passes_nothing_on()
        assert error["code"] == "bad_message"

    @pytest.mark.parametrize("message_id", ["\x00", "é" * 64, "'; DROP TABLE users; --", "{}", "a\nb"])
    async def test_any_text_is_an_id(self, line: Line, message_id: str) -> None:
        await line.socket.text(json.dumps({**line.frame("chat"), "id": message_id}))
        assert (await line.socket.answer(message_id))["type"] == "ack"
        assert (await line.peer.hear("chat"))["id"] == message_id

    @pytest.mark.parametrize("text", ["\x00", "\\", '"', "\u2028", "<script>", "😀" * 1000, "\r\n", "%s%n"])
    async def test_any_text_is_passed_on_as_it_is(self, line: Line, text: str) -> None:
        await line.socket.say("chat", {"text": text, "language": "en"}, **line.of_call)
        assert (await line.peer.hear(*RELAYED))["data"]["text"] == text

    @pytest.mark.parametrize("name", list(NONE))
    async def test_what_is_no_object_closes(self, line: Line, name: str) -> None:
        async with line.outside.nothing_changes():
            await line.socket.text(NONE[name])
            assert await line.socket.end() == 4400

    @pytest.mark.parametrize(
        "octets", [b'{"type":"ping","x":"\xff"}', b'{"type":"ping","x":"\xed\xa0\x80"}', b"\xff\xfe", b'{"\xc0":1}']
    )
    async def test_what_is_no_utf8_closes(self, line: Line, octets: bytes) -> None:
        await line.socket.octets(octets, text=True)
        assert await line.socket.end() in (4400, 1007)

    @pytest.mark.parametrize("octets", [b"", b'{"type":"ping"}', b"\x00" * 1000])
    async def test_binary_closes(self, line: Line, octets: bytes) -> None:
        await line.socket.octets(octets, text=False)
        assert await line.socket.end() == 4400

    @pytest.mark.parametrize("size", [64 * 1024 + 1, 200_000, 2_000_000])
    async def test_over_64_kib_closes(self, line: Line, size: int) -> None:
        async with line.outside.nothing_changes():
            await line.socket.text(json.dumps(line.frame("chat")).ljust(size))
            assert await line.socket.end() == 4413

    async def test_64_kib_are_fine(self, line: Line) -> None:
        await line.socket.text(json.dumps(line.frame("chat")).ljust(64 * 1024))
        assert (await line.socket.answer(line.id))["type"] == "ack"
        assert (await line.peer.hear("chat"))["id"] == line.id


class TestHello:
    async def closes(self, outside: Outside, text: str, code: int) -> None:
        socket = await RawSocket.open(outside)
        await socket.text(text)
        assert await socket.end() == code
        await socket.close()

    @pytest.mark.parametrize("wrong", HELLO, ids=lambda wrong: wrong.label)
    async def test_a_bad_one_closes(self, stage: Stage, wrong: Wrong) -> None:
        data = {"token": stage.helper.token, "device_id": stage.helper.device_id}
        resume = {"resume": {"incarnation": "x", "seq": 0}}
        frame = {"type": "hello", "data": data | resume}
        async with stage.outside.nothing_changes():
            await self.closes(stage.outside, json.dumps(spoiled(frame, wrong)), 4400)

    @pytest.mark.parametrize("first", ["", "[]", "7", "{}", '{"type":"ping"}', '{"type":"hello"}', "{" * 60_000])
    async def test_what_is_none_closes(self, stage: Stage, first: str) -> None:
        async with stage.outside.nothing_changes():
            await self.closes(stage.outside, first, 4400)

    async def test_binary_and_too_large_ones(self, stage: Stage) -> None:
        socket = await RawSocket.open(stage.outside)
        await socket.octets(b"{}", text=False)
        assert await socket.end() == 4400
        await self.closes(stage.outside, " " * (64 * 1024 + 1), 4413)
        await self.closes(stage.outside, " " * 1_000_000, 4413)

    async def test_tokens_and_devices_that_do_not_fit(self, stage: Stage) -> None:
        helper, outside = stage.helper, stage.outside
        gone = await outside.sign_in("gone")
        await outside.call("DELETE", "/v1/sessions/current", token=gone.token)
        async with outside.nothing_changes():
            for token, device_id in (
                ("Quokka", helper.device_id),
                (helper.token[:-2], helper.device_id),
                (helper.refresh_token, helper.device_id),
                (helper.token, f"{MARK}-another"),
                (gone.token, gone.device_id),
            ):
                hello = {"type": "hello", "data": {"token": token, "device_id": device_id}}
                await self.closes(outside, json.dumps(hello), 4401)

    async def test_someone_suspended(self, stage: Stage) -> None:
        suspended = await stage.outside.sign_in("suspended")
        await stage.outside.database.execute("UPDATE users SET status = 'suspended' WHERE id = $1", suspended.user_id)
        hello = {"type": "hello", "data": {"token": suspended.token, "device_id": suspended.device_id}}
        await self.closes(stage.outside, json.dumps(hello), 4403)

    async def test_silence(self, stage: Stage) -> None:
        socket = await RawSocket.open(stage.outside)
        assert await socket.end() == 4408
        await socket.close()

    async def test_what_is_no_socket_of_ours(self, stage: Stage) -> None:
        (await stage.outside.call("GET", "/v1/ws")).refuses(426, "invalid_body")
        for options in ({"protocols": ()}, {"protocols": ("other.v1",)}, {"origin": "https://evil.example"}):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
                await RawSocket.open(stage.outside, **options)
            assert refusal.value.status == (403 if "origin" in options else 400)

    async def test_too_many_frames(self, stage: Stage) -> None:
        """First refused one by one, then closed."""
        someone = await stage.outside.sign_in("hasty")
        async with RawSocket.of(stage.outside, someone) as socket:
            limits = socket.welcome["limits"]
            for number in range(3 * limits["frames_burst"]):
                await socket.say("ack", id=f"m{number}")
            refusal = (await socket.hear("error"))["data"]
            assert (refusal["code"], refusal["retryable"]) == ("too_fast", True)
            assert refusal["id"].startswith("m")
            assert await socket.end() == 4429
