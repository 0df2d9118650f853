"""What is written down while a simulation runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from matching.chances import Group, Tally


@dataclass
class Record:
    """One entry for each request, in the order of their arrival, or for each volunteer."""

    waited_s: list[float]
    """Until it was answered; until its deadline when it was not."""
    answered: list[bool]
    notifications: list[int]
    waves: list[int]
    late_taps: list[int]
    turns: list[int]
    """How often each volunteer rang."""
    first_turn_s: list[float]
    """Until each volunteer rang for the first time; until the end for those who never did."""
    unanswered: int = 0
    """Requests that nobody answered, though somebody was free who had not been asked."""
    nobody_free: int = 0
    """Requests that nobody answered, and nobody was left to ask."""
    tallies: Mapping[Group, Tally] = field(default_factory=dict)
    """What was learned."""
    true_chances: dict[int, tuple[float, int]] = field(default_factory=dict)
    """By local hour: the sum of the chances of those who rang, and how many they were."""

    @classmethod
    def empty(cls, requests: int, volunteers: int) -> Record:
        return cls(
            waited_s=[0.0] * requests,
            answered=[False] * requests,
            notifications=[0] * requests,
            waves=[0] * requests,
            late_taps=[0] * requests,
            turns=[0] * volunteers,
            first_turn_s=[-1.0] * volunteers,
        )
