"""What moderators do to accounts: `POST /v1/admin/users/{id}/suspend`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol
from uuid import UUID

from server.errors import not_allowed, not_found
from server.http_messages import SuspendBody
from server.routing import Exchange, Route


class Suspensions(Protocol):
    """Suspending people, in Postgres. Every method is one transaction."""

    async def admin_roles(self, user_id: UUID) -> tuple[str, ...] | None:
        """None: there is no such person."""

    async def suspend(self, user_id: UUID, by: UUID | None, reason: str | None) -> list[UUID] | None:
        """Ends all sessions, these, and keeps their devices and push values out; None: there is no such person."""


OnSuspended = Callable[[UUID, Sequence[UUID]], Awaitable[None]]


class ModerationApi:
    """`on_suspended` is awaited after a suspension was committed: the person, and the sessions that ended by it."""

    def __init__(self, suspensions: Suspensions, on_suspended: OnSuspended) -> None:
        self._suspensions = suspensions
        self._on_suspended = on_suspended

    def routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/v1/admin/users/{id}/suspend",
                self.suspend,
                body=SuspendBody,
                status=204,
                admin="moderator",
                errors=("not_found",),
                summary="End all sessions of a person and keep them out, also under new accounts on their devices",
            )
        ]

    async def suspend(self, exchange: Exchange[SuspendBody]) -> None:
        caller, user_id = exchange.caller, exchange.uuid("id")
        roles = await self._suspensions.admin_roles(user_id)
        if roles is None:
            raise not_found()
        if user_id == caller.user_id or ("owner" in roles and not caller.may("owner")):
            raise not_allowed()
        ended = await self._suspensions.suspend(user_id, caller.user_id, exchange.body.reason)
        if ended is None:
            raise not_found()
        await self._on_suspended(user_id, ended)
