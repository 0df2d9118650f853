"""What the server needs to know and keep of people, their sessions and devices; implemented over Postgres in `infra/`.

The values are protocols too: an adapter brings its own frozen ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

Role = Literal["requester", "volunteer"]
Status = Literal["active", "held", "suspended"]
Platform = Literal["ios", "android", "web"]
PushKind = Literal["fcm", "webpush", "apns_voip"]
AdminRole = Literal["observer", "moderator", "owner"]
ADMIN_ROLES: tuple[AdminRole, ...] = ("observer", "moderator", "owner")
"""Each may what those before it may."""


class Account(Protocol):
    """A person as their account says."""

    @property
    def id(self) -> UUID: ...
    @property
    def role(self) -> Role | None: ...
    @property
    def display_name(self) -> str | None: ...
    @property
    def languages(self) -> tuple[str, ...]: ...
    @property
    def time_zone(self) -> str: ...
    @property
    def status(self) -> Status: ...
    @property
    def admin_roles(self) -> tuple[str, ...]: ...


class LiveSession(Protocol):
    """A sign-in that has not ended."""

    @property
    def id(self) -> UUID: ...
    @property
    def device_id(self) -> str: ...
    @property
    def platform(self) -> Platform: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def seen_at(self) -> datetime: ...


class Weekly(Protocol):
    """When a volunteer may be asked: what was put, as it was put."""

    @property
    def weekly(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def paused(self) -> bool: ...
    @property
    def paused_until(self) -> datetime | None: ...


class Rotation(Protocol):
    """What showing a refresh token came to: a successor for `session_id`, or (`ended`) the end of that session.

    Without a session the token is unknown, or its session had ended before.
    """

    @property
    def session_id(self) -> UUID | None: ...
    @property
    def ended(self) -> bool: ...


class Accounts(Protocol):
    """Everything durable about people. Every method is one transaction."""

    async def sign_in(
        self,
        *,
        provider: str,
        subject: str,
        display_name: str | None,
        device_id: str,
        platform: Platform,
        refresh_hash: bytes,
    ) -> UUID:
        """Open a session for the person this identity names (made on its first sign-in, once). Gives the session."""

    async def rotate(self, *, shown_hash: bytes, successor_hash: bytes, device_id: str | None) -> Rotation:
        """Exchange a refresh token.

        First use: the successor is stored. Again within 60 s and before the successor was used: the new successor
        replaces the lost one. Another device's id, or any other reuse: the session ends.
        """

    async def by_session(self, session_id: UUID) -> tuple[LiveSession, Account] | None:
        """The session and its person, unless it has ended."""

    async def sessions(self, user_id: UUID) -> Sequence[LiveSession]:
        """Sessions of a person that have not ended, newest first."""

    async def end_session(self, user_id: UUID, session_id: UUID) -> bool:
        """End it, with the push values of its device unless another session lives there.

        False: not theirs, or over before.
        """

    async def change(self, user_id: UUID, changes: Mapping[str, Any]) -> Account | None:
        """Set some of `display_name`, `languages`, `time_zone`, `role`.

        None, and nothing changed: `role` was set before to something else.
        """

    async def availability(self, user_id: UUID) -> Weekly | None:
        """None when never put."""

    async def put_availability(
        self, user_id: UUID, weekly: Sequence[Mapping[str, Any]], *, paused: bool, paused_until: datetime | None
    ) -> None: ...

    async def put_device(
        self, user_id: UUID, device_id: str, platform: Platform, push: Mapping[tuple[PushKind, str], object]
    ) -> bool:
        """Replace a device's push values, (kind, value) -> keys or None; each is taken from whoever had it.

        False: one of them is of somebody suspended, and now so is this person.
        """

    async def delete_device(self, user_id: UUID, device_id: str) -> bool:
        """Forget a device and its push values. False: no such device of theirs."""

    async def grant(self, who: str, role: AdminRole) -> UUID | None:
        """Give an admin role to a user id or the name of a `dev` sign-in. None: nobody is called that."""
