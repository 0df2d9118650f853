"""Turns everything that goes wrong before an answer into the contract's envelope, and logs our own failures once.

A log line has the route's template, the kind of error and where it was raised: never the error's text, which may quote
what somebody sent or who they are.
"""

from __future__ import annotations

import math
import secrets
import time
import traceback
from pathlib import Path

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from server.errors import ApiError, invalid_body, not_found, too_large, unavailable
from server.metrics import http_seconds

FRAMES_LOGGED = 8

log = structlog.get_logger()


class FailureReports:
    """The outermost middleware. `outages`: errors that say something is away (503); any other is a mistake of ours."""

    def __init__(self, outages: tuple[type[BaseException], ...] = ()) -> None:
        self._outages = (*outages, TimeoutError, ConnectionError)

    @property
    def middleware(self) -> Middleware:
        @web.middleware
        async def envelopes(request: web.Request, handler: Handler) -> web.StreamResponse:
            started = time.monotonic()
            try:
                response = await handler(request)
            except ApiError as error:
                response = error_response(error)
            except web.HTTPException as error:
                response = _from_framework(error)
            except Exception as error:
                response = error_response(self._reported(request, error))
            _count(request, response, time.monotonic() - started)
            return response

        return envelopes

    def _reported(self, request: web.Request, error: Exception) -> ApiError:
        request_id = secrets.token_hex(8)
        away = isinstance(error, self._outages)
        log.error(
            "call failed",
            http_request=request_id,
            method=request.method,
            route=_route(request),
            error=type(error).__name__,
            outage=away,
            where=where_raised(error),
        )
        return unavailable(request_id, status=503 if away else 500)


def _route(request: web.Request) -> str:
    """The route's template; empty for a path or a method that nobody serves."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


def _count(request: web.Request, response: web.StreamResponse, took_s: float) -> None:
    if isinstance(response, web.WebSocketResponse):
        return
    route = _route(request)
    # A client can make up methods, and each label of its own would be kept for ever.
    http_seconds.labels(request.method if route else "", route, response.status).observe(took_s)


def error_response(error: ApiError) -> web.Response:
    """The error as an answer: envelope, `Retry-After` in whole seconds, and nothing to be kept by caches."""
    headers = {"Cache-Control": "no-store"}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"  # RFC 6750, section 3
    body = msgspec.json.encode(error.envelope())
    return web.Response(body=body, status=error.status, headers=headers, content_type="application/json")


def where_raised(error: BaseException) -> list[str]:
    """The innermost frames, outermost first, as `file.py:12 function`."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_LOGGED:]
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]


def _from_framework(error: web.HTTPException) -> web.StreamResponse:
    """aiohttp's own answers in our shape; redirects and other successes pass."""
    if error.status < 400:
        return error
    if isinstance(error, web.HTTPMethodNotAllowed):
        response = error_response(ApiError(405, "not_found", "this path has no such method"))
        response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        return response
    if error.status == 413:
        return error_response(too_large())
    if error.status == 404:
        return error_response(not_found())
    return error_response(invalid_body("", "this is not a request we understand"))
