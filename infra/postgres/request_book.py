"""Requests, offers and who is taken, in Postgres: implements `matching.ports.RequestBook`.

The request's row is locked first, always; its offers and the clock are read in later statements. A deadlock or a
serialisation failure rolls everything back and is tried again: rules are pure.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from infra.postgres.listings import may_be_woken
from infra.postgres.queries import queries
from infra.postgres.rows import case_of, offer_of, request_of, request_row
from infra.postgres.transactions import retried
from matching.availability import local_hour
from matching.languages import index_languages
from matching.model import Offer, OfferOutcome, Request, RequestState, Tier
from matching.ports import (
    Decided,
    Drawn,
    IdempotencyMismatch,
    LateYes,
    NewRequest,
    NotFound,
    Opened,
    OpenOffer,
    Practising,
    RequestOpen,
    Rule,
    WavePlan,
)
from matching.request_rules import Case, Change, Progress, RequestLimits, ignored_by, next_look

TRIES = 3
"""How often a request is put in the books while others of its requester end just then."""
IGNORED_MAX = 1000
"""More ignored offers in a row than this make no difference."""
DRAW_AMONG = 400
"""So many people whose turn it is are looked at when somebody's closed app is to be rung without the index."""
MIN_STEP = timedelta(milliseconds=50)
"""A look due this much sooner than written is not worth a commit of its own."""

_SQL = queries("requests")


@dataclass(frozen=True, slots=True)
class BookLimits:
    """Settings the book needs beside those of a request."""

    request: RequestLimits
    connecting: timedelta = timedelta(seconds=15)
    fresh: timedelta = timedelta(seconds=10)
    """A ready session counts as hot while it was seen within this time."""


class _TakenElsewhere(Exception):
    """The winner, or the requester, is in another call: roll back."""


