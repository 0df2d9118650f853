"""The contract of every request book about whom a request is for, who stands by, who is told, who is left in peace."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from matching.model import Request
from matching.ports import LateYes
from matching.request_rules import Case, Change, Event, look
from tests.contract.books import LIMITS, Person, Subject, ask, current, look_at, new, offer, rung, say_no, say_yes
from tests.contract.books import subject as subject


def looked(case: Case, now: datetime) -> Change:
    return look(case, now, LIMITS)


LATE = LateYes(standby=timedelta(seconds=15), hot=timedelta(minutes=3))
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


async def ask_group(subject: Subject, group_id: UUID, *languages: str, after: timedelta | None = None) -> Request:
    wish = replace(new(await subject.requester(), *languages), group_id=group_id, public_after=after)
    return (await subject.book.open(wish, LIMITS.deadline)).request


async def ask_desk(subject: Subject, desk_id: UUID, *languages: str) -> Request:
    wish = replace(new(await subject.requester(), *languages), desk_id=desk_id)
    return (await subject.book.open(wish, LIMITS.deadline)).request


async def drawn(subject: Subject, request: Request, *excluded: UUID, count: int = 10) -> list[UUID]:
    found = await subject.book.draw_private(request, count=count, excluded=excluded)
    return [one.person_id for one in found]


async def expired(subject: Subject, *languages: str) -> Request:
    """A request that nobody answered, whose requester wants to be told when somebody is free."""
    request = await ask(subject, *languages)
    await subject.pass_time(LIMITS.deadline.total_seconds() + 1)
    ended = await look_at(subject, request)
    await subject.book.set_callback(ended.id, DAY)
    return ended


async def too_late(subject: Subject) -> tuple[Request, Person, Person]:
    """A request that one person answered, and another who said yes a moment later."""
    request, (first, second) = await rung(subject, 2)
    assert await say_yes(subject, request, first)
    return await current(subject, request), first, second


async def standing_by(subject: Subject, request: Request) -> list[UUID]:
    return [one.person_id for one in await subject.book.draw_standby(request.id)]


class TestGroups:
    async def test_its_people_are_drawn_whatever_they_speak_and_nobody_else(self, subject: Subject) -> None:
        (danish, _), (english, _), _ = [await subject.volunteer(tag) for tag in ("da", "en", "en")]
        group = uuid4()
        await subject.belong(group, danish, english)
        request = await ask_group(subject, group, "en")
        assert set(await drawn(subject, request)) == {danish, english}
        assert await drawn(subject, request, danish) == [english]
        assert len(await drawn(subject, request, count=1)) == 1

    async def test_who_is_ready_comes_before_who_must_be_woken(self, subject: Subject) -> None:
        (asleep, _), (ready, _) = await subject.closed(), await subject.volunteer()
        group = uuid4()
        await subject.belong(group, asleep, ready)
        assert await drawn(subject, await ask_group(subject, group)) == [ready, asleep]

    async def test_nobody_is_drawn_who_paused_or_is_taken(self, subject: Subject) -> None:
        people = [(await subject.volunteer())[0] for _ in range(3)]
        group = uuid4()
        await subject.belong(group, *people)
        await subject.pause(people[0])
        await offer(subject, await ask(subject), people[1])
        assert await drawn(subject, await ask_group(subject, group)) == [people[2]]

    async def test_an_avoided_member_is_excluded_and_refused(self, subject: Subject) -> None:
        member, _ = await subject.volunteer()
        group = uuid4()
        await subject.belong(group, member)
        request = await ask_group(subject, group)
        await subject.book.avoid(member, request.requester_id)
        assert member in await subject.book.exclusions(request.id)
        assert await offer(subject, request, member) == ()

    async def test_a_free_person_finds_it_only_as_a_member_until_it_opens(self, subject: Subject) -> None:
        (member, _), (stranger, _) = await subject.volunteer("da"), await subject.volunteer()
        group = uuid4()
        await subject.belong(group, member)
        request = await ask_group(subject, group, after=timedelta(seconds=30))
        assert await subject.book.oldest_waiting_for(member) == request.id
        assert await subject.book.oldest_waiting_for(stranger) is None
        await subject.pass_time(30)
        await subject.requester_seen(request)
        assert await subject.book.oldest_waiting_for(stranger) == request.id

    async def test_it_takes_nothing_from_the_draws_of_others_until_it_opens(self, subject: Subject) -> None:
        private = await ask_group(subject, uuid4(), after=timedelta(seconds=30))
        younger = await ask(subject)
        assert await subject.book.older_hungry(younger, "en", 9) == []
        await subject.pass_time(30)
        await subject.requester_seen(private)
        assert await subject.book.older_hungry(younger, "en", 9) == [private.id]


class TestDesks:
    async def test_its_agents_are_drawn_who_speak_a_language_of_the_request(self, subject: Subject) -> None:
        (danish, _), (english, _), _ = [await subject.volunteer(tag) for tag in ("da", "en", "da")]
        desk = uuid4()
        await subject.belong(desk, danish, english, desk=True)
        assert await drawn(subject, await ask_desk(subject, desk, "da")) == [danish]
        both = await ask_desk(subject, desk, "en", "da")
        assert set(await drawn(subject, both)) == {danish, english}

    async def test_the_older_at_the_same_desk_come_first(self, subject: Subject) -> None:
        desk = uuid4()
        await subject.belong(desk, desk=True)
        older, younger = await ask_desk(subject, desk), await ask_desk(subject, desk)
        elsewhere = await ask_desk(subject, uuid4())
        assert await subject.book.older_at_desk(younger, 9) == [older.id]
        assert await subject.book.older_at_desk(older, 9) == []
        assert await subject.book.older_at_desk(elsewhere, 9) == []
        assert await subject.book.older_at_desk(await ask(subject), 9) == []


class TestTheSamePersonAgain:
    async def helped(self, subject: Subject) -> tuple[Request, Person]:
        request, (helper,) = await rung(subject)
        assert await say_yes(subject, request, helper)
        answered = await current(subject, request)
        await subject.hang_up(answered, Event.CANCELLED)
        return answered, helper

    async def again(self, subject: Subject, before: Request) -> Request:
        wish = new((before.requester_id, before.session_id))
        wish = replace(wish, same_as_call_id=before.call_id, first_person=timedelta(seconds=12))
        return (await subject.book.open(wish, LIMITS.deadline)).request

    async def test_whoever_helped_is_named_first_for_a_while(self, subject: Subject) -> None:
        before, helper = await self.helped(subject)
        request = await self.again(subject, before)
        assert request.first_person == helper[0]
        assert request.first_until == request.created_at + timedelta(seconds=12)

    async def test_after_two_minutes_it_is_a_request_like_any_other(self, subject: Subject) -> None:
        before, _ = await self.helped(subject)
        await subject.pass_time(121)
        assert (await self.again(subject, before)).first_person is None

    async def test_somebody_elses_call_names_nobody(self, subject: Subject) -> None:
        before, _ = await self.helped(subject)
        wish = replace(new(await subject.requester()), same_as_call_id=before.call_id)
        assert (await subject.book.open(wish, LIMITS.deadline)).request.first_person is None


class TestStandingBy:
    async def test_lasts_while_the_first_may_still_fail(self, subject: Subject) -> None:
        request, _, second = await too_late(subject)
        assert await subject.book.stand_by(request.id, second[0], 1, LATE) is not None
        assert await standing_by(subject, request) == [second[0]]
        await subject.pass_time(15)
        assert await standing_by(subject, request) == []

    async def test_they_are_drawn_when_the_request_waits_again(self, subject: Subject) -> None:
        request, _, second = await too_late(subject)
        await subject.book.stand_by(request.id, second[0], 1, LATE)
        returned = await subject.hang_up(request, Event.RETURNED)
        assert returned.epoch == 2
        assert await standing_by(subject, request) == [second[0]]
        assert await offer(subject, returned, second[0]) == (second[0],)

    async def test_of_what_failed_already_nobody_stands_by(self, subject: Subject) -> None:
        request, _, second = await too_late(subject)
        await subject.hang_up(request, Event.CANCELLED)
        assert await subject.book.stand_by(request.id, second[0], 1, LATE) is None

    async def test_nobody_stands_by_whose_offer_was_not_lost(self, subject: Subject) -> None:
        request, (first, second) = await rung(subject, 2)
        await say_no(subject, request, second[0])
        assert await say_yes(subject, request, first)
        for person in (second[0], first[0], uuid4()):
            assert await subject.book.stand_by(request.id, person, 1, LATE) is None
        assert await standing_by(subject, request) == []


class TestCallbacks:
    async def test_whoever_turns_free_is_told_of_once(self, subject: Subject) -> None:
        request = await expired(subject)
        free, _ = await subject.volunteer()
        assert await subject.book.call_back(free, MINUTE) == request.id
        assert await subject.book.call_back(free, MINUTE) is None
        other, _ = await subject.volunteer()
        assert await subject.book.call_back(other, MINUTE) is None

    async def test_one_person_is_told_of_to_one_who_waits_longest(self, subject: Subject) -> None:
        first, second = await expired(subject), await expired(subject)
        free, _ = await subject.volunteer()
        assert await subject.book.call_back(free, MINUTE) == first.id
        assert await subject.book.call_back(free, MINUTE) is None
        await subject.pass_time(60)
        assert await subject.book.call_back(free, MINUTE) == second.id

    async def test_only_hot_free_people_who_speak_the_language_count(self, subject: Subject) -> None:
        await expired(subject)
        (asleep, _), (danish, _), (busy, _), (paused, _) = (
            await subject.closed(),
            await subject.volunteer("da"),
            await subject.volunteer(),
            await subject.volunteer(),
        )
        await offer(subject, await ask(subject, "en"), busy)
        await subject.pause(paused)
        for person in (asleep, danish, busy, paused):
            assert await subject.book.call_back(person, MINUTE) is None

    async def test_an_avoided_person_is_nobody_to_wait_for(self, subject: Subject) -> None:
        request = await expired(subject)
        free, _ = await subject.volunteer()
        await subject.book.avoid(free, request.requester_id)
        assert await subject.book.call_back(free, MINUTE) is None

    async def test_a_callback_ends_when_dropped_or_old_or_not_needed(self, subject: Subject) -> None:
        free, _ = await subject.volunteer()
        dropped = await expired(subject)
        await subject.book.drop_callback(dropped.id)
        again = await expired(subject)
        await subject.book.open(new((again.requester_id, again.session_id)), LIMITS.deadline)
        assert await subject.book.call_back(free, MINUTE) is None
        await expired(subject)
        await subject.pass_time(DAY.total_seconds())
        assert await subject.book.call_back(free, MINUTE) is None

    async def test_wanted_once_more_it_is_told_once_more(self, subject: Subject) -> None:
        request = await expired(subject)
        (one, _), (two, _) = await subject.volunteer(), await subject.volunteer()
        assert await subject.book.call_back(one, MINUTE) == request.id
        await subject.book.set_callback(request.id, DAY)
        await subject.book.set_callback(request.id, DAY)
        assert await subject.book.call_back(two, MINUTE) == request.id


class TestPeace:
    async def ring_out(self, subject: Subject, person: UUID) -> timedelta:
        """Let them ignore an offer that reached them; how long they are left in peace for it."""
        request = await ask(subject)
        assert await offer(subject, request, person) == (person,)
        await subject.book.note_delivered(person, [(request.id, 1)])
        await subject.pass_time(LIMITS.offer.total_seconds())
        decided = await subject.book.decide(request.id, looked)
        return decided.rest_until[person] - decided.now

    async def test_grows_with_every_offer_ignored_and_ends_with_a_yes(self, subject: Subject) -> None:
        who = await subject.volunteer()
        rests = [await self.ring_out(subject, who[0]) for _ in range(3)]
        assert rests == [timedelta(seconds=60), timedelta(seconds=240), timedelta(seconds=960)]
        request = await ask(subject)
        assert await offer(subject, request, who[0]) == (who[0],)
        assert await say_yes(subject, await current(subject, request), who)
        await subject.hang_up(await current(subject, request), Event.CANCELLED)
        assert await self.ring_out(subject, who[0]) == timedelta(seconds=60)

    async def test_what_never_reached_them_was_not_ignored(self, subject: Subject) -> None:
        who, _ = await subject.volunteer()
        for _ in range(2):
            request = await ask(subject)
            await offer(subject, request, who)
            await subject.pass_time(LIMITS.offer.total_seconds())
            decided = await subject.book.decide(request.id, looked)
            assert decided.rest_until[who] - decided.now == timedelta(seconds=60)

    async def test_a_closed_app_is_rung_so_often_a_week(self, subject: Subject) -> None:
        who, _ = await subject.closed()
        for _ in range(LIMITS.weekly.rings):
            request = await ask(subject)
            assert await offer(subject, request, who) == (who,)
            await say_no(subject, request, who)
        assert await offer(subject, await ask(subject), who) == ()
        assert await subject.book.draw_closed(language="en", count=9, excluded=()) == []
        await subject.pass_time(LIMITS.weekly.length.total_seconds())
        assert await offer(subject, await ask(subject), who) == (who,)

    async def test_who_is_ready_is_asked_however_often(self, subject: Subject) -> None:
        who, _ = await subject.volunteer()
        for _ in range(LIMITS.weekly.rings + 1):
            request = await ask(subject)
            assert await offer(subject, request, who) == (who,)
            await say_no(subject, request, who)
