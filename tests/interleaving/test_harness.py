"""The harness itself: schedules are written and read, locks and `gather` are real, crashes leave nothing behind."""

from __future__ import annotations

import asyncio

from tests.interleaving.explore import Explorer
from tests.interleaving.freezing import Copies, Digests
from tests.interleaving.loop import TinyLoop
from tests.interleaving.run import Choice, Scene, read, written
from tests.interleaving.scenario import Bounds
from tests.interleaving.scenarios import SCENARIOS
from tests.interleaving.strands import STRAND, Actor


def test_a_schedule_is_read_as_it_was_written() -> None:
    choices = [Choice("yes0"), Choice("yes0"), Choice("yes0'", ".1"), Choice("look", "!"), Choice("look", "!!")]
    line = written("two-accepts", "yes0", choices)
    assert line == "two-accepts[yes0]: yes0*2 yes0'.1 look! look!!"
    assert read(line) == ("two-accepts", "yes0", choices)


async def stands(label: str, done: list[str], lock: asyncio.Lock | None = None) -> None:
    strand = STRAND.get()
    assert strand is not None
    async with lock or asyncio.Lock():
        await strand.stop(label)
        done.append(label)


class TestLoop:
    def test_strands_of_gather_stop_side_by_side(self) -> None:
        loop, done, actor = TinyLoop(), list[str](), Actor("one", 0, Digests())

        async def both() -> None:
            await asyncio.gather(stands("left", done), stands("right", done))

        actor.start(loop.create_task, both())
        loop.run_ready()
        assert [stop.label for stop in actor.stops] == ["left", "right"]
        for _ in range(2):
            actor.stops.pop().go.set_result(None)
            loop.run_ready()
        assert (done, actor.is_done) == (["right", "left"], True)

    def test_who_waits_for_a_lock_stands_nowhere_and_has_it_when_its_holder_is_dropped(self) -> None:
        loop, done, lock = TinyLoop(), list[str](), asyncio.Lock()
        first, second = Actor("first", 0, Digests()), Actor("second", 0, Digests())
        for actor in (first, second):
            actor.start(loop.create_task, stands(actor.name, done, lock))
        loop.run_ready()
        assert (len(first.stops), len(second.stops)) == (1, 0)
        first.drop()
        loop.run_ready()
        assert [stop.label for stop in second.stops] == ["second"]
        assert done == []


def test_copies_and_digests_see_contents() -> None:
    scene = Scene(SCENARIOS["two-accepts"])
    world = scene.run().world
    before = world.fingerprint(Digests())
    saved = world.saved()
    world.book.busy.clear()
    assert world.fingerprint(Digests()) != before
    world.restore(saved)
    assert world.fingerprint(Digests()) == before
    shared: list[int] = []
    assert Copies().of({"a": shared}) == ({"a": shared},)


def test_what_bounds_allow_adds_up() -> None:
    explored = [
        Explorer(SCENARIOS["yes-or-cancel"]).explore(bounds).states
        for bounds in (Bounds(0, 0, 0), Bounds(1, 0, 0), Bounds(1, 1, 0), Bounds(1, 1, 1))
    ]
    assert explored == sorted(set(explored))


def test_who_comes_second_is_offered_what_waits() -> None:
    """As a check that the scene is what it says: one after the other, and nothing breaks."""
    run = Scene(SCENARIOS["second-is-supply"]).run()
    while choices := run.choices():
        run.take(choices[0])
    assert [promise.what for promise in run.world.promises] == ["won", "offered"]
