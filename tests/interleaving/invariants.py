"""The invariants of the design, as far as they show in one state, or from one state to the next.

Which is checked where is told in the package's docstring.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import isfinite
from uuid import UUID

from infra.memory.request_book import Row
from matching.languages import index_language
from matching.model import Offer, OfferOutcome, Request, RequestState
from tests.interleaving.phones import ring_of
from tests.interleaving.world import World

LIVE = (RequestState.CONNECTING, RequestState.IN_CALL)
LONGEST_AWAY_S = 2 * 24 * 3600.0


@dataclass(frozen=True)
class Seen:
    """What the books held before a step."""

    cases: dict[UUID, tuple[Request, tuple[Offer, ...]]]
    kept_for: dict[UUID, datetime | None]
    """Person -> until when they are kept for somebody who was told that they are free."""
    fired: dict[UUID, datetime | None]
    """Request -> until when its requester was told that somebody is free."""

    @classmethod
    def of(cls, world: World) -> Seen:
        return cls(
            {id: (row.request, tuple(row.offers)) for id, row in world.book.rows.items()},
            {id: one.called_back_until for id, one in world.book.people.items()},
            {id: _fired(row) for id, row in world.book.rows.items()},
        )


Finding = Iterator[str]


def one_winner(world: World, before: Seen) -> Finding:
    for row in world.book.rows.values():
        winners = Counter(offer.epoch for offer in row.offers if offer.outcome is OfferOutcome.WON)
        for epoch, count in winners.items():
            if count > 1:
                yield f"1: {count} people won epoch {epoch} of {name(row)}"


def nobody_twice(world: World, before: Seen) -> Finding:
    taken: Counter[UUID] = Counter()
    for row in world.book.rows.values():
        for offer in row.offers:
            if offer.outcome is None and offer.expires_at > world.clock.now:
                taken[offer.person_id] += 1
        if row.request.state in LIVE:
            taken[row.request.requester_id] += 1
            taken.update(
                o.person_id for o in row.offers if (o.outcome, o.epoch) == (OfferOutcome.WON, row.request.epoch)
            )
    for person, count in taken.items():
        if count > 1:
            yield f"1: {person_name(person)} has {count} live offers or calls"


def looks_are_due(world: World, before: Seen) -> Finding:
    for row in world.book.rows.values():
        if row.request.state is not RequestState.ENDED:
            away = row.next_look_at - world.clock.now
            if away > timedelta(seconds=5):
                yield f"2: nobody looks at {name(row)} for {away}"


def everybody_returns(world: World, before: Seen) -> Finding:
    for person_id, entry in world.index._people.items():
        asleep = world.book.people[person_id].paused or entry.listing.opens_at is None
        if entry.wake_at is None or asleep or entry.listing.not_before == float("inf"):
            continue
        if not isfinite(entry.wake_at) or entry.wake_at > world.clock.unix + LONGEST_AWAY_S:
            yield f"3: {person_name(person_id)} is away for ever"
    for person_id, held in world.book.busy.items():
        row = world.book.rows[held.request_id]
        if held.until is None and row.request.state not in LIVE:
            yield f"3: {person_name(person_id)} is taken for a call of {name(row)}, which has none"


def the_past_stands(world: World, before: Seen) -> Finding:
    for request_id, (request, offers) in before.cases.items():
        row = world.book.rows[request_id]
        if request.state is RequestState.ENDED and row.request != request:
            yield f"4: {name(row)} had ended, and changed"
        if (row.request.epoch, row.request.version) < (request.epoch, request.version):
            yield f"4: {name(row)} went back in time"
        if len(row.offers) < len(offers):
            yield f"6: an offer of {name(row)} vanished"
        for offer, after in zip(offers, row.offers, strict=False):
            if after is not offer and (ring_of(after) != ring_of(offer) or _is_other_end(offer, after)):
                yield f"6: an offer of {name(row)} to {person_name(offer.person_id)} ended twice"


def offers_are_allowed(world: World, before: Seen) -> Finding:
    for request_id, row in world.book.rows.items():
        known = len(before.cases[request_id][1]) if request_id in before.cases else 0
        ringing = [offer for offer in row.offers if offer.outcome is None]
        for offer in ringing:
            if row.request.state is not RequestState.WAITING:
                yield f"5: {person_name(offer.person_id)} has an open offer of {name(row)}, {row.request.state.value}"
            if offer.epoch != row.request.epoch:
                yield f"5: {person_name(offer.person_id)} has an open offer of epoch {offer.epoch} of {name(row)}"
        for offer in row.offers[known:]:
            if frozenset({row.request.requester_id, offer.person_id}) in world.book.avoided:
                yield f"5: {person_name(offer.person_id)} was offered {name(row)} of somebody they never meet"
            if not world.book._is_for(row.request, offer.person_id):
                yield f"5: {person_name(offer.person_id)} was offered {name(row)}, which is not open to them"
            if world.book.people[offer.person_id].paused:
                yield f"5: {person_name(offer.person_id)} was offered {name(row)} while paused"
        if len({offer.person_id for offer in ringing}) < len(ringing) or _repeats(
            row.offers[known:], row.offers[:known]
        ):
            yield f"5: somebody was offered {name(row)} twice"


def _repeats(new: list[Offer], old: list[Offer]) -> bool:
    return any(ring_of(one) == ring_of(other) for one in new for other in old)


def rings_are_true(world: World, before: Seen) -> Finding:
    made = {ring_of(offer) for row in world.book.rows.values() for offer in row.offers}
    for ring in world.phones.shown:
        if ring not in made:
            yield f"6: {person_name(ring.person_id)} was told of an offer that was never made"


def promises_hold(world: World, before: Seen) -> Finding:
    for promise in world.promises:
        row = world.book.rows.get(promise.request_id)
        if row is None:
            yield f"8: {promise.what}, and there is no such request"
        elif promise.what == "cancelled" and row.request.state is not RequestState.ENDED:
            yield f"8: {name(row)} was cancelled, and is {row.request.state.value}"
        elif promise.what == "won" and _won_another(row, promise.person_id, promise.epoch):
            yield f"4: {person_name(promise.person_id)} said yes to epoch {promise.epoch} of {name(row)}, won another"
        elif promise.what == "offered" and not _was_offered(row, promise.person_id, promise.epoch):
            yield f"8: {person_name(promise.person_id)} was given an offer of {name(row)} that was never made"
        elif promise.what in ("won", "declined") and not _outcome(row, promise.what, promise.person_id, promise.epoch):
            yield f"8: {person_name(promise.person_id)} had {promise.what} {name(row)}, epoch {promise.epoch}: lost"


def one_callback_each(world: World, before: Seen) -> Finding:
    """Whoever is free is promised to one requester at a time, who hears of it once."""
    fired = [id for id, row in world.book.rows.items() if _fired(row) and _fired(row) != before.fired.get(id)]
    kept = [id for id, one in world.book.people.items() if one.called_back_until != before.kept_for.get(id)]
    if len(fired) != len(kept):
        yield f"1: {len(fired)} were told that somebody is free, and {len(kept)} are"
    for person_id in kept:
        until = before.kept_for.get(person_id)
        if until is not None and until > world.clock.now:
            yield f"1: {person_name(person_id)} was promised to two requesters"
    for request_id in fired:
        if before.fired.get(request_id) is not None:
            yield f"1: the requester of {name(world.book.rows[request_id])} was told twice that somebody is free"


INVARIANTS: tuple[Callable[[World, Seen], Finding], ...] = (
    one_winner,
    nobody_twice,
    looks_are_due,
    everybody_returns,
    the_past_stands,
    offers_are_allowed,
    rings_are_true,
    one_callback_each,
    promises_hold,
)


def broken(world: World, before: Seen) -> list[str]:
    """What is wrong with this state, or with how it came about."""
    return [finding for invariant in INVARIANTS for finding in invariant(world, before)]


def _is_other_end(before: Offer, after: Offer) -> bool:
    """Of an offer that was over nothing may change but what was told of it."""
    return before.outcome is not None and _without_telling(before) != _without_telling(after)


def _without_telling(offer: Offer) -> Offer:
    return replace(offer, told_at=None, delivered_at=None)


def _outcome(row: Row, what: str, person_id: UUID | None, epoch: int) -> bool:
    return any((o.person_id, o.epoch, o.outcome) == (person_id, epoch, OfferOutcome(what)) for o in row.offers)


def _was_offered(row: Row, person_id: UUID | None, epoch: int) -> bool:
    return any((offer.person_id, offer.epoch) == (person_id, epoch) for offer in row.offers)


def _fired(row: Row) -> datetime | None:
    return None if row.callback is None else row.callback.until


def _won_another(row: Row, person_id: UUID | None, epoch: int) -> bool:
    won = {offer.epoch for offer in row.offers if (offer.person_id, offer.outcome) == (person_id, OfferOutcome.WON)}
    return bool(won) and epoch not in won


def name(row: Row) -> str:
    return f"request {row.request.id.int & 0xFFFF}"


def person_name(person_id: UUID | None) -> str:
    return "nobody" if person_id is None else f"v{person_id.int - 1000}" if person_id.int < 10_000 else "a requester"


def languages(request: Request) -> set[str]:
    return {index_language(tag) for tag in request.languages}
