"""Posts to push services, and knows of every attempt whether it had begun."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from infra.push_metrics import push_answers, push_seconds

CONNECTIONS = 100
TO_ONE_SERVICE = 60
"""Of them: a push service that hangs leaves the others some."""
KEEP_S = 30.0
"""Unused connections are kept so long: one about to be closed must not be used, since what is lost with it may have
been taken."""

_answered_after = push_seconds.labels("webpush")


@dataclass(frozen=True, slots=True)
class Answer:
    """The push service's answer; what it says besides is for people."""

    status: int
    retry_after: str | None
    """The header, seconds or an HTTP date."""


class NothingSent(Exception):
    """No connection could be made: the push service knows nothing of this."""


class NoAnswer(Exception):
    """The connection broke when sending may have begun: the push service may have taken it."""


class TooLate(Exception):
    """There was a connection, but no longer a reason to send; nothing was."""


class Attempt(aiohttp.BytesPayload):
    """One body on its way. It has begun when its first byte, headers included, is handed to the connection."""

    def __init__(self, body: bytes, may_begin: Callable[[], bool]) -> None:
        super().__init__(body, content_type="application/octet-stream")
        self._may_begin = may_begin
        self.begun_at: float | None = None
        """By the monotonic clock."""
        self.late = False

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        # Asked here and not before: by now it has waited for a connection. aiohttp holds the headers back for the body.
        if not self._may_begin():
            self.late = True
            raise TooLate
        self.begun_at = time.monotonic()
        await super().write_with_length(writer, content_length)


class Transport:
    """Connections to push services, for any number of users. Close with `close()`."""

    def __init__(self, to_one_service: int = TO_ONE_SERVICE) -> None:
        """`to_one_service`: connections to one host; 0 when all of them go through one."""
        self._to_one_service = to_one_service
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: URL, attempt: Attempt, headers: Mapping[str, str]) -> Answer:
        """Send once, to that address alone; every attempt begun is counted. The caller sets the deadline.

        Raises NothingSent, NoAnswer, TooLate.
        """
        answered = "unknown"
        try:
            response = await self._open().post(url, data=attempt, headers=headers, allow_redirects=False)
            # The status says all: what follows it is not waited for, nor can its end take the answer back.
            response.release()
            answered = str(response.status)
            return Answer(response.status, response.headers.get("Retry-After"))
        except Exception as error:
            if attempt.late:
                raise TooLate from None
            if attempt.begun_at is not None:
                raise NoAnswer(type(error).__name__) from error
            if isinstance(error, aiohttp.ClientError | OSError):
                raise NothingSent(type(error).__name__) from error
            raise
        finally:
            if attempt.begun_at is not None:
                push_answers.labels("webpush", answered).inc()
                _answered_after.observe(time.monotonic() - attempt.begun_at)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        """Made at the first use: it belongs to the running loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=CONNECTIONS, limit_per_host=self._to_one_service, keepalive_timeout=KEEP_S
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                # The caller's deadline is for the whole; a second one in here would cost a timer for each push.
                timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
                skip_auto_headers=("Accept-Encoding", "User-Agent"),
            )
        return self._session
