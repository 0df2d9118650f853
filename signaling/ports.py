"""What signaling needs from the world, owned here and implemented in `infra/` (and by fakes in tests)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from signaling.model import Call
from signaling.negotiation import Negotiation


class CarrierUnavailable(Exception):
    """Valkey cannot carry messages now. What was decided stays decided; a later look tells it again."""


class OwnershipLost(Exception):
    """Another node owns the mailbox now: close the socket, the session lives on there."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A node's ownership of one mailbox, won by `Mailboxes.claim`."""

    session_id: UUID
    owner_epoch: int
    """Fencing token: only the highest owns the mailbox."""
    incarnation: str
    """Names one unbroken run of sequence numbers."""
    seq: int
    """The last number given out when the mailbox was claimed."""
    resumed: bool
    """Whether the asked-for (incarnation, seq) could be continued without a gap."""
    backlog: tuple[tuple[int, bytes], ...]
    """When resumed: the messages after the number the client named, oldest first."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message (or the word that the mailbox has another owner) for a session this node owns."""

    session_id: UUID
    seq: int | None
    """None for an unnumbered message (progress, picture)."""
    message: bytes | None
    """UTF-8 JSON object without `seq`; None says: taken over, close."""
    owner_epoch: int


@dataclass(frozen=True, slots=True)
class Version:
    """What a message speaks of, and how new its news is."""

    subject: str
    number: int


@dataclass(frozen=True, slots=True)
class Once:
    """A client's own key for its message: said again, on whichever node, the message is not sent again."""

    sender: UUID
    """The client's session."""
    message_id: str


class Sender(Protocol):
    """The writing side of mailboxes, all that services need."""

    async def send(self, session_id: UUID, message: bytes, *, version: Version | None = None) -> bool:
        """Append a UTF-8 JSON object `{"type", "data", ...}` under the next number and wake the owner.

        With a version, nothing is appended when the mailbox already had this or a later version of the subject: telling
        twice is harmless, and a node that was frozen between reading and telling cannot bring back an old state.
        False when the session has no mailbox (it will start from a snapshot). Raises `CarrierUnavailable`.
        """

    async def relay(self, session_id: UUID, message: bytes, once: Once) -> bool:
        """As `send`, but once within 10 minutes; True also when it was sent before. Raises `CarrierUnavailable`."""

    async def was_relayed(self, session_id: UUID, once: Once) -> bool:
        """Whether it was sent to this session within 10 minutes. Raises `CarrierUnavailable`."""

    async def send_unnumbered(self, session_id: UUID, message: bytes) -> None:
        """Hand a message to the owner if there is one now; it is not kept. Raises `CarrierUnavailable`."""


class Mailboxes(Sender, Protocol):
    """One mailbox per session: a bounded, expiring stream of numbered messages with one owning node at a time."""

    async def claim(self, session_id: UUID, *, resume: tuple[str, int] | None) -> Claim:
        """Become the owner (the former one gets a `Delivery` without a message); continue or begin an incarnation."""

    async def renew(self, claim: Claim) -> Claim:
        """Begin a new incarnation of a mailbox this node owns, after a wipe or failover; numbers start again at 0.

        The new claim has a higher owner epoch. Raises `OwnershipLost` when the mailbox has a newer owner.
        """

    async def beat(self, claims: Collection[Claim]) -> dict[UUID, int | None]:
        """Refresh expiry and presence. Gives the last seq per session, so that gaps show; None: no longer the owner."""

    async def read(self, session_id: UUID, after: int) -> list[tuple[int, bytes]]:
        """Messages after number `after`, oldest first; a bounded number of them, none only when there are none."""

    async def acknowledged(self, claim: Claim, seq: int) -> None:
        """The client has everything up to `seq`: older entries may go."""

    async def release(self, claim: Claim) -> bool:
        """Give up ownership (socket gone); messages are still kept for a resume.

        False, and nothing changed, when the claim is stale: another owner has the session.
        """

    def deliveries(self) -> AsyncIterator[Delivery]:
        """Messages for sessions this node owns, as they are sent. Ends only when closed; reconnects by itself,
        after which the caller must expect gaps (found by `beat`)."""


class Answers(Protocol):
    """What was answered to a client's message id, kept 10 minutes, across nodes.

    Of all but messages that are only passed on: those `Sender.relay` remembers.
    """

    async def begin(self, session_id: UUID, message_id: str) -> bytes | None:
        """None: not done yet (or its doer died): do it. Else the answer frame to send again."""

    async def finish(self, session_id: UUID, message_id: str, answer: bytes) -> None:
        """It was done (or refused for good) and this is its answer."""

    async def forget(self, session_id: UUID, message_id: str) -> None:
        """It was not done after all (a retryable error): the same id may be tried again."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A call before and after a rule was applied and committed, and the database's clock then."""

    before: Call
    after: Call
    now: datetime


class NoSuchCall(Exception):
    """There is no call of this id."""


class CallBook(Protocol):
    """Calls as committed facts in Postgres. What a call's change does to its request is in the same transaction."""

    async def get(self, call_id: UUID) -> Call | None: ...

    async def of_epoch(self, request_id: UUID, epoch: int) -> Call | None:
        """The call that an accept of this epoch led to."""

    async def live_of_person(self, person_id: UUID) -> Call | None:
        """The person's call that has not ended, on whichever of their sessions."""

    async def change(self, call_id: UUID, rule: Callable[[Call, datetime], Call]) -> Changed:
        """Lock the call's request, apply the rule to the call as it is, commit what changed. Raises `NoSuchCall`.

        What the rule raises passes through and changes nothing.
        """


class Herald(Protocol):
    """Tells people what was decided."""

    async def tell(self, call: Call) -> None:
        """Send everything decided about this call, and what it belongs to, and not told yet. Never raises."""

    async def picture(self, call: Call) -> None:
        """Let both sides know what the volunteer sees, if they listen now. Never raises."""


class NegotiationStore(Protocol):
    """The state of one attempt's negotiation, shared by the nodes of both sides. May vanish: then it begins anew."""

    async def load(self, call_id: UUID, attempt: int) -> tuple[Negotiation, int]:
        """The state and its revision (0 when there is none). Raises `CarrierUnavailable`."""

    async def store(self, call_id: UUID, attempt: int, state: Negotiation, revision: int) -> bool:
        """Replace it if it still has that revision; False when another node was first. Raises `CarrierUnavailable`."""


class CallNews(Protocol):
    """What was decided about calls and not told yet."""

    async def call_news(self, request_id: UUID) -> list[Call]: ...

    def told_call(self, call: Call) -> None:
        """Remember it was told; written soon, in a batch. Should that be lost, it is told again."""
