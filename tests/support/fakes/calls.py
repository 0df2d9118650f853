"""Calls made of defaults, for tests of pure rules."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from signaling.model import Call, CallState, End, Media, Picture
from tests.support.fakes.cases import CALL, NOON, REQUEST, REQUESTER, SESSION, person, seconds

VOLUNTEER = person(0)
VOLUNTEER_SESSION = UUID(int=2000)
RUNNING = Media("connected", sends_audio=True, sends_video=True, receives_audio=True, receives_video=True)
"""What a side says when all is well: it sends and receives everything."""


def call(state: CallState = CallState.CONNECTING, *, at: datetime = NOON, connecting_s: float = 15) -> Call:
    """A call accepted at `at`, in the given state since then."""
    connected = state in (CallState.CONNECTED, CallState.RECONNECTING)
    media = RUNNING if state is CallState.CONNECTED else Media()
    return Call(
        id=CALL,
        request_id=REQUEST,
        epoch=1,
        attempt=1,
        state=state,
        mode="video",
        language="en",
        created_at=at,
        connect_by=at + seconds(connecting_s),
        connected_at=at if connected else None,
        reconnecting_since=at if state is CallState.RECONNECTING else None,
        ended_at=None,
        end_reason=None,
        ended_by=None,
        requester=End(REQUESTER, SESSION, media, None, at),
        volunteer=End(VOLUNTEER, VOLUNTEER_SESSION, media, None, at),
        version=1,
        picture=Picture.OK if state is CallState.CONNECTED else None,
        picture_since=at if state is CallState.CONNECTED else None,
    )
