"""Copies of the code under test with a known bug in each, to show that exploring finds it.

A copy is the source of today with a few lines exchanged; should those lines have changed, making the copy fails.
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import infra.memory.request_book as request_book
import matching.asking as asking
import matching.help_desk as help_desk
import matching.request_rules as request_rules
from tests.interleaving.strands import LET_OTHERS_IN
from tests.interleaving.world import Product


@dataclass(frozen=True)
class Seed:
    """A bug, how to make it, and where it shows."""

    name: str
    product: Product
    scenario: str
    """That finds it."""
    invariants: frozenset[str]
    """One of which is broken."""


def copy_of(module: ModuleType, *exchanged: tuple[str, str], **names: Any) -> Any:
    """The module once more, with other lines, and with other things under some of its names."""
    source = inspect.getsource(module)
    for old, new in exchanged:
        assert source.count(old) == 1, f"{module.__name__} has changed; this is there {source.count(old)} times:\n{old}"
        source = source.replace(old, new)
    copy = ModuleType(f"{module.__name__} (copy)")
    copy.__dict__["LET_OTHERS_IN"] = LET_OTHERS_IN
    sys.modules[copy.__name__] = copy  # dataclasses look for their module there
    exec(compile(source, f"<copy of {module.__name__}>", "exec"), copy.__dict__)
    copy.__dict__.update(names)
    return copy


def accept_reads_then_writes() -> Product:
    """What was decided on what was read is written later, over what others wrote since."""
    copy = copy_of(
        request_book,
        (
            "        change = rule(case, now)\n",
            "        change = rule(case, now)\n        await LET_OTHERS_IN\n",
        ),
    )
    return Product(book=copy.MemoryRequestBook)


def wave_without_the_lock() -> Product:
    """A wave is committed whatever became of the request since people were drawn for it."""
    copy = copy_of(
        request_book,
        (
            "if (request.state, request.epoch, request.wave) != planned_for or now >= request.deadline:",
            "if now >= request.deadline:",
        ),
    )
    return Product(book=copy.MemoryRequestBook)


def stale_epoch_accepted() -> Product:
    """A yes counts for whatever the person is asked now."""
    rules = copy_of(
        request_rules,
        ("if case.request.state is not RequestState.WAITING or case.request.epoch != epoch:", "if False:"),
        ("if o.person_id == yes.person_id and o.epoch == epoch), None)", "if o.person_id == yes.person_id), None)"),
    )
    return Product(help_desk=copy_of(help_desk, accept=rules.accept).HelpDesk)


def told_before_committed() -> Product:
    """Phones ring for offers that are yet to be written down."""
    copy = copy_of(
        asking,
        (
            "        taken = await self._book.commit_wave(plan)\n",
            "        await self._herald.ring_for(plan)\n        taken = await self._book.commit_wave(plan)\n",
        ),
    )
    return Product(help_desk=copy_of(help_desk, Asking=copy.Asking).HelpDesk)


def lease_without_end() -> Product:
    """Whoever is drawn stays away until somebody says otherwise."""
    copy = copy_of(asking, ("lease_until=moment + LEASE_S,", 'lease_until=float("inf"),'))
    return Product(help_desk=copy_of(help_desk, Asking=copy.Asking).HelpDesk)


def younger_first() -> Product:
    """Whoever draws people has them, however long others have waited."""
    copy = copy_of(
        asking,
        (
            "older = await self._book.older_hungry(search.request, language, OLDER_AT_ONCE) if people else []",
            "older: list[UUID] = []",
        ),
    )
    return Product(help_desk=copy_of(help_desk, Asking=copy.Asking).HelpDesk)


SEEDS = (
    Seed("accept as read-then-write", accept_reads_then_writes(), "two-accepts", frozenset("168")),
    Seed("wave without the request's lock", wave_without_the_lock(), "wave-or-cancel", frozenset("5")),
    Seed("stale epoch accepted", stale_epoch_accepted(), "stale-yes", frozenset("4")),
    Seed("told before committed", told_before_committed(), "wave-or-cancel", frozenset("6")),
    Seed("lease without an end", lease_without_end(), "lease", frozenset("3")),
    Seed("the younger request first", younger_first(), "old-and-young", frozenset("7")),
)
