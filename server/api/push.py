"""What a browser needs to know to be woken: `GET /v1/push/key`."""

from __future__ import annotations

from server.errors import not_found
from server.http_messages import PushKeyReply
from server.routing import Exchange, Route


class PushApi:
    """`vapid_public_key`: base64url of the uncompressed point; None where web push is not set up."""

    def __init__(self, vapid_public_key: str | None) -> None:
        self._key = vapid_public_key

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/v1/push/key",
                self.key,
                reply=PushKeyReply,
                errors=("not_found",),
                summary="The applicationServerKey to subscribe a browser with; 404 where there is no web push",
            )
        ]

    async def key(self, exchange: Exchange[None]) -> PushKeyReply:
        if self._key is None:
            raise not_found()
        return PushKeyReply(self._key)
