"""The service of matching: opens requests, looks at them, and settles accepts, declines and cancellations.

Every method does load -> decide -> commit -> tell over ports. Deciding is pure (`request_rules`), committing is one
transaction (`RequestBook.decide`), telling may be repeated by any later look.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from matching.asking import Asking, AskingLimits
from matching.languages import index_languages
from matching.model import Listing, Offer, OfferOutcome, Request, RequestState, WithdrawReason
from matching.pace import Pace, Search
from matching.ports import (
    Decided,
    Herald,
    IndexUnavailable,
    Listings,
    NewRequest,
    NotFound,
    Opened,
    OpenOffer,
    RequestBook,
    Swept,
    VolunteerIndex,
)
from matching.progress import progress_note
from matching.request_rules import Acceptance, Case, Change, Progress, accept, cancel, decline

PROGRESS_EVERY_S = 5.0
HOLD_IN_CALL_S = 60.0
"""How long the index leaves someone in a call alone before it tries again; the call's end frees them sooner."""


LISTED_AT_MOST = 3
"""Times that somebody is listed for one change of theirs, should others change them at that moment."""
FREE_AT_ONCE = 8
"""Of so many people who are free in one language at once, requesters are told in one round."""

LISTING_LOCKS = 64
"""Strangers who share one wait for each other a moment now and then."""


class Refusal(StrEnum):
    """Why an accept did not win (the contract's codes)."""

    ANSWERED_ELSEWHERE = "answered_elsewhere"
    ANSWERED_BY_YOU = "answered_by_you"
    OFFER_OVER = "offer_over"
    REQUEST_ENDED = "request_ended"
    NOT_OFFERED = "not_offered"
    ALREADY_IN_CALL = "already_in_call"


@dataclass(frozen=True, slots=True)
class NotWon:
    """An accept that did not win. Being second is thanks: there is another request for them, or they stand by."""

    refusal: Refusal
    offer: OpenOffer | None = None
    """Another request, offered to them just now."""
    standby_until: datetime | None = None
    """Until when whoever was faster may still fail."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What cancelling met: the request, and the call to be ended instead when somebody had already answered."""

    request: Request
    call_id: UUID | None


