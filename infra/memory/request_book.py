"""Requests, offers and who is taken, in memory: `matching.ports.RequestBook` with the semantics of the real one.

Every method lets others go first, then does its work undisturbed, as a transaction under the request's lock does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

from infra.memory.clock import MovedClock
from matching.languages import index_language
from matching.model import Listing, Offer, OfferOutcome, Request, RequestState, Tier
from matching.ports import (
    Decided,
    Drawn,
    IdempotencyMismatch,
    LateYes,
    NewRequest,
    NotFound,
    Opened,
    OpenOffer,
    RequestOpen,
    Rule,
    WavePlan,
)
from matching.request_rules import Case, Change, Progress, RequestLimits, ignored_by, next_look

NEVER = datetime.max.replace(tzinfo=UTC)
FIRST_LOOK = timedelta(seconds=0.5)
SAME_PERSON = timedelta(minutes=2)
RETURN_FROM_CALL = timedelta(minutes=10)


@dataclass
class Volunteer:
    """A person who may be asked, as Postgres knows them."""

    id: UUID
    languages: tuple[str, ...] = ("en",)
    """Index languages."""
    ready: bool = True
    device: Literal["in use", "idle"] | None = None
    """What can be woken when they are not ready."""
    paused: bool = False
    not_before: datetime | None = None
    last_asked: datetime | None = None
    ignored: int = 0
    week_began: datetime | None = None
    week_rings: int = 0
    week_full_until: datetime | None = None
    hot_until: datetime | None = None
    called_back_until: datetime | None = None
    helped: bool = False
    """They had a call that connected."""
    local_hour: int | None = 12

    def tier(self, now: datetime) -> Tier | None:
        by_device = {"in use": Tier.COLD, "idle": Tier.IDLE, None: None}
        kept_hot = self.hot_until is not None and self.hot_until > now
        return Tier.HOT if self.ready or kept_hot else by_device[self.device]

    def is_rung_out(self, now: datetime) -> bool:
        """Their closed app was rung often enough this week."""
        return self.week_full_until is not None and self.week_full_until > now


@dataclass
class Callback:
    """Its requester wants to be told, once, when somebody is free."""

    since: datetime
    expires_at: datetime
    until: datetime | None = None
    """Somebody is, and is kept for them until then."""


@dataclass
class Row:
    """A request with what its row holds besides."""

    request: Request
    key: str | None
    body_hash: bytes
    seen_at: datetime
    """When its requester was last seen."""
    next_look_at: datetime
    hungry: bool = True
    progress: Progress | None = None
    offers: list[Offer] = field(default_factory=list)
    standby: dict[UUID, datetime] = field(default_factory=dict)
    """Who said yes a moment too late -> until when they stand by."""
    ended_at: datetime | None = None
    callback: Callback | None = None


@dataclass(frozen=True)
class Busy:
    """Somebody is taken, for a live offer or a call."""

    until: datetime | None
    """None: until the call's end."""
    request_id: UUID


