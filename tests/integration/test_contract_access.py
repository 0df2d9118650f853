"""Who may make which call of the HTTP API, on what: bad tokens, other roles, other people's things, wrong methods."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
import pytest_asyncio

from tests.support.engines import Engines
from tests.support.http_cases import CASES, LONG, named
from tests.support.http_world import World, living_world
from tests.support.nodes import TOKEN_SECRET

pytestmark = pytest.mark.asyncio(loop_scope="module")

SESSION_CALLS = [name for name, case in CASES.items() if case.who != "anybody"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(engines: Engines) -> AsyncIterator[World]:
    async with living_world(engines) as world:
        yield world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ended(world: World) -> str:
    """The token of a session that ended."""
    gone = await world.outside.sign_in("gone", "requester")
    assert (await world.outside.call("DELETE", "/v1/sessions/current", token=gone.token)).status == 204
    return gone.token


class TestTokens:
    def bad_tokens(self, world: World, ended: str) -> dict[str, dict[str, str]]:
        someone = world.people["requester"]
        now = int(time.time())
        claims: dict[str, Any] = {"iss": "eyeline", "aud": "eyeline", "iat": now, "exp": now + 600}
        claims |= {"sub": someone.user_id, "sid": someone.session_id}
        nobody = {**claims, "sid": "00000000-0000-7000-8000-000000000000"}

        def signed(with_secret: str = TOKEN_SECRET, /, algorithm: str = "HS256", **changes: Any) -> str:
            kept = {key: value for key, value in {**claims, **changes}.items() if value is not None}
            return "Bearer " + jwt.encode(kept, with_secret, algorithm=algorithm)

        good = signed()
        unsigned = jwt.encode(claims, "", algorithm="none")
        return {
            "none": {},
            **{
                text[:30]: {"Authorization": text}
                for text in (
                    "",
                    "Bearer",
                    "Bearer ",
                    "Bearer x",
                    "Bearer a.b.c",
                    "Basic YTpi",
                    good[7:],
                    "Bearer " + LONG[:8000],
                )
            },
            "other scheme": {"Authorization": good.replace("Bearer", "Token")},
            "cut": {"Authorization": good[:-2]},
            "alg none": {"Authorization": "Bearer " + unsigned},
            "alg none, signed": {"Authorization": "Bearer " + unsigned + "AAAA"},
            "another secret": {"Authorization": signed("another secret, longer than 32 characters")},
            "another algorithm": {"Authorization": signed(TOKEN_SECRET * 2, "HS512")},
            "expired": {"Authorization": signed(exp=now - 1)},
            "of another service": {"Authorization": signed(iss="other")},
            "for another service": {"Authorization": signed(aud="other")},
            "no session": {"Authorization": signed(sid=None)},
            "no end": {"Authorization": signed(exp=None)},
            "an unknown session": {"Authorization": signed(**nobody)},
            "another's session": {"Authorization": signed(sub=world.people["volunteer"].user_id)},
            "session is no id": {"Authorization": signed(sid="x")},
            "person is no id": {"Authorization": signed(sub="x")},
            "an ended session": {"Authorization": f"Bearer {ended}"},
            "a refresh token": {"Authorization": f"Bearer {someone.refresh_token}"},
        }

    @pytest.mark.parametrize("name", SESSION_CALLS)
    async def test_only_a_good_one_will_do(self, world: World, ended: str, name: str) -> None:
        async with world.outside.nothing_changes():
            for headers in self.bad_tokens(world, ended).values():
                reply = await world.call(name, token=None, headers=headers)
                assert reply.refuses(401, "unauthorized")["retryable"] is False
                assert reply.headers["Cache-Control"] == "no-store"

    async def test_the_good_one_among_them_is_good(self, world: World) -> None:
        """So that the others are refused for what they say they are."""
        someone = world.people["requester"]
        claims = {"iss": "eyeline", "aud": "eyeline", "sub": someone.user_id, "sid": someone.session_id}
        token = jwt.encode({**claims, "iat": 1, "exp": int(time.time()) + 600}, TOKEN_SECRET, algorithm="HS256")
        assert (await world.outside.call("GET", "/v1/me", token=token)).status == 200

    @pytest.mark.parametrize("name", SESSION_CALLS)
    async def test_suspended_people_may_only_look_and_leave(self, world: World, name: str) -> None:
        if name in ("GET /v1/me", "DELETE /v1/sessions/{id}"):
            return
        suspended = await world.outside.sign_in("suspended")
        await world.outside.database.execute(
            "UPDATE users SET status = 'suspended', admin_roles = '{owner}' WHERE id = $1", suspended.user_id
        )
        async with world.outside.nothing_changes():
            (await world.call(name, token=suspended.token)).refuses(403, "suspended")

    @pytest.mark.parametrize("body", [{"refresh_token": "made up"}, {"refresh_token": "é" * 40}])
    async def test_a_refresh_token_nobody_gave_out(self, world: World, body: dict[str, str]) -> None:
        async with world.outside.nothing_changes():
            (await world.call("POST /v1/sessions/refresh", body=body)).refuses(401, "unauthorized")

    @pytest.mark.parametrize("token", ["   ", "\x07", "x" * 81])
    async def test_a_sign_in_that_is_none(self, world: World, token: str) -> None:
        body = {**(CASES["POST /v1/sessions"].body or {}), "token": token}
        async with world.outside.nothing_changes():
            (await world.call("POST /v1/sessions", body=body)).refuses(401, "unauthorized")


class TestWhoseItIs:
    @pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.who in ("requester", "volunteer")])
    @pytest.mark.parametrize("person", ["requester", "volunteer", "nobody", "observer"])
    async def test_calls_of_the_other_role(self, world: World, name: str, person: str) -> None:
        if person == CASES[name].who:
            return
        async with world.outside.nothing_changes():
            for body in (CASES[name].body, {"nonsense": True}):
                (await world.call(name, token=world.people[person].token, body=body)).refuses(403, "wrong_role")

    @pytest.mark.parametrize("person", ["requester", "volunteer", "nobody"])
    async def test_calls_of_an_admin(self, world: World, person: str) -> None:
        async with world.outside.nothing_changes():
            reply = await world.call("GET /v1/admin/queue", token=world.people[person].token)
        reply.refuses(403, "not_allowed")

    @pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.who == "owner"])
    @pytest.mark.parametrize("person", ["requester", "volunteer", "observer", "moderator"])
    async def test_calls_of_an_owner(self, world: World, name: str, person: str) -> None:
        async with world.outside.nothing_changes():
            reply = await world.call(name, token=world.people[person].token)
        reply.refuses(403, "not_allowed")

    async def test_calls_of_a_moderator(self, world: World) -> None:
        async with world.outside.nothing_changes():
            reply = await world.call("POST /v1/admin/users/{id}/suspend", token=world.people["observer"].token)
        reply.refuses(403, "not_allowed")

    @pytest.mark.parametrize("name", [name for name in CASES if "{" in name and not name.startswith("PUT")])
    async def test_things_of_somebody_else(self, world: World, name: str) -> None:
        case = CASES[name]
        who = {"requester": "requester", "volunteer": "volunteer"}.get(case.who, "helper")
        async with world.outside.nothing_changes():
            reply = await world.call(name, foreign=True, token=world.people[who].token)
        reply.refuses(*case.foreign)

    @pytest.mark.parametrize("name", [name for name in CASES if "{" in name])
    async def test_things_that_are_none(self, world: World, name: str) -> None:
        case = CASES[name]
        template = name.partition(" ")[2]
        assert case.others
        async with world.outside.nothing_changes():
            for other in case.others:
                (await world.call(name, path=named(template, other))).refuses(404, "not_found")

    @pytest.mark.parametrize("path", sorted({name.partition(" ")[2] for name in CASES}))
    async def test_methods_a_path_does_not_have(self, world: World, path: str) -> None:
        known = {name.partition(" ")[0] for name in CASES if name.endswith(f" {path}")}
        token = world.people["helper"].token
        async with world.outside.nothing_changes():
            for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - known:
                at = named(path, world.things["call"])
                reply = await world.outside.call(method, at, token=token)
                # A path that fits another one's pattern names a thing that is none.
                reply.refuses(
                    404 if path.endswith(("/refresh", "/current")) and reply.status == 404 else 405, "not_found"
                )
