"""How likely somebody is to answer a ring, learned from rings that are over. Pure.

An offer that was withdrawn because somebody else answered says little: it counts only for the part of the answer delays
it lived through. (Counted as a refusal it would make every chance look smaller, so that more people ring, more of them
in vain, and the chances look smaller still: 0.17 becomes 0.026 within eight rounds.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from matching.languages import index_language
from matching.model import Offer, OfferOutcome, Tier

Group = tuple[Tier, str, int]
"""Tier, index language, and the hour on the wall of the one who was asked."""


@dataclass(frozen=True, slots=True)
class AnswerDelay:
    """How long after they were asked those answer who do: lognormal, as measured of people who take up a phone."""

    median_s: float = 8.0
    sigma: float = 0.7

    def answered_within(self, seconds: float) -> float:
        """Which part of the answers has come by then, 0 to 1."""
        if seconds <= 0:
            return 0.0
        late = math.log(seconds) - math.log(self.median_s)
        return 0.5 * math.erfc(-late / (self.sigma * math.sqrt(2)))


@dataclass(frozen=True, slots=True)
class Tally:
    """Answers, and how many chances to answer there were, in whole offers."""

    answers: float = 0.0
    exposure: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.answers + other.answers, self.exposure + other.exposure)

    def aged(self, by: float) -> Tally:
        """What is left of it after so many half-lives."""
        return Tally(self.answers * 0.5**by, self.exposure * 0.5**by)


@dataclass(frozen=True, slots=True)
class Priors:
    """What is believed of people of whom nothing is known yet."""

    hot: float = 0.45
    """They said that they are there."""
    cold: float = 0.17
    """Of people who turn on notifications about one in six takes up the phone."""
    idle: float = 0.05
    weight: float = 20.0
    """So many whole offers have to disagree to be believed half: two or three requests."""

    def chance(self, tier: Tier) -> float:
        return {Tier.HOT: self.hot, Tier.COLD: self.cold, Tier.IDLE: self.idle}[tier]


LEAST, MOST = 0.02, 0.8
"""Never believed to be nothing, so that nobody is left out; nor certain, so that nobody is waited for alone."""


def answered(offer: Offer) -> bool:
    return offer.outcome is OfferOutcome.WON


def exposure_of(offer: Offer, delay: AnswerDelay, chance: float | None = None) -> float:
    """How much of a chance to answer an offer had, in whole offers; 0 for one that is not over, or reached nobody.

    `chance`: what was believed of whoever was asked (by default the prior of the tier). Whoever is still silent after a
    while is the less likely to answer at all, the likelier they were at first; with that, answers / exposure is the
    chance, however soon others answer. (A wrong belief errs a little, and less each time it is learned anew.)
    """
    reached = answered(offer) or offer.delivered_at is not None or (offer.rung and offer.ring_failed_at is None)
    if offer.ended_at is None or not reached:
        return 0.0
    believed = Priors().chance(offer.tier) if chance is None else chance
    lived = delay.answered_within((offer.ended_at - offer.offered_at).total_seconds())
    return -math.log1p(-believed * lived) / believed


def tallies_of(offers: Iterable[Offer], delay: AnswerDelay, believed: Chances) -> dict[Group, Tally]:
    """Count offers that are over; those whose hour is not known are left out."""
    found: dict[Group, Tally] = {}
    for offer in offers:
        if offer.local_hour is None:
            continue
        group = (offer.tier, index_language(offer.language), offer.local_hour)
        exposure = exposure_of(offer, delay, believed.chance(*group))
        if exposure > 0:
            found[group] = found.get(group, Tally()) + Tally(float(answered(offer)), exposure)
    return found


@dataclass(frozen=True)
class Chances:
    """Answers / exposure by tier, language and local hour; what is little known leans on what is known of many."""

    tallies: Mapping[Group, Tally] = field(default_factory=dict)
    priors: Priors = field(default_factory=Priors)

    def chance(self, tier: Tier, language: str, hour: int | None) -> float:
        """That somebody of this tier and (index) language, at this hour of theirs, answers an offer if it lasts."""
        group = (tier, language, hour)
        if group not in self._found:
            self._found[group] = self._chance(tier, language, hour)
        return self._found[group]

    def _chance(self, tier: Tier, language: str, hour: int | None) -> float:
        of_tier = self._shrunk(self._by_tier.get(tier), self.priors.chance(tier))
        of_language = self._shrunk(self._by_language.get((tier, language)), of_tier)
        at_hour = of_language
        if hour is not None:
            at_hour = self._shrunk(self.tallies.get((tier, language, hour)), of_language)
        return min(max(at_hour, LEAST), MOST)

    def _shrunk(self, tally: Tally | None, towards: float) -> float:
        if tally is None:
            return towards
        weight = self.priors.weight
        return (tally.answers + weight * towards) / (tally.exposure + weight)

    @cached_property
    def _found(self) -> dict[tuple[Tier, str, int | None], float]:
        """Asked for every offer at every look, so remembered."""
        return {}

    @cached_property
    def _by_tier(self) -> Mapping[Tier, Tally]:
        found: dict[Tier, Tally] = {}
        for (tier, _, _), tally in self.tallies.items():
            found[tier] = found.get(tier, Tally()) + tally
        return found

    @cached_property
    def _by_language(self) -> Mapping[tuple[Tier, str], Tally]:
        found: dict[tuple[Tier, str], Tally] = {}
        for (tier, language, _), tally in self.tallies.items():
            found[tier, language] = found.get((tier, language), Tally()) + tally
        return found
