"""A node inside the test's own process: quick to start, and its inside can be looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from server.app import open_node
from server.settings import Settings
from tests.support.nodes import TOKEN_SECRET


@asynccontextmanager
async def running_node(database_url: str, valkey_url: str, **settings: Any) -> AsyncIterator[str]:
    """A node on a free port of loopback; gives its URL."""
    values = {"token_secret": TOKEN_SECRET, "environment": "development", "dev_sign_in": True, **settings}
    async with open_node(Settings(database_url=database_url, valkey_url=valkey_url, **values)) as app:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=5.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            address: tuple[str, int] = runner.addresses[0]
            yield f"http://{address[0]}:{address[1]}"
        finally:
            await runner.cleanup()
