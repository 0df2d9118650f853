"""What an answer of FCM means, after its page "ErrorCode". Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from infra.posting import Answer
from infra.retry_after import retry_after
from matching.waking import PushOutcome, PushResult

THROTTLED_AT_LEAST = timedelta(seconds=60)
"""FCM: after 429 wait for what Retry-After says, and a minute when it says nothing."""

_FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


class _Sent(msgspec.Struct):
    name: str


class _Error(msgspec.Struct):
    status: str = ""
    details: list[Mapping[str, Any]] = []


class _Refused(msgspec.Struct):
    error: _Error


_decode_sent = msgspec.json.Decoder(_Sent).decode
_decode_refused = msgspec.json.Decoder(_Refused).decode


def outcome(answer: Answer, now: datetime) -> PushOutcome:
    """What came of it. A 401 is the caller's business first: here it is one that a fresh token did not help."""
    status = answer.status
    if status == 200:
        return _DELIVERED if _is_sent(answer.body) else _UNKNOWN
    code = error_code(answer.body)
    if code == "UNREGISTERED" or (status == 404 and code):
        return PushOutcome(PushResult.UNREGISTERED)
    if status == 403:
        return PushOutcome(PushResult.QUARANTINED)
    wait = retry_after(answer.retry_after, now)
    if status == 429:
        return PushOutcome(PushResult.THROTTLED, max(wait or THROTTLED_AT_LEAST, THROTTLED_AT_LEAST))
    if status == 401 or status >= 500:
        return PushOutcome(PushResult.RETRY_LATER, wait)
    return PushOutcome(PushResult.FAILED)


_DELIVERED = PushOutcome(PushResult.DELIVERED)
_UNKNOWN = PushOutcome(PushResult.UNKNOWN)


def error_code(body: bytes) -> str:
    """FCM's error code, else the API's status, else nothing: then it is no answer of Google's."""
    try:
        error = _decode_refused(body).error
    except (msgspec.DecodeError, msgspec.ValidationError):
        return ""
    codes = (detail.get("errorCode") for detail in error.details if detail.get("@type") == _FCM_ERROR)
    return next((code for code in codes if isinstance(code, str)), error.status)


def _is_sent(body: bytes) -> bool:
    try:
        return bool(_decode_sent(body).name)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return False
