"""The HTTP boundary over real Postgres, without the rest of a node: who was told of what is recorded instead."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
from aiohttp import web
from aiohttp.test_utils import TestServer

from infra.postgres.accounts import PostgresAccounts
from infra.postgres.checks import DatabaseChecks
from infra.postgres.figures import PostgresFigures
from infra.postgres.pool import OUTAGES, open_pool
from matching.model import Tier
from matching.ports import IndexUnavailable
from server.admin_feed import AdminFeed
from server.api.accounts import AccountsApi
from server.api.admin import AdminApi, AdminSockets
from server.api.health import HealthApi
from server.api.pages import Pages
from server.api.reference import Reference
from server.api.sessions import SessionsApi
from server.auth import AccessTokens, Authenticator, DevSignIn
from server.failures import FailureReports
from server.rate_limits import Limit
from server.routing import BODY_BYTES_MAX, Boundary, Route

SECRET = "a secret for tests of thirty-two characters"


class NoLimits:
    """Lets everything through, unless a test says how long to wait."""

    def __init__(self) -> None:
        self.answer_s = 0.0
        self.counted: list[tuple[str, str]] = []

    async def wait_s(self, limit: Limit, subject: str) -> float:
        self.counted.append((limit.name, subject))
        return self.answer_s


@dataclass
class Told:
    """What the API called back about."""

    seen: list[UUID] = field(default_factory=list)
    changed: list[UUID] = field(default_factory=list)
    ended: list[UUID] = field(default_factory=list)

    async def person_changed(self, user_id: UUID) -> None:
        self.changed.append(user_id)

    async def session_ended(self, session_id: UUID) -> None:
        self.ended.append(session_id)


@dataclass(frozen=True)
class Answer:
    """A response read whole."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def code(self) -> str:
        """The error's code; fails unless the body is an error envelope."""
        assert set(self.body) == {"error"}
        assert {"code", "message", "retryable"} <= set(self.body["error"])
        return str(self.body["error"]["code"])

    @property
    def field(self) -> str:
        assert (self.status, self.code) == (400, "invalid_body")
        return str(self.body["error"]["details"]["field"])


class HttpApi:
    """A client of the API under test, and a look behind it."""

    def __init__(
        self, client: aiohttp.ClientSession, base: str, pool: asyncpg.Pool, tokens: AccessTokens, clock: TestClock
    ) -> None:
        self.pool = pool
        self.tokens = tokens
        self.clock = clock
        self.told = Told()
        self.limits = NoLimits()
        self.index = MemoryIndex()
        self.admin: AdminSockets | None = None
        self.client = client
        self.base = base

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        content: dict[str, Any] = {"data": data} if data is not None else {"json": body} if body is not None else {}
        async with self.client.request(method, self.base + path, headers=sent, **content) as response:
            read = await response.json() if response.content_type == "application/json" else await response.read()
            return Answer(response.status, response.headers, read)

    async def sign_in(self, name: str, device: str = "phone", platform: str = "android") -> Any:
        """The reply to a `dev` sign-in."""
        body = {"provider": "dev", "token": name, "device": {"id": device, "platform": platform}}
        answer = await self.call("POST", "/v1/sessions", body)
        assert answer.status == 201, answer
        return answer.body

    async def person(self, name: str, role: str | None = None) -> str:
        """Somebody's access token, with a role."""
        token = str((await self.sign_in(name))["access_token"])
        if role is not None:
            assert (await self.call("PATCH", "/v1/me", {"role": role}, token=token)).status == 200
        return token


class TestClock:
    """The node's clock, which tests move."""

    __test__ = False

    def __init__(self, start: float) -> None:
        self.now = start

    def __call__(self) -> float:
        return self.now


class MemoryIndex:
    """Volunteers who could be asked, as a test says; None: the index is away."""

    def __init__(self) -> None:
        self.people: dict[tuple[str, Tier], int] | None = {}
        self.asked = 0

    async def counts(self) -> dict[tuple[str, Tier], int]:
        self.asked += 1
        if self.people is None:
            raise IndexUnavailable
        return self.people


@asynccontextmanager
async def http_api(database_url: str, *, start: float, extra: Sequence[Route] = ()) -> AsyncIterator[HttpApi]:
    """Serve everything that needs Postgres only, and `extra` routes, on a free port."""
    pool = await open_pool(database_url, 8)
    clock = TestClock(start)
    tokens = AccessTokens(SECRET, 900, clock=clock)
    accounts = PostgresAccounts(pool)
    async with aiohttp.ClientSession() as client:
        api = HttpApi(client, "", pool, tokens, clock)
        reports = FailureReports(OUTAGES)
        authenticator = Authenticator(tokens, accounts, api.told.seen.append)
        app = web.Application(middlewares=[reports.middleware], client_max_size=BODY_BYTES_MAX)
        feed = AdminFeed(PostgresFigures(pool), api.index)
        checks = DatabaseChecks(pool)
        routes = [
            *SessionsApi(accounts, tokens, {"dev": DevSignIn()}, api.told.session_ended).routes(),
            *AccountsApi(accounts, api.told.person_changed).routes(),
            *HealthApi({"postgres": checks.answers, "schema": checks.migrated, "clock": checks.clock}).routes(),
            *AdminApi(feed).routes(),
            *extra,
        ]
        Boundary(authenticator, api.limits).register(app, routes)
        api.admin = AdminSockets(feed, authenticator, ["https://pages.example"])
        api.admin.register(app)
        Pages().register(app)
        Reference(routes).register(app)
        server = TestServer(app)
        await server.start_server()
        api.base = str(server.make_url("")).rstrip("/")
        try:
            yield api
        finally:
            await api.admin.close()
            await server.close()
            await pool.close()
