"""A node seen from outside: raw HTTP, raw sockets, every table before and after, and what the log gave away.

Nothing here helps the caller to keep the contract: tokens, bodies and frames are sent as given.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import uuid4

import aiohttp
import asyncpg
from yarl import URL

from infra.phone.client import PhoneClient
from tests.support.engines import Engines
from tests.support.nodes import Node

Json = dict[str, Any]

SOON_S = 15.0
"""Nothing in these tests takes so long, on a busy machine too; what does has failed."""
MARK = "Quokka"
"""In every name, device id, text and description of these tests: the log must not have it."""
RARE_LANGUAGES = re.findall(
    r"\w+",
    "haw chr ceb ilo hil pam pag mai bho awa hne gsw nds lmo vec scn hsb dsb csb szl rue sma smj smn sms kca udm myv "
    "mdf tyv sah kjh xal krl vep izh lez lbe inh ady kbd abq agx rut kum nog krc crh gag evn frp lld pcd gcf dyu bci "
    "kmb nyn xog ttj yao tum bem loz",
)
"""One for each scene, so that people of one are not asked in another."""

_UNWATCHED = re.compile(
    r"seen_at|.*told_at|told_version|delivered_at|next_look_at|hungry|progress_.*|.*_away_since|last_asked_at|.*owner_epoch"
)
"""Columns that move by themselves: sightings, who holds whose socket, and what was told of what was decided."""


@dataclass(frozen=True)
class Reply:
    """An answer, unread."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    @property
    def error(self) -> Json:
        """The envelope's content; fails unless it is exactly the contract's."""
        body = self.body
        assert set(body) == {"error"}, body
        error: Json = body["error"]
        assert {"code", "message", "retryable"} <= set(error) <= {"code", "message", "retryable", "details"}, error
        kinds = (type(error["code"]), type(error["message"]), type(error["retryable"]))
        assert kinds == (str, str, bool), error
        assert error["message"], error
        return error

    def refuses(self, status: int, code: str, field: str | None = None) -> Json:
        """This is the documented refusal, naming `field`; gives the error."""
        assert self.status == status, (self.status, self.raw[:300])
        error = self.error
        assert error["code"] == code, error
        if field is not None:
            assert error["details"]["field"] == field, error
        assert ("Retry-After" in self.headers) == (status in (429, 503)), dict(self.headers)
        assert self.headers["Content-Type"].startswith("application/json")
        return error


@dataclass(frozen=True)
class Someone:
    """A signed-in person on a device, with nothing running."""

    name: str
    user_id: str
    session_id: str
    device_id: str
    token: str
    refresh_token: str


