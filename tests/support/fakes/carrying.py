"""What carries messages and negotiations, in memory, with failures a test can ask for."""

from __future__ import annotations

import asyncio
from uuid import UUID

from signaling.negotiation import Negotiation
from signaling.ports import CarrierUnavailable, Once, Version


class FakeSender:
    """`signaling.ports.Sender` that remembers what was sent to whom."""

    def __init__(self) -> None:
        self.sent: list[tuple[UUID, bytes]] = []
        self.relayed: set[tuple[UUID, Once]] = set()
        self.absent: set[UUID] = set()
        """Sessions without a mailbox."""
        self.fail_next = 0
        """So many of the next sends raise."""

    async def send(self, session_id: UUID, message: bytes, *, version: Version | None = None) -> bool:
        await asyncio.sleep(0)
        if self.fail_next:
            self.fail_next -= 1
            raise CarrierUnavailable("asked to fail")
        if session_id in self.absent:
            return False
        self.sent.append((session_id, message))
        return True

    async def relay(self, session_id: UUID, message: bytes, once: Once) -> bool:
        if (session_id, once) in self.relayed:
            return True
        sent = await self.send(session_id, message)
        if sent:
            self.relayed.add((session_id, once))
        return sent

    async def was_relayed(self, session_id: UUID, once: Once) -> bool:
        return (session_id, once) in self.relayed

    async def send_unnumbered(self, session_id: UUID, message: bytes) -> None:
        await self.send(session_id, message)


class FakeNegotiations:
    """`signaling.ports.NegotiationStore`: states with revisions, replaced only at the revision they were read at."""

    def __init__(self) -> None:
        self.states: dict[tuple[UUID, int], tuple[Negotiation, int]] = {}
        self.lose_next = 0
        """So many of the next stores find that another node was first."""
        self.stores = 0

    async def load(self, call_id: UUID, attempt: int) -> tuple[Negotiation, int]:
        await asyncio.sleep(0)
        return self.states.get((call_id, attempt), (Negotiation(), 0))

    async def store(self, call_id: UUID, attempt: int, state: Negotiation, revision: int) -> bool:
        await asyncio.sleep(0)
        self.stores += 1
        current, stored = self.states.get((call_id, attempt), (Negotiation(), 0))
        if self.lose_next:
            self.lose_next -= 1
            self.states[call_id, attempt] = (current, stored + 1)
            return False
        if stored != revision:
            return False
        self.states[call_id, attempt] = (state, stored + 1)
        return True
