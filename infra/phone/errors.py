"""What can go wrong on the phone's side of the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class PhoneError(Exception):
    """Something the phone was asked to do did not happen."""


class ServerUnreachable(PhoneError):
    """No answer from the server within the deadline. Whether it acted is unknown."""


class ApiError(PhoneError):
    """The server refused an HTTP call, in the contract's `{"error": {...}}`."""

    def __init__(self, status: int, code: str, message: str, *, retryable: bool, details: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.retryable = retryable
        self.details = details
        self.retry_after_s: float | None = None


class FrameRefused(PhoneError):
    """The server answered a frame with `error`, or the phone gave the frame up (`code` says which)."""

    def __init__(
        self, code: str, message: str = "", *, retryable: bool = False, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.retryable = retryable
        self.details = details or {}


class PhoneStopped(PhoneError):
    """The phone will not come back by itself: closed here, signed out, suspended, or used elsewhere."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"stopped: {reason}")
        self.reason = reason
