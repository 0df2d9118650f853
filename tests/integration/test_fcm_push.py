"""The FCM pusher against the stand-in: every answer and every fault, each with the outcome the port promises."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from infra.firebase.credentials import REFRESH_WITHIN_S, AccessTokens, TokenUnavailable
from infra.firebase.push import ATTEMPT_S, FcmPusher
from infra.firebase.transport import CONNECTIONS, Transport
from infra.standins.fcm import FcmStandIn
from infra.standins.fcm_plan import Act
from matching.waking import PushOutcome, PushResult, PushTarget, Wake
from tests.support.fakes.push_words import FakeWords
from tests.support.pushes import Clock, Counted, results, ring, target


class FakeBudget:
    """Says what it is told to say."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.taken: list[int] = []
        self.slowed_for_s: list[float] = []

    async def take(self, count: int) -> float:
        self.taken.append(count)
        return self.waits.pop(0) if self.waits else 0.0

    async def slow(self, for_s: float) -> None:
        self.slowed_for_s.append(for_s)


class FakeTokens:
    """For when there is no stand-in to give them, or they hold something up."""

    def __init__(self, before: Callable[[], object] = lambda: None) -> None:
        self._before = before

    async def token(self) -> str:
        self._before()
        return "token"

    def invalidate(self, token: str) -> None:
        pass


class World:
    def __init__(self, standin: FcmStandIn, account: Path) -> None:
        self.standin = standin
        self.plan = standin.plan
        self.account = account
        self.tokens = AccessTokens(account)
        self.transport = Transport(standin.project, standin.url)
        self.budget = FakeBudget()
        self.clock = Clock()
        self.pusher = FcmPusher(self.transport, self.tokens, self.budget, FakeWords(), self.clock)

    async def push(self, *targets: PushTarget, one: Wake | None = None) -> list[PushOutcome]:
        return await self.pusher.push(one or ring(), targets or (target(),))

    async def result(self) -> PushOutcome:
        [outcome] = await self.push()
        return outcome


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with FcmStandIn() as standin:
        standin.make_account(tmp_path / "account.json")
        world = World(standin, tmp_path / "account.json")
        yield world
        await world.pusher.close()
        await world.tokens.close()


@pytest.fixture
def counted() -> Counted:
    return Counted("fcm")


class TestAnswers:
    async def test_what_fcm_took_is_delivered(self, world: World) -> None:
        assert await world.result() == PushOutcome(PushResult.DELIVERED)
        assert (await world.standin.nth(1)).target == "phone"

    @pytest.mark.parametrize(
        ("act", "result"),
        [
            (Act.INVALID, PushResult.FAILED),
            (Act.SENDER_ID_MISMATCH, PushResult.QUARANTINED),
            (Act.UNREGISTERED, PushResult.UNREGISTERED),
            (Act.INTERNAL, PushResult.RETRY_LATER),
            (Act.UNAVAILABLE, PushResult.RETRY_LATER),
            (Act.BAD_JSON, PushResult.UNKNOWN),
            (Act.RESET, PushResult.UNKNOWN),
        ],
    )
    async def test_each_answer_has_its_outcome(self, world: World, act: Act, result: PushResult) -> None:
        world.plan.answer_all(act)
        assert await world.result() == PushOutcome(result)
        assert len(world.standin.seen) == 1

    @pytest.mark.parametrize(
        ("header", "wait_s"), [(None, 60), ("5", 60), ("90", 90), ("soon", 60), ("-1", 60), ("9" * 400, 86_400)]
    )
    async def test_too_many_is_throttled_for_a_minute_at_least(
        self, world: World, header: str | None, wait_s: float
    ) -> None:
        world.plan.answer_all(Act.QUOTA_EXCEEDED, header)
        assert await world.result() == PushOutcome(PushResult.THROTTLED, timedelta(seconds=wait_s))
        assert world.budget.slowed_for_s == [wait_s]

    async def test_retry_after_may_be_a_date(self, world: World) -> None:
        world.plan.answer_all(Act.QUOTA_EXCEEDED, format_datetime(datetime.now(UTC) + timedelta(seconds=300), True))
        outcome = await world.result()
        assert outcome.retry_after is not None
        assert 295 < outcome.retry_after.total_seconds() <= 300

    async def test_trouble_at_google_may_say_how_long(self, world: World) -> None:
        world.plan.answer_all(Act.UNAVAILABLE, "7")
        assert await world.result() == PushOutcome(PushResult.RETRY_LATER, timedelta(seconds=7))

    async def test_a_wave_of_429_slows_the_budget_once(self, world: World) -> None:
        world.plan.answer_all(Act.QUOTA_EXCEEDED)
        outcomes = await world.push(*(target(f"{n}") for n in range(20)))
        assert results(outcomes) == {PushResult.THROTTLED: 20}
        assert world.budget.slowed_for_s == [60]

    async def test_a_page_that_is_not_googles_forgets_nobodys_device(self, world: World) -> None:
        elsewhere = FcmPusher(
            Transport(world.standin.project, f"{world.standin.url}/proxy"),
            world.tokens,
            world.budget,
            FakeWords(),
            world.clock,
        )
        [outcome] = await elsewhere.push(ring(), [target()])
        assert outcome.result is PushResult.FAILED
        await elsewhere.close()


