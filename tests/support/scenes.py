"""Small scenes for tests from outside: people of one language that nobody else on the node speaks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from infra.phone.errors import ApiError, FrameRefused
from infra.phone.state import View
from tests.support.outside import Outside, Phone, Someone

MEDIA: View = {
    "state": "connected",
    "sending": {"audio": True, "video": True},
    "receiving": {"audio": True, "video": True},
    "paused": None,
}
"""A side's report that all is well."""
_SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:0123456789abcdef01234567\r\n"
_CANDIDATE = "candidate:1 1 udp 2122063615 127.0.0.1 54332 typ host generation 0 ufrag {ufrag}"


def signals(kind: str, ufrag: str) -> dict[str, View]:
    """By type, what a side says to build a connection: its description and one candidate."""
    return {
        "description": {"type": kind, "sdp": _SDP.format(ufrag=ufrag), "negotiation": 1},
        "candidate": {"candidate": _CANDIDATE.format(ufrag=ufrag), "sdpMid": "0", "negotiation": 1},
    }


@dataclass
class Pair:
    """Two people in one call."""

    requester: Phone
    volunteer: Phone
    request_id: str
    call: View
    """As the volunteer saw it first."""

    @property
    def both(self) -> tuple[Phone, Phone]:
        return self.requester, self.volunteer

    def side(self, name: str) -> Phone:
        return self.requester if name == "requester" else self.volunteer

    @property
    def path(self) -> str:
        return f"/v1/calls/{self.call['id']}"

    async def connect(self) -> None:
        """Both report media both ways."""
        for phone in self.both:
            await phone.send("media", MEDIA, call=self.call)
        for phone in self.both:
            await phone.until(lambda state: state.call is not None and state.call["state"] == "connected")

    async def ended(self) -> tuple[View, View]:
        """The ended call as requester and volunteer were told of it."""
        told = []
        for phone in self.both:
            state = await phone.until(lambda state: state.live_call is None)
            assert state.call is not None
            told.append(state.call)
        return told[0], told[1]


@dataclass
class Scene:
    """One test's people; they go home at its end."""

    outside: Outside
    language: str
    stack: AsyncExitStack

    @classmethod
    @asynccontextmanager
    async def of(cls, outside: Outside) -> AsyncIterator[Self]:
        async with AsyncExitStack() as stack:
            yield cls(outside, outside.language(), stack)

    async def requester(self, name: str = "asker") -> Phone:
        return await self.stack.enter_async_context(self.outside.phone(name, "requester", self.language))

    async def volunteer(self, name: str = "helper", *, ready: bool = True) -> Phone:
        phone = await self.stack.enter_async_context(self.outside.phone(name, "volunteer", self.language))
        if ready:
            await phone.ready()
        return phone

    async def another(self, name: str, role: str) -> Phone:
        """Another device of somebody here; not ready."""
        return await self.stack.enter_async_context(self.outside.phone(name, role, self.language))

    async def pair(self, *, connected: bool = False) -> Pair:
        """A requester and a volunteer in a call."""
        volunteer, requester = await self.volunteer(), await self.requester()
        request = await requester.request_help()
        call = await volunteer.accept(await volunteer.next_offer())
        await requester.until(lambda state: state.live_call is not None)
        pair = Pair(requester, volunteer, request["id"], call)
        if connected:
            await pair.connect()
        return pair


def someone_of(phone: Phone) -> Someone:
    """The person at a phone, to call in their name."""
    tokens = phone.account.tokens
    assert tokens is not None
    user_id = phone.state.user["id"]
    return Someone("", user_id, tokens.session_id, phone.account.device_id, tokens.access, tokens.refresh)


async def refused(phone: Phone, method: str, path: str, body: Any = None) -> ApiError:
    """The refusal of this call."""
    try:
        reply = await phone.status(method, path, body)
    except ApiError as error:
        return error
    raise AssertionError(f"was done: {reply}")


async def frame_refused(phone: Phone, type_: str, data: View, **envelope: Any) -> FrameRefused:
    """The refusal of this frame."""
    try:
        await phone.send(type_, data, **envelope)
    except FrameRefused as error:
        return error
    raise AssertionError(f"{type_} was done")


def seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
