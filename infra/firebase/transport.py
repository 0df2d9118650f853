"""Posts to FCM's v1 API, and knows of every attempt whether it had begun.

Over HTTP/1.1 with many connections: with HTTP/2 one GOAWAY costs everything under way.
"""

from __future__ import annotations

import ssl
import time

import aiohttp
from yarl import URL

from infra.posting import Answer, Attempt, open_session
from infra.push_metrics import push_answers, push_seconds

GOOGLE = "https://fcm.googleapis.com"
CONNECTIONS = 100
KEEP_S = 60.0
"""Unused connections are kept so long, well below what Google's own side does: one about to be closed must not be
used, since what is lost with it may have been taken."""

_answered_after = push_seconds.labels("fcm")


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
            with attempt.under_way():
                async with self._open().post(
                    self._url, data=attempt, headers={"Authorization": f"Bearer {token}"}, allow_redirects=False
                ) as response:
                    body = await response.read()
                    answered = str(response.status)
                    return Answer(response.status, response.headers.get("Retry-After"), body)
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
            self._session = open_session(
                aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEEP_S, ssl=self._ssl_context or True)
            )
        return self._session
