"""Opens connections to a Valkey server and turns the driver's errors into the ports' "cannot answer now"."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.connection import HiredisRespSerializer
from redis.exceptions import ConnectionError as DriverConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as DriverTimeoutError

Argument = bytes | str | int | float
Command = Sequence[Argument]

CONNECT_S = 1.0
ANSWER_S = 1.0
POOL_WAIT_S = 1.0
POOL_SIZE = 32

# First words of error replies that speak of the server's state, not of a mistake of ours.
_SERVER_STATES = frozenset(
    {"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "OOM", "NOREPLICAS", "MISCONF", "BUSY"}
)


_SERIALIZER = HiredisRespSerializer()


class _Cancellable(AbstractConnection):
    """A connection that never swallows the cancellation of the task that uses it, and packs commands by hiredis.

    The driver writes through `asyncio.wait_for`, which in Python 3.11 loses a cancellation that comes in the same turn
    of the loop as the end of the write (cpython issue 86296): a loop told to stop would then go on for ever.
    """

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        task = asyncio.current_task()
        asked_before = task.cancelling() if task is not None else 0
        await super().send_packed_command(command, check_health)
        if task is not None and task.cancelling() > asked_before:
            # The answer will not be read by anyone: whoever used this connection next would take it for theirs.
            await self.disconnect(nowait=True)
            raise asyncio.CancelledError

    def pack_command(self, *args: Any) -> list[bytes]:
        """As the driver's blocking half does it; its asyncio half does the same in Python, several times slower."""
        packed: list[bytes] = _SERIALIZER.pack(*args)
        return packed


class _TcpConnection(_Cancellable, Connection):
    pass


class _TlsConnection(_Cancellable, SSLConnection):
    pass


class _UnixConnection(_Cancellable, UnixDomainSocketConnection):
    pass


_CANCELLABLE: dict[type[AbstractConnection], type[AbstractConnection]] = {
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
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=pool_size,
        timeout=POOL_WAIT_S,
        socket_timeout=answer_s,
        socket_connect_timeout=CONNECT_S,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        client_name="eyeline",
    )
    pool.connection_class = _CANCELLABLE[pool.connection_class]
    return Redis.from_pool(pool)


async def pipelined_on(client: Redis, commands: Sequence[Command]) -> list[Any]:
    """Send commands to one server at once; replies in order, an error in the place of its reply."""
    try:
        async with client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return await pipeline.execute(raise_on_error=False)
    except (RedisError, OSError) as error:
        return [error] * len(commands)


def is_unavailable(error: BaseException) -> bool:
    """Whether an error says "the server cannot answer now" rather than "we asked for something wrong"."""
    if isinstance(error, ResponseError):
        return (error.status_code or str(error).partition(" ")[0]) in _SERVER_STATES
    return isinstance(error, DriverConnectionError | DriverTimeoutError | OSError)


@contextmanager
def unavailable_as(unavailable: type[Exception]) -> Iterator[None]:
    """Raise `unavailable` for every error inside that means Valkey cannot answer now; our own mistakes pass through.

    The message is the kind of error only: a server's text may quote keys.
    """
    try:
        yield
    except unavailable:
        raise
    except Exception as error:
        if not is_unavailable(error):
            raise
        raise unavailable(type(error).__name__) from error


@asynccontextmanager
async def answer_within(deadline_s: float, unavailable: type[Exception]) -> AsyncIterator[None]:
    """One step against Valkey: `unavailable` when it fails or takes longer than `deadline_s` altogether."""
    with unavailable_as(unavailable):
        async with asyncio.timeout(deadline_s):
            yield