@dataclass
class Outside:
    """The node under test and what a test holds of it."""

    node: Node
    http: aiohttp.ClientSession
    database: asyncpg.Pool
    stack: AsyncExitStack
    secrets: set[str] = field(default_factory=set)
    """What the log must not have, besides everything with `MARK`."""
    failing: bool = False
    """Whether the test makes the node fail, so that it has reason to say so."""
    _everything: dict[frozenset[str], str] = field(default_factory=dict)
    _languages: list[str] = field(default_factory=lambda: list(RARE_LANGUAGES))

    @classmethod
    @asynccontextmanager
    async def of(cls, database_url: str, valkey_url: str, **env: Any) -> AsyncIterator[Self]:
        """A node of its own, whose log is judged at the end."""
        async with AsyncExitStack() as stack:
            node = await stack.enter_async_context(await Node.start(database_url, valkey_url, **env))
            http = await stack.enter_async_context(aiohttp.ClientSession())
            database = await stack.enter_async_context(
                asyncpg.create_pool(database_url, min_size=1, max_size=4, timeout=10, command_timeout=10)
            )
            outside = cls(node, http, database, stack)
            yield outside
            outside.judge_log()

    @classmethod
    @asynccontextmanager
    async def over(cls, engines: Engines, **env: Any) -> AsyncIterator[Self]:
        """A node over a database and a Valkey that nobody else uses: for all tests of a module."""
        engines.restore()
        database_url, valkey_url = await engines.new_database(), await engines.empty_valkey()
        async with cls.of(database_url, valkey_url, **env) as outside:
            yield outside
        await engines.drop_database(database_url)

    # -- HTTP ---------------------------------------------------------------------------------------------------------

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One call; `data` is a body as it is, `body` one to be written as JSON."""
        sent = {"Authorization": f"Bearer {token}"} if token is not None else {}
        if data is None and body is not None:
            data = json.dumps(body).encode()
        if data is not None:
            sent["Content-Type"] = "application/json"
        url = URL(self.node.url + path, encoded=True)
        async with (
            asyncio.timeout(SOON_S),
            self.http.request(
                method, url, data=data, headers={**sent, **(headers or {})}, allow_redirects=False
            ) as response,
        ):
            return Reply(response.status, response.headers, await response.read())

    async def sign_in(
        self, name: str, role: str | None = None, *languages: str, device: str | None = None, **change: Any
    ) -> Someone:
        """Someone new, or another session of somebody known by that name."""
        name, device = f"{MARK} {name}", device or f"{MARK}-{uuid4().hex[:12]}"
        body = {"provider": "dev", "token": name, "device": {"id": device, "platform": "ios"}}
        reply = await self.call("POST", "/v1/sessions", body)
        assert reply.status == 201, reply.raw
        told = reply.body
        someone = Someone(
            name, told["user"]["id"], told["session_id"], device, told["access_token"], told["refresh_token"]
        )
        self.secrets |= {someone.token, someone.refresh_token}
        wishes = {**({"role": role} if role else {}), **({"languages": list(languages)} if languages else {}), **change}
        if wishes:
            reply = await self.call("PATCH", "/v1/me", wishes, token=someone.token)
            assert reply.status == 200, reply.raw
        return someone

    def language(self) -> str:
        """One that nobody else in this module speaks."""
        return self._languages.pop()

    # -- people with phones -------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def phone(self, name: str, role: str, language: str, *, device: str | None = None) -> AsyncIterator[Phone]:
        """A connected phone; volunteers are ready to be asked."""
        device = device or f"{MARK}-{uuid4().hex[:12]}"
        async with Phone.sign_in(
            self.node.url,
            f"{MARK} {name} {language}",
            role=role,
            languages=[language],
            device_id=device,
            http=self.http,
        ) as phone:
            assert isinstance(phone, Phone)
            phone.outside = self
            if phone.account.tokens is not None:
                self.secrets |= {phone.account.tokens.access, phone.account.tokens.refresh}
            yield phone

    # -- behind the node ----------------------------------------------------------------------------------------------

    async def tables(self, *besides: str) -> dict[str, list[str]]:
        """Every row of every table, without the columns that move by themselves, and those named."""
        left_out = frozenset(besides)
        if left_out not in self._everything:
            self._everything[left_out] = await self._query_of_everything(left_out)
        found: dict[str, list[str]] = {}
        for table, row in await self.database.fetch(self._everything[left_out]):
            found.setdefault(table, []).append(row)
        return found

    async def _query_of_everything(self, left_out: frozenset[str]) -> str:
        columns = await self.database.fetch(
            "SELECT table_name, array_agg(column_name::text ORDER BY ordinal_position) AS names"
            " FROM information_schema.columns JOIN information_schema.tables t USING (table_schema, table_name)"
            " WHERE table_schema = 'public' AND t.table_type = 'BASE TABLE'"
            # Nodes take from the one when they like, and write the other every two seconds.
            " AND table_name NOT IN ('relistings', 'watch') GROUP BY 1 ORDER BY 1"
        )
        parts = []
        for table, names in columns:
            watched = ", ".join(f'"{name}"' for name in names if not (name in left_out or _UNWATCHED.fullmatch(name)))
            parts.append(f"SELECT '{table}' AS name, row({watched})::text AS row FROM \"{table}\"")
        return " UNION ALL ".join(parts) + " ORDER BY 1, 2"

    @asynccontextmanager
    async def nothing_changes(self, *besides: str) -> AsyncIterator[None]:
        """Fails when any row does, but for the columns named."""
        before = await self.tables(*besides)
        yield
        after = await self.tables(*besides)
        changed = differences(before, after)
        assert not changed, changed

    async def quiet(self) -> None:
        """Until what people left behind is settled, for the tests that follow."""
        before, since = await self.tables(), 0
        async with asyncio.timeout(SOON_S):
            while since < 5:
                await asyncio.sleep(0.05)
                after = await self.tables()
                before, since = after, since + 1 if after == before else 0

    def judge_log(self) -> None:
        """Nothing personal is in any line; refusals are nobody's failure and not worth one."""
        personal = [MARK, *self.secrets]
        languages = re.compile(r"\b(" + "|".join(set(RARE_LANGUAGES) - set(self._languages)) + r")\b")
        for line in self.node.lines:
            assert not any(text in line for text in personal), line
            assert len(self._languages) == len(RARE_LANGUAGES) or not languages.search(line), line
        failures = [entry for entry in self.node.log if entry.get("level") not in ("info", "debug")]
        assert self.failing or not failures, failures
        assert len(self.node.log) == len(self.node.lines), [line for line in self.node.lines if line[:1] != "{"]


