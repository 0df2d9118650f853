"""Groups of trusted people and their invites, over HTTP and real Postgres."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.postgres.desks import PostgresDesks
from infra.postgres.groups import PostgresGroups
from infra.postgres.pool import open_pool
from server.api.admin_desks import AdminDesksApi
from server.api.groups import GroupsApi
from server.groups import GROUPS_MAX, MEMBERS_MAX, OPEN_INVITES_MAX
from server.invite_codes import ALPHABET, code_hash, new_code
from server.rate_limits import INVITE
from tests.support.http_api import Answer, HttpApi, NoLimits, http_api
from tests.support.outside import MARK, Outside

NOBODY = "00000000-0000-7000-8000-000000000000"


@dataclass
class Town:
    """The API, and people by name."""

    api: HttpApi
    limits: NoLimits
    """Of invites."""

    async def requester(self, name: str = "Rosa") -> str:
        return await self.api.person(name, "requester")

    async def volunteer(self, name: str = "Viktor") -> str:
        return await self.api.person(name, "volunteer")

    async def call(self, method: str, path: str, token: str, body: Any = None) -> Answer:
        return await self.api.call(method, path, body, token=token)

    async def group(self, owner: str, name: str = "Family") -> str:
        answer = await self.call("POST", "/v1/groups", owner, {"name": name})
        assert answer.status == 201
        return str(answer.body["group"]["id"])

    async def invite(self, owner: str, group: str) -> str:
        answer = await self.call("POST", f"/v1/groups/{group}/invites", owner)
        assert answer.status == 201
        return str(answer.body["code"])

    async def accept(self, volunteer: str, code: str) -> Answer:
        return await self.call("POST", f"/v1/invites/{code}/accept", volunteer)

    async def member(self, owner: str, group: str, name: str = "Viktor") -> tuple[str, str]:
        """Somebody who joined: their token and membership."""
        token = await self.volunteer(name)
        answer = await self.accept(token, await self.invite(owner, group))
        assert answer.status == 200
        return token, str(answer.body["group"]["member_id"])

    async def groups(self, token: str) -> list[Any]:
        return list((await self.call("GET", "/v1/groups", token)).body["groups"])

    async def members(self, owner: str) -> list[Any]:
        (group,) = await self.groups(owner)
        return list(group["members"])

    async def id_of(self, name: str) -> Any:
        return await self.api.pool.fetchval("SELECT user_id FROM identities WHERE subject = $1", name)


@pytest.fixture
async def town(database_url: str) -> AsyncIterator[Town]:
    async with AsyncExitStack() as stack:
        pool = await open_pool(database_url, 4)
        stack.push_async_callback(pool.close)
        limits, desks = NoLimits(), PostgresDesks(pool)
        extra = [
            *GroupsApi(PostgresGroups(pool), desks, limits, https=False).routes(),
            *AdminDesksApi(desks, https=False).routes(),
        ]
        api = await stack.enter_async_context(http_api(database_url, start=1_790_000_000, extra=extra))
        yield Town(api, limits)


class TestGroups:
    async def test_are_made_renamed_and_dissolved_by_their_owner(self, town: Town) -> None:
        owner = await town.requester()
        answer = await town.call("POST", "/v1/groups", owner, {"name": "  Family "})
        made = answer.body["group"]
        assert made == {
            **{"id": made["id"], "name": "Family", "mine": True, "members": [], "open_invites": 0},
            **{"owner_name": None, "member_id": None, "joined_at": None, "direct": False},
        }
        assert await town.groups(owner) == [made]
        path = f"/v1/groups/{made['id']}"
        renamed = await town.call("PATCH", path, owner, {"name": "Friends"})
        assert (renamed.status, renamed.body["group"]["name"]) == (200, "Friends")
        assert (await town.call("DELETE", path, owner)).status == 204
        assert await town.groups(owner) == []
        assert (await town.call("DELETE", path, owner)).status == 404

    async def test_connect_directly_who_joined_since_their_owner_said_so_and_members_see_it(self, town: Town) -> None:
        owner = await town.requester()
        group = await town.group(owner)
        member, _ = await town.member(owner, group)
        path = f"/v1/groups/{group}"
        for newcomer_name, body, direct in (
            ("Nanna", {"name": "Family", "direct": True}, True),
            ("Niels", {"name": "Friends"}, True),
            ("Nora", {"name": "Friends", "direct": False}, False),
        ):
            assert (await town.call("PATCH", path, owner, body)).body["group"]["direct"] is direct
            newcomer, _ = await town.member(owner, group, newcomer_name)
            assert [each["direct"] for each in await town.groups(newcomer)] == [direct]
            assert [each["direct"] for each in await town.groups(member)] == [False]
        made = await town.call("POST", "/v1/groups", owner, {"name": "Near", "direct": True})
        assert made.body["group"]["direct"] is True

    async def test_of_somebody_else_are_not_there(self, town: Town) -> None:
        group = await town.group(await town.requester())
        other = await town.requester("Rita")
        path = f"/v1/groups/{group}"
        for method, at, body in (
            ("PATCH", path, {"name": "Mine"}),
            ("DELETE", path, None),
            ("POST", f"{path}/invites", None),
            ("DELETE", f"{path}/invites", None),
            ("DELETE", f"{path}/members/{NOBODY}", None),
        ):
            answer = await town.call(method, at, other, body)
            assert (answer.status, answer.code) == (404, "not_found")
        assert await town.groups(other) == []

    async def test_are_no_more_than_so_many_also_when_made_at_once(self, town: Town) -> None:
        owner = await town.requester()
        making = [town.call("POST", "/v1/groups", owner, {"name": f"Group {n}"}) for n in range(GROUPS_MAX + 3)]
        refused = [answer for answer in await asyncio.gather(*making) if answer.status != 201]
        assert [(answer.status, answer.code) for answer in refused] == [(409, "limit_reached")] * 3
        assert len(await town.groups(owner)) == GROUPS_MAX

    async def test_are_made_by_requesters_only(self, town: Town) -> None:
        answer = await town.call("POST", "/v1/groups", await town.volunteer(), {"name": "Family"})
        assert (answer.status, answer.code) == (403, "wrong_role")

    async def test_of_somebody_without_a_role_are_none(self, town: Town) -> None:
        assert await town.groups(await town.api.person("Noa")) == []

    async def test_say_whose_they_are_to_whoever_asks_for_them(self, town: Town) -> None:
        group = await town.group(await town.requester())
        await town.requester("Rita")
        store = PostgresGroups(town.api.pool)
        assert await store.owns_group(await town.id_of("Rosa"), group)  # type: ignore[arg-type]
        assert not await store.owns_group(await town.id_of("Rita"), group)  # type: ignore[arg-type]


class TestInviting:
    async def test_gives_a_code_to_read_aloud_and_a_link_that_tells_no_server(self, town: Town) -> None:
        owner = await town.requester()
        group = await town.group(owner)
        answer = await town.call("POST", f"/v1/groups/{group}/invites", owner)
        code = answer.body["code"]
        assert (answer.status, answer.headers["Cache-Control"]) == (201, "no-store")
        assert len(code) == 10
        assert set(code) <= set(ALPHABET)
        assert answer.body["url"] == f"{town.api.base}/volunteer#invite={code}"
        assert (await town.groups(owner))[0]["open_invites"] == 1

    async def test_is_over_https_unless_on_this_machine(self, town: Town) -> None:
        owner = await town.requester()
        path = f"/v1/groups/{await town.group(owner)}/invites"
        for host, origin in (
            ("eyeline.example", "https://eyeline.example"),
            ("[::1]:8080", "http://[::1]:8080"),
            ("localhost:1", "http://localhost:1"),
        ):
            answer = await town.api.call("POST", path, token=owner, headers={"Host": host})
            assert answer.body["url"].startswith(f"{origin}/volunteer#invite=")

    async def test_keeps_no_code(self, town: Town) -> None:
        owner = await town.requester()
        code = await town.invite(owner, await town.group(owner))
        row = await town.api.pool.fetchrow("SELECT * FROM invites")
        assert row["hash"] == code_hash(code)
        assert code not in str(dict(row))
        left = row["expires_at"] - row["created_at"]
        assert timedelta(days=6, hours=23) < left <= timedelta(days=7, seconds=1)

    async def test_ends_at_so_many_open_ones_until_they_are_withdrawn(self, town: Town) -> None:
        owner = await town.requester()
        group = await town.group(owner)
        path = f"/v1/groups/{group}/invites"
        codes = [await town.invite(owner, group) for _ in range(OPEN_INVITES_MAX)]
        answer = await town.call("POST", path, owner)
        assert (answer.status, answer.code) == (409, "limit_reached")
        assert (await town.call("DELETE", path, owner)).status == 204
        assert (await town.accept(await town.volunteer(), codes[0])).status == 404
        await town.invite(owner, group)

    async def test_forgets_what_has_expired(self, town: Town) -> None:
        owner = await town.requester()
        group = await town.group(owner)
        for _ in range(OPEN_INVITES_MAX):
            await town.invite(owner, group)
        await town.api.pool.execute("UPDATE invites SET expires_at = eyeline_now()")
        await town.invite(owner, group)
        assert await town.api.pool.fetchval("SELECT count(*) FROM invites") == 1


class TestAccepting:
    async def test_makes_a_member(self, town: Town) -> None:
        owner = await town.requester()
        await town.call("PATCH", "/v1/me", owner, {"display_name": "Rosa R."})
        group = await town.group(owner)
        volunteer = await town.volunteer()
        await town.call("PATCH", "/v1/me", volunteer, {"display_name": "Viktor V."})
        answer = await town.accept(volunteer, await town.invite(owner, group))
        joined = answer.body["group"]
        assert answer.status == 200
        assert set(answer.body) == {"group"}
        assert joined == {
            **{"id": group, "name": "Family", "mine": False, "owner_name": "Rosa R.", "members": None},
            **{"member_id": joined["member_id"], "joined_at": joined["joined_at"], "open_invites": None},
            **{"direct": False},
        }
        assert await town.groups(volunteer) == [joined]
        assert await town.members(owner) == [
            {
                **{"member_id": joined["member_id"], "display_name": "Viktor V."},
                **{"joined_at": joined["joined_at"], "state": "active"},
            }
        ]

    async def test_hears_a_code_however_it_is_typed(self, town: Town) -> None:
        owner = await town.requester()
        code = await town.invite(owner, await town.group(owner))
        typed = f"%20{code[:5].lower().replace('0', 'o')}-{code[5:].replace('1', 'l')}"
        assert (await town.accept(await town.volunteer(), typed)).status == 200

    async def test_again_is_the_same_for_whoever_did_and_too_late_for_others(self, town: Town) -> None:
        owner = await town.requester()
        code = await town.invite(owner, await town.group(owner))
        volunteer = await town.volunteer()
        first = await town.accept(volunteer, code)
        assert (await town.accept(volunteer, code)).body == first.body
        assert (await town.accept(await town.volunteer("Vera"), code)).status == 404
        assert len(await town.members(owner)) == 1

    async def test_by_many_at_once_lets_one_in(self, town: Town) -> None:
        owner = await town.requester()
        code = await town.invite(owner, await town.group(owner))
        people = [await town.volunteer(f"Volunteer {n}") for n in range(6)]
        answers = await asyncio.gather(*(town.accept(person, code) for person in people))
        assert sorted(answer.status for answer in answers) == [200, 404, 404, 404, 404, 404]
        assert len(await town.members(owner)) == 1

    async def test_uses_up_no_invite_of_a_group_one_is_in(self, town: Town) -> None:
        owner = await town.requester()
        group = await town.group(owner)
        volunteer, _ = await town.member(owner, group)
        code = await town.invite(owner, group)
        assert (await town.accept(volunteer, code)).status == 200
        assert (await town.accept(await town.volunteer("Vera"), code)).status == 200

    async def test_is_too_late_after_seven_days(self, town: Town) -> None:
        owner = await town.requester()
        code = await town.invite(owner, await town.group(owner))
        await town.api.pool.execute("UPDATE invites SET expires_at = eyeline_now()")
        assert (await town.accept(await town.volunteer(), code)).code == "not_found"

    async def test_does_not_bring_back_who_left(self, town: Town) -> None:
        owner = await town.requester()
        group = await town.group(owner)
        code = await town.invite(owner, group)
        volunteer = await town.volunteer()
        member = (await town.accept(volunteer, code)).body["group"]["member_id"]
        await town.call("DELETE", f"/v1/groups/{group}/members/{member}", owner)
        assert (await town.accept(volunteer, code)).status == 404

    async def test_of_a_code_nobody_made_is_refused_and_counted(self, town: Town) -> None:
        volunteer = await town.volunteer()
        for code in (new_code(), "x", "0" * 9, "0" * 11, "UUUUUUUUUU", "%00", "é" * 10):
            assert (await town.accept(volunteer, code)).code == "not_found"
        counted = [(name, subject == str(await town.id_of("Viktor"))) for name, subject in town.limits.counted]
        assert counted == [("invite", True)]

    async def test_is_slowed_down_for_those_who_guess(self, town: Town) -> None:
        owner = await town.requester()
        code = await town.invite(owner, await town.group(owner))
        town.limits.answer_s = 20.0
        answer = await town.accept(await town.volunteer(), code)
        assert (answer.status, answer.code, answer.headers["Retry-After"]) == (429, "too_fast", "20")
        assert await town.members(owner) == []

    @pytest.mark.parametrize("by", ["Rosa", "Viktor"])
    @pytest.mark.parametrize("before", [True, False])
    async def test_is_not_for_people_who_avoid_each_other(self, town: Town, by: str, before: bool) -> None:
        owner, volunteer = await town.requester(), await town.volunteer()
        group = await town.group(owner)
        code = "" if before else await town.invite(owner, group)
        await town.api.pool.execute(
            "INSERT INTO avoided_pairs (low, high, by) VALUES (least($1::uuid, $2::uuid), greatest($1, $2), $3)",
            await town.id_of("Rosa"),
            await town.id_of("Viktor"),
            await town.id_of(by),
        )
        code = code or await town.invite(owner, group)
        assert (await town.accept(volunteer, code)).code == "not_found"
        assert (await town.accept(await town.volunteer("Vera"), code)).status == 200

    async def test_is_for_volunteers_only(self, town: Town) -> None:
        owner = await town.requester()
        code = await town.invite(owner, await town.group(owner))
        assert (await town.accept(owner, code)).code == "wrong_role"

    async def test_is_not_for_the_suspended(self, town: Town) -> None:
        owner, volunteer = await town.requester(), await town.volunteer()
        code = await town.invite(owner, await town.group(owner))
        await town.api.pool.execute("UPDATE users SET status = 'suspended' WHERE role = 'volunteer'")
        assert (await town.accept(volunteer, code)).code == "suspended"

    async def test_ends_when_the_group_is_full(self, town: Town) -> None:
        owner = await town.requester()
        group = await town.group(owner)
        codes = [await town.invite(owner, group) for _ in range(2)]
        await town.api.pool.execute(
            "WITH made AS (INSERT INTO users (role) SELECT 'volunteer' FROM generate_series(2, $2) RETURNING id)"
            " INSERT INTO memberships (group_id, user_id) SELECT $1, id FROM made",
            group,
            MEMBERS_MAX,
        )
        first, second = await town.volunteer("Vera"), await town.volunteer("Viktor")
        answers = await asyncio.gather(town.accept(first, codes[0]), town.accept(second, codes[1]))
        assert sorted(answer.status for answer in answers) == [200, 409]
        assert next(answer for answer in answers if answer.status == 409).code == "limit_reached"
        assert len(await town.members(owner)) == MEMBERS_MAX
        assert (await town.groups(owner))[0]["open_invites"] == 1


class TestLeaving:
    async def test_a_member_leaves(self, town: Town) -> None:
        owner = await town.requester()
        group = await town.group(owner)
        volunteer, member = await town.member(owner, group)
        assert (await town.call("DELETE", f"/v1/groups/{group}/members/{member}", volunteer)).status == 204
        assert await town.members(owner) == []
        assert await town.groups(volunteer) == []

    async def test_the_owner_removes_once_or_twice(self, town: Town) -> None:
        owner = await town.requester()
        group = await town.group(owner)
        volunteer, member = await town.member(owner, group)
        for _ in range(2):
            assert (await town.call("DELETE", f"/v1/groups/{group}/members/{member}", owner)).status == 204
        assert await town.groups(volunteer) == []

    async def test_nobody_removes_others(self, town: Town) -> None:
        owner = await town.requester()
        group = await town.group(owner)
        _, member = await town.member(owner, group)
        other, others = await town.member(owner, group, "Vera")
        own_group = await town.group(stranger := await town.requester("Rita"))
        for token, at in ((other, group), (stranger, group), (stranger, own_group)):
            answer = await town.call("DELETE", f"/v1/groups/{at}/members/{member}", token)
            assert answer.status == (204 if at == own_group else 404)
        assert {one["member_id"] for one in await town.members(owner)} == {member, others}

    async def test_is_seen_of_the_suspended(self, town: Town) -> None:
        owner = await town.requester()
        await town.member(owner, await town.group(owner))
        await town.api.pool.execute("UPDATE users SET status = 'suspended' WHERE role = 'volunteer'")
        assert [member["state"] for member in await town.members(owner)] == ["unavailable"]


class TestErasing:
    async def test_a_requester_takes_their_groups_along(self, town: Town) -> None:
        owner = await town.requester()
        group = await town.group(owner)
        volunteer, _ = await town.member(owner, group)
        await town.invite(owner, group)
        await town.api.pool.execute("DELETE FROM users WHERE id = $1", await town.id_of("Rosa"))
        assert await town.groups(volunteer) == []
        for table in ("groups", "memberships", "invites"):
            assert await town.api.pool.fetchval(f"SELECT count(*) FROM {table}") == 0

    async def test_a_volunteer_takes_their_memberships_along(self, town: Town) -> None:
        owner = await town.requester()
        await town.member(owner, await town.group(owner))
        await town.api.pool.execute("DELETE FROM users WHERE id = $1", await town.id_of("Viktor"))
        assert await town.members(owner) == []
        assert await town.api.pool.fetchval("SELECT count(*) FROM invites") == 0


ALWAYS = [{"days": [1, 2, 3, 4, 5, 6, 7], "from": "00:00", "to": "24:00"}]
DESK = {"name": "Medicines", "languages": ["en-us", "EN-US", "da"], "time_zone": "Asia/Kathmandu", "weekly": ALWAYS}


@dataclass
class Organisation:
    town: Town
    owner: str

    async def make(self, **changes: Any) -> Any:
        answer = await self.town.call("POST", "/v1/admin/desks", self.owner, {**DESK, **changes})
        assert answer.status == 201
        return answer.body["desk"]

    async def get(self, desk: Any) -> Any:
        return (await self.town.call("GET", f"/v1/admin/desks/{desk['id']}", self.owner)).body["desk"]

    async def agent(self, desk: Any, name: str = "Viktor") -> tuple[str, Any]:
        token = await self.town.volunteer(name)
        code = await self.invite(desk)
        answer = await self.town.accept(token, code)
        assert set(answer.body) == {"desk"}
        return token, answer.body["desk"]

    async def invite(self, desk: Any) -> str:
        answer = await self.town.call("POST", f"/v1/admin/desks/{desk['id']}/invites", self.owner)
        assert (answer.status, answer.headers["Cache-Control"]) == (201, "no-store")
        return str(answer.body["code"])

    async def seen_by(self, token: str) -> list[Any]:
        return list((await self.town.call("GET", "/v1/desks", token)).body["desks"])


@pytest.fixture
async def organisation(town: Town) -> Organisation:
    owner = await town.api.person("Olga")
    await town.api.pool.execute("UPDATE users SET admin_roles = '{owner}' WHERE id = $1", await town.id_of("Olga"))
    return Organisation(town, owner)


class TestDesks:
    async def test_are_made_changed_and_retired_by_owners(self, organisation: Organisation) -> None:
        town, owner = organisation.town, organisation.owner
        made = await organisation.make()
        assert made == {
            **{"id": made["id"], "name": "Medicines", "languages": ["en-US", "da"], "weekly": ALWAYS},
            **{"time_zone": "Asia/Kathmandu", "open": True, "opens_at": None, "closes_at": None},
            **{"created_at": made["created_at"], "open_invites": 0, "agents": []},
        }
        path = f"/v1/admin/desks/{made['id']}"
        changed = await town.call("PUT", path, owner, {**DESK, "name": "Pills", "weekly": []})
        assert (changed.body["desk"]["name"], changed.body["desk"]["open"]) == ("Pills", False)
        assert await town.api.pool.fetchval("SELECT index_languages FROM desks") == ["en", "da"]
        for _ in range(2):
            assert (await town.call("DELETE", path, owner)).status == 204
        for method, body in (("GET", None), ("PUT", DESK)):
            assert (await town.call(method, path, owner, body)).status == 404
        assert (await town.call("POST", f"{path}/invites", owner)).status == 404
        assert await organisation.seen_by(owner) == []

    async def test_say_when_they_open(self, organisation: Organisation) -> None:
        """Half an hour long, in a zone 5:45 ahead of UTC, begun an hour ago or in an hour."""
        now: datetime = await organisation.town.api.pool.fetchval("SELECT eyeline_now() + interval '5:45'")
        for begins in (timedelta(minutes=-10), timedelta(hours=1)):
            opens = (now + begins).replace(second=0, microsecond=0)
            closes = opens + timedelta(minutes=30)
            window = {"days": [opens.isoweekday()], "from": f"{opens:%H:%M}", "to": f"{closes:%H:%M}"}
            desk = await organisation.make(weekly=[window])
            is_open = begins < timedelta(0)
            assert desk["open"] is is_open
            utc = timedelta(hours=5, minutes=45)
            assert desk["opens_at"] == (None if is_open else f"{opens - utc:%Y-%m-%dT%H:%M:%S.000Z}")
            assert desk["closes_at"] == f"{closes - utc:%Y-%m-%dT%H:%M:%S.000Z}"

    async def test_have_hours_for_whoever_asks_them(self, organisation: Organisation) -> None:
        store = PostgresGroups(organisation.town.api.pool)
        made = await organisation.make(weekly=[])
        hours = await store.desk_hours(made["id"])
        assert hours is not None
        now = await organisation.town.api.pool.fetchval("SELECT eyeline_now()")
        assert (hours.at(now).is_open, hours.at(now).opens_at) == (False, None)
        await organisation.town.call("DELETE", f"/v1/admin/desks/{made['id']}", organisation.owner)
        assert await store.desk_hours(made["id"]) is None

    async def test_are_seen_by_everybody_by_name(self, organisation: Organisation) -> None:
        await organisation.make(name="b")
        await organisation.make(name="A")
        seen = await organisation.seen_by(await organisation.town.requester())
        assert [desk["name"] for desk in seen] == ["A", "b"]
        assert set(seen[0]) == {"id", "name", "languages", "open", "opens_at", "closes_at", "member_id"}

    async def test_have_agents_by_invitation_who_leave_or_are_removed(self, organisation: Organisation) -> None:
        town, owner = organisation.town, organisation.owner
        desk = await organisation.make()
        viktor, seen = await organisation.agent(desk)
        vera, _ = await organisation.agent(desk, "Vera")
        assert (await organisation.seen_by(viktor))[0] == seen
        assert [agent["state"] for agent in (await organisation.get(desk))["agents"]] == ["active", "active"]
        (agent,) = await organisation.seen_by(vera)
        removing = f"/v1/admin/desks/{desk['id']}/agents/{agent['member_id']}"
        for _ in range(2):
            assert (await town.call("DELETE", removing, owner)).status == 204
        leaving = f"/v1/desks/{desk['id']}/agents/{seen['member_id']}"
        assert (await town.call("DELETE", leaving, vera)).status == 404
        assert (await town.call("DELETE", leaving, viktor)).status == 204
        assert (await organisation.get(desk))["agents"] == []
        assert (await organisation.seen_by(viktor))[0]["member_id"] is None

    async def test_are_retired_with_their_agents_and_invites(self, organisation: Organisation) -> None:
        town = organisation.town
        desk = await organisation.make()
        await organisation.agent(desk)
        code = await organisation.invite(desk)
        await town.call("DELETE", f"/v1/admin/desks/{desk['id']}", organisation.owner)
        assert (await town.accept(await town.volunteer("Vera"), code)).status == 404
        for table in ("memberships", "invites"):
            assert await town.api.pool.fetchval(f"SELECT count(*) FROM {table}") == 0

    async def test_withdraw_invites(self, organisation: Organisation) -> None:
        town = organisation.town
        desk = await organisation.make()
        code = await organisation.invite(desk)
        path = f"/v1/admin/desks/{desk['id']}/invites"
        assert (await organisation.get(desk))["open_invites"] == 1
        assert (await town.call("DELETE", path, organisation.owner)).status == 204
        assert (await town.accept(await town.volunteer(), code)).status == 404

    async def test_in_a_zone_that_this_machine_forgot_are_closed(self, organisation: Organisation) -> None:
        await organisation.make()
        await organisation.town.api.pool.execute("UPDATE desks SET time_zone = 'Atlantis/Poseidonis'")
        (desk,) = await organisation.seen_by(organisation.owner)
        assert (desk["open"], desk["opens_at"], desk["closes_at"]) == (False, None, None)


class TestOnANode:
    async def test_codes_can_not_be_guessed_and_are_in_no_log(self, database_url: str, valkey_url: str) -> None:
        """`Outside` judges the log at its end."""
        async with Outside.of(database_url, valkey_url) as outside:
            owner = await outside.sign_in("owner", "requester")
            guest, guesser = await outside.sign_in("guest", "volunteer"), await outside.sign_in("guesser", "volunteer")
            made = await outside.call("POST", "/v1/groups", {"name": f"{MARK} family"}, token=owner.token)
            path = f"/v1/groups/{made.body['group']['id']}/invites"
            invite = (await outside.call("POST", path, token=owner.token)).body
            assert invite["url"].startswith(f"{outside.node.url}/volunteer#")
            guesses = [new_code() for _ in range(INVITE.burst + 1)]
            outside.secrets |= {invite["code"], *guesses}
            answers = [
                await outside.call("POST", f"/v1/invites/{code}/accept", token=guesser.token) for code in guesses
            ]
            for answer in answers[:-1]:
                answer.refuses(404, "not_found")
            assert answers[-1].refuses(429, "too_fast")["retryable"]
            accept = f"/v1/invites/{invite['code']}/accept"
            (await outside.call("POST", accept, token=guesser.token)).refuses(429, "too_fast")
            assert (await outside.call("POST", accept, token=guest.token)).status == 200

    async def test_who_joined_is_asked_and_who_left_is_not(self, database_url: str, valkey_url: str) -> None:
        async with Outside.of(database_url, valkey_url) as outside, AsyncExitStack() as stack:
            owner = await stack.enter_async_context(outside.phone("owner", "requester", "en"))
            helpers = [
                await stack.enter_async_context(outside.phone(f"helper {n}", "volunteer", "en")) for n in range(3)
            ]
            for helper in helpers:
                await helper.ready()
            _, made = await owner.status("POST", "/v1/groups", {"name": f"{MARK} family"})
            group = f"/v1/groups/{made['group']['id']}"
            joined = []
            for helper in helpers[:2]:
                _, invite = await owner.status("POST", f"{group}/invites")
                _, accepted = await helper.status("POST", f"/v1/invites/{invite['code']}/accept")
                joined.append(accepted["group"]["member_id"])
            assert (await helpers[0].status("DELETE", f"{group}/members/{joined[0]}"))[0] == 204
            wish = {"group_id": made["group"]["id"], "then_public_after_s": None}
            assert (await owner.status("POST", "/v1/requests", wish))[0] == 201
            await helpers[1].next_offer()
            await outside.quiet()
            assert await outside.database.fetchval("SELECT count(*) FROM offers") == 1

    async def test_a_closed_desk_says_at_once_when_it_opens(self, database_url: str, valkey_url: str) -> None:
        async with Outside.of(database_url, valkey_url) as outside:
            requester = await outside.sign_in("asker", "requester", "en")
            desk = await outside.database.fetchval(
                "INSERT INTO desks (name, languages, index_languages, time_zone)"
                " VALUES ($1, $2, $2, 'UTC') RETURNING id",
                f"{MARK} desk",
                ["en"],
            )
            for weekly, opens in (([], None), ([self.tomorrow()], "T08:00:00.000Z")):
                await outside.database.execute("UPDATE desks SET weekly = $1", json.dumps(weekly))
                asked = await outside.call("POST", "/v1/requests", {"desk_id": str(desk)}, token=requester.token)
                opens_at = asked.refuses(409, "desk_closed")["details"]["opens_at"]
                assert opens_at is None if opens is None else opens_at.endswith(opens)

    @staticmethod
    def tomorrow() -> dict[str, Any]:
        day = (datetime.now(UTC) + timedelta(days=1)).isoweekday()
        return {"days": [day], "from": "08:00", "to": "09:00"}
