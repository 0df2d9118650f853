"""A client for a cluster: sends each command to the server that has its key, and learns where that is now.

The driver's own cluster client asks a server for the keys of every FCALL before it sends it, and does not look for the
new primary when a pipeline finds the old one gone; hence this small one, over our client of a single server.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio.client import PubSub
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, RedisError

from infra.valkey.connection import Server, open_valkey, pipelined_on
from infra.valkey.multiplexer import Argument, Command
from infra.valkey.outages import is_unavailable

SCHEMES = ("redis+cluster", "rediss+cluster")
SLOTS = 16_384
REDIRECTIONS = 5
LOOK_AGAIN_S = 0.1
"""The servers are not asked for their layout more often."""
ASKED_AT_ONCE = 6
"""Servers asked for the layout; the first answer is taken, for any of them may be away."""


class Cluster:
    """`redis+cluster://[user:password@]host:port[,host:port...]`: any of its servers. Close with `aclose()`.

    Nothing is retried but what a server says it did not do (MOVED, ASK). After a failure to reach a server the next
    command looks for the layout anew.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        login, at, hosts = parts.netloc.rpartition("@")
        self._before = f"{parts.scheme.removesuffix('+cluster')}://{login}{at}"
        self._after = f"?{parts.query}" if parts.query else ""
        self._seeds = hosts.split(",")
        self._clients: dict[str, Server] = {}
        self._homes: list[str] = []
        """The address of each slot's primary; empty before it was first known."""
        self._stale = True
        self._looked_at = -LOOK_AGAIN_S
        self._looking = asyncio.Lock()

    async def pipelined(self, commands: Sequence[Command]) -> list[Any]:
        """All at once, those of one server in one pipeline; replies in order, an error in the place of its reply."""
        places: dict[str, list[int]] = {}
        try:
            for place, command in enumerate(commands):
                places.setdefault(await self._home(_slot(command)), []).append(place)
        except (RedisError, OSError) as error:
            return [error] * len(commands)
        replies: list[Any] = [None] * len(commands)

        async def send(address: str, some: Sequence[int]) -> None:
            answers = await pipelined_on(self._client(address), [commands[place] for place in some])
            for place, answer in zip(some, answers, strict=True):
                replies[place] = await self._followed(answer, address, commands[place])

        await asyncio.gather(*(send(address, some) for address, some in places.items()))
        return replies

    async def on_primaries(self, *command: Argument) -> list[Any]:
        """The same command on every primary; an error in the place of its reply."""
        await self._home(0)
        return await asyncio.gather(*(self._reply(address, command) for address in set(self._homes)))

    def pubsub(self) -> PubSub:
        """On any server: what is published on one is passed on to all."""
        return self._client(random.choice(self._known())).pubsub()

    async def aclose(self) -> None:
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()

    async def _followed(self, answer: Any, address: str, command: Command) -> Any:
        """The answer, or what the server says that it names."""
        for _ in range(REDIRECTIONS):
            if isinstance(answer, MovedError):  # an AskError too, by the driver's classes
                self._moved(answer, address)
                address, asked = self._homes[answer.slot_id], [command]
            elif isinstance(answer, AskError):
                address, asked = _address(answer, address), [("ASKING",), command]
            else:
                break
            [*_, answer] = await pipelined_on(self._client(address), asked)
        if isinstance(answer, AskError):
            answer, self._stale = ConnectionError("the slot moves on and on"), True
        if isinstance(answer, Exception):
            self._doubt(answer)
        return answer

    async def _reply(self, address: str, command: Command) -> Any:
        [reply] = await pipelined_on(self._client(address), [command])
        if isinstance(reply, Exception):
            self._doubt(reply)
        return reply

    # -- where slots are

    async def _home(self, slot: int | None) -> str:
        if self._stale and time.monotonic() - self._looked_at >= LOOK_AGAIN_S:
            await self._look()
        if not self._homes:
            raise ConnectionError("no server of the cluster tells its layout")
        return random.choice(self._homes) if slot is None else self._homes[slot]

    def _moved(self, error: MovedError, told_by: str) -> None:
        self._homes[error.slot_id] = _address(error, told_by)
        self._stale = True

    def _doubt(self, error: Exception) -> None:
        self._stale = self._stale or is_unavailable(error)

    async def _look(self) -> None:
        """Take the layout from whoever answers first. Nobody does: it stays as it was."""
        async with self._looking:
            if not self._stale or time.monotonic() - self._looked_at < LOOK_AGAIN_S:
                return
            known = self._known()
            some = random.sample(known, min(ASKED_AT_ONCE, len(known)))
            asking = [asyncio.create_task(self._layout(address)) for address in {*some, *self._seeds[:ASKED_AT_ONCE]}]
            try:
                for answer in asyncio.as_completed(asking):
                    homes, members = await answer
                    if homes:
                        self._homes, self._stale = homes, False
                        await self._forget_all_but(members)
                        break
            finally:
                self._looked_at = time.monotonic()
                for task in asking:
                    task.cancel()
                await asyncio.gather(*asking, return_exceptions=True)

    async def _layout(self, address: str) -> tuple[list[str], set[str]]:
        """Each slot's primary, and all members, as this server sees them; no primaries when it does not know all."""
        reply = await self._reply(address, ("CLUSTER", "SLOTS"))
        homes = [""] * SLOTS
        members: set[str] = set()
        if isinstance(reply, Exception):
            return [], members
        for first, last, *servers in reply:
            addresses = [_join(host.decode() if host else "", port, address) for host, port, *_ in servers]
            homes[first : last + 1] = [addresses[0]] * (last + 1 - first)
            members |= set(addresses)
        return ([] if "" in homes else homes), members

    def _known(self) -> list[str]:
        return list({*self._clients, *self._homes, *self._seeds} if self._homes else self._seeds)

    def _client(self, address: str) -> Server:
        client = self._clients.get(address)
        if client is None:
            url = self._before + address + self._after
            client = self._clients[address] = open_valkey(url)
        return client

    async def _forget_all_but(self, members: Collection[str]) -> None:
        for address in [one for one in self._clients if one not in members and one not in self._seeds]:
            await self._clients.pop(address).aclose()


