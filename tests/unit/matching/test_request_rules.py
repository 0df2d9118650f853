"""The rules of a request, judged by the contract: "Who ends it, and what then", offers, deadlines, looks."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.model import Offer, OfferOutcome, Outcome, Request, RequestState, WithdrawReason
from matching.request_rules import (
    Acceptance,
    Case,
    Event,
    IllegalTransition,
    RequestLimits,
    accept,
    cancel,
    decline,
    delivery_failed,
    event_of_call_end,
    look,
    next_look,
    requester_is_there,
    step,
)
from signaling.model import EndReason
from tests.support.fakes.cases import NOON, SESSION, case, offer, person, request, seconds

LIMITS = RequestLimits()
WAITING, CONNECTING, IN_CALL, ENDED = RequestState
LATER = NOON + seconds(100)

LEGAL = {
    (WAITING, Event.ACCEPTED): (CONNECTING, None),
    (WAITING, Event.CANCELLED): (ENDED, Outcome.CANCELLED),
    (WAITING, Event.DEADLINE_PASSED): (ENDED, Outcome.EXPIRED),
    (WAITING, Event.REQUESTER_GONE): (ENDED, Outcome.FAILED),
    (WAITING, Event.FAILED): (ENDED, Outcome.FAILED),
    (CONNECTING, Event.CONNECTED): (IN_CALL, None),
    (CONNECTING, Event.CANCELLED): (ENDED, Outcome.CANCELLED),
    (CONNECTING, Event.RETURNED): (WAITING, None),
    (CONNECTING, Event.FAILED): (ENDED, Outcome.FAILED),
    (IN_CALL, Event.COMPLETED): (ENDED, Outcome.COMPLETED),
    (IN_CALL, Event.RETURNED): (WAITING, None),
    (IN_CALL, Event.FAILED): (ENDED, Outcome.FAILED),
}
ILLEGAL = [pair for pair in product((WAITING, CONNECTING, IN_CALL), Event) if pair not in LEGAL]


def outcomes(offers: tuple[Offer, ...]) -> dict[UUID, tuple[OfferOutcome | None, WithdrawReason | None]]:
    return {one.person_id: (one.outcome, one.reason) for one in offers}


class TestTransitions:
    @pytest.mark.parametrize(("state", "event"), LEGAL)
    def test_a_legal_event_leads_where_the_table_says(self, state: RequestState, event: Event) -> None:
        after = step(request(state), event, LATER, LIMITS)
        assert (after.state, after.outcome) == LEGAL[state, event]
        assert after.version == request(state).version + 1

    @pytest.mark.parametrize("returns", [0, LIMITS.returns])
    @pytest.mark.parametrize(("state", "event"), ILLEGAL)
    def test_an_illegal_event_raises(self, state: RequestState, event: Event, returns: int) -> None:
        with pytest.raises(IllegalTransition):
            step(request(state, epoch=returns + 1), event, LATER, LIMITS)

    @pytest.mark.parametrize("event", Event)
    def test_an_ended_request_absorbs_every_event(self, event: Event) -> None:
        over = request(ENDED)
        assert step(over, event, LATER, LIMITS) is over

    @pytest.mark.parametrize(("state", "event"), LEGAL)
    def test_the_place_in_the_queue_is_kept(self, state: RequestState, event: Event) -> None:
        before = request(state)
        after = step(before, event, LATER, LIMITS)
        kept = (after.id, after.requester_id, after.session_id, after.created_at, after.languages, after.asked)
        assert kept == (
            before.id,
            before.requester_id,
            before.session_id,
            before.created_at,
            before.languages,
            before.asked,
        )

    @given(st.lists(st.tuples(st.sampled_from(Event), st.integers(0, 300)), max_size=30))
    def test_whatever_happens_nothing_is_taken_back(self, events: list[tuple[Event, int]]) -> None:
        now, now_request = NOON, request()
        for event, later in events:
            now += seconds(later)
            try:
                after = step(now_request, event, now, LIMITS)
            except IllegalTransition:
                continue
            _assert_never_back(now_request, after)
            now_request = after


def _assert_never_back(before: Request, after: Request) -> None:
    assert after.created_at == before.created_at
    assert after.epoch in (before.epoch, before.epoch + 1)
    assert after.version in (before.version, before.version + 1)
    assert after.deadline >= before.deadline
    assert after.epoch == after.returns + 1
    assert after.returns <= LIMITS.returns
    assert (after.state is ENDED) == (after.outcome is not None)
    if before.state is ENDED:
        assert after == before
    if after.state is WAITING:
        assert after.call_id is None


class TestGoingBackToWaiting:
    @pytest.mark.parametrize("state", [CONNECTING, IN_CALL])
    def test_the_epoch_rises_and_the_call_is_forgotten(self, state: RequestState) -> None:
        after = step(request(state, epoch=2), Event.RETURNED, LATER, LIMITS)
        assert (after.state, after.epoch, after.returns) == (WAITING, 3, 2)
        assert after.call_id is None
        assert after.waiting_since == LATER

    @pytest.mark.parametrize("state", [CONNECTING, IN_CALL])
    def test_three_times_and_the_fourth_fails(self, state: RequestState) -> None:
        now_request = request(state)
        for _ in range(3):
            waiting = step(now_request, Event.RETURNED, LATER, LIMITS)
            assert waiting.state is WAITING
            now_request = step(waiting, Event.ACCEPTED, LATER, LIMITS)
            if state is IN_CALL:
                now_request = step(now_request, Event.CONNECTED, LATER, LIMITS)
        fourth = step(now_request, Event.RETURNED, LATER, LIMITS)
        assert (fourth.state, fourth.outcome, fourth.epoch) == (ENDED, Outcome.FAILED, 4)

    @given(deadline_s=st.integers(0, 600), returned_after_s=st.integers(0, 7200))
    def test_the_fresh_deadline_leaves_at_least_thirty_seconds(self, deadline_s: int, returned_after_s: int) -> None:
        now = NOON + seconds(returned_after_s)
        limits = RequestLimits(deadline=seconds(deadline_s))
        after = step(request(IN_CALL), Event.RETURNED, now, limits)
        assert after.deadline >= now + timedelta(seconds=30)


class TestWhoEndsItAndWhatThen:
    """Rows of the contract: reason, who ended it, the request's event before media and after."""

    @pytest.mark.parametrize(
        ("reason", "by", "before_media", "after_media"),
        [
            ("cancelled", "requester", Event.CANCELLED, Event.COMPLETED),
            ("done", "requester", Event.CANCELLED, Event.COMPLETED),
            ("left", "requester", Event.CANCELLED, Event.COMPLETED),
            ("done", "volunteer", Event.RETURNED, Event.COMPLETED),
            ("left", "volunteer", Event.RETURNED, Event.COMPLETED),
            ("technical", "requester", Event.RETURNED, Event.RETURNED),
            ("technical", "volunteer", Event.RETURNED, Event.RETURNED),
            ("lost", None, Event.RETURNED, Event.RETURNED),
            ("never_connected", None, Event.RETURNED, Event.RETURNED),
            ("suspended", "volunteer", Event.RETURNED, Event.RETURNED),
            ("suspended", "requester", Event.FAILED, Event.COMPLETED),
            ("reported", "requester", Event.FAILED, Event.COMPLETED),
            ("reported", "volunteer", Event.FAILED, Event.COMPLETED),
            ("ended_by_admin", None, Event.FAILED, Event.COMPLETED),
        ],
    )
    def test_the_table(self, reason: str, by: str | None, before_media: Event, after_media: Event) -> None:
        assert event_of_call_end(reason, by, had_media=False) is before_media
        assert event_of_call_end(reason, by, had_media=True) is after_media

    @pytest.mark.parametrize("had_media", [False, True])
    @pytest.mark.parametrize("by", ["requester", "volunteer", None])
    @pytest.mark.parametrize("reason", list(EndReason))
    def test_every_end_of_a_call_can_happen_to_its_request(self, reason: str, by: str | None, had_media: bool) -> None:
        before = request(IN_CALL if had_media else CONNECTING)
        after = step(before, event_of_call_end(reason, by, had_media), LATER, LIMITS)
        assert after.state in (WAITING, ENDED)


