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

from signaling.model import Call, CallState, EndReason, Media, Picture, Practice, Side


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
    """Sessions in a call are written down as seen only so often; absence is judged with this much patience added.

    As long after Postgres (or every node) was away nobody is judged by it: who is there has had time to say so."""
    outage: timedelta = timedelta(minutes=30)
    """What is overdue for so long is over, whatever could be written down meanwhile."""
    away_with_media: timedelta = timedelta(seconds=60)
    """How long a socket may be gone while media still runs."""
    pause: timedelta = timedelta(minutes=10)
    """How long a paused picture is not taken for a frozen one."""


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
    quality, told to people, not of the call's state. Should the picture stay away, `look` ends it.
    """
    if call.state is _ENDED:
        return call
    dark = call.end(side).media.receives_dark
    return _see_picture(_follow_media(call, side, replace(report, receives_dark=dark), now), now)


def _follow_media(call: Call, side: Side, report: Media, now: datetime) -> Call:
    reported = _with_end(call, side, media=report)
    if media_runs(reported.requester.media, reported.volunteer.media):
        return _step(reported, Event.MEDIA_UP, now)
    connected = all(reported.end(s).media.state == "connected" for s in Side)
    if reported.state is _CONNECTED and connected:
        return reported
    return _step(reported, Event.MEDIA_DOWN, now)


DARK_BELOW = 16.0
"""Mean luma of a picture on which nothing is to be seen: a covered camera, a pocket (0 is black, 255 white)."""
LIGHT_FROM = 24.0
"""Higher, so that a picture at the edge does not change its name again and again."""


def is_dark(luma: float, was_dark: bool) -> bool:
    return luma < (LIGHT_FROM if was_dark else DARK_BELOW)


def light(call: Call, side: Side, luma: float, now: datetime) -> Call:
    """A side reports how light the picture it receives is."""
    if call.state is _ENDED:
        return call
    media = call.end(side).media
    dark = is_dark(luma, media.receives_dark)
    return _see_picture(_with_end(call, side, media=replace(media, receives_dark=dark)), now)


RESUMES_WITHIN = timedelta(seconds=3)
"""A picture that was paused, or had another name just now, is given this long to run again."""


def _see_picture(call: Call, now: datetime) -> Call:
    picture = _picture(call, now)
    return call if picture is call.picture else replace(call, picture=picture, picture_since=now)


def _picture(call: Call, now: datetime) -> Picture | None:
    """What the volunteer sees now. While the connection is broken, that is what people are told of; in a practice call
    the verdict says it."""
    was, since = call.picture, call.picture_since
    requester, volunteer = call.requester.media, call.volunteer.media
    if call.state is not _CONNECTED or call.mode != "video" or call.practice is not None:
        return was
    if requester.paused is not None:
        return Picture.PAUSED
    if volunteer.receives_video:
        return Picture.DARK if volunteer.receives_dark else Picture.OK
    if was is None or since is None or volunteer.paused is not None:
        return was
    if was is Picture.PAUSED:
        return Picture.OK
    return Picture.FROZEN if now - since >= RESUMES_WITHIN else was


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
    decided about its people. Right after nothing could be written it is judged as if it were half an hour ago."""
    if call.state is _ENDED:
        return call
    if (side := next((side for side in Side if call.end(side).suspended), None)) is not None:
        return end(call, EndReason.SUSPENDED, side, now)
    judged_at = now
    if call.watched_since is not None and now - call.watched_since < limits.unseen_slack:
        judged_at = now - limits.outage
    if call.practice is not None and (over := _practice_over(call.practice, now, judged_at)) is not None:
        return end(call, over, None, now)
    if call.state is _CONNECTING:
        return end(call, EndReason.NEVER_CONNECTED, None, now) if judged_at >= call.connect_by else call
    since = call.reconnecting_since
    if since is not None and judged_at - since >= limits.grace and judged_at >= call.connect_by:
        return end(call, EndReason.LOST, None, now)
    if any(_vanished(call, side, judged_at, limits) for side in Side):
        return end(call, EndReason.LOST, None, now)
    seen = _see_picture(_without_old_pause(call, now, limits), now)
    return end(seen, EndReason.LOST, None, now) if _is_blind(seen, judged_at, limits) else seen


def _without_old_pause(call: Call, now: datetime, limits: CallLimits) -> Call:
    since = call.picture_since
    if call.picture is not Picture.PAUSED or since is None or now - since < limits.pause:
        return call
    resumed = _with_end(call, Side.REQUESTER, media=replace(call.requester.media, paused=None))
    return replace(resumed, picture=Picture.FROZEN, picture_since=now)


def _is_blind(call: Call, now: datetime, limits: CallLimits) -> bool:
    """Connected, and yet of no use: the picture did not come back."""
    since = call.picture_since
    frozen = call.state is _CONNECTED and call.picture is Picture.FROZEN
    return frozen and since is not None and now - since >= limits.grace


def _practice_over(practice: Practice, now: datetime, judged_at: datetime) -> EndReason | None:
    """`judged_at`: the moment by which a node should have said that the phone is there."""
    if judged_at >= practice.phone_until:
        return EndReason.LOST
    return EndReason.DONE if now >= practice.ends_at else None


def _vanished(call: Call, side: Side, now: datetime, limits: CallLimits) -> bool:
    """While the other side still receives this one only signalling is lost, and people go on talking.

    Once media break, or nobody is there any more to say that they do not, the grace begins.
    """
    one, other = call.end(side), call.end(side.other)
    gone_since = one.away_since or one.seen_at + limits.unseen_slack
    if call.reconnecting_since is None and other.away_since is None:
        return now - gone_since >= limits.away_with_media
    doubtful_since = max(call.reconnecting_since or gone_since, other.away_since or gone_since)
    return now - max(gone_since, doubtful_since) >= limits.grace


def next_look(call: Call, now: datetime, limits: CallLimits) -> datetime:
    """When somebody must look again, at the latest, for a call that has not ended."""
    edges = [now + limits.grace / 10]
    if call.state is _CONNECTING:
        edges.append(call.connect_by)
    if call.reconnecting_since is not None:
        edges.append(max(call.reconnecting_since + limits.grace, call.connect_by))
    if call.picture is Picture.FROZEN and call.picture_since is not None:
        edges.append(call.picture_since + limits.grace)
    return max(now, min(edges))
