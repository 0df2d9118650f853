"""What the stand-in of the push services is told to answer."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Act(StrEnum):
    """One way to answer a push that is in order."""

    OK = "ok"
    """201."""
    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    """401, though the signature is good."""
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    GONE = "gone"
    """410: the person took the permission back."""
    TOO_MANY = "too_many"
    """429."""
    INTERNAL = "internal"
    """500."""
    UNAVAILABLE = "unavailable"
    """503."""
    REDIRECT = "redirect"
    """307, to another address of the stand-in."""
    HANG = "hang"
    """No answer for as long as the connection lasts."""
    RESET = "reset"
    """The connection breaks before an answer."""


STATUS: Mapping[Act, int] = {
    Act.OK: 201,
    Act.BAD_REQUEST: 400,
    Act.UNAUTHORIZED: 401,
    Act.FORBIDDEN: 403,
    Act.NOT_FOUND: 404,
    Act.GONE: 410,
    Act.TOO_MANY: 429,
    Act.INTERNAL: 500,
    Act.UNAVAILABLE: 503,
    Act.REDIRECT: 307,
}
