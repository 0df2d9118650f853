"""A node is killed, or frozen and thawed, at each step from the first draw to the last word.

The requester and one volunteer are on the node that is struck, the others on a healthy one. Phones of a killed node
come back at once, those of a frozen one when they notice its silence; both come back to the healthy one.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest
from _pytest.mark import ParameterSet

from infra.phone.state import View
from tests.chaos.stage import BUSY_S, MEDIA, SOON_S, Stage, both_learn, none_left, since, talk
from tests.support.faults import FaultyNode, Strike, When
from tests.support.nodes import Node, NodeError
from tests.support.witness import Witness, first_offered

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

Step = tuple[str, When, int]
TRIES = 5
"""The other node may take a look first; then the step is not taken on this one, and it is asked again."""


GROUP = 7
"""Strikes per test, one after the other on one healthy node."""


def groups(steps: Sequence[Step]) -> list[ParameterSet]:
    """All steps, once with a kill and once with a freeze, a few to a test."""
    return [
        pytest.param([Strike(step, when, fatal, nth) for step, when, nth in steps[at : at + GROUP]], id=name)
        for fatal, how in ((signal.SIGKILL, "kill"), (signal.SIGSTOP, "freeze"))
        for at in range(0, len(steps), GROUP)
        if (name := f"{how}-{steps[at][0]}")
    ]


ASKING: Sequence[Step] = (
    ("open", "before", 1),
    ("sql:insert", "after", 1),
    ("open", "after", 1),
    ("decide", "before", 1),
    ("decide", "after", 1),
    ("draw", "before", 1),
    ("draw", "after", 1),
    ("commit_wave", "before", 1),
    ("sql:wave", "after", 1),
    ("commit_wave", "after", 1),
    ("confirm", "before", 1),
    ("confirm", "after", 1),
    ("tell", "before", 2),
    ("send", "before", 2),
    ("send", "after", 2),
    ("send", "before", 3),
    ("send", "after", 3),
    ("told_offer", "before", 1),
    ("told_offer", "after", 2),
    ("flush", "before", 1),
    ("sql:marks", "after", 1),
)

ACCEPTING: Sequence[Step] = (
    ("accept", "before", 1),
    ("begin_call", "before", 1),
    ("begin_call", "after", 1),
    ("decide", "after", 1),
    ("tell", "before", 1),
    ("send", "before", 1),
    ("send", "after", 1),
    ("send", "after", 2),
    ("told_call", "before", 1),
    ("told_request", "after", 1),
    ("tell", "after", 1),
    ("flush", "before", 1),
    ("accept", "after", 1),
)

CONNECTING: Sequence[Step] = (
    ("change", "before", 1),
    ("write_call", "after", 1),
    ("change", "after", 1),
    ("send", "after", 1),
    ("told_call", "after", 1),
)

RETURNING: Sequence[Step] = (
    ("change", "before", 1),
    ("write_call", "after", 1),
    ("change", "after", 1),
    ("tell", "before", 1),
    ("send", "after", 1),
    ("told_call", "after", 1),
    ("commit_wave", "before", 1),
)


def move(people: Sequence[Witness], node: Node) -> None:
    """The balancer sends them elsewhere from now on; they notice by themselves."""
    for person in people:
        person.move_to(node.url)


async def abandoned(task: asyncio.Task[View]) -> None:
    """An answer that will not come from this node; whether it acted is unknown."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def no_longer(node: FaultyNode, stage: Stage) -> None:
    """A frozen node wakes up, finishes what it was at and leaves: nothing that was decided is another by that."""
    if not node.running:
        return
    before = await stage.ledger.facts()
    node.thaw()
    await node.stop(timeout_s=20)
    assert await stage.ledger.facts() == before


@dataclass(frozen=True, slots=True)
class Scene:
    """One strike: the healthy node, and the one to be struck."""

    stage: Stage
    healthy: Node
    struck: FaultyNode


Record = Callable[[str, object], None]
Play = Callable[[Scene], Awaitable[float]]
"""What happens around one strike; gives how long it took until somebody had the offer, or knew."""


async def played(stage: Stage, strikes: Sequence[Strike], play: Play, record: Record, *, wave: int = 3) -> None:
    """Each strike on a new node beside the same healthy one."""
    stage.settings["EYELINE_WAVE_SIZE"] = str(wave)
    healthy = await stage.node()
    failures: list[Exception] = []
    for strike in strikes:
        async with stage.scene():
            try:
                struck = await stage.faulty_node(strike)
                took = await play(Scene(stage, healthy, struck))
                record(str(strike), round(took, 2))
                print(f"{strike}: {took:.2f} s")
            except Exception as error:
                error.add_note(f"at {strike}, the latest request: {(await stage.ledger.facts())[-1:]}")
                failures.append(error)
    if failures:
        raise ExceptionGroup("these strikes were not survived", failures)


@pytest.mark.parametrize("strikes", groups(ASKING))
async def test_while_asking(stage: Stage, strikes: list[Strike], record_property: Record) -> None:
    await played(stage, strikes, asking, record_property, wave=2)


async def asking(scene: Scene) -> float:
    """Struck while people are looked for: somebody has the offer, answers, and both sides know."""
    cast = await cast_of(scene)
    key = await until_struck(scene.struck, cast.requester)
    struck_at = time.monotonic()
    move([cast.requester, cast.here], scene.healthy)
    request = await cast.requester.ask_on(key)
    acknowledged = since(struck_at)
    winner, offer = await first_offered(cast.volunteers, request["id"])
    took = since(struck_at) - acknowledged
    assert took < SOON_S + BUSY_S
    await winner.accept_on(offer)
    await to_the_end(scene, cast, winner, request["id"])
    return took


