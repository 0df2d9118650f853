"""How many more people to ask now. Policies are pure; `FixedWaves` is the first behind `WavePolicy`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from matching.model import Offer, OfferOutcome, WithdrawReason
from matching.request_rules import Case, RequestLimits, delivery_failed
from matching.waking import URGENT_WAVES


@dataclass(frozen=True, slots=True)
class WaveView:
    """What a policy may know of one waiting request."""

    now: datetime
    waiting_since: datetime
    asked: int
    """Offers of this epoch that were made."""
    spent: int
    """Of those, declined or never delivered: they cannot answer and are replaced at once."""
    open: int
    """Of those, still ringing and delivered or on their way."""


class WavePolicy(Protocol):
    """Decides how many more people to ask."""

    def wanted(self, view: WaveView) -> int:
        """People to ask now; 0 to wait."""

    def next_wave_at(self, view: WaveView) -> datetime:
        """When time alone will make more people wanted, should nothing else happen."""

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


def wave_view(case: Case, now: datetime, limits: RequestLimits) -> WaveView:
    """Count the offers of the present epoch the way policies need them."""
    offers = [offer for offer in case.offers if offer.epoch == case.request.epoch]

    def is_spent(offer: Offer) -> bool:
        if offer.outcome is None or offer.outcome is OfferOutcome.EXPIRED:
            return delivery_failed(offer, now, limits)
        return offer.outcome is OfferOutcome.DECLINED or offer.reason is WithdrawReason.UNAVAILABLE

    spent = sum(map(is_spent, offers))
    ringing = sum(offer.outcome is None and not is_spent(offer) for offer in offers)
    return WaveView(now, case.request.waiting_since, len(offers), spent, ringing)


def progress_note(case: Case, view: WaveView, newly_asked: int) -> str:
    """The contract's `progress.note` code that is true now."""
    if view.open + newly_asked == 0:
        return "going_back" if case.request.returns and not view.asked else "nobody_awake"
    if case.request.returns and view.asked == 0:
        return "going_back"
    if view.asked == 0:
        return "asking"
    return "asking_more" if newly_asked else "still_looking"