class PostgresRequestBook:
    """One method, one transaction."""

    def __init__(self, pool: asyncpg.Pool, limits: BookLimits) -> None:
        self._pool = pool
        self._limits = limits

    async def now(self) -> datetime:
        moment: datetime = await self._pool.fetchval(_SQL["clock"])
        return moment

    async def get(self, request_id: UUID) -> Request | None:
        row = await self._pool.fetchrow(_SQL["get"], request_id)
        return request_of(row) if row else None

    async def current(self, requester_id: UUID) -> Request | None:
        row = await self._pool.fetchrow(_SQL["current"], requester_id)
        return request_of(row) if row else None

    # -- opening ------------------------------------------------------------------------------------------------------

    async def open(self, new: NewRequest, deadline: timedelta) -> Opened:
        try:
            opened = await self._open(new, deadline)
        except asyncpg.CheckViolationError as error:
            if error.constraint_name == "requests_not_practising":
                raise Practising from None
            raise
        await self._pool.execute(_SQL["no_practice"], new.requester_id)
        return opened

    async def _open(self, new: NewRequest, deadline: timedelta) -> Opened:
        async with self._pool.acquire() as connection, connection.transaction():
            if new.idempotency_key is not None:
                await connection.execute(_SQL["free_old_key"], new.requester_id, new.idempotency_key)
            for _ in range(TRIES):
                row = await self._insert(connection, new, deadline)
                if row is not None:
                    await connection.execute(_SQL["no_more_callbacks"], new.requester_id)
                    return Opened(request_of(row), created=True)
                if (opened := await self._already_open(connection, new)) is not None:
                    return opened
        raise ConnectionError("requests kept ending while another was being opened")

    async def opened_before(self, new: NewRequest) -> Opened | None:
        row = await self._pool.fetchrow(_SQL["by_fresh_key"], new.requester_id, new.idempotency_key)
        return _same_wish(row, new) if row is not None else None

    async def _insert(
        self, connection: asyncpg.Connection, new: NewRequest, deadline: timedelta
    ) -> asyncpg.Record | None:
        return await connection.fetchrow(
            _SQL["insert"],
            new.requester_id,
            new.session_id,
            list(new.languages),
            list(new.index_languages),
            new.topic,
            new.mode,
            new.idempotency_key,
            new.body_hash,
            deadline,
            new.group_id,
            new.desk_id,
            new.public_after,
            new.same_as_call_id,
            new.first_person,
        )

    async def _already_open(self, connection: asyncpg.Connection, new: NewRequest) -> Opened | None:
        """The insert met the same key or a request that has not ended; say which. None: that one has ended since."""
        if new.idempotency_key is not None:
            row = await connection.fetchrow(_SQL["by_key"], new.requester_id, new.idempotency_key)
            if row is not None:
                return _same_wish(row, new)
        row = await connection.fetchrow(_SQL["current"], new.requester_id)
        if row is None:
            return None
        raise RequestOpen(request_of(row))

    # -- deciding -----------------------------------------------------------------------------------------------------

    async def decide(self, request_id: UUID, rule: Rule) -> Decided:
        try:
            decided = await retried(self._pool, lambda connection: self._decide(connection, request_id, rule))
        except _TakenElsewhere:
            case, now, _due = await retried(self._pool, lambda connection: self._load(connection, request_id))
            return Decided(case, Change(case.request), now, refused_busy=True)
        if decided.change.winner is not None:
            await self._pool.execute(_SQL["no_practice"], decided.change.winner.person_id)
        return decided

    async def _load(self, connection: asyncpg.Connection, request_id: UUID) -> tuple[Case, datetime, datetime | None]:
        row = await connection.fetchrow(_SQL["lock"], request_id)
        if row is None:
            raise NotFound
        rows = await connection.fetch(_SQL["offers_and_facts"], request_id, row["epoch"], row["requester_id"])
        return case_of(row, rows), rows[0]["now"], row["next_look_at"]

    async def _decide(self, connection: asyncpg.Connection, request_id: UUID, rule: Rule) -> Decided:
        case, now, due = await self._load(connection, request_id)
        change = rule(case, now)
        if change is None:
            return Decided(case, Change(case.request), now)
        rest_until = await self._end_offers(connection, case, change, now) if change.ended else {}
        if change.winner is not None:
            call_id = await self._begin_call(connection, change, now)
            change = replace(change, request=replace(change.request, call_id=call_id))
        after = case.after(change)
        ended = after.request.state is RequestState.ENDED
        look_at = now + timedelta(seconds=1) if ended else next_look(after, now, self._limits.request, change.look_by)
        await self._write_request(connection, case, after, now, due, look_at)
        return Decided(after, change, now, rest_until=rest_until)

    async def _write_request(
        self,
        connection: asyncpg.Connection,
        before: Case,
        after: Case,
        now: datetime,
        due: datetime | None,
        look_at: datetime,
    ) -> None:
        request = after.request
        if before.request.state is RequestState.ENDED:
            return  # and a request that was laid to rest is not woken by a late look
        changed = request != before.request or after.hungry != before.hungry
        sooner = due is None or look_at < due - MIN_STEP
        if not changed and not sooner:
            return
        await connection.execute(_SQL["write"], *request_row(request, now, hungry=after.hungry, look_at=look_at))

    async def _end_offers(
        self, connection: asyncpg.Connection, case: Case, change: Change, now: datetime
    ) -> dict[UUID, datetime]:
        """End offers and free those asked; in id order, before the call takes its two, so that nobody deadlocks."""
        over = change.ended
        people = [offer.person_id for offer in over]
        await connection.fetch(_SQL["lock_busy"], case.request.id, [*people, case.request.requester_id])
        await connection.execute(
            _SQL["end_offers"],
            case.request.id,
            people,
            [offer.outcome for offer in over],
            [offer.reason for offer in over],
            [offer.session_id for offer in over],
            now,
        )
        kept = change.winner.person_id if change.winner else None
        await connection.execute(_SQL["free_offered"], case.request.id, [p for p in people if p != kept])
        if change.winner is not None:
            await connection.execute(_SQL["not_ignored"], change.winner.person_id)
        return await self._leave_alone(connection, over, now)

    async def _leave_alone(
        self, connection: asyncpg.Connection, over: Collection[Offer], now: datetime
    ) -> dict[UUID, datetime]:
        """Leave those in peace who did not come, the longer the more often they ignored it; until when."""
        idle = {o.person_id: o for o in over if o.outcome in (OfferOutcome.DECLINED, OfferOutcome.EXPIRED)}
        if not idle:
            return {}
        counts: dict[UUID, int] = {}
        for row in await connection.fetch(_SQL["lock_people"], list(idle)):
            offer = idle[row["id"]]
            if ignored_by(offer):
                counts[offer.person_id] = min(row["ignored"] + 1, IGNORED_MAX)
            else:
                counts[offer.person_id] = 0 if offer.outcome is OfferOutcome.DECLINED else row["ignored"]
        cooldown = self._limits.request.cooldown
        until = {
            person: now + cooldown.after(count if ignored_by(idle[person]) else 0) for person, count in counts.items()
        }
        await connection.execute(_SQL["leave_alone"], list(until), list(until.values()), list(counts.values()))
        return until

    async def _begin_call(self, connection: asyncpg.Connection, change: Change, now: datetime) -> UUID:
        request, winner = change.request, change.winner
        assert winner is not None
        pair = [request.requester_id, winner.person_id]
        if len(await connection.fetch(_SQL["take_for_call"], request.id, pair)) < len(pair):
            raise _TakenElsewhere
        call_id: UUID = await connection.fetchval(
            _SQL["insert_call"],
            request.id,
            request.epoch,
            request.mode,
            winner.language,
            request.requester_id,
            request.session_id,
            winner.person_id,
            winner.session_id,
            now,
            now + self._limits.connecting,
            request.group_id if request.is_private(winner.offered_at) else None,
        )
        return call_id

    # -- asking -------------------------------------------------------------------------------------------------------

    async def commit_wave(self, plan: WavePlan) -> tuple[UUID, ...] | None:
        return await retried(self._pool, lambda connection: self._commit_wave(connection, plan))

    async def _commit_wave(self, connection: asyncpg.Connection, plan: WavePlan) -> tuple[UUID, ...] | None:
        row = await connection.fetchrow(_SQL["lock"], plan.request_id)
        planned_for = (RequestState.WAITING, plan.epoch, plan.wave)
        if row is None or (row["state"], row["epoch"], row["wave"]) != planned_for:
            return None
        now: datetime = await connection.fetchval(_SQL["clock"])
        if now >= row["deadline"]:
            return None
        hours = {row["user_id"]: row for row in await connection.fetch(_SQL["hours"], list(plan.people))}
        taken = await connection.fetch(
            _SQL["wave"],
            plan.request_id,
            list(plan.people),
            row["requester_id"],
            plan.epoch,
            plan.wave + 1,
            plan.language,
            now,
            min(now + plan.offer, row["deadline"]),
            self._limits.fresh,
            [person for person, known in hours.items() if may_be_woken(known, now)],
            self._limits.request.delivery,
            plan.urgent,
            [local_hour(hours[person]["time_zone"], now) if person in hours else None for person in plan.people],
        )
        people = tuple(record["person_id"] for record in taken)
        if people:
            hungry = plan.hungry or len(people) < len(plan.people)
            await connection.execute(_SQL["count_wave"], plan.request_id, len(people), hungry)
            await self._count_rings(connection, [r["person_id"] for r in taken if r["tier"] != Tier.HOT], now)
        return people

    async def _count_rings(self, connection: asyncpg.Connection, people: Collection[UUID], now: datetime) -> None:
        """Rings of a closed app count towards the week's cap."""
        if not people:
            return
        rows = await connection.fetch(_SQL["lock_people"], list(people))
        weeks = [self._limits.request.weekly.counted(row["week_began"], row["week_rings"], now) for row in rows]
        columns = ([week.began for week in weeks], [week.rings for week in weeks], [week.full_until for week in weeks])
        await connection.execute(_SQL["rung_this_week"], [row["id"] for row in rows], *columns)

    async def due(self, limit: int) -> list[UUID]:
        return [row["id"] for row in await self._pool.fetch(_SQL["due"], limit)]

    async def exclusions(self, request_id: UUID) -> frozenset[UUID]:
        return frozenset(row["person_id"] for row in await self._pool.fetch(_SQL["exclusions"], request_id))

    async def let_expire(self, request_id: UUID) -> frozenset[UUID]:
        return frozenset(row["person_id"] for row in await self._pool.fetch(_SQL["let_expire"], request_id))

    async def older_hungry(self, request: Request, language: str, limit: int) -> list[UUID]:
        there = self._limits.request.unseen_not_asked
        rows = await self._pool.fetch(_SQL["older_hungry"], request.created_at, request.id, language, there, limit)
        return [row["id"] for row in rows]

    async def older_at_desk(self, request: Request, limit: int) -> list[UUID]:
        if request.desk_id is None:
            return []
        there = self._limits.request.unseen_not_asked
        place = (request.created_at, request.id)
        return [
            row["id"] for row in await self._pool.fetch(_SQL["older_at_desk"], *place, request.desk_id, there, limit)
        ]

    async def oldest_waiting_for(self, person_id: UUID) -> UUID | None:
        there = self._limits.request.unseen_not_asked
        found: UUID | None = await self._pool.fetchval(_SQL["oldest_waiting_for"], person_id, there)
        return found

    async def draw_ready(self, *, language: str, count: int, excluded: Collection[UUID]) -> list[UUID]:
        rows = await self._pool.fetch(_SQL["draw_ready"], language, list(excluded), count, self._limits.fresh)
        return [row["id"] for row in rows]

    async def draw_closed(self, *, language: str, count: int, excluded: Collection[UUID]) -> list[UUID]:
        among = max(DRAW_AMONG, 4 * count)
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
            rows = await connection.fetch(_SQL["draw_closed"], language, list(excluded), among, self._limits.fresh)
        now = await self.now()
        return [row["id"] for row in rows if may_be_woken(row, now)][:count]

    async def draw_private(self, request: Request, *, count: int, excluded: Collection[UUID]) -> list[Drawn]:
        languages = list(index_languages(request.languages))
        args = (request.group_id, request.desk_id, languages, list(excluded), self._limits.fresh)
        rows = await self._pool.fetch(_SQL["draw_private"], *args)
        now = await self.now()
        may = [row for row in rows if row["tier"] == Tier.HOT or may_be_woken(row, now)]
        return [Drawn(row["id"], tuple(row["index_languages"])) for row in may[:count]]

    async def spoken(self, person_id: UUID) -> tuple[str, ...]:
        return tuple(await self._pool.fetchval(_SQL["spoken"], person_id) or ())

    # -- a yes that came second, and nobody's yes ---------------------------------------------------------------------

    async def draw_standby(self, request_id: UUID) -> list[Drawn]:
        rows = await self._pool.fetch(_SQL["draw_standby"], request_id)
        return [Drawn(row["id"], tuple(row["index_languages"])) for row in rows]

    async def stand_by(self, request_id: UUID, person_id: UUID, epoch: int, late: LateYes) -> datetime | None:
        async def write(connection: asyncpg.Connection) -> datetime | None:
            await connection.execute(_SQL["lock"], request_id)
            until: datetime | None = await connection.fetchval(
                _SQL["stand_by"], request_id, person_id, epoch, late.standby
            )
            await connection.execute(_SQL["keep_hot"], request_id, person_id, epoch, late.hot)
            return until

        return await retried(self._pool, write)

    async def set_callback(self, request_id: UUID, life: timedelta) -> None:
        await self._pool.execute(_SQL["set_callback"], request_id, life)

    async def drop_callback(self, request_id: UUID) -> None:
        await self._pool.execute(_SQL["drop_callback"], request_id)

    async def languages_to_call_back(self) -> list[str]:
        return [row["language"] for row in await self._pool.fetch(_SQL["languages_to_call_back"])]

    async def call_back(self, person_id: UUID, reserved: timedelta) -> UUID | None:
        async def fire(connection: asyncpg.Connection) -> UUID | None:
            request_id = await connection.fetchval(_SQL["free_for_callback"], person_id, self._limits.fresh)
            if request_id is None:
                return None
            if await connection.fetchval(_SQL["reserve_for_callback"], person_id, reserved) is None:
                return None
            fired: UUID | None = await connection.fetchval(_SQL["fire_callback"], request_id, reserved)
            return fired

        if not await self._pool.fetchval(_SQL["any_callbacks"]):
            return None
        return await retried(self._pool, fire)

    # -- offers -------------------------------------------------------------------------------------------------------

    async def offer_for(self, request_id: UUID, person_id: UUID, epoch: int) -> Offer | None:
        row = await self._pool.fetchrow(_SQL["offer_for"], request_id, person_id, epoch)
        return offer_of(row) if row else None

    async def open_offers(self, person_id: UUID) -> list[OpenOffer]:
        rows = await self._pool.fetch(_SQL["open_offers"], person_id)
        return [OpenOffer(offer_of(row), row["topic"], row["mode"], row["waiting_since"]) for row in rows]

    async def note_delivered(self, person_id: UUID, offers: Collection[tuple[UUID, int]]) -> None:
        requests, epochs = [pair[0] for pair in offers], [pair[1] for pair in offers]
        await self._pool.execute(_SQL["note_delivered"], person_id, requests, epochs)

    async def note_progress(self, request_id: UUID, progress: Progress) -> None:
        await self._pool.execute(_SQL["note_progress"], request_id, progress.note, progress.asked, progress.at)

    async def avoid(self, person_id: UUID, other_id: UUID) -> None:
        await self._pool.execute(_SQL["avoid"], person_id, other_id)

    async def look_at_all(self) -> None:
        """Make every waiting request due now: the index was lost, or people came back to it."""
        await self._pool.execute(_SQL["look_now"])


def _same_wish(row: asyncpg.Record, new: NewRequest) -> Opened:
    """The request under the key of this wish, if it was the same wish."""
    if row["body_hash"] != new.body_hash:
        raise IdempotencyMismatch
    return Opened(request_of(row), created=False)
