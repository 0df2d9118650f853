"""When nobody comes, or the call is over: asking again, being told when somebody is free, the same person once more.

By script what the page says and sends in each state; with a real node the whole way.
"""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.test_client_pages import CALL, REQUEST, call, is_in, refusal, request, says, speaks
from tests.support.accessibility import check_accessibility
from tests.support.installation import Installation
from tests.support.people import Street, answered, in_call
from tests.support.scripted_server import ScriptedServer, ScriptedSocket, moment

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

OTHER = "01900000-0000-7000-8000-0000000000b2"
ASK = ("POST", "/v1/requests")
WISH = ("PUT", f"/v1/requests/{REQUEST}/callback")
TAKE_BACK = ("DELETE", f"/v1/requests/{REQUEST}/callback")
LIKE_BEFORE = {"languages": ["da-DK"], "topic": "reading"}


async def arrive(page: Page, scripted: ScriptedServer) -> ScriptedSocket:
    await page.set_viewport_size({"width": 320, "height": 640})
    await page.goto(f"{scripted.url}/requester?as=anna")
    socket = await scripted.welcomed()
    await is_in(page, "rest")
    return socket


async def ask(page: Page, scripted: ScriptedServer, button: str, id: str = REQUEST, **changes: Any) -> Any:
    """Press it; gives what was asked for."""
    scripted.answers[ASK] = (201, {"request": request(id=id, **changes)})
    await page.click(f"#{button}")
    await is_in(page, "waiting")
    return scripted.asked(*ASK)[-1].body


async def nobody_came(page: Page, scripted: ScriptedServer) -> ScriptedSocket:
    """To a request that says more than most."""
    socket = await arrive(page, scripted)
    await ask(page, scripted, "help", topic="reading", mode="voice")
    ended = request("ended", outcome="expired", topic="reading", mode="voice")
    scripted.answers["GET", f"/v1/requests/{REQUEST}"] = (200, {"request": ended})
    scripted.answers[WISH] = scripted.answers[TAKE_BACK] = (204, None)
    await socket.say("request", {"request": ended})
    await is_in(page, "nobody")
    return socket


async def to_be_told(page: Page, scripted: ScriptedServer) -> ScriptedSocket:
    socket = await nobody_came(page, scripted)
    await page.click("#tell-me")
    await is_in(page, "callback")
    return socket


async def legible(page: Page) -> None:
    """In 320 pixels, light and dark."""
    for scheme in ("dark", "light"):
        await page.emulate_media(color_scheme=scheme)
        await check_accessibility(page)


class TestNobodyCame:
    @pytest.mark.parametrize("outcome", ["expired", "failed"])
    async def test_both_ways_on_are_in_sight(self, page: Page, scripted: ScriptedServer, outcome: str) -> None:
        socket = await arrive(page, scripted)
        await ask(page, scripted, "help")
        await socket.say("request", {"request": request("ended", outcome=outcome)})
        await is_in(page, "nobody")
        await speaks(page, "Nobody could come this time. Try again, or let us tell you when someone is free.")
        await expect(page.locator("#help")).to_have_text("Try again")
        for button in ("#help", "#tell-me"):
            await expect(page.locator(button)).to_be_in_viewport(ratio=1)
        await legible(page)

    async def test_a_call_that_failed_is_another_matter(self, page: Page, scripted: ScriptedServer) -> None:
        socket = await arrive(page, scripted)
        await ask(page, scripted, "help")
        await socket.say("request", {"request": request("ended", outcome="failed", call_id=CALL)})
        await is_in(page, "ended")
        await says(page, "The call could not be made.")
        await expect(page.locator("#help")).to_have_text("Try again")
        await expect(page.locator("#tell-me")).to_be_hidden()

    async def test_trying_again_asks_for_the_same(self, page: Page, scripted: ScriptedServer) -> None:
        await nobody_came(page, scripted)
        assert await ask(page, scripted, "help", OTHER) == {**LIKE_BEFORE, "mode": "voice"}


