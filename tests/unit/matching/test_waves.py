"""Waves: how many more people to ask now, by each policy."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.chances import Chances
from matching.model import OfferOutcome, RequestState, Tier
from matching.progress import progress_note
from matching.request_rules import RequestLimits
from matching.waves import (
    POLICIES,
    AdaptiveWaves,
    BeMyEyesWaves,
    FixedWaves,
    Ringing,
    WaveView,
    policy_named,
    wave_view,
)
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


ADAPTIVE = AdaptiveWaves()
chances = st.floats(0.02, 0.8)
rings = st.lists(st.builds(Ringing, chances, st.sampled_from([0.0, 1.0, 4.0, 9.0, 17.0, 29.0])), max_size=40).map(tuple)
adaptive_policies = st.builds(
    AdaptiveWaves,
    horizon_s=st.floats(3, 20),
    first_target=st.floats(0.3, 0.8),
    last_target=st.floats(0.8, 0.97),
    grows_s=st.floats(0, 60),
    wave_s=st.floats(0, 10),
    most_at_once=st.integers(1, 200),
)


def ringing_view(waited_s: float, ringing: tuple[Ringing, ...] = (), chance: float = 0.17) -> WaveView:
    """As `view`, of people who ring, and of one more."""
    return replace(view(waited_s, asked=len(ringing)), ringing=ringing, chance=chance)


def later(seen: WaveView, by_s: float) -> WaveView:
    """The same after so long in which nothing happened."""
    ringing = tuple(replace(one, age_s=one.age_s + by_s) for one in seen.ringing)
    return replace(seen, now=seen.now + seconds(by_s), ringing=ringing)


class TestAdaptiveWaves:
    @given(adaptive_policies, st.floats(0, 300), rings, chances)
    def test_never_ask_less_than_nobody_nor_more_than_the_bound(
        self, policy: AdaptiveWaves, waited_s: float, ringing: tuple[Ringing, ...], chance: float
    ) -> None:
        assert 0 <= policy.wanted(ringing_view(waited_s, ringing, chance)) <= policy.most_at_once

    @given(adaptive_policies, rings, chances, st.floats(0, 100), st.floats(0, 100))
    def test_waiting_longer_never_wants_fewer(
        self, policy: AdaptiveWaves, ringing: tuple[Ringing, ...], chance: float, one_s: float, other_s: float
    ) -> None:
        sooner, longer = (policy.wanted(ringing_view(w, ringing, chance)) for w in sorted([one_s, other_s]))
        assert sooner <= longer

    @given(adaptive_policies, st.floats(0, 100), rings, chances, st.builds(Ringing, chances, st.floats(0, 30)))
    def test_one_more_who_rings_never_makes_more_wanted(
        self, policy: AdaptiveWaves, waited_s: float, ringing: tuple[Ringing, ...], chance: float, one: Ringing
    ) -> None:
        without = policy.wanted(ringing_view(waited_s, ringing, chance))
        assert policy.wanted(ringing_view(waited_s, (*ringing, one), chance)) <= without

    @given(adaptive_policies, st.floats(0, 100), rings, chances)
    def test_a_wave_just_asked_wants_nobody_more(
        self, policy: AdaptiveWaves, waited_s: float, ringing: tuple[Ringing, ...], chance: float
    ) -> None:
        seen = ringing_view(waited_s, ringing, chance)
        wanted = policy.wanted(seen)
        if wanted < policy.most_at_once:
            assert policy.wanted(replace(seen, ringing=ringing + (Ringing(chance, 0.0),) * wanted)) == 0

    @given(adaptive_policies, st.floats(0, 100), chances, chances)
    def test_the_less_likely_people_are_to_answer_the_more_are_asked(
        self, policy: AdaptiveWaves, waited_s: float, one: float, other: float
    ) -> None:
        many, few = (policy.wanted(ringing_view(waited_s, (), chance)) for chance in sorted([one, other]))
        assert many >= few >= 1

    @pytest.mark.parametrize(("chance", "wanted"), [(0.05, 41), (0.17, 12), (0.47, 4)])
    def test_ask_about_two_who_would_answer_to_begin_with(self, chance: float, wanted: int) -> None:
        assert ADAPTIVE.wanted(ringing_view(0, (), chance)) == wanted

    @pytest.mark.parametrize("chance", [0.05, 0.17, 0.47])
    def test_those_who_will_not_answer_any_more_are_replaced_at_once(self, chance: float) -> None:
        asked = ADAPTIVE.wanted(ringing_view(0, (), chance))
        left = (Ringing(chance, 1.0),) * (asked // 2)
        assert asked // 3 <= ADAPTIVE.wanted(ringing_view(1, left, chance)) <= asked

    @pytest.mark.parametrize(("waited_s", "urgent"), [(0, True), (14.9, True), (15, False)])
    def test_devices_long_unseen_are_left_in_peace_at_first(self, waited_s: float, urgent: bool) -> None:
        assert ADAPTIVE.is_urgent(ringing_view(waited_s)) is urgent

    def test_who_lost_their_helper_has_waited_since_they_asked(self) -> None:
        anew = ringing_view(0)
        assert ADAPTIVE.wanted(replace(anew, made_at=NOON - seconds(60))) > ADAPTIVE.wanted(anew)

    @given(st.floats(0, 60), rings, chances)
    def test_time_alone_wants_more_exactly_from_the_next_wave_on(
        self, waited_s: float, ringing: tuple[Ringing, ...], chance: float
    ) -> None:
        seen = ringing_view(waited_s, ringing, chance)
        wait_s = (ADAPTIVE.next_wave_at(seen) - seen.now).total_seconds()
        assert wait_s >= 1
        if wait_s > 1.1:
            assert ADAPTIVE.wanted(later(seen, wait_s - 0.2)) == 0
        if 1 < wait_s < 60:
            assert ADAPTIVE.wanted(later(seen, wait_s + 0.001)) > 0

    @pytest.mark.parametrize("chance", [0.05, 0.17, 0.47])
    def test_waves_are_seconds_apart(self, chance: float) -> None:
        seen, waves = ringing_view(0, (), chance), 0
        for _ in range(300):
            wanted = ADAPTIVE.wanted(seen)
            waves += wanted > 0
            ringing = tuple(one for one in seen.ringing if one.age_s < 30) + (Ringing(chance, 0.0),) * wanted
            seen = later(replace(seen, ringing=ringing), 0.1)
        assert 5 <= waves <= 7


class TestBeMyEyesWaves:
    @pytest.mark.parametrize(
        ("policy", "by_wave"),
        [
            (BeMyEyesWaves(), [1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 10]),
            (BeMyEyesWaves(seconds(5), most=1), [1] * 12),
        ],
        ids=["2015", "2014"],
    )
    def test_ask_as_that_server_did(self, policy: BeMyEyesWaves, by_wave: list[int]) -> None:
        asked, seen = 0, view(0)
        for wanted in by_wave:
            assert policy.wanted(seen) == wanted
            asked += wanted
            seen = replace(seen, asked=asked, spent=asked // 2)
            assert policy.wanted(seen) == 0
            seen = replace(seen, now=policy.next_wave_at(seen))
        assert not policy.is_urgent(seen)


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_has_a_name(name: str) -> None:
    assert policy_named(name).wanted(view(0)) >= 1


def test_a_policy_has_the_numbers_it_is_given() -> None:
    fixed, adaptive = FixedWaves(3), AdaptiveWaves(horizon_s=5)
    assert policy_named("fixed", fixed=fixed, adaptive=adaptive) is fixed
    assert policy_named("adaptive", fixed=fixed, adaptive=adaptive) is adaptive
    with pytest.raises(KeyError):
        policy_named("ring_everybody")


class TestWaveView:
    def test_says_of_those_who_ring_how_likely_and_for_how_long(self) -> None:
        cold = replace(offer(1, at=NOON + seconds(2)), tier=Tier.COLD)
        seen = wave_view(
            case(offers=[offer(0), cold, offer(2, outcome=OfferOutcome.DECLINED)]), NOON + seconds(5), LIMITS, Chances()
        )
        assert seen.ringing == (Ringing(0.45, 5.0), Ringing(0.17, 3.0))
        assert seen.waited_s == 5

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
