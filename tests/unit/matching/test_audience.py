"""Whom a request is offered to as the wait goes on: languages, groups and desks, the same person, who stands by."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.audience import AudienceLimits, call_tag, next_opening, tags_open, tags_to_ask
from matching.help_desk import NotWon, Refusal
from matching.model import OfferOutcome, Request
from matching.request_rules import Acceptance, Event
from tests.support.fakes.cases import NOON, request, seconds
from tests.support.fakes.town import Town

LIMITS = AudienceLimits(next_language=seconds(20))


def speaking(*languages: str) -> Request:
    return replace(request(), languages=languages)


@pytest.fixture
def town() -> Town:
    return Town(size=2, next_language_s=20)


async def notes(town: Town) -> list[str]:
    return [one.note for one in town.herald.progressed]


class TestTheRules:
    def test_of_languages_that_understand_each_other_the_first_is_asked_in(self) -> None:
        assert tags_to_ask(speaking("pt-BR", "en", "pt-PT", "nb", "nn")) == ("pt-BR", "en", "nb")

    @pytest.mark.parametrize(("waited_s", "count"), [(0, 1), (19.9, 1), (20, 2), (40, 3), (1000, 3)])
    def test_each_further_language_opens_so_much_later(self, waited_s: float, count: int) -> None:
        assert tags_open(speaking("da", "en", "de"), NOON + seconds(waited_s), LIMITS) == count

    @given(st.floats(0, 300), st.floats(0, 300))
    def test_what_was_open_stays_open(self, earlier_s: float, more_s: float) -> None:
        of = speaking("da", "en", "de", "fr")
        then = NOON + seconds(earlier_s)
        assert tags_open(of, then, LIMITS) <= tags_open(of, then + seconds(more_s), LIMITS)

    @given(st.floats(0, 300))
    def test_the_next_opening_is_when_more_is_open_and_not_before(self, waited_s: float) -> None:
        of, now = speaking("da", "en", "de", "fr"), NOON + seconds(waited_s)
        opening = next_opening(of, now, LIMITS)
        if opening is None:
            assert tags_open(of, now, LIMITS) == 4
        else:
            assert tags_open(of, opening, LIMITS) == tags_open(of, now, LIMITS) + 1
            assert tags_open(of, opening - timedelta(milliseconds=1), LIMITS) == tags_open(of, now, LIMITS)

    @pytest.mark.parametrize(("spoken", "tag"), [(("en",), "en-GB"), (("da", "en"), "da"), (("fr",), "da"), ((), "da")])
    def test_a_call_is_in_the_most_wanted_language_they_share(self, spoken: tuple[str, ...], tag: str) -> None:
        assert call_tag(speaking("da", "en-GB"), spoken) == tag


class TestLanguages:
    async def test_the_next_is_asked_in_after_a_while(self, town: Town) -> None:
        danish, english = await town.volunteers(1, "da"), await town.volunteers(2, "en")
        asked = await town.ask("da", "en-GB")
        await town.look(asked.id)
        assert town.ringing(asked.id) == danish
        await town.later(20)
        await town.look(asked.id)
        assert set(town.ringing(asked.id)) >= {*danish, english[0]}
        assert town.last_offer(asked.id, english[0]).language == "en-GB"
        assert await notes(town) == ["asking", "next_language"]
        assert town.herald.progressed[-1].language == "en-GB"

    async def test_the_next_is_asked_in_at_once_when_nobody_of_the_first_can_be(self, town: Town) -> None:
        english = await town.volunteers(2, "en")
        asked = await town.ask("da", "en")
        await town.look(asked.id)
        assert town.ringing(asked.id) == english

    async def test_nobody_is_told_that_they_are_asked_for_when_nobody_is_awake(self, town: Town) -> None:
        asked = await town.ask("da", "en")
        await town.look(asked.id)
        assert await notes(town) == ["nobody_awake"]


class TestGroups:
    async def test_its_people_are_asked_first_and_everyone_later(self, town: Town) -> None:
        stranger, member = await town.volunteers(2)
        group = uuid4()
        town.book.members[group] = {member}
        asked = await town.ask(group_id=group, public_after=seconds(30))
        await town.look(asked.id)
        assert town.ringing(asked.id) == [member]
        await town.later(30)
        await town.look(asked.id)
        assert stranger in town.ringing(asked.id)
        assert await notes(town) == ["group_first", "opening_to_everyone"]

    async def test_alone_if_its_requester_chose_so(self, town: Town) -> None:
        _, member = await town.volunteers(2)
        group = uuid4()
        town.book.members[group] = {member}
        asked = await town.ask(group_id=group)
        for _ in range(17):
            await town.look(asked.id)
            await town.later(10)
        assert set(town.book.asked(asked.id)) == {member}

    async def test_of_a_group_that_is_gone_no_stranger_is_asked(self, town: Town) -> None:
        await town.volunteers(2)
        asked = await town.ask(group_id=uuid4())
        await town.look(asked.id)
        assert town.book.asked(asked.id) == []
        assert await notes(town) == ["nobody_awake"]

    async def test_strangers_drawn_by_others_do_not_go_to_it(self, town: Town) -> None:
        (stranger,) = await town.volunteers(1)
        private = await town.ask(group_id=uuid4())
        await town.look(private.id)
        younger = await town.ask()
        await town.look(younger.id)
        assert town.ringing(younger.id) == [stranger]


class TestDesks:
    async def test_the_older_of_two_gets_the_only_agent(self, town: Town) -> None:
        (agent,) = await town.volunteers(1)
        desk = uuid4()
        town.book.members[desk] = {agent}
        older, younger = await town.ask(desk_id=desk), await town.ask(desk_id=desk)
        await town.look(younger.id)
        assert (town.ringing(older.id), town.ringing(younger.id)) == ([agent], [])

    async def test_the_younger_gets_whom_the_older_may_not_have(self, town: Town) -> None:
        (agent,) = await town.volunteers(1)
        desk = uuid4()
        town.book.members[desk] = {agent}
        older, younger = await town.ask(desk_id=desk), await town.ask(desk_id=desk)
        await town.book.avoid(older.requester_id, agent)
        await town.look(younger.id)
        assert town.ringing(younger.id) == [agent]


async def helped(town: Town, person_id: UUID) -> Request:
    """A request that this person answered, and which is over."""
    asked = await town.ask()
    await town.look(asked.id)
    assert await town.desk.accept(asked.id, Acceptance(person_id, uuid4(), 1)) is None
    answered = town.request(asked.id)
    await town.hang_up(asked.id, Event.CONNECTED, tell_desk=False)
    await town.hang_up(asked.id, Event.COMPLETED)
    town.book.rows[asked.id].ended_at = town.clock.now
    return answered


class TestTheSamePersonAgain:
    async def again(self, town: Town, before: Request) -> Request:
        same = {"requester_id": before.requester_id, "session_id": before.session_id}
        return await town.ask(same_as_call_id=before.call_id, first_person=seconds(12), **same)

    async def test_is_asked_alone_and_then_others_are(self, town: Town) -> None:
        helper, other = await town.volunteers(2)
        asked = await self.again(town, await helped(town, helper))
        await town.look(asked.id)
        assert town.ringing(asked.id) == [helper]
        assert (await notes(town))[-1] == "same_person_first"
        await town.later(12)
        await town.look(asked.id)
        assert set(town.ringing(asked.id)) == {helper, other}

    async def test_others_are_asked_as_soon_as_they_say_no(self, town: Town) -> None:
        helper, other = await town.volunteers(2)
        asked = await self.again(town, await helped(town, helper))
        await town.look(asked.id)
        await town.desk.decline(asked.id, helper, 1)
        await town.look(asked.id)
        assert town.ringing(asked.id) == [other]

    async def test_others_are_asked_at_once_when_they_cannot_be(self, town: Town) -> None:
        helper, other = await town.volunteers(2)
        before = await helped(town, helper)
        town.book.people[helper].paused = True
        asked = await self.again(town, before)
        await town.look(asked.id)
        assert town.ringing(asked.id) == [other]

    async def test_not_after_the_two_chose_never_to_meet_again(self, town: Town) -> None:
        helper, other = await town.volunteers(2)
        before = await helped(town, helper)
        await town.book.avoid(before.requester_id, helper)
        asked = await self.again(town, before)
        await town.look(asked.id)
        assert town.ringing(asked.id) == [other]


class TestAYesThatCameSecond:
    async def second(self, town: Town) -> tuple[Request, UUID, NotWon]:
        """A request that one person answered, and somebody else a moment later; what that one was told."""
        first, late = await town.volunteers(2)
        asked = await town.ask()
        await town.look(asked.id)
        assert await town.desk.accept(asked.id, Acceptance(first, uuid4(), 1)) is None
        not_won = await town.desk.accept(asked.id, Acceptance(late, uuid4(), 1))
        assert not_won is not None
        assert not_won.refusal is Refusal.ANSWERED_ELSEWHERE
        return asked, late, not_won

    async def test_stands_by_and_is_asked_first_when_the_call_does_not_come_about(self, town: Town) -> None:
        asked, late, not_won = await self.second(town)
        assert not_won.standby_until == town.clock.now + seconds(15)
        await town.volunteers(3)
        await town.hang_up(asked.id, Event.RETURNED)
        await town.look(asked.id)
        assert town.ringing(asked.id)[0] == late

    async def test_is_asked_again_in_a_language_of_theirs(self, town: Town) -> None:
        first, late = await town.volunteers(2, "en")
        asked = await town.ask("da", "en-GB")
        await town.look(asked.id)
        for person_id in (first, late):
            await town.desk.accept(asked.id, Acceptance(person_id, uuid4(), 1))
        await town.hang_up(asked.id, Event.RETURNED)
        await town.look(asked.id)
        assert town.last_offer(asked.id, late).language == "en-GB"

    async def test_is_offered_the_oldest_request_that_waits_for_somebody(self, town: Town) -> None:
        first, late = await town.volunteers(2)
        asked = await town.ask()
        await town.look(asked.id)
        oldest, _ = await town.ask(), await town.ask()
        await town.desk.accept(asked.id, Acceptance(first, uuid4(), 1))
        not_won = await town.desk.accept(asked.id, Acceptance(late, uuid4(), 1))
        assert not_won is not None
        assert not_won.offer is not None
        assert not_won.offer.offer.request_id == oldest.id
        assert town.ringing(oldest.id) == [late]
        assert not_won.standby_until is None

    async def test_is_told_of_the_request_that_found_them_just_before(self, town: Town) -> None:
        first, late = await town.volunteers(2)
        asked = await town.ask()
        await town.look(asked.id)
        other = await town.ask()
        await town.desk.accept(asked.id, Acceptance(first, uuid4(), 1))
        await town.look(other.id)
        assert town.ringing(other.id) == [late]
        not_won = await town.desk.accept(asked.id, Acceptance(late, uuid4(), 1))
        assert not_won is not None
        assert not_won.offer is not None
        assert not_won.offer.offer.request_id == other.id

    async def test_is_kept_hot_though_their_app_was_closed(self, town: Town) -> None:
        asked, late, _ = await self.second(town)
        town.book.people[late].ready = False
        await town.desk.person_changed(late)
        assert await town.can_be_drawn(late)
        await town.later(180)
        await town.desk.person_changed(late)
        assert not await town.can_be_drawn(late)
        assert town.outcome(asked.id, late) is OfferOutcome.LOST


class TestCallbacks:
    async def test_tell_the_requester_once_that_somebody_is_free(self, town: Town) -> None:
        asked = await town.ask()
        await town.later(180)
        await town.look(asked.id)
        assert await town.desk.want_callback(asked.id) is None
        (free,) = await town.volunteers(1)
        assert await town.desk.waiting_for(free) == asked.id
        assert await town.desk.waiting_for(free) is None

    async def test_go_after_requests_that_wait(self, town: Town) -> None:
        asked = await town.ask()
        await town.later(180)
        await town.look(asked.id)
        await town.desk.want_callback(asked.id)
        waiting = await town.ask()
        (free,) = await town.volunteers(1)
        assert await town.desk.waiting_for(free) == waiting.id

    async def test_tell_of_whoever_turned_free_unnoticed(self, town: Town) -> None:
        asked, other = await town.ask("da"), await town.ask("en")
        await town.later(180)
        for one in (asked, other):
            await town.look(one.id)
            await town.desk.want_callback(one.id)
        assert await town.desk.call_back() == []
        await town.volunteers(1, "da")
        assert await town.desk.call_back() == [asked.id]
        assert await town.desk.call_back() == []

    async def test_name_somebody_who_is_free_already(self, town: Town) -> None:
        asked = await town.ask("da")
        await town.later(180)
        await town.look(asked.id)
        (free,) = await town.volunteers(1, "da")
        assert await town.desk.want_callback(asked.id) == free
