"""What a node's log may say, and what it never says."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from server.logs import configure_logging


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What is written, with the process's logging put back afterwards."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stdout", written)
    root, server, access = logging.getLogger(), logging.getLogger("aiohttp.server"), logging.getLogger("aiohttp.access")
    before = (list(root.handlers), root.level, list(server.filters), access.disabled)
    configure_logging("json")
    yield written
    root.handlers[:], server.filters[:], access.disabled = before[0], before[2], before[3]
    root.setLevel(before[1])
    structlog.reset_defaults()


def test_a_malformed_request_leaves_one_line_without_what_was_sent(lines: io.StringIO) -> None:
    try:
        raise ValueError("Authorization: Bearer of-anna")
    except ValueError as error:
        logging.getLogger("aiohttp.server").error("Error handling request from %s", "192.0.2.7", exc_info=error)
    (line,) = lines.getvalue().splitlines()
    entry = json.loads(line)
    assert (entry["event"], entry["level"]) == ("http server: ValueError", "error")
    assert "anna" not in line
    assert "192.0.2.7" not in line
