"""Sees to a request's pushes: rings the devices of people who were asked, and replaces each ring when it is over.

Claim in Postgres, push, write what came of it. A node that dies between leaves a claim that ends by itself, and the
next look at the request goes on. The open app hears of offers through its mailbox (`server/telling.py`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from matching.waking import DueWake, Pusher, PushOutcome, PushResult, PushTarget, Wake, WakeBook, WakeReport, report
from server.metrics import wakes_given_up

log = structlog.get_logger()

LEASE = timedelta(seconds=2.5)
"""How long a claim holds: an attempt takes 2 s at most, and after a node's death somebody else rings within 3."""


class Waking:
    """Stateless but for what is on its way: any node may do any part."""

    def __init__(
        self,
        book: WakeBook,
        pushers: Mapping[str, Pusher],
        clock: Callable[[], datetime],
        on_nobody_reached: Callable[[UUID], object],
        on_unreachable: Callable[[UUID], Awaitable[object]],
    ) -> None:
        """`pushers` by kind of push value.

        `on_nobody_reached`: somebody who was asked for this request knows nothing of it: look at it now; must not wait.
        `on_unreachable`: this person has lost a device.
        """
        self._book = book
        self._pushers = pushers
        self._clock = clock
        self._on_nobody_reached = on_nobody_reached
        self._on_unreachable = on_unreachable

    async def wake(self, request_id: UUID) -> None:
        """Do all that is due for this request, and what becomes due by that: a ring that was on its way when its offer
        ended is replaced as soon as it is known to have arrived."""
        while due := await self._book.claim(request_id, LEASE):
            outcomes = await self._push_all(due)
            now = self._clock()
            reports = [report(one, _of(one, outcomes), now, random.random()) for one in due]
            _count_given_up(reports)
            if await self._book.report(request_id, reports):
                self._on_nobody_reached(request_id)
            for person_id in await self._book.settle(outcomes, due[0].wake.sent_at):
                await self._on_unreachable(person_id)

    async def _push_all(self, due: Iterable[DueWake]) -> dict[UUID, PushOutcome]:
        """Each wake to all its targets of one kind in one call, all calls side by side. Outcomes by push value."""
        batches: dict[tuple[Wake, str], list[PushTarget]] = {}
        for one in due:
            for target in one.targets:
                batches.setdefault((one.wake, target.kind), []).append(target)
        pushed = await asyncio.gather(*(self._push(wake, kind, batch) for (wake, kind), batch in batches.items()))
        return {target: outcome for outcomes in pushed for target, outcome in outcomes.items()}

    async def _push(self, wake: Wake, kind: str, targets: list[PushTarget]) -> dict[UUID, PushOutcome]:
        pusher = self._pushers.get(kind)
        if pusher is None:  # not set up here: the value was put when it was, or for another deployment
            return {target.id: PushOutcome(PushResult.FAILED) for target in targets}
        outcomes = await pusher.push(wake, targets)
        log.info("pushed", request=str(wake.request_id), type=wake.type, kind=kind, **_tally(outcomes))
        return {target.id: outcome for target, outcome in zip(targets, outcomes, strict=True)}


def _of(one: DueWake, outcomes: Mapping[UUID, PushOutcome]) -> dict[UUID, PushOutcome]:
    return {target.id: outcomes[target.id] for target in one.targets}


def _tally(outcomes: Iterable[PushOutcome]) -> dict[str, int]:
    found: dict[str, int] = {}
    for outcome in outcomes:
        found[outcome.result.value] = found.get(outcome.result.value, 0) + 1
    return found


def _count_given_up(reports: Iterable[WakeReport]) -> None:
    for one in reports:
        if one.given_up:
            wakes_given_up.labels(one.due.wake.type.value).inc()
