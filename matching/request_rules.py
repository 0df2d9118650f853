"""The life of a request as a table of transitions, and the rules that move it. Pure: time comes in, changes come out.

An illegal event raises `IllegalTransition` and changes nothing; an ended request absorbs every event unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from matching.model import Offer, OfferOutcome, Outcome, Request, RequestState, Tier, WithdrawReason


class Event(StrEnum):
    """What can happen to a request."""

    ACCEPTED = "accepted"
    CONNECTED = "connected"
    CANCELLED = "cancelled"
    DEADLINE_PASSED = "deadline_passed"
    REQUESTER_GONE = "requester_gone"
    RETURNED = "returned"
    COMPLETED = "completed"
    FAILED = "failed"


_W, _C, _I, _E = RequestState.WAITING, RequestState.CONNECTING, RequestState.IN_CALL, RequestState.ENDED

TRANSITIONS: Mapping[tuple[RequestState, Event], tuple[RequestState, Outcome | None]] = MappingProxyType(
    {
        (_W, Event.ACCEPTED): (_C, None),
        (_W, Event.CANCELLED): (_E, Outcome.CANCELLED),
        (_W, Event.DEADLINE_PASSED): (_E, Outcome.EXPIRED),
        (_W, Event.REQUESTER_GONE): (_E, Outcome.FAILED),
        (_W, Event.FAILED): (_E, Outcome.FAILED),
        (_C, Event.CONNECTED): (_I, None),
        (_C, Event.CANCELLED): (_E, Outcome.CANCELLED),
        (_C, Event.RETURNED): (_W, None),
        (_C, Event.FAILED): (_E, Outcome.FAILED),
        (_I, Event.COMPLETED): (_E, Outcome.COMPLETED),
        (_I, Event.RETURNED): (_W, None),
        (_I, Event.FAILED): (_E, Outcome.FAILED),
    }
)


class IllegalTransition(Exception):
    """An event that cannot happen in this state: a defect of ours, never of a client."""

    def __init__(self, state: RequestState, event: Event) -> None:
        super().__init__(f"{event} cannot happen to a request that is {state}")


@dataclass(frozen=True, slots=True)
class Cooldown:
    """How long somebody is left in peace who let an offer run out, or said not now."""

    first: timedelta = timedelta(seconds=60)
    growth: float = 4.0
    """So many times longer for each offer in a row that rang and was ignored: who has lost interest is soon asked once
    a day at most, and who only was in the shower misses little."""
    most: timedelta = timedelta(days=1)

    def after(self, ignored: int) -> timedelta:
        """`ignored`: offers in a row, this one included; 0 for one that was declined, or never reached them."""
        if self.first <= timedelta(0):
            return self.first
        steps = min(
            max(ignored - 1, 0), math.ceil(math.log(self.most / self.first, self.growth)) if self.growth > 1 else 0
        )
        return min(self.first * self.growth ** max(steps, 0), max(self.most, self.first))


@dataclass(frozen=True, slots=True)
class WeeklyCap:
    """How often somebody's closed app may be rung. Who says that they are ready is asked all the same."""

    rings: int = 30
    """About four a day, which is bearable for those who speak a rare language and are asked for everything."""
    length: timedelta = timedelta(days=7)

    def counted(self, began: datetime | None, rings: int, now: datetime) -> Week:
        """The person's week with one ring more; a new one begins with the first ring after the last one's end."""
        if began is None or now - began >= self.length:
            began, rings = now, 0
        full = rings + 1 >= self.rings
        return Week(began, rings + 1, began + self.length if full else None)


