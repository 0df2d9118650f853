"""What the server needs to know and keep of groups and desks; implemented over Postgres in `infra/`.

A *group* is people whom a requester trusts; a *desk* is an organisation's specialised help, and its agents. As with
accounts, values are protocols: an adapter brings its own frozen ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol
from uuid import UUID

from matching.desk_hours import DeskHours, Opening

GROUPS_MAX = 10
"""Per requester."""
MEMBERS_MAX = 50
AGENTS_MAX = 1000
OPEN_INVITES_MAX = 10
"""Per group."""
DESK_INVITES_MAX = 100
INVITE_LIFE = timedelta(days=7)


class Member(Protocol):
    """Somebody in a group, or an agent of a desk, as whoever keeps it sees them."""

    @property
    def member_id(self) -> UUID:
        """Of the membership, not of the person."""

    @property
    def display_name(self) -> str | None: ...
    @property
    def joined_at(self) -> datetime: ...
    @property
    def active(self) -> bool:
        """Whether their account may be asked at all."""


class OwnGroup(Protocol):
    """A group as the requester who made it sees it."""

    @property
    def id(self) -> UUID: ...
    @property
    def name(self) -> str: ...
    @property
    def direct(self) -> bool:
        """Whether people who join it now are connected without a relay."""

    @property
    def open_invites(self) -> int: ...
    @property
    def members(self) -> Sequence[Member]: ...


class JoinedGroup(Protocol):
    """A group as one of its members sees it: nothing about the others."""

    @property
    def id(self) -> UUID: ...
    @property
    def name(self) -> str: ...
    @property
    def direct(self) -> bool:
        """Whether this member is connected without a relay: who joined before it was so is not."""

    @property
    def owner_name(self) -> str | None: ...
    @property
    def member_id(self) -> UUID: ...
    @property
    def joined_at(self) -> datetime: ...


class Desk(Protocol):
    """A desk as everybody sees it, now."""

    @property
    def id(self) -> UUID: ...
    @property
    def name(self) -> str: ...
    @property
    def languages(self) -> Sequence[str]: ...
    @property
    def opening(self) -> Opening: ...
    @property
    def member_id(self) -> UUID | None:
        """The membership of whoever asks, if they are an agent."""


class DeskDetails(Protocol):
    """A desk as an admin sees it."""

    @property
    def desk(self) -> Desk: ...
    @property
    def time_zone(self) -> str: ...
    @property
    def weekly(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def open_invites(self) -> int: ...
    @property
    def agents(self) -> Sequence[Member]: ...


class Accepted(Protocol):
    """What somebody is now in: either of the two."""

    @property
    def group(self) -> JoinedGroup | None: ...
    @property
    def desk(self) -> Desk | None: ...


class Groups(Protocol):
    """Groups, who is in them, and invites accepted. Every method is one transaction."""

    async def owns_group(self, requester_id: UUID, group_id: UUID) -> bool: ...

    async def desk_hours(self, desk_id: UUID) -> DeskHours | None:
        """None: no such desk (any more)."""

    async def owned(self, requester_id: UUID) -> Sequence[OwnGroup]:
        """Oldest first."""

    async def joined(self, person_id: UUID) -> Sequence[JoinedGroup]:
        """Oldest membership first."""

    async def make(self, requester_id: UUID, name: str, *, direct: bool, at_most: int) -> UUID | None:
        """None: they have so many already."""

    async def change(self, requester_id: UUID, group_id: UUID, name: str, *, direct: bool | None) -> bool:
        """`direct` None: as it is. False, here and below: no such group of theirs."""

    async def delete(self, requester_id: UUID, group_id: UUID) -> bool: ...

    async def invite(
        self, requester_id: UUID, group_id: UUID, code_hash: bytes, *, life: timedelta, at_most: int
    ) -> datetime | Literal["not_found", "full"]:
        """When the invite expires; `full`: so many are open already."""

    async def withdraw_invites(self, requester_id: UUID, group_id: UUID) -> bool: ...

    async def remove(self, caller_id: UUID, group_id: UUID, member_id: UUID) -> bool:
        """By the owner, whether or not they are (still) in it, or by the member."""

    async def accept(
        self, volunteer_id: UUID, code_hash: bytes, *, members_max: int, agents_max: int
    ) -> Accepted | Literal["not_found", "full"]:
        """Makes a member of whoever shows a code first; the same again to them.

        `not_found`: unknown, used, expired, or of somebody with whom they are never matched.
        """


class Desks(Protocol):
    """Desks and their agents; those that were retired are not there. Every method is one transaction."""

    async def listed(self, person_id: UUID) -> Sequence[Desk]:
        """By name."""

    async def leave(self, person_id: UUID, desk_id: UUID, member_id: UUID) -> bool:
        """False: not an agent there."""

    async def make(
        self, *, name: str, languages: Sequence[str], time_zone: str, weekly: Sequence[Mapping[str, Any]]
    ) -> UUID:
        """Tags canonical, the zone known, `weekly` as the contract has it."""

    async def change(
        self,
        desk_id: UUID,
        *,
        name: str,
        languages: Sequence[str],
        time_zone: str,
        weekly: Sequence[Mapping[str, Any]],
    ) -> bool:
        """False, here and below: no such desk."""

    async def retire(self, desk_id: UUID) -> bool: ...

    async def details(self, desk_id: UUID) -> DeskDetails | None: ...

    async def invite(
        self, desk_id: UUID, code_hash: bytes, *, life: timedelta, at_most: int
    ) -> datetime | Literal["not_found", "full"]: ...

    async def withdraw_invites(self, desk_id: UUID) -> bool: ...

    async def remove(self, desk_id: UUID, member_id: UUID) -> bool:
        """Whether or not they are (still) an agent."""
