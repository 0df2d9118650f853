"""What somebody does, as the server has it done: one call from outside, and what a node does of itself after it."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from infra.memory.request_book import Volunteer
from matching.help_desk import HelpDesk
from matching.ports import IndexUnavailable
from matching.request_rules import Acceptance, Event
from tests.interleaving.world import Deed, Promise, World
from tests.support.fakes.cases import person

Act = Callable[[World, HelpDesk], Deed]


def request_id(number: int) -> UUID:
    """The request opened as number `number`, counted from 0."""
    return UUID(int=(1 << 120) + number)


def session(number: int) -> UUID:
    return UUID(int=2000 + number)


def accepts(volunteer: int, request: int = 0, epoch: int = 1) -> Act:
    async def deed(world: World, desk: HelpDesk) -> None:
        await _accept(world, desk, volunteer, request_id(request), epoch)

    return deed


def answers(volunteer: int) -> Act:
    """As soon as their phone rings, or some time after."""

    async def deed(world: World, desk: HelpDesk) -> None:
        await world.until("their phone rings", lambda: bool(world.phones.ringing(person(volunteer))))
        ring = world.phones.ringing(person(volunteer))[0]
        await _accept(world, desk, volunteer, ring.request_id, ring.epoch)

    return deed


async def _accept(world: World, desk: HelpDesk, volunteer: int, request: UUID, epoch: int) -> None:
    not_won = await desk.accept(request, Acceptance(person(volunteer), session(volunteer), epoch))
    if not_won is None:
        world.promises.append(Promise("won", request, person(volunteer), epoch))
    elif not_won.offer is not None:
        other = not_won.offer.offer
        world.promises.append(Promise("offered", other.request_id, person(volunteer), other.epoch))


def declines(volunteer: int, request: int = 0, epoch: int = 1) -> Act:
    async def deed(world: World, desk: HelpDesk) -> None:
        if await desk.decline(request_id(request), person(volunteer), epoch):
            world.promises.append(Promise("declined", request_id(request), person(volunteer), epoch))
            await desk.look(request_id(request))

    return deed


def acknowledges(volunteer: int, request: int = 0, epoch: int = 1) -> Act:
    async def deed(world: World, desk: HelpDesk) -> None:
        await desk.delivered(person(volunteer), [(request_id(request), epoch)])

    return deed


def cancels(request: int = 0) -> Act:
    """The requester gives up; a call is ended, as often as another one came about meanwhile."""

    async def deed(world: World, desk: HelpDesk) -> None:
        while (cancelled := await desk.cancel(request_id(request))).call_id is not None:
            await _end_call(world, desk, request_id(request), cancelled.request.epoch, Event.CANCELLED)
        world.promises.append(Promise("cancelled", request_id(request)))

    return deed


def opens(requester: int, *languages: str) -> Act:
    async def deed(world: World, desk: HelpDesk) -> None:
        request = await world.ask_through(desk, requester, *languages)
        world.promises.append(Promise("opened", request.id))
        await desk.look(request.id)

    return deed


def looks(request: int = 0) -> Act:
    async def deed(world: World, desk: HelpDesk) -> None:
        await desk.look(request_id(request))

    return deed


def looks_at_due() -> Act:
    async def deed(world: World, desk: HelpDesk) -> None:
        for due in await desk.due(10):
            await desk.look(due)

    return deed


def ends_call(request: int = 0, epoch: int = 1, event: Event = Event.RETURNED) -> Act:
    async def deed(world: World, desk: HelpDesk) -> None:
        await _end_call(world, desk, request_id(request), epoch, event)

    return deed


async def _end_call(world: World, desk: HelpDesk, request: UUID, epoch: int, event: Event) -> None:
    freed = await world.happens("CallBook.change", lambda: world.end_call(request, epoch, event))
    if freed is None:
        return
    await world.tell(request)
    await desk.freed(freed, world.clock.now)
    if event is Event.RETURNED:
        await desk.look(request)


def wants_callback(request: int = 0) -> Act:
    """Nobody came: tell me when somebody is free."""

    async def deed(world: World, desk: HelpDesk) -> None:
        free = await desk.want_callback(request_id(request))
        if free is not None:
            await woken_up(desk, free)

    return deed


def calls_back() -> Act:
    """What nodes do again and again for those who want to be told that somebody is free."""

    async def deed(world: World, desk: HelpDesk) -> None:
        for fired in await desk.call_back():
            await desk.look(fired)

    return deed


def sweeps() -> Act:
    """The index's clocks; whoever they wake is matched with what waits for them."""

    async def deed(world: World, desk: HelpDesk) -> None:
        try:
            swept = await desk.sweep(100)
        except IndexUnavailable:
            return
        for woken in swept.woken:
            await woken_up(desk, woken)

    return deed


async def woken_up(desk: HelpDesk, person_id: UUID) -> None:
    waiting = await desk.waiting_for(person_id)
    if waiting is not None:
        await desk.look(waiting)


def changes(volunteer: int, change: Callable[[Volunteer], None], what: str) -> Act:
    """Somebody says that they are ready, or not, or speak something else; then they are listed anew."""

    async def deed(world: World, desk: HelpDesk) -> None:
        def changed() -> None:
            change(world.book.people[person(volunteer)])
            world.changed.add(person(volunteer))

        await world.happens(what, changed)
        await desk.person_changed(person(volunteer))
        await woken_up(desk, person(volunteer))

    return deed


def avoids(volunteer: int, request: int = 0) -> Act:
    """Its requester never wants to meet them again."""

    async def deed(world: World, desk: HelpDesk) -> None:
        requester = world.request(request_id(request)).requester_id
        pair = frozenset({requester, person(volunteer)})
        await world.happens("RequestBook.avoid", lambda: world.book.avoided.add(pair))

    return deed


def passes(by_s: float) -> Act:
    async def deed(world: World, desk: HelpDesk) -> None:
        await world.passes(by_s)

    return deed


def wipes() -> Act:
    async def deed(world: World, desk: HelpDesk) -> None:
        await world.wipe()

    return deed


def rebuilds() -> Act:
    """A node fills the index again, from the books."""

    async def deed(world: World, desk: HelpDesk) -> None:
        await world.rebuild()

    return deed
