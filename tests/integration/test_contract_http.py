"""Every call of the HTTP API with everything wrong about its body: the documented refusal, and nothing else changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from tests.support.engines import Engines
from tests.support.http_cases import CASES, LONG, Wrong, fields_of, spoiled
from tests.support.http_world import World, call_between, living_world
from tests.support.scenes import someone_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

BODY_CALLS = [name for name, case in CASES.items() if case.body is not None]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(engines: Engines) -> AsyncIterator[World]:
    async with living_world(engines) as world:
        yield world


def every_wrong() -> Iterator[Any]:
    for name, case in CASES.items():
        for wrong in case.wrong:
            yield pytest.param(name, wrong, id=f"{name} {wrong.label}")


class TestTheTable:
    async def test_every_route_has_a_case_and_every_field_a_wrong_value(self, world: World) -> None:
        published = (await world.outside.call("GET", "/openapi.json")).body
        operations = {
            f"{method.upper()} {path}": operation
            for path, methods in published["paths"].items()
            for method, operation in methods.items()
        }
        assert set(CASES) == set(operations)
        for name, operation in operations.items():
            places = {wrong.place for wrong in CASES[name].wrong}
            missing = {wrong.place for wrong in CASES[name].wrong if repr(wrong.value) == "missing"}
            schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            assert (schema is not None) == (CASES[name].body is not None), name
            for place, is_required in fields_of(schema or {}, published["components"]["schemas"]):
                assert place in places, f"{name}: no wrong value of {place}"
                assert not is_required or place in missing, f"{name}: {place} is never missing"

    @pytest.mark.parametrize(
        "call",
        [
            *("PUT /v1/calls/{call}/feedback", "POST /v1/calls/{call}/report"),
            "GET /v1/me/data",
            *("DELETE /v1/me", "GET /v1/stats", "GET /v1/admin/users", "GET /v1/admin/requests"),
            *("GET /v2/me", "GET /v1/", "GET /v1/me/", "GET /v1/groups/", "GET /v1/invites"),
        ],
    )
    async def test_what_later_versions_bring_is_not_there(self, world: World, call: str) -> None:
        method, _, path = call.format(**world.things).partition(" ")
        async with world.outside.nothing_changes():
            reply = await world.outside.call(method, path, token=world.people["helper"].token)
        reply.refuses(405 if call == "DELETE /v1/me" else 404, "not_found")


class TestBodies:
    @pytest.mark.parametrize(("name", "wrong"), list(every_wrong()))
    async def test_a_wrong_value_is_named(self, world: World, name: str, wrong: Wrong) -> None:
        body = CASES[name].body
        assert body is not None
        async with world.outside.nothing_changes():
            reply = await world.call(name, body=spoiled(body, wrong))
        error = reply.refuses(400, "invalid_body", wrong.names)
        assert error["retryable"] is False
        assert LONG[:100] not in reply.raw.decode()

    @pytest.mark.parametrize("name", BODY_CALLS)
    async def test_what_is_no_json_object(self, world: World, name: str) -> None:
        deep = b'{"more": ' + b"[" * 20_000 + b"]" * 20_000 + b"}"
        bodies = [
            *(b"[]", b"7", b"null", b'"text"', b"true", b"{", b"{'a': 1}", b'{"a": NaN}', b'{"a": Infinity}'),
            *(b"\xff\xfe", b'{"a": "\xff"}', b'{"a": "\xed\xa0\x80"}', b'{"a": "\\ud800"}', b"\xef\xbb\xbf{}", b" "),
            *(b'{"a": "\x00"}', b"\x00", b"[" * 60_000, deep, b'{"a": 01}', b'{"a": 1,}', b"<xml/>", b"a=1&b=2"),
        ]
        async with world.outside.nothing_changes():
            for data in bodies:
                (await world.call(name, data=data)).refuses(400, "invalid_body", "")

    @pytest.mark.parametrize("name", BODY_CALLS)
    async def test_nothing_at_all(self, world: World, name: str) -> None:
        required = [wrong.place for wrong in CASES[name].wrong if repr(wrong.value) == "missing"]
        if not required:
            return
        async with world.outside.nothing_changes():
            for data in (b"", b"{}"):
                (await world.call(name, data=data)).refuses(400, "invalid_body", required[0])

    @pytest.mark.parametrize("name", list(CASES))
    async def test_over_64_kib(self, world: World, name: str) -> None:
        if CASES[name].who == "anybody" and name.startswith("GET"):
            return
        good = json.dumps(CASES[name].body or {}).encode()
        async with world.outside.nothing_changes():
            for size in (64 * 1024 + 1, 1024 * 1024):
                (await world.call(name, data=good.ljust(size))).refuses(413, "too_large")

    @pytest.mark.parametrize("name", [name for name in BODY_CALLS if CASES[name].wrong])
    async def test_fields_nobody_knows_are_ignored(self, world: World, name: str) -> None:
        """They neither hide nor add a refusal; those of good bodies: below."""
        wrong = next(wrong for wrong in CASES[name].wrong if repr(wrong.value) != "missing")
        body = spoiled(CASES[name].body or {}, wrong)
        more: dict[str, Any] = {
            "unknown": LONG,
            "": None,
            "__class__": {"deep": [[[]]]},
            "huge": 10**300,
            "é\x00": "\x00",
        }
        async with world.outside.nothing_changes():
            reply = await world.call(name, body={**more, **body, **more})
        reply.refuses(400, "invalid_body", wrong.names)

    async def test_the_last_of_two_equal_names_counts(self, world: World) -> None:
        async with world.outside.nothing_changes():
            reply = await world.call("POST /v1/calls/{id}/end", data=b'{"reason": "done", "reason": "bored"}')
        reply.refuses(400, "invalid_body", "reason")


class TestAnswers:
    @pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.no_store])
    async def test_tokens_and_ice_servers_are_kept_by_nobody(self, world: World, name: str) -> None:
        """On a call and a request of this test's own."""
        outside = world.outside
        async with AsyncExitStack() as stack:
            if "{id}/accept" in name:
                language = outside.language()
                helper = await stack.enter_async_context(outside.phone("kept", "volunteer", language))
                asker = await stack.enter_async_context(outside.phone("keeps", "requester", language))
                await helper.ready()
                await asker.request_help()
                at, someone = (await helper.next_offer())["request_id"], someone_of(helper)
            elif "practice" in name:
                phone = await stack.enter_async_context(outside.phone("practises", "requester", "en"))
                at, someone = "", someone_of(phone)
            elif "{id}" in name:
                _, phone, at = await call_between(outside, stack, "no store")
                someone = someone_of(phone)
            else:
                at, someone = "", await outside.sign_in("kept")
            method, _, template = name.partition(" ")
            body = CASES[name].body
            if name == "POST /v1/sessions/refresh":
                body = {"refresh_token": someone.refresh_token}
            reply = await outside.call(method, template.replace("{id}", at), body, token=someone.token)
            assert reply.status in (200, 201), reply.raw
            assert reply.headers["Cache-Control"] == "no-store"
            if "practice" in name:
                await phone.end_call(reply.body["call"])
            if "refresh_token" in reply.body:
                outside.secrets |= {reply.body["refresh_token"], reply.body["access_token"]}
        await outside.quiet()

    @pytest.mark.parametrize("name", BODY_CALLS)
    async def test_more_fields_than_we_know_change_nothing_about_the_answer(self, world: World, name: str) -> None:
        """Of bodies that say what is so already, so that only the unknown could make a difference."""
        more = {"unknown": [LONG], "é\x00": "\x00"}
        bodies: dict[str, dict[str, Any]] = {
            "PATCH /v1/me": {"role": "requester"},
            "PUT /v1/me/devices/{device_id}": {"platform": "web"},
            "POST /v1/calls/{id}/rejoin": {"attempt": 2**31 - 1},
            "POST /v1/requests/{id}/decline": {"epoch": 2**31 - 1},
            "POST /v1/requests/{id}/accept": {"epoch": 2**31 - 1},
        }
        if name not in bodies:
            return
        person = world.people["volunteer" if "{device_id}" in name else "requester"]
        token = {} if "{id}" in name else {"token": person.token}
        foreign = "{device_id}" in name
        first = await world.call(name, foreign=foreign, body=bodies[name], **token)
        async with world.outside.nothing_changes():
            second = await world.call(name, foreign=foreign, body={**more, **bodies[name]}, **token)
        assert (second.status, second.raw) == (first.status, first.raw)

    async def test_many_at_once_disturb_nobody(self, world: World) -> None:
        async with world.outside.nothing_changes():
            calls = [world.call(name, data=b"{") for name in BODY_CALLS * 5]
            for reply in await asyncio.gather(*calls):
                reply.refuses(400, "invalid_body", "")
