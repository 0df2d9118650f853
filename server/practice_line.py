"""How the server's own phone takes part in a practice call: what a socket is to an app, within the node."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

import msgspec
import structlog

from server.auth import Caller
from server.desk import Desk
from server.socket import messages as wire
from server.socket.conversation import Conversation, FrameError
from server.socket.envelope import decode, encode
from server.telling import Outages
from signaling.model import Call, EndReason, Side
from signaling.ports import CarrierUnavailable, Claim, Mailboxes
from signaling.switchboard import CallRefused, Refused

log = structlog.get_logger()

READ_EVERY_S = 0.2
SEND_TRIES = 4
SEND_AGAIN_S = 0.5

View = dict[str, Any]


class PhoneLine:
    """The phone's frames go the way of an app's; what it is sent is read from its mailbox, named by the call's id."""

    def __init__(
        self, call: Call, mailboxes: Mailboxes, conversation: Conversation, desk: Desk, outages: Outages
    ) -> None:
        """`outages`: what is raised while Postgres or Valkey is away."""
        self._id = call.id
        self._side = next(side for side in Side if call.end(side).session_id == call.id)
        self._mailboxes = mailboxes
        self._conversation = conversation
        self._desk = desk
        self._outages = outages
        self._claim: Claim | None = None
        self._seq = 0
        self._incoming: deque[View] = deque()
        self._me = Caller(
            user_id=call.id,
            session_id=call.id,
            device_id="practice",
            role=None,
            status="active",
            admin_roles=(),
            languages=(),
            time_zone="UTC",
            display_name=None,
            token_expires_at=call.created_at,
        )

    async def open(self) -> None:
        """From now on nothing that is sent to the phone is lost. Raises `CarrierUnavailable`."""
        self._claim = await self._mailboxes.claim(self._id, resume=None)
        self._seq = self._claim.seq

    async def close(self) -> None:
        self._conversation.left(self._id)
        if self._claim is not None:
            with suppress(CarrierUnavailable):
                await self._mailboxes.release(self._claim)

    async def next(self, *types: str, timeout: float | None = None) -> View:
        """The next frame of one of these types; others are passed over."""
        async with asyncio.timeout(timeout):
            while True:
                while self._incoming:
                    frame = self._incoming.popleft()
                    if frame["type"] in types:
                        return frame
                with suppress(CarrierUnavailable):
                    await self._read()
                if not self._incoming:
                    await asyncio.sleep(READ_EVERY_S)

    async def _read(self) -> None:
        assert self._claim is not None
        last = (await self._mailboxes.beat([self._claim]))[self._id]
        if last is None:  # Valkey was wiped, and with it perhaps that the call has ended
            await self.open()
            await self._see()
        elif last > self._seq:
            for seq, message in await self._mailboxes.read(self._id, self._seq):
                self._seq = seq
                frame = json.loads(message)
                self._conversation.passing(self._id, frame["type"])
                self._incoming.append(frame)

    async def _see(self) -> None:
        """How the call is, as a message would say that was lost."""
        call = await self._desk.switchboard.get(self._id, self._id)
        self._incoming.append({"type": "call", "data": {"call": self.view(call)}})

    async def post(
        self,
        type_: str,
        data: Mapping[str, Any],
        *,
        call: View,
        replaces: str | None = None,
        message_id: str | None = None,
    ) -> None:
        """Say it as an app would; what is refused for good, as of a call that has ended, is passed over."""
        envelope = {"type": type_, "id": message_id or uuid4().hex, "data": data}
        frame = decode(json.dumps(envelope | {"call": call["id"], "attempt": call["attempt"]}).encode())
        assert not isinstance(frame, wire.TokenFrame | wire.AckFrame | wire.PingFrame)
        for _ in range(SEND_TRIES):
            try:
                await self._conversation.handle(self._me, 0, frame)
                return
            except FrameError as refused:
                if not refused.retryable:
                    log.info("the phone was refused", type=type_, code=refused.code)
                    if refused.code == Refused.CALL_ENDED:
                        await self._see()
                    return
            except CarrierUnavailable:
                pass
            await asyncio.sleep(SEND_AGAIN_S)

    async def rejoin(self, call: View) -> View:
        """The call with its next attempt, or as it is when that is not to be."""
        with suppress(CallRefused):
            return self.view(await self._desk.switchboard.rejoin(self._id, self._id, call["attempt"]))
        return self.view(await self._desk.switchboard.get(self._id, self._id))

    async def end_call(self, call: View, reason: str = "done") -> View:
        return self.view(await self._desk.switchboard.end(self._id, self._id, EndReason(reason)))

    async def verdict(self, found: Mapping[str, str], call: View) -> None:
        """Tell the person what the phone found; tried until they can be told, or cancelled with the call."""
        data = msgspec.convert(found, wire.PracticeVerdict)
        frame = encode(wire.VerdictFrame(data=data, call=self._id, attempt=call["attempt"]))
        with suppress(CallRefused):  # over
            while not await self._told(frame):  # noqa: ASYNC110 - an outage ends without a word
                await asyncio.sleep(SEND_AGAIN_S)

    async def _told(self, frame: bytes) -> bool:
        """Whether the person has it. Raises `CallRefused`."""
        try:
            return await self._desk.switchboard.relay(await self._desk.switchboard.route(self._id, self._id), frame)
        except self._outages as error:
            log.warning("a verdict waits", call=str(self._id), error=type(error).__name__)
            return False

    def view(self, call: Call) -> View:
        """The call as the phone sees it."""
        view: View = msgspec.to_builtins(self._desk.call_view_of(call, self._side))
        return view
