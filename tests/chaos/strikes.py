"""What the strikes on nodes have in common: the steps, the scene around each, and how it ends well."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest

import pytest
from _pytest.mark import ParameterSet

from infra.phone.state import View
from tests.chaos.stage import Stage, both_learn, gone, none_left, talk
from tests.support.faults import FaultyNode, NotStruck, Strike, When
from tests.support.nodes import Node
from tests.support.witness import Witness

Step = tuple[str, When, int]
TRIES = 5
"""Another node may take a look first; then the step is not taken on the one that waits for it, and all begins anew."""


GROUP = 7
"""Strikes per test, one after the other on one healthy node."""


EVERY_STRIKE = os.environ.get("EVERY_STRIKE") == "1"
"""`make chaos`. Else every second step is met by a kill and the others by a freeze, which takes half the time."""


def groups(steps: Sequence[Step]) -> list[ParameterSet]:
    """All steps, with a kill, a freeze, or both in turn, a few to a test."""
    ways = {"kill": (signal.SIGKILL, 0), "freeze": (signal.SIGSTOP, 1)}
    sets = []
    for how, (fatal, first) in ways.items():
        mine = steps if EVERY_STRIKE else steps[first::2]
        for at in range(0, len(mine), GROUP):
            strikes = [Strike(step, when, fatal, nth) for step, when, nth in mine[at : at + GROUP]]
            sets.append(pytest.param(strikes, id=f"{how}-{mine[at][0]}"))
    return sets


@dataclass(frozen=True, slots=True)
class Scene:
    """One strike: the healthy node, and the one to be struck."""

    stage: Stage
    healthy: Node
    struck: FaultyNode


def move(people: Sequence[Witness], node: Node) -> None:
    """The balancer sends them elsewhere from now on; they notice by themselves."""
    for person in people:
        person.move_to(node.url)


async def abandoned(task: asyncio.Task[View]) -> None:
    """An answer that will not come from this node; whether it acted is unknown."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def no_longer(scene: Scene, request_id: str) -> None:
    """A frozen node wakes up, finishes what it was at and leaves: nothing that was decided is another by that."""
    if not scene.struck.running:
        return
    before = await scene.stage.ledger.facts(request_id)
    scene.struck.thaw()
    await scene.struck.stop(timeout_s=20)
    assert await scene.stage.ledger.facts(request_id) == before


Record = Callable[[str, object], None]
Play = Callable[[Scene], Awaitable[float]]
"""What happens around one strike; gives how long it took until somebody had the offer, or knew."""


async def played(stage: Stage, strikes: Sequence[Strike], play: Play, record: Record, *, wave: int = 3) -> None:
    """Each strike on a new node beside the same healthy one; the next node starts meanwhile."""
    stage.settings["EYELINE_WAVE_SIZE"] = str(wave)
    healthy, struck = await asyncio.gather(stage.node(), stage.faulty_node(strikes[0]))
    failures: list[Exception] = []
    for strike, following in zip_longest(strikes, strikes[1:]):
        starting = asyncio.create_task(stage.faulty_node(following)) if following is not None else None
        try:
            took = await played_once(Scene(stage, healthy, struck), play)
            record(str(strike), round(took, 2))
            print(f"{strike}: {took:.2f} s")
        except Exception as error:
            error.add_note(f"at {strike}, the latest request: {(await stage.ledger.facts())[-1:]}")
            failures.append(error)
        await gone(struck)
        if starting is not None:
            struck = await starting
    if failures:
        raise ExceptionGroup("these strikes were not survived", failures)


async def played_once(scene: Scene, play: Play) -> float:
    """With other people again when another node took the step."""
    for _ in range(TRIES):
        scene.struck.disarm()
        with suppress(NotStruck):
            async with scene.stage.scene():
                return await play(scene)
    raise AssertionError("the step was never taken on the node that waits for it")


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
    await no_longer(scene, request_id)
    await talk(cast.requester, winner, call)
    await cast.requester.end_on(call, "left")
    await asyncio.gather(cast.requester.out_of_call(call["id"]), winner.out_of_call(call["id"]))
    await cast.requester.until(lambda state: state.request is not None and state.request["state"] == "ended")
    await scene.stage.ledger.at_rest(request_id)
