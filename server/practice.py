"""Practice calls: somebody tries their device with the server's own phone, a few at once on each node.

A practice call is a call as any other whose other side is a phone in this process: what an app does by its socket, the
phone does by a line within the node, so that everything about calls is as it is between two people. Whose turn it is,
how the call is and that it ends is in Postgres; a node that dies no longer renews the lease of its phones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

import structlog

from server.auth import Caller
from server.desk import Desk
from server.failures import where_raised
from server.practice_line import PhoneLine, View
from server.socket.conversation import Conversation
from server.tasks import every
from server.telling import Outages, Telling
from server.views import CallView
from signaling.model import Call, Side
from signaling.ports import CarrierUnavailable, Mailboxes, NoSuchCall

log = structlog.get_logger()

LIFE = timedelta(minutes=2)
"""A practice call is over by then."""
LEASE = timedelta(seconds=10)
"""A phone whose node says nothing for so long is gone, and the call over."""
MOST_WAITING = 12
"""A queue in which one would wait longer than a quarter of an hour helps nobody."""
ROUND_S = 1.0
LEAVE_WITHIN_S = 3.0


class QueueFull(Exception):
    """As many wait as may."""


class Taken(Exception):
    """The person is rung, in a call, or asks for help: that goes first."""


class PracticeBook(Protocol):
    """Practice calls, and who waits for one, as committed facts."""

    async def ask(self, person_id: UUID, session_id: UUID, side: Side, language: str) -> bool:
        """Wait for a phone, unless this person waits or has one already. False when they are taken."""

    async def waiting(self) -> int: ...

    async def place(self, person_id: UUID) -> int:
        """In the queue, 1 for the next; 0 when they do not wait."""

    async def leave(self, person_id: UUID) -> None: ...

    async def begin(self, life: timedelta, lease: timedelta) -> Call | None:
        """The call of the first who waits and is there, with a phone of this node; they are taken by it."""

    async def live_of_person(self, person_id: UUID) -> Call | None: ...

    async def renew(self, call_ids: Collection[UUID], lease: timedelta) -> None: ...

    async def due(self) -> list[UUID]: ...

    async def untold(self, call_id: UUID) -> tuple[Call, datetime] | None:
        """The call, when there is news of it, and the database's clock."""

    async def told(self, call: Call) -> None: ...


class Phone(Protocol):
    """The server's own phone: one call, from beginning to end."""

    async def __call__(self, call: View, line: PhoneLine, /) -> None: ...


class Practice:
    """The phones of one node, and what is due about practice calls of any node."""

    def __init__(
        self,
        book: PracticeBook,
        desk: Desk,
        telling: Telling,
        mailboxes: Mailboxes,
        conversation: Conversation,
        phone: Phone,
        outages: Outages,
        *,
        at_once: int,
    ) -> None:
        self._book = book
        self._desk = desk
        self._telling = telling
        self._mailboxes = mailboxes
        self._phone = phone
        self._at_once = at_once
        self._failures: Outages = (CarrierUnavailable, TimeoutError, *outages)
        self._conversation = conversation
        self._phones: dict[UUID, asyncio.Task[None]] = {}
        self._filling = asyncio.Lock()
        self._fills: set[asyncio.Task[None]] = set()
        self._closing = False

    # -- asking -------------------------------------------------------------------------------------------------------

    async def ask(self, caller: Caller, side: Side) -> CallView | int:
        """The caller's practice call, or their place in the queue. Raises `QueueFull`, `Taken`."""
        person = caller.user_id
        known = await self._book.place(person) > 0 or await self._book.live_of_person(person) is not None
        if not known and await self._book.waiting() >= MOST_WAITING:
            raise QueueFull
        language = caller.languages[0] if caller.languages else "en"
        if not await self._book.ask(person, caller.session_id, side, language):
            raise Taken
        await self._filled()
        call = await self._book.live_of_person(person)
        if call is None:
            return max(1, await self._book.place(person))
        mine = call.side_of_session(caller.session_id)
        if mine is None:
            raise Taken  # on another device of theirs
        return self._desk.call_view_of(call, mine)

    async def leave(self, caller: Caller) -> None:
        """Wait no longer."""
        await self._book.leave(caller.user_id)

    # -- phones -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled; the phones end with it."""
        try:
            await every(ROUND_S, "practice calls", self._round)
        finally:
            await self._hang_up()

    async def _round(self) -> None:
        if self._phones:
            await self._book.renew(list(self._phones), LEASE)
        await self._filled()
        looks = [self._look(call_id) for call_id in await self._book.due()]
        for outcome in await asyncio.gather(*looks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    async def _look(self, call_id: UUID) -> None:
        await self._desk.switchboard.look(call_id)
        await self.tell(call_id)

    async def _filled(self) -> None:
        """Whoever waits gets a phone; a call that begins meanwhile does, also when who awaits this is cancelled."""
        filling = asyncio.create_task(self._fill())
        self._fills.add(filling)
        filling.add_done_callback(self._fills.discard)
        await asyncio.shield(filling)

    async def _fill(self) -> None:
        """While this node has any."""
        async with self._filling:
            while not self._closing and len(self._phones) < self._at_once:
                call = await self._book.begin(LIFE, LEASE)
                if call is None:
                    return
                line = PhoneLine(call, self._mailboxes, self._conversation, self._desk, self._failures)
                with suppress(CarrierUnavailable):
                    await line.open()
                    self._phones[call.id] = asyncio.create_task(self._be_phone(call, line))
                await self.tell(call.id)
                await self.changed(call)

    async def _be_phone(self, call: Call, line: PhoneLine) -> None:
        try:
            await self._phone(line.view(call), line)
        except self._failures as error:
            log.warning("a practice phone gave up", call=str(call.id), error=type(error).__name__)
        except Exception as error:
            log.error(
                "a practice phone failed", call=str(call.id), error=type(error).__name__, where=where_raised(error)
            )
        finally:
            self._phones.pop(call.id, None)
            await line.close()

    async def _hang_up(self) -> None:
        """This node goes: its phones with it."""
        self._closing = True
        with suppress(*self._failures):
            async with asyncio.timeout(LEAVE_WITHIN_S):
                async with self._filling:  # whose call begins just now has its phone
                    phones = list(self._phones)
                for call_id in phones:
                    with suppress(NoSuchCall):
                        await self._desk.switchboard.drained(call_id)
        tasks = [*self._fills, *self._phones.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- telling ------------------------------------------------------------------------------------------------------

    async def tell(self, call_id: UUID) -> None:
        """What is new about a practice call, to both sides. What is not told now, a look tells later."""
        try:
            news = await self._book.untold(call_id)
            if news is not None:
                await self._telling.call(*news)
                await self._book.told(news[0])
        except self._failures as error:
            log.warning("telling waits", call=str(call_id), error=type(error).__name__)

    async def changed(self, call: Call) -> None:
        """It began or ended: a volunteer is offered nothing meanwhile."""
        person = call.volunteer
        if person.person_id != call.id:
            await self._desk.person_changed(person.person_id)


class CallHerald:
    """`signaling.ports.Herald`: calls of requests are told with their request, practice calls by themselves."""

    def __init__(self, telling: Telling, tell_practice: Callable[[UUID], Awaitable[None]]) -> None:
        self._telling = telling
        self._tell_practice = tell_practice

    async def tell(self, call: Call) -> None:
        if call.practice is not None:
            await self._tell_practice(call.id)
        else:
            await self._telling.tell(call.request_id)

    async def picture(self, call: Call) -> None:
        await self._telling.picture(call)
