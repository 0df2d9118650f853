"""Which devices are to be rung, and which rings are to be replaced: implements `matching.waking.WakeBook`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import msgspec

from infra.postgres.queries import queries
from infra.postgres.transactions import retried
from matching.model import OfferOutcome, Tier, WithdrawReason
from matching.waking import (
    QUIET_LIFE,
    DueWake,
    PushOutcome,
    PushResult,
    PushTarget,
    Wake,
    WakeReport,
    WakeType,
)

_SQL = queries("wakes")


class PostgresWakes:
    """One method, one transaction."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def claim(self, request_id: UUID, lease: timedelta) -> list[DueWake]:
        return await retried(self._pool, lambda connection: self._claim(connection, request_id, lease))

    async def _claim(self, connection: asyncpg.Connection, request_id: UUID, lease: timedelta) -> list[DueWake]:
        now = await connection.fetchval(_SQL["lock"], request_id)
        if now is None:
            return []
        rings = await self._claim_rings(connection, request_id, lease, now)
        quiets = await self._claim_quiets(connection, request_id, lease, now)
        return rings + quiets + await self._claim_callback(connection, request_id, lease, now)

    async def _claim_rings(
        self, connection: asyncpg.Connection, request_id: UUID, lease: timedelta, now: datetime
    ) -> list[DueWake]:
        offers = await connection.fetch(_SQL["claim_rings"], request_id, lease)
        if not offers:
            return []
        rows = await connection.fetch(_SQL["targets_of_people"], list({offer["person_id"] for offer in offers}))
        values = _by_person(rows)
        due = [_due_ring(request_id, offer, values.get(offer["person_id"], []), now) for offer in offers]
        marks = [(one.person_id, one.wake.epoch, one.wave, target.id) for one in due for target in one.targets]
        await connection.execute(_SQL["may_have_rung"], request_id, *_columns(marks, 4))
        return due

    async def _claim_quiets(
        self, connection: asyncpg.Connection, request_id: UUID, lease: timedelta, now: datetime
    ) -> list[DueWake]:
        await connection.execute(_SQL["replaced_by_a_later_ring"], request_id)
        offers = await connection.fetch(_SQL["claim_quiets"], request_id, lease)
        if not offers:
            return []
        where = [(value, offer["person_id"], offer["session_id"]) for offer in offers for value in offer["rung"]]
        values = _by_person(await connection.fetch(_SQL["targets_rung"], *_columns(where, 3)))
        return [_due_quiet(request_id, offer, values.get(offer["person_id"], []), now) for offer in offers]

    async def _claim_callback(
        self, connection: asyncpg.Connection, request_id: UUID, lease: timedelta, now: datetime
    ) -> list[DueWake]:
        row = await connection.fetchrow(_SQL["claim_callback"], request_id, lease)
        if row is None:
            return []
        values = await connection.fetch(_SQL["targets_of_people"], [row["person_id"]])
        targets = tuple(_target(value) for value in values if _is_among(value["id"], row["push_again"]))
        wake = Wake(WakeType.SOMEONE_FREE, request_id, row["epoch"], row["language"], now, row["until"])
        return [DueWake(wake, row["person_id"], 0, row["tries"], targets, frozenset(), reached=False)]

    async def report(self, request_id: UUID, reports: Sequence[WakeReport]) -> bool:
        return await retried(self._pool, lambda connection: self._report(connection, request_id, reports))

    async def _report(self, connection: asyncpg.Connection, request_id: UUID, reports: Sequence[WakeReport]) -> bool:
        await connection.execute(_SQL["lock"], request_id)
        rings = [_row(one) for one in reports if one.due.wake.type is WakeType.RING]
        quiets = [_row(one) for one in reports if one.due.wake.type in (WakeType.WITHDRAW, WakeType.MISSED)]
        for one in reports:
            if one.due.wake.type is WakeType.SOMEONE_FREE:
                again = sorted(one.again) if one.again_at is not None else None
                await connection.execute(_SQL["report_callback"], request_id, one.due.tries, one.again_at, again)
        if quiets:
            await connection.execute(_SQL["report_quiets"], request_id, quiets)
        rows = await connection.fetch(_SQL["report_rings"], request_id, rings) if rings else []
        return any(row["unknown_to_them"] for row in rows)

    async def settle(self, outcomes: Mapping[UUID, PushOutcome], sent_at: datetime) -> list[UUID]:
        concerned: list[UUID] = []
        for value, outcome in outcomes.items():
            if outcome.result in _ENDS:
                person = await self._pool.fetchval(_SQL[_ENDS[outcome.result]], value, sent_at)
                concerned += [person] if person is not None else []
            elif outcome.result is PushResult.THROTTLED and outcome.retry_after is not None:
                await self._pool.execute(_SQL["rest_value"], value, outcome.retry_after)
        return concerned


