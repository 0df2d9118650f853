"""What a stand-in is told to answer, and to whom."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

A = TypeVar("A")
"""A stand-in's `Act`: the ways in which it can answer."""


@dataclass(frozen=True, slots=True)
class Planned(Generic[A]):
    """An act, with the Retry-After header it comes with, if any."""

    act: A
    retry_after: str | None = None


class Plan(Generic[A]):
    """What is next comes first, then what is set for a target, then what is set for all."""

    def __init__(self, usual: A) -> None:
        """`usual`: the act while nothing is set."""
        self._usual = Planned(usual)
        self._next: deque[Planned[A]] = deque()
        self._of_target: dict[str, Planned[A]] = {}
        self._all = self._usual

    def answer_all(self, act: A, retry_after: str | None = None) -> None:
        self._all = Planned(act, retry_after)

    def answer_next(self, count: int, act: A, retry_after: str | None = None) -> None:
        """The next `count` to come, after those planned before."""
        self._next.extend([Planned(act, retry_after)] * count)

    def answer_target(self, value: str, act: A, retry_after: str | None = None) -> None:
        """`value`: the push value the provider knows it by."""
        self._of_target[value] = Planned(act, retry_after)

    def clear(self) -> None:
        """All is well again."""
        self._next.clear()
        self._of_target.clear()
        self._all = self._usual

    def take(self, value: str) -> Planned[A]:
        """What to do with a push to `value` that came now."""
        return self._next.popleft() if self._next else self._of_target.get(value, self._all)
