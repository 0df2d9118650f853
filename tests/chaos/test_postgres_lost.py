"""Postgres is killed and started again, or frozen: what was acknowledged stays, the rest may be tried again.

Nodes are never restarted. Meanwhile nobody waits beyond a deadline, and what cannot be done says so: 503, retryable,
with `Retry-After`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from infra.phone.errors import ApiError
from infra.phone.state import View
from tests.chaos.stage import BUSY_S, SOON_S, Stage, both_learn, none_left, since, talk
from tests.support.engines import Engines, freeze, kill, thaw
from tests.support.nodes import Node
from tests.support.scenes import MEDIA
from tests.support.witness import PATIENCE_S, Witness, first_offered, persistently

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

FROZEN_S = 5.0
ANSWER_S = 16.0
"""The server's own deadline for any call is 15 s."""


class Outage:
    """What is done to Postgres, and what clients were told meanwhile."""

    def __init__(self, engines: Engines) -> None:
        self.postgres = engines.postgres
        self.gone_at = 0.0

    async def come(self) -> None:
        raise NotImplementedError

    async def go(self) -> None:
        raise NotImplementedError


class Crash(Outage):
    async def come(self) -> None:
        await asyncio.to_thread(kill, self.postgres)

    async def go(self) -> None:
        self.postgres.start()  # in this thread: an engine ends with the thread that started it
        self.gone_at = time.monotonic()


class Standstill(Outage):
    def __init__(self, engines: Engines) -> None:
        super().__init__(engines)
        self._began = 0.0

    async def come(self) -> None:
        self._began = time.monotonic()
        freeze(self.postgres)

    async def go(self) -> None:
        await asyncio.sleep(max(0.0, FROZEN_S - since(self._began)))
        thaw(self.postgres)
        self.gone_at = time.monotonic()


@dataclass
class Knocking:
    """A client that keeps calling and writes down every answer."""

    phone: Witness
    answers: list[str] = field(default_factory=list)
    longest_s: float = 0.0

    async def knock(self) -> None:
        """One call after the other until cancelled."""
        while True:
            began = time.monotonic()
            self.answers.append(await self._one_call())
            self.longest_s = max(self.longest_s, since(began))
            await asyncio.sleep(0.1)

    async def _one_call(self) -> str:
        account = self.phone.account
        headers = {"Authorization": f"Bearer {account.access_token}"}
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        async with account.http.get(account.base_url + "/v1/me", headers=headers, timeout=timeout) as reply:
            body = await reply.json()
            if reply.status == 200:
                return "200"
            told = (body["error"]["code"], body["error"]["retryable"], reply.headers.get("Retry-After", "").isdigit())
            return f"{reply.status} {told}"


UNAVAILABLE = f"503 {('unavailable', True, True)}"


@dataclass(frozen=True, slots=True)
class Scene:
    """Two nodes, a requester on one and volunteers on both."""

    stage: Stage
    outage: Outage
    requester: Witness
    volunteers: Sequence[Witness]
    figures: dict[str, Any]

    def measured(self, what: str, at_most_s: float) -> None:
        """Since Postgres came back."""
        took = since(self.outage.gone_at)
        self.figures[what] = round(took, 2)
        assert took < at_most_s, what


async def asking(scene: Scene) -> None:
    """Asked just before, during and just after: each question is in the books once it was acknowledged."""
    key = str(uuid4())
    asked = asyncio.create_task(scene.requester.ask_on(key))
    await scene.outage.come()
    await scene.outage.go()
    request = await asked
    winner, offer = await first_offered(scene.volunteers, request["id"])
    scene.measured("offered", SOON_S + BUSY_S)
    assert (await scene.requester.ask_on(key))["id"] == request["id"]
    await winner.accept_on(offer)
    await helped(scene, winner, request["id"])