class TestBeingTold:
    async def test_is_wished_and_taken_back_by_keyboard(self, page: Page, scripted: ScriptedServer) -> None:
        await nobody_came(page, scripted)
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        await expect(page.locator("#tell-me")).to_be_focused()
        await page.keyboard.press("Enter")
        await is_in(page, "callback")
        await speaks(page, "We will tell you when someone is free.")
        await speaks(page, "Keep this page open to be told.")
        await legible(page)
        assert len(scripted.asked(*WISH)) == 1
        await page.click("#tell-not")
        await is_in(page, "nobody")
        await speaks(page, "All right, you will not be told.")
        assert len(scripted.asked(*TAKE_BACK)) == 1
        await expect(page.locator("#tell-me")).to_be_visible()

    async def test_that_cannot_be_has_words(self, page: Page, scripted: ScriptedServer) -> None:
        await nobody_came(page, scripted)
        scripted.answers[WISH] = (500, refusal("internal"))
        await page.click("#tell-me")
        await speaks(page, "That did not work. Try again.")
        await expect(page.locator("#tell-me")).to_be_visible()

    async def test_someone_is_free_for_a_while(self, page: Page, scripted: ScriptedServer) -> None:
        socket = await to_be_told(page, scripted)
        await socket.say("someone_free", {"request_id": REQUEST, "until": moment(2)})
        await is_in(page, "free")
        await speaks(page, "Someone is free now. Press Ask now.")
        await expect(page.locator("#help")).to_have_text("Ask now")
        await expect(page.locator("#help")).to_be_focused()
        await legible(page)
        await is_in(page, "nobody")
        await speaks(page, "They may be busy again by now. You can still ask, or be told the next time.")
        await expect(page.locator("#help")).to_have_text("I need help")
        await expect(page.locator("#help")).to_be_focused()
        assert await ask(page, scripted, "help", OTHER) == {**LIKE_BEFORE, "mode": "voice"}

    async def test_asking_now_asks_for_the_same(self, page: Page, scripted: ScriptedServer) -> None:
        socket = await to_be_told(page, scripted)
        await socket.say("someone_free", {"request_id": REQUEST, "until": moment(60)})
        await is_in(page, "free")
        assert await ask(page, scripted, "help", OTHER) == {**LIKE_BEFORE, "mode": "voice"}
        await page.reload()
        await scripted.welcomed()
        await is_in(page, "rest")
        assert len(scripted.asked(*WISH)) == 1, "what was told is over"

    async def test_waiting_for_a_practice_call_is_given_up_for_them(self, page: Page, scripted: ScriptedServer) -> None:
        socket = await to_be_told(page, scripted)
        leave = ("DELETE", "/v1/calls/practice")
        scripted.answers[leave] = (204, None)
        scripted.answers["POST", "/v1/calls/practice"] = (202, {"position": 2})
        await page.click("#practice")
        await speaks(page, "You are number 2 in line.")
        await socket.say("someone_free", {"request_id": REQUEST, "until": moment(60)})
        await is_in(page, "free")
        assert len(scripted.asked(*leave)) == 1
        assert await ask(page, scripted, "help", OTHER) == {**LIKE_BEFORE, "mode": "voice"}

    async def test_who_is_writing_keeps_the_focus(self, page: Page, scripted: ScriptedServer) -> None:
        socket = await to_be_told(page, scripted)
        await page.focus("#group-name")
        await socket.say("someone_free", {"request_id": REQUEST, "until": moment(60)})
        await is_in(page, "free")
        await expect(page.locator("#group-name")).to_be_focused()

    async def test_the_wish_outlives_a_reload(self, page: Page, scripted: ScriptedServer) -> None:
        await to_be_told(page, scripted)
        await page.reload()
        socket = await scripted.welcomed()
        await is_in(page, "callback")
        await speaks(page, "We will tell you when someone is free.")
        await expect(page.locator("#tell-not")).to_be_visible()
        await socket.say("someone_free", {"request_id": REQUEST, "until": moment(60)})
        await is_in(page, "free")
        assert len(scripted.asked(*WISH)) == 2

    async def test_word_that_came_while_away_is_heard(self, page: Page, scripted: ScriptedServer) -> None:
        socket = await to_be_told(page, scripted)
        await socket.cut()
        again = await scripted.socket()
        await again.next("hello")
        await again.welcome(resumed=True, seq=socket.seq + 1)
        free = {"request_id": REQUEST, "until": moment(60)}
        await again.raw({"type": "someone_free", "data": free, "seq": socket.seq + 1})
        await is_in(page, "free")

    async def test_a_pressed_notification_opens_the_page_ready_to_ask(
        self, page: Page, scripted: ScriptedServer
    ) -> None:
        ended = request("ended", outcome="expired", topic="reading", mode="voice")
        scripted.answers["GET", f"/v1/requests/{REQUEST}"] = (200, {"request": ended})
        await page.goto(f"{scripted.url}/requester?as=anna#free={REQUEST}.1")
        await scripted.welcomed()
        await is_in(page, "free")
        await speaks(page, "Someone was free a moment ago. Press Ask now.")
        await expect(page.locator("#help")).to_be_focused()
        assert await ask(page, scripted, "help", OTHER) == {**LIKE_BEFORE, "mode": "voice"}


