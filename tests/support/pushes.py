"""Wakes and push targets made of defaults, and what is seen of pushes: their outcomes and what they are counted as."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID, uuid4

from prometheus_client import REGISTRY

from matching.model import WithdrawReason
from matching.waking import PushOutcome, PushResult, PushTarget, Wake, WakeType

SENT = datetime(2026, 11, 23, 12, 0, 0, 123_456, tzinfo=UTC)
REQUEST = UUID("00000000-0000-4000-8000-000000a1b2c3")

RING_DATA: Mapping[str, str] = {
    "v": "1",
    "type": "ring",
    "request_id": str(REQUEST),
    "epoch": "3",
    "language": "da",
    "sent_at": "2026-11-23T12:00:00.123Z",
    "expires_at": "2026-11-23T12:00:30.123Z",
}
"""What the apps are told by `wake()`."""
URGENCIES = [
    (WakeType.RING, "high"),
    (WakeType.WITHDRAW, "high"),
    (WakeType.MISSED, "normal"),
    (WakeType.SOMEONE_FREE, "normal"),
]
"""What Android calls a priority and RFC 8030 an urgency, of each type."""


def wake(
    type_: WakeType = WakeType.RING,
    *,
    sent_at: datetime = SENT,
    life_s: float = 30,
    reason: WithdrawReason | None = None,
    language: str = "da",
) -> Wake:
    if type_ is WakeType.WITHDRAW and reason is None:
        reason = WithdrawReason.ANSWERED
    return Wake(type_, REQUEST, 3, language, sent_at, sent_at + timedelta(seconds=life_s), reason)


def ring(type_: WakeType = WakeType.RING, *, life_s: float = 30) -> Wake:
    """Sent now."""
    return wake(type_, sent_at=datetime.now(UTC), life_s=life_s)


def target(
    value: str = "phone",
    platform: Literal["ios", "android", "web"] = "android",
    languages: tuple[str, ...] = ("en",),
) -> PushTarget:
    return PushTarget(uuid4(), "fcm", value, None, platform, languages)


def results(outcomes: Sequence[PushOutcome]) -> Counter[PushResult]:
    return Counter(outcome.result for outcome in outcomes)


class Clock:
    """The real time, moved by a test."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Counted:
    """What the metrics of a provider's pushes have grown by since it was made."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._before = self._now()

    def answers(self) -> Mapping[str, float]:
        return self._grown("eyeline_push_answers_total", "answer")

    def results(self) -> Mapping[str, float]:
        return self._grown("eyeline_push_results_total", "result")

    def dropped(self) -> float:
        return sum(self._grown("eyeline_push_dropped_total", "type").values())

    def timed(self) -> float:
        return sum(self._grown("eyeline_push_seconds_count", "provider").values())

    def _grown(self, name: str, label: str) -> Mapping[str, float]:
        grown: dict[str, float] = {}
        for (found, labels), value in self._now().items():
            if found == name and (by := value - self._before.get((found, labels), 0)):
                key = dict(labels)[label]
                grown[key] = grown.get(key, 0) + by
        return grown

    def _now(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for metric in REGISTRY.collect()
            if metric.name.startswith("eyeline_push")
            for sample in metric.samples
            if sample.labels.get("provider") == self._provider and not sample.name.endswith("_bucket")
        }
