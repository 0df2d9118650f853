"""What the volunteer sees: frozen, dark, paused or well, and that a picture which stays away ends the call."""

from __future__ import annotations

from dataclasses import replace

import pytest

from signaling.call_rules import CallLimits, end, light, look, media, next_look, rejoin
from signaling.model import Call, CallState, EndReason, Media, Picture, Side
from tests.support.fakes.calls import RUNNING, call
from tests.support.fakes.cases import NOON, seconds

LIMITS = CallLimits()
REQUESTER, VOLUNTEER = Side
BLIND = replace(RUNNING, receives_video=False)
PAUSED = replace(RUNNING, sends_video=False, paused="user")
DOWN = Media("disconnected")


def seen(*, mode: str = "video") -> Call:
    """A connected call whose picture was seen at noon."""
    live = media(replace(call(), mode=mode), REQUESTER, RUNNING, NOON)
    return media(live, VOLUNTEER, RUNNING, NOON)


def freshly(live: Call, at_s: float) -> Call:
    """Both sides were just seen."""
    now = NOON + seconds(at_s)
    return replace(live, requester=replace(live.requester, seen_at=now), volunteer=replace(live.volunteer, seen_at=now))


def looked_at(live: Call, at_s: float) -> Call:
    return look(freshly(live, at_s), NOON + seconds(at_s), LIMITS)


def frozen(at_s: float = 20) -> Call:
    return media(seen(), VOLUNTEER, BLIND, NOON + seconds(at_s))


class TestWhatIsSeen:
    def test_a_picture_that_came_is_well(self) -> None:
        assert (seen().picture, seen().picture_since) == (Picture.OK, NOON)

    def test_one_that_comes_no_more_is_frozen_and_no_news_of_the_call_itself(self) -> None:
        live = frozen()
        assert (live.picture, live.picture_since) == (Picture.FROZEN, NOON + seconds(20))
        assert (live.state, live.version) == (CallState.CONNECTED, seen().version)

    def test_frozen_counts_from_the_first_word_of_it_until_it_runs_again(self) -> None:
        again = media(frozen(20), VOLUNTEER, replace(BLIND, receives_audio=False), NOON + seconds(25))
        assert again.picture_since == NOON + seconds(20)
        assert media(again, VOLUNTEER, RUNNING, NOON + seconds(26)).picture is Picture.OK

    def test_also_when_the_camera_itself_stopped(self) -> None:
        """The requester's app knows that it sends nothing; the volunteer sees a frozen picture all the same."""
        live = media(seen(), REQUESTER, replace(RUNNING, sends_video=False), NOON + seconds(20))
        assert media(live, VOLUNTEER, BLIND, NOON + seconds(21)).picture is Picture.FROZEN

    @pytest.mark.parametrize("mode", ["voice", "text"])
    def test_no_picture_is_missed_where_none_was_wanted(self, mode: str) -> None:
        live = seen(mode=mode)
        assert media(live, VOLUNTEER, BLIND, NOON + seconds(20)).picture is None

    def test_a_picture_that_never_came_is_not_frozen(self) -> None:
        without = replace(RUNNING, sends_video=False)
        live = media(media(call(), REQUESTER, without, NOON), VOLUNTEER, BLIND, NOON)
        assert (live.state, live.picture) == (CallState.CONNECTED, None)
        assert looked_at(live, 300).state is CallState.CONNECTED

    def test_while_the_connection_is_broken_that_is_what_people_hear_of(self) -> None:
        broken = media(seen(), VOLUNTEER, DOWN, NOON + seconds(20))
        assert (broken.state, broken.picture) == (CallState.RECONNECTING, Picture.OK)
        rebuilt = rejoin(frozen(), 1, NOON + seconds(25), LIMITS)
        assert (rebuilt.picture, rebuilt.picture_since) == (Picture.FROZEN, NOON + seconds(20))

    def test_an_ended_call_shows_nothing_new(self) -> None:
        over = end(seen(), EndReason.DONE, REQUESTER, NOON)
        assert light(media(over, VOLUNTEER, BLIND, NOON), VOLUNTEER, 0, NOON) == over


