"""TURN URIs, as RFC 7065 has them and browsers take them."""

from __future__ import annotations

import pytest

from infra.turn import TurnUri


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("turn:relay.example", TurnUri("relay.example", 3478, "udp", secure=False)),
        ("turn:192.0.2.1:80?transport=tcp", TurnUri("192.0.2.1", 80, "tcp", secure=False)),
        ("turn:[2001:db8::1]:80?transport=udp", TurnUri("2001:db8::1", 80, "udp", secure=False)),
        ("turns:relay.example", TurnUri("relay.example", 5349, "tcp", secure=True)),
        ("turns:relay.example:443?transport=tcp", TurnUri("relay.example", 443, "tcp", secure=True)),
    ],
)
def test_says_where_and_how(text: str, uri: TurnUri) -> None:
    assert TurnUri.parse(text) == uri


@pytest.mark.parametrize(
    "text", ["stun:relay.example", "turn:", "turn:a:port", "turn:a?transport=sctp", "turn:a/b", "turns:a?transport=udp"]
)
def test_what_is_none_or_what_no_browser_speaks_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"TURN|[Pp]ort"):
        TurnUri.parse(text)
