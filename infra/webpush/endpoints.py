"""Where a subscription's endpoint is, if it is one of a known push service: nothing else is ever posted to. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from yarl import URL

HTTPS_PORT = 443
_TEXT = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint, ready to be posted to."""

    origin: str
    """`https://host` of the push service: whom VAPID speaks to (RFC 6454, 6.2)."""
    url: URL
    """Where to post: the endpoint itself, or its place at the stand-in."""


class Endpoints:
    """Reads endpoints by one rule of what is allowed."""

    def __init__(self, is_allowed: Callable[[str], bool], via: str | None = None) -> None:
        """`via`: a base URL that gets every post in place of the push service, as `{via}/{host}{path}`."""
        self._is_allowed = is_allowed
        self._via = via.rstrip("/") if via else None

    def read_all(self, values: Sequence[str]) -> list[Endpoint | None]:
        """20 us each."""
        return [self.read(value) for value in values]

    def read(self, value: str) -> Endpoint | None:
        """None for what is not to be posted to."""
        # A control character could end the request's first line.
        if not _TEXT.fullmatch(value):
            return None
        try:
            if not self._is_allowed(value):
                return None
            # Verbatim: whoever made the path may compare it byte by byte.
            url = URL(value, encoded=True)
            host = (url.raw_host or "").lower()
            # Two parsers judge: what one allows the other must not take for another host.
            same = host == urlsplit(value).hostname and url.scheme == "https"
        except ValueError:
            return None
        if not host or not same:
            return None
        port = url.port or HTTPS_PORT
        origin = f"https://{host}" if port == HTTPS_PORT else f"https://{host}:{port}"
        base = origin if self._via is None else f"{self._via}/{host}"
        return Endpoint(origin, URL(base + url.raw_path_qs, encoded=True))
