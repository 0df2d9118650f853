"""Debian's Chromium for tests: fake camera and microphone, loopback only, nothing that calls home."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Collection
from pathlib import Path

from playwright.async_api import Browser, async_playwright

EXECUTABLE = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream=fps=10",  # at 30 two pages encode and decode more than two cores can
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns,SpareRendererForSitePerProcess",  # a process for the next page
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
]


@contextlib.asynccontextmanager
async def chromium(
    *more_flags: str, without: Collection[str] = (), wrapper: Path | None = None
) -> AsyncIterator[Browser]:
    """A browser with a fresh profile; `more_flags` are added to those most tests need, `without` left out of them.

    `wrapper`: a program that starts it its own way. Fails, and says what to install, where there is no Chromium.
    """
    if not os.path.exists(EXECUTABLE):  # noqa: ASYNC240 - one look at a local disk
        raise AssertionError(f"{EXECUTABLE} is missing: install it with `apt-get install chromium`")
    flags = [flag for flag in FLAGS if flag not in without] + list(more_flags)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=wrapper or EXECUTABLE, args=flags)
        try:
            yield browser
        finally:
            await browser.close()
