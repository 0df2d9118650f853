"""Wakes and push targets made of defaults."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID, uuid4

from matching.model import WithdrawReason
from matching.waking import PushTarget, Wake, WakeType

SENT = datetime(2026, 11, 23, 12, 0, 0, 123_456, tzinfo=UTC)
REQUEST = UUID("00000000-0000-4000-8000-000000a1b2c3")


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


def target(
    value: str = "phone",
    platform: Literal["ios", "android", "web"] = "android",
    languages: tuple[str, ...] = ("en",),
) -> PushTarget:
    return PushTarget(uuid4(), "fcm", value, None, platform, languages)
