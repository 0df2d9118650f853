"""A volunteer who said yes a moment too late: another person at once, a moment's patience, or thanks. And their peace.

By script what the page says and sends in each state; with a real node the whole way.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.test_client_pages import ACCEPT, is_in, offer, refusal, says, speaks
from tests.support.accessibility import check_accessibility
from tests.support.installation import Installation
from tests.support.people import Person, Street, in_call
from tests.support.scripted_server import HttpCall, Json, ScriptedServer, ScriptedSocket, moment

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

OTHER = "01900000-0000-7000-8000-0000000000b2"
AVAILABILITY = "/v1/me/availability"
WEEKLY = [{"days": [1, 2, 3, 4, 5], "from": "08:00", "to": "21:00"}]
STAY = "Thank you! Someone else was a moment faster. Stay a moment: if their call fails, you are asked first."


async def arrive(page: Page, scripted: ScriptedServer) -> ScriptedSocket:
    await page.set_viewport_size({"width": 320, "height": 640})
    await page.goto(f"{scripted.url}/volunteer?as=vera")
    socket = await scripted.welcomed()
    await is_in(page, "rest")
    return socket


async def be_ready(page: Page, socket: ScriptedSocket) -> None:
    await page.click("#ready")
    frame = await socket.next("ready")
    assert frame["data"] == {"ready": True}
    await socket.ack(frame)
    await is_in(page, "ready")


async def rung(page: Page, scripted: ScriptedServer) -> ScriptedSocket:
    socket = await arrive(page, scripted)
    await be_ready(page, socket)
    await socket.say("offer", {"offer": offer()})
    await is_in(page, "ringing")
    return socket


async def legible(page: Page) -> None:
    """In 320 pixels, light and dark."""
    for scheme in ("dark", "light"):
        await page.emulate_media(color_scheme=scheme)
        await check_accessibility(page)


class TestTooLate:
    @pytest.mark.parametrize(
        ("mode", "how"), [("video", ""), ("voice", ", by voice only"), ("text", ", in writing only")]
    )
    async def test_another_person_is_waiting(self, page: Page, scripted: ScriptedServer, mode: str, how: str) -> None:
        socket = await rung(page, scripted)
        other = offer(request_id=OTHER, language="fo", mode=mode)
        scripted.answers[ACCEPT] = (409, refusal("answered_elsewhere", offer=other))
        await page.click("#answer")
        await says(page, f"Someone was a moment faster. Another person needs help now{how}. In Faroese.")
        await is_in(page, "ringing")
        await speaks(page, f"Someone was a moment faster. Another person needs help now{how}. In Faroese.")
        await expect(page.locator("[aria-live] p", has_text="Incoming call")).to_have_count(1)  # the one before
        for button in ("#answer", "#not-now"):
            await expect(page.locator(button)).to_be_in_viewport(ratio=1)
        await legible(page)
        await socket.say("offer", {"offer": other})
        accept = ("POST", f"/v1/requests/{OTHER}/accept")
        scripted.answers[accept] = (409, refusal("answered_elsewhere"))
        await page.click("#answer")
        await is_in(page, "ready")
        await speaks(page, "Thank you! Someone else answered.")
        assert len(scripted.asked(*accept)) == 1

    @pytest.mark.parametrize("code", ["answered_elsewhere", "request_ended"])
    async def test_an_offer_that_came_meanwhile_rings(self, page: Page, scripted: ScriptedServer, code: str) -> None:
        socket = await rung(page, scripted)
        told = asyncio.Event()

        async def reply_after_it(route: Any) -> None:
            await told.wait()
            await route.fulfill(status=409, json=refusal(code))

        await page.route("**/accept", reply_after_it)
        await page.click("#answer")
        await is_in(page, "connecting")
        await socket.say("offer", {"offer": offer(request_id=OTHER)})
        await socket.say("chat", {"text": "seen after the offer", "language": "en"})
        while (await socket.next("ack", "ping"))["ack"] < socket.seq:
            pass
        told.set()
        await is_in(page, "ringing")

    async def test_a_moment_of_patience(self, page: Page, scripted: ScriptedServer) -> None:
        socket = await rung(page, scripted)
        until = moment(2.5)
        scripted.answers[ACCEPT] = (409, refusal("answered_elsewhere", standby_until=until))
        await page.click("#answer")
        await is_in(page, "standby")
        await socket.say("standby", {"until": until})
        await speaks(page, STAY)
        await legible(page)
        await is_in(page, "ready")
        await speaks(page, "Thank you. You are ready for the next call.")
        assert await page.locator("[aria-live] p", has_text=STAY).count() == 1

    async def test_by_socket_when_the_reply_is_lost(self, page: Page, scripted: ScriptedServer) -> None:
        socket = await rung(page, scripted)
        await page.route("**/accept", lambda route: route.abort())
        await page.click("#answer")
        await is_in(page, "connecting")
        await socket.say("standby", {"until": moment(60)})
        await is_in(page, "standby")
        await speaks(page, STAY)

    async def test_their_call_fails(self, page: Page, scripted: ScriptedServer) -> None:
        socket = await rung(page, scripted)
        scripted.answers[ACCEPT] = (409, refusal("answered_elsewhere", standby_until=moment(60)))
        await page.click("#answer")
        await is_in(page, "standby")
        await socket.say("offer", {"offer": offer(epoch=2)})
        await is_in(page, "ringing")

    async def test_a_reconnect_leaves_it(self, page: Page, scripted: ScriptedServer) -> None:
        socket = await rung(page, scripted)
        scripted.answers[ACCEPT] = (409, refusal("answered_elsewhere", standby_until=moment(60)))
        await page.click("#answer")
        await is_in(page, "standby")
        await socket.cut()
        again = await scripted.welcomed()
        assert (await again.next("ready"))["data"] == {"ready": True}
        await is_in(page, "standby")


class TestPeace:
    @staticmethod
    def kept(scripted: ScriptedServer, **changes: Any) -> None:
        """The server keeps what it is told."""
        state: Json = {"weekly": WEEKLY, "paused": False, "paused_until": None, **changes}

        def change(asked: HttpCall) -> tuple[int, Json]:
            state.update(asked.body)
            return 200, state

        scripted.answers["GET", AVAILABILITY] = lambda _: (200, state)
        scripted.answers["PUT", AVAILABILITY] = change

    @pytest.mark.parametrize(
        ("button", "hours"),
        [
            ("For 1 hour", 1),
            ("For 3 hours", 3),
            ("For 1 day", 24),
            ("For 3 days", 72),
            ("For 1 week", 168),
            ("Until I say", None),
        ],
    )
    async def test_begins_and_ends(self, page: Page, scripted: ScriptedServer, button: str, hours: int | None) -> None:
        self.kept(scripted)
        socket = await arrive(page, scripted)
        await socket.welcome(incarnation="two", now=moment(600))  # our clock is ten minutes late
        await page.get_by_role("button", name=button).click()
        await expect(page.locator("#ask-again")).to_be_focused()
        await expect(page.locator("#peace-choices")).to_be_hidden()
        body = scripted.asked("PUT", AVAILABILITY)[-1].body
        assert (body["weekly"], body["paused"]) == (WEEKLY, True)
        if hours is None:
            assert body["paused_until"] is None
            await speaks(page, "In peace until you say.")
        else:
            until = datetime.fromisoformat(body["paused_until"])
            wanted = datetime.fromisoformat(moment(600)) + timedelta(hours=hours)
            assert abs(until - wanted) < timedelta(seconds=30)
            words = await page.evaluate(
                "async (until) => (await import('/static/lib/words.js')).when(until)", body["paused_until"]
            )
            await speaks(page, f"In peace until {words}.")
            await expect(page.locator("#peace-said")).to_have_text(f"In peace until {words}.")
        await legible(page)
        await is_in(page, "rest")
        await page.click("#ask-again")
        await speaks(page, "You can be rung again within your hours.")
        await expect(page.locator("#peace-choices button").first).to_be_focused()
        ended = {"weekly": WEEKLY, "paused": False, "paused_until": None}
        assert scripted.asked("PUT", AVAILABILITY)[-1].body == ended

    async def test_ends_by_itself(self, page: Page, scripted: ScriptedServer) -> None:
        self.kept(scripted, paused=True, paused_until=moment(3))
        await arrive(page, scripted)
        await speaks(page, "In peace until")
        await speaks(page, "You can be rung again within your hours.")
        await expect(page.locator("#peace-choices")).to_be_visible()

    async def test_takes_back_being_ready(self, page: Page, scripted: ScriptedServer) -> None:
        self.kept(scripted)
        socket = await arrive(page, scripted)
        await be_ready(page, socket)
        await page.get_by_role("button", name="For 1 hour").click()
        assert (await socket.next("ready"))["data"] == {"ready": False}
        await is_in(page, "rest")
        await says(page, "In peace until")

    async def test_turning_ready_asks_first(self, page: Page, scripted: ScriptedServer) -> None:
        self.kept(scripted, paused=True)
        socket = await arrive(page, scripted)
        await page.click("#ready")
        await is_in(page, "peace")
        words = "In peace until you say. Until then nobody is sent to you, even if you are ready."
        await speaks(page, words)
        await legible(page)
        await page.click("#stay-in-peace")
        await is_in(page, "rest")
        await says(page, "In peace until you say.")
        await page.click("#ready")
        await page.click("#end-peace")
        assert (await socket.next("ready"))["data"] == {"ready": True}
        await is_in(page, "ready")
        assert scripted.asked("PUT", AVAILABILITY)[-1].body["paused"] is False

    async def test_what_was_not_taken_is_told(self, page: Page, scripted: ScriptedServer) -> None:
        self.kept(scripted)
        await arrive(page, scripted)
        scripted.answers["PUT", AVAILABILITY] = (500, refusal("internal"))
        await page.get_by_role("button", name="For 1 day").click()
        await speaks(page, "That could not be saved. Try again.")
        await expect(page.locator("#peace-choices")).to_be_visible()

    async def test_saving_hours_leaves_it(self, page: Page, scripted: ScriptedServer) -> None:
        self.kept(scripted, paused=True)
        await arrive(page, scripted)
        await page.get_by_label("Saturday").check()
        await page.click("#save-hours")
        await expect(page.locator("#hours-saved")).to_have_text("Hours saved.")
        body = scripted.asked("PUT", AVAILABILITY)[-1].body
        assert (body["weekly"][0]["days"], body["paused"]) == ([1, 2, 3, 4, 5, 6], True)


async def too_late(first: Person, late: Person) -> None:
    """Both press Answer; one's reaches the server only when the other has won."""
    won = asyncio.Event()

    async def after_the_first(route: Any) -> None:
        await won.wait()
        await route.continue_()

    await late.page.route("**/accept", after_the_first)
    await late.press("answer")
    await late.is_in("connecting")
    async with first.page.expect_response("**/accept"):
        await first.press("answer")
    won.set()


