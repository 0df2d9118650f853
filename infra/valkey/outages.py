"""Which errors say that Valkey cannot answer now, and how the ports are told so."""

from __future__ import annotations

import asyncio
from types import TracebackType

from redis.exceptions import ConnectionError as DriverConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as DriverTimeoutError

# First words of error replies that speak of the server's state, not of a mistake of ours.
_SERVER_STATES = frozenset(
    {"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "OOM", "NOREPLICAS", "MISCONF", "BUSY"}
)


def is_unavailable(error: BaseException) -> bool:
    """Whether an error says "the server cannot answer now" rather than "we asked for something wrong"."""
    if isinstance(error, ResponseError):
        return (error.status_code or str(error).partition(" ")[0]) in _SERVER_STATES
    return isinstance(error, DriverConnectionError | DriverTimeoutError | OSError)


class UnavailableAs:
    """Raise `unavailable` for every error inside that means Valkey cannot answer now; our own mistakes pass through.

    The message is the kind of error only: a server's text may quote keys. A class, as below.
    """

    __slots__ = ("_unavailable",)

    def __init__(self, unavailable: type[Exception]) -> None:
        self._unavailable = unavailable

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and _to_be_told_as(self._unavailable, error):
            raise self._unavailable(type(error).__name__) from error


def _to_be_told_as(unavailable: type[Exception], error: BaseException | None) -> bool:
    return isinstance(error, Exception) and not isinstance(error, unavailable) and is_unavailable(error)


class AnswerWithin:
    """Around one step against Valkey: `unavailable` when it fails or takes longer than `deadline_s` altogether.

    A class, for this is around each of thousands of steps a second, and a generator would cost as much as a command.
    """

    __slots__ = ("_deadline", "_unavailable")

    def __init__(self, deadline_s: float, unavailable: type[Exception]) -> None:
        self._deadline = asyncio.timeout(deadline_s)
        self._unavailable = unavailable

    async def __aenter__(self) -> None:
        await self._deadline.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._deadline.__aexit__(kind, error, trace)
        except TimeoutError as late:
            raise self._unavailable(type(late).__name__) from error
        if _to_be_told_as(self._unavailable, error):
            raise self._unavailable(type(error).__name__) from error
