"""A browser profile whose pages may be closed: its service worker, and what DevTools tell and deliver to it."""

from __future__ import annotations

import asyncio
from typing import Any, Self

from playwright.async_api import BrowserContext, CDPSession, Worker, expect

from tests.support import page_scripts
from tests.support.people import PATIENCE_MS, Person, Street

WITHIN_S = 10.0


class Browser:
    """One browser profile as push services see it: it need have no page of ours open."""

    def __init__(self, context: BrowserContext, url: str, elsewhere: CDPSession) -> None:
        self.context = context
        self._url = url
        self._elsewhere = elsewhere
        self._versions: dict[str, dict[str, Any]] = {}
        self._heard = asyncio.Condition()
        elsewhere.on("ServiceWorker.workerVersionUpdated", self._version)

    @classmethod
    async def start(cls, people: Street, url: str, server_key: str | None = None) -> Self:
        """`server_key`: what the page is told instead of the node's own."""
        context = await people.context()
        await context.grant_permissions(["notifications", "microphone"], origin=url)
        await context.add_init_script(page_scripts.SUBSCRIPTIONS)
        if server_key is not None:
            await context.route("**/v1/push/key", lambda route: route.fulfill(json={"key": server_key}))
        elsewhere = await context.new_cdp_session(await context.new_page())
        browser = cls(context, url, elsewhere)
        await elsewhere.send("ServiceWorker.enable")
        return browser

    async def registration(self) -> str:
        """Of the worker, once it is active."""
        async with asyncio.timeout(WITHIN_S), self._heard:
            await self._heard.wait_for(lambda: "activated" in {v["status"] for v in self._versions.values()})
        [active] = [v for v in self._versions.values() if v["status"] == "activated"]
        assert active["scriptURL"] == f"{self._url}/worker.js"
        return str(active["registrationId"])

    async def deliver(self, data: str) -> dict[str, Any]:
        """Gives the one notification there is when the worker has dealt with it."""
        place = {"origin": self._url, "registrationId": await self.registration()}
        worker = await self.worker()
        before: int = await worker.evaluate(page_scripts.COUNT_SHOWING)
        await self._elsewhere.send("ServiceWorker.deliverPushMessage", {**place, "data": data})
        [shown] = await worker.evaluate(page_scripts.SHOWN, {"times": before + 1, "withinMs": PATIENCE_MS})
        assert isinstance(shown, dict)
        return shown

    async def wake(self, data: str) -> None:
        """The worker sleeps, as it does after half a minute, and the push starts it again."""
        place = {"origin": self._url, "registrationId": await self.registration()}
        await self._elsewhere.send("ServiceWorker.stopAllWorkers")
        await self._runs("stopped")
        await self._elsewhere.send("ServiceWorker.deliverPushMessage", {**place, "data": data})
        await self._runs("running")

    async def _runs(self, status: str) -> None:
        async with asyncio.timeout(WITHIN_S), self._heard:
            await self._heard.wait_for(lambda: {v["runningStatus"] for v in self._versions.values()} == {status})

    async def rings(self, data: str) -> dict[str, Any]:
        return _is_said(await self.deliver(data), "ring title", silent=False)

    async def says(self, data: str, title: str) -> dict[str, Any]:
        """Quietly."""
        return _is_said(await self.deliver(data), title, silent=True)

    async def count(self, wanted: int) -> int:
        number: int = await (await self.worker()).evaluate(
            page_scripts.COUNT_SHOWN, {"count": wanted, "withinMs": 5000}
        )
        return number

    async def click(self, action: str = "") -> list[str]:
        """A click on the notification or one of its buttons; gives the addresses it opened."""
        opened: list[str] = await (await self.worker()).evaluate(page_scripts.CLICK, action)
        return opened

    async def kept(self, key: str, changes: dict[str, Any] | list[Any] | None = None) -> Any:
        return await (await self.worker()).evaluate(page_scripts.KEPT, [key, changes])

    async def worker(self) -> Worker:
        if not self.context.service_workers:
            await self.context.wait_for_event("serviceworker")
        return self.context.service_workers[-1]

    def _version(self, event: dict[str, Any]) -> None:
        self._versions.update({version["versionId"]: version for version in event["versions"]})
        asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        async with self._heard:
            self._heard.notify_all()


def _is_said(notification: dict[str, Any], title: str, *, silent: bool) -> dict[str, Any]:
    assert (notification["title"], notification["silent"]) == (title, silent)
    return notification


async def switched_on(person: Person) -> None:
    await person.press("push")
    await expect(person.page.locator("#push")).to_have_attribute("aria-checked", "true")
