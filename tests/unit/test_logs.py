"""The log: one line per event, for machines or people, never with what variables held."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import logging, structlog, sys
from server.logs import configure_logging
configure_logging(sys.argv[1])
log = structlog.get_logger()
log.info("request", request="01a2", state="waiting")
log.debug("not shown")
logging.getLogger("asyncio").warning("slow callback")
logging.getLogger("aiohttp.access").info("203.0.113.7 GET /")
def fails(token):
    raise ValueError("no")
try:
    fails("s3cret")
except ValueError:
    log.exception("broke")
"""


def lines(log_format: str) -> list[str]:
    argv = [sys.executable, "-c", PROGRAM, log_format]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.fixture(scope="module")
def events() -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines("json")]


def test_every_line_is_an_event_with_level_and_time(events: list[dict[str, Any]]) -> None:
    assert [(entry["event"], entry["level"]) for entry in events] == [
        ("request", "info"),
        ("slow callback", "warning"),
        ("broke", "error"),
    ]
    assert all(entry["timestamp"].endswith("Z") for entry in events)
    assert events[0]["state"] == "waiting"


def test_a_traceback_names_places_but_shows_no_variables(events: list[dict[str, Any]]) -> None:
    (raised,) = events[2]["exception"]
    assert (raised["exc_type"], raised["exc_value"]) == ("ValueError", "no")
    assert [frame["name"] for frame in raised["frames"]] == ["<module>", "fails"]
    assert "s3cret" not in json.dumps(events)


def test_people_read_the_same() -> None:
    text = "\n".join(lines("console"))
    assert "slow callback" in text
    assert "ValueError: no" in text
    assert "203.0.113.7" not in text
