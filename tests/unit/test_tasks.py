"""What goes on for ever does, whatever happens in it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from server.tasks import ended, every, lasting


async def test_a_loop_that_fails_or_ends_begins_again_and_ends_when_it_is_told_to() -> None:
    begun = asyncio.Queue[int]()
    times = iter(range(1000))

    async def loop() -> None:
        number = next(times)
        begun.put_nowait(number)
        if number == 0:
            raise RuntimeError("a mistake of ours")
        if number == 2:
            await asyncio.Event().wait()

    task = asyncio.create_task(lasting("a test", loop, again_after_s=0.0))
    async with asyncio.timeout(5):
        assert [await begun.get() for _ in range(3)] == [0, 1, 2]
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert begun.empty()


@pytest.mark.parametrize("outage", [ConnectionError, None], ids=["an error instead", "nothing instead"])
@pytest.mark.parametrize("kind", ["lasting", "every"])
async def test_a_loop_ends_although_a_driver_swallows_the_cancellation(
    kind: str, outage: type[Exception] | None
) -> None:
    begun = asyncio.Event()

    async def step() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if outage is not None:
                raise outage from None

    looped = lasting("a test", step, 0.0) if kind == "lasting" else every(0.0, "a test", step)
    task = asyncio.create_task(looped)
    async with asyncio.timeout(5):
        await begun.wait()
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()


async def test_a_loop_that_takes_its_cancellation_for_an_outage_is_told_again() -> None:
    refusals = iter(range(2))
    tries = asyncio.Queue[None]()

    async def goes_on() -> None:
        while True:
            tries.put_nowait(None)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if next(refusals, None) is None:
                    raise

    tasks = [asyncio.create_task(goes_on()), asyncio.create_task(asyncio.sleep(0))]
    async with asyncio.timeout(5):
        await tries.get()
        await ended(tasks, again_after_s=0.0)
    assert all(task.done() for task in tasks)
    assert tries.qsize() == 2
