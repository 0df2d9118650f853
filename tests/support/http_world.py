"""A node with living things on it, for calls that must not change any of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from server.invite_codes import code_hash, new_code
from tests.support.engines import Engines
from tests.support.http_cases import CASES, Case
from tests.support.outside import MARK, Outside, Reply, Someone
from tests.support.scenes import someone_of

HOUR = {f"EYELINE_{name}_S": "3600" for name in ("REQUEST_DEADLINE", "OFFER", "CONNECTING", "GRACE")}


@dataclass
class World:
    """A node with a living request, an open offer and a call, and people who are and are not in them."""

    outside: Outside
    people: dict[str, Someone]
    things: dict[str, str]
    foreign: dict[str, str]
    """The same kinds of things, of somebody else."""

    def token(self, case: Case) -> str | None:
        """Of somebody who may make this call."""
        if case.who == "anybody":
            return None
        if "{call}" in case.path:
            return self.people["helper"].token
        if case.path.endswith(("/accept", "/decline")):
            return self.people["asked"].token
        return self.people[{"person": "nobody"}.get(case.who, case.who)].token

    async def call(self, name: str, *, foreign: bool = False, **options: Any) -> Reply:
        """Make the call called `name`, by default as somebody who may and with its good body."""
        method, _, template = name.partition(" ")
        case = CASES[name]
        path = (case.path or template).format(**(self.foreign if foreign else self.things))
        options = {"token": self.token(case), "body": case.body, **options}
        if "data" in options:
            options.pop("body")
        return await self.outside.call(method, options.pop("path", path), options.pop("body", None), **options)


async def call_between(outside: Outside, stack: AsyncExitStack, name: str) -> tuple[Any, Any, str]:
    language = outside.language()
    caller = await stack.enter_async_context(outside.phone(f"{name} caller", "requester", language))
    helper = await stack.enter_async_context(outside.phone(f"{name} helper", "volunteer", language))
    await helper.ready()
    await caller.request_help()
    call = await helper.accept(await helper.next_offer())
    await caller.until(lambda state: state.call is not None)
    return caller, helper, call["id"]


async def group_and_desk(outside: Outside, owner: Someone, member: Someone) -> dict[str, str]:
    """A group with a member, a desk, and the code of an invite that this member has used."""
    name, code = f"{MARK} {owner.name}", new_code()
    group = await outside.database.fetchval(
        "INSERT INTO groups (owner_id, name) VALUES ($1, $2) RETURNING id", owner.user_id, name
    )
    desk = await outside.database.fetchval(
        "INSERT INTO desks (name, languages, index_languages, time_zone) VALUES ($1, $2, $2, 'UTC') RETURNING id",
        name,
        ["en"],
    )
    membership = await outside.database.fetchval(
        "INSERT INTO memberships (group_id, user_id) VALUES ($1, $2) RETURNING id", group, member.user_id
    )
    await outside.database.execute(
        "INSERT INTO invites (hash, group_id, expires_at, accepted_by) VALUES ($1, $2, now() + interval '1 day', $3)",
        code_hash(code),
        group,
        member.user_id,
    )
    outside.secrets.add(code)
    return {"group": str(group), "desk": str(desk), "member": str(membership), "code": code}


@asynccontextmanager
async def living_world(engines: Engines) -> AsyncIterator[World]:
    engines.restore()
    database_url, valkey_url = await engines.new_database(), await engines.empty_valkey()
    async with Outside.of(database_url, valkey_url, **HOUR) as outside, AsyncExitStack() as stack:
        _, helper, call = await call_between(outside, stack, "first")
        _, _, other_call = await call_between(outside, stack, "second")
        people = {"helper": someone_of(helper)}
        language = outside.language()
        for name, role in (
            ("nobody", None),
            ("requester", "requester"),
            ("volunteer", "volunteer"),
            ("observer", None),
            ("moderator", None),
            ("owner", None),
        ):
            people[name] = await outside.sign_in(name, role, *([language] if role else []))
        for role in ("observer", "moderator", "owner"):
            await outside.database.execute(
                "UPDATE users SET admin_roles = ARRAY[$2::text] WHERE id = $1", people[role].user_id, role
            )
        asked = await stack.enter_async_context(outside.phone("asked", "volunteer", language))
        await asked.ready()
        waiting = await stack.enter_async_context(outside.phone("waiting", "requester", language))
        request = (await waiting.request_help())["id"]
        await asked.next_offer()
        people |= {"asked": someone_of(asked), "waiting": someone_of(waiting)}
        things = {"request": request, "call": call, "session": people["nobody"].session_id, "device": f"{MARK}-unknown"}
        things["user"] = people["nobody"].user_id
        foreign = {"request": request, "call": other_call, "session": people["waiting"].session_id}
        foreign["user"] = people["waiting"].user_id
        things |= await group_and_desk(outside, people["requester"], people["nobody"])
        foreign |= await group_and_desk(outside, people["waiting"], people["asked"])
        device = f"{MARK}-foreign"
        put = await outside.call(
            "PUT", f"/v1/me/devices/{device}", {"platform": "web"}, token=people["volunteer"].token
        )
        assert put.status == 204
        yield World(outside, people, things, foreign | {"device": device})
    await engines.drop_database(database_url)