class MemoryRequestBook:
    """Implements `matching.ports.RequestBook`; tests read and turn its dictionaries as they like."""

    def __init__(self, clock: MovedClock, limits: RequestLimits) -> None:
        self.rows: dict[UUID, Row] = {}
        self.people: dict[UUID, Volunteer] = {}
        self.busy: dict[UUID, Busy] = {}
        self.avoided: set[frozenset[UUID]] = set()
        self.members: dict[UUID, set[UUID]] = {}
        """Group or desk -> who belongs to it."""
        self.waves: list[WavePlan] = []
        """Plans that were committed."""
        self.clock = self._clock = clock
        self._limits = limits

    # -- what tests ask -----------------------------------------------------------------------------------------------

    def offers(self, request_id: UUID) -> list[Offer]:
        """Every offer ever made for it, oldest first."""
        return list(self.rows[request_id].offers)

    def asked(self, request_id: UUID) -> list[UUID]:
        """Whom it was ever offered to, oldest first."""
        return [one.person_id for one in self.rows[request_id].offers]

    def taken_until(self, person_id: UUID) -> datetime | None:
        """Until when they are taken, as their listing says it; None when they are free."""
        held = self.busy.get(person_id)
        if held is None:
            return None
        return held.until or self._clock.now + RETURN_FROM_CALL

    # -- the port -----------------------------------------------------------------------------------------------------

    async def now(self) -> datetime:
        await asyncio.sleep(0)
        return self._clock.now

    async def open(self, new: NewRequest, deadline: timedelta) -> Opened:
        await asyncio.sleep(0)
        now = self._clock.now
        if (known := self._opened_before(new)) is not None:
            return known
        mine = self._of(new.requester_id)
        for row in mine:
            if row.request.state is not RequestState.ENDED:
                raise RequestOpen(row.request)
        for row in mine:
            if row.callback is not None and row.callback.until is None:
                row.callback = None
        request = self._born(UUID(int=(1 << 120) + len(self.rows)), new, now, deadline)
        self.rows[request.id] = Row(request, new.idempotency_key, new.body_hash, now, next_look_at=now + FIRST_LOOK)
        return Opened(request, created=True)

    async def opened_before(self, new: NewRequest) -> Opened | None:
        await asyncio.sleep(0)
        return self._opened_before(new)

    def _of(self, requester_id: UUID) -> list[Row]:
        return [row for row in self.rows.values() if row.request.requester_id == requester_id]

    def _opened_before(self, new: NewRequest) -> Opened | None:
        for row in self._of(new.requester_id):
            fresh = self._clock.now - row.request.created_at < timedelta(hours=24)
            if row.key is not None and row.key == new.idempotency_key and fresh:
                if row.body_hash != new.body_hash:
                    raise IdempotencyMismatch
                return Opened(row.request, created=False)
        return None

    async def get(self, request_id: UUID) -> Request | None:
        await asyncio.sleep(0)
        row = self.rows.get(request_id)
        return row.request if row else None

    async def current(self, requester_id: UUID) -> Request | None:
        await asyncio.sleep(0)
        mine = (row.request for row in self.rows.values() if row.request.requester_id == requester_id)
        return next((request for request in mine if request.state is not RequestState.ENDED), None)

    async def decide(self, request_id: UUID, rule: Rule) -> Decided:
        await asyncio.sleep(0)
        row, now = self.rows.get(request_id), self._clock.now
        if row is None:
            raise NotFound
        case = self._case(row)
        change = rule(case, now)
        if change is None:
            return Decided(case, Change(case.request), now)
        if change.winner is not None:
            pair = (case.request.requester_id, change.winner.person_id)
            if not all(self._free(person_id, request_id) for person_id in pair):
                return Decided(case, Change(case.request), now, refused_busy=True)
        rest_until = self._end_offers(row, change)
        if change.winner is not None:
            self.people[change.winner.person_id].ignored = 0
            for person_id in pair:
                self.busy[person_id] = Busy(None, request_id)
            call_id = UUID(int=(2 << 120) + len(self.rows) * 10 + change.request.epoch)
            change = replace(change, request=replace(change.request, call_id=call_id))
        _guard(case, change)
        row.request = change.request
        row.hungry = row.hungry if change.hungry is None else change.hungry
        after = self._case(row)
        ended = row.request.state is RequestState.ENDED
        row.next_look_at = NEVER if ended else next_look(after, now, self._limits, change.look_by)
        if ended and row.ended_at is None:
            row.ended_at = now
        return Decided(after, change, now, rest_until=rest_until)

    async def commit_wave(self, plan: WavePlan) -> tuple[UUID, ...] | None:
        await asyncio.sleep(0)
        row, now = self.rows[plan.request_id], self._clock.now
        request = row.request
        planned_for = (RequestState.WAITING, plan.epoch, plan.wave)
        if (request.state, request.epoch, request.wave) != planned_for or now >= request.deadline:
            return None
        expires_at = min(now + plan.offer, request.deadline)
        people = tuple(
            person_id for person_id in sorted(plan.people) if self._may_be_offered(row, person_id, plan.urgent)
        )
        for person_id in people:
            self.busy[person_id] = Busy(expires_at, request.id)
            self.people[person_id].last_asked = now
            self._count_ring(self.people[person_id], now)
            row.offers.append(self._offer(plan, person_id, now, expires_at))
        if people:
            counted = replace(request, wave=request.wave + 1, asked=request.asked + len(people))
            row.request = replace(counted, version=request.version + 1)
            row.hungry = plan.hungry or len(people) < len(plan.people)
            self.waves.append(plan)
        return people

    async def look_at_all(self) -> None:
        await asyncio.sleep(0)
        for row in self._waiting():
            row.next_look_at = self._clock.now

    async def due(self, limit: int) -> list[UUID]:
        await asyncio.sleep(0)
        due = sorted((row.next_look_at, row.request.id) for row in self.rows.values() if self._is_due(row))[:limit]
        for _, request_id in due:
            self.rows[request_id].next_look_at = self._clock.now + timedelta(seconds=1)
        return [request_id for _, request_id in due]

    async def exclusions(self, request_id: UUID) -> frozenset[UUID]:
        await asyncio.sleep(0)
        row = self.rows[request_id]
        never_again = {None, OfferOutcome.DECLINED, OfferOutcome.WON}
        asked = {one.person_id for one in row.offers if one.outcome in never_again}
        return frozenset(asked | {p for p in self.people if self._avoided(row, p)})

    async def let_expire(self, request_id: UUID) -> frozenset[UUID]:
        await asyncio.sleep(0)
        offers = self.rows[request_id].offers
        return frozenset(one.person_id for one in offers if one.outcome is OfferOutcome.EXPIRED)

    async def older_hungry(self, request: Request, language: str, limit: int) -> list[UUID]:
        await asyncio.sleep(0)
        place = (request.created_at, request.id)
        older = (row for row in self._waiting() if (row.request.created_at, row.request.id) < place)
        wanting = [row for row in older if self._hungry(row) and self._there(row) and language in _index(row.request)]
        return [row.request.id for row in wanting if not row.request.is_private(self._clock.now)][:limit]

    async def older_at_desk(self, request: Request, limit: int) -> list[UUID]:
        await asyncio.sleep(0)
        if request.desk_id is None:
            return []
        place = (request.created_at, request.id)
        older = (row for row in self._waiting() if (row.request.created_at, row.request.id) < place)
        wanting = [row for row in older if self._hungry(row) and self._there(row)]
        return [row.request.id for row in wanting if row.request.desk_id == request.desk_id][:limit]

    async def oldest_waiting_for(self, person_id: UUID) -> UUID | None:
        await asyncio.sleep(0)
        for row in self._waiting():
            wanted = self._hungry(row) and self._there(row) and row.request.deadline > self._clock.now
            wanted = wanted and row.request.requester_id != person_id and self._is_for(row.request, person_id)
            never_again = {None, OfferOutcome.DECLINED, OfferOutcome.WON}
            asked = any(one.person_id == person_id and one.outcome in never_again for one in row.offers)
            if wanted and not asked and not self._avoided(row, person_id):
                return row.request.id
        return None

    async def draw_ready(self, *, language: str, count: int, excluded: Collection[UUID]) -> list[UUID]:
        await asyncio.sleep(0)
        return self._whose_turn_it_is(Tier.HOT, language, excluded)[:count]

    async def draw_closed(self, *, language: str, count: int, excluded: Collection[UUID]) -> list[UUID]:
        await asyncio.sleep(0)
        return self._whose_turn_it_is(Tier.COLD, language, excluded)[:count]

    async def draw_private(self, request: Request, *, count: int, excluded: Collection[UUID]) -> list[Drawn]:
        await asyncio.sleep(0)
        now = self._clock.now
        tiers = {p: one.tier(now) for p, one in self.people.items()}
        members = self.members.get(request.group_id or request.desk_id or UUID(int=0), set())
        found = [
            one
            for tier in Tier
            for one in self._in_turn(p for p in members if tiers.get(p) is tier and p not in excluded)
            if request.group_id is not None or set(one.languages) & set(_index(request))
        ]
        return [Drawn(one.id, one.languages) for one in found[:count]]

    async def spoken(self, person_id: UUID) -> tuple[str, ...]:
        await asyncio.sleep(0)
        return self.people[person_id].languages if person_id in self.people else ()

    async def draw_standby(self, request_id: UUID) -> list[Drawn]:
        await asyncio.sleep(0)
        standing = {p: until for p, until in self.rows[request_id].standby.items() if until > self._clock.now}
        in_order = sorted(standing, key=lambda person_id: (standing[person_id], person_id))
        return [Drawn(person_id, self.people[person_id].languages) for person_id in in_order]

    async def stand_by(self, request_id: UUID, person_id: UUID, epoch: int, late: LateYes) -> datetime | None:
        await asyncio.sleep(0)
        row, now = self.rows[request_id], self._clock.now
        lost = [o for o in row.offers if (o.person_id, o.epoch, o.outcome) == (person_id, epoch, OfferOutcome.LOST)]
        if any(o.ended_at is not None and o.ended_at > now - late.hot for o in lost):
            self.people[person_id].hot_until = now + late.hot
            self.people[person_id].ignored = 0
        if not lost or (row.request.state, row.request.epoch) != (RequestState.CONNECTING, epoch):
            return None
        row.standby[person_id] = now + late.standby
        return row.standby[person_id]

    async def set_callback(self, request_id: UUID, life: timedelta) -> None:
        await asyncio.sleep(0)
        row, now = self.rows[request_id], self._clock.now
        if row.callback is None or row.callback.until is not None:
            row.callback = Callback(now, now + life)

    async def drop_callback(self, request_id: UUID) -> None:
        await asyncio.sleep(0)
        self.rows[request_id].callback = None

    async def languages_to_call_back(self) -> list[str]:
        await asyncio.sleep(0)
        now = self._clock.now
        wanting = [row for row in self.rows.values() if row.callback and row.request.state is RequestState.ENDED]
        open_ones = [
            row for row in wanting if row.callback and not row.callback.until and row.callback.expires_at > now
        ]
        return sorted({language for row in open_ones for language in _index(row.request)})

    async def call_back(self, person_id: UUID, reserved: timedelta) -> UUID | None:
        await asyncio.sleep(0)
        one, now = self.people.get(person_id), self._clock.now
        if one is None or one.tier(now) is not Tier.HOT or not self._in_turn([person_id]):
            return None
        if one.called_back_until is not None and one.called_back_until > now:
            return None
        wanting = [row for row in self.rows.values() if self._wants_callback(row, person_id)]
        for row in sorted(wanting, key=lambda row: (row.callback.since if row.callback else now, row.request.id))[:1]:
            assert row.callback is not None
            row.callback.until = one.called_back_until = now + reserved
            row.next_look_at = now
            return row.request.id
        return None

    def _wants_callback(self, row: Row, person_id: UUID) -> bool:
        request, callback = row.request, row.callback
        if callback is None or callback.until is not None or callback.expires_at <= self._clock.now:
            return False
        refused = {OfferOutcome.DECLINED, OfferOutcome.WON}
        asked = any(one.person_id == person_id and one.outcome in refused for one in row.offers)
        opens = request.public_at is not None and self._speaks(request, person_id)
        open_to = opens or self._is_for(request, person_id)
        ended = request.state is RequestState.ENDED and request.requester_id != person_id
        return ended and open_to and not asked and not self._avoided(row, person_id)

    async def offer_for(self, request_id: UUID, person_id: UUID, epoch: int) -> Offer | None:
        await asyncio.sleep(0)
        made = [one for one in self.rows[request_id].offers if (one.person_id, one.epoch) == (person_id, epoch)]
        return max(made, key=lambda one: one.wave, default=None)

    async def open_offers(self, person_id: UUID) -> list[OpenOffer]:
        await asyncio.sleep(0)
        return [
            OpenOffer(one, row.request.topic, row.request.mode, row.request.created_at)
            for row in self.rows.values()
            for one in row.offers
            if one.person_id == person_id and one.outcome is None and one.expires_at > self._clock.now
        ]

    async def note_delivered(self, person_id: UUID, offers: Collection[tuple[UUID, int]]) -> None:
        await asyncio.sleep(0)
        for request_id, epoch in offers:
            if request_id in self.rows:
                self.mark(request_id, {(person_id, epoch)}, delivered=True)

    async def note_progress(self, request_id: UUID, progress: Progress) -> None:
        await asyncio.sleep(0)
        self.rows[request_id].progress = progress

    async def avoid(self, person_id: UUID, other_id: UUID) -> None:
        await asyncio.sleep(0)
        self.avoided.add(frozenset({person_id, other_id}))

    def _whose_turn_it_is(self, tier: Tier, language: str, excluded: Collection[UUID]) -> list[UUID]:
        now = self._clock.now
        of_tier = (p for p, one in self.people.items() if one.tier(now) is tier and p not in excluded)
        return [one.id for one in self._in_turn(of_tier) if language in one.languages]

    def _in_turn(self, people: Iterable[UUID]) -> list[Volunteer]:
        """Of these those who may be asked now, longest unasked first."""
        now = self._clock.now
        found = [
            one
            for one in map(self.people.get, people)
            if one is not None
            and not one.paused
            and (one.not_before is None or one.not_before <= now)
            and (one.tier(now) is Tier.HOT or not one.is_rung_out(now))
            and self._is_free(one.id)
        ]
        return sorted(found, key=lambda one: (one.last_asked is not None, one.last_asked or now, one.id))

    # -- within -------------------------------------------------------------------------------------------------------

    def mark(self, request_id: UUID, whose: Collection[tuple[UUID, int]], *, delivered: bool) -> None:
        """These offers (person, epoch) were told, or were acknowledged."""
        now, row = self._clock.now, self.rows[request_id]

        def marked(one: Offer) -> Offer:
            if (one.person_id, one.epoch) not in whose:
                return one
            if delivered:
                return replace(one, delivered_at=one.delivered_at or now)
            return replace(one, told_at=one.told_at or now)

        row.offers = [marked(one) for one in row.offers]

    def _offer(self, plan: WavePlan, person_id: UUID, now: datetime, expires_at: datetime) -> Offer:
        one = self.people[person_id]
        tier = one.tier(now)
        assert tier is not None
        ring_at = None
        if one.device is not None:
            ring_at = now + self._limits.delivery if tier is Tier.HOT else now
        return Offer(
            plan.request_id,
            person_id,
            plan.epoch,
            plan.wave + 1,
            plan.language,
            now,
            expires_at,
            tier=tier,
            ring_at=ring_at,
            local_hour=one.local_hour,
        )

    def _hungry(self, row: Row) -> bool:
        return row.hungry or row.next_look_at <= self._clock.now

    def _case(self, row: Row) -> Case:
        request = row.request
        offers = tuple(one for one in row.offers if one.epoch == request.epoch or one.outcome is None)
        return Case(request, offers, row.seen_at, row.hungry, row.progress)

    def _end_offers(self, row: Row, change: Change) -> dict[UUID, datetime]:
        now = self._clock.now
        over = {(one.person_id, one.epoch, one.wave): replace(one, ended_at=now) for one in change.ended}
        row.offers = [over.get((one.person_id, one.epoch, one.wave), one) for one in row.offers]
        rest_until: dict[UUID, datetime] = {}
        for one in change.ended:
            if self.busy.get(one.person_id, Busy(None, row.request.id)).request_id == row.request.id:
                self.busy.pop(one.person_id, None)
            if one.outcome in (OfferOutcome.DECLINED, OfferOutcome.EXPIRED):
                rest_until[one.person_id] = self._leave_alone(self.people[one.person_id], one)
        return rest_until

    def _leave_alone(self, person: Volunteer, offer: Offer) -> datetime:
        if offer.outcome is OfferOutcome.DECLINED:
            person.ignored = 0
        elif ignored_by(offer):
            person.ignored += 1
        rest = self._limits.cooldown.after(person.ignored if ignored_by(offer) else 0)
        person.not_before = self._clock.now + rest
        return person.not_before

    def _count_ring(self, person: Volunteer, now: datetime) -> None:
        if person.tier(now) is not Tier.HOT:
            week = self._limits.weekly.counted(person.week_began, person.week_rings, now)
            person.week_began, person.week_rings, person.week_full_until = week.began, week.rings, week.full_until

    def _may_be_offered(self, row: Row, person_id: UUID, urgent: bool) -> bool:
        one, now = self.people.get(person_id), self._clock.now
        if one is None or one.paused or one.tier(now) is None:
            return False
        if one.tier(now) is not Tier.HOT and (one.is_rung_out(now) or (one.tier(now) is Tier.IDLE and urgent)):
            return False
        ringing = any(o.person_id == person_id and o.outcome is None for o in row.offers)
        return not ringing and not self._avoided(row, person_id) and self._is_free(person_id)

    def _speaks(self, request: Request, person_id: UUID) -> bool:
        return bool(set(self.people[person_id].languages) & set(_index(request)))

    def _is_for(self, request: Request, person_id: UUID) -> bool:
        """Whether they may be asked for it now: anybody who speaks its languages, or a member."""
        speaks = self._speaks(request, person_id)
        if not request.is_private(self._clock.now) and speaks:
            return True
        is_member = person_id in self.members.get(request.group_id or request.desk_id or UUID(int=0), set())
        return is_member and (request.group_id is not None or speaks)

    def _is_free(self, person_id: UUID) -> bool:
        held = self.busy.get(person_id)
        return held is None or (held.until is not None and held.until < self._clock.now)

    def _free(self, person_id: UUID, request_id: UUID) -> bool:
        held = self.busy.get(person_id)
        return self._is_free(person_id) or (held is not None and held.request_id == request_id)

    def _avoided(self, row: Row, person_id: UUID) -> bool:
        return frozenset({row.request.requester_id, person_id}) in self.avoided

    def _there(self, row: Row) -> bool:
        return self._clock.now - row.seen_at < self._limits.unseen_not_asked

    def _is_due(self, row: Row) -> bool:
        return row.next_look_at <= self._clock.now

    def _born(self, request_id: UUID, new: NewRequest, now: datetime, deadline: timedelta) -> Request:
        first_person = self._who_helped(new, now)
        return Request(
            id=request_id,
            requester_id=new.requester_id,
            session_id=new.session_id,
            state=RequestState.WAITING,
            outcome=None,
            languages=new.languages,
            topic=new.topic,
            mode=new.mode,
            created_at=now,
            waiting_since=now,
            deadline=now + deadline,
            epoch=1,
            returns=0,
            wave=0,
            asked=0,
            call_id=None,
            version=1,
            group_id=new.group_id,
            desk_id=new.desk_id,
            public_at=now + new.public_after if new.public_after is not None else None,
            first_person=first_person,
            first_until=now + new.first_person if first_person is not None else None,
        )

    def _who_helped(self, new: NewRequest, now: datetime) -> UUID | None:
        for row in self.rows.values():
            mine = row.request.requester_id == new.requester_id and row.request.call_id is not None
            if (
                mine
                and row.request.call_id == new.same_as_call_id
                and row.ended_at
                and now - row.ended_at < SAME_PERSON
            ):
                return next((one.person_id for one in row.offers if one.outcome is OfferOutcome.WON), None)
        return None

    def _waiting(self) -> Iterable[Row]:
        """Oldest first."""
        waiting = [row for row in self.rows.values() if row.request.state is RequestState.WAITING]
        return sorted(waiting, key=lambda row: (row.request.created_at, row.request.id))


