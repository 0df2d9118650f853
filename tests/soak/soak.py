"""Calls by scripted people, so many a second, over two nodes behind a balancer that cuts connections at random."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import psutil
from redis.asyncio import Redis

from infra.phone.errors import ApiError
from infra.phone.state import View
from tests.support.balancer import Balancer
from tests.support.engines import Engines
from tests.support.ledger import Ledger
from tests.support.nodes import Node
from tests.support.scenes import MEDIA
from tests.support.witness import Witness, persistently

SETTINGS = {
    "EYELINE_WRAP_UP_S": "0",
    "EYELINE_COOLDOWN_S": "0",
    "EYELINE_HEARTBEAT_S": "1",
    "EYELINE_WAVES": "fixed",
    "EYELINE_WAVE_SIZE": "2",
    "EYELINE_DATABASE_POOL": "16",
}
TALK_S = 1.0
"""How long two people talk, on average."""
SETTLED_S = 60.0
"""Within so long after the last call everything about all of them was told, on a busy machine too."""
SIGN_INS_AT_ONCE = 8
WARM_S = 5.0
"""Calls before resources are counted: what is loaded on first use is no growth."""
UNSETTLED = """
SELECT r.id FROM requests r WHERE r.state <> 'ended' OR r.told_version < r.version OR r.next_look_at IS NOT NULL
UNION ALL SELECT c.request_id FROM calls c WHERE c.state <> 'ended' OR c.told_version < c.version
UNION ALL SELECT o.request_id FROM offers o WHERE o.outcome IS NULL OR o.end_told_at IS NULL
UNION ALL SELECT b.request_id FROM busy b WHERE b.until > eyeline_now() LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a soak does. `cuts_a_second`: connections cut; `deploys`: how often a node is replaced, spread evenly."""

    seconds: float
    calls_a_second: float
    cuts_a_second: float
    deploys: int
    seed: int


@dataclass
class Told:
    """What came of it."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """Of requests: the outcome, or why a call was no success."""
    took_s: list[float] = field(default_factory=list)
    """From tap to both sides connected."""
    wrongs: list[str] = field(default_factory=list)
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    """Resources of the nodes and keys of Valkey, with everybody connected and nobody in a call."""


class Soak:
    """People who call and answer for as long as the plan says."""

    def __init__(self, plan: Plan, balancer: Balancer) -> None:
        self._plan = plan
        self._balancer = balancer
        self._dice = random.Random(plan.seed)
        self._free: asyncio.Queue[Witness] = asyncio.Queue()
        self.told = Told()

    async def people(self, stack: AsyncExitStack, each: int) -> None:
        """So many of both sides, signed in and connected."""
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        gate = asyncio.Semaphore(SIGN_INS_AT_ONCE)

        async def join(role: str, number: int) -> Witness:
            async with gate:
                name = f"{role} {number}"
                phone = Witness.sign_in(self._balancer.url, name, role=role, languages=["en"], http=http)
                assert isinstance(phone, Witness)
                return await stack.enter_async_context(phone)

        volunteers = await asyncio.gather(*(join("volunteer", number) for number in range(each)))
        for volunteer in volunteers:
            await volunteer.ready()
            answering = asyncio.create_task(self._answer(volunteer))
            stack.push_async_callback(_ended, answering)
        for requester in await asyncio.gather(*(join("requester", number) for number in range(each))):
            self._free.put_nowait(requester)

    async def run(self, seconds: float) -> None:
        """Begin calls at the rate of the plan, and see each to its end."""
        cutting = asyncio.create_task(self._cut())
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as calls:
            while time.monotonic() < until:
                calls.create_task(self._call())
                await asyncio.sleep(self._dice.expovariate(self._plan.calls_a_second))
            await _ended(cutting)

    async def _cut(self) -> None:
        while self._plan.cuts_a_second:
            await asyncio.sleep(self._dice.expovariate(self._plan.cuts_a_second))
            self._balancer.cut_one()

    async def _call(self) -> None:
        """One call by whoever is free; nobody free is a call fewer, never a queue."""
        if self._free.empty():
            self.told.outcomes["nobody free to call"] += 1
            return
        requester = self._free.get_nowait()
        requester.told.clear()
        try:
            self.told.outcomes[await self._help(requester)] += 1
        except (TimeoutError, ApiError) as error:
            self.told.wrongs.append(f"{type(error).__name__} {error}")
        finally:
            self._free.put_nowait(requester)

    async def _help(self, requester: Witness) -> str:
        """Ask, talk, hang up; the outcome as the requester was told."""
        begun = time.monotonic()
        request = await requester.ask_on()
        call = await requester.in_call(request["id"])
        await requester.post("media", MEDIA, call=call, replaces="media")
        call = await requester.in_call(request["id"], state="connected")
        self.told.took_s.append(time.monotonic() - begun)
        await requester.post("chat", {"text": request["id"], "language": "en"}, call=call)
        await requester.hears(request["id"])
        await asyncio.sleep(self._dice.expovariate(1 / TALK_S))
        await requester.end_on(call, "done")
        state = await requester.until(
            lambda state: state.request is not None and state.request["state"] == "ended", timeout=20
        )
        assert state.request is not None
        if (state.request["id"], state.request["epoch"]) != (request["id"], 1):
            return "after another try"
        # A phone that was away for the end of it asks how it ended.
        ended = await persistently(lambda: requester.account.call("GET", f"/v1/requests/{request['id']}"))
        return str(ended["request"]["outcome"])

    async def _answer(self, volunteer: Witness) -> None:
        """Accept what is offered, report media, say back what is said, until the call is over; for ever."""
        while True:
            offer = await volunteer.next_offer(timeout=None)
            try:
                call = await persistently(lambda offer=offer: volunteer.accept(offer))  # type: ignore[misc]
            except (ApiError, TimeoutError):
                continue
            volunteer.told.clear()
            echo = asyncio.create_task(_echo(volunteer, call))
            await volunteer.post("media", MEDIA, call=call, replaces="media")
            await volunteer.until(lambda state, call=call: _is_over(state.call, call), timeout=None)  # type: ignore[misc]
            await _ended(echo)
            volunteer.clear()


def _is_over(now: View | None, call: View) -> bool:
    return now is None or now["id"] != call["id"] or now["state"] == "ended"


async def _echo(volunteer: Witness, call: View) -> None:
    while True:
        heard = await volunteer.next("chat", timeout=None)
        await volunteer.post("chat", heard["data"], call=call)


async def _ended(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def soaked(engines: Engines, plan: Plan) -> Told:
    """Play the plan on two nodes over a database and a Valkey of their own; what came of it."""
    database_url, valkey_url = await engines.new_database(), await engines.empty_valkey()
    ledger = Ledger(database_url)
    async with AsyncExitStack() as stack:
        nodes = list(await asyncio.gather(*(Node.start(database_url, valkey_url, also=SETTINGS) for _ in range(2))))
        stack.push_async_callback(_stopped, nodes)
        balancer = Balancer([node.port for node in nodes], random.Random(plan.seed))
        await stack.enter_async_context(balancer.running())
        soak = Soak(plan, balancer)
        async with ledger.watched(), AsyncExitStack() as home:
            await soak.people(home, each=max(8, round(plan.calls_a_second * (TALK_S + 2))))
            await soak.run(WARM_S)
            await settled(ledger)
            soak.told.before = await resources(nodes, valkey_url)
            await asyncio.gather(soak.run(plan.seconds), _deploy(plan, nodes, balancer, database_url, valkey_url))
            await settled(ledger)
            soak.told.after = await resources(nodes, valkey_url)
    return soak.told


async def settled(ledger: Ledger) -> None:
    """Until all requests have ended and everybody was told; what is left raises with the time."""
    async with asyncio.timeout(SETTLED_S):
        while await ledger.rows(UNSETTLED):  # noqa: ASYNC110 - Postgres tells nobody
            await asyncio.sleep(0.2)


async def resources(nodes: Sequence[Node], valkey_url: str) -> dict[str, float]:
    """Of all nodes together, and Valkey's keys that nothing will expire."""
    found: dict[str, float] = {"memory_mb": 0, "files": 0, "tasks": 0}
    async with aiohttp.ClientSession() as http:
        for node in nodes:
            process = psutil.Process(node.pid)
            found["memory_mb"] += process.memory_info().rss / 1e6
            found["files"] += process.num_fds()
            async with http.get(f"{node.url}/metrics") as reply:
                [tasks] = re.findall(r"(?m)^eyeline_tasks (\S+)$", await reply.text())
                found["tasks"] += float(tasks)
    client = Redis.from_url(valkey_url, protocol=2)
    try:
        keys = [key async for key in client.scan_iter(count=1000)]
        found["lasting_keys"] = [await client.ttl(key) for key in keys].count(-1)  # -2: gone meanwhile
    finally:
        await client.aclose()
    return found


async def _deploy(plan: Plan, nodes: list[Node], balancer: Balancer, database_url: str, valkey_url: str) -> None:
    """Replace one node after the other as an orchestrator does: when the new one is ready the old one is told to go."""
    for _ in range(plan.deploys):
        await asyncio.sleep(plan.seconds / (plan.deploys + 1))
        nodes.append(await Node.start(database_url, valkey_url, also=SETTINGS))
        old = nodes.pop(0)
        balancer.ports = [node.port for node in nodes]
        assert await old.stop(timeout_s=30) == 0


async def _stopped(nodes: Sequence[Node]) -> None:
    await asyncio.gather(*(node.stop(timeout_s=30) for node in nodes if node.running))
