"""Every Valkey key of the product, declared once with its meaning. Nothing else builds a key by hand.

The part in braces decides the cluster slot: one function touches keys of one brace only. Lua functions that find
further keys of the same brace (a person's ready sets) derive them from the shard's prefix, given as KEYS[1]
(`lua/_index.lua` mirrors the names below). Ids are 16 binary bytes inside values and at the end of index keys.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from matching.model import Tier
from signaling.ports import Once

# --- Volunteer index: one set of keys per shard `{v<i>}` -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shard:
    """The keys of one shard of the volunteer index."""

    number: int

    @property
    def generation(self) -> bytes:
        """Hash: which life of this data it is, and how far its rebuild has come (`lua/generation_*.lua`).

        `id`: random, made by the first node that finds the key missing, so a wipe shows as a new id. `server`: run id
        of the server the data lives on. `shards`: how many there are; `before`: how many there were, 0 if not known.
        `state`: absent, `rebuilding` or `complete`. `owner`, `lease_until_ms`: who rebuilds, and until when by the
        server's clock. `put:<language>`: everybody who speaks it was put already; `put:`: of some language.
        """
        return self._key(b"generation")

    @property
    def wake(self) -> bytes:
        """Sorted set, id -> moment: people who may not be asked now, scored by when they may (`inf`: not known)."""
        return self._key(b"wake")

    @property
    def close(self) -> bytes:
        """Sorted set, id -> moment: people in ready who are not hot, scored by the end of their present window; they
        stay in it while they are drawn or held. Who is open all week is not in it."""
        return self._key(b"close")

    @property
    def languages(self) -> bytes:
        """Set: index languages anyone here was ever listed with, so that the ready sets can be enumerated."""
        return self._key(b"languages")

    def ready(self, tier: Tier, language: str) -> bytes:
        """Sorted set, id -> turn (`matching/turns.py`): people who may be asked now; the head is asked first."""
        return self._key(b"ready:%b:%b" % (tier.value.encode(), language.encode()))

    @property
    def people(self) -> bytes:
        """Hash, id -> packed record, `infra/valkey/index.py` `pack`; in Lua `lua/_index.lua` `index_read`."""
        return self._key(b"people")

    @property
    def prefix(self) -> bytes:
        """What all keys of this shard begin with; passed as KEYS[1] to name the slot."""
        return b"{v%d}:" % self.number

    def _key(self, rest: bytes) -> bytes:
        return self.prefix + rest


@dataclass(frozen=True, slots=True)
class Shards:
    """All shards of the index; `count` is a setting, the same on every node."""

    count: int = 1

    def of(self, person_id: UUID) -> Shard:
        """The shard a person's index entry lives in: crc32 of the whole id modulo the number of shards."""
        shards = self.all()
        return shards[0 if self.count == 1 else zlib.crc32(person_id.bytes) % self.count]

    def all(self) -> tuple[Shard, ...]:
        return _first_shards(self.count)

    def split(self, people: Collection[UUID]) -> dict[Shard, list[UUID]]:
        """People grouped by the shard they live in, each once, in the order given."""
        once = dict.fromkeys(people)
        if self.count == 1:
            return {self.all()[0]: list(once)} if once else {}
        groups: dict[Shard, list[UUID]] = {}
        for person_id in once:
            groups.setdefault(self.of(person_id), []).append(person_id)
        return groups


@cache
def _first_shards(count: int) -> tuple[Shard, ...]:
    return tuple(Shard(number) for number in range(count))


# --- Mailboxes: one set of keys per session `{s:<session>}` --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Session:
    """The keys of one sign-in session: its mailbox, and what was answered to its messages."""

    id: UUID

    @property
    def mailbox(self) -> bytes:
        """Hash, expiring: `incarnation`, `seq` (last number given out), `epoch` (of the owner), `node` (the owner's
        channel; absent while nobody holds the socket)."""
        return self._key(b"mailbox")

    @property
    def messages(self) -> bytes:
        """Stream, expiring: `<seq>-0` -> field `m`, a message without its seq. Bounded; trimmed when acknowledged."""
        return self._key(b"messages")

    def told(self, subject: str) -> bytes:
        """Number, expiring: the newest version of this subject that the mailbox was given."""
        return self._key(b"told:" + subject.encode())

    def relayed(self, once: Once) -> bytes:
        """Empty string, expiring: this message of another client was sent to the mailbox."""
        return self._key(b"relayed:%b:%b" % (once.sender.hex.encode(), once.message_id.encode()))

    def answer(self, message_id: str) -> bytes:
        """String, expiring: the frame that answered this client message; empty while it is being done."""
        return self._key(b"answer:" + message_id.encode())

    def _key(self, rest: bytes) -> bytes:
        return b"{s:%b}:%b" % (self.id.hex.encode(), rest)


def node_channel(node_id: UUID) -> bytes:
    """Channel: messages for the sessions whose sockets this node holds (`infra/valkey/mailboxes.py` `unpack`)."""
    return b"eyeline:node:" + node_id.hex.encode()


# --- Rate limits ---------------------------------------------------------------------------------------------------


def rate_limit(name: str, subject: str) -> bytes:
    """String: when the limit's next call would be on time, microseconds of the server's clock (`lua/limit_take.lua`).

    The subject (a session, an address) is hashed: nobody needs to read it back.
    """
    return b"{l:%b}" % hashlib.blake2b(f"{name}:{subject}".encode(), digest_size=16).digest()


def push_budget() -> bytes:
    """Hash, expiring: how fast FCM may be sent to (`lua/push_budget_*.lua`).

    `due`: when the next message would be on time, microseconds of the server's clock. `divisor`, `slow_until`: the full
    rate is divided by this until that moment.
    """
    return b"{push}:budget"


# --- Calls -----------------------------------------------------------------------------------------------------------


def negotiation_key(call_id: UUID, attempt: int) -> bytes:
    """Hash, expiring: `revision` and `state` (JSON of `signaling.negotiation.Negotiation`) of one attempt."""
    return b"{c:%b}:negotiation:%d" % (call_id.hex.encode(), attempt)
