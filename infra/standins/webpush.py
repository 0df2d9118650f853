"""Plays the push services of browsers on loopback, and the browsers: checks every push, reads it, answers as told.

`POST /{host}/{path}` is what a pusher's `via` leads to; `POST /subscriptions` makes a subscription for a page.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from infra.standins.plan import Plan, Planned
from infra.standins.server import PushStandIn, reset
from infra.standins.webpush_browser import Browser, CannotRead, Subscription
from infra.standins.webpush_plan import STATUS, Act
from infra.standins.webpush_rules import Refused, check_headers, check_vapid

MOZILLA = "updates.push.services.mozilla.com"

_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "Content-Type",
    "Access-Control-Allow-Methods": "POST",
}


@dataclass(slots=True)
class Received:
    """One push."""

    endpoint: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    at: datetime
    data: Mapping[str, Any] | None = None
    """What the service worker is given; None when it was refused before it was read."""
    wrong: str | None = None
    """Why it was refused."""
    status: int | None = None
    """What was answered; None: nothing (yet)."""


class WebPushStandIn(PushStandIn[Received]):
    """Every push service at once, on a free port. `async with` starts and ends it."""

    def __init__(self, *, on_push: Callable[[str], None] | None = None) -> None:
        super().__init__(on_push)
        self.plan = Plan(Act.OK)
        self._browsers: dict[str, Browser] = {}

    def subscribe(self, application_server_key: str, host: str = MOZILLA) -> Subscription:
        """As a browser whose push service is `host`. Raises ValueError when that is no VAPID key."""
        browser = Browser.subscribe(application_server_key, host)
        self._browsers[browser.subscription.endpoint] = browser
        return browser.subscription

    def _add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/subscriptions", self._subscribe)
        router.add_route("OPTIONS", "/subscriptions", _preflight)
        router.add_post("/{host}/{path:.*}", self._push)

    async def _subscribe(self, request: web.Request) -> web.Response:
        """`{"applicationServerKey": base64url, "host": optional}` becomes a PushSubscription."""
        try:
            asked = json.loads(await request.read())
            made = self.subscribe(asked["applicationServerKey"], asked.get("host", MOZILLA))
        except (ValueError, TypeError, KeyError, AttributeError):
            return web.Response(status=400, headers=_CORS)
        return web.json_response(made.json(), status=201, headers=_CORS)

    async def _push(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        received = Received(f"https:/{request.raw_path}", request.headers.copy(), datetime.now(UTC))
        planned = Planned(Act.OK)
        try:
            received.data = self._read(received, request.match_info["host"], body)
            planned = self.plan.take(received.endpoint)
            status = STATUS.get(planned.act)
        except Refused as refused:
            received.wrong, status = refused.why, refused.status
        await self._keep(received)
        if planned.act is Act.HANG:
            await asyncio.Event().wait()
        if status is None:
            reset(request)
            return web.Response()
        received.status = status
        self.answers[str(status)] += 1
        if planned.act is Act.OK:
            self._on_push(_line(received))
        return self._answer(status, planned)

    def _read(self, received: Received, host: str, body: bytes) -> Mapping[str, Any]:
        """Whatever is wrong with it, in the order in which push services look. Raises Refused."""
        browser = self._browsers.get(received.endpoint)
        key = browser.server_key if browser else None
        check_vapid(received.headers.get("Authorization"), host, key, received.at)
        check_headers(received.headers, body)
        if browser is None:
            raise Refused(404, _NOT_OURS)
        try:
            data = json.loads(browser.read(body))
        except (CannotRead, ValueError):
            # A push service could not know; here it is the only way to hear of it.
            raise Refused(400, "the browser cannot read it") from None
        if not isinstance(data, dict):
            raise Refused(400, "not a JSON object")
        return data

    def _answer(self, status: int, planned: Planned[Act]) -> web.Response:
        headers = {"Retry-After": planned.retry_after} if planned.retry_after else {}
        if planned.act is Act.REDIRECT:
            headers["Location"] = f"{self.url}/redirected/here"
        return web.Response(status=status, headers=headers)


_NOT_OURS = "cannot be read: its browser did not subscribe here"


def _line(received: Received) -> str:
    """`browser: ring "Someone needs help" for request ..a1b2c3, 29 s left`."""
    data = received.data
    if data is None:
        return f"browser: a push was refused ({received.status}): {received.wrong}"
    what = f'browser: {data.get("type")} "{data.get("title")}" for request ..{str(data.get("request_id"))[-6:]}'
    try:
        left = datetime.fromisoformat(str(data.get("expires_at"))) - received.at
        return f"{what}, {max(0, int(left.total_seconds()))} s left"
    except (ValueError, TypeError):
        return what


async def _preflight(_request: web.Request) -> web.Response:
    return web.Response(status=204, headers=_CORS)
