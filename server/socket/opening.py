"""What has to be right before a socket opens, while the call is still plain HTTP; the same for every socket."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from aiohttp import web

from server.errors import ApiError

SUBPROTOCOL = "eyeline.v1"


def check_opening(request: web.Request, origins: Collection[str]) -> None:
    """Raises `ApiError`. `origins`: whose pages may open it besides this host's own, in lower case."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise ApiError(426, "invalid_body", "this is a WebSocket endpoint")
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    if SUBPROTOCOL not in (name.strip() for name in offered.split(",")):
        raise ApiError(400, "invalid_body", f"the subprotocol {SUBPROTOCOL} is required")
    if not _origin_is_good(request, origins):
        raise ApiError(403, "not_allowed", "pages of this origin may not open a socket")


def _origin_is_good(request: web.Request, origins: Collection[str]) -> bool:
    """Browsers always say where a page is from (RFC 6455 section 10.2); native apps say nothing."""
    origin = request.headers.get("Origin")
    if origin is None or origin.lower() in origins:
        return True
    return urlsplit(origin).netloc.lower() == request.host.lower() != ""
