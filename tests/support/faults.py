"""Nodes that die or freeze by themselves at a chosen step; see `tests/support/faulty_node.py`."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

from tests.support.nodes import Node, NodeError

When = Literal["before", "after"]
STEP_S = 4.0
"""A step that will be taken is taken within this time."""


class NotStruck(Exception):
    """The step was not taken on this node: any other may be first to look."""


@dataclass(frozen=True, slots=True)
class Strike:
    """Where, and what happens there."""

    step: str
    when: When
    signal: signal.Signals = signal.SIGKILL
    nth: int = 1

    def __str__(self) -> str:
        nth = f"-{self.nth}" if self.nth > 1 else ""
        return f"{'freeze' if self.freezes else 'kill'}-{self.when}-{self.step}{nth}"

    @property
    def freezes(self) -> bool:
        return self.signal is signal.SIGSTOP


class FaultyNode(Node):
    """A node with one fault in it, asleep until `arm`."""

    ENTRY: ClassVar[tuple[str, ...]] = ("tests.support.faulty_node",)

    armed: Path

    @classmethod
    async def begin(
        cls, strike: Strike, armed: Path, database_url: str, valkey_url: str, settings: Mapping[str, str]
    ) -> Self:
        """As `Node.start`; the file `armed` must not exist yet."""
        fault = {
            "FAULT_STEP": strike.step,
            "FAULT_WHEN": strike.when,
            "FAULT_NTH": str(strike.nth),
            "FAULT_SIGNAL": strike.signal.name,
            "FAULT_ARMED": str(armed),
        }
        node = await cls.start(database_url, valkey_url, also={**settings, **fault})
        node.armed = armed
        return node

    def arm(self) -> None:
        """From now on calls of the step count."""
        self.armed.touch()

    def disarm(self) -> None:
        """Begin to count anew with the next `arm`."""
        self.armed.unlink(missing_ok=True)

    async def struck(self) -> None:
        """Wait until the fault has happened. Raises `NotStruck` when another node took the step."""
        try:
            await self.event("fault", timeout_s=STEP_S)
        except NodeError:
            raise NotStruck from None
