"""A server that does only what a test tells it to: the pages' files, scripted HTTP answers, sockets the test holds.

What it says has the shapes of the contract; what it leaves out is the meaning, which the test plays.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from aiohttp import WSMsgType, web

WEB = Path(__file__).resolve().parents[2] / "server" / "web"
CSP = "default-src 'self'; media-src 'self' blob:"
PATIENCE_S = 10.0

Json = dict[str, Any]
Answer = tuple[int, Json | None]
Script = Callable[["HttpCall"], Answer]


def moment(seconds_from_now: float = 0.0) -> str:
    """RFC 3339 UTC with milliseconds."""
    value = datetime.now(UTC) + timedelta(seconds=seconds_from_now)
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class HttpCall:
    """What a page asked over HTTP."""

    method: str
    path: str
    body: Json
    headers: dict[str, str]


@dataclass
class ScriptedSocket:
    """One socket of a page. `frames` are those not yet looked at, pings left out."""

    ws: web.WebSocketResponse
    seq: int = 0
    frames: asyncio.Queue[Json] = field(default_factory=asyncio.Queue)

    async def next(self, *types: str) -> Json:
        """The next frame (of these types, others passed over). Fails after some seconds."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                frame = await self.frames.get()
                if not types or frame["type"] in types:
                    return frame

    def waiting(self) -> list[Json]:
        """Frames that came and were not looked at yet."""
        return [self.frames.get_nowait() for _ in range(self.frames.qsize())]

    async def say(self, type: str, data: Json, **envelope: Any) -> None:
        """A numbered message."""
        self.seq += 1
        await self.raw({"type": type, "data": data, "seq": self.seq, **envelope})

    async def raw(self, frame: Json) -> None:
        await self.ws.send_str(json.dumps(frame))

    async def ack(self, frame: Json) -> None:
        await self.raw({"type": "ack", "data": {"id": frame["id"]}})

    async def welcome(self, **overrides: Any) -> None:
        data = {
            "session": "01900000-0000-7000-8000-000000000001",
            "incarnation": "one",
            "resumed": False,
            "seq": self.seq,
            "now": moment(),
            "heartbeat_s": 5,
            "token_expires_at": moment(900),
            "limits": {"frame_bytes": 65536},
            "user": {},
            "request": None,
            "offers": [],
            "call": None,
            **overrides,
        }
        self.seq = cast(int, data["seq"]) if not data["resumed"] else self.seq
        await self.raw({"type": "welcome", "data": data})

    async def close(self, code: int) -> None:
        await self.ws.close(code=code)

    async def cut(self) -> None:
        """The network goes away: no close frame."""
        assert self.ws._req is not None
        transport = self.ws._req.transport
        assert transport is not None
        transport.abort()


class ScriptedServer:
    """`answers[(method, path)]` says what HTTP gives; `socket()` waits for the next socket a page opens."""

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[HttpCall] = []
        self.answers: dict[tuple[str, str], Script | Answer] = {}
        self.tokens_given = 0
        self._sockets: asyncio.Queue[ScriptedSocket] = asyncio.Queue()
        self.user: Json = {
            "id": "01900000-0000-7000-8000-0000000000aa",
            "role": None,
            "admin_roles": [],
            "display_name": None,
            "languages": ["da", "en"],
            "time_zone": "Europe/Copenhagen",
            "status": "active",
        }
        self.answers["POST", "/v1/sessions"] = lambda call: (201, {**self.tokens(), "user": self.user})
        self.answers["POST", "/v1/sessions/refresh"] = lambda call: (200, {**self.tokens(), "user": self.user})
        self.answers["GET", "/v1/me"] = lambda call: (200, self.user)
        self.answers["PATCH", "/v1/me"] = self._change_me
        self.answers["GET", "/v1/me/availability"] = (
            200,
            {
                "weekly": [{"days": [1, 2, 3, 4, 5], "from": "08:00", "to": "21:00"}],
                "paused": False,
                "paused_until": None,
            },
        )

    def tokens(self, expires_in_s: float = 900) -> Json:
        self.tokens_given += 1
        return {
            "access_token": f"access-{self.tokens_given}",
            "expires_at": moment(expires_in_s),
            "refresh_token": f"refresh-{self.tokens_given}",
            "session_id": "01900000-0000-7000-8000-000000000001",
        }

    async def socket(self) -> ScriptedSocket:
        async with asyncio.timeout(PATIENCE_S):
            return await self._sockets.get()

    async def welcomed(self, **overrides: Any) -> ScriptedSocket:
        """The next socket, greeted."""
        socket = await self.socket()
        await socket.next("hello")
        await socket.welcome(**overrides)
        return socket

    def asked(self, method: str, path: str) -> list[HttpCall]:
        return [call for call in self.calls if (call.method, call.path) == (method, path)]

    def _change_me(self, call: HttpCall) -> Answer:
        self.user = {**self.user, **call.body}
        return 200, self.user

    async def _page(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"] or "index"
        return web.FileResponse(WEB / f"{name}.html", headers={"Content-Security-Policy": CSP})

    async def _blank(self, request: web.Request) -> web.Response:
        page = "<!doctype html><title>blank</title>"
        return web.Response(text=page, content_type="text/html", headers={"Content-Security-Policy": CSP})

    async def _http(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else {}
        call = HttpCall(request.method, request.path, body, dict(request.headers))
        self.calls.append(call)
        not_found = (404, {"error": {"code": "not_found", "message": "not scripted", "retryable": False}})
        answer = self.answers.get((request.method, request.path), not_found)
        status, reply = answer(call) if callable(answer) else answer
        return web.Response(status=status) if reply is None else web.json_response(reply, status=status)

    async def _ws(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(protocols=["eyeline.v1"])
        await ws.prepare(request)
        socket = ScriptedSocket(ws)
        self._sockets.put_nowait(socket)
        async for message in ws:
            if message.type is not WSMsgType.TEXT:
                continue
            frame = json.loads(message.data)
            if frame["type"] == "ping":
                await socket.raw({"type": "pong", "data": {"now": moment()}})
            else:
                socket.frames.put_nowait(frame)
        return ws

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ScriptedServer]:
        app = web.Application()
        app.router.add_get("/v1/ws", self._ws)
        app.router.add_get("/v1/admin/ws", self._ws)
        app.router.add_get("/blank", self._blank)
        app.router.add_static("/static", WEB)
        app.router.add_get("/{name:(?:requester|volunteer|admin)?}", self._page)
        app.router.add_route("*", "/{path:v1/.*}", self._http)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()
