"""What matching needs from the world, owned here and implemented in `infra/` (and by fakes in tests)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from matching.model import Listing, Offer, Request, Tier
from matching.request_rules import Case, Change, Progress


class IndexUnavailable(Exception):
    """The volunteer index cannot answer now: unreachable, wiped, or not yet rebuilt. Draw from Postgres instead."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What one pass over the index's clocks moved."""

    woken: tuple[UUID, ...]
    """Moved to ready: may be asked from now on."""
    stale: tuple[UUID, ...]
    """Their window ended or their next edges are unknown: compute new edges and `put` them again."""


class VolunteerIndex(Protocol):
    """Who may be asked next, by language and tier, in fair turn (lowest `last_asked_at` first).

    All moments are Unix seconds of the database's clock. Every method raises `IndexUnavailable` when the index cannot
    answer within its deadline; `draw` also while those who speak the language are not all back after a wipe, `sweep`
    while nobody is, `counts` until everybody is.
    """

    async def put(self, listings: Sequence[Listing], now: float) -> None:
        """Insert or replace people: into ready if they may be asked at `now`, else into wake at the moment they may."""

    async def remove(self, people: Collection[UUID]) -> None:
        """Forget people entirely (suspended, erased, no longer reachable)."""

    async def draw(
        self, *, language: str, tier: Tier, count: int, excluded: Collection[UUID], now: float, lease_until: float
    ) -> list[UUID]:
        """Take up to `count` people out of their ready sets into wake, to return at `lease_until` unless something else
        is said of them before."""

    async def confirm(self, people: Collection[UUID], *, asked_at: float, until: float) -> None:
        """They were asked: remember `asked_at` as their turn and keep them away until `until`."""

    async def release(self, people: Collection[UUID], *, at: float, now: float) -> None:
        """They may be asked again from `at` (at once if `at <= now`): lease given back, declined, or call over.

        Unknown people are ignored. Their turn (`last_asked_at`) stays as it is.
        """

    async def hold(self, people: Collection[UUID], until: float) -> None:
        """Keep them away until `until` (`inf`: until `release` or `put`) without touching their turn."""

    async def sweep(self, now: float, limit: int) -> Swept:
        """Move up to `limit` people whose moment has come from wake to ready, and find those whose window has ended."""

    async def counts(self) -> dict[tuple[str, Tier], int]:
        """People who may be asked now, by language and tier."""


@dataclass(frozen=True, slots=True)
class NewRequest:
    """What a requester asks for, checked and normalised."""

    requester_id: UUID
    session_id: UUID
    languages: tuple[str, ...]
    index_languages: tuple[str, ...]
    topic: str | None
    mode: str
    idempotency_key: str | None
    body_hash: bytes
    group_id: UUID | None = None
    desk_id: UUID | None = None
    public_after: timedelta | None = None
    """With a group or desk: when anybody may be asked; None: never."""
    same_as_call_id: UUID | None = None
    """A call of theirs: should it have ended a moment ago, whoever helped is asked first."""
    first_person: timedelta = timedelta(0)
    """For how long that one is asked alone."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The request now in the books under this key, and whether this call put it there."""

    request: Request
    created: bool


class Practising(Exception):
    """The requester is trying their device in a practice call."""


class RequestOpen(Exception):
    """The requester already has a request that has not ended: `request`."""

    def __init__(self, request: Request) -> None:
        super().__init__("a request of this person has not ended")
        self.request = request


class IdempotencyMismatch(Exception):
    """The key was used for another body within the last day."""


class NotFound(Exception):
    """There is no such request."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A case after a rule was applied and committed."""

    case: Case
    change: Change
    now: datetime
    refused_busy: bool = False
    """The winner turned out to be taken elsewhere; nothing was changed."""
    rest_until: Mapping[UUID, datetime] = field(default_factory=dict)
    """Those whose offers ended by their own doing, and until when they are left in peace."""


@dataclass(frozen=True, slots=True)
class WavePlan:
    """Ask these people, if the request still is where it was when they were drawn."""

    request_id: UUID
    epoch: int
    wave: int
    """The wave number the request had when this was planned; the commit raises it."""
    people: tuple[UUID, ...]
    language: str
    offer: timedelta
    hungry: bool
    """Whether more people were wanted than could be drawn."""
    urgent: bool = True
    """Whether devices unseen for a month are left in peace."""


@dataclass(frozen=True, slots=True)
class OpenOffer:
    """An offer with what the volunteer is told of its request."""

    offer: Offer
    topic: str | None
    mode: str
    waiting_since: datetime


@dataclass(frozen=True, slots=True)
class Drawn:
    """Somebody who may be offered a request, with the (index) languages they were found under."""

    person_id: UUID
    languages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LateYes:
    """What a yes that came second is worth."""

    standby: timedelta = timedelta(seconds=15)
    """As long as the first may still fail: a call may take so long to connect."""
    hot: timedelta = timedelta(minutes=3)
    """How long they are taken to be there: they have the app open and wanted to help just now."""


Rule = Callable[[Case, datetime], Change | None]


