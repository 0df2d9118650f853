"""The nodes of `eyeline dev`: `eyeline serve` as child processes, watched until they are ready and while they run."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp

READY_S = 30.0
STOP_S = 8.0
_LINE_LIMIT = 1 << 20
_SOURCE = str(Path(__file__).resolve().parents[1])


class NodeFailed(Exception):
    """A node ended by itself, or never became ready; the message is one line for a person."""


class NodeProcess:
    """One `eyeline serve`. `on_line` gets every line it writes."""

    def __init__(
        self, number: int, url: str, process: asyncio.subprocess.Process, on_line: Callable[[str], None]
    ) -> None:
        self.number = number
        self.url = url
        self._process = process
        self._last_lines: deque[str] = deque(maxlen=50)
        self._reader = asyncio.create_task(self._read(on_line), name=f"log of node {number}")

    @classmethod
    async def start(
        cls,
        number: int,
        url: str,
        environ: Mapping[str, str],
        on_line: Callable[[str], None],
        leash: Callable[[Sequence[str]], list[str]],
    ) -> NodeProcess:
        """`leash` wraps the command line so that the node ends with this process."""
        # The working directory is the user's: not a place to import from, or a file named server.py there would win.
        command = leash([sys.executable, "-P", "-m", "server.cli", "serve"])
        path = os.pathsep.join(part for part in (_SOURCE, environ.get("PYTHONPATH")) if part)
        process = await asyncio.create_subprocess_exec(
            *command,
            env={**environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=_LINE_LIMIT,
            start_new_session=True,
        )
        return cls(number, url, process, on_line)

    async def until_ready(self, http: aiohttp.ClientSession, tls: ssl.SSLContext | None) -> None:
        """Wait until `/readyz` says 200; raises `NodeFailed`."""
        try:
            async with asyncio.timeout(READY_S):
                while not await self._is_ready(http, tls):
                    if self._process.returncode is not None:
                        raise await self._failure()
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise NodeFailed(f"node {self.number} was not ready after {READY_S:g} s: {self._last_words()}") from None

    async def until_it_ends(self) -> NodeFailed:
        """What to say when a node ends although nobody asked it to."""
        await self._process.wait()
        return await self._failure()

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL for a node that does not end by that. Harmless when it has ended."""
        for ask, patience_s in ((signal.SIGTERM, STOP_S), (signal.SIGKILL, STOP_S)):
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGCONT)
                self._process.send_signal(ask)
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self._process.wait()
                    break
        await self._reader

    async def _failure(self) -> NodeFailed:
        await self._reader
        code = self._process.returncode or 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return NodeFailed(f"node {self.number} ({self.url}) {how}: {self._last_words()}")

    def _last_words(self) -> str:
        said = [line for line in self._last_lines if line.strip()]
        return said[-1].strip() if said else "it wrote nothing"

    async def _is_ready(self, http: aiohttp.ClientSession, tls: ssl.SSLContext | None) -> bool:
        try:
            async with http.get(f"{self.url}/readyz", ssl=tls or True, timeout=aiohttp.ClientTimeout(total=2)) as reply:
                return reply.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _read(self, on_line: Callable[[str], None]) -> None:
        assert self._process.stdout is not None
        while raw := await self._process.stdout.readline():
            line = raw.decode(errors="replace").rstrip("\n")
            self._last_lines.append(line)
            on_line(line)


def port_in_use(host: str, port: int) -> bool:
    """Whether a server could not listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the server itself does: connections of an earlier one that linger are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
        return False
