"""Socket nodes for tests: a real aiohttp server and a real Valkey; tokens and the meaning of frames are scripted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

import aiohttp
import msgspec
from aiohttp import WSMsgType, web

from infra.valkey.answers import ValkeyAnswers
from infra.valkey.connection import Server
from infra.valkey.keys import Session
from infra.valkey.library import Library
from infra.valkey.mailboxes import ValkeyMailboxes
from server.auth import Caller, Unauthorized
from server.failures import FailureReports
from server.socket.conversation import Snapshot
from server.socket.endpoint import PATH, SocketEndpoint
from server.socket.hub import Hub
from server.socket.messages import ConversationFrame
from server.socket.opening import SUBPROTOCOL
from server.socket.reading import Services, type_of
from server.socket.rules import SocketRules
from server.views import OfferView, UserView
from signaling.ports import Answers, Mailboxes
from tests.support.http_api import NoLimits

SOON_S = 10.0
"""Nothing in these tests takes so long; what does has failed."""

Json = dict[str, Any]
Socket = aiohttp.ClientWebSocketResponse[Literal[True]]


def now() -> datetime:
    return datetime.now(UTC)


def caller(*, token_life_s: float = 900.0) -> Caller:
    """A signed-in volunteer with a session and a device of their own."""
    return Caller(
        user_id=uuid4(),
        session_id=uuid4(),
        device_id="device-" + uuid4().hex[:8],
        role="volunteer",
        status="active",
        admin_roles=(),
        languages=("da",),
        time_zone="Europe/Copenhagen",
        display_name=None,
        token_expires_at=now() + timedelta(seconds=token_life_s),
    )


def offer(epoch: int = 1) -> OfferView:
    return OfferView(
        request_id=uuid4(),
        epoch=epoch,
        language="da",
        topic=None,
        mode="video",
        waiting_since="2026-11-23T12:00:00.000Z",
        expires_at="2026-11-23T12:00:30.000Z",
        expires_in_ms=30_000,
    )


def chat(text: object) -> bytes:
    """A mailbox message."""
    return msgspec.json.encode({"type": "chat", "data": {"text": str(text), "language": "da"}})


class ScriptedTokens:
    """Knows the tokens a test gave out."""

    def __init__(self) -> None:
        self.callers: dict[str, Caller | Exception] = {}

    def issue(self, who: Caller | Exception) -> str:
        token = "token-" + uuid4().hex
        self.callers[token] = who
        return token

    async def authenticate(self, token: str) -> Caller:
        who = self.callers.get(token, Unauthorized())
        if isinstance(who, Exception):
            raise who
        return who


@dataclass
class ScriptedConversation:
    """Records what it is told, and answers as a test wants."""

    offers: list[OfferView] = field(default_factory=list)
    handled: list[ConversationFrame] = field(default_factory=list)
    attached_sessions: list[UUID] = field(default_factory=list)
    detached_sessions: list[UUID] = field(default_factory=list)
    left_sessions: list[UUID] = field(default_factory=list)
    seen_sessions: list[UUID] = field(default_factory=list)
    delivered_offers: list[tuple[UUID, int]] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    failure: Exception | None = None
    """Raised by `handle`."""
    snapshot_failure: Exception | None = None
    snapshot_gate: asyncio.Event | None = None
    handle_gate: asyncio.Event | None = None
    before_snapshot: Callable[[], Any] | None = None

    async def snapshot(self, caller: Caller) -> Snapshot:
        if self.before_snapshot is not None:
            await self.before_snapshot()
        if self.snapshot_gate is not None:
            await self.snapshot_gate.wait()
        if self.snapshot_failure is not None:
            raise self.snapshot_failure
        user = UserView(
            id=caller.user_id,
            role=caller.role,
            admin_roles=[],
            display_name=None,
            languages=list(caller.languages),
            time_zone=caller.time_zone,
            status="active",
        )
        return Snapshot(user=user, request=None, offers=list(self.offers), call=None)

    async def attached(self, caller: Caller, owner_epoch: int) -> None:
        self.attached_sessions.append(caller.session_id)

    async def detached(self, caller: Caller, owner_epoch: int) -> None:
        self.detached_sessions.append(caller.session_id)

    def left(self, session_id: UUID) -> None:
        self.left_sessions.append(session_id)

    def seen(self, session_id: UUID) -> None:
        self.seen_sessions.append(session_id)

    async def delivered(self, caller: Caller, offers: Collection[tuple[UUID, int]]) -> None:
        self.delivered_offers.extend(offers)

    async def handle(self, caller: Caller, owner_epoch: int, frame: ConversationFrame) -> None:
        self.handled.append(frame)
        if self.handle_gate is not None:
            await self.handle_gate.wait()
        if self.failure is not None:
            raise self.failure

    def passing(self, session_id: UUID, type: str) -> None:
        self.passed.append(type)

    @property
    def handled_types(self) -> list[str]:
        return [type_of(frame) for frame in self.handled]


class Client:
    """One socket of an app. It reads all the time, as apps do, so that pings are answered."""

    def __init__(self, socket: Socket, who: Caller) -> None:
        self.socket = socket
        self.who = who
        self.welcome: Json = {}
        self._paused: asyncio.Transport | None = None
        self._heard: asyncio.Queue[str | None] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self.socket:
            self._heard.put_nowait(message.data if message.type is WSMsgType.TEXT else None)
        self._heard.put_nowait(None)

    async def say(self, type: str, data: Json | None = None, **envelope: object) -> None:
        body = {"type": type, **({} if data is None else {"data": data}), **envelope}
        await self.socket.send_str(msgspec.json.encode(body).decode())

    async def hear(self, type: str | None = None) -> Json:
        """The next frame, which must be of this type."""
        frame = await self.hear_or_end()
        assert frame is not None, f"closed with {self.socket.close_code}"
        assert type is None or frame["type"] == type, frame
        return frame

    async def hear_or_end(self) -> Json | None:
        """The next frame, or None when the socket is closed."""
        async with asyncio.timeout(SOON_S):
            text = await self._heard.get()
        if text is None:
            self._heard.put_nowait(None)
            return None
        frame: Json = msgspec.json.decode(text)
        return frame

    async def hear_numbers(self, count: int) -> list[int]:
        return [int((await self.hear())["seq"]) for _ in range(count)]

    async def end(self) -> int | None:
        """Read on until the server closes; gives the code."""
        while await self.hear_or_end() is not None:
            pass
        return self.socket.close_code

    def stop_reading(self) -> None:
        """From now on the kernel's buffers fill."""
        connection = self.socket._response.connection
        assert connection is not None
        assert isinstance(connection.transport, asyncio.Transport)
        self._paused = connection.transport
        self._paused.pause_reading()

    def read_on(self) -> None:
        if self._paused is not None:
            self._paused.resume_reading()
            self._paused = None

    async def round_trip(self) -> None:
        """Everything said before has been read by the server."""
        await self.say("ping")
        while (await self.hear())["type"] != "pong":
            pass

    def place(self, seq: int) -> Json:
        return {"incarnation": self.welcome["incarnation"], "seq": seq}

    async def close(self) -> None:
        self.read_on()
        await self.socket.close()
        await asyncio.wait([self._reading])