class MemoryListings:
    """`matching.ports.Listings` read from a `MemoryRequestBook`: everybody who can be asked, always within hours."""

    def __init__(self, book: MemoryRequestBook) -> None:
        self._book = book

    async def of(self, people: Collection[UUID]) -> list[Listing]:
        await asyncio.sleep(0)
        known = (self._book.people.get(person_id) for person_id in people)
        now = self._book.clock.now
        tiers = [(one, one.tier(now)) for one in known if one is not None]
        return [_listing(one, tier, self._book.taken_until(one.id)) for one, tier in tiers if tier is not None]


def _listing(one: Volunteer, tier: Tier, taken_until: datetime | None) -> Listing:
    moments = [one.not_before, taken_until] + ([one.week_full_until] if tier is not Tier.HOT else [])
    not_before = max((at.timestamp() for at in moments if at), default=0.0)
    return Listing(
        person_id=one.id,
        languages=one.languages,
        tier=tier,
        opens_at=0.0,
        closes_at=None,
        not_before=float("inf") if one.paused else not_before,
        last_asked_at=one.last_asked.timestamp() if one.last_asked else 0.0,
        newcomer=not one.helped,
    )


def _index(request: Request) -> list[str]:
    return [index_language(tag) for tag in request.languages]


def _guard(case: Case, change: Change) -> None:
    """What the schema forbids."""
    before, after = case.request, change.request
    assert before.state is not RequestState.ENDED or after == before, "an ended request does not change"
    assert after.epoch >= before.epoch
    assert after.version >= before.version
    assert not {one.person_id for one in change.ended} - {one.person_id for one in case.open_offers}
    still_open = len(case.open_offers) - len(change.ended)
    assert after.state is RequestState.WAITING or not still_open, "an offer is left open on a request not waiting"
