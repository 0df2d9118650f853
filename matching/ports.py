"""What matching needs from the world, owned here and implemented in `infra/` (and by fakes in tests)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from matching.model import Listing, Tier


class IndexUnavailable(Exception):
    """The volunteer index cannot answer now: unreachable, wiped, or not yet rebuilt. Draw from Postgres instead."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What one pass over the index's clocks moved."""

    woken: tuple[UUID, ...]
    """Moved to ready: may be asked from now on."""
    stale: tuple[UUID, ...]
    """Their window ended or their next edges are unknown: compute new edges and `put` them again."""


class VolunteerIndex(Protocol):
    """Who may be asked next, by language and tier, in fair turn (lowest `last_asked_at` first).

    All moments are Unix seconds of the database's clock. Every method raises `IndexUnavailable` when the index cannot
    answer within its deadline; `draw`, `sweep` and `counts` also while it is still being rebuilt after a wipe.
    """

    async def put(self, listings: Sequence[Listing], now: float) -> None:
        """Insert or replace people: into ready if they may be asked at `now`, else into wake at the moment they may."""

    async def remove(self, people: Collection[UUID]) -> None:
        """Forget people entirely (suspended, erased, no longer reachable)."""

    async def draw(
        self, *, language: str, tier: Tier, count: int, excluded: Collection[UUID], now: float, lease_until: float
    ) -> list[UUID]:
        """Take up to `count` people out of all their ready sets into wake, to return at `lease_until` unless confirmed."""

    async def confirm(self, people: Collection[UUID], *, asked_at: float, until: float) -> None:
        """They were asked: remember `asked_at` as their turn and keep them away until `until`."""

    async def release(self, people: Collection[UUID], *, at: float, now: float) -> None:
        """They may be asked again from `at` (at once if `at <= now`): lease given back, declined, or call over.

        Unknown people are ignored. Their turn (`last_asked_at`) stays as it is.
        """

    async def hold(self, people: Collection[UUID], until: float) -> None:
        """Keep them away until `until` (unix seconds, `inf` for a call that has no end yet) without touching their turn."""

    async def sweep(self, now: float, limit: int) -> Swept:
        """Move up to `limit` people whose moment has come from wake to ready, and find those whose window has ended."""

    async def counts(self) -> dict[tuple[str, Tier], int]:
        """People who may be asked now, by language and tier."""
