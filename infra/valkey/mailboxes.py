"""Mailboxes in Valkey: one bounded, expiring stream per session, owned by one node; every step is one Lua function."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Any
from uuid import UUID, uuid4

from infra.valkey.batches import Batches
from infra.valkey.cluster import Valkey, execute
from infra.valkey.deliveries import listen
from infra.valkey.keys import Session, node_channel
from infra.valkey.library import Library
from infra.valkey.multiplexer import Argument
from infra.valkey.outages import unavailable_as
from signaling.ports import CarrierUnavailable, Claim, Delivery, Once, OwnershipLost, Version

KEEP_MS = 120_000
"""How long a mailbox outlives the last beat of its owner, or the last message."""
MESSAGES_MAX = 512
"""About how many unacknowledged messages are kept; a client further behind starts from a snapshot."""
BEATS_PER_PIPELINE = 256
READ_MAX = 64
RELAYED_MS = 600_000
"""The contract's 10 minutes."""


class ValkeyMailboxes:
    """`signaling.ports.Mailboxes` for one node, which is known to the others by its channel only."""

    def __init__(
        self,
        client: Valkey,
        library: Library,
        deliver: Callable[[Delivery], None] | None = None,
        *,
        node_id: UUID | None = None,
        keep_ms: int = KEEP_MS,
    ) -> None:
        """`deliver` gets what this node sends to its own sessions, at once; without it that is among `deliveries`."""
        self._client = client
        self._library = library
        self._sends = Batches(library, "mailbox_send", self._hand_on)
        self._relays = Batches(library, "mailbox_relay", self._hand_on)
        self._deliver = deliver
        self._channel = node_channel(node_id or uuid4())
        self._keep_ms = keep_ms

    async def send(self, session_id: UUID, message: bytes, *, version: Version | None = None) -> bool:
        keys: tuple[bytes, ...] = _both(session_id)
        args = self._sent(session_id, message)
        if version is not None:
            keys += (Session(session_id).told(version.subject),)
            args += (version.number,)
        with unavailable_as(CarrierUnavailable):
            return bool(await self._sends.call(keys, args))

    async def relay(self, session_id: UUID, message: bytes, once: Once) -> bool:
        keys = (*_both(session_id), Session(session_id).relayed(once))
        args = (*self._sent(session_id, message), RELAYED_MS)
        with unavailable_as(CarrierUnavailable):
            return bool(await self._relays.call(keys, args))

    async def was_relayed(self, session_id: UUID, once: Once) -> bool:
        with unavailable_as(CarrierUnavailable):
            return bool(await execute(self._client, "EXISTS", Session(session_id).relayed(once)))

    def _sent(self, session_id: UUID, message: bytes) -> tuple[bytes | int, ...]:
        here = self._channel if self._deliver is not None else b""
        return session_id.bytes, message, MESSAGES_MAX, self._keep_ms, here

    def _hand_on(self, args: Sequence[Argument], reply: Any) -> None:
        """What was sent to a session of this very node."""
        if self._deliver is not None and isinstance(reply, list):
            (session, message, *_), (seq, owner_epoch) = args, reply
            assert isinstance(session, bytes)
            assert isinstance(message, bytes)
            self._deliver(Delivery(UUID(bytes=session), seq, message, owner_epoch))

    async def send_unnumbered(self, session_id: UUID, message: bytes) -> None:
        with unavailable_as(CarrierUnavailable):
            await self._library.call("mailbox_hand", (Session(session_id).mailbox,), (session_id.bytes, message))

    async def claim(self, session_id: UUID, *, resume: tuple[str, int] | None) -> Claim:
        incarnation, seq = resume or ("", 0)
        args = (session_id.bytes, self._channel, _new_incarnation(), self._keep_ms, incarnation, seq)
        with unavailable_as(CarrierUnavailable):
            reply = await self._library.call("mailbox_claim", _both(session_id), args)
        epoch, incarnation_now, last_seq, resumed, entries = reply
        return Claim(
            session_id=session_id,
            owner_epoch=int(epoch),
            incarnation=incarnation_now.decode(),
            seq=last_seq,
            resumed=bool(resumed),
            backlog=tuple(_numbered(entries)),
        )

    async def renew(self, claim: Claim) -> Claim:
        incarnation = _new_incarnation()
        args = (claim.session_id.bytes, self._channel, incarnation, self._keep_ms, claim.owner_epoch)
        with unavailable_as(CarrierUnavailable):
            epoch = await self._library.call("mailbox_renew", _both(claim.session_id), args)
        if epoch is None:
            raise OwnershipLost
        return Claim(claim.session_id, int(epoch), incarnation, seq=0, resumed=False, backlog=())

    async def beat(self, claims: Collection[Claim]) -> dict[UUID, int | None]:
        last: dict[UUID, int | None] = {}
        waiting = list(claims)
        for start in range(0, len(waiting), BEATS_PER_PIPELINE):
            some = waiting[start : start + BEATS_PER_PIPELINE]
            calls = [(_both(claim.session_id), (self._channel, claim.owner_epoch, self._keep_ms)) for claim in some]
            with unavailable_as(CarrierUnavailable):
                replies = await self._library.call_many("mailbox_beat", calls)
            last.update((claim.session_id, None if seq < 0 else seq) for claim, seq in zip(some, replies, strict=True))
        return last

    async def read(self, session_id: UUID, after: int) -> list[tuple[int, bytes]]:
        with unavailable_as(CarrierUnavailable):
            entries = await execute(
                self._client, "XRANGE", Session(session_id).messages, f"{after + 1}-0", "+", "COUNT", READ_MAX
            )
        return _numbered(entries)

    async def acknowledged(self, claim: Claim, seq: int) -> None:
        args = (self._channel, claim.owner_epoch, seq)
        with unavailable_as(CarrierUnavailable):
            await self._library.call("mailbox_acknowledged", _both(claim.session_id), args)

    async def release(self, claim: Claim) -> bool:
        args = (claim.owner_epoch, self._keep_ms)
        with unavailable_as(CarrierUnavailable):
            return bool(await self._library.call("mailbox_release", _both(claim.session_id), args))

    def deliveries(self) -> AsyncIterator[Delivery]:
        return listen(self._client, self._channel)


def _both(session_id: UUID) -> tuple[bytes, bytes]:
    session = Session(session_id)
    return session.mailbox, session.messages


def _new_incarnation() -> str:
    return secrets.token_urlsafe(9)


def _numbered(entries: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[tuple[int, bytes]]:
    """Stream entries as the server has them, `[<seq>-0, [m, message]]`."""
    return [(int(entry_id.partition(b"-")[0]), fields[1]) for entry_id, fields in entries]
