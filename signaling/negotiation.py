"""Which descriptions and candidates of one attempt may pass: the contract's "Negotiation". Pure: state in, verdict out.

An offer's number is the highest seen + 1 and an answer copies it; on a tie the requester's offer stands. A candidate is
judged by its ufrag: of a superseded description it is dropped, of one not seen yet it is held.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum

from signaling.model import Side

HELD_AT_MOST = 64
HELD_FOR_S = 45.0

_UFRAG_LINE = re.compile(r"^a=ice-ufrag:(\S+)", re.MULTILINE)
_UFRAG_IN_CANDIDATE = re.compile(r"\bufrag (\S+)")


class Verdict(StrEnum):
    """What becomes of a frame."""

    PASS = "pass"
    DROP = "drop"
    HOLD = "hold"
    NO_RELAY = "no_relay"
    """It has no more candidates, and none that may pass."""
    STALE = "stale_negotiation"
    WRONG_SIDE = "wrong_side"
    TOO_MANY = "too_many_candidates"


@dataclass(frozen=True, slots=True)
class Held:
    """A candidate waiting for the description it belongs to."""

    ufrag: str
    held_at: float
    frame: str
    """The frame to pass on, as it will be sent."""
    last: bool = False
    """Whether it is none, but says that there are no more."""


@dataclass(frozen=True, slots=True)
class SideState:
    """What one side has sent in this attempt."""

    current: tuple[str, ...] = ()
    """ICE ufrags of its latest description (one, or one per bundle group)."""
    superseded: tuple[str, ...] = ()
    held: tuple[Held, ...] = ()
    reachable: bool = False
    """Whether a candidate of its latest description passed."""


@dataclass(frozen=True, slots=True)
class Negotiation:
    """One attempt's negotiation as far as the server must know it."""

    highest: int = 0
    """The highest offer number seen."""
    offerer: Side | None = None
    """Who made the offer of that number."""
    answered: bool = False
    requester: SideState = field(default_factory=SideState)
    volunteer: SideState = field(default_factory=SideState)
    volunteer_may_offer: bool = False
    """The volunteer may offer only after having answered once."""

    def side(self, side: Side) -> SideState:
        return self.requester if side is Side.REQUESTER else self.volunteer

    def with_side(self, side: Side, state: SideState) -> Negotiation:
        return replace(self, requester=state) if side is Side.REQUESTER else replace(self, volunteer=state)


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict, the state after it, and held candidates that may pass now, oldest first."""

    verdict: Verdict
    state: Negotiation
    released: tuple[str, ...] = ()


def ufrags_of(sdp: str) -> tuple[str, ...]:
    """The ICE user fragments of a description (RFC 8839, 5.4)."""
    return tuple(dict.fromkeys(_UFRAG_LINE.findall(sdp)))


def ufrag_of_candidate(candidate: str | None, username_fragment: str | None) -> str | None:
    """The candidate's ufrag: its own field, else the extension in the string, else unknown."""
    if username_fragment:
        return username_fragment
    found = _UFRAG_IN_CANDIDATE.search(candidate or "")
    return found.group(1) if found else None


def description(
    state: Negotiation, side: Side, kind: str, number: int, sdp: str, now: float, *, has_candidates: bool = False
) -> Judged:
    """Judge an offer or an answer; `now` is in seconds on any steady clock shared by the nodes.

    `has_candidates`: whether it brings some that may pass.
    """
    ufrags = ufrags_of(sdp)
    if _is_repeat(state, side, kind, number, ufrags):
        return Judged(Verdict.PASS, state, _frames_of(state.side(side).held, ufrags, now))
    refusal = _refuse_offer(state, side, number) if kind == "offer" else _refuse_answer(state, side, number)
    if refusal is not None:
        return Judged(refusal, state)
    if kind == "offer":
        state = replace(state, highest=number, offerer=side, answered=False)
    else:
        state = replace(state, answered=True)
    state = replace(state, volunteer_may_offer=state.volunteer_may_offer or side is Side.VOLUNTEER)
    return _supersede(state, side, ufrags, now, has_candidates)


