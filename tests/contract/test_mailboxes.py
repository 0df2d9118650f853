"""One contract for mailboxes and answers: the obvious ones in memory and the real ones on a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol
from uuid import UUID, uuid4

import pytest

from infra.valkey.answers import ValkeyAnswers
from infra.valkey.cluster import connect, on_primaries
from infra.valkey.deliveries import unpack
from infra.valkey.library import Library
from infra.valkey.mailboxes import MESSAGES_MAX, ValkeyMailboxes
from signaling.ports import Answers, CarrierUnavailable, Claim, Delivery, Mailboxes, Once, OwnershipLost, Version
from tests.support.engines import Engines, freeze, kill, thaw
from tests.support.fake_mailboxes import FakeAnswers, FakeCarrier, FakeMailboxes

SOON_S = 5.0


class Subject(Protocol):
    """Nodes over one carrier, and what happens to carriers."""

    def node(self, *, keep_ms: int = 120_000) -> Mailboxes: ...

    def answers(self) -> Answers: ...

    async def wipe(self) -> None: ...

    async def pass_ms(self, ms: int) -> None: ...


class FakeSubject:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.carrier = FakeCarrier(lambda: self.now_s)

    def node(self, *, keep_ms: int = 120_000) -> Mailboxes:
        return FakeMailboxes(self.carrier, keep_s=keep_ms / 1000)

    def answers(self) -> Answers:
        return FakeAnswers()

    async def wipe(self) -> None:
        self.carrier.wipe()

    async def pass_ms(self, ms: int) -> None:
        self.now_s += ms / 1000


class ValkeySubject:
    def __init__(self, url: str) -> None:
        self.client = connect(url)
        self.library = Library(self.client)

    def node(self, *, keep_ms: int = 120_000) -> Mailboxes:
        return ValkeyMailboxes(self.client, self.library, keep_ms=keep_ms)

    def answers(self) -> Answers:
        return ValkeyAnswers(self.client, self.library)

    async def wipe(self) -> None:
        await on_primaries(self.client, "FLUSHALL")

    async def pass_ms(self, ms: int) -> None:
        # The server's own clock decides about expiry; there is no event to wait for.
        await asyncio.sleep(ms / 1000)


@pytest.fixture(params=["memory", "valkey", "cluster"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "memory":
        yield FakeSubject()
        return
    if request.param == "cluster":
        real = ValkeySubject(request.getfixturevalue("cluster_url"))
    else:
        engines: Engines = request.getfixturevalue("engines")
        engines.restore()
        real = ValkeySubject(await engines.empty_valkey())
    yield real
    await real.client.aclose()


class Listener:
    """Collects what one node is handed."""

    def __init__(self, node: Mailboxes) -> None:
        self._queue: asyncio.Queue[Delivery] = asyncio.Queue()
        self._task = asyncio.create_task(self._listen(node))

    async def _listen(self, node: Mailboxes) -> None:
        async for delivery in node.deliveries():
            self._queue.put_nowait(delivery)

    async def next(self) -> Delivery:
        async with asyncio.timeout(SOON_S):
            return await self._queue.get()

    async def ready(self, node: Mailboxes) -> None:
        """Until this node hears what is sent to it."""
        claim = await node.claim(uuid4(), resume=None)
        async with asyncio.timeout(SOON_S):
            while self._queue.empty():
                await node.send_unnumbered(claim.session_id, b"{}")
                await asyncio.sleep(0.01)
        while not self._queue.empty():
            self._queue.get_nowait()

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


@pytest.fixture
def session() -> UUID:
    return uuid4()


async def listening(node: Mailboxes) -> Listener:
    listener = Listener(node)
    await listener.ready(node)
    return listener


def message(number: int) -> bytes:
    return b'{"type":"chat","data":{"n":%d}}' % number


async def send(node: Mailboxes, session: UUID, numbers: range) -> None:
    for number in numbers:
        assert await node.send(session, message(number))


class TestSending:
    async def test_there_is_no_mailbox_before_a_claim(self, subject: Subject, session: UUID) -> None:
        assert not await subject.node().send(session, message(1))
        await subject.node().send_unnumbered(session, message(1))
        assert await subject.node().read(session, 0) == []

    async def test_numbers_have_no_gaps_under_concurrent_senders(self, subject: Subject, session: UUID) -> None:
        owner = subject.node()
        await owner.claim(session, resume=None)
        senders = [subject.node() for _ in range(4)]
        numbers = range(1, 201)
        await asyncio.gather(*(senders[number % 4].send(session, message(number)) for number in numbers))
        entries: list[tuple[int, bytes]] = []
        while more := await owner.read(session, len(entries)):
            entries.extend(more)
        assert [seq for seq, _ in entries] == list(numbers)
        assert {data for _, data in entries} == {message(number) for number in numbers}

    async def test_the_owner_is_handed_every_message_in_order(self, subject: Subject, session: UUID) -> None:
        owner = subject.node()
        listener = await listening(owner)
        claim = await owner.claim(session, resume=None)
        await send(subject.node(), session, range(1, 4))
        for number in range(1, 4):
            assert await listener.next() == Delivery(session, number, message(number), claim.owner_epoch)
        await listener.stop()

    async def test_unnumbered_messages_are_handed_and_not_kept(self, subject: Subject, session: UUID) -> None:
        owner = subject.node()
        listener = await listening(owner)
        claim = await owner.claim(session, resume=None)
        await subject.node().send_unnumbered(session, message(1))
        assert await listener.next() == Delivery(session, None, message(1), claim.owner_epoch)
        assert await owner.read(session, 0) == []
        await listener.stop()

    async def test_a_version_is_told_once_and_never_after_a_later_one(self, subject: Subject, session: UUID) -> None:
        node = subject.node()
        await node.claim(session, resume=None)
        for number in (1, 1, 3, 2, 3):
            assert await node.send(session, message(number), version=Version("call:1", number))
        assert await node.send(session, message(9), version=Version("call:2", 1))
        assert [data for _, data in await node.read(session, 0)] == [message(1), message(3), message(9)]

    async def test_what_a_client_says_again_is_sent_once_by_whichever_node(
        self, subject: Subject, session: UUID
    ) -> None:
        node, other, speaker = subject.node(), subject.node(), uuid4()
        first, second = Once(speaker, "m1"), Once(speaker, "m2")
        listener = await listening(node)
        claim = await node.claim(session, resume=None)
        assert not await node.was_relayed(session, first)
        relays = (node.relay(session, message(1), first) for node in (node, other, node, other))
        assert all(await asyncio.gather(*relays))
        assert await other.was_relayed(session, first)
        assert not await other.was_relayed(session, second)
        assert await other.relay(session, message(2), second)
        assert await other.relay(session, message(3), Once(uuid4(), "m1"))
        assert [await listener.next() for _ in range(3)] == [
            Delivery(session, number, message(number), claim.owner_epoch) for number in (1, 2, 3)
        ]
        assert await node.read(session, 0) == [(number, message(number)) for number in (1, 2, 3)]
        await listener.stop()

    async def test_what_found_no_mailbox_may_be_said_again(self, subject: Subject, session: UUID) -> None:
        node, once = subject.node(), Once(uuid4(), "m1")
        assert not await node.relay(session, message(1), once)
        assert not await node.was_relayed(session, once)
        await node.claim(session, resume=None)
        assert await node.relay(session, message(1), once)
        assert [data for _, data in await node.read(session, 0)] == [message(1)]

    async def test_messages_may_hold_any_bytes_of_json(self, subject: Subject, session: UUID) -> None:
        node = subject.node()
        listener = await listening(node)
        await node.claim(session, resume=None)
        odd = '{"type":"chat","data":{"text":"å \\u0000 - * 7 日本"}}'.encode()
        await node.send(session, odd)
        assert (await listener.next()).message == odd
        assert await node.read(session, 0) == [(1, odd)]
        await listener.stop()


class TestOwning:
    async def test_the_first_claim_begins_an_incarnation(self, subject: Subject, session: UUID) -> None:
        claim = await subject.node().claim(session, resume=None)
        assert (claim.session_id, claim.seq, claim.resumed, claim.backlog) == (session, 0, False, ())
        assert claim.incarnation
        assert claim.owner_epoch > 0

    async def test_a_takeover_tells_the_former_owner_and_fences_it(self, subject: Subject, session: UUID) -> None:
        old, new = subject.node(), subject.node()
        listener = await listening(old)
        stale = await old.claim(session, resume=None)
        await send(old, session, range(1, 3))
        fresh = await new.claim(session, resume=None)
        assert fresh.owner_epoch > stale.owner_epoch
        assert [(await listener.next()).seq for _ in range(2)] == [1, 2]
        assert await listener.next() == Delivery(session, None, None, stale.owner_epoch)
        assert await old.beat([stale]) == {session: None}
        await old.acknowledged(stale, 2)
        assert not await old.release(stale)
        assert len(await new.read(session, 0)) == 2
        assert await new.beat([fresh]) == {session: 2}
        with pytest.raises(OwnershipLost):
            await old.renew(stale)
        await listener.stop()

    async def test_the_same_node_may_take_over_from_itself(self, subject: Subject, session: UUID) -> None:
        node = subject.node()
        stale = await node.claim(session, resume=None)
        fresh = await node.claim(session, resume=None)
        assert fresh.owner_epoch > stale.owner_epoch
        assert await node.beat([stale]) == {session: None}
        assert await node.beat([fresh]) == {session: 0}

    async def test_after_a_release_messages_are_kept_but_handed_to_nobody(
        self, subject: Subject, session: UUID
    ) -> None:
        node = subject.node()
        listener = await listening(node)
        claim = await node.claim(session, resume=None)
        assert await node.release(claim)
        assert await node.beat([claim]) == {session: None}
        await send(node, session, range(1, 2))
        again = await node.claim(session, resume=(claim.incarnation, 0))
        await send(node, session, range(2, 3))
        delivery = await listener.next()
        assert (delivery.seq, delivery.owner_epoch) == (2, again.owner_epoch)
        await listener.stop()

    async def test_a_version_told_while_there_was_no_mailbox_is_not_followed_by_an_older_one(
        self, subject: Subject, session: UUID
    ) -> None:
        node = subject.node()
        assert not await node.send(session, message(2), version=Version("call:1", 2))
        await node.claim(session, resume=None)
        await node.send(session, message(1), version=Version("call:1", 1))
        assert await node.read(session, 0) == []

    async def test_beats_of_many_sessions_are_told_apart(self, subject: Subject) -> None:
        node = subject.node()
        claims = [await node.claim(uuid4(), resume=None) for _ in range(300)]
        await node.send(claims[7].session_id, message(1))
        await node.release(claims[9])
        last = await node.beat(claims)
        assert last[claims[7].session_id] == 1
        assert last[claims[9].session_id] is None
        assert sorted(claim.session_id for claim in claims) == sorted(last)
        assert list(last.values()).count(0) == 298


class TestResuming:
    async def test_what_came_meanwhile_is_the_backlog(self, subject: Subject, session: UUID) -> None:
        first = await subject.node().claim(session, resume=None)
        await send(subject.node(), session, range(1, 6))
        claim = await subject.node().claim(session, resume=(first.incarnation, 2))
        assert (claim.incarnation, claim.seq, claim.resumed) == (first.incarnation, 5, True)
        assert claim.backlog == tuple((number, message(number)) for number in range(3, 6))

    async def test_nothing_missed_is_resumed_too(self, subject: Subject, session: UUID) -> None:
        first = await subject.node().claim(session, resume=None)
        await send(subject.node(), session, range(1, 3))
        claim = await subject.node().claim(session, resume=(first.incarnation, 2))
        assert (claim.resumed, claim.seq, claim.backlog) == (True, 2, ())

    async def test_without_a_resume_numbers_go_on_and_nothing_is_replayed(
        self, subject: Subject, session: UUID
    ) -> None:
        first = await subject.node().claim(session, resume=None)
        await send(subject.node(), session, range(1, 3))
        claim = await subject.node().claim(session, resume=None)
        assert (claim.incarnation, claim.seq, claim.resumed, claim.backlog) == (first.incarnation, 2, False, ())

    async def test_an_unknown_incarnation_is_not_resumed(self, subject: Subject, session: UUID) -> None:
        await subject.node().claim(session, resume=None)
        await send(subject.node(), session, range(1, 3))
        claim = await subject.node().claim(session, resume=("of another life", 1))
        assert (claim.resumed, claim.seq, claim.backlog) == (False, 2, ())

    async def test_acknowledged_messages_are_gone_for_a_resume(self, subject: Subject, session: UUID) -> None:
        node = subject.node()
        first = await node.claim(session, resume=None)
        await send(node, session, range(1, 6))
        await node.acknowledged(first, 3)
        assert [seq for seq, _ in await node.read(session, 0)] == [4, 5]
        assert not (await node.claim(session, resume=(first.incarnation, 1))).resumed
        assert (await node.claim(session, resume=(first.incarnation, 3))).resumed

    async def test_a_client_ahead_of_the_mailbox_begins_anew(self, subject: Subject, session: UUID) -> None:
        """Acknowledged writes were lost in a failover: going on would give its numbers out a second time."""
        first = await subject.node().claim(session, resume=None)
        await send(subject.node(), session, range(1, 3))
        claim = await subject.node().claim(session, resume=(first.incarnation, 9))
        assert (claim.resumed, claim.seq) == (False, 0)
        assert claim.incarnation != first.incarnation
        assert await subject.node().read(session, 0) == []

    async def test_a_mailbox_is_bounded(self, subject: Subject, session: UUID) -> None:
        node = subject.node()
        first = await node.claim(session, resume=None)
        await send(node, session, range(1, MESSAGES_MAX + 250))
        last = MESSAGES_MAX + 249
        assert not (await node.claim(session, resume=(first.incarnation, 0))).resumed
        near = await node.claim(session, resume=(first.incarnation, last - 100))
        assert near.resumed
        assert len(near.backlog) == 100


class TestLosing:
    async def test_after_a_wipe_the_owner_begins_a_new_incarnation(self, subject: Subject, session: UUID) -> None:
        node = subject.node()
        first = await node.claim(session, resume=None)
        await send(node, session, range(1, 4))
        await subject.wipe()
        assert await node.beat([first]) == {session: None}
        assert not await node.send(session, message(4))
        renewed = await node.renew(first)
        assert (renewed.seq, renewed.resumed) == (0, False)
        assert renewed.incarnation != first.incarnation
        assert renewed.owner_epoch > first.owner_epoch
        await send(node, session, range(1, 2))
        assert await node.beat([renewed]) == {session: 1}
        assert not (await node.claim(session, resume=(first.incarnation, 3))).resumed

    async def test_after_a_wipe_the_first_to_claim_fences_the_former_owner(
        self, subject: Subject, session: UUID
    ) -> None:
        old, new = subject.node(), subject.node()
        stale = await old.claim(session, resume=None)
        await subject.wipe()
        fresh = await new.claim(session, resume=(stale.incarnation, 0))
        assert not fresh.resumed
        with pytest.raises(OwnershipLost):
            await old.renew(stale)
        assert not await old.release(stale)
        assert await new.beat([fresh]) == {session: 0}

    async def test_a_release_after_a_wipe_was_still_ours_to_give(self, subject: Subject, session: UUID) -> None:
        node = subject.node()
        claim = await node.claim(session, resume=None)
        await subject.wipe()
        assert await node.release(claim)

    async def test_a_renewal_of_a_mailbox_that_is_there_drops_its_messages(
        self, subject: Subject, session: UUID
    ) -> None:
        node = subject.node()
        first = await node.claim(session, resume=None)
        await send(node, session, range(1, 4))
        renewed = await node.renew(first)
        assert await node.read(session, 0) == []
        assert await node.beat([first]) == {session: None}
        assert await node.beat([renewed]) == {session: 0}

    async def test_a_mailbox_without_beats_or_messages_expires(self, subject: Subject, session: UUID) -> None:
        node = subject.node(keep_ms=300)
        claim = await node.claim(session, resume=None)
        for _ in range(4):
            await subject.pass_ms(120)
            assert await node.beat([claim]) == {session: 0}
        await subject.pass_ms(400)
        assert not await node.send(session, message(1))
        assert await node.beat([claim]) == {session: None}

    async def test_messages_do_not_keep_a_mailbox_whose_owner_is_gone(self, subject: Subject, session: UUID) -> None:
        """Its node died without a farewell: it lives as long as after the last beat, however much is sent to it."""
        node = subject.node(keep_ms=1000)
        await node.claim(session, resume=None)
        for number in range(1, 4):
            await subject.pass_ms(250)
            assert await node.send(session, message(number))
        await subject.pass_ms(500)
        assert not await node.send(session, message(4))

    async def test_messages_to_a_released_mailbox_keep_it(self, subject: Subject, session: UUID) -> None:
        node = subject.node(keep_ms=300)
        await node.release(await node.claim(session, resume=None))
        for number in range(1, 5):
            await subject.pass_ms(120)
            assert await node.send(session, message(number))


class TestAnswers:
    async def test_a_repeat_is_answered_again(self, subject: Subject, session: UUID) -> None:
        answers = subject.answers()
        assert await answers.begin(session, "m1") is None
        await answers.finish(session, "m1", b'{"type":"ack"}')
        assert await answers.begin(session, "m1") == b'{"type":"ack"}'
        assert await answers.begin(session, "m2") is None
        assert await answers.begin(uuid4(), "m1") is None

    async def test_what_was_not_done_after_all_may_be_done(self, subject: Subject, session: UUID) -> None:
        answers = subject.answers()
        assert await answers.begin(session, "m1") is None
        await answers.forget(session, "m1")
        async with asyncio.timeout(1):
            assert await answers.begin(session, "m1") is None


class TestTheServer:
    """What only a real server can do to us."""

    @pytest.fixture
    async def real(self, engines: Engines) -> AsyncIterator[ValkeySubject]:
        engines.restore()
        real = ValkeySubject(await engines.empty_valkey())
        yield real
        await real.client.aclose()
        engines.restore()

    async def test_what_a_node_sends_to_its_own_sessions_takes_no_way_round(
        self, real: ValkeySubject, session: UUID
    ) -> None:
        heard = list[Delivery]()
        node = ValkeyMailboxes(real.client, real.library, heard.append)
        claim = await node.claim(session, resume=None)
        listener = await listening(node)
        await node.send(session, message(1))
        await node.send(session, message(1), version=Version("call:1", 1))
        await node.send(session, message(1), version=Version("call:1", 1))
        for _ in range(2):
            await node.relay(session, message(3), Once(session, "m1"))
        told = [(1, message(1)), (2, message(1)), (3, message(3))]
        assert heard == [Delivery(session, seq, data, claim.owner_epoch) for seq, data in told]
        assert await node.read(session, 0) == told
        await real.node().send(session, message(4))
        assert await listener.next() == Delivery(session, 4, message(4), claim.owner_epoch)
        await real.node().claim(session, resume=None)
        await node.send(session, message(5))
        assert (await listener.next()).message is None
        assert len(heard) == 3
        await listener.stop()

    async def test_a_message_in_somebodys_hands_is_waited_for(self, real: ValkeySubject, session: UUID) -> None:
        answers = real.answers()
        await answers.begin(session, "m1")
        repeat = asyncio.create_task(answers.begin(session, "m1"))
        await answers.finish(session, "m1", b"done")
        assert await repeat == b"done"

    async def test_a_dead_doer_is_waited_for_only_so_long(self, real: ValkeySubject, session: UUID) -> None:
        answers = ValkeyAnswers(real.client, real.library, doing_ms=100)
        await answers.begin(session, "m1")
        async with asyncio.timeout(1):
            assert await answers.begin(session, "m1") is None

    async def test_a_server_that_does_not_answer_is_unavailable(
        self, real: ValkeySubject, engines: Engines, session: UUID
    ) -> None:
        node, answers = real.node(), real.answers()
        claim = await node.claim(session, resume=None)
        freeze(engines.valkey)
        attempts = (
            node.send(session, message(1)),
            node.send_unnumbered(session, message(1)),
            node.claim(session, resume=None),
            node.renew(claim),
            node.beat([claim]),
            node.read(session, 0),
            node.acknowledged(claim, 1),
            node.release(claim),
            answers.begin(session, "m1"),
            answers.finish(session, "m1", b""),
            answers.forget(session, "m1"),
        )
        async with asyncio.timeout(SOON_S):
            outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        thaw(engines.valkey)
        assert [type(outcome) for outcome in outcomes] == [CarrierUnavailable] * len(attempts)

    async def test_the_subscription_survives_a_restart(
        self, real: ValkeySubject, engines: Engines, session: UUID
    ) -> None:
        node = real.node()
        listener = await listening(node)
        claim = await node.claim(session, resume=None)
        kill(engines.valkey)
        engines.valkey.start()
        claim = await renewed(node, claim)
        await listener.ready(node)
        await node.send(session, message(1))
        assert await listener.next() == Delivery(session, 1, message(1), claim.owner_epoch)
        await listener.stop()


async def renewed(node: Mailboxes, claim: Claim) -> Claim:
    async with asyncio.timeout(SOON_S):
        while True:
            try:
                return await node.renew(claim)
            except CarrierUnavailable:
                await asyncio.sleep(0.05)


def test_published_payloads_are_taken_apart() -> None:
    session = uuid4()
    assert unpack(session.bytes + b'1795473481141017 12 {"a b":1}') == Delivery(
        session, 12, b'{"a b":1}', 1795473481141017
    )
    assert unpack(session.bytes + b"5 - ") == Delivery(session, None, None, 5)
    assert unpack(session.bytes + b"5 * {}") == Delivery(session, None, b"{}", 5)