@dataclass(frozen=True, slots=True)
class Week:
    """How often somebody was rung in the week that began then, and until when that is enough."""

    began: datetime
    rings: int
    full_until: datetime | None


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How long and how often; settings of the deployment."""

    deadline: timedelta = timedelta(seconds=180)
    least_deadline_after_return: timedelta = timedelta(seconds=30)
    returns: int = 3
    offer: timedelta = timedelta(seconds=30)
    delivery: timedelta = timedelta(seconds=1.5)
    """An offer not acknowledged for so long after it was told is a failed delivery."""
    unseen_not_asked: timedelta = timedelta(seconds=10)
    """A requester unseen for so long gets nobody new."""
    unseen_failed: timedelta = timedelta(seconds=90)
    """A requester unseen for so long while waiting has gone."""
    unseen_slack: timedelta = timedelta(seconds=15)
    """So long after sightings could not be written nobody is taken for gone: who is there has had time to be seen."""
    outage: timedelta = timedelta(minutes=30)
    """Who was unseen for so long besides has gone, whatever could be written."""
    look_waiting: timedelta = timedelta(seconds=1)
    look_in_call: timedelta = timedelta(seconds=3)
    cooldown: Cooldown = field(default_factory=Cooldown)
    weekly: WeeklyCap = field(default_factory=WeeklyCap)


def step(request: Request, event: Event, now: datetime, limits: RequestLimits) -> Request:
    """Apply one event. Going back to waiting keeps the place, raises the epoch and gives a fresh deadline."""
    if request.state is RequestState.ENDED:
        return request
    if (request.state, event) not in TRANSITIONS:
        raise IllegalTransition(request.state, event)
    if event is Event.RETURNED and request.returns >= limits.returns:
        event = Event.FAILED
    state, outcome = TRANSITIONS[request.state, event]
    moved = replace(request, state=state, outcome=outcome, version=request.version + 1)
    if state is not RequestState.WAITING:
        return moved
    fresh = now + max(limits.deadline, limits.least_deadline_after_return)
    return replace(
        moved,
        epoch=request.epoch + 1,
        returns=request.returns + 1,
        waiting_since=now,
        deadline=max(request.deadline, fresh),
        call_id=None,
    )


@dataclass(frozen=True, slots=True)
class Case:
    """A locked request with what the rules need to know beside it, read after the lock was held."""

    request: Request
    offers: tuple[Offer, ...]
    """Offers of the present epoch, and any other that has not ended."""
    requester_seen_at: datetime
    hungry: bool = True
    progress: Progress | None = None
    requester_suspended: bool = False
    local_hour: int | None = None
    """On the requester's wall, 0 to 23."""
    watched_since: datetime | None = None
    """Since when sightings could be written without a break; None: always."""

    @property
    def open_offers(self) -> tuple[Offer, ...]:
        return tuple(offer for offer in self.offers if offer.outcome is None)

    def after(self, change: Change) -> Case:
        """The case with the change made."""
        over = {(offer.person_id, offer.epoch, offer.wave): offer for offer in change.ended}
        offers = tuple(over.get((o.person_id, o.epoch, o.wave), o) for o in self.offers)
        hungry = self.hungry if change.hungry is None else change.hungry
        return replace(self, request=change.request, offers=offers, hungry=hungry)


@dataclass(frozen=True, slots=True)
class Progress:
    """What the requester was last told of the search."""

    note: str
    asked: int
    at: datetime
    language: str | None = None
    """In which people were asked last (BCP 47), as far as this look asked somebody."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a rule decided: the request as it is to be, and the offers that end with it."""

    request: Request
    ended: tuple[Offer, ...] = ()
    winner: Offer | None = None
    hungry: bool | None = None
    """Whether it wants people it has not got; None leaves what is known of that."""
    look_by: datetime | None = None
    """When it will want more people should nothing else happen: somebody looks then, and not a second later."""


def _ending(offer: Offer, outcome: OfferOutcome, reason: WithdrawReason) -> Offer:
    return replace(offer, outcome=outcome, reason=reason)


def _withdraw_all(case: Case, reason: WithdrawReason) -> tuple[Offer, ...]:
    return tuple(_ending(offer, OfferOutcome.WITHDRAWN, reason) for offer in case.open_offers)


def _has_gone(case: Case, now: datetime, limits: RequestLimits) -> bool:
    since = case.watched_since
    watched = since is None or now - since >= limits.unseen_slack
    patience = timedelta() if watched else limits.outage
    return now - case.requester_seen_at >= limits.unseen_failed + patience


def look(case: Case, now: datetime, limits: RequestLimits) -> Change:
    """What is due for a waiting request: a requester suspended or gone, the deadline, offers that ran out."""
    request = case.request
    if request.state is not RequestState.WAITING:
        return Change(request)
    if case.requester_suspended:
        ended = step(request, Event.FAILED, now, limits)
        return Change(ended, _withdraw_all(case, WithdrawReason.REQUEST_ENDED))
    if _has_gone(case, now, limits):
        ended = step(request, Event.REQUESTER_GONE, now, limits)
        return Change(ended, _withdraw_all(case, WithdrawReason.REQUEST_ENDED))
    if now >= request.deadline:
        ended = step(request, Event.DEADLINE_PASSED, now, limits)
        return Change(ended, _withdraw_all(case, WithdrawReason.REQUEST_ENDED))
    barred = tuple(
        _ending(offer, OfferOutcome.WITHDRAWN, WithdrawReason.UNAVAILABLE) for offer in case.open_offers if offer.barred
    )
    over = tuple(
        _ending(offer, OfferOutcome.EXPIRED, WithdrawReason.EXPIRED)
        for offer in case.open_offers
        if offer.expires_at <= now and not offer.barred
    )
    return Change(request, barred + over)


