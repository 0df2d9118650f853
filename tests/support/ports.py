"""Free ports for tests that need more than one, side by side."""

from __future__ import annotations

import socket


def neighbouring_ports() -> int:
    """A loopback port that is free, and so is the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port
