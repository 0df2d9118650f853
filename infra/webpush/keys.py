"""The key pair by which push services know this installation (VAPID, RFC 8292), and the contact that goes with it.

Browsers subscribe for the public key: with another pair every subscription is worth nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from infra.webpush import base64url

PRIVATE_BYTES = 32
PUBLIC_BYTES = 65


@dataclass(frozen=True, slots=True)
class VapidKeys:
    """A P-256 key pair."""

    private: ec.EllipticCurvePrivateKey = field(repr=False)
    public: str
    """The uncompressed point, 65 bytes in base64url: `applicationServerKey` of the Push API."""


def make_keys() -> tuple[str, str]:
    """A new pair in base64url: the private key (32 bytes, a secret) and the public one (65 bytes)."""
    private = ec.generate_private_key(ec.SECP256R1())
    scalar = private.private_numbers().private_value.to_bytes(PRIVATE_BYTES, "big")
    return base64url.encode(scalar), public_text(private.public_key())


def load(private: str, public: str | None = None) -> VapidKeys:
    """The pair that `make_keys` made; `public`, if given, must belong to it.

    Raises ValueError with a sentence for operators that quotes neither.
    """
    key = _private_key(private)
    derived = public_text(key.public_key())
    # Compared as bytes: both spellings of padding are fine.
    if public is not None and check_public(public) != base64url.decode(derived):
        raise ValueError("The public VAPID key does not belong to the private one.")
    return VapidKeys(key, derived)


def check_public(public: str) -> bytes:
    """The 65 bytes of a public key. Raises ValueError with a sentence."""
    try:
        point = base64url.decode(public)
    except ValueError:
        raise ValueError("The public VAPID key is not in base64url.") from None
    if len(point) != PUBLIC_BYTES:
        raise ValueError(f"The public VAPID key is {len(point)} bytes long instead of {PUBLIC_BYTES}.")
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise ValueError("The public VAPID key is no point on the curve P-256.") from None
    return point


def check_subject(subject: str) -> str:
    """Whom push services may write to when something is wrong with our pushes (RFC 8292, 2.1).

    Returns it. Raises ValueError with a sentence.
    """
    scheme, _, rest = subject.partition(":")
    is_mail = scheme == "mailto" and all(rest.partition("@")) and rest.count("@") == 1
    is_page = scheme == "https" and bool(_host(subject))
    if not (is_mail or is_page) or not subject.isascii() or not subject.isprintable() or " " in subject:
        raise ValueError("The VAPID subject must be a mailto: address or an https: address of yours.")
    return subject


def public_text(key: ec.EllipticCurvePublicKey) -> str:
    """As browsers and push services write it."""
    return base64url.encode(key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


def _private_key(private: str) -> ec.EllipticCurvePrivateKey:
    try:
        scalar = base64url.decode(private)
    except ValueError:
        raise ValueError("The private VAPID key is not in base64url.") from None
    if len(scalar) != PRIVATE_BYTES:
        raise ValueError(f"The private VAPID key is {len(scalar)} bytes long instead of {PRIVATE_BYTES}.")
    try:
        return ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())
    except ValueError:
        raise ValueError("The private VAPID key is outside the curve P-256.") from None


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
