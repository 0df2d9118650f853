"""Exploring finds bugs: each of these, seeded into copies of the code, is met within the usual bounds."""

from __future__ import annotations

import pytest

from tests.interleaving.explore import Broken, Explorer, replay
from tests.interleaving.scenarios import SCENARIOS
from tests.interleaving.seeded import SEEDS, Seed


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed.name)
def test_is_found_and_can_be_replayed(seed: Seed) -> None:
    with pytest.raises(Broken) as found:
        Explorer(SCENARIOS[seed.scenario], seed.product).explore()
    print(f"\n{seed.name}\n{found.value}")
    assert {finding[0] for finding in found.value.findings} & seed.invariants
    with pytest.raises(Broken) as again:
        replay(SCENARIOS, found.value.schedule, seed.product)
    assert again.value.findings == found.value.findings
