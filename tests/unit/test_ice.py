"""What a side of a call is given for TURN: credentials of its own, short-lived, that name nobody."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from uuid import UUID

from server.ice import IceServers
from server.settings import Settings

CALL, OTHER_CALL = UUID(int=1), UUID(int=2)
NOW = datetime(2026, 11, 26, 12, 0, 0, 250_000, UTC)
URLS = ("turn:relay.example?transport=udp", "turn:relay.example?transport=tcp", "turns:relay.example?transport=tcp")
NEEDED = {
    "EYELINE_DATABASE_URL": "postgresql://db/eyeline",
    "EYELINE_VALKEY_URL": "redis://valkey",
    "EYELINE_TOKEN_SECRET": "s" * 32,
    "EYELINE_TURN_URLS": ", ".join(URLS),
    "EYELINE_TURN_SECRET": "shared",
    "EYELINE_TURN_RELAY_NETS": "203.0.113.0/24",
}
SERVERS = IceServers((), URLS, "shared", timedelta(seconds=300), "relay")


def username(call_id: UUID, side: str, now: datetime = NOW) -> str:
    (server,) = SERVERS.for_side(call_id, side, now).servers
    assert server.username is not None
    return server.username


def test_settings_carry_udp_tcp_and_tls_and_five_minutes() -> None:
    settings = Settings.from_env(NEEDED)
    assert settings.turn_urls == URLS
    assert settings.ice_lifetime_s == 300
    assert settings.ice_policy == "relay"


def test_one_server_is_reached_by_each_of_its_urls_with_the_same_credentials() -> None:
    (server,) = SERVERS.for_side(CALL, "requester", NOW).servers
    assert server.urls == list(URLS)


def test_credentials_are_what_coturn_checks_and_end_after_five_minutes() -> None:
    answer = SERVERS.for_side(CALL, "requester", NOW)
    (server,) = answer.servers
    assert server.username is not None
    assert server.credential is not None
    digest = hmac.new(b"shared", server.username.encode(), hashlib.sha1).digest()
    assert base64.b64decode(server.credential) == digest
    expiry = int(server.username.partition(":")[0])
    assert answer.expires_at == datetime.fromtimestamp(expiry, UTC)
    assert timedelta(seconds=300) <= answer.expires_at - NOW < timedelta(seconds=301)


def test_each_side_of_each_call_has_a_name_of_its_own() -> None:
    names = {username(call, side) for call in (CALL, OTHER_CALL) for side in ("requester", "volunteer")}
    assert len(names) == 4


def test_a_name_stays_with_the_side_when_its_credentials_are_renewed() -> None:
    """Quotas of the TURN server count by it."""
    before, after = (username(CALL, "requester", now) for now in (NOW, NOW + timedelta(minutes=4)))
    assert before != after
    assert before.partition(":")[2] == after.partition(":")[2]


def test_a_name_tells_neither_the_call_nor_the_side() -> None:
    name = username(CALL, "requester").partition(":")[2]
    assert len(name) == 16
    assert int(name, 16) >= 0
    assert name not in (CALL.hex, hashlib.sha256(f"{CALL}:requester".encode()).hexdigest()[:16])