def _is_repeat(state: Negotiation, side: Side, kind: str, number: int, ufrags: tuple[str, ...]) -> bool:
    """Whether this is the description in force, said again.

    A node may die, or fail, between judging a description and passing it on; its client then sends it again, and the
    other side must get it. A receiver that had it already knows by the number.
    """
    said = state.offerer is side if kind == "offer" else state.answered and state.offerer is side.other
    return said and number == state.highest and bool(ufrags) and ufrags == state.side(side).current


def _refuse_offer(state: Negotiation, side: Side, number: int) -> Verdict | None:
    # The state may have been lost, or outlived by a long call: a number above 1 then tells of an offer answered before.
    answered_before = state.volunteer_may_offer or (state.highest == 0 and number > 1)
    if side is Side.VOLUNTEER and not answered_before:
        return Verdict.WRONG_SIDE
    if number > state.highest:
        return None
    # Glare: both offered the same number; the requester is impolite and its offer stands.
    tie = number == state.highest and state.offerer is Side.VOLUNTEER and side is Side.REQUESTER
    return None if tie and not state.answered else Verdict.STALE


def _refuse_answer(state: Negotiation, side: Side, number: int) -> Verdict | None:
    if state.offerer is side:
        return Verdict.STALE if number < state.highest else Verdict.WRONG_SIDE
    return None if number == state.highest and state.offerer is not None and not state.answered else Verdict.STALE


def _supersede(state: Negotiation, side: Side, ufrags: tuple[str, ...], now: float, has_candidates: bool) -> Judged:
    mine = state.side(side)
    old = tuple(u for u in mine.current if u not in ufrags)
    # Those released now are kept too: should passing them on fail, the description comes again, and they with it.
    still = tuple(h for h in mine.held if h.ufrag not in old and now - h.held_at < HELD_FOR_S)
    fresh = tuple(u for u in ufrags if u not in mine.current)
    waited = tuple(h for h in still if h.ufrag in fresh)
    # The same user fragments: the same candidates go on counting (a new offer without an ICE restart).
    reachable = has_candidates or any(not h.last for h in waited) or (mine.reachable and not fresh)
    if not reachable and any(h.last for h in waited):
        return Judged(Verdict.NO_RELAY, state)
    after = SideState(ufrags, (*mine.superseded, *old)[-16:], still, reachable)
    return Judged(Verdict.PASS, state.with_side(side, after), tuple(h.frame for h in waited))


def _frames_of(held: tuple[Held, ...], ufrags: tuple[str, ...], now: float) -> tuple[str, ...]:
    return tuple(one.frame for one in held if one.ufrag in ufrags and now - one.held_at < HELD_FOR_S)


def candidate(state: Negotiation, side: Side, ufrag: str | None, frame: str, now: float) -> Judged:
    """Judge a candidate: pass, drop, or hold until its description comes."""
    mine = state.side(side)
    if ufrag is None or ufrag in mine.current:
        return Judged(Verdict.PASS, state.with_side(side, replace(mine, reachable=True)))
    if ufrag in mine.superseded:
        return Judged(Verdict.DROP, state)
    return _hold(state, side, Held(ufrag, now, frame))


def no_more_candidates(state: Negotiation, side: Side, ufrag: str | None, frame: str, now: float) -> Judged:
    """The side has found all its candidates: of none that may pass it must know, for nobody will reach it."""
    mine = state.side(side)
    if ufrag in mine.superseded:
        return Judged(Verdict.DROP, state)
    if ufrag is not None and ufrag not in mine.current:
        return _hold(state, side, Held(ufrag, now, frame, last=True))
    # A state that was lost knows of no description, and cannot say.
    return Judged(Verdict.PASS if mine.reachable or not mine.current else Verdict.NO_RELAY, state)


def _hold(state: Negotiation, side: Side, one: Held) -> Judged:
    mine = state.side(side)
    live = tuple(h for h in mine.held if one.held_at - h.held_at < HELD_FOR_S)
    if sum(h.ufrag not in mine.current for h in live) >= HELD_AT_MOST:
        return Judged(Verdict.TOO_MANY, state)
    return Judged(Verdict.HOLD, state.with_side(side, replace(mine, held=(*live, one))))
