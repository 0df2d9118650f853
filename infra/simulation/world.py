"""The people of a simulation: who they are, when they may be rung, and how likely they are to answer."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from itertools import accumulate
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

from infra.simulation.dice import Dice
from matching.availability import WeeklyWindow

START = datetime(2026, 11, 23, 0, 0, tzinfo=UTC)
"""A Monday."""

CLOCKS_CHANGE_S = 900
"""Never within a quarter of an hour."""

EVERY_DAY = (1, 2, 3, 4, 5, 6, 7)


@dataclass(frozen=True, slots=True)
class Place:
    """Where people speak a language, and how many of all do so there."""

    language: str
    zone: str
    share: float


PLACES = (
    Place("en", "America/New_York", 0.16),
    Place("en", "America/Los_Angeles", 0.10),
    Place("en", "Europe/London", 0.12),
    Place("en", "Australia/Adelaide", 0.06),
    Place("es", "Europe/Madrid", 0.08),
    Place("es", "America/Mexico_City", 0.07),
    Place("es", "America/Bogota", 0.05),
    Place("pt", "America/Sao_Paulo", 0.09),
    Place("pt", "Europe/Lisbon", 0.03),
    Place("fr", "Europe/Paris", 0.08),
    Place("fr", "America/Toronto", 0.03),
    Place("de", "Europe/Berlin", 0.07),
    Place("hi", "Asia/Kolkata", 0.06),
)
"""Six languages in thirteen zones, two of them with half hours."""

SECOND_LANGUAGE = 0.4
"""So many also speak English (or Spanish, who speak English)."""
ALL_HOURS = 0.15
"""So many may be rung at any hour; the others from about eight to about ten in the evening."""


@dataclass(frozen=True, slots=True)
class Person:
    """A volunteer as they are. What policies learn of them, they learn by asking."""

    number: int
    id: UUID
    languages: tuple[str, ...]
    zone: str
    windows: tuple[WeeklyWindow, ...]
    keenness: float
    """How much more, or less, often than others they answer; 1 on average."""
    turn: float
    """Their place among those never asked, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """Somebody needs help."""

    number: int
    at_s: float
    language: str
    zone: str
    call_s: float
    """How long the call lasts."""


@dataclass(frozen=True)
class World:
    """A town of volunteers, and those who will need them. The same seed makes the same."""

    seed: int
    requests: int = 5000
    volunteers: int = 20_000
    every_s: float = 30.0
    """One request in so many seconds, on average."""

    @cached_property
    def dice(self) -> Dice:
        return Dice(self.seed)

    @cached_property
    def people(self) -> Sequence[Person]:
        return list(self._people())

    @cached_property
    def arrivals(self) -> Sequence[Arrival]:
        return list(self._arrivals())

    def _people(self) -> Iterator[Person]:
        luck = self.dice.stream("people")
        shares = list(accumulate(place.share for place in PLACES))
        for number in range(self.volunteers):
            place = PLACES[bisect(shares, luck.random() * shares[-1])]
            second = ("es" if place.language == "en" else "en",) if luck.random() < SECOND_LANGUAGE else ()
            yield Person(
                number=number,
                id=UUID(int=(3 << 120) + number),
                languages=(place.language, *second),
                zone=place.zone,
                windows=(_hours(luck),),
                keenness=luck.uniform(0.5, 1.5),
                turn=luck.random(),
            )

    def _arrivals(self) -> Iterator[Arrival]:
        """At any moment from where people are awake: by night few need help."""
        luck = self.dice.stream("arrivals")
        at_s = 0.0
        for number in range(self.requests):
            at_s += luck.expovariate(1 / self.every_s)
            now = START + timedelta(seconds=at_s)
            weights = [place.share * _activity(local_hour(place.zone, now)) for place in PLACES]
            place = luck.choices(PLACES, weights)[0]
            yield Arrival(number, at_s, place.language, place.zone, call_s=luck.lognormvariate(math.log(120), 0.8))


def local_hour(zone: str, now: datetime) -> float:
    """On the wall, in minutes as parts of an hour."""
    unix = int(now.timestamp())
    minute = (unix + _offset_s(zone, unix // CLOCKS_CHANGE_S)) // 60 % (24 * 60)
    return minute // 60 + minute % 60 / 60


@lru_cache(maxsize=4096)
def _offset_s(zone: str, quarter: int) -> int:
    """From UTC, in this quarter of an hour."""
    offset = datetime.fromtimestamp(quarter * CLOCKS_CHANGE_S, ZoneInfo(zone)).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def drift(hour: float) -> float:
    """How much likelier people are to answer at this hour of theirs, mostly in the evening; about 1 where it counts."""
    return 1.05 + 0.4 * math.cos((hour - 18) / 24 * math.tau)


def _activity(hour: float) -> float:
    """How much help is needed at this hour."""
    return 0.03 if hour < 6 else 1.0 + 0.3 * math.cos((hour - 17) / 24 * math.tau)


def _hours(luck: Random) -> WeeklyWindow:
    if luck.random() < ALL_HOURS:
        return WeeklyWindow(EVERY_DAY, 0, 24 * 60)
    return WeeklyWindow(EVERY_DAY, luck.randrange(14, 20) * 30, luck.randrange(40, 47) * 30)


def zones(people: Iterable[Person]) -> dict[str, list[Person]]:
    """Who lives by which clock."""
    found: dict[str, list[Person]] = {}
    for person in people:
        found.setdefault(person.zone, []).append(person)
    return found
