"""Fixed waves: how many to ask now, whatever happened to those asked before."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.chances import Chances
from matching.model import OfferOutcome, RequestState
from matching.progress import progress_note
from matching.request_rules import RequestLimits
from matching.waves import FixedWaves, WaveView, wave_view
from tests.support.fakes.cases import NOON, case, offer, request, seconds

LIMITS = RequestLimits()
TEN = FixedWaves(size=10, interval=timedelta(seconds=10))
NOTES = {
    "asking",
    "asking_more",
    "next_language",
    "group_first",
    "opening_to_everyone",
    "nobody_awake",
    "same_person_first",
    "going_back",
    "still_looking",
}


def view(waited_s: float, *, asked: int = 0, spent: int = 0, ringing: int | None = None) -> WaveView:
    return WaveView(NOON + seconds(waited_s), NOON, asked, spent, asked - spent if ringing is None else ringing)


views = st.builds(
    lambda waited_s, spent, ringing, over: view(waited_s, asked=spent + ringing + over, spent=spent, ringing=ringing),
    st.floats(-5, 3600),
    st.integers(0, 500),
    st.integers(0, 500),
    st.integers(0, 500),
)
policies = st.builds(FixedWaves, st.integers(1, 100), st.integers(1, 60).map(seconds), st.integers(1, 100))


class TestFixedWaves:
    @given(policies, views)
    def test_never_ask_less_than_nobody_nor_more_than_the_bound(self, policy: FixedWaves, seen: WaveView) -> None:
        assert 0 <= policy.wanted(seen) <= policy.most_at_once

    @given(policies, st.floats(0, 3600), st.integers(0, 50))
    def test_a_wave_just_asked_wants_nobody_more(self, policy: FixedWaves, waited_s: float, spent: int) -> None:
        waves = seconds(waited_s) // policy.interval + 1
        assert policy.wanted(view(waited_s, asked=policy.size * waves + spent, spent=spent)) == 0

    @pytest.mark.parametrize(("waited_s", "asked", "wanted"), [(0, 0, 10), (9.9, 10, 0), (10, 10, 10), (29, 20, 10)])
    def test_ask_one_wave_every_interval(self, waited_s: float, asked: int, wanted: int) -> None:
        assert TEN.wanted(view(waited_s, asked=asked)) == wanted

    @given(st.integers(0, 10))
    def test_declined_and_undelivered_are_replaced_at_once(self, spent: int) -> None:
        assert TEN.wanted(view(3, asked=10, spent=spent)) == spent

    def test_a_wave_that_found_too_few_is_made_up_for(self) -> None:
        assert TEN.wanted(view(3, asked=4)) == 6

    def test_when_nothing_rings_any_more_a_whole_wave_is_asked(self) -> None:
        assert TEN.wanted(view(5, asked=10, ringing=0)) == 10

    @given(policies, st.floats(0, 3600), st.integers(0, 50))
    def test_time_alone_wants_more_exactly_from_the_next_wave_on(
        self, policy: FixedWaves, waited_s: float, spent: int
    ) -> None:
        waves = seconds(waited_s) // policy.interval + 1
        now = view(waited_s, asked=policy.size * waves + spent, spent=spent)
        due = policy.next_wave_at(now)
        assert now.now < due <= now.now + policy.interval
        assert policy.wanted(replace(now, now=due - timedelta(microseconds=1))) == 0
        assert policy.wanted(replace(now, now=due)) > 0

    @pytest.mark.parametrize(("waited_s", "urgent"), [(0, True), (19.9, True), (20, False), (60, False)])
    def test_the_first_two_are_urgent(self, waited_s: float, urgent: bool) -> None:
        assert TEN.is_urgent(view(waited_s)) is urgent

    @given(views)
    def test_waiting_longer_never_wants_fewer(self, seen: WaveView) -> None:
        later = WaveView(seen.now + seconds(10), seen.waiting_since, seen.asked, seen.spent, seen.open)
        assert TEN.wanted(later) >= TEN.wanted(seen)


class TestWaveView:
    def test_counts_the_offers_of_this_epoch_by_whether_they_can_still_be_answered(self) -> None:
        offers = [
            offer(0, epoch=2, told_s=0, delivered=True),
            offer(1, epoch=2),
            offer(2, epoch=2, told_s=0),
            offer(3, epoch=2, outcome=OfferOutcome.DECLINED),
            offer(4, epoch=2, told_s=0, delivered=True, outcome=OfferOutcome.EXPIRED),
            offer(5, epoch=2, told_s=0, outcome=OfferOutcome.EXPIRED),
            offer(6, epoch=1, outcome=OfferOutcome.DECLINED),
        ]
        seen = wave_view(case(request(epoch=2), offers), NOON + seconds(2), LIMITS, Chances())
        assert (seen.asked, seen.spent, seen.open) == (6, 3, 2)

    def test_an_offer_on_its_way_is_not_spent(self) -> None:
        seen = wave_view(case(offers=[offer(0, told_s=0)]), NOON + seconds(1.4), LIMITS, Chances())
        assert (seen.spent, seen.open) == (0, 1)

    def test_an_acknowledgement_that_comes_late_counts(self) -> None:
        late = wave_view(case(offers=[offer(0, told_s=0, delivered=True)]), NOON + seconds(9), LIMITS, Chances())
        assert (late.spent, late.open) == (0, 1)


class TestProgressNote:
    @pytest.mark.parametrize(
        ("epoch", "seen", "newly", "note"),
        [
            (1, view(0), 3, "asking"),
            (1, view(10, asked=3), 3, "asking_more"),
            (1, view(12, asked=3), 0, "still_looking"),
            (1, view(0), 0, "nobody_awake"),
            (2, view(0), 3, "going_back"),
        ],
    )
    def test_is_what_is_true_now(self, epoch: int, seen: WaveView, newly: int, note: str) -> None:
        assert progress_note(case(request(epoch=epoch)), seen, newly) == note

    @given(st.integers(1, 4), views, st.integers(0, 20))
    def test_is_always_a_code_of_the_contract(self, epoch: int, seen: WaveView, newly: int) -> None:
        waiting = case(request(RequestState.WAITING, epoch=epoch))
        assert progress_note(waiting, seen, newly) in NOTES
