"""One attempt to post to a push provider: whether it had begun, and how it can end without an answer.

What never began may be tried again; what began may have reached somebody, whatever became of the connection.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractStreamWriter


@dataclass(frozen=True, slots=True)
class Answer:
    """The provider's answer as it came."""

    status: int
    retry_after: str | None
    """The header, seconds or an HTTP date."""
    body: bytes = b""
    """Empty where all it says is for people."""


class NothingSent(Exception):
    """No connection could be made: the provider knows nothing of this."""


class NoAnswer(Exception):
    """The connection broke when sending may have begun: the provider may have taken it."""


class TooLate(Exception):
    """There was a connection, but no longer a reason to send; nothing was."""


class Attempt(aiohttp.BytesPayload):
    """One body on its way. It has begun when its first byte, headers included, is handed to the connection."""

    def __init__(self, body: bytes, content_type: str, may_begin: Callable[[], bool]) -> None:
        super().__init__(body, content_type=content_type)
        self._may_begin = may_begin
        self._late = False
        self.begun_at: float | None = None
        """By the monotonic clock."""

    @property
    def begun(self) -> bool:
        return self.begun_at is not None

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        # Asked here and not before: by now it has waited for a connection. aiohttp holds the headers back for the body.
        if not self._may_begin():
            self._late = True
            raise TooLate
        self.begun_at = time.monotonic()
        await super().write_with_length(writer, content_length)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Around the post: says of whatever breaks it what that means. Raises NothingSent, NoAnswer, TooLate."""
        try:
            yield
        except Exception as error:
            if self._late:
                raise TooLate from None
            if self.begun:
                raise NoAnswer(type(error).__name__) from error
            if isinstance(error, aiohttp.ClientError | OSError):
                raise NothingSent(type(error).__name__) from error
            raise


def open_session(connector: aiohttp.TCPConnector, leave_out: Sequence[str] = ()) -> aiohttp.ClientSession:
    """Without cookies; it belongs to the running loop. `leave_out`: headers aiohttp would add by itself."""
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        # The caller's deadline is for the whole; a second one in here would cost a timer for each post.
        timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
        skip_auto_headers=leave_out,
    )
