"""Calls that suffer: cut sockets, nodes and relays that go, pages that are reloaded or closed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.installation import Installation
from tests.support.people import Street, answered, in_call, media_run
from tests.support.turn import turn_server

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


class TestBadNetwork:
    @pytest.mark.parametrize(
        ("cut", "lost"),
        [
            (("requester",), False),
            (("volunteer",), False),
            (("requester", "volunteer"), False),
            (("requester", "volunteer"), True),
        ],
        ids=["requester", "volunteer", "both", "both and lost"],
    )
    async def test_sockets_cut_in_the_middle_of_negotiation(
        self, place: Installation, people: Street, cut: tuple[str, ...], lost: bool
    ) -> None:
        """At the first description: the offer, going up and coming down, which has just passed or is lost."""
        node = await place.node()
        proxies = {side: await place.proxy(node) for side in ("requester", "volunteer")}
        requester = await people.requester(proxies["requester"].url)
        volunteer = await people.volunteer(proxies["volunteer"].url)
        for side in cut:
            proxies[side].cut_at("description", lost=lost)
        await answered(requester, volunteer)
        assert all(proxies[side].cut.is_set() for side in cut)
        await media_run(requester, volunteer)
        await requester.press("end")
        await volunteer.is_in("ended")
        assert await place.outcomes() == ["completed"]

    async def test_a_call_goes_on_without_the_server(self, place: Installation, people: Street) -> None:
        node = await place.node()
        proxies = [await place.proxy(node) for _ in range(2)]
        requester = await people.requester(proxies[0].url)
        volunteer = await people.volunteer(proxies[1].url)
        await answered(requester, volunteer)
        await media_run(requester, volunteer)
        for proxy in proxies:
            proxy.go_down()
        for person in (requester, volunteer):
            await person.hears("The server cannot be reached for a moment. Your call goes on.")
            await person.picture("without-server")
        await volunteer.write("Still there?")  # by data channel
        await requester.chat_is(["Other person: Still there?"])
        await media_run(requester, volunteer)
        for proxy in proxies:
            proxy.come_up()
        for person in (requester, volunteer):
            await person.hears("The connection is back.")
        assert [await person.attempt() for person in (requester, volunteer)] == [1, 1]
        await volunteer.chat_is(["You: Still there?"])
        await requester.chat_is(["Other person: Still there?"])
        await volunteer.press("end")
        await requester.is_in("ended")

    async def test_both_restart_ice_at_once(self, place: Installation, people: Street) -> None:
        """Two offers cross: the requester's stands, the volunteer rolls back, and the media run on new credentials."""
        node = await place.node()
        requester = await people.requester(node.url)
        volunteer = await people.volunteer(node.url)
        await answered(requester, volunteer)
        await media_run(requester, volunteer)
        before = await requester.ice_credentials()
        await asyncio.gather(*(person.restart_ice() for person in (requester, volunteer)))
        assert not set(before) & set(await requester.ice_credentials())
        await media_run(requester, volunteer)
        assert [await person.attempt() for person in (requester, volunteer)] == [1, 1]

    async def test_another_network_is_met_by_a_restart_with_fresh_credentials(
        self, place: Installation, people: Street
    ) -> None:
        node = await place.node()
        requester = await people.requester(node.url)
        volunteer = await people.volunteer(node.url)
        await answered(requester, volunteer)
        before = await requester.ice_credentials()
        await requester.changes_network()
        await asyncio.gather(*(person.repaired(before) for person in (requester, volunteer)))
        await media_run(requester, volunteer)
        assert [await person.attempt() for person in (requester, volunteer)] == [1, 1]

    async def test_a_call_outlives_its_node(self, place: Installation, people: Street) -> None:
        node = await place.node()
        requester = await people.requester(node.url)
        volunteer = await people.volunteer(node.url)
        await answered(requester, volunteer)
        await media_run(requester, volunteer)
        await node.kill()
        await media_run(requester, volunteer)
        await place.node(port=node.port)
        await volunteer.write("Still there?")
        await requester.chat_is(["Other person: Still there?"])
        await volunteer.press("end")
        await requester.is_in("ended")
        assert await place.outcomes() == ["completed"]

    async def test_a_relay_that_was_restarted_is_used_again(
        self, place: Installation, people: Street, tmp_path: Path
    ) -> None:
        async with turn_server(tmp_path) as turn:
            node = await place.node(**turn.settings)
            requester = await people.requester(node.url)
            volunteer = await people.volunteer(node.url)
            await answered(requester, volunteer)
            await media_run(requester, volunteer)
            before = await requester.ice_credentials()
        async with turn_server(tmp_path, port=turn.port):
            await asyncio.gather(*(person.repaired(before) for person in (requester, volunteer)))
            await in_call(requester, volunteer)
            await media_run(requester, volunteer)
            await requester.press("end")
            await volunteer.is_in("ended")


