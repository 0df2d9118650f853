"""What was answered to a client's message id, so that a repeat on any node is answered again and not done again."""

from __future__ import annotations

import asyncio
from uuid import UUID

from infra.valkey.cluster import Valkey, execute
from infra.valkey.keys import Session
from infra.valkey.library import Library
from infra.valkey.outages import UnavailableAs
from signaling.ports import CarrierUnavailable

KEEP_MS = 600_000
"""The contract's 10 minutes."""
DOING_MS = 3_000
"""How long a begun message is taken to be in somebody's hands; after that its doer is taken for dead."""
POLL_S = 0.05


class ValkeyAnswers:
    """`signaling.ports.Answers`: one expiring string per message id, empty while the message is being done."""

    def __init__(self, client: Valkey, library: Library, *, keep_ms: int = KEEP_MS, doing_ms: int = DOING_MS) -> None:
        self._client = client
        self._library = library
        self._keep_ms = keep_ms
        self._doing_ms = doing_ms

    async def begin(self, session_id: UUID, message_id: str) -> bytes | None:
        """Waits while another connection of the session is doing the message, at most until it is taken for dead."""
        key = Session(session_id).answer(message_id)
        with UnavailableAs(CarrierUnavailable):
            while True:
                known: bytes | None = await self._library.call("answer_begin", (key,), (self._doing_ms,))
                if known != b"":
                    return known
                await asyncio.sleep(POLL_S)

    async def finish(self, session_id: UUID, message_id: str, answer: bytes) -> None:
        with UnavailableAs(CarrierUnavailable):
            key = Session(session_id).answer(message_id)
            await self._library.call("answer_finish", (key,), (answer, self._keep_ms))

    async def forget(self, session_id: UUID, message_id: str) -> None:
        with UnavailableAs(CarrierUnavailable):
            await execute(self._client, "DEL", Session(session_id).answer(message_id))
