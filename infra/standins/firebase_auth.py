"""Plays Firebase Authentication on loopback: the certificates ID tokens are signed with, and the look-up of users.

`GET /robot/v1/metadata/x509/...`, `POST /v1/projects/{project}/accounts:lookup` and, for the service account,
`POST /token`. The apps' side is played by methods: `add` makes a user, `id_token` signs them in.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from infra.standins.google_oauth import TokenDesk
from infra.standins.server import StandInServer

CERTIFICATES_PATH = "/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com"
TOKEN_LIFE_S = 3600


@dataclass(slots=True)
class User:
    """A user of the project, as Google's `UserInfo` has them."""

    uid: str
    method: str
    """`anonymous`, `password`, `google.com` and so on; linking changes it, and nothing else."""
    disabled: bool = False
    valid_since_unix: int = 0
    """ID tokens from before are revoked."""


class SigningKey:
    """An RSA key, with the certificate Google would publish for it."""

    def __init__(self) -> None:
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.id = secrets.token_hex(20)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "securetoken.system.gserviceaccount.com")])
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(name, name, self.private.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=16))
        self.certificate_pem = builder.sign(self.private, SHA256()).public_bytes(Encoding.PEM).decode()
        self.public_pem = self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class FirebaseAuthStandIn(StandInServer):
    """One Firebase project, on a free port. `async with` starts and ends it."""

    def __init__(self, project: str = "eyeline-dev") -> None:
        super().__init__()
        self.project = project
        self.key = SigningKey()
        self.tokens = TokenDesk()
        self.users: dict[str, User] = {}
        self.certificates_asked = self.lookups = 0
        self.max_age_s = 3600
        """How long certificates may be kept."""
        self.certificates_status = self.lookup_status = 200
        """Of answers from now on."""
        self.certificates_body: str | None = None
        """Served in place of the certificates, while set."""
        self.open = asyncio.Event()
        """While clear, who looks somebody up gets no answer."""
        self.open.set()

    def make_account(self, path: Path) -> None:
        """Write the key file of a service account that may look users up here."""
        self.tokens.make_account(path, self.project, f"{self.url}/token")

    def add(self, method: str = "anonymous") -> User:
        """A new user, who signed up by `method`."""
        user = User(secrets.token_urlsafe(21), method)
        self.users[user.uid] = user
        return user

    def revoke(self, user: User) -> None:
        """Every ID token the user was given so far is good no more."""
        user.valid_since_unix = int(time.time()) + 1

    def claims(self, user: User, *, age_s: float = 10) -> dict[str, Any]:
        """What an ID token says that was given out `age_s` ago ("Verify ID Tokens" of Firebase's documentation)."""
        given = int(time.time() - age_s)
        return {
            "iss": f"https://securetoken.google.com/{self.project}",
            "aud": self.project,
            "auth_time": given,
            "user_id": user.uid,
            "sub": user.uid,
            "iat": given,
            "exp": given + TOKEN_LIFE_S,
            "name": "A Name Nobody Here Needs",
            "email": "somebody@mail.example",
            "firebase": {"identities": {}, "sign_in_provider": user.method},
        }

    def id_token(self, user: User, *, key: SigningKey | None = None, kid: str | None = None, **claims: Any) -> str:
        """A token of theirs; by default a good one. `claims` replace the usual ones."""
        key = key or self.key
        said = {**self.claims(user), **claims}
        return jwt.encode(said, key.private, algorithm="RS256", headers={"kid": kid or key.id})

    def _add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get(CERTIFICATES_PATH, self._certificates)
        router.add_post("/v1/projects/{project}/accounts:lookup", self._lookup)
        router.add_post("/token", self.tokens.handle)

    async def _certificates(self, _request: web.Request) -> web.Response:
        self.certificates_asked += 1
        headers = {"Cache-Control": f"public, max-age={self.max_age_s}, must-revalidate, no-transform"}
        if self.certificates_status != 200:
            return web.Response(status=self.certificates_status)
        if self.certificates_body is not None:
            return web.Response(text=self.certificates_body, content_type="text/html")
        return web.json_response({self.key.id: self.key.certificate_pem}, headers=headers)

    async def _lookup(self, request: web.Request) -> web.Response:
        self.lookups += 1
        body = await request.json()
        await self.open.wait()
        if not self.tokens.knows(request.headers.get("Authorization")):
            return _error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        if request.match_info["project"] != self.project or self.lookup_status == 403:
            return _error(403, "PERMISSION_DENIED", "INSUFFICIENT_PERMISSION")
        if self.lookup_status != 200:
            return _error(self.lookup_status, "UNAVAILABLE", "The service is currently unavailable.")
        found = [_user_info(self.users[uid]) for uid in body["localId"] if uid in self.users]
        # Google leaves empty lists out.
        return web.json_response(
            {"kind": "identitytoolkit#GetAccountInfoResponse", **({"users": found} if found else {})}
        )


def _user_info(user: User) -> dict[str, Any]:
    """Seconds are strings, as every 64-bit integer of Google's JSON."""
    return {"localId": user.uid, "validSince": str(user.valid_since_unix), "disabled": user.disabled}


def _error(status: int, name: str, message: str) -> web.Response:
    return web.json_response({"error": {"code": status, "message": message, "status": name}}, status=status)
