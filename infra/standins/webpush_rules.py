"""What push services refuse (RFC 8030 section 5, RFC 8188, RFC 8292), for the stand-in. Pure.

Written after the RFCs and with other libraries than the pusher's, so that a mistake is not made twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from infra.webpush import base64url

BODY_BYTES = 4096
LONGEST_EXP = timedelta(hours=24)
URGENCIES = frozenset({"very-low", "low", "normal", "high"})

_PART = re.compile(r'\s*([A-Za-z]+)\s*=\s*"?([A-Za-z0-9._-]+)"?\s*')


class Refused(Exception):
    """A push that no push service would take."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


def check_vapid(header: str | None, host: str, server_key: bytes | None, now: datetime) -> None:
    """RFC 8292. `server_key`: that the subscription is for (4.2); None when that is not known. Raises Refused."""
    if header is None:
        raise Refused(401, "no Authorization")
    token, key = _parts(header)
    claims = _claims(token, key)
    if claims.get("aud") != f"https://{host}":
        raise Refused(403, "aud is not the origin of the push service")
    expires = claims.get("exp")
    if not isinstance(expires, int) or not 0 < expires - now.timestamp() <= LONGEST_EXP.total_seconds():
        raise Refused(403, "exp is not within the next 24 hours")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject.startswith(("mailto:", "https:")):
        raise Refused(403, "sub is no mailto: or https: address")
    if server_key is not None and key != server_key:
        raise Refused(403, "the subscription is for another key")


def check_headers(headers: Mapping[str, str], body: bytes) -> None:
    """Everything besides who it is. Raises Refused."""
    ttl = headers.get("TTL", "")
    if not (ttl.isascii() and ttl.isdigit()):
        raise Refused(400, "TTL is missing or no number of seconds")
    if headers.get("Urgency", "normal") not in URGENCIES:
        raise Refused(400, "Urgency is none of the four")
    if len(body) > BODY_BYTES:
        raise Refused(413, "more than 4,096 bytes")
    if headers.get("Content-Encoding") != "aes128gcm":
        raise Refused(400, "Content-Encoding is not aes128gcm")


def _parts(header: str) -> tuple[str, bytes]:
    """The token and the key of `vapid t=..., k=...` (RFC 8292, section 3)."""
    scheme, _, rest = header.strip().partition(" ")
    if scheme.lower() != "vapid":
        raise Refused(401, "Authorization is not vapid")
    matches = [_PART.fullmatch(part) for part in rest.split(",")]
    found = {match[1].lower(): match[2] for match in matches if match}
    if not {"t", "k"} <= found.keys():
        raise Refused(401, "Authorization without t or k")
    try:
        return found["t"], base64url.decode(found["k"])
    except ValueError:
        raise Refused(401, "k is not in base64url") from None


def _claims(token: str, key: bytes) -> Mapping[str, object]:
    try:
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)
        # Judged by our clock, with our words.
        claims: Mapping[str, object] = jwt.decode(
            token, public, algorithms=["ES256"], options={"verify_exp": False, "verify_aud": False, "verify_sub": False}
        )
    except (ValueError, jwt.InvalidTokenError):
        raise Refused(403, "the token is not signed by k") from None
    return claims
