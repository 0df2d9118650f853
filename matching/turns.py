"""Whose turn it is: the lowest turn is asked first."""

from __future__ import annotations

NEWCOMER_HEAD_START_S = 3 * 86_400.0
"""Somebody who never had a call that connected comes as if last asked so much earlier. They get theirs sooner, and
nobody waits for ever behind them: after so long even the newest newcomer comes later."""


def turn(last_asked_at: float, newcomer: bool) -> float:
    """A moment in Unix seconds, to be compared with those of others only."""
    return last_asked_at - NEWCOMER_HEAD_START_S if newcomer else last_asked_at
