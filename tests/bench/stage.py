"""Engines and nodes of their own for the benchmarks, and people to play on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from infra.embedded.postgres import EmbeddedPostgres
from infra.phone.client import PhoneClient
from tests.support.engines import Engines
from tests.support.nodes import Node

SIGN_INS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Stage:
    """Two nodes over the same engines; Postgres is as durable as in production."""

    engines: Engines
    nodes: Sequence[Node]

    def url(self, number: int) -> str:
        """People are spread over the nodes."""
        return self.nodes[number % len(self.nodes)].url


def durable_engines(directory: Path) -> Engines:
    """Engines whose Postgres waits for the disk, unlike those of the tests."""
    engines = Engines(directory)
    engines.postgres = EmbeddedPostgres(directory / "durable")
    return engines


@asynccontextmanager
async def stage(engines: Engines, *, wave_size: int = 10) -> AsyncIterator[Stage]:
    """Two fresh nodes on a fresh database."""
    database_url, valkey_url = await engines.new_database(), await engines.empty_valkey()
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(
                await Node.start(
                    database_url,
                    valkey_url,
                    EYELINE_WAVES="fixed",
                    EYELINE_WAVE_SIZE=str(wave_size),
                    EYELINE_WRAP_UP_S="0",
                    EYELINE_COOLDOWN_S="0",
                    EYELINE_DATABASE_POOL="16",
                    EYELINE_FRAME_RATE="1000000",  # measured is what passes, not what is allowed
                )
            )
            for _ in range(2)
        ]
        yield Stage(engines, nodes)


@asynccontextmanager
async def people(stage: Stage, role: str, count: int, *, language: str = "en") -> AsyncIterator[list[PhoneClient]]:
    """So many signed-in people with open sockets, on both nodes in turn."""
    gate = asyncio.Semaphore(SIGN_INS_AT_ONCE)
    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(limit=0)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))

        async def join(number: int) -> PhoneClient:
            async with gate:
                name = f"{role} {language} {number}"
                phone = PhoneClient.sign_in(stage.url(number), name, role=role, languages=[language], http=http)
                return await stack.enter_async_context(phone)

        yield list(await asyncio.gather(*map(join, range(count))))
