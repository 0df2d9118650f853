"""Rung while the page is closed: the service worker, what it shows for each push, and what its buttons do.

Two limits of a browser without a push service, and without a person: `pushManager.subscribe()` hangs, so a subscription
is made up (`page_scripts.SUBSCRIPTIONS`) and DevTools deliver what a push service would; and only a real click may open
or focus a window, so for a made one the address is noted and the test opens it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from playwright.async_api import Page, Request, expect

from infra.webpush.payload import payload
from matching.model import WithdrawReason
from matching.waking import PushText, TextKey, Wake, WakeType
from tests.support import page_scripts
from tests.support.accessibility import check_accessibility
from tests.support.installation import Installation
from tests.support.people import PATIENCE_MS, Person, Street, in_call
from tests.support.push_browser import WITHIN_S, Browser, switched_on

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

REQUEST = UUID("01900000-0000-7000-8000-0000000000b1")
SERVER_KEY = "BOg5KfYiBdDDRF12Ri17y3v-POPr8X0nVP2jDjowPVI_DMKU1aQ3OLdPH1iaakvR9_PHq6tNCzJH35v_JUz2crY"


class Words:
    """So that a test sees which words were shown."""

    def text(self, key: TextKey, call_language: str, languages: Sequence[str]) -> PushText:
        return PushText(f"{key} title", f"{key} body", "da", "ltr", "Danish")

    def answers(self, languages: Sequence[str]) -> tuple[str, str]:
        return "Svar", "Ikke nu"


def push(
    type: WakeType, request_id: UUID = REQUEST, epoch: int = 1, *, lives_s: float = 30, answered: bool = False
) -> str:
    """As the server writes it."""
    now = datetime.now(UTC)
    reason = WithdrawReason.ANSWERED if answered else None
    wake = Wake(type, request_id, epoch, "da", now, now + timedelta(seconds=lives_s), reason)
    return payload(wake, ("da",), Words()).decode()


RING, WITHDRAW, MISSED = WakeType.RING, WakeType.WITHDRAW, WakeType.MISSED
FREE = WakeType.SOMEONE_FREE


def devices_told(page: Page) -> asyncio.Queue[Request]:
    """What the page tells the server of this device, as it tells it."""
    told: asyncio.Queue[Request] = asyncio.Queue()

    def sent(request: Request) -> None:
        if "/v1/me/devices/" in request.url:
            told.put_nowait(request)

    page.on("request", sent)
    return told


async def next_told(told: asyncio.Queue[Request]) -> Any:
    """The body, once the server has agreed."""
    async with asyncio.timeout(WITHIN_S):
        request = await told.get()
    answer = await request.response()
    assert answer is not None
    assert answer.status == 204
    return json.loads(request.post_data or "")


async def query(place: Installation, sql: str) -> Any:
    connection = await asyncpg.connect(place.database_url, timeout=10, command_timeout=10)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def rung(place: Installation, people: Street, url: str, volunteer: Person) -> tuple[Person, UUID]:
    """Somebody asks and the volunteer's page, open still, rings; gives them and the request."""
    requester = await people.requester(url)
    await volunteer.press("ready")
    await volunteer.is_in("ready")
    await requester.press("help")
    await volunteer.is_in("ringing")
    return requester, await query(place, "SELECT id FROM requests")


@pytest_asyncio.fixture(loop_scope="session")
async def url(place: Installation) -> str:
    return (await place.node()).url


@pytest_asyncio.fixture(loop_scope="session")
async def vera_s_browser(people: Street, url: str) -> Browser:
    return await Browser.start(people, url, SERVER_KEY)


@pytest_asyncio.fixture(loop_scope="session")
async def vera(people: Street, url: str, vera_s_browser: Browser) -> Person:
    """A volunteer at rest, to be rung when her page is closed."""
    person = await people.volunteer(url, context=vera_s_browser.context, ready=False)
    await switched_on(person)
    await vera_s_browser.registration()
    return person


