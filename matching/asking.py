"""Finding people for a waiting request and offering it to them: draw, serve older requests, commit a wave, tell."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from matching.languages import index_language
from matching.model import Request, RequestState, Tier
from matching.ports import Herald, IndexUnavailable, Listings, NotFound, RequestBook, VolunteerIndex, WavePlan
from matching.request_rules import Case, Change, RequestLimits, look, requester_is_there
from matching.waves import WavePolicy, wave_view

LEASE_S = 2.0
"""A drawn person who is not offered anything comes back after so long, also when the drawing node died."""

DRAWS_AT_ONCE = 8
"""How often one look draws; the next look goes on."""

OLDER_AT_ONCE = 20
"""Older hungry requests served from one draw before the request that drew; the rest have looks of their own."""


@dataclass(frozen=True, slots=True)
class AskingLimits:
    """How people are treated after having been asked."""

    request: RequestLimits
    cooldown: timedelta = timedelta(seconds=60)
    """How long someone who ignored or declined an offer is left in peace."""
    wrap_up: timedelta = timedelta(seconds=5)
    """How long someone whose call is over is left in peace."""


TIERS = (Tier.HOT, Tier.COLD, Tier.IDLE)
"""In the order in which people are asked."""


class _Search:
    """How far one look has come in finding people."""

    def __init__(self, request: Request, wanted: int, urgent: bool) -> None:
        self.request = request
        self.urgent = urgent
        self.wanted = wanted
        self.got = 0

    @property
    def missing(self) -> int:
        return self.wanted - self.got

    def offered(self, count: int) -> None:
        """The next wave is planned on top of this one, and of no other node's."""
        self.got += count
        self.request = replace(self.request, wave=self.request.wave + (count > 0))


class Asking:
    """Turns "this request wants k people" into committed, told offers, in fair turn and oldest request first."""

    def __init__(
        self,
        book: RequestBook,
        index: VolunteerIndex,
        listings: Listings,
        herald: Herald,
        policy: WavePolicy,
        limits: AskingLimits,
    ) -> None:
        self._book = book
        self._index = index
        self._listings = listings
        self._herald = herald
        self._policy = policy
        self._limits = limits

    def wanted(self, case: Case, now: datetime) -> int:
        """People to ask now for this case: none unless it waits and its requester is there."""
        if case.request.state is not RequestState.WAITING:
            return 0
        if not requester_is_there(case, now, self._limits.request):
            return 0
        return self._policy.wanted(wave_view(case, now, self._limits.request))

    def _is_urgent(self, case: Case, now: datetime) -> bool:
        return self._policy.is_urgent(wave_view(case, now, self._limits.request))

    def look_rule(self, case: Case, now: datetime) -> Change:
        """The pure rule of a look, with the word whether the request wants people, and when it will want more."""
        change = look(case, now, self._limits.request)
        after = case.after(change)
        next_wave_at = self._policy.next_wave_at(wave_view(after, now, self._limits.request))
        return replace(change, hungry=self.wanted(after, now) > 0, look_by=next_wave_at)

    async def ask(self, case: Case, now: datetime) -> int:
        """Offer to as many as are wanted and can be found, first to those never asked for it; how many were offered."""
        wanted = self.wanted(case, now)
        if wanted == 0:
            return 0
        search = _Search(case.request, wanted, self._is_urgent(case, now))
        excluded = await self._book.exclusions(case.request.id)
        ignored = await self._book.let_expire(case.request.id)
        for left_out in (excluded | ignored, excluded) if ignored - excluded else (excluded,):
            # Whoever is there already comes first, in any language of the request: a woken phone takes its time.
            for tier in TIERS[: -1 if search.urgent else None]:
                for language in case.request.languages:
                    await self._ask_in(search, tier, language, left_out, now)
        return search.got

    async def _ask_in(
        self, search: _Search, tier: Tier, language: str, excluded: Collection[UUID], now: datetime
    ) -> None:
        """Draw until there are enough, or nobody is left: those drawn may have gone to older requests."""
        for _ in range(DRAWS_AT_ONCE):
            if search.missing == 0:
                return
            drawn = await self._draw(tier, index_language(language), search.missing, excluded, now)
            left = await self._serve_older(search.request, index_language(language), drawn) if drawn else []
            if not drawn or (left and not await self._offer_left(search, language, left, now)):
                return

    async def _offer_left(self, search: _Search, language: str, left: list[UUID], now: datetime) -> int:
        hungry = len(left) < search.missing
        offered = await self._offer(search.request, language, left, now, hungry=hungry, urgent=search.urgent)
        search.offered(offered)
        return offered

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

    async def _serve_older(self, request: Request, language: str, drawn: list[UUID]) -> list[UUID]:
        """No overtaking: older hungry requests take from the draw what they may have; the rest is left."""
        left = drawn
        for older_id in await self._book.older_hungry(request, language, OLDER_AT_ONCE):
            if not left:
                break
            left = await self._serve(older_id, language, left)
        return left

    async def _serve(self, request_id: UUID, language: str, people: list[UUID]) -> list[UUID]:
        try:
            decided = await self._book.decide(request_id, lambda _case, _now: None)
        except NotFound:
            return people
        # What time has decided of it is not committed here but by its own look, which also tells and settles it.
        change = look(decided.case, decided.now, self._limits.request)
        wanted = self.wanted(decided.case.after(change), decided.now)
        excluded = await self._book.exclusions(request_id) | await self._book.let_expire(request_id)
        chosen = [person for person in people if person not in excluded][:wanted]
        if not chosen:
            return people
        request = decided.case.request
        tag = next(tag for tag in request.languages if index_language(tag) == language)
        urgent = self._is_urgent(decided.case, decided.now)
        await self._offer(request, tag, chosen, decided.now, hungry=len(chosen) < wanted, urgent=urgent)
        taken = set(chosen)
        return [person for person in people if person not in taken]

    async def _offer(
        self, request: Request, language: str, people: list[UUID], now: datetime, *, hungry: bool, urgent: bool
    ) -> int:
        plan = WavePlan(
            request_id=request.id,
            epoch=request.epoch,
            wave=request.wave,
            people=tuple(people),
            language=language,
            offer=self._limits.request.offer,
            hungry=hungry,
            urgent=urgent,
        )
        taken = await self._book.commit_wave(plan)
        await self._settle(people, taken, now)
        if taken:
            await self._herald.tell(request.id)
        return len(taken or ())

    async def _settle(self, drawn: list[UUID], taken: tuple[UUID, ...] | None, now: datetime) -> None:
        """Tell the index who was asked and who was not; should that fail, leases end by themselves."""
        moment = now.timestamp()
        others = [person for person in drawn if person not in set(taken or ())]
        try:
            if taken:
                away = self._limits.request.offer + self._limits.cooldown
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
