"""Log lines of nodes, as `eyeline dev` shows them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from server.dev_events import line_for

REQUEST = "01a20a8c-ee0c-7d57-89fa-06bdea684c37"


def shown(**entry: Any) -> str | None:
    line = line_for(2, json.dumps(entry))
    if line is None:
        return None
    clock, node, rest = re.fullmatch(r"(\d\d:\d\d:\d\d)  (node 2)  (.*)", line).groups()  # type: ignore[union-attr]
    assert clock
    assert node
    return str(rest)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"event": "request_opened", "request": REQUEST, "language": "da"}, "684c37  someone needs help (da)"),
        ({"event": "people_asked", "request": REQUEST, "count": 3, "language": "da"}, "684c37  asked 3 (da)"),
        ({"event": "call_ended", "call": REQUEST, "reason": "done"}, "684c37  call ended: done"),
        ({"event": "call_ended", "call": REQUEST}, "684c37  call ended: ?"),
        ({"event": "engine_lost", "engine": "Valkey", "level": "warning"}, "        lost Valkey"),
        (
            {"event": "odd", "level": "error", "where": "hub", "timestamp": "t", "logger": "x"},
            "        error: odd where=hub",
        ),
        (
            {"event": "broke", "level": "error", "exception": [{"exc_type": "ValueError", "exc_value": "no"}]},
            "        error: broke (ValueError: no)",
        ),
    ],
)
def test_what_somebody_watching_should_know(entry: dict[str, Any], words: str) -> None:
    assert shown(**entry) == words


def test_the_rest_is_not_shown() -> None:
    assert shown(event="mailbox_claimed", level="info") is None
    assert line_for(1, "") is None


@pytest.mark.parametrize("raw", ["Traceback (most recent call last):", "17", "{broken"])
def test_what_is_no_event_is_shown_as_it_is(raw: str) -> None:
    line = line_for(1, raw)
    assert line is not None
    assert line.endswith(raw)