class TestSwitch:
    async def test_on_over_a_reload_and_off(self, people: Street, url: str, vera_s_browser: Browser) -> None:
        person = await people.volunteer(url, context=vera_s_browser.context, ready=False)
        told = devices_told(person.page)
        switch, hint = (
            person.page.get_by_role("switch", name="Ring me when this page"),
            person.page.locator("#push-hint"),
        )
        await expect(switch).to_have_attribute("aria-checked", "false")
        await expect(hint).to_contain_text("Off: nobody can ring you here")
        await switched_on(person)
        await person.hears("On: you are rung here within the hours below")
        [value] = (await next_told(told))["push"]
        assert value["kind"] == "webpush"
        assert value["value"].startswith("https://updates.push.services.mozilla.com/wpush/v2/")
        assert set(value["keys"]) == {"p256dh", "auth"}
        await person.page.reload()
        await person.is_in("rest")
        await expect(switch).to_have_attribute("aria-checked", "true")
        assert (await next_told(told))["push"] == [value], "renewed quietly"
        assert not any("you are rung here" in words for words in await person.heard())
        await person.press("push")
        await expect(switch).to_have_attribute("aria-checked", "false")
        await person.hears("Off: nobody can ring you here")
        assert (await next_told(told)) == {"platform": "web", "push": []}
        await person.page.reload()
        await expect(hint).to_contain_text("Off: nobody can ring you here")

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [320, 1000])
    async def test_is_legible_and_within_the_screen(self, vera: Person, scheme: Any, width: int) -> None:
        await vera.page.emulate_media(color_scheme=scheme)
        await vera.page.set_viewport_size({"width": width, "height": 800})
        await check_accessibility(vera.page)
        await vera.picture(f"on-{scheme}-{width}")
        await vera.press("push")
        await expect(vera.page.locator("#push")).to_have_attribute("aria-checked", "false")
        await check_accessibility(vera.page)
        await vera.picture(f"off-{scheme}-{width}")

    @pytest.mark.parametrize(
        ("script", "words"),
        [
            ("delete window.PushManager", "This browser cannot ring while the page is closed."),
            ("delete window.PushManager; navigator.standalone = false", "tap Share, then Add to Home Screen"),
        ],
    )
    async def test_what_cannot_be_is_said_and_not_offered(
        self, people: Street, url: str, vera_s_browser: Browser, script: str, words: str
    ) -> None:
        await vera_s_browser.context.add_init_script(script)
        person = await people.volunteer(url, context=vera_s_browser.context, ready=False)
        await expect(person.page.locator("#push-hint")).to_contain_text(words)
        await expect(person.page.locator("#push")).to_be_hidden()
        await check_accessibility(person.page)
        await person.picture("cannot")

    async def test_a_server_without_push(self, people: Street, url: str) -> None:
        context = await people.context()
        missing = {"error": {"code": "not_found", "message": "", "retryable": False}}
        await context.route("**/v1/push/key", lambda route: route.fulfill(status=404, json=missing))
        person = await people.volunteer(url, context=context, ready=False)
        await expect(person.page.locator("#push-hint")).to_have_text(
            "This server cannot ring while the page is closed."
        )
        await expect(person.page.locator("#push")).to_be_hidden()
        assert await person.page.evaluate("navigator.serviceWorker.getRegistrations().then((all) => all.length)") == 0

    async def test_blocked_notifications_have_words(self, people: Street, url: str, vera_s_browser: Browser) -> None:
        await vera_s_browser.context.clear_permissions()
        await vera_s_browser.context.add_init_script("Notification.requestPermission = async () => 'denied'")
        person = await people.volunteer(url, context=vera_s_browser.context, ready=False)
        await person.press("push")
        await person.hears("Notifications are blocked, so nothing can ring here.")
        await expect(person.page.locator("#push")).to_have_attribute("aria-checked", "false")
        await person.picture("blocked")

    async def test_signing_out_leaves_nothing_to_ring_for(self, vera: Person, vera_s_browser: Browser) -> None:
        whom = await vera_s_browser.kept("rung")
        assert (await vera_s_browser.kept(whom["key"]))["access_token"]
        await vera.press("sign-out")
        await vera.is_in("signed-out")
        await vera_s_browser.rings(push(RING))
        assert [await vera_s_browser.kept(key) for key in ("rung", whom["key"])] == [None, None]
        assert await vera.page.evaluate("localStorage.getItem('test.subscription')") is None


