"""Which web push services a subscription may point at: we post to these addresses, so nobody may name others."""

from __future__ import annotations

from urllib.parse import urlsplit

PUSH_HOSTS = frozenset(
    {"fcm.googleapis.com", "jmt17.google.com", "updates.push.services.mozilla.com", "web.push.apple.com"}
)
PUSH_HOST_SUFFIXES = (".push.services.mozilla.com", ".push.apple.com", ".notify.windows.com")


def is_push_endpoint(value: str) -> bool:
    """Whether `value` is an https address at a known push service (RFC 8030), on its usual port."""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    known = host in PUSH_HOSTS or host.endswith(PUSH_HOST_SUFFIXES)
    plain = parts.scheme == "https" and port in (None, 443) and parts.username is None and parts.password is None
    return known and plain and len(parts.path) > 1 and "\\" not in value
