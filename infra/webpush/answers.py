"""What the answer of a push service means (RFC 8030, and what Mozilla, Google, Apple and Microsoft say). Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from infra.retry_after import retry_after
from matching.waking import PushOutcome, PushResult

THROTTLED_AT_LEAST = timedelta(seconds=60)

_OF_STATUS = {
    200: PushResult.DELIVERED,
    201: PushResult.DELIVERED,
    202: PushResult.DELIVERED,
    401: PushResult.QUARANTINED,
    403: PushResult.QUARANTINED,
    404: PushResult.UNREGISTERED,
    410: PushResult.UNREGISTERED,
}


def outcome(status: int, header: str | None, now: datetime) -> PushOutcome:
    """`header`: Retry-After, if any."""
    if status == 429:
        wait = retry_after(header, now) or THROTTLED_AT_LEAST
        return PushOutcome(PushResult.THROTTLED, max(wait, THROTTLED_AT_LEAST))
    if status >= 500:
        return PushOutcome(PushResult.RETRY_LATER, retry_after(header, now))
    # Another success than those of the RFC says nothing about whether it was taken.
    other = PushResult.UNKNOWN if 200 <= status < 300 else PushResult.FAILED
    return PushOutcome(_OF_STATUS.get(status, other))
