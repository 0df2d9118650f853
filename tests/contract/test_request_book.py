"""One contract for every request book: the one in memory that fast tests trust, and the real one in Postgres."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import uuid4

import pytest

from matching.model import OfferOutcome, Outcome, RequestState, WithdrawReason
from matching.ports import IdempotencyMismatch, NotFound, RequestOpen, WavePlan
from matching.request_rules import Acceptance, Case, Change, Progress, accept, cancel
from tests.contract.books import LIMITS, Subject, ask, current, look_at, new, offer, rung, say_no, say_yes
from tests.contract.books import subject as subject


class TestOpening:
    async def test_a_request_waits_in_its_first_epoch(self, subject: Subject) -> None:
        request = await ask(subject, "da", "en")
        assert (request.state, request.epoch, request.wave, request.asked) == (RequestState.WAITING, 1, 0, 0)
        assert request.deadline == request.created_at + LIMITS.deadline
        assert request.languages == ("da", "en")
        assert await subject.book.get(request.id) == request
        assert await subject.book.current(request.requester_id) == request

    async def test_a_key_names_one_request_even_after_its_end(self, subject: Subject) -> None:
        wish = new(await subject.requester(), key="k")
        first = await subject.book.open(wish, LIMITS.deadline)
        again = await subject.book.open(wish, LIMITS.deadline)
        assert (first.created, again.created, again.request) == (True, False, first.request)
        await subject.book.decide(first.request.id, lambda case, now: cancel(case, now, LIMITS))
        ended = await subject.book.open(wish, LIMITS.deadline)
        assert (ended.created, ended.request.id) == (False, first.request.id)

    async def test_a_key_with_another_body_is_a_mismatch(self, subject: Subject) -> None:
        requester = await subject.requester()
        await subject.book.open(new(requester, key="k"), LIMITS.deadline)
        with pytest.raises(IdempotencyMismatch):
            await subject.book.open(new(requester, key="k", body=b"1" * 32), LIMITS.deadline)

    async def test_what_a_key_opened_is_known_for_a_day(self, subject: Subject) -> None:
        wish = new(await subject.requester(), key="k")
        assert await subject.book.opened_before(wish) is None
        first = await subject.book.open(wish, LIMITS.deadline)
        known = await subject.book.opened_before(wish)
        assert known is not None
        assert (known.created, known.request) == (False, first.request)
        with pytest.raises(IdempotencyMismatch):
            await subject.book.opened_before(replace(wish, body_hash=b"1" * 32))
        await subject.pass_time(24 * 3600)
        assert await subject.book.opened_before(wish) is None

    async def test_one_person_has_one_request_at_a_time(self, subject: Subject) -> None:
        requester = await subject.requester()
        first = (await subject.book.open(new(requester), LIMITS.deadline)).request
        with pytest.raises(RequestOpen) as met:
            await subject.book.open(new(requester, key="k"), LIMITS.deadline)
        assert met.value.request == first
        await subject.book.decide(first.id, lambda case, now: cancel(case, now, LIMITS))
        assert await subject.book.current(requester[0]) is None
        assert (await subject.book.open(new(requester), LIMITS.deadline)).created

    async def test_nobody_knows_what_was_never_opened(self, subject: Subject) -> None:
        assert await subject.book.get(uuid4()) is None
        assert await subject.book.current(uuid4()) is None
        with pytest.raises(NotFound):
            await subject.book.decide(uuid4(), lambda case, _now: Change(case.request))


class TestWaves:
    async def test_offers_are_counted_and_open(self, subject: Subject) -> None:
        request, people = await rung(subject, 2)
        assert (request.wave, request.asked, request.version) == (1, 2, 2)
        for one, _ in people:
            (opened,) = await subject.book.open_offers(one)
            made = opened.offer
            assert (made.request_id, made.epoch, made.wave, made.outcome) == (request.id, 1, 1, None)
            assert made.expires_at == made.offered_at + LIMITS.offer
            assert opened.waiting_since == request.created_at
            assert await subject.book.offer_for(request.id, one, 1) == made
        assert await subject.book.offer_for(request.id, people[0][0], 2) is None

    async def test_a_plan_of_another_wave_or_epoch_is_out_of_date(self, subject: Subject) -> None:
        request, _ = await rung(subject)
        other, _ = await subject.volunteer()
        for epoch, wave in ((1, 0), (1, 2), (2, 1)):
            plan = WavePlan(request.id, epoch, wave, (other,), "en", LIMITS.offer, hungry=False)
            assert await subject.book.commit_wave(plan) is None
        assert await subject.book.open_offers(other) == []

    async def test_a_plan_for_a_request_that_ended_or_is_past_its_deadline_is_out_of_date(
        self, subject: Subject
    ) -> None:
        over, late = await ask(subject), await ask(subject)
        one, _ = await subject.volunteer()
        await subject.book.decide(over.id, lambda case, now: cancel(case, now, LIMITS))
        assert await offer(subject, over, one) is None
        await subject.pass_time(180)
        assert await offer(subject, late, one) is None

    async def test_no_offer_outlives_its_request(self, subject: Subject) -> None:
        request = await ask(subject)
        one, _ = await subject.volunteer()
        await subject.pass_time(175)
        assert await offer(subject, request, one) == (one,)
        (opened,) = await subject.book.open_offers(one)
        assert opened.offer.expires_at == request.deadline

    async def test_people_who_cannot_be_asked_are_left_out(self, subject: Subject) -> None:
        ringing, ((busy, _), *_rest) = await rung(subject)
        request = await ask(subject)
        people = [busy]
        for spoil in (subject.pause, subject.unready, lambda one: subject.book.avoid(one, request.requester_id)):
            one, _ = await subject.volunteer()
            await spoil(one)
            people.append(one)
        free, _ = await subject.volunteer()
        assert await offer(subject, request, *people, free, uuid4()) == (free,)
        assert (await current(subject, request)).asked == 1
        assert (await current(subject, ringing)).asked == 1

    async def test_a_wave_that_reaches_nobody_is_none(self, subject: Subject) -> None:
        request = await ask(subject)
        assert await offer(subject, request, uuid4()) == ()
        assert await current(subject, request) == request

    async def test_somebody_whose_offer_ran_out_can_be_asked_by_another_although_nobody_looked(
        self, subject: Subject
    ) -> None:
        _, ((one, _),) = await rung(subject)
        another = await ask(subject)
        await subject.pass_time(29)
        assert await offer(subject, another, one) == ()
        await subject.pass_time(1.5)
        assert await offer(subject, another, one) == (one,)


class TestDeciding:
    async def test_the_winner_wins_the_others_lose_and_a_call_begins(self, subject: Subject) -> None:
        request, (first, second) = await rung(subject, 2)
        assert await say_yes(subject, request, first)
        assert not await say_yes(subject, request, second)
        after = await current(subject, request)
        assert after.state is RequestState.CONNECTING
        assert after.call_id is not None
        won = await subject.book.offer_for(request.id, first[0], 1)
        lost = await subject.book.offer_for(request.id, second[0], 1)
        assert won is not None
        assert lost is not None
        assert (won.outcome, won.reason, won.session_id) == (
            OfferOutcome.WON,
            WithdrawReason.ANSWERED_BY_YOU,
            first[1],
        )
        assert (lost.outcome, lost.reason, lost.session_id) == (OfferOutcome.LOST, WithdrawReason.ANSWERED, None)

    async def test_who_won_is_taken_and_who_lost_is_free(self, subject: Subject) -> None:
        request, (first, second) = await rung(subject, 2)
        await say_yes(subject, request, first)
        another = await ask(subject)
        assert await offer(subject, another, first[0], second[0]) == (second[0],)
        await subject.pass_time(170)
        assert await offer(subject, await current(subject, another), first[0]) == ()

    async def test_who_is_taken_elsewhere_by_now_wins_nothing(self, subject: Subject) -> None:
        request, (who,) = await rung(subject)
        await subject.pass_time(31)
        another = await ask(subject)
        assert await offer(subject, another, who[0]) == (who[0],)
        before = await current(subject, request)

        def rule(case: Case, _now: datetime) -> Change | None:
            return accept(case, Acceptance(*who, 1), before.created_at, LIMITS)

        decided = await subject.book.decide(request.id, rule)
        assert (decided.refused_busy, decided.case.request) == (True, before)
        assert decided.change.ended == ()
        assert await current(subject, request) == before

    async def test_no_change_and_none_leave_everything(self, subject: Subject) -> None:
        request, _ = await rung(subject)
        assert (await subject.book.decide(request.id, lambda _case, _now: None)).case.request == request
        await subject.book.decide(request.id, lambda case, _now: Change(case.request))
        assert await current(subject, request) == request

    async def test_a_rule_that_raises_changes_nothing(self, subject: Subject) -> None:
        request, _ = await rung(subject)

        def rule(_case: Case, _now: datetime) -> Change:
            raise LookupError

        with pytest.raises(LookupError):
            await subject.book.decide(request.id, rule)
        assert await current(subject, request) == request

    async def test_cancelling_withdraws_and_frees(self, subject: Subject) -> None:
        request, ((one, _),) = await rung(subject)
        decided = await subject.book.decide(request.id, lambda case, now: cancel(case, now, LIMITS))
        assert decided.case.request.outcome is Outcome.CANCELLED
        assert decided.case.open_offers == ()
        assert await subject.book.open_offers(one) == []
        assert await offer(subject, await ask(subject), one) == (one,)

    async def test_a_case_knows_what_was_said_of_it(self, subject: Subject) -> None:
        request, ((one, _),) = await rung(subject)
        moment = await subject.book.now()
        await subject.book.note_progress(request.id, Progress("asking", 1, moment))
        await subject.book.note_delivered(one, [(request.id, 1), (uuid4(), 1), (request.id, 2)])
        case = (await subject.book.decide(request.id, lambda _case, _now: None)).case
        assert case.progress == Progress("asking", 1, moment)
        assert [made.delivered_at is not None for made in case.offers] == [True]


class TestWhoMayBeAsked:
    async def test_excluded_are_those_ringing_declined_and_avoided(self, subject: Subject) -> None:
        request, ((ringing, _), (declined, _), (ignoring, _)) = await rung(subject, 3)
        avoided, _ = await subject.volunteer()
        await subject.book.avoid(request.requester_id, avoided)
        await subject.book.avoid(avoided, request.requester_id)
        await say_no(subject, request, declined)
        assert await subject.book.exclusions(request.id) == {ringing, declined, ignoring, avoided}
        assert await subject.book.let_expire(request.id) == frozenset()
        await subject.pass_time(31)
        await look_at(subject, request)
        assert await subject.book.exclusions(request.id) == {declined, avoided}
        assert await subject.book.let_expire(request.id) == {ringing, ignoring}

    async def test_with_the_winner_it_failed(self, subject: Subject) -> None:
        request, (who, _other) = await rung(subject, 2)
        await say_yes(subject, request, who)
        assert await subject.book.exclusions(request.id) == {who[0]}
        assert await subject.book.let_expire(request.id) == frozenset()

    async def test_straight_from_the_book_come_the_ready_and_free_of_the_language(self, subject: Subject) -> None:
        _, ((busy, _),) = await rung(subject)
        free, _ = await subject.volunteer("da", "en")
        danish, _ = await subject.volunteer("da")
        for spoil in (subject.pause, subject.unready):
            await spoil((await subject.volunteer())[0])
        assert await subject.book.draw_ready(language="en", count=9, excluded=()) == [free]
        assert set(await subject.book.draw_ready(language="da", count=9, excluded=())) == {free, danish}
        assert len(await subject.book.draw_ready(language="da", count=1, excluded=())) == 1
        assert await subject.book.draw_ready(language="en", count=9, excluded=[free]) == []
        assert busy not in await subject.book.draw_ready(language="en", count=9, excluded=())

    async def test_who_declined_or_ignored_is_left_in_peace(self, subject: Subject) -> None:
        request, ((declined, _), (ignoring, _)) = await rung(subject, 2)
        await say_no(subject, request, declined)
        assert await subject.book.draw_ready(language="en", count=9, excluded=()) == []
        await subject.pass_time(31)
        await look_at(subject, request)
        await subject.pass_time(30)
        assert await subject.book.draw_ready(language="en", count=9, excluded=()) == [declined]
        await subject.pass_time(31)
        assert set(await subject.book.draw_ready(language="en", count=9, excluded=())) == {declined, ignoring}


class TestQueue:
    async def test_older_hungry_requests_of_the_language_come_oldest_first(self, subject: Subject) -> None:
        first, danish, second, both = (
            await ask(subject),
            await ask(subject, "da"),
            await ask(subject),
            await ask(subject, "da", "en"),
        )
        last = await ask(subject)
        assert await subject.book.older_hungry(last, "en", 9) == [first.id, second.id, both.id]
        assert await subject.book.older_hungry(last, "en", 1) == [first.id]
        assert await subject.book.older_hungry(last, "da", 9) == [danish.id, both.id]
        assert await subject.book.older_hungry(first, "en", 9) == []

    async def test_who_has_all_it_wants_or_is_answered_or_over_is_not_hungry(self, subject: Subject) -> None:
        content, wanting, answered, over = [await ask(subject) for _ in range(4)]
        last = await ask(subject)
        people = [await subject.volunteer() for _ in range(3)]
        await offer(subject, content, people[0][0])
        await offer(subject, wanting, people[1][0], hungry=True)
        await offer(subject, answered, people[2][0], hungry=True)
        await say_yes(subject, answered, people[2])
        await subject.book.decide(over.id, lambda case, now: cancel(case, now, LIMITS))
        await subject.book.due(9)  # whose look is due counts as hungry, and on a busy machine looks fall due meanwhile
        assert await subject.book.older_hungry(last, "en", 9) == [wanting.id]

    async def test_whose_requester_was_not_seen_lately_is_passed_over(self, subject: Subject) -> None:
        await ask(subject)
        await subject.pass_time(11)
        there, last = await ask(subject), await ask(subject)
        assert await subject.book.older_hungry(last, "en", 9) == [there.id]
        one, _ = await subject.volunteer()
        assert await subject.book.oldest_waiting_for(one) == there.id

    async def test_a_person_is_for_the_oldest_that_may_have_them(self, subject: Subject) -> None:
        await ask(subject, "da")
        avoiding, older, _younger = await ask(subject), await ask(subject), await ask(subject)
        one = await subject.volunteer()
        await subject.book.avoid(one[0], avoiding.requester_id)
        assert await subject.book.oldest_waiting_for(one[0]) == older.id
        assert await subject.book.oldest_waiting_for((await subject.volunteer("fr"))[0]) is None

    async def test_looks_are_claimed_once_a_second(self, subject: Subject) -> None:
        requests = {(await ask(subject)).id for _ in range(3)}
        await subject.pass_time(2)
        some = await subject.book.due(2)
        rest = await subject.book.due(9)
        assert (len(some), set(some) | set(rest)) == (2, requests)
        assert await subject.book.due(9) == []
        await subject.pass_time(1.5)
        assert set(await subject.book.due(9)) == requests

    async def test_every_waiting_request_can_be_made_due(self, subject: Subject) -> None:
        request = await ask(subject)
        await subject.pass_time(2)
        await subject.book.due(9)
        await subject.book.look_at_all()
        assert await subject.book.due(9) == [request.id]
