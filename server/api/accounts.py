"""The person signed in: who they are, when they may be asked, where their devices can be woken. `/v1/me`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET

from server.accounts import Accounts
from server.api.sessions import user_view
from server.errors import ApiError, invalid_body, not_for_probes, not_found, suspended
from server.http_messages import (
    DEVICE_CHARS_MAX,
    Availability,
    AvailabilityReply,
    DeviceChange,
    MeChange,
    Topic,
    TopicsReply,
    WeeklyWindow,
)
from server.normal_forms import checked_languages, checked_name, checked_weekly, checked_zone
from server.presenting import user_view as caller_view
from server.push_services import is_push_endpoint
from server.routing import Exchange, Route
from server.topics import TOPICS
from server.views import UserView, timestamp

PersonChanged = Callable[[UUID], Awaitable[object]]


class AccountsApi:
    """`on_person_changed` is awaited after a change that matters to who may be asked was committed."""

    def __init__(self, accounts: Accounts, on_person_changed: PersonChanged) -> None:
        self._accounts = accounts
        self._on_person_changed = on_person_changed

    def routes(self) -> list[Route]:
        hours, device = "/v1/me/availability", "/v1/me/devices/{device_id}"
        return [
            Route("GET", "/v1/me", self.me, reply=UserView, while_suspended=True, summary="Who I am"),
            Route(
                "PATCH",
                "/v1/me",
                self.change_me,
                body=MeChange,
                reply=UserView,
                errors=("role_set", "not_allowed"),
                summary="Change some of it; `role` is set once",
            ),
            Route(
                "GET",
                hours,
                self.availability,
                reply=AvailabilityReply,
                role="volunteer",
                summary="When I may be asked",
            ),
            Route(
                "PUT",
                hours,
                self.put_availability,
                body=Availability,
                reply=AvailabilityReply,
                role="volunteer",
                summary="Say when I may be asked",
            ),
            Route(
                "PUT",
                device,
                self.put_device,
                body=DeviceChange,
                status=204,
                summary="Say where a device of mine can be woken; a value belongs to whoever put it last",
            ),
            Route(
                "DELETE",
                device,
                self.delete_device,
                status=204,
                errors=("not_found",),
                summary="Forget a device of mine",
            ),
            Route("GET", "/v1/topics", self.topics, reply=TopicsReply, summary="What help may be about"),
        ]

    async def me(self, exchange: Exchange[None]) -> UserView:
        return caller_view(exchange.caller)

    async def change_me(self, exchange: Exchange[MeChange]) -> UserView:
        user_id, changes = exchange.caller.user_id, _checked(exchange.body)
        if "languages" in changes and exchange.caller.is_probe:
            raise not_for_probes()
        account = await self._accounts.change(user_id, changes)
        if account is None:
            raise ApiError(409, "role_set", "the role was set before and stays as it is")
        if changes.keys() - {"display_name"}:
            await self._on_person_changed(user_id)
        return user_view(account)

    async def availability(self, exchange: Exchange[None]) -> AvailabilityReply:
        stored = await self._accounts.availability(exchange.caller.user_id)
        if stored is None:
            return AvailabilityReply(weekly=[], paused=False, paused_until=None)
        weekly = msgspec.convert(stored.weekly, list[WeeklyWindow])
        return _availability_reply(weekly, stored.paused, stored.paused_until)

    async def put_availability(self, exchange: Exchange[Availability]) -> AvailabilityReply:
        user_id, body = exchange.caller.user_id, exchange.body
        paused_until = _utc(body.paused_until)
        weekly = checked_weekly(body.weekly)
        await self._accounts.put_availability(
            user_id, msgspec.to_builtins(weekly), paused=body.paused, paused_until=paused_until
        )
        await self._on_person_changed(user_id)
        return _availability_reply(weekly, body.paused, paused_until)

    async def put_device(self, exchange: Exchange[DeviceChange]) -> None:
        body = exchange.body
        for place, push in enumerate(body.push):
            if push.kind == "webpush" and not is_push_endpoint(push.value):
                raise invalid_body(f"push[{place}].value", "must be an https endpoint of a known push service")
            if push.kind != "webpush" and push.keys is not None:
                raise invalid_body(f"push[{place}].keys", "only webpush has keys")
        values = {(push.kind, push.value): msgspec.to_builtins(push.keys) for push in body.push}
        user_id = exchange.caller.user_id
        welcome = await self._accounts.put_device(user_id, _device_id(exchange), body.platform, values)
        await self._on_person_changed(user_id)
        if not welcome:
            raise suspended()

    async def delete_device(self, exchange: Exchange[None]) -> None:
        user_id = exchange.caller.user_id
        if not await self._accounts.delete_device(user_id, _device_id(exchange)):
            raise not_found()
        await self._on_person_changed(user_id)

    async def topics(self, exchange: Exchange[None]) -> TopicsReply:
        return TopicsReply([Topic(code) for code in TOPICS])


def _checked(body: MeChange) -> dict[str, Any]:
    """The fields that were sent, in their normal form. Raises 400 naming the first that cannot be."""
    changes: dict[str, Any] = {}
    if body.role is not UNSET:
        changes["role"] = body.role
    if body.display_name is not UNSET:
        name = body.display_name
        changes["display_name"] = None if name is None else checked_name("display_name", name, "; null removes it")
    if body.languages is not UNSET:
        changes["languages"] = checked_languages(body.languages)
    if body.time_zone is not UNSET:
        changes["time_zone"] = checked_zone(body.time_zone)
    return changes


def _utc(moment: datetime | None) -> datetime | None:
    try:
        return moment.astimezone(UTC) if moment is not None else None
    except OverflowError:
        raise invalid_body("paused_until", "is no time of this era") from None


def _availability_reply(weekly: list[WeeklyWindow], paused: bool, paused_until: datetime | None) -> AvailabilityReply:
    until = timestamp(paused_until) if paused_until is not None else None
    return AvailabilityReply(weekly=weekly, paused=paused, paused_until=until)


def _device_id(exchange: Exchange[Any]) -> str:
    """The id in the path. One that no device can have names nothing: 404."""
    device_id = exchange.path["device_id"]
    if not (1 <= len(device_id) <= DEVICE_CHARS_MAX and device_id.isascii() and device_id.isprintable()):
        raise not_found()
    return device_id
