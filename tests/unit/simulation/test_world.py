"""The world of a simulation is the same whatever is tried in it."""

from __future__ import annotations

from collections import Counter

import pytest

from infra.simulation.dice import Dice
from infra.simulation.world import PLACES, World, drift
from matching.availability import is_open

WORLD = World(seed=3, requests=300, volunteers=400)


def test_the_same_seed_makes_the_same_world() -> None:
    again, other = World(3, 300, 400), World(4, 300, 400)
    assert (again.people, again.arrivals) == (WORLD.people, WORLD.arrivals)
    assert other.people != WORLD.people
    assert other.arrivals != WORLD.arrivals


def test_more_requests_are_the_same_and_then_more() -> None:
    assert World(3, 500, 400).arrivals[:300] == WORLD.arrivals


def test_requests_come_as_often_as_they_should() -> None:
    assert WORLD.arrivals[-1].at_s / 300 == pytest.approx(30, rel=0.15)


def test_people_are_spread_over_languages_and_zones() -> None:
    zones = Counter(person.zone for person in WORLD.people)
    assert set(zones) == {place.zone for place in PLACES}
    assert sum(len(person.languages) for person in WORLD.people) / 400 == pytest.approx(1.4, abs=0.1)


def test_by_night_fewer_may_be_rung() -> None:
    from datetime import timedelta

    from infra.simulation.world import START

    berlin = [person for person in WORLD.people if person.zone == "Europe/Berlin"]
    night, day = (
        sum(is_open(one.windows, one.zone, START + timedelta(hours=hour)) for one in berlin) for hour in (2, 12)
    )
    assert 0 <= night < day == len(berlin)


def test_chances_drift_by_the_hour() -> None:
    assert drift(6) < 0.8 < 1.2 < drift(18)


def test_luck_is_of_a_request_and_a_volunteer() -> None:
    assert Dice(1).luck(5, 9) == Dice(1).luck(5, 9)
    assert len({Dice(seed).luck(a, b) for seed in (1, 2) for a in (5, 6) for b in (9, 10)}) == 8


def test_luck_is_fair() -> None:
    drawn = [Dice(1).luck(5, volunteer) for volunteer in range(4000)]
    assert sum(luck.answers < 0.17 for luck in drawn) / 4000 == pytest.approx(0.17, abs=0.02)
    assert sum(luck.delay < 0 for luck in drawn) / 4000 == pytest.approx(0.5, abs=0.03)
