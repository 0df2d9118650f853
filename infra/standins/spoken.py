"""One line for people about a push message, as `eyeline dev` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

_PHONES = {"android": "android phone", "apns": "iPhone", "webpush": "browser"}


def line(message: Mapping[str, Any], now: datetime) -> str:
    """Which kind of device, and what it was told: `android phone: ring for request ..a1b2c3 (da), 29 s left`."""
    phone = next((name for block, name in _PHONES.items() if block in message), "device")
    data: Mapping[str, str] = message.get("data", {})
    what = f"{phone}: {data.get('type', 'message')} for request ..{data.get('request_id', '')[-6:]}"
    if "reason" in data:
        return f'{what}, "{data["reason"]}"'
    left = f", {_left_s(data['expires_at'], now)} s left" if "expires_at" in data else ""
    return f"{what} ({data.get('language', '?')}){left}"


def _left_s(expires_at: str, now: datetime) -> int:
    return max(0, int((datetime.fromisoformat(expires_at) - now).total_seconds()))
