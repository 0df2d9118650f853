"""One loop for all sockets of a node instead of timers for each: who is dead, whose token is over, what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial

from server.socket import metrics
from server.socket.connection import Clock, Connection
from server.socket.rules import Close, SocketRules
from signaling.ports import CarrierUnavailable, Claim, Mailboxes

SLOTS = 5
"""The sockets are looked after in so many groups, spread over the interval."""
TRIMS_AT_ONCE = 16


class Heartbeat:
    """Looks after each connection once in `heartbeat_s`."""

    def __init__(
        self,
        mailboxes: Mailboxes,
        connections: Callable[[], Iterable[Connection]],
        heard_of: Callable[[Connection, Claim, int | None], None],
        clock: Clock,
        rules: SocketRules,
    ) -> None:
        """`heard_of` is told the last seq of each mailbox, or None when it is no longer owned under that claim."""
        self._mailboxes = mailboxes
        self._connections = connections
        self._heard_of = heard_of
        self._clock = clock
        self._rules = rules

    async def run(self, guarded: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]]) -> None:
        """Until cancelled. `guarded` hears of failures, which cost one round only."""
        loop = asyncio.get_running_loop()
        slot = 0
        while True:
            await asyncio.sleep(self._rules.heartbeat_s / SLOTS)
            slot = (slot + 1) % SLOTS
            began = loop.time()
            group = [connection for connection in self._connections() if connection.beat_slot % SLOTS == slot]
            await guarded(partial(self._look_after, group, began))
            metrics.beat_seconds.set(loop.time() - began)

    async def _look_after(self, group: Collection[Connection], now: float) -> None:
        wall = self._clock()
        for connection in group:
            self._check(connection, now)
            if connection.token_is_over(wall, now):
                connection.close(Close.UNAUTHORIZED)
        claims = {connection.session_id: connection.claim for connection in group if not connection.closing}
        last = await self._mailboxes.beat(claims.values())
        for connection in group:
            claim = claims.get(connection.session_id)
            if claim is not None and connection.claim is claim:
                self._heard_of(connection, claim, last.get(connection.session_id))
        await self._trim([connection for connection in group if connection.session_id in claims])

    def _check(self, connection: Connection, now: float) -> None:
        """Close the dead, and ask the silent whether they are."""
        silent_s = now - connection.heard_at
        if silent_s > self._rules.silent_beats * self._rules.heartbeat_s:
            connection.close(Close.GOING_AWAY)
        elif silent_s > self._rules.heartbeat_s / SLOTS:
            # Whoever is quiet is asked at nearly every turn: absence is judged by sightings, and it is judged early.
            connection.ping()

    async def _trim(self, group: Collection[Connection]) -> None:
        """Forget what was acknowledged since the last time."""
        due = [(connection.claim, seq) for connection in group if (seq := connection.to_trim()) is not None]
        for start in range(0, len(due), TRIMS_AT_ONCE):
            some = due[start : start + TRIMS_AT_ONCE]
            trims = (self._mailboxes.acknowledged(claim, seq) for claim, seq in some)
            for outcome in await asyncio.gather(*trims, return_exceptions=True):
                if isinstance(outcome, CarrierUnavailable):
                    raise outcome
