"""Fixtures of the browser tests: one Chromium per test process, one fresh profile and one scripted server per test.

A browser belongs to the event loop that started it, so tests that use it are marked `asyncio(loop_scope="session")`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.support.chromium import chromium
from tests.support.installation import Installation, installation
from tests.support.people import Street, street
from tests.support.scripted_server import ScriptedServer

expect.set_options(timeout=20_000)
"""What a page does not show by then it will not show; a busy machine is no failure."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(locale="en-US")
    context.set_default_timeout(30_000)
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def scripted() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer().running() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    """A page whose uncaught errors fail the test."""
    page = await context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    assert errors == []


@pytest_asyncio.fixture(loop_scope="session")
async def place(database_url: str, valkey_url: str) -> AsyncIterator[Installation]:
    """Where real nodes can be started; empty yet."""
    async with installation(database_url, valkey_url) as place:
        yield place


@pytest_asyncio.fixture(loop_scope="session")
async def people(place: Installation, browser: Browser) -> AsyncIterator[Street]:
    """They leave before the nodes do."""
    async with street(browser) as people:
        yield people
