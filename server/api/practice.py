"""Trying out camera, microphone and network: `/v1/calls/practice`."""

from __future__ import annotations

from server.errors import ApiError, wrong_role
from server.http_messages import PracticeReply
from server.practice import Practice, QueueFull, Taken
from server.routing import Exchange, Reply, Route
from signaling.model import Side

TRY_AGAIN_S = 30.0


class PracticeApi:
    """A call with the server's own phone, for either role."""

    def __init__(self, practice: Practice) -> None:
        self._practice = practice

    def routes(self) -> list[Route]:
        path = "/v1/calls/practice"
        return [
            Route(
                "POST",
                path,
                self.ask,
                reply=PracticeReply,
                status=201,
                also=(202,),
                errors=("wrong_role", "already_in_call", "unavailable"),
                no_store=True,
                summary="Try my device with the server's own phone; while waiting, say so again every 10 s",
            ),
            Route("DELETE", path, self.leave, status=204, summary="I wait for no practice call any more"),
        ]

    async def ask(self, exchange: Exchange[None]) -> Reply:
        """The phone is the other side of the caller's role. Said again, it is the same call or place. Whoever waits
        says it every ten seconds: a place that is not asked for again within thirty is passed over."""
        role = exchange.caller.role
        if role is None:
            raise wrong_role("requester or a volunteer")
        try:
            asked = await self._practice.ask(exchange.caller, Side(role))
        except Taken:
            raise ApiError(409, "already_in_call", "you are asked, asking, or in a call") from None
        except QueueFull:
            message = "too many wait for a practice call"
            raise ApiError(503, "unavailable", message, retryable=True, retry_after_s=TRY_AGAIN_S) from None
        if isinstance(asked, int):
            return Reply(PracticeReply(position=asked), status=202)
        return Reply(PracticeReply(call=asked), status=201)

    async def leave(self, exchange: Exchange[None]) -> None:
        await self._practice.leave(exchange.caller)
