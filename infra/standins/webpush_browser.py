"""The browser's side of Web Push, for the stand-in: subscriptions, and reading what comes (RFC 8291).

Written after the RFCs with bare primitives, so that the pusher's library is not its own witness.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from infra.webpush import base64url
from infra.webpush.keys import check_public, public_text

_HEADER_BYTES = 86
_POINT_BYTES = 65


class CannotRead(Exception):
    """Not encrypted for this browser."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What `PushManager.subscribe()` gives a page."""

    endpoint: str = field(repr=False)
    keys: Mapping[str, str] = field(repr=False)
    """`p256dh` and `auth`, base64url."""

    def json(self) -> dict[str, Any]:
        """As `PushSubscription.toJSON()`."""
        return {"endpoint": self.endpoint, "expirationTime": None, "keys": dict(self.keys)}


@dataclass(frozen=True, slots=True)
class Browser:
    """One subscription with its secrets."""

    subscription: Subscription
    server_key: bytes
    _private: ec.EllipticCurvePrivateKey = field(repr=False)
    _auth: bytes = field(repr=False)

    @classmethod
    def subscribe(cls, application_server_key: str, host: str) -> Self:
        """At the push service `host`. Raises ValueError when that is no key, as browsers do."""
        server_key = check_public(application_server_key)
        private = ec.generate_private_key(ec.SECP256R1())
        auth = os.urandom(16)
        keys = {"p256dh": public_text(private.public_key()), "auth": base64url.encode(auth)}
        endpoint = f"https://{host}/wpush/v2/{base64url.encode(os.urandom(24))}"
        return cls(Subscription(endpoint, keys), server_key, private, auth)

    def read(self, body: bytes) -> bytes:
        """The plaintext of `Content-Encoding: aes128gcm` in one record. Raises CannotRead."""
        salt, sender, record = body[:16], body[21:_HEADER_BYTES], body[_HEADER_BYTES:]
        # RFC 8291, section 4: one record, and the sender's point in place of a key id.
        if len(sender) != _POINT_BYTES or body[20] != _POINT_BYTES or int.from_bytes(body[16:20], "big") < len(record):
            raise CannotRead
        try:
            point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender)
            secret = self._private.exchange(ec.ECDH(), point)
            own = base64url.decode(self.subscription.keys["p256dh"])
            ikm = _hkdf(self._auth, secret, b"WebPush: info\0" + own + sender, 32)
            key = _hkdf(salt, ikm, b"Content-Encoding: aes128gcm\0", 16)
            nonce = _hkdf(salt, ikm, b"Content-Encoding: nonce\0", 12)
            padded = AESGCM(key).decrypt(nonce, record, None).rstrip(b"\0")
        except (ValueError, InvalidTag):
            raise CannotRead from None
        # RFC 8188, section 2: the last record's delimiter.
        if not padded.endswith(b"\2"):
            raise CannotRead
        return padded[:-1]


def _hkdf(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret)