class SocketNode:
    """One node's sockets on a free port."""

    def __init__(
        self, client: Server, conversation: ScriptedConversation, tokens: ScriptedTokens, rules: SocketRules
    ) -> None:
        self.rules = rules
        self.conversation = conversation
        self.tokens = tokens
        self.limiter = NoLimits()
        library = Library(client)
        self.mailboxes: Mailboxes = ValkeyMailboxes(client, library)
        self.answers: Answers = ValkeyAnswers(client, library)
        self.hub = Hub(self.mailboxes, conversation, now, rules)
        self._http = aiohttp.ClientSession()
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._clients: list[Client] = []
        self._loops: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}{PATH}"

    async def start(self, origins: Sequence[str] = ()) -> None:
        services = Services(self.conversation, self.answers, self.tokens, self.limiter, now, self.rules)
        endpoint = SocketEndpoint(self.hub, services, origins)
        app = web.Application(middlewares=[FailureReports().middleware])
        app.router.add_get(PATH, endpoint.handle)
        self._loops = asyncio.create_task(self.hub.run())
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        await self._subscribed()

    async def _subscribed(self) -> None:
        """Until this node hears what others send to its sessions."""
        client = await self.enter(caller())
        heard = asyncio.create_task(client.hear("progress"))
        while not heard.done():
            await self.mailboxes.send_unnumbered(client.who.session_id, b'{"type":"progress","data":{}}')
            await asyncio.wait([heard], timeout=0.02)
        await heard
        await client.close()
        await until(lambda: client.who.session_id in self.conversation.detached_sessions)

    async def stop(self) -> None:
        for client in self._clients:
            await client.close()
        await self._http.close()
        await self.hub.drain()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._loops is not None:
            self._loops.cancel()
            await asyncio.wait([self._loops])
            if not self._loops.cancelled():
                self._loops.result()

    async def connect(self, **options: Any) -> Socket:
        options = {"protocols": (SUBPROTOCOL,), "max_msg_size": 0, **options}
        socket: Socket = await self._http.ws_connect(self.url, **options)
        return socket

    async def get(self, **headers: str) -> aiohttp.ClientResponse:
        return await self._http.get(self.url, headers=headers)

    async def hello(self, who: Caller, *, resume: Json | None = None, **options: Any) -> Client:
        """A socket that said a good hello."""
        client = Client(await self.connect(**options), who)
        self._clients.append(client)
        data: Json = {"token": self.tokens.issue(who), "device_id": who.device_id}
        await client.say("hello", data if resume is None else {**data, "resume": resume})
        return client

    async def enter(self, who: Caller, *, resume: Json | None = None, **options: Any) -> Client:
        """A socket that was welcomed."""
        client = await self.hello(who, resume=resume, **options)
        client.welcome = (await client.hear("welcome"))["data"]
        return client


