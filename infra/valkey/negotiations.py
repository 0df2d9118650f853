"""The state of each attempt's negotiation, shared by the nodes of both sides: `signaling.ports.NegotiationStore`."""

from __future__ import annotations

from uuid import UUID

import msgspec

from infra.valkey.cluster import Valkey, execute
from infra.valkey.keys import negotiation_key
from infra.valkey.library import Library
from infra.valkey.outages import UnavailableAs
from signaling.negotiation import Negotiation
from signaling.ports import CarrierUnavailable

KEEP_MS = 3_600_000
"""Longer than any negotiation rests in a call that goes on; a call without state negotiates as if anew."""


class ValkeyNegotiations:
    """One expiring hash per attempt, replaced only at the revision it was read at."""

    def __init__(self, client: Valkey, library: Library) -> None:
        self._client = client
        self._library = library

    async def load(self, call_id: UUID, attempt: int) -> tuple[Negotiation, int]:
        with UnavailableAs(CarrierUnavailable):
            revision, state = await execute(
                self._client, "HMGET", negotiation_key(call_id, attempt), "revision", "state"
            )
        if revision is None or state is None:
            return Negotiation(), 0
        return msgspec.json.decode(state, type=Negotiation), int(revision)

    async def store(self, call_id: UUID, attempt: int, state: Negotiation, revision: int) -> bool:
        args = (revision, msgspec.json.encode(state), KEEP_MS)
        with UnavailableAs(CarrierUnavailable):
            return bool(await self._library.call("negotiation_store", [negotiation_key(call_id, attempt)], args))
