"""Posts to push services, and knows of every attempt whether it had begun."""

from __future__ import annotations

import time
from collections.abc import Mapping

import aiohttp
from yarl import URL

from infra.posting import Answer, Attempt, open_session
from infra.push_metrics import push_answers, push_seconds

CONNECTIONS = 100
TO_ONE_SERVICE = 60
"""Of them: a push service that hangs leaves the others some."""
KEEP_S = 30.0
"""Unused connections are kept so long: one about to be closed must not be used, since what is lost with it may have
been taken."""

_answered_after = push_seconds.labels("webpush")


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
            with attempt.under_way():
                response = await self._open().post(url, data=attempt, headers=headers, allow_redirects=False)
                # The status says all: what follows it is not waited for, nor can its end take the answer back.
                response.release()
                answered = str(response.status)
                return Answer(response.status, response.headers.get("Retry-After"))
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
            self._session = open_session(
                aiohttp.TCPConnector(limit=CONNECTIONS, limit_per_host=self._to_one_service, keepalive_timeout=KEEP_S),
                leave_out=("Accept-Encoding", "User-Agent"),
            )
        return self._session
