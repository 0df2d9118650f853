"""Whole calls: real Chromium, real pages, real nodes, media over loopback.

With `EYELINE_SCREENSHOTS=<folder>` each state of each page is also kept as a picture to look at.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from infra.phone.caller import place_call
from infra.phone.volunteer import run_demo_volunteer
from server.commands import grant
from tests.support.engines import Engines, kill
from tests.support.installation import Installation
from tests.support.nodes import Node
from tests.support.people import Person, Street, answered, in_call, media_run
from tests.support.turn import turn_server

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@asynccontextmanager
async def demo_volunteer(node: Node) -> AsyncIterator[None]:
    """The server's phone, ready to answer."""
    ready = asyncio.Event()

    def listen(event: str, details: object) -> None:
        if event == "ready":
            ready.set()

    demo = asyncio.create_task(run_demo_volunteer(node.url, answer_after_s=0.1, include_loopback=True, on_event=listen))
    try:
        async with asyncio.timeout(20):
            await ready.wait()
        yield
    finally:
        demo.cancel()
        await asyncio.gather(demo, return_exceptions=True)


class TestCompleteCall:
    @pytest.mark.parametrize("count", [1, 2], ids=["one node", "two nodes"])
    async def test_tap_answer_see_hear_write_end(self, place: Installation, people: Street, count: int) -> None:
        nodes = [await place.node() for _ in range(count)]
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
        assert await place.outcomes() == ["completed"]

    async def test_the_same_on_the_smallest_of_phones_in_the_dark(self, place: Installation, people: Street) -> None:
        """Every state is checked for what does not fit, and for what cannot be read."""
        node = await place.node()
        phone: dict[str, Any] = {"viewport": {"width": 320, "height": 568}, "color_scheme": "dark"}
        requester = await people.requester(node.url, context=await people.context(**phone))
        volunteer = await people.volunteer(node.url, context=await people.context(**phone))
        await answered(requester, volunteer)
        await volunteer.page.click("[data-phrase=more_light]")
        await requester.chat_is(["Other person: More light, please"])
        await volunteer.press("torch")
        await requester.hears("The volunteer asks for light, but this device has none.")
        await requester.write("Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft")
        await volunteer.chat_is(["You: More light, please", re.compile("^Other person: Donau")])
        await requester.is_in("in-call")
        await volunteer.sees()
        await volunteer.is_in("in-call")
        await volunteer.press("end")
        await requester.is_in("ended")
        await volunteer.is_in("ended")

    async def test_muted_is_silence_and_both_can(self, place: Installation, people: Street) -> None:
        node = await place.node()
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
        self, place: Installation, people: Street, tmp_path: Path
    ) -> None:
        async with turn_server(tmp_path) as turn:
            node = await place.node(**turn.settings)
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

    async def test_the_demo_volunteer_answers_a_browser(self, place: Installation, people: Street) -> None:
        node = await place.node()
        async with demo_volunteer(node):
            requester = await people.requester(node.url)
            await requester.press("help")
            await requester.is_in("in-call")
            await requester.hears_the_other()
            await requester.hears("Other person: I see your picture")
            await requester.picture("described")
            await requester.press("end")
            await requester.is_in("ended")
        assert await place.outcomes() == ["completed"]

    async def test_the_servers_phone_answers_in_writing_too(self, place: Installation, people: Street) -> None:
        node = await place.node()
        async with demo_volunteer(node):
            requester = await people.requester(node.url)
            await requester.press("in-writing")
            await requester.hears("You are connected, in writing.")
            await requester.write("Which one is milk?")
            await requester.hears("Other person: You wrote: Which one is milk?")
            await requester.press("end")
            await requester.is_in("ended")
        assert await place.outcomes() == ["completed"]

    async def test_a_terminal_asks_and_a_browser_answers(self, place: Installation, people: Street) -> None:
        node = await place.node()
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
        assert await place.outcomes() == ["completed"]


class TestWithoutEyes:
    async def test_by_keyboard_alone(self, place: Installation, people: Street) -> None:
        node = await place.node()
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
        await requester.hears("The call has ended. For two minutes you can ask the same person again.")
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
            "The call has ended. For two minutes you can ask the same person again.",
        ]


class TestAdmin:
    async def test_figures_follow_a_call(self, place: Installation, people: Street) -> None:
        node = await place.node()
        admin = await people.admin(node.url)
        await admin.is_in("problem")
        await admin.shows("This account is no observer.")
        assert await grant(place.database_url, admin.name, "observer")
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

    async def test_figures_without_valkey_are_told_as_not_known(
        self, place: Installation, people: Street, engines: Engines
    ) -> None:
        node = await place.node()
        admin = await people.admin(node.url)
        await admin.is_in("problem")
        await grant(place.database_url, admin.name, "observer")
        await admin.press("retry")
        await admin.is_in("live")
        kill(engines.valkey)
        await self._figures(admin, volunteers="Not known for a moment", waiting="Nobody is waiting.")
        engines.restore()
        await self._figures(admin, volunteers="No volunteers can be reached now.")

    async def _figures(self, admin: Person, **expected: str) -> None:
        ids = {"waiting": "waiting", "volunteers": "volunteers", "offers": "offers-open", "live": "calls-live"}
        for name, text in expected.items():
            await expect(admin.page.locator(f"#{ids[name]}")).to_contain_text(text)
