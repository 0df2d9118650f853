"""Beyond the bounds of `test_every_schedule`: more of everything, in orders drawn at random, with time going on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.memory.request_book import Volunteer
from matching.request_rules import Event
from tests.interleaving.aftermath import Aftermath
from tests.interleaving.deeds import (
    Act,
    accepts,
    acknowledges,
    answers,
    avoids,
    calls_back,
    cancels,
    changes,
    declines,
    ends_call,
    looks,
    looks_at_due,
    opens,
    passes,
    rebuilds,
    request_id,
    sweeps,
    wants_callback,
    wipes,
)
from tests.interleaving.explore import Broken, failures, told
from tests.interleaving.invariants import Seen, broken
from tests.interleaving.run import Choice, Run, Scene
from tests.interleaving.scenario import Part, Scenario
from tests.interleaving.world import Product, Size, World

REQUESTS, PEOPLE, NODES = 4, 6, 3
MOST_CRASHES = 3
GO_ON, CRASH, NODE_CRASH = range(14), 30, 31
"""Of the numbers 0 to 31 that steer: mostly on with the same part; sometimes a crash; else any part's turn."""


def is_paused(paused: bool) -> Callable[[Volunteer], None]:
    def change(volunteer: Volunteer) -> None:
        volunteer.paused = paused

    return change


def is_ready(ready: bool) -> Callable[[Volunteer], None]:
    def change(volunteer: Volunteer) -> None:
        volunteer.ready = ready

    return change


KINDS: dict[str, Callable[[int, int, int], Act]] = {
    "look": lambda v, r, n: looks(r),
    "due": lambda v, r, n: looks_at_due(),
    "yes": lambda v, r, n: accepts(v, r, 1 + n % 2),
    "answer": lambda v, r, n: answers(v),
    "answers": lambda v, r, n: answers(v),
    "no": lambda v, r, n: declines(v, r, 1 + n % 2),
    "ack": lambda v, r, n: acknowledges(v, r, 1 + n % 2),
    "cancel": lambda v, r, n: cancels(r),
    "end": lambda v, r, n: ends_call(r, 1 + n % 2, (Event.RETURNED, Event.COMPLETED)[n // 2 % 2]),
    "sweep": lambda v, r, n: sweeps(),
    "time": lambda v, r, n: passes((0.5, 2, 5, 20)[n % 4]),
    "wipe": lambda v, r, n: wipes(),
    "fill": lambda v, r, n: rebuilds(),
    "pause": lambda v, r, n: changes(v, is_paused(n % 2 == 0), f"v{v} is paused or back"),
    "ready": lambda v, r, n: changes(v, is_ready(n % 2 == 0), f"v{v} is ready, or not"),
    "avoid": lambda v, r, n: avoids(v, r),
    "open": lambda v, r, n: opens(REQUESTS + n % 2, ("en", "de")[n // 2 % 2]),
    "want": lambda v, r, n: wants_callback(r),
    "back": lambda v, r, n: calls_back(),
}
IMMORTAL = {"time", "wipe"}


@dataclass(frozen=True)
class Deed:
    """One part: its kind, whom and what it is about, something that varies it, and its node."""

    kind: str
    person: int
    request: int
    variant: int
    node: int


@dataclass(frozen=True)
class Plan:
    """All there is to know to run it again: `run(Plan(...))`."""

    requests: int
    people: int
    size: Size
    asked: int
    """So many requests ring when it begins."""
    deeds: tuple[Deed, ...]
    steering: tuple[int, ...]

    def scenario(self) -> Scenario:
        parts = tuple(
            Part(
                f"{deed.kind}{number}",
                KINDS[deed.kind](deed.person % self.people, deed.request % self.requests, deed.variant),
                deed.node % self.size.nodes,
                is_mortal=deed.kind not in IMMORTAL,
            )
            for number, deed in enumerate(self.deeds)
        )
        return Scenario("random", "", self._scene, parts, self.size)

    async def _scene(self, world: World) -> None:
        for number in range(self.people):
            await world.volunteers(1, *(("en",), ("de",), ("en", "de"))[number % 3])
        for number in range(self.requests):
            await world.ask_through(world.desk, number, ("en", "de")[number % 2])
        for number in range(min(self.asked, self.requests)):
            await world.look(request_id(number))


numbers = st.integers(0, 5)
deeds = st.builds(Deed, st.sampled_from(sorted(KINDS)), numbers, numbers, numbers, numbers)
plans = st.builds(
    Plan,
    requests=st.integers(1, REQUESTS),
    people=st.integers(1, PEOPLE),
    size=st.builds(Size, wave=st.integers(1, 3), nodes=st.integers(1, NODES), slow_telling=st.booleans()),
    asked=st.integers(0, REQUESTS),
    deeds=st.lists(deeds, min_size=3, max_size=9).map(tuple),
    steering=st.lists(st.integers(0, 31), min_size=40, max_size=120).map(tuple),
)


def steered(run: Run, number: int, crashes: int) -> Choice | None:
    """What happens next; None when nothing goes on any more."""
    choices = run.choices()
    if not choices:
        return None
    dying = {CRASH: run.crashes, NODE_CRASH: run.node_crashes}.get(number)
    if dying is not None and crashes < MOST_CRASHES and (found := dying()):
        return found[0]
    return choices[0 if number in GO_ON else number % len(choices)]


def run(plan: Plan) -> None:
    """Raises `Broken` where an invariant does not hold."""
    scenario, product = plan.scenario(), Product()
    one = Scene(scenario, product).run()
    steering = iter(plan.steering)
    while (choice := steered(one, next(steering, 0), sum(taken.is_crash for taken in one.taken))) is not None:
        before = Seen.of(one.world)
        one.take(choice)
        if findings := failures(one) or [*one.findings, *broken(one.world, before)]:
            raise Broken(findings, one, told(scenario, product, one))
    for way, findings in Aftermath(product, scenario.size).of(one.world.saved()):
        if findings:
            raise Broken(findings, one, told(scenario, product, one), way)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plans)
def test_whatever_goes_on_the_invariants_hold(plan: Plan) -> None:
    run(plan)
