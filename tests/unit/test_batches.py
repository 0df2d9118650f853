"""Calls that travel together: order, failures, callers that give up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from infra.valkey.batches import TOGETHER_MAX, Batches
from infra.valkey.library import Call, Library


class ScriptedLibrary:
    """Answers a call with its first argument, batch by batch, when the gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.batches: list[list[Any]] = []
        self.failure: Exception | None = None

    async def call_each(self, name: str, calls: Sequence[Call]) -> list[Any]:
        self.batches.append([args[0] for _, args in calls])
        await self.gate.wait()
        if self.failure is not None:
            return [self.failure] * len(calls)
        return [args[0] for _, args in calls]


@pytest.fixture
def library() -> ScriptedLibrary:
    return ScriptedLibrary()


@pytest.fixture
def batches(library: ScriptedLibrary) -> Batches:
    return Batches(cast(Library, library), "f")


async def begin(batches: Batches, *numbers: int) -> list[asyncio.Task[Any]]:
    """Calls that are waiting, in this order."""
    tasks = [asyncio.create_task(batches.call((b"k",), (number,))) for number in numbers]
    await asyncio.sleep(0)
    return tasks


async def test_those_who_come_meanwhile_travel_together(library: ScriptedLibrary, batches: Batches) -> None:
    library.gate.clear()
    tasks = await begin(batches, 1)
    await asyncio.sleep(0)
    tasks += await begin(batches, 2, 3, 4)
    library.gate.set()
    assert await asyncio.gather(*tasks) == [1, 2, 3, 4]
    assert library.batches == [[1], [2, 3, 4]]


async def test_a_batch_is_bounded(library: ScriptedLibrary, batches: Batches) -> None:
    numbers = range(3 * TOGETHER_MAX + 1)
    assert await asyncio.gather(*await begin(batches, *numbers)) == list(numbers)
    assert [len(batch) for batch in library.batches] == [TOGETHER_MAX] * 3 + [1]


async def test_a_failure_is_everybodys_who_waited_and_nobodys_after(library: ScriptedLibrary, batches: Batches) -> None:
    library.gate.clear()
    tasks = await begin(batches, 1)
    await asyncio.sleep(0)
    tasks += await begin(batches, 2)
    library.failure = ConnectionError("away")
    library.gate.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ConnectionError, ConnectionError]
    assert library.batches == [[1]]
    library.failure = None
    assert await batches.call((b"k",), (3,)) == 3


async def test_what_came_of_it_is_heeded_also_when_who_asked_gave_up(library: ScriptedLibrary) -> None:
    heeded = list[Any]()
    batches = Batches(cast(Library, library), "f", lambda args, reply: heeded.append((args, reply)))
    library.gate.clear()
    [task] = await begin(batches, 1)
    await asyncio.sleep(0)
    task.cancel()
    others = await begin(batches, 2)
    library.gate.set()
    assert await asyncio.gather(*others) == [2]
    assert heeded == [((1,), 1), ((2,), 2)]


async def test_who_gave_up_is_not_sent_for(library: ScriptedLibrary, batches: Batches) -> None:
    library.gate.clear()
    first, *_ = await begin(batches, 1)
    await asyncio.sleep(0)
    gone, stays = await begin(batches, 2, 3)
    gone.cancel()
    await asyncio.wait([gone])
    first.cancel()
    await asyncio.wait([first])
    library.gate.set()
    assert await stays == 3
    assert library.batches == [[1], [3]]
