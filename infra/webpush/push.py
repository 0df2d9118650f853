"""Wakes browsers (the `Pusher` port for values of kind `webpush`).

Each push service has workers of its own, so that one that hangs holds up no other, and each worker takes the next
target. Encryption is done in one thread for all: more threads would only take turns with the event loop. What is known
of a target is in its outcome at any moment, so that the deadline may strike anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from infra.posting import Answer, Attempt, NoAnswer, NothingSent, TooLate
from infra.push_metrics import count_results, push_dropped
from infra.seldom import Seldom
from infra.webpush.answers import outcome
from infra.webpush.encryption import BadKeys, encrypt
from infra.webpush.endpoints import Endpoint, Endpoints
from infra.webpush.payload import Payloads
from infra.webpush.transport import TO_ONE_SERVICE, Transport
from infra.webpush.vapid import Vapid
from matching.waking import PushOutcome, PushResult, PushTarget, PushWords, Wake, WakeType

log = structlog.get_logger()

T = TypeVar("T")

ATTEMPT_S = 2.0
"""From being asked to push until every target has an outcome."""
AHEAD = 2
"""Handed to the thread at a time. With more it always has work, and takes the interpreter from the event loop for 5 ms
at each of the loop's system calls."""

_URGENT = frozenset({WakeType.RING, WakeType.WITHDRAW})


@dataclass(slots=True)
class _Batch:
    wake: Wake
    payloads: Payloads
    targets: Sequence[PushTarget]
    outcomes: list[PushOutcome]


class WebPushPusher:
    """Any number of pushes at once share the connections and the thread. Close with `close()`."""

    def __init__(
        self,
        vapid: Vapid,
        words: PushWords,
        is_allowed: Callable[[str], bool],
        clock: Callable[[], datetime],
        via: str | None = None,
    ) -> None:
        """`is_allowed`: whether a text is an endpoint of a known push service; called in a thread. `clock`: the time
        `Wake.expires_at` is measured by, aware. `via`: for a stand-in, see `Endpoints`.
        """
        self._vapid = vapid
        self._words = words
        self._clock = clock
        self._endpoints = Endpoints(is_allowed, via)
        self._transport = Transport(0 if via else TO_ONE_SERVICE)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="webpush")
        self._turn = asyncio.Semaphore(AHEAD)
        self._seldom = Seldom()

    async def push(self, wake: Wake, targets: Sequence[PushTarget]) -> list[PushOutcome]:
        """One attempt at each, within 2 s; see the port."""
        outcomes = [_NOTHING_SENT] * len(targets)
        batch = _Batch(wake, Payloads(wake, self._words), targets, outcomes)
        try:
            async with asyncio.timeout(ATTEMPT_S):
                await self._send_all(batch)
        except TimeoutError:
            pass
        except Exception as error:
            self._failed(error)
        count_results("webpush", wake.type, outcomes)
        return outcomes

    async def close(self) -> None:
        """After the last push."""
        await asyncio.to_thread(self._thread.shutdown)
        await self._transport.close()

    async def _send_all(self, batch: _Batch) -> None:
        services = await self._by_service(batch)
        async with asyncio.TaskGroup() as workers:
            for waiting in services:
                shared = iter(waiting)
                for _ in range(min(TO_ONE_SERVICE, len(waiting))):
                    workers.create_task(self._work(batch, shared))

    async def _by_service(self, batch: _Batch) -> list[list[tuple[int, Endpoint]]]:
        """Indexes of targets with where to post, by push service; what may not be posted to has failed."""
        values = [target.value for target in batch.targets]
        found: dict[str, list[tuple[int, Endpoint]]] = {}
        for index, endpoint in enumerate(await self._in_thread(lambda: self._endpoints.read_all(values))):
            if endpoint is None:
                batch.outcomes[index] = _FAILED
            else:
                found.setdefault(endpoint.origin, []).append((index, endpoint))
        return list(found.values())

    async def _work(self, batch: _Batch, waiting: Iterator[tuple[int, Endpoint]]) -> None:
        for index, endpoint in waiting:
            try:
                await self._send(batch, index, endpoint)
            except Exception as error:
                # A mistake of ours; it costs this target alone.
                batch.outcomes[index] = _FAILED
                self._failed(error)

    async def _send(self, batch: _Batch, index: int, endpoint: Endpoint) -> None:
        if self._is_over(batch.wake):
            self._drop(batch, index)
            return
        attempt: Attempt | None = None
        try:
            target = batch.targets[index]
            plaintext = batch.payloads.payload(target.languages)
            body = await self._in_thread(lambda: encrypt(plaintext, target.keys))
            attempt = Attempt(body, "application/octet-stream", lambda: not self._is_over(batch.wake))
            answer = await self._transport.post(endpoint.url, attempt, self._headers(batch.wake, endpoint))
        except BadKeys:
            batch.outcomes[index] = _FAILED
        except NothingSent:
            batch.outcomes[index] = _NOTHING_SENT
        except TooLate:
            self._drop(batch, index)
        except (NoAnswer, asyncio.CancelledError) as error:
            if attempt is not None and attempt.begun:
                batch.outcomes[index] = _UNKNOWN
            if isinstance(error, asyncio.CancelledError):
                raise
        else:
            batch.outcomes[index] = result = outcome(answer.status, answer.retry_after, self._clock())
            self._tell(answer, result)

    def _headers(self, wake: Wake, endpoint: Endpoint) -> dict[str, str]:
        """RFC 8030, section 5. No Topic: a later push would take the place of an undelivered ring without a word."""
        return {
            "Authorization": self._vapid.authorization(endpoint.origin),
            "Content-Encoding": "aes128gcm",
            # 0 would ask the push service to drop it unless the browser listens at this moment.
            "TTL": str(max(1, wake.remaining(self._clock()) // timedelta(seconds=1))),
            "Urgency": "high" if wake.type in _URGENT else "normal",
        }

    async def _in_thread(self, work: Callable[[], T]) -> T:
        async with self._turn:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _drop(self, batch: _Batch, index: int) -> None:
        batch.outcomes[index] = _FAILED
        push_dropped.labels("webpush", batch.wake.type.value).inc()

    def _is_over(self, wake: Wake) -> bool:
        return self._clock() >= wake.expires_at

    def _tell(self, answer: Answer, result: PushOutcome) -> None:
        """An operator. Never the endpoint: it is a key to somebody's browser."""
        event = _TELL.get(result.result)
        if event is not None:
            self._say(event, status=answer.status)

    def _failed(self, error: Exception) -> None:
        self._say("web push failed", error=type(error).__name__)

    def _say(self, event: str, **details: str | int) -> None:
        if self._seldom.may_say(event):
            log.error(event, **details)


_NOTHING_SENT = PushOutcome(PushResult.RETRY_LATER)
_UNKNOWN = PushOutcome(PushResult.UNKNOWN)
_FAILED = PushOutcome(PushResult.FAILED)
_TELL = {
    PushResult.QUARANTINED: "a push service refuses us: was the browser subscribed with another VAPID key?",
    PushResult.FAILED: "a push service does not understand what we send",
    PushResult.THROTTLED: "a push service says that we send too much",
}
