"""Whole calls: real Chromium, real pages, real nodes, media over loopback.

With `EYELINE_SCREENSHOTS=<folder>` each state of each page is also kept as a picture to look at.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from infra.phone.caller import place_call
from infra.phone.volunteer import run_demo_volunteer
from server.app import grant
from tests.support.chromium import chromium
from tests.support.cutting_proxy import CuttingProxy
from tests.support.nodes import Node
from tests.support.people import Person, Street, street
from tests.support.turn import turn_server

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

ONE_AT_A_TIME = {"EYELINE_WAVE_SIZE": "1", "EYELINE_WAVE_INTERVAL_S": "60"}


class Town:
    """The nodes of one test over one database, and the bad networks in front of them."""

    def __init__(self, database_url: str, valkey_url: str, stack: AsyncExitStack) -> None:
        self.database_url = database_url
        self._valkey_url = valkey_url
        self._stack = stack

    async def node(self, **settings: Any) -> Node:
        return await self._stack.enter_async_context(await Node.start(self.database_url, self._valkey_url, **settings))

    async def proxy(self, node: Node) -> CuttingProxy:
        return await self._stack.enter_async_context(CuttingProxy(node.port).running())

    async def outcomes(self) -> list[str]:
        """What became of the requests that have ended, first to last."""
        connection = await asyncpg.connect(self.database_url, timeout=10, command_timeout=10)
        try:
            rows = await connection.fetch("SELECT outcome FROM requests WHERE state = 'ended' ORDER BY id")
            return [row["outcome"] for row in rows]
        finally:
            await connection.close()


@pytest_asyncio.fixture(loop_scope="session")
async def town(database_url: str, valkey_url: str) -> AsyncIterator[Town]:
    async with AsyncExitStack() as stack:
        yield Town(database_url, valkey_url, stack)


@pytest_asyncio.fixture(loop_scope="session")
async def people(town: Town, browser: Browser) -> AsyncIterator[Street]:
    """They leave before their nodes do."""
    async with street(browser) as people:
        yield people


async def answered(requester: Person, volunteer: Person) -> None:
    """From the tap to both pages in the call."""
    await requester.press("help")
    await volunteer.is_in("ringing")
    await volunteer.press("answer")
    await in_call(requester, volunteer)


async def in_call(requester: Person, volunteer: Person) -> None:
    await volunteer.is_in("in-call")
    await requester.is_in("in-call")


async def media_run(requester: Person, volunteer: Person) -> None:
    """The volunteer sees; both hear."""
    await asyncio.gather(volunteer.sees(), volunteer.hears_the_other(), requester.hears_the_other())


class TestCompleteCall:
    @pytest.mark.parametrize("count", [1, 2], ids=["one node", "two nodes"])
    async def test_tap_answer_see_hear_write_end(self, town: Town, people: Street, count: int) -> None:
        nodes = [await town.node() for _ in range(count)]
        requester = await people.requester(nodes[0].url)
        volunteer = await people.volunteer(nodes[-1].url)
        await answered(requester, volunteer)
        await media_run(requester, volunteer)
        await volunteer.write("What do you need?")
        await requester.chat_is(["Other person: What do you need?"])
        await requester.hears("Other person: What do you need?")
        await requester.write("The date on this milk")
        await volunteer.chat_is(["You: What do you need?", "Other person: The date on this milk"])
        await volunteer.picture("chat")
        await requester.press("end")
        await requester.is_in("ended")
        await requester.shows("The call has ended.")
        await volunteer.is_in("ended")
        await volunteer.shows("Thank you for helping.")
        await requester.is_in("rest")
        await volunteer.press("continue")
        await volunteer.is_in("ready")
        assert await town.outcomes() == ["completed"]

    async def test_muted_is_silence_and_both_can(self, town: Town, people: Street) -> None:
        node = await town.node()
        requester = await people.requester(node.url)
        volunteer = await people.volunteer(node.url)
        await answered(requester, volunteer)
        await media_run(requester, volunteer)
        for person in (requester, volunteer):
            await person.press("mute")
            await expect(person.page.locator("#mute")).to_have_text("Unmute my microphone")
            await person.hears("Your microphone is off.")
        await asyncio.gather(requester.hears_nothing(), volunteer.hears_nothing())
        for person in (requester, volunteer):
            await person.press("mute")
            await person.hears("Your microphone is on.")
        await media_run(requester, volunteer)

    async def test_relayed_when_strangers_must_not_learn_addresses(
        self, town: Town, people: Street, tmp_path: Path
    ) -> None:
        async with turn_server(tmp_path) as turn:
            node = await town.node(**turn.settings)
            requester = await people.requester(node.url)
            volunteer = await people.volunteer(node.url)
            await answered(requester, volunteer)
            await media_run(requester, volunteer)
            for person in (requester, volunteer):
                assert await person.selected_pair() == ["relay", "relay"]
            await volunteer.press("end")
            await requester.is_in("ended")


class TestServersPhone:
    """One browser and aiortc."""

    async def test_the_demo_volunteer_answers_a_browser(self, town: Town, people: Street) -> None:
        node = await town.node()
        ready = asyncio.Event()

        def listen(event: str, details: object) -> None:
            if event == "ready":
                ready.set()

        demo = asyncio.create_task(
            run_demo_volunteer(node.url, answer_after_s=0.1, include_loopback=True, on_event=listen)
        )
        try:
            requester = await people.requester(node.url)
            async with asyncio.timeout(20):
                await ready.wait()
            await requester.press("help")
            await requester.is_in("in-call")
            await requester.hears_the_other()
            await requester.hears("Other person: I see your picture")
            await requester.picture("described")
            await requester.press("end")
            await requester.is_in("ended")
        finally:
            demo.cancel()
            await asyncio.gather(demo, return_exceptions=True)
        assert await town.outcomes() == ["completed"]

    async def test_a_terminal_asks_and_a_browser_answers(self, town: Town, people: Street) -> None:
        node = await town.node()
        volunteer = await people.volunteer(node.url)
        calling = asyncio.create_task(
            place_call(
                node.url, "requester", "en", None, lambda step: None, wait_s=60, talk_s=60, include_loopback=True
            )
        )
        try:
            await volunteer.is_in("ringing")
            await volunteer.press("answer")
            await volunteer.is_in("in-call")
            await asyncio.gather(volunteer.sees(), volunteer.hears_the_other())
            await volunteer.picture("test-picture")
            await volunteer.press("end")
            async with asyncio.timeout(20):
                timeline = await calling
        finally:
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)
        assert timeline.exit_code == 0, timeline.steps
        assert await town.outcomes() == ["completed"]


class TestBadNetwork:
    @pytest.mark.parametrize("cut", [("requester",), ("volunteer",), ("requester", "volunteer")], ids=" and ".join)
    async def test_sockets_cut_in_the_middle_of_negotiation(
        self, town: Town, people: Street, cut: tuple[str, ...]
    ) -> None:
        """Right after the first description passed: the offer, going up or coming down."""
        node = await town.node()
        proxies = {side: await town.proxy(node) for side in ("requester", "volunteer")}
        requester = await people.requester(proxies["requester"].url)
        volunteer = await people.volunteer(proxies["volunteer"].url)
        for side in cut:
            proxies[side].cut_at("description")
        await answered(requester, volunteer)
        assert all(proxies[side].cut.is_set() for side in cut)
        await media_run(requester, volunteer)
        await requester.press("end")
        await volunteer.is_in("ended")
        assert await town.outcomes() == ["completed"]

    async def test_sockets_cut_in_a_call_are_nobodys_business(self, town: Town, people: Street) -> None:
        node = await town.node()
        proxies = [await town.proxy(node) for _ in range(2)]
        requester = await people.requester(proxies[0].url)
        volunteer = await people.volunteer(proxies[1].url)
        await answered(requester, volunteer)
        await media_run(requester, volunteer)
        for proxy in proxies:
            proxy.cut_now()
        await volunteer.write("Still there?")
        await requester.chat_is(["Other person: Still there?"])
        await media_run(requester, volunteer)
        assert [await person.attempt() for person in (requester, volunteer)] == [1, 1]
        await volunteer.press("end")
        await requester.is_in("ended")

    @pytest.mark.parametrize("side", ["requester", "volunteer"])
    async def test_a_page_reloaded_in_a_call_comes_back(self, town: Town, people: Street, side: str) -> None:
        node = await town.node()
        both = {"requester": await people.requester(node.url), "volunteer": await people.volunteer(node.url)}
        await answered(**both)
        await media_run(**both)
        await both[side].page.reload()
        await in_call(**both)
        await media_run(**both)
        assert [await person.attempt() for person in both.values()] == [2, 2]
        await both["requester"].press("end")
        await both["volunteer"].is_in("ended")
        assert await town.outcomes() == ["completed"]


class TestWaiting:
    async def test_not_now_rings_the_next(self, town: Town, people: Street) -> None:
        node = await town.node(**ONE_AT_A_TIME)
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

    async def test_cancelled_while_waiting(self, town: Town, people: Street) -> None:
        node = await town.node()
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
        assert await town.outcomes() == ["cancelled"]

    async def test_a_volunteer_who_leaves_before_media_is_followed_by_another(self, town: Town, people: Street) -> None:
        node = await town.node()
        proxy = await town.proxy(node)
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
        assert await town.outcomes() == ["completed"]

    async def test_a_refused_camera_has_words_and_voice_does_without(self, town: Town, browser: Browser) -> None:
        node = await town.node()
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
            await volunteer.press("answer")
            await in_call(requester, volunteer)
            await requester.hears("You are connected by voice, without the camera.")
            await asyncio.gather(requester.hears_the_other(), volunteer.hears_the_other())


class TestManyDevices:
    async def test_one_tab_at_a_time(self, town: Town, people: Street) -> None:
        node = await town.node()
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

    async def test_answering_on_one_device_silences_the_other(self, town: Town, people: Street) -> None:
        nodes = [await town.node() for _ in range(2)]
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


class TestWithoutEyes:
    async def test_by_keyboard_alone(self, town: Town, people: Street) -> None:
        node = await town.node()
        volunteer = await people.volunteer(node.url)
        requester = await people.stranger(f"{node.url}/requester", "requester")
        await requester.is_in("signed-out")
        await requester.tab_to("name")
        await requester.page.keyboard.type("anna")
        await requester.page.keyboard.press("Enter")
        await requester.is_in("rest")
        await requester.tab_to("help")
        await requester.page.keyboard.press("Enter")
        await volunteer.is_in("ringing")
        await volunteer.press("answer")
        await in_call(requester, volunteer)
        await requester.tab_to("mute")
        await requester.page.keyboard.press("Space")
        await requester.hears("Your microphone is off.")
        await requester.page.keyboard.press("Enter")
        await requester.hears("Your microphone is on.")
        await requester.tab_to("chat-text")
        await requester.page.keyboard.type("Hello")
        await requester.page.keyboard.press("Enter")
        await volunteer.chat_is(["Other person: Hello"])
        await volunteer.write("Good evening")
        await requester.hears("Good evening")
        await requester.tab_to("end", backwards=True)
        await requester.page.keyboard.press("Enter")
        await requester.is_in("ended")
        await requester.tab_to("help")
        await requester.hears("The call has ended.")
        news = ("Asking ", "Still looking")
        assert [text for text in await requester.heard() if not text.startswith(news)] == [
            "Ready when you are.",
            "Looking for someone who speaks English.",
            "Someone answered. Connecting you.",
            "You are connected. The volunteer sees your camera. Say what you need.",
            "Your microphone is off.",
            "Your microphone is on.",
            "You: Hello",
            "Other person: Good evening",
            "The call has ended.",
        ]


class TestAdmin:
    async def test_figures_follow_a_call(self, town: Town, people: Street) -> None:
        node = await town.node()
        admin = await people.admin(node.url)
        await admin.is_in("problem")
        await admin.shows("This account is no observer.")
        assert await grant(town.database_url, admin.name, "observer")
        await admin.press("retry")
        await admin.is_in("live")
        await self._figures(admin, waiting="Nobody is waiting.", volunteers="No volunteers can be reached now.")
        volunteer = await people.volunteer(node.url)
        await self._figures(admin, volunteers="English11")
        requester = await people.requester(node.url)
        await requester.press("help")
        await volunteer.is_in("ringing")
        await self._figures(admin, waiting="English1", offers="1", live="0")
        await admin.picture("waiting")
        await volunteer.press("answer")
        await in_call(requester, volunteer)
        await self._figures(admin, waiting="Nobody is waiting.", offers="0", live="1")
        await requester.press("end")
        await volunteer.is_in("ended")
        await self._figures(admin, live="0")
        await expect(admin.page.locator("#answers-counted")).to_contain_text("1")

    async def _figures(self, admin: Person, **expected: str) -> None:
        ids = {"waiting": "waiting", "volunteers": "volunteers", "offers": "offers-open", "live": "calls-live"}
        for name, text in expected.items():
            await expect(admin.page.locator(f"#{ids[name]}")).to_contain_text(text)
