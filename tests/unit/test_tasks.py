"""What goes on for ever does, whatever happens in it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from server.tasks import lasting


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
