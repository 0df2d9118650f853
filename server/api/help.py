"""Asking for help and answering: `/v1/requests` and `/v1/offers`."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from matching.help_desk import HelpDesk
from matching.languages import index_languages, normal_tag
from matching.ports import IdempotencyMismatch, NewRequest, NotFound, RequestOpen
from server.auth import Caller
from server.desk import AcceptRefused, Desk
from server.errors import ApiError, invalid_body, not_found
from server.http_messages import AcceptBody, CallReply, DeclineBody, OffersReply, RequestBody, RequestReply
from server.presenting import offer_view, request_view
from server.routing import Exchange, Reply, Route
from server.topics import TOPICS
from server.views import timestamp

IDEMPOTENCY_KEY_CHARS_MAX = 255
LANGUAGES_MAX = 20
NOT_YET = ("group_id", "desk_id", "then_public_after_s", "same_as_call_id")
"""Fields of the contract that this version refuses, rather than pretend to have heard them."""

ACCEPT_CODES = (
    "answered_elsewhere",
    "answered_by_you",
    "offer_over",
    "request_ended",
    "not_offered",
    "already_in_call",
)


class HelpApi:
    """The calls of the one who asks and of the one who answers."""

    def __init__(self, desk: Desk, help_desk: HelpDesk) -> None:
        self._desk = desk
        self._help_desk = help_desk

    def routes(self) -> list[Route]:
        """In the order of the contract."""
        one = "/v1/requests/{id}"
        return [
            Route(
                "POST",
                "/v1/requests",
                self.open,
                body=RequestBody,
                reply=RequestReply,
                status=201,
                role="requester",
                errors=("idempotency_mismatch", "request_open", "already_in_call"),
                summary="Ask for help",
                headers=("Idempotency-Key",),
                also=(200,),
            ),
            Route(
                "GET",
                "/v1/requests/current",
                self.current,
                reply=RequestReply,
                role="requester",
                errors=("not_found",),
                summary="My request that has not ended",
            ),
            Route("GET", one, self.get, reply=RequestReply, role="requester", summary="One of my requests"),
            Route(
                "POST",
                f"{one}/cancel",
                self.cancel,
                reply=RequestReply,
                role="requester",
                summary="I no longer need help",
            ),
            Route(
                "GET", "/v1/offers", self.offers, reply=OffersReply, role="volunteer", summary="The offers open for me"
            ),
            Route(
                "POST",
                f"{one}/accept",
                self.accept,
                body=AcceptBody,
                reply=CallReply,
                role="volunteer",
                errors=ACCEPT_CODES,
                summary="I will help",
                no_store=True,
            ),
            Route(
                "POST",
                f"{one}/decline",
                self.decline,
                body=DeclineBody,
                role="volunteer",
                status=204,
                summary="Not me, this time",
            ),
        ]

    # -- the requester ------------------------------------------------------------------------------------------------

    async def open(self, exchange: Exchange[RequestBody]) -> Reply:
        new = _new_request(exchange.caller, exchange.body, _key(exchange))
        try:
            opened = await self._help_desk.open(new)
        except IdempotencyMismatch:
            message = "this Idempotency-Key was used with another body"
            raise ApiError(422, "idempotency_mismatch", message) from None
        except RequestOpen as error:
            raise _request_open(error) from None
        if opened.created:
            self._desk.look_soon(opened.request.id)
        return Reply(RequestReply(request=request_view(opened.request)), status=201 if opened.created else 200)

    async def current(self, exchange: Exchange[None]) -> RequestReply:
        request = await self._desk.current_request(exchange.caller)
        if request is None:
            raise not_found()
        return RequestReply(request=request_view(request))

    async def get(self, exchange: Exchange[None]) -> RequestReply:
        try:
            return RequestReply(
                request=request_view(await self._desk.own_request(exchange.caller, exchange.uuid("id")))
            )
        except NotFound:
            raise not_found() from None

    async def cancel(self, exchange: Exchange[None]) -> RequestReply:
        try:
            return RequestReply(request=request_view(await self._desk.cancel(exchange.caller, exchange.uuid("id"))))
        except NotFound:
            raise not_found() from None

    # -- the volunteer ------------------------------------------------------------------------------------------------

    async def offers(self, exchange: Exchange[None]) -> OffersReply:
        now, offers = await self._desk.open_offers(exchange.caller)
        return OffersReply(now=timestamp(now), offers=[offer_view(offer, now) for offer in offers])

    async def accept(self, exchange: Exchange[AcceptBody]) -> CallReply:
        request_id = exchange.uuid("id")
        try:
            return CallReply(call=await self._desk.accept(exchange.caller, request_id, exchange.body.epoch))
        except AcceptRefused as refused:
            message = "somebody else was first, or the offer is over"
            raise ApiError(409, refused.refusal, message, details={}) from None
        except NotFound:
            raise not_found() from None

    async def decline(self, exchange: Exchange[DeclineBody]) -> None:
        try:
            await self._desk.decline(exchange.caller, exchange.uuid("id"), exchange.body.epoch)
        except NotFound:
            raise not_found() from None


def _key(exchange: Exchange[Any]) -> str | None:
    key = exchange.header("Idempotency-Key")
    if key is None:
        return None
    if not (1 <= len(key) <= IDEMPOTENCY_KEY_CHARS_MAX and key.isascii() and key.isprintable()):
        raise invalid_body("Idempotency-Key", "1 to 255 printable ASCII characters")
    return key


def _new_request(caller: Caller, body: RequestBody, key: str | None) -> NewRequest:
    for field in NOT_YET:
        if getattr(body, field) not in (None, msgspec.UNSET):
            raise invalid_body(field, "not available")
    if body.mode == "text":
        raise invalid_body("mode", "text is not available")
    if body.topic is not None and body.topic not in TOPICS:
        raise invalid_body("topic", "not a code of GET /v1/topics")
    return NewRequest(
        requester_id=caller.user_id,
        session_id=caller.session_id,
        languages=(languages := _languages(caller, body.languages)),
        index_languages=index_languages(languages),
        topic=body.topic,
        mode=body.mode,
        idempotency_key=key,
        body_hash=hashlib.sha256(msgspec.json.encode(body)).digest(),
    )


def _languages(caller: Caller, asked: list[str] | None) -> tuple[str, ...]:
    """Those asked for, else the person's own; each once, in order."""
    tags = caller.languages if asked is None else asked
    if not tags:
        raise invalid_body("languages", "name at least one, here or in PATCH /v1/me")
    if len(tags) > LANGUAGES_MAX:
        raise invalid_body("languages", f"at most {LANGUAGES_MAX}")
    normal = []
    for number, tag in enumerate(tags):
        try:
            normal.append(normal_tag(tag))
        except ValueError as error:
            raise invalid_body(f"languages[{number}]", str(error)) from None
    return tuple(dict.fromkeys(normal))


def _request_open(error: RequestOpen) -> ApiError:
    request = error.request
    code = "already_in_call" if request.state == "in_call" else "request_open"
    view = msgspec.to_builtins(request_view(request))
    return ApiError(409, code, "a request of yours has not ended", details={"request": view})
