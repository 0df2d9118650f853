"""Chances: learned from rings that are over, however soon others answered them."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.chances import LEAST, MOST, AnswerDelay, Chances, Group, Priors, Tally, answered, exposure_of, tallies_of
from matching.model import Offer, OfferOutcome, Tier
from tests.support.fakes.cases import NOON, offer, seconds

DELAY = AnswerDelay()
GROUP: Group = (Tier.COLD, "en", 12)
tallies = st.builds(lambda exposure, part: Tally(exposure * part, exposure), st.floats(0.1, 10_000), st.floats(0, 1))
groups = st.tuples(st.sampled_from(Tier), st.sampled_from(["da", "en"]), st.integers(0, 23))


def over(number: int, outcome: OfferOutcome, after_s: float, *, hour: int | None = 12) -> Offer:
    made = offer(number, outcome=outcome, told_s=0, delivered=True)
    return replace(made, tier=Tier.COLD, ended_at=NOON + seconds(after_s), local_hour=hour)


class TestAnswerDelay:
    @pytest.mark.parametrize(("after_s", "part"), [(-1, 0), (0, 0), (8, 0.5), (8 * math.exp(0.7), 0.8413), (600, 1)])
    def test_is_lognormal(self, after_s: float, part: float) -> None:
        assert DELAY.answered_within(after_s) == pytest.approx(part, abs=1e-4)

    @given(st.floats(0, 1e6), st.floats(0, 1e6))
    def test_more_time_never_means_fewer_answers(self, one: float, other: float) -> None:
        assert DELAY.answered_within(min(one, other)) <= DELAY.answered_within(max(one, other))


class TestExposure:
    def test_of_a_whole_offer_is_about_one(self) -> None:
        assert exposure_of(over(0, OfferOutcome.EXPIRED, 30), DELAY, chance=0.05) == pytest.approx(1, abs=0.01)

    def test_of_an_offer_withdrawn_at_once_is_almost_nothing(self) -> None:
        assert exposure_of(over(0, OfferOutcome.LOST, 1), DELAY, chance=0.2) < 0.002

    @pytest.mark.parametrize(
        "nothing",
        [
            replace(over(0, OfferOutcome.EXPIRED, 30), ended_at=None, outcome=None),
            replace(over(0, OfferOutcome.EXPIRED, 30), delivered_at=None),
            replace(over(0, OfferOutcome.EXPIRED, 30), delivered_at=None, rung=True, ring_failed_at=NOON),
        ],
        ids=["still open", "not delivered", "no device could be rung"],
    )
    def test_there_is_none_where_nobody_could_answer(self, nothing: Offer) -> None:
        assert exposure_of(nothing, DELAY) == 0

    @given(st.floats(0.02, 0.8), st.floats(0.1, 60), st.floats(0.1, 60))
    def test_who_was_asked_for_longer_had_more_of_a_chance(self, chance: float, one_s: float, other_s: float) -> None:
        shorter, longer = (
            exposure_of(over(0, OfferOutcome.LOST, after_s), DELAY, chance) for after_s in sorted([one_s, other_s])
        )
        assert 0 <= shorter <= longer

    def test_offers_of_unknown_hours_teach_nothing(self) -> None:
        assert tallies_of([over(0, OfferOutcome.WON, 5, hour=None)], DELAY, Chances()) == {}

    def test_offers_are_counted_by_tier_language_and_hour(self) -> None:
        found = tallies_of(
            [over(0, OfferOutcome.WON, 5), over(1, OfferOutcome.LOST, 5), over(2, OfferOutcome.LOST, 5, hour=3)],
            DELAY,
            Chances(),
        )
        assert {group: tally.answers for group, tally in found.items()} == {GROUP: 1, (Tier.COLD, "en", 3): 0}
        assert found[GROUP].exposure == pytest.approx(2 * found[Tier.COLD, "en", 3].exposure)


def round_of_requests(chance: float, people: int, luck: Random, requests: int) -> list[Offer]:
    """Offers to so many people at once for each request; who answers first wins, and the others are withdrawn then."""
    offers: list[Offer] = []
    for _ in range(requests):
        taps = [luck.lognormvariate(math.log(8), 0.7) if luck.random() < chance else 99.0 for _ in range(people)]
        first_s = min([*taps, 30.0])
        for number, tap_s in enumerate(taps):
            won = tap_s == first_s
            lost = OfferOutcome.EXPIRED if first_s == 30 else OfferOutcome.LOST
            offers.append(over(number, OfferOutcome.WON if won else lost, first_s))
    return offers


class TestLearning:
    @pytest.mark.parametrize("chance", [0.05, 0.17, 0.47])
    def test_finds_the_true_chance_in_rounds_of_acting_on_it(self, chance: float) -> None:
        luck, learned, tally = Random(4), Chances(), Tally()
        for _ in range(6):
            offers = round_of_requests(chance, math.ceil(2 / learned.chance(*GROUP)), luck, requests=100)
            tally += tallies_of(offers, DELAY, learned)[GROUP]
            learned = Chances({GROUP: tally})
        assert learned.chance(*GROUP) == pytest.approx(chance, rel=0.12)

    def test_answers_by_offers_would_run_away(self) -> None:
        luck, naive = Random(4), 0.17
        for _ in range(8):
            offers = round_of_requests(0.17, math.ceil(1.3 / naive), luck, requests=60)
            naive = sum(map(answered, offers)) / len(offers)
        assert naive < 0.03

    @pytest.mark.parametrize("believed", [0.05, 0.6])
    def test_a_wrong_belief_does_not_last(self, believed: float) -> None:
        luck, learned = Random(5), Chances(priors=Priors(cold=believed))
        for _ in range(3):
            learned = Chances(tallies_of(round_of_requests(0.3, 8, luck, 400), DELAY, learned))
        assert learned.chance(*GROUP) == pytest.approx(0.3, rel=0.1)


class TestChances:
    @pytest.mark.parametrize(("tier", "chance"), [(Tier.HOT, 0.45), (Tier.COLD, 0.17), (Tier.IDLE, 0.05)])
    def test_of_those_nobody_knows_the_prior_is_believed(self, tier: Tier, chance: float) -> None:
        assert Chances().chance(tier, "da", 3) == chance
        assert Chances().chance(tier, "da", None) == chance

    @given(st.dictionaries(groups, tallies, max_size=6), groups)
    def test_nobody_is_believed_never_or_always_to_answer(self, known: dict[Group, Tally], group: Group) -> None:
        assert LEAST <= Chances(known).chance(*group) <= MOST

    def test_what_is_little_known_leans_on_what_is_known_of_many(self) -> None:
        known = Chances({(Tier.COLD, "en", 12): Tally(500, 1000), (Tier.COLD, "en", 3): Tally(0, 5)})
        assert known.chance(Tier.COLD, "en", 12) == pytest.approx(0.5, abs=0.01)
        assert 0.35 < known.chance(Tier.COLD, "en", 3) < 0.45
        assert 0.45 < known.chance(Tier.COLD, "en", 7) < 0.5
        assert 0.45 < known.chance(Tier.COLD, "da", 7) < 0.5
        assert known.chance(Tier.IDLE, "en", 12) == 0.05

    @given(st.floats(1, 1000), st.floats(0, 0.5))
    def test_an_answer_more_is_never_thought_less_of(self, exposure: float, part: float) -> None:
        before = Chances({GROUP: Tally(exposure * part, exposure)}).chance(*GROUP)
        assert Chances({GROUP: Tally(exposure * part + 1, exposure)}).chance(*GROUP) >= before

    def test_half_of_what_is_old_is_forgotten(self) -> None:
        assert Tally(8, 40).aged(timedelta(days=28) / timedelta(days=14)) == Tally(2, 10)
