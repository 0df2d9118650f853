"""People in front of real pages: a browser context each, all they hear written down, and what their media do."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.support import page_scripts
from tests.support.accessibility import check_accessibility

PATIENCE_MS = 20_000
"""For a page to do what it does in a second on a machine that is not busy."""
MEDIA_MS = 30_000
TABS_AT_MOST = 12


class Person:
    """One person, one page, in one state at a time."""

    def __init__(self, page: Page, side: str, name: str) -> None:
        self.page = page
        self.side = side
        self.name = name
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    async def is_in(self, state: str) -> None:
        """Wait for the page's state; with `EYELINE_SCREENSHOTS=<folder>` a picture of it is kept."""
        await expect(self.page.locator("body")).to_have_attribute("data-state", state, timeout=PATIENCE_MS)
        await check_accessibility(self.page)
        await self.picture(state)

    async def picture(self, what: str) -> None:
        if folder := os.environ.get("EYELINE_SCREENSHOTS"):
            test = os.environ["PYTEST_CURRENT_TEST"].split("::")[-1].removesuffix(" (call)").replace(" ", "_")
            path = Path(folder) / f"{test}-{self.side}-{self.name}-{what}.png"
            await self.page.screenshot(path=path, full_page=True)

    async def shows(self, words: str) -> None:
        await expect(self.page.locator("#status")).to_contain_text(words, timeout=PATIENCE_MS)

    async def hears(self, words: str) -> None:
        """A sentence with these words was, or will be, put into a live region."""
        await self.page.evaluate(page_scripts.HEARS, {"words": words, "withinMs": PATIENCE_MS})

    async def heard(self) -> list[str]:
        """Everything spoken since the page was loaded, in order."""
        texts: list[str] = await self.page.evaluate("window.heard.map(({ text }) => text)")
        return texts

    async def press(self, id: str) -> None:
        await self.page.click(f"#{id}", timeout=PATIENCE_MS)

    async def tab_to(self, id: str, *, backwards: bool = False) -> None:
        """Press Tab until the control has the focus; fails when the keyboard cannot get there."""
        seen: list[str] = []
        while len(seen) < TABS_AT_MOST:
            await self.page.keyboard.press("Shift+Tab" if backwards else "Tab")
            focused: str = await self.page.evaluate("document.activeElement.id || document.activeElement.tagName")
            seen.append(focused)
            if focused == id:
                return
        raise AssertionError(f"#{id} is not among what Tab reaches: {seen}")

    async def write(self, text: str) -> None:
        await self.page.fill("#chat-text", text)
        await self.page.press("#chat-text", "Enter")

    async def chat_is(self, lines: Sequence[str | re.Pattern[str]]) -> None:
        await expect(self.page.locator("#chat-log p")).to_have_text(lines, timeout=PATIENCE_MS)

    # Media.

    async def sees(self) -> None:
        """The other side's camera: frames are decoded, more of them all the time, and the element shows them."""
        await self._grows("video", "framesDecoded", 10)
        width, height = await self.page.locator("#remote-video").evaluate(
            page_scripts.PICTURE_IS_SHOWN, timeout=PATIENCE_MS
        )
        assert (width, height) != (0, 0)

    async def hears_the_other(self) -> None:
        """Sound comes, and is not silence."""
        await self._grows("audio", "totalAudioEnergy", 1e-4)

    async def hears_nothing(self) -> None:
        """Packets come, and are silence."""
        await self.page.evaluate(page_scripts.SILENT, {"withinMs": MEDIA_MS})

    async def selected_pair(self) -> list[str]:
        """Types of the local and the remote candidate in use (`host`, `srflx`, `prflx`, `relay`)."""
        types: list[str] = await self.page.evaluate(page_scripts.SELECTED_PAIR)
        return types

    async def ice_credentials(self) -> list[str]:
        """The ufrags in use: own, the other's."""
        ufrags: list[str] = await self.page.evaluate(page_scripts.UFRAGS)
        return ufrags

    async def restart_ice(self) -> None:
        """Restart, and wait until both sides' credentials are new and the connection stands."""
        before = await self.ice_credentials()
        await self.page.evaluate(page_scripts.RESTART_ICE)
        await self.repaired(before)

    async def repaired(self, before: Sequence[str]) -> None:
        """Both sides' credentials are others than `before`, and the connection stands."""
        await self.page.evaluate(page_scripts.REPAIRED, {"before": before, "withinMs": MEDIA_MS})

    async def changes_network(self) -> None:
        """The browser says so; fresh ICE credentials are asked for."""
        async with self.page.expect_request("**/ice", timeout=PATIENCE_MS):
            await self.page.evaluate("dispatchEvent(new Event('online'))")

    async def offers(self) -> None:
        """This side has made an offer that is not answered."""
        await self.page.evaluate(page_scripts.OFFERS, {"withinMs": MEDIA_MS})

    async def relay_protocol(self) -> str | None:
        """How this side's browser speaks to the relay of the pair in use."""
        protocol: str | None = await self.page.evaluate(page_scripts.RELAY_PROTOCOL)
        return protocol

    async def attempt(self) -> int:
        number: int = await self.page.evaluate("window.eyeline.call.view.attempt")
        return number

    async def _grows(self, kind: str, field: str, by: float) -> None:
        wish = {"kind": kind, "field": field, "by": by, "withinMs": MEDIA_MS}
        await self.page.evaluate(page_scripts.GROWS, wish)


