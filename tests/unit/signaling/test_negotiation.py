"""Which descriptions and candidates pass: the contract's "Negotiation", row by row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.model import Side
from signaling.negotiation import (
    HELD_AT_MOST,
    HELD_FOR_S,
    Negotiation,
    Verdict,
    candidate,
    description,
    no_more_candidates,
    ufrag_of_candidate,
    ufrags_of,
)

R, V = Side.REQUESTER, Side.VOLUNTEER
PASS, STALE, WRONG, DROP, HOLD = Verdict.PASS, Verdict.STALE, Verdict.WRONG_SIDE, Verdict.DROP, Verdict.HOLD

Row = tuple[Side, str, int, str, Verdict]
"""Who, offer or answer, its number, its ICE ufrag, and what becomes of it."""

DIALOGUES: dict[str, list[Row]] = {
    "the requester offers first and the volunteer answers": [
        (R, "offer", 1, "r1", PASS),
        (V, "answer", 1, "v1", PASS),
    ],
    "the volunteer may not offer before anything was said": [
        (V, "offer", 1, "v1", WRONG),
        (R, "offer", 1, "r1", PASS),
    ],
    "the volunteer may not offer before its first answer": [
        (R, "offer", 1, "r1", PASS),
        (V, "offer", 2, "v1", WRONG),
        (V, "answer", 1, "v1", PASS),
    ],
    "the volunteer may offer after having answered once": [
        (R, "offer", 1, "r1", PASS),
        (V, "answer", 1, "v1", PASS),
        (V, "offer", 2, "v2", PASS),
        (R, "answer", 2, "r2", PASS),
        (V, "offer", 3, "v3", PASS),
    ],
    "on a tie the requester's offer stands, when it comes second": [
        (R, "offer", 1, "r1", PASS),
        (V, "answer", 1, "v1", PASS),
        (V, "offer", 2, "v2", PASS),
        (R, "offer", 2, "r2", PASS),
        (R, "answer", 2, "r2", WRONG),
        (V, "answer", 2, "v1", PASS),
        (R, "offer", 3, "r3", PASS),
    ],
    "on a tie the requester's offer stands, when it comes first": [
        (R, "offer", 1, "r1", PASS),
        (V, "answer", 1, "v1", PASS),
        (R, "offer", 2, "r2", PASS),
        (V, "offer", 2, "v2", STALE),
        (V, "answer", 2, "v2", PASS),
    ],
    "an offer that was answered is no tie any more": [
        (R, "offer", 1, "r1", PASS),
        (V, "answer", 1, "v1", PASS),
        (V, "offer", 2, "v2", PASS),
        (R, "answer", 2, "r2", PASS),
        (R, "offer", 2, "r3", STALE),
        (R, "offer", 3, "r3", PASS),
    ],
    "an old or repeated number of another offer is stale": [
        (R, "offer", 1, "r1", PASS),
        (R, "offer", 2, "r2", PASS),
        (R, "offer", 1, "r1", STALE),
        (R, "offer", 2, "r3", STALE),
    ],
    "an answer to an offer that was replaced is stale": [
        (R, "offer", 1, "r1", PASS),
        (R, "offer", 2, "r2", PASS),
        (V, "answer", 1, "v1", STALE),
        (V, "answer", 2, "v1", PASS),
    ],
    "a second, other answer is stale": [
        (R, "offer", 1, "r1", PASS),
        (V, "answer", 1, "v1", PASS),
        (V, "answer", 1, "v2", STALE),
    ],
    "an answer with the transport of the one before it is the only answer": [
        (R, "offer", 1, "r1", PASS),
        (V, "answer", 1, "v1", PASS),
        (R, "offer", 2, "r1", PASS),
        (V, "answer", 2, "v1", PASS),
        (V, "answer", 2, "v2", STALE),
    ],
    "an answer without an offer is stale": [
        (V, "answer", 1, "v1", STALE),
        (R, "offer", 1, "r1", PASS),
        (V, "answer", 2, "v1", STALE),
        (V, "answer", 1, "v1", PASS),
    ],
    "nobody answers their own offer": [
        (R, "offer", 1, "r1", PASS),
        (R, "answer", 1, "r1", WRONG),
        (V, "answer", 1, "v1", PASS),
        (V, "offer", 2, "v2", PASS),
        (V, "answer", 2, "v2", WRONG),
        (R, "answer", 2, "r2", PASS),
    ],
    "what was judged but never acknowledged passes again when it is said again": [
        (R, "offer", 1, "r1", PASS),
        (R, "offer", 1, "r1", PASS),
        (V, "answer", 1, "v1", PASS),
        (V, "answer", 1, "v1", PASS),
        (R, "offer", 1, "r1", PASS),
        (V, "answer", 1, "v2", STALE),
        (V, "offer", 2, "v2", PASS),
        (V, "offer", 2, "v2", PASS),
        (R, "answer", 2, "r2", PASS),
        (R, "answer", 2, "r2", PASS),
    ],
    "a volunteer whose number tells of earlier rounds offers although they were forgotten": [
        (V, "offer", 7, "v7", PASS),
        (R, "answer", 7, "r7", PASS),
        (V, "offer", 8, "v8", PASS),
    ],
    "a requester's offer passes although earlier rounds were forgotten": [
        (R, "offer", 7, "r7", PASS),
        (V, "answer", 7, "v7", PASS),
    ],
}


def sdp(*ufrags: str) -> str:
    lines = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", *(f"a=ice-ufrag:{ufrag}" for ufrag in ufrags), "a=ice-pwd:secret"]
    return "\r\n".join(lines) + "\r\n"


def say(state: Negotiation, side: Side, kind: str, number: int, ufrag: str, now: float = 0.0) -> Negotiation:
    judged = description(state, side, kind, number, sdp(ufrag), now)
    assert judged.verdict is PASS
    return judged.state


OFFERED = say(Negotiation(), R, "offer", 1, "r1")
STABLE = say(OFFERED, V, "answer", 1, "v1")


class TestDescriptions:
    @pytest.mark.parametrize("dialogue", DIALOGUES.values(), ids=DIALOGUES.keys())
    def test_a_dialogue_is_judged_as_the_contract_says(self, dialogue: list[Row]) -> None:
        state, verdicts = Negotiation(), []
        for side, kind, number, ufrag, _expected in dialogue:
            judged = description(state, side, kind, number, sdp(ufrag), now=0.0)
            verdicts.append(judged.verdict)
            if judged.verdict is not PASS:
                assert judged.state is state
                assert not judged.released
            state = judged.state
        assert verdicts == [row[-1] for row in dialogue]

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(Side), st.sampled_from(["offer", "answer"]), st.integers(1, 6), st.sampled_from("abc")
            ),
            max_size=20,
        )
    )
    def test_the_number_never_falls_and_only_one_offer_stands(self, said: list[tuple[Side, str, int, str]]) -> None:
        state = Negotiation()
        for side, kind, number, ufrag in said:
            judged = description(state, side, kind, number, sdp(f"{side}{ufrag}"), now=0.0)
            after = judged.state
            assert after.highest >= state.highest
            if judged.verdict is PASS:
                assert number == after.highest
                assert after.offerer is (side if kind == "offer" else side.other)
            state = after


class TestCandidates:
    def test_of_the_description_in_force_pass(self) -> None:
        assert candidate(STABLE, R, "r1", "c", 0.0).verdict is PASS
        assert candidate(STABLE, V, "v1", "c", 0.0).verdict is PASS

    def test_without_a_ufrag_pass_at_any_time(self) -> None:
        assert candidate(Negotiation(), R, None, "c", 0.0).verdict is PASS
        assert candidate(STABLE, V, None, "c", 0.0).verdict is PASS

    def test_of_a_superseded_description_are_dropped(self) -> None:
        restarted = say(STABLE, R, "offer", 2, "r2")
        dropped = candidate(restarted, R, "r1", "c", 0.0)
        assert (dropped.verdict, dropped.state) == (DROP, restarted)

    def test_of_a_description_said_again_without_an_ice_restart_still_pass(self) -> None:
        assert candidate(say(STABLE, R, "offer", 2, "r1"), R, "r1", "c", 0.0).verdict is PASS

    def test_of_the_description_before_a_rolled_back_offer_pass_again(self) -> None:
        glare = say(say(STABLE, V, "offer", 2, "v2"), R, "offer", 2, "r2")
        answered = say(glare, V, "answer", 2, "v1")
        assert candidate(answered, V, "v1", "c", 0.0).verdict is PASS
        assert candidate(answered, V, "v2", "c", 0.0).verdict is DROP

    def test_of_one_side_say_nothing_of_the_others(self) -> None:
        assert candidate(STABLE, V, "r1", "c", 0.0).verdict is HOLD

    def test_that_come_early_are_held_and_follow_their_description_in_order(self) -> None:
        state = Negotiation()
        for frame in ("c1", "c2", "c3"):
            judged = candidate(state, R, "r1", frame, 1.0)
            assert judged.verdict is HOLD
            state = judged.state
        said = description(state, R, "offer", 1, sdp("r1"), 2.0)
        assert said.released == ("c1", "c2", "c3")
        assert description(said.state, R, "offer", 2, sdp("r1"), 3.0).released == ()

    def test_follow_again_when_their_description_is_said_again_because_passing_it_on_had_failed(self) -> None:
        held = candidate(Negotiation(), R, "r1", "c1", 1.0).state
        said = description(held, R, "offer", 1, sdp("r1"), 2.0)
        assert description(said.state, R, "offer", 1, sdp("r1"), 3.0).released == said.released == ("c1",)

    def test_of_another_description_are_held_on(self) -> None:
        held = candidate(candidate(Negotiation(), R, "r1", "c1", 0.0).state, R, "r2", "c2", 0.0).state
        first = description(held, R, "offer", 1, sdp("r1"), 1.0)
        assert first.released == ("c1",)
        assert description(first.state, R, "offer", 2, sdp("r2"), 2.0).released == ("c2",)

    @pytest.mark.parametrize(("after_s", "released"), [(44.9, ("c",)), (45.0, ())])
    def test_are_held_for_forty_five_seconds(self, after_s: float, released: tuple[str, ...]) -> None:
        held = candidate(Negotiation(), V, "v1", "c", 100.0).state
        offered = say(held, R, "offer", 1, "r1", 100.0)
        assert description(offered, V, "answer", 1, sdp("v1"), 100.0 + after_s).released == released

    def test_are_held_sixty_four_at_most_on_each_side(self) -> None:
        state = _held(Negotiation(), V, 64)
        refused = candidate(state, V, "v1", "one more", 1.0)
        assert (refused.verdict, refused.state) == (Verdict.TOO_MANY, state)
        assert candidate(state, R, "r1", "the other side's", 1.0).verdict is HOLD

    def test_held_too_long_make_room(self) -> None:
        state = _held(Negotiation(), V, 64)
        judged = candidate(state, V, "v1", "one more", 46.0)
        assert judged.verdict is HOLD
        assert [held.frame for held in judged.state.volunteer.held] == ["one more"]

    def test_of_the_description_in_force_pass_however_many_are_held(self) -> None:
        assert candidate(_held(STABLE, V, 64), V, "v1", "c", 1.0).verdict is PASS


def _held(state: Negotiation, side: Side, count: int) -> Negotiation:
    for number in range(count):
        judged = candidate(state, side, "unknown", f"c{number}", 0.5)
        assert judged.verdict is HOLD
        state = judged.state
    return state


class TestUfrags:
    def test_of_a_description_are_found_once_each(self) -> None:
        assert ufrags_of(sdp("abcd", "abcd", "e+/f")) == ("abcd", "e+/f")

    def test_of_a_description_without_any_are_none(self) -> None:
        assert ufrags_of("v=0\r\ns=a=ice-ufrag:not-a-line-of-its-own\r\n") == ()

    @pytest.mark.parametrize(
        ("line", "field", "ufrag"),
        [
            ("candidate:1 1 udp 1 192.0.2.1 9 typ host ufrag abcd network-cost 10", None, "abcd"),
            ("candidate:1 1 udp 1 192.0.2.1 9 typ host ufrag abcd", "efgh", "efgh"),
            ("candidate:1 1 udp 1 192.0.2.1 9 typ host", "efgh", "efgh"),
            ("candidate:1 1 udp 1 192.0.2.1 9 typ host", None, None),
            ("candidate:1 1 udp 1 192.0.2.1 9 typ host", "", None),
            (None, "efgh", "efgh"),
            (None, None, None),
            ("", None, None),
        ],
    )
    def test_of_a_candidate_its_field_then_its_string(
        self, line: str | None, field: str | None, ufrag: str | None
    ) -> None:
        assert ufrag_of_candidate(line, field) == ufrag


class TestNoMoreCandidates:
    def offered(self, state: Negotiation, ufrag: str = "r1", now: float = 1.0) -> tuple[Verdict, tuple[str, ...]]:
        judged = description(state, R, "offer", 1, f"a=ice-ufrag:{ufrag}\r\n", now)
        return judged.verdict, judged.released

    def test_ahead_of_a_description_without_any_say_so_with_it(self) -> None:
        held = no_more_candidates(Negotiation(), R, "r1", "no more", 0.0)
        assert held.verdict is HOLD
        assert self.offered(held.state) == (Verdict.NO_RELAY, ())
        assert self.offered(held.state, "r2") == (PASS, ())

    def test_ahead_of_a_description_follow_those_that_waited_too(self) -> None:
        state = candidate(Negotiation(), R, "r1", "one", 0.0).state
        state = no_more_candidates(state, R, "r1", "no more", 0.0).state
        assert self.offered(state) == (PASS, ("one", "no more"))

    def test_wait_as_long_and_are_as_many_as_candidates(self) -> None:
        state = no_more_candidates(Negotiation(), R, "r1", "no more", 0.0).state
        assert self.offered(state, now=HELD_FOR_S) == (PASS, ())
        for number in range(HELD_AT_MOST - 1):
            state = candidate(state, R, "r1", str(number), 0.0).state
        assert no_more_candidates(state, R, "r1", "one more", 0.0).verdict is Verdict.TOO_MANY

    def test_of_a_superseded_description_are_dropped(self) -> None:
        state = description(Negotiation(), R, "offer", 1, "a=ice-ufrag:r1\r\n", 0.0).state
        state = description(state, R, "offer", 2, "a=ice-ufrag:r2\r\n", 0.0).state
        assert no_more_candidates(state, R, "r1", "no more", 0.0).verdict is DROP