class TestPushes:
    @pytest.mark.parametrize("open", [True, False], ids=["page open", "page closed"])
    async def test_a_ring_is_loud_and_its_end_quiet(self, vera: Person, vera_s_browser: Browser, open: bool) -> None:
        if not open:
            await vera.page.close()
        ring = await vera_s_browser.rings(push(RING))
        assert ring["labels"] == [["answer", "Svar"], ["not_now", "Ikke nu"]]
        assert (ring["body"], ring["lang"], ring["dir"], ring["tag"]) == ("ring body", "da", "ltr", str(REQUEST))
        assert ring["renotify"]
        assert ring["requireInteraction"]
        assert ring["vibrate"]
        end = await vera_s_browser.says(push(WITHDRAW, answered=True), "answered title")
        assert (end["body"], end["tag"], end["labels"]) == ("answered body", str(REQUEST), [])
        assert not end["renotify"]
        assert not end["requireInteraction"]

    async def test_a_push_starts_the_worker(self, url: str, vera: Person, vera_s_browser: Browser) -> None:
        await vera.page.close()
        await vera_s_browser.wake(push(RING))
        page = await vera_s_browser.context.new_page()
        await page.goto(url)
        assert await page.evaluate(page_scripts.RUNG, PATIENCE_MS) == ["ring title"]

    async def test_a_new_address_is_told_to_the_server(
        self, place: Installation, vera: Person, vera_s_browser: Browser
    ) -> None:
        await vera.page.close()
        await (await vera_s_browser.worker()).evaluate(page_scripts.CHANGE_SUBSCRIPTION)
        stored = await query(place, "SELECT string_agg(value, ' ') FROM push_values")
        assert stored == "https://updates.push.services.mozilla.com/wpush/v2/new"

    async def test_a_ring_that_ran_out_on_its_way_is_told_quietly(self, vera: Person, vera_s_browser: Browser) -> None:
        late = await vera_s_browser.says(push(RING, lives_s=-1), "missed title")
        assert (late["body"], late["labels"], late["requireInteraction"]) == ("missed body", [], False)

    async def test_a_wrong_clock_does_not_silence_rings(self, vera: Person, vera_s_browser: Browser) -> None:
        hour_ahead = "{ const now = Date.now; Date.now = () => now() + 3600e3; }"
        await vera.page.add_init_script(hour_ahead)
        await vera.page.reload()
        await vera.is_in("rest")
        await vera.page.close()
        await (await vera_s_browser.worker()).evaluate(hour_ahead)
        await vera_s_browser.rings(push(RING))

    @pytest.mark.parametrize(("type", "words"), [(WITHDRAW, "no_longer_needed"), (MISSED, "missed")])
    async def test_a_ring_after_its_end_does_not_ring(
        self, vera: Person, vera_s_browser: Browser, type: WakeType, words: str
    ) -> None:
        await vera_s_browser.says(push(type, epoch=2), f"{words} title")
        for epoch in (2, 1):
            await vera_s_browser.says(push(RING, epoch=epoch), "missed title")
        await vera_s_browser.rings(push(RING, epoch=3))

    async def test_the_end_of_an_earlier_round_leaves_the_ring(self, vera: Person, vera_s_browser: Browser) -> None:
        await vera_s_browser.rings(push(RING, epoch=2))
        ring = await vera_s_browser.says(push(WITHDRAW, epoch=1, answered=True), "ring title")
        assert (len(ring["labels"]), ring["requireInteraction"]) == (2, True)
        assert ring["data"] == {"rings": True, "type": "ring", "request_id": str(REQUEST), "epoch": 2}

    async def test_only_the_last_fifty_are_remembered(self, vera: Person, vera_s_browser: Browser) -> None:
        others = [{"id": str(n), "epoch": 1, "over": True} for n in range(60)]
        await vera_s_browser.kept("rings", others)
        await vera_s_browser.rings(push(RING))
        rings = await vera_s_browser.kept("rings")
        assert (len(rings), rings[-1]["id"]) == (50, str(REQUEST))

    @pytest.mark.parametrize(
        ("data", "title"),
        [
            ("not json", "Eyeline"),
            ("", "Eyeline"),
            ("[1]", "Eyeline"),
            ('{"v": "1", "type": "ring", "title": "No id"}', "No id"),
            ('{"v": "1", "type": "of_later", "request_id": "x", "epoch": "1", "title": "Later", "dir": "up"}', "Later"),
            ('{"v": "2", "type": "ring", "request_id": "x", "epoch": "1", "title": "Other"}', "Other"),
        ],
    )
    async def test_whatever_comes_something_is_shown(
        self, vera: Person, vera_s_browser: Browser, data: str, title: str
    ) -> None:
        assert (await vera_s_browser.says(data, title))["labels"] == []


