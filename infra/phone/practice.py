"""The other side of a practice call: echoes what it hears, shows a moving picture, and says what it found."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from infra.phone.calls import CallLine, PhoneCall
from infra.phone.peer import Way
from infra.phone.sight import LIGHTS
from infra.phone.state import View
from infra.phone.tracks import ClockPicture, Media, echo_media

LOOK_EVERY_S = 0.5
CONNECTED_WITHIN_S = 12.0
"""Who is not connected by then hears why, before the call ends for it."""
LISTEN_S = 3.0
PATIENCE_S = 8.0
"""How long somebody has to say something, and a camera to get used to the light."""
QUIET = 200
"""The loudest 16-bit sample of a microphone that hears nothing."""
MUCH_LOST = 0.1
SLOW_S = 0.6
LIFE_S = 180.0
"""Longer than any practice call; should its end go unheard, the phone is free all the same."""


class PracticeLine(CallLine, Protocol):
    """A line on which one can also say what was found."""

    async def verdict(self, found: Mapping[str, str], call: View) -> None: ...


@dataclass(frozen=True, slots=True)
class Findings:
    """What a phone has seen, heard and measured of the other side so far."""

    expects_picture: bool
    has_turn: bool
    found_relay: bool
    way: Way | None
    """None: not connected."""
    pictures: int
    brightness: float
    sounds: int
    loudest: int

    def verdict(self) -> dict[str, str]:
        """In the contract's codes."""
        return {
            "camera": self._camera(),
            "microphone": self._microphone(),
            "network": self._network(),
            "relay": self._relay(),
        }

    def _camera(self) -> str:
        if not self.expects_picture:
            return "unused"
        if self.way is None:
            return "unknown"
        if not self.pictures:
            return "none"
        return "ok" if self.brightness >= LIGHTS[1].above else "dark"

    def _microphone(self) -> str:
        if self.way is None:
            return "unknown"
        if not self.sounds:
            return "none"
        return "ok" if self.loudest > QUIET else "silent"

    def _network(self) -> str:
        if self.way is None:
            return "none"
        is_slow = self.way.round_trip_s is not None and self.way.round_trip_s > SLOW_S
        return "poor" if is_slow or self.way.lost > MUCH_LOST else "ok"

    def _relay(self) -> str:
        if self.way is not None and self.way.relayed:
            return "used"
        if self.found_relay:
            return "available"
        return "none" if self.has_turn else "off"


async def practise(call: View, line: PracticeLine) -> None:
    """Be the other side until the call has ended."""
    conversation = PhoneCall(line, call, lambda: _media(call))
    judging = asyncio.create_task(_judge(conversation, line))
    try:
        async with asyncio.timeout(LIFE_S):
            await conversation.run()
    finally:
        judging.cancel()
        await asyncio.gather(judging, return_exceptions=True)


def _media(call: View) -> Media:
    """Only the requester's side sends a picture."""
    echo = echo_media()
    return echo if call["side"] == "volunteer" else Media(echo.audio, ClockPicture(), echo.hear)


async def _judge(conversation: PhoneCall, line: PracticeLine) -> None:
    """Say once what was found: when all is well and that is sure, or when patience ends."""
    waited_s = connected_s = 0.0
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        connected = conversation.peer is not None and conversation.peer.state == "connected"
        waited_s, connected_s = waited_s + LOOK_EVERY_S, connected_s + LOOK_EVERY_S * connected
        found = (await _findings(conversation, connected=connected)).verdict()
        sure = connected_s >= LISTEN_S and _is_good(found)
        if sure or connected_s >= PATIENCE_S or (not connected and waited_s >= CONNECTED_WITHIN_S):
            return await line.verdict(found, conversation.call)


def _is_good(found: Mapping[str, str]) -> bool:
    return found["camera"] in ("ok", "unused") and found["microphone"] == found["network"] == "ok"


async def _findings(conversation: PhoneCall, *, connected: bool) -> Findings:
    peer, call = conversation.peer, conversation.call
    seen, heard = (peer.video, peer.audio) if peer is not None else (None, None)
    return Findings(
        expects_picture=call["side"] == "volunteer",
        has_turn=any(url.startswith("turn") for server in call["ice_servers"] for url in server["urls"]),
        found_relay=peer is not None and peer.found_relay,
        way=await peer.way() if connected and peer is not None else None,
        pictures=seen.frames if seen is not None else 0,
        brightness=seen.brightness if seen is not None else 0.0,
        sounds=heard.frames if heard is not None else 0,
        loudest=heard.loudest if heard is not None else 0,
    )
