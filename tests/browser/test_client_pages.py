"""The pages in every state, in a real Chromium, against a scripted server: what is shown, spoken, focused, and sent.

With `EYELINE_SCREENSHOTS=<folder>` each state is also kept as a picture to look at.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.support.chromium import chromium
from tests.support.scripted_server import Json, ScriptedServer, ScriptedSocket, moment

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

REQUEST = "01900000-0000-7000-8000-0000000000b1"
CALL = "01900000-0000-7000-8000-0000000000c1"
ACCEPT = ("POST", f"/v1/requests/{REQUEST}/accept")

# All tracks this page ever opened.
KEEP_OPENED = """() => {
  window.opened = [];
  const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wish) => {
    const stream = await open(wish);
    window.opened.push(...stream.getTracks());
    return stream;
  };
}"""


def request(state: str = "waiting", **changes: Any) -> Json:
    return {
        "id": REQUEST,
        "state": state,
        "outcome": None,
        "languages": ["da-DK"],
        "topic": None,
        "mode": "video",
        "created_at": moment(-12),
        "deadline": moment(160),
        "epoch": 1,
        "asked": 0,
        "call_id": None,
        **changes,
    }


def offer(**changes: Any) -> Json:
    expiry = {"waiting_since": moment(-3), "expires_at": moment(30), "expires_in_ms": 30_000}
    return {"request_id": REQUEST, "epoch": 1, "language": "da", "topic": None, "mode": "video", **expiry, **changes}


def call(side: str, state: str = "connecting", **changes: Any) -> Json:
    return {
        "id": CALL,
        "request_id": REQUEST,
        "epoch": 1,
        "attempt": 1,
        "kind": "help",
        "side": side,
        "polite": side == "volunteer",
        "mode": "video",
        "state": state,
        "end_reason": None,
        "end_by": None,
        "language": "da",
        "ice_servers": [],
        "ice_expires_at": None,
        "ice_policy": "all",
        "started_at": moment(),
        **changes,
    }


def refusal(code: str, **details: Any) -> Json:
    return {"error": {"code": code, "message": "", "retryable": False, "details": details}}


async def is_in(page: Page, state: str) -> None:
    """Wait for the page's state; keep a picture of it if pictures are wanted."""
    await expect(page.locator("body")).to_have_attribute("data-state", state, timeout=30_000)
    if folder := os.environ.get("EYELINE_SCREENSHOTS"):
        test = os.environ["PYTEST_CURRENT_TEST"].split("::")[-1].split(" ")[0]
        await page.screenshot(path=Path(folder) / f"{test}-{state}.png", full_page=True)


async def says(page: Page, words: str) -> None:
    await expect(page.locator("#status")).to_contain_text(words)


async def speaks(page: Page, words: str) -> None:
    """The words are spoken through a live region, once."""
    await expect(page.locator("[aria-live] p", has_text=words).first).to_be_attached()
    assert await page.locator("[aria-live] p", has_text=words).count() == 1


@pytest_asyncio.fixture(loop_scope="session")
async def requester(page: Page, scripted: ScriptedServer) -> tuple[Page, ScriptedSocket]:
    """A requester signed in and at rest."""
    await page.goto(f"{scripted.url}/requester?as=anna")
    socket = await scripted.welcomed()
    await is_in(page, "rest")
    return page, socket


@pytest_asyncio.fixture(loop_scope="session")
async def waiting(requester: tuple[Page, ScriptedSocket], scripted: ScriptedServer) -> tuple[Page, ScriptedSocket]:
    page, socket = requester
    scripted.answers["POST", "/v1/requests"] = (201, {"request": request()})
    await page.click("#help")
    await is_in(page, "waiting")
    return page, socket


