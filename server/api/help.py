"""Asking for help and answering: `/v1/requests` and `/v1/offers`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import msgspec

from matching.audience import AudienceLimits
from matching.desk_hours import DeskHours
from matching.help_desk import HelpDesk
from matching.languages import index_languages, normal_tag
from matching.ports import IdempotencyMismatch, NewRequest, NotFound, Practising, RequestOpen
from server.auth import Caller
from server.desk import AcceptRefused, Desk
from server.errors import ApiError, invalid_body, not_for_probes, not_found
from server.http_messages import AcceptBody, CallReply, DeclineBody, OffersReply, RequestBody, RequestReply
from server.presenting import offer_view, request_view
from server.routing import Exchange, Reply, Route
from server.topics import TOPICS
from server.views import timestamp
from signaling.ports import NoSuchCall

IDEMPOTENCY_KEY_CHARS_MAX = 255
LANGUAGES_MAX = 20
ACCEPT_CODES = (
    "answered_elsewhere",
    "answered_by_you",
    "offer_over",
    "request_ended",
    "not_offered",
    "already_in_call",
)


class Groups(Protocol):
    """Whom a request may be for besides anybody."""

    async def owns_group(self, requester_id: UUID, group_id: UUID) -> bool: ...

    async def desk_hours(self, desk_id: UUID) -> DeskHours | None: ...


class HelpApi:
    """The calls of the one who asks and of the one who answers."""

    def __init__(
        self,
        desk: Desk,
        help_desk: HelpDesk,
        groups: Groups,
        audience: AudienceLimits,
        clock: Callable[[], datetime],
    ) -> None:
        self._desk = desk
        self._help_desk = help_desk
        self._groups = groups
        self._audience = audience
        self._clock = clock

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
                errors=(
                    "idempotency_mismatch",
                    "request_open",
                    "already_in_call",
                    "desk_closed",
                    "not_found",
                    "not_allowed",
                ),
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
                "PUT",
                f"{one}/callback",
                self.want_callback,
                role="requester",
                status=204,
                summary="Tell me, once, when someone is free",
            ),
            Route(
                "DELETE",
                f"{one}/callback",
                self.drop_callback,
                role="requester",
                status=204,
                summary="I need not be told any more",
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
        body = exchange.body
        if exchange.caller.is_probe and (body.languages is not None or body.group_id or body.desk_id):
            raise not_for_probes()
        new = _new_request(exchange.caller, body, _key(exchange))
        try:
            # A wish told of twice is the same, though its desk has closed since.
            opened = await self._help_desk.opened_before(new)
            if opened is None:
                opened = await self._help_desk.open(await self._addressed(exchange, new))
        except IdempotencyMismatch:
            message = "this Idempotency-Key was used with another body"
            raise ApiError(422, "idempotency_mismatch", message) from None
        except RequestOpen as error:
            raise _request_open(error) from None
        except Practising:
            raise ApiError(409, "already_in_call", "a practice call of yours has not ended") from None
        if opened.created:
            self._desk.look_soon(opened.request.id)
        return Reply(RequestReply(request=request_view(opened.request)), status=201 if opened.created else 200)

    async def _addressed(self, exchange: Exchange[RequestBody], new: NewRequest) -> NewRequest:
        """With whom it is for, and who is asked first. What is not the caller's is not found."""
        body, caller = exchange.body, exchange.caller
        group_id, desk_id, same_as = body.group_id or None, body.desk_id or None, body.same_as_call_id or None
        if group_id is not None and desk_id is not None:
            raise invalid_body("desk_id", "not together with group_id")
        if group_id is not None and not await self._groups.owns_group(caller.user_id, group_id):
            raise not_found()
        if desk_id is not None:
            await self._check_open(desk_id)
        if same_as is not None:
            try:
                await self._desk.switchboard.get(same_as, caller.user_id)
            except NoSuchCall:
                raise not_found() from None
        public_after = body.then_public_after_s
        if public_after is msgspec.UNSET:
            after = self._audience.public_after_group if group_id is not None else None
        else:
            after = timedelta(seconds=public_after) if public_after is not None else None
        return replace(
            new,
            group_id=group_id,
            desk_id=desk_id,
            public_after=after if group_id or desk_id else None,
            same_as_call_id=same_as,
            first_person=self._audience.first_person,
        )

    async def _check_open(self, desk_id: UUID) -> None:
        hours = await self._groups.desk_hours(desk_id)
        if hours is None:
            raise not_found()
        opening = hours.at(self._clock())
        if not opening.is_open:
            details = {"opens_at": timestamp(opening.opens_at) if opening.opens_at is not None else None}
            raise ApiError(409, "desk_closed", "this desk is closed now", details=details)

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

    async def want_callback(self, exchange: Exchange[None]) -> None:
        try:
            await self._desk.want_callback(exchange.caller, exchange.uuid("id"))
        except NotFound:
            raise not_found() from None

    async def drop_callback(self, exchange: Exchange[None]) -> None:
        try:
            await self._desk.drop_callback(exchange.caller, exchange.uuid("id"))
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
            raise ApiError(409, refused.refusal, message, details=refused.details) from None
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
    if not (caller.languages if asked is None else asked):
        raise invalid_body("languages", "name at least one, here or in PATCH /v1/me")
    if asked is None:
        return caller.languages
    if len(asked) > LANGUAGES_MAX:
        raise invalid_body("languages", f"at most {LANGUAGES_MAX}")
    normal = []
    for number, tag in enumerate(asked):
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
