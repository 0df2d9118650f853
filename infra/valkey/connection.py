"""Opens connections to a Valkey server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as DriverConnectionError
from redis.exceptions import RedisError

from infra.valkey.multiplexer import Command, Multiplexer

CONNECT_S = 1.0
ANSWER_S = 1.0


class _Undivided(AbstractConnection):
    """A connection that writes without a task of its own for each command.

    The driver writes through `asyncio.wait_for`, which in Python 3.11 loses a cancellation that comes in the same turn
    of the loop as the end of the write (cpython issue 86296): a listener told to stop would then go on for ever.
    """

    async def send_packed_command(self, command: Iterable[bytes], check_health: bool = True) -> None:  # type: ignore[override]
        if not self.is_connected:
            await self.connect_check_health(check_health=False)
        writer = self._writer
        assert writer is not None
        try:
            writer.writelines(command)
            async with asyncio.timeout(self.socket_timeout):
                await writer.drain()
        except BaseException as error:
            # Half of a command may have gone.
            await self.disconnect(nowait=True)
            if isinstance(error, OSError | RuntimeError):  # the latter is uvloop's word for a closed transport
                raise DriverConnectionError(f"{type(error).__name__} while writing") from error
            raise


class _TcpConnection(_Undivided, Connection):
    pass


class _TlsConnection(_Undivided, SSLConnection):
    pass


class _UnixConnection(_Undivided, UnixDomainSocketConnection):
    pass


_UNDIVIDED: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: _TcpConnection,
    SSLConnection: _TlsConnection,
    UnixDomainSocketConnection: _UnixConnection,
}


class Server(Redis):
    """The driver's client of one server, for subscriptions; commands go through the `multiplexer`."""

    multiplexer: Multiplexer

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        self.multiplexer.close()
        await super().aclose(close_connection_pool)


def open_valkey(url: str, *, answer_s: float = ANSWER_S) -> Server:
    """A client for one standalone server (`redis://`, `rediss://`, `unix://`), replies as bytes. Close with `aclose()`.

    Nothing is sent until the first command. Every wait has a deadline: 1 s to connect and sign in, `answer_s` for an
    answer. Nothing is retried here: callers know what may be repeated. Pub/sub users pass their own timeout to
    `get_message`, which replaces the socket's.
    """
    pool = ConnectionPool.from_url(
        url,
        socket_timeout=answer_s,
        socket_connect_timeout=CONNECT_S,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        client_name="eyeline",
    )
    pool.connection_class = _UNDIVIDED[pool.connection_class]
    server: Server = Server.from_pool(pool)  # type: ignore[assignment]
    server.multiplexer = Multiplexer(pool.make_connection, connect_s=CONNECT_S, answer_s=answer_s)
    return server


async def pipelined_on(server: Server, commands: Sequence[Command]) -> list[Any]:
    """Send commands to one server at once; replies in order, an error in the place of its reply.

    Replies are as the server gives them: the driver makes nothing of them, whose own pipeline costs several times as
    much. One deadline for all.
    """
    if not commands:
        return []
    try:
        return await server.multiplexer.ask(commands)
    except (RedisError, OSError) as error:
        return [error] * len(commands)