@dataclass
class Sockets:
    """Nodes over one Valkey, sharing one scripted conversation and one set of tokens."""

    client: Server
    conversation: ScriptedConversation = field(default_factory=ScriptedConversation)
    tokens: ScriptedTokens = field(default_factory=ScriptedTokens)
    nodes: list[SocketNode] = field(default_factory=list)

    async def node(self, *, origins: Sequence[str] = (), **rules: Any) -> SocketNode:
        node = SocketNode(self.client, self.conversation, self.tokens, SocketRules(**rules))
        self.nodes.append(node)
        await node.start(origins)
        self.forget()
        return node

    def forget(self) -> None:
        """What happened so far was set-up."""
        self.conversation.attached_sessions.clear()
        self.conversation.detached_sessions.clear()
        self.conversation.seen_sessions.clear()
        self.conversation.passed.clear()

    async def leave_unpublished(self, to: Caller, *messages: bytes, keep: int | None = None) -> None:
        """Messages in the mailbox that no owner hears of, as when its subscription is down; only the last `keep` stay.

        In one transaction, so that no beat finds anything half done.
        """
        keys = Session(to.session_id)
        last = int(await self.client.hget(keys.mailbox, "seq") or 0)
        async with self.client.pipeline(transaction=True) as pipe:
            for number, message in enumerate(messages, last + 1):
                pipe.xadd(keys.messages, {"m": message}, id=f"{number}-0")
            pipe.hset(keys.mailbox, "seq", last + len(messages))
            if keep is not None:
                pipe.xtrim(keys.messages, maxlen=keep, approximate=False)
            await pipe.execute()

    async def send(self, who: Caller, *messages: bytes) -> None:
        for message in messages:
            assert await self.nodes[0].mailboxes.send(who.session_id, message)


@asynccontextmanager
async def sockets_over(client: Server) -> AsyncIterator[Sockets]:
    sockets = Sockets(client)
    try:
        yield sockets
    finally:
        for node in sockets.nodes:
            await node.stop()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something another task does and tells nobody."""
    async with asyncio.timeout(SOON_S):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


def later(who: Caller, life_s: float) -> Caller:
    """The same session with another token."""
    return replace(who, token_expires_at=now() + timedelta(seconds=life_s))
