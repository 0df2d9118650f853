"""The values of matching and signaling as the contract shows them to one person."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from matching.model import Request
from matching.ports import OpenOffer
from server.auth import Caller
from server.ice import IceServers
from server.views import CallView, EndBy, Mode, OfferView, RequestView, UserView, timestamp
from signaling.model import Call, CallState, Side


def request_view(request: Request) -> RequestView:
    """As its requester sees it."""
    return RequestView(
        id=request.id,
        state=request.state.value,
        outcome=request.outcome.value if request.outcome else None,
        languages=list(request.languages),
        topic=request.topic,
        mode=cast(Mode, request.mode),
        created_at=timestamp(request.created_at),
        deadline=timestamp(request.deadline),
        epoch=request.epoch,
        asked=request.asked,
        call_id=request.call_id,
    )


def offer_view(open_offer: OpenOffer, now: datetime) -> OfferView:
    """As the volunteer asked sees it; `expires_in_ms` is for phones whose clock is wrong."""
    offer = open_offer.offer
    left = offer.expires_at - now
    return OfferView(
        request_id=offer.request_id,
        epoch=offer.epoch,
        language=offer.language,
        topic=open_offer.topic,
        mode=cast(Mode, open_offer.mode),
        waiting_since=timestamp(open_offer.waiting_since),
        expires_at=timestamp(offer.expires_at),
        expires_in_ms=max(0, int(left.total_seconds() * 1000)),
    )


def call_view(call: Call, side: Side, ice: IceServers, now: datetime) -> CallView:
    """As one side sees it. Credentials only while the call lives, and only ever after it was committed."""
    live = call.state is not CallState.ENDED
    answer = ice.for_side(call.id, side, now) if live else None
    return CallView(
        id=call.id,
        request_id=call.request_id,
        epoch=call.epoch,
        attempt=call.attempt,
        kind="help" if call.practice is None else "practice",
        side=side.value,
        polite=side is Side.VOLUNTEER,
        mode=cast(Mode, call.mode),
        state=call.state.value,
        end_reason=call.end_reason.value if call.end_reason else None,
        end_by=end_by(call, side),
        language=call.language,
        ice_servers=answer.servers if answer else [],
        ice_expires_at=timestamp(answer.expires_at) if answer else None,
        ice_policy="all" if call.direct else ice.policy,
        started_at=timestamp(call.created_at),
        version=call.version,
    )


def end_by(call: Call, side: Side) -> EndBy | None:
    """Who ended it, seen from one side."""
    if call.state is not CallState.ENDED:
        return None
    if call.ended_by is None:
        return "system"
    return "me" if call.ended_by is side else "them"


def user_view(caller: Caller) -> UserView:
    """The person signed in, as they see themselves."""
    return UserView(
        id=caller.user_id,
        role=caller.role,
        admin_roles=list(caller.admin_roles),
        display_name=caller.display_name,
        languages=list(caller.languages),
        time_zone=caller.time_zone,
        status=caller.status,
    )
