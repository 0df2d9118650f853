"""One schedule, step by step, and how it is written down."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

from tests.interleaving.freezing import Digests
from tests.interleaving.loop import TinyLoop
from tests.interleaving.overtaking import Overtaking
from tests.interleaving.scenario import AGAIN, Part, Scenario
from tests.interleaving.strands import Actor
from tests.interleaving.world import Product, World

CRASH, NODE_CRASH = "!", "!!"


class Choice(NamedTuple):
    """What happens next: an actor is let on, is dropped, or its node dies with all that it had begun."""

    actor: str
    what: str = ""
    """Which of its stops ("" the first, ".1" the second), or a crash."""

    @property
    def is_crash(self) -> bool:
        return self.what.startswith(CRASH)

    def __str__(self) -> str:
        return self.actor + self.what


class Scene:
    """A scenario whose scene is set, to be run any number of times."""

    def __init__(self, scenario: Scenario, product: Product | None = None) -> None:
        self.scenario = scenario
        self.product = product or Product()
        self.digests = Digests()
        self._world = World(self.product, scenario.size)
        TinyLoop().run(_set(scenario, self._world))
        self._saved = self._world.saved()

    def run(self, duplicate: str | None = None) -> Run:
        """A new run; the one before is over."""
        self._world.restore(self._saved)
        return Run(self, self._world, duplicate)


async def _set(scenario: Scenario, world: World) -> None:
    await scenario.scene(world)


class Run:
    """One world in which the parts of a scenario go on as they are told."""

    def __init__(self, scene: Scene, world: World, duplicate: str | None) -> None:
        self.scene = scene
        self.duplicate = duplicate
        self.loop = TinyLoop()
        self.world = world
        self.digests = scene.digests
        self.digests.forget()
        self.current: Actor | None = None
        self.taken: list[Choice] = []
        self.last_label = ""
        self.findings: list[str] = []
        """What the last step did wrong, as far as one has to watch from step to step."""
        self._overtaking = Overtaking(world)
        self.parts = scene.scenario.with_duplicate(duplicate)
        self.actors: dict[str, Actor] = {}
        for part in self.parts:
            self._start(part)
        self.loop.run_ready()

    def _start(self, part: Part) -> None:
        actor = Actor(part.name, part.node, self.digests)
        self.actors[part.name] = actor
        actor.start(self.loop.create_task, part.does(self.world, self.world.nodes[part.node]))

    def goes_on(self) -> bool:
        """Whether the actor that was let on last can go on."""
        return self.current is not None and any(stop.is_open for stop in self.current.stops)

    def choices(self) -> list[Choice]:
        """All that may happen next, the likeliest first: whoever was let on last goes on."""
        order = list(self.actors.values())
        if self.current is not None:
            order.sort(key=lambda actor: actor is not self.current)
        found: list[Choice] = []
        for actor in order:
            if self._comes_before_the_first(actor):
                continue
            for number, stop in enumerate(actor.stops):
                if stop.is_open:
                    found.append(Choice(actor.name, f".{number}" if number else ""))
        return found

    def crashes(self) -> list[Choice]:
        """Who may be dropped now.

        Whoever ran last: later would be the same for all others. And, between two runs, whoever has not begun: their
        message is lost.
        """
        if self.goes_on() and self.current is not None:
            if not self._is_mortal(self.current):
                return []
            return [Choice(self.current.name, CRASH)]
        fresh = (actor for actor in self.actors.values() if not actor.is_started and actor.stops)
        return [Choice(actor.name, CRASH) for actor in fresh if self._is_mortal(actor)]

    def node_crashes(self) -> list[Choice]:
        """Nodes that may die with more than one thing begun, each named by one of these."""
        begun = [self._begun_on(node) for node in range(self.scene.scenario.size.nodes)]
        return [Choice(actors[0].name, NODE_CRASH) for actors in begun if len(actors) > 1]

    def take(self, choice: Choice) -> None:
        """Make it happen, up to the next stops of all it touches."""
        self.taken.append(choice)
        self.findings = []
        actor = self.actors[choice.actor]
        if choice.is_crash:
            self.last_label = "its node dies" if choice.what == NODE_CRASH else "is dropped"
            for dying in self._begun_on(actor.node) if choice.what == NODE_CRASH else [actor]:
                dying.drop()
            self.current = None
        else:
            stop = actor.stops.pop(int(choice.what[1:] or 0))
            self.last_label = stop.label
            actor.is_started = True
            self.current = actor
            stop.go.set_result(None)
        self._overtaking.before()
        self.loop.run_ready()
        if not choice.is_crash:
            self.findings = self._overtaking.after(actor, self.last_label)

    def fingerprint(self) -> int:
        """Equal in states from which the same can follow."""
        actors = tuple(
            (actor.name, actor.is_started, 0 if actor.is_done else actor.memory, actor.is_done)
            for actor in self.actors.values()
        )
        current = self.current.name if self.current is not None and self.goes_on() else None
        return hash((self.world.fingerprint(self.digests), actors, current, self._overtaking.digest()))

    def schedule(self) -> str:
        return written(self.scene.scenario.name, self.duplicate, self.taken)

    def _comes_before_the_first(self, actor: Actor) -> bool:
        """Of two equal messages the one is as good as the other."""
        first = self.actors.get(actor.name[:-1]) if actor.name.endswith(AGAIN) else None
        return first is not None and not first.is_started and not first.is_dropped

    def _begun_on(self, node: int) -> list[Actor]:
        begun = (actor for actor in self.actors.values() if actor.is_started and not actor.is_done)
        return [actor for actor in begun if actor.node == node and self._is_mortal(actor)]

    def _is_mortal(self, actor: Actor) -> bool:
        return next(part.is_mortal for part in self.parts if part.name == actor.name)


def written(scenario: str, duplicate: str | None, choices: Iterable[Choice]) -> str:
    """A schedule as one line: `name[message']: look*3 yes yes! look`."""
    runs = ((str(choice), len(list(same))) for choice, same in groupby(choices))
    steps = " ".join(step if times == 1 else f"{step}*{times}" for step, times in runs)
    again = f"[{duplicate}]" if duplicate else ""
    return f"{scenario}{again}: {steps}"


def read(line: str) -> tuple[str, str | None, list[Choice]]:
    """The scenario's name, the message that arrives twice, and the choices. ValueError when it is no schedule."""
    head, _, steps = line.partition(":")
    name, _, duplicate = head.strip().rstrip("]").partition("[")
    choices: list[Choice] = []
    for step in steps.split():
        token, _, times = step.partition("*")
        choices += [_choice(token)] * int(times or 1)
    return name, duplicate or None, choices


def _choice(token: str) -> Choice:
    actor = token.rstrip("!")
    if actor != token:
        return Choice(actor, token[len(actor) :])
    actor, dot, number = token.partition(".")
    return Choice(actor, dot + number)
