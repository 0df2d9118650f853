"""Joins handlers to HTTP: what a route is, and the one way from a request to a handler and back to an answer.

A handler is `async def f(self, exchange: Exchange[Body]) -> Reply | Struct | None`: a struct is answered with the
route's status, None with 204. On the way in: access token, role, rate, body, in that order; every error leaves as the
contract's envelope.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar
from uuid import UUID

import msgspec
from aiohttp import web

from server.accounts import AdminRole, Role
from server.auth import Caller, Forged, Suspended, Unauthorized
from server.decoding import place_and_problem
from server.errors import (
    invalid_body,
    not_allowed,
    not_found,
    suspended,
    too_fast,
    too_large,
    unauthorized,
    wrong_role,
)
from server.rate_limits import FORGED, SESSION, SIGN_IN, RateLimiter, wait_by_address_s

Body = TypeVar("Body")

BODY_BYTES_MAX = 64 * 1024
BODY_WAIT_S = 10.0
ANSWER_WITHIN_S = 15.0
ID = "{id:[0-9A-Fa-f-]{36}|current}"
"""What may stand for `{id}` in a path. Else it names nothing, whatever the method: `/v1/calls/nonsense` is 404."""
NO_STORE = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class Exchange(Generic[Body]):
    """One call as its handler sees it."""

    body: Body
    path: Mapping[str, str]
    headers: Mapping[str, str]
    remote: str
    """The client's address, for rate limits only; never logged or stored."""
    signed_in: Caller | None = None

    @property
    def caller(self) -> Caller:
        """Who calls. Only routes with `auth="session"` have one."""
        if self.signed_in is None:
            raise RuntimeError("a handler of a route without authentication asked who calls")
        return self.signed_in

    def header(self, name: str) -> str | None:
        return self.headers.get(name)

    def uuid(self, name: str) -> UUID:
        """The id in the path. Raises 404 when it is none: it names nothing."""
        text = self.path[name]
        try:
            parsed = UUID(text)
        except ValueError:
            raise not_found() from None
        if str(parsed) != text.lower():
            raise not_found()
        return parsed


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that needs more than a struct: another status, headers, or no body at all."""

    body: msgspec.Struct | bytes | None = None
    status: int | None = None
    """None: the route's (204 without a body)."""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


Handler = Callable[[Exchange[Any]], Awaitable["Reply | msgspec.Struct | None"]]


@dataclass(frozen=True, slots=True)
class Route:
    """One call of the API. `/openapi.json` is generated from these."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    handler: Handler
    body: type[msgspec.Struct] | None = None
    reply: type[msgspec.Struct] | None = None
    status: int = 200
    auth: Literal["none", "session"] = "session"
    role: Role | None = None
    admin: AdminRole | None = None
    errors: tuple[str, ...] = ()
    """Codes of its own; those of authentication, roles, bodies and rates are known from the rest."""
    summary: str = ""
    limit: Literal["session", "sign_in", "none"] = "session"
    no_store: bool = False
    while_suspended: bool = False
    """Whether a suspended person may still call it."""
    headers: tuple[str, ...] = ()
    """Request headers the handler reads, for the reference."""
    also: tuple[int, ...] = ()
    """Other statuses of success, with the same reply."""


class Authenticates(Protocol):
    async def authenticate(self, token: str) -> Caller:
        """Raises `Unauthorized` or `Suspended`."""


class Boundary:
    """The HTTP boundary of one node: registers routes and carries each call through."""

    def __init__(self, authenticator: Authenticates, limiter: RateLimiter) -> None:
        self._authenticator = authenticator
        self._limiter = limiter

    def register(self, app: web.Application, routes: Iterable[Route]) -> None:
        """Add routes to an app made with `client_max_size=BODY_BYTES_MAX, middlewares=[reports.middleware]`."""
        for route in routes:
            app.router.add_route(route.method, route.path.replace("{id}", ID), self._endpoint(route))

    def _endpoint(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        decoder = msgspec.json.Decoder(route.body) if route.body is not None else None

        async def endpoint(request: web.Request) -> web.StreamResponse:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                caller = await self._admit(route, request)
                data = await read_body(request)
                body = decode_body(data, decoder) if decoder is not None else None
                exchange = Exchange(body, request.match_info, request.headers, request.remote or "", caller)
                return _response(route, await route.handler(exchange))

        return endpoint

    async def _admit(self, route: Route, request: web.Request) -> Caller | None:
        caller = await self._caller(route, request) if route.auth == "session" else None
        if caller is not None and route.limit == "session":
            _hold_back(await self._limiter.wait_s(SESSION, str(caller.session_id)))
        if route.limit == "sign_in":
            _hold_back(await wait_by_address_s(self._limiter, SIGN_IN, request.remote))
        if caller is not None and route.role is not None and caller.role != route.role:
            raise wrong_role(route.role)
        if caller is not None and route.admin is not None and not caller.may(route.admin):
            raise not_allowed()
        return caller

    async def _caller(self, route: Route, request: web.Request) -> Caller:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise unauthorized()
        try:
            return await self._authenticator.authenticate(token.strip())
        except Forged:
            _hold_back(await wait_by_address_s(self._limiter, FORGED, request.remote))
            raise unauthorized() from None
        except Unauthorized:
            raise unauthorized() from None
        except Suspended as error:
            if route.while_suspended:
                return error.caller
            raise suspended() from None


def _hold_back(wait_s: float) -> None:
    if wait_s > 0:
        raise too_fast(wait_s)


async def read_body(request: web.Request) -> bytes:
    """The whole body, also where none is expected: too much is too much everywhere. Raises 413, or 400 for a part."""
    if not request.can_read_body:
        return b""
    try:
        async with asyncio.timeout(BODY_WAIT_S):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise too_large() from None
    except (TimeoutError, web.RequestPayloadError):
        raise invalid_body("", "the body did not arrive whole") from None


def decode_body(data: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """JSON to the decoder's type; an absent body counts as `{}`.

    Raises 400 `invalid_body` with the field's path and never with its value.
    """
    try:
        # The decoder does not look into the fields it skips.
        body = decoder.decode(data.decode() or "{}")
    except msgspec.ValidationError as error:
        raise invalid_body(*place_and_problem(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid_body("", "the body is not UTF-8 JSON") from None
    # Postgres texts cannot hold it, and no honest client sends it.
    if b"\\u0000" in data and (place := _place_of_nul(msgspec.to_builtins(body))) is not None:
        raise invalid_body(place.removeprefix("."), "must not contain U+0000")
    return body


def _place_of_nul(value: object) -> str | None:
    """Path of the first text with U+0000 in it, such as `.device.id` or `.languages[2]`."""
    if isinstance(value, str):
        return "" if "\x00" in value else None
    if isinstance(value, Mapping):
        parts = ((f".{name}", item) for name, item in value.items())
    elif isinstance(value, list | tuple):
        parts = ((f"[{number}]", item) for number, item in enumerate(value))
    else:
        return None
    return next((part + place for part, item in parts if (place := _place_of_nul(item)) is not None), None)


def _response(route: Route, answer: Reply | msgspec.Struct | None) -> web.Response:
    reply = answer if isinstance(answer, Reply) else Reply(answer)
    headers = {**(NO_STORE if route.no_store else {}), **reply.headers}
    if reply.body is None:
        return web.Response(status=reply.status or 204, headers=headers)
    body = reply.body if isinstance(reply.body, bytes) else msgspec.json.encode(reply.body)
    headers["Content-Type"] = reply.content_type
    return web.Response(body=body, status=reply.status or route.status, headers=headers)