class TestAccept:
    YES = Acceptance(person(0), UUID(int=77), epoch=1)

    def test_the_first_wins_and_the_others_lose(self) -> None:
        offers = [offer(0), offer(1), offer(2, outcome=OfferOutcome.DECLINED)]
        change = accept(case(offers=offers), self.YES, NOON + seconds(5), LIMITS)
        assert change is not None
        assert change.request.state is CONNECTING
        assert change.winner is not None
        assert (change.winner.person_id, change.winner.session_id) == (person(0), UUID(int=77))
        assert outcomes(change.ended) == {
            person(0): (OfferOutcome.WON, WithdrawReason.ANSWERED_BY_YOU),
            person(1): (OfferOutcome.LOST, WithdrawReason.ANSWERED),
        }
        assert [one.session_id for one in change.ended if one.outcome is not OfferOutcome.WON] == [None]

    def test_the_last_moment_counts_and_the_expiry_does_not(self) -> None:
        asked = case(offers=[offer(0, lasts_s=30)])
        assert accept(asked, self.YES, NOON + seconds(29.999), LIMITS) is not None
        assert accept(asked, self.YES, NOON + seconds(30), LIMITS) is None

    @pytest.mark.parametrize(
        "asked",
        [
            pytest.param(case(), id="nobody was asked"),
            pytest.param(case(offers=[offer(1)]), id="somebody else was asked"),
            pytest.param(case(request(epoch=2), [offer(0, epoch=1)]), id="asked in an earlier epoch"),
            pytest.param(case(request(epoch=2), [offer(0, epoch=2)]), id="answers an earlier epoch"),
            *(pytest.param(case(offers=[offer(0, outcome=o)]), id=f"the offer is {o}") for o in OfferOutcome),
            *(pytest.param(case(request(s), [offer(0)]), id=f"the request is {s}") for s in list(RequestState)[1:]),
        ],
    )
    def test_nobody_wins_without_a_live_offer_of_this_epoch(self, asked: Case) -> None:
        assert accept(asked, self.YES, NOON + seconds(1), LIMITS) is None


