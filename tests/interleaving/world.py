"""A town small enough to try everything that can happen in it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from infra.memory.index import MemoryIndex
from infra.memory.request_book import MemoryListings, MemoryRequestBook
from matching.help_desk import HelpDesk
from matching.languages import index_languages
from matching.model import Request, RequestState
from matching.ports import NewRequest
from matching.request_rules import Cooldown, Event, RequestLimits, step
from tests.interleaving.freezing import Copies, Digests
from tests.interleaving.phones import Phones
from tests.interleaving.ports import StoppingPort
from tests.interleaving.strands import STRAND
from tests.support.fakes.town import Town

LIMITS = RequestLimits(
    deadline=timedelta(seconds=60),
    offer=timedelta(seconds=20),
    unseen_failed=timedelta(seconds=600),
    unseen_not_asked=timedelta(seconds=600),
    cooldown=Cooldown(first=timedelta(seconds=10), growth=1.0),
)
"""Short lives, so that aftermaths are short; requesters are there."""


@dataclass(frozen=True)
class Promise:
    """Somebody was answered that it is so: it must be in the books from then on."""

    what: Literal["opened", "won", "declined", "cancelled", "offered"]
    request_id: UUID
    person_id: UUID | None = None
    epoch: int = 0


@dataclass(frozen=True)
class Product:
    """The code under test; copies of it carry bugs."""

    help_desk: Callable[..., HelpDesk] = HelpDesk
    book: Callable[..., MemoryRequestBook] = MemoryRequestBook


@dataclass(frozen=True)
class Size:
    """How much of everything there is."""

    wave: int = 2
    nodes: int = 2
    slow_telling: bool = False


class Valkey(MemoryIndex):
    """The index with what tells one life of its data from the next."""

    def __init__(self) -> None:
        super().__init__()
        self.generation = 0

    def wipe(self) -> None:
        super().wipe()
        self.generation += 1

    def complete_as(self, generation: int) -> None:
        """Whoever filled it says that it is complete, unless it was wiped since they began."""
        if generation == self.generation:
            self.complete()


COPIES = Copies()
Saved = tuple[Any, ...]


class World(Town):
    """Books, index and phones, and nodes that are stopped at each call to them."""

    def __init__(self, product: Product, size: Size) -> None:
        super().__init__(size=size.wave)
        self._product = product
        self._size = size
        self.limits = replace(self.limits, request=LIMITS)
        self.pace = replace(self.pace, limits=LIMITS)
        self.book = product.book(self.clock, LIMITS)
        self.index: Valkey = Valkey()
        self.index.complete()
        self.listings = MemoryListings(self.book)
        self.phones = Phones(self.book, self.clock, is_slow=size.slow_telling)
        self.promises: list[Promise] = []
        self.changed: set[UUID] = set()
        """Who said something of themselves: as long as their app is open, its node lists them again and again."""
        self._make_nodes()

    def _make_nodes(self) -> None:
        self.herald = self.phones
        self.nodes = [self.node() for _ in range(self._size.nodes)]
        self.desk = self.nodes[-1]

    def node(self) -> HelpDesk:
        make = getattr(self, "_product", Product()).help_desk
        return make(*self.ports(), self.pace, self.limits)

    def ports(self) -> tuple[Any, Any, Any, Any]:
        """The book, the index, the listings and the herald, each call to which is a stop."""
        return (
            StoppingPort("RequestBook", self.book),
            StoppingPort("VolunteerIndex", self.index),
            StoppingPort("Listings", self.listings),
            StoppingPort("Herald", self.herald),
        )

    # -- states -------------------------------------------------------------------------------------------------------

    def saved(self) -> Saved:
        """Everything that outlives a node."""
        return COPIES.of(self.clock, self.book, self.index, self.listings, self.phones, self.promises, self.changed)

    def restore(self, saved: Saved) -> None:
        """Everything as it was, and nodes that know nothing."""
        self.clock, self.book, self.index, self.listings, self.phones, self.promises, self.changed = COPIES.of(*saved)
        self._make_nodes()

    def fingerprint(self, digests: Digests) -> int:
        """Equal for worlds in which everything that outlives a node is the same."""
        parts = (
            hash(self.clock.now),
            digests.of_parts(self.book, {"waves", "clock", "_clock", "_limits"}),
            digests.of_parts(self.index),
            digests.of_parts(self.phones, {"told", "progressed", "_book", "_clock"}),
            digests.of(self.promises),
            digests.of(self.changed),
        )
        return hash(parts)

    # -- what happens besides calls to ports --------------------------------------------------------------------------

    async def happens(self, what: str, deed: Callable[[], object]) -> Any:
        """One step of somebody else: a transaction of another package, time passing, a server losing its data."""

        async def do() -> object:
            return deed()

        strand = STRAND.get()
        return await strand.call(what, do) if strand is not None else deed()

    async def until(self, what: str, when: Callable[[], bool]) -> None:
        """Whoever runs waits for this; never, perhaps."""
        strand = STRAND.get()
        assert strand is not None
        await strand.pause(what, when)

    async def tell(self, request_id: UUID) -> None:
        await self.ports()[3].tell(request_id)

    async def passes(self, by_s: float) -> None:
        await self.happens(f"{by_s:g} s pass", lambda: self.clock.advance(by_s))

    def end_call(self, request_id: UUID, epoch: int, event: Event) -> UUID | None:
        """The transaction that ends the call of this epoch, as the book of calls does it; the volunteer it frees."""
        row = self.book.rows[request_id]
        live = row.request.state in (RequestState.CONNECTING, RequestState.IN_CALL)
        if not live or row.request.epoch != epoch:
            return None
        if event is Event.COMPLETED and row.request.state is RequestState.CONNECTING:
            row.request = step(row.request, Event.CONNECTED, self.clock.now, self.limits.request)
        row.request = step(row.request, event, self.clock.now, self.limits.request)
        row.hungry, row.next_look_at = True, self.clock.now
        freed = [person for person, held in self.book.busy.items() if held.request_id == request_id]
        for person in freed:
            del self.book.busy[person]
        return next((person for person in freed if person in self.book.people), None)

    async def ask_through(
        self, desk: HelpDesk, number: int, *languages: str, group: UUID | None = None, public_after_s: float = 10
    ) -> Request:
        """Requester number `number` asks for help, and again should that have been lost."""
        tags = languages or ("en",)
        new = NewRequest(
            requester_id=UUID(int=10_000 + number),
            session_id=UUID(int=20_000 + number),
            languages=tags,
            index_languages=index_languages(tags),
            topic=None,
            mode="video",
            idempotency_key=f"of {number}",
            body_hash=b"",
            group_id=group,
            public_after=None if group is None else timedelta(seconds=public_after_s),
        )
        return (await desk.open(new)).request

    async def rebuild(self) -> None:
        """Some node notices that the index is gone, has requests looked at, and fills it again from the books."""
        book, index, listings, _ = self.ports()
        generation = self.index.generation
        await book.look_at_all()
        await index.put(await listings.of(list(self.book.people)), (await book.now()).timestamp())
        await self.happens("the index is complete", lambda: self.index.complete_as(generation))

    async def wipe(self) -> None:
        """Valkey loses everything it knows."""
        await self.happens("Valkey is wiped", self.index.wipe)


Deed = Coroutine[Any, Any, object]
