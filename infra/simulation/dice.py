"""Luck that does not depend on what else happened: the same question has the same answer under every policy."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from statistics import NormalDist

_NORMAL = NormalDist()
_BITS = 1 << 64


@dataclass(frozen=True, slots=True)
class Luck:
    """What two people would do, should one be asked to help the other."""

    answers: float
    """Below their chance at that moment: they answer."""
    declines: float
    """The same, for those who do not answer, of saying so."""
    delay: float
    """How long they take, as a standard normal deviate."""
    fails: float
    """Of the delivery."""


class Dice:
    """Draws that are keyed by what they are about."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def stream(self, what: str) -> Random:
        """For what comes in an order of its own."""
        return Random(f"{self._seed} {what}")

    def luck(self, request: int, volunteer: int) -> Luck:
        """Of this request and this volunteer, whenever, and by whichever policy, they are brought together."""
        return _luck(self._seed, request, volunteer)


@lru_cache(maxsize=1024)
def _luck(seed: int, request: int, volunteer: int) -> Luck:
    drawn = struct.unpack(
        "<4Q", hashlib.blake2b(struct.pack("<qqq", seed, request, volunteer), digest_size=32).digest()
    )
    answers, declines, delay, fails = ((one + 0.5) / _BITS for one in drawn)
    return Luck(answers, declines, _NORMAL.inv_cdf(min(max(delay, 1e-9), 1 - 1e-9)), fails)
