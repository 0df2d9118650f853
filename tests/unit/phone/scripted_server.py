"""A server that says what a test tells it to: the phone's client is tested against this, never against ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web

Json = dict[str, Any]


class Visit:
    """One connection of the client, seen from the server."""

    def __init__(self, ws: web.WebSocketResponse, hello: Json) -> None:
        self.ws = ws
        self.hello = hello
        self.heard: asyncio.Queue[Json] = asyncio.Queue(1000)
        self.over = asyncio.Event()

    async def say(self, type_: str, data: Json | None = None, **envelope: Any) -> None:
        await self.ws.send_str(json.dumps({"type": type_, "data": data or {}, **envelope}))

    async def hear(self, type_: str | None = None) -> Json:
        """The next frame of the client (of this type; others before it are passed over)."""
        async with asyncio.timeout(5):
            while True:
                frame = await self.heard.get()
                if type_ is None or frame["type"] == type_:
                    return frame

    async def close(self, code: int) -> None:
        await self.ws.close(code=code)


class ScriptedServer:
    """`visits` brings each connection after its hello; the test must welcome it."""

    def __init__(self) -> None:
        self.url = ""
        self.visits: asyncio.Queue[Visit] = asyncio.Queue(100)
        self.calls: list[tuple[str, str, Json]] = []
        """Method, path and body of every HTTP call."""
        self.replies: dict[tuple[str, str], Callable[[Json], tuple[int, Json]]] = {}
        self.refused_tokens: set[str] = set()
        self._tokens = 0

    async def visit(self, **welcome_fields: Any) -> Visit:
        """The next connection, welcomed."""
        async with asyncio.timeout(5):
            visit = await self.visits.get()
        await visit.say("welcome", welcome(**welcome_fields))
        return visit

    def user(self) -> Json:
        return {"id": "u", "role": None, "admin_roles": [], "languages": [], "time_zone": "UTC", "status": "active"}

    def tokens(self) -> Json:
        self._tokens += 1
        return {
            "access_token": f"access-{self._tokens}",
            "refresh_token": f"refresh-{self._tokens}",
            "expires_at": "2026-11-01T00:15:00.000Z",
            "session_id": "session",
            "user": self.user(),
        }

    async def http(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else {}
        self.calls.append((request.method, request.path, body))
        if request.path == "/v1/sessions":
            return web.json_response(self.tokens(), status=201)
        if request.path == "/v1/sessions/refresh":
            return web.json_response(self.tokens())
        if request.headers.get("Authorization", "").removeprefix("Bearer ") in self.refused_tokens:
            return web.json_response({"error": {"code": "unauthorized", "message": "", "retryable": False}}, status=401)
        reply = self.replies.get((request.method, request.path))
        if reply is not None:
            status, content = reply(body)
            return web.json_response(content, status=status)
        return web.json_response({**self.user(), **body})

    async def socket(self, request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(protocols=("eyeline.v1",))
        await ws.prepare(request)
        visit = Visit(ws, json.loads((await ws.receive(timeout=5)).data)["data"])
        self.visits.put_nowait(visit)
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                visit.heard.put_nowait(json.loads(message.data))
        visit.over.set()
        return ws


def welcome(**fields: Any) -> Json:
    """A welcome with nothing going on, but for `fields`."""
    return {
        "session": "session",
        "incarnation": "one",
        "resumed": False,
        "seq": 0,
        "now": "2026-11-01T00:00:00.000Z",
        "heartbeat_s": 5.0,
        "token_expires_at": "2026-11-01T00:15:00.000Z",
        "limits": {},
        "user": {"id": "u", "role": "volunteer"},
        "request": None,
        "offers": [],
        "call": None,
        **fields,
    }


def offer(request_id: str = "r1", epoch: int = 1) -> Json:
    return {"request_id": request_id, "epoch": epoch, "language": "en", "expires_in_ms": 30_000}


def call(state: str = "connecting", attempt: int = 1, call_id: str = "c1", version: int = 1) -> Json:
    of = {"id": call_id, "request_id": "r1", "side": "volunteer"}
    return {**of, "attempt": attempt, "state": state, "version": version}


@asynccontextmanager
async def scripted_server() -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer()
    app = web.Application()
    app.router.add_get("/v1/ws", server.socket)
    app.router.add_route("*", "/{rest:.*}", server.http)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