class TestDecline:
    def test_ends_only_ones_own_offer_and_leaves_the_request(self) -> None:
        asked = case(offers=[offer(0), offer(1)])
        change = decline(asked, person(0), epoch=1)
        assert change.request == asked.request
        assert {one.person_id: one.outcome for one in change.ended} == {person(0): OfferOutcome.DECLINED}
        assert change.winner is None

    @pytest.mark.parametrize(
        "asked",
        [
            pytest.param(case(offers=[offer(1)]), id="never asked"),
            pytest.param(case(request(epoch=2), [offer(0, epoch=2)]), id="another epoch"),
            *(pytest.param(case(offers=[offer(0, outcome=o)]), id=f"already {o}") for o in OfferOutcome),
            pytest.param(case(request(ENDED), [offer(0, outcome=OfferOutcome.WITHDRAWN)]), id="request ended"),
        ],
    )
    def test_of_no_open_offer_changes_nothing(self, asked: Case) -> None:
        change = decline(asked, person(0), epoch=1)
        assert (change.request, change.ended, change.winner) == (asked.request, (), None)


class TestCancel:
    def test_ends_the_request_and_withdraws_every_open_offer(self) -> None:
        change = cancel(
            case(offers=[offer(0), offer(1), offer(2, outcome=OfferOutcome.DECLINED)]), NOON + seconds(3), LIMITS
        )
        assert (change.request.state, change.request.outcome) == (ENDED, Outcome.CANCELLED)
        assert outcomes(change.ended) == dict.fromkeys(
            (person(0), person(1)), (OfferOutcome.WITHDRAWN, WithdrawReason.CANCELLED)
        )

    def test_of_an_ended_request_changes_nothing(self) -> None:
        over = case(request(ENDED))
        assert cancel(over, LATER, LIMITS).request is over.request


