"""The help desk over fakes: who wins and why others do not, what a requester hears, who is free when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NoReturn
from uuid import UUID

import pytest

from infra.memory.index import MemoryIndex
from infra.memory.request_book import Busy, Volunteer
from matching.help_desk import PROGRESS_EVERY_S, NotWon, Refusal, why_not
from matching.model import Listing, OfferOutcome, Outcome, Request, RequestState, Tier, WithdrawReason
from matching.ports import IdempotencyMismatch, IndexUnavailable, NewRequest, NotFound, RequestOpen, Swept
from matching.request_rules import Acceptance
from tests.support.fakes.cases import NOON, offer, person, seconds
from tests.support.fakes.cases import request as request_in_state
from tests.support.fakes.town import Town

PHONE, TABLET = UUID(int=31), UUID(int=32)
UNKNOWN = UUID(int=404)


@pytest.fixture
def town() -> Town:
    return Town(size=3)


async def ringing_request(town: Town, people: int = 3) -> tuple[Request, list[UUID]]:
    """A request that rings at `people` volunteers."""
    asked = await town.volunteers(people)
    request = await town.ask()
    await town.look(request.id)
    assert town.ringing(request.id) == asked
    return town.request(request.id), asked


async def refusal(accepting: Awaitable[NotWon | None]) -> Refusal | None:
    not_won = await accepting
    return not_won.refusal if not_won is not None else None


def yes(person_id: UUID, session_id: UUID = PHONE, epoch: int = 1) -> Acceptance:
    return Acceptance(person_id, session_id, epoch)


class TestOpening:
    def new(self, key: str | None, body: bytes = b"one", requester: int = 1) -> NewRequest:
        return NewRequest(UUID(int=requester), PHONE, ("en",), ("en",), None, "video", key, body)

    async def test_the_same_key_and_body_find_the_same_request(self, town: Town) -> None:
        first = await town.desk.open(self.new("key"))
        again = await town.desk.open(self.new("key"))
        assert (first.created, again.created, again.request) == (True, False, first.request)
        await town.desk.cancel(first.request.id)
        assert (await town.desk.open(self.new("key"))).request.id == first.request.id

    async def test_the_same_key_with_another_body_is_a_mismatch(self, town: Town) -> None:
        await town.desk.open(self.new("key"))
        with pytest.raises(IdempotencyMismatch):
            await town.desk.open(self.new("key", b"another"))

    async def test_a_second_request_meets_the_first(self, town: Town) -> None:
        first = await town.desk.open(self.new("key"))
        with pytest.raises(RequestOpen) as met:
            await town.desk.open(self.new(None))
        assert met.value.request == first.request
        assert (await town.desk.open(self.new("key", requester=2))).created

    async def test_a_new_request_is_soon_due_and_has_its_deadline(self, town: Town) -> None:
        opened = await town.desk.open(self.new(None))
        await town.later(1)
        assert await town.desk.due(10) == [opened.request.id]
        assert opened.request.deadline == NOON + seconds(180)


class TestAccepting:
    async def test_the_first_wins_and_is_told_and_the_others_lost(self, town: Town) -> None:
        request, (first, *others) = await ringing_request(town)
        told = len(town.herald.told)
        assert await town.desk.accept(request.id, yes(first)) is None
        after = town.request(request.id)
        assert after.state is RequestState.CONNECTING
        assert after.call_id is not None
        assert town.outcome(request.id, first) is OfferOutcome.WON
        assert {town.outcome(request.id, one) for one in others} == {OfferOutcome.LOST}
        assert town.herald.told[told:] == [request.id]

    async def test_repeated_by_the_session_that_won_it_is_won_still(self, town: Town) -> None:
        request, (first, *_) = await ringing_request(town)
        await town.desk.accept(request.id, yes(first))
        won = town.request(request.id)
        assert await town.desk.accept(request.id, yes(first)) is None
        assert town.request(request.id) == won

    async def test_of_fifty_at_the_same_instant_through_two_nodes_one_wins(self) -> None:
        town = Town(size=50)
        request, people = await ringing_request(town, 50)
        nodes = (town.desk, town.node())
        answers = await asyncio.gather(*(nodes[n % 2].accept(request.id, yes(one)) for n, one in enumerate(people)))
        assert answers.count(None) == 1
        assert [one.refusal for one in answers if one is not None] == 49 * [Refusal.ANSWERED_ELSEWHERE]
        winner = people[answers.index(None)]
        assert [one for one in people if town.outcome(request.id, one) is OfferOutcome.WON] == [winner]

    async def test_after_somebody_else_it_is_answered_elsewhere(self, town: Town) -> None:
        request, (first, second, _) = await ringing_request(town)
        await town.desk.accept(request.id, yes(first))
        assert await refusal(town.desk.accept(request.id, yes(second))) is Refusal.ANSWERED_ELSEWHERE

    async def test_on_another_device_it_is_answered_by_you(self, town: Town) -> None:
        request, (first, *_) = await ringing_request(town)
        await town.desk.accept(request.id, yes(first, PHONE))
        assert await refusal(town.desk.accept(request.id, yes(first, TABLET))) is Refusal.ANSWERED_BY_YOU

    async def test_of_an_offer_that_ran_out_it_is_over_whether_or_not_anybody_looked(self, town: Town) -> None:
        request, (first, second, _) = await ringing_request(town)
        await town.later(30)
        assert await refusal(town.desk.accept(request.id, yes(first))) is Refusal.OFFER_OVER
        await town.look(request.id)
        assert await refusal(town.desk.accept(request.id, yes(second))) is Refusal.OFFER_OVER

    async def test_of_an_offer_one_declined_it_is_over(self, town: Town) -> None:
        request, (first, *_) = await ringing_request(town)
        await town.desk.decline(request.id, first, 1)
        assert await refusal(town.desk.accept(request.id, yes(first))) is Refusal.OFFER_OVER

    async def test_of_a_cancelled_request_it_has_ended(self, town: Town) -> None:
        request, (first, *_) = await ringing_request(town)
        await town.desk.cancel(request.id)
        assert await refusal(town.desk.accept(request.id, yes(first))) is Refusal.REQUEST_ENDED

    async def test_of_an_expired_request_it_has_ended(self, town: Town) -> None:
        request, (first, *_) = await ringing_request(town)
        await town.desk.decline(request.id, first, 1)
        await town.later(180)
        await town.look(request.id)
        assert await refusal(town.desk.accept(request.id, yes(first))) is Refusal.REQUEST_ENDED

    async def test_of_a_request_one_was_never_asked_for_it_was_not_offered(self, town: Town) -> None:
        request, _ = await ringing_request(town)
        assert await refusal(town.desk.accept(request.id, yes(person(99)))) is Refusal.NOT_OFFERED

    @pytest.mark.parametrize("epoch", [0, 2, 99])
    async def test_of_another_epoch_it_was_not_offered(self, town: Town, epoch: int) -> None:
        request, (first, *_) = await ringing_request(town)
        assert await refusal(town.desk.accept(request.id, yes(first, epoch=epoch))) is Refusal.NOT_OFFERED
        assert town.ringing(request.id)[0] == first

    async def test_by_somebody_taken_elsewhere_it_is_refused_and_nothing_changes(self, town: Town) -> None:
        request, (first, *_) = await ringing_request(town)
        town.book.busy[first] = Busy(None, UNKNOWN)
        before = town.book.offers(request.id)
        assert await refusal(town.desk.accept(request.id, yes(first))) is Refusal.ALREADY_IN_CALL
        assert (town.request(request.id), town.book.offers(request.id)) == (request, before)

    async def test_of_no_request_is_not_found(self, town: Town) -> None:
        with pytest.raises(NotFound):
            await town.desk.accept(UNKNOWN, yes(person(0)))

    async def test_refused_it_changes_nothing(self, town: Town) -> None:
        request, (first, second, _) = await ringing_request(town)
        await town.desk.accept(request.id, yes(first))
        won, offers = town.request(request.id), town.book.offers(request.id)
        for one in (yes(second), yes(first, TABLET), yes(person(99)), yes(first, epoch=2)):
            assert await town.desk.accept(request.id, one) is not None
        assert (town.request(request.id), town.book.offers(request.id)) == (won, offers)


class TestDeclining:
    async def test_says_whether_an_offer_ended_by_it(self, town: Town) -> None:
        request, (first, *_) = await ringing_request(town)
        assert await town.desk.decline(request.id, first, 1)
        assert not await town.desk.decline(request.id, first, 1)
        assert not await town.desk.decline(request.id, person(99), 1)

    async def test_is_told(self, town: Town) -> None:
        request, (first, *_) = await ringing_request(town)
        told = len(town.herald.told)
        await town.desk.decline(request.id, first, 1)
        assert town.herald.told[told:] == [request.id]

    async def test_of_no_request_is_not_found(self, town: Town) -> None:
        with pytest.raises(NotFound):
            await town.desk.decline(UNKNOWN, person(0), 1)


class TestCancelling:
    async def test_a_waiting_request_ends_and_is_told(self, town: Town) -> None:
        request, people = await ringing_request(town)
        told = len(town.herald.told)
        cancelled = await town.desk.cancel(request.id)
        assert (cancelled.request.outcome, cancelled.call_id) == (Outcome.CANCELLED, None)
        assert {town.outcome(request.id, one) for one in people} == {OfferOutcome.WITHDRAWN}
        assert town.herald.told[told:] == [request.id]

    async def test_twice_it_is_cancelled_once(self, town: Town) -> None:
        request, _ = await ringing_request(town)
        first = await town.desk.cancel(request.id)
        assert await town.desk.cancel(request.id) == first

    @pytest.mark.parametrize("state", [RequestState.CONNECTING, RequestState.IN_CALL])
    async def test_an_answered_request_is_left_alone_and_its_call_named(self, town: Town, state: RequestState) -> None:
        request, (first, *_) = await ringing_request(town)
        await town.desk.accept(request.id, yes(first))
        row = town.book.rows[request.id]
        row.request = replace(row.request, state=state)
        cancelled = await town.desk.cancel(request.id)
        assert (cancelled.request, cancelled.call_id) == (row.request, row.request.call_id)
        assert cancelled.request.state is state

    async def test_against_an_accept_one_of_the_two_wins(self, town: Town) -> None:
        request, (first, *_) = await ringing_request(town)
        cancelled, not_won = await asyncio.gather(
            town.desk.cancel(request.id), town.node().accept(request.id, yes(first))
        )
        if not_won is None:
            assert cancelled.call_id == town.request(request.id).call_id
        else:
            assert not_won.refusal is Refusal.REQUEST_ENDED
            assert cancelled.request.state is RequestState.ENDED


class TestWhoIsFreeWhen:
    async def test_the_winner_is_held_until_the_call_is_over_and_a_moment_of_peace(self, town: Town) -> None:
        request, (first, *_) = await ringing_request(town)
        await town.desk.accept(request.id, yes(first))
        await town.later(10)
        assert not await town.can_be_drawn(first)
        await town.desk.freed(first, town.clock.now)
        await town.later(4.9)
        assert not await town.can_be_drawn(first)
        await town.later(0.1)
        assert await town.can_be_drawn(first)

    async def test_the_winner_is_held_also_when_the_index_took_them_for_free(self, town: Town) -> None:
        request, (first, *_) = await ringing_request(town)
        await town.index.release([first], at=town.clock.unix, now=town.clock.unix)
        await town.desk.accept(request.id, yes(first))
        assert not await town.can_be_drawn(first)

    async def test_a_winner_nobody_freed_comes_back_some_time(self, town: Town) -> None:
        request, (first, *_) = await ringing_request(town)
        await town.desk.accept(request.id, yes(first))
        await town.later(3600)
        assert await town.can_be_drawn(first)

    async def test_who_came_second_may_be_asked_at_once(self, town: Town) -> None:
        request, (first, second, _) = await ringing_request(town)
        await town.desk.accept(request.id, yes(first))
        assert await town.can_be_drawn(second)

    async def test_whose_offer_was_withdrawn_may_be_asked_at_once(self, town: Town) -> None:
        request, people = await ringing_request(town)
        await town.desk.cancel(request.id)
        assert all([await town.can_be_drawn(one) for one in people])

    async def test_who_declined_is_left_in_peace(self, town: Town) -> None:
        request, (first, *_) = await ringing_request(town)
        await town.desk.decline(request.id, first, 1)
        await town.later(59.9)
        assert not await town.can_be_drawn(first)
        await town.later(0.1)
        assert await town.can_be_drawn(first)

    async def test_whose_offer_ended_with_the_request_may_be_asked_at_once(self, town: Town) -> None:
        request = await town.ask()
        await town.later(170)
        people = await town.volunteers(2)
        await town.look(request.id)
        assert town.ringing(request.id) == people
        await town.later(10)
        await town.look(request.id)
        assert town.request(request.id).outcome is Outcome.EXPIRED
        assert all([await town.can_be_drawn(one) for one in people])

    async def test_who_let_it_expire_is_left_in_peace_from_then_on(self, town: Town) -> None:
        request, (first, *_) = await ringing_request(town)
        await town.later(40)
        await town.look(request.id)
        await town.later(59.9)
        assert not await town.can_be_drawn(first)
        await town.later(0.1)
        assert await town.can_be_drawn(first)

    async def test_who_is_no_longer_ready_is_not_drawn_as_hot(self, town: Town) -> None:
        (one,) = await town.volunteers(1)
        town.book.people[one].ready = False
        town.book.people[one].device = "in use"
        await town.desk.person_changed(one)
        assert await town.index.counts() == {("en", Tier.COLD): 1}

    async def test_whom_nothing_can_reach_is_forgotten(self, town: Town) -> None:
        (one,) = await town.volunteers(1)
        town.book.people[one].ready = False
        await town.desk.person_changed(one)
        assert await town.index.counts() == {}

    async def test_of_two_changes_at_once_the_later_is_what_is_known(
        self, town: Town, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An app that connects and at once says ready: two listings anew, of which the first may be slow."""
        (one,) = await town.volunteers(1)
        town.book.people[one].ready, town.book.people[one].device = False, "in use"
        read, put, go_on = asyncio.Event(), town.index.put, asyncio.Event()

        async def slow_once(listings: Sequence[Listing], now: float) -> None:
            monkeypatch.setattr(town.index, "put", put)
            read.set()
            await go_on.wait()
            await put(listings, now)

        monkeypatch.setattr(town.index, "put", slow_once)
        first = asyncio.create_task(town.desk.person_changed(one))
        await read.wait()
        town.book.people[one].ready = True
        second = asyncio.create_task(town.desk.person_changed(one))
        for _ in range(20):
            await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(first, second)
        assert await town.index.counts() == {("en", Tier.HOT): 1}

    async def test_what_another_node_listed_meanwhile_is_not_written_over_for_good(
        self, town: Town, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of two nodes that list a person at once, the one that read first may write last."""
        (one,) = await town.volunteers(1)
        town.book.people[one].ready, town.book.people[one].device = False, "in use"
        put = town.index.put

        async def after_another_node(listings: Sequence[Listing], now: float) -> None:
            monkeypatch.setattr(town.index, "put", put)
            town.book.people[one].ready = True
            await town.node().person_changed(one)
            await put(listings, now)

        monkeypatch.setattr(town.index, "put", after_another_node)
        assert await town.desk.person_changed(one)
        assert await town.index.counts() == {("en", Tier.HOT): 1}

    async def test_who_is_gone_is_forgotten(self, town: Town) -> None:
        (one,) = await town.volunteers(1)
        del town.book.people[one]
        await town.desk.person_changed(one)
        assert await town.index.counts() == {}

    async def test_somebody_who_becomes_free_is_for_the_oldest_request_that_wants_them(self, town: Town) -> None:
        danish, older, younger = await town.ask("da"), await town.ask(), await town.ask()
        for request in (danish, older, younger):
            await town.look(request.id)
        (one,) = await town.volunteers(1)
        assert await town.desk.waiting_for(one) == older.id
        await town.book.avoid(one, older.requester_id)
        assert await town.desk.waiting_for(one) == younger.id
        await town.desk.cancel(younger.id)
        assert await town.desk.waiting_for(one) is None


class TestWhyNot:
    """Offers that ended otherwise than by this person."""

    @pytest.mark.parametrize(
        ("reason", "refusal"),
        [
            (WithdrawReason.CANCELLED, Refusal.REQUEST_ENDED),
            (WithdrawReason.REQUEST_ENDED, Refusal.REQUEST_ENDED),
            (WithdrawReason.UNAVAILABLE, Refusal.OFFER_OVER),
        ],
    )
    def test_a_withdrawn_offer_says_why(self, reason: WithdrawReason, refusal: Refusal) -> None:
        withdrawn = replace(offer(0, outcome=OfferOutcome.WITHDRAWN), reason=reason)
        assert why_not(request_in_state(RequestState.WAITING), withdrawn, yes(person(0))) is refusal

    @pytest.mark.parametrize("outcome", OfferOutcome)
    def test_nothing_but_the_winning_session_has_won(self, outcome: OfferOutcome) -> None:
        refusal = why_not(request_in_state(RequestState.ENDED), offer(0, outcome=outcome), yes(person(0)))
        assert refusal is not None


class TestDelivery:
    async def test_acknowledged_offers_are_not_replaced(self, town: Town) -> None:
        town.herald.deaf = {person(n) for n in range(3)}
        request, people = await ringing_request(town)
        await town.volunteers(3)
        await town.later(1)
        await town.desk.delivered(people[0], [(request.id, 1)])
        await town.later(0.5)
        await town.look(request.id)
        assert len(town.ringing(request.id)) == 3 + 2


class TestSweeping:
    async def test_moves_those_whose_moment_has_come(self, town: Town) -> None:
        request, (first, *_) = await ringing_request(town)
        await town.desk.decline(request.id, first, 1)
        town.clock.advance(59)
        assert await town.desk.sweep(10) == Swept((), ())
        town.clock.advance(1)
        assert await town.desk.sweep(10) == Swept(woken=(first,), stale=())
        assert await town.index.counts() == {("en", Tier.HOT): 1}

    async def test_lists_anew_whose_window_is_over_and_forgets_who_is_gone(self, town: Town) -> None:
        here, gone = person(0), person(1)
        for one in (here, gone):
            over = Listing(one, ("en",), Tier.COLD, opens_at=0.0, closes_at=town.clock.unix + 5)
            await town.index.put([over], town.clock.unix)
        town.book.people[here] = Volunteer(here, ready=False, device="in use")
        town.clock.advance(5)
        assert set((await town.desk.sweep(10)).stale) == {here, gone}
        assert await town.index.counts() == {("en", Tier.COLD): 1}
        town.clock.advance(3600)
        assert await town.desk.sweep(10) == Swept((), ())


class TestLooking:
    async def test_tells_again_whatever_may_not_have_been_told(self, town: Town) -> None:
        request, _ = await ringing_request(town)
        told = len(town.herald.told)
        await town.look(request.id)
        assert town.herald.told[told:] == [request.id]

    async def test_gives_the_call_to_be_looked_at_too(self, town: Town) -> None:
        request, (first, *_) = await ringing_request(town)
        assert await town.desk.look(request.id) is None
        await town.desk.accept(request.id, yes(first))
        assert await town.desk.look(request.id) == town.request(request.id).call_id

    async def test_of_a_request_that_ended_or_never_was_does_nothing(self, town: Town) -> None:
        request, _ = await ringing_request(town)
        await town.desk.cancel(request.id)
        ended = town.request(request.id)
        assert await town.desk.look(request.id) is None
        assert town.request(request.id) == ended
        assert await town.desk.look(UNKNOWN) is None

    async def test_a_waiting_request_nobody_answers_expires_at_its_deadline(self, town: Town) -> None:
        request, _ = await ringing_request(town)
        for _ in range(181):
            await town.later(1)
            for due in await town.desk.due(10):
                await town.look(due)
        assert town.request(request.id).outcome is Outcome.EXPIRED
        assert town.ringing(request.id) == []
        assert await town.desk.due(10) == []

    async def test_a_requester_who_vanishes_fails_after_ninety_seconds(self, town: Town) -> None:
        request, _ = await ringing_request(town)
        for _ in range(91):
            await town.later(1)
            for due in await town.desk.due(10):
                await town.look(due, there=False)
        assert town.request(request.id).outcome is Outcome.FAILED

    async def test_a_claimed_look_that_is_never_made_is_due_again_a_second_later(self, town: Town) -> None:
        request, _ = await ringing_request(town)
        await town.later(1)
        assert await town.desk.due(10) == [request.id]
        assert await town.desk.due(10) == []
        await town.later(1)
        assert await town.desk.due(10) == [request.id]


class TestProgress:
    async def test_is_told_at_the_first_look(self, town: Town) -> None:
        await ringing_request(town)
        assert [(p.note, p.asked) for p in town.herald.progressed] == [("asking", 3)]

    async def test_unchanged_is_not_told_again(self, town: Town) -> None:
        request = await town.ask()
        for _ in range(20):
            await town.look(request.id)
            await town.later(1)
        assert [(p.note, p.asked) for p in town.herald.progressed] == [("nobody_awake", 0)]

    async def test_is_told_at_most_every_five_seconds_and_the_last_word_is_true(self) -> None:
        town = Town(size=2, interval_s=1)
        await town.volunteers(30)
        request = await town.ask()
        for _ in range(40):
            await town.look(request.id)
            await town.later(0.5)
        told = [progress.at for progress in town.herald.progressed]
        gaps = [(after - before).total_seconds() for before, after in pairwise(told)]
        assert len(told) >= 3
        assert all(gap >= PROGRESS_EVERY_S == 5 for gap in gaps)
        assert town.herald.progressed[-1].asked == town.request(request.id).asked

    async def test_is_counted_by_all_nodes_together(self, town: Town) -> None:
        request, _ = await ringing_request(town)
        await town.node().look(request.id)
        await town.later(1)
        await town.volunteers(5)
        await town.desk.decline(request.id, person(0), 1)
        await town.node().look(request.id)
        assert len(town.herald.progressed) == 1

    async def test_of_an_answered_request_is_not_told(self, town: Town) -> None:
        request, (first, *_) = await ringing_request(town)
        await town.desk.accept(request.id, yes(first))
        await town.later(10)
        await town.look(request.id)
        assert len(town.herald.progressed) == 1


class LostIndex(MemoryIndex):
    """Valkey is away: nothing answers."""

    async def put(self, listings: Sequence[Listing], now: float) -> NoReturn:
        raise IndexUnavailable

    async def remove(self, people: Collection[UUID]) -> NoReturn:
        raise IndexUnavailable

    async def confirm(self, people: Collection[UUID], *, asked_at: float, until: float) -> NoReturn:
        raise IndexUnavailable

    async def release(self, people: Collection[UUID], *, at: float, now: float) -> NoReturn:
        raise IndexUnavailable

    async def hold(self, people: Collection[UUID], until: float) -> NoReturn:
        raise IndexUnavailable


class TestWithTheIndexGone:
    @pytest.fixture
    def town(self) -> Town:
        town = Town(size=3)
        town.index = LostIndex()
        town.desk = town.node()
        return town

    async def test_a_request_is_asked_answered_and_its_people_freed_all_the_same(self, town: Town) -> None:
        request, (first, second, _) = await ringing_request(town)
        assert await town.desk.decline(request.id, second, 1)
        assert await town.desk.accept(request.id, yes(first)) is None
        await town.desk.look(request.id)
        await town.desk.freed(first, town.clock.now)
        await town.desk.person_changed(UNKNOWN)
        assert town.request(request.id).state is RequestState.CONNECTING

    async def test_a_request_is_cancelled_all_the_same(self, town: Town) -> None:
        request, _ = await ringing_request(town)
        assert (await town.desk.cancel(request.id)).request.state is RequestState.ENDED

    async def test_two_requests_that_draw_the_same_people_share_them(self, town: Town) -> None:
        people = await town.volunteers(3)
        one, other = await town.ask(), await town.ask()
        await asyncio.gather(town.desk.look(one.id), town.node().look(other.id))
        rung = town.ringing(one.id) + town.ringing(other.id)
        assert sorted(rung) == people