async def ringing(scene: Scene) -> None:
    """Accepted in the middle of it: by both, over and over, and one has it."""
    request = await scene.requester.ask_on()
    offers = await asyncio.gather(*(one.offered(request["id"]) for one in scene.volunteers))
    await scene.outage.come()
    accepts = [asyncio.create_task(verdict(*pair)) for pair in zip(scene.volunteers, offers, strict=True)]
    await scene.outage.go()
    verdicts = await asyncio.gather(*accepts)
    assert sorted(verdicts) == ["answered_elsewhere", "won"]
    winner = scene.volunteers[verdicts.index("won")]
    await both_learn(scene.requester, winner, request["id"])
    scene.measured("both know", SOON_S + BUSY_S)
    await helped(scene, winner, request["id"])


async def talking(scene: Scene) -> None:
    """In a call: it goes on, and what happens meanwhile is done afterwards."""
    request = await scene.requester.ask_on()
    winner = scene.volunteers[0]
    call = await winner.accept_on(await winner.offered(request["id"]))
    await both_learn(scene.requester, winner, request["id"])
    await scene.requester.send("media", MEDIA, call=call)
    await scene.outage.come()
    reported = asyncio.create_task(persistently(lambda: winner.send("media", MEDIA, call=call, timeout=PATIENCE_S)))
    await scene.outage.go()
    await reported
    await asyncio.gather(*(one.in_call(request["id"], state="connected") for one in (scene.requester, winner)))
    scene.measured("both connected", SOON_S + BUSY_S)
    await helped(scene, winner, request["id"])


Moment = Callable[[Scene], Awaitable[None]]
MOMENTS: Sequence[Moment] = (asking, ringing, talking)


@pytest.mark.parametrize("kind", [Crash, Standstill])
async def test_postgres_is_lost(
    stage: Stage, engines: Engines, kind: type[Outage], record_property: Callable[[str, object], None]
) -> None:
    stage.settings |= {"EYELINE_WAVE_SIZE": "2", "EYELINE_HEARTBEAT_S": "5"}
    nodes = await asyncio.gather(stage.node(), stage.node())
    failures: list[Exception] = []
    for moment in MOMENTS:
        figures: dict[str, Any] = {}
        async with stage.scene():
            try:
                await act(stage, nodes, kind(engines), moment, figures)
            except Exception as error:
                engines.restore()
                facts = (await stage.ledger.facts())[-1:]
                error.add_note(f"{kind.__name__} while {moment.__name__}, {figures}; the latest request: {facts}")
                failures.append(error)
        record_property(moment.__name__, figures)
        print(f"{kind.__name__} {moment.__name__}: {figures}")
    if failures:
        raise ExceptionGroup("these outages were not survived", failures)


async def act(stage: Stage, nodes: Sequence[Node], outage: Outage, moment: Moment, figures: dict[str, Any]) -> None:
    requester = await stage.requester("Rosa", nodes[0])
    volunteers = [await stage.volunteer(name, node) for name, node in zip(("Ada", "Bo"), nodes, strict=True)]
    knocking = [Knocking(volunteers[0]), Knocking(volunteers[1])]
    knocks = [asyncio.create_task(one.knock()) for one in knocking]
    try:
        await moment(Scene(stage, outage, requester, volunteers, figures))
    finally:
        for knock in knocks:
            knock.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*knocks)
    answers = {answer for one in knocking for answer in one.answers}
    figures["longest answer"] = round(max(one.longest_s for one in knocking), 2)
    figures["answers"] = sorted(answers)
    assert answers <= {"200", UNAVAILABLE}
    assert all(one.answers[-1] == "200" for one in knocking)


async def helped(scene: Scene, winner: Witness, request_id: str) -> None:
    """Both know of one call, words go both ways, and it ends as it should."""
    requester = scene.requester
    call = await both_learn(requester, winner, request_id)
    await talk(requester, winner, call)
    await none_left([one for one in scene.volunteers if one is not winner], request_id)
    await requester.end_on(call, "done")
    await asyncio.gather(requester.out_of_call(call["id"]), winner.out_of_call(call["id"]))
    await scene.stage.ledger.at_rest(request_id)


async def verdict(volunteer: Witness, offer: View) -> str:
    try:
        await volunteer.accept_on(offer)
    except ApiError as error:
        return error.code
    return "won"