@pytest_asyncio.fixture(loop_scope="session")
async def volunteer(page: Page, scripted: ScriptedServer) -> tuple[Page, ScriptedSocket]:
    """A volunteer who is ready."""
    await page.goto(f"{scripted.url}/volunteer?as=vera")
    socket = await scripted.welcomed()
    await is_in(page, "rest")
    await page.click("#ready")
    frame = await socket.next("ready")
    assert frame["data"] == {"ready": True}
    await socket.ack(frame)
    await is_in(page, "ready")
    return page, socket


async def pass_on(speaker: ScriptedSocket, listener: ScriptedSocket) -> None:
    """What the server does with the frames of a call."""
    while True:
        frame = await speaker.next()
        if "id" in frame:
            await speaker.ack(frame)
        if frame["type"] in {"description", "candidate", "chat", "control", "control_state"}:
            envelope = {key: frame[key] for key in ("id", "call", "attempt")}
            await listener.say(frame["type"], frame["data"], **envelope)


class TestSigningIn:
    async def test_a_first_sign_in_tells_role_languages_and_time_zone(
        self, page: Page, scripted: ScriptedServer
    ) -> None:
        await page.goto(f"{scripted.url}/requester")
        await is_in(page, "signed-out")
        assert await page.input_value("#name") == "requester"
        await page.press("#name", "Enter")
        await scripted.welcomed()
        await is_in(page, "rest")
        [change] = scripted.asked("PATCH", "/v1/me")
        assert change.body["role"] == "requester"
        assert change.body["languages"][0].startswith("en")
        assert change.body["time_zone"]

    async def test_the_name_of_another_role_is_told_so(self, page: Page, scripted: ScriptedServer) -> None:
        scripted.user["role"] = "volunteer"
        await page.goto(f"{scripted.url}/requester?as=vera")
        await is_in(page, "signed-out")
        await says(page, "belongs to a volunteer")

    async def test_signing_out_ends_the_session(
        self, requester: tuple[Page, ScriptedSocket], scripted: ScriptedServer
    ) -> None:
        page, _ = requester
        scripted.answers["DELETE", "/v1/sessions/current"] = (204, None)
        await page.click("#sign-out")
        await is_in(page, "signed-out")
        assert await page.evaluate("Object.keys(localStorage).filter((key) => key.includes('session'))") == []

    async def test_the_words_follow_the_language(self, page: Page, scripted: ScriptedServer) -> None:
        await page.goto(f"{scripted.url}/requester?as=anna&lang=da")
        await scripted.welcomed()
        await is_in(page, "rest")
        await expect(page.locator("#help")).to_have_text("Jeg har brug for hjælp")
        assert await page.evaluate("[document.documentElement.lang, document.documentElement.dir]") == ["da", "ltr"]


class TestLoading:
    @pytest.mark.parametrize("name", ["requester.js", "lib/words.js"])
    async def test_a_page_whose_scripts_did_not_come_is_loaded_again(
        self, page: Page, scripted: ScriptedServer, name: str
    ) -> None:
        """As when the network changes meanwhile; and nobody could be told that nothing came."""
        broken = 0

        async def break_off(route: Any) -> None:
            nonlocal broken
            broken += 1
            await (route.abort("connectionaborted") if broken <= 2 else route.continue_())

        await page.route(f"**/static/{name}", break_off)
        await page.goto(f"{scripted.url}/requester?as=anna")
        await scripted.welcomed()
        await is_in(page, "rest")
        assert broken == 3


