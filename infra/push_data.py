"""What every app is told by a push, whichever provider carries it. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from matching.waking import Wake, WakeType

VERSION = "1"
"""Of the data fields; apps ignore messages of a version they do not know."""


def data(wake: Wake) -> dict[str, str]:
    """What the apps read; strings, as FCM demands. Nothing about either person."""
    fields = {
        "v": VERSION,
        "type": wake.type.value,
        "request_id": str(wake.request_id),
        "epoch": str(wake.epoch),
        "language": wake.language,
        "sent_at": _rfc3339(wake.sent_at),
        "expires_at": _rfc3339(wake.expires_at),
    }
    if wake.type is WakeType.WITHDRAW and wake.reason is not None:
        fields["reason"] = wake.reason.value
    return fields


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
