"""The connection to Valkey that all callers share: everybody gets their own replies, or hears that there are none."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from redis.exceptions import ConnectionError as DriverConnectionError
from redis.exceptions import ResponseError

from infra.valkey.cluster import execute
from infra.valkey.connection import Server, open_valkey, pipelined_on
from infra.valkey.library import Library
from infra.valkey.multiplexer import WAITING_MAX
from infra.valkey.outages import is_unavailable
from tests.support.socket_nodes import until

CALLERS = 200
FOR_EVER = ("BLPOP", "nothing", 0)
"""Never answered; as every command on one connection, it holds up those behind it."""


@pytest.fixture
async def server(valkey_url: str) -> AsyncIterator[Server]:
    client = open_valkey(valkey_url)
    yield client
    await client.aclose()


async def test_everybody_gets_their_own_replies_though_others_give_up(server: Server) -> None:
    dice = random.Random(7)

    async def ask(number: int) -> None:
        for turn in range(dice.randrange(1, 6)):
            texts = [f"{number}.{turn}.{part}" for part in range(dice.randrange(1, 5))]
            assert await pipelined_on(server, [("ECHO", text) for text in texts]) == [text.encode() for text in texts]

    asking = [asyncio.create_task(ask(number)) for number in range(CALLERS)]
    for task in dice.sample(asking, CALLERS // 4):
        await asyncio.sleep(0)
        task.cancel()
    answered = await asyncio.gather(*asking, return_exceptions=True)
    assert all(outcome is None or isinstance(outcome, asyncio.CancelledError) for outcome in answered)
    assert answered.count(None) >= CALLERS // 2


@pytest.mark.parametrize("shared", [True, False], ids=["shared connection", "listener's connection"])
async def test_a_cancellation_is_never_swallowed(server: Server, shared: bool) -> None:
    dice = random.Random(7)

    async def ask_for_ever() -> None:
        while True:
            await (execute(server, "ECHO", "x") if shared else server.echo("x"))

    for _ in range(CALLERS):
        asking = asyncio.create_task(ask_for_ever())
        for _ in range(dice.randrange(1, 40)):
            await asyncio.sleep(0)
        asking.cancel()
        done, _left = await asyncio.wait([asking], timeout=1)
        assert done, "the task goes on although it was cancelled"
    await answers(server)


async def test_what_is_asked_in_one_turn_is_written_at_once() -> None:
    heard = list[int]()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> object:
        while command := await reader.read(1 << 16):
            heard.append(command.count(b"PING"))
            writer.write(b"+OK\r\n" * command.count(b"*"))
        return None

    async with speaking(speak) as url:
        client = open_valkey(url)
        await execute(client, "PING")
        await asyncio.gather(*(pipelined_on(client, [("PING",), ("PING",)]) for _ in range(20)))
        assert heard[-2:] == [1, 40]
        await client.aclose()


async def test_an_error_is_in_the_place_of_its_reply(server: Server) -> None:
    first, bad, last = await pipelined_on(server, [("ECHO", "a"), ("HGET", "a"), ("ECHO", "b")])
    assert (first, last) == (b"a", b"b")
    assert isinstance(bad, ResponseError)
    assert not is_unavailable(bad)


async def test_nothing_asked_is_nothing_done() -> None:
    client = open_valkey("redis://127.0.0.1:1")
    assert await pipelined_on(client, []) == []
    await client.aclose()


async def test_a_lost_connection_is_an_outage_for_all_who_wait_and_for_nobody_after(server: Server) -> None:
    mine = await execute(server, "CLIENT", "ID")
    waiting = [asyncio.create_task(pipelined_on(server, [FOR_EVER, ("ECHO", "x")])) for _ in range(3)]
    await asyncio.sleep(0)
    async with another(server) as other:
        await execute(other, "CLIENT", "KILL", "ID", mine)
    for replies in await asyncio.gather(*waiting):
        assert [is_unavailable(reply) for reply in replies] == [True, True]
    await answers(server)
    assert await execute(server, "CLIENT", "ID") != mine


async def test_a_connection_lost_while_nobody_waits_is_not_used_again(server: Server) -> None:
    mine = await execute(server, "CLIENT", "ID")
    async with another(server) as other:
        await execute(other, "CLIENT", "KILL", "ID", mine)
        await until(lambda: not server.multiplexer.connected)
    await answers(server)


async def test_a_connection_reset_while_replies_are_awaited_is_an_outage() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> object:
        while command := await reader.read(1024):
            if b"PING" in command:
                linger = struct.pack("ii", 1, 0)  # close with a reset
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return None
            writer.write(b"+OK\r\n" * command.count(b"*"))
        return None

    async with speaking(speak) as url:
        client = open_valkey(url)
        waiting = [asyncio.create_task(pipelined_on(client, [("PING",)])) for _ in range(2)]
        for [reply] in await asyncio.gather(*waiting):
            assert is_unavailable(reply)
        await client.aclose()


async def test_no_reply_in_time_is_an_outage_for_all_behind_it_too(valkey_url: str) -> None:
    client = open_valkey(valkey_url, answer_s=0.2)
    try:
        waiting = [asyncio.create_task(pipelined_on(client, [one])) for one in (FOR_EVER, ("ECHO", "x"))]
        async with asyncio.timeout(0.9):
            for [reply] in await asyncio.gather(*waiting):
                assert isinstance(reply, TimeoutError)
                assert is_unavailable(reply)
        await answers(client)
    finally:
        await client.aclose()


async def test_too_many_who_wait_are_told_at_once(server: Server) -> None:
    await execute(server, "ECHO", "x")
    waiting = [asyncio.create_task(pipelined_on(server, [FOR_EVER])) for _ in range(WAITING_MAX)]
    await asyncio.sleep(0)
    [refused] = await pipelined_on(server, [("ECHO", "x")])
    assert is_unavailable(refused)
    assert not any(task.done() for task in waiting)
    server.multiplexer.close()
    assert all(is_unavailable(reply) for [reply] in await asyncio.gather(*waiting))


async def test_functions_that_are_gone_are_loaded_once_for_all_who_miss_them(server: Server) -> None:
    library = Library(server)
    await library.load()
    await execute(server, "FUNCTION", "FLUSH")
    await execute(server, "CONFIG", "RESETSTAT")
    calls = (library.call("mailbox_hand", (f"{{{number}}}",), (b"session", b"message")) for number in range(50))
    assert await asyncio.gather(*calls) == [0] * 50
    loads = await execute(server, "INFO", "commandstats")
    assert b"cmdstat_function|load:calls=1," in loads


class TestOpening:
    async def test_nobody_there_is_an_outage_for_all_who_came(self) -> None:
        client = open_valkey("redis://127.0.0.1:1")
        replies = await asyncio.gather(*(pipelined_on(client, [("PING",)]) for _ in range(3)))
        assert all(is_unavailable(reply) for [reply] in replies)
        await client.aclose()

    async def test_many_who_come_at_once_share_one(self, server: Server) -> None:
        numbers = await asyncio.gather(*(execute(server, "CLIENT", "ID") for _ in range(20)))
        assert len(set(numbers)) == 1

    async def test_who_gives_up_while_opening_leaves_it_to_the_next(self, server: Server) -> None:
        asking = [asyncio.create_task(execute(server, "ECHO", "x")) for _ in range(4)]
        await asyncio.sleep(0)
        for task in asking[:2]:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asking[0]
        assert await asyncio.gather(*asking[2:]) == [b"x", b"x"]

    async def test_a_setting_the_driver_does_not_know_fails_each_time(self) -> None:
        client = open_valkey("redis://127.0.0.1:1?nonsense=1")
        async with asyncio.timeout(0.9):
            for _ in range(2):
                with pytest.raises(TypeError):
                    await client.multiplexer.ask([("PING",)])
        await client.aclose()

    async def test_closed_meanwhile_it_stays_closed(self, server: Server) -> None:
        asking = asyncio.create_task(pipelined_on(server, [("PING",)]))
        await asyncio.sleep(0)
        server.multiplexer.close()
        [reply] = await asking
        assert is_unavailable(reply)
        assert not server.multiplexer.connected

    async def test_too_many_who_wait_for_it_are_told_at_once(self) -> None:
        async with speaking(lambda _reader, _writer: asyncio.Event().wait()) as url:
            client = open_valkey(url)
            waiting = [asyncio.create_task(pipelined_on(client, [("PING",)])) for _ in range(WAITING_MAX)]
            await asyncio.sleep(0)
            [refused] = await pipelined_on(client, [("PING",)])
            assert is_unavailable(refused)
            assert not any(task.done() for task in waiting)
            assert all(is_unavailable(reply) for [reply] in await asyncio.gather(*waiting))
            await client.aclose()

    async def test_a_server_that_says_nothing_is_given_up(self) -> None:
        async with speaking(lambda _reader, _writer: asyncio.Event().wait()) as url:
            client = open_valkey(url, answer_s=0.1)
            async with asyncio.timeout(0.9):
                [reply] = await pipelined_on(client, [("PING",)])
            assert is_unavailable(reply)
            await client.aclose()


async def test_what_nobody_asked_for_ends_the_connection() -> None:
    """Or everybody after it would get the reply of somebody else."""
    said = iter([b"+OK\r\n+PONG\r\n", b"+OK\r\n+PONG\r\n+PONG\r\n", b"+OK\r\nno protocol at all\r\n"])

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> object:
        once = next(said)
        while command := await reader.read(1024):
            writer.write(once.removeprefix(b"+OK\r\n") if b"PING" in command else b"+OK\r\n" * command.count(b"*"))
        return None

    async with speaking(speak) as url:
        client = open_valkey(url, answer_s=0.2)
        assert await execute(client, "PING") == b"PONG"
        client.multiplexer.close()
        assert await execute(client, "PING") == b"PONG"
        assert not client.multiplexer.connected
        with pytest.raises(DriverConnectionError):
            await execute(client, "PING")
        await client.aclose()


# -- helpers


@asynccontextmanager
async def another(server: Server) -> AsyncIterator[Server]:
    """Another client of the same server."""
    arguments = server.connection_pool.connection_kwargs
    client = open_valkey(f"redis://:{arguments['password']}@{arguments['host']}:{arguments['port']}")
    try:
        yield client
    finally:
        await client.aclose()


@asynccontextmanager
async def speaking(
    speak: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]],
) -> AsyncIterator[str]:
    """A server that is no Valkey."""
    talking: set[asyncio.Task[object]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talking.add(task)
        try:
            await speak(reader, writer)
        finally:
            writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
        listening.close()


async def answers(server: Server) -> None:
    """Nobody gets a reply that somebody else waited for."""
    for number in range(64):
        assert await execute(server, "ECHO", str(number)) == str(number).encode()
