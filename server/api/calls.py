"""The call, for both sides: `/v1/calls`."""

from __future__ import annotations

from collections.abc import Awaitable

from server.desk import Desk
from server.errors import ApiError, not_found
from server.http_messages import CallReply, EndBody, IceReply, RejoinBody
from server.routing import Exchange, Route
from server.views import CallView, timestamp
from signaling.model import EndReason
from signaling.ports import NoSuchCall
from signaling.switchboard import CallRefused


class CallsApi:
    """A call belongs to the two people in it; to anybody else it does not exist."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """In the order of the contract."""
        one = "/v1/calls/{id}"
        return [
            Route("GET", one, self.get, reply=CallReply, no_store=True, summary="A call of mine"),
            Route("POST", f"{one}/take", self.take, reply=CallReply, no_store=True, summary="Move it to this session"),
            Route(
                "POST",
                f"{one}/rejoin",
                self.rejoin,
                body=RejoinBody,
                reply=CallReply,
                no_store=True,
                errors=("stale_attempt", "call_ended", "not_in_call"),
                summary="I have no connection of this attempt: both build anew",
            ),
            Route(
                "POST",
                f"{one}/ice",
                self.ice,
                reply=IceReply,
                no_store=True,
                errors=("call_ended",),
                summary="Fresh ICE servers",
            ),
            Route("POST", f"{one}/end", self.end, body=EndBody, reply=CallReply, no_store=True, summary="Hang up"),
            Route("POST", f"{one}/avoid", self.avoid, status=204, summary="Never match us again"),
        ]

    async def get(self, exchange: Exchange[None]) -> CallReply:
        return await _reply(self._desk.call_for(exchange.caller, exchange.uuid("id")))

    async def take(self, exchange: Exchange[None]) -> CallReply:
        return await _reply(self._desk.take_call(exchange.caller, exchange.uuid("id")))

    async def rejoin(self, exchange: Exchange[RejoinBody]) -> CallReply:
        try:
            return await _reply(self._desk.rejoin_call(exchange.caller, exchange.uuid("id"), exchange.body.attempt))
        except CallRefused as refused:
            raise ApiError(409, refused.code, "the call is not at this attempt, or not yours to rejoin") from None

    async def ice(self, exchange: Exchange[None]) -> IceReply:
        try:
            answer = await self._desk.ice_for(exchange.caller, exchange.uuid("id"))
        except NoSuchCall:
            raise not_found() from None
        except CallRefused as refused:
            raise ApiError(409, refused.code, "the call has ended") from None
        return IceReply(ice_servers=answer.servers, expires_at=timestamp(answer.expires_at))

    async def end(self, exchange: Exchange[EndBody]) -> CallReply:
        reason = EndReason(exchange.body.reason)
        return await _reply(self._desk.end_call(exchange.caller, exchange.uuid("id"), reason))

    async def avoid(self, exchange: Exchange[None]) -> None:
        try:
            await self._desk.avoid(exchange.caller, exchange.uuid("id"))
        except NoSuchCall:
            raise not_found() from None


async def _reply(call: Awaitable[CallView]) -> CallReply:
    try:
        return CallReply(call=await call)
    except NoSuchCall:
        raise not_found() from None