class TestPressing:
    async def test_answer_with_the_page_closed(
        self, place: Installation, people: Street, url: str, vera: Person, vera_s_browser: Browser
    ) -> None:
        requester, request_id = await rung(place, people, url, vera)
        await vera.page.close()
        await vera_s_browser.rings(push(RING, request_id))
        [address] = await vera_s_browser.click("answer")
        assert address == f"/volunteer?as=vera#answer={request_id}.1"
        assert await vera_s_browser.count(0) == 0
        again = await people.opened(url + address, "volunteer", "vera", vera_s_browser.context)
        await in_call(requester, again)
        assert again.page.url == f"{url}/volunteer?as=vera", "a reload does not answer again"
        await requester.press("end")
        await again.is_in("ended")

    async def test_a_click_beside_the_buttons_rings_first(
        self, place: Installation, people: Street, url: str, vera: Person, vera_s_browser: Browser
    ) -> None:
        requester, request_id = await rung(place, people, url, vera)
        await vera.page.close()
        await vera_s_browser.rings(push(RING, request_id))
        [address] = await vera_s_browser.click()
        assert address == f"/volunteer?as=vera#ring={request_id}.1"
        again = await people.opened(url + address, "volunteer", "vera", vera_s_browser.context)
        await again.is_in("ringing")
        await again.press("answer")
        await in_call(requester, again)

    async def test_answer_with_the_page_open(
        self, place: Installation, people: Street, url: str, vera: Person, vera_s_browser: Browser
    ) -> None:
        requester, request_id = await rung(place, people, url, vera)
        await vera_s_browser.rings(push(RING, request_id))
        assert await vera_s_browser.click("answer") == []
        await in_call(requester, vera)

    @pytest.mark.parametrize(("wish", "words"), [("answer", "The call was cancelled."), ("ring", "That call is over.")])
    async def test_too_late_is_told(
        self,
        place: Installation,
        people: Street,
        url: str,
        vera: Person,
        vera_s_browser: Browser,
        wish: str,
        words: str,
    ) -> None:
        requester, request_id = await rung(place, people, url, vera)
        await vera.page.close()
        await requester.press("cancel")
        await requester.is_in("ended")
        address = f"{url}/volunteer?as=vera#{wish}={request_id}.1"
        again = await people.opened(address, "volunteer", "vera", vera_s_browser.context)
        await again.is_in("rest")
        await again.shows(words)

    async def test_not_now_with_the_page_closed_and_the_token_old(
        self, place: Installation, people: Street, url: str, vera: Person, vera_s_browser: Browser
    ) -> None:
        _, request_id = await rung(place, people, url, vera)
        key = (await vera_s_browser.kept("rung"))["key"]
        before = await vera_s_browser.kept(key, {"access_token": "old"})
        await vera.page.evaluate(page_scripts.AGE_TOKEN, key)
        await vera.page.close()
        await vera_s_browser.rings(push(RING, request_id))
        assert await vera_s_browser.click("not_now") == []
        assert await query(place, "SELECT outcome FROM offers") == "declined"
        kept = await vera_s_browser.kept(key)
        assert (kept["session_id"], kept["renewals"]) == (before["session_id"], 1)
        assert kept["refresh_token"] != before["refresh_token"]
        # The page takes up what the worker renewed: it neither signs in anew nor shows the old refresh token.
        sent: list[str] = []
        vera_s_browser.context.on("request", lambda request: sent.append(request.url))
        again = await people.volunteer(url, context=vera_s_browser.context, ready=False)
        assert [address for address in sent if "/sessions" in address] == []
        assert await again.page.evaluate(f"JSON.parse(localStorage.getItem('{key}')).renewals") == 1

    async def test_not_now_with_the_page_open(
        self, place: Installation, people: Street, url: str, vera: Person, vera_s_browser: Browser
    ) -> None:
        _, request_id = await rung(place, people, url, vera)
        await vera_s_browser.rings(push(RING, request_id))
        async with vera.page.expect_response("**/decline") as declined:
            assert await vera_s_browser.click("not_now") == []
        assert (await declined.value).status == 204
        await vera.is_in("ready")
        assert await query(place, "SELECT outcome FROM offers") == "declined"
        await vera_s_browser.says(push(RING, request_id), "missed title")

    async def test_word_that_someone_is_free_opens_the_page_of_who_asked(
        self, vera: Person, vera_s_browser: Browser
    ) -> None:
        shown = await vera_s_browser.deliver(push(FREE))
        assert (shown["title"], shown["silent"], shown["labels"]) == ("someone_free title", False, [])
        assert await vera_s_browser.click() == [f"/requester#free={REQUEST}.1"]

    async def test_a_ring_that_ends_on_the_page_ends_in_the_notification(
        self, place: Installation, people: Street, url: str, vera: Person, vera_s_browser: Browser
    ) -> None:
        requester, request_id = await rung(place, people, url, vera)
        await vera_s_browser.rings(push(RING, request_id))
        await vera.press("answer")
        await in_call(requester, vera)
        assert await vera_s_browser.count(0) == 0
