"""What the socket's frames mean is decided behind this port; `connection.py` and `hub.py` only carry them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from server.auth import Caller
from server.socket.messages import ConversationFrame
from server.views import CallView, OfferView, RequestView, UserView


class FrameError(Exception):
    """A frame that was understood and refused: its sender gets `error` with one of the contract's codes."""

    def __init__(
        self, code: str, message: str, retryable: bool = False, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.details = details


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that one session needs to know to start from nothing."""

    user: UserView
    request: RequestView | None
    offers: list[OfferView]
    call: CallView | None


class Conversation(Protocol):
    """The meaning of one session's frames. Carrier trouble surfaces as `signaling.ports.CarrierUnavailable`."""

    async def snapshot(self, caller: Caller) -> Snapshot:
        """The committed truth for this session, read after its mailbox was claimed."""

    async def attached(self, caller: Caller, owner_epoch: int) -> None:
        """The session has a socket, and its welcome is on the way."""

    async def detached(self, caller: Caller, owner_epoch: int) -> None:
        """The session's socket is gone, and no other node or tab took it over yet.

        One may have by the time this is written down: the higher owner epoch is right, whoever comes last.
        """

    def left(self, session_id: UUID) -> None:
        """A socket of this session is gone from this node, wherever the session lives on: forget what is kept of it."""

    def seen(self, session_id: UUID) -> None:
        """A frame came from this session; called for every one, so cheap."""

    async def delivered(self, caller: Caller, offers: Collection[tuple[UUID, int]]) -> None:
        """The client acknowledged these offers, as (request id, epoch)."""

    async def handle(self, caller: Caller, owner_epoch: int, frame: ConversationFrame) -> None:
        """Do what the frame asks. Raises `FrameError` for the sender to hear.

        A report of how things are (`ready`, `media`) that reached an owner of the mailbox which is none any more, as
        when its node stood still, is void: the later owner has been told newer things.
        """

    def passing(self, session_id: UUID, type: str) -> None:
        """A numbered message of this type is being delivered to the session."""