def cancel(case: Case, now: datetime, limits: RequestLimits) -> Change:
    """The requester no longer needs help, and nobody has answered yet."""
    ended = step(case.request, Event.CANCELLED, now, limits)
    return Change(ended, _withdraw_all(case, WithdrawReason.CANCELLED))


def decline(case: Case, person_id: UUID, epoch: int) -> Change:
    """A volunteer says not now. An offer that is over, or was never made, changes nothing."""
    declined = tuple(
        _ending(offer, OfferOutcome.DECLINED, WithdrawReason.UNAVAILABLE)
        for offer in case.open_offers
        if offer.person_id == person_id and offer.epoch == epoch
    )
    return Change(case.request, declined, hungry=True if declined else None)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Someone says yes, on one of their sessions."""

    person_id: UUID
    session_id: UUID
    epoch: int


def accept(case: Case, yes: Acceptance, now: datetime, limits: RequestLimits) -> Change | None:
    """The first to accept wins; None when this person holds no live offer of this epoch."""
    epoch = yes.epoch
    if case.request.state is not RequestState.WAITING or case.request.epoch != epoch:
        return None
    mine = next((o for o in case.open_offers if o.person_id == yes.person_id and o.epoch == epoch), None)
    if mine is None or mine.expires_at <= now:
        return None
    won = _ending(mine, OfferOutcome.WON, WithdrawReason.ANSWERED_BY_YOU)
    winner = replace(won, session_id=yes.session_id)
    lost = tuple(_ending(o, OfferOutcome.LOST, WithdrawReason.ANSWERED) for o in case.open_offers if o is not mine)
    return Change(step(case.request, Event.ACCEPTED, now, limits), (winner, *lost), winner)


def event_of_call_end(reason: str, by: str | None, had_media: bool) -> Event:
    """What the end of its call does to a request: the contract's table "Who ends it, and what then".

    `reason` and `by` ("requester", "volunteer" or None for the system) are the contract's words for a call's end.
    """
    if reason in ("technical", "lost", "never_connected", "drained", "busy"):
        return Event.RETURNED
    if reason == "suspended" and by == "volunteer":
        return Event.RETURNED
    if had_media:
        return Event.COMPLETED
    if reason in ("reported", "suspended", "ended_by_admin"):
        return Event.FAILED
    return Event.RETURNED if by == "volunteer" else Event.CANCELLED


def requester_is_there(case: Case, now: datetime, limits: RequestLimits) -> bool:
    """Nobody new is asked for a requester who has not been seen lately."""
    return now - case.requester_seen_at < limits.unseen_not_asked


def delivery_failed(offer: Offer, now: datetime, limits: RequestLimits) -> bool:
    """They know nothing of it: no device could be rung, or an open app did not answer in the time a healthy one needs.

    An acknowledgement that comes late counts. So does a ring that succeeds after all.
    """
    if offer.delivered_at is not None:
        return False
    if offer.ring_failed_at is not None:
        return True
    if offer.rung or (offer.tier is not Tier.HOT and offer.ring_at is not None):
        return False
    return offer.told_at is not None and now - offer.told_at >= limits.delivery


def ignored_by(offer: Offer) -> bool:
    """Whether an offer that ended rang at somebody, as far as is known, who did not react."""
    reached = offer.delivered_at is not None or offer.rung
    return offer.outcome is OfferOutcome.EXPIRED and reached


def next_look(case: Case, now: datetime, limits: RequestLimits, look_by: datetime | None = None) -> datetime:
    """When somebody must look again, at the latest, for a request that has not ended."""
    if case.request.state is RequestState.IN_CALL:
        return now + limits.look_in_call
    latest = now + limits.look_waiting
    edges = [case.request.deadline] + ([look_by] if look_by is not None else [])
    for offer in case.open_offers:
        edges.append(offer.expires_at)
        if offer.delivered_at is None and offer.told_at is not None and not delivery_failed(offer, now, limits):
            edges.append(offer.told_at + limits.delivery)
        if offer.ring_at is not None:
            edges.append(offer.ring_at)
    return min([latest, *(edge for edge in edges if edge > now)])