class TestWithARealNode:
    async def test_who_came_second_stands_by_and_is_asked_first(self, place: Installation, people: Street) -> None:
        node = await place.node(EYELINE_CONNECTING_S="60")
        proxy = await place.proxy(node)
        requester = await people.requester(node.url)
        first = await people.volunteer(proxy.url, "first")
        late = await people.volunteer(node.url, "late")
        proxy.stop_at("description")  # so that their call does not connect
        await requester.press("help")
        await first.is_in("ringing")
        await late.is_in("ringing")
        await too_late(first, late)
        await late.is_in("standby")
        await late.hears(STAY)
        await first.is_in("connecting")
        await first.press("end")
        await late.is_in("ringing")
        await late.press("answer")
        await in_call(requester, late)
        assert (await late.heard()).count(STAY) == 1

    async def test_who_came_second_is_sent_to_another(self, place: Installation, people: Street) -> None:
        node = await place.node(EYELINE_CHANCE_HOT="0.1")
        requester = await people.requester(node.url)
        first = await people.volunteer(node.url, "first")
        late = await people.volunteer(node.url, "late")
        await requester.press("help")
        await first.is_in("ringing")
        await late.is_in("ringing")
        other = await people.requester(node.url, "other")
        await other.press("help")
        await other.is_in("waiting")
        await too_late(first, late)
        await late.is_in("ringing")
        await late.hears("Someone was a moment faster. Another person needs help now. In English.")
        await late.press("answer")
        await in_call(other, late)

    async def test_peace_and_back(self, place: Installation, people: Street) -> None:
        node = await place.node()
        requester = await people.requester(node.url)
        volunteer = await people.volunteer(node.url)
        await volunteer.page.get_by_role("button", name="For 1 hour").click()
        await volunteer.is_in("rest")
        await volunteer.hears("In peace until")
        await requester.press("help")
        await requester.hears("Few people are available at this hour.")
        await volunteer.is_in("rest")
        await volunteer.press("ready")
        await volunteer.is_in("peace")
        await volunteer.press("end-peace")
        await volunteer.is_in("ringing")
        await volunteer.press("answer")
        await in_call(requester, volunteer)
