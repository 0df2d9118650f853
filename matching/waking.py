"""Waking people whose app is closed: what is said to a device about an offer, and what came of saying it.

Whoever delivers it sees a type, ids, the call's language and times: nothing about either person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, Protocol
from uuid import UUID

from matching.model import WithdrawReason


class WakeType(StrEnum):
    """The contract's push types."""

    RING = "ring"
    WITHDRAW = "withdraw"
    """A ring is over for another reason than that it ran out: it is replaced by a quiet line."""
    MISSED = "missed"
    """A ring ran out: as `WITHDRAW`, in no hurry."""
    SOMEONE_FREE = "someone_free"
    """To a requester who wanted to be told."""


@dataclass(frozen=True, slots=True)
class Wake:
    """One message about one request, for any number of devices."""

    type: WakeType
    request_id: UUID
    epoch: int
    language: str
    """Of the call, BCP 47."""
    sent_at: datetime
    expires_at: datetime
    """Not sent, and not shown, from then on."""
    reason: WithdrawReason | None = None
    """Of a withdrawal."""

    def remaining(self, now: datetime) -> timedelta:
        return max(self.expires_at - now, timedelta(0))


class TextKey(StrEnum):
    """The words a wake is shown with; each is a title and a body in the catalogues."""

    RING = "ring"
    ANSWERED = "answered"
    ANSWERED_BY_YOU = "answered_by_you"
    NO_LONGER_NEEDED = "no_longer_needed"
    NOT_RINGING = "not_ringing"
    """They said not now on another device; others are being asked."""
    MISSED = "missed"
    SOMEONE_FREE = "someone_free"


_OF_WITHDRAWAL: Mapping[WithdrawReason | None, TextKey] = {
    WithdrawReason.ANSWERED: TextKey.ANSWERED,
    WithdrawReason.ANSWERED_BY_YOU: TextKey.ANSWERED_BY_YOU,
    WithdrawReason.UNAVAILABLE: TextKey.NOT_RINGING,
    WithdrawReason.EXPIRED: TextKey.MISSED,
}


def text_key(wake: Wake) -> TextKey:
    """Words that are true."""
    if wake.type is WakeType.WITHDRAW:
        return _OF_WITHDRAWAL.get(wake.reason, TextKey.NO_LONGER_NEEDED)
    return TextKey(wake.type.value)


@dataclass(frozen=True, slots=True)
class PushText:
    """What a person reads, in their first language that there is a catalogue of."""

    title: str
    body: str
    language: str
    """Of these words, BCP 47."""
    direction: Literal["ltr", "rtl"]
    call_language: str
    """The call's language by its name in `language`: "Danish"."""


class PushWords(Protocol):
    """Renders texts; implemented over the catalogues."""

    def text(self, key: TextKey, call_language: str, languages: Sequence[str]) -> PushText:
        """`languages`: of the person, most wanted first. Never raises: the fallback is English."""

    def answers(self, languages: Sequence[str]) -> tuple[str, str]:
        """The labels of the two buttons of a ring: Answer, Not now."""


@dataclass(frozen=True, slots=True)
class PushTarget:
    """One push value of one device."""

    id: UUID
    """Of the stored value; outcomes are about it."""
    kind: Literal["fcm", "webpush"]
    value: str = field(repr=False)
    keys: Mapping[str, str] | None = field(repr=False)
    """Of a web push subscription: `p256dh`, `auth`, base64url."""
    platform: Literal["ios", "android", "web"]
    languages: tuple[str, ...]
    """Of the person, most wanted first."""


class PushResult(StrEnum):
    """What came of one attempt at one device."""

    DELIVERED = "delivered"
    """The provider took it."""
    UNREGISTERED = "unregistered"
    """The value is no more: forget it, if it is still the one stored."""
    QUARANTINED = "quarantined"
    """The provider refuses us for this value: leave it alone, and tell an operator."""
    THROTTLED = "throttled"
    """Too much was sent; `retry_after` says when more may be. Too late for a ring."""
    RETRY_LATER = "retry_later"
    """The provider has trouble and did not take it."""
    UNKNOWN = "unknown"
    """No answer that can be read: it may have been taken. Tried again, and withdrawn."""
    FAILED = "failed"
    """Refused for good, by the provider or by ourselves."""


@dataclass(frozen=True, slots=True)
class PushOutcome:
    """The result, and how long the provider wants to be left alone."""

    result: PushResult
    retry_after: timedelta | None = None

    @property
    def may_have_arrived(self) -> bool:
        return self.result in (PushResult.DELIVERED, PushResult.UNKNOWN)


