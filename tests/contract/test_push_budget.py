"""The project's budget of pushes on a real server: one bucket for all nodes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from infra.valkey import keys
from infra.valkey.connection import Server, open_valkey
from infra.valkey.library import Library
from infra.valkey.push_budget import PER_MINUTE, ValkeyPushBudget
from tests.support.engines import Engines, freeze, kill

SECONDS_WORTH = PER_MINUTE // 60
SLACK_S = 0.5
"""Between two calls the bucket fills; a busy machine may take so long."""


@pytest.fixture
async def valkey(valkey_url: str) -> AsyncIterator[Server]:
    client = open_valkey(valkey_url)
    yield client
    await client.aclose()


@pytest.fixture
def budget(valkey: Server) -> ValkeyPushBudget:
    return ValkeyPushBudget(Library(valkey))


async def test_is_googles_quota() -> None:
    assert SECONDS_WORTH == 10_000


async def test_a_seconds_worth_goes_at_once_and_the_rest_in_its_time(budget: ValkeyPushBudget) -> None:
    assert await budget.take(SECONDS_WORTH) == 0
    wait_s = await budget.take(SECONDS_WORTH)
    assert 1 - SLACK_S < wait_s <= 1


async def test_what_had_to_wait_was_not_counted(budget: ValkeyPushBudget) -> None:
    assert await budget.take(SECONDS_WORTH) == 0
    waits = [await budget.take(SECONDS_WORTH) for _ in range(5)]
    assert waits == sorted(waits, reverse=True)


async def test_after_the_wait_it_goes(valkey: Server) -> None:
    slow = ValkeyPushBudget(Library(valkey), per_minute=6000)
    assert await slow.take(100) == 0
    wait_s = await slow.take(10)
    assert 0 < wait_s <= 0.1
    # The server's own clock decides; there is no event to wait for.
    await asyncio.sleep(wait_s)
    assert await slow.take(10) == 0


async def test_more_than_a_seconds_worth_goes_when_nothing_is_owed_and_is_paid_off_before_anybody_else_goes(
    budget: ValkeyPushBudget,
) -> None:
    assert await budget.take(3 * SECONDS_WORTH) == 0
    assert 2 - SLACK_S < await budget.take(1) <= 2.0001
    assert 3 - SLACK_S < await budget.take(3 * SECONDS_WORTH) <= 3


async def test_all_nodes_share_it(valkey: Server) -> None:
    nodes = [ValkeyPushBudget(Library(valkey)) for _ in range(4)]
    assert [await node.take(SECONDS_WORTH // 2) for node in nodes[:2]] == [0, 0]
    assert all([await node.take(SECONDS_WORTH) > 0 for node in nodes])


async def test_nodes_at_once_get_no_more_than_there_is(valkey: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine, eighty at once take longer than a node would wait before it lets them go.
    monkeypatch.setattr("infra.valkey.push_budget.ANSWER_WITHIN_S", 5.0)
    per_minute, size = 6000, 10
    nodes = [ValkeyPushBudget(Library(valkey), per_minute) for _ in range(8)]
    began = time.monotonic()
    waits = await asyncio.gather(*(node.take(size) for node in nodes for _ in range(10)))
    filled = (time.monotonic() - began) * per_minute / 60
    assert 100 <= waits.count(0) * size <= 100 + filled + size


class TestSlowed:
    @pytest.mark.parametrize(("times", "divisor"), [(1, 2), (2, 4), (3, 8), (4, 16), (5, 16), (9, 16)])
    async def test_each_429_halves_the_rate_down_to_a_sixteenth(
        self, budget: ValkeyPushBudget, times: int, divisor: int
    ) -> None:
        for _ in range(times):
            await budget.slow(60)
        assert await budget.take(SECONDS_WORTH // divisor) == 0
        wait_s = await budget.take(SECONDS_WORTH // divisor)
        assert 1 - SLACK_S < wait_s <= 1.001

    async def test_when_the_time_has_passed_the_rate_is_full_again(self, budget: ValkeyPushBudget) -> None:
        await budget.slow(0.05)
        # The server's own clock decides; there is no event to wait for.
        await asyncio.sleep(0.06)
        assert await budget.take(SECONDS_WORTH // 2) == 0
        assert await budget.take(SECONDS_WORTH // 2) == 0

    async def test_a_shorter_wait_does_not_end_a_longer_one(self, budget: ValkeyPushBudget) -> None:
        await budget.slow(60)
        await budget.slow(0)
        assert await budget.take(SECONDS_WORTH // 4) == 0
        assert await budget.take(SECONDS_WORTH // 4) > 0

    async def test_slowing_down_forgets_nothing_that_was_sent(self, budget: ValkeyPushBudget) -> None:
        assert await budget.take(SECONDS_WORTH) == 0
        await budget.slow(60)
        assert 1 - SLACK_S < await budget.take(SECONDS_WORTH // 2) <= 1

    async def test_nothing_is_kept_for_longer_than_it_matters(self, valkey: Server, budget: ValkeyPushBudget) -> None:
        await budget.take(1)
        assert 0 <= await valkey.pttl(keys.push_budget()) <= 1 or not await valkey.exists(keys.push_budget())
        await budget.slow(60)
        assert 59_000 < await valkey.pttl(keys.push_budget()) <= 60_000
        await budget.take(1)
        assert 58_000 < await valkey.pttl(keys.push_budget()) <= 60_000


@pytest.mark.parametrize("frozen", [True, False])
async def test_without_valkey_everything_goes_and_nobody_waits(
    engines: Engines, budget: ValkeyPushBudget, frozen: bool
) -> None:
    assert await budget.take(SECONDS_WORTH) == 0
    (freeze if frozen else kill)(engines.valkey)
    began = time.monotonic()
    assert [await budget.take(SECONDS_WORTH) for _ in range(50)] == [0] * 50
    await budget.slow(60)
    assert time.monotonic() - began < 1
    engines.restore()