class TestDark:
    @pytest.mark.parametrize(
        ("before", "luma", "after"),
        [
            (Picture.OK, 15.9, Picture.DARK),
            (Picture.OK, 16.0, Picture.OK),
            (Picture.DARK, 23.9, Picture.DARK),
            (Picture.DARK, 24.0, Picture.OK),
        ],
    )
    def test_by_its_light_and_what_it_was(self, before: Picture, luma: float, after: Picture) -> None:
        live = light(seen(), VOLUNTEER, 0 if before is Picture.DARK else 255, NOON + seconds(5))
        assert live.picture is before
        assert light(live, VOLUNTEER, luma, NOON + seconds(10)).picture is after

    def test_a_report_of_media_does_not_make_it_light(self) -> None:
        dark = light(seen(), VOLUNTEER, 0, NOON + seconds(5))
        assert media(dark, VOLUNTEER, RUNNING, NOON + seconds(6)).picture is Picture.DARK

    def test_a_dark_picture_may_freeze_and_a_dark_call_goes_on(self) -> None:
        dark = light(seen(), VOLUNTEER, 0, NOON + seconds(5))
        assert looked_at(dark, 300).state is CallState.CONNECTED
        assert media(dark, VOLUNTEER, BLIND, NOON + seconds(20)).picture is Picture.FROZEN


class TestPaused:
    @pytest.mark.parametrize("before", [seen(), frozen(), light(seen(), VOLUNTEER, 0, NOON)])
    def test_is_no_other_trouble(self, before: Call) -> None:
        live = media(before, REQUESTER, PAUSED, NOON + seconds(30))
        assert live.picture is Picture.PAUSED
        assert media(live, VOLUNTEER, BLIND, NOON + seconds(34)).picture is Picture.PAUSED
        assert looked_at(live, 120).state is CallState.CONNECTED

    def test_has_a_moment_to_run_again(self) -> None:
        live = media(media(seen(), REQUESTER, PAUSED, NOON + seconds(30)), VOLUNTEER, BLIND, NOON + seconds(34))
        resumed = media(live, REQUESTER, RUNNING, NOON + seconds(60))
        assert resumed.picture is Picture.OK
        assert looked_at(resumed, 62).picture is Picture.OK
        assert looked_at(resumed, 63).picture is Picture.FROZEN

    def test_is_taken_for_frozen_after_ten_minutes(self) -> None:
        live = media(media(seen(), REQUESTER, PAUSED, NOON), VOLUNTEER, BLIND, NOON)
        assert looked_at(live, 599).picture is Picture.PAUSED
        late = looked_at(live, 600)
        assert (late.picture, late.picture_since) == (Picture.FROZEN, NOON + seconds(600))
        assert looked_at(late, 630).end_reason is EndReason.LOST

    def test_of_the_volunteer_is_not_taken_for_a_frozen_picture(self) -> None:
        away = replace(BLIND, paused="background")
        assert media(seen(), VOLUNTEER, away, NOON + seconds(20)).picture is Picture.OK


class TestAPictureThatStaysAway:
    def test_ends_the_call_after_the_grace(self) -> None:
        live = frozen(20)
        assert looked_at(live, 49.9).state is CallState.CONNECTED
        over = looked_at(live, 50)
        assert (over.state, over.end_reason, over.ended_by) == (CallState.ENDED, EndReason.LOST, None)

    def test_is_looked_at_then(self) -> None:
        assert next_look(frozen(20), NOON + seconds(48), LIMITS) == NOON + seconds(50)

    def test_does_not_get_more_time_by_building_anew(self) -> None:
        live = rejoin(frozen(20), 1, NOON + seconds(40), LIMITS)
        without = replace(RUNNING, sends_video=False)
        live = media(media(live, REQUESTER, without, NOON + seconds(41)), VOLUNTEER, BLIND, NOON + seconds(41))
        assert (live.state, live.picture) == (CallState.CONNECTED, Picture.FROZEN)
        assert looked_at(live, 50).end_reason is EndReason.LOST
