"""Every schedule of every scenario, within its bounds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from _pytest.mark.structures import ParameterSet

from tests.interleaving.explore import Broken, Explorer
from tests.interleaving.scenarios import SCENARIOS


def case(name: str) -> ParameterSet:
    known = SCENARIOS[name].open_question
    marks = [pytest.mark.xfail(raises=Broken, strict=True, reason=known)] if known else []
    return pytest.param(name, id=name, marks=marks)


@pytest.mark.slow
@pytest.mark.parametrize("name", [case(name) for name in SCENARIOS])
def test_keeps_the_invariants(name: str, record_property: Callable[[str, object], None]) -> None:
    explored = Explorer(SCENARIOS[name]).explore()
    record_property("explored", str(explored))
    print(explored)
    assert explored.ends
