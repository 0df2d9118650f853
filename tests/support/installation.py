"""The nodes of one test over one database, and the bad networks in front of them."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg

from tests.support.cutting_proxy import CuttingProxy
from tests.support.nodes import Node


class Installation:
    """Begins empty; what is started in it ends with it."""

    def __init__(self, database_url: str, valkey_url: str, stack: AsyncExitStack) -> None:
        self.database_url = database_url
        self._valkey_url = valkey_url
        self._stack = stack

    async def node(self, **settings: Any) -> Node:
        node = await Node.start(self.database_url, self._valkey_url, **settings)
        return await self._stack.enter_async_context(node)

    async def proxy(self, node: Node, listener: socket.socket | None = None) -> CuttingProxy:
        """`listener`: where people reach it, if not on this machine's loopback."""
        return await self._stack.enter_async_context(CuttingProxy(node.port).running(listener))

    async def outcomes(self) -> list[str]:
        """What became of the requests that have ended, first to last."""
        connection = await asyncpg.connect(self.database_url, timeout=10, command_timeout=10)
        try:
            rows = await connection.fetch("SELECT outcome FROM requests WHERE state = 'ended' ORDER BY id")
            return [row["outcome"] for row in rows]
        finally:
            await connection.close()


@asynccontextmanager
async def installation(database_url: str, valkey_url: str) -> AsyncIterator[Installation]:
    async with AsyncExitStack() as stack:
        yield Installation(database_url, valkey_url, stack)
