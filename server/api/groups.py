"""People one trusts, invites to groups and desks, and desks as everybody sees them."""

from __future__ import annotations

from datetime import datetime
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import urlsplit

from msgspec import UNSET

from server.errors import limit_reached, not_for_probes, not_found, too_fast
from server.groups import (
    AGENTS_MAX,
    GROUPS_MAX,
    INVITE_LIFE,
    MEMBERS_MAX,
    OPEN_INVITES_MAX,
    Desk,
    Desks,
    Groups,
    JoinedGroup,
    Member,
    OwnGroup,
)
from server.http_messages import (
    AcceptedReply,
    DesksReply,
    DeskView,
    GroupBody,
    GroupReply,
    GroupsReply,
    GroupView,
    InviteReply,
    MemberView,
)
from server.invite_codes import code_hash, new_code, normal_code
from server.normal_forms import checked_name
from server.rate_limits import INVITE, RateLimiter
from server.routing import Exchange, Route
from server.views import timestamp

PAGE = "/volunteer"


class GroupsApi:
    """`https`: the node itself speaks it."""

    def __init__(self, groups: Groups, desks: Desks, limiter: RateLimiter, *, https: bool) -> None:
        self._groups = groups
        self._desks = desks
        self._limiter = limiter
        self._https = https

    def routes(self) -> list[Route]:
        """In the order of the contract."""
        one = "/v1/groups/{id}"
        return [
            Route("GET", "/v1/groups", self.groups, reply=GroupsReply, summary="The groups I made, or am in"),
            Route(
                "POST",
                "/v1/groups",
                self.make,
                body=GroupBody,
                reply=GroupReply,
                status=201,
                role="requester",
                errors=("limit_reached",),
                summary="Make a group of people I trust",
            ),
            Route(
                "PATCH",
                one,
                self.change,
                body=GroupBody,
                reply=GroupReply,
                role="requester",
                summary="Give a group of mine another name, or let it connect directly",
            ),
            Route("DELETE", one, self.delete, status=204, role="requester", summary="Dissolve a group of mine"),
            Route(
                "POST",
                f"{one}/invites",
                self.invite,
                reply=InviteReply,
                status=201,
                role="requester",
                errors=("limit_reached",),
                no_store=True,
                summary="A code that makes whoever shows it first a member of my group, within seven days",
            ),
            Route(
                "DELETE",
                f"{one}/invites",
                self.withdraw_invites,
                status=204,
                role="requester",
                summary="Make void the codes that nobody has used yet",
            ),
            Route(
                "DELETE",
                f"{one}/members/{{member_id}}",
                self.remove,
                status=204,
                summary="Leave a group, or remove somebody from mine",
            ),
            Route(
                "POST",
                "/v1/invites/{code}/accept",
                self.accept,
                reply=AcceptedReply,
                role="volunteer",
                errors=("limit_reached", "not_allowed"),
                summary="Join the group or desk of an invite",
            ),
            Route("GET", "/v1/desks", self.desks, reply=DesksReply, summary="Specialised help of organisations"),
            Route(
                "DELETE",
                "/v1/desks/{id}/agents/{member_id}",
                self.leave_desk,
                status=204,
                role="volunteer",
                summary="Answer for a desk no longer",
            ),
        ]

    # -- the requester ------------------------------------------------------------------------------------------------

    async def groups(self, exchange: Exchange[None]) -> GroupsReply:
        caller = exchange.caller
        if caller.role == "requester":
            return GroupsReply([own_group_view(group) for group in await self._groups.owned(caller.user_id)])
        return GroupsReply([joined_group_view(group) for group in await self._groups.joined(caller.user_id)])

    async def make(self, exchange: Exchange[GroupBody]) -> GroupReply:
        owner_id, name = exchange.caller.user_id, checked_name("name", exchange.body.name)
        direct = exchange.body.direct is True
        group_id = await self._groups.make(owner_id, name, direct=direct, at_most=GROUPS_MAX)
        if group_id is None:
            raise limit_reached()
        return await self._own_group(exchange, group_id)

    async def change(self, exchange: Exchange[GroupBody]) -> GroupReply:
        group_id, name = exchange.uuid("id"), checked_name("name", exchange.body.name)
        direct = None if exchange.body.direct is UNSET else exchange.body.direct
        if not await self._groups.change(exchange.caller.user_id, group_id, name, direct=direct):
            raise not_found()
        return await self._own_group(exchange, group_id)

    async def delete(self, exchange: Exchange[None]) -> None:
        if not await self._groups.delete(exchange.caller.user_id, exchange.uuid("id")):
            raise not_found()

    async def invite(self, exchange: Exchange[None]) -> InviteReply:
        code = new_code()
        made = await self._groups.invite(
            exchange.caller.user_id,
            exchange.uuid("id"),
            code_hash(code),
            life=INVITE_LIFE,
            at_most=OPEN_INVITES_MAX,
        )
        return invite_reply(exchange, code, made, https=self._https)

    async def withdraw_invites(self, exchange: Exchange[None]) -> None:
        if not await self._groups.withdraw_invites(exchange.caller.user_id, exchange.uuid("id")):
            raise not_found()

    async def remove(self, exchange: Exchange[None]) -> None:
        group_id, member_id = exchange.uuid("id"), exchange.uuid("member_id")
        if not await self._groups.remove(exchange.caller.user_id, group_id, member_id):
            raise not_found()

    async def _own_group(self, exchange: Exchange[Any], group_id: object) -> GroupReply:
        for group in await self._groups.owned(exchange.caller.user_id):
            if group.id == group_id:
                return GroupReply(own_group_view(group))
        raise not_found()  # dissolved meanwhile

    # -- the volunteer ------------------------------------------------------------------------------------------------

    async def accept(self, exchange: Exchange[None]) -> AcceptedReply:
        if exchange.caller.is_probe:
            raise not_for_probes()
        code = normal_code(exchange.path["code"])
        if code is None:
            raise not_found()
        volunteer_id = exchange.caller.user_id
        wait_s = await self._limiter.wait_s(INVITE, str(volunteer_id))
        if wait_s > 0:
            raise too_fast(wait_s)
        accepted = await self._groups.accept(
            volunteer_id, code_hash(code), members_max=MEMBERS_MAX, agents_max=AGENTS_MAX
        )
        if accepted == "full":
            raise limit_reached()
        if isinstance(accepted, str):
            raise not_found()
        return AcceptedReply(
            group=joined_group_view(accepted.group) if accepted.group else None,
            desk=desk_view(accepted.desk) if accepted.desk else None,
        )

    async def desks(self, exchange: Exchange[None]) -> DesksReply:
        return DesksReply([desk_view(desk) for desk in await self._desks.listed(exchange.caller.user_id)])

    async def leave_desk(self, exchange: Exchange[None]) -> None:
        desk_id, member_id = exchange.uuid("id"), exchange.uuid("member_id")
        if not await self._desks.leave(exchange.caller.user_id, desk_id, member_id):
            raise not_found()


