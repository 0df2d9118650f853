"""Made-up volunteers in any number, never more than a few of them in memory: who each is follows from their number."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from uuid import UUID

from infra.valkey.index import pack
from matching.model import Listing, Tier

HOUR_S = 3600
DAY_S = 24 * HOUR_S
NOW = 1_795_000_000.0 // DAY_S * DAY_S + 12.5 * HOUR_S
"""Half past twelve, UTC."""
FROM_H, TO_H = 8, 21
"""On everybody's wall."""

LANGUAGES = {
    "en": 38.0, "es": 12.0, "pt": 9.0, "de": 7.0, "fr": 6.0, "it": 5.0, "ru": 4.0, "nl": 3.0, "pl": 3.0, "tr": 2.5,
    "ar": 2.0, "hi": 2.0, "ja": 1.5, "sv": 1.0, "da": 1.0, "nb": 0.8, "fi": 0.6, "cs": 0.6, "el": 0.4, "hu": 0.4,
    "uk": 0.3, "he": 0.2, "ko": 0.2, "vi": 0.1,
}  # fmt: skip
"""How many of a hundred speak it first."""
PROFILES = 65_536


@dataclass(frozen=True, slots=True)
class Profile:
    """What many people have in common."""

    languages: tuple[str, ...]
    tier: Tier
    offset_h: int
    """From UTC."""
    always: bool
    newcomer: bool

    def edges(self, now: float) -> tuple[float, float | None]:
        """The present or next hours of their day."""
        if self.always:
            return 0.0, None
        midnight = (now + self.offset_h * HOUR_S) // DAY_S * DAY_S - self.offset_h * HOUR_S
        opens, closes = midnight + FROM_H * HOUR_S, midnight + TO_H * HOUR_S
        return (opens + DAY_S, closes + DAY_S) if closes <= now else (opens, closes)


class Crowd:
    """So many volunteers with 1.4 languages each, evenly in 24 zones, at home from 8 to 21 in most cases."""

    def __init__(self, count: int) -> None:
        self.count = count
        dice = random.Random(7)
        self._profiles = [_profile(dice, number) for number in range(PROFILES)]

    def records(self, first: int, end: int) -> Iterator[tuple[bytes, bytes]]:
        """Ids and packed records of people by number."""
        heads = [self._packed(number) for number in range(PROFILES)]
        dice = random.Random(first)
        chance, bits, turn = dice.random, dice.getrandbits, struct.Struct(">d").pack
        for number in range(first, end):
            head, tail = heads[number % PROFILES]
            asked = NOW - chance() * 90 * DAY_S if number & 1 else chance()
            yield _id(number, bits(64)), head + turn(asked) + tail

    def people(self, count: int) -> Iterator[Listing]:
        dice = random.Random(1)
        for number in range(count):
            yield self._listing(UUID(bytes=_id(number, dice.getrandbits(64))), NOW, dice.random() * NOW)

    def listing(self, person_id: UUID, now: float) -> Listing:
        """This person with the edges of their hours as of now."""
        return self._listing(person_id, now, 0.5)

    def _listing(self, person_id: UUID, now: float, asked: float) -> Listing:
        one = self._profiles[int.from_bytes(person_id.bytes[:8]) % PROFILES]
        opens, closes = one.edges(now)
        return Listing(person_id, one.languages, one.tier, opens, closes, 0.0, asked, one.newcomer)

    def _packed(self, number: int) -> tuple[bytes, bytes]:
        """Their record, without the turn in its middle."""
        one = self._profiles[number]
        opens, closes = one.edges(NOW)
        whole = pack(Listing(UUID(int=0), one.languages, one.tier, opens, closes, 0.0, inf, one.newcomer))
        return whole[:25], whole[33:]


def _id(number: int, chance: int) -> bytes:
    return number.to_bytes(8) + chance.to_bytes(8)


def _profile(dice: random.Random, number: int) -> Profile:
    [first] = dice.choices(list(LANGUAGES), list(LANGUAGES.values()))
    second = dice.choice([one for one in LANGUAGES if one != first])
    kind = dice.random()
    return Profile(
        languages=(first, second) if dice.random() < 0.4 else (first,),
        tier=Tier.HOT if kind < 0.01 else Tier.IDLE if kind < 0.06 else Tier.COLD,
        offset_h=number % 24 - 11,
        always=dice.random() < 0.04,
        newcomer=dice.random() < 0.6,
    )
