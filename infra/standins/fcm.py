"""Plays Firebase Cloud Messaging on loopback: checks every request as Google does, answers as told, keeps what it saw.

`POST /token` and `POST /v1/projects/{project}/messages:send`; errors in Google's shape.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiohttp import web

from infra.standins.fcm_plan import OTHER_PROJECT, REFUSALS, Act, Refusal
from infra.standins.fcm_rules import target_of, violation_in
from infra.standins.google_oauth import TokenDesk
from infra.standins.plan import Plan, Planned
from infra.standins.server import PushStandIn, reset
from infra.standins.spoken import line


@dataclass(slots=True)
class Received:
    """One request to send."""

    message: Mapping[str, Any] | None
    """None when the request was refused before it was looked at."""
    at: datetime
    status: int | None = None
    """What was answered; None: nothing (yet)."""

    @property
    def target(self) -> str:
        return target_of(self.message) if self.message else ""


class FcmStandIn(PushStandIn[Received]):
    """One Firebase project, on a free port. `async with` starts and ends it."""

    def __init__(
        self,
        project: str = "eyeline-dev",
        *,
        ssl_context: ssl.SSLContext | None = None,
        on_push: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(on_push, ssl_context)
        self.project = project
        self.plan = Plan(Act.OK)
        self.tokens = TokenDesk()
        self._close_after: int | None = None

    def make_account(self, path: Path) -> None:
        """Write the key file of a service account that may send here."""
        self.tokens.make_account(path, self.project, f"{self.url}/token")

    def close_after(self, count: int) -> None:
        """After `count` more answers every connection open by then is closed, whatever was under way on it."""
        self._close_after = count

    def _add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/token", self.tokens.handle)
        router.add_post("/v1/projects/{project}/messages:send", self._send)

    async def _send(self, request: web.Request) -> web.StreamResponse:
        received = Received(None, datetime.now(UTC))
        raw = await request.read()
        refusal = self._refusal(request, raw)
        if refusal is None:
            received.message = json.loads(raw)["message"]
        await self._keep(received)
        planned = Planned(Act.OK) if refusal or not received.message else self.plan.take(target_of(received.message))
        if planned.act is Act.HANG:
            await asyncio.Event().wait()
        if planned.act is Act.RESET or self._is_closing():
            reset(request)
            return web.Response()
        response = self._answer(refusal or REFUSALS.get(planned.act), planned)
        received.status = response.status
        self.answers[str(response.status)] += 1
        if received.message is not None and planned.act is Act.OK:
            self._on_push(line(received.message, received.at))
        return response

    def _refusal(self, request: web.Request, raw: bytes) -> Refusal | None:
        if not self.tokens.knows(request.headers.get("Authorization")):
            return REFUSALS[Act.UNAUTHENTICATED]
        if request.match_info["project"] != self.project:
            return OTHER_PROJECT
        wrong = "Content-Type" if request.content_type != "application/json" else violation_in(raw)
        return Refusal(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", wrong) if wrong else None

    def _answer(self, refusal: Refusal | None, planned: Planned[Act]) -> web.Response:
        headers = {"Retry-After": planned.retry_after} if planned.retry_after else None
        if refusal is not None:
            return web.json_response(refusal.body(), status=refusal.http, headers=headers)
        if planned.act is Act.BAD_JSON:
            return web.Response(text='{"name": ', content_type="application/json")
        return web.json_response({"name": f"projects/{self.project}/messages/{uuid4().hex}"})

    def _is_closing(self) -> bool:
        """Counts answers towards `close_after`; when there were enough, closes everything that is open."""
        if self._close_after is None or self._runner is None or self._runner.server is None:
            return False
        self._close_after -= 1
        if self._close_after >= 0:
            return False
        self._close_after = None
        for connection in self._runner.server.connections:
            if connection.transport is not None:
                connection.transport.abort()
        return True
