"""How many more people one look wants, counted down while it finds them: a policy with what it knows of chances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from matching.chances import Chances
from matching.languages import index_language
from matching.model import Request, RequestState, Tier
from matching.request_rules import Case, RequestLimits, requester_is_there
from matching.waves import Ringing, WavePolicy, WaveView, wave_view


class Search:
    """How far one look at one request has come in finding people."""

    def __init__(self, case: Case, view: WaveView, policy: WavePolicy, chances: Chances) -> None:
        self.request = case.request
        self.got = 0
        self.language: str | None = None
        """The tag in which people were offered it last."""
        self._hour = case.local_hour
        self._view = view
        self._policy = policy
        self._chances = chances

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

    def view(self, case: Case, now: datetime) -> WaveView:
        return wave_view(case, now, self.limits, self.chances(), case.local_hour)

    def search(self, case: Case, now: datetime) -> Search:
        return Search(case, self.view(case, now), self.policy, self.chances())

    def wants_people(self, case: Case, now: datetime) -> bool:
        """Whether it waits, its requester is there, and more people should ring."""
        if not may_ask(case.request, requester_is_there(case, now, self.limits)):
            return False
        return self.policy.wanted(self.view(case, now)) > 0


def may_ask(request: Request, requester_there: bool) -> bool:
    return request.state is RequestState.WAITING and requester_there
