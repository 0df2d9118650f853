"""Every policy in the same world, at several chances of an answer, on all cores."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import uvloop

from infra.simulation.contenders import CONTENDERS, FIXED_FAMILY
from infra.simulation.measure import Figures, figures
from infra.simulation.record import Record
from infra.simulation.run import Run
from infra.simulation.world import World

CHANCES = (0.05, 0.17, 0.47)


@dataclass(frozen=True, slots=True)
class Played:
    """A run that is over."""

    name: str
    chance: float
    figures: Figures
    record: Record


@dataclass(frozen=True, slots=True)
class Job:
    """A run to be done."""

    world: World
    name: str
    chance: float


Comparison = Mapping[tuple[str, float], Played]
"""By policy and chance."""


@lru_cache(maxsize=1)
def _peopled(world: World) -> World:
    """The same world for every run of a process, so that its people are made once."""
    return world


def play(job: Job) -> Played:
    contender = {**CONTENDERS, **FIXED_FAMILY}[job.name]
    record = uvloop.run(Run(_peopled(job.world), contender, job.chance).play())
    return Played(job.name, job.chance, figures(record, job.world.seed), record)


def compare(
    world: World,
    names: Iterable[str] = CONTENDERS,
    chances: Sequence[float] = CHANCES,
    *,
    workers: int | None = None,
    on_played: Callable[[Played], None] = lambda _played: None,
) -> Comparison:
    """`workers`: processes; None: as many as there are cores. 1: all in this one."""
    jobs = [Job(world, name, chance) for chance in chances for name in names]
    found: dict[tuple[str, float], Played] = {}

    def keep(all_played: Iterable[Played]) -> None:
        for played in all_played:
            on_played(played)
            found[played.name, played.chance] = played

    if workers == 1:
        keep(map(play, jobs))
    else:
        # Not forked: this process may have threads.
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            keep(pool.map(play, jobs))
    return found
