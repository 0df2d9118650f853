"""What both boundaries (HTTP and socket) show of requests, offers, calls and people: the contract's shared objects."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import msgspec

Mode = Literal["video", "voice", "text"]
EndBy = Literal["me", "them", "system"]


class RequestView(msgspec.Struct, frozen=True, kw_only=True):
    """A request for help, as its requester sees it."""

    id: UUID
    state: Literal["waiting", "connecting", "in_call", "ended"]
    outcome: Literal["completed", "cancelled", "expired", "failed"] | None
    languages: list[str]
    topic: str | None
    mode: Mode
    created_at: str
    deadline: str
    epoch: int
    asked: int
    call_id: UUID | None


class OfferView(msgspec.Struct, frozen=True, kw_only=True):
    """An open offer, as the volunteer asked sees it."""

    request_id: UUID
    epoch: int
    language: str
    topic: str | None
    mode: Mode
    waiting_since: str
    expires_at: str
    expires_in_ms: int


class IceServer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry of RTCConfiguration.iceServers (W3C WebRTC)."""

    urls: list[str]
    username: str | None = None
    credential: str | None = None


class CallView(msgspec.Struct, frozen=True, kw_only=True):
    """A call, as one of its two sides sees it. The other person is never named."""

    id: UUID
    request_id: UUID
    epoch: int
    attempt: int
    kind: Literal["help", "practice"]
    """`practice`: the other side is the server's own phone. There is no request: `request_id` is the call's own id."""
    side: Literal["requester", "volunteer"]
    polite: bool
    mode: Mode
    state: Literal["connecting", "connected", "reconnecting", "ended"]
    end_reason: str | None
    end_by: EndBy | None
    language: str
    ice_servers: list[IceServer]
    ice_expires_at: str | None
    ice_policy: Literal["all", "relay"]
    started_at: str
    version: int
    """Grows with every change of the call: a reply that a message of the socket overtook is the older of both."""
    here: bool = True
    """Whether the session that asks is the one in the call; messages come to that one only."""


class UserView(msgspec.Struct, frozen=True, kw_only=True):
    """The person signed in, as they see themselves."""

    id: UUID
    role: Literal["requester", "volunteer"] | None
    admin_roles: list[str]
    display_name: str | None
    languages: list[str]
    time_zone: str
    status: Literal["active", "held", "suspended"]


def timestamp(moment: datetime) -> str:
    """RFC 3339 UTC with milliseconds, the contract's only form of a time."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
