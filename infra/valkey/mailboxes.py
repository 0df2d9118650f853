"""Mailboxes in Valkey: one bounded, expiring stream per session, owned by one node; every step is one Lua function."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from uuid import UUID, uuid4

from infra.valkey.cluster import Valkey, execute
from infra.valkey.deliveries import listen
from infra.valkey.keys import Session, node_channel
from infra.valkey.library import Library
from infra.valkey.outages import UnavailableAs
from signaling.ports import CarrierUnavailable, Claim, Delivery, Once, OwnershipLost, Version

KEEP_MS = 120_000
"""How long a mailbox outlives the last beat of its owner, or, without one, the last message."""
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
        """`deliver` gets what this node sends to its own sessions, at once; without it that is among `deliveries`.

        Who gives up while they send may leave such a message to the session's next beat.
        """
        self._client = client
        self._library = library
        self._deliver = deliver
        self._channel = node_channel(node_id or uuid4())
        self._keep_ms = keep_ms

    async def send(self, session_id: UUID, message: bytes, *, version: Version | None = None) -> bool:
        if version is None:
            return await self._append("mailbox_send", session_id, message)
        told = Session(session_id).told(version.subject)
        return await self._append("mailbox_send", session_id, message, told, version.number)

    async def relay(self, session_id: UUID, message: bytes, once: Once) -> bool:
        return await self._append("mailbox_relay", session_id, message, Session(session_id).relayed(once), RELAYED_MS)

    async def _append(self, function: str, session_id: UUID, message: bytes, key: bytes = b"", arg: int = 0) -> bool:
        """`key` and `arg`: what the function takes besides, if anything."""
        keys, args = _both(session_id), self._sent(session_id, message)
        with UnavailableAs(CarrierUnavailable):
            reply = await self._library.call(function, (*keys, key) if key else keys, (*args, arg) if key else args)
        if isinstance(reply, list) and self._deliver is not None:
            seq, owner_epoch = reply
            self._deliver(Delivery(session_id, seq, message, owner_epoch))
        return bool(reply)

    async def was_relayed(self, session_id: UUID, once: Once) -> bool:
        with UnavailableAs(CarrierUnavailable):
            return bool(await execute(self._client, "EXISTS", Session(session_id).relayed(once)))

    def _sent(self, session_id: UUID, message: bytes) -> tuple[bytes | int, ...]:
        here = self._channel if self._deliver is not None else b""
        return session_id.bytes, message, MESSAGES_MAX, self._keep_ms, here

    async def send_unnumbered(self, session_id: UUID, message: bytes) -> None:
        with UnavailableAs(CarrierUnavailable):
            await self._library.call("mailbox_hand", (Session(session_id).mailbox,), (session_id.bytes, message))

    async def claim(self, session_id: UUID, *, resume: tuple[str, int] | None) -> Claim:
        incarnation, seq = resume or ("", 0)
        args = (session_id.bytes, self._channel, _new_incarnation(), self._keep_ms, incarnation, seq)
        with UnavailableAs(CarrierUnavailable):
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
        with UnavailableAs(CarrierUnavailable):
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
            with UnavailableAs(CarrierUnavailable):
                replies = await self._library.call_many("mailbox_beat", calls)
            last.update((claim.session_id, None if seq < 0 else seq) for claim, seq in zip(some, replies, strict=True))
        return last

    async def read(self, session_id: UUID, after: int) -> list[tuple[int, bytes]]:
        with UnavailableAs(CarrierUnavailable):
            entries = await execute(
                self._client, "XRANGE", Session(session_id).messages, f"{after + 1}-0", "+", "COUNT", READ_MAX
            )
        return _numbered(entries)

    async def acknowledged(self, claim: Claim, seq: int) -> None:
        args = (self._channel, claim.owner_epoch, seq)
        with UnavailableAs(CarrierUnavailable):
            await self._library.call("mailbox_acknowledged", _both(claim.session_id), args)

    async def release(self, claim: Claim) -> bool:
        args = (claim.owner_epoch, self._keep_ms)
        with UnavailableAs(CarrierUnavailable):
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
