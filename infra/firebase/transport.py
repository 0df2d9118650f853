"""Posts to FCM's v1 API, and knows of every attempt whether it had begun.

Over HTTP/1.1 with many connections: with HTTP/2 one GOAWAY costs everything under way.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from infra.push_metrics import push_answers, push_seconds

GOOGLE = "https://fcm.googleapis.com"
CONNECTIONS = 100
KEEP_S = 60.0
"""Unused connections are kept so long, well below what Google's own side does: one about to be closed must not be
used, since what is lost with it may have been taken."""

_answered_after = push_seconds.labels("fcm")


@dataclass(frozen=True, slots=True)
class Answer:
    """FCM's answer as it came."""

    status: int
    body: bytes
    retry_after: str | None
    """The header, seconds or an HTTP date."""


class NothingSent(Exception):
    """No connection could be made: FCM knows nothing of this."""


class NoAnswer(Exception):
    """The connection broke when sending may have begun: FCM may have taken it."""


class TooLate(Exception):
    """There was a connection, but no longer a reason to send; nothing was."""


class Attempt(aiohttp.BytesPayload):
    """One body on its way. `begun` from the moment its first byte, headers included, is handed to the connection."""

    def __init__(self, body: bytes, may_begin: Callable[[], bool]) -> None:
        super().__init__(body, content_type="application/json")
        self._may_begin = may_begin
        self.begun = False
        self.late = False

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        # Asked here and not before: by now it has waited for a connection. aiohttp holds the headers back for the body.
        if not self._may_begin():
            self.late = True
            raise TooLate
        self.begun = True
        await super().write_with_length(writer, content_length)


class Transport:
    """Connections to one project's `messages:send`, for any number of users. Close with `close()`."""

    def __init__(self, project: str, base_url: str = GOOGLE, ssl_context: ssl.SSLContext | None = None) -> None:
        """`ssl_context`: for a server with a certificate of its own."""
        self._url = URL(f"{base_url.rstrip('/')}/v1/projects/{project}/messages:send")
        self._ssl_context = ssl_context
        self._session: aiohttp.ClientSession | None = None

    async def post(self, attempt: Attempt, token: str) -> Answer:
        """Send once; every attempt begun is counted. The caller sets the deadline.

        Raises NothingSent, NoAnswer, TooLate.
        """
        began = time.monotonic()
        answered = "unknown"
        try:
            async with self._open().post(
                self._url, data=attempt, headers={"Authorization": f"Bearer {token}"}, allow_redirects=False
            ) as response:
                body = await response.read()
                answered = str(response.status)
                return Answer(response.status, body, response.headers.get("Retry-After"))
        except Exception as error:
            if attempt.late:
                raise TooLate from None
            if attempt.begun:
                raise NoAnswer(type(error).__name__) from error
            if isinstance(error, aiohttp.ClientError | OSError):
                raise NothingSent(type(error).__name__) from error
            raise
        finally:
            if attempt.begun:
                push_answers.labels("fcm", answered).inc()
                _answered_after.observe(time.monotonic() - began)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        """Made at the first use: it belongs to the running loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=CONNECTIONS, keepalive_timeout=KEEP_S, ssl=self._ssl_context or True
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                # The caller's deadline is for the whole; a second one in here would cost a timer for each message.
                timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
            )
        return self._session
