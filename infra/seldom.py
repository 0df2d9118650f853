"""Keeps a log from being flooded: trouble with a provider shows in every push of a wave at once."""

from __future__ import annotations

import time

SAY_AGAIN_S = 60.0


class Seldom:
    """Lets each event be said at most once a minute."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}

    def may_say(self, event: str) -> bool:
        """Whether it is time for `event`; whoever is told so says it."""
        now = time.monotonic()
        if now - self._said.get(event, float("-inf")) < SAY_AGAIN_S:
            return False
        self._said[event] = now
        return True
