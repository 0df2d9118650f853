"""Finding people for a waiting request and offering it to them: draw, serve older requests, commit a wave, tell."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from matching.audience import (
    AudienceLimits,
    call_tag,
    first_person_offer,
    is_first_persons_turn,
    next_opening,
    tags_open,
    tags_to_ask,
)
from matching.languages import index_language
from matching.model import Tier
from matching.pace import Pace, Search
from matching.ports import (
    Drawn,
    Herald,
    IndexUnavailable,
    LateYes,
    Listings,
    NotFound,
    RequestBook,
    VolunteerIndex,
    WavePlan,
)
from matching.request_rules import Case, Change, RequestLimits, look

LEASE_S = 2.0
"""A drawn person who is not offered anything comes back after so long, also when the drawing node died."""

DRAWS_AT_ONCE = 8
"""How often one look draws; the next look goes on."""

OLDER_AT_ONCE = 20
"""Older hungry requests served from one draw before the request that drew; the rest have looks of their own."""


@dataclass(frozen=True, slots=True)
class AskingLimits:
    """How people are treated before and after having been asked; settings of the deployment."""

    request: RequestLimits
    wrap_up: timedelta = timedelta(seconds=5)
    """How long someone whose call is over is left in peace."""
    audience: AudienceLimits = field(default_factory=AudienceLimits)
    late_yes: LateYes = field(default_factory=LateYes)
    callback_life: timedelta = timedelta(hours=24)
    """After so long nobody is told any more that somebody is free: what they needed help with is a day old."""
    callback_reserved: timedelta = timedelta(seconds=60)
    """How long nobody else is told of the same person: to read it and tap takes that long."""


TIERS = (Tier.HOT, Tier.COLD, Tier.IDLE)
"""In the order in which people are asked."""


class Asking:
    """Turns "this request wants k people" into committed, told offers, in fair turn and oldest request first."""

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
        self._pace = pace
        self._limits = limits

    def look_rule(self, case: Case, now: datetime) -> Change:
        """The pure rule of a look, with the word whether the request wants people, and when it will want more."""
        change = look(case, now, self._limits.request)
        after = case.after(change)
        search = self._pace.search(after, now)
        opening = next_opening(after.request, now, self._limits.audience)
        look_by = search.next_wave_at if opening is None else min(search.next_wave_at, opening)
        return replace(change, hungry=search.wants_people, look_by=look_by)

    async def ask(self, case: Case, now: datetime) -> Search:
        """Offer to as many as are wanted and can be found, first to those never asked for it."""
        search = self._pace.search(case, now)
        if not search.wants_people:
            return search
        excluded = await self._book.exclusions(case.request.id)
        if is_first_persons_turn(case, now) and await self._ask_first_person(search, case, excluded, now):
            return search
        if case.request.epoch > 1:
            standing_by = await self._book.draw_standby(case.request.id)
            free = [one for one in standing_by if one.person_id not in excluded]
            await self._offer_left(search, free, Tier.HOT, now)
        ignored = await self._book.let_expire(case.request.id)
        for left_out in (excluded | ignored, excluded) if ignored - excluded else (excluded,):
            if case.request.is_private(now):
                await self._ask_private(search, left_out, now)
            else:
                await self._ask_anybody(search, left_out, now)
        return search

    async def offer_to(self, request_id: UUID, person_id: UUID) -> bool:
        """Offer this request to this person now, should it want people: they are there, and wait for somebody."""
        try:
            decided = await self._book.decide(request_id, lambda _case, _now: None)
        except NotFound:
            return False
        case, now = decided.case, decided.now
        search = self._pace.search(case, now)
        if not search.wants_people or person_id in await self._book.exclusions(request_id):
            return False
        languages = await self._book.spoken(person_id)
        await self._offer_left(search, [Drawn(person_id, languages)], Tier.HOT, now)
        return search.got > 0

    # -- whom to ask --------------------------------------------------------------------------------------------------

    async def _ask_first_person(self, search: Search, case: Case, excluded: Collection[UUID], now: datetime) -> bool:
        """Whether the one who helped a moment ago is being asked, so that nobody else is."""
        person_id = case.request.first_person
        if first_person_offer(case) is not None:
            return True
        if person_id is None or person_id in excluded:
            return False
        await self._offer_left(search, [Drawn(person_id, await self._book.spoken(person_id))], Tier.HOT, now)
        return search.got > 0

    async def _ask_private(self, search: Search, excluded: Collection[UUID], now: datetime) -> None:
        """People of the group or desk; at a desk older requests take from the draw first."""
        language = index_language(search.request.languages[0])
        for _ in range(DRAWS_AT_ONCE):
            if (missing := search.missing(Tier.HOT, language)) == 0:
                return
            drawn = await self._book.draw_private(search.request, count=missing, excluded=excluded)
            older = await self._book.older_at_desk(search.request, OLDER_AT_ONCE) if drawn else []
            left = await self._serve_older(older, drawn, Tier.HOT)
            if not drawn or (left and not await self._offer_left(search, left, Tier.HOT, now)):
                return

    async def _ask_anybody(self, search: Search, excluded: Collection[UUID], now: datetime) -> None:
        """In the languages that are open by now; in the next ones too when there is nobody left to ask in those."""
        tags = tags_to_ask(search.request)
        for count in range(tags_open(search.request, now, self._limits.audience), len(tags) + 1):
            # Whoever is there already comes first, in any open language: a woken phone takes its time.
            for tier in TIERS[: -1 if search.urgent else None]:
                for tag in tags[:count]:
                    await self._ask_in(search, tier, tag, excluded, now)
            if search.anybody_rings:
                return

    async def _ask_in(self, search: Search, tier: Tier, tag: str, excluded: Collection[UUID], now: datetime) -> None:
        """Draw until there are enough, or nobody is left: those drawn may have gone to older requests."""
        language = index_language(tag)
        for _ in range(DRAWS_AT_ONCE):
            if (missing := search.missing(tier, language)) == 0:
                return
            people = await self._draw(tier, language, missing, excluded, now)
            older = await self._book.older_hungry(search.request, language, OLDER_AT_ONCE) if people else []
            left = await self._serve_older(older, [Drawn(person, (language,)) for person in people], tier)
            if not people or (left and not await self._offer_left(search, left, tier, now)):
                return

    async def _draw(
        self, tier: Tier, language: str, count: int, excluded: Collection[UUID], now: datetime
    ) -> list[UUID]:
        moment = now.timestamp()
        try:
            return await self._index.draw(
                language=language,
                tier=tier,
                count=count,
                excluded=excluded,
                now=moment,
                lease_until=moment + LEASE_S,
            )
        except IndexUnavailable:
            if tier is Tier.IDLE:
                return []
            draw = self._book.draw_ready if tier is Tier.HOT else self._book.draw_closed
            return await draw(language=language, count=count, excluded=excluded)

    # -- older requests first -----------------------------------------------------------------------------------------

    async def _serve_older(self, older: Sequence[UUID], drawn: list[Drawn], tier: Tier) -> list[Drawn]:
        """No overtaking: older hungry requests take from the draw what they may have; the rest is left."""
        left = drawn
        for request_id in older:
            if not left:
                break
            left = await self._serve(request_id, left, tier)
        return left

    async def _serve(self, request_id: UUID, people: list[Drawn], tier: Tier) -> list[Drawn]:
        try:
            decided = await self._book.decide(request_id, lambda _case, _now: None)
        except NotFound:
            return people
        # What time has decided of it is not committed here but by its own look, which also tells and settles it.
        case, now = decided.case.after(look(decided.case, decided.now, self._limits.request)), decided.now
        search = self._pace.search(case, now)
        if not search.wants_people or is_first_persons_turn(case, now):
            return people
        excluded = await self._book.exclusions(request_id) | await self._book.let_expire(request_id)
        fitting = [one for one in people if one.person_id not in excluded and self._may_have(case, one, now)]
        chosen = fitting[: search.missing(tier, index_language(case.request.languages[0]))]
        await self._offer_left(search, chosen, tier, now)
        taken = {one.person_id for one in chosen}
        return [one for one in people if one.person_id not in taken]

    def _may_have(self, case: Case, one: Drawn, now: datetime) -> bool:
        """Whether the older request is open to somebody in a language they were found under by now."""
        if case.request.is_private(now):
            return True  # drawn for the same desk
        tags = tags_to_ask(case.request)[: tags_open(case.request, now, self._limits.audience)]
        return any(index_language(tag) in one.languages for tag in tags)

    # -- committing ---------------------------------------------------------------------------------------------------

    async def _offer_left(self, search: Search, people: Sequence[Drawn], tier: Tier, now: datetime) -> int:
        """Commit and tell offers to these people, a wave for each language of a call; how many were made."""
        by_tag: dict[str, list[UUID]] = {}
        for one in people:
            by_tag.setdefault(call_tag(search.request, one.languages), []).append(one.person_id)
        before = search.got
        for tag, persons in by_tag.items():
            hungry = len(persons) < search.missing(tier, index_language(tag))
            search.offered(await self._offer(search, tag, persons, now, hungry=hungry), tier, tag)
        return search.got - before

    async def _offer(self, search: Search, tag: str, people: list[UUID], now: datetime, *, hungry: bool) -> int:
        plan = WavePlan(
            request_id=search.request.id,
            epoch=search.request.epoch,
            wave=search.request.wave,
            people=tuple(people),
            language=tag,
            offer=self._limits.request.offer,
            hungry=hungry,
            urgent=search.urgent,
        )
        taken = await self._book.commit_wave(plan)
        await self._settle(people, taken, now)
        if taken:
            await self._herald.tell(plan.request_id)
        return len(taken or ())

    async def _settle(self, drawn: list[UUID], taken: tuple[UUID, ...] | None, now: datetime) -> None:
        """Tell the index who was asked and who was not; should that fail, leases end by themselves."""
        moment = now.timestamp()
        asked = set(taken or ())
        others = [person for person in drawn if person not in asked]
        try:
            if taken:
                away = self._limits.request.offer + self._limits.request.cooldown.first
                await self._index.confirm(taken, asked_at=moment, until=moment + away.total_seconds())
            if others and taken is None:
                await self._index.release(others, at=moment, now=moment)
            elif others:
                await self._list_anew(others, moment)
        except IndexUnavailable:
            return

    async def _list_anew(self, refused: list[UUID], moment: float) -> None:
        """Postgres refused them (taken, gone, paused, suspended): what the index knew of them was out of date."""
        listings = await self._listings.of(refused)
        await self._index.put(listings, moment)
        await self._index.remove(set(refused) - {listing.person_id for listing in listings})