_ENDS = {PushResult.UNREGISTERED: "forget_value", PushResult.QUARANTINED: "quarantine_value"}


def _due_ring(request_id: UUID, offer: asyncpg.Record, values: list[asyncpg.Record], now: datetime) -> DueWake:
    idle_too = not offer["urgent"] or offer["tier"] == Tier.HOT
    wanted = [row for row in values if (idle_too or row["in_use"]) and _is_among(row["id"], offer["push_again"])]
    wake = Wake(WakeType.RING, request_id, offer["epoch"], offer["language"], now, offer["expires_at"])
    return _due(offer, wake, wanted, reached=offer["reached"])


def _due_quiet(request_id: UUID, offer: asyncpg.Record, values: list[asyncpg.Record], now: datetime) -> DueWake:
    expired = offer["outcome"] == OfferOutcome.EXPIRED
    rung = [row for row in values if row["id"] in offer["rung"] and _is_among(row["id"], offer["push_again"])]
    if offer["outcome"] == OfferOutcome.DECLINED and len(offer["rung"]) == 1:
        rung = []  # the phone they said it on
    wake = Wake(
        WakeType.MISSED if expired else WakeType.WITHDRAW,
        request_id,
        offer["epoch"],
        offer["language"],
        now,
        offer["ended_at"] + QUIET_LIFE,
        None if expired else WithdrawReason(offer["reason"]),
    )
    return _due(offer, wake, rung, reached=False)


def _due(offer: asyncpg.Record, wake: Wake, values: Iterable[asyncpg.Record], *, reached: bool) -> DueWake:
    return DueWake(
        wake=wake,
        person_id=offer["person_id"],
        wave=offer["wave"],
        tries=offer["tries"],
        targets=tuple(map(_target, values)),
        rung_before=frozenset(offer["rung"]),
        reached=reached,
    )


def _target(row: asyncpg.Record) -> PushTarget:
    return PushTarget(
        row["id"], row["kind"], row["value"], row["keys"], platform=row["platform"], languages=tuple(row["languages"])
    )


def _is_among(value: UUID, chosen: Sequence[UUID] | None) -> bool:
    return chosen is None or value in chosen


def _by_person(rows: Iterable[asyncpg.Record]) -> dict[UUID, list[asyncpg.Record]]:
    found: dict[UUID, list[asyncpg.Record]] = {}
    for row in rows:
        found.setdefault(row["user_id"], []).append(row)
    return found


def _columns(rows: Sequence[tuple[object, ...]], count: int) -> list[list[object]]:
    return [[row[at] for row in rows] for at in range(count)]


def _row(one: WakeReport) -> object:
    return msgspec.to_builtins(
        {
            "person_id": one.due.person_id,
            "epoch": one.due.wake.epoch,
            "wave": one.due.wave,
            "tries": one.due.tries,
            "not_taken": sorted(one.not_taken),
            "again": sorted(one.again),
            "again_at": one.again_at,
            "reached": one.reached or not one.due.targets,
        }
    )
