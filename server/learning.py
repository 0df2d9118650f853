"""Keeps what a node knows of how likely people are to answer close to what all nodes have seen."""

from __future__ import annotations

from typing import Protocol

from matching.chances import Chances

LEARN_EVERY_S = 60.0


class ChanceBook(Protocol):
    """What was counted, in Postgres."""

    async def load(self) -> Chances: ...

    async def count(self, believed: Chances) -> bool: ...


class Learning:
    """`chances` is what is known now; until it was first read, what is believed of people nobody knows."""

    def __init__(self, book: ChanceBook, chances: Chances) -> None:
        self._book = book
        self.chances = chances

    async def learn(self) -> None:
        """Count in what ended lately, unless another node is at it, and read what is known."""
        while await self._book.count(self.chances):
            pass
        self.chances = await self._book.load()
