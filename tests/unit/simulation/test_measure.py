"""Figures and their intervals."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.simulation.measure import Weighed, gini, intervals, mean, quantile


def evenly(*values: float) -> Weighed:
    return [(value, 1) for value in values]


@pytest.mark.parametrize(("part", "value"), [(0.0, 1), (0.5, 2), (0.51, 3), (0.95, 4), (1.0, 4)])
def test_a_quantile_is_one_of_the_values(part: float, value: float) -> None:
    assert quantile(evenly(1, 2, 3, 4), part) == value


@pytest.mark.parametrize(
    ("weighed", "inequality"),
    [(evenly(2, 2, 2), 0), (evenly(0, 0, 0, 1), 0.75), ([(0.0, 3), (1.0, 1)], 0.75), (evenly(0, 0), 0)],
)
def test_gini(weighed: Weighed, inequality: float) -> None:
    assert gini(weighed) == pytest.approx(inequality)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60))
def test_gini_is_the_mean_difference(values: list[int]) -> None:
    differences = sum(abs(one - other) for one in values for other in values)
    expected = differences / (2 * len(values) * sum(values)) if sum(values) else 0
    counted = [(value, values.count(value)) for value in sorted(set(values))]
    assert gini(counted) == pytest.approx(expected)


def test_an_interval_holds_its_value_and_narrows_with_more_of_them() -> None:
    luck = Random(2)
    few, many = ([luck.gauss(10, 2) for _ in range(count)] for count in (100, 10_000))
    (wide,), (narrow,) = intervals(few, (mean,), Random(1)), intervals(many, (mean,), Random(1))
    assert wide.low < wide.value < wide.high
    assert narrow.low < 10 < narrow.high
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)
    assert narrow.high - narrow.low == pytest.approx(2 * 1.96 * 2 / 100, rel=0.3)
