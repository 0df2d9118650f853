"""Invariant 7: whoever is drawn goes first to the oldest request that wants them and may have them."""

from __future__ import annotations

from uuid import UUID

from infra.memory.request_book import Row
from matching.languages import index_language
from matching.model import Offer, OfferOutcome, RequestState
from tests.interleaving.strands import Actor
from tests.interleaving.world import World

NOT_AGAIN = (None, OfferOutcome.DECLINED, OfferOutcome.WON, OfferOutcome.EXPIRED)


class Overtaking:
    """Remembers, for everybody who has drawn people, which requests have wanted people ever since."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._wanted: dict[str, set[UUID]] = {}
        self._offers: dict[UUID, int] = {}

    def before(self) -> None:
        self._offers = {id: len(row.offers) for id, row in self._world.book.rows.items()}

    def after(self, actor: Actor, label: str) -> list[str]:
        """What this step did wrong."""
        findings: list[str] = []
        if label.endswith(".commit_wave"):
            findings = self._overtaken(actor)
            # What was for an older request and came too late is nobody's: its own look draws anew.
            self._wanted.pop(actor.name, None)
        if ".draw" in label or self._wanted:
            wanting = self._wanting()
            for wanted in self._wanted.values():
                wanted &= wanting
            if ".draw" in label:
                self._wanted[actor.name] = wanting
        return findings

    def digest(self) -> int:
        return hash(frozenset((name, frozenset(wanted)) for name, wanted in self._wanted.items()))

    def _overtaken(self, actor: Actor) -> list[str]:
        older = [self._world.book.rows[id] for id in self._wanted.get(actor.name, ())]
        return [
            f"7: v{offer.person_id.int - 1000} went to request {id.int & 0xFFFF}, past an older one that wanted them"
            for id, row in self._world.book.rows.items()
            for offer in row.offers[self._offers.get(id, 0) :]
            for other in older
            if _place(other) < _place(row) and self._may_have(other, offer)
        ]

    def _wanting(self) -> set[UUID]:
        book, now = self._world.book, self._world.clock.now
        waiting = [row for row in book.rows.values() if row.request.state is RequestState.WAITING]
        if len(waiting) < 2:
            return set()
        return {
            row.request.id
            for row in waiting
            if row.request.group_id is None
            and row.request.desk_id is None
            and book._hungry(row)
            and self._world.pace.search(book._case(row), now).wants_people
        }

    def _may_have(self, row: Row, drawn: Offer) -> bool:
        """In the language in which they were drawn; who speaks another one, too, is not looked for in that."""
        book, person_id = self._world.book, drawn.person_id
        if index_language(drawn.language) not in map(index_language, row.request.languages):
            return False
        asked = any(offer.person_id == person_id and offer.outcome in NOT_AGAIN for offer in row.offers)
        return not asked and not book._avoided(row, person_id) and book._is_for(row.request, person_id)


def _place(row: Row) -> tuple[object, UUID]:
    return (row.request.created_at, row.request.id)
