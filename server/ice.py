"""ICE servers for one side of one call, with short-lived TURN credentials.

TURN REST credentials as coturn's `use-auth-secret` checks them: user `<unix expiry>:<opaque id>`, password
base64(HMAC-SHA1(secret, user)) (draft-uberti-behave-turn-rest-00).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

from server.views import IceServer


@dataclass(frozen=True, slots=True)
class IceAnswer:
    """What goes into RTCConfiguration, and until when new allocations can be made with it."""

    servers: list[IceServer]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class IceServers:
    """The deployment's STUN and TURN servers."""

    stun_urls: Sequence[str]
    turn_urls: Sequence[str]
    turn_secret: str | None
    life: timedelta
    policy: Literal["all", "relay"]

    def for_side(self, call_id: UUID, side: str, now: datetime) -> IceAnswer:
        """Fresh credentials; the opaque name tells the TURN server nothing about the person."""
        # Whole seconds, rounded up, as the TURN user name carries them.
        expires_at = datetime.fromtimestamp(-int(-(now + self.life).timestamp() // 1), UTC)
        servers = [IceServer(urls=list(self.stun_urls))] if self.stun_urls else []
        if self.turn_urls and self.turn_secret is not None:
            secret = self.turn_secret.encode()
            opaque = hmac.new(secret, f"{call_id}:{side}".encode(), hashlib.sha256).hexdigest()[:16]
            username = f"{int(expires_at.timestamp())}:{opaque}"
            digest = hmac.new(secret, username.encode(), hashlib.sha1).digest()
            credential = base64.b64encode(digest).decode()
            servers.append(IceServer(urls=list(self.turn_urls), username=username, credential=credential))
        return IceAnswer(servers, expires_at)
