"""No message lost, doubled or out of order, whatever is cut: the promise behind `seq`, with all its enemies at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from infra.valkey.connection import open_valkey
from server.auth import Caller
from tests.support.engines import Engines, kill
from tests.support.socket_nodes import Client, SocketNode, Sockets, caller, chat, sockets_over, until

MESSAGES = 400


@pytest.fixture
async def sockets(valkey_url: str) -> AsyncIterator[Sockets]:
    client = open_valkey(valkey_url)
    async with sockets_over(client) as sockets:
        yield sockets
    await client.aclose()


class Listener:
    """An app that comes back after every loss and keeps what it heard, as the contract tells it to."""

    def __init__(self, nodes: list[SocketNode], who: Caller) -> None:
        self._nodes = nodes
        self.who = who
        self.texts: list[str] = []
        self.seq = 0
        self.refused = 0
        self.client: Client | None = None

    async def listen(self) -> None:
        place = None
        turn = 0
        while True:
            turn += 1
            self.client = client = await self._nodes[turn % len(self._nodes)].enter(self.who, resume=place)
            if place is not None and not client.welcome["resumed"]:
                self.refused += 1
            if not client.welcome["resumed"]:
                self.seq = client.welcome["seq"]
            await self._read(client)
            place = {"incarnation": client.welcome["incarnation"], "seq": self.seq}

    async def _read(self, client: Client) -> None:
        while (frame := await client.hear_or_end()) is not None:
            if frame["type"] == "chat":
                assert frame["seq"] == self.seq + 1
                self.seq = frame["seq"]
                self.texts.append(frame["data"]["text"])
                if self.seq % 7 == 0:
                    with suppress(ConnectionError):
                        await client.say("ack", ack=self.seq)


async def test_cuts_moves_and_a_broken_subscription_lose_nothing(sockets: Sockets) -> None:
    dice = random.Random(7)
    nodes = [await sockets.node(heartbeat_s=0.2), await sockets.node(heartbeat_s=0.2)]
    listener = Listener(nodes, caller())
    listening = asyncio.create_task(listener.listen())
    await until(lambda: listener.client is not None and bool(listener.client.welcome))
    for number in range(MESSAGES):
        await sockets.send(listener.who, chat(number))
        event = dice.random()
        client = listener.client
        assert client is not None
        if event < 0.04 and client.socket._response.connection is not None:
            transport = client.socket._response.connection.transport
            assert isinstance(transport, asyncio.Transport)
            transport.abort()
        elif event < 0.06:
            await sockets.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")  # type: ignore[no-untyped-call]
        elif event < 0.3:
            await asyncio.sleep(dice.uniform(0, 0.02))
    await until(lambda: len(listener.texts) >= MESSAGES or listening.done())
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening
    assert listener.texts == [str(number) for number in range(MESSAGES)]
    assert listener.refused == 0


async def test_after_a_restart_of_valkey_every_socket_works_again(sockets: Sockets, engines: Engines) -> None:
    node = await sockets.node(heartbeat_s=0.3)
    clients = [await node.enter(caller()) for _ in range(20)]
    kill(engines.valkey)
    engines.valkey.start()
    for client in clients:
        welcome = await client.hear("welcome")
        assert (welcome["data"]["resumed"], welcome["data"]["seq"]) == (False, 0)

    async def heard(client: Client) -> bool:
        sent = await node.mailboxes.send(client.who.session_id, chat("after"))
        return sent and (await client.hear("chat"))["data"]["text"] == "after"

    assert all(await asyncio.gather(*map(heard, clients)))


async def test_many_at_once_each_hear_their_own(sockets: Sockets) -> None:
    nodes = [await sockets.node(), await sockets.node()]
    clients = await asyncio.gather(*(nodes[number % 2].enter(caller()) for number in range(100)))

    async def talk_to(client: Client) -> None:
        for number in range(20):
            await nodes[number % 2].mailboxes.send(client.who.session_id, chat(f"{client.who.session_id} {number}"))

    await asyncio.gather(*map(talk_to, clients))
    for client in clients:
        frames = [await client.hear("chat") for _ in range(20)]
        texts = [frame["data"]["text"] for frame in frames]
        assert texts == [f"{client.who.session_id} {number}" for number in range(20)]
