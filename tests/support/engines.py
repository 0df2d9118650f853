"""Real engines for tests: started once per test process, a clean database and an empty Valkey for every test.

Both can be killed, frozen and started again under the same addresses.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import redis.asyncio as valkey

from infra.embedded.engine import Engine
from infra.embedded.postgres import EmbeddedPostgres
from infra.embedded.valkey import EmbeddedValkey
from infra.postgres.migrate import migrate

TEMPLATE = "eyeline_template"


class Engines:
    """One Postgres and one Valkey in a private directory on free ports."""

    def __init__(self, directory: Path) -> None:
        # Without fsync a commit still survives the kill of Postgres, only not a power cut.
        self.postgres = EmbeddedPostgres(directory / "postgres", settings=("fsync=off", "full_page_writes=off"))
        self.valkey = EmbeddedValkey(directory / "valkey")
        self._numbers = itertools.count(1)

    def start(self) -> None:
        self.postgres.start()
        self.valkey.start()
        in_a_loop_of_its_own(self._make_template())

    def stop(self) -> None:
        self.valkey.stop()
        self.postgres.stop()

    def restore(self) -> None:
        """Undo what a test did to the engines themselves: thaw what is frozen, start what was killed."""
        for engine in (self.postgres, self.valkey):
            thaw(engine)
            if not engine.child.running:
                engine.start()

    async def new_database(self) -> str:
        """A copy of the migrated template; gives its URL."""
        name = f"test_{next(self._numbers)}"
        async with self._admin() as connection:
            # Unlike the default strategy this copies files instead of writing 8 MB of WAL; no checkpoint is due
            # since nothing is written to the template.
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy")
        return self.postgres.url(name)

    async def drop_database(self, url: str) -> None:
        async with self._admin() as connection:
            await connection.execute(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    async def empty_valkey(self) -> str:
        """Forget all keys (not the function library); gives its URL."""
        async with valkey.Redis.from_url(self.valkey.url) as client:
            await client.flushall()
        return self.valkey.url

    async def _make_template(self) -> None:
        async with self._admin() as connection:
            await connection.execute(f"CREATE DATABASE {TEMPLATE}")
        await migrate(self.postgres.url(TEMPLATE))

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.postgres.url(), timeout=10, command_timeout=30)
        try:
            yield connection
        finally:
            await connection.close()


def kill(engine: Engine) -> None:
    """SIGKILL an engine with all its processes, as a crash of the machine would; start it again with `start`."""
    family = _family(engine)
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    engine.child.wait(timeout_s=10)
    psutil.wait_procs(family, timeout=10)


def freeze(engine: Engine) -> None:
    """SIGSTOP all its processes: connections stay open and nothing answers."""
    _signal(engine, signal.SIGSTOP)


def thaw(engine: Engine) -> None:
    _signal(engine, signal.SIGCONT)


def _signal(engine: Engine, number: signal.Signals) -> None:
    for process in _family(engine):
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _family(engine: Engine) -> list[psutil.Process]:
    if not engine.child.running:
        return []
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(engine.child.pid)
        return [parent, *parent.children(recursive=True)]
    return []


def in_a_loop_of_its_own(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run to the end without touching the event loop of the test that is being set up."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, coroutine).result()
