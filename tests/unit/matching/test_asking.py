"""Asking people, over fakes: turns, exclusions, no overtaking, and an index that always knows who is away."""

from __future__ import annotations

import asyncio
from typing import Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.model import OfferOutcome, Request, RequestState
from matching.ports import WavePlan
from matching.request_rules import Acceptance, Event
from tests.support.fakes.cases import NOON, seconds
from tests.support.fakes.town import Town


@pytest.fixture
def town() -> Town:
    return Town(size=2)


class TestAWave:
    async def test_asks_as_many_as_the_policy_wants_longest_unasked_first(self, town: Town) -> None:
        first, second, third = await town.volunteers(3)
        request = await town.ask()
        await town.look(request.id)
        assert town.ringing(request.id) == [first, second]
        await town.later(10)
        await town.look(request.id)
        assert town.ringing(request.id) == [first, second, third]

    async def test_looking_again_at_once_changes_nothing(self, town: Town) -> None:
        await town.volunteers(5)
        request = await town.ask()
        await town.look(request.id)
        before, offers = town.request(request.id), town.book.offers(request.id)
        for _ in range(5):
            await town.look(request.id)
        assert (town.request(request.id), town.book.offers(request.id)) == (before, offers)

    async def test_looked_at_by_two_nodes_at_once_asks_one_wave(self, town: Town) -> None:
        await town.volunteers(9)
        request = await town.ask()
        other = town.node()
        await asyncio.gather(*(node.look(request.id) for node in (town.desk, other, town.desk)))
        assert len(town.ringing(request.id)) == 2

    @pytest.mark.parametrize("steps_later", range(30))
    async def test_looked_at_by_two_nodes_in_any_interleaving_asks_no_more_than_wanted(self, steps_later: int) -> None:
        town = Town(size=10)
        await town.volunteers(3, "da")
        await town.volunteers(30, "en")
        request = await town.ask("da", "en")

        async def look_later() -> None:
            for _ in range(steps_later):
                await asyncio.sleep(0)
            await town.node().look(request.id)

        await asyncio.gather(town.desk.look(request.id), look_later())
        assert 3 <= len(town.ringing(request.id)) <= 10

    async def test_of_a_node_that_was_frozen_between_two_languages_is_not_asked_beside_another_nodes(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        town = Town(size=10)
        await town.volunteers(3, "da")
        await town.volunteers(30, "en")
        request = await town.ask("da", "en")
        older_hungry, frozen = town.book.older_hungry, False

        async def freeze(of: Request, language: str, limit: int) -> list[UUID]:
            nonlocal frozen
            if language == "en" and not frozen:
                frozen = True
                await town.node().look(of.id)
            return await older_hungry(of, language, limit)

        monkeypatch.setattr(town.book, "older_hungry", freeze)
        await town.look(request.id)
        assert frozen
        assert len(town.ringing(request.id)) == 10

    async def test_goes_from_the_first_language_to_the_next_only_for_what_is_missing(self, town: Town) -> None:
        english = await town.volunteers(2, "en")
        danish = await town.volunteers(1, "da")
        request = await town.ask("da-DK", "en-GB")
        await town.look(request.id)
        assert town.ringing(request.id) == [*danish, english[0]]
        assert [one.language for one in town.book.offers(request.id)] == ["da-DK", "en-GB"]
        assert [one.wave for one in town.book.offers(request.id)] == [1, 2]

    async def test_asks_somebody_of_two_languages_once(self, town: Town) -> None:
        both = await town.volunteers(1, "da", "en")
        request = await town.ask("da", "en")
        await town.look(request.id)
        assert town.book.asked(request.id) == both

    async def test_replaces_who_declined_at_once(self, town: Town) -> None:
        people = await town.volunteers(3)
        request = await town.ask()
        await town.look(request.id)
        assert await town.desk.decline(request.id, people[0], 1)
        await town.look(request.id)
        assert town.ringing(request.id) == people[1:]

    async def test_replaces_who_was_not_reached_when_the_delivery_failed(self, town: Town) -> None:
        people = await town.volunteers(3)
        town.herald.deaf = {people[0]}
        request = await town.ask()
        await town.look(request.id)
        await town.later(1.4)
        await town.look(request.id)
        assert town.ringing(request.id) == people[:2]
        await town.later(0.1)
        await town.look(request.id)
        assert town.ringing(request.id) == people

    async def test_asks_nobody_for_a_requester_who_is_not_there_and_goes_on_when_they_are(self, town: Town) -> None:
        await town.volunteers(3)
        request = await town.ask()
        await town.later(10)
        await town.look(request.id, there=False)
        assert town.ringing(request.id) == []
        await town.look(request.id)
        assert town.ringing(request.id)

    async def test_never_outlives_the_request(self, town: Town) -> None:
        await town.volunteers(2)
        request = await town.ask()
        await town.later(175)
        await town.look(request.id)
        assert {one.expires_at for one in town.book.offers(request.id)} == {NOON + seconds(180)}

    async def test_is_not_asked_of_a_request_that_ended(self, town: Town) -> None:
        await town.volunteers(2)
        request = await town.ask()
        await town.desk.cancel(request.id)
        await town.look(request.id)
        assert town.book.asked(request.id) == []


class TestWhoIsNeverAsked:
    async def test_a_pair_that_avoids_each_other(self, town: Town) -> None:
        avoided, other = await town.volunteers(2)
        request = await town.ask()
        await town.book.avoid(avoided, request.requester_id)
        await town.look(request.id)
        assert town.book.asked(request.id) == [other]

    async def test_who_declined_however_long_it_waits(self, town: Town) -> None:
        people = await town.volunteers(1)
        request = await town.ask()
        await town.look(request.id)
        await town.desk.decline(request.id, people[0], 1)
        for _ in range(17):
            await town.later(10)
            await town.look(request.id)
        assert town.book.asked(request.id) == people

    async def test_who_it_failed_with_in_any_later_epoch(self, town: Town) -> None:
        winner, other = await town.volunteers(2)
        request = await town.ask()
        await town.look(request.id)
        assert await town.desk.accept(request.id, Acceptance(winner, UUID(int=1), 1)) is None
        await town.hang_up(request.id, Event.RETURNED)
        await town.later(120)
        await town.look(request.id)
        assert town.request(request.id).state is RequestState.WAITING
        assert town.ringing(request.id) == [other]

    async def test_who_is_in_a_call_or_being_asked_by_another(self, town: Town) -> None:
        people = await town.volunteers(2)
        one = await town.ask()
        await town.look(one.id)
        another = await town.ask()
        await town.look(another.id)
        assert town.book.asked(another.id) == []
        await town.desk.accept(one.id, Acceptance(people[0], UUID(int=1), 1))
        await town.later(1)
        await town.look(another.id)
        assert town.book.asked(another.id) == [people[1]]

    async def test_who_let_an_offer_expire_unless_nobody_else_is_left(self, town: Town) -> None:
        ignoring = await town.volunteers(2)
        request = await town.ask()
        await town.look(request.id)
        await town.later(95)
        others = await town.volunteers(2)
        await town.look(request.id)
        assert {town.outcome(request.id, one) for one in ignoring} == {OfferOutcome.EXPIRED}
        assert set(town.ringing(request.id)) == set(others)
        for one in others:
            await town.desk.decline(request.id, one, 1)
        await town.later(61)
        await town.look(request.id)
        assert set(town.ringing(request.id)) == set(ignoring)


class TestNoOvertaking:
    async def test_the_older_request_of_a_language_is_served_first(self, town: Town) -> None:
        older, younger = await town.ask(), await town.ask()
        await town.look(older.id)
        people = await town.volunteers(3)
        await town.look(younger.id)
        assert town.ringing(older.id) == people[:2]
        assert town.ringing(younger.id) == people[2:]

    async def test_what_the_older_ones_leave_goes_to_the_younger_at_once(self) -> None:
        town = Town(size=4)
        first, second, third = await town.ask(), await town.ask(), await town.ask()
        people = await town.volunteers(1)
        await town.look(first.id)
        people += await town.volunteers(4)
        await town.look(third.id)
        assert (town.ringing(first.id), town.ringing(second.id)) == (people[:4], people[4:])
        assert town.ringing(third.id) == []
        people += await town.volunteers(6)
        await town.look(third.id)
        assert (town.ringing(second.id), town.ringing(third.id)) == (people[4:8], people[8:])

    async def test_a_younger_one_may_have_whom_the_older_may_not(self, town: Town) -> None:
        older, younger = await town.ask(), await town.ask()
        await town.look(older.id)
        avoided, other = await town.volunteers(2)
        await town.book.avoid(avoided, older.requester_id)
        await town.look(younger.id)
        assert town.ringing(older.id) == [other]
        assert town.ringing(younger.id) == [avoided]

    async def test_an_older_one_whose_requester_is_away_takes_nobody(self, town: Town) -> None:
        older = await town.ask()
        await town.later(11)
        younger = await town.ask()
        people = await town.volunteers(2)
        await town.look(younger.id)
        assert town.ringing(younger.id) == people
        assert town.ringing(older.id) == []

    async def test_an_older_one_past_its_deadline_takes_nobody(self, town: Town) -> None:
        older = await town.ask()
        await town.later(180)
        town.book.rows[older.id].seen_at = town.clock.now
        younger = await town.ask()
        people = await town.volunteers(2)
        await town.look(younger.id)
        assert town.book.asked(older.id) == []
        assert town.ringing(younger.id) == people

    async def test_who_was_withdrawn_at_the_deadline_of_an_older_one_may_be_asked_at_once(self) -> None:
        """Whichever look finds that the older request is over."""
        town = Town(size=2)
        older = await town.ask()
        await town.later(160)
        people = await town.volunteers(1)
        await town.look(older.id)
        await town.later(20)
        younger = await town.ask()
        await town.volunteers(1)
        town.book.rows[older.id].seen_at = town.clock.now
        await town.look(younger.id)
        await town.look(older.id)
        assert town.request(older.id).state is RequestState.ENDED
        assert await town.can_be_drawn(people[0])

    async def test_a_request_is_hungry_exactly_while_it_wants_people_it_has_not_got(self, town: Town) -> None:
        request = await town.ask()
        await town.look(request.id)
        hungry = [town.book.rows[request.id].hungry]
        for people in (1, 1):
            await town.volunteers(people)
            await town.look(request.id)
            hungry.append(town.book.rows[request.id].hungry)
        await town.look(request.id)
        hungry.append(town.book.rows[request.id].hungry)
        await town.later(10)
        await town.look(request.id)
        hungry.append(town.book.rows[request.id].hungry)
        assert hungry == [True, True, False, False, True]

    async def test_an_older_one_whose_next_wave_fell_due_this_instant_is_not_overtaken(self, town: Town) -> None:
        older = await town.ask()
        first = await town.volunteers(2)
        await town.look(older.id)
        assert (town.ringing(older.id), town.book.rows[older.id].hungry) == (first, False)
        for _ in range(9):
            await town.later(1)
            await town.look(older.id)
        await town.later(1)
        younger = await town.ask()
        second = await town.volunteers(2)
        await town.look(younger.id)
        assert (town.ringing(older.id), town.ringing(younger.id)) == ([*first, *second], [])

    async def test_an_older_one_served_all_it_wants_is_hungry_no_more(self, town: Town) -> None:
        older, younger = await town.ask(), await town.ask()
        await town.look(older.id)
        await town.volunteers(1)
        await town.look(younger.id)
        assert town.book.rows[older.id].hungry
        await town.volunteers(1)
        await town.look(younger.id)
        assert not town.book.rows[older.id].hungry

    async def test_another_language_does_not_matter(self, town: Town) -> None:
        older, younger = await town.ask("da"), await town.ask("en")
        await town.look(older.id)
        people = await town.volunteers(2, "en")
        await town.look(younger.id)
        assert town.ringing(younger.id) == people

    async def test_an_older_one_is_served_in_the_language_it_shares(self, town: Town) -> None:
        older, younger = await town.ask("da", "pt-BR"), await town.ask("pt-PT")
        await town.look(older.id)
        people = await town.volunteers(2, "pt")
        await town.look(younger.id)
        assert town.ringing(older.id) == people
        assert {one.language for one in town.book.offers(older.id)} == {"pt-BR"}

    @given(st.lists(st.integers(0, 4), min_size=1, max_size=25), st.integers(1, 3), st.booleans())
    def test_in_one_language_nobody_is_asked_for_a_younger_one_while_an_older_wants_people(
        self, looks: list[int], size: int, indexed: bool
    ) -> None:
        asyncio.run(self._look_in_any_order(looks, size, indexed))

    async def _look_in_any_order(self, looks: list[int], size: int, indexed: bool) -> None:
        town = Town(size=size)
        requests = [await town.ask() for _ in range(5)]
        for request in requests:
            await town.look(request.id)
        if not indexed:
            town.index.wipe()
        for number in looks:
            await town.volunteers(1)
            await town.look(requests[number].id)
            ringing = [len(town.ringing(request.id)) for request in requests]
            wanting = [count < size for count in ringing]
            if True in wanting:
                assert not any(ringing[wanting.index(True) + 1 :])


class TestTheIndex:
    async def test_keeps_away_who_was_asked_until_the_offer_and_the_peace_after_it_are_over(self, town: Town) -> None:
        people = await town.volunteers(1)
        request = await town.ask()
        await town.look(request.id)
        await town.later(89)
        assert not await town.can_be_drawn(people[0])
        await town.later(1)
        assert await town.can_be_drawn(people[0])

    async def test_gives_back_at_once_who_was_drawn_for_a_plan_out_of_date(self, town: Town) -> None:
        people = await town.volunteers(6)
        request = await town.ask()
        other = town.node()
        await asyncio.gather(*(node.look(request.id) for node in (town.desk, other)))
        rung = set(town.ringing(request.id))
        assert len(rung) == 2
        assert all([await town.can_be_drawn(one) for one in people if one not in rung])

    async def test_lists_anew_whom_the_book_refused(self, town: Town) -> None:
        paused, other = await town.volunteers(2)
        town.book.people[paused].paused = True
        request = await town.ask()
        await town.look(request.id)
        assert town.ringing(request.id) == [other]
        await town.later(3)
        assert not await town.can_be_drawn(paused)
        town.book.people[paused].paused = False
        await town.desk.person_changed(paused)
        assert await town.can_be_drawn(paused)

    async def test_forgets_whom_the_book_does_not_know(self, town: Town) -> None:
        gone, other = await town.volunteers(2)
        del town.book.people[gone]
        request = await town.ask()
        await town.look(request.id)
        assert town.ringing(request.id) == [other]
        await town.later(3)
        assert await town.index.counts() == {}

    async def test_gives_back_within_two_seconds_whom_a_dead_node_drew(
        self, town: Town, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        people = await town.volunteers(1)
        request = await town.ask()

        async def die(_plan: WavePlan) -> None:
            raise ConnectionError

        monkeypatch.setattr(town.book, "commit_wave", die)
        with pytest.raises(ConnectionError):
            await town.look(request.id)
        assert not await town.can_be_drawn(people[0])
        await town.later(2)
        assert await town.can_be_drawn(people[0])

    async def test_when_it_is_gone_people_come_straight_from_postgres(self, town: Town) -> None:
        people = await town.volunteers(3)
        town.index.wipe()
        request = await town.ask()
        await town.look(request.id)
        assert town.ringing(request.id) == people[:2]
        await town.desk.decline(request.id, people[0], 1)
        await town.look(request.id)
        assert town.ringing(request.id) == people[1:]

    async def test_when_it_is_gone_exclusions_still_hold(self, town: Town) -> None:
        avoided, paused, other = await town.volunteers(3)
        town.index.wipe()
        town.book.people[paused].paused = True
        request = await town.ask()
        await town.book.avoid(avoided, request.requester_id)
        await town.look(request.id)
        assert town.ringing(request.id) == [other]

    async def test_turns_go_round(self) -> None:
        town = Town(size=2)
        people = await town.volunteers(6)
        for _ in range(6):
            request = await town.ask()
            await town.look(request.id)
            await town.desk.cancel(request.id)
            await town.later(1)
        asked = [one for row in town.book.rows.values() for one in town.book.asked(row.request.id)]
        assert {one: asked.count(one) for one in people} == dict.fromkeys(people, 2)


class TestClosedApps:
    async def closed(self, town: Town, count: int, device: Literal["in use", "idle"] = "in use") -> list[UUID]:
        people = await town.volunteers(count)
        for one in people:
            town.book.people[one].ready, town.book.people[one].device = False, device
            await town.desk.person_changed(one)
        return people

    async def test_are_rung_when_too_few_are_ready(self, town: Town) -> None:
        (ready,) = await town.volunteers(1)
        (first, _) = await self.closed(town, 2)
        request = await town.ask()
        await town.look(request.id)
        assert town.ringing(request.id) == [ready, first]

    async def test_are_left_in_peace_while_enough_are_ready_in_any_language_of_the_request(self, town: Town) -> None:
        await self.closed(town, 2)
        danes, english = await town.volunteers(1, "da"), await town.volunteers(1)
        request = await town.ask("da", "en")
        await town.look(request.id)
        assert town.ringing(request.id) == [*danes, *english]

    async def test_unseen_for_a_month_are_rung_from_the_third_wave_on(self, town: Town) -> None:
        idle = await self.closed(town, 2, "idle")
        request = await town.ask()
        for _ in range(2):
            await town.look(request.id)
            assert set(town.ringing(request.id)).isdisjoint(idle)
            await town.volunteers(2)
            await town.look(request.id)
            await town.later(10)
        await town.look(request.id)
        assert set(idle) <= set(town.ringing(request.id))

    async def test_are_rung_without_the_index_too(self, town: Town) -> None:
        people = await self.closed(town, 2)
        town.index.wipe()
        request = await town.ask()
        await town.look(request.id)
        assert town.ringing(request.id) == people
