"""One policy in one world: everything that happens from the first request to the end of the last."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

from infra.memory.clock import MovedClock
from infra.memory.request_book import Volunteer
from infra.simulation.agenda import Agenda
from infra.simulation.contenders import Contender
from infra.simulation.crowd import Crowd
from infra.simulation.record import Record
from infra.simulation.town import Phones, TownBook, TownListings
from infra.simulation.world import START, Arrival, World, local_hour, zones
from matching.asking import AskingLimits
from matching.chances import AnswerDelay, Chances, Tally, tallies_of
from matching.help_desk import HelpDesk
from matching.languages import index_languages
from matching.model import Offer, OfferOutcome, RequestState
from matching.pace import Pace
from matching.ports import NewRequest
from matching.request_rules import Acceptance, Event, RequestLimits, step

DELIVERY_S: Final = 0.5
WITHDRAWAL: Final = timedelta(seconds=0.5)
"""For so long after somebody else won a phone still rings, and may be tapped in vain."""
LOOK: Final = timedelta(seconds=10)
"""Nothing is lost here that a look every second would find."""
CONNECTING_S: Final = 2.0
FORGOTTEN_S: Final = 5.0
SWEEP_S, SWEEP_LIMIT = 2.0, 1000
HOURS_S: Final = 900.0
LEARN_S: Final = 60.0


class Run:
    """Plays a world under a contender, at one chance of an answer."""

    def __init__(self, world: World, contender: Contender, chance: float) -> None:
        limits = RequestLimits(look_waiting=LOOK)
        asking = AskingLimits(limits)
        self._limits = limits
        self._hot_s = asking.late_yes.hot.total_seconds()
        self._clock = MovedClock(START)
        self._agenda = Agenda(START, self._clock)
        self._people = {person.id: person for person in world.people}
        self._zones = zones(self._people.values())
        self._arrivals = world.arrivals
        self._crowd = Crowd(world, self._people, chance, self._clock)
        self._book = TownBook(self._clock, limits)
        self._index = contender.index(world.dice)
        self._listings = TownListings(self._book, self._people)
        self._chances = Chances()
        self._tallies = dict(self._chances.tallies)
        pace = Pace(contender.waves, lambda: self._chances, limits)
        phones = Phones(self._book, self._offered)
        self._desk = HelpDesk(self._book, self._index, self._listings, phones, pace, asking)
        self._numbers: dict[UUID, int] = {}
        """Request -> its number among the arrivals."""
        self._looks: dict[UUID, datetime] = {}
        """Request -> when it is looked at next."""
        self._open = len(self._arrivals)
        self.record = Record.empty(len(self._arrivals), len(self._people))

    async def play(self) -> Record:
        for person in self._people.values():
            one = Volunteer(person.id, person.languages, ready=False, device="in use", local_hour=None)
            self._book.people[person.id] = one
        await self._tell_hours()
        await self._index.put(await self._listings.of(self._people), START.timestamp())
        for arrival in self._arrivals:
            self._agenda.at(arrival.at_s, partial(self._arrive, arrival))
        for every_s, what in ((SWEEP_S, self._sweep), (HOURS_S, self._tell_hours), (LEARN_S, self._learn)):
            self._agenda.at(every_s, partial(self._again, every_s, what))
        await self._agenda.run(over=lambda: self._open == 0)
        self.record.first_turn_s = [self._agenda.now_s if s < 0 else s for s in self.record.first_turn_s]
        self.record.tallies = self._tallies
        return self.record

    # -- requests -----------------------------------------------------------------------------------------------------

    async def _arrive(self, arrival: Arrival) -> None:
        requester_id = UUID(int=(4 << 120) + arrival.number)
        self._book.zones[requester_id] = arrival.zone
        new = NewRequest(
            requester_id=requester_id,
            session_id=requester_id,
            languages=(arrival.language,),
            index_languages=index_languages((arrival.language,)),
            topic=None,
            mode="video",
            idempotency_key=None,
            body_hash=b"",
        )
        request = (await self._desk.open(new)).request
        self._numbers[request.id] = arrival.number
        await self._look(request.id)

    async def _look(self, request_id: UUID) -> None:
        row = self._book.rows.get(request_id)
        if row is None or row.request.state is not RequestState.WAITING:
            return
        row.seen_at = self._clock.now
        await self._desk.look(request_id)
        if row.request.outcome is not None:
            self._nobody_came(request_id)
        elif row.next_look_at != self._looks.get(request_id):
            self._looks[request_id] = row.next_look_at
            self._agenda.at_moment(row.next_look_at, partial(self._look_at, request_id, row.next_look_at))

    async def _look_at(self, request_id: UUID, planned: datetime) -> None:
        if self._looks.get(request_id) == planned:
            del self._looks[request_id]
            await self._look(request_id)

    def _nobody_came(self, request_id: UUID) -> None:
        row, number = self._book.rows[request_id], self._numbers[request_id]
        asked = {offer.person_id for offer in row.offers}
        if self._index.somebody_free(row.request.languages[0], asked):
            self.record.unanswered += 1
        else:
            self.record.nobody_free += 1
        self._settled(number, request_id)
        self._agenda.after(FORGOTTEN_S, partial(self._forget, request_id))

    def _settled(self, number: int, request_id: UUID) -> None:
        row = self._book.rows[request_id]
        self.record.waited_s[number] = (self._clock.now - row.request.created_at).total_seconds()
        self.record.notifications[number] = len(row.offers)
        self.record.waves[number] = row.request.wave
        self._open -= 1

    async def _hang_up(self, request_id: UUID, helper_id: UUID) -> None:
        row = self._book.rows[request_id]
        for event in (Event.CONNECTED, Event.COMPLETED):
            row.request = step(row.request, event, self._clock.now, self._limits)
        for person_id in (helper_id, row.request.requester_id):
            self._book.busy.pop(person_id, None)
        self._book.people[helper_id].helped = True
        await self._desk.freed(helper_id, self._clock.now)
        self._agenda.after(FORGOTTEN_S, partial(self._forget, request_id))

    async def _forget(self, request_id: UUID) -> None:
        """Count what is to be learned from a request that is over."""
        row = self._book.rows.pop(request_id)
        self._book.zones.pop(row.request.requester_id)
        for group, tally in tallies_of(row.offers, AnswerDelay(), self._chances).items():
            self._tallies[group] = self._tallies.get(group, Tally()) + tally

    # -- phones -------------------------------------------------------------------------------------------------------

    def _offered(self, request_id: UUID, offers: Sequence[Offer]) -> None:
        now_s = self._agenda.now_s
        for offer in offers:
            number = self._people[offer.person_id].number
            self.record.turns[number] += 1
            if self.record.first_turn_s[number] < 0:
                self.record.first_turn_s[number] = now_s
        self._agenda.after(DELIVERY_S, partial(self._deliver, request_id, offers))

    async def _deliver(self, request_id: UUID, offers: Sequence[Offer]) -> None:
        row, number, now = self._book.rows[request_id], self._numbers[request_id], self._clock.now
        reached = [offer for offer in offers if self._crowd.reaches(number, offer)]
        missed = [offer for offer in offers if offer not in reached]
        Phones.change(row, reached, delivered_at=now, rung=True)
        Phones.change(row, missed, ring_failed_at=now)
        for offer in reached:
            reaction = self._crowd.react(number, offer, self.record)
            if reaction is not None:
                react = self._tap if reaction.what == "tap" else self._decline
                self._agenda.at_moment(now + reaction.after, partial(react, offer))
        if missed:
            await self._look(request_id)

    def _ringing(self, offer: Offer) -> Offer | None:
        """The offer as it is now, should the phone still ring."""
        row = self._book.rows.get(offer.request_id)
        key = (offer.person_id, offer.epoch, offer.wave)
        found = (one for one in (row.offers if row else ()) if (one.person_id, one.epoch, one.wave) == key)
        one = next(found, None)
        if one is None or (one.ended_at is not None and self._clock.now >= one.ended_at + WITHDRAWAL):
            return None
        return one

    async def _tap(self, offer: Offer) -> None:
        one = self._ringing(offer)
        if one is None:
            return
        await self._desk.accept(offer.request_id, Acceptance(offer.person_id, offer.person_id, offer.epoch))
        number = self._numbers[offer.request_id]
        if one.outcome is OfferOutcome.LOST:
            self.record.late_taps[number] += 1
            self._agenda.after(self._hot_s, partial(self._desk.person_changed, offer.person_id))
        won = self._ringing(offer)
        if one.outcome is None and won is not None and won.outcome is OfferOutcome.WON:
            self.record.answered[number] = True
            self._settled(number, offer.request_id)
            call_s = CONNECTING_S + self._arrivals[number].call_s
            self._agenda.after(call_s, partial(self._hang_up, offer.request_id, offer.person_id))

    async def _decline(self, offer: Offer) -> None:
        one = self._ringing(offer)
        if one is not None and one.outcome is None:
            await self._desk.decline(offer.request_id, offer.person_id, offer.epoch)
            await self._look(offer.request_id)

    # -- what runs again and again ------------------------------------------------------------------------------------

    async def _again(self, every_s: float, what: Callable[[], Awaitable[None]]) -> None:
        self._agenda.after(every_s, partial(self._again, every_s, what))
        await what()

    async def _sweep(self) -> None:
        moved = SWEEP_LIMIT
        while moved >= SWEEP_LIMIT:
            swept = await self._desk.sweep(SWEEP_LIMIT)
            moved = max(len(swept.woken), len(swept.stale))

    async def _tell_hours(self) -> None:
        """What the clocks on the walls of volunteers show."""
        for zone, people in self._zones.items():
            hour = int(local_hour(zone, self._clock.now))
            if self._book.people[people[0].id].local_hour != hour:
                for person in people:
                    self._book.people[person.id].local_hour = hour

    async def _learn(self) -> None:
        self._chances = Chances(dict(self._tallies))