class TestLook:
    def test_before_anything_is_due_nothing_changes(self) -> None:
        asked = case(offers=[offer(0), offer(1)], seen_at=NOON)
        change = look(asked, NOON + seconds(29.999), LIMITS)
        assert (change.request, change.ended) == (asked.request, ())

    def test_offers_that_ran_out_expire_and_the_others_stay(self) -> None:
        asked = case(offers=[offer(0, lasts_s=30), offer(1, lasts_s=40)], seen_at=NOON)
        change = look(asked, NOON + seconds(30), LIMITS)
        assert change.request == asked.request
        assert outcomes(change.ended) == {person(0): (OfferOutcome.EXPIRED, WithdrawReason.EXPIRED)}

    def test_at_its_deadline_a_request_expires_and_withdraws_its_offers(self) -> None:
        at = NOON + seconds(180)
        asked = case(offers=[offer(0, at=at - seconds(10)), offer(1, outcome=OfferOutcome.DECLINED)], seen_at=at)
        change = look(asked, at, LIMITS)
        assert (change.request.state, change.request.outcome) == (ENDED, Outcome.EXPIRED)
        assert outcomes(change.ended) == {person(0): (OfferOutcome.WITHDRAWN, WithdrawReason.REQUEST_ENDED)}

    @pytest.mark.parametrize("epoch", [1, 3])
    def test_a_requester_unseen_for_ninety_seconds_fails(self, epoch: int) -> None:
        waiting = case(request(epoch=epoch), [offer(0, epoch=epoch, lasts_s=120)], seen_at=NOON)
        assert look(waiting, NOON + seconds(89.999), LIMITS).request.state is WAITING
        change = look(waiting, NOON + seconds(90), LIMITS)
        assert (change.request.state, change.request.outcome) == (ENDED, Outcome.FAILED)
        assert outcomes(change.ended) == {person(0): (OfferOutcome.WITHDRAWN, WithdrawReason.REQUEST_ENDED)}

    def test_nobody_has_gone_who_could_not_be_seen(self) -> None:
        """Sightings could not be written for two minutes."""
        back_again = NOON + seconds(120)
        waiting = replace(case(request(), seen_at=NOON), watched_since=back_again)
        assert look(waiting, back_again, LIMITS).request.state is WAITING
        assert look(waiting, back_again + seconds(14.999), LIMITS).request.state is WAITING
        assert look(waiting, back_again + seconds(15), LIMITS).request.outcome is Outcome.FAILED
        later = NOON + timedelta(minutes=32)
        lasting = replace(request(), deadline=later + seconds(1))
        still = replace(case(lasting, seen_at=NOON), watched_since=later)
        assert look(still, later, LIMITS).request.outcome is Outcome.FAILED

    @pytest.mark.parametrize("state", [CONNECTING, IN_CALL, ENDED])
    def test_decides_nothing_of_a_request_that_is_not_waiting(self, state: RequestState) -> None:
        answered = case(request(state), seen_at=NOON)
        change = look(answered, NOON + timedelta(days=1), LIMITS)
        assert (change.request, change.ended) == (answered.request, ())

    def test_looked_at_twice_changes_once(self) -> None:
        at = NOON + seconds(30)
        asked = case(offers=[offer(0), offer(1, lasts_s=60)], seen_at=at)
        once = look(asked, at, LIMITS)
        again = look(case(once.request, [*once.ended, offer(1, lasts_s=60)], seen_at=at), at, LIMITS)
        assert (again.request, again.ended) == (once.request, ())

    def test_nobody_new_is_asked_for_a_requester_unseen_for_ten_seconds(self) -> None:
        waiting = case(seen_at=NOON)
        assert requester_is_there(waiting, NOON + seconds(9.999), LIMITS)
        assert not requester_is_there(waiting, NOON + seconds(10), LIMITS)


