"""The web push pusher against the stand-in: every answer and every fault, each with the outcome the port promises."""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from multiprocessing.connection import Connection
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from infra.standins.webpush import MOZILLA, WebPushStandIn
from infra.standins.webpush_browser import Subscription
from infra.standins.webpush_plan import Act
from infra.webpush.encryption import encrypt
from infra.webpush.keys import load, make_keys
from infra.webpush.push import ATTEMPT_S, WebPushPusher
from infra.webpush.transport import CONNECTIONS, TO_ONE_SERVICE
from infra.webpush.vapid import Vapid
from matching.waking import PushOutcome, PushResult, PushTarget, Wake, WakeType
from server.push_services import is_push_endpoint
from tests.support.fakes.push_words import FakeWords
from tests.support.pushes import URGENCIES, Clock, Counted, results, ring

PRIVATE, PUBLIC = make_keys()
APPLE = "web.push.apple.com"
LAG_S = 0.020
"""How late the event loop may be, once in a hundred times."""


class Words(FakeWords):
    """Does something when it is asked for words: an attempt is under way then, and nothing sent."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Callable[[], object] = lambda: None

    def answers(self, languages: Sequence[str]) -> tuple[str, str]:
        self.before()
        return super().answers(languages)


class World:
    def __init__(self, standin: WebPushStandIn, via: str) -> None:
        self.standin = standin
        self.plan = standin.plan
        self.clock = Clock()
        self.words = Words()
        vapid = Vapid(load(PRIVATE, PUBLIC), "mailto:push@eyeline.example", self.clock)
        self.pusher = WebPushPusher(vapid, self.words, is_push_endpoint, self.clock, via)

    def targets(self, count: int, *acts: Act, host: str = MOZILLA) -> list[PushTarget]:
        """As many for each of `acts`, in turns."""
        made = [target(self.standin.subscribe(PUBLIC, host)) for _ in range(count * max(1, len(acts)))]
        for index, one in enumerate(made):
            if acts:
                self.plan.answer_target(one.value, acts[index % len(acts)])
        return made

    async def push(self, *targets: PushTarget, one: Wake | None = None) -> list[PushOutcome]:
        return await self.pusher.push(one or ring(), targets or self.targets(1))

    async def result(self) -> PushOutcome:
        [outcome] = await self.push()
        return outcome


def target(subscription: Subscription, keys: Mapping[str, str] | None = None) -> PushTarget:
    keys = subscription.keys if keys is None else keys
    return PushTarget(uuid4(), "webpush", subscription.endpoint, keys, "web", ("en",))


def to(endpoint: str) -> PushTarget:
    """Good keys, any endpoint."""
    return target(Subscription(endpoint, WebPushStandIn().subscribe(PUBLIC).keys))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with WebPushStandIn() as standin:
        world = World(standin, standin.url)
        yield world
        await world.pusher.close()


@pytest.fixture
def counted() -> Counted:
    return Counted("webpush")


class TestWhatIsSent:
    async def test_a_browser_can_read_it(self, world: World) -> None:
        assert await world.result() == PushOutcome(PushResult.DELIVERED)
        received = await world.standin.nth(1)
        assert received.data is not None
        assert (received.data["type"], received.data["title"]) == ("ring", "ring title")

    @pytest.mark.parametrize(("type_", "urgency"), URGENCIES)
    async def test_its_urgency_is_its_types(self, world: World, type_: WakeType, urgency: str) -> None:
        await world.push(one=ring(type_))
        headers = (await world.standin.nth(1)).headers
        assert headers["Urgency"] == urgency
        assert "Topic" not in headers

    @pytest.mark.parametrize(("life_s", "ttl"), [(30.5, "30"), (0.9, "1"), (3600.5, "3600")])
    async def test_it_lives_for_the_whole_seconds_left_and_one_at_least(
        self, world: World, life_s: float, ttl: str
    ) -> None:
        await world.push(one=ring(life_s=life_s))
        assert (await world.standin.nth(1)).headers["TTL"] == ttl

    async def test_each_push_service_is_spoken_to_by_its_own_name(self, world: World) -> None:
        targets = world.targets(3) + world.targets(3, host=APPLE)
        assert results(await world.push(*targets)) == {PushResult.DELIVERED: 6}
        signed = {
            (received.endpoint.split("/")[2], received.headers["Authorization"]) for received in world.standin.seen
        }
        assert len(signed) == 2


class TestAnswers:
    @pytest.mark.parametrize(
        ("act", "result"),
        [
            (Act.BAD_REQUEST, PushResult.FAILED),
            (Act.UNAUTHORIZED, PushResult.QUARANTINED),
            (Act.FORBIDDEN, PushResult.QUARANTINED),
            (Act.NOT_FOUND, PushResult.UNREGISTERED),
            (Act.GONE, PushResult.UNREGISTERED),
            (Act.INTERNAL, PushResult.RETRY_LATER),
            (Act.UNAVAILABLE, PushResult.RETRY_LATER),
            (Act.REDIRECT, PushResult.FAILED),
            (Act.RESET, PushResult.UNKNOWN),
        ],
    )
    async def test_each_has_its_outcome_after_one_attempt(self, world: World, act: Act, result: PushResult) -> None:
        world.plan.answer_all(act)
        assert await world.result() == PushOutcome(result)
        assert len(world.standin.seen) == 1

    @pytest.mark.parametrize(("header", "wait_s"), [(None, 60), ("5", 60), ("90", 90)])
    async def test_too_many_is_throttled_for_a_minute_at_least(
        self, world: World, header: str | None, wait_s: float
    ) -> None:
        world.plan.answer_all(Act.TOO_MANY, header)
        assert await world.result() == PushOutcome(PushResult.THROTTLED, timedelta(seconds=wait_s))

    async def test_retry_after_may_be_a_date(self, world: World) -> None:
        world.plan.answer_all(Act.TOO_MANY, format_datetime(datetime.now(UTC) + timedelta(seconds=300), True))
        outcome = await world.result()
        assert outcome.retry_after is not None
        assert 290 < outcome.retry_after.total_seconds() <= 300

    async def test_one_who_subscribed_with_another_key_is_quarantined(self, world: World) -> None:
        elsewhere = target(world.standin.subscribe(make_keys()[1]))
        assert await world.push(elsewhere) == [PushOutcome(PushResult.QUARANTINED)]

    @pytest.mark.parametrize("act", [Act.UNAUTHORIZED, Act.FORBIDDEN, Act.BAD_REQUEST, Act.TOO_MANY])
    async def test_an_operator_is_told_once_a_minute_and_never_the_endpoint(self, world: World, act: Act) -> None:
        world.plan.answer_all(act)
        targets = world.targets(10)
        with capture_logs() as logs:
            await world.push(*targets)
            await world.push(*targets[:1])
        [log] = logs
        assert log["log_level"] == "error"
        assert "/wpush/" not in str(logs)
        assert not any(one.value in str(logs) for one in targets)


class TestWhereNothingIsPosted:
    @pytest.mark.parametrize(
        "endpoint",
        [
            "https://127.0.0.1/a",
            "https://localhost/a",
            "https://10.0.0.1/a",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]/a",
            f"http://{MOZILLA}/a",
            f"https://{MOZILLA}:8443/a",
            f"https://{MOZILLA}@127.0.0.1/a",
            f"https://user@{MOZILLA}/a",
            f"https://{MOZILLA}.evil.example/a",
            f"https://evil.example/{MOZILLA}",
            f"https://evil.example\\@{MOZILLA}/a",
            f"https://{MOZILLA}/",
            f"https://{MOZILLA}/a b",
            f"https://{MOZILLA}/a\r\nX: y",
            f"https://{MOZILLA}/ü",
            "https://[/a",
            "",
            "token",
        ],
    )
    async def test_only_known_push_services_get_anything(self, world: World, counted: Counted, endpoint: str) -> None:
        assert await world.push(to(endpoint)) == [PushOutcome(PushResult.FAILED)]
        assert world.standin.seen == []
        assert counted.answers() == {}

    @pytest.mark.parametrize(
        "endpoint", ["https://127.0.0.1:{port}/a", "http://127.0.0.1:{port}/a", "https://localhost:{port}/a"]
    )
    async def test_not_even_without_a_stand_in(self, world: World, endpoint: str) -> None:
        vapid = Vapid(load(PRIVATE), "mailto:push@eyeline.example", world.clock)
        real = WebPushPusher(vapid, world.words, is_push_endpoint, world.clock)
        with socket.create_server(("127.0.0.1", 0)) as inner:
            inner.setblocking(False)
            found = await real.push(ring(), [to(endpoint.format(port=inner.getsockname()[1]))])
            assert found == [PushOutcome(PushResult.FAILED)]
            with pytest.raises(BlockingIOError):
                inner.accept()
        await real.close()

    @pytest.mark.parametrize(
        "keys",
        [
            {},
            {"p256dh": "", "auth": ""},
            {"auth": "AAAAAAAAAAAAAAAAAAAAAA"},
            {"p256dh": "B" * 87, "auth": "AAAAAAAAAAAAAAAAAAAAAA"},
            {"p256dh": "not base64!", "auth": "AAAAAAAAAAAAAAAAAAAAAA"},
            {"p256dh": PUBLIC, "auth": "AAAA"},
            {"p256dh": PUBLIC, "auth": "ü"},
        ],
    )
    async def test_nobody_is_told_what_they_could_not_read(self, world: World, keys: Mapping[str, str]) -> None:
        good = world.targets(3)
        bad = target(world.standin.subscribe(PUBLIC), keys)
        outcomes = await world.push(good[0], bad, *good[1:])
        assert outcomes[1] == PushOutcome(PushResult.FAILED)
        assert results(outcomes) == {PushResult.DELIVERED: 3, PushResult.FAILED: 1}
        assert len(world.standin.seen) == 3

    async def test_without_keys_neither(self, world: World) -> None:
        nothing = PushTarget(uuid4(), "webpush", world.targets(1)[0].value, None, "web", ())
        assert await world.push(nothing) == [PushOutcome(PushResult.FAILED)]


class TestConnections:
    async def test_what_nobody_listens_for_was_not_sent(self, world: World, counted: Counted) -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            nobody = World(world.standin, f"http://127.0.0.1:{bound.getsockname()[1]}")
            assert await nobody.result() == PushOutcome(PushResult.RETRY_LATER)
        assert counted.answers() == {}
        await nobody.pusher.close()

    async def test_silence_ends_at_the_deadline_as_unknown(self, world: World, counted: Counted) -> None:
        [silent] = world.targets(1, Act.HANG)
        began = time.monotonic()
        outcomes = await world.push(silent, *world.targets(10))
        assert ATTEMPT_S <= time.monotonic() - began < ATTEMPT_S + 1
        assert outcomes[0] == PushOutcome(PushResult.UNKNOWN)
        assert results(outcomes[1:]) == {PushResult.DELIVERED: 10}
        assert counted.answers() == {"201": 10, "unknown": 1}

    async def test_a_push_service_that_hangs_holds_up_no_other(self, world: World) -> None:
        silent = world.targets(CONNECTIONS, Act.HANG)
        others = world.targets(30, host=APPLE)
        outcomes = await world.push(*silent, *others)
        assert results(outcomes[:CONNECTIONS]) == {
            PushResult.UNKNOWN: TO_ONE_SERVICE,
            PushResult.RETRY_LATER: CONNECTIONS - TO_ONE_SERVICE,
        }
        assert results(outcomes[CONNECTIONS:]) == {PushResult.DELIVERED: 30}

    async def test_a_push_that_is_cancelled_ends(self, world: World) -> None:
        pushing = asyncio.create_task(world.push(*world.targets(1, Act.HANG)))
        await world.standin.nth(1)
        pushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pushing


async def test_one_bad_answer_costs_no_other_its_outcome(world: World, counted: Counted) -> None:
    expected = {
        Act.OK: PushResult.DELIVERED,
        Act.BAD_REQUEST: PushResult.FAILED,
        Act.UNAUTHORIZED: PushResult.QUARANTINED,
        Act.FORBIDDEN: PushResult.QUARANTINED,
        Act.NOT_FOUND: PushResult.UNREGISTERED,
        Act.GONE: PushResult.UNREGISTERED,
        Act.TOO_MANY: PushResult.THROTTLED,
        Act.INTERNAL: PushResult.RETRY_LATER,
        Act.UNAVAILABLE: PushResult.RETRY_LATER,
        Act.REDIRECT: PushResult.FAILED,
        Act.RESET: PushResult.UNKNOWN,
        Act.HANG: PushResult.UNKNOWN,
    }
    outcomes = await world.push(*world.targets(5, *expected), to("https://127.0.0.1/a"))
    assert [outcome.result for outcome in outcomes] == [*list(expected.values()) * 5, PushResult.FAILED]
    # Every redirect was answered, none followed.
    assert len(world.standin.seen) == 60
    assert {k: v for k, v in counted.answers().items() if k != "unknown"} == world.standin.answers
    assert counted.answers()["unknown"] == 10
    assert counted.timed() == 60
    assert counted.results() == Counter(outcome.result.value for outcome in outcomes)


async def test_words_that_fail_cost_only_those_who_would_read_them(world: World) -> None:
    def fail() -> None:
        raise LookupError("private words")

    world.words.before = fail
    with capture_logs() as logs:
        assert results(await world.push(*world.targets(3))) == {PushResult.FAILED: 3}
    assert [(log["log_level"], log["error"]) for log in logs] == [("error", "LookupError")]
    assert "private words" not in str(logs)


class TestTooLate:
    async def test_nothing_is_sent_when_the_ring_is_over(self, world: World, counted: Counted) -> None:
        assert results(await world.push(*world.targets(2), one=ring(life_s=0))) == {PushResult.FAILED: 2}
        assert world.standin.seen == []
        assert (counted.dropped(), counted.answers()) == (2, {})
        assert world.words.asked == 0

    async def test_a_ring_that_ends_while_it_is_encrypted_is_dropped(self, world: World, counted: Counted) -> None:
        def end() -> None:
            world.clock.ahead = timedelta(seconds=31)

        world.words.before = end
        assert await world.result() == PushOutcome(PushResult.FAILED)
        assert world.standin.seen == []
        assert (counted.dropped(), counted.answers()) == (1, {})

    async def test_a_ring_that_ends_while_it_waits_for_a_connection_is_dropped(
        self, world: World, counted: Counted
    ) -> None:
        world.plan.answer_next(CONNECTIONS, Act.HANG)
        half = CONNECTIONS // 2
        holding = [asyncio.create_task(world.push(*world.targets(half))) for _ in range(2)]
        await world.standin.nth(CONNECTIONS)
        asked = asyncio.Event()
        world.words.before = asked.set
        waiting = asyncio.create_task(world.push())
        await asked.wait()
        world.clock.ahead = timedelta(seconds=31)
        for one in holding:
            one.cancel()
        assert await waiting == [PushOutcome(PushResult.FAILED)]
        assert len(world.standin.seen) == CONNECTIONS
        assert counted.dropped() == 1
        await asyncio.gather(*holding, return_exceptions=True)


async def test_a_push_to_nobody_is_nothing(world: World) -> None:
    assert await world.pusher.push(ring(), []) == []
    assert world.standin.seen == []


def serve(ours: Connection, public: str, count: int) -> None:
    """A stand-in in a process of its own, until the other end is closed."""

    async def run() -> None:
        async with WebPushStandIn() as standin:
            made = [standin.subscribe(public) for _ in range(count)]
            ours.send((standin.url, [one.json() for one in made]))
            with suppress(EOFError):
                await asyncio.to_thread(ours.recv)

    asyncio.run(run())


async def lags_of(pushing: asyncio.Task[list[PushOutcome]]) -> list[float]:
    """How late the loop was at each turn until `pushing` has ended, in seconds of this process's own CPU time.

    Both threads count, and nothing else this machine is busy with.
    """
    lags = []
    while not pushing.done():
        before = time.process_time()
        await asyncio.wait([pushing], timeout=0.001)
        lags.append(time.process_time() - before)
    return sorted(lags)


class TestTheLoop:
    async def test_does_not_encrypt(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        threads = set()

        def watched(plaintext: bytes, keys: Mapping[str, str] | None) -> bytes:
            threads.add(threading.current_thread())
            return encrypt(plaintext, keys)

        monkeypatch.setattr("infra.webpush.push.encrypt", watched)
        assert results(await world.push(*world.targets(50))) == {PushResult.DELIVERED: 50}
        assert len(threads) == 1
        assert threading.current_thread() not in threads

    async def test_is_left_alone_by_a_wave_of_500(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        # On a busy machine a wave may take longer; that is not what this is about.
        monkeypatch.setattr("infra.webpush.push.ATTEMPT_S", 30.0)
        context = multiprocessing.get_context("spawn")
        theirs, ours = context.Pipe()
        process = context.Process(target=serve, args=(ours, PUBLIC, 500), daemon=True)
        process.start()
        ours.close()
        try:
            url, made = await asyncio.to_thread(theirs.recv)
            far = World(world.standin, url)
            pushing = asyncio.create_task(
                far.push(*(target(Subscription(one["endpoint"], one["keys"])) for one in made), one=ring(life_s=60))
            )
            lags = await lags_of(pushing)
            assert results(await pushing) == {PushResult.DELIVERED: 500}
            await far.pusher.close()
        finally:
            theirs.close()
            await asyncio.to_thread(process.join, 10)
        assert process.exitcode == 0
        assert lags[len(lags) * 99 // 100] <= LAG_S
