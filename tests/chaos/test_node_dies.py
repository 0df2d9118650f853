"""A node is killed, or frozen and thawed, at each step from the first draw to the last word.

The requester and one volunteer are on the node that is struck, the others on a healthy one. Phones of a killed node
come back at once, those of a frozen one when they notice its silence; both come back to the healthy one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

import pytest

from infra.phone.state import View
from tests.chaos.stage import BUSY_S, SOON_S, Stage, both_learn, since
from tests.chaos.strikes import (
    Cast,
    Record,
    Scene,
    Step,
    abandoned,
    cast_of,
    groups,
    move,
    no_longer,
    played,
    to_the_end,
)
from tests.support.faults import Strike
from tests.support.scenes import MEDIA, signals
from tests.support.witness import PATIENCE_S, Witness, first_offered

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

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

NEGOTIATING: Sequence[Step] = (
    ("begin_answer", "before", 1),
    ("begin_answer", "after", 1),
    ("judge", "before", 1),
    ("judge", "after", 1),
    ("send", "after", 1),
    ("finish_answer", "before", 1),
    ("finish_answer", "after", 1),
    ("judge", "after", 2),
    ("send", "before", 2),
    ("relay", "before", 1),
    ("relay", "after", 1),
)

CONNECTING: Sequence[Step] = (
    ("change", "before", 1),
    ("write_call", "after", 1),
    ("change", "after", 1),
    ("send", "after", 1),
    ("told_call", "after", 1),
)

ENDING: Sequence[Step] = (
    ("change", "before", 1),
    ("write_call", "after", 1),
    ("change", "after", 1),
    ("send", "after", 1),
    ("told_call", "before", 1),
    ("told_request", "after", 1),
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


@pytest.mark.parametrize("strikes", groups(ASKING))
async def test_while_asking(stage: Stage, strikes: list[Strike], record_property: Record) -> None:
    await played(stage, strikes, asking, record_property, wave=2)


async def asking(scene: Scene) -> float:
    """Struck while people are looked for: somebody has the offer, answers, and both sides know."""
    cast = await cast_of(scene)
    key = str(uuid4())
    scene.struck.arm()
    asked = asyncio.create_task(cast.requester.request_help(idempotency_key=key))
    await scene.struck.struck()
    struck_at = time.monotonic()
    await abandoned(asked)
    move([cast.requester, cast.here], scene.healthy)
    request = await cast.requester.ask_on(key)
    acknowledged = since(struck_at)
    winner, offer = await first_offered(cast.volunteers, request["id"])
    took = since(struck_at) - acknowledged
    assert took < SOON_S + BUSY_S
    await winner.accept_on(offer)
    await to_the_end(scene, cast, winner, request["id"])
    return took


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


async def in_a_call(cast: Cast) -> tuple[View, View]:
    """The request, and the call in which the requester has whoever is on the same node."""
    request = await cast.requester.ask_on()
    await cast.here.accept_on(await cast.here.offered(request["id"]))
    return request, await both_learn(cast.requester, cast.here, request["id"])


@pytest.mark.parametrize("strikes", groups(NEGOTIATING))
async def test_while_negotiating(stage: Stage, strikes: list[Strike], record_property: Record) -> None:
    await played(stage, strikes, negotiating, record_property)


async def negotiating(scene: Scene) -> float:
    """Struck while the requester offers a connection: both hear what builds it, and the words said meanwhile."""
    cast = await cast_of(scene)
    request, call = await in_a_call(cast)
    words = {"chat": {"text": "which one?", "language": "en"}}
    scene.struck.arm()
    await say(cast.requester, signals("offer", "r1") | words, call)
    await scene.struck.struck()
    struck_at = time.monotonic()
    move([cast.requester, cast.here], scene.healthy)
    await heard(cast.here, "description", "candidate", "chat")
    await say(cast.here, signals("answer", "v1"), call)
    await heard(cast.requester, "description", "candidate")
    for one in (cast.requester, cast.here):
        await one.post("media", MEDIA, call=call, replaces="media")
    await asyncio.gather(*(one.in_call(request["id"], state="connected") for one in (cast.requester, cast.here)))
    took = since(struck_at)
    await to_the_end(scene, cast, cast.here, request["id"])
    return took


async def say(speaker: Witness, said: Mapping[str, View], call: View) -> None:
    for type_, data in said.items():
        await speaker.post(type_, data, call=call)


async def heard(listener: Witness, *types: str) -> None:
    """Each at least once: what a node was at when it died is said again."""
    for type_ in types:
        await listener.next(type_, timeout=PATIENCE_S)


@pytest.mark.parametrize("strikes", groups(CONNECTING))
async def test_while_connecting(stage: Stage, strikes: list[Strike], record_property: Record) -> None:
    await played(stage, strikes, connecting, record_property)


async def connecting(scene: Scene) -> float:
    """Struck while a side reports its media: both learn that they are connected."""
    cast = await cast_of(scene)
    request, call = await in_a_call(cast)
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
    request, call = await in_a_call(cast)
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


@pytest.mark.parametrize("strikes", groups(ENDING))
async def test_while_ending(stage: Stage, strikes: list[Strike], record_property: Record) -> None:
    await played(stage, strikes, ending, record_property)


async def ending(scene: Scene) -> float:
    """Struck while somebody hangs up who was helped: it is over for both, and completed."""
    cast = await cast_of(scene)
    request, call = await in_a_call(cast)
    for one in (cast.requester, cast.here):
        await one.send("media", MEDIA, call=call)
    await asyncio.gather(*(one.in_call(request["id"], state="connected") for one in (cast.requester, cast.here)))
    scene.struck.arm()
    hanging_up = asyncio.create_task(cast.here.end_call(call, "done"))
    await scene.struck.struck()
    struck_at = time.monotonic()
    await abandoned(hanging_up)
    move([cast.requester, cast.here], scene.healthy)
    await cast.here.end_on(call, "done")
    await asyncio.gather(*(one.out_of_call(call["id"]) for one in (cast.requester, cast.here)))
    took = since(struck_at)
    await cast.requester.until(lambda state: state.request is not None and state.request["state"] == "ended")
    await no_longer(scene, request["id"])
    ended = await cast.requester.account.call("GET", f"/v1/requests/{request['id']}")
    assert (ended["request"]["outcome"], ended["request"]["epoch"]) == ("completed", 1)
    await scene.stage.ledger.at_rest(request["id"])
    return took
