"""The scenarios that are explored in full."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from infra.memory.request_book import Volunteer
from matching.request_rules import Acceptance, Event
from tests.interleaving.deeds import (
    accepts,
    acknowledges,
    answers,
    avoids,
    calls_back,
    cancels,
    changes,
    declines,
    ends_call,
    looks,
    opens,
    passes,
    rebuilds,
    request_id,
    session,
    sweeps,
    wants_callback,
    wipes,
)
from tests.interleaving.scenario import ONE_PREEMPTION, WITHOUT_DUPLICATES, Part, Scenario
from tests.interleaving.world import Size, World
from tests.support.fakes.cases import person

A, B = 0, 1
GROUP = UUID(int=77)
ONE_BY_ONE = Size(wave=1)
STRANGE_HERALD = Size(wave=1, slow_telling=True)


async def nobody_asked(world: World) -> None:
    """Two requests wait, three people are there, nobody was asked yet."""
    await world.volunteers(3)
    for number in range(2):
        await world.ask_through(world.desk, number)


async def the_older_rings(world: World) -> None:
    """Two requests wait, three people are there, and ring for the older as many as are wanted."""
    await nobody_asked(world)
    await world.look(request_id(0))


async def all_ring(world: World) -> None:
    """Two requests wait and ring at everybody."""
    await the_older_rings(world)
    await world.look(request_id(1))


async def one_waits(world: World) -> None:
    """One request waits, three people are there, nobody was asked yet."""
    await world.volunteers(3)
    await world.ask_through(world.desk, 0)


async def two_of_one(world: World) -> None:
    """One request waits and rings at two of three; the other one was given up."""
    await the_older_rings(world)
    await world.desk.cancel(request_id(1))


async def one_answered(world: World) -> None:
    """v0 was faster than v1 in answering the only request; v2 is there."""
    await two_of_one(world)
    await world.desk.accept(request_id(0), Acceptance(person(0), session(0), 1))


async def one_stands_by(world: World) -> None:
    """v0 answered, v1 came second and stands by."""
    await one_answered(world)
    await world.desk.accept(request_id(0), Acceptance(person(1), session(1), 1))


def who_stands_by_comes_first(world: World) -> Iterator[str]:
    again = [offer for offer in world.book.offers(request_id(0)) if offer.epoch == 2]
    if again and again[0].person_id != person(1):
        yield "(standing by) v1 stood by, and another was asked"


async def nobody_came(world: World) -> None:
    """Three people are asleep; the requests of two, who want to be told, have expired."""
    await nobody_asked(world)
    for one in world.book.people.values():
        one.paused = True
        await world.desk.person_changed(one.id)
    await world.later(61)
    for number in range(2):
        await world.look(request_id(number))
        await world.desk.want_callback(request_id(number))


async def for_a_group(world: World) -> None:
    """The older request is for a group, of which v2 is, and opens to all in ten seconds."""
    await world.volunteers(3)
    world.book.members[GROUP] = {person(2)}
    await world.ask_through(world.desk, 0, group=GROUP)
    await world.ask_through(world.desk, 1)


async def one_closed(world: World) -> None:
    """v0 has the app closed; nobody wants anything."""
    await world.volunteers(1)
    world.book.people[person(0)].ready, world.book.people[person(0)].device = False, "in use"
    await world.desk.person_changed(person(0))


async def one_deaf(world: World) -> None:
    """As `the_older_rings`, and nobody has acknowledged it."""
    world.phones.deaf = {person(number) for number in range(3)}
    await the_older_rings(world)


def falls_asleep(volunteer: Volunteer) -> None:
    volunteer.paused = True


def wakes_up(volunteer: Volunteer) -> None:
    volunteer.paused = False


_ALL = (
    Scenario(
        "two-accepts",
        "Two people say yes through two nodes.",
        two_of_one,
        (Part("yes0", accepts(0), A, is_message=True), Part("yes1", accepts(1), B, is_message=True)),
    ),
    Scenario(
        "second-is-supply",
        "Two people say yes, and another request waits: whoever came second is offered that.",
        the_older_rings,
        (Part("yes0", accepts(0), A), Part("yes1", accepts(1), B, is_message=True)),
    ),
    Scenario(
        "standby",
        "The call of who was faster fails; who stood by is asked first, and answers.",
        one_stands_by,
        (
            Part("end", ends_call(0, 1, Event.RETURNED), A, is_message=True),
            Part("yes1", answers(1), B),
        ),
        ONE_BY_ONE,
        always=who_stands_by_comes_first,
    ),
    Scenario(
        "callback",
        "Somebody wakes up, and says so twice, while two who nobody came to want to be told.",
        nobody_came,
        (
            Part("wake", changes(0, wakes_up, "v0 is back"), A, is_message=True),
            Part("round", calls_back(), B),
        ),
    ),
    Scenario(
        "callback-or-not",
        "Somebody wakes up just when a requester wants to be told.",
        nobody_came,
        (
            Part("wake", changes(0, wakes_up, "v0 is back"), A),
            Part("want", wants_callback(0), B, is_message=True),
        ),
    ),
    Scenario(
        "group",
        "A request for a group opens to everybody while two nodes look.",
        for_a_group,
        (
            Part("look", looks(0), A),
            Part("10s", passes(10), is_mortal=False),
            Part("again", looks(0), B),
        ),
        ONE_BY_ONE,
    ),
    Scenario(
        "yes-twice-taken",
        "Somebody asked for one request is asked for the other, too, and says yes to whatever rings.",
        the_older_rings,
        (
            Part("yes0", accepts(0), A, is_message=True),
            Part("young", looks(1), B),
        ),
        ONE_BY_ONE,
    ),
    Scenario(
        "accept-or-expire",
        "Somebody says yes while their offer runs out and a look ends it.",
        all_ring,
        (
            Part("yes0", accepts(0), A, is_message=True),
            Part("20s", passes(20), is_mortal=False),
            Part("look", looks(0), B),
        ),
    ),
    Scenario(
        "wave-or-cancel",
        "A look asks people while the requester gives up.",
        nobody_asked,
        (Part("look", looks(0), A), Part("cancel", cancels(0), B, is_message=True)),
    ),
    Scenario(
        "two-looks",
        "Two nodes look at the same request.",
        nobody_asked,
        (Part("look", looks(0), A), Part("again", looks(0), B)),
        ONE_BY_ONE,
    ),
    Scenario(
        "old-and-young",
        "Two nodes look at two requests for the same people.",
        nobody_asked,
        (Part("old", looks(0), A), Part("young", looks(1), B)),
        ONE_BY_ONE,
    ),
    Scenario(
        "lease",
        "A node dies between drawing and asking: whom it drew comes back.",
        nobody_asked,
        (Part("look", looks(0), A), Part("2s", passes(2), is_mortal=False), Part("sweep", sweeps(), B)),
        ONE_BY_ONE,
    ),
    Scenario(
        "stale-yes",
        "A call ends and its request waits again; who came second says yes to the old epoch, late.",
        one_answered,
        (
            Part("end", ends_call(0, 1, Event.RETURNED), A, is_message=True),
            Part("late1", accepts(1, epoch=1), B, is_message=True),
        ),
        bounds=(WITHOUT_DUPLICATES, ONE_PREEMPTION),
    ),
    Scenario(
        "yes-or-no",
        "One person says yes on one device and no on another.",
        all_ring,
        (Part("yes0", accepts(0), A, is_message=True), Part("no0", declines(0), B, is_message=True)),
    ),
    Scenario(
        "yes-or-cancel",
        "Somebody says yes while the requester gives up.",
        all_ring,
        (Part("yes0", accepts(0), A, is_message=True), Part("cancel", cancels(0), B, is_message=True)),
    ),
    Scenario(
        "hang-up-or-cancel",
        "The call ends by itself while the requester gives up.",
        one_answered,
        (
            Part("end", ends_call(0, 1, Event.RETURNED), A, is_message=True),
            Part("cancel", cancels(0), B, is_message=True),
        ),
    ),
    Scenario(
        "wiped",
        "Valkey loses everything while people are asked, and is filled again.",
        nobody_asked,
        (
            Part("look", looks(0), A),
            Part("wipe", wipes(), is_mortal=False),
            Part("fill", rebuilds(), B),
        ),
        ONE_BY_ONE,
    ),
    Scenario(
        "wiped-yes",
        "Valkey loses everything while somebody says yes, and is filled again.",
        all_ring,
        (
            Part("yes0", accepts(0), A, is_message=True),
            Part("wipe", wipes(), is_mortal=False),
            Part("fill", rebuilds(), B),
        ),
    ),
    Scenario(
        "asleep",
        "Somebody wants to be left alone while they are being asked.",
        one_waits,
        (Part("look", looks(0), A), Part("sleep", changes(0, falls_asleep, "v0 is paused"), B)),
        ONE_BY_ONE,
    ),
    Scenario(
        "asleep-and-awake",
        "Somebody is left alone, and is there again, through two nodes at once, while a request waits.",
        one_waits,
        (
            Part("sleep", changes(0, falls_asleep, "v0 is paused"), A),
            Part("wake", changes(0, wakes_up, "v0 is back"), B),
        ),
        ONE_BY_ONE,
    ),
    Scenario(
        "asleep-with-the-app-closed",
        "The same of somebody whose app is closed, through two nodes, and nobody is looked for.",
        one_closed,
        (
            Part("sleep", changes(0, falls_asleep, "v0 is paused"), A),
            Part("wake", changes(0, wakes_up, "v0 is back"), B),
        ),
        ONE_BY_ONE,
    ),
    Scenario(
        "avoid",
        "Two who met never want to meet again, just when the one is asked for the other.",
        nobody_asked,
        (Part("look", looks(0), A), Part("avoid", avoids(0), B)),
        ONE_BY_ONE,
    ),
    Scenario(
        "late-acknowledgement",
        "An offer seems not to have arrived, others are asked, and then it is acknowledged and accepted.",
        one_deaf,
        (
            Part("2s", passes(2), is_mortal=False),
            Part("ack0", acknowledges(0), A, is_message=True),
            Part("look", looks(0), B),
        ),
        ONE_BY_ONE,
    ),
    Scenario(
        "told-late",
        "Two nodes tell of the same offers, one of them slowly, while the request is answered.",
        all_ring,
        (
            Part("yes0", accepts(0), A, is_message=True),
            Part("look", looks(0), B),
        ),
        STRANGE_HERALD,
    ),
    Scenario(
        "opened-twice",
        "A request is opened, and opened again because the answer was lost.",
        one_waits,
        (Part("open", opens(2), A, is_message=True),),
        ONE_BY_ONE,
    ),
    Scenario(
        "whoever-rings",
        "Two nodes look, and two people answer whatever rings at them.",
        nobody_asked,
        (
            Part("old", looks(0), A),
            Part("young", looks(1), B),
            Part("v0", answers(0), A),
            Part("v1", answers(1), B),
        ),
        ONE_BY_ONE,
        (ONE_PREEMPTION,),
    ),
)

SCENARIOS = {scenario.name: scenario for scenario in _ALL}