class TestRequester:
    async def test_by_keyboard_alone_from_rest_to_cancelled(
        self, requester: tuple[Page, ScriptedSocket], scripted: ScriptedServer
    ) -> None:
        page, _ = requester
        scripted.answers["POST", "/v1/requests"] = (201, {"request": request()})
        ended = request("ended", outcome="cancelled")
        scripted.answers["POST", f"/v1/requests/{REQUEST}/cancel"] = (200, {"request": ended})
        await page.keyboard.press("Tab")
        await expect(page.locator("#help")).to_be_focused()
        await page.keyboard.press("Enter")
        await is_in(page, "waiting")
        await page.keyboard.press("Tab")
        await expect(page.locator("#cancel")).to_be_focused()
        await page.keyboard.press("Enter")
        await is_in(page, "ended")
        await speaks(page, "Your request was cancelled.")
        await page.keyboard.press("Tab")
        await expect(page.locator("#help")).to_be_focused()

    async def test_waiting_is_shown_each_second_and_spoken_seldom(self, waiting: tuple[Page, ScriptedSocket]) -> None:
        page, socket = waiting
        await speaks(page, "Looking for someone who speaks Danish.")
        note = {"code": "asking", "params": {}}
        await socket.raw({"type": "progress", "data": {"request_id": REQUEST, "asked": 3, "note": note}})
        await says(page, "Looking for someone who speaks Danish. Asked 3 people. 13 seconds.")
        await says(page, "15 seconds.")
        assert await page.locator("#live-polite p").count() == 2  # the greeting and the looking: not every second
        await speaks(page, "Asking people now. Asked 3 people.")

    async def test_one_tap_is_one_request_however_often_it_is_sent(
        self, requester: tuple[Page, ScriptedSocket], scripted: ScriptedServer
    ) -> None:
        page, _ = requester
        unavailable = {"error": {"code": "unavailable", "message": "", "retryable": True}}
        answers = iter([(503, unavailable), (503, unavailable), (201, {"request": request()})])
        scripted.answers["POST", "/v1/requests"] = lambda asked: next(answers)
        await page.dblclick("#help")
        await is_in(page, "waiting")
        keys = [asked.headers["Idempotency-Key"] for asked in scripted.asked("POST", "/v1/requests")]
        assert len(keys) == 3
        assert len(set(keys)) == 1

    @pytest.mark.parametrize(
        ("mode", "kept"), [("video", {"audio": True, "video": True}), ("voice", {"audio": True}), ("text", {})]
    )
    async def test_nothing_stays_open_that_the_request_found_has_no_use_for(
        self, requester: tuple[Page, ScriptedSocket], scripted: ScriptedServer, mode: str, kept: dict[str, bool]
    ) -> None:
        """A tap for help by picture finds the request that this person made elsewhere."""
        page, _ = requester
        await page.evaluate(KEEP_OPENED)
        scripted.answers["POST", "/v1/requests"] = (409, refusal("request_open", request=request(mode=mode)))
        await page.click("#help")
        await is_in(page, "waiting")
        live = "Object.fromEntries(window.opened.filter((t) => t.readyState === 'live').map((t) => [t.kind, true]))"
        assert await page.evaluate(live) == kept

    @pytest.mark.parametrize(
        ("outcome", "state", "words", "label"),
        [
            ("completed", "ended", "The call has ended.", "I need help"),
            ("cancelled", "ended", "Your request was cancelled.", "I need help"),
            ("expired", "nobody", "Nobody could come this time.", "Try again"),
            ("failed", "nobody", "Nobody could come this time.", "Try again"),
        ],
    )
    async def test_every_outcome_has_words_and_a_next_step(
        self, waiting: tuple[Page, ScriptedSocket], outcome: str, state: str, words: str, label: str
    ) -> None:
        page, socket = waiting
        await socket.say("request", {"request": request("ended", outcome=outcome)})
        await is_in(page, state)
        await says(page, words)
        await speaks(page, words)
        await expect(page.locator("#help")).to_have_text(label)

    async def test_going_back_to_waiting_is_told(self, waiting: tuple[Page, ScriptedSocket]) -> None:
        page, socket = waiting
        await socket.say("request", {"request": request("connecting", call_id=CALL)})
        await socket.say("call", {"call": call("requester")})
        await is_in(page, "connecting")
        await speaks(page, "Someone answered.")
        lost = call("requester", "ended", end_reason="lost", end_by="system")
        await socket.say("call", {"call": lost})
        await socket.say("request", {"request": request(epoch=2, asked=4)})
        await is_in(page, "waiting")
        await speaks(page, "The call broke off. You keep your place. Looking for someone who speaks Danish.")

    async def test_a_camera_paused_in_the_call_before_is_not_said_to_be_seen(
        self, waiting: tuple[Page, ScriptedSocket]
    ) -> None:
        page, socket = waiting
        await socket.say("request", {"request": request("in_call", call_id=CALL)})
        await socket.say("call", {"call": call("requester", "connected")})
        await is_in(page, "in-call")
        await page.click("#pause-video")
        await socket.say("call", {"call": call("requester", "ended", end_reason="lost", end_by="system")})
        await socket.say("request", {"request": request(epoch=2)})
        await is_in(page, "waiting")
        another = CALL[:-1] + "f"
        await socket.say("request", {"request": request("in_call", epoch=2, call_id=another)})
        await socket.say("call", {"call": call("requester", "connected", id=another, epoch=2)})
        await speaks(
            page, "without the camera. Say what you need. Your camera is paused. The volunteer sees no picture."
        )

    async def test_what_ended_while_away_is_asked_for(
        self, waiting: tuple[Page, ScriptedSocket], scripted: ScriptedServer
    ) -> None:
        page, socket = waiting
        ended = request("ended", outcome="expired")
        scripted.answers["GET", f"/v1/requests/{REQUEST}"] = (200, {"request": ended})
        await socket.cut()
        await scripted.welcomed()
        await is_in(page, "nobody")
        await says(page, "Nobody could come this time.")

    async def test_a_lost_network_is_shown_after_a_while_and_its_return_spoken(
        self, waiting: tuple[Page, ScriptedSocket], scripted: ScriptedServer
    ) -> None:
        page, socket = waiting
        await socket.cut()
        again = await scripted.socket()
        await again.cut()
        await expect(page.locator("#network")).to_be_visible()
        await speaks(page, "The connection is lost.")
        third = await scripted.socket()
        await third.next("hello")
        await third.welcome(request=request())
        await expect(page.locator("#network")).to_be_hidden()
        await is_in(page, "waiting")

    async def test_a_reload_finds_the_open_request(
        self, waiting: tuple[Page, ScriptedSocket], scripted: ScriptedServer
    ) -> None:
        page, _ = waiting
        await page.reload()
        await scripted.welcomed(request=request(asked=2))
        await is_in(page, "waiting")
        await says(page, "Asked 2 people.")
        assert len(scripted.asked("POST", "/v1/sessions")) == 1

    @pytest.mark.parametrize(
        ("code", "words"), [(4403, "This account is suspended."), (4409, "You are using Eyeline in another tab")]
    )
    async def test_a_stopped_connection_has_words(
        self, requester: tuple[Page, ScriptedSocket], scripted: ScriptedServer, code: int, words: str
    ) -> None:
        page, socket = requester
        await socket.close(code)
        await is_in(page, "problem")
        await says(page, words)
        await expect(page.locator("#use-here")).to_be_visible(visible=code == 4409)
        if code == 4409:
            await page.click("#use-here")
            await scripted.welcomed()
            await is_in(page, "rest")

    async def test_a_call_elsewhere_can_be_moved_here(self, page: Page, scripted: ScriptedServer) -> None:
        scripted.answers["POST", f"/v1/calls/{CALL}/take"] = (200, {"call": call("requester", attempt=2)})
        await page.goto(f"{scripted.url}/requester?as=anna")
        socket = await scripted.welcomed(request=request("in_call", call_id=CALL))
        await is_in(page, "problem")
        await page.click("#move-here")
        description = await socket.next("description")
        assert (description["attempt"], description["data"]["type"]) == (2, "offer")
        await is_in(page, "connecting")


