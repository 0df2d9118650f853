"""What `eyeline dev` prints while calls happen: a node's log, one human line per event."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

_WORDS: Mapping[str, str] = {
    "request_opened": "someone needs help ({language})",
    "people_asked": "asked {count} ({language})",
    "offer_accepted": "a volunteer answered",
    "call_connected": "connected: picture and sound run",
    "call_ended": "call ended: {reason}",
    "request_waits_again": "looking again, round {epoch}",
    "request_ended": "request ended: {outcome}",
    "index_lost": "Valkey lost its data; drawing from Postgres until it is rebuilt",
    "index_rebuilt": "Valkey is filled again",
    "engine_lost": "lost {engine}",
    "engine_back": "{engine} is back",
}
"""Event names of the nodes' log and what they mean to somebody watching; other events are not shown."""

_LOUD = ("warning", "error", "critical")
_FRAME = frozenset({"event", "level", "timestamp", "logger", "exception", "exc_info"})


def line_for(node: int, raw: str) -> str | None:
    """The line to print for one line of a node's log (nodes count from 1), or None when it says nothing to people."""
    entry = _parse(raw)
    if entry is None:
        return f"{_now()}  node {node}  {raw}" if raw.strip() else None
    words = _words(entry)
    if words is None:
        return None
    # The last 6 digits of a UUIDv7 are random, the first ones all alike.
    about = entry.get("request") or entry.get("call") or ""
    return f"{_now()}  node {node}  {str(about)[-6:]:6}  {words}"


def _words(entry: Mapping[str, Any]) -> str | None:
    event = str(entry.get("event", ""))
    if event in _WORDS:
        return _WORDS[event].format_map(_Gaps(entry))
    if entry.get("level") not in _LOUD:
        return None
    details = " ".join(f"{name}={value}" for name, value in entry.items() if name not in _FRAME)
    raised = _raised(entry.get("exception"))
    return " ".join(part for part in (f"{entry['level']}: {event}", details, raised) if part)


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


def _now() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")


class _Gaps(dict[str, Any]):
    """A missing field is shown as a question mark instead of failing."""

    def __missing__(self, key: str) -> str:
        return "?"
