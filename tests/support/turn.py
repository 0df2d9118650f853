"""Debian's coturn on loopback, as facts say it runs there: shared secret, no TLS, nothing leaves the machine."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.embedded.child import free_port, leashed

EXECUTABLE = "/usr/bin/turnserver"
SECRET = "a secret of the tests"
START_S = 10.0
STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class TurnServer:
    port: int
    log: Path

    @property
    def settings(self) -> dict[str, str]:
        """What a node is told of it; with these every call goes through it."""
        return {
            "EYELINE_TURN_URLS": f"turn:127.0.0.1:{self.port}?transport=udp",
            "EYELINE_TURN_SECRET": SECRET,
            "EYELINE_TURN_RELAY_NETS": "127.0.0.0/8",
            "EYELINE_ICE_POLICY": "relay",
        }


@asynccontextmanager
async def turn_server(directory: Path, port: int | None = None) -> AsyncIterator[TurnServer]:
    """Fails, and says what to install, where there is no coturn."""
    if not os.path.exists(EXECUTABLE):  # noqa: ASYNC240 - one look at a local disk
        raise AssertionError(f"{EXECUTABLE} is missing: install it with `apt-get install coturn`")
    server = TurnServer(port or free_port(), directory / "turnserver.log")
    arguments = [
        "-n",
        "--listening-ip=127.0.0.1",
        "--relay-ip=127.0.0.1",
        f"--listening-port={server.port}",
        "--use-auth-secret",
        f"--static-auth-secret={SECRET}",
        "--realm=test",
        "--no-tls",
        "--no-dtls",
        "--no-cli",
        "--allow-loopback-peers",
        "--log-file=stdout",
        "--simple-log",
        f"--pidfile={directory / 'turnserver.pid'}",
        f"--userdb={directory / 'turndb'}",
    ]
    with server.log.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *leashed([EXECUTABLE, *arguments], on_owner_death=signal.SIGKILL),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            await _until_it_listens(server, process)
            yield server
        finally:
            await _stop(process)


async def _until_it_listens(server: TurnServer, process: asyncio.subprocess.Process) -> None:
    """It listens on TCP beside UDP, and there a connection can be tried."""
    try:
        async with asyncio.timeout(START_S):
            while not await asyncio.to_thread(_listens, server.port):
                if process.returncode is not None:
                    raise AssertionError(f"turnserver ended with {process.returncode}:\n{server.log.read_text()}")
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"turnserver does not listen after {START_S:g} s:\n{server.log.read_text()}") from None


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
