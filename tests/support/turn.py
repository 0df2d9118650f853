"""Debian's coturn on loopback, or in a network made of namespaces: shared secret, nothing leaves the machine."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from infra.embedded.child import free_port, leashed
from server.lan import Certificate
from tests.support.netns import Namespace

EXECUTABLE = "/usr/bin/turnserver"
SECRET = "a secret of the tests"
START_S = 10.0
STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class TurnServer:
    port: int
    log: Path
    address: str = "127.0.0.1"
    namespace: Namespace | None = None
    tls_port: int | None = None

    @property
    def settings(self) -> dict[str, str]:
        """What a node is told of it; with these every call goes through it."""
        return self.settings_over("udp")

    def settings_over(self, *transports: Literal["udp", "tcp", "tls"]) -> dict[str, str]:
        """The same, and people can speak to it only by these."""
        return {
            "EYELINE_TURN_URLS": ",".join(self._url(transport) for transport in transports),
            "EYELINE_TURN_SECRET": SECRET,
            "EYELINE_TURN_RELAY_NETS": f"{self.address}/32",
            "EYELINE_ICE_POLICY": "relay",
        }

    def listens(self) -> bool:
        """It does on TCP beside UDP, and there a connection can be tried."""
        return self.namespace.inside(self._answers) if self.namespace else self._answers()

    def _url(self, transport: Literal["udp", "tcp", "tls"]) -> str:
        if transport == "tls":
            return f"turns:{self.address}:{self.tls_port}?transport=tcp"
        return f"turn:{self.address}:{self.port}?transport={transport}"

    def _answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex((self.address, self.port)) == 0


@asynccontextmanager
async def turn_server(
    directory: Path, port: int | None = None, *, certificate: Certificate | None = None
) -> AsyncIterator[TurnServer]:
    """On loopback, with TLS if there is a certificate."""
    tls_port = free_port() if certificate else None
    server = TurnServer(port or free_port(), directory / "turnserver.log", tls_port=tls_port)
    secrecy = ["--no-tls"]
    if certificate:
        files = [f"--cert={certificate.certificate}", f"--pkey={certificate.key}"]
        secrecy = [f"--tls-listening-port={tls_port}", *files]
    async with _running(server, directory, ["--allow-loopback-peers", *secrecy]):
        yield server


@asynccontextmanager
async def turn_server_in(namespace: Namespace, address: str, directory: Path) -> AsyncIterator[TurnServer]:
    """On the usual port of a host of its own, as `docs/operations.md` advises: it relays to itself and nobody else."""
    server = TurnServer(3478, directory / "turnserver.log", address, namespace)
    nobody = ["--denied-peer-ip=0.0.0.0-255.255.255.255", "--denied-peer-ip=::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]
    limits = ["--user-quota=12", "--max-bps=750000"]
    async with _running(server, directory, ["--no-tls", *nobody, f"--allowed-peer-ip={address}", *limits]):
        yield server


@asynccontextmanager
async def _running(server: TurnServer, directory: Path, more: Sequence[str]) -> AsyncIterator[None]:
    """Fails, and says what to install, where there is no coturn."""
    if not os.path.exists(EXECUTABLE):  # noqa: ASYNC240 - one look at a local disk
        raise AssertionError(f"{EXECUTABLE} is missing: install it with `apt-get install coturn`")
    command = [
        EXECUTABLE,
        "-n",
        f"--listening-ip={server.address}",
        f"--relay-ip={server.address}",
        f"--listening-port={server.port}",
        "--use-auth-secret",
        f"--static-auth-secret={SECRET}",
        "--realm=test",
        "--no-dtls",
        "--no-cli",
        "--log-file=stdout",
        "--simple-log",
        f"--pidfile={directory / 'turnserver.pid'}",
        f"--userdb={directory / 'turndb'}",
        *more,
    ]
    if server.namespace:
        command = server.namespace.within(*command)
    with server.log.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *leashed(command, on_owner_death=signal.SIGKILL),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            await _until_it_listens(server, process)
            yield
        finally:
            await _stop(process)


async def _until_it_listens(server: TurnServer, process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(START_S):
            while not await asyncio.to_thread(server.listens):
                if process.returncode is not None:
                    raise AssertionError(f"turnserver ended with {process.returncode}:\n{server.log.read_text()}")
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"turnserver does not listen after {START_S:g} s:\n{server.log.read_text()}") from None


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