class TestTokens:
    async def test_a_refused_token_is_replaced_once_for_the_whole_wave(self, world: World, counted: Counted) -> None:
        await world.push()
        world.standin.tokens.revoke_all()
        outcomes = await world.push(*(target(f"{n}") for n in range(150)))
        assert results(outcomes) == {PushResult.DELIVERED: 150}
        assert world.standin.tokens.given == 2
        assert counted.answers() == world.standin.answers
        assert world.standin.answers["200"] == 151

    async def test_refused_again_it_is_tried_later_and_said(self, world: World) -> None:
        world.plan.answer_all(Act.UNAUTHENTICATED)
        with capture_logs() as logs:
            assert await world.result() == PushOutcome(PushResult.RETRY_LATER)
        assert len(world.standin.seen) == 2
        assert [(log["log_level"], log["status"]) for log in logs] == [("error", 401)]

    async def test_without_a_token_nothing_is_sent(self, world: World) -> None:
        world.standin.tokens.refuse_with = 400
        with capture_logs() as logs:
            assert results(await world.push(*(target(f"{n}") for n in range(20)))) == {PushResult.RETRY_LATER: 20}
        assert world.standin.seen == []
        assert len(logs) == 1

    async def test_many_who_ask_at_once_share_one_refresh(self, world: World) -> None:
        assert len(set(await asyncio.gather(*(world.tokens.token() for _ in range(50))))) == 1
        assert world.standin.tokens.given == 1

    async def test_a_refresh_leaves_the_loop_alone(self, world: World) -> None:
        world.standin.tokens.open.clear()
        asking = asyncio.create_task(world.tokens.token())
        for _ in range(100):
            await asyncio.sleep(0)
        assert not asking.done()
        world.standin.tokens.open.set()
        async with asyncio.timeout(5):
            assert await asking

    async def test_the_old_token_serves_while_the_next_is_fetched(self, world: World) -> None:
        world.standin.tokens.expires_in_s = 200
        first = await world.tokens.token()
        world.standin.tokens.open.clear()
        assert await world.tokens.token() == first
        [refresh] = [task for task in asyncio.all_tasks() if task.get_name() == "FCM access token"]
        world.standin.tokens.open.set()
        async with asyncio.timeout(5):
            await refresh
        assert await world.tokens.token() != first

    async def test_who_waits_for_one_in_vain_is_told_in_time(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert REFRESH_WITHIN_S == 5
        monkeypatch.setattr("infra.firebase.credentials.REFRESH_WITHIN_S", 0.1)
        world.standin.tokens.open.clear()
        with pytest.raises(TokenUnavailable):
            await world.tokens.token()
        # The one under way is waited for; there is no second.
        world.standin.tokens.open.set()
        async with asyncio.timeout(5):
            while True:
                try:
                    assert await world.tokens.token()
                    break
                except TokenUnavailable:
                    continue
        assert world.standin.tokens.given == 1

    async def test_kept_fresh_no_ring_waits_for_one(self, world: World) -> None:
        keeping = asyncio.create_task(world.tokens.run())
        async with asyncio.timeout(5):
            await world.standin.tokens.nth(1)
        await world.push()
        assert world.standin.tokens.given == 1
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    async def test_no_token_is_in_what_is_printed(self, world: World) -> None:
        token = await world.tokens.token()
        assert token not in repr(vars(world.tokens))


class TestConnections:
    async def test_what_nobody_listens_for_was_not_sent(self, world: World, counted: Counted) -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            transport = Transport("p", f"http://127.0.0.1:{bound.getsockname()[1]}")
            nobody = FcmPusher(transport, FakeTokens(), world.budget, FakeWords(), world.clock)
            assert await nobody.push(ring(), [target()]) == [PushOutcome(PushResult.RETRY_LATER)]
        assert counted.answers() == {}
        await nobody.close()

    async def test_silence_ends_at_the_deadline_as_unknown(self, world: World, counted: Counted) -> None:
        await world.push()
        world.plan.answer_target("silent", Act.HANG)
        began = time.monotonic()
        outcomes = await world.push(target("silent"), *(target(f"{n}") for n in range(10)))
        assert ATTEMPT_S <= time.monotonic() - began < ATTEMPT_S + 1
        assert outcomes[0] == PushOutcome(PushResult.UNKNOWN)
        assert results(outcomes[1:]) == {PushResult.DELIVERED: 10}
        assert counted.answers() == {"200": 11, "unknown": 1}

    async def test_what_got_no_turn_before_the_deadline_was_not_sent(self, world: World, counted: Counted) -> None:
        world.plan.answer_all(Act.HANG)
        outcomes = await world.push(*(target(f"{n}") for n in range(CONNECTIONS + 30)))
        assert results(outcomes) == {PushResult.UNKNOWN: CONNECTIONS, PushResult.RETRY_LATER: 30}
        assert len(world.standin.seen) == CONNECTIONS
        assert counted.answers() == {"unknown": CONNECTIONS}

    async def test_a_mass_close_costs_only_what_was_under_way(self, world: World, counted: Counted) -> None:
        world.standin.close_after(120)
        outcomes = await world.push(*(target(f"{n}") for n in range(400)))
        found = results(outcomes)
        # A connection that is found closed before anything was sent costs nothing but the try; how many are, and how
        # often, is the machine's business.
        assert set(found) - {PushResult.RETRY_LATER} == {PushResult.DELIVERED, PushResult.UNKNOWN}
        assert found[PushResult.UNKNOWN] <= CONNECTIONS
        assert counted.answers() == {"200": found[PushResult.DELIVERED], "unknown": found[PushResult.UNKNOWN]}

    async def test_a_push_that_is_cancelled_ends(self, world: World) -> None:
        world.plan.answer_all(Act.HANG)
        pushing = asyncio.create_task(world.push())
        await world.standin.nth(1)
        pushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pushing


async def test_one_bad_answer_costs_no_other_its_outcome(world: World, counted: Counted) -> None:
    expected = [
        (Act.OK, PushResult.DELIVERED),
        (Act.INVALID, PushResult.FAILED),
        (Act.SENDER_ID_MISMATCH, PushResult.QUARANTINED),
        (Act.UNREGISTERED, PushResult.UNREGISTERED),
        (Act.QUOTA_EXCEEDED, PushResult.THROTTLED),
        (Act.INTERNAL, PushResult.RETRY_LATER),
        (Act.UNAVAILABLE, PushResult.RETRY_LATER),
        (Act.BAD_JSON, PushResult.UNKNOWN),
        (Act.RESET, PushResult.UNKNOWN),
        (Act.HANG, PushResult.UNKNOWN),
    ]
    targets = [target(f"{act}-{n}", "ios" if n % 2 else "android") for n in range(5) for act, _ in expected]
    for one in targets:
        world.plan.answer_target(one.value, Act(one.value.partition("-")[0]))
    outcomes = await world.push(*targets)
    assert [outcome.result for outcome in outcomes] == [result for _ in range(5) for _, result in expected]
    assert {k: v for k, v in counted.answers().items() if k != "unknown"} == world.standin.answers
    assert counted.answers()["unknown"] == 10
    assert counted.timed() == len(world.standin.seen) == 50
    assert counted.results() == Counter(outcome.result.value for outcome in outcomes)


class TestTooLate:
    async def test_nothing_is_sent_when_the_ring_is_over(self, world: World, counted: Counted) -> None:
        outcomes = await world.push(target(), target(), one=ring(life_s=0))
        assert results(outcomes) == {PushResult.FAILED: 2}
        assert world.standin.seen == []
        assert counted.dropped() == 2
        assert counted.answers() == {}
        assert world.budget.taken == []

    async def test_a_ring_that_ends_while_it_waits_for_its_token_is_dropped(
        self, world: World, counted: Counted
    ) -> None:
        def end() -> None:
            world.clock.ahead = timedelta(seconds=31)

        late = FcmPusher(world.transport, FakeTokens(end), world.budget, FakeWords(), world.clock)
        assert await late.push(ring(), [target()]) == [PushOutcome(PushResult.FAILED)]
        assert world.standin.seen == []
        assert (counted.dropped(), counted.answers()) == (1, {})

    async def test_a_ring_that_ends_while_it_waits_for_a_connection_is_dropped(
        self, world: World, counted: Counted
    ) -> None:
        world.plan.answer_next(CONNECTIONS, Act.HANG)
        holding = asyncio.create_task(world.push(*(target(f"{n}") for n in range(CONNECTIONS))))
        await world.standin.nth(CONNECTIONS)
        about_to_send = asyncio.Event()
        tokens = FakeTokens(about_to_send.set)
        late = FcmPusher(world.transport, tokens, world.budget, FakeWords(), world.clock)
        waiting = asyncio.create_task(late.push(ring(), [target()]))
        await about_to_send.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        world.clock.ahead = timedelta(seconds=31)
        holding.cancel()
        assert await waiting == [PushOutcome(PushResult.FAILED)]
        assert len(world.standin.seen) == CONNECTIONS
        assert counted.dropped() == 1


class TestBudget:
    async def test_a_wave_asks_once(self, world: World) -> None:
        await world.push(*(target(f"{n}") for n in range(30)))
        assert world.budget.taken == [30]

    async def test_a_short_wait_is_waited(self, world: World) -> None:
        world.budget.waits = [0.02, 0.02]
        assert await world.result() == PushOutcome(PushResult.DELIVERED)
        assert world.budget.taken == [1, 1, 1]

    async def test_a_long_one_throttles_the_wave(self, world: World) -> None:
        world.budget.waits = [12.5]
        outcomes = await world.push(target(), target())
        assert outcomes == [PushOutcome(PushResult.THROTTLED, timedelta(seconds=12.5))] * 2
        assert world.standin.seen == []

    async def test_a_budget_that_breaks_silences_nobody(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        async def broken(count: int) -> float:
            raise RuntimeError("broken")

        monkeypatch.setattr(world.budget, "take", broken)
        assert await world.result() == PushOutcome(PushResult.DELIVERED)


@pytest.mark.parametrize("act", [Act.INVALID, Act.SENDER_ID_MISMATCH])
async def test_an_operator_is_told_once_a_minute_and_never_the_value(world: World, act: Act) -> None:
    world.plan.answer_all(act)
    with capture_logs() as logs:
        await world.push(*(target(f"secret-value-{n}") for n in range(10)))
        await world.push(target("secret-value"))
    [log] = logs
    assert log["log_level"] == "error"
    assert log["error_code"] in ("INVALID_ARGUMENT", "SENDER_ID_MISMATCH")
    assert "secret" not in str(logs)


async def test_a_push_to_nobody_is_nothing(world: World) -> None:
    assert await world.pusher.push(ring(), []) == []
    assert world.standin.seen == []
