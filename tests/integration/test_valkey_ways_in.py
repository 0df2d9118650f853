"""The ways to a Valkey server besides plain TCP: TLS and a Unix socket, on the same shared connection."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from infra.embedded.valkey import EmbeddedValkey
from infra.valkey.cluster import execute
from infra.valkey.connection import Server, open_valkey, pipelined_on
from infra.valkey.deliveries import listen
from infra.valkey.outages import is_unavailable
from server.lan import Certificate, make_certificate
from tests.support.outside import until

PASSWORD = "password"
LONG = "x" * 1_000_000
"""More than one write or one TLS record takes."""


class _OnASocket(EmbeddedValkey):
    def settings(self) -> Sequence[str]:
        return (f"unixsocket {self.directory / 'socket'}", "unixsocketperm 600")


@pytest.fixture(scope="module")
def by_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    engine = _OnASocket(tmp_path_factory.mktemp("valkey"), password=PASSWORD.replace(" ", ""))
    engine.start()
    yield f"unix://:{PASSWORD}@{engine.directory / 'socket'}"
    engine.stop()


async def passes_everything(server: Server) -> None:
    """Commands, replies of any length, several callers at once, and what is published."""
    short, long = await pipelined_on(server, [("ECHO", "a"), ("ECHO", LONG)])
    assert (short, long) == (b"a", LONG.encode())
    several = await asyncio.gather(*(execute(server, "ECHO", str(number)) for number in range(50)))
    assert several == [b"%d" % number for number in range(50)]
    await hears_what_is_published(server)


async def hears_what_is_published(server: Server) -> None:
    heard = listen(server, b"a node")
    hearing = asyncio.ensure_future(anext(heard))
    await until(lambda: execute(server, "PUBLISH", "a node", b"\0" * 16 + b"7 3 hello"))
    delivery = await hearing
    assert (delivery.seq, delivery.owner_epoch, delivery.message) == (3, 7, b"hello")
    await heard.aclose()  # type: ignore[attr-defined]


async def test_over_tls(valkey_url: str, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, "127.0.0.1")
    async with tls_before(valkey_url, certificate) as url:
        server = open_valkey(f"{url}?ssl_ca_certs={certificate.certificate}")
        await passes_everything(server)
        await server.aclose()


async def test_a_server_with_a_certificate_nobody_vouches_for_is_an_outage(valkey_url: str, tmp_path: Path) -> None:
    async with tls_before(valkey_url, make_certificate(tmp_path, "127.0.0.1")) as url:
        server = open_valkey(url)
        [reply] = await pipelined_on(server, [("PING",)])
        assert is_unavailable(reply)
        await server.aclose()


async def test_over_a_unix_socket(by_socket: str) -> None:
    server = open_valkey(by_socket)
    await passes_everything(server)
    await server.aclose()


async def test_a_unix_socket_that_is_not_there_is_an_outage(tmp_path: Path) -> None:
    server = open_valkey(f"unix://{tmp_path / 'nothing'}")
    [reply] = await pipelined_on(server, [("PING",)])
    assert is_unavailable(reply)
    await server.aclose()


@asynccontextmanager
async def tls_before(valkey_url: str, certificate: Certificate) -> AsyncIterator[str]:
    """A way to this server over TLS, which the wheel's Valkey does not speak."""
    parts = urlsplit(valkey_url)
    ends: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(parts.hostname, parts.port)
        ends.update((asyncio.create_task(carry(reader, back)), asyncio.create_task(carry(there, writer))))

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.certificate, certificate.key)
    listening = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=context)
    try:
        port = listening.sockets[0].getsockname()[1]
        yield f"rediss://:{parts.password}@127.0.0.1:{port}/0"
    finally:
        listening.close()
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
