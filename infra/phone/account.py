"""One sign-in of one person, over HTTP: tokens and their renewal, and every call the phone makes outside the socket."""

from __future__ import annotations

import asyncio
import ssl as tls
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp

from infra.phone.errors import ApiError, PhoneError, ServerUnreachable
from infra.phone.state import View

HTTP_DEADLINE_S = 10.0
_USUAL_LIFE_S = 15 * 60.0
"""Of an access token, until a welcome says it exactly, by the server's own clock."""
TlsOption = tls.SSLContext | bool
"""As aiohttp's `ssl`: True verifies, a context brings its own trust, False trusts anyone (for tests only)."""


@dataclass(slots=True)
class Tokens:
    """The current pair. Never logged."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    session_id: str
    got_at: float
    """`time.monotonic()` when received."""
    lives_s: float

    def ends_in(self, seconds: float) -> None:
        """The server said how long the access token still lives."""
        self.got_at, self.lives_s = time.monotonic(), seconds

    @property
    def renew_in_s(self) -> float:
        """Seconds until renewing is wise: a minute before the end, or at half of a shorter life."""
        return self.got_at + max(self.lives_s - 60, self.lives_s / 2) - time.monotonic()


class Account:
    """Signs in by its `provider` and speaks HTTP for that sign-in. Everything has a deadline."""

    def __init__(
        self, http: aiohttp.ClientSession, base_url: str, *, device_id: str | None = None, ssl: TlsOption = True
    ) -> None:
        self.http = http
        self.base_url = base_url.rstrip("/")
        self.device_id = device_id or str(uuid4())
        self.ssl = ssl
        self.provider = "dev"
        self.tokens: Tokens | None = None
        self._renewing = asyncio.Lock()

    @property
    def access_token(self) -> str:
        if self.tokens is None:
            raise PhoneError("not signed in")
        return self.tokens.access

    async def sign_in(self, name: str) -> View:
        """`POST /v1/sessions`; gives the `user`."""
        body = {"provider": self.provider, "token": name, "device": {"id": self.device_id, "platform": "web"}}
        _, reply = await self._exchange("POST", "/v1/sessions", body, {})
        self._keep(reply)
        user: View = reply["user"]
        return user

    async def set_up(
        self, user: View, *, role: str | None, languages: Sequence[str] | None, time_zone: str | None
    ) -> View:
        """`PATCH /v1/me` with what is asked for and not yet so; gives the `user`."""
        wanted = {"role": role, "languages": languages and list(languages), "time_zone": time_zone}
        changes = {key: value for key, value in wanted.items() if value is not None and user.get(key) != value}
        if not changes:
            return user
        reply = await self.call("PATCH", "/v1/me", changes)
        changed: View = reply.get("user", reply)
        return changed

    async def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> View:
        """One authorized call; renews the token once if it was refused. Raises `ApiError`, `ServerUnreachable`."""
        _, reply = await self.call_with_status(method, path, body, headers)
        return reply

    async def call_with_status(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, View]:
        """As `call`, and the status with it."""
        token = self.access_token
        try:
            return await self._exchange(method, path, body, {**(headers or {}), "Authorization": f"Bearer {token}"})
        except ApiError as error:
            if error.status != 401:
                raise
        await self.renew(token)
        authorization = {"Authorization": f"Bearer {self.access_token}"}
        return await self._exchange(method, path, body, {**(headers or {}), **authorization})

    async def renew(self, stale_token: str | None = None) -> None:
        """A new pair of tokens, unless somebody already got one since `stale_token`. One renewal at a time.

        A lost reply is asked for again with the same refresh token, which the server honours for a minute.
        """
        async with self._renewing:
            if self.tokens is None:
                raise PhoneError("not signed in")
            if stale_token is not None and stale_token != self.tokens.access:
                return
            body = {"refresh_token": self.tokens.refresh, "device_id": self.device_id}
            _, reply = await self._exchange("POST", "/v1/sessions/refresh", body, {})
            self._keep(reply)

    def _keep(self, reply: View) -> None:
        session_id = reply.get("session_id") or (self.tokens.session_id if self.tokens else "")
        self.tokens = Tokens(reply["access_token"], reply["refresh_token"], session_id, time.monotonic(), _USUAL_LIFE_S)

    async def _exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> tuple[int, View]:
        try:
            async with (
                asyncio.timeout(HTTP_DEADLINE_S),
                self.http.request(
                    method, self.base_url + path, json=body, headers=headers, ssl=self.ssl, allow_redirects=False
                ) as response,
            ):
                reply = await response.json(content_type=None) if response.status != 204 else {}
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            what = f"{method} {path.split('?')[0]}: {type(error).__name__}"
            raise ServerUnreachable(f"no answer from the server ({what})") from error
        if response.status >= 400:
            raise _refusal(response, reply)
        return response.status, reply or {}


def _refusal(response: aiohttp.ClientResponse, reply: object) -> ApiError:
    told = reply.get("error") if isinstance(reply, dict) else None
    error = told if isinstance(told, dict) else {}
    refusal = ApiError(
        response.status,
        str(error.get("code", "unknown")),
        str(error.get("message", "")),
        retryable=bool(error.get("retryable", False)),
        details=error.get("details") or {},
    )
    after = response.headers.get("Retry-After", "")
    refusal.retry_after_s = float(after) if after.isdigit() else None
    return refusal
