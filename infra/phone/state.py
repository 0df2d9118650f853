"""What the phone knows: its request, the offers open to it, its call. Snapshots and messages lead to the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

View = dict[str, Any]
"""One of the contract's objects (request, offer, call, user), as received."""
Frame = dict[str, Any]
"""One frame of the socket, as received."""


@dataclass(frozen=True, slots=True)
class PhoneState:
    """Never changed in place: each change makes a new one."""

    user: View = field(default_factory=dict)
    request: View | None = None
    offers: Mapping[str, View] = field(default_factory=dict)
    """Open offers by request id."""
    call: View | None = None
    """The latest call, also after it ended."""

    @property
    def live_call(self) -> View | None:
        return self.call if self.call is not None and self.call["state"] != "ended" else None

    def after(self, frame: Frame) -> PhoneState:
        """The state after a message of the server; most types change nothing."""
        data = frame.get("data") or {}
        match frame.get("type"):
            case "request":
                return self._with_request(data["request"])
            case "offer":
                offer = data["offer"]
                return replace(self, offers={**self.offers, offer["request_id"]: offer})
            case "offer_withdrawn":
                return self._without_offer(data["request_id"], data["epoch"])
            case "call":
                return self._with_call(data["call"])
            case _:
                return self

    def _without_offer(self, request_id: str, epoch: int) -> PhoneState:
        known = self.offers.get(request_id)
        if known is None or known["epoch"] > epoch:
            return self
        return replace(self, offers={i: offer for i, offer in self.offers.items() if i != request_id})

    def _with_request(self, request: View) -> PhoneState:
        """A reply over HTTP may come after the messages that followed it."""
        known = self.request
        if known is not None and known["id"] == request["id"] and _how_far(known) > _how_far(request):
            return self
        return replace(self, request=request)

    def _with_call(self, call: View) -> PhoneState:
        known = self.call
        if known is not None and known["id"] == call["id"]:
            if is_older(call, known):
                return self
        elif known is not None and call["state"] == "ended" and self.live_call is not None:
            return self  # the late end of an earlier call
        return replace(self, call=call)


def _how_far(request: View) -> tuple[bool, int, int]:
    """A request only moves forward in this order."""
    state: str = request["state"]
    return state == "ended", request["epoch"], ("waiting", "connecting", "in_call", "ended").index(state)


def is_older(call: View, known: View) -> bool:
    """Whether this view of a call comes too late: a reply over HTTP may be overtaken by messages."""
    # Ended is for ever, unless the call came back to this session as a new attempt.
    this, that = ((view["attempt"], view["state"] == "ended") for view in (call, known))
    return this < that or (this == that and call.get("version", math.inf) < known.get("version", 0))


def what_changed(before: PhoneState, welcome: View) -> Iterator[Frame]:
    """The messages that would have led from `before` to the snapshot in `welcome`, marked `from_snapshot`.

    A snapshot replaces messages the phone never got; those who wait for a message hear of it all the same.
    """
    yield from _offers_changed(before, welcome["offers"])
    request = welcome["request"]
    if request is None and before.request is not None and before.request["state"] != "ended":
        request = {**before.request, "state": "ended"}  # how it ended: GET /v1/requests/{id}
    if request is not None and request != before.request:
        yield _made_of("request", {"request": request})
    call = welcome["call"]
    if (gone := before.live_call) is not None and (call is None or call["id"] != gone["id"]):
        yield _made_of("call", {"call": {**gone, "state": "ended"}})
    if call is not None and call != before.call:
        yield _made_of("call", {"call": call})


def _offers_changed(before: PhoneState, offers: list[View]) -> Iterator[Frame]:
    now = {(offer["request_id"], offer["epoch"]): offer for offer in offers}
    for known in before.offers.values():
        key = (known["request_id"], known["epoch"])
        if key not in now:
            yield _made_of("offer_withdrawn", {"request_id": key[0], "epoch": key[1], "reason": "unavailable"})
    for (request_id, epoch), offer in now.items():
        known_offer = before.offers.get(request_id)
        if known_offer is None or known_offer["epoch"] != epoch:
            yield _made_of("offer", {"offer": offer})


def _made_of(type_: str, data: View) -> Frame:
    return {"type": type_, "data": data, "from_snapshot": True}
