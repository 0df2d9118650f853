"""Real nodes for tests: `eyeline serve` processes that can be killed, frozen and read."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import aiohttp

from infra.embedded.child import free_port
from tests.support.nursery import Forked, forked

ROOT = Path(__file__).resolve().parents[2]
TOKEN_SECRET = "a secret of the tests, longer than 32 characters"
READY_S = 60.0


class NodeError(AssertionError):
    """A node did not do what the test needs; the message ends with its last lines."""


class Node:
    """One `eyeline serve`. Its log is read as it is written: `log` has the events, `lines` everything."""

    ENTRY: ClassVar[tuple[str, ...]] = ("server.cli", "serve")
    """What `python -m` runs."""

    def __init__(self, process: Forked, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.lines: list[str] = []
        self.log: list[dict[str, Any]] = []
        self._process = process
        self._heard = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(
        cls,
        database_url: str,
        valkey_url: str,
        *,
        port: int | None = None,
        ready: bool = True,
        also: Mapping[str, str] | None = None,
        **env: str,
    ) -> Self:
        """Start a node and wait until `/readyz` says 200. `env` are settings: `EYELINE_OFFER_S="5"`; `also`: more."""
        port = port or free_port()
        settings = {
            "EYELINE_DATABASE_URL": database_url,
            "EYELINE_VALKEY_URL": valkey_url,
            "EYELINE_PORT": str(port),
            "EYELINE_TOKEN_SECRET": TOKEN_SECRET,
            "EYELINE_ENVIRONMENT": "development",
            "EYELINE_DEV_SIGN_IN": "true",
            **(also or {}),
            **env,
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("EYELINE_")}
        node = cls(await forked(cls.ENTRY, {**inherited, **settings}), port)
        if ready:
            try:
                await node.until_ready()
            except BaseException:
                await node.kill()
                raise
        return node

    async def until_ready(self, timeout_s: float = READY_S) -> None:
        """Wait for `/readyz`; raises `NodeError` when the node ends or is not ready in time."""
        try:
            async with asyncio.timeout(timeout_s), aiohttp.ClientSession() as client:
                while not await self._is_ready(client):
                    if self._process.returncode is not None:
                        await self._reader
                        raise NodeError(f"the node ended with {self._process.returncode}{self._tail()}")
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise NodeError(f"the node was not ready after {timeout_s:g} s{self._tail()}") from None

    async def event(self, name: str, *, timeout_s: float = 5.0, **fields: Any) -> dict[str, Any]:
        """The first log event of this name with these fields, now or as soon as it is written."""

        def found() -> dict[str, Any] | None:
            wanted = {"event": name, **fields}
            return next((entry for entry in self.log if wanted.items() <= entry.items()), None)

        try:
            async with asyncio.timeout(timeout_s), self._heard:
                await self._heard.wait_for(lambda: found() is not None)
        except TimeoutError:
            raise NodeError(f"no event {name} {fields} within {timeout_s:g} s{self._tail()}") from None
        entry = found()
        assert entry is not None
        return entry

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._signal(signal.SIGKILL)
        await self._gone(10)

    def freeze(self) -> None:
        """SIGSTOP: its sockets stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    async def stop(self, timeout_s: float = 10.0) -> int:
        """SIGTERM, and wait for a clean end; gives the exit code. A node that does not end is killed and reported."""
        self.thaw()
        self._signal(signal.SIGTERM)
        try:
            return await self._gone(timeout_s)
        except TimeoutError:
            await self.kill()
            raise NodeError(f"the node did not stop within {timeout_s:g} s{self._tail()}") from None

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    @property
    def pid(self) -> int:
        return self._process.pid

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.running:
            await self.stop()

    async def _gone(self, timeout_s: float) -> int:
        async with asyncio.timeout(timeout_s):
            code = await self._process.wait()
            await self._reader
        return code

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _is_ready(self, client: aiohttp.ClientSession) -> bool:
        try:
            async with client.get(f"{self.url}/readyz", timeout=aiohttp.ClientTimeout(total=2)) as reply:
                return reply.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _read(self) -> None:
        async for raw in self._process.stdout:
            line = raw.decode(errors="replace").rstrip("\n")
            async with self._heard:
                self.lines.append(line)
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
                    if isinstance(entry, dict):
                        self.log.append(entry)
                self._heard.notify_all()

    def _tail(self) -> str:
        return "".join(f"\n  | {line}" for line in self.lines[-15:])
