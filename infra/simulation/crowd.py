"""What volunteers do when their phones ring."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal
from uuid import UUID

from infra.memory.clock import MovedClock
from infra.simulation.record import Record
from infra.simulation.world import START, Person, World, drift, local_hour
from matching.model import Offer, Tier

FAILED: Final = 0.02
"""So many deliveries reach no device."""
DECLINED: Final = 0.08
"""So many of those who do not answer say so."""
HOT_CHANCE: Final = 0.6
"""Of those who have the app open, as they tapped a moment too late."""
SURE: Final = 0.95
TIRED_BY: Final = 0.01
"""So much less likely to answer is somebody for each time they rang; half of it is forgotten in a day."""
DAY_S: Final = 86_400.0
MEDIAN_S, SIGMA = 8.0, 0.7
"""Of the time an answer takes: lognormal."""


@dataclass(frozen=True, slots=True)
class Reaction:
    """What somebody does, and how long after their phone began to ring."""

    what: Literal["tap", "decline"]
    after: timedelta


class Crowd:
    """All volunteers of a world, who answer with this chance on average."""

    def __init__(self, world: World, people: Mapping[UUID, Person], chance: float, clock: MovedClock) -> None:
        self._dice = world.dice
        self._people = people
        self._chance = chance
        self._clock = clock
        self._rings: dict[UUID, tuple[float, float]] = {}
        """How many rings somebody still feels, and when that was counted."""

    def reaches(self, request: int, offer: Offer) -> bool:
        """Whether the ring reaches a device of theirs."""
        return self._dice.luck(request, self._people[offer.person_id].number).fails >= FAILED

    def react(self, request: int, offer: Offer, record: Record) -> Reaction | None:
        """To a phone that begins to ring now."""
        person = self._people[offer.person_id]
        luck = self._dice.luck(request, person.number)
        chance = self._chance_of(person, offer.tier, record)
        after = timedelta(seconds=MEDIAN_S * math.exp(SIGMA * luck.delay))
        if luck.answers < chance:
            return Reaction("tap", after)
        return Reaction("decline", after) if luck.declines < DECLINED else None

    def _chance_of(self, person: Person, tier: Tier, record: Record) -> float:
        now_s = (self._clock.now - START).total_seconds()
        felt, since_s = self._rings.get(person.id, (0.0, now_s))
        felt *= math.exp2((since_s - now_s) / DAY_S)
        self._rings[person.id] = (felt + 1, now_s)
        hour = local_hour(person.zone, self._clock.now)
        chance: float = min(self._chance * drift(hour) * person.keenness / (1 + TIRED_BY * felt), SURE)
        if tier is Tier.HOT:
            return max(chance, HOT_CHANCE)
        total, count = record.true_chances.get(int(hour), (0.0, 0))
        record.true_chances[int(hour)] = (total + chance, count + 1)
        return chance
