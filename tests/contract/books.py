"""Every request book there is, with people and time around it: the one in memory, and the real one in Postgres."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol
from uuid import UUID, uuid4

import pytest

from infra.memory.clock import MovedClock
from infra.memory.request_book import MemoryRequestBook, Volunteer
from matching.model import Request, RequestState
from matching.ports import (
    NewRequest,
    RequestBook,
    WavePlan,
)
from matching.request_rules import Acceptance, Case, Change, Event, RequestLimits, accept, decline, look, step
from signaling.model import EndReason, Side
from tests.integration.postgres.world import World, open_world
from tests.support.engines import Engines

LIMITS = RequestLimits()
GROUP = "INSERT INTO groups (id, owner_id, name) VALUES ($1, $2, 'family') ON CONFLICT DO NOTHING"
DESK = """
INSERT INTO desks (id, name, languages, index_languages, time_zone) VALUES ($1, 'desk', '{en}', '{en}', 'UTC')
ON CONFLICT DO NOTHING
"""
Person = tuple[UUID, UUID]
"""Somebody and the session they are signed in with."""


class Subject(Protocol):
    """A book together with the people and the time around it."""

    @property
    def book(self) -> RequestBook: ...

    async def requester(self) -> Person: ...

    async def volunteer(self, *languages: str) -> Person:
        """Somebody ready."""

    async def pause(self, person_id: UUID) -> None: ...

    async def unready(self, person_id: UUID) -> None: ...

    async def closed(self, *languages: str) -> Person:
        """Somebody whose app is closed, with a phone in use, within their hours."""

    async def belong(self, group_id: UUID, *people: UUID, desk: bool = False) -> None:
        """They belong to this group, or answer for this desk; it is made if need be."""

    async def hang_up(self, request: Request, event: Event) -> Request:
        """Its call ends, with this for the request."""

    async def requester_seen(self, request: Request) -> None: ...

    async def pass_time(self, seconds: float) -> None:
        """Volunteers are seen again after it, requesters are not."""


class FakeSubject:
    def __init__(self) -> None:
        self._clock = MovedClock()
        self.book = MemoryRequestBook(self._clock, LIMITS)

    async def requester(self) -> Person:
        return uuid4(), uuid4()

    async def volunteer(self, *languages: str) -> Person:
        one = Volunteer(uuid4(), languages or ("en",))
        self.book.people[one.id] = one
        return one.id, uuid4()

    async def pause(self, person_id: UUID) -> None:
        self.book.people[person_id].paused = True

    async def unready(self, person_id: UUID) -> None:
        self.book.people[person_id].ready = False

    async def closed(self, *languages: str) -> Person:
        one = Volunteer(uuid4(), languages or ("en",), ready=False, device="in use")
        self.book.people[one.id] = one
        return one.id, uuid4()

    async def belong(self, group_id: UUID, *people: UUID, desk: bool = False) -> None:
        self.book.members.setdefault(group_id, set()).update(people)

    async def hang_up(self, request: Request, event: Event) -> Request:
        row = self.book.rows[request.id]
        row.request = step(row.request, event, self._clock.now, LIMITS)
        row.ended_at = self._clock.now if row.request.state is RequestState.ENDED else None
        for person_id in [p for p, held in self.book.busy.items() if held.request_id == request.id]:
            del self.book.busy[person_id]
        return row.request

    async def requester_seen(self, request: Request) -> None:
        self.book.rows[request.id].seen_at = self._clock.now

    async def pass_time(self, seconds: float) -> None:
        self._clock.advance(seconds)


class PostgresSubject:
    def __init__(self, world: World) -> None:
        self._world = world
        self._passed_s = 0.0
        self.book = world.book

    async def requester(self) -> Person:
        one = await self._world.requester()
        return one.id, one.session

    async def volunteer(self, *languages: str) -> Person:
        one = await self._world.volunteer(*languages)
        return one.id, one.session

    async def pause(self, person_id: UUID) -> None:
        await self._world.sql.execute("INSERT INTO availability (user_id, paused) VALUES ($1, true)", person_id)

    async def unready(self, person_id: UUID) -> None:
        await self._world.sql.execute("UPDATE sessions SET ready = false WHERE user_id = $1", person_id)

    async def closed(self, *languages: str) -> Person:
        one = await self._world.closed(*languages)
        return one.id, one.session

    async def belong(self, group_id: UUID, *people: UUID, desk: bool = False) -> None:
        owner = await self._world.requester()
        await self._world.sql.execute(*(DESK, group_id) if desk else (GROUP, group_id, owner.id))
        column = "desk_id" if desk else "group_id"
        join = f"INSERT INTO memberships ({column}, user_id) SELECT $1, * FROM unnest($2::uuid[])"
        await self._world.sql.execute(join, group_id, people)

    async def hang_up(self, request: Request, event: Event) -> Request:
        call = await self._world.call_of(request)
        if event is Event.CANCELLED:
            await self._world.end(call, EndReason.CANCELLED, Side.REQUESTER)
        else:
            await self._world.end(call, EndReason.NEVER_CONNECTED)
        return await self._world.now(request)

    async def requester_seen(self, request: Request) -> None:
        seen = "UPDATE sessions SET seen_at = eyeline_now() WHERE user_id = $1"
        await self._world.sql.execute(seen, request.requester_id)

    async def pass_time(self, seconds: float) -> None:
        self._passed_s += seconds
        await self._world.pass_time(self._passed_s)
        await self._world.sql.execute("UPDATE sessions SET seen_at = eyeline_now() WHERE ready")


@pytest.fixture(params=["fake", "postgres"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "fake":
        yield FakeSubject()
        return
    engines: Engines = request.getfixturevalue("engines")
    url = await engines.new_database()
    async with open_world(url) as world:
        yield PostgresSubject(world)
    await engines.drop_database(url)


def new(requester: Person, *languages: str, key: str | None = None, body: bytes = bytes(32)) -> NewRequest:
    tags = languages or ("en",)
    return NewRequest(*requester, tags, tags, topic=None, mode="video", idempotency_key=key, body_hash=body)


async def ask(subject: Subject, *languages: str) -> Request:
    return (await subject.book.open(new(await subject.requester(), *languages), LIMITS.deadline)).request


async def offer(subject: Subject, request: Request, *people: UUID, hungry: bool = False) -> tuple[UUID, ...] | None:
    """A wave for the request as it is given."""
    plan = WavePlan(request.id, request.epoch, request.wave, people, "en", LIMITS.offer, hungry)
    return await subject.book.commit_wave(plan)


async def rung(subject: Subject, count: int = 1) -> tuple[Request, list[Person]]:
    """A request and the people it rings at, in the order of their ids."""
    request = await ask(subject)
    people = sorted([await subject.volunteer() for _ in range(count)])
    assert await offer(subject, request, *(one for one, _ in people)) is not None
    return await current(subject, request), people


async def current(subject: Subject, request: Request) -> Request:
    found = await subject.book.get(request.id)
    assert found is not None
    return found


async def say_yes(subject: Subject, request: Request, who: Person) -> bool:
    """Whether the accept won."""

    def rule(case: Case, now: datetime) -> Change | None:
        return accept(case, Acceptance(*who, request.epoch), now, LIMITS)

    decided = await subject.book.decide(request.id, rule)
    return decided.change.winner is not None and not decided.refused_busy


async def say_no(subject: Subject, request: Request, who: UUID) -> None:
    await subject.book.decide(request.id, lambda case, _now: decline(case, who, request.epoch))


async def look_at(subject: Subject, request: Request) -> Request:
    return (await subject.book.decide(request.id, lambda case, now: look(case, now, LIMITS))).case.request
