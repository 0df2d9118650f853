"""Asks a TURN server for a relayed address, as a phone would, and gives it back at once."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import Literal, Self
from urllib.parse import urlsplit

from aioice.stun import TransactionFailed
from aioice.turn import TurnTransport, create_turn_endpoint

UNAUTHORIZED = 401
"""RFC 8489, section 14.8."""
_TRANSPORTS: dict[str, Literal["udp", "tcp"]] = {"transport=udp": "udp", "transport=tcp": "tcp"}


@dataclass(frozen=True, slots=True)
class TurnUri:
    """A `turn:` or `turns:` URI (RFC 7065)."""

    host: str
    port: int
    transport: Literal["udp", "tcp"]
    secure: bool

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Raises ValueError."""
        scheme, _, rest = uri.partition(":")
        parts = urlsplit(f"//{rest}")
        secure = scheme == "turns"
        usual = "transport=tcp" if secure else "transport=udp"
        transport = _TRANSPORTS.get(parts.query or usual)
        if not parts.hostname or parts.path or scheme not in ("turn", "turns") or transport is None:
            raise ValueError(f"{uri} is no TURN URI")
        if secure and transport == "udp":
            raise ValueError(f"{uri} is TURN over DTLS, which browsers do not speak")
        return cls(parts.hostname, parts.port or (5349 if secure else 3478), transport, secure)


async def relayed_address(uri: str, username: str, credential: str, tls: ssl.SSLContext) -> str:
    """The address of an allocation (RFC 8656, section 7), which is deleted again. The caller has the deadline.

    Raises ValueError for what is no TURN URI, PermissionError when the credentials are refused, ConnectionError when
    anything else is, and OSError, `ssl.SSLError` among them, when the server cannot be reached.
    """
    turn = TurnUri.parse(uri)
    try:
        transport, ear = await create_turn_endpoint(
            _Ear,
            (turn.host, turn.port),
            username,
            credential,
            ssl=tls if turn.secure else None,
            transport=turn.transport,
        )
    except TransactionFailed as error:
        code, reason = error.response.attributes.get("ERROR-CODE", (None, "without a reason"))
        refusal = PermissionError if code == UNAUTHORIZED else ConnectionError
        raise refusal(f"{code} {reason}") from error
    return await _let_go(transport, ear)


async def _let_go(transport: TurnTransport, ear: _Ear) -> str:
    address: str = transport.get_extra_info("sockname")[0]
    transport.close()
    await ear.closed
    return address


class _Ear(asyncio.DatagramProtocol):
    """Hears when the allocation is gone."""

    def __init__(self) -> None:
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)
