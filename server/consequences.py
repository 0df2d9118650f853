"""What a call's change does to its request: joins the pure rules of `signaling` and `matching`, strangers otherwise."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from matching.model import Request
from matching.request_rules import Event, RequestLimits, event_of_call_end, step
from signaling.model import Call, CallState


def event_of_end(call: Call) -> Event:
    """What the end of this call is to its request."""
    assert call.end_reason is not None
    by = call.ended_by.value if call.ended_by else None
    return event_of_call_end(call.end_reason, by, call.connected_at is not None)


def request_follows_call(limits: RequestLimits) -> Callable[[Request, Call, Call, datetime], Request]:
    """The rule run inside the transaction that changes a call, on the request it belongs to."""

    def follow(request: Request, before: Call, after: Call, now: datetime) -> Request:
        if after.epoch != request.epoch or before.state is CallState.ENDED:
            return request
        if after.state is CallState.ENDED:
            return step(request, event_of_end(after), now, limits)
        if before.connected_at is None and after.connected_at is not None:
            return step(request, Event.CONNECTED, now, limits)
        return request

    return follow