def invite_reply(
    exchange: Exchange[Any],
    code: str,
    made: datetime | Literal["not_found", "full"],
    *,
    https: bool,
) -> InviteReply:
    """Raises 404 or 409 for an invite that was not made."""
    if made == "full":
        raise limit_reached()
    if made == "not_found":
        raise not_found()
    url = f"{_origin(exchange, https=https)}{PAGE}#invite={code}"
    return InviteReply(code=code, url=url, expires_at=timestamp(made))


def _origin(exchange: Exchange[Any], *, https: bool) -> str:
    """By which the caller reached us. Pages are of use over https only, but on the machine itself."""
    host = exchange.header("Host") or ""
    return f"{'https' if https or not _is_this_machine(host) else 'http'}://{host}"


def _is_this_machine(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def member_view(member: Member) -> MemberView:
    return MemberView(
        member_id=member.member_id,
        display_name=member.display_name,
        joined_at=timestamp(member.joined_at),
        state="active" if member.active else "unavailable",
    )


def own_group_view(group: OwnGroup) -> GroupView:
    return GroupView(
        id=group.id,
        name=group.name,
        mine=True,
        direct=group.direct,
        owner_name=None,
        member_id=None,
        joined_at=None,
        members=[member_view(member) for member in group.members],
        open_invites=group.open_invites,
    )


def joined_group_view(group: JoinedGroup) -> GroupView:
    return GroupView(
        id=group.id,
        name=group.name,
        mine=False,
        direct=group.direct,
        owner_name=group.owner_name,
        member_id=group.member_id,
        joined_at=timestamp(group.joined_at),
        members=None,
        open_invites=None,
    )


def desk_view(desk: Desk) -> DeskView:
    opening = desk.opening
    return DeskView(
        id=desk.id,
        name=desk.name,
        languages=list(desk.languages),
        open=opening.is_open,
        opens_at=timestamp(opening.opens_at) if opening.opens_at else None,
        closes_at=timestamp(opening.closes_at) if opening.closes_at else None,
        member_id=desk.member_id,
    )
