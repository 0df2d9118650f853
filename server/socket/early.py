"""What is delivered under a claim before the claim's own reply has been read: the two come by different connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from signaling.ports import Claim, Delivery


class Early:
    """The words for one session while it is being claimed, by owner epoch."""

    __slots__ = ("_seqs", "_taken", "claims")

    def __init__(self) -> None:
        self.claims = 0
        """How many claims are under way."""
        self._seqs: dict[int, int] = {}
        self._taken: set[int] = set()

    def hear(self, delivery: Delivery) -> None:
        if delivery.message is None:
            self._taken.add(delivery.owner_epoch)
        elif delivery.seq is not None:
            self._seqs[delivery.owner_epoch] = delivery.seq

    def last_seq(self, claim: Claim) -> int:
        """The highest number known to exist under this claim."""
        return max(claim.seq, self._seqs.get(claim.owner_epoch, 0))

    def is_taken(self, claim: Claim) -> bool:
        """Whether another owner has followed already."""
        return claim.owner_epoch in self._taken


class EarlyWords:
    """Keeps them for the sessions being claimed now, and for those only."""

    def __init__(self) -> None:
        self._sessions: dict[UUID, Early] = {}

    @contextmanager
    def kept(self, session_id: UUID) -> Iterator[Early]:
        """For as long as a claim is under way and until its outcome is entered."""
        early = self._sessions.setdefault(session_id, Early())
        early.claims += 1
        try:
            yield early
        finally:
            early.claims -= 1
            if not early.claims:
                del self._sessions[session_id]

    def hear(self, delivery: Delivery) -> None:
        early = self._sessions.get(delivery.session_id)
        if early is not None:
            early.hear(delivery)
