"""Says to push services who posts (VAPID, RFC 8292): one signed header for each, used for hours.

py_vapid signs; a signature costs more than the rest of a post.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from py_vapid import Vapid02

from infra.webpush.keys import VapidKeys, check_subject

LIFE = timedelta(hours=12)
"""Half of what push services allow, so that a clock may be wrong."""
RENEW_WITHIN = timedelta(hours=2)
_KEPT = 64
"""Headers, by push service: some have a host name for each region, and whoever registers a browser names one."""


class Vapid:
    """Signs for one key pair. Not for several threads at once."""

    def __init__(self, keys: VapidKeys, subject: str, clock: Callable[[], datetime]) -> None:
        """`subject`: a `mailto:` or `https:` contact; ValueError for another. `clock`: aware."""
        self._signer = Vapid02(keys.private, conf={"no-strict": True})
        self._subject = check_subject(subject)
        self._clock = clock
        self._headers: dict[str, tuple[str, datetime]] = {}

    def authorization(self, origin: str) -> str:
        """The Authorization header for a push service, by its `https://host`."""
        now = self._clock()
        header, expires_at = self._headers.get(origin, ("", now))
        # Longer than its life: the clock was set back, and what was signed before may be from the future.
        if not RENEW_WITHIN < expires_at - now <= LIFE:
            expires_at = now + LIFE
            header = self._sign(origin, expires_at)
            self._keep(origin, header, expires_at)
        return header

    def _sign(self, origin: str, expires_at: datetime) -> str:
        claims = {"aud": origin, "exp": int(expires_at.timestamp()), "sub": self._subject}
        header: str = self._signer.sign(claims)["Authorization"]
        return header

    def _keep(self, origin: str, header: str, expires_at: datetime) -> None:
        self._headers.pop(origin, None)
        if len(self._headers) >= _KEPT:
            del self._headers[next(iter(self._headers))]
        self._headers[origin] = (header, expires_at)
