"""Every schedule of every scenario, within its bounds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.interleaving.explore import Explorer
from tests.interleaving.scenarios import SCENARIOS


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_keeps_the_invariants(name: str, record_property: Callable[[str, object], None]) -> None:
    explored = Explorer(SCENARIOS[name]).explore()
    record_property("explored", str(explored))
    print(explored)
    assert explored.ends
