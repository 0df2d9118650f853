"""Counts calls in Valkey for all nodes together (the server's `RateLimiter` port)."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from infra.valkey import keys
from infra.valkey.library import Library
from infra.valkey.outages import is_unavailable

ANSWER_WITHIN_S = 0.25
AWAY_S = 1.0
"""After a failure nothing is counted for so long: callers must not wait for a counter that does not answer."""


class Limit(Protocol):
    """One call every `every_s` seconds on average, up to `burst` at once."""

    @property
    def name(self) -> str: ...
    @property
    def every_s(self) -> float: ...
    @property
    def burst(self) -> int: ...


class ValkeyLimits:
    """Lets everything through while Valkey is away: a limit protects, it must not become an outage."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._away_until = 0.0

    async def wait_s(self, limit: Limit, subject: str) -> float:
        """0 when the call may go ahead, else the seconds until one may."""
        if time.monotonic() < self._away_until:
            return 0.0
        args = (round(limit.every_s * 1_000_000), limit.burst)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                wait_us = await self._library.call("limit_take", [keys.rate_limit(limit.name, subject)], args)
        except Exception as error:
            if not is_unavailable(error):
                raise
            self._away_until = time.monotonic() + AWAY_S
            return 0.0
        return int(wait_us) / 1_000_000
