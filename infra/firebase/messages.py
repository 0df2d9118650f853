"""What FCM is asked to deliver: a wake as a message for each platform, encoded by firebase-admin.

Sources: FCM v1 `projects.messages`, Apple's "Sending notification requests to APNs", RFC 8030. A ring can only be
replaced, not recalled, so that whatever ends one is itself a message: on iOS under the same collapse id, on Android
and the web by the app, from the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from firebase_admin import messaging

from infra.push_data import data
from matching.waking import PushTarget, PushWords, Wake, WakeType, text_key

Platform = Literal["ios", "android", "web"]

_URGENT = frozenset({WakeType.RING, WakeType.WITHDRAW})
_SOMEBODY = "-"
"""Stands for the target while a message is encoded: firebase-admin encodes none without."""


@dataclass(frozen=True, slots=True)
class _Alert:
    """How an iPhone shows one type: Apple's interruption level, whether it is heard, and the APNs priority."""

    level: Literal["passive", "active", "time-sensitive"]
    heard: bool
    priority: Literal[5, 10]


_ALERTS: Mapping[WakeType, _Alert] = {
    WakeType.RING: _Alert("time-sensitive", True, 10),
    # At once: it takes the place of a ring that is on the screen.
    WakeType.WITHDRAW: _Alert("passive", False, 10),
    WakeType.MISSED: _Alert("passive", False, 5),
    WakeType.SOMEONE_FREE: _Alert("active", True, 5),
}


class Bodies:
    """The request bodies of one wake. Encoding takes hundreds of microseconds, so that all targets to whom the same is
    said share it; only the target's value differs."""

    def __init__(self, wake: Wake, words: PushWords) -> None:
        self._wake = wake
        self._words = words
        self._encoded: dict[tuple[Platform, str, int], bytes] = {}
        self._names: dict[tuple[str, ...], str] = {}

    def body(self, target: PushTarget, now: datetime) -> bytes:
        """`{"message": {...}}` as JSON in UTF-8, with the time to live there is left at `now`."""
        # What an iPhone is told ends at a moment, not after a while.
        ttl_s = 0 if target.platform == "ios" else self._wake.remaining(now) // timedelta(seconds=1)
        name = self._call_language(target.languages) if target.platform == "ios" else ""
        key = (target.platform, name, ttl_s)
        rest = self._encoded.get(key)
        if rest is None:
            rest = self._encoded[key] = msgspec.json.encode(_encoded(self._wake, target.platform, name, ttl_s))
        return b'{"message":{"fid":%b,%b}' % (msgspec.json.encode(target.value), rest[1:])

    def _call_language(self, languages: tuple[str, ...]) -> str:
        name = self._names.get(languages)
        if name is None:
            text = self._words.text(text_key(self._wake), self._wake.language, languages)
            name = self._names[languages] = text.call_language
        return name


def _encoded(wake: Wake, platform: Platform, call_language: str, ttl_s: int) -> dict[str, Any]:
    """The message without its target."""
    message = messaging.Message(
        fid=_SOMEBODY,
        data=data(wake),
        android=_android(wake, ttl_s) if platform == "android" else None,
        apns=_apns(wake, call_language) if platform == "ios" else None,
        webpush=_webpush(wake, ttl_s) if platform == "web" else None,
    )
    encoded: dict[str, Any] = messaging._MessagingService.encode_message(message)
    del encoded["fid"]
    return encoded


def _android(wake: Wake, ttl_s: int) -> messaging.AndroidConfig:
    """Data only, and not collapsible: notification messages collapse at 20 a device, then one in 3 minutes."""
    return messaging.AndroidConfig(priority="high" if wake.type in _URGENT else "normal", ttl=timedelta(seconds=ttl_s))


def _apns(wake: Wake, call_language: str) -> messaging.APNSConfig:
    how = _ALERTS[wake.type]
    key = text_key(wake).value
    return messaging.APNSConfig(
        headers={
            "apns-push-type": "alert",
            "apns-priority": str(how.priority),
            # By default Apple keeps trying for 30 days.
            "apns-expiration": str(int(wake.expires_at.timestamp())),
            "apns-collapse-id": str(wake.request_id),
        },
        payload=messaging.APNSPayload(
            messaging.Aps(
                alert=messaging.ApsAlert(title_loc_key=f"{key}_title", loc_key=f"{key}_body", loc_args=[call_language]),
                sound="default" if how.heard else None,
                custom_data={"interruption-level": how.level},
            )
        ),
    )


def _webpush(wake: Wake, ttl_s: int) -> messaging.WebpushConfig:
    """No Topic (RFC 8030): a later message would take the place of an undelivered ring without a word."""
    urgency = "high" if wake.type in _URGENT else "normal"
    return messaging.WebpushConfig(headers={"TTL": str(ttl_s), "Urgency": urgency})
