"""Log lines of nodes, as `eyeline dev` shows them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from server.dev_events import REMEMBERED, Narrator

REQUEST = "01a20a8c-ee0c-7d57-89fa-06bdea684c37"


def shown(entry: dict[str, Any], narrator: Narrator | None = None) -> str | None:
    line = (narrator or Narrator()).line(2, json.dumps(entry))
    if line is None:
        return None
    matched = re.fullmatch(r"\d\d:\d\d:\d\d  node 2  (.{6})  (.*)", line)
    assert matched
    return f"{matched[1].strip()} {matched[2]}".strip()


def request(state: str, **more: Any) -> dict[str, Any]:
    return {"event": "request", "level": "info", "request": REQUEST, "state": state, "epoch": 1, "asked": 0, **more}


def call(state: str, reason: str | None = None) -> dict[str, Any]:
    ids = {"call": "01a20a8c-0000-7d57-89fa-000000000000", "request": REQUEST}
    return {"event": "call", "level": "info", **ids, "state": state, "reason": reason}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (request("waiting"), "684c37 someone needs help: nobody asked so far"),
        (request("waiting", asked=3), "684c37 someone needs help: 3 asked so far"),
        (request("waiting", asked=3, epoch=2), "684c37 someone needs help, looking again (round 2): 3 asked so far"),
        (request("connecting"), "684c37 a volunteer answered"),
        (call("connected"), "684c37 connected: picture and sound run"),
        (call("reconnecting"), "684c37 connection lost, waiting for it to come back"),
        (call("ended", "done"), "684c37 call ended: done"),
        (request("ended", outcome="completed"), "684c37 request ended: completed"),
        ({"event": "slow", "level": "warning", "timestamp": "t", "logger": "x"}, "warning: slow"),
        ({"event": "odd", "level": "error", "where": "hub.py:3"}, "error: odd where=hub.py:3"),
        (
            {"event": "broke", "level": "error", "exception": [{"exc_type": "ValueError", "exc_value": "no"}]},
            "error: broke (ValueError: no)",
        ),
    ],
)
def test_what_somebody_watching_should_know(entry: dict[str, Any], words: str) -> None:
    assert shown(entry) == words


@pytest.mark.parametrize("entry", [request("in_call"), call("connecting"), {"event": "claimed", "level": "info"}])
def test_the_rest_is_not_shown(entry: dict[str, Any]) -> None:
    assert shown(entry) is None


def test_what_is_told_again_is_shown_once() -> None:
    narrator = Narrator()
    assert shown(request("waiting"), narrator)
    assert shown(request("waiting"), narrator) is None
    assert shown(request("waiting", asked=1), narrator)
    for number in range(REMEMBERED):
        assert shown(request("waiting", request=str(number)), narrator)
    assert shown(request("waiting", asked=1), narrator), "forgotten by now"


def test_the_same_trouble_twice_is_shown_twice() -> None:
    narrator = Narrator()
    for _ in range(2):
        assert shown({"event": "telling waits", "level": "warning"}, narrator) == "warning: telling waits"


@pytest.mark.parametrize("raw", ["Traceback (most recent call last):", "17", "{broken"])
def test_what_is_no_event_is_shown_as_it_is(raw: str) -> None:
    line = Narrator().line(1, raw)
    assert line is not None
    assert line.endswith(raw)
    assert Narrator().line(1, " ") is None
