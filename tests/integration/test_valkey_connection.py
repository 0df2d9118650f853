"""The connection to Valkey: what its driver does to the tasks that use it."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from redis.asyncio import Redis

from infra.valkey.connection import POOL_WAIT_S, open_valkey, pipelined_on
from infra.valkey.outages import is_unavailable

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


@pytest.mark.parametrize("lost", [TimeoutError(110, "timed out"), ConnectionResetError(104, "reset")])
async def test_a_connection_lost_while_it_is_read_is_an_outage_and_not_an_answer(
    valkey_url: str, lost: OSError
) -> None:
    client = open_valkey(valkey_url, pool_size=1)
    try:
        assert await client.echo("x") == b"x"
        [connection] = client.connection_pool._available_connections
        asking = asyncio.create_task(pipelined_on(client, [("BLPOP", "nothing", 10), ("ECHO", "x")]))
        await asyncio.sleep(0)
        assert connection._reader is not None
        connection._reader.set_exception(lost)
        replies = await asking
        assert [is_unavailable(reply) for reply in replies] == [True, True]
        await _answers_are_their_own(client)
    finally:
        await client.aclose()


async def test_nothing_asked_is_nothing_done() -> None:
    client = open_valkey("redis://127.0.0.1:1")
    assert await pipelined_on(client, []) == []
    await client.aclose()


async def test_a_connection_that_is_free_goes_to_the_next_who_waits_although_the_first_gave_up(valkey_url: str) -> None:
    client = open_valkey(valkey_url, pool_size=1)
    pool: Any = client.connection_pool
    try:
        connection = await pool.get_connection()
        first, second = (asyncio.create_task(pool.get_connection()) for _ in range(2))
        for _ in range(3):
            await asyncio.sleep(0)
        await pool.release(connection)
        first.cancel()
        async with asyncio.timeout(POOL_WAIT_S / 2):
            await pool.release(await second)
        await asyncio.wait([first])
    finally:
        await client.aclose()


async def _answers_are_their_own(client: Redis) -> None:
    """No connection kept an answer that somebody else waited for."""
    for number in range(64):
        assert await client.echo(str(number)) == str(number).encode()
