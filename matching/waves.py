"""How many more people to ask now. Policies are pure, and interchangeable behind `WavePolicy`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from matching.chances import AnswerDelay, Chances
from matching.languages import index_language
from matching.model import Offer, OfferOutcome, Tier, WithdrawReason
from matching.request_rules import Case, RequestLimits, delivery_failed
from matching.waking import URGENT_WAVES


@dataclass(frozen=True, slots=True)
class Ringing:
    """An open offer that may still be answered."""

    chance: float
    """That it is, if it lasts."""
    age_s: float


@dataclass(frozen=True, slots=True)
class WaveView:
    """What a policy may know of one waiting request."""

    now: datetime
    waiting_since: datetime
    """Of the present epoch."""
    asked: int
    """Offers of this epoch that were made."""
    spent: int
    """Of those, declined or never delivered: they cannot answer and are replaced at once."""
    open: int
    """Of those, still ringing and delivered or on their way."""
    ringing: tuple[Ringing, ...] = ()
    """The open ones."""
    chance: float = 0.17
    """That one more person asked now would answer."""
    made_at: datetime | None = None
    """When the request was made, should it have gone back to waiting since."""

    @property
    def waited_s(self) -> float:
        """Since the request was made: who lost their helper has waited long enough already."""
        return (self.now - (self.made_at or self.waiting_since)).total_seconds()


class WavePolicy(Protocol):
    """Decides how many more people to ask."""

    def wanted(self, view: WaveView) -> int:
        """People to ask now; 0 to wait."""

    def next_wave_at(self, view: WaveView) -> datetime:
        """When time alone will make more people wanted, should nothing else happen. Always later than now."""

    def is_urgent(self, view: WaveView) -> bool:
        """Whether people asked now must be likely to see it soon: in the first two waves."""


@dataclass(frozen=True, slots=True)
class FixedWaves:
    """`size` people at once, and `size` more every `interval`, whether or not earlier ones still ring."""

    size: int = 10
    interval: timedelta = timedelta(seconds=10)
    most_at_once: int = 64

    def wanted(self, view: WaveView) -> int:
        missing = self.size * self._waves_due(view) - (view.asked - view.spent)
        if view.open == 0:
            missing = max(missing, self.size)
        return max(0, min(missing, self.most_at_once))

    def next_wave_at(self, view: WaveView) -> datetime:
        return view.waiting_since + self._waves_due(view) * self.interval

    def is_urgent(self, view: WaveView) -> bool:
        return self._waves_due(view) <= URGENT_WAVES

    def _waves_due(self, view: WaveView) -> int:
        return (view.now - view.waiting_since) // self.interval + 1


@dataclass(frozen=True, slots=True)
class BeMyEyesWaves:
    """One person every `interval`, with every second wave one more, `most` in the end; nobody is ever replaced.

    So did the first Be My Eyes server of 2015 (its `helpers/i_find_helpers_for_request.rb`: 4 s, 10 people). The one of
    2014 asked one every 5 s (`most=1`). Both drew at random, without turns.
    """

    interval: timedelta = timedelta(seconds=4)
    most: int = 10

    def wanted(self, view: WaveView) -> int:
        due = sum(min(max(wave // 2, 1), self.most) for wave in range(self._waves_due(view)))
        return max(0, due - view.asked)

    def next_wave_at(self, view: WaveView) -> datetime:
        return view.waiting_since + self._waves_due(view) * self.interval

    def is_urgent(self, view: WaveView) -> bool:
        """It knew nothing of devices that are not in use."""
        return False

    def _waves_due(self, view: WaveView) -> int:
        return max(0, (view.now - view.waiting_since) // self.interval + 1)


@dataclass(frozen=True, slots=True)
class AdaptiveWaves:
    """So many people ring that one of them is likely to answer soon, the likelier the longer it took already.

    The numbers are those at which, in `eyeline simulate`, 95 of 100 requests are answered within 17 s, be chances 0.05
    or 0.47: with more people fewer notifications would be in vain, with fewer of them it would take longer.
    """

    delay: AnswerDelay = field(default_factory=AnswerDelay)
    """How long answers take."""
    horizon_s: float = 10.0
    """What "soon" is: most of those who answer at all do within this. A longer one lets old rings count for more."""
    first_target: float = 0.65
    """The chance of an answer within the horizon, to begin with: what most notifications are spent on. At 0.65 every
    third request needs a second wave, which comes only then."""
    last_target: float = 0.95
    """The same after `grows_s`: by now waiting is worse than a few rings too many."""
    grows_s: float = 40.0
    """How long it takes from the first to the last target."""
    wave_s: float = 5.0
    """A wave asks for as many as will do for so long. Else one person would be asked every other second: as many rings,
    in many more transactions."""
    urgent_s: float = 15.0
    """So long devices unseen for a month are left in peace: they answer too seldom to be of use in the first waves."""
    most_at_once: int = 100
    """A bound for one wave, should chances be tiny: the next look goes on."""

    def wanted(self, view: WaveView) -> int:
        rings = Counter(view.ringing)
        if not self._wants(view, rings, 0):
            return 0
        missing = max(self._missing(view, rings, after_s) for after_s in (0, self.wave_s))
        return min(max(1, math.ceil(missing - ROUNDING)), self.most_at_once)

    def next_wave_at(self, view: WaveView) -> datetime:
        """To a tenth of a second; a second from now when people are wanted already, who could not be found."""
        rings = Counter(view.ringing)
        after_s = LOOK_AGAIN_S
        while after_s < FAR_S and not self._wants(view, rings, after_s):
            after_s *= 2
        before_s = after_s if after_s == LOOK_AGAIN_S else after_s / 2
        while after_s - before_s > 0.1:
            middle_s = (before_s + after_s) / 2
            before_s, after_s = (before_s, middle_s) if self._wants(view, rings, middle_s) else (middle_s, after_s)
        return view.now + timedelta(seconds=after_s)

    def is_urgent(self, view: WaveView) -> bool:
        return view.waited_s < self.urgent_s

    def _wants(self, view: WaveView, rings: Counter[Ringing], after_s: float) -> bool:
        """Whether the target will not be met so much later, should nothing happen."""
        return self._reached(rings, after_s) < self._needed(view.waited_s + after_s) - ROUNDING

    def _missing(self, view: WaveView, rings: Counter[Ringing], after_s: float) -> float:
        """How many people asked now it takes for the target to be met so much later."""
        missing = self._needed(view.waited_s + after_s) - self._reached(rings, after_s)
        return missing / self._of_one(view.chance, after_s)

    def _needed(self, waited_s: float) -> float:
        """The target: minus the logarithm of the chance that nobody answers, which single people add up to."""
        part = min(max(waited_s / self.grows_s, 0.0), 1.0) if self.grows_s > 0 else 1.0
        return -math.log1p(-(self.first_target + (self.last_target - self.first_target) * part))

    def _reached(self, rings: Counter[Ringing], after_s: float) -> float:
        return math.fsum(count * self._of_one(one.chance, one.age_s + after_s) for one, count in rings.items())

    def _of_one(self, chance: float, age_s: float) -> float:
        """What a single ring adds that was not answered until it is so old."""
        so_far = self.delay.answered_within(age_s)
        by_then = self.delay.answered_within(age_s + self.horizon_s)
        return math.log1p(-chance * so_far) - math.log1p(-chance * by_then)


LOOK_AGAIN_S, FAR_S = 1.0, 60.0
"""Waiting requests are looked at every second anyway, and nobody plans a minute ahead."""

ROUNDING = 1e-9


def policy_named(name: str, *, fixed: FixedWaves | None = None, adaptive: AdaptiveWaves | None = None) -> WavePolicy:
    """The policy of a setting, with the numbers of this deployment. KeyError when there is none of the name."""
    policies: dict[str, WavePolicy] = {
        "adaptive": adaptive or AdaptiveWaves(),
        "fixed": fixed or FixedWaves(),
        "be_my_eyes_2015": BeMyEyesWaves(),
    }
    return policies[name]


POLICIES = ("adaptive", "fixed", "be_my_eyes_2015")
"""The names `policy_named` knows."""


def wave_view(case: Case, now: datetime, limits: RequestLimits, chances: Chances, hour: int | None = None) -> WaveView:
    """Count the offers of the present epoch the way policies need them; `hour` is that on the requester's wall."""
    offers = [offer for offer in case.offers if offer.epoch == case.request.epoch]
    spent = [_is_spent(offer, now, limits) for offer in offers]
    open_offers = [offer for offer, over in zip(offers, spent, strict=True) if offer.outcome is None and not over]
    return WaveView(
        now=now,
        waiting_since=case.request.waiting_since,
        asked=len(offers),
        spent=sum(spent),
        open=len(open_offers),
        ringing=tuple(_ringing(open_offers, now, chances)),
        chance=chances.chance(Tier.HOT, index_language(case.request.languages[0]), hour),
        made_at=case.request.created_at,
    )


def _is_spent(offer: Offer, now: datetime, limits: RequestLimits) -> bool:
    if offer.outcome is None or offer.outcome is OfferOutcome.EXPIRED:
        return delivery_failed(offer, now, limits)
    return offer.outcome is OfferOutcome.DECLINED or offer.reason is WithdrawReason.UNAVAILABLE


def _ringing(offers: Iterable[Offer], now: datetime, chances: Chances) -> Iterable[Ringing]:
    """Most were asked in one wave and are believed alike, so they are worked out once."""
    known: dict[tuple[datetime, Tier, str, int | None], Ringing] = {}
    for offer in offers:
        kind = (offer.offered_at, offer.tier, offer.language, offer.local_hour)
        one = known.get(kind)
        if one is None:
            chance = chances.chance(offer.tier, index_language(offer.language), offer.local_hour)
            one = known[kind] = Ringing(chance, (now - offer.offered_at).total_seconds())
        yield one
