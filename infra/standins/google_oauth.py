"""Plays Google's token endpoint: access tokens for service accounts (RFC 7523, JWT bearer grant)."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from pathlib import Path

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GOOGLE_TOKEN_URI = "https://oauth2.googleapis.com/token"
"""The audience google-auth names, wherever it posts to."""
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class TokenDesk:
    """Knows the accounts it made, and gives tokens to whoever holds the key of one."""

    def __init__(self) -> None:
        self.expires_in_s = 3600
        """Of tokens given from now on."""
        self.given = 0
        self.refuse_with: int | None = None
        """An HTTP status for every asker, while set."""
        self.open = asyncio.Event()
        """While clear, who asks gets no answer."""
        self.open.set()
        self._gave = asyncio.Condition()
        self._accounts: dict[str, rsa.RSAPublicKey] = {}
        self._expiry: dict[str, float] = {}

    def make_account(self, path: Path, project: str, token_uri: str) -> None:
        """Write the key file of a new service account, as the Firebase console would give it out."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        email = f"push@{project}.iam.gserviceaccount.com"
        self._accounts[email] = key.public_key()
        account = {
            "type": "service_account",
            "project_id": project,
            "private_key_id": secrets.token_hex(20),
            "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            "client_email": email,
            "client_id": "1",
            "token_uri": token_uri,
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(account))

    def knows(self, authorization: str | None) -> bool:
        """Whether a request's `Authorization` header bears a token that is still good."""
        scheme, _, token = (authorization or "").partition(" ")
        return scheme == "Bearer" and self._expiry.get(token, 0.0) > time.time()

    def revoke_all(self) -> None:
        """No token given so far is good any more."""
        self._expiry.clear()

    async def nth(self, count: int) -> None:
        """Wait until `count` tokens have been given."""
        async with self._gave:
            await self._gave.wait_for(lambda: self.given >= count)

    async def handle(self, request: web.Request) -> web.Response:
        """POST /token"""
        form = await request.post()
        await self.open.wait()
        if self.refuse_with is not None:
            error = "internal_failure" if self.refuse_with >= 500 else "invalid_client"
            return web.json_response({"error": error}, status=self.refuse_with)
        assertion = form.get("assertion")
        if form.get("grant_type") != _GRANT or not isinstance(assertion, str):
            return _refused("unsupported_grant_type")
        if not self._is_good(assertion, str(request.url)):
            return _refused("invalid_grant")
        token = f"ya29.{secrets.token_urlsafe(24)}"
        self._expiry[token] = time.time() + self.expires_in_s
        self.given += 1
        async with self._gave:
            self._gave.notify_all()
        return web.json_response({"access_token": token, "expires_in": self.expires_in_s, "token_type": "Bearer"})

    def _is_good(self, assertion: str, own_url: str) -> bool:
        """Signed by an account of ours, for us, not over, and asking for the right to send messages."""
        try:
            unverified = jwt.decode(assertion, options={"verify_signature": False})
            claims = jwt.decode(
                assertion,
                self._accounts[str(unverified.get("iss"))],
                algorithms=["RS256"],
                audience=[own_url, GOOGLE_TOKEN_URI],
                options={"require": ["exp", "iat", "aud", "iss"]},
            )
        except (jwt.InvalidTokenError, KeyError):
            return False
        return claims["exp"] - claims["iat"] <= 3600 and _may_send(str(claims.get("scope", "")))


def _may_send(scope: str) -> bool:
    return bool({SCOPE, "https://www.googleapis.com/auth/cloud-platform"} & set(scope.split()))


def _refused(error: str) -> web.Response:
    return web.json_response({"error": error, "error_description": "refused"}, status=400)
