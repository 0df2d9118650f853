"""A load balancer on loopback: each new connection goes to one of the nodes; sockets can be cut at random."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

PIECE_BYTES = 64 * 1024


class Balancer:
    """Use `running`. `ports` may change at any time: connections that are open stay with their node."""

    def __init__(self, ports: Sequence[int], dice: random.Random) -> None:
        self.ports = list(ports)
        self.url = ""
        self._dice = dice
        self._lines: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Balancer]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for line in [*self._lines]:
                line.cancel()
            await asyncio.gather(*self._lines, return_exceptions=True)

    def cut_one(self) -> None:
        """Cut some connection, whatever it carries."""
        if self._lines:
            self._dice.choice([*self._lines]).cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._lines.add(task)
        try:
            with suppress(asyncio.CancelledError):  # by `cut_one` and the end
                await self._carry(reader, writer)
        finally:
            self._lines.discard(task)
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """To the first node that takes it, and until either side ends."""
        for port in self._dice.sample(self.ports, len(self.ports)):
            with suppress(OSError):
                node_reader, node_writer = await asyncio.open_connection("127.0.0.1", port)
                break
        else:
            return
        pumps = [asyncio.create_task(_pump(reader, node_writer)), asyncio.create_task(_pump(node_reader, writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            node_writer.transport.abort()
            await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
        writer.close()  # what was passed on arrives
        await writer.wait_closed()