def _slot(command: Command) -> int | None:
    """Of its first key; None when it has none and may go anywhere. Knows the commands of this package only."""
    if command[0] == "FCALL":
        key = command[3]
    elif len(command) > 1:
        key = command[1]
    else:
        return None
    assert isinstance(key, bytes | str)
    return key_slot(key.encode() if isinstance(key, str) else key)


def _address(error: AskError, told_by: str) -> str:
    return _join(error.host, error.port, told_by)


def _join(host: str, port: int, told_by: str) -> str:
    """A server that does not know its own name leaves it out: it is the one who was asked."""
    host = host or told_by.rpartition(":")[0].strip("[]")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


Valkey = Server | Cluster


def connect(url: str) -> Valkey:
    """A client for what the URL names: a server (`open_valkey`) or a `Cluster`. Close with `aclose()`."""
    return Cluster(url) if urlsplit(url).scheme in SCHEMES else open_valkey(url)


async def execute(client: Valkey, *command: Argument) -> Any:
    """The command's reply, as the server gives it. Raises the driver's errors; see `outages.UnavailableAs`."""
    [reply] = await pipelined(client, [command])
    if isinstance(reply, Exception):
        raise reply
    return reply


async def pipelined(client: Valkey, commands: Sequence[Command]) -> list[Any]:
    """Replies in order, an error in the place of its reply."""
    if isinstance(client, Cluster):
        return await client.pipelined(commands)
    return await pipelined_on(client, commands)


async def on_primaries(client: Valkey, *command: Argument) -> list[Any]:
    """The command on each server that takes writes; an error in the place of its reply."""
    if isinstance(client, Cluster):
        return await client.on_primaries(*command)
    return await pipelined_on(client, [command])
