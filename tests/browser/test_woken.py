"""A closed volunteer page is woken by a real node: subscribed, rung, answered, and told that it is over.

What a push service does between is played by the stand-in, which checks VAPID and decrypts; DevTools hand on what it
read. `pushManager.subscribe()` itself needs the network, so the subscription is the stand-in's.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser as Chromium

from tests.support import page_scripts
from tests.support.closed_apps import ALL_WEEK, ClosedApps, closed_apps
from tests.support.people import Person, Street, in_call, street
from tests.support.push_browser import Browser, switched_on

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def apps(database_url: str, valkey_url: str, tmp_path: Path) -> AsyncIterator[ClosedApps]:
    async with closed_apps(database_url, valkey_url, tmp_path) as apps:
        yield apps


@pytest_asyncio.fixture(loop_scope="session")
async def people(apps: ClosedApps, browser: Chromium) -> AsyncIterator[Street]:
    async with street(browser) as people:
        yield people


async def closed_page(apps: ClosedApps, people: Street) -> Browser:
    """Vera has switched on being rung, says that any hour will do, and has closed her page."""
    url = apps.node.url
    account = await apps.volunteer("vera")
    await account.call("PUT", "/v1/me/availability", {"weekly": ALL_WEEK})
    profile = await Browser.start(people, url)
    made = json.dumps(apps.webpush.subscribe(apps.public_key).json())
    await profile.context.add_init_script(page_scripts.SUBSCRIBED_AS.replace("SUBSCRIPTION", made))
    vera = await people.volunteer(url, context=profile.context, ready=False)
    await switched_on(vera)
    await profile.registration()
    await vera.page.close()
    return profile


async def asking(apps: ClosedApps, people: Street) -> Person:
    requester = await people.requester(apps.node.url)
    await requester.press("help")
    return requester


async def test_a_closed_page_rings_answers_and_is_in_the_call(apps: ClosedApps, people: Street) -> None:
    vera = await closed_page(apps, people)
    requester = await asking(apps, people)
    ring = (await apps.webpush.nth(1)).data
    assert ring is not None
    assert ring["type"] == "ring"
    shown = await vera.deliver(json.dumps(ring))
    assert (shown["title"], shown["silent"]) == ("Someone would like your help now", False)
    assert shown["body"] == "In English. Tap to answer."
    [address] = await vera.click("answer")
    again = await people.opened(apps.node.url + address, "volunteer", "vera", vera.context)
    await in_call(requester, again)
    await requester.press("end")
    await again.is_in("ended")


async def test_a_closed_page_is_told_when_it_is_over(apps: ClosedApps, people: Street) -> None:
    vera = await closed_page(apps, people)
    requester = await asking(apps, people)
    await vera.deliver(json.dumps((await apps.webpush.nth(1)).data))
    await requester.press("cancel")
    quiet = await vera.deliver(json.dumps((await apps.webpush.nth(2)).data))
    assert (quiet["title"], quiet["silent"]) == ("No longer needed", True)


async def test_not_now_on_a_closed_page_lets_others_be_asked(apps: ClosedApps, people: Street) -> None:
    vera = await closed_page(apps, people)
    await asking(apps, people)
    await vera.deliver(json.dumps((await apps.webpush.nth(1)).data))
    await apps.phone("other")
    assert await vera.click("not_now") == []
    assert (await apps.fcm.nth(1)).target == "other"


async def test_who_asked_in_vain_is_told_with_the_page_closed(
    database_url: str, valkey_url: str, tmp_path: Path, browser: Chromium
) -> None:
    async with (
        closed_apps(database_url, valkey_url, tmp_path, REQUEST_DEADLINE_S=1.5) as apps,
        street(browser) as people,
    ):
        profile = await Browser.start(people, apps.node.url)
        await profile.context.grant_permissions(["notifications", "microphone", "camera"], origin=apps.node.url)
        made = json.dumps(apps.webpush.subscribe(apps.public_key).json())
        await profile.context.add_init_script(page_scripts.SUBSCRIBED_AS.replace("SUBSCRIPTION", made))
        requester = await people.requester(apps.node.url, context=profile.context)
        await requester.press("help")
        await requester.is_in("nobody")
        await requester.press("tell-me")
        await requester.is_in("callback")
        await requester.hears("Keep this page open to be told, or switch it on.")
        await switched_on(requester)
        await requester.hears("On: you are told here also when this page is closed.")
        await requester.picture("switched-on")
        await profile.registration()
        await requester.page.close()
        volunteer = await people.volunteer(apps.node.url)
        push = (await apps.webpush.nth(1)).data
        assert push is not None
        assert push["type"] == "someone_free"
        shown = await profile.deliver(json.dumps(push))
        assert (shown["silent"], shown["labels"]) == (False, [])
        [address] = await profile.click()
        again = await people.opened(apps.node.url + address, "requester", "anna", profile.context)
        await again.is_in("free")
        await again.hears("Someone was free a moment ago. Press Ask now.")
        await again.press("help")
        await volunteer.is_in("ringing")
        await volunteer.press("answer")
        await in_call(again, volunteer)
