"""Requests, offers and cases made of defaults, for tests of pure rules. Everything happens on one morning."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from infra.memory.clock import NOON as NOON
from matching.model import Offer, OfferOutcome, Outcome, Request, RequestState, WithdrawReason
from matching.request_rules import Case

REQUEST, REQUESTER, SESSION, CALL = (UUID(int=n) for n in range(1, 5))


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def person(number: int) -> UUID:
    """Volunteer number `number`, counted from 0."""
    return UUID(int=1000 + number)


def request(
    state: RequestState = RequestState.WAITING, *, epoch: int = 1, returns: int | None = None, asked: int = 0
) -> Request:
    """A request opened at noon, in the given state."""
    in_call = state in (RequestState.CONNECTING, RequestState.IN_CALL)
    return Request(
        id=REQUEST,
        requester_id=REQUESTER,
        session_id=SESSION,
        state=state,
        outcome=Outcome.COMPLETED if state is RequestState.ENDED else None,
        languages=("en",),
        topic=None,
        mode="video",
        created_at=NOON,
        waiting_since=NOON,
        deadline=NOON + seconds(180),
        epoch=epoch,
        returns=epoch - 1 if returns is None else returns,
        wave=0,
        asked=asked,
        call_id=CALL if in_call else None,
        version=7,
    )


def offer(
    number: int,
    *,
    epoch: int = 1,
    wave: int = 1,
    at: datetime = NOON,
    lasts_s: float = 30,
    outcome: OfferOutcome | None = None,
    told_s: float | None = None,
    delivered: bool = False,
) -> Offer:
    """An offer made to volunteer `number` at `at`, told `told_s` later."""
    told_at = None if told_s is None else at + seconds(told_s)
    return Offer(
        request_id=REQUEST,
        person_id=person(number),
        epoch=epoch,
        wave=wave,
        language="en",
        offered_at=at,
        expires_at=at + seconds(lasts_s),
        outcome=outcome,
        reason=None if outcome is None else _REASONS[outcome],
        session_id=UUID(int=2000 + number) if outcome is OfferOutcome.WON else None,
        told_at=told_at,
        delivered_at=told_at if delivered else None,
    )


_REASONS = {
    OfferOutcome.WON: WithdrawReason.ANSWERED_BY_YOU,
    OfferOutcome.LOST: WithdrawReason.ANSWERED,
    OfferOutcome.WITHDRAWN: WithdrawReason.REQUEST_ENDED,
    OfferOutcome.DECLINED: WithdrawReason.UNAVAILABLE,
    OfferOutcome.EXPIRED: WithdrawReason.EXPIRED,
}


def case(of: Request | None = None, offers: Iterable[Offer] = (), *, seen_at: datetime = NOON) -> Case:
    """A locked request with its offers; the requester was last seen at `seen_at`."""
    return Case(of or request(), tuple(offers), seen_at)
