"""What a node counts about the pushes it sends (Prometheus), for every provider. Labels never say to whom.

`provider` is `fcm` or `webpush`; `type` is a `matching.waking.WakeType`.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable

from prometheus_client import Counter, Histogram

from matching.waking import PushOutcome, WakeType

push_answers = Counter(
    "eyeline_push_answers_total",
    'Attempts begun, by the provider\'s HTTP status; "unknown" when no answer could be read',
    ["provider", "answer"],
)
push_results = Counter(
    "eyeline_push_results_total",
    "What came of each push asked for, by matching.waking.PushResult",
    ["provider", "type", "result"],
)
push_dropped = Counter(
    "eyeline_push_dropped_total",
    "Pushes not attempted because what they say was over by then; among the failed results too",
    ["provider", "type"],
)
push_seconds = Histogram(
    "eyeline_push_seconds",
    "From an attempt's first byte to the provider's answer",
    ["provider"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 2.5),
)


def count_results(provider: str, type_: WakeType, outcomes: Iterable[PushOutcome]) -> None:
    """Of one push."""
    for result, count in collections.Counter(one.result for one in outcomes).items():
        push_results.labels(provider, type_.value, result.value).inc(count)
