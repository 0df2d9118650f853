"""The connection to Valkey: what its driver does to the tasks that use it."""

from __future__ import annotations

import asyncio
import random

from redis.asyncio import Redis

from infra.valkey.connection import open_valkey

TASKS = 200


async def test_a_cancellation_is_never_swallowed(valkey_url: str) -> None:
    client = open_valkey(valkey_url)
    dice = random.Random(7)

    async def ask_for_ever() -> None:
        while True:
            await client.echo("x")

    try:
        for _ in range(TASKS):
            asking = asyncio.create_task(ask_for_ever())
            for _ in range(dice.randrange(1, 40)):
                await asyncio.sleep(0)
            asking.cancel()
            done, _left = await asyncio.wait([asking], timeout=1)
            assert done, "the task goes on although it was cancelled"
        await _answers_are_their_own(client)
    finally:
        await client.aclose()


async def _answers_are_their_own(client: Redis) -> None:
    """No connection kept an answer that somebody else waited for."""
    for number in range(64):
        assert await client.echo(str(number)) == str(number).encode()
