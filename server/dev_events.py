"""What `eyeline dev` prints while calls happen: the nodes' logs, one human line per event."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

REMEMBERED = 1000
_LOUD = ("warning", "error", "critical")
_FRAME = frozenset({"event", "level", "timestamp", "logger", "exception", "exc_info"})
_CALLS: Mapping[str, str] = {
    "connected": "connected: picture and sound run",
    "reconnecting": "connection lost, waiting for it to come back",
}


class Narrator:
    """Tells what the nodes' logs say, once: any node may repeat what was told before."""

    def __init__(self) -> None:
        self._said: OrderedDict[str, str] = OrderedDict()

    def line(self, node: int, raw: str) -> str | None:
        """The line to print for one line of a node's log (nodes count from 1), or None when it says nothing new."""
        entry = _parse(raw)
        if entry is None:
            return _line(node, "", raw) if raw.strip() else None
        words = _words(entry)
        if words is None:
            return None
        about = str(entry.get("request") or entry.get("call") or "")
        return _line(node, about, words) if self._is_new(about, words) else None

    def _is_new(self, about: str, words: str) -> bool:
        if not about:
            return True
        if self._said.get(about) == words:
            return False
        self._said[about] = words
        self._said.move_to_end(about)
        if len(self._said) > REMEMBERED:
            self._said.popitem(last=False)
        return True


def _line(node: int, about: str, words: str) -> str:
    # Ids are UUIDv7: their last digits are random, the first ones all alike.
    return f"{clock()}  node {node}  {about[-6:]:6}  {words}"


def clock() -> str:
    """The time on the wall, for the beginning of a line."""
    return datetime.now().astimezone().strftime("%H:%M:%S")


def _words(entry: Mapping[str, Any]) -> str | None:
    event = str(entry.get("event", ""))
    if event == "request":
        return _request(entry)
    if event == "call":
        state = str(entry.get("state"))
        return f"call ended: {entry.get('reason')}" if state == "ended" else _CALLS.get(state)
    return _loud(event, entry) if entry.get("level") in _LOUD else None


def _request(entry: Mapping[str, Any]) -> str | None:
    state, epoch, asked = entry.get("state"), entry.get("epoch", 1), entry.get("asked", 0)
    if state == "waiting":
        again = f", looking again (round {epoch})" if epoch != 1 else ""
        return f"someone needs help{again}: {asked or 'nobody'} asked so far"
    if state == "ended":
        return f"request ended: {entry.get('outcome')}"
    return {"connecting": "a volunteer answered"}.get(str(state))


def _loud(event: str, entry: Mapping[str, Any]) -> str:
    details = " ".join(f"{name}={value}" for name, value in entry.items() if name not in _FRAME)
    return " ".join(part for part in (f"{entry['level']}: {event}", details, _raised(entry.get("exception"))) if part)


def _raised(exception: Any) -> str:
    """The last word of a traceback: its type and text."""
    if isinstance(exception, list) and exception and isinstance(exception[0], Mapping):
        return f"({exception[0].get('exc_type')}: {exception[0].get('exc_value')})"
    return ""


def _parse(raw: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(raw)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
