"""Rows of Postgres as the values of `matching` and `signaling`, and back."""

from __future__ import annotations

from datetime import datetime

import asyncpg
import msgspec

from matching.availability import local_hour
from matching.model import Offer, OfferOutcome, Outcome, Request, RequestState, Tier, WithdrawReason
from matching.request_rules import Case, Progress
from signaling.model import Call, CallState, End, EndReason, Media, Picture, Side


def request_of(row: asyncpg.Record) -> Request:
    """A row of `requests`."""
    return Request(
        id=row["id"],
        requester_id=row["requester_id"],
        session_id=row["session_id"],
        state=RequestState(row["state"]),
        outcome=Outcome(row["outcome"]) if row["outcome"] else None,
        languages=tuple(row["languages"]),
        topic=row["topic"],
        mode=row["mode"],
        created_at=row["created_at"],
        waiting_since=row["waiting_since"],
        deadline=row["deadline"],
        epoch=row["epoch"],
        returns=row["returns"],
        wave=row["wave"],
        asked=row["asked"],
        call_id=row["call_id"],
        version=row["version"],
        group_id=row["group_id"],
        desk_id=row["desk_id"],
        public_at=row["public_at"],
        first_person=row["first_person"],
        first_until=row["first_until"],
    )


def request_row(request: Request, now: datetime, *, hungry: bool, look_at: datetime) -> tuple[object, ...]:
    """What `requests.sql` `write` takes: all that changes in a request's life."""
    return (
        request.id,
        request.state,
        request.outcome,
        request.epoch,
        request.returns,
        request.waiting_since,
        request.deadline,
        request.call_id,
        request.version,
        hungry,
        look_at,
        now if request.state is RequestState.ENDED else None,
    )


def offer_of(row: asyncpg.Record) -> Offer:
    """A row of `offers`."""
    return Offer(
        request_id=row["request_id"],
        person_id=row["person_id"],
        epoch=row["epoch"],
        wave=row["wave"],
        language=row["language"],
        offered_at=row["offered_at"],
        expires_at=row["expires_at"],
        outcome=OfferOutcome(row["outcome"]) if row["outcome"] else None,
        reason=WithdrawReason(row["reason"]) if row["reason"] else None,
        session_id=row["session_id"],
        told_at=row["told_at"],
        delivered_at=row["delivered_at"],
        tier=Tier(row["tier"]),
        ring_at=_ring_at(row),
        rung=bool(row["rung"]),
        ring_failed_at=row["ring_failed_at"],
        barred=row.get("barred", False),
        ended_at=row["ended_at"],
        local_hour=row["local_hour"],
    )


def _ring_at(row: asyncpg.Record) -> datetime | None:
    """Due, but not before whoever has it in hand is done."""
    due: datetime | None = row["ring_due_at"]
    claimed: datetime | None = row["ring_claimed_until"]
    return due if due is None or claimed is None else max(due, claimed)


def case_of(row: asyncpg.Record, offers_and_facts: list[asyncpg.Record]) -> Case:
    """A locked row of `requests` with its offers; one without any live session was last seen when they asked."""
    facts = offers_and_facts[0]
    progress = None
    if row["progress_at"] is not None:
        progress = Progress(row["progress_note"], row["progress_asked"], row["progress_at"])
    return Case(
        request=request_of(row),
        offers=tuple(offer_of(row) for row in offers_and_facts if row["person_id"] is not None),
        requester_seen_at=facts["requester_seen_at"] or row["created_at"],
        watched_since=facts["watched_since"],
        requester_suspended=facts["requester_suspended"],
        hungry=row["hungry"],
        progress=progress,
        local_hour=local_hour(facts["time_zone"], facts["now"]),
    )


def call_of(row: asyncpg.Record) -> Call:
    """A row of `calls` joined with its sessions' `seen_at`."""

    def end_of(side: Side) -> End:
        return End(
            person_id=row[f"{side}_id"],
            session_id=row[f"{side}_session"],
            media=msgspec.convert(row[f"{side}_media"], Media),
            away_since=row[f"{side}_away_since"],
            seen_at=row[f"{side}_seen_at"],
            owner_epoch=row[f"{side}_owner_epoch"],
            suspended=row[f"{side}_suspended"],
        )

    return Call(
        id=row["id"],
        request_id=row["request_id"],
        epoch=row["epoch"],
        attempt=row["attempt"],
        state=CallState(row["state"]),
        mode=row["mode"],
        language=row["language"],
        created_at=row["created_at"],
        connect_by=row["connect_by"],
        connected_at=row["connected_at"],
        reconnecting_since=row["reconnecting_since"],
        ended_at=row["ended_at"],
        end_reason=EndReason(row["end_reason"]) if row["end_reason"] else None,
        ended_by=Side(row["ended_by"]) if row["ended_by"] else None,
        requester=end_of(Side.REQUESTER),
        volunteer=end_of(Side.VOLUNTEER),
        version=row["version"],
        picture=Picture(row["picture"]) if row["picture"] else None,
        picture_since=row["picture_since"],
        direct=row["direct"],
        watched_since=row["watched_since"],
    )


def media_row(media: Media) -> object:
    """`Media` as the jsonb the column holds."""
    return msgspec.to_builtins(media)
