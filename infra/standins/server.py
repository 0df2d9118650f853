"""What stand-ins are: servers on loopback, and those of push providers remember what came."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Callable
from typing import Generic, Self, TypeVar

from aiohttp import web

R = TypeVar("R")

_KEPT = 10_000
"""Pushes remembered; the oldest are forgotten."""


class StandInServer:
    """On a free port of 127.0.0.1. `async with` starts and ends it; who inherits it adds the routes."""

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        self._ssl_context = ssl_context
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it is, while it runs: what a node is given in place of the provider's address."""
        if self._runner is None:
            raise RuntimeError("not started")
        host, port = self._runner.addresses[0][:2]
        return f"{'https' if self._ssl_context else 'http'}://{host}:{port}"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024)
        self._add_routes(app.router)
        # A hanging answer ends with its connection.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._ssl_context).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def _add_routes(self, router: web.UrlDispatcher) -> None:
        raise NotImplementedError


class PushStandIn(StandInServer, Generic[R]):
    """Remembers what it was asked to deliver, as `R`s, and what it answered."""

    def __init__(self, on_push: Callable[[str], None] | None, ssl_context: ssl.SSLContext | None = None) -> None:
        """`on_push`: told in one line for people what each device was sent."""
        super().__init__(ssl_context)
        self.seen: list[R] = []
        self.answers: Counter[str] = Counter()
        """Answers given to pushes, by HTTP status."""
        self._on_push = on_push or (lambda _line: None)
        self._arrived = asyncio.Condition()
        self._count = 0

    async def nth(self, count: int) -> R:
        """The `count`-th push (from 1), once it is here."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: self._count >= count)
        return self.seen[count - 1 - self._count + len(self.seen)]

    async def _keep(self, received: R) -> None:
        self._count += 1
        self.seen.append(received)
        del self.seen[:-_KEPT]
        async with self._arrived:
            self._arrived.notify_all()


def reset(request: web.Request) -> None:
    """RST in place of FIN: nothing that is under way counts."""
    if request.transport is None:
        return
    connection = request.transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()
