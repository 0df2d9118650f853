"""From the tap to the answer: who is rung, who is next, and on which device."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Browser, expect

from tests.support.chromium import chromium
from tests.support.installation import Installation
from tests.support.people import Street, answered, in_call, media_run, street

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

ONE_AT_A_TIME = {"EYELINE_WAVES": "fixed", "EYELINE_WAVE_SIZE": "1", "EYELINE_WAVE_INTERVAL_S": "60"}


class TestWaiting:
    async def test_not_now_rings_the_next(self, place: Installation, people: Street) -> None:
        node = await place.node(**ONE_AT_A_TIME)
        requester = await people.requester(node.url)
        first = await people.volunteer(node.url, "first")
        await requester.press("help")
        await first.is_in("ringing")
        await requester.is_in("waiting")
        second = await people.volunteer(node.url, "second")
        await first.press("not-now")
        await second.is_in("ringing")
        await first.is_in("ready")
        await first.shows("someone else is asked")
        await requester.shows("Asked 2 people.")
        await second.press("answer")
        await in_call(requester, second)

    async def test_cancelled_while_waiting(self, place: Installation, people: Street) -> None:
        node = await place.node()
        requester = await people.requester(node.url)
        volunteer = await people.volunteer(node.url)
        await requester.press("help")
        await volunteer.is_in("ringing")
        await requester.is_in("waiting")
        await requester.press("cancel")
        await requester.is_in("ended")
        await requester.hears("Your request was cancelled.")
        await volunteer.is_in("ready")
        await volunteer.shows("The call was cancelled. Thank you for being there.")
        assert await place.outcomes() == ["cancelled"]

    async def test_who_leaves_before_media_is_followed_by_another(self, place: Installation, people: Street) -> None:
        node = await place.node()
        proxy = await place.proxy(node)
        requester = await people.requester(node.url)
        leaving = await people.volunteer(proxy.url, "leaving")
        proxy.stop_at("description")  # so that there are no media before they leave
        await requester.press("help")
        await leaving.is_in("ringing")
        await leaving.press("answer")
        await leaving.is_in("connecting")
        await requester.is_in("connecting")
        other = await people.volunteer(node.url, "other")
        await leaving.press("end")
        await leaving.is_in("ended")
        await leaving.shows("You left. Someone else is asked to help.")
        await other.is_in("ringing")
        await requester.is_in("waiting")
        await requester.hears("You keep your place.")
        await requester.picture("again")
        await other.press("answer")
        await in_call(requester, other)
        await media_run(requester, other)
        await requester.press("end")
        await other.is_in("ended")
        assert await place.outcomes() == ["completed"]

    async def test_without_a_camera_voice_does(self, place: Installation, browser: Browser) -> None:
        node = await place.node()
        refusing = chromium("--deny-permission-prompts", without=["--use-fake-ui-for-media-stream"])
        async with refusing as strict, street(strict) as guarded, street(browser) as people:
            context = await guarded.context(permissions=["microphone"])
            requester = await guarded.requester(node.url, context=context)
            volunteer = await people.volunteer(node.url)
            await requester.press("help")
            await requester.is_in("problem")
            await requester.shows("The camera is blocked.")
            await requester.hears("The camera is blocked.")
            assert await requester.page.locator("button:visible").all_inner_texts() == [
                "Sign out",
                "Try again",
                "Call without the camera",
            ]
            await requester.press("voice-only")
            await volunteer.is_in("ringing")
            await volunteer.shows("Incoming call, by voice only.")
            await volunteer.press("answer")
            await in_call(requester, volunteer)
            await requester.hears("You are connected by voice, without the camera.")
            await volunteer.hears("You are connected by voice. There is no picture.")
            await expect(volunteer.page.locator("#remote-video")).to_be_hidden()
            await asyncio.gather(requester.hears_the_other(), volunteer.hears_the_other())


class TestManyDevices:
    async def test_one_tab_at_a_time(self, place: Installation, people: Street) -> None:
        node = await place.node()
        requester = await people.requester(node.url)
        context = await people.context()
        first = await people.volunteer(node.url, context=context)
        second = await people.volunteer(node.url, context=context, ready=False)
        await first.is_in("problem")
        await first.shows("You are using Eyeline in another tab")
        await first.press("use-here")
        await first.is_in("ready")
        await second.is_in("problem")
        await answered(requester, first)
        await media_run(requester, first)

    async def test_answering_on_one_device_silences_the_other(self, place: Installation, people: Street) -> None:
        nodes = [await place.node() for _ in range(2)]
        requester = await people.requester(nodes[0].url)
        phone = await people.volunteer(nodes[0].url)
        tablet = await people.volunteer(nodes[1].url)
        await requester.press("help")
        await phone.is_in("ringing")
        await tablet.is_in("ringing")
        await phone.press("answer")
        await in_call(requester, phone)
        await tablet.is_in("ready")
        await tablet.shows("You answered on another of your devices.")
        await requester.press("end")
        await phone.is_in("ended")


class TestAvoiding:
    async def test_those_who_do_not_want_each_other_are_not_connected_again(
        self, place: Installation, people: Street
    ) -> None:
        node = await place.node(EYELINE_WRAP_UP_S="0")
        requester = await people.requester(node.url)
        avoided = await people.volunteer(node.url, "avoided")
        await answered(requester, avoided)
        await requester.press("end")
        await requester.is_in("ended")
        await requester.press("avoid")
        await requester.hears("You will not be connected again.")
        other = await people.volunteer(node.url, "other")
        await avoided.press("continue")
        await avoided.is_in("ready")
        await requester.press("help")
        await other.is_in("ringing")
        await requester.shows("Asked 1 person.")
        await avoided.is_in("ready")
