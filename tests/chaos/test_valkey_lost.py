"""Valkey is wiped, killed and started empty, or frozen, at each moment of a request's life: it costs seconds only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from uuid import UUID

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from infra.embedded.valkey_cluster import EmbeddedCluster
from infra.phone.state import View
from infra.valkey.cluster import Valkey, connect, execute
from infra.valkey.index import ValkeyIndex
from infra.valkey.keys import Shard, Shards
from infra.valkey.library import Library
from matching.ports import IndexUnavailable
from tests.chaos.stage import BUSY_S, SOON_S, Stage, both_learn, none_left, since, talk
from tests.support.engines import Engines, freeze, kill, thaw
from tests.support.nodes import Node
from tests.support.scenes import MEDIA
from tests.support.witness import PATIENCE_S, Witness, first_offered

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

FROZEN_S = 4.0
AGAIN_S = 0.05
NOTICED_S = 1.0
HOT_S = 2.0
"""Within so long after Valkey is back whoever has a socket can be found again: the promise."""
SHARDS = 7
"""On the cluster."""


@dataclass
class Loss:
    """What is done to Valkey. `come` begins it, `go` ends it."""

    come_at: float = 0.0
    gone_at: float = 0.0
    forgets: ClassVar[bool] = True

    async def come(self) -> None:
        self.come_at = time.monotonic()
        await self._come()

    async def go(self) -> None:
        await self._go()
        self.gone_at = time.monotonic()

    async def _come(self) -> None:
        raise NotImplementedError

    async def _go(self) -> None:
        return


@dataclass
class Wipe(Loss):
    engines: Engines = field(kw_only=True)

    async def _come(self) -> None:
        async with Redis.from_url(self.engines.valkey.url) as client:
            await client.flushall()


@dataclass
class Restart(Loss):
    """Nothing is kept on disk."""

    engines: Engines = field(kw_only=True)

    async def _come(self) -> None:
        await asyncio.to_thread(kill, self.engines.valkey)

    async def _go(self) -> None:
        self.engines.valkey.start()  # in this thread: an engine ends with the thread that started it


@dataclass
class Freeze(Loss):
    engines: Engines = field(kw_only=True)
    forgets: ClassVar[bool] = False

    async def _come(self) -> None:
        freeze(self.engines.valkey)

    async def _go(self) -> None:
        await asyncio.sleep(max(0.0, FROZEN_S - since(self.come_at)))
        thaw(self.engines.valkey)


@dataclass
class Failover(Loss):
    """A primary of a cluster is killed; what it had is over when its replica has taken its place."""

    cluster: EmbeddedCluster = field(kw_only=True)
    key: ClassVar[str] = Shard(0).prefix.decode()

    async def _come(self) -> None:
        self._dead = self.cluster.primary_of(self.key)
        await asyncio.to_thread(kill, self._dead)

    async def _go(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while await asyncio.to_thread(self.cluster.primary_of, self.key) is self._dead:  # noqa: ASYNC110
                await asyncio.sleep(AGAIN_S)


@dataclass(frozen=True, slots=True)
class Scene:
    """Two nodes, a requester on one and volunteers on both."""

    stage: Stage
    loss: Loss
    requester: Witness
    volunteers: Sequence[Witness]
    figures: dict[str, float] = field(default_factory=dict)

    def measured(self, what: str, at_most_s: float) -> None:
        """Since Valkey came back."""
        took = since(self.loss.gone_at)
        self.figures[what] = round(took, 2)
        assert took < at_most_s, what


async def idle(scene: Scene) -> None:
    """Lost while everybody only waits: who asks now is heard now, and has an offer as soon as there is a Valkey."""
    await scene.loss.come()
    request = await asked_meanwhile(scene)
    await scene.loss.go()
    winner, offer = await first_offered(scene.volunteers, request["id"])
    scene.measured("offered", SOON_S + BUSY_S)
    await winner.accept_on(offer)
    await helped(scene, winner, request["id"])


async def waiting(scene: Scene) -> None:
    """Lost while a request finds nobody; somebody gets ready meanwhile."""
    for one in scene.volunteers:
        await one.ready(False)
    request = await scene.requester.request_help()
    await scene.loss.come()
    await scene.volunteers[1].ready()
    await scene.loss.go()
    offer = await scene.volunteers[1].offered(request["id"])
    scene.measured("offered", SOON_S + BUSY_S)
    await scene.volunteers[1].accept_on(offer)
    await helped(scene, scene.volunteers[1], request["id"])


async def offered(scene: Scene) -> None:
    """Lost while it rings: the accept counts at once, over HTTP."""
    request = await scene.requester.request_help()
    winner = scene.volunteers[1]
    offer, _ = await asyncio.gather(*(one.offered(request["id"]) for one in reversed(scene.volunteers)))
    await scene.loss.come()
    began = time.monotonic()
    call = await winner.accept_on(offer)
    scene.figures["accept"] = round(since(began), 2)
    assert call["state"] == "connecting"
    await scene.loss.go()
    await both_learn(scene.requester, winner, request["id"])
    scene.measured("both know", SOON_S + BUSY_S)
    await helped(scene, winner, request["id"])


async def connecting(scene: Scene) -> None:
    """Lost while the two connect: their reports count at once, their words go as soon as there is a Valkey."""
    winner, call = await in_a_call(scene)
    await scene.loss.come()
    for one in (scene.requester, winner):
        await one.send("media", MEDIA, call=call, timeout=PATIENCE_S)
    await scene.loss.go()
    await asyncio.gather(*(one.in_call(call["request_id"], state="connected") for one in (scene.requester, winner)))
    # News of a call that could not be told waits for the look at it, every three seconds, and a telling's deadline.
    scene.measured("both connected", 2 * SOON_S + BUSY_S)
    await helped(scene, winner, call["request_id"])


async def in_call(scene: Scene) -> None:
    """Lost while the two talk: they stay in their call."""
    winner, call = await in_a_call(scene)
    for one in (scene.requester, winner):
        await one.send("media", MEDIA, call=call)
    await asyncio.gather(*(one.in_call(call["request_id"], state="connected") for one in (scene.requester, winner)))
    await scene.loss.come()
    assert (await scene.requester.account.call("GET", f"/v1/calls/{call['id']}"))["call"]["state"] == "connected"
    await scene.loss.go()
    await helped(scene, winner, call["request_id"])


Moment = Callable[[Scene], Awaitable[None]]
MOMENTS: Sequence[Moment] = (idle, waiting, offered, connecting, in_call)


Record = Callable[[str, object], None]


@pytest.mark.parametrize("kind", [Wipe, Restart, Freeze])
async def test_valkey_is_lost(
    stage: Stage, engines: Engines, kind: type[Wipe | Restart | Freeze], record_property: Record
) -> None:
    await lost_at_each_moment(stage, lambda: kind(engines=engines), engines.restore, record_property)


async def test_a_primary_of_a_cluster_is_lost(
    database_url: str, cluster_url: str, cluster: EmbeddedCluster, tmp_path: Path, record_property: Record
) -> None:
    async with Stage.raised(database_url, cluster_url, tmp_path) as stage:
        stage.settings["EYELINE_SHARDS"] = str(SHARDS)

        def heal() -> None:
            cluster.restore()
            cluster.heal()

        def loss() -> Failover:
            heal()
            return Failover(cluster=cluster)

        await lost_at_each_moment(stage, loss, heal, record_property)


async def lost_at_each_moment(
    stage: Stage, loss: Callable[[], Loss], restore: Callable[[], None], record_property: Record
) -> None:
    # While Valkey is frozen a frame takes seconds; nobody may take that for a dead line.
    stage.settings |= {"EYELINE_WAVE_SIZE": "2", "EYELINE_HEARTBEAT_S": "5"}
    nodes = await asyncio.gather(stage.node(), stage.node())
    failures: list[Exception] = []
    for moment in MOMENTS:
        figures: dict[str, float] = {}
        async with stage.scene():
            try:
                await act(stage, nodes, what := loss(), moment, figures)
            except Exception as error:
                facts = (await stage.ledger.facts())[-1:]
                error.add_note(f"{what} while {moment.__name__}, {figures}; the latest request: {facts}")
                failures.append(error)
                restore()
        record_property(moment.__name__, figures)
        print(f"{type(what).__name__} {moment.__name__}: {figures}")
    if failures:
        raise ExceptionGroup("these losses were not survived", failures)


async def act(stage: Stage, nodes: Sequence[Node], loss: Loss, moment: Moment, figures: dict[str, float]) -> None:
    requester = await stage.requester("Rosa", nodes[0])
    volunteers = [await stage.volunteer(name, node) for name, node in zip(("Ada", "Bo"), nodes, strict=True)]
    scene = Scene(stage, loss, requester, volunteers, figures)
    people = (requester, *volunteers)
    incarnations = [one.incarnation for one in people]
    await moment(scene)
    if loss.forgets:
        await asyncio.gather(*(begins_anew(*pair) for pair in zip(people, incarnations, strict=True)))
    await index_is_complete(stage, volunteers)
    scene.measured("all as before", 10 + BUSY_S)


# -- parts of a story --------------------------------------------------------------------------------------------------


async def asked_meanwhile(scene: Scene) -> View:
    """Asking works without Valkey."""
    began = time.monotonic()
    request = await scene.requester.ask_on()
    scene.figures["ask"] = round(since(began), 2)
    return request


async def in_a_call(scene: Scene) -> tuple[Witness, View]:
    request = await scene.requester.request_help()
    winner = scene.volunteers[1]
    await winner.accept(await winner.offered(request["id"]))
    return winner, await both_learn(scene.requester, winner, request["id"])


async def helped(scene: Scene, winner: Witness, request_id: str) -> None:
    """Both know of one call, words go both ways, and it ends as it should."""
    requester = scene.requester
    call = await both_learn(requester, winner, request_id)
    await talk(requester, winner, call)
    await none_left([one for one in scene.volunteers if one is not winner], request_id)
    await requester.end_on(call, "done")
    await asyncio.gather(requester.out_of_call(call["id"]), winner.out_of_call(call["id"]))
    await scene.stage.ledger.at_rest(request_id)


async def begins_anew(person: Witness, before: str | None) -> None:
    """A welcome of another incarnation, on the same socket or the next."""
    await person.until(lambda _: person.incarnation not in (None, before), timeout=PATIENCE_S)


async def index_is_complete(stage: Stage, volunteers: Sequence[Witness]) -> None:
    """It answers, and knows these people."""
    client = connect(stage.valkey_url)
    try:
        index = ValkeyIndex(Library(client), shards_of(stage))
        async with asyncio.timeout(PATIENCE_S):
            while not (await _answers(index) and await _listed(client, stage, volunteers)):  # noqa: ASYNC110
                await asyncio.sleep(AGAIN_S)
    finally:
        await client.aclose()


def shards_of(stage: Stage) -> Shards:
    return Shards(int(stage.settings.get("EYELINE_SHARDS", "1")))


async def _answers(index: ValkeyIndex) -> bool:
    try:
        await index.counts()
    except IndexUnavailable:
        return False
    return True


async def _listed(client: Valkey, stage: Stage, volunteers: Sequence[Witness], *, hot: bool = False) -> bool:
    """Whether all of them are known, and to be hot."""
    shards = shards_of(stage)
    people = [UUID(one.state.user["id"]) for one in volunteers]
    try:
        records = [await execute(client, "HGET", shards.of(one).people, one.bytes) for one in people]
    except (RedisError, OSError):
        return False
    return all(record is not None and (not hot or record[:1] in b"hH") for record in records)


# -- the promise to those who have a socket ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["wiped", "restarted", "failed over"])
async def test_whoever_has_a_socket_is_back_in_a_moment(
    request: pytest.FixtureRequest,
    how: str,
    engines: Engines,
    database_url: str,
    valkey_url: str,
    tmp_path: Path,
    record_property: Record,
) -> None:
    """Under load: requests wait for people there are none of, and one that comes meanwhile is served from Postgres."""
    cluster: EmbeddedCluster | None = request.getfixturevalue("cluster") if how == "failed over" else None
    loss: Loss = Wipe(engines=engines) if how == "wiped" else Restart(engines=engines)
    if cluster is not None:
        valkey_url, loss = request.getfixturevalue("cluster_url"), Failover(cluster=cluster)
    async with Stage.raised(database_url, valkey_url, tmp_path) as stage:
        if cluster is not None:
            stage.settings["EYELINE_SHARDS"] = str(SHARDS)
        nodes = [await stage.node(), await stage.node()]
        async with stage.scene():
            waiting = [await stage.requester(f"Rosa {number}", nodes[number % 2]) for number in range(6)]
            await asyncio.gather(*(one.request_help() for one in waiting))
        async with stage.scene():
            volunteers = [await stage.volunteer(f"Ada {number}", nodes[number % 2]) for number in range(8)]
            requester = await stage.requester("Rosa", nodes[0])
            await index_is_complete(stage, volunteers)
            await loss.come()
            coming_back = asyncio.create_task(noticed_and_back(stage, nodes, volunteers))
            if how == "wiped":
                await loss.go()  # it was never away
            asked = await requester.ask_on()
            await offered_in_postgres(stage, asked["id"])
            if how != "wiped":
                await loss.go()
            noticed, back = (at - loss.gone_at for at in await coming_back)
            record_property("noticed", noticed)
            record_property("back", back)
            print(f"{how}: noticed {noticed:.2f} s, back {back:.2f} s")
            assert noticed < NOTICED_S + BUSY_S
            assert back < HOT_S + BUSY_S
            winner, offer = await first_offered(volunteers, asked["id"])
            await winner.accept_on(offer)
            await requester.in_call(asked["id"])
            await requester.end_on(await both_learn(requester, winner, asked["id"]), "done")


async def noticed_and_back(stage: Stage, nodes: Sequence[Node], volunteers: Sequence[Witness]) -> tuple[float, float]:
    """When all nodes knew that data was lost, and when all these people were listed as hot after that."""
    events = (node.event("valkey lost its data; beginning anew", timeout_s=PATIENCE_S) for node in nodes)
    await asyncio.gather(*events)
    noticed_at = time.monotonic()
    client = connect(stage.valkey_url)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not await _listed(client, stage, volunteers, hot=True):  # noqa: ASYNC110
                await asyncio.sleep(AGAIN_S)
    finally:
        await client.aclose()
    return noticed_at, time.monotonic()


async def offered_in_postgres(stage: Stage, request_id: str) -> None:
    async with asyncio.timeout(SOON_S + BUSY_S):
        while not await stage.ledger.rows("SELECT 1 FROM offers WHERE request_id = $1", UUID(request_id)):  # noqa: ASYNC110
            await asyncio.sleep(AGAIN_S)
