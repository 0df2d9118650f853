"""How often people answer, learned from requests that ended, and kept for all nodes."""

from __future__ import annotations

from datetime import datetime, timedelta

import asyncpg

from infra.postgres.queries import queries
from infra.postgres.rows import offer_of
from infra.postgres.transactions import retried
from matching.chances import AnswerDelay, Chances, Priors, Tally, tallies_of
from matching.model import Tier

SETTLED = timedelta(seconds=15)
"""What ended so long ago is committed: no transaction that ends a request takes longer."""
REQUESTS_AT_ONCE = 500

_SQL = queries("chances")


class PostgresChances:
    """Counts each ended request once, whichever node comes first."""

    def __init__(self, pool: asyncpg.Pool, delay: AnswerDelay, priors: Priors, half_life: timedelta) -> None:
        """`half_life`: what was learned so long ago counts half, for habits change."""
        self._pool = pool
        self._delay = delay
        self._priors = priors
        self._half_life = half_life

    async def load(self) -> Chances:
        """What is known now."""
        rows = await self._pool.fetch(_SQL["load"], self._half_life)
        tallies = {
            (Tier(row["tier"]), row["language"], row["hour"]): Tally(row["answers"], row["exposure"]) for row in rows
        }
        return Chances(tallies, self._priors)

    async def count(self, believed: Chances) -> bool:
        """Count in some of what ended since it was counted last; whether there is more.

        `believed`: the chances people were thought to have when they were asked.
        """
        return await retried(self._pool, lambda connection: self._count(connection, believed))

    async def _count(self, connection: asyncpg.Connection, believed: Chances) -> bool:
        done = await connection.fetchrow(_SQL["lock_done"])
        if done is None or done["now"] - SETTLED <= done["upto"]:
            return False
        latest: datetime = done["now"] - SETTLED
        upto = await connection.fetchval(_SQL["next_done"], done["upto"], latest, REQUESTS_AT_ONCE)
        offers = map(offer_of, await connection.fetch(_SQL["offers_between"], done["upto"], upto))
        found = sorted(tallies_of(offers, self._delay, believed).items())
        columns = (
            [group[0].value for group, _ in found],
            [group[1] for group, _ in found],
            [group[2] for group, _ in found],
            [tally.answers for _, tally in found],
            [tally.exposure for _, tally in found],
        )
        if found:
            await connection.execute(_SQL["add"], *columns, upto, self._half_life)
        await connection.execute(_SQL["done"], upto)
        more: bool = upto < latest
        return more
