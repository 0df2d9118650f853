"""What an attempt at waking somebody comes to, and the words that are true of it."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.model import WithdrawReason
from matching.waking import (
    QUIET_LIFE,
    QUIET_TRIES,
    DueWake,
    PushOutcome,
    PushResult,
    PushTarget,
    TextKey,
    Wake,
    WakeType,
    report,
    text_key,
)
from tests.support.fakes.cases import NOON, REQUEST, person, seconds

VALUES = [UUID(int=n) for n in range(3)]
results = st.sampled_from(PushResult)


def wake(kind: WakeType = WakeType.RING, *, lives_s: float = 30, reason: WithdrawReason | None = None) -> Wake:
    return Wake(kind, REQUEST, 1, "en", NOON, NOON + seconds(lives_s), reason)


def due(of: Wake, *, tries: int = 1, rung_before: frozenset[UUID] = frozenset(), reached: bool = False) -> DueWake:
    targets = tuple(PushTarget(value, "fcm", "token", None, "android", ("en",)) for value in VALUES)
    return DueWake(of, person(0), 1, tries, targets, rung_before, reached)


def outcomes(*kinds: PushResult, retry_after_s: float | None = None) -> dict[UUID, PushOutcome]:
    after = None if retry_after_s is None else seconds(retry_after_s)
    return {value: PushOutcome(kind, after) for value, kind in zip(VALUES, kinds, strict=False)}


class TestReport:
    def test_one_device_that_took_it_is_enough(self) -> None:
        got = report(due(wake()), outcomes(PushResult.FAILED, PushResult.DELIVERED), NOON, 0)
        assert (got.reached, got.again, got.not_taken) == (True, frozenset(), frozenset({VALUES[0]}))

    def test_only_trouble_is_tried_again(self) -> None:
        every = dict(enumerate(PushResult))
        values = {UUID(int=n): PushOutcome(result) for n, result in every.items()}
        got = report(due(wake()), values, NOON, 0)
        again = {every[value.int] for value in got.again}
        assert again == {PushResult.RETRY_LATER, PushResult.UNKNOWN}

    def test_a_throttled_quiet_line_waits_and_a_throttled_ring_is_dropped(self) -> None:
        throttled = outcomes(PushResult.THROTTLED, retry_after_s=60)
        assert report(due(wake()), throttled, NOON, 0).again == frozenset()
        quiet = report(due(wake(WakeType.WITHDRAW, lives_s=QUIET_LIFE.total_seconds())), throttled, NOON, 0)
        assert quiet.again_at is not None
        assert quiet.again_at >= NOON + seconds(60)

    def test_what_may_have_been_taken_before_stays_so(self) -> None:
        before = due(wake(), tries=2, rung_before=frozenset({VALUES[0]}), reached=True)
        got = report(before, outcomes(PushResult.FAILED, PushResult.FAILED), NOON, 0)
        assert (got.not_taken, got.reached) == (frozenset({VALUES[1]}), True)

    @given(st.integers(1, 30), st.floats(0, 1), st.floats(0, 29.9), results)
    def test_no_ring_is_tried_after_its_life(self, tries: int, jitter: float, at_s: float, result: PushResult) -> None:
        got = report(due(wake(), tries=tries), outcomes(result), NOON + seconds(at_s), jitter)
        assert got.again_at is None or NOON + seconds(at_s) < got.again_at < wake().expires_at
        assert got.given_up == (bool(got.again) and got.again_at is None)

    @given(st.integers(1, 30), st.floats(0, 1))
    def test_a_provider_that_wants_to_be_left_alone_is(self, tries: int, jitter: float) -> None:
        got = report(due(wake(), tries=tries), outcomes(PushResult.RETRY_LATER, retry_after_s=5), NOON, jitter)
        assert got.again_at is None or got.again_at >= NOON + seconds(5)

    @given(st.integers(1, 12), st.floats(0, 1))
    def test_pauses_grow_and_are_never_long(self, tries: int, jitter: float) -> None:
        got = report(due(wake(lives_s=600), tries=tries), outcomes(PushResult.UNKNOWN), NOON, jitter)
        assert got.again_at is not None
        assert timedelta(seconds=0.25) <= got.again_at - NOON <= timedelta(seconds=6)

    def test_a_quiet_line_is_given_up_after_a_while(self) -> None:
        quiet = due(wake(WakeType.WITHDRAW, lives_s=QUIET_LIFE.total_seconds()))
        late = NOON + QUIET_TRIES
        assert report(quiet, outcomes(PushResult.UNKNOWN), late, 0).given_up


class TestWords:
    @pytest.mark.parametrize(
        ("kind", "reason", "key"),
        [
            (WakeType.RING, None, TextKey.RING),
            (WakeType.MISSED, None, TextKey.MISSED),
            (WakeType.SOMEONE_FREE, None, TextKey.SOMEONE_FREE),
            (WakeType.WITHDRAW, WithdrawReason.ANSWERED, TextKey.ANSWERED),
            (WakeType.WITHDRAW, WithdrawReason.ANSWERED_BY_YOU, TextKey.ANSWERED_BY_YOU),
            (WakeType.WITHDRAW, WithdrawReason.CANCELLED, TextKey.NO_LONGER_NEEDED),
            (WakeType.WITHDRAW, WithdrawReason.REQUEST_ENDED, TextKey.NO_LONGER_NEEDED),
            (WakeType.WITHDRAW, WithdrawReason.UNAVAILABLE, TextKey.NOT_RINGING),
            (WakeType.WITHDRAW, WithdrawReason.EXPIRED, TextKey.MISSED),
        ],
    )
    def test_are_true(self, kind: WakeType, reason: WithdrawReason | None, key: TextKey) -> None:
        assert text_key(wake(kind, reason=reason)) is key
