"""What `eyeline doctor` says of a TURN server that is not well: always what to do."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta

import pytest

from server.doctor import examine, turn_checks
from server.ice import IceServers
from signaling.privacy import RelayNets

URL = "turn:relay.example?transport=udp"
NOW = datetime(2026, 11, 26, tzinfo=UTC)


async def said_when(error: Exception) -> str:
    async def allocate(url: str, username: str, credential: str) -> str:
        assert url == URL
        assert username.startswith(f"{int(NOW.timestamp()) + 300}:")
        assert credential
        raise error

    ice = IceServers((), [URL], "shared", timedelta(seconds=300), "relay")
    lines: list[str] = []
    assert not await examine(turn_checks(ice, RelayNets(["203.0.113.0/24"]), allocate, NOW), 5, lines.append)
    assert lines[0].startswith("ok: TURN: ")
    return lines[1].removeprefix(f"failed: {URL}: ")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError("401 Unauthorized"), "refuses our credentials; is EYELINE_TURN_SECRET"),
        (PermissionError(1, "Operation not permitted"), "cannot be reached: Operation not permitted"),
        (
            ConnectionError("486 Allocation Quota Reached"),
            "gives no relayed address (486 Allocation Quota Reached); see",
        ),
        (ConnectionRefusedError(111, "refused"), "nothing listens there; is it running"),
        (socket.gaierror(-2, "Name or service not known"), "has no address; see the name in EYELINE_TURN_URLS"),
        (ssl.SSLError(1, "wrong version number"), "does not speak TLS there"),
        (OSError(101, "Network is unreachable"), "cannot be reached: Network is unreachable"),
        (ValueError("turn: is no TURN URI"), "turn: is no TURN URI; correct EYELINE_TURN_URLS"),
        (TimeoutError(), "no answer within 5 s; is it running"),
        (RuntimeError("what?"), "RuntimeError: what?; is it running"),
    ],
)
async def test_each_error_is_followed_by_what_to_do(error: Exception, words: str) -> None:
    assert (await said_when(error)).startswith(words)
