"""Opens connections to a Valkey server, and sends commands over them with less ado than the driver."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.connection import HiredisRespSerializer
from redis.exceptions import ConnectionError as DriverConnectionError
from redis.exceptions import RedisError, ResponseError

Argument = bytes | str | int | float
Command = Sequence[Argument]

CONNECT_S = 1.0
ANSWER_S = 1.0
POOL_WAIT_S = 1.0
POOL_SIZE = 32

_SERIALIZER = HiredisRespSerializer()


class _Lean(AbstractConnection):
    """A connection that sends without a task and a timer of its own for each command, and packs commands by hiredis.

    The driver writes through `asyncio.wait_for`, which in Python 3.11 also loses a cancellation that comes in the same
    turn of the loop as the end of the write (cpython issue 86296): a loop told to stop would then go on for ever.
    """

    async def send_packed_command(self, command: Iterable[bytes], check_health: bool = True) -> None:  # type: ignore[override]
        if not self.is_connected:
            await self.connect_check_health(check_health=False)
        writer = self._writer
        assert writer is not None
        try:
            writer.writelines(command)
            if writer.transport.get_write_buffer_size():  # else there is nothing to wait for
                async with asyncio.timeout(self.socket_timeout):
                    await writer.drain()
        except BaseException as error:
            # Half of a command may have gone.
            await self.disconnect(nowait=True)
            if isinstance(error, OSError | RuntimeError):  # the latter is uvloop's word for a closed transport
                raise DriverConnectionError(f"{type(error).__name__} while writing") from error
            raise

    def pack_command(self, *args: Any) -> list[bytes]:
        """As the driver's blocking half does it; its asyncio half does the same in Python, several times slower."""
        packed: list[bytes] = _SERIALIZER.pack(*args)
        return packed


class _TcpConnection(_Lean, Connection):
    pass


class _TlsConnection(_Lean, SSLConnection):
    pass


class _UnixConnection(_Lean, UnixDomainSocketConnection):
    pass


class _Pool(BlockingConnectionPool):
    """As the driver's, without its timer and measurements, which are a quarter of what a command costs."""

    async def get_connection(self, command_name: str | None = None, *keys: Any, **options: Any) -> AbstractConnection:
        async with self._condition:
            if not self.can_get_connection():
                try:
                    async with asyncio.timeout(self.timeout):
                        await self._condition.wait_for(self.can_get_connection)
                except BaseException as error:
                    self._condition.notify()  # the word that one is free may have come to this task
                    if isinstance(error, TimeoutError):
                        raise DriverConnectionError("no connection is free") from None
                    raise
            connection: AbstractConnection = self.get_available_connection()  # type: ignore[no-untyped-call]
        try:
            if not await _usable(connection):
                await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def release(self, connection: AbstractConnection) -> None:
        async with self._condition:
            self._in_use_connections.remove(connection)
            if connection.should_reconnect():  # type: ignore[no-untyped-call]
                await connection.disconnect()
            self._available_connections.append(connection)
            self._condition.notify()


async def _usable(connection: AbstractConnection) -> bool:
    """Whether it is open, and nothing has come that nobody asked for."""
    try:
        return connection.is_connected and not await connection.can_read()
    except DriverConnectionError:
        return False


_LEAN: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: _TcpConnection,
    SSLConnection: _TlsConnection,
    UnixDomainSocketConnection: _UnixConnection,
}


def open_valkey(url: str, *, pool_size: int = POOL_SIZE, answer_s: float = ANSWER_S) -> Redis:
    """A client for one standalone server (`redis://`, `rediss://`, `unix://`), replies as bytes. Close with `aclose()`.

    Nothing is sent until the first command. Every wait has a deadline: 1 s each to get a connection of the pool and to
    connect, `answer_s` for an answer. Nothing is retried here: callers know what may be repeated. Pub/sub users pass
    their own timeout to `get_message`, which replaces the socket's.
    """
    pool = _Pool.from_url(
        url,
        max_connections=pool_size,
        timeout=POOL_WAIT_S,
        socket_timeout=answer_s,
        socket_connect_timeout=CONNECT_S,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        client_name="eyeline",
    )
    pool.connection_class = _LEAN[pool.connection_class]
    return Redis.from_pool(pool)


async def pipelined_on(client: Redis, commands: Sequence[Command]) -> list[Any]:
    """Send commands to one server at once; replies in order, an error in the place of its reply.

    Replies are as the server gives them: the driver makes nothing of them, whose own pipeline costs twice as much. One
    deadline for all.
    """
    if not commands:
        return []
    try:
        connection = await client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            packed = [part for command in commands for part in connection.pack_command(*command)]
            async with asyncio.timeout(connection.socket_timeout):
                await connection.send_packed_command(packed)
                return [await _reply(connection) for _ in commands]
        finally:
            await client.connection_pool.release(connection)
    except (RedisError, OSError) as error:
        return [error] * len(commands)


async def _reply(connection: AbstractConnection) -> Any:
    try:
        reply = await connection.read_response(timeout=math.inf)
    except ResponseError as error:
        return error
    reader = connection._reader
    if reply is None and (reader is None or reader.exception() is not None):
        # The driver takes ETIMEDOUT for the end of a deadline, and gives nothing.
        await connection.disconnect(nowait=True)
        raise DriverConnectionError("lost while reading")
    return reply