class TestDelivery:
    def test_fails_after_a_second_and_a_half_without_acknowledgement(self) -> None:
        told = offer(0, told_s=1)
        assert not delivery_failed(told, NOON + seconds(2.499), LIMITS)
        assert delivery_failed(told, NOON + seconds(2.5), LIMITS)

    def test_does_not_fail_when_acknowledged_or_not_told_yet(self) -> None:
        assert not delivery_failed(offer(0, told_s=1, delivered=True), NOON + seconds(20), LIMITS)
        assert not delivery_failed(offer(0), NOON + seconds(20), LIMITS)


class TestNextLook:
    offers = st.lists(
        st.builds(
            offer,
            st.integers(0, 5),
            at=st.integers(-100, 100).map(lambda s: NOON + seconds(s)),
            lasts_s=st.integers(1, 60),
            outcome=st.sampled_from([None, *OfferOutcome]),
            told_s=st.none() | st.integers(0, 60),
            delivered=st.booleans(),
        ),
        max_size=6,
    )

    @given(st.sampled_from([WAITING, CONNECTING, IN_CALL]), offers, st.floats(-1000, 1000), st.integers(-200, 200))
    def test_of_a_request_that_has_not_ended_is_soon_and_never_at_once(
        self, state: RequestState, offers: list[Offer], now_s: float, seen_s: int
    ) -> None:
        now = NOON + seconds(now_s)
        looked = next_look(case(request(state), offers, seen_at=NOON + seconds(seen_s)), now, LIMITS)
        assert now < looked <= now + (seconds(1) if state is WAITING else seconds(3))

    def test_is_when_an_offer_runs_out_if_that_is_sooner(self) -> None:
        waiting = case(offers=[offer(0, lasts_s=30)])
        assert next_look(waiting, NOON + seconds(29.6), LIMITS) == NOON + seconds(30)

    def test_is_when_a_delivery_fails_if_that_is_sooner(self) -> None:
        waiting = case(offers=[offer(0, told_s=0)])
        assert next_look(waiting, NOON + seconds(1), LIMITS) == NOON + seconds(1.5)

    @given(seen_s=st.integers(0, 400), offers=offers)
    def test_looked_at_when_due_a_waiting_request_ends_by_its_deadline(self, seen_s: int, offers: list[Offer]) -> None:
        now, waiting = NOON, case(offers=offers, seen_at=NOON + seconds(seen_s))
        while waiting.request.state is WAITING:
            assert now <= waiting.request.deadline
            over = look(waiting, now, LIMITS)
            waiting = case(over.request, _after(waiting.offers, over.ended), seen_at=waiting.requester_seen_at)
            now = _advance(waiting, now)
        assert not waiting.open_offers
        assert waiting.request.outcome in (Outcome.EXPIRED, Outcome.FAILED)


def _after(offers: tuple[Offer, ...], ended: tuple[Offer, ...]) -> list[Offer]:
    over = {(one.person_id, one.offered_at, one.expires_at): one for one in ended}
    return [over.get((one.person_id, one.offered_at, one.expires_at), one) for one in offers]


def _advance(waiting: Case, now: datetime) -> datetime:
    after = next_look(waiting, now, LIMITS) if waiting.request.state is WAITING else now
    assert waiting.request.state is ENDED or after > now
    return after


def test_the_session_that_asked_stays_the_one_that_asked() -> None:
    """A call is bound to it; a return must not lose it."""
    assert step(request(IN_CALL), Event.RETURNED, LATER, LIMITS).session_id == SESSION
