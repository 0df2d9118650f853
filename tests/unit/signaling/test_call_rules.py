"""The rules of a call, judged by the contract: its states, "Connected", attempts, and that it always ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.call_rules import (
    TRANSITIONS,
    CallLimits,
    Event,
    StaleAttempt,
    away,
    back,
    end,
    look,
    media,
    media_runs,
    next_look,
    rejoin,
    take,
)
from signaling.model import Call, CallState, EndReason, Media, Practice, Side
from tests.support.fakes.calls import RUNNING, VOLUNTEER_SESSION, call
from tests.support.fakes.cases import NOON, SESSION, seconds

LIMITS = CallLimits()
CONNECTING, CONNECTED, RECONNECTING, ENDED = CallState
REQUESTER, VOLUNTEER = Side
LIVE = (CONNECTING, CONNECTED, RECONNECTING)
ELSEWHERE = UUID(int=9000)
DOWN = Media("disconnected")

TABLE = {
    (CONNECTING, Event.MEDIA_UP): CONNECTED,
    (CONNECTING, Event.MEDIA_DOWN): CONNECTING,
    (CONNECTING, Event.REBUILT): CONNECTING,
    (CONNECTING, Event.ENDED): ENDED,
    (CONNECTED, Event.MEDIA_UP): CONNECTED,
    (CONNECTED, Event.MEDIA_DOWN): RECONNECTING,
    (CONNECTED, Event.REBUILT): RECONNECTING,
    (CONNECTED, Event.ENDED): ENDED,
    (RECONNECTING, Event.MEDIA_UP): CONNECTED,
    (RECONNECTING, Event.MEDIA_DOWN): RECONNECTING,
    (RECONNECTING, Event.REBUILT): RECONNECTING,
    (RECONNECTING, Event.ENDED): ENDED,
}


def ended(reason: EndReason = EndReason.DONE, by: Side | None = REQUESTER) -> Call:
    return end(call(CONNECTED), reason, by, NOON + seconds(60))


def test_the_table_of_transitions_is_this_one() -> None:
    assert dict(TRANSITIONS) == TABLE


class TestConnected:
    """`Connected` = both sides report `connected` and each receives what the other says it sends."""

    sides = st.builds(
        Media,
        state=st.sampled_from(["new", "connected", "disconnected", "failed"]),
        sends_audio=st.booleans(),
        sends_video=st.booleans(),
        receives_audio=st.booleans(),
        receives_video=st.booleans(),
    )

    @given(sides, sides)
    def test_media_runs_exactly_when_the_contract_says_so(self, one: Media, other: Media) -> None:
        both = one.state == "connected" and other.state == "connected"
        heard = all(
            (not sender.sends_audio or receiver.receives_audio) and (not sender.sends_video or receiver.receives_video)
            for sender, receiver in ((one, other), (other, one))
        )
        assert media_runs(one, other) == (both and heard)

    @pytest.mark.parametrize("why", ["phone_call", "background", "user"])
    def test_a_paused_side_need_not_be_received(self, why: str) -> None:
        paused = replace(RUNNING, paused=why)
        assert media_runs(paused, replace(RUNNING, receives_audio=False, receives_video=False))

    @pytest.mark.parametrize("state", [CONNECTING, RECONNECTING])
    @pytest.mark.parametrize("first", Side)
    def test_a_call_connects_when_the_second_side_says_so(self, state: CallState, first: Side) -> None:
        now = NOON + seconds(2)
        half = media(call(state), first, RUNNING, now)
        assert half.state is state
        whole = media(half, first.other, RUNNING, now)
        assert (whole.state, whole.reconnecting_since) == (CONNECTED, None)
        assert whole.connected_at == (now if state is CONNECTING else NOON)
        assert whole.version > half.version

    def test_a_side_that_does_not_receive_yet_is_waited_for(self) -> None:
        blind = replace(RUNNING, receives_video=False)
        half = media(media(call(), REQUESTER, RUNNING, NOON), VOLUNTEER, blind, NOON)
        assert half.state is CONNECTING
        assert media(half, VOLUNTEER, RUNNING, NOON).state is CONNECTED

    @pytest.mark.parametrize("report", ["disconnected", "failed"])
    @pytest.mark.parametrize("side", Side)
    def test_a_broken_connection_breaks_the_call_from_the_first_word_of_it(self, side: Side, report: str) -> None:
        broken = media(call(CONNECTED), side, Media(report), NOON + seconds(20))
        assert (broken.state, broken.reconnecting_since) == (RECONNECTING, NOON + seconds(20))
        still = media(broken, side.other, Media(report), NOON + seconds(25))
        assert still.reconnecting_since == NOON + seconds(20)

    def test_a_track_that_stops_does_not_break_the_call(self) -> None:
        frozen = replace(RUNNING, receives_video=False)
        assert media(call(CONNECTED), VOLUNTEER, frozen, NOON + seconds(20)).state is CONNECTED

    def test_a_report_changes_only_the_side_that_reports(self) -> None:
        reported = media(call(), VOLUNTEER, DOWN, NOON)
        assert reported.volunteer.media == DOWN
        assert reported.requester == call().requester


class TestEnd:
    @pytest.mark.parametrize("by", [*Side, None])
    @pytest.mark.parametrize("reason", [reason for reason in EndReason if reason is not EndReason.CANCELLED])
    @pytest.mark.parametrize("state", LIVE)
    def test_ends_any_live_call_with_its_reason(self, state: CallState, reason: EndReason, by: Side | None) -> None:
        over = end(call(state), reason, by, NOON + seconds(7))
        assert (over.state, over.end_reason, over.ended_by, over.ended_at) == (ENDED, reason, by, NOON + seconds(7))
        assert over.version > call(state).version

    @pytest.mark.parametrize("state", LIVE)
    def test_cancelling_after_media_is_done(self, state: CallState) -> None:
        over = end(call(state), EndReason.CANCELLED, REQUESTER, NOON)
        assert over.end_reason is (EndReason.CANCELLED if state is CONNECTING else EndReason.DONE)

    def test_a_second_end_finds_the_first(self) -> None:
        over = ended(EndReason.LEFT, VOLUNTEER)
        assert end(over, EndReason.DONE, REQUESTER, NOON + seconds(90)) is over


class TestAttempts:
    @pytest.mark.parametrize("state", LIVE)
    def test_rejoin_begins_the_next_attempt_with_nothing_reported_and_time_to_connect(self, state: CallState) -> None:
        now = NOON + seconds(12)
        anew = rejoin(call(state), 1, now, LIMITS)
        assert anew.attempt == 2
        assert anew.state is (CONNECTING if state is CONNECTING else RECONNECTING)
        assert anew.requester.media == anew.volunteer.media == Media()
        assert anew.connect_by == now + LIMITS.connecting
        assert anew.version > call(state).version

    def test_said_twice_or_by_both_it_counts_once(self) -> None:
        anew = rejoin(call(CONNECTED), 1, NOON, LIMITS)
        assert rejoin(anew, 1, NOON + seconds(1), LIMITS) is anew

    def test_of_an_attempt_that_is_not_yet_is_refused(self) -> None:
        with pytest.raises(StaleAttempt):
            rejoin(call(CONNECTED), 2, NOON, LIMITS)

    @pytest.mark.parametrize("side", Side)
    @pytest.mark.parametrize("state", LIVE)
    def test_take_moves_one_side_and_both_build_anew(self, state: CallState, side: Side) -> None:
        now = NOON + seconds(12)
        gone = away(call(state), side, NOON + seconds(10))
        moved = take(gone, side, ELSEWHERE, now, LIMITS)
        assert moved.attempt == 2
        assert moved.end(side).session_id == ELSEWHERE
        assert moved.end(side).person_id == call().end(side).person_id
        assert moved.end(side).away_since is None
        assert moved.end(side.other) == replace(call(state).end(side.other), media=Media())
        assert moved.connect_by == now + LIMITS.connecting
        assert moved.side_of_session(call().end(side).session_id) is None

    @pytest.mark.parametrize(("side", "session"), [(REQUESTER, SESSION), (VOLUNTEER, VOLUNTEER_SESSION)])
    def test_take_by_the_session_that_has_it_changes_nothing(self, side: Side, session: UUID) -> None:
        live = call(CONNECTED)
        assert take(live, side, session, NOON, LIMITS) is live

    @pytest.mark.parametrize("state", [CONNECTING, RECONNECTING])
    def test_rejoining_for_ever_does_not_keep_a_call_that_never_connects(self, state: CallState) -> None:
        now, live = NOON, call(state)
        for _ in range(100):
            now += LIMITS.connecting - seconds(1)
            live = look(rejoin(_seen(live, now), live.attempt, now, LIMITS), now, LIMITS)
        assert live.state is ENDED
        assert live.ended_at is not None
        assert live.ended_at - NOON <= LIMITS.grace + 2 * LIMITS.connecting


class TestPresence:
    @pytest.mark.parametrize("side", Side)
    def test_away_counts_from_the_first_word_of_it_until_back(self, side: Side) -> None:
        gone = away(call(CONNECTED), side, NOON + seconds(3))
        assert away(gone, side, NOON + seconds(5)).end(side).away_since == NOON + seconds(3)
        here = back(gone, side, NOON + seconds(6))
        assert here.end(side).away_since is None
        assert here.end(side).seen_at == NOON + seconds(6)
        assert here.end(side.other) == call(CONNECTED).end(side.other)


class TestAbsorbing:
    @pytest.mark.parametrize(
        "event",
        [
            pytest.param(lambda c: media(c, REQUESTER, RUNNING, NOON + seconds(99)), id="media"),
            pytest.param(lambda c: end(c, EndReason.TECHNICAL, VOLUNTEER, NOON + seconds(99)), id="end"),
            pytest.param(lambda c: rejoin(c, 1, NOON + seconds(99), LIMITS), id="rejoin"),
            pytest.param(lambda c: take(c, VOLUNTEER, ELSEWHERE, NOON + seconds(99), LIMITS), id="take"),
            pytest.param(lambda c: away(c, REQUESTER, NOON + seconds(99)), id="away"),
            pytest.param(lambda c: back(c, REQUESTER, NOON + seconds(99)), id="back"),
            pytest.param(lambda c: look(c, NOON + timedelta(days=1), LIMITS), id="look"),
        ],
    )
    def test_an_ended_call_stays_as_it_is(self, event: Callable[[Call], Call]) -> None:
        over = ended()
        assert event(over) is over


class TestLook:
    def test_a_call_that_does_not_connect_in_time_never_connected(self) -> None:
        assert look(call(), NOON + seconds(14.999), LIMITS).state is CONNECTING
        over = look(call(), NOON + seconds(15), LIMITS)
        assert (over.state, over.end_reason, over.ended_by) == (ENDED, EndReason.NEVER_CONNECTED, None)

    def test_a_connection_broken_beyond_its_grace_is_lost(self) -> None:
        broken = media(_seen(call(CONNECTED), NOON + seconds(100)), REQUESTER, DOWN, NOON + seconds(100))
        assert look(broken, NOON + seconds(129.999), LIMITS).state is RECONNECTING
        over = look(broken, NOON + seconds(130), LIMITS)
        assert (over.end_reason, over.ended_by) == (EndReason.LOST, None)

    def test_a_connection_that_came_back_is_not_lost(self) -> None:
        broken = media(call(CONNECTED), REQUESTER, DOWN, NOON)
        mended = _seen(media(broken, REQUESTER, RUNNING, NOON + seconds(20)), NOON + seconds(40))
        assert look(mended, NOON + seconds(40), LIMITS) is mended

    def test_a_call_rebuilt_late_in_its_grace_has_time_to_connect(self) -> None:
        broken = rejoin(call(RECONNECTING), 1, NOON + seconds(29), LIMITS)
        seen = _seen(broken, NOON + seconds(43))
        assert look(seen, NOON + seconds(43), LIMITS).state is RECONNECTING
        assert look(seen, NOON + seconds(44), LIMITS).state is ENDED

    def test_a_connected_call_goes_on_while_both_are_seen(self) -> None:
        hours_later = NOON + timedelta(hours=3)
        live = _seen(call(CONNECTED), hours_later)
        assert look(live, hours_later, LIMITS) is live

    def test_a_call_both_sides_vanished_from_is_lost(self) -> None:
        over = look(call(CONNECTED), NOON + timedelta(minutes=2), LIMITS)
        assert (over.state, over.end_reason, over.ended_by) == (ENDED, EndReason.LOST, None)

    @pytest.mark.parametrize("side", Side)
    def test_a_side_whose_socket_stays_away_from_a_broken_call_is_lost_after_the_grace(self, side: Side) -> None:
        gone = away(_seen(call(RECONNECTING), NOON), side, NOON)
        assert look(gone, NOON + LIMITS.grace, LIMITS).end_reason is EndReason.LOST

    @pytest.mark.parametrize("side", Side)
    def test_while_media_runs_a_socket_may_be_away_for_a_minute(self, side: Side) -> None:
        gone = away(_seen(call(CONNECTED), NOON + seconds(60)), side, NOON)
        assert look(gone, NOON + seconds(59.999), LIMITS) is gone
        assert look(gone, NOON + seconds(60), LIMITS).end_reason is EndReason.LOST

    @pytest.mark.parametrize(("side", "later_s"), [(side, later_s) for side in Side for later_s in (0, 45)])
    def test_when_both_sockets_are_away_only_for_the_grace(self, side: Side, later_s: int) -> None:
        """Nobody is left to say that media run."""
        gone = away(away(call(CONNECTED), side, NOON), side.other, NOON + seconds(later_s))
        assert look(gone, NOON + seconds(later_s + 29.999), LIMITS) is gone
        assert look(gone, NOON + seconds(later_s + 30), LIMITS).end_reason is EndReason.LOST

    @pytest.mark.parametrize("side", Side)
    def test_media_that_break_while_a_socket_is_away_have_their_whole_grace(self, side: Side) -> None:
        gone = away(_seen(call(CONNECTED), NOON + seconds(90)), side, NOON)
        broken = media(gone, side.other, Media("disconnected"), NOON + seconds(41))
        assert broken.state is RECONNECTING
        assert look(broken, NOON + seconds(70.999), LIMITS) is broken
        assert look(broken, NOON + seconds(71), LIMITS).end_reason is EndReason.LOST

    @pytest.mark.parametrize("state", [CONNECTING, CONNECTED, RECONNECTING])
    def test_nobody_is_judged_right_after_nothing_could_be_written(self, state: CallState) -> None:
        """Postgres was away for minutes, and people went on talking."""
        back_again = NOON + timedelta(minutes=3)
        unheard = replace(call(state), watched_since=back_again)
        assert look(unheard, back_again, LIMITS) is unheard
        assert look(unheard, back_again + seconds(14.999), LIMITS) is unheard
        assert look(unheard, back_again + seconds(15), LIMITS).state is ENDED

    @pytest.mark.parametrize("state", [CONNECTING, CONNECTED, RECONNECTING])
    def test_what_is_overdue_for_long_is_over_all_the_same(self, state: CallState) -> None:
        """Or what can never be written steadily would never end."""
        later = NOON + timedelta(minutes=32)
        assert look(replace(call(state), watched_since=later), later, LIMITS).state is ENDED

    def test_sightings_are_written_only_so_often_and_judged_with_that_patience(self) -> None:
        rebuilt = rejoin(_seen(call(RECONNECTING), NOON), 1, NOON + seconds(29), LIMITS)
        assert look(rebuilt, NOON + seconds(43.999), LIMITS) is rebuilt
        silent = replace(call(CONNECTED), requester=replace(call().requester, seen_at=NOON - seconds(20)))
        alive = back(silent, VOLUNTEER, NOON)
        assert look(alive, NOON + seconds(54.999), LIMITS) is alive
        assert look(alive, NOON + seconds(55), LIMITS).end_reason is EndReason.LOST


class TestNextLook:
    def test_of_a_call_that_goes_well_is_soon(self) -> None:
        assert next_look(call(CONNECTED), NOON, LIMITS) == NOON + seconds(3)

    def test_of_a_connecting_call_is_when_it_should_have_connected(self) -> None:
        assert next_look(call(), NOON + seconds(14), LIMITS) == NOON + seconds(15)

    def test_of_a_broken_call_is_when_its_grace_is_over(self) -> None:
        assert next_look(call(RECONNECTING), NOON + seconds(28), LIMITS) == NOON + seconds(30)
        rebuilt = rejoin(call(RECONNECTING), 1, NOON + seconds(28), LIMITS)
        assert next_look(rebuilt, NOON + seconds(42), LIMITS) == NOON + seconds(43)

    @pytest.mark.parametrize("state", LIVE)
    def test_is_never_past(self, state: CallState) -> None:
        assert next_look(call(state), NOON + seconds(500), LIMITS) == NOON + seconds(
            500 if state is not CONNECTED else 503
        )


def _seen(live: Call, at: datetime) -> Call:
    return back(back(live, REQUESTER, at), VOLUNTEER, at)


Step = Callable[[Call, datetime], Call]
_sides = st.sampled_from(Side)
_reports = st.sampled_from([RUNNING, DOWN, Media("failed"), replace(RUNNING, receives_video=False)])
_steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(lambda s, m: lambda c, now: media(c, s, m, now), _sides, _reports),
    st.builds(lambda behind: lambda c, now: rejoin(c, c.attempt - behind, now, LIMITS), st.integers(0, 2)),
    st.builds(lambda s, n: lambda c, now: take(c, s, UUID(int=n), now, LIMITS), _sides, st.integers(5000, 5003)),
    st.builds(lambda s: lambda c, now: away(c, s, now), _sides),
    st.builds(lambda s: lambda c, now: back(c, s, now), _sides),
    st.just(lambda c, now: look(c, now, LIMITS)),
    st.builds(lambda r, s: lambda c, now: end(c, r, s, now), st.sampled_from(EndReason), _sides),
)
_life = st.lists(st.tuples(st.floats(0, 40), _steps), max_size=25)


class TestWhateverHappens:
    @given(_life)
    def test_a_call_only_moves_along_the_table_and_nothing_is_taken_back(self, life: list[tuple[float, Step]]) -> None:
        now, live = NOON, call()
        for later_s, one in life:
            now += seconds(later_s)
            after = one(live, now)
            _assert_step(live, after)
            live = after

    @given(_life)
    def test_it_ends_when_looked_at_late_enough(self, life: list[tuple[float, Step]]) -> None:
        now, live = _live_through(life)
        over = look(live, now + timedelta(minutes=3), LIMITS)
        assert over.state is ENDED
        assert over.end_reason is not None

    @given(_life)
    def test_looked_at_only_when_due_it_ends_within_two_minutes_of_silence(
        self, life: list[tuple[float, Step]]
    ) -> None:
        now, live = _live_through(life)
        until = now + timedelta(minutes=2)
        while live.state is not ENDED:
            due = next_look(live, now, LIMITS)
            assert now <= due <= now + timedelta(seconds=15)
            assert due <= until
            now = max(due, now + timedelta(milliseconds=50))
            live = look(live, now, LIMITS)


def _live_through(life: list[tuple[float, Step]]) -> tuple[datetime, Call]:
    now, live = NOON, call()
    for later_s, one in life:
        now += seconds(later_s)
        live = one(live, now)
    return now, live


def _assert_step(before: Call, after: Call) -> None:
    along = {state for (old, _), state in TABLE.items() if old is before.state} | {before.state}
    assert after.state in along
    assert after.attempt in (before.attempt, before.attempt + 1)
    assert after.version >= before.version
    assert before.connected_at in (None, after.connected_at)
    assert (after.state is RECONNECTING) == (after.reconnecting_since is not None)
    assert (after.state is ENDED) == (after.ended_at is not None) == (after.end_reason is not None)
    assert after.state in (CONNECTING, ENDED) or after.connected_at is not None
    assert {after.end(side).person_id for side in Side} == {before.end(side).person_id for side in Side}
    if before.state is ENDED:
        assert after is before
    if _told(after) != _told(before):
        assert after.version > before.version


def _told(of: Call) -> tuple[object, ...]:
    """What the sides see of a call; whenever that changes they must be told, which is what the version is for."""
    return of.state, of.attempt, of.end_reason, of.ended_by, of.requester.session_id, of.volunteer.session_id


class TestPractice:
    @pytest.mark.parametrize(
        ("at_s", "reason"),
        [(9, None), (10, EndReason.LOST), (30, EndReason.LOST)],
        ids=["its node is there", "its node was not heard of", "both are over"],
    )
    def test_it_ends_when_the_node_of_the_phone_is_gone(self, at_s: float, reason: EndReason | None) -> None:
        practice = Practice(ends_at=NOON + seconds(20), phone_until=NOON + seconds(10))
        looked = look(replace(call(CONNECTED), practice=practice), NOON + seconds(at_s), LIMITS)
        assert (looked.end_reason, looked.ended_by) == (reason, None)

    def test_its_node_has_time_to_be_heard_of_after_an_outage(self) -> None:
        practice = Practice(ends_at=NOON + timedelta(minutes=9), phone_until=NOON + seconds(10))
        back_again = NOON + timedelta(minutes=2)
        unheard = replace(_seen(call(CONNECTED), back_again), practice=practice, watched_since=back_again)
        assert look(unheard, back_again + seconds(14.999), LIMITS) is unheard
        assert look(unheard, back_again + seconds(15), LIMITS).end_reason is EndReason.LOST

    def test_it_is_over_in_time_however_well_it_goes(self) -> None:
        practice = Practice(ends_at=NOON + seconds(20), phone_until=NOON + seconds(60))
        looked = look(replace(call(CONNECTED), practice=practice), NOON + seconds(20), LIMITS)
        assert looked.end_reason is EndReason.DONE
