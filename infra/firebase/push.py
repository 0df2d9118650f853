"""Wakes devices through FCM (the `Pusher` port for values of kind `fcm`).

Connections are shared by as many workers as there are, each taking the next target: one task for each target would put
hundreds of callbacks into one turn of the event loop. What is known of a target is in its outcome at any moment, so
that the deadline may strike anywhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from infra.firebase.answers import error_code, outcome
from infra.firebase.credentials import TokenUnavailable
from infra.firebase.messages import Bodies
from infra.firebase.transport import CONNECTIONS, Transport
from infra.posting import Answer, Attempt, NoAnswer, NothingSent, TooLate
from infra.push_metrics import count_results, push_dropped
from infra.seldom import Seldom
from matching.waking import PushOutcome, PushResult, PushTarget, PushWords, Wake

log = structlog.get_logger()

ATTEMPT_S = 2.0
"""From being asked to push until every target has an outcome."""
BUDGET_WAIT_S = 1.0
"""Whoever cannot be sent to within so long is better not rung: others are asked meanwhile."""
BEGIN_A_TURN = 8
"""About 1 ms of work; answers are read in between."""


class Tokens(Protocol):
    """Access tokens; `infra.firebase.credentials.AccessTokens`."""

    async def token(self) -> str:
        """Raises TokenUnavailable."""

    def invalidate(self, token: str) -> None: ...


class Budget(Protocol):
    """What the project may send, all nodes together; `infra.valkey.push_budget.ValkeyPushBudget`."""

    async def take(self, count: int) -> float:
        """0 when `count` messages may go now, else the seconds until they may."""

    async def slow(self, for_s: float) -> None:
        """FCM says that it is too much."""


@dataclass(slots=True)
class _Batch:
    wake: Wake
    bodies: Bodies
    targets: Sequence[PushTarget]
    outcomes: list[PushOutcome]
    waiting: Iterator[int]
    """Indexes no worker has taken yet."""


class _Turns:
    """Lets a few messages begin in each turn of the event loop: a wave's first hundred, or the next ones of a hundred
    answers that came together, would keep everything else on the node waiting."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(BEGIN_A_TURN)

    async def next(self) -> None:
        await self._places.acquire()
        asyncio.get_running_loop().call_soon(self._places.release)


class FcmPusher:
    """Any number of pushes at once share the transport's connections."""

    def __init__(
        self,
        transport: Transport,
        tokens: Tokens,
        budget: Budget,
        words: PushWords,
        clock: Callable[[], datetime],
    ) -> None:
        """`clock`: the time `Wake.expires_at` is measured by, aware. Owns the transport: close with `close()`."""
        self._transport = transport
        self._tokens = tokens
        self._budget = budget
        self._words = words
        self._clock = clock
        self._turns = _Turns()
        self._seldom = Seldom()
        self._slowed_at = float("-inf")

    async def push(self, wake: Wake, targets: Sequence[PushTarget]) -> list[PushOutcome]:
        """One attempt at each, within 2 s; see the port."""
        outcomes = [_NOTHING_SENT] * len(targets)
        batch = _Batch(wake, Bodies(wake, self._words), targets, outcomes, iter(range(len(targets))))
        try:
            async with asyncio.timeout(ATTEMPT_S):
                if targets and await self._may_send(batch):
                    async with asyncio.TaskGroup() as workers:
                        for _ in range(min(CONNECTIONS, len(targets))):
                            workers.create_task(self._work(batch))
        except TimeoutError:
            pass
        count_results("fcm", wake.type, outcomes)
        return outcomes

    async def close(self) -> None:
        await self._transport.close()

    async def _may_send(self, batch: _Batch) -> bool:
        """Whether the project's budget lets the whole batch go; if not, all of it is throttled."""
        if self._is_over(batch.wake):
            # The workers find out, without a message having been taken from the budget.
            return True
        until = time.monotonic() + BUDGET_WAIT_S
        while wait_s := await self._wait_s(len(batch.targets)):
            if time.monotonic() + wait_s > until:
                throttled = PushOutcome(PushResult.THROTTLED, timedelta(seconds=wait_s))
                batch.outcomes[:] = [throttled] * len(batch.targets)
                return False
            await asyncio.sleep(wait_s)
        return True

    async def _wait_s(self, count: int) -> float:
        try:
            return await self._budget.take(count)
        except Exception as error:
            # A mistake of ours: the budget protects, it must not silence.
            log.error("push budget failed", error=type(error).__name__)
            return 0.0

    async def _work(self, batch: _Batch) -> None:
        for index in batch.waiting:
            try:
                await self._send(batch, index)
            except Exception as error:
                # A mistake of ours; it costs this target alone.
                batch.outcomes[index] = _FAILED
                log.error("push failed", error=type(error).__name__)

    async def _send(self, batch: _Batch, index: int) -> None:
        answer = await self._attempt(batch, index)
        if answer is not None and answer.status == 401:
            answer = await self._attempt(batch, index)
        if answer is None:
            return
        batch.outcomes[index] = result = outcome(answer, self._clock())
        if answer.status != 200:
            await self._heed(answer, result)

    async def _attempt(self, batch: _Batch, index: int) -> Answer | None:
        """FCM's answer, its body for 200 and errors alike; None when there is none and the outcome says why."""
        if self._is_over(batch.wake):
            self._drop(batch, index)
            return None
        attempt: Attempt | None = None
        token = ""
        try:
            token = await self._tokens.token()
            await self._turns.next()
            body = batch.bodies.body(batch.targets[index], self._clock())
            attempt = Attempt(body, "application/json", lambda: not self._is_over(batch.wake))
            answer = await self._transport.post(attempt, token)
        except (TokenUnavailable, NothingSent):
            batch.outcomes[index] = _NOTHING_SENT
        except TooLate:
            self._drop(batch, index)
        except (NoAnswer, asyncio.CancelledError) as error:
            if attempt is not None and attempt.begun:
                batch.outcomes[index] = _UNKNOWN
            if isinstance(error, asyncio.CancelledError):
                raise
        else:
            if answer.status == 401:
                self._tokens.invalidate(token)
            return answer
        return None

    def _drop(self, batch: _Batch, index: int) -> None:
        batch.outcomes[index] = _FAILED
        push_dropped.labels("fcm", batch.wake.type.value).inc()

    def _is_over(self, wake: Wake) -> bool:
        return self._clock() >= wake.expires_at

    async def _heed(self, answer: Answer, result: PushOutcome) -> None:
        """Tell an operator, and slow down when told to. Never the value: it is a key to somebody's phone."""
        if answer.status == 429 and result.retry_after is not None:
            now = time.monotonic()
            # The rest of what was under way when the first came says nothing new.
            if now - self._slowed_at > ATTEMPT_S:
                self._slowed_at = now
                await self._budget.slow(result.retry_after.total_seconds())
        if result.result in _TELL and answer.status < 500:
            event = _TELL[result.result]
            if self._seldom.may_say(event):
                log.error(event, status=answer.status, error_code=error_code(answer.body))


_NOTHING_SENT = PushOutcome(PushResult.RETRY_LATER)
_UNKNOWN = PushOutcome(PushResult.UNKNOWN)
_FAILED = PushOutcome(PushResult.FAILED)
_TELL = {
    PushResult.QUARANTINED: "FCM refuses us for a device: is it of another Firebase project?",
    PushResult.FAILED: "FCM does not understand what we send",
    PushResult.THROTTLED: "FCM says that we send too much",
    PushResult.RETRY_LATER: "FCM refuses our access token",
}