class Street:
    """Where people come from; each with storage of their own."""

    def __init__(self, browser: Browser, stack: AsyncExitStack) -> None:
        self._browser = browser
        self._stack = stack
        self._people: list[Person] = []

    async def context(self, **options: Any) -> BrowserContext:
        context = await self._browser.new_context(locale="en-US", **options)
        self._stack.push_async_callback(context.close)
        context.set_default_timeout(PATIENCE_MS)
        await context.add_init_script(page_scripts.LISTEN)
        return context

    async def requester(self, url: str, name: str = "anna", *, context: BrowserContext | None = None) -> Person:
        """Signed in and at rest."""
        person = await self.arriving_requester(url, name, context=context)
        await person.is_in("rest")
        return person

    async def arriving_requester(
        self, url: str, name: str = "anna", *, context: BrowserContext | None = None
    ) -> Person:
        """Signed in, in whatever state."""
        return await self._arrive(url, "requester", name, context)

    async def volunteer(
        self, url: str, name: str = "vera", *, context: BrowserContext | None = None, ready: bool = True
    ) -> Person:
        """Signed in and, unless told otherwise, ready: the server knows it."""
        person = await self._arrive(url, "volunteer", name, context)
        await person.is_in("rest")
        if ready:
            await person.press("ready")
            await person.is_in("ready")
        return person

    async def admin(self, url: str, name: str = "olga") -> Person:
        return await self._arrive(url, "admin", name, None)

    async def stranger(self, address: str, side: str) -> Person:
        """Somebody on a page who has not signed in."""
        return await self._open(address, side, "stranger", None)

    async def opened(self, address: str, side: str, name: str, context: BrowserContext) -> Person:
        """Somebody known to this browser, at an address that a notification opened."""
        return await self._open(address, side, name, context)

    def nothing_broke(self) -> None:
        """No page had an error that nobody caught."""
        assert {person.name: person.errors for person in self._people if person.errors} == {}

    async def _arrive(self, url: str, side: str, name: str, context: BrowserContext | None) -> Person:
        return await self._open(f"{url}/{side}?as={name}", side, name, context)

    async def _open(self, address: str, side: str, name: str, context: BrowserContext | None) -> Person:
        context = context or await self.context()
        person = Person(await context.new_page(), side, name)
        self._people.append(person)
        await person.page.goto(address)
        return person


@asynccontextmanager
async def street(browser: Browser) -> AsyncIterator[Street]:
    async with AsyncExitStack() as stack:
        people = Street(browser, stack)
        yield people
        people.nothing_broke()


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