class TestSearchWords:
    async def test_every_note_is_said_once(self, page: Page, scripted: ScriptedServer) -> None:
        await page.clock.install()
        socket = await arrive(page, scripted)
        await ask(page, scripted, "help")
        spoken = {
            "asking": "Asking people now.",
            "asking_more": "Asking more people.",
            "next_language": "Now also asking people who speak Danish.",
            "group_first": "Asking them first.",
            "opening_to_everyone": "Now also asking others.",
            "nobody_awake": "Few people are available at this hour. Still trying.",
            "same_person_first": "Asking the same person first.",
            "going_back": "Looking for someone else.",
            "still_looking": "Still looking.",
            "a_code_of_later": "Still looking.",
        }
        for code, words in spoken.items():
            note = {"code": code, "params": {"language": "da-DK"}}
            await socket.raw({"type": "progress", "data": {"request_id": REQUEST, "asked": 3, "note": note}})
            await expect(page.locator("#search-note")).to_have_text(words)
        await page.clock.fast_forward(6000)
        await speaks(page, f"{' '.join(list(spoken.values())[:-1])} Asked 3 people.")
        await check_accessibility(page)


class TestTheSamePerson:
    async def test_is_asked_first_within_two_minutes(self, page: Page, scripted: ScriptedServer) -> None:
        await page.clock.install()
        socket = await arrive(page, scripted)
        await self._helped(page, scripted, socket)
        await speaks(page, "The call has ended. For two minutes you can ask the same person again.")
        await expect(page.locator("#same-person")).to_be_in_viewport(ratio=1)
        await legible(page)
        body = await ask(page, scripted, "same-person", OTHER)
        assert body == {"languages": ["da-DK"], "same_as_call_id": CALL}

    async def test_is_offered_no_longer(self, page: Page, scripted: ScriptedServer) -> None:
        await page.clock.install()
        socket = await arrive(page, scripted)
        await self._helped(page, scripted, socket)
        await page.focus("#same-person")
        await page.clock.fast_forward(110_000)
        await expect(page.locator("#same-person")).to_be_visible()
        await page.clock.fast_forward(11_000)
        await expect(page.locator("#same-person")).to_be_hidden()
        await expect(page.locator("#help")).to_be_focused()

    async def test_is_not_offered_after_a_report(self, page: Page, scripted: ScriptedServer) -> None:
        socket = await arrive(page, scripted)
        await self._helped(page, scripted, socket, "reported")
        await expect(page.locator("#same-person")).to_be_hidden()

    async def test_who_is_avoided_is_not_offered(self, page: Page, scripted: ScriptedServer) -> None:
        scripted.answers["POST", f"/v1/calls/{CALL}/avoid"] = (204, None)
        socket = await arrive(page, scripted)
        await self._helped(page, scripted, socket)
        await page.click("#avoid")
        await speaks(page, "You will not be connected again.")
        await expect(page.locator("#same-person")).to_be_hidden()

    async def _helped(self, page: Page, scripted: ScriptedServer, socket: ScriptedSocket, reason: str = "done") -> None:
        await ask(page, scripted, "help")
        await socket.say("request", {"request": request("in_call", call_id=CALL)})
        await socket.say("call", {"call": call("requester", "connected")})
        await is_in(page, "in-call")
        await socket.say("call", {"call": call("requester", "ended", end_reason=reason, end_by="them")})
        await socket.say("request", {"request": request("ended", outcome="completed", call_id=CALL)})
        await is_in(page, "ended")


class TestWithARealNode:
    async def test_nobody_comes_until_somebody_is_free(self, place: Installation, people: Street) -> None:
        node = await place.node(EYELINE_REQUEST_DEADLINE_S="1.5")
        requester = await people.requester(node.url)
        await requester.press("help")
        await requester.is_in("waiting")
        await requester.is_in("nobody")
        await requester.hears("Nobody could come this time.")
        await requester.press("tell-me")
        await requester.is_in("callback")
        await requester.hears("We will tell you when someone is free.")
        volunteer = await people.volunteer(node.url)
        await requester.is_in("free")
        await requester.hears("Someone is free now.")
        await answered(requester, volunteer)
        await requester.press("end")
        await volunteer.is_in("ended")
        assert await place.outcomes() == ["expired", "completed"]

    async def test_the_same_person_comes_again(self, place: Installation, people: Street) -> None:
        node = await place.node(EYELINE_WRAP_UP_S="0")
        requester = await people.requester(node.url)
        helper = await people.volunteer(node.url, "helper")
        await answered(requester, helper)
        await requester.press("end")
        await requester.is_in("ended")
        await helper.press("continue")
        await helper.is_in("ready")
        other = await people.volunteer(node.url, "other")
        await requester.press("same-person")
        await helper.is_in("ringing")
        await requester.hears("Asking the same person first.")
        await other.is_in("ready")
        await helper.press("answer")
        await in_call(requester, helper)
