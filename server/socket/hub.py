"""All sockets of one node: joins them to their mailboxes, keeps their numbers without gaps, ends them in order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from uuid import UUID

import structlog

from server.auth import Caller
from server.failures import where_raised
from server.socket import metrics
from server.socket.connection import Clock, Connection, Socket
from server.socket.conversation import Conversation, Snapshot
from server.socket.early import Early, EarlyWords
from server.socket.envelope import encode
from server.socket.heartbeat import Heartbeat
from server.socket.messages import Drain, DrainFrame
from server.socket.rules import Close, SocketRules, resume_within_s
from server.tasks import lasting
from signaling.ports import CarrierUnavailable, Claim, Delivery, Mailboxes, OwnershipLost

CONVERSATION_S = 5.0
"""Deadline of everything asked of the conversation."""
RESET_SPREAD_S = 0.5
"""After a wipe the sockets of a node begin anew within about this time, not all in the same instant."""
RESETS_AT_ONCE = 32
SEND_OFF_TURNS = 50
SENT_OFF_AT_LEAST = 20
"""In each turn of a drain, however few there are."""

Work = Callable[[], Awaitable[None]]

SESSION_ENDED = b'{"type":"session_ended"}'
SESSION_SUSPENDED = b'{"type":"session_suspended"}'
SESSION_SILENT = b'{"type":"session_silent"}'
"""From node to node, never to a client: whoever holds the socket of this session closes it."""
_CLOSES = {
    SESSION_ENDED: Close.UNAUTHORIZED,
    SESSION_SUSPENDED: Close.SUSPENDED,
    SESSION_SILENT: Close.GOING_AWAY,
}

_log = structlog.get_logger()


class Hub:
    """Owns the node's connections and the loops that serve them. `run` must be running while sockets are served."""

    def __init__(self, mailboxes: Mailboxes, conversation: Conversation, clock: Clock, rules: SocketRules) -> None:
        self._mailboxes = mailboxes
        self._conversation = conversation
        self._clock = clock
        self._rules = rules
        self._connections: dict[UUID, Connection] = {}
        self._early = EarlyWords()
        self._heartbeat = Heartbeat(mailboxes, self._connections.values, self._beaten, clock, rules)
        self._chores: set[asyncio.Task[None]] = set()
        self._resets = asyncio.Semaphore(RESETS_AT_ONCE)
        self._present = 0
        """Attached and not yet detached, those taken over included."""
        self._empty = asyncio.Event()
        self._empty.set()
        self.draining = False

    def callers(self) -> list[Caller]:
        """Everyone whose socket this node holds now."""
        return [connection.caller for connection in self._connections.values()]

    # Coming and going.

    async def attach(
        self,
        socket: Socket,
        transport: asyncio.Transport | None,
        caller: Caller,
        resume: tuple[str, int] | None,
    ) -> Connection:
        """Claim the caller's mailbox and close whoever held it. Next: `greet`, and in the end, always, `detach`.

        Raises `CarrierUnavailable`.
        """
        with self._early.kept(caller.session_id) as early:
            claim = await self._mailboxes.claim(caller.session_id, resume=resume)
            now = asyncio.get_running_loop().time()
            connection = Connection(socket, transport, caller, claim, self._rules, now)
            self._enter(connection, early)
        metrics.welcomes.labels(_how(claim, resume)).inc()
        return connection

    async def greet(self, connection: Connection) -> None:
        """Send the welcome, and what was missed. The connection may be closing afterwards."""
        async with connection.order:
            if connection.closing or not await self._welcome(connection):
                return
            for seq, message in connection.take_backlog():
                self._send(connection, seq, message)
                await connection.room()
            await self._guarded(partial(self._catch_up, connection))
        try:
            async with asyncio.timeout(CONVERSATION_S):
                await self._conversation.attached(connection.caller, connection.claim.owner_epoch)
        except Exception as error:
            self._report("attached", error)
            connection.close(Close.TRY_AGAIN_LATER)

    def _enter(self, connection: Connection, early: Early) -> None:
        """Take the session's place, unless a later claim already has it."""
        self._present += 1
        self._empty.clear()
        self._heard_early(connection, early)
        former = self._connections.get(connection.session_id)
        if former is not None and former.claim.owner_epoch > connection.claim.owner_epoch:
            connection.close(Close.SESSION_TAKEN_OVER)
            return
        if former is not None:
            former.close(Close.SESSION_TAKEN_OVER)
        connection.beat_slot = self._present
        self._connections[connection.session_id] = connection
        metrics.connections.set(len(self._connections))
        if self.draining:
            self._send_off(connection)

    def _heard_early(self, connection: Connection, early: Early) -> None:
        connection.known = early.last_seq(connection.claim)
        if early.is_taken(connection.claim):
            connection.close(Close.SESSION_TAKEN_OVER)

    def detach(self, connection: Connection) -> asyncio.Task[None]:
        """The socket is gone. The farewell is the hub's own, so that it happens also if the handler is cancelled."""
        if self._connections.get(connection.session_id) is connection:
            del self._connections[connection.session_id]
            metrics.connections.set(len(self._connections))
        return self._begin_chore(partial(self._farewell, connection))

    async def _farewell(self, connection: Connection) -> None:
        """Free the mailbox for a resume, and say so unless the session lives on elsewhere."""
        try:
            await connection.closed()
            if not connection.taken_over and await self._release(connection.claim):
                async with asyncio.timeout(CONVERSATION_S):
                    await self._conversation.detached(connection.caller, connection.claim.owner_epoch)
        finally:
            self._conversation.left(connection.session_id)
            self._present -= 1
            if not self._present:
                self._empty.set()

    async def _release(self, claim: Claim) -> bool:
        try:
            return await self._mailboxes.release(claim)
        except CarrierUnavailable:
            return True

    # What is sent, in order.

    async def _welcome(self, connection: Connection) -> bool:
        """Under `order`. False, and closing, when there is no snapshot to give."""
        try:
            snapshot = await self._snapshot(connection.caller)
        except Exception as error:
            self._report("snapshot", error)
            connection.close(Close.TRY_AGAIN_LATER)
            return False
        connection.welcome(snapshot, self._clock())
        return True

    async def _snapshot(self, caller: Caller) -> Snapshot:
        async with asyncio.timeout(CONVERSATION_S):
            return await self._conversation.snapshot(caller)

    def _send(self, connection: Connection, seq: int, message: bytes) -> None:
        type = connection.push_numbered(seq, message)
        metrics.frames_out(type).inc()
        self._conversation.passing(connection.session_id, type)

    async def _catch_up(self, connection: Connection) -> None:
        """Under `order`: send what exists beyond `sent`; begin anew when some of it is lost."""
        while connection.sent < connection.known and not connection.closing:
            entries = await self._mailboxes.read(connection.session_id, connection.sent)
            if not entries or entries[0][0] != connection.sent + 1:
                metrics.gaps.labels("lost").inc()
                await self._renew(connection)
                continue
            metrics.gaps.labels("repaired").inc()
            for seq, message in entries:
                self._send(connection, seq, message)
                await connection.room()

    async def _renew(self, connection: Connection) -> None:
        """Under `order`: a new incarnation and its welcome."""
        with self._early.kept(connection.session_id) as early:
            try:
                claim = await self._mailboxes.renew(connection.claim)
            except OwnershipLost:
                connection.close(Close.SESSION_TAKEN_OVER)
                return
            connection.begin(claim)
            self._heard_early(connection, early)
        metrics.welcomes.labels("renewed").inc()
        await self._welcome(connection)

    # Loops.

    async def run(self) -> None:
        """Deliver and beat until cancelled; then everything this began is cancelled and awaited."""
        try:
            async with asyncio.TaskGroup() as loops:
                loops.create_task(lasting("deliveries", self._pump))
                loops.create_task(lasting("beats", partial(self._heartbeat.run, self._guarded)))
        finally:
            for chore in self._chores:
                chore.cancel()
            if self._chores:
                await asyncio.wait(self._chores)

    async def _pump(self) -> None:
        async for delivery in self._mailboxes.deliveries():
            self.deliver(delivery)

    def deliver(self, delivery: Delivery) -> None:
        """A message for one of this node's sessions, in any order: what is missing between is read. Never raises."""
        try:
            self._deliver(delivery)
        except Exception as error:
            self._report("delivery", error)

    def _deliver(self, delivery: Delivery) -> None:
        connection = self._connections.get(delivery.session_id)
        epoch = connection.claim.owner_epoch if connection is not None else -1
        if delivery.owner_epoch > epoch:
            self._early.hear(delivery)
        elif connection is not None and delivery.owner_epoch == epoch:
            self._deliver_to(connection, delivery)

    def _deliver_to(self, connection: Connection, delivery: Delivery) -> None:
        if delivery.message is None:
            connection.close(Close.SESSION_TAKEN_OVER)
        elif delivery.seq is None:
            if delivery.message in _CLOSES:
                connection.close(_CLOSES[delivery.message])
            elif connection.welcomed:
                connection.push(delivery.message)
        elif connection.welcomed and delivery.seq == connection.sent + 1 and not connection.order.locked():
            self._send(connection, delivery.seq, delivery.message)
        else:
            self._exists(connection, delivery.seq)

    def _exists(self, connection: Connection, seq: int) -> None:
        """A message of this number exists: have it read if nobody is at it."""
        connection.known = max(connection.known, seq)
        if connection.known > connection.sent and not connection.order.locked() and not connection.closing:
            self._begin_chore(partial(self._repair, connection))

    def _beaten(self, connection: Connection, claim: Claim, seq: int | None) -> None:
        if not connection.welcomed or connection.order.locked():
            return
        if seq is not None:
            self._exists(connection, seq)
        else:
            self._begin_chore(partial(self._begin_anew, connection, claim))

    async def _repair(self, connection: Connection) -> None:
        async with connection.order:
            await self._catch_up(connection)

    async def _begin_anew(self, connection: Connection, claim: Claim) -> None:
        async with self._resets, connection.order:
            if connection.claim is claim and not connection.closing:
                await self._renew(connection)
                await self._catch_up(connection)

    async def reset(self) -> None:
        """Valkey was wiped, or another took its place: every mailbox begins anew, every socket gets a new welcome."""
        async with asyncio.TaskGroup() as group:
            for connection in list(self._connections.values()):
                group.create_task(self._guarded(partial(self._reset_one, connection, connection.claim)))

    async def _reset_one(self, connection: Connection, claim: Claim) -> None:
        await asyncio.sleep(random.uniform(0, RESET_SPREAD_S))
        await self._begin_anew(connection, claim)

    # Leaving.

    async def drain(self) -> None:
        """Send everyone elsewhere, and wait (within bounds) until they are gone."""
        self.draining = True
        try:
            async with asyncio.timeout(self._rules.drain_s):
                await self._send_off_all()
                await self._empty.wait()
        except TimeoutError:
            _log.warning("sockets left over at the end of the drain", count=len(self._connections))

    async def _send_off_all(self) -> None:
        """Those first of whom nobody has time; a few at a time, for every farewell is written down."""
        leaving = sorted(self._connections.values(), key=lambda connection: not connection.in_haste)
        together = max(SENT_OFF_AT_LEAST, -(-len(leaving) // SEND_OFF_TURNS))
        for start in range(0, len(leaving), together):
            for connection in leaving[start : start + together]:
                self._send_off(connection, len(leaving))
            await asyncio.sleep(self._rules.drain_s / 2 / SEND_OFF_TURNS)

    def _send_off(self, connection: Connection, together: int = 1) -> None:
        # Spread, so that the other nodes do not get everyone in the same instant.
        within_s = resume_within_s(together, soon=connection.in_haste, rules=self._rules)
        resume_in_ms = random.randrange(100, int(1000 * within_s))
        connection.push(encode(DrainFrame(data=Drain(resume_in_ms=resume_in_ms))))
        connection.close(Close.DRAIN)

    # Chores: short tasks of the hub's own.

    def _begin_chore(self, work: Work) -> asyncio.Task[None]:
        chore = asyncio.create_task(self._guarded(work))
        self._chores.add(chore)
        chore.add_done_callback(self._chores.discard)
        return chore

    async def _guarded(self, work: Work) -> None:
        """Valkey being away is left to the next beat; a mistake of ours costs this piece of work only."""
        try:
            await work()
        except CarrierUnavailable as error:
            _log.warning("mailboxes are out of reach", error=str(error))
        except Exception as error:
            self._report("chore", error)

    def _report(self, doing: str, error: Exception) -> None:
        _log.error("the hub failed at something", doing=doing, error=type(error).__name__, where=where_raised(error))


def _how(claim: Claim, resume: tuple[str, int] | None) -> str:
    if resume is None:
        return "fresh"
    return "resumed" if claim.resumed else "refused"