class Phone(PhoneClient):
    """A scripted phone that can also say what no phone would."""

    outside: Outside

    async def status(self, method: str, path: str, body: Json | None = None) -> tuple[int, Json]:
        return await self.account.call_with_status(method, path, body)


class RawSocket:
    """One socket to `/v1/ws`, reading all the time; frames are given as text."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[Any]) -> None:
        self._socket = socket
        self._heard: asyncio.Queue[Json | None] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read())
        self.welcome: Json = {}

    @classmethod
    async def open(cls, outside: Outside, path: str = "/v1/ws", **options: Any) -> Self:
        options = {"protocols": ("eyeline.v1",), "max_msg_size": 0, **options}
        return cls(await outside.http.ws_connect(outside.node.url + path, **options))

    @classmethod
    @asynccontextmanager
    async def of(cls, outside: Outside, someone: Someone, resume: Json | None = None) -> AsyncIterator[Self]:
        """A socket that was welcomed."""
        raw = await cls.open(outside)
        try:
            data = {"token": someone.token, "device_id": someone.device_id}
            await raw.say("hello", data if resume is None else {**data, "resume": resume})
            raw.welcome = (await raw.hear("welcome"))["data"]
            yield raw
        finally:
            await raw.close()

    async def _read(self) -> None:
        async for message in self._socket:
            self._heard.put_nowait(json.loads(message.data))
        self._heard.put_nowait(None)

    async def say(self, type_: str, data: Any = None, **envelope: Any) -> None:
        await self.text(json.dumps({"type": type_, **({} if data is None else {"data": data}), **envelope}))

    async def text(self, text: str) -> None:
        await self._socket.send_str(text)

    async def octets(self, octets: bytes, *, text: bool) -> None:
        kind = aiohttp.WSMsgType.TEXT if text else aiohttp.WSMsgType.BINARY
        await self._socket.send_frame(octets, kind)

    async def hear(self, *types: str) -> Json:
        """The next frame of these types; others are passed over."""
        async with asyncio.timeout(SOON_S):
            while (frame := await self._heard.get()) is not None:
                if not types or frame["type"] in types:
                    return frame
        raise AssertionError(f"closed with {self._socket.close_code} while waiting for {types}")

    async def answer(self, message_id: str) -> Json:
        """The `ack` or `error` of this message."""
        while (frame := await self.hear("ack", "error"))["data"].get("id") != message_id:
            pass
        return frame

    async def refusal(self, message_id: str) -> Json:
        """The `error` of this message, in the contract's shape."""
        frame = await self.answer(message_id)
        assert frame["type"] == "error", frame
        data: Json = frame["data"]
        assert {"id", "code", "message", "retryable"} <= set(data), data
        assert "seq" not in frame, frame
        return data

    async def stays(self) -> None:
        """The socket is still served."""
        await self.say("ping")
        await self.hear("pong")

    async def end(self) -> int | None:
        """Read on until the server closes; gives the code."""
        async with asyncio.timeout(SOON_S):
            while await self._heard.get() is not None:
                pass
        return self._socket.close_code

    @property
    def closed(self) -> bool:
        return self._socket.closed

    async def close(self) -> None:
        await self._socket.close()
        await asyncio.wait([self._reading])


def differences(before: Mapping[str, list[str]], after: Mapping[str, list[str]]) -> list[str]:
    """Rows that went (-) and came (+)."""
    return [
        f"{sign} {table}: {row}"
        for sign, mine, other in (("-", before, after), ("+", after, before))
        for table, rows in mine.items()
        for row in rows
        if row not in other.get(table, [])
    ]


async def until(holds: Callable[[], Awaitable[Any]]) -> None:
    """Wait for what nobody tells."""
    async with asyncio.timeout(SOON_S):
        while not await holds():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.02)
