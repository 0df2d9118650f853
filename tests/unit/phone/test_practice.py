"""What the server's phone finds in a practice call, in the contract's codes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra.phone.peer import Way
from infra.phone.practice import Findings

WELL = Findings(
    expects_picture=True,
    has_turn=True,
    found_relay=True,
    way=Way(relayed=False, lost=0.01, round_trip_s=0.05),
    pictures=40,
    brightness=120.0,
    sounds=100,
    loudest=4000,
)


def test_all_is_well() -> None:
    assert WELL.verdict() == {"camera": "ok", "microphone": "ok", "network": "ok", "relay": "available"}


@pytest.mark.parametrize(
    ("found", "what", "code"),
    [
        (replace(WELL, brightness=4.0), "camera", "dark"),
        (replace(WELL, pictures=0), "camera", "none"),
        (replace(WELL, expects_picture=False, pictures=0), "camera", "unused"),
        (replace(WELL, way=None), "camera", "unknown"),
        (replace(WELL, loudest=20), "microphone", "silent"),
        (replace(WELL, sounds=0), "microphone", "none"),
        (replace(WELL, way=None), "microphone", "unknown"),
        (replace(WELL, way=Way(relayed=False, lost=0.3, round_trip_s=None)), "network", "poor"),
        (replace(WELL, way=Way(relayed=False, lost=0.0, round_trip_s=1.5)), "network", "poor"),
        (replace(WELL, way=None), "network", "none"),
        (replace(WELL, way=Way(relayed=True, lost=0.0, round_trip_s=None)), "relay", "used"),
        (replace(WELL, found_relay=False), "relay", "none"),
        (replace(WELL, found_relay=False, has_turn=False), "relay", "off"),
    ],
)
def test_what_is_amiss_has_a_code(found: Findings, what: str, code: str) -> None:
    assert found.verdict()[what] == code
