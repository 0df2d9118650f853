"""Access tokens for FCM from a service account's key: fetched in a thread, once for all who wait, ahead of expiry."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC
from functools import partial
from pathlib import Path

import structlog
from firebase_admin import credentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request

log = structlog.get_logger()

REFRESH_WITHIN_S = 5.0
AHEAD_S = 300.0
"""A new token is fetched when the old one has so long left; until it is there the old one is used."""
AGAIN_AFTER_S = 1.0
"""After a failure Google is left alone for so long; who asks meanwhile is told at once."""
_SOCKET_S = 4.0


class TokenUnavailable(Exception):
    """Google gives no access token now."""


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    expires_unix: float


class AccessTokens:
    """The current access token of one service account. `run()` keeps it fresh; without, it is refreshed when used."""

    def __init__(self, key_file: Path) -> None:
        """Raises OSError or ValueError when that is no service account's key."""
        certificate = credentials.Certificate(str(key_file))
        self.project: str = certificate.project_id
        self._credential = certificate.get_credential()
        self._token: _Token | None = None
        self._refreshing: asyncio.Task[_Token] | None = None
        self._not_before = 0.0

    async def token(self) -> str:
        """One that is valid now. Raises TokenUnavailable, within 5 s."""
        current = self._token
        left_s = current.expires_unix - time.time() if current else 0.0
        if current is None or left_s <= 0:
            return (await self._refreshed()).value
        if left_s < AHEAD_S and time.monotonic() >= self._not_before:
            self._begin_refresh()
        return current.value

    def invalidate(self, token: str) -> None:
        """FCM refused `token`. Nothing happens when it has been replaced already."""
        if self._token is not None and self._token.value == token:
            self._token = None

    async def run(self) -> None:
        """Fetch each token before the last one ends, so that no ring waits for one. Until cancelled."""
        while True:
            current = self._token
            if current is None or current.expires_unix - time.time() < AHEAD_S:
                try:
                    current = await self._refreshed()
                except TokenUnavailable:
                    current = None
            due_s = current.expires_unix - time.time() - AHEAD_S if current else AGAIN_AFTER_S
            # Looked at now and then: a clock may be set, a token be refused.
            await asyncio.sleep(min(max(due_s, AGAIN_AFTER_S), 60.0))

    async def close(self) -> None:
        """Let go of a refresh under way; its thread ends by its own deadline."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)

    async def _refreshed(self) -> _Token:
        if time.monotonic() < self._not_before:
            raise TokenUnavailable("refused a moment ago")
        try:
            async with asyncio.timeout(REFRESH_WITHIN_S):
                return await asyncio.shield(self._begin_refresh())
        except TimeoutError:
            raise TokenUnavailable("no answer in time") from None

    def _begin_refresh(self) -> asyncio.Task[_Token]:
        """The one refresh under way."""
        if self._refreshing is None:
            self._refreshing = asyncio.create_task(self._refresh(), name="FCM access token")
            self._refreshing.add_done_callback(self._refresh_ended)
        return self._refreshing

    async def _refresh(self) -> _Token:
        try:
            self._token = await asyncio.to_thread(self._fetch)
        except (GoogleAuthError, OSError) as error:
            self._not_before = time.monotonic() + AGAIN_AFTER_S
            log.error("no FCM access token", error=type(error).__name__)
            # Google's text may quote what it was sent.
            raise TokenUnavailable(type(error).__name__) from None
        return self._token

    def _refresh_ended(self, task: asyncio.Task[_Token]) -> None:
        self._refreshing = None
        if not task.cancelled():
            task.exception()  # heard: nobody may be waiting for it

    def _fetch(self) -> _Token:
        """Blocks."""
        request = Request()
        try:
            self._credential.refresh(partial(request, timeout=_SOCKET_S))
        finally:
            request.session.close()
        return _Token(self._credential.token, self._credential.expiry.replace(tzinfo=UTC).timestamp())