class TestPagesThatGo:
    @pytest.mark.parametrize("side", ["requester", "volunteer"])
    async def test_a_page_reloaded_in_a_call_comes_back(self, place: Installation, people: Street, side: str) -> None:
        node = await place.node()
        both = {"requester": await people.requester(node.url), "volunteer": await people.volunteer(node.url)}
        await answered(**both)
        await media_run(**both)
        await both[side].page.reload()
        await in_call(**both)
        await media_run(**both)
        assert [await person.attempt() for person in both.values()] == [2, 2]
        told = {
            "requester": ["Connecting…", "You are connected. The volunteer sees your camera. Say what you need."],
            "volunteer": ["Connecting you…", "You are connected. Say hello."],
        }
        await both[side].hears("You are connected.")
        assert await both[side].heard() == told[side]
        await both["requester"].press("end")
        await both["volunteer"].is_in("ended")
        assert await place.outcomes() == ["completed"]

    async def test_a_volunteer_whose_page_was_closed_is_followed_by_another(
        self, place: Installation, people: Street
    ) -> None:
        node = await place.node(EYELINE_GRACE_S="2", EYELINE_HEARTBEAT_S="1")
        requester = await people.requester(node.url)
        leaving = await people.volunteer(node.url, "leaving")
        await answered(requester, leaving)
        await media_run(requester, leaving)
        other = await people.volunteer(node.url, "other")
        await leaving.page.close()
        await other.is_in("ringing")
        await requester.is_in("waiting")
        await requester.hears("You keep your place.")
        await other.press("answer")
        await in_call(requester, other)
        await media_run(requester, other)

    async def test_not_working_finds_somebody_else(self, place: Installation, people: Street) -> None:
        node = await place.node()
        requester = await people.requester(node.url)
        first = await people.volunteer(node.url, "first")
        await answered(requester, first)
        other = await people.volunteer(node.url, "other")
        await requester.press("not-working")
        await other.is_in("ringing")
        await first.is_in("ended")
        await first.shows("The call did not work, so someone else is asked.")
        await other.press("answer")
        await in_call(requester, other)
        await media_run(requester, other)

    async def test_a_call_moves_to_another_device(self, place: Installation, people: Street) -> None:
        node = await place.node()
        phone = await people.requester(node.url)
        volunteer = await people.volunteer(node.url)
        await answered(phone, volunteer)
        await media_run(phone, volunteer)
        tablet = await people.arriving_requester(node.url)
        await tablet.is_in("problem")
        await tablet.shows("You are in a call on another of your devices.")
        await tablet.press("move-here")
        await in_call(tablet, volunteer)
        await tablet.hears("You are connected.")
        assert await tablet.heard() == [
            "You are in a call on another of your devices.",
            *("Connecting…", "You are connected. The volunteer sees your camera. Say what you need."),
        ]
        await phone.is_in("problem")
        await phone.shows("The call moved to another of your devices.")
        await media_run(tablet, volunteer)
        await tablet.press("end")
        await volunteer.is_in("ended")
        assert await place.outcomes() == ["completed"]
