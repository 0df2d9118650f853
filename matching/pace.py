"""How many more people one look wants, counted down while it finds them: a policy with what it knows of chances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from matching.chances import Chances
from matching.languages import index_language
from matching.model import RequestState, Tier
from matching.request_rules import Case, RequestLimits, requester_is_there
from matching.waves import Ringing, WavePolicy, WaveView, wave_view


class Search:
    """How far one look at one request has come in finding people."""

    def __init__(self, case: Case, view: WaveView, policy: WavePolicy, chances: Chances, *, may_ask: bool) -> None:
        """`may_ask`: whether it waits, and its requester is there."""
        self.request = case.request
        self.begun_with = view
        self.got = 0
        self.language: str | None = None
        """The tag in which people were offered it last."""
        self._may_ask = may_ask
        self._hour = case.local_hour
        self._view = view
        self._policy = policy
        self._chances = chances

    @property
    def wants_people(self) -> bool:
        return self._may_ask and self._policy.wanted(self._view) > 0

    @property
    def next_wave_at(self) -> datetime:
        """When time alone will make more people wanted."""
        return self._policy.next_wave_at(self._view)

    @property
    def urgent(self) -> bool:
        """Whether people asked now must be likely to see it soon."""
        return self._policy.is_urgent(self._view)

    @property
    def anybody_rings(self) -> bool:
        return self._view.open > 0

    def missing(self, tier: Tier, language: str) -> int:
        """How many more people of this tier and (index) language are wanted now, should nobody else be asked."""
        return self._policy.wanted(replace(self._view, chance=self._chance(tier, language)))

    def offered(self, count: int, tier: Tier, tag: str) -> None:
        """So many were. The next wave is planned on top of this one, and of no other node's."""
        if count == 0:
            return
        ringing = Ringing(chance=self._chance(tier, index_language(tag)), age_s=0.0)
        self._view = replace(
            self._view,
            asked=self._view.asked + count,
            open=self._view.open + count,
            ringing=self._view.ringing + (ringing,) * count,
        )
        self.request = replace(self.request, wave=self.request.wave + 1)
        self.got += count
        self.language = tag

    def _chance(self, tier: Tier, language: str) -> float:
        # People asked for one request live near each other, as a rule, and near its requester: their clocks agree.
        return self._chances.chance(tier, language, self._hour)


@dataclass(frozen=True, slots=True)
class Pace:
    """The policy in force, and the chances as they were last learned."""

    policy: WavePolicy
    chances: Callable[[], Chances]
    limits: RequestLimits

    def search(self, case: Case, now: datetime) -> Search:
        """What a look at the case begins with."""
        chances = self.chances()
        view = wave_view(case, now, self.limits, chances, case.local_hour)
        may_ask = case.request.state is RequestState.WAITING and requester_is_there(case, now, self.limits)
        return Search(case, view, self.policy, chances, may_ask=may_ask)