class Pusher(Protocol):
    """A way to wake devices: one adapter per kind of value."""

    async def push(self, wake: Wake, targets: Sequence[PushTarget]) -> list[PushOutcome]:
        """One attempt at each target, side by side; one outcome each, in order.

        Never raises but when cancelled: one bad answer costs no other target its outcome. Ends within the adapter's
        deadline, and begins no attempt at or after `wake.expires_at`.
        """


@dataclass(frozen=True, slots=True)
class DueWake:
    """One person's devices to be told something now, claimed by this node for a while."""

    wake: Wake
    person_id: UUID
    wave: int
    tries: int
    """Which attempt this is, counted from 1: what another node does after the claim has ended is another one."""
    targets: tuple[PushTarget, ...]
    rung_before: frozenset[UUID]
    """Push values that took a ring in an earlier attempt, or may have."""
    reached: bool
    """Whether one of them certainly did."""


@dataclass(frozen=True, slots=True)
class WakeReport:
    """What an attempt came to, and whether there is another."""

    due: DueWake
    not_taken: frozenset[UUID]
    """Push values that certainly did not take it, now or before: nothing needs to be withdrawn there."""
    again: frozenset[UUID]
    """Push values to try once more, at `again_at`."""
    again_at: datetime | None
    reached: bool
    """Some device took it."""

    @property
    def given_up(self) -> bool:
        """Somebody should have been reached in another attempt, and there is no time left for one."""
        return bool(self.again) and self.again_at is None


URGENT_WAVES = 2
"""In these, devices unseen for a month are left in peace: they would only use up places."""

TRY_AGAIN = (timedelta(seconds=0.5), timedelta(seconds=4))
"""Pause before the second attempt, doubled each time, and the longest."""
QUIET_TRIES = timedelta(minutes=2)
"""How long it is tried to replace a ring that is over: later the app knows by itself, by `expires_at`."""
QUIET_LIFE = timedelta(hours=1)
"""How long a provider may keep a quiet line for a phone out of reach: the ring on its screen stays that long."""

_TRY_AGAIN = {PushResult.RETRY_LATER, PushResult.UNKNOWN}


def report(due: DueWake, outcomes: Mapping[UUID, PushOutcome], now: datetime, jitter: float) -> WakeReport:
    """Judge one attempt. `outcomes` by target; `jitter` from 0 to 1 spreads the next attempts of many.

    A ring is tried again within its life, by devices that could not be asked or did not answer. What is throttled is
    too late for a ring, and waits for its time in a quiet line.
    """
    ring = due.wake.type is WakeType.RING
    results = {target: outcome.result for target, outcome in outcomes.items()}
    not_taken = {target for target, outcome in outcomes.items() if not outcome.may_have_arrived} - due.rung_before
    repeatable = _TRY_AGAIN if ring else _TRY_AGAIN | {PushResult.THROTTLED}
    again = {target for target, result in results.items() if result in repeatable}
    wait = _pause(due.tries, jitter)
    asked_for = [outcomes[target].retry_after or timedelta(0) for target in again]
    again_at = now + max([wait, *asked_for])
    quiet = due.wake.type in (WakeType.WITHDRAW, WakeType.MISSED)
    last = due.wake.expires_at - QUIET_LIFE + QUIET_TRIES if quiet else due.wake.expires_at
    return WakeReport(
        due=due,
        not_taken=frozenset(not_taken),
        again=frozenset(again),
        again_at=again_at if again and again_at < last else None,
        reached=due.reached or PushResult.DELIVERED in results.values(),
    )


def _pause(tries: int, jitter: float) -> timedelta:
    first, longest = TRY_AGAIN
    doubled: timedelta = first * 2 ** min(tries - 1, 10)
    return min(doubled, longest) * (0.5 + jitter)


class WakeBook(Protocol):
    """Which devices are to be told what, as committed facts. Every method is one transaction."""

    async def claim(self, request_id: UUID, lease: timedelta) -> list[DueWake]:
        """Everything due for this request and in nobody's hands; in this node's until `lease` is over.

        From here on every target counts as one that may have been rung.
        """

    async def report(self, request_id: UUID, reports: Sequence[WakeReport]) -> bool:
        """Write what came of a claim; what was claimed again since is left as it is.

        True: somebody who was asked knows nothing of it, so that others are to be asked.
        """

    async def settle(self, outcomes: Mapping[UUID, PushOutcome], sent_at: datetime) -> list[UUID]:
        """Forget push values that are no more (unless put again since), leave refused and throttled ones alone.

        The people who may not be reachable any more.
        """