async def until_struck(struck: FaultyNode, requester: Witness) -> str:
    """Ask through the armed node until it is struck; gives the key under which the last question was asked."""
    struck.arm()
    for _ in range(TRIES):
        key = str(uuid4())
        asking = asyncio.create_task(requester.request_help(idempotency_key=key))
        try:
            await struck.struck(timeout_s=4)
        except NodeError:
            await requester.cancel_request((await asking)["id"])
            continue
        await abandoned(asking)
        return key
    raise AssertionError("the step was never taken")


@pytest.mark.parametrize("strikes", groups(ACCEPTING))
async def test_while_accepting(stage: Stage, strikes: list[Strike], record_property: Record) -> None:
    await played(stage, strikes, accepting, record_property)


async def accepting(scene: Scene) -> float:
    """Struck while the answer is taken: it counts or it does not, and if it does both learn of it."""
    cast = await cast_of(scene)
    request = await cast.requester.ask_on()
    offer = await cast.here.offered(request["id"])
    scene.struck.arm()
    answering = asyncio.create_task(cast.here.accept(offer))
    await scene.struck.struck()
    struck_at = time.monotonic()
    await abandoned(answering)
    move([cast.requester, cast.here], scene.healthy)
    if not await scene.stage.ledger.rows("SELECT FROM calls WHERE request_id = $1", UUID(request["id"])):
        await cast.here.accept_on(offer)
    await both_learn(cast.requester, cast.here, request["id"])
    took = since(struck_at)
    await to_the_end(scene, cast, cast.here, request["id"])
    return took


@pytest.mark.parametrize("strikes", groups(CONNECTING))
async def test_while_connecting(stage: Stage, strikes: list[Strike], record_property: Record) -> None:
    await played(stage, strikes, connecting, record_property)


async def connecting(scene: Scene) -> float:
    """Struck while a side reports its media: both learn that they are connected."""
    cast = await cast_of(scene)
    request = await cast.requester.ask_on()
    await cast.here.accept_on(await cast.here.offered(request["id"]))
    call = await both_learn(cast.requester, cast.here, request["id"])
    await cast.requester.send("media", MEDIA, call=call)
    scene.struck.arm()
    await cast.here.post("media", MEDIA, call=call, replaces="media")
    await scene.struck.struck()
    struck_at = time.monotonic()
    move([cast.requester, cast.here], scene.healthy)
    await asyncio.gather(*(one.in_call(request["id"], state="connected") for one in (cast.requester, cast.here)))
    took = since(struck_at)
    await to_the_end(scene, cast, cast.here, request["id"])
    return took


@pytest.mark.parametrize("strikes", groups(RETURNING))
async def test_while_returning(stage: Stage, strikes: list[Strike], record_property: Record) -> None:
    await played(stage, strikes, returning, record_property)


async def returning(scene: Scene) -> float:
    """Struck while a call that failed sends the request back to waiting: somebody else has it, and helps."""
    cast = await cast_of(scene)
    request = await cast.requester.ask_on()
    await cast.here.accept_on(await cast.here.offered(request["id"]))
    call = await both_learn(cast.requester, cast.here, request["id"])
    scene.struck.arm()
    ending = asyncio.create_task(cast.here.end_call(call, "technical"))
    await scene.struck.struck()
    struck_at = time.monotonic()
    await abandoned(ending)
    move([cast.requester, cast.here], scene.healthy)
    await cast.here.end_on(call, "technical")
    acknowledged = since(struck_at)
    others = [one for one in cast.volunteers if one is not cast.here]
    winner, offer = await first_offered(others, request["id"], epoch=2)
    took = since(struck_at) - acknowledged
    assert took < SOON_S + BUSY_S
    await winner.accept_on(offer)
    await cast.here.out_of_call(call["id"])
    await to_the_end(scene, cast, winner, request["id"], epoch=2)
    return took


# -- the people -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cast:
    """A requester and three volunteers who share a language."""

    requester: Witness
    here: Witness
    """On the node that is struck, as is the requester."""
    volunteers: Sequence[Witness]


async def cast_of(scene: Scene) -> Cast:
    stage = scene.stage
    requester = await stage.requester("Rosa", scene.struck)
    here = await stage.volunteer("Ada", scene.struck)
    others = [await stage.volunteer(name, scene.healthy) for name in ("Bo", "Cy")]
    return Cast(requester, here, [here, *others])


async def to_the_end(scene: Scene, cast: Cast, winner: Witness, request_id: str, epoch: int = 1) -> None:
    """Both sides learn of the call, talk and hang up; the frozen node wakes in the middle; all is told and at rest."""
    call = await both_learn(cast.requester, winner, request_id, epoch)
    await talk(cast.requester, winner, call)
    await none_left([one for one in cast.volunteers if one is not winner], request_id)
    await no_longer(scene.struck, scene.stage)
    await talk(cast.requester, winner, call)
    await cast.requester.end_on(call, "left")
    await asyncio.gather(cast.requester.out_of_call(call["id"]), winner.out_of_call(call["id"]))
    await cast.requester.until(lambda state: state.request is not None and state.request["state"] == "ended")
    await scene.stage.ledger.at_rest(request_id)