class HelpDesk:
    """Queues requests for help and finds the people who answer them."""

    def __init__(
        self,
        book: RequestBook,
        index: VolunteerIndex,
        listings: Listings,
        herald: Herald,
        pace: Pace,
        limits: AskingLimits,
    ) -> None:
        self._book = book
        self._index = index
        self._listings = listings
        self._herald = herald
        self._limits = limits
        self._listing_anew = [asyncio.Lock() for _ in range(LISTING_LOCKS)]
        self._asking = Asking(book, index, listings, herald, pace, limits)

    # -- the requester ------------------------------------------------------------------------------------------------

    async def open(self, new: NewRequest) -> Opened:
        """Put a request in the books. The caller looks at it at once; any node will, should the caller die."""
        return await self._book.open(new, self._limits.request.deadline)

    async def opened_before(self, new: NewRequest) -> Opened | None:
        """What the same wish opened already, should it be told of a second time. Raises `IdempotencyMismatch`."""
        return await self._book.opened_before(new) if new.idempotency_key is not None else None

    async def cancel(self, request_id: UUID) -> Cancelled:
        """End a waiting request; one that somebody answered is left as it is, with the call to end."""

        def rule(case: Case, now: datetime) -> Change:
            waiting = case.request.state is RequestState.WAITING
            return cancel(case, now, self._limits.request) if waiting else Change(case.request)

        decided = await self._book.decide(request_id, rule)
        await self._settle_ended(decided)
        await self._herald.tell(request_id)
        live = decided.case.request.state in (RequestState.CONNECTING, RequestState.IN_CALL)
        return Cancelled(decided.case.request, decided.case.request.call_id if live else None)

    async def want_callback(self, request_id: UUID) -> UUID | None:
        """The requester wants to be told, once, when somebody is free; who is already, should there be somebody."""
        await self._book.set_callback(request_id, self._limits.callback_life)
        request = await self._book.get(request_id)
        if request is None or request.state is not RequestState.ENDED:
            return None
        excluded = await self._book.exclusions(request_id)
        for language in index_languages(request.languages):
            for person_id in await self._book.draw_ready(language=language, count=1, excluded=excluded):
                return person_id
        return None

    async def drop_callback(self, request_id: UUID) -> None:
        """They need not be told."""
        await self._book.drop_callback(request_id)

    async def call_back(self) -> list[UUID]:
        """Requests whose requester is to be told now that somebody is free, who turned free unnoticed."""
        fired: list[UUID] = []
        for language in await self._book.languages_to_call_back():
            for person_id in await self._book.draw_ready(language=language, count=FREE_AT_ONCE, excluded=()):
                request_id = await self._book.call_back(person_id, self._limits.callback_reserved)
                fired += [request_id] if request_id is not None else []
        return fired

    # -- the volunteer ------------------------------------------------------------------------------------------------

    async def accept(self, request_id: UUID, yes: Acceptance) -> NotWon | None:
        """Try to win the request; None when this session has won it, now or before. Raises `NotFound`."""

        def rule(case: Case, now: datetime) -> Change | None:
            return accept(case, yes, now, self._limits.request)

        decided = await self._book.decide(request_id, rule)
        if decided.change.winner is not None and not decided.refused_busy:
            # Before anybody is told: a call that ends at once must not be freed before it was held.
            await self._settle_ended(decided)
            await self._herald.tell(request_id)
            return None
        offer = await self._book.offer_for(request_id, yes.person_id, yes.epoch)
        if decided.refused_busy:
            return NotWon(Refusal.ALREADY_IN_CALL)
        refusal = why_not(decided.case.request, offer, yes)
        if refusal is Refusal.ANSWERED_ELSEWHERE:
            return await self._thank(request_id, yes)
        return NotWon(refusal) if refusal is not None else None

    async def _thank(self, request_id: UUID, yes: Acceptance) -> NotWon:
        """Somebody with the app open who wants to help: what a waiting requester needs most."""
        standby_until = await self._book.stand_by(request_id, yes.person_id, yes.epoch, self._limits.late_yes)
        await self.person_changed(yes.person_id)
        other = await self._book.oldest_waiting_for(yes.person_id)
        if other is not None:
            await self._asking.offer_to(other, yes.person_id)
        # Or somebody else's look has offered them another since they lost this one.
        theirs = await self._book.open_offers(yes.person_id)
        if theirs:
            return NotWon(Refusal.ANSWERED_ELSEWHERE, offer=min(theirs, key=lambda one: one.waiting_since))
        return NotWon(Refusal.ANSWERED_ELSEWHERE, standby_until=standby_until)

    async def decline(self, request_id: UUID, person_id: UUID, epoch: int) -> bool:
        """Not now; whether an offer ended by it, so that the caller looks for somebody else. Raises `NotFound`."""
        decided = await self._book.decide(request_id, lambda case, _now: decline(case, person_id, epoch))
        await self._settle_ended(decided)
        await self._herald.tell(request_id)
        return bool(decided.change.ended)

    async def open_to(self, person_id: UUID) -> list[UUID]:
        """The requests whose offers this person could answer now."""
        return [one.offer.request_id for one in await self._book.open_offers(person_id)]

    async def delivered(self, person_id: UUID, offers: Collection[tuple[UUID, int]]) -> None:
        """A device of this person acknowledged these offers."""
        await self._book.note_delivered(person_id, offers)

    async def person_changed(self, person_id: UUID) -> bool:
        """Languages, hours, readiness or standing changed: list the person anew, or not at all.

        False when the index could not be told.
        """
        # One after the other: of two at once, the one that read first could write last, and what was true before. That
        # may be another node, so it is read once more whether what was written is so.
        async with self._listing_anew[person_id.int % LISTING_LOCKS]:
            listings = await self._listings.of([person_id])
            for _ in range(LISTED_AT_MOST):
                now = (await self._book.now()).timestamp()
                try:
                    if listings:
                        await self._index.put(listings, now)
                    else:
                        await self._index.remove([person_id])
                except IndexUnavailable:
                    return False
                listed, listings = listings, await self._listings.of([person_id])
                if [*map(_standing, listed)] == [*map(_standing, listings)]:
                    break
        return True

    async def freed(self, person_id: UUID, now: datetime) -> None:
        """Their call is over: they may be asked again after a moment of peace."""
        await self._release([person_id], (now + self._limits.wrap_up).timestamp(), now.timestamp())

    async def waiting_for(self, person_id: UUID) -> UUID | None:
        """The request to look at now that this person can be asked: one that waits, else one that nobody answered, of
        which its requester is to be told that somebody is free."""
        waiting = await self._book.oldest_waiting_for(person_id)
        return waiting or await self._book.call_back(person_id, self._limits.callback_reserved)

    # -- looking ------------------------------------------------------------------------------------------------------

    async def look(self, request_id: UUID) -> UUID | None:
        """See the truth of a request, tell what was decided and not told, and ask more people if it wants them.

        Gives the call it has now, which is to be looked at too.
        """
        try:
            decided = await self._book.decide(request_id, self._asking.look_rule)
        except NotFound:
            return None
        await self._herald.tell(request_id)
        await self._settle_ended(decided)
        search = await self._asking.ask(decided.case, decided.now)
        await self._report_progress(decided, search)
        return None if decided.case.request.state is RequestState.ENDED else decided.case.request.call_id

    async def due(self, limit: int) -> list[UUID]:
        """Requests this node shall look at now."""
        return await self._book.due(limit)

    async def sweep(self, limit: int) -> Swept:
        """Move people whose moment has come to ready, and list those anew whose window has ended; who they are."""
        now = (await self._book.now()).timestamp()
        swept = await self._index.sweep(now, limit)
        if swept.stale:
            listings = await self._listings.of(swept.stale)
            await self._index.put(listings, now)
            gone = set(swept.stale) - {listing.person_id for listing in listings}
            if gone:
                await self._index.remove(gone)
        return swept

    async def _report_progress(self, decided: Decided, search: Search) -> None:
        case, now = decided.case, decided.now
        if case.request.state is not RequestState.WAITING:
            return
        note = progress_note(case, search.begun_with, search.got, search.language)
        progress = Progress(note, case.request.asked + search.got, now, search.language)
        last = case.progress
        if last is not None:
            same = (last.note, last.asked) == (progress.note, progress.asked)
            if same or (now - last.at).total_seconds() < PROGRESS_EVERY_S:
                return
        await self._herald.progress(case.request, progress)
        await self._book.note_progress(case.request.id, progress)

    async def _settle_ended(self, decided: Decided) -> None:
        """Let the index know who is free again; others come back when their offer would have ended."""
        now = decided.now.timestamp()
        outcomes = {offer.person_id: offer.outcome for offer in decided.change.ended}
        at_once = [p for p, o in outcomes.items() if o in (OfferOutcome.LOST, OfferOutcome.WITHDRAWN)]
        won = [p for p, o in outcomes.items() if o is OfferOutcome.WON]
        later: dict[float, list[UUID]] = {}
        for person_id, until in decided.rest_until.items():
            later.setdefault(until.timestamp(), []).append(person_id)
        # Side by side: an index that hangs costs the one who accepted its deadline once, not three times.
        await asyncio.gather(
            self._release(at_once, now, now),
            *(self._release(people, until, now) for until, people in later.items()),
            self._hold(won, now),
        )

    async def _hold(self, people: Collection[UUID], now: float) -> None:
        if not people:
            return
        try:
            await self._index.hold(people, now + HOLD_IN_CALL_S)
        except IndexUnavailable:
            return

    async def _release(self, people: Collection[UUID], at: float, now: float) -> None:
        if not people:
            return
        try:
            await self._index.release(people, at=at, now=now)
        except IndexUnavailable:
            return


def why_not(request: Request, offer: Offer | None, yes: Acceptance) -> Refusal | None:
    """Why this accept did not win just now; None when it had won already, on this very session."""
    if offer is None:
        return Refusal.NOT_OFFERED
    if offer.outcome is OfferOutcome.WON:
        return None if offer.session_id == yes.session_id else Refusal.ANSWERED_BY_YOU
    if offer.outcome is OfferOutcome.LOST:
        return Refusal.ANSWERED_ELSEWHERE
    if offer.outcome is OfferOutcome.WITHDRAWN and offer.reason is not WithdrawReason.UNAVAILABLE:
        return Refusal.REQUEST_ENDED
    return Refusal.REQUEST_ENDED if request.state is RequestState.ENDED else Refusal.OFFER_OVER


def _standing(listing: Listing) -> tuple[object, ...]:
    """What of a listing changes only when the person does: turns move all the time."""
    paused = listing.not_before == math.inf
    return listing.languages, listing.tier, listing.opens_at, listing.closes_at, listing.newcomer, paused
