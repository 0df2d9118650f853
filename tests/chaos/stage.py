"""A stage for disasters: nodes over the engines of the test, people with phones, and the checks at the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle
from pathlib import Path
from typing import Self

from infra.phone.state import View
from tests.support.faults import FaultyNode, Strike
from tests.support.ledger import Ledger
from tests.support.nodes import Node
from tests.support.witness import PATIENCE_S, Witness

SOON_S = 3.0
"""Within so long of a disaster somebody has the offer: the promise."""
BUSY_S = 2.0
"""Granted on top, because the tests' machine has two cores and other things to do."""

LANGUAGES = ("en", "da", "de", "fr", "es", "it", "nl", "sv", "nb", "fi", "pl", "cs", "sk", "hu", "ro", "bg", "el", "tr")
"""One for each scene, so that people of one are not asked in another."""

SETTINGS = {
    "EYELINE_HEARTBEAT_S": "0.5",
    "EYELINE_WRAP_UP_S": "0",
    "EYELINE_COOLDOWN_S": "1",
    "EYELINE_OFFER_S": "30",
    "EYELINE_WAVES": "fixed",  # so many people ring as a scene says
}


class Stage:
    """People go home with their scene, nodes stop with the stage (`raised`), which also judges."""

    def __init__(self, database_url: str, valkey_url: str, directory: Path) -> None:
        self.ledger = Ledger(database_url)
        self.settings = dict(SETTINGS)
        self.valkey_url = valkey_url
        self._urls = (database_url, valkey_url)
        self._directory = directory
        self._nodes = AsyncExitStack()
        self._stack = AsyncExitStack()
        self._languages = cycle(LANGUAGES)
        self.language = next(self._languages)

    @classmethod
    @asynccontextmanager
    async def raised(cls, database_url: str, valkey_url: str, directory: Path) -> AsyncIterator[Self]:
        stage = cls(database_url, valkey_url, directory)
        async with stage._nodes, stage._stack, stage.ledger.watched():
            yield stage

    @asynccontextmanager
    async def scene(self) -> AsyncIterator[None]:
        """People of a language of their own, who go home at the end of it."""
        outer, self.language = self._stack, next(self._languages)
        try:
            async with AsyncExitStack() as self._stack:
                yield
        finally:
            self._stack = outer

    async def node(self) -> Node:
        return await self._nodes.enter_async_context(await Node.start(*self._urls, also=self.settings))

    async def faulty_node(self, strike: Strike) -> FaultyNode:
        armed = self._directory / f"armed-{strike}".replace(":", "-")
        node = await FaultyNode.begin(strike, armed, *self._urls, self.settings)
        self._nodes.push_async_callback(gone, node)
        return node

    async def person(self, name: str, role: str, node: Node) -> Witness:
        phone = Witness.sign_in(node.url, f"{name} {self.language}", role=role, languages=[self.language])
        assert isinstance(phone, Witness)
        self._stack.callback(_judged, phone)
        return await self._stack.enter_async_context(phone)

    async def requester(self, name: str, node: Node) -> Witness:
        return await self.person(name, "requester", node)

    async def volunteer(self, name: str, node: Node) -> Witness:
        """A ready one."""
        volunteer = await self.person(name, "volunteer", node)
        await volunteer.ready()
        return volunteer


def _judged(person: Witness) -> None:
    assert not (old := person.old_news()), old


async def gone(node: FaultyNode) -> None:
    """Whatever state it is in, it is no more."""
    if node.running:
        await node.kill()


async def both_learn(requester: Witness, winner: Witness, request_id: str, epoch: int = 1) -> View:
    """Both know of one and the same call; gives it as the winner sees it."""
    asked, answered = await asyncio.gather(
        requester.in_call(request_id, epoch=epoch), winner.in_call(request_id, epoch=epoch)
    )
    assert asked["id"] == answered["id"]
    return answered


async def talk(one: Witness, other: Witness, call: View) -> None:
    """Words go both ways."""
    for speaker, listener in ((one, other), (other, one)):
        text = f"from {speaker.name}"
        heard = asyncio.create_task(listener.hears(text))
        await speaker.says(text, call)
        await heard


async def none_left(people: Sequence[Witness], request_id: str) -> None:
    """Until nobody sees an offer for this request any more."""
    for person in people:
        await person.until(lambda state: request_id not in state.offers, timeout=PATIENCE_S)


def since(moment: float) -> float:
    return time.monotonic() - moment
