"""Calls in memory: `signaling.ports.CallBook` as anyone would first write it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from infra.memory.clock import MovedClock
from signaling.model import Call, CallState
from signaling.ports import Changed, NoSuchCall


class FakeCallBook:
    """Every method lets others go first, then does its work undisturbed, as a transaction does."""

    def __init__(self, clock: MovedClock, *calls: Call) -> None:
        self.calls = {call.id: call for call in calls}
        self.written = 0
        """How many changes were committed."""
        self._clock = clock

    async def get(self, call_id: UUID) -> Call | None:
        await asyncio.sleep(0)
        return self.calls.get(call_id)

    async def of_epoch(self, request_id: UUID, epoch: int) -> Call | None:
        await asyncio.sleep(0)
        return next((c for c in self.calls.values() if (c.request_id, c.epoch) == (request_id, epoch)), None)

    async def live_of_person(self, person_id: UUID) -> Call | None:
        await asyncio.sleep(0)
        live = (call for call in self.calls.values() if call.state is not CallState.ENDED)
        return next((call for call in live if call.side_of_person(person_id) is not None), None)

    async def change(self, call_id: UUID, rule: Callable[[Call, datetime], Call]) -> Changed:
        await asyncio.sleep(0)
        before = self.calls.get(call_id)
        if before is None:
            raise NoSuchCall
        now = self._clock.now
        after = rule(before, now)
        if after != before:
            _guard(before, after)
            self.calls[call_id] = after
            self.written += 1
        return Changed(before, after, now)


def _guard(before: Call, after: Call) -> None:
    """What the schema forbids."""
    assert before.state is not CallState.ENDED
    assert after.attempt >= before.attempt
    assert after.version >= before.version
