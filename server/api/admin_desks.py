"""What owners do about desks of organisations: `/v1/admin/desks`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from server.api.groups import desk_view, invite_reply, member_view
from server.errors import not_found
from server.groups import DESK_INVITES_MAX, INVITE_LIFE, DeskDetails, Desks
from server.http_messages import AdminDeskReply, AdminDeskView, DeskBody, InviteReply, WeeklyWindow
from server.invite_codes import code_hash, new_code
from server.normal_forms import checked_languages, checked_name, checked_weekly, checked_zone
from server.routing import Exchange, Route
from server.views import timestamp


class AdminDesksApi:
    """`https`: the node itself speaks it."""

    def __init__(self, desks: Desks, *, https: bool) -> None:
        self._desks = desks
        self._https = https

    def routes(self) -> list[Route]:
        many, one = "/v1/admin/desks", "/v1/admin/desks/{id}"
        return [
            Route(
                "POST",
                many,
                self.make,
                body=DeskBody,
                reply=AdminDeskReply,
                status=201,
                admin="owner",
                summary="Make a desk: an organisation's own help, hours and languages",
            ),
            Route("GET", one, self.get, reply=AdminDeskReply, admin="owner", summary="A desk with its agents"),
            Route(
                "PUT",
                one,
                self.change,
                body=DeskBody,
                reply=AdminDeskReply,
                admin="owner",
                summary="Change a desk",
            ),
            Route("DELETE", one, self.retire, status=204, admin="owner", summary="Retire a desk, for good"),
            Route(
                "POST",
                f"{one}/invites",
                self.invite,
                reply=InviteReply,
                status=201,
                admin="owner",
                errors=("limit_reached",),
                no_store=True,
                summary="A code that makes the volunteer who shows it first an agent, within seven days",
            ),
            Route(
                "DELETE",
                f"{one}/invites",
                self.withdraw_invites,
                status=204,
                admin="owner",
                summary="Make void the codes that nobody has used yet",
            ),
            Route(
                "DELETE",
                f"{one}/agents/{{member_id}}",
                self.remove,
                status=204,
                admin="owner",
                summary="Take an agent away",
            ),
        ]

    async def make(self, exchange: Exchange[DeskBody]) -> AdminDeskReply:
        return await self._reply(await self._desks.make(**_checked(exchange.body)))

    async def get(self, exchange: Exchange[None]) -> AdminDeskReply:
        return await self._reply(exchange.uuid("id"))

    async def change(self, exchange: Exchange[DeskBody]) -> AdminDeskReply:
        desk_id = exchange.uuid("id")
        if not await self._desks.change(desk_id, **_checked(exchange.body)):
            raise not_found()
        return await self._reply(desk_id)

    async def retire(self, exchange: Exchange[None]) -> None:
        if not await self._desks.retire(exchange.uuid("id")):
            raise not_found()

    async def invite(self, exchange: Exchange[None]) -> InviteReply:
        code = new_code()
        made = await self._desks.invite(
            exchange.uuid("id"), code_hash(code), life=INVITE_LIFE, at_most=DESK_INVITES_MAX
        )
        return invite_reply(exchange, code, made, https=self._https)

    async def withdraw_invites(self, exchange: Exchange[None]) -> None:
        if not await self._desks.withdraw_invites(exchange.uuid("id")):
            raise not_found()

    async def remove(self, exchange: Exchange[None]) -> None:
        if not await self._desks.remove(exchange.uuid("id"), exchange.uuid("member_id")):
            raise not_found()

    async def _reply(self, desk_id: UUID) -> AdminDeskReply:
        details = await self._desks.details(desk_id)
        if details is None:
            raise not_found()
        return AdminDeskReply(_admin_view(details))


def _checked(body: DeskBody) -> dict[str, Any]:
    """Raises 400 naming the first field that cannot be."""
    return {
        "name": checked_name("name", body.name),
        "languages": checked_languages(body.languages),
        "time_zone": checked_zone(body.time_zone),
        "weekly": msgspec.to_builtins(checked_weekly(body.weekly)),
    }


def _admin_view(details: DeskDetails) -> AdminDeskView:
    shown = desk_view(details.desk)
    return AdminDeskView(
        id=shown.id,
        name=shown.name,
        languages=shown.languages,
        time_zone=details.time_zone,
        weekly=msgspec.convert(details.weekly, list[WeeklyWindow]),
        open=shown.open,
        opens_at=shown.opens_at,
        closes_at=shown.closes_at,
        created_at=timestamp(details.created_at),
        open_invites=details.open_invites,
        agents=[member_view(agent) for agent in details.agents],
    )
