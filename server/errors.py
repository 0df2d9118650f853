"""The errors of the HTTP boundary, and the one shape they are answered in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong: `code` for the app, `message` for its developer."""

    code: str
    message: str
    retryable: bool
    details: dict[str, Any] | None = None


class ErrorEnvelope(msgspec.Struct, frozen=True):
    """The body of every answer that is an error."""

    error: ErrorBody


class ApiError(Exception):
    """The caller is told `code`; raised anywhere below an HTTP handler, answered as an `ErrorEnvelope`.

    `message` is for a developer and never quotes what the caller sent. `retryable`: the same call may succeed later.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        retryable: bool = False,
        details: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.retryable = retryable
        self.details = details
        self.retry_after_s = retry_after_s

    def envelope(self) -> ErrorEnvelope:
        details = dict(self.details) if self.details is not None else None
        return ErrorEnvelope(ErrorBody(code=self.code, message=self.message, retryable=self.retryable, details=details))


def invalid_body(field: str, problem: str) -> ApiError:
    """400: `field` is a path such as `languages[2]` or `device.platform`; empty for the body as a whole."""
    message = f"{field}: {problem}" if field else problem
    return ApiError(400, "invalid_body", message, details={"field": field})


def not_found() -> ApiError:
    """404, also for what exists but is not the caller's."""
    return ApiError(404, "not_found", "there is no such thing, or it is not yours")


def unauthorized() -> ApiError:
    return ApiError(401, "unauthorized", "sign in, or refresh the access token")


def suspended() -> ApiError:
    return ApiError(403, "suspended", "this account is suspended")


def wrong_role(role: str) -> ApiError:
    return ApiError(403, "wrong_role", f"only a {role} may call this")


def not_allowed() -> ApiError:
    return ApiError(403, "not_allowed", "this needs an admin role you do not have")


def not_for_probes() -> ApiError:
    """403 as well: what would bring a probe together with people."""
    return ApiError(403, "not_allowed", "a probe may not do this")


def limit_reached() -> ApiError:
    """409: there are as many of these as there may be."""
    return ApiError(409, "limit_reached", "there are as many of these as there may be")


def too_large() -> ApiError:
    return ApiError(413, "too_large", "the body is over 64 KiB")


def too_fast(retry_after_s: float) -> ApiError:
    return ApiError(429, "too_fast", "too many calls, wait a little", retryable=True, retry_after_s=retry_after_s)


def unavailable(request_id: str, *, status: int = 503) -> ApiError:
    """Our own failure; `request_id` finds its line in the log. 500: a mistake of ours, 503: something is away."""
    message = "this failed on our side and may be tried again"
    return ApiError(status, "unavailable", message, retryable=True, details={"request_id": request_id}, retry_after_s=1)


STATUS_OF_CODE = {
    "invalid_body": 400,
    "unauthorized": 401,
    "suspended": 403,
    "wrong_role": 403,
    "not_allowed": 403,
    "not_found": 404,
    "role_set": 409,
    "too_large": 413,
    "idempotency_mismatch": 422,
    "too_fast": 429,
    "unavailable": 503,
}
"""For the reference; every other code of the contract is a 409."""
