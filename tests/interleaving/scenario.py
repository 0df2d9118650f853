"""What is explored: a scene that was set, and all that goes on in it at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace

from tests.interleaving.deeds import Act
from tests.interleaving.world import Size, World

AGAIN = "'"
"""After the name of a message that arrives once more."""


@dataclass(frozen=True)
class Part:
    """One actor: what it is called in schedules, what it does, and through which node."""

    name: str
    does: Act
    node: int = 0
    is_message: bool = False
    """It may arrive twice."""
    is_mortal: bool = True
    """It runs on a node, which may die."""

    def once_more(self, nodes: int) -> Part:
        """The same message delivered again, through the next node."""
        return replace(self, name=self.name + AGAIN, node=(self.node + 1) % nodes, is_message=False)


@dataclass(frozen=True)
class Bounds:
    """How far from "one after the other, and nothing breaks" schedules go."""

    preemptions: int = 2
    crashes: int = 1
    duplicates: int = 1


def nothing(world: World) -> Iterable[str]:
    return ()


FULL = Bounds()
WITHOUT_DUPLICATES = Bounds(duplicates=0)
ONE_PREEMPTION = Bounds(preemptions=1)


@dataclass(frozen=True)
class Scenario:
    """Everything that may go on at once after `scene` was set."""

    name: str
    about: str
    scene: Callable[[World], Awaitable[None]]
    parts: tuple[Part, ...]
    size: Size = field(default_factory=Size)
    bounds: tuple[Bounds, ...] = (FULL,)
    always: Callable[[World], Iterable[str]] = nothing
    """What is wrong with a state of this very scenario."""

    def with_duplicate(self, name: str | None) -> tuple[Part, ...]:
        """All parts, with the message of this name once more."""
        twice = tuple(part.once_more(self.size.nodes) for part in self.parts if part.name == name)
        return (*self.parts, *twice)

    @property
    def messages(self) -> list[str]:
        return [part.name for part in self.parts if part.is_message]
