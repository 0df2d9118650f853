"""What a call's life does to its request: from accept to the end, whoever ends it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from matching.model import Outcome, RequestState
from matching.request_rules import RequestLimits
from server.consequences import request_follows_call
from signaling import call_rules
from signaling.call_rules import CallLimits
from signaling.model import Call, CallState, EndReason, Media, Side
from tests.support.fakes.calls import RUNNING, call
from tests.support.fakes.cases import NOON, request, seconds

follow = request_follows_call(RequestLimits())
LATER = NOON + seconds(40)
WAITS_AGAIN = (RequestState.WAITING, None)
CANCELLED = (RequestState.ENDED, Outcome.CANCELLED)
COMPLETED = (RequestState.ENDED, Outcome.COMPLETED)
FAILED = (RequestState.ENDED, Outcome.FAILED)


def answered(media: bool) -> tuple[RequestState, Call]:
    return (RequestState.IN_CALL, call(CallState.CONNECTED)) if media else (RequestState.CONNECTING, call())


class TestWhileItLives:
    def test_media_both_ways_puts_the_request_in_its_call(self) -> None:
        before = call_rules.media(call(), Side.REQUESTER, RUNNING, NOON)
        after = call_rules.media(before, Side.VOLUNTEER, RUNNING, NOON)
        connecting = request(RequestState.CONNECTING)
        assert follow(connecting, call(), before, NOON) is connecting
        assert follow(connecting, before, after, NOON).state is RequestState.IN_CALL

    def test_a_connection_that_breaks_and_mends_is_the_same_call(self) -> None:
        before = call(CallState.CONNECTED)
        broken = call_rules.media(before, Side.VOLUNTEER, Media("failed"), LATER)
        mended = call_rules.media(broken, Side.VOLUNTEER, RUNNING, LATER)
        in_call = request(RequestState.IN_CALL)
        assert follow(in_call, before, broken, LATER) is in_call
        assert follow(in_call, broken, mended, LATER) is in_call

    def test_rebuilding_before_media_leaves_the_request_connecting(self) -> None:
        rebuilt = call_rules.rejoin(call(), 1, NOON, CallLimits())
        connecting = request(RequestState.CONNECTING)
        assert follow(connecting, call(), rebuilt, NOON) is connecting


class TestWhenItEnds:
    @pytest.mark.parametrize(
        ("reason", "by", "before_media", "after_media"),
        [
            (EndReason.CANCELLED, Side.REQUESTER, CANCELLED, COMPLETED),
            (EndReason.DONE, Side.REQUESTER, CANCELLED, COMPLETED),
            (EndReason.LEFT, Side.REQUESTER, CANCELLED, COMPLETED),
            (EndReason.DONE, Side.VOLUNTEER, WAITS_AGAIN, COMPLETED),
            (EndReason.LEFT, Side.VOLUNTEER, WAITS_AGAIN, COMPLETED),
            (EndReason.TECHNICAL, Side.REQUESTER, WAITS_AGAIN, WAITS_AGAIN),
            (EndReason.TECHNICAL, Side.VOLUNTEER, WAITS_AGAIN, WAITS_AGAIN),
            (EndReason.LOST, None, WAITS_AGAIN, WAITS_AGAIN),
            (EndReason.NEVER_CONNECTED, None, WAITS_AGAIN, WAITS_AGAIN),
            (EndReason.REPORTED, Side.VOLUNTEER, FAILED, COMPLETED),
            (EndReason.ENDED_BY_ADMIN, None, FAILED, COMPLETED),
        ],
    )
    @pytest.mark.parametrize("media", [False, True])
    def test_the_request_ends_or_waits_again_as_the_contract_says(
        self,
        reason: EndReason,
        by: Side | None,
        before_media: tuple[RequestState, Outcome | None],
        after_media: tuple[RequestState, Outcome | None],
        media: bool,
    ) -> None:
        state, live = answered(media)
        after = follow(request(state), live, call_rules.end(live, reason, by, LATER), LATER)
        assert (after.state, after.outcome) == (after_media if media else before_media)
        assert after.epoch == (2 if after.state is RequestState.WAITING else 1)
        assert after.created_at == request().created_at

    def test_the_fourth_return_fails(self) -> None:
        live = replace(call(), epoch=4)
        over = call_rules.end(live, EndReason.TECHNICAL, Side.VOLUNTEER, LATER)
        after = follow(request(RequestState.CONNECTING, epoch=4), live, over, LATER)
        assert (after.state, after.outcome) == FAILED

    def test_a_call_of_an_earlier_epoch_changes_nothing(self) -> None:
        waiting_again = request(RequestState.CONNECTING, epoch=2)
        over = call_rules.end(call(), EndReason.DONE, Side.REQUESTER, LATER)
        assert follow(waiting_again, call(), over, LATER) is waiting_again

    def test_a_call_that_had_ended_changes_nothing(self) -> None:
        over = call_rules.end(call(), EndReason.DONE, Side.REQUESTER, LATER)
        connecting = request(RequestState.CONNECTING)
        assert follow(connecting, over, over, LATER) is connecting
