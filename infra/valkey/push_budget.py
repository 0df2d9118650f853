"""What the Firebase project may send, counted in Valkey for all nodes together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from infra.valkey import keys
from infra.valkey.library import Library
from infra.valkey.multiplexer import Argument
from infra.valkey.outages import is_unavailable

PER_MINUTE = 600_000
"""FCM's quota for a project."""
BURST_S = 1.0
"""So many seconds' worth may go at once."""
SLOWEST = 16
"""The rate is never less than the full one divided by this."""
ANSWER_WITHIN_S = 0.25
AWAY_S = 1.0
"""After a failure nothing is counted for so long, as with `infra.valkey.limits`."""


class ValkeyPushBudget:
    """One token bucket. Lets everything through while Valkey is away: FCM would say 429, and that is heeded too."""

    def __init__(self, library: Library, per_minute: int = PER_MINUTE) -> None:
        self._library = library
        self._every_us = 60_000_000 / per_minute
        self._away_until = 0.0

    async def take(self, count: int) -> float:
        """0 when `count` messages may go now and are counted, else the seconds until they may; then nothing is.

        More than fit the bucket go when it is full: the rest is owed, and whoever comes next waits for it.
        """
        wait_us = await self._call("push_budget_take", (self._every_us, count, BURST_S * 1_000_000))
        return int(wait_us or 0) / 1_000_000

    async def slow(self, for_s: float) -> None:
        """Halve the rate, again when it is halved already, until `for_s` seconds have passed; then it is full again."""
        await self._call("push_budget_slow", (round(for_s * 1_000_000), SLOWEST))

    async def _call(self, name: str, args: Sequence[Argument]) -> int | None:
        if time.monotonic() < self._away_until:
            return None
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                reply: int = await self._library.call(name, [keys.push_budget()], args)
                return reply
        except Exception as error:
            if not is_unavailable(error):
                raise
            self._away_until = time.monotonic() + AWAY_S
            return None
