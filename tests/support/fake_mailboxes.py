"""Mailboxes and answers in memory: the obvious ones, for tests of what uses them and of the contract itself."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from uuid import UUID

from signaling.ports import CarrierUnavailable, Claim, Delivery, Once, OwnershipLost, Version

MESSAGES_MAX = 512


@dataclass(slots=True)
class _Box:
    incarnation: str
    expires_at: float
    seq: int = 0
    epoch: int = 0
    owner: FakeMailboxes | None = None
    messages: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=MESSAGES_MAX))


class FakeCarrier:
    """What the nodes share: the server's memory."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.away = False
        """While true, every call raises `CarrierUnavailable`."""
        self._boxes: dict[UUID, _Box] = {}
        self._told: dict[tuple[UUID, str], int] = {}
        self.relayed: set[tuple[UUID, Once]] = set()
        self._names = itertools.count(1)

    def wipe(self) -> None:
        self._boxes.clear()
        self._told.clear()
        self.relayed.clear()

    def box(self, session_id: UUID) -> _Box | None:
        if self.away:
            raise CarrierUnavailable("away")
        box = self._boxes.get(session_id)
        if box is not None and box.expires_at <= self.clock():
            del self._boxes[session_id]
            return None
        return box

    def make(self, session_id: UUID) -> _Box:
        box = self._boxes[session_id] = _Box(f"incarnation-{next(self._names)}", 0.0)
        return box

    def next_epoch(self) -> int:
        return next(self._names)

    def is_news(self, session_id: UUID, version: Version) -> bool:
        key = (session_id, version.subject)
        if self._told.get(key, 0) >= version.number:
            return False
        self._told[key] = version.number
        return True


class FakeMailboxes:
    """`signaling.ports.Mailboxes` of one node over a shared `FakeCarrier`."""

    def __init__(self, carrier: FakeCarrier, *, keep_s: float = 120.0) -> None:
        self._carrier = carrier
        self._keep_s = keep_s
        self._deliveries: asyncio.Queue[Delivery] = asyncio.Queue(10_000)

    async def send(self, session_id: UUID, message: bytes, *, version: Version | None = None) -> bool:
        if version is not None and not self._carrier.is_news(session_id, version):
            return True
        box = self._carrier.box(session_id)
        if box is None:
            return False
        box.seq += 1
        box.messages.append((box.seq, message))
        if box.owner is None:
            self._keep(box)
        self._hand(box, session_id, box.seq, message)
        return True

    async def relay(self, session_id: UUID, message: bytes, once: Once) -> bool:
        if await self.was_relayed(session_id, once):
            return True
        sent = await self.send(session_id, message)
        if sent:
            self._carrier.relayed.add((session_id, once))
        return sent

    async def was_relayed(self, session_id: UUID, once: Once) -> bool:
        self._carrier.box(session_id)  # raises while the carrier is away
        return (session_id, once) in self._carrier.relayed

    async def send_unnumbered(self, session_id: UUID, message: bytes) -> None:
        if (box := self._carrier.box(session_id)) is not None:
            self._hand(box, session_id, None, message)

    async def claim(self, session_id: UUID, *, resume: tuple[str, int] | None) -> Claim:
        box = self._carrier.box(session_id)
        if box is not None:
            self._hand(box, session_id, None, None)
        backlog = self._missed(box, resume)
        ahead = box is not None and resume is not None and resume[0] == box.incarnation and resume[1] > box.seq
        if box is None or ahead:
            box = self._carrier.make(session_id)
        self._own(box)
        return Claim(
            session_id, box.epoch, box.incarnation, box.seq, resumed=backlog is not None, backlog=tuple(backlog or ())
        )

    async def renew(self, claim: Claim) -> Claim:
        box = self._carrier.box(claim.session_id)
        if box is not None and box.epoch > claim.owner_epoch:
            raise OwnershipLost
        box = self._carrier.make(claim.session_id)
        self._own(box)
        return Claim(claim.session_id, box.epoch, box.incarnation, 0, resumed=False, backlog=())

    async def beat(self, claims: Collection[Claim]) -> dict[UUID, int | None]:
        return {claim.session_id: self._beat(claim) for claim in claims}

    async def read(self, session_id: UUID, after: int) -> list[tuple[int, bytes]]:
        box = self._carrier.box(session_id)
        return [] if box is None else [entry for entry in box.messages if entry[0] > after]

    async def acknowledged(self, claim: Claim, seq: int) -> None:
        box = self._owned(claim)
        while box is not None and box.messages and box.messages[0][0] <= seq:
            box.messages.popleft()

    async def release(self, claim: Claim) -> bool:
        box = self._carrier.box(claim.session_id)
        if box is not None and box.epoch > claim.owner_epoch:
            return False
        if (owned := self._owned(claim)) is not None:
            owned.owner = None
            self._keep(owned)
        return True

    async def deliveries(self) -> AsyncIterator[Delivery]:
        while True:
            yield await self._deliveries.get()

    def _beat(self, claim: Claim) -> int | None:
        if (box := self._owned(claim)) is None:
            return None
        self._keep(box)
        return box.seq

    def _owned(self, claim: Claim) -> _Box | None:
        box = self._carrier.box(claim.session_id)
        return box if box is not None and box.owner is self and box.epoch == claim.owner_epoch else None

    def _own(self, box: _Box) -> None:
        box.owner, box.epoch = self, self._carrier.next_epoch()
        self._keep(box)

    def _keep(self, box: _Box) -> None:
        box.expires_at = self._carrier.clock() + self._keep_s

    def _missed(self, box: _Box | None, resume: tuple[str, int] | None) -> list[tuple[int, bytes]] | None:
        """What the client has not seen; None when its numbers cannot be continued."""
        if box is None or resume is None or resume[0] != box.incarnation or resume[1] > box.seq:
            return None
        missed = [entry for entry in box.messages if entry[0] > resume[1]]
        return missed if len(missed) == box.seq - resume[1] else None

    def _hand(self, box: _Box, session_id: UUID, seq: int | None, message: bytes | None) -> None:
        if box.owner is not None:
            box.owner._deliveries.put_nowait(Delivery(session_id, seq, message, box.epoch))


class FakeAnswers:
    """`signaling.ports.Answers` in memory."""

    def __init__(self) -> None:
        self.known: dict[tuple[UUID, str], bytes] = {}

    async def begin(self, session_id: UUID, message_id: str) -> bytes | None:
        return self.known.get((session_id, message_id))

    async def finish(self, session_id: UUID, message_id: str, answer: bytes) -> None:
        self.known[session_id, message_id] = answer

    async def forget(self, session_id: UUID, message_id: str) -> None:
        self.known.pop((session_id, message_id), None)
