"""Who may still wait for a practice call."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest

from server.api.practice import PracticeApi
from server.auth import Caller
from server.errors import ApiError
from server.practice import MOST_WAITING, Practice
from server.routing import Exchange

ADA = Caller(UUID(int=1), UUID(int=2), "phone", "requester", "active", (), ("en",), "UTC", None, datetime.now(UTC))


class Queue:
    """As many wait as may; the caller perhaps among them. No phone is free."""

    def __init__(self, place: int) -> None:
        self._place = place

    async def place(self, person_id: UUID) -> int:
        return self._place

    async def waiting(self) -> int:
        return MOST_WAITING

    async def ask(self, *asker: object) -> bool:
        return True

    async def live_of_person(self, person_id: UUID) -> None:
        return None

    async def begin(self, *terms: object) -> None:
        return None


def api(place: int) -> PracticeApi:
    nobody = cast(Any, None)
    queue = cast(Any, Queue(place))
    return PracticeApi(Practice(queue, nobody, nobody, nobody, nobody, nobody, (), at_once=3))


def exchange() -> Exchange[None]:
    return Exchange(None, {}, {}, "", ADA)


async def test_a_full_queue_says_when_to_come_again() -> None:
    with pytest.raises(ApiError) as refused:
        await api(place=0).ask(exchange())
    assert (refused.value.status, refused.value.code, refused.value.retryable) == (503, "unavailable", True)
    assert refused.value.retry_after_s == 30


async def test_who_waits_in_it_keeps_their_place() -> None:
    reply = await api(place=4).ask(exchange())
    assert (reply.status, cast(Any, reply.body).position) == (202, 4)