class RequestBook(Protocol):
    """Requests, offers and who is taken: committed facts in Postgres. Every method is one transaction."""

    async def now(self) -> datetime:
        """The database's clock."""

    async def open(self, new: NewRequest, deadline: timedelta) -> Opened:
        """Commit a new request, due for a look. Raises `RequestOpen`, `IdempotencyMismatch`."""

    async def opened_before(self, new: NewRequest) -> Opened | None:
        """What this wish's key opened within the last day. Raises `IdempotencyMismatch`."""

    async def get(self, request_id: UUID) -> Request | None: ...

    async def current(self, requester_id: UUID) -> Request | None:
        """The requester's request that has not ended."""

    async def decide(self, request_id: UUID, rule: Rule) -> Decided:
        """Lock the request, load its case and the clock, apply the rule, commit what it changed. Raises `NotFound`.

        A change with a winner also takes the winner (and the requester) through `busy` and writes the call.
        """

    async def commit_wave(self, plan: WavePlan) -> tuple[UUID, ...] | None:
        """Offer to those of `plan.people` who are free; the people taken, or None when the plan is out of date."""

    async def look_at_all(self) -> None:
        """Make every waiting request due now."""

    async def due(self, limit: int) -> list[UUID]:
        """Claim requests whose look is due; each is due again a second later unless its look says otherwise."""

    async def exclusions(self, request_id: UUID) -> frozenset[UUID]:
        """People never to be asked for this request: avoided pairs, declined, failed with, or being asked now."""

    async def let_expire(self, request_id: UUID) -> frozenset[UUID]:
        """People who let an offer of this request expire: asked again only when nobody else is left."""

    async def older_hungry(self, request: Request, language: str, limit: int) -> list[UUID]:
        """Older waiting requests in this (index) language, for anybody, that want people they lack, oldest first."""

    async def older_at_desk(self, request: Request, limit: int) -> list[UUID]:
        """Older waiting requests for the same desk that want people they have not got, oldest first."""

    async def oldest_waiting_for(self, person_id: UUID) -> UUID | None:
        """The oldest waiting request this volunteer may be asked for."""

    async def draw_ready(self, *, language: str, count: int, excluded: Collection[UUID]) -> list[UUID]:
        """Ready volunteers straight from Postgres, longest unasked first: for when the index is gone."""

    async def draw_closed(self, *, language: str, count: int, excluded: Collection[UUID]) -> list[UUID]:
        """As `draw_ready`, people with the app closed whose hours it is, among those whose turn it is."""

    async def draw_private(self, request: Request, *, count: int, excluded: Collection[UUID]) -> list[Drawn]:
        """People of the request's group or desk who may be asked now, longest unasked first."""

    async def spoken(self, person_id: UUID) -> tuple[str, ...]:
        """The (index) languages of this person."""

    async def draw_standby(self, request_id: UUID) -> list[Drawn]:
        """People who said yes to this request a moment too late and stand by, who answered first first."""

    async def stand_by(self, request_id: UUID, person_id: UUID, epoch: int, late: LateYes) -> datetime | None:
        """They said yes a moment too late: until when they stand by, None when whoever was faster cannot fail any more.

        Either way they are hot for a while.
        """

    async def set_callback(self, request_id: UUID, life: timedelta) -> None:
        """Remember that the requester wants to be told, once, when somebody is free; once more if they were told."""

    async def drop_callback(self, request_id: UUID) -> None:
        """They need not be told any more."""

    async def languages_to_call_back(self) -> list[str]:
        """The (index) languages in which somebody wants to be told that somebody is free."""

    async def call_back(self, person_id: UUID, reserved: timedelta) -> UUID | None:
        """This person may be free: the ended request whose requester is to be told so now, if there is one.

        Only a hot person counts, and not again while `reserved` for the requester told before.
        """

    async def offer_for(self, request_id: UUID, person_id: UUID, epoch: int) -> Offer | None:
        """The latest offer made to this person for this epoch."""

    async def open_offers(self, person_id: UUID) -> list[OpenOffer]:
        """The offers open for this person now."""

    async def note_delivered(self, person_id: UUID, offers: Collection[tuple[UUID, int]]) -> None:
        """The person's device acknowledged these (request, epoch)."""

    async def note_progress(self, request_id: UUID, progress: Progress) -> None:
        """Remember what the requester was told of the search."""

    async def avoid(self, person_id: UUID, other_id: UUID) -> None:
        """Never match these two again; either may have said so, and saying it twice changes nothing."""


class Listings(Protocol):
    """What Postgres knows of volunteers, in the shape the index wants."""

    async def of(self, people: Collection[UUID]) -> list[Listing]:
        """Listings of those who can be asked at all; others are left out."""


class Herald(Protocol):
    """Tells people what was decided."""

    async def tell(self, request_id: UUID) -> None:
        """Send everything decided about this request and not told yet. Never raises: a later look tells the rest."""

    async def progress(self, request: Request, progress: Progress) -> None:
        """Tell the requester how the search goes; not kept, never raises."""


@dataclass(frozen=True, slots=True)
class RequestNews:
    """A request as it is now, and where its requester can be told."""

    request: Request
    sessions: tuple[UUID, ...]
    untold: bool
    of_calls: bool
    """Whether there is news of its calls, too."""
    of_offers: bool
    of_wakes: bool
    """Whether devices are to be rung, or told that a ring is over."""
    now: datetime
    free_until: datetime | None = None
    """Somebody is free, who did not come while the request lived, and is likely to be until then; not told yet."""


@dataclass(frozen=True, slots=True)
class OfferNews:
    """An offer to tell the beginning or the end of, and where its volunteer can be told."""

    open: OpenOffer
    sessions: tuple[UUID, ...]

    @property
    def over(self) -> bool:
        return self.open.offer.outcome is not None


class NewsBook(Protocol):
    """What was decided about requests and offers and not told yet."""

    async def request_news(self, request_id: UUID) -> RequestNews | None: ...

    async def offer_news(self, request_id: UUID) -> list[OfferNews]: ...

    def told_request(self, request_id: UUID, version: int) -> None:
        """Remember it was told; written soon, in a batch. Should that be lost, it is told again."""

    def told_offer(self, offer: Offer) -> None:
        """As `told_request`."""

    def told_free(self, request_id: UUID) -> None:
        """As `told_request`: that somebody is free."""
