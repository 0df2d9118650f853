"""Whatever people do and whenever nodes die: requests end, offers end once, and everybody may be asked again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from matching.model import OfferOutcome, RequestState
from matching.request_rules import Acceptance, Event
from tests.support.fakes.cases import person
from tests.support.fakes.town import Town

PEOPLE = 5
Deed = Callable[[Town, UUID], Awaitable[object]]


async def _accept(town: Town, request_id: UUID, who: int) -> None:
    epoch = town.request(request_id).epoch
    await town.desk.accept(request_id, Acceptance(person(who), UUID(int=who), epoch))


async def _decline(town: Town, request_id: UUID, who: int) -> None:
    await town.desk.decline(request_id, person(who), town.request(request_id).epoch)


async def _hang_up(town: Town, request_id: UUID, event: Event, tell_desk: bool) -> None:
    state = town.request(request_id).state
    if state is RequestState.CONNECTING and event is Event.COMPLETED:
        event = Event.CANCELLED
    if state in (RequestState.CONNECTING, RequestState.IN_CALL):
        await town.hang_up(request_id, event, tell_desk=tell_desk)


async def _go_deaf(town: Town, who: int) -> None:
    town.herald.deaf ^= {person(who)}


async def _lose_index(town: Town) -> None:
    """A wipe, and the rebuild from Postgres after it."""
    town.index.wipe()
    for one in town.book.people:
        await town.desk.person_changed(one)
    town.index.complete()


_who = st.integers(0, PEOPLE - 1)
_deeds: st.SearchStrategy[Deed] = st.one_of(
    st.just(lambda town, r: town.look(r)),
    st.just(lambda town, r: town.look(r, there=False)),
    st.builds(lambda who: lambda town, r: _accept(town, r, who), _who),
    st.builds(lambda who: lambda town, r: _decline(town, r, who), _who),
    st.builds(
        lambda event, told: lambda town, r: _hang_up(town, r, event, told),
        st.sampled_from([Event.RETURNED, Event.COMPLETED, Event.FAILED]),
        st.booleans(),
    ),
    st.just(lambda town, r: town.desk.cancel(r)),
    st.builds(lambda who: lambda town, _r: _go_deaf(town, who), _who),
    st.just(lambda town, _r: _lose_index(town)),
)
_day = st.lists(st.tuples(st.sampled_from([0, 0.3, 1, 2, 7, 31]), st.integers(0, 2), _deeds), max_size=30)


async def _live(day: list[tuple[float, int, Deed]]) -> Town:
    town = Town(size=2)
    await town.volunteers(PEOPLE)
    requests = [await town.ask() for _ in range(3)]
    for later_s, number, deed in day:
        await town.later(later_s)
        await deed(town, requests[number].id)
        _assert_sound(town)
    return town


def _assert_sound(town: Town) -> None:
    open_offers = (one for request_id in town.book.rows for one in town.book.offers(request_id) if one.outcome is None)
    live = Counter(one.person_id for one in open_offers if one.expires_at > town.clock.now)
    assert all(count == 1 for count in live.values()), "somebody has two live offers"
    for request_id, row in town.book.rows.items():
        offers = town.book.offers(request_id)
        wins = Counter(one.epoch for one in offers if one.outcome is OfferOutcome.WON)
        assert all(count == 1 for count in wins.values()), "two won one epoch"
        assert row.request.state is RequestState.WAITING or not town.ringing(request_id)
        assert row.request.asked == len(offers)
        declined = {one.person_id for one in offers if one.outcome in (OfferOutcome.DECLINED, OfferOutcome.WON)}
        assert not declined & set(town.ringing(request_id)), "asked again who declined or failed"


async def _until_all_is_over(town: Town) -> None:
    for _ in range(400):
        await town.later(1)
        for request_id in await town.desk.due(10):
            await _hang_up(town, request_id, Event.FAILED, True)
            await town.look(request_id)
        if all(row.request.state is RequestState.ENDED for row in town.book.rows.values()):
            return
    raise AssertionError("a request does not end")


@settings(max_examples=40)
@given(_day)
def test_every_request_ends_every_offer_ends_and_everybody_may_be_asked_again(
    day: list[tuple[float, int, Deed]],
) -> None:
    async def live() -> None:
        town = await _live(day)
        await _until_all_is_over(town)
        assert all(one.outcome is not None for request_id in town.book.rows for one in town.book.offers(request_id))
        await town.later(2 * 86_400)  # longer than the longest cooldown
        assert all([await town.can_be_drawn(person(who)) for who in range(PEOPLE)])

    asyncio.run(live())


@settings(max_examples=40)
@given(_day)
def test_looking_again_at_the_same_moment_changes_nothing(day: list[tuple[float, int, Deed]]) -> None:
    async def live() -> None:
        town = await _live(day)
        for request_id in town.book.rows:
            await town.look(request_id)
            await town.look(request_id)
            before, offers = town.request(request_id), town.book.offers(request_id)
            await town.look(request_id)
            assert (town.request(request_id), town.book.offers(request_id)) == (before, offers)

    asyncio.run(live())