class TestRefusedDevices:
    """A browser whose person says no to the camera."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def context(self) -> AsyncIterator[BrowserContext]:
        refusing = chromium("--deny-permission-prompts", without=["--use-fake-ui-for-media-stream"])
        async with refusing as browser, await browser.new_context(locale="en-US") as context:
            yield context

    async def test_a_refused_camera_has_words_and_ways_on(
        self, requester: tuple[Page, ScriptedSocket], scripted: ScriptedServer
    ) -> None:
        page, _ = requester
        await page.click("#help")
        await is_in(page, "problem")
        await says(page, "The camera is blocked.")
        await speaks(page, "The camera is blocked.")
        await expect(page.locator("#retry")).to_be_visible()
        await expect(page.locator("#voice-only")).to_be_visible()
        assert scripted.asked("POST", "/v1/requests") == []

    async def test_a_refused_microphone_lets_a_volunteer_write(
        self, volunteer: tuple[Page, ScriptedSocket], scripted: ScriptedServer
    ) -> None:
        page, socket = volunteer
        scripted.answers[ACCEPT] = (200, {"call": call("volunteer")})
        await socket.say("offer", {"offer": offer()})
        await page.click("#answer")
        await is_in(page, "connecting")
        await speaks(page, "so the other person cannot hear you. You can write messages.")
        await expect(page.locator("#notice")).to_contain_text("Your microphone is blocked")


class TestVolunteer:
    async def test_readiness_is_told_again_after_a_reconnect(
        self, volunteer: tuple[Page, ScriptedSocket], scripted: ScriptedServer
    ) -> None:
        page, socket = volunteer
        await socket.cut()
        again = await scripted.welcomed()
        assert (await again.next("ready"))["data"] == {"ready": True}
        await page.click("#ready")
        assert (await again.next("ready"))["data"] == {"ready": False}
        await is_in(page, "rest")

    async def test_a_ring_says_the_language_and_counts_down(self, volunteer: tuple[Page, ScriptedSocket]) -> None:
        page, socket = volunteer
        await socket.say("offer", {"offer": offer(expires_in_ms=4000)})
        await is_in(page, "ringing")
        await speaks(page, "Incoming call. Someone who speaks Danish needs you.")
        await expect(page.locator("#countdown")).to_have_text("4 seconds to answer")
        await is_in(page, "ready")
        await says(page, "The time to answer has passed.")

    @pytest.mark.parametrize(
        ("reason", "words"),
        [
            ("answered", "Someone else helped. Thank you for being there."),
            ("answered_by_you", "You answered on another of your devices."),
            ("cancelled", "The call was cancelled."),
            ("expired", "The time to answer has passed."),
            ("request_ended", "That call is over."),
            ("unavailable", "That call went to someone else."),
            ("a_reason_of_later", "That call is over."),
        ],
    )
    async def test_a_withdrawn_ring_ends_in_true_words(
        self, volunteer: tuple[Page, ScriptedSocket], reason: str, words: str
    ) -> None:
        page, socket = volunteer
        await socket.say("offer", {"offer": offer()})
        await is_in(page, "ringing")
        await socket.say("offer_withdrawn", {"request_id": REQUEST, "epoch": 2, "reason": "answered"})
        await socket.say("offer_withdrawn", {"request_id": REQUEST, "epoch": 1, "reason": reason})
        await is_in(page, "ready")
        await says(page, words)

    async def test_being_second_is_thanks(
        self, volunteer: tuple[Page, ScriptedSocket], scripted: ScriptedServer
    ) -> None:
        page, socket = volunteer
        scripted.answers[ACCEPT] = (409, refusal("answered_elsewhere"))
        await socket.say("offer", {"offer": offer()})
        await page.click("#answer")
        await is_in(page, "ready")
        await says(page, "Thank you! Someone else answered.")
        assert scripted.asked(*ACCEPT)[0].body == {"epoch": 1}

    async def test_not_now_declines(self, volunteer: tuple[Page, ScriptedSocket], scripted: ScriptedServer) -> None:
        page, socket = volunteer
        decline = ("POST", f"/v1/requests/{REQUEST}/decline")
        declined = asyncio.Event()

        def answer(asked: Any) -> tuple[int, None]:
            declined.set()
            return 204, None

        scripted.answers[decline] = answer
        await socket.say("offer", {"offer": offer()})
        await page.click("#not-now")
        await is_in(page, "ready")
        async with asyncio.timeout(5):
            await declined.wait()
        assert scripted.asked(*decline)[0].body == {"epoch": 1, "reason": "not_now"}

    async def test_an_offer_of_the_snapshot_rings_and_one_gone_stops(
        self, volunteer: tuple[Page, ScriptedSocket], scripted: ScriptedServer
    ) -> None:
        page, socket = volunteer
        await socket.welcome(incarnation="two", offers=[offer()])
        await is_in(page, "ringing")
        await socket.welcome(incarnation="three")
        await is_in(page, "ready")

    async def test_hours_and_languages_are_saved(
        self, volunteer: tuple[Page, ScriptedSocket], scripted: ScriptedServer
    ) -> None:
        page, _ = volunteer
        scripted.answers["PUT", "/v1/me/availability"] = lambda asked: (200, asked.body)
        await page.get_by_label("Saturday").check()
        await page.fill("input[name=to]", "00:00")
        await page.click("#save-hours")
        await expect(page.locator("#hours-saved")).to_have_text("Hours saved.")
        [saved] = scripted.asked("PUT", "/v1/me/availability")
        days = {"days": [1, 2, 3, 4, 5, 6], "from": "08:00", "to": "24:00"}
        assert saved.body == {"weekly": [days], "paused": False, "paused_until": None}
        await page.select_option("#add-language", "fo")
        await page.get_by_role("button", name="Add", exact=True).click()
        await expect(page.locator("#languages")).to_contain_text("Faroese")
        assert scripted.asked("PATCH", "/v1/me")[-1].body["languages"][-1] == "fo"


class TestCall:
    async def test_two_pages_meet_talk_rejoin_and_part(self, browser: Browser, scripted: ScriptedServer) -> None:
        pages = [await (await browser.new_context(locale="en-US")).new_page() for _ in range(2)]
        requester, volunteer = pages
        await requester.goto(f"{scripted.url}/requester?as=anna")
        here = await scripted.welcomed(request=request("connecting", call_id=CALL), call=None)
        await is_in(requester, "problem")
        scripted.answers["POST", f"/v1/calls/{CALL}/take"] = (200, {"call": call("requester")})
        await requester.click("#move-here")
        await is_in(requester, "connecting")
        scripted.user = {**scripted.user, "role": None}
        await volunteer.goto(f"{scripted.url}/volunteer?as=vera")
        there = await scripted.welcomed(offers=[offer()])
        await is_in(volunteer, "ringing")
        scripted.answers[ACCEPT] = (200, {"call": call("volunteer")})
        await volunteer.click("#answer")
        await is_in(volunteer, "connecting")
        carriers = [asyncio.create_task(pass_on(here, there)), asyncio.create_task(pass_on(there, here))]
        try:
            await self._picture_runs(volunteer)
            await here.say("request", {"request": request("in_call", call_id=CALL)})
            for socket, side in ((here, "requester"), (there, "volunteer")):
                await socket.say("call", {"call": call(side, "connected")})
            await is_in(requester, "in-call")
            await is_in(volunteer, "in-call")
            await speaks(requester, "You are connected. The volunteer sees your camera.")
            await self._they_talk(requester, volunteer)
            await self._both_build_anew(requester, volunteer, here, there)
            await self._they_part(requester, volunteer, here, there)
        finally:
            for carrier in carriers:
                carrier.cancel()
            await asyncio.gather(*carriers, return_exceptions=True)
            for page in pages:
                await page.context.close()

    async def _picture_runs(self, volunteer: Page) -> None:
        await volunteer.wait_for_function("() => document.getElementById('remote-video').videoWidth > 0")
        muted = await volunteer.evaluate("['audio', 'video'].map((k) => document.getElementById(`remote-${k}`).muted)")
        assert muted == [False, False]

    async def _they_talk(self, requester: Page, volunteer: Page) -> None:
        await requester.fill("#chat-text", "What does it say?")
        await requester.press("#chat-text", "Enter")
        await expect(volunteer.locator("#chat-log p")).to_have_text(["Other person: What does it say?"])
        await volunteer.click("[data-phrase=move_left]")
        await expect(requester.locator("#chat-log p")).to_have_text(
            ["You: What does it say?", "Other person: Move left"]  # by socket and by data channel, written once
        )
        await volunteer.click("#torch")
        await speaks(requester, "The volunteer asks for light")
        await requester.click("#mute")
        await expect(requester.locator("#mute")).to_have_text("Unmute my microphone")
        sender = "window.eyeline.pc.getSenders().find((sender) => sender.track?.kind === 'audio').track.enabled"
        assert await requester.evaluate(sender) is False

    async def _both_build_anew(
        self, requester: Page, volunteer: Page, here: ScriptedSocket, there: ScriptedSocket
    ) -> None:
        for socket, side in ((there, "volunteer"), (here, "requester")):
            await socket.say("call", {"call": call(side, "reconnecting", attempt=2)})
        await says(requester, "The connection is interrupted.")
        for page in (requester, volunteer):
            await page.wait_for_function(
                "() => window.eyeline.call.view.attempt === 2 && window.eyeline.pc.connectionState === 'connected'"
            )
        await self._picture_runs(volunteer)
        for socket, side in ((there, "volunteer"), (here, "requester")):
            await socket.say("call", {"call": call(side, "connected", attempt=2)})
        await says(requester, "Connected again.")

    async def _they_part(self, requester: Page, volunteer: Page, here: ScriptedSocket, there: ScriptedSocket) -> None:
        await there.say("call", {"call": call("volunteer", "ended", attempt=2, end_reason="done", end_by="them")})
        await here.say("call", {"call": call("requester", "ended", attempt=2, end_reason="done", end_by="me")})
        await here.say("request", {"request": request("ended", outcome="completed", call_id=CALL)})
        await is_in(volunteer, "ended")
        await says(volunteer, "Thank you for helping.")
        await is_in(requester, "ended")
        assert await requester.evaluate("window.eyeline.pc") is None
        await is_in(requester, "rest")
        await volunteer.click("#continue")
        await is_in(volunteer, "rest")

    async def test_a_reloaded_page_asks_to_build_anew(self, page: Page, scripted: ScriptedServer) -> None:
        rejoin = ("POST", f"/v1/calls/{CALL}/rejoin")
        scripted.answers[rejoin] = (200, {"call": call("requester", "connected", attempt=3)})
        await page.goto(f"{scripted.url}/requester?as=anna")
        live = call("requester", "connected", attempt=2)
        socket = await scripted.welcomed(request=request("in_call", call_id=CALL), call=live)
        description = await socket.next("description")
        assert scripted.asked(*rejoin)[0].body == {"attempt": 2}
        assert (description["attempt"], description["data"]["negotiation"]) == (3, 1)
        await is_in(page, "in-call")

    async def test_ice_servers_are_renewed_a_minute_before_they_end(self, page: Page, scripted: ScriptedServer) -> None:
        renew = ("POST", f"/v1/calls/{CALL}/ice")
        renewed = asyncio.Event()

        def answer(asked: Any) -> tuple[int, Json]:
            renewed.set()
            return 200, {"ice_servers": [{"urls": ["stun:127.0.0.1:9"]}], "expires_at": moment(300)}

        scripted.answers[renew] = answer
        scripted.answers["POST", f"/v1/calls/{CALL}/rejoin"] = (
            200,
            {"call": call("requester", "connected", attempt=2, ice_expires_at=moment(66))},
        )
        await page.goto(f"{scripted.url}/requester?as=anna")
        await scripted.welcomed(request=request("in_call", call_id=CALL), call=call("requester", "connected"))
        async with asyncio.timeout(9):
            await renewed.wait()
        await page.wait_for_function("() => window.eyeline.pc.getConfiguration().iceServers.length === 1")


class TestAdmin:
    QUEUE: Json = {  # noqa: RUF012 - read only
        "now": "2026-11-23T12:00:00.000Z",
        "waiting": [{"language": "da", "count": 2, "oldest_wait_s": 75.4}],
        "offers_open": 12,
        "calls_connecting": 1,
        "calls_live": 3,
        "volunteers": [{"language": "da", "hot": 4, "reachable": 1250}],
        "volunteers_known": True,
        "answer_time": {"p50_s": 3.24, "p95_s": 11.0, "count": 9},
    }

    async def test_figures_by_http_then_live(self, page: Page, scripted: ScriptedServer) -> None:
        scripted.answers["GET", "/v1/admin/queue"] = (200, self.QUEUE)
        await page.goto(f"{scripted.url}/admin?as=admin")
        await is_in(page, "live")
        await expect(page.locator("#waiting")).to_contain_text("Danish")
        await expect(page.locator("#waiting")).to_contain_text("1 minute 15 seconds")
        await expect(page.locator("#volunteers")).to_contain_text("1,250")
        await expect(page.locator("#answer-p50")).to_have_text("3.2 sec")
        socket = await scripted.socket()
        assert (await socket.next())["type"] == "hello"
        await socket.raw(
            {"type": "queue", "data": {**self.QUEUE, "calls_live": 7, "volunteers": [], "volunteers_known": False}}
        )
        await expect(page.locator("#calls-live")).to_have_text("7")
        await expect(page.locator("#volunteers")).to_contain_text("being rebuilt")
        await page.check("#pause")
        await socket.raw({"type": "queue", "data": {**self.QUEUE, "calls_live": 8}})
        await socket.raw({"type": "queue", "data": {**self.QUEUE, "calls_live": 9}})
        await page.uncheck("#pause")
        await expect(page.locator("#calls-live")).to_have_text("7")
        await socket.raw({"type": "queue", "data": {**self.QUEUE, "calls_live": 10}})
        await expect(page.locator("#calls-live")).to_have_text("10")

    async def test_without_the_feed_it_asks(self, page: Page, scripted: ScriptedServer) -> None:
        scripted.answers["GET", "/v1/admin/queue"] = (200, self.QUEUE)
        await page.goto(f"{scripted.url}/admin?as=admin")
        await is_in(page, "live")
        scripted.answers["GET", "/v1/admin/queue"] = (200, {**self.QUEUE, "calls_live": 5})
        await expect(page.locator("#calls-live")).to_have_text("5")

    async def test_no_observer_is_told_how_to_become_one(self, page: Page, scripted: ScriptedServer) -> None:
        scripted.answers["GET", "/v1/admin/queue"] = (403, refusal("not_allowed"))
        await page.goto(f"{scripted.url}/admin?as=nobody")
        await is_in(page, "problem")
        await says(page, "eyeline admin grant")


class TestLayout:
    @pytest.mark.parametrize("path", ["", "requester?as=anna", "volunteer?as=vera"])
    async def test_nothing_is_wider_than_320_pixels(self, page: Page, scripted: ScriptedServer, path: str) -> None:
        await page.set_viewport_size({"width": 320, "height": 568})
        await page.goto(f"{scripted.url}/{path}")
        if path:
            await scripted.welcomed()
            await is_in(page, "rest")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 320

    async def test_targets_are_large(self, volunteer: tuple[Page, ScriptedSocket]) -> None:
        page, _ = volunteer
        small = await page.evaluate(
            """() => [...document.querySelectorAll("button, select, input:not([type=checkbox]), a")]
            .filter((e) => e.checkVisibility()).map((e) => [e.id || e.textContent, e.getBoundingClientRect().height])
            .filter(([, height]) => height < 44)"""
        )
        assert small == []
