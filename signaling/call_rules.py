"""The life of a call as a table of transitions, and the rules that move it. Pure: time comes in, a new call comes out.

An illegal event raises `IllegalTransition` and changes nothing; an ended call absorbs every event unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from signaling.model import Call, CallState, EndReason, Media, Practice, Side


class Event(StrEnum):
    """What can happen to a call."""

    MEDIA_UP = "media_up"
    MEDIA_DOWN = "media_down"
    REBUILT = "rebuilt"
    ENDED = "ended"


_CONNECTING, _CONNECTED = CallState.CONNECTING, CallState.CONNECTED
_RECONNECTING, _ENDED = CallState.RECONNECTING, CallState.ENDED

TRANSITIONS: Mapping[tuple[CallState, Event], CallState] = MappingProxyType(
    {
        (_CONNECTING, Event.MEDIA_UP): _CONNECTED,
        (_CONNECTING, Event.MEDIA_DOWN): _CONNECTING,
        (_CONNECTING, Event.REBUILT): _CONNECTING,
        (_CONNECTING, Event.ENDED): _ENDED,
        (_CONNECTED, Event.MEDIA_UP): _CONNECTED,
        (_CONNECTED, Event.MEDIA_DOWN): _RECONNECTING,
        (_CONNECTED, Event.REBUILT): _RECONNECTING,
        (_CONNECTED, Event.ENDED): _ENDED,
        (_RECONNECTING, Event.MEDIA_UP): _CONNECTED,
        (_RECONNECTING, Event.MEDIA_DOWN): _RECONNECTING,
        (_RECONNECTING, Event.REBUILT): _RECONNECTING,
        (_RECONNECTING, Event.ENDED): _ENDED,
    }
)


class IllegalTransition(Exception):
    """An event that cannot happen in this state: a defect of ours, never of a client."""

    def __init__(self, state: CallState, event: Event) -> None:
        super().__init__(f"{event} cannot happen to a call that is {state}")


class StaleAttempt(Exception):
    """The client spoke of a peer connection that is not (or not yet) the present one."""


@dataclass(frozen=True, slots=True)
class CallLimits:
    """How long a call may take to connect, and stay broken; settings of the deployment."""

    connecting: timedelta = timedelta(seconds=15)
    grace: timedelta = timedelta(seconds=30)
    unseen_slack: timedelta = timedelta(seconds=15)
    """Sessions in a call are written down as seen only so often; absence is judged with this much patience added."""
    away_with_media: timedelta = timedelta(seconds=60)
    """How long a socket may be gone while media still runs."""


def _step(call: Call, event: Event, now: datetime) -> Call:
    try:
        state = TRANSITIONS[call.state, event]
    except KeyError:
        raise IllegalTransition(call.state, event) from None
    broke = state is _RECONNECTING
    return replace(
        call,
        state=state,
        connected_at=call.connected_at or (now if state is _CONNECTED else None),
        reconnecting_since=(call.reconnecting_since or now) if broke else None,
        version=call.version + (state is not call.state),
    )


def _with_end(call: Call, side: Side, **changes: object) -> Call:
    end = replace(call.end(side), **changes)  # type: ignore[arg-type]
    return replace(call, requester=end) if side is Side.REQUESTER else replace(call, volunteer=end)


def media_runs(one: Media, other: Media) -> bool:
    """Both connected, and each receives what the other says it sends (the contract's "Connected")."""

    def hears(receiver: Media, sender: Media) -> bool:
        audio = receiver.receives_audio or not sender.sends_audio or sender.paused is not None
        video = receiver.receives_video or not sender.sends_video or sender.paused is not None
        return audio and video

    return one.state == other.state == "connected" and hears(one, other) and hears(other, one)


def media(call: Call, side: Side, report: Media, now: datetime) -> Call:
    """A side reports its peer connection; the call follows what both reports say together.

    Once connected, only a side that reports its connection broken breaks the call: a track that stops is a matter of
    quality, told to people, not of the call's state.
    """
    if call.state is _ENDED:
        return call
    reported = _with_end(call, side, media=report)
    if media_runs(reported.requester.media, reported.volunteer.media):
        return _step(reported, Event.MEDIA_UP, now)
    connected = all(reported.end(s).media.state == "connected" for s in Side)
    if reported.state is _CONNECTED and connected:
        return reported
    return _step(reported, Event.MEDIA_DOWN, now)


def end(call: Call, reason: EndReason, by: Side | None, now: datetime) -> Call:
    """End it, once: a second end, whoever sends it, finds the first one's reason."""
    if call.state is _ENDED:
        return call
    if reason is EndReason.CANCELLED and call.connected_at is not None:
        reason = EndReason.DONE
    return replace(_step(call, Event.ENDED, now), ended_at=now, end_reason=reason, ended_by=by)


def _rebuild(call: Call, now: datetime, limits: CallLimits) -> Call:
    """Both sides build a new peer connection: next attempt, nothing reported yet, time to connect."""
    fresh = _step(call, Event.REBUILT, now)
    for side in Side:
        fresh = _with_end(fresh, side, media=Media())
    # Two phones that build anew for ever and never connect must not hold their people for ever.
    broken_since = fresh.reconnecting_since or call.created_at
    connect_by = min(now, broken_since + limits.grace) + limits.connecting
    return replace(fresh, attempt=call.attempt + 1, connect_by=connect_by, version=call.version + 1)


def rejoin(call: Call, attempt: int, now: datetime, limits: CallLimits) -> Call:
    """A side lost its connection for good. Said twice, or by both at once, it counts once."""
    if call.state is _ENDED or attempt < call.attempt:
        return call
    if attempt > call.attempt:
        raise StaleAttempt
    return _rebuild(call, now, limits)


def take(call: Call, side: Side, session_id: UUID, now: datetime, limits: CallLimits) -> Call:
    """Move a side to another session of the same person; both sides build anew."""
    if call.state is _ENDED or call.end(side).session_id == session_id:
        return call
    moved = _with_end(call, side, session_id=session_id, away_since=None, seen_at=now)
    return _rebuild(moved, now, limits)


def away(call: Call, side: Side, now: datetime) -> Call:
    """The side's socket is gone; grace begins."""
    if call.state is _ENDED or call.end(side).away_since is not None:
        return call
    return _with_end(call, side, away_since=now)


def back(call: Call, side: Side, now: datetime) -> Call:
    """The side's socket is attached again."""
    if call.state is _ENDED:
        return call
    return _with_end(call, side, away_since=None, seen_at=now)


def look(call: Call, now: datetime, limits: CallLimits) -> Call:
    """What time decides, a call that never connected, one broken beyond its grace, sides that vanished; and what was
    decided about its people."""
    if call.state is _ENDED:
        return call
    if (side := next((side for side in Side if call.end(side).suspended), None)) is not None:
        return end(call, EndReason.SUSPENDED, side, now)
    if call.practice is not None and (over := _practice_over(call.practice, now)) is not None:
        return end(call, over, None, now)
    if call.state is _CONNECTING:
        return end(call, EndReason.NEVER_CONNECTED, None, now) if now >= call.connect_by else call
    since = call.reconnecting_since
    if since is not None and now - since >= limits.grace and now >= call.connect_by:
        return end(call, EndReason.LOST, None, now)
    if any(_vanished(call, side, now, limits) for side in Side):
        return end(call, EndReason.LOST, None, now)
    return call


def _practice_over(practice: Practice, now: datetime) -> EndReason | None:
    if now >= practice.phone_until:
        return EndReason.LOST
    return EndReason.DONE if now >= practice.ends_at else None


def _vanished(call: Call, side: Side, now: datetime, limits: CallLimits) -> bool:
    one = call.end(side)
    gone_since = one.away_since or one.seen_at + limits.unseen_slack
    # While the other side still receives this one, only signalling is lost: people go on talking.
    media_alive = call.state is _CONNECTED and call.end(side.other).away_since is None
    return now - gone_since >= (limits.away_with_media if media_alive else limits.grace)


def next_look(call: Call, now: datetime, limits: CallLimits) -> datetime:
    """When somebody must look again, at the latest, for a call that has not ended."""
    edges = [now + limits.grace / 10]
    if call.state is _CONNECTING:
        edges.append(call.connect_by)
    if call.reconnecting_since is not None:
        edges.append(max(call.reconnecting_since + limits.grace, call.connect_by))
    return max(now, min(edges))
