"""Every schedule of a scenario within its bounds, each state once."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.interleaving.aftermath import Aftermath
from tests.interleaving.invariants import Seen, broken
from tests.interleaving.run import Choice, Run, Scene, read
from tests.interleaving.scenario import Bounds, Scenario
from tests.interleaving.world import Product


class Broken(AssertionError):
    """An invariant does not hold; the message tells what, and the schedule that leads there."""

    def __init__(self, findings: list[str], run: Run, steps: list[str], then: str = "") -> None:
        told = "\n".join(f"  {number:2} {step}" for number, step in enumerate(steps, 1))
        lines = [*(f"invariant {finding}" for finding in findings), told]
        if then:
            lines.append(f"     and then, {then}")
        super().__init__("\n".join([*lines, f"replay: {run.schedule()}"]))
        self.findings = findings
        self.schedule = run.schedule()


@dataclass(frozen=True)
class Left:
    """What of the bounds is not used up."""

    preemptions: int
    crashes: int

    def covers(self, other: Left) -> bool:
        return self.preemptions >= other.preemptions and self.crashes >= other.crashes


@dataclass
class Explored:
    """How much there was to see."""

    scenario: str
    schedules: int = 0
    """Run to their end, or into a state that was met before."""
    ends: int = 0
    """Different states in which nothing goes on."""
    steps: int = 0
    seconds: float = 0.0
    """Of one processor."""
    states: int = 0

    def __str__(self) -> str:
        return (
            f"{self.scenario:32} {self.schedules:7} schedules {self.states:7} states {self.ends:5} ends"
            f" {self.seconds:6.1f} s"
        )


@dataclass
class Explorer:
    """Depth first, over choices: runs are repeated from the start, for a coroutine cannot be copied."""

    scenario: Scenario
    product: Product = field(default_factory=Product)

    def __post_init__(self) -> None:
        self._scene = Scene(self.scenario, self.product)
        self._met: dict[int, list[Left]] = {}
        self._ends: set[int] = set()
        self._aftermath = Aftermath(self.product, self.scenario.size)
        self.explored = Explored(self.scenario.name)

    def explore(self, *within: Bounds) -> Explored:
        """Raises `Broken` at the first schedule that breaks an invariant."""
        began = time.process_time()
        with _seldom_collected():
            for bounds in within or self.scenario.bounds:
                for duplicate in [None, *(self.scenario.messages if bounds.duplicates else [])]:
                    self._from(duplicate, Left(bounds.preemptions, bounds.crashes))
        self.explored.seconds = time.process_time() - began
        self.explored.states = len(self._met)
        return self.explored

    def _from(self, duplicate: str | None, left: Left) -> None:
        todo: list[tuple[list[Choice], Left]] = [([], left)]
        while todo:
            prefix, left = todo.pop()
            run = self._scene.run(duplicate)
            for choice in prefix[:-1]:
                run.take(choice)
            if prefix:
                self._step(run, prefix[-1])
            self._go_on(run, left, todo)
            self.explored.schedules += 1

    def _go_on(self, run: Run, left: Left, todo: list[tuple[list[Choice], Left]]) -> None:
        """To the end by the likeliest choices, leaving the others to do; or to a state that was met before."""
        while self._is_new(run, left):
            options = self._options(run, left)
            if not options:
                self._end(run)
                return
            for choice, after in options[1:]:
                todo.append(([*run.taken, choice], after))
            choice, left = options[0]
            self._step(run, choice)

    def _options(self, run: Run, left: Left) -> list[tuple[Choice, Left]]:
        found: list[tuple[Choice, Left]] = []
        current = run.current.name if run.current is not None and run.goes_on() else None
        for choice in run.choices():
            if current in (None, choice.actor):
                found.append((choice, left))
            elif left.preemptions:
                found.append((choice, Left(left.preemptions - 1, left.crashes)))
        if left.crashes:
            found += [(choice, Left(left.preemptions, left.crashes - 1)) for choice in run.crashes()]
        return found

    def _is_new(self, run: Run, left: Left) -> bool:
        met = self._met.setdefault(run.fingerprint(), [])
        if any(one.covers(left) for one in met):
            return False
        met[:] = [one for one in met if not left.covers(one)] + [left]
        return True

    def _step(self, run: Run, choice: Choice) -> None:
        before = Seen.of(run.world)
        run.take(choice)
        self.explored.steps += 1
        findings = failures(run) or [*run.findings, *broken(run.world, before), *self.scenario.always(run.world)]
        if findings:
            raise Broken(findings, run, told(self.scenario, self.product, run))

    def _end(self, run: Run) -> None:
        end = hash(run.world.fingerprint(run.digests))
        if end in self._ends:
            return
        self._ends.add(end)
        for way, findings in self._aftermath.of(run.world.saved()):
            if findings:
                raise Broken(findings, run, told(self.scenario, self.product, run), way)
        self.explored.ends = len(self._ends)


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Every run leaves cycles behind, and there are thousands of runs."""
    usual = gc.get_threshold()
    gc.set_threshold(100_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def failures(run: Run) -> list[str]:
    """What was raised that nobody expects."""
    return [f"{actor.name} failed: {actor.failure!r}" for actor in run.actors.values() if actor.failure is not None]


def told(scenario: Scenario, product: Product, run: Run) -> list[str]:
    """The steps of a schedule in words."""
    again = Scene(scenario, product).run(run.duplicate)
    lines: list[str] = []
    for choice in run.taken:
        again.take(choice)
        node = "" if again.scene.scenario.size.nodes == 1 else f" @{'ABCD'[again.actors[choice.actor].node]}"
        lines.append(f"{choice.actor + node:12} {again.last_label}")
    return lines


def replay(scenarios: dict[str, Scenario], line: str, product: Product | None = None) -> list[str]:
    """Run one written schedule again; its steps in words. Raises `Broken` where an invariant does not hold."""
    name, duplicate, choices = read(line)
    explorer = Explorer(scenarios[name], product or Product())
    run = explorer._scene.run(duplicate)
    for choice in choices:
        explorer._step(run, choice)
    if not run.choices():
        explorer._end(run)
    return told(explorer.scenario, explorer.product, run)
