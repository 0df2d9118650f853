"""Finding the right person, from outside: groups, desks, the same person again, a yes too late, word when free."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from infra.phone.errors import ApiError
from tests.support.engines import Engines
from tests.support.outside import Outside, Phone
from tests.support.scenes import Scene, refused, seconds_between

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS = {"EYELINE_WRAP_UP_S": "0", "EYELINE_SAME_PERSON_S": "600", "EYELINE_WAVES": "fixed"}
ALWAYS = '[{"days": [1, 2, 3, 4, 5, 6, 7], "from": "00:00", "to": "24:00"}]'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outside(engines: Engines) -> AsyncIterator[Outside]:
    async with Outside.over(engines, **SETTINGS) as outside:
        yield outside


@pytest_asyncio.fixture(loop_scope="module")
async def scene(outside: Outside) -> AsyncIterator[Scene]:
    async with Scene.of(outside) as scene:
        yield scene


async def group_of(scene: Scene, asker: Phone, *members: Phone) -> str:
    group = await scene.outside.database.fetchval(
        "INSERT INTO groups (owner_id, name) VALUES ($1, 'family') RETURNING id", asker.state.user["id"]
    )
    for member in members:
        await scene.outside.database.execute(
            "INSERT INTO memberships (group_id, user_id) VALUES ($1, $2)", group, member.state.user["id"]
        )
    return str(group)


async def desk_of(scene: Scene, weekly: str, *agents: Phone) -> str:
    desk = await scene.outside.database.fetchval(
        "INSERT INTO desks (name, languages, index_languages, time_zone, weekly)"
        " VALUES ('bank', $1, $1, 'UTC', $2::text::jsonb) RETURNING id",
        [scene.language],
        weekly,
    )
    for agent in agents:
        await scene.outside.database.execute(
            "INSERT INTO memberships (desk_id, user_id) VALUES ($1, $2)", desk, agent.state.user["id"]
        )
    return str(desk)


async def says(phone: Phone, note: str) -> dict[str, Any]:
    """Until the one who waits is told so."""
    while (frame := await phone.next("progress"))["data"]["note"]["code"] != note:
        pass
    data: dict[str, Any] = frame["data"]
    return data


async def expired(scene: Scene, asker: Phone) -> str:
    """A request of theirs whose time ran out."""
    request = await asker.request_help()
    await scene.outside.database.execute(
        "UPDATE requests SET deadline = eyeline_now(), next_look_at = eyeline_now() WHERE id = $1", request["id"]
    )
    await asker.until(lambda state: state.request is not None and state.request["outcome"] == "expired")
    return str(request["id"])


class TestGroups:
    async def test_trusted_people_are_asked_first_and_others_after_the_wait_chosen(self, scene: Scene) -> None:
        asker, member, stranger = await scene.requester(), await scene.volunteer("m"), await scene.volunteer("s")
        group = await group_of(scene, asker, member)
        request = await asker.request_help(group_id=group, then_public_after_s=2)
        offer = await member.next_offer()
        await says(asker, "group_first")
        later = await stranger.next_offer()
        opened = await scene.outside.database.fetchval(
            "SELECT min(offered_at) - (SELECT created_at FROM requests WHERE id = $1) FROM offers"
            " WHERE request_id = $1 AND person_id = $2",
            request["id"],
            stranger.state.user["id"],
        )
        assert opened.total_seconds() >= 2
        assert later["request_id"] == offer["request_id"] == request["id"]

    async def test_somebody_elses_group_is_not_found(self, scene: Scene) -> None:
        asker, other = await scene.requester(), await scene.requester("other")
        group = await group_of(scene, other)
        for wrong in (group, str(uuid4())):
            error = await refused(asker, "POST", "/v1/requests", {"group_id": wrong})
            assert (error.status, error.code) == (404, "not_found")

    async def test_not_together_with_a_desk(self, scene: Scene) -> None:
        asker = await scene.requester()
        group, desk = await group_of(scene, asker), await desk_of(scene, ALWAYS)
        error = await refused(asker, "POST", "/v1/requests", {"group_id": group, "desk_id": desk})
        assert (error.status, error.code) == (400, "invalid_body")


class TestDesks:
    async def test_its_agents_are_asked_and_nobody_else(self, scene: Scene) -> None:
        asker, agent, stranger = await scene.requester(), await scene.volunteer("a"), await scene.volunteer("s")
        desk = await desk_of(scene, ALWAYS, agent)
        request = await asker.request_help(desk_id=desk)
        assert (await agent.next_offer())["request_id"] == request["id"]
        assert stranger.state.offers == {}

    async def test_a_closed_one_says_when_it_opens(self, scene: Scene) -> None:
        asker = await scene.requester()
        now = await scene.outside.database.fetchval("SELECT to_char(now() AT TIME ZONE 'UTC', 'ID HH24')")
        day, hour = map(int, now.split())
        opens = (hour + 2) % 24
        weekly = f'[{{"days": [1,2,3,4,5,6,7], "from": "{opens:02}:00", "to": "{opens:02}:30"}}]'
        error = await refused(asker, "POST", "/v1/requests", {"desk_id": await desk_of(scene, weekly)})
        assert (error.status, error.code) == (409, "desk_closed")
        assert error.details["opens_at"].endswith(f"T{opens:02}:00:00.000Z"), (day, error.details)

    async def test_a_wish_told_of_twice_is_the_same_though_it_closed_since(self, scene: Scene) -> None:
        asker = await scene.requester()
        desk = await desk_of(scene, ALWAYS)
        first = await asker.request_help(desk_id=desk, idempotency_key="once")
        await scene.outside.database.execute("UPDATE desks SET weekly = '[]' WHERE id = $1", desk)
        assert (await asker.request_help(desk_id=desk, idempotency_key="once"))["id"] == first["id"]

    async def test_one_without_hours_never_opens(self, scene: Scene) -> None:
        asker = await scene.requester()
        error = await refused(asker, "POST", "/v1/requests", {"desk_id": await desk_of(scene, "[]")})
        assert (error.code, error.details) == ("desk_closed", {"opens_at": None})


class TestTheSamePersonAgain:
    async def test_is_asked_alone_though_others_wait_longer(self, scene: Scene) -> None:
        pair = await scene.pair(connected=True)
        await pair.requester.end_call(pair.call)
        others = [await scene.volunteer(f"other {n}") for n in range(3)]
        request = await pair.requester.request_help(same_as_call_id=pair.call["id"])
        pair.volunteer.clear()
        assert (await pair.volunteer.next_offer())["request_id"] == request["id"]
        await says(pair.requester, "same_person_first")
        assert all(other.state.offers == {} for other in others)

    async def test_of_somebody_elses_call_is_not_found(self, scene: Scene) -> None:
        pair, stranger = await scene.pair(), await scene.requester("stranger")
        for call_id in (pair.call["id"], str(uuid4())):
            error = await refused(stranger, "POST", "/v1/requests", {"same_as_call_id": call_id})
            assert (error.status, error.code) == (404, "not_found")


class TestAYesThatCameSecond:
    async def test_is_thanked_and_asked_first_when_the_first_fails(self, scene: Scene) -> None:
        first, second, asker = await scene.volunteer("1"), await scene.volunteer("2"), await scene.requester()
        await asker.request_help()
        offer, late = await first.next_offer(), await second.next_offer()
        call = await first.accept(offer)
        with pytest.raises(ApiError) as met:
            await second.accept(late)
        assert (met.value.status, met.value.code) == (409, "answered_elsewhere")
        until = met.value.details["standby_until"]
        assert 0 < seconds_between(late["waiting_since"], until) < 60
        assert (await second.next("standby"))["data"] == {"until": until}
        third = await scene.volunteer("3")
        await first.end_call(call, "left")
        assert (await second.next_offer())["epoch"] == 2
        assert third.state.offers == {} or second.state.offers

    async def test_is_offered_another_request_that_waits(self, scene: Scene) -> None:
        first, second, asker = await scene.volunteer("1"), await scene.volunteer("2"), await scene.requester()
        await asker.request_help()
        offer, late = await first.next_offer(), await second.next_offer()
        other = await (await scene.requester("other")).request_help()
        await first.accept(offer)
        with pytest.raises(ApiError) as met:
            await second.accept(late)
        assert met.value.details["offer"]["request_id"] == other["id"]
        assert (await second.accept(met.value.details["offer"]))["request_id"] == other["id"]


class TestWordWhenSomeoneIsFree:
    async def test_comes_once_when_a_volunteer_turns_ready(self, scene: Scene) -> None:
        asker, helper = await scene.requester(), await scene.volunteer(ready=False)
        request_id = await expired(scene, asker)
        path = f"/v1/requests/{request_id}/callback"
        for _ in range(2):
            assert (await asker.status("PUT", path))[0] == 204
        await helper.ready()
        told = (await asker.next("someone_free"))["data"]
        assert told["request_id"] == request_id
        again = await asker.request_help()
        assert (await helper.next_offer())["request_id"] == again["id"]

    async def test_comes_at_once_when_somebody_is_free_already(self, scene: Scene) -> None:
        asker = await scene.requester()
        request_id = await expired(scene, asker)
        await scene.volunteer()
        await asker.status("PUT", f"/v1/requests/{request_id}/callback")
        assert (await asker.next("someone_free"))["data"]["request_id"] == request_id

    async def test_does_not_come_when_it_was_taken_back(self, scene: Scene) -> None:
        asker, helper = await scene.requester(), await scene.volunteer(ready=False)
        path = f"/v1/requests/{await expired(scene, asker)}/callback"
        await asker.status("PUT", path)
        for _ in range(2):
            assert (await asker.status("DELETE", path))[0] == 204
        await helper.ready()
        request = await asker.request_help()  # what told of the helper before would be in the mailbox by now
        assert (await helper.next_offer())["request_id"] == request["id"]
        told = "SELECT count(*) FROM callbacks WHERE request_id = $1"
        assert await scene.outside.database.fetchval(told, path.split("/")[3]) == 0


class TestWhoseNodeDied:
    async def test_a_change_committed_and_not_listed_is_listed_by_another_node(self, scene: Scene) -> None:
        """Somebody whose app is closed ends their pause, and the node dies before it tells the index."""
        outside, asker = scene.outside, await scene.requester()
        helper = await outside.sign_in("closed", "volunteer", scene.language)
        weekly = [{"days": [1, 2, 3, 4, 5, 6, 7], "from": "00:00", "to": "24:00"}]
        push = {"platform": "android", "push": [{"kind": "fcm", "value": f"token-{uuid4().hex}"}]}
        for path, body in (
            (f"devices/{helper.device_id}", push),
            ("availability", {"weekly": weekly, "paused": True}),
        ):
            await outside.call("PUT", f"/v1/me/{path}", body, token=helper.token)
        await asker.request_help()
        await outside.database.execute("UPDATE availability SET paused = false WHERE user_id = $1", helper.user_id)
        await asker.until(lambda state: state.request is not None and state.request["asked"] == 1, timeout=20)
